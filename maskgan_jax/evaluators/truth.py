"""Measures whether the right thing moved, to the right place, and nothing else, by exact truths.

`transfer_...` compares z(a, b) with a wearing b's attribute, `removal_...` the removal of b's
attribute with b without it; methods that do not remove, but translate back, do that, z(b, a).
`do_nothing_...` is the measure of the untranslated picture.

  *_error_inside, *_error_outside   mean absolute error, 1 being from black to white, where the
                                    truth changes the picture (true mask > 0.5) and elsewhere, where
                                    doing nothing is almost right: pixels that an edge covers by
                                    less than a half are there
  *_error_ratio                     error inside over that of doing nothing: 0 is perfect, 1 useless
  *_psnr, *_ssim                    of whole pictures (see _image_measures.py)

All are means over images; an image without such a region does not count there.
"""

from collections.abc import Iterator

import numpy as np

from maskgan_jax.evaluators import _image_measures as image_measures
from maskgan_jax.evaluators import base
from maskgan_jax.runs.measures import DO_NOTHING, Measure, Quantity

_TASKS = ('transfer', 'removal')


class Evaluator(base.Evaluator):
  """See the module's docstring and `base.Evaluator`."""

  order = 10
  quantities = (
    Quantity(
      'error_inside',
      ('transfer',),
      title='error where it should change',
      better=-1,
      digits=4,
      meaning='How far the colours of the translation are from the true answer, '
      'where something had to change.',
    ),
    Quantity(
      'error_inside',
      ('removal',),
      title='error where it should change',
      better=-1,
      digits=4,
      meaning='How far the colours are from the same picture without the '
      'attribute, where it had to go.',
    ),
    Quantity(
      'error_outside',
      _TASKS,
      title='error elsewhere',
      better=-1,
      digits=4,
      meaning='The same everywhere else: what was changed but should not be.',
    ),
    Quantity(
      'error_ratio',
      _TASKS,
      title='error over doing nothing',
      better=-1,
      meaning='The error inside over that of doing nothing: 0 is perfect, 1 useless.',
    ),
    Quantity(
      'psnr',
      ('transfer',),
      title='PSNR',
      better=1,
      unit='dB',
      digits=2,
      meaning='Likeness of the translation to the true answer over the whole '
      'picture, in decibels.',
    ),
    Quantity(
      'psnr',
      ('removal',),
      title='PSNR',
      better=1,
      unit='dB',
      digits=2,
      meaning='Likeness of the picture without the attribute to the true one, '
      'in decibels.',
    ),
    Quantity(
      'ssim',
      ('transfer',),
      title='SSIM',
      better=1,
      digits=4,
      meaning='Structural likeness of the translation to the true answer; 1 is '
      'the same picture.',
    ),
    Quantity(
      'ssim',
      ('removal',),
      title='SSIM',
      better=1,
      digits=4,
      meaning='Structural likeness of the picture without the attribute to the '
      'true one.',
    ),
  )

  def __init__(self):
    self._values = base.PerImage()

  def missing(self, batch, abilities):
    if _knows_transfer(batch) or _knows_removal(batch, abilities):
      return ''
    return (
      'the data have no true translations with masks of where they change (only avatars do); '
      "'changes' needs no masks"
    )

  def update(self, batch, outputs, valid):
    # A transfer is compared inside the region that it should change.
    if _knows_transfer(batch):
      pictures = {'': outputs.translation.image, DO_NOTHING: batch['a']}
      region = batch['truth_ab_mask'] > 0.5
      self._compare('transfer', pictures, batch['truth_ab'], region, valid)
    if _knows_removal(batch, outputs.abilities):
      removal = outputs.removal if 'remove' in outputs.abilities else outputs.back
      pictures = {'': removal.image, DO_NOTHING: batch['b']}
      region = batch['b_mask'] > 0.5
      self._compare('removal', pictures, batch['truth_ba'], region, valid)

  def _compare(self, task, pictures, truth, region, valid):
    """Compares pictures, by what they are a reference of, with the truth."""
    for reference, picture in pictures.items():

      def add(quantity, values, counts, reference=reference):
        column = Measure(quantity, task, reference).column
        self._values.add(column, values, counts)

      inside = mean_error(picture, truth, region)
      outside = mean_error(picture, truth, ~region)
      add('error_inside', inside, valid & np.isfinite(inside))
      add('error_outside', outside, valid & np.isfinite(outside))
      add('psnr', image_measures.psnr(picture, truth), valid)
      add('ssim', image_measures.ssim(picture, truth), valid)

  def results(self) -> Iterator[tuple[str, float]]:
    means = dict(self._values.means())
    yield from means.items()
    for task in _TASKS:
      error = Measure('error_inside', task)
      nothing = means.get(error.do_nothing.column)
      if nothing:
        ratio = Measure('error_ratio', task)
        yield ratio.column, means[error.column] / nothing


def mean_error(x: np.ndarray, y: np.ndarray, region: np.ndarray) -> np.ndarray:
  """Returns the mean |x - y| / 255 over a region of each image, [B]; NaN for an empty region.

  Args:
    x: uint8 [B, H, W, C].
    y: the same.
    region: bool [B, H, W, 1].
  """
  difference = np.abs(x.astype(np.float64) - y.astype(np.float64))
  error = difference.mean(axis=-1, keepdims=True) / 255
  count = region.sum(axis=(1, 2, 3))
  total = np.where(region, error, 0).sum(axis=(1, 2, 3))
  return np.where(count, total / np.maximum(count, 1), np.nan)


def _knows_transfer(batch) -> bool:
  return 'truth_ab' in batch and 'truth_ab_mask' in batch


def _knows_removal(batch, abilities) -> bool:
  makes_pictures = not abilities.isdisjoint({'remove', 'reverse'})
  return makes_pictures and 'truth_ba' in batch and 'b_mask' in batch
