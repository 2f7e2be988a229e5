"""Coloured digits as EGSC-IT's authors draw them: recipes from their random numbers, and painting.

The same digits give the authors' very pictures: every number comes from NumPy's RandomState(0), for
the training and the test set each, in the order of their scripts.
"""

from collections.abc import Iterator
import colorsys
import dataclasses
import json

import numpy as np

from maskgan_jax.data.drawn.digit_images import SIDE

KINDS = ('single', 'multiple')

_CELLS = {'single': 1, 'multiple': 4}  # a side
Color = tuple[int, int, int]  # red, green, blue, 0..255
_BLACK = (0, 0, 0)
_WHITE = (255, 255, 255)
_RED = (255, 0, 0)
_GREEN = (0, 255, 0)
_BLUE = (0, 0, 255)
_COLORS = {
  'black': _BLACK,
  'white': _WHITE,
  'red': _RED,
  'green': _GREEN,
  'blue': _BLUE,
}
_PAIRS = [  # foreground and background
  (_RED, _GREEN),
  (_GREEN, _RED),
  (_RED, _BLUE),
  (_BLUE, _RED),
  (_GREEN, _BLUE),
  (_BLUE, _GREEN),
]
_LABELS = range(10)
# In training, digits above are red on green, so that all other colours are new to them.
_LARGEST_VARIED = 4
_CANDIDATES = {'a': 100, 'b': 200}  # digits among which one of each label is searched
_JITTER = 0.4


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How one picture is painted.

  Attributes:
    colored: whether it is of domain b.
    digits: by cell, row by row, the number of the digit in it among those drawn from; -1: empty.
    labels: by cell, the label of that digit; -1: empty.
    colors: of the digit with each label; a single colour is that of all.
    background: the colour around the digits.
  """

  colored: bool
  digits: tuple[int, ...]
  labels: tuple[int, ...]
  colors: tuple[Color, ...]
  background: Color

  def to_json(self) -> str:
    return json.dumps(vars(self), separators=(',', ':'))

  @classmethod
  def from_json(cls, text: str | bytes) -> 'Recipe':
    fields = json.loads(text)
    for name in ('digits', 'labels', 'background'):
      fields[name] = tuple(fields[name])
    fields['colors'] = tuple(map(tuple, fields['colors']))
    return cls(**fields)


def side(kind: str) -> int:
  """Returns height and width of a picture in pixels."""
  return _CELLS[kind] * SIDE


def recipes(
  kind: str, labels: np.ndarray, *, seed: int, training: bool, count: int
) -> Iterator[Recipe]:
  """Yields A_0..A_{count-1}, then B_0..B_{count-1}.

  Args:
    kind: one of KINDS.
    labels: of the N digits to draw from, uint8 [N].
    seed: the authors' is 0.
    training: paint the digits 5 to 9 of 'single' red on green only.
    count: pictures of each domain, at most N; the same whatever it is.
  """
  random, size = np.random.RandomState(seed), len(labels)
  # Numbers that are drawn but not used keep the later ones in their places.
  order_a, order_b = random.permutation(size), random.permutation(size)
  uniforms_a, uniforms_b = random.uniform(0, 1, size), random.uniform(0, 1, size)
  if kind == 'single':
    for digit, uniform in zip(order_a[:count], uniforms_a, strict=False):
      colors = (_BLACK, _WHITE) if uniform < 0.5 else (_WHITE, _BLACK)
      yield _single(False, digit, labels, colors)
    for digit, uniform in zip(order_b[:count], uniforms_b, strict=False):
      is_fixed = training and labels[digit] > _LARGEST_VARIED
      yield _single(True, digit, labels, _PAIRS[0 if is_fixed else int(uniform * 6)])
    return

  # All of A is drawn even if few are asked for: B's draws come after it.
  for picture in range(size):
    digits, cells = _place(random, labels, _CANDIDATES['a'])
    if picture < count:
      is_black = uniforms_a[picture] < 0.5
      foreground, background = (_BLACK, _WHITE) if is_black else (_WHITE, _BLACK)
      placed = _in_cells(digits, cells, labels)
      yield Recipe(False, *placed, (foreground,), background)
  for picture in range(count):
    digits, cells = _place(random, labels, _CANDIDATES['b'])
    background = _WHITE if uniforms_b[picture] < 0.5 else _BLACK
    colors = _draw_colors(random, labels[digits], background)
    yield Recipe(True, *_in_cells(digits, cells, labels), colors, background)


def _single(
  colored: bool, digit: int, labels: np.ndarray, colors: tuple[Color, Color]
) -> Recipe:
  """Returns the recipe of one digit, in the colours of foreground and background."""
  foreground, background = colors
  return Recipe(
    colored, (int(digit),), (int(labels[digit]),), (foreground,), background
  )


def _place(
  random: np.random.RandomState, labels: np.ndarray, candidates: int
) -> tuple[np.ndarray, np.ndarray]:
  """Draws one digit of each label that the candidates have, and the cells; returns both."""
  numbers = (random.rand(candidates) * len(labels)).astype(int)
  _, first = np.unique(labels[numbers], return_index=True)  # by ascending label
  return random.permutation(numbers[first]), random.permutation(_CELLS['multiple'] ** 2)


def _in_cells(
  digits: np.ndarray, cells: np.ndarray, labels: np.ndarray
) -> tuple[tuple[int, ...], tuple[int, ...]]:
  """Returns, by cell, the number of the digit in it and its label; -1 where it is empty."""
  numbers = np.full(len(cells), -1)
  numbers[cells[: len(digits)]] = digits
  labels_in_cells = np.where(numbers < 0, -1, labels[numbers].astype(int))
  return tuple(numbers.tolist()), tuple(labels_in_cells.tolist())


def _draw_colors(
  random: np.random.RandomState, labels: np.ndarray, background: Color
) -> tuple[Color, ...]:
  """Draws the colour of each label, in the order of placing.

  The authors save these pictures with SciPy's `toimage`, which stretches the levels of each so that
  its least is 0 and its greatest 255: beside black the colours are brighter, beside white darker
  and more saturated than drawn.
  """
  colors = np.array([_rgb(label, 1, 1) for label in _LABELS])
  for label in labels:
    saturation = random.uniform(1 - _JITTER, 1 + _JITTER)
    value = random.uniform(1 - _JITTER, 1 + _JITTER)
    colors[label] = _rgb(label, saturation, value)
  levels = np.concatenate([colors[labels], [background]])
  low, high = levels.min(), levels.max()
  stretched = (colors - low) * (255 / (high - low))
  # A label that no candidate had may lie outside.
  rounded = (stretched.clip(0, 255) + 0.5).astype(int)
  return tuple(map(tuple, rounded.tolist()))


def _rgb(label: int, saturation: float, value: float) -> list[int]:
  """Returns the colour of a label, with saturation and value relative to a half."""
  levels = colorsys.hsv_to_rgb(label / 10, 0.5 * saturation, 0.5 * value)
  return [round(255 * level) for level in levels]


def foreground(recipe: Recipe, pictures: np.ndarray) -> np.ndarray:
  """Returns where a recipe's digits are, bool [H, W], from the grey digits uint8 [N, 28, 28]."""
  digits = np.array(recipe.digits)
  binary = (pictures[digits] > 127.5) & (digits >= 0)[:, None, None]
  cells = round(len(digits) ** 0.5)
  rows = binary.reshape(cells, cells, SIDE, SIDE).swapaxes(1, 2)
  return rows.reshape(cells * SIDE, cells * SIDE)


