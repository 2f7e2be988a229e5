"""Coloured digits as EGSC-IT's authors draw them: recipes from their random numbers, and painting.

The same digits give the authors' very pictures: every number comes from NumPy's RandomState(0), for
the training and the test set each, in the order of their scripts.
"""

from collections.abc import Iterator, Sequence
import colorsys
import dataclasses
import json

import numpy as np

from maskgan_jax.data.drawn.digit_images import SIDE

KINDS = ('single', 'multiple')

_CELLS = {'single': 1, 'multiple': 4}  # a side
_COLORS = {'black': (0, 0, 0), 'white': (255, 255, 255), 'red': (255, 0, 0), 'green': (0, 255, 0),
           'blue': (0, 0, 255)}
_BLACK, _WHITE = _COLORS['black'], _COLORS['white']
_PAIRS = [(_COLORS[foreground], _COLORS[background]) for foreground, background in (
    ('red', 'green'), ('green', 'red'), ('red', 'blue'), ('blue', 'red'), ('green', 'blue'),
    ('blue', 'green'))]
_LARGEST_VARIED = 4  # in training, digits above are red on green: others' colours are new to them
_CANDIDATES = {'a': 100, 'b': 200}  # digits looked at for one of each label
_JITTER = 0.4


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How one picture is painted.

  Attributes:
    colored: whether it is of domain b.
    digits: by cell, row by row, the number of the digit in it among those drawn from; -1: empty.
    labels: by cell, the label of that digit; -1: empty.
    colors: of the digit with each label, 0..255; a single one is that of all.
    background: 0..255.
  """
  colored: bool
  digits: tuple[int, ...]
  labels: tuple[int, ...]
  colors: tuple[tuple[int, int, int], ...]
  background: tuple[int, int, int]

  def to_json(self) -> str:
    return json.dumps(vars(self), separators=(',', ':'))

  @classmethod
  def from_json(cls, text: str | bytes) -> 'Recipe':
    fields = json.loads(text)
    for name in ('digits', 'labels', 'background'):
      fields[name] = tuple(fields[name])
    return cls(**fields | {'colors': tuple(map(tuple, fields['colors']))})


def side(kind: str) -> int:
  """Height and width of a picture in pixels."""
  return _CELLS[kind] * SIDE


def recipes(kind: str, labels: np.ndarray, *, seed: int, training: bool,
            count: int) -> Iterator[Recipe]:
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
  order_a, order_b = (random.permutation(size) for _ in 'ab')
  uniforms_a, uniforms_b = (random.uniform(0, 1, size) for _ in 'ab')
  if kind == 'single':
    for digit, uniform in zip(order_a[:count], uniforms_a, strict=False):
      colors = (_BLACK, _WHITE) if uniform < 0.5 else (_WHITE, _BLACK)
      yield _single(False, digit, labels, *colors)
    for digit, uniform in zip(order_b[:count], uniforms_b, strict=False):
      fixed = training and labels[digit] > _LARGEST_VARIED
      yield _single(True, digit, labels, *_PAIRS[0 if fixed else int(uniform * 6)])
    return
  for picture in range(size):
    digits, cells = _place(random, labels, _CANDIDATES['a'])
    if picture < count:
      foreground, background = (
          (_BLACK, _WHITE) if uniforms_a[picture] < 0.5 else (_WHITE, _BLACK))
      yield _multiple(False, digits, cells, labels, (foreground,), background)
  for picture in range(count):
    digits, cells = _place(random, labels, _CANDIDATES['b'])
    background = _WHITE if uniforms_b[picture] < 0.5 else _BLACK
    colors = _draw_colors(random, labels[digits], background)
    yield _multiple(True, digits, cells, labels, colors, background)


def _single(colored, digit, labels, foreground, background):
  return Recipe(colored, (int(digit),), (int(labels[digit]),), (foreground,), background)


def _place(random, labels, candidates):
  """Draws one digit of each label found among the candidates, and the cells; returns both."""
  numbers = (random.rand(candidates) * len(labels)).astype(int)
  _, first = np.unique(labels[numbers], return_index=True)  # by ascending label
  return random.permutation(numbers[first]), random.permutation(_CELLS['multiple'] ** 2)


def _multiple(colored, digits, cells, labels, colors, background):
  placed = np.full((2, len(cells)), -1)
  placed[:, cells[:len(digits)]] = digits, labels[digits]
  return Recipe(colored, *map(tuple, placed.tolist()), colors, background)


def _draw_colors(random, labels, background):
  """Draws the colour of each label, in the order of placing.

  The authors save these pictures with SciPy's `toimage`, which stretches the levels of each so that
  its least is 0 and its greatest 255: beside black the colours are brighter, beside white darker
  and more saturated than drawn.
  """
  colors = np.array([_rgb(label, 1, 1) for label in range(10)])
  for label in labels:
    colors[label] = _rgb(label, *(random.uniform(1 - _JITTER, 1 + _JITTER) for _ in range(2)))
  levels = np.concatenate([colors[labels], [background]])
  low, high = levels.min(), levels.max()
  stretched = (colors - low) * (255 / (high - low))
  # A label that no candidate had may lie outside.
  return tuple(map(tuple, (stretched.clip(0, 255) + 0.5).astype(int).tolist()))


def _rgb(label, saturation, value):
  return [round(255 * level) for level in colorsys.hsv_to_rgb(label / 10, 0.5 * saturation,
                                                              0.5 * value)]


def foreground(recipe: Recipe, pictures: np.ndarray) -> np.ndarray:
  """Returns where a recipe's digits are, bool [H, W], from the grey digits uint8 [N, 28, 28]."""
  digits = np.array(recipe.digits)
  binary = (pictures[digits] > 127.5) & (digits >= 0)[:, None, None]
  cells = round(len(digits) ** 0.5)
  rows = binary.reshape(cells, cells, SIDE, SIDE).swapaxes(1, 2)
  return rows.reshape(cells * SIDE, cells * SIDE)


