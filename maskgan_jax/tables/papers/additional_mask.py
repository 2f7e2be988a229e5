"""Additional mask's sweeps and comparisons, by figure (Choi, Sohn and Hong, IEEE Access 2023).

The paper has pictures and no table, so nothing is printed; the measures are ours
(evaluators/changes.py). Figures 1, 11 and 12 vary nothing.
"""

from maskgan_jax.tables.papers import base

_SHARE = dict(scale=100, digits=2)
_CIRCLE = 'configs/circle_square.py'
_SPLIT = "The test set is a fifth of the data's training pictures, as in the paper. "
_CHANGED = 'A pixel is changed where it differs by more than 0.1 of the range.'


def _row(name: str, config: str, measures: dict[str, str] | None = None) -> base.Row:
  return base.Row(name, ours=True, config=config, measures=measures or {})


def _pictures(*directions: str) -> tuple[base.Column, ...]:
  """What can be said of photographs, whose truth is not known."""
  arrows = {'ab': 'a→b', 'ba': 'b→a'}
  return tuple(
    column
    for d in directions
    for column in (
      base.Column(f'Changed pixels {arrows[d]} (%)', f'{d}_changed_share', **_SHARE),
      base.Column(f'Mean change {arrows[d]}', f'{d}_change_mean', digits=4),
    )
  )


_TRUE = (
  *_pictures('ab', 'ba'),
  *(
    base.Column(f'{name} {arrow}', f'{d}_{measure}', digits=digits, higher=higher)
    for name, measure, digits, higher in (
      ('IoU with what truly changes', 'changed_iou', 3, True),
      ('Error to the truth', 'error', 4, False),
      ('Error where it should change', 'error_inside', 4, False),
      ('Error elsewhere', 'error_outside', 4, False),
    )
    for d, arrow in (('ab', 'a→b'), ('ba', 'b→a'))
  ),
)


def _of(prefix: str, kept: tuple[str, ...], **known: str) -> dict[str, str]:
  """Measures of what no model makes, for every column.

  Args:
    prefix: of the `kept` measures.
    kept: measures, without their direction.
    **known: what others are without measuring.
  """
  return {
    column.name: f'{prefix}{column.measure}'
    if column.measure[3:] in kept
    else known.get(column.measure[3:], '')
    for column in _TRUE
  }


# Trained one way; and columns that are looked for in vain would be measured again each time.
_ONE_WAY = {column.name: '' for column in _TRUE if column.measure.startswith('ba_')}


def _circle_square(
  title: str, values: tuple[str, ...], protocol: str, others: tuple[base.Row, ...] = ()
) -> base.Table:
  return base.Table(
    title,
    _TRUE,
    (
      *(_row(f'λ_r = {value}', f'{_CIRCLE}:lambda_r={value}') for value in values),
      *others,
    ),
    evaluators=('changes',),
    protocol=f'500 test pairs at 64x64. {protocol} {_CHANGED}',
  )


_FIGURE_4 = _circle_square(
  'Figure 4: circles to squares, λ_r of 0.01, 1 and 10',
  ('0.01', '1', '10'),
  "The caption's λ_c is λ_r. The paper: the larger λ_r, the less is changed, in the end the four "
  'corners only. "Supervised" has no way back, and is tested on pairs of one scene, other '
  'pictures than those of the other rows: of its pixels 6.06 % truly change, of theirs 5.98 %.',
  (
    _row('CycleGAN', f'{_CIRCLE}:cyclegan'),
    _row('Supervised (Fig. 2)', f'{_CIRCLE}:supervised', _ONE_WAY),
    _row(
      'True answers',
      f'{_CIRCLE}:lambda_r=1',
      _of(
        'truth_',
        ('changed_share',),
        changed_iou='=1',
        error='=0',
        error_inside='=0',
        error_outside='=0',
      ),
    ),
    _row(
      'Nothing done',
      f'{_CIRCLE}:lambda_r=1',
      _of(
        'do_nothing_',
        ('error', 'error_inside'),
        changed_share='=0',
        change_mean='=0',
        changed_iou='=0',
      ),
    ),
  ),
)

