"""Circles and squares on a plain ground, and the exact answer to "make it the other shape".

After the additional-mask paper's synthetic images, of which it states neither sizes nor colours:
those here are ours. The square of a circle has its centre, its colour and its diameter as side, so
that the four corners are what changes; the circle of a square lies inside it.

Everything is integer arithmetic on raw words of PCG64, hence the same on every machine: lengths are
eighths of a pixel, and edges are antialiased by the 8x8 samples of each pixel that lie inside.
"""

import dataclasses
import json

import numpy as np

KINDS = ('plain', 'colors', 'several')
SIDES = range(16, 1025)  # pixels

# Of 'plain': what a mask of 1 can make of the other, and it has a little to spare.
_DARK, _LIGHT = (72,) * 3, (184,) * 3
_EIGHTHS = 8  # lengths in a pixel, and samples along its side
_LEAST_CONTRAST = 192  # sum over channels of |colour - background|: a quarter of the range
# The side over the first to the side over the second.
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
    shapes = tuple(Shape(**shape | {'color': tuple(shape['color'])}) for shape in fields['shapes'])
    return cls(**fields | {'background': tuple(fields['background']), 'shapes': shapes})


def recipe(kind: str, side: int, key: tuple[int, ...], *, square: bool) -> Recipe:
  """Returns the scene of a key, in circles or squares.

  Args:
    kind: 'plain', one shape, light grey on dark; 'colors', one of any colour on any other; or
      'several', one to three of those whose squares are a pixel or more apart.
    side: of the picture in pixels, in SIDES; at all of them most scenes of one key are much alike.
    key: numbers >= 0, all that is random.
    square: squares, or circles.
  """
  words = _Words(key)
  background = _DARK if kind == 'plain' else words.color()
  count = words.between(1, _MOST[kind])
  while True:  # most tries for three shapes fail
    places = [_place(words, kind, side) for _ in range(count)]
    if all(_apart(places[i], places[j]) for i in range(count) for j in range(i)):
      break
  shapes = tuple(Shape(*place, _LIGHT if kind == 'plain' else _contrasting(words, background))
                 for place in places)
  return Recipe(square, side, background, shapes)


class _Words:
  """Integers from raw words, which NumPy keeps as they are; its `Generator` may change."""

  def __init__(self, key):
    self._bits = np.random.PCG64(np.random.SeedSequence(key))

  def between(self, least, most):
    return least + (int(self._bits.random_raw()) * (most - least + 1) >> 64)

  def color(self):
    return tuple(self.between(0, 255) for _ in range(3))


def _place(words, kind, side):
  """Returns row, column and radius of a shape whose square has a margin of a pixel."""
  smallest, largest = _RADII[kind]
  radius = words.between(-(-side * _EIGHTHS // smallest), side * _EIGHTHS // largest)
  margin = radius + _EIGHTHS
  row, column = (words.between(margin, side * _EIGHTHS - margin) for _ in range(2))
  return row, column, radius


def _apart(place, other):
  distance = max(abs(place[0] - other[0]), abs(place[1] - other[1]))
  return distance >= place[2] + other[2] + _EIGHTHS


def _contrasting(words, background):
  while True:
    color = words.color()
    if sum(abs(x - y) for x, y in zip(color, background, strict=True)) >= _LEAST_CONTRAST:
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
      inside = row_distances[:, None] ** 2 + column_distances ** 2 < radius ** 2
    height, width = rows.stop - rows.start, columns.stop - columns.start
    covered = inside.reshape(height, _EIGHTHS, -1).sum(axis=1, dtype=np.uint8)
    covered = covered.reshape(height, width, _EIGHTHS).sum(axis=2, dtype=np.int64)[..., None]
    part = image[rows, columns]  # a view, of this shape alone
    all_of_it = _EIGHTHS ** 2
    part[:] = (part * (all_of_it - covered) + np.array(shape.color) * covered
               + all_of_it // 2) // all_of_it
  return image.astype(np.uint8)


def _samples(centre, radius):
  """Returns the pixels that a shape touches, and their samples' distances in sixteenths."""
  start, stop = (centre - radius) // _EIGHTHS, -(-(centre + radius) // _EIGHTHS)
  samples = np.arange(2 * _EIGHTHS * start + 1, 2 * _EIGHTHS * stop, 2)
  return slice(start, stop), np.abs(samples - 2 * centre)