def foreground_in(recipe: Recipe, image: np.ndarray) -> np.ndarray:
  """Returns the same from the picture, in which no digit has the background's colour."""
  return (image != np.array(recipe.background, np.uint8)).any(axis=-1)


def paint(recipe: Recipe, where: np.ndarray, like: Recipe) -> np.ndarray:
  """Returns a recipe's digits in the colours of another, uint8 [H, W, 3].

  Args:
    recipe: tells which label lies where.
    where: its foreground, bool [H, W].
    like: its colours and background are taken; `recipe` itself for the picture as it is.
  """
  colors = np.empty((11, 3), np.uint8)
  colors[0], colors[1:] = like.background, like.colors
  cells = round(len(recipe.labels) ** 0.5)
  numbers = np.array(recipe.labels).reshape(cells, cells) + 1
  return colors.take(numbers.repeat(SIDE, 0).repeat(SIDE, 1) * where, axis=0)


def attribute_names(kind: str) -> tuple[str, ...]:
  """Names of what `attributes` returns."""
  if kind == 'single':
    return ('Colored', *(f'Digit_{label}' for label in range(10)),
            *(f'{part}_{color}' for part in ('Foreground', 'Background') for color in _COLORS))
  return ('Colored', 'Background_white',
          *(f'Digit_{label}_{half}' for label in range(10) for half in ('top', 'left')))


def attributes(kind: str, recipe: Recipe) -> np.ndarray:
  """Returns bool [K]: of a single digit its label and colours, of several where each lies."""
  values: Sequence[bool]
  if kind == 'single':
    values = [recipe.colored, *(label == recipe.labels[0] for label in range(10)),
              *(color == used for used in (recipe.colors[0], recipe.background)
                for color in _COLORS.values())]
  else:
    side, half = _CELLS[kind], _CELLS[kind] // 2
    cells = [recipe.labels.index(label) if label in recipe.labels else side ** 2
             for label in range(10)]
    values = [recipe.colored, recipe.background == _WHITE]
    for cell in cells:  # a digit that is missing is in neither half
      values += [cell // side < half, cell < side ** 2 and cell % side < half]
  return np.array(values, bool)
