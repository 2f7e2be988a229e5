"""Puts the translation of a cut-out back into the picture it was cut from, at that picture's size.

A model sees `source`, a region of the picture at the model's resolution, and returns `image` and a
mask m. Where m is the opacity of what was painted,

  image = (1 - m) source + m paint

gives the paint. Paint and mask are enlarged, the mask is refined to the picture's edges, and the
same equation composes the picture at its own size. Without such a mask the difference
image - source is enlarged and added.

Everything is a function of arrays. Large pictures are composed in strips of rows.
"""

from collections.abc import Iterator, Sequence
import dataclasses

import numpy as np

from maskgan_jax.data.turned import Turned
from maskgan_jax.translator import mask_edges
from maskgan_jax.translator.enlarging import (
  Box,
  enlarged,
  fade,
  inside,
  Part,
  scales,
  strips,
)

_FEATHER = 2  # pixels of the model over which a change fades out at the region's edge
_LEAST = 0.5 / 255  # a weaker mask or change shows in no picture of 8 bits
# A pixel changed by more than this, of 255 levels, is repainted.
_REPAINTED = 8
_REPAINTED_SHARE = 0.8


@dataclasses.dataclass(frozen=True)
class Change:
  """What a model does to the part of a picture that it sees.

  Attributes:
    box: that part.
    size: height and width of the picture.
    mask: opacity of the paint, float32 [h, w] in [0, 1]; where there is a difference in place of
      paint, how much each pixel changes.
    paint: float32 [h, w, 3] in [0, 1], or None.
    difference: what is added without paint, float32 [h, w, 3] in [-1, 1], or None.
    edges: refine the mask; without them it is enlarged plainly.
  """

  box: Part
  size: tuple[int, int]
  mask: np.ndarray
  paint: np.ndarray | None = None
  difference: np.ndarray | None = None
  edges: mask_edges.Edges | None = None


# What a model does to its cut-out.


def change_of(
  source: np.ndarray,
  image: np.ndarray,
  mask: np.ndarray | None,
  box: Part,
  size: Sequence[int],
  *,
  is_opacity: bool = True,
) -> Change:
  """Returns the change that a model makes.

  Args:
    source: what the model saw, uint8 [h, w, 3].
    image: what it made of it, uint8 [h, w, 3].
    mask: float32 [h, w] or [h, w, 1] in [0, 1], or None.
    box: where in the picture `source` lies.
    size: height and width of the picture.
    is_opacity: whether the mask is the opacity of what is painted.
  """
  source = source.astype(np.float32) / 255
  difference = image.astype(np.float32) / 255 - source
  if mask is None:
    mask, is_opacity = np.abs(difference).max(axis=-1), False
  mask = mask.reshape(source.shape[:2]).astype(np.float32)
  if not is_opacity:
    return Change(box, tuple(size), mask, difference=difference)
  paint = source + difference / np.maximum(mask, _LEAST)[..., None]
  return Change(box, tuple(size), mask, paint=np.clip(paint, 0, 1))


def repaints(source: np.ndarray, image: np.ndarray) -> bool:
  """Returns whether nearly every pixel changes, so that adding the difference leaves a ghost."""
  levels = np.abs(image.astype(int) - source).max(axis=-1)
  return bool(np.mean(levels > _REPAINTED) > _REPAINTED_SHARE)


# Composing at the picture's own size.


