"""Did the right thing move, to the right place, and nothing else? Pictures against exact truths.

`transfer_...` compares z(a, b) with a wearing b's attribute, `removal_...` the removal of b's
attribute with b without it; methods that do not remove, but translate back, do that, z(b, a).
`do_nothing_...` is what leaving the picture as it is would get.

  *_error_inside, *_error_outside   mean absolute error, 1 being from black to white, where the
                                    truth changes the picture (true mask > 0.5) and elsewhere, where
                                    doing nothing is almost right: pixels that an edge covers by
                                    less than a half are there
  *_error_ratio                     error inside over that of doing nothing: 0 is perfect, 1 useless
  *_psnr, *_ssim                    of whole pictures (see image_measures.py)

All are means over images; an image that has no such region does not count there.
"""

from collections.abc import Iterator

import numpy as np

from maskgan_jax.evaluators import _image_measures as image_measures
from maskgan_jax.evaluators import base


class Evaluator:
  """See the module's docstring and `base.Evaluator`."""

  def __init__(self):
    self._values = base.PerImage()

  def missing(self, batch, abilities):
    if _knows_transfer(batch) or _knows_removal(batch, abilities):
      return ''
    return ("the data have no true translations with masks of where they change (only avatars do); "
            "'changes' needs no masks")

  def update(self, batch, outputs, valid):
    if _knows_transfer(batch):
      self._compare('transfer', outputs.translation.image, batch['a'], batch['truth_ab'],
                    batch['truth_ab_mask'] > 0.5, valid)
    if _knows_removal(batch, outputs.abilities):
      removal = outputs.removal if 'remove' in outputs.abilities else outputs.back
      self._compare('removal', removal.image, batch['b'], batch['truth_ba'],
                    batch['b_mask'] > 0.5, valid)

  def _compare(self, task, image, before, truth, region, valid):
    nothing = 'do_nothing' if task == 'transfer' else f'do_nothing_{task}'
    for name, picture in ((task, image), (nothing, before)):
      for where, pixels in (('inside', region), ('outside', ~region)):
        error = mean_error(picture, truth, pixels)
        self._values.add(f'{name}_error_{where}', error, valid & np.isfinite(error))
      self._values.add(f'{name}_psnr', image_measures.psnr(picture, truth), valid)
      self._values.add(f'{name}_ssim', image_measures.ssim(picture, truth), valid)

  def results(self) -> Iterator[tuple[str, float]]:
    means = dict(self._values.means())
    yield from means.items()
    for task, nothing in (('transfer', 'do_nothing'), ('removal', 'do_nothing_removal')):
      if before := means.get(f'{nothing}_error_inside'):
        yield f'{task}_error_ratio', means[f'{task}_error_inside'] / before


def mean_error(x: np.ndarray, y: np.ndarray, region: np.ndarray) -> np.ndarray:
  """Mean |x - y| / 255 over a region of each image, [B]; NaN where the region is empty.

  Args:
    x: uint8 [B, H, W, C].
    y: the same.
    region: bool [B, H, W, 1].
  """
  error = np.abs(x.astype(np.float64) - y.astype(np.float64)).mean(axis=-1, keepdims=True) / 255
  count = region.sum(axis=(1, 2, 3))
  total = np.where(region, error, 0).sum(axis=(1, 2, 3))
  return np.where(count, total / np.maximum(count, 1), np.nan)


def _knows_transfer(batch) -> bool:
  return 'truth_ab' in batch and 'truth_ab_mask' in batch


def _knows_removal(batch, abilities) -> bool:
  return not abilities.isdisjoint({'remove', 'reverse'}) and {'truth_ba', 'b_mask'} <= batch.keys()
