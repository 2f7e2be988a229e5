"""LOMIT's tables: 1 and 2 of IJCAI 2019; 1 and figure 7, the user study, of the ICLR submission.

IJCAI's rows run `:ijcai` and ICLR's `:iclr`, the papers' text where it differs from the authors'
code, which is the submission's and has none of IJCAI's experiments.
"""

from maskgan_jax.tables.papers import base

_STUDY = 'needs participants: python -m maskgan_jax.user_study'
_CELEBA = 'CelebA: --override=data.path=DIR'
_INCEPTION = (
  'Inception (import_weights inception): --override=distribution.network=FILE'
)


def _fid(name: str, measure: str, config: str) -> base.Column:
  return base.Column(name, measure, f'configs/{config}.py:ijcai', higher=False)


_AVERAGE = base.Column('Avg.', higher=False)  # of the columns before it; no run has it

_IJCAI_1 = base.Table(
  'IJCAI Table 1: FID in the target domain, CelebA',
  (
    _fid('H & S', 'ab_fid', 'celeba_hair_smile'),
    _fid('F.H & G', 'ab_fid', 'celeba_facial_hair_gender'),
    _fid('M & Y', 'ab_fid', 'celeba_makeup_young'),
    _AVERAGE,
  ),
  (
    base.Row('MUNIT', base.printed(31.52, 44.81, 37.78, 38.04)),
    base.Row('DRIT', base.printed(26.94, 29.57, 33.68, 30.06)),
    base.Row('LOMIT', base.printed(21.82, 19.31, 26.01, 22.38), ours=True),
  ),
  evaluators=('distribution',),
  needs=f'{_CELEBA}; {_INCEPTION}',
  protocol='The paper gives neither the number of pictures nor the Inception weights. Here a and '
  'b are any two test faces (of H & S, with black, blond or brown hair), and '
  'translations are held against all test pictures of b.',
)

_IJCAI_2 = base.Table(
  'IJCAI Table 2: FID, apples and oranges, horses and zebras',
  (
    _fid('A→O', 'ab_fid', 'apple2orange'),
    _fid('O→A', 'ba_fid', 'apple2orange'),
    _fid('H→Z', 'ab_fid', 'horse2zebra'),
    _fid('Z→H', 'ba_fid', 'horse2zebra'),
    _AVERAGE,
  ),
  (
    base.Row('AGGAN', base.printed(170.83, 110.61, 105.27, 97.25, 120.99)),
    base.Row('LOMIT', base.printed(124.31, 91.21, 49.60, 89.74, 88.72), ours=True),
  ),
  evaluators=('distribution',),
  needs=f"TFDS's cycle_gan/apple2orange and cycle_gan/horse2zebra; {_INCEPTION}",
  protocol='The paper gives neither numbers of pictures nor how these were trained. Here: the '
  "data's own test pictures, 128x128, each with one exemplar, against all of the target "
  'domain.',
)

# Rows as printed: class, then IS mean, IS std and CA of DRIT, of MUNIT, of LOMIT.
_CLASSES = (
  (
    'Facial Hair',
    'celeba_facial_hair_gender.py:iclr,facial_hair',
    ((0.3295, 0.24, 23.8), (0.2808, 0.25, 60.0), (0.3105, 0.27, 71.4)),
  ),
  (
    'Gender',
    'celeba_facial_hair_gender.py:iclr,gender',
    ((0.2703, 0.21, 21.1), (0.1368, 0.19, 53.0), (0.2348, 0.22, 83.9)),
  ),
  (
    'Wearing Lipstick',
    'celeba_makeup_lipstick.py:iclr,lipstick',
    ((0.2685, 0.20, 19.9), (0.1751, 0.20, 57.1), (0.2528, 0.20, 73.7)),
  ),
  (
    'Facial Hair + Gender',
    'celeba_facial_hair_gender.py:iclr',
    ((0.3805, 0.24, 14.3), (0.1972, 0.25, 34.9), (0.2069, 0.23, 68.1)),
  ),
  (
    'Makeup + Wearing Lipstick',
    'celeba_makeup_lipstick.py:iclr',
    ((0.2853, 0.21, 16.1), (0.2472, 0.24, 27.3), (0.2834, 0.22, 72.8)),
  ),
)
_METHODS = ('DRIT', 'MUNIT', 'LOMIT')