def paste(
  picture: np.ndarray,
  change: Change,
  *,
  given: np.ndarray | None = None,
  keep: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the changed picture, and where and how much it changed; see `paste_all`."""
  return paste_all(picture, [change], given=given, keep=keep)


def paste_all(
  picture: np.ndarray,
  changes: Sequence[Change],
  *,
  given: np.ndarray | None = None,
  keep: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns a picture with changes of several parts, and where and how much it changed.

  Where two of them meet, the later one lies on top.

  Args:
    picture: uint8 or uint16 [H, W, 3].
    changes: what to do to it.
    given: a mask of the picture's size in place of the enlarged one, float32 [H, W] in [0, 1].
    keep: what may change, float32 [H, W] in [0, 1].
  Returns:
    The picture, and uint8 [H, W]: where this is 0, the picture is as it was.
  """
  pasted = picture.copy()
  opacity = np.zeros(picture.shape[:2], np.uint8)
  for change in changes:
    for rows, columns in touched_strips(change, whole=given is not None):
      part, levels = composed(
        pasted[rows, columns],
        change,
        rows,
        columns,
        given=None if given is None else given[rows, columns],
        keep=None if keep is None else keep[rows, columns],
      )
      pasted[rows, columns] = part
      opacity[rows, columns] = _together(opacity[rows, columns], levels)
  return pasted, opacity


def _together(below: np.ndarray, above: np.ndarray) -> np.ndarray:
  """Returns the opacity of two layers, uint8; 0 exactly where both are 0."""
  if not below.any():
    return above
  through = (255 - below.astype(np.float32)) * (255 - above.astype(np.float32)) / 255
  return (255 - np.floor(through)).astype(np.uint8)


def touched_strips(
  change: Change, *, whole: bool = False
) -> Iterator[tuple[slice, slice]]:
  """Yields the rows and columns of a picture that may change, strip by strip.

  Args:
    change: its mask bounds them.
    whole: whether they are all that the model saw.
  """
  box = change.box if whole else _touched(change)
  if box is None:
    return
  yield from strips(*inside(box, change.size))


def _touched(change: Change) -> Part | None:
  """Returns the part of a picture around the mask, or None where the mask is empty."""
  above = change.mask > _LEAST
  if not above.any():
    return None
  # A pixel of the model reaches its neighbours, and the windows of a filter further.
  reach = 1 if change.edges is None else mask_edges.REACH
  ends = []
  for axis, side in ((1, above.shape[0]), (0, above.shape[1])):
    indices = np.flatnonzero(above.any(axis=axis))
    ends.append((max(0, indices[0] - reach), min(side, indices[-1] + 1 + reach)))
  (top, bottom), (left, right) = ends
  if isinstance(change.box, Turned):
    height, width = above.shape
    return change.box.part(top / height, left / width, bottom / height, right / width)
  down, across = scales(change.box, above.shape)
  return Box(
    change.box.top + top * down,
    change.box.left + left * across,
    change.box.top + bottom * down,
    change.box.left + right * across,
  )


def composed(
  part: np.ndarray,
  change: Change,
  rows: slice,
  columns: slice,
  *,
  given: np.ndarray | None = None,
  keep: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns a part of a picture after the change, and its mask in 255 levels; see `paste`."""
  top_level = np.float32(np.iinfo(part.dtype).max)
  pixels = part / top_level
  limit = _fade(change, rows, columns)
  if keep is not None:
    limit = limit * keep

  # The mask says how much of the paint is seen; a difference has its amount already.
  if change.paint is not None:
    mask = _mask(pixels, change, rows, columns) if given is None else given
    paint = _paint(change, rows, columns)
    after = pixels + (mask * limit)[..., None] * (paint - pixels)
  else:
    mask = enlarged(change.mask, change.box, rows, columns)
    if given is not None:
      limit = limit * (given > 0)
    difference = enlarged(change.difference, change.box, rows, columns)
    after = pixels + limit[..., None] * difference
  levels = np.rint(255 * mask * limit).astype(np.uint8)
  after = np.rint(np.clip(after, 0, 1) * top_level).astype(part.dtype)
  return np.where(levels[..., None] > 0, after, part), levels


def _mask(
  pixels: np.ndarray, change: Change, rows: slice, columns: slice
) -> np.ndarray:
  """Returns the mask of pixels float32 [n, m, 3] in [0, 1], refined to their edges or not."""
  if change.edges is None:
    return enlarged(change.mask, change.box, rows, columns)
  return mask_edges.refined(pixels, change.edges, change.box, rows, columns)


def _paint(change: Change, rows: slice, columns: slice) -> np.ndarray:
  """Returns the enlarged paint; where little was painted, neighbours with more of it count more."""
  weight = (change.mask + np.float32(_LEAST))[..., None]
  weighted = np.concatenate([change.paint * weight, weight], axis=-1)
  large = enlarged(weighted, change.box, rows, columns)
  # Outside of a part that is turned are neither paint nor weight.
  return large[..., :-1] / np.maximum(large[..., -1:], np.float32(_LEAST / 4))


def _fade(change: Change, rows: slice, columns: slice) -> np.ndarray:
  """Returns 1, and towards edges of the region that lie inside the picture less, down to 0."""
  height, width = change.mask.shape
  slope = height / _FEATHER, width / _FEATHER
  return fade(change.box, rows, columns, change.size, slope)