_FIGURE_5 = _circle_square(
  'Figure 5: circles to squares, λ_r too large',
  ('200',),
  'The paper: squares, but masks that are not concentrated on the corners.',
)

_HORSE, _APPLE = (
  'configs/additional_mask_horse2zebra.py',
  'configs/additional_mask_apple2orange.py',
)


def _swept(*sweeps: tuple[str, str, tuple[str, ...]]) -> tuple[base.Row, ...]:
  return tuple(
    _row(f'{name}: λ_r = {value}', f'{config}:lambda_r={value}')
    for name, config, values in sweeps
    for value in values
  )


_THREE = ('0.01', '0.1', '1')

_FIGURE_6 = base.Table(
  'Figure 6: λ_r of 0.01, 0.1 and 1, apples to oranges and horses to zebras',
  _pictures('ab', 'ba'),
  _swept(('apple2orange', _APPLE, _THREE), ('horse2zebra', _HORSE, _THREE)),
  evaluators=('changes',),
  needs="TFDS's cycle_gan/apple2orange and cycle_gan/horse2zebra",
  protocol=f'apple2orange at 64x64, horse2zebra at 256x256. {_SPLIT}The paper: the larger λ_r, '
  f'the smaller the orange regions, but the more stripes. {_CHANGED}',
)

_FIGURE_7 = base.Table(
  'Figure 7: horse2zebra and summer2winter (maps, says the text), each column its λ_r',
  _pictures('ab', 'ba'),
  _swept(
    ('horse2zebra', _HORSE, _THREE),
    ('summer2winter', 'configs/summer2winter.py', _THREE),
    ('maps', 'configs/maps.py', _THREE),
  ),
  evaluators=('changes',),
  needs="TFDS's cycle_gan/horse2zebra, summer2winter_yosemite and maps",
  protocol=f'256x256, which the paper says of all but maps. {_SPLIT}It does not give the λ_r of '
  f'its columns; these are those of Figure 6. {_CHANGED}',
)


def _compared(
  figure: str, what: str, config: str, direction: str, data: str
) -> base.Table:
  model, *more = config.split(':')
  return base.Table(
    f'Figure {figure}: {what}, beside other methods',
    _pictures(direction),
    (
      base.Row('UNIT'),
      _row('CycleGAN', f'{model}:{",".join([*more, "cyclegan"])}'),
      base.Row('U-GAT-IT'),
      base.Row('DRIT'),
      _row('Additional mask', config),
    ),
    evaluators=('changes',),
    needs=f"TFDS's cycle_gan/{data}",
    protocol=f'Here 256x256; for this figure the paper gives neither size nor λ_r, which is the '
    f"middle one of the config's sweep. {_SPLIT}{_CHANGED}",
  )


_FIGURE_13 = base.Table(
  'Figure 13: dogs to cats, λ_r of 0.001, 1 and 100',
  _pictures('ab', 'ba'),
  _swept(('dog2cat', 'configs/dog2cat.py', ('0.001', '1', '100'))),
  evaluators=('changes',),
  needs="TFDS's oxford_iiit_pet, since the paper names no pictures",
  protocol=f'256x256. {_SPLIT}The paper: no noses, eyes or mouths with any λ_r. {_CHANGED}',
)

TABLES = {
  '4': _FIGURE_4,
  '5': _FIGURE_5,
  '6': _FIGURE_6,
  '7': _FIGURE_7,
  '8': _compared('8', 'oranges to apples', f'{_APPLE}:256', 'ba', 'apple2orange'),
  '9': _compared('9', 'horses to zebras', _HORSE, 'ab', 'horse2zebra'),
  '10': _compared(
    '10', 'winter to summer', 'configs/summer2winter.py', 'ba', 'summer2winter_yosemite'
  ),
  '13': _FIGURE_13,
}
