"""How much does a translation change, and is it what should change? From pictures alone.

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
  do_nothing_ab_error, ..._std, ..._inside    what leaving the picture as it is would get

All are means over pictures, `..._std` standard deviations. One in which nothing truly changes
counts neither in the IoU nor in the error inside, one in which everything changes not in the error
outside.
"""

from collections.abc import Iterator

import numpy as np

from maskgan_jax.evaluators import base, masks, similarity, truth

CHANGED = 0.1  # of the way from black to white; noise and rounding are below it


class Evaluator:
  """See the module's docstring and `base.Evaluator`."""

  def __init__(self):
    self._values = base.PerImage()

  def missing(self, batch, abilities):
    return ''

  def update(self, batch, outputs, valid):
    for direction in similarity.directions(outputs.abilities):
      before = batch[direction[0]]
      after = (outputs.translation if direction == 'ab' else outputs.back).image
      region = changed(before, after)
      self._values.add(f'{direction}_changed_share', region.mean(axis=(1, 2, 3)), valid)
      self._add(f'{direction}_change_mean', after, before, np.ones_like(region), valid)
      right = batch.get(f'truth_{direction}')
      if right is None:
        continue
      true = changed(before, right)
      self._values.add(f'truth_{direction}_changed_share', true.mean(axis=(1, 2, 3)), valid)
      self._values.add(f'{direction}_changed_iou', masks.iou(region, true),
                       valid & true.any(axis=(1, 2, 3)))
      for prefix, picture in (('', after), ('do_nothing_', before)):
        self._add(f'{prefix}{direction}_error', picture, right, np.ones_like(true), valid)
        self._add(f'{prefix}{direction}_error_inside', picture, right, true, valid)
      self._add(f'{direction}_error_outside', after, right, ~true, valid)

  def _add(self, name, x, y, where, valid):
    """Adds the error of the pictures that have a pixel there."""
    error = truth.mean_error(x, y, where)
    self._values.add(name, error, valid & np.isfinite(error))

  def results(self) -> Iterator[tuple[str, float]]:
    for name, mean in self._values.means():
      yield name, mean
      if name.endswith(('_changed_iou', '_error')):
        yield f'{name}_std', self._values.summary(name)[1]


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
  """Which pixels differ by more than `CHANGED`, bool [B, H, W, 1], of uint8 [B, H, W, C]."""
  # In whole numbers: the mean over channels is never rounded.
  difference = np.abs(before.astype(np.int32) - after).sum(axis=-1, keepdims=True)
  return difference > CHANGED * 255 * before.shape[-1]
