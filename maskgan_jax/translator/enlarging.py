"""Parts of a picture, and small pictures enlarged into them.

A part is a box, whose edges need not be whole pixels, or is turned. What fills it is enlarged strip
by strip, so that memory does not grow with the height of a picture.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from maskgan_jax import errors
from maskgan_jax.data.turned import Turned

_MOST_STRETCH = 16  # of a region's proportions against the model's
_STRIP = 2**19  # pixels in a strip


class Box(NamedTuple):
  """Edges of a part of a picture, in pixels; they need not be whole."""

  top: float
  left: float
  bottom: float
  right: float


Part = Box | Turned


def region_box(region: Sequence[float], size: tuple[int, int], name: str) -> Box:
  """Returns a region in whole pixels of a picture.

  Args:
    region: top, left, bottom, right, in pixels; as shares of height and width if none is above 1.
    size: height and width of the picture.
    name: what messages call the picture.
  Raises:
    UserError: the region has no area, leaves the picture, or mixes shares and pixels.
  """
  height, width = size
  text = ','.join(f'{number:g}' for number in region)
  if len(region) != 4 or not np.isfinite(region).all():
    raise errors.UserError(f'region {text} is not top,left,bottom,right')
  shares = min(region) >= 0 and max(region) <= 1
  if not shares and any(number % 1 for number in region):
    raise errors.UserError(
      f'region {text} of {name}: numbers are all shares from 0 to 1, or all whole pixels'
    )
  scale = (height, width, height, width) if shares else (1, 1, 1, 1)
  box = Box(*(round(number * unit) for number, unit in zip(region, scale, strict=True)))
  if box.top >= box.bottom or box.left >= box.right:
    raise errors.UserError(
      f'region {text} (top,left,bottom,right) of {name} has no area; bottom must lie '
      'below top, and right beyond left'
    )
  if min(box) < 0 or box.bottom > height or box.right > width:
    raise errors.UserError(
      f'region {text} (top,left,bottom,right) leaves {name}, which is {height} high '
      f'and {width} wide'
    )
  return box


def check_proportions(
  size: tuple[float, float], shape: tuple[int, int], name: str
) -> None:
  """Raises UserError if a region is so thin that a model of this shape sees only smudges of it."""
  height, width = size
  stretch = (height / shape[0]) / (width / shape[1])
  if max(stretch, 1 / stretch) > _MOST_STRETCH:
    raise errors.UserError(
      f'{name}: {height:.0f}x{width:.0f} pixels (height x width) are too thin for a model of '
      f'{shape[0]}x{shape[1]}; choose a region of similar proportions: --region'
    )


def overlap(one: Part, other: Part) -> float:
  """Returns the share of the smaller of two parts that lies in the other one."""
  parts = []
  for part in (one, other):
    if not isinstance(part, Turned):
      top, left, bottom, right = part
      part = Turned(complex(left, top), complex(right - left), 1j * (bottom - top))
    parts.append(part)
  smaller, larger = sorted(parts, key=lambda part: abs(part.across * part.down))
  return larger.covers(smaller.grid())


def enlarged(small: np.ndarray, box: Part, rows: slice, columns: slice) -> np.ndarray:
  """Returns rows and columns of a picture that shows `small` in a part of it; bilinear.

  Outside of a box its edge is repeated; outside of a part that is turned all is 0.

  Args:
    small: float32 [h, w] or [h, w, C].
    box: the part of the picture that `small` fills.
    rows: whole pixels of the picture.
    columns: likewise.
  """
  if isinstance(box, Turned):
    return _enlarged_turned(small, box, rows, columns)
  down, across = scales(box, small.shape)
  above, below, row_weights = _between(rows, box.top, down, small.shape[0])
  left, right, column_weights = _between(columns, box.left, across, small.shape[1])
  extra = (1,) * (small.ndim - 2)

  # Rows first: they are few, and the columns then work on a strip.
  row_weights = row_weights.reshape(-1, 1, *extra)
  lines = small[above] * (1 - row_weights) + small[below] * row_weights
  column_weights = column_weights.reshape(1, -1, *extra)
  return lines[:, left] * (1 - column_weights) + lines[:, right] * column_weights


def _enlarged_turned(
  small: np.ndarray, part: Turned, rows: slice, columns: slice
) -> np.ndarray:
  """Returns what `enlarged` does for a part that is turned."""
  # Pillow asks where a pixel of the picture lies in the small one.
  height, width = small.shape[:2]
  first = complex(columns.start, rows.start) - part.corner
  across = width * part.across / abs(part.across) ** 2
  down = height * part.down / abs(part.down) ** 2
  matrix = []
  for side in (across, down):
    start = first.real * side.real + first.imag * side.imag
    matrix += [side.real, side.imag, start]
  shape = rows.stop - rows.start, columns.stop - columns.start
  channels = small.reshape(height, width, -1)
  large = np.empty((*shape, channels.shape[-1]), np.float32)
  for channel in range(channels.shape[-1]):
    image = Image.fromarray(np.ascontiguousarray(channels[..., channel], np.float32))
    large[..., channel] = image.transform(
      shape[::-1], Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
  return large.reshape(*shape, *small.shape[2:])


def _between(
  pixels: slice, start: float, scale: float, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the two small pixels that each large one lies between, and the second's weight."""
  centres = np.arange(pixels.start, pixels.stop) + 0.5
  places = np.clip((centres - start) / scale - 0.5, 0, count - 1)
  first = places.astype(int)
  return first, np.minimum(first + 1, count - 1), (places - first).astype(np.float32)


