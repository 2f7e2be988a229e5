"""Measures how much a translation changes, and whether it is what should change, by pictures alone.

`ab` is t(a, b), and `ba` the reverse, for methods that translate both ways. A pixel is changed if
the mean over channels of |after - before| is more than 0.1, 1 being from black to white.

  ab_changed_share      the share of the pixels that are changed
  ab_change_mean        mean |after - before|: what is too faint to count above is in it

Against the true translation, where the data know it:

  truth_ab_changed_share                      the share of the pixels that truly change
  ab_changed_iou, ab_changed_iou_std          changed pixels and those that truly change:
                                              intersection over union, a picture at a time
  ab_error, ab_error_std                      mean |after - truth|
  ab_error_inside                             the same over the pixels that truly change
  ab_error_outside                            and over the others, where doing nothing is almost
                                              right
  do_nothing_ab_error, ..._std, ..._inside    the same of the untranslated picture

All are means over pictures, `..._std` standard deviations. One in which nothing truly changes
counts neither in the IoU nor in the error inside, one in which everything changes not in the error
outside.
"""

from collections.abc import Iterator

import numpy as np

from maskgan_jax.evaluators import base, masks, similarity
from maskgan_jax.evaluators.truth import mean_error
from maskgan_jax.runs.measures import DIRECTIONS, DO_NOTHING, Measure, Quantity

CHANGED = 0.1  # of the way from black to white; noise and rounding are below it


class Evaluator(base.Evaluator):
  """See the module's docstring and `base.Evaluator`."""

  order = 40
  quantities = (
    Quantity(
      'error',
      DIRECTIONS,
      title='error to the truth',
      better=-1,
      digits=4,
      meaning='How far the colours of the translation are from the true one, '
      'over the whole picture: 0 is the same, 1 is black for white.',
    ),
    Quantity(
      'error_inside',
      DIRECTIONS,
      title='error where it should change',
      better=-1,
      digits=4,
      meaning='The same only where something has to change.',
    ),
    Quantity(
      'error_outside',
      DIRECTIONS,
      title='error elsewhere',
      better=-1,
      digits=4,
      meaning='The same everywhere else: what was changed but should not be.',
    ),
    Quantity(
      'changed_share',
      DIRECTIONS,
      title='changed pixels',
      unit='%',
      digits=2,
      nothing=0,
      meaning='Share of the pixels that the translation changes by more than a '
      'tenth of the way from black to white.',
      truth='The same for true translations: what truly changes.',
    ),
    Quantity(
      'changed_iou',
      DIRECTIONS,
      title='IoU of changed pixels',
      better=1,
      meaning='How well the pixels that the translation changes are those that '
      'truly change: what both have over what either has, from 0 to 1 '
      '(perfect).',
    ),
    Quantity(
      'change_mean',
      DIRECTIONS,
      title='mean change',
      digits=4,
      nothing=0,
      meaning='How far the translation is from its source on the mean: 0 is the '
      'same picture, 1 is black for white.',
    ),
  )

  def __init__(self):
    self._values = base.PerImage()

  def update(self, batch, outputs, valid):
    for direction in similarity.directions(outputs.abilities):
      before, after = batch[direction[0]], outputs.translated(direction)
      everywhere = np.ones((*before.shape[:3], 1), bool)
      region = changed(before, after)
      share = region.mean(axis=(1, 2, 3))
      self._values.add(f'{direction}_changed_share', share, valid)
      self._add_error(f'{direction}_change_mean', after, before, everywhere, valid)
      truth = batch.get(f'truth_{direction}')
      if truth is not None:
        self._compare(direction, before, after, truth, valid)

  def _compare(self, direction, before, after, truth, valid):
    """Compares what changed with what truly changes."""
    region, true_region = changed(before, after), changed(before, truth)
    everywhere = np.ones_like(region)
    true_share = true_region.mean(axis=(1, 2, 3))
    self._values.add(f'truth_{direction}_changed_share', true_share, valid)

    # Pairs in which nothing truly changes have no region to hit.
    some_change = valid & true_region.any(axis=(1, 2, 3))
    self._values.add(
      f'{direction}_changed_iou', masks.iou(region, true_region), some_change
    )

    error, inside = Measure('error', direction), Measure('error_inside', direction)
    for reference, picture in (('', after), (DO_NOTHING, before)):
      self._add_error(error.of(reference).column, picture, truth, everywhere, valid)
      self._add_error(inside.of(reference).column, picture, truth, true_region, valid)
    self._add_error(f'{direction}_error_outside', after, truth, ~true_region, valid)

  def _add_error(self, name, x, y, region, valid):
    """Adds the mean error over a region of the pictures in which it is not empty."""
    error = mean_error(x, y, region)
    self._values.add(name, error, valid & np.isfinite(error))

  def results(self) -> Iterator[tuple[str, float]]:
    for name, mean in self._values.means():
      yield name, mean
      if name.endswith(('_changed_iou', '_error')):
        yield self._values.deviation(name)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
  """Returns which pixels of uint8 [B, H, W, C] differ by more than `CHANGED`, bool [B, H, W, 1]."""
  # In whole numbers: the mean over channels is never rounded.
  differences = np.abs(before.astype(np.int32) - after)
  total = differences.sum(axis=-1, keepdims=True)
  return total > CHANGED * 255 * before.shape[-1]