_ICLR_1 = base.Table(
  'ICLR Table 1: inception score (IS) and classification accuracy (CA), CelebA',
  # The paper's IS is not ours: see the protocol.
  (
    base.Column('IS, mean', digits=4, higher=True),
    base.Column('IS, std'),
    base.Column('CA (%)', 'ab_accuracy_changed', scale=100, digits=1, higher=True),
    base.Column('IS as defined, at least 1', 'ab_is', digits=4, higher=True),
  ),
  tuple(
    base.Row(
      f'{name}: {method}',
      base.printed(*values, None),
      ours=method == 'LOMIT',
      config=f'configs/{config}' if method == 'LOMIT' else '',
    )
    for name, config, methods in _CLASSES
    for method, values in zip(_METHODS, methods, strict=True)
  ),
  evaluators=('accuracy', 'distribution'),
  needs=f'{_CELEBA}; {_INCEPTION}; a classifier of the labels (train_classifier): '
  '--override=accuracy.network=FILE',
  protocol='An inception score is exp(mean KL divergence), which is never below 1; the paper '
  'follows "the procedure in MUNIT", whose published code has the exponential, and all '
  'of its scores are below 1: they are without it, or of something else. Over what '
  'their deviations are it does not say. Its classifier is an Inception fine-tuned on '
  "CelebA, presumably the scores' too; it is not published. Here the score is "
  "ImageNet's and has a column of its own. CA is the share of translations with every "
  "label as the exemplar's, over the pairs in which a label has to change "
  '(ab_accuracy_changed): a and b are any two test faces, whose labels agree by chance '
  '(Male about half of the time), so that over all pairs doing nothing scores high. '
  "The paper does not say how it paired them; DRIT's 21.1 % of gender takes pairs that "
  "differ. Rows of one attribute: the paper's LOMIT is that of several, whose masks of "
  'input and exemplar were edited by hand (section 5.3); its baselines were trained '
  'for each attribute. Ours are trained for the one attribute as those are, and no hand '
  'edits their masks.',
)

_ICLR_7 = base.Table(
  'ICLR Figure 7: the user study, brown hair without a smile to blond with one',
  # Charts of two bars to a question, LOMIT against another. Which is whose the text does not say:
  # in the order of the legend, and of "LOMIT / DRIT or LOMIT / MUNIT" in section 5.4.
  (
    base.Column('(a) Realism rate (%)', digits=1, higher=True),
    base.Column('(b) Q1 style: LOMIT (%)', digits=1),
    base.Column('(b) Q1 style: it (%)', digits=1, higher=True),
    base.Column('(b) Q2 background: LOMIT (%)', digits=1),
    base.Column('(b) Q2 background: it (%)', digits=1, higher=True),
  ),
  (
    base.Row('DRIT', base.printed(12.3, 67.7, 32.3, 95.7, 4.3)),
    base.Row('MUNIT', base.printed(11.5, 66.3, 33.7, 96.7, 3.2)),
    base.Row(
      'LOMIT',
      base.printed(25.6, None, None, None, None),
      ours=True,
      config='configs/celeba_hair_smile.py:iclr',
      why_not=_STUDY,
    ),
  ),
  needs=f'participants; {_CELEBA}',
  protocol='(a) of a translation and a real picture, how often the translation looked more real: '
  '10 translations a method, 30 real pictures. (b) ten pairs of translations; which has '
  'better applied the style, which has better kept the background. How many took part '
  'is not stated.',
)

TABLES = {'1': _IJCAI_1, '2': _IJCAI_2, 'iclr_1': _ICLR_1, 'iclr_7': _ICLR_7}