def foreground_in(recipe: Recipe, image: np.ndarray) -> np.ndarray:
  """Returns where digits are, bool [H, W], from a picture: none has the background's colour."""
  return (image != np.array(recipe.background, np.uint8)).any(axis=-1)


def paint(recipe: Recipe, foreground: np.ndarray, like: Recipe) -> np.ndarray:
  """Returns a recipe's digits in the colours of another, uint8 [H, W, 3].

  Args:
    recipe: says which label lies in which cell.
    foreground: where its digits are, bool [H, W].
    like: has the colours and background; `recipe` itself for the picture as it is.
  """
  colors = np.empty((11, 3), np.uint8)
  colors[0], colors[1:] = like.background, like.colors
  cells = round(len(recipe.labels) ** 0.5)
  numbers = np.array(recipe.labels).reshape(cells, cells) + 1
  by_pixel = numbers.repeat(SIDE, 0).repeat(SIDE, 1)
  return colors.take(by_pixel * foreground, axis=0)


def attribute_names(kind: str) -> tuple[str, ...]:
  """Returns the names of what `attributes` returns."""
  if kind == 'single':
    digits = [f'Digit_{label}' for label in _LABELS]
    foregrounds = [f'Foreground_{color}' for color in _COLORS]
    backgrounds = [f'Background_{color}' for color in _COLORS]
    return ('Colored', *digits, *foregrounds, *backgrounds)
  names = ['Colored', 'Background_white']
  for label in _LABELS:
    names += [f'Digit_{label}_top', f'Digit_{label}_left']
  return tuple(names)


def attributes(kind: str, recipe: Recipe) -> np.ndarray:
  """Returns bool [K]: of a single digit its label and colours, of several where each lies."""
  if kind == 'single':
    values = [recipe.colored]
    values += [label == recipe.labels[0] for label in _LABELS]
    for color in (recipe.colors[0], recipe.background):
      values += [color == other for other in _COLORS.values()]
    return np.array(values, bool)

  values = [recipe.colored, recipe.background == _WHITE]
  cells_a_side = _CELLS[kind]
  for label in _LABELS:
    if label in recipe.labels:
      row, column = divmod(recipe.labels.index(label), cells_a_side)
      values += [row < cells_a_side // 2, column < cells_a_side // 2]
    else:  # a digit that is missing is in neither half
      values += [False, False]
  return np.array(values, bool)
