"""Points of faces: tables of them, and where they lie in the pictures that a model is trained with.

A point is (x, y) in pixels from the left and the upper edge of a picture. A face has two, its eyes,
or five: left eye, right eye, nose, left and right corner of the mouth, as a viewer sees them.
"""

from collections.abc import Mapping, Sequence
import csv
import dataclasses
import os
import pathlib
import re

import ml_collections
import numpy as np

from maskgan_jax import errors
from maskgan_jax.data.sources import table

NAMES = ('left_eye', 'right_eye', 'nose', 'left_mouth', 'right_mouth')
COLUMNS = tuple(f'{name}_{axis}' for name in NAMES for axis in 'xy')
_COUNTS = (2, 5)  # of points: the eyes, or all of NAMES
_LEAST_DISTANCE = 2.0  # pixels between the eyes
_MOST_MISFIT = (
  0.4  # of the distance between the eyes, by which five points may miss a face
)
_NUMBER = r'-?\d+(?:\.\d+)?'
_FORM = re.compile(rf'(\d+)x(\d+):((?: {_NUMBER},{_NUMBER})+)')


@dataclasses.dataclass(frozen=True)
class Template:
  """Where the points of every face lie in a set of pictures that are aligned.

  Attributes:
    size: height and width of those pictures, pixels.
    points: float [2 or 5, 2], x and y.
  """

  size: tuple[int, int]
  points: np.ndarray

  @classmethod
  def parse(cls, text: str) -> 'Template':
    """Returns the template of 'WIDTHxHEIGHT: x,y x,y ...' or of a name; UserError for others."""
    text = _TEXTS.get(text, text)
    form = _FORM.fullmatch(text)
    points = np.zeros(0)
    if form:
      width, height, pairs = form.groups()
      points = np.array([pair.split(',') for pair in pairs.split()], float)
    is_face = len(points) in _COUNTS and (points[0] != points[1]).any()
    if not is_face or not int(width) or not int(height):
      raise errors.UserError(
        f'config.data.template={text!r} is not {", ".join(_TEXTS)} or a text such as '
        f'{_TEXTS["celeba"]!r}: width x height, then the two eyes or five points'
      )
    return cls((int(height), int(width)), points)

  def text(self) -> str:
    """Returns what `parse` reads."""
    height, width = self.size
    pairs = ' '.join(f'{x:.1f},{y:.1f}' for x, y in self.points)
    return f'{width}x{height}: {pairs}'


# CelebA: the means of the authors' list_landmarks_align_celeba.txt. Avatars: the pupils of the
# plain eyes; the drawing has any size.
_TEXTS = {
  'avatars': '1000x1000: 352.3,511.4 647.7,511.4',
  'celeba': '178x218: 69,111 108,111 88,136 72,152 105,152',
}


def template_of(config: ml_collections.ConfigDict) -> Template | None:
  """Returns the template of a config's training pictures; None if no template is known."""
  data = config.data
  if data.template:
    return Template.parse(data.template)
  if data.source == 'tfds' and data.name.startswith('celeb_a'):
    return Template.parse('celeba')
  if 'placement' in data.difficulty:  # eyes lie elsewhere in each picture
    return None
  return Template.parse(data.source) if data.source in _TEXTS else None


def check(points: Sequence, size: tuple[int, int], name: str) -> np.ndarray:
  """Returns the points of a face as float [2 or 5, 2].

  Args:
    points: x and y of each.
    size: height and width of the picture.
    name: what messages call the picture.
  Raises:
    UserError: they are not 2 or 5, lie outside of the picture, or the eyes coincide or are
      exchanged.
  """
  height, width = size
  try:
    array = np.array(points, float)
  except (TypeError, ValueError):
    array = np.zeros(0)
  if array.ndim != 2 or array.shape[1] != 2 or len(array) not in _COUNTS:
    raise errors.UserError(
      f'points of {name} are {points}; a face has two, (x, y) of its eyes, or five'
    )
  for label, (x, y) in zip(NAMES, array, strict=False):
    if not (0 <= x <= width and 0 <= y <= height):
      raise errors.UserError(
        f'{label} ({x:g}, {y:g}) lies outside of {name}, which is {height} high and '
        f'{width} wide; points are x and y in pixels'
      )
  if np.hypot(*(array[1] - array[0])) < _LEAST_DISTANCE:
    raise errors.UserError(f'the eyes of a face in {name} coincide: {_pair(array[0])}')
  if array[1][0] < array[0][0]:
    raise errors.UserError(
      f'the left eye {_pair(array[0])} of a face in {name} lies to the right of its right eye '
      f'{_pair(array[1])}; left and right are as in the picture, and a face that stands on its '
      'head has to be turned first'
    )
  return array


