"""Measures how like a translation is to what it should be, as EGSC-IT's Table 2 does.

`ab` is t(a, b), and `ba` the reverse, t(b, a), for methods that translate both ways.

Against the true translation, where the data know it:

  ab_ssim, ab_psnr                    of the translation
  do_nothing_ab_ssim, ..._psnr        of the untranslated picture
  blank_ab_ssim, ..._psnr             of a blank picture in the exemplar's median colour

Against the exemplar, which is what the authors' script measures for Table 2:

  ab_exemplar_ssim                    of the translation
  do_nothing_ab_exemplar_ssim         of the untranslated picture
  blank_ab_exemplar_ssim              of that blank picture
  truth_ab_exemplar_ssim              of the true translation: the most that a right one can get

Where there is a truth, this is measured for methods without an exemplar too, with the picture that
the truth is after, as Table 2 does with CycleGAN. (The authors' script reads pictures that SciPy's
imsave had stretched, each from its darkest to its brightest value; here pictures are as the model
makes them, which differs where none is black.)

The two must not be compared: an exemplar shows another content, so that even perfect translations
are unlike it (0.48 and 0.23 on single digits), and copying the exemplar would get 1. On flat
pictures neither can judge alone: SSIM counts what is absent, so that of single digits a blank
picture gets more than a perfect translation with the exemplar, and than most models with the truth.
(`digits` has measures of these that a blank cannot win.)

SSIM is that of scikit-image's defaults, which the authors ran: uniform windows of 7x7 pixels inside
the picture, sample covariance, data range 255, the mean over channels. (The evaluator `truth` has
the Gaussian windows of the SSIM paper.) PSNR is in dB.

All are means over the pairs, `..._std` their standard deviations. `NAME[GROUP]` is the mean over
the pairs whose translated picture is in a group of `config.data.apart`.
"""

from collections.abc import Iterator

import numpy as np

from maskgan_jax.evaluators import _image_measures as image_measures
from maskgan_jax.evaluators import base
from maskgan_jax.runs.measures import (
  BLANK,
  DIRECTIONS,
  DO_NOTHING,
  Measure,
  Quantity,
  TRUTH,
)


class Evaluator(base.Evaluator):
  """See the module's docstring and `base.Evaluator`."""

  order = 30
  quantities = (
    Quantity(
      'ssim',
      DIRECTIONS,
      title='SSIM to the truth',
      better=1,
      digits=4,
      meaning='Structural likeness of the translation to the true one; 1 is the '
      'same picture.',
    ),
    Quantity(
      'psnr',
      DIRECTIONS,
      title='PSNR to the truth',
      better=1,
      unit='dB',
      digits=2,
      meaning='Likeness of the translation to the true one, in decibels.',
    ),
    Quantity(
      'exemplar_ssim',
      DIRECTIONS,
      title='SSIM with the exemplar',
      better=1,
      digits=4,
      meaning='Structural likeness of the translation to its exemplar, '
      "EGSC-IT's Table 2. The exemplar shows something else: no right "
      'translation gets near 1.',
      truth='The same for true translations: what a perfect one gets.',
    ),
  )

  def __init__(self):
    self._values = base.PerImage()

  def missing(self, batch, abilities):
    truths = [f'truth_{direction}' in batch for direction in directions(abilities)]
    if 'exemplar' in abilities or any(truths):
      return ''
    return 'the method takes no exemplar, and the data have no true translations'

  def update(self, batch, outputs, valid):
    for direction in directions(outputs.abilities):
      source, exemplar = (batch[name] for name in direction)
      truth = batch.get(f'truth_{direction}')
      # Doing nothing and a blank picture show what likeness comes for free.
      pictures = {
        '': outputs.translated(direction),
        DO_NOTHING: source,
        BLANK: _blank(exemplar),
      }
      likeness: dict[Measure, np.ndarray] = {}
      if truth is not None:
        for reference, picture in pictures.items():
          likeness[Measure('ssim', direction, reference)] = _ssim(picture, truth)
          psnr = image_measures.psnr(picture, truth)
          likeness[Measure('psnr', direction, reference)] = psnr
        pictures[TRUTH] = truth
      if 'exemplar' in outputs.abilities or truth is not None:
        for reference, picture in pictures.items():
          likeness[Measure('exemplar_ssim', direction, reference)] = _ssim(
            picture, exemplar
          )
      self._add(likeness, batch.get(f'{direction[0]}_apart'), outputs.apart, valid)

  def _add(self, likeness, membership, groups, valid):
    """Adds values [B] by measure, SSIM also of each group; `membership` is bool [B, groups]."""
    # Groups are measured by SSIM only, of the model's pictures and of true answers.
    for measure, values in likeness.items():
      self._values.add(measure.column, values, valid)
      if measure.quantity == 'psnr' or measure.reference in (DO_NOTHING, BLANK):
        continue
      for number, group in enumerate(groups):
        column = measure.in_group(group).column
        self._values.add(column, values, valid & membership[:, number])

  def results(self) -> Iterator[tuple[str, float]]:
    for name, mean in self._values.means():
      yield name, mean
      if not Measure.parse(name).group:
        yield self._values.deviation(name)


def directions(abilities: frozenset[str]) -> tuple[str, ...]:
  """Returns the directions that a method with these abilities translates in."""
  return DIRECTIONS if 'reverse' in abilities else DIRECTIONS[:1]


def _blank(pictures: np.ndarray) -> np.ndarray:
  """Returns pictures of one colour each: per channel the median of uint8 [B, H, W, C]."""
  color = np.median(pictures, axis=(1, 2), keepdims=True)
  return np.broadcast_to(np.round(color).astype(np.uint8), pictures.shape)


def _ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  return image_measures.ssim(x, y, **image_measures.SCIKIT_IMAGE)
