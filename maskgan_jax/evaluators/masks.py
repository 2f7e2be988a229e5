"""Are the masks the true ones? Intersection over union, an image at a time, as in Table 5 of the
content-transfer paper: mean and standard deviation over images.

The authors search the threshold; here that is done on the validation split, never on the one that
is measured.

  mask_iou@0.5, mask_iou@0.5_std    segment(b) > 0.5 and the true mask of b
  mask_iou, mask_iou_std            the same at mask_threshold
  source_mask_iou, source_mask_iou@0.5, and _std of both
                                    the translation's source mask and the true mask of a, over the
                                    pictures in which there is something to find
  transfer_mask_iou                 the translation's source mask and where a truly changes, over
                                    the pairs in which something does
  mask_mean                         mean of the soft mask segment(b)
  mask_share                        share of the picture where segment(b) is over mask_threshold;
                                    over 0.5 if none was found
  object_mask_share                 share of the true mask of b, where it is not empty, that this
                                    covers: its recall

For methods that do not segment, the last two are of the translation's source mask and of where a
truly changes. `mask_share` needs no true masks. It stands for "Perc." in Table 7 of the
content-transfer paper, the mask's share of the face: pictures do not say where the face ends, so
that here it is of the whole picture and less than theirs, by the share that faces have of pictures.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from maskgan_jax.evaluators import base

_NO_MASK = 'the method has no mask of where it changes pictures'
THRESHOLDS = np.round(np.arange(0.02, 0.99, 0.02), 2)


def iou(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
  """Intersection over union of bool masks [B, ...], [B]; two empty masks agree: 1."""
  axes = tuple(range(1, predicted.ndim))
  union = (predicted | true).sum(axes)
  return np.where(union, (predicted & true).sum(axes) / np.maximum(union, 1), 1.0)


def given(true: np.ndarray) -> np.ndarray:
  """Which of the true masks [B, H, W, 1] there are, bool [B]: a missing one is NaN."""
  return ~np.isnan(true).any(axis=(1, 2, 3))


class ThresholdSearch:
  """The threshold with the highest mean IoU over the images it has seen."""

  def __init__(self):
    self._sums = np.zeros(len(THRESHOLDS))
    self._count = 0
    self._true_is_empty = self._masks_are_flat = True

  def update(self, soft: np.ndarray, true: np.ndarray, valid: np.ndarray) -> None:
    """Takes in soft masks and true ones, both [B, H, W, 1], without the rows that are not valid."""
    known = valid & given(true)
    soft, true = soft[known], true[known] > 0.5
    self._sums += [iou(soft > np.float32(t), true).sum() for t in THRESHOLDS]
    self._count += len(soft)
    self._true_is_empty &= not true.any()
    self._masks_are_flat &= bool((np.ptp(soft, axis=(1, 2, 3)) < 1e-6).all())

  def problem(self) -> str:
    """Returns why the threshold says nothing, or ''."""
    if self._count and self._true_is_empty:
      return 'every true mask is empty, so that the highest threshold is as good as any'
    if self._count and self._masks_are_flat:
      return "each of the model's masks has one value throughout, so that none can be right"
    return ''

  def best(self) -> float | None:
    """The threshold, of equally good ones that nearest to 0.5; None if no image was seen."""
    if not self._count:
      return None
    good = THRESHOLDS[np.isclose(self._sums, self._sums.max(), rtol=1e-12)]
    return float(good[np.abs(good - 0.5).argmin()])


class Evaluator:
  """See the module's docstring and `base.Evaluator`."""

  def __init__(self):
    self._values = base.PerImage()
    self._note: Callable[[str], None] = print

  def begin(self, data: Any, split: str, poll: Callable[[], None],
            note: Callable[[str], None]) -> None:
    """See `base.Evaluator`."""
    self._note = note

  def missing(self, batch, abilities):
    if abilities & {'segment', 'source_mask'} or 'truth_ab_mask' in batch:
      return ''
    return _NO_MASK

  def update(self, batch, outputs, valid):
    threshold = outputs.threshold
    self._add_shares(batch, outputs, valid)
    if 'segment' in outputs.abilities and 'b_mask' in batch:
      mask, true = outputs.mask, batch['b_mask'] > 0.5
      known = valid & given(batch['b_mask'])
      self._values.add('mask_iou@0.5', iou(mask > 0.5, true), known)
      if threshold is not None:
        self._values.add('mask_iou', iou(mask > np.float32(threshold), true), known)
    if 'segment' in outputs.abilities and 'a_mask' in batch:
      true = batch['a_mask'] > 0.5  # a missing one, NaN, is nowhere
      self._add_source('source_mask_iou@0.5', outputs, 0.5, true, valid)
      if threshold is not None:
        self._add_source('source_mask_iou', outputs, threshold, true, valid)
    if 'truth_ab_mask' in batch:
      self._add_source('transfer_mask_iou', outputs, 0.5 if threshold is None else threshold,
                       batch['truth_ab_mask'] > 0.5, valid)

  def _add_shares(self, batch, outputs, valid):
    segments = 'segment' in outputs.abilities
    mask = outputs.mask if segments else outputs.translation.source_mask
    if mask is None:
      return
    if segments:
      self._values.add('mask_mean', mask.mean(axis=(1, 2, 3), dtype=np.float64), valid)
    mask = mask > np.float32(0.5 if outputs.threshold is None else outputs.threshold)
    self._values.add('mask_share', mask.mean(axis=(1, 2, 3)), valid)
    true = batch.get('b_mask' if segments else 'truth_ab_mask')
    if true is not None:
      true = true > 0.5  # a missing one, NaN, is nowhere
      size = true.sum(axis=(1, 2, 3))
      covered = (mask & true).sum(axis=(1, 2, 3)) / np.maximum(size, 1)
      self._values.add('object_mask_share', covered, valid & (size > 0))

  def _add_source(self, name, outputs, threshold, true, valid):
    """Compares the translation's source mask with the true ones that are not empty."""
    shown = valid & true.any(axis=(1, 2, 3))
    if shown.any() and outputs.translation.source_mask is not None:
      mask = outputs.translation.source_mask > np.float32(threshold)
      self._values.add(name, iou(mask, true), shown)

  def results(self) -> Iterator[tuple[str, float]]:
    means = dict(self._values.means())
    if not means:  # whether a method that can be given a mask makes one itself, its pictures tell
      self._note(f"evaluator 'masks' measures nothing here: {_NO_MASK}")
    for name, mean in means.items():
      yield name, mean
      if name.partition('@')[0] in ('mask_iou', 'source_mask_iou'):
        yield f'{name}_std', self._values.summary(name)[1]