def scales(box: Part, shape: Sequence[int]) -> tuple[float, float]:
  """Returns a small pixel's height and width in pixels of the picture."""
  if isinstance(box, Turned):
    return box.scales(shape)
  return (box.bottom - box.top) / shape[0], (box.right - box.left) / shape[1]


def inside(box: Part, size: Sequence[int]) -> tuple[slice, slice]:
  """Returns the pixels of a picture whose centres lie in a box, or in the box around a part."""
  edges = box.bounds() if isinstance(box, Turned) else box
  top, left, bottom, right = (int(np.ceil(edge - 0.5)) for edge in edges)
  height, width = size[:2]
  rows = slice(max(0, top), min(height, bottom))
  return rows, slice(max(0, left), min(width, right))


def spread(
  small: np.ndarray, box: Part, size: Sequence[int], outside: int = 0
) -> np.ndarray:
  """Returns a picture or mask of the model's resolution in its place at the own size.

  Args:
    small: uint8 [h, w, 3], or a mask, float32 [h, w, 1] in [0, 1].
    box: the part of the picture that it fills.
    size: height and width of the picture.
    outside: level of all other pixels.
  Returns:
    uint8 [H, W, 3] or [H, W, 1].
  """
  levels = small.astype(np.float32)
  if small.dtype != np.uint8:
    levels = 255 * levels
  large = np.full((*size, small.shape[-1]), outside, np.uint8)
  for rows, columns in strips(*inside(box, size)):
    part = np.rint(enlarged(levels, box, rows, columns))
    if isinstance(box, Turned):
      is_inside = fade(box, rows, columns, size, (np.inf, np.inf)) > 0
      part = np.where(is_inside[..., None], part, outside)
    large[rows, columns] = part
  return large


def fade(
  box: Part,
  rows: slice,
  columns: slice,
  size: Sequence[int],
  slope: tuple[float, float],
) -> np.ndarray:
  """Returns 1 in a part, and less, down to 0, towards its edges and outside of it.

  The edges of a box that are those of the picture do not fade.

  Args:
    box: the part.
    rows: pixels of the picture.
    columns: likewise.
    size: height and width of the picture.
    slope: by how much it rises over the height and over the width of the part.
  """
  if isinstance(box, Turned):
    fades = []
    for share, steepness in zip(box.shares(rows, columns), slope, strict=True):
      fades.append(_rise(np.minimum(share, 1 - share), steepness))
    return fades[0] * fades[1]
  fades = []
  for axis, pixels in enumerate((rows, columns)):
    centres = np.arange(pixels.start, pixels.stop, dtype=np.float32) + np.float32(0.5)
    first, last = box[axis], box[axis + 2]
    distance = np.full_like(centres, np.inf)
    if first > 0:
      distance = np.minimum(distance, centres - first)
    if last < size[axis]:
      distance = np.minimum(distance, last - centres)
    fades.append(_rise(distance / (last - first), slope[axis]))
  return fades[0][:, None] * fades[1][None, :]


def _rise(distance: np.ndarray, slope: float) -> np.ndarray:
  """Returns `slope` times the distance, in [0, 1]; an infinite slope is a step."""
  if np.isinf(slope):
    return (distance >= 0).astype(np.float32)
  return np.clip(distance * slope, 0, 1).astype(np.float32)


def strips(rows: slice, columns: slice) -> Iterator[tuple[slice, slice]]:
  """Yields rows and columns in strips of some rows each."""
  height = max(1, _STRIP // max(1, columns.stop - columns.start))
  for top in range(rows.start, rows.stop, height):
    yield slice(top, min(top + height, rows.stop)), columns
