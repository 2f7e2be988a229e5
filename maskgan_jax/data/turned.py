"""Parts of a picture that are turned: cut out upright, and how their shares lie in the picture."""

from collections.abc import Sequence
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from maskgan_jax import errors
from maskgan_jax.data import landmarks

_FINENESS = (
  4  # pixels of a cut-out along one of the result, at most, before it is made smaller
)
_LEAST_INSIDE = 0.5  # share of a part that must lie in its picture
_GRID = 32  # points along a part that are tried for that


class Turned(NamedTuple):
  """A rectangle in a picture, turned by any angle; complex numbers are x + iy in pixels.

  corner: its upper left corner, as a model sees it.
  across: from there to the upper right corner.
  down: from there to the lower left corner, at a right angle to `across`.
  """

  corner: complex
  across: complex
  down: complex

  def part(self, top: float, left: float, bottom: float, right: float) -> 'Turned':
    """Returns a part of it, in shares of its height and width."""
    corner = self.corner + top * self.down + left * self.across
    return Turned(corner, (right - left) * self.across, (bottom - top) * self.down)

  def scales(self, shape: Sequence[int]) -> tuple[float, float]:
    """Returns height and width of a pixel of a small picture of this shape that fills it."""
    return abs(self.down) / shape[0], abs(self.across) / shape[1]

  def bounds(self) -> tuple[float, float, float, float]:
    """Returns top, left, bottom and right of the upright rectangle around it."""
    corners = [
      self.corner,
      self.corner + self.across,
      self.corner + self.down,
      self.corner + self.across + self.down,
    ]
    x, y = np.real(corners), np.imag(corners)
    return y.min(), x.min(), y.max(), x.max()

  def shares(self, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
    """Returns how far down and across pixels lie, float32 [n, m]; in [0, 1] inside."""
    y = np.arange(rows.start, rows.stop)[:, None] + 0.5 - self.corner.imag
    x = np.arange(columns.start, columns.stop)[None, :] + 0.5 - self.corner.real
    shares = []
    for side in (self.down, self.across):
      share = (x * side.real + y * side.imag) / abs(side) ** 2
      shares.append(share.astype(np.float32))
    return shares[0], shares[1]

  def grid(self) -> np.ndarray:
    """Returns points spread evenly over it, complex [n, n]."""
    steps = (np.arange(_GRID) + 0.5) / _GRID
    return self.corner + steps[:, None] * self.down + steps * self.across

  def covers(self, places: np.ndarray) -> float:
    """Returns the share of points, complex, that lie in it."""
    inside = np.ones(places.shape, bool)
    for side in (self.down, self.across):
      share = ((places - self.corner) * side.conjugate()).real / abs(side) ** 2
      inside &= (share >= 0) & (share <= 1)
    return float(inside.mean())

  def inside(self, size: Sequence[int]) -> float:
    """Returns the share of it that lies in a picture of this height and width."""
    places = self.grid()
    x_fits = (places.real >= 0) & (places.real <= size[1])
    y_fits = (places.imag >= 0) & (places.imag <= size[0])
    return float((x_fits & y_fits).mean())


def of_points(
  points: Sequence,
  template: landmarks.Template,
  seen: Sequence[float],
  size: tuple[int, int],
  name: str,
) -> Turned:
  """Returns the part of a picture in which a face lies as in the template.

  Args:
    points: (x, y) of two eyes, or of five points.
    template: where they lie in the training pictures.
    seen: top, left, bottom and right of what is wanted of a training picture, pixels.
    size: height and width of the picture.
    name: what messages call it.
  Raises:
    UserError: the points are wrong, or half of the part lies outside of the picture.
  """
  points = landmarks.check(points, size, name)
  a, b = landmarks.similarity(points, template, name)
  top, left, bottom, right = seen
  part = Turned(a * complex(left, top) + b, a * (right - left), a * 1j * (bottom - top))
  if part.inside(size) < _LEAST_INSIDE:
    raise errors.UserError(
      f'a face in {name} is too near to the edge: {100 * (1 - part.inside(size)):.0f} % of '
      'what the model is to see lies outside; are its points right?'
    )
  return part


def align(
  picture: np.ndarray, points: Sequence, template: landmarks.Template, name: str = ''
) -> np.ndarray:
  """Returns a face as it would lie in the template's pictures, at their size.

  Args:
    picture: uint8 [H, W, 3].
    points: (x, y) of two eyes, or of five points.
    template: where they are to lie.
    name: what messages call the picture.
  """
  whole = (0, 0, *template.size)
  size = picture.shape[:2]
  part = of_points(points, template, whole, size, name or 'the picture')
  return upright(picture, part, template.size)


def upright(
  picture: np.ndarray,
  part: Turned,
  shape: tuple[int, int],
  filter_: Image.Resampling = Image.Resampling.BOX,
) -> np.ndarray:
  """Returns a part of a picture turned upright; what lies outside repeats the picture's edge.

  Nothing aliases: the picture is reduced by a whole number first, then turned at up to 4 times the
  resolution of the result, and that is resized.

  Args:
    picture: uint8 or uint16 [H, W, 3], or a mask, float32 [H, W].
    part: to cut out.
    shape: height and width of the result.
    filter_: Pillow's, of the last step.
  Returns:
    uint8 [*shape, 3], or float32 [*shape].
  """
  factor = min(_FINENESS, max(1, math.ceil(min(part.scales(shape)))))
  fine = (factor * shape[0], factor * shape[1])
  step = max(1, int(min(part.scales(fine))))
  image, left, top = _surroundings(picture, part, step)

  # Pillow asks where a pixel of the result comes from: x = a X + b Y + c, and y likewise.
  corner = (part.corner - complex(left, top)) / step
  across, down = part.across / step / fine[1], part.down / step / fine[0]
  matrix = (across.real, down.real, corner.real, across.imag, down.imag, corner.imag)
  turned = image.transform(
    fine[::-1], Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
  )
  result = np.asarray(turned.resize(shape[::-1], filter_))
  return np.clip(result, 0, 1) if result.dtype == np.float32 else result


def _surroundings(
  picture: np.ndarray, part: Turned, step: int
) -> tuple[Image.Image, int, int]:
  """Returns what lies around a part, `step` times smaller, and the pixel that it begins at."""
  # Bicubic interpolation looks two pixels further.
  margin = 3 * step
  top, left, bottom, right = part.bounds()
  top, left = math.floor(top) - margin, math.floor(left) - margin
  height, width = (
    step * math.ceil((math.ceil(last) + margin - first) / step)
    for first, last in ((top, bottom), (left, right))
  )
  tall, wide = picture.shape[:2]
  rows = slice(max(0, min(top, tall - 1)), max(1, min(top + height, tall)))
  columns = slice(max(0, min(left, wide - 1)), max(1, min(left + width, wide)))
  cut = picture[rows, columns]
  if cut.dtype == np.uint16:
    cut = (cut >> 8).astype(np.uint8)
  beyond = [
    (rows.start - top, top + height - rows.stop),
    (columns.start - left, left + width - columns.stop),
  ]
  cut = np.pad(cut, beyond + [(0, 0)] * (cut.ndim - 2), mode='edge')
  return Image.fromarray(np.ascontiguousarray(cut)).reduce(step), left, top