def similarity(
  points: np.ndarray, template: Template, name: str
) -> tuple[complex, complex]:
  """Returns (a, b) so that a z + b takes the template's points, z = x + iy, to a face's.

  a holds the scale and the turn, b the shift; least squares (Umeyama, TPAMI 1991, in the plane).

  Raises:
    UserError: five points do not lie as those of a face.
  """
  count = min(len(points), len(template.points))
  face = points[:count] @ (1, 1j)
  usual = template.points[:count] @ (1, 1j)
  spread = usual - usual.mean()
  a = (spread.conj() @ face) / (abs(spread) ** 2).sum()
  b = face.mean() - a * usual.mean()
  misfit = np.abs(a * usual + b - face).max() / abs(a * (usual[1] - usual[0]))
  if misfit > _MOST_MISFIT:
    raise errors.UserError(
      f'the points of a face in {name} do not lie as those of a face; their order is '
      f'{", ".join(NAMES)}, left and right as in the picture'
    )
  return complex(a), complex(b)


def _pair(point: np.ndarray) -> str:
  return f'({point[0]:g}, {point[1]:g})'


class Faces:
  """A table of faces: rows of a file name and its points; several rows are several faces."""

  def __init__(self, rows: Mapping[str, list[list[tuple[float, float]]]], path: str):
    """Takes the points of each face by file name, and the table's path for messages."""
    self._rows = dict(rows)
    self.path = path

  @classmethod
  def read(cls, path: str) -> 'Faces':
    """Reads a table: .csv with a header, or CelebA's list_landmarks_*.txt.

    The first column is a file name. The others are `COLUMNS`, or only the eyes' four; CelebA's
    lefteye_x is left_eye_x. Further columns are ignored.

    Raises:
      UserError: the table cannot be read, lacks a column, or a cell is not a number.
    """
    header, rows = _cells(path)
    names = [name.strip().lower().replace('eye_', '_eye_') for name in header]
    names = [re.sub('__+', '_', name.replace('mouth_', '_mouth_')) for name in names]
    columns = [name for name in COLUMNS if name in names]
    if columns not in (list(COLUMNS), list(COLUMNS[:4])):
      raise errors.UserError(
        f'{path} has the columns {", ".join(header)}; it needs a file name and then '
        f'{", ".join(COLUMNS[:4])}, or also {", ".join(COLUMNS[4:])}'
      )
    places = [names.index(name) for name in columns]
    faces = {}
    for number, cells in rows:
      faces.setdefault(cells[0], []).append(
        _points(cells, places, f'{path} line {number}')
      )
    return cls(faces, path)

  def of(self, path: str) -> list[list[tuple[float, float]]]:
    """Returns the points of each face of a picture; [] if the table does not name it.

    A row may name the file alone, or also folders above it; the longest name that fits counts.
    """
    parts = pathlib.PurePath(os.path.abspath(path)).parts
    for start in range(len(parts)):
      name = '/'.join(parts[start:]).replace('//', '/')
      if name in self._rows:
        return self._rows[name]
    return []

  def named(self, path: str) -> list[list[tuple[float, float]]]:
    """Returns what `of` does; UserError if the table does not name the picture."""
    faces = self.of(path)
    if not faces:
      nearest = errors.nearest(os.path.basename(path), self._rows)
      raise errors.UserError(f'{self.path} has no row for {path}{nearest}')
    return faces


def _cells(path: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
  """Returns the header, and the cells of each other row with the number of its line."""
  lines = table.read_text(path).splitlines()
  if lines and lines[0].strip().isdecimal():
    # CelebA's list: a count, the names of the points, then rows with spaces.
    header = ['file', *(lines[1].split() if len(lines) > 1 else [])]
    rows = [line.split() for line in lines[2:]]
    first = 3
  else:
    header, *rows = list(csv.reader(lines)) or [[]]
    first = 2
  numbered = []
  for number, cells in enumerate(rows, first):
    if cells and len(cells) != len(header):
      raise errors.UserError(
        f'{path} line {number}: {len(cells)} cells, but the header has {len(header)}'
      )
    if cells:
      numbered.append((number, [cell.strip() for cell in cells]))
  return header, numbered


def _points(
  cells: Sequence[str], places: Sequence[int], line: str
) -> list[tuple[float, float]]:
  """Returns the points of a row."""
  numbers = []
  for place in places:
    try:
      numbers.append(float(cells[place]))
    except ValueError as error:
      raise errors.UserError(f'{line}: {cells[place]!r} is not a number') from error
  return list(zip(numbers[::2], numbers[1::2], strict=True))
