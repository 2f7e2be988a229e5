"""Circles and squares on a plain ground, and the exact answer to "make it the other shape".

They follow the additional-mask paper's synthetic images, whose sizes and colours it does not state:
those here are ours. The square of a circle has its centre, its colour and its diameter as side, so
that the four corners are what changes; the circle of a square lies inside it.

Everything is integer arithmetic on raw words of PCG64, hence the same on every machine: lengths are
eighths of a pixel, and edges are antialiased by the 8x8 samples of each pixel that lie inside.
"""

from collections.abc import Sequence
import dataclasses
import itertools
import json

import numpy as np

KINDS = ('plain', 'colors', 'several')
SIDES = range(16, 1025)  # pixels

# Of 'plain': a mask of 1 can make each of the other, with a little to spare.
_DARK, _LIGHT = (72, 72, 72), (184, 184, 184)
_EIGHTHS = 8  # lengths in a pixel, and samples along its side
# Sum over channels of |colour - background|: a quarter of the range.
_LEAST_CONTRAST = 192
# A radius is between the picture's side over the first and its side over the second.
_RADII = {'plain': (8, 3), 'colors': (8, 3), 'several': (12, 5)}
_MOST = {'plain': 1, 'colors': 1, 'several': 3}  # shapes


@dataclasses.dataclass(frozen=True)
class Shape:
  """Centre and half a side in eighths of a pixel from the upper left corner, and RGB in 0..255."""

  row: int
  column: int
  radius: int
  color: tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How one picture is drawn: its side in pixels, and whether its shapes are squares."""

  square: bool
  side: int
  background: tuple[int, int, int]
  shapes: tuple[Shape, ...]

  def to_json(self) -> str:
    return json.dumps(dataclasses.asdict(self), separators=(',', ':'))

  @classmethod
  def from_json(cls, text: str | bytes) -> 'Recipe':
    fields = json.loads(text)
    shapes = []
    for shape in fields['shapes']:
      color = tuple(shape.pop('color'))
      shapes.append(Shape(**shape, color=color))
    return cls(
      fields['square'], fields['side'], tuple(fields['background']), tuple(shapes)
    )


def recipe(kind: str, side: int, key: tuple[int, ...], *, square: bool) -> Recipe:
  """Returns the scene of a key, in circles or squares.

  Args:
    kind: 'plain', one shape, light grey on dark; 'colors', one of any colour on any other; or
      'several', one to three of those whose squares are a pixel or more apart.
    side: of the picture in pixels, in SIDES; most scenes of one key look alike at all sides.
    key: numbers >= 0, on which all randomness depends.
    square: squares, or circles.
  """
  words = _Words(key)
  background = _DARK if kind == 'plain' else words.color()
  count = words.between(1, _MOST[kind])
  places = [_place(words, kind, side) for _ in range(count)]
  while not _all_apart(places):  # most tries for three shapes fail
    places = [_place(words, kind, side) for _ in range(count)]
  shapes = []
  for place in places:
    color = _LIGHT if kind == 'plain' else _contrasting(words, background)
    shapes.append(Shape(*place, color))
  return Recipe(square, side, background, tuple(shapes))


class _Words:
  """Integers from raw words, whose stream NumPy never changes, unlike that of its `Generator`."""

  def __init__(self, key: tuple[int, ...]):
    self._bits = np.random.PCG64(np.random.SeedSequence(key))

  def between(self, least: int, most: int) -> int:
    word = int(self._bits.random_raw())
    return least + (word * (most - least + 1) >> 64)

  def color(self) -> tuple[int, int, int]:
    return self.between(0, 255), self.between(0, 255), self.between(0, 255)


def _place(words: _Words, kind: str, side: int) -> tuple[int, int, int]:
  """Draws row, column and radius of a shape whose square has a margin of a pixel."""
  length = side * _EIGHTHS
  smallest, largest = _RADII[kind]
  radius = words.between(-(-length // smallest), length // largest)
  margin = radius + _EIGHTHS
  row = words.between(margin, length - margin)
  column = words.between(margin, length - margin)
  return row, column, radius


def _all_apart(places: Sequence[tuple[int, int, int]]) -> bool:
  """Returns whether a pixel or more is between the squares of all shapes."""
  for place, other_place in itertools.combinations(places, 2):
    row, column, radius = place
    other_row, other_column, other_radius = other_place
    distance = max(abs(row - other_row), abs(column - other_column))
    if distance < radius + other_radius + _EIGHTHS:
      return False
  return True


def _contrasting(
  words: _Words, background: tuple[int, int, int]
) -> tuple[int, int, int]:
  """Draws a colour that is far enough from the background's."""
  while True:
    color = words.color()
    if np.abs(np.subtract(color, background)).sum() >= _LEAST_CONTRAST:
      return color


def other(drawn: Recipe) -> Recipe:
  """Returns the true translation: squares around circles, or circles inside squares."""
  return dataclasses.replace(drawn, square=not drawn.square)


def draw(drawn: Recipe) -> np.ndarray:
  """Returns the picture, uint8 [S, S, 3]."""
  image = np.empty((drawn.side, drawn.side, 3), np.int64)
  image[:] = drawn.background
  for shape in drawn.shapes:
    rows, row_distances = _samples(shape.row, shape.radius)
    columns, column_distances = _samples(shape.column, shape.radius)
    radius = 2 * shape.radius
    # Distances are odd and a radius is even, so that no sample lies on an edge.
    if drawn.square:
      inside = (row_distances < radius)[:, None] & (column_distances < radius)
    else:
      inside = row_distances[:, None] ** 2 + column_distances**2 < radius**2
    height, width = rows.stop - rows.start, columns.stop - columns.start
    covered = inside.reshape(height, _EIGHTHS, -1).sum(axis=1, dtype=np.uint8)
    covered = covered.reshape(height, width, _EIGHTHS).sum(axis=2, dtype=np.int64)
    covered = covered[..., None]
    samples = _EIGHTHS**2  # of a pixel
    behind = image[rows, columns] * (samples - covered)
    painted = np.array(shape.color) * covered
    image[rows, columns] = (behind + painted + samples // 2) // samples
  return image.astype(np.uint8)


def _samples(centre: int, radius: int) -> tuple[slice, np.ndarray]:
  """Returns the pixels that a shape touches, and their samples' distances in sixteenths."""
  start, stop = (centre - radius) // _EIGHTHS, -(-(centre + radius) // _EIGHTHS)
  samples = np.arange(2 * _EIGHTHS * start + 1, 2 * _EIGHTHS * stop, 2)
  return slice(start, stop), np.abs(samples - 2 * centre)
