"""Measures whether the masks are the true ones: intersection over union, an image at a time, as in
Table 5 of the content-transfer paper, with mean and standard deviation over images.

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

from collections.abc import Iterator

import numpy as np

from maskgan_jax.evaluators import base
from maskgan_jax.runs.measures import Quantity

_NO_MASK = 'the method has no mask of where it changes pictures'
_WITH_DEVIATION = ('mask_iou', 'source_mask_iou')
_AT_THRESHOLD = 'The same with the mask cut at this value.'
THRESHOLDS = np.round(np.arange(0.02, 0.99, 0.02), 2)


def iou(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
  """Returns the intersection over union of bool masks [B, ...], [B]; 1 for two empty masks."""
  axes = tuple(range(1, predicted.ndim))
  union = (predicted | true).sum(axes)
  intersection = (predicted & true).sum(axes)
  return np.where(union, intersection / np.maximum(union, 1), 1.0)


def is_there(true: np.ndarray) -> np.ndarray:
  """Returns which of the true masks [B, H, W, 1] exist, bool [B]: a missing one is NaN."""
  return ~np.isnan(true).any(axis=(1, 2, 3))


class ThresholdSearch:
  """Searches the threshold with the highest mean IoU over images."""

  def __init__(self):
    self._sums = np.zeros(len(THRESHOLDS))
    self._count = 0
    self._true_is_empty = self._masks_are_flat = True

  def update(self, soft: np.ndarray, true: np.ndarray, valid: np.ndarray) -> None:
    """Takes in soft masks and true ones, both [B, H, W, 1], without the rows that are not valid."""
    rows = valid & is_there(true)
    soft, true = soft[rows], true[rows] > 0.5
    self._sums += [iou(soft > np.float32(t), true).sum() for t in THRESHOLDS]
    self._count += len(soft)

    # Both make any threshold as good as another, which `problem` says.
    self._true_is_empty &= not true.any()
    contrast = np.ptp(soft, axis=(1, 2, 3))
    self._masks_are_flat &= bool((contrast < 1e-6).all())

  def problem(self) -> str:
    """Returns why the threshold says nothing, or ''."""
    if self._count and self._true_is_empty:
      return 'every true mask is empty, so that the highest threshold is as good as any'
    if self._count and self._masks_are_flat:
      return (
        "each of the model's masks has one value throughout, so that none can be right"
      )
    return ''

  def best(self) -> float | None:
    """Returns the best threshold, of equals the one nearest to 0.5; None if no image was seen."""
    if not self._count:
      return None
    good = THRESHOLDS[np.isclose(self._sums, self._sums.max(), rtol=1e-12)]
    return float(good[np.abs(good - 0.5).argmin()])


class Evaluator(base.Evaluator):
  """See the module's docstring and `base.Evaluator`."""

  order = 0
  quantities = (
    Quantity(
      'mask_iou',
      ('',),
      title='mask IoU',
      better=1,
      meaning='How well the mask, learnt without ever seeing a true one, covers '
      'the true region: what both cover over what either covers, from 0 '
      'to 1 (perfect), with the mask cut where it was best on the '
      'validation pictures.',
      at_threshold=_AT_THRESHOLD,
    ),
    Quantity(
      'source_mask_iou',
      ('',),
      title="IoU of the source's mask",
      better=1,
      meaning='The same as mask_iou for the mask of the source picture, where '
      'it has such a region.',
      at_threshold=_AT_THRESHOLD,
    ),
    Quantity(
      'mask_threshold',
      ('',),
      title='mask threshold',
      digits=2,
      meaning='The mask value where it was cut; chosen on the validation pictures.',
    ),
    Quantity(
      'mask_mean',
      ('',),
      title='mean of the mask',
      meaning='Mean of the mask over the picture: near 0 or 1, it has collapsed.',
    ),
    Quantity(
      'mask_share',
      ('',),
      title='share of the picture',
      unit='%',
      digits=1,
      meaning='Share of the picture that the mask takes, cut at mask_threshold, '
      'or at 0.5.',
    ),
    Quantity(
      'object_mask_share',
      ('',),
      title='share of the true region',
      unit='%',
      digits=1,
      meaning='Share of the true region that the mask covers, cut at the same value.',
    ),
    Quantity(
      'mask_iou',
      ('transfer',),
      title='mask IoU',
      better=1,
      meaning='The same as mask_iou for the mask of the translation and what '
      'should have changed.',
    ),
  )

  def __init__(self):
    self._values = base.PerImage()
    self._note = print

  def begin(self, data, split, reporter):
    self._note = reporter.note

  def missing(self, batch, abilities):
    if abilities & {'segment', 'source_mask'} or 'truth_ab_mask' in batch:
      return ''
    return _NO_MASK

  def update(self, batch, outputs, valid):
    self._add_shares(batch, outputs, valid)
    segments = 'segment' in outputs.abilities
    searched = outputs.threshold

    # Masks are cut at a half, and where they were best on the validation pictures.
    thresholds = {'@0.5': 0.5}
    if searched is not None:
      thresholds[''] = np.float32(searched)
    for suffix, threshold in thresholds.items():
      if segments and 'b_mask' in batch:
        overlap = iou(outputs.mask > threshold, batch['b_mask'] > 0.5)
        self._values.add(
          f'mask_iou{suffix}', overlap, valid & is_there(batch['b_mask'])
        )
      if segments and 'a_mask' in batch:
        true = batch['a_mask'] > 0.5  # a missing mask is NaN, and so empty here
        self._add_source(f'source_mask_iou{suffix}', outputs, threshold, true, valid)

    # What should have changed has one cut only.
    if 'truth_ab_mask' in batch:
      self._add_source(
        'transfer_mask_iou',
        outputs,
        0.5 if searched is None else searched,
        batch['truth_ab_mask'] > 0.5,
        valid,
      )

  def _add_shares(self, batch, outputs, valid):
    """Adds how large the mask is, and how much of the true region it covers."""
    segments = 'segment' in outputs.abilities
    soft = outputs.mask if segments else outputs.translation.source_mask
    if soft is None:
      return
    if segments:
      mean = soft.mean(axis=(1, 2, 3), dtype=np.float64)
      self._values.add('mask_mean', mean, valid)

    # Shares are of the mask as users see it, cut.
    threshold = 0.5 if outputs.threshold is None else outputs.threshold
    mask = soft > np.float32(threshold)
    self._values.add('mask_share', mask.mean(axis=(1, 2, 3)), valid)
    true = batch.get('b_mask' if segments else 'truth_ab_mask')
    if true is not None:
      true = true > 0.5  # a missing mask is NaN, and so empty here
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
    # A method that accepts a mask may make none: only its pictures show that.
    if not means:
      self._note(f"evaluator 'masks' measures nothing here: {_NO_MASK}")
    for name, mean in means.items():
      yield name, mean
      if name.startswith(_WITH_DEVIATION):
        yield self._values.deviation(name)
