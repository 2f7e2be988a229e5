"""Pictures for people: grids whose rows and columns have names, masks laid over images."""

from collections.abc import Sequence
import functools
import itertools
import re
from typing import Any
import unicodedata

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from maskgan_jax.data import images

_CELL = 112  # pixels that a cell is enlarged to, about
_GAP = 6
_MARGIN = 12
_NAMES = 120  # pixels at most for the names of rows
_TEXT, _TITLE = 13, 16  # sizes of letters
_INK, _FRAME = (34, 34, 34), (214, 214, 214)


def to_uint8(image: Any, *, broken_as_black: bool = False) -> np.ndarray:
  """Returns a picture or mask as uint8 [H, W, 3], as `images.to_uint8` converts it.

  A mask, [H, W, 1] or [H, W], becomes grey.
  """
  image = np.asarray(image)
  if image.ndim == 2:
    image = image[..., None]
  if image.ndim != 3 or image.shape[-1] not in (1, 3):
    raise ValueError(
      f'an image is [H, W, 3], [H, W, 1] or [H, W], not {list(image.shape)}'
    )

  # Masks get three channels, so that a grid can hold them.
  image = images.to_uint8(image, broken_as_black=broken_as_black)
  return np.repeat(image, 3, -1) if image.shape[-1] == 1 else image


def grid(
  rows: Sequence[Sequence[Any]],
  *,
  column_names: Sequence[str],
  row_names: Sequence[str] | None = None,
  title: str = '',
  scale: int | None = None,
  broken_as_black: bool = False,
) -> np.ndarray:
  """Returns a uint8 [H, W, 3] picture of images in rows and columns, with their names.

  The font has the letters of English only. Others are written without their accents, or as \\u and
  a number; see also `labels`.

  Args:
    rows: images as `to_uint8` takes them, or None for an empty cell. A smaller one, such as a mask
      of a lower resolution, is enlarged to the largest, which must be a multiple of it.
    column_names: a heading for each column.
    row_names: a name for each row, on its left.
    title: a line above everything.
    scale: by how much pixels are enlarged; None makes cells of about 112 pixels.
    broken_as_black: as in `images.to_uint8`; a translation of a user's must stay an error.
  """
  cells = []
  for row in rows:
    cells.append([])
    for image in row:
      if image is not None:
        image = to_uint8(image, broken_as_black=broken_as_black)
      cells[-1].append(image)

  # Every row has a name, and every image a heading.
  if row_names is None:
    row_names = [''] * len(rows)
  _check_counts(cells, column_names, row_names)
  sheet = _Sheet(_cell_shape(cells, scale), column_names, row_names, title)
  return sheet.drawn(cells)


def _check_counts(
  rows: Sequence[Sequence[Any]], column_names: Sequence[str], row_names: Sequence[str]
) -> None:
  """Raises ValueError unless there is a name for each column and row."""
  widths = [len(row) for row in rows]
  if set(widths) - {len(column_names)}:
    raise ValueError(f'{len(column_names)} column names for rows of {widths}')
  if len(row_names) != len(rows):
    raise ValueError(f'{len(row_names)} row names for {len(rows)} rows')


def _cell_shape(
  cells: Sequence[Sequence[np.ndarray | None]], scale: int | None
) -> tuple[int, int]:
  """Returns height and width that each image is enlarged to, pixels."""
  # All cells have the size of the largest image.
  images_of_all_rows = itertools.chain.from_iterable(cells)
  shapes = [image.shape for image in images_of_all_rows if image is not None]
  if not shapes:
    raise ValueError('a grid needs an image')
  height = max(shape[0] for shape in shapes)
  width = max(shape[1] for shape in shapes)
  scale = scale or max(1, round(_CELL / height))
  return height * scale, width * scale


class _Sheet:
  """Measures a grid's title, headings and names, and draws them around its images."""

  def __init__(
    self,
    cell: tuple[int, int],
    column_names: Sequence[str],
    row_names: Sequence[str],
    title: str,
  ):
    self._cell = cell
    self._text, self._large = (ImageFont.load_default(size) for size in (_TEXT, _TITLE))
    self._headings = [
      _wrap(_writable(name), self._text, cell[1]) for name in column_names
    ]
    self._names = [_wrap(_writable(name), self._text, _NAMES) for name in row_names]

    # Names of rows stand on the left of the images, if there are any.
    self._left = _MARGIN + max(_size(name, self._text)[0] for name in self._names)
    if self._left > _MARGIN:
      self._left += _GAP
    self._width = self._left + len(column_names) * (cell[1] + _GAP) - _GAP + _MARGIN

    # The title and the headings stand above.
    self._title = _wrap(_writable(title), self._large, self._width - 2 * _MARGIN)
    heading_top = _MARGIN
    if self._title:
      heading_top += _size(self._title, self._large)[1] + _GAP
    self._top = heading_top + max(
      _size(heading, self._text)[1] for heading in self._headings
    )
    if self._top > heading_top:
      self._top += _GAP
    self._height = self._top + len(row_names) * (cell[0] + _GAP) - _GAP + _MARGIN

  def drawn(self, cells: Sequence[Sequence[np.ndarray | None]]) -> np.ndarray:
    """Returns the picture, uint8 [H, W, 3]."""
    canvas = Image.new('RGB', (self._width, self._height), 'white')
    draw = ImageDraw.Draw(canvas)
    draw.multiline_text((_MARGIN, _MARGIN), self._title, _INK, self._large, 'la', 4)

    # A heading above each column.
    high, wide = self._cell
    for column, heading in enumerate(self._headings):
      middle = self._left + column * (wide + _GAP) + wide / 2
      draw.multiline_text(
        (middle, self._top - _GAP), heading, _INK, self._text, 'md', 4, 'center'
      )

    # A name on the left of each row, and its images in frames.
    for row, (name, images_of_row) in enumerate(zip(self._names, cells, strict=True)):
      y = self._top + row * (high + _GAP)
      draw.multiline_text(
        (self._left - _GAP, y + high / 2), name, _INK, self._text, 'rm', 4, 'right'
      )
      for column, image in enumerate(images_of_row):
        if image is None:
          continue
        x = self._left + column * (wide + _GAP)
        draw.rectangle((x - 1, y - 1, x + wide, y + high), outline=_FRAME)
        canvas.paste(Image.fromarray(_enlarge(image, self._cell)), (x, y))
    return np.asarray(canvas)


def labels(names: Sequence[str], kind: str) -> tuple[list[str], str]:
  """Returns the names that a grid can write, and a line that explains replaced ones, or ''.

  Args:
    names: of the rows or columns; those with letters that the font lacks become numbers.
    kind: 'row' or 'column'.
  """
  written, explained = [], []
  for number, name in enumerate(names, 1):
    if all(map(_has_glyph, name)):
      written.append(name)
    else:
      written.append(f'{kind} {number}')
      explained.append(f'{kind} {number} is {name}')
  legend = f'in the grid {", ".join(explained)}' if explained else ''
  return written, legend


@functools.cache
def _has_glyph(letter):
  font = ImageFont.load_default(_TEXT)
  absent, drawn = (font.getmask(code) for code in ('\uffff', letter))
  return drawn.size != absent.size or bytes(drawn) != bytes(absent)


def _writable(text: str) -> str:
  """Returns `text` without letters that would be empty boxes: é becomes e, and 照 \\u7167."""
  # An accented letter becomes the letter and its accent, which is then left out.
  plain = ''
  for letter in text:
    if letter != '\n' and not _has_glyph(letter):
      letter = unicodedata.normalize('NFKD', letter)
    plain += letter
  written = ''
  for letter in plain:
    if unicodedata.combining(letter):
      continue
    if letter != '\n' and not _has_glyph(letter):
      letter = letter.encode('ascii', 'backslashreplace').decode()
    written += letter
  return written


def transfer_grid(
  sources: Sequence[Any],
  exemplars: Sequence[Any],
  results: Sequence[Sequence[Any]],
  *,
  title: str = '',
  scale: int | None = None,
) -> np.ndarray:
  """Returns a grid with the sources on top and the exemplars on the left.

  Args:
    sources: images, one for each column.
    exemplars: images, one for each row.
    results: `results[i][j]` is `sources[j]` translated with `exemplars[i]`.
    title: as in `grid`.
    scale: as in `grid`.
  """
  if len(results) != len(exemplars):
    raise ValueError(f'{len(results)} rows of results for {len(exemplars)} exemplars')
  rows = [[None, *sources]]
  for exemplar, row in zip(exemplars, results, strict=True):
    rows.append([exemplar, *row])
  return grid(
    rows,
    column_names=['', *numbered('source', len(sources))],
    row_names=['', *numbered('exemplar', len(exemplars))],
    title=title,
    scale=scale,
  )


def numbered(name: str, count: int) -> list[str]:
  """Returns 'NAME 1', 'NAME 2', ..."""
  return [f'{name} {number}' for number in range(1, count + 1)]


def overlay(
  image: Any, mask: Any, colour: Sequence[int] = (255, 32, 96), strength: float = 0.6
) -> np.ndarray:
  """Returns the image, uint8 [H, W, 3], tinted with `colour` as much as the mask says."""
  # Masks are uint8 in [0, 255], or float in [0, 1].
  image = to_uint8(image).astype(np.float32)
  mask = np.asarray(mask)
  most = 255 if mask.dtype == np.uint8 else 1
  mask = mask.astype(np.float32) / most

  # The weight is [H, W, 1], so that it applies to all channels.
  weight = np.nan_to_num(mask.reshape(*mask.shape[:2], 1))
  weight = strength * np.clip(weight, 0, 1)
  if weight.shape[:2] != image.shape[:2]:
    raise ValueError(
      f'a mask {list(mask.shape)} does not fit an image {list(image.shape)}'
    )
  return np.rint(image + weight * (np.asarray(colour, np.float32) - image)).astype(
    np.uint8
  )


def _enlarge(image: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
  """Repeats pixels, so that they stay visible as pixels."""
  height, width = image.shape[:2]
  if cell[0] % height or cell[1] % width:
    raise ValueError(
      f'an image {height}x{width} does not divide a cell {cell[0]}x{cell[1]}'
    )
  return image.repeat(cell[0] // height, 0).repeat(cell[1] // width, 1)


def _size(text: str, font) -> tuple[int, int]:
  """Returns width and height; empty text has none."""
  if not text:
    return 0, 0
  probe = ImageDraw.Draw(Image.new('RGB', (1, 1)))
  box = probe.multiline_textbbox((0, 0), text, font, 'la', 4)
  return round(box[2]), round(box[3])


def _wrap(text: str, font, width: int) -> str:
  """Breaks lines after spaces, underscores and hyphens, and within words that are too long."""
  # A piece ends with the separator after which its line may break.
  lines = ['']
  for piece in re.findall(r'[^\s_-]*[\s_-]?', text):
    if lines[-1] and font.getlength((lines[-1] + piece).rstrip()) > width:
      lines.append('')
    for letter in piece:
      if lines[-1] and font.getlength((lines[-1] + letter).rstrip()) > width:
        lines.append('')
      lines[-1] += letter
  return '\n'.join(line.strip() for line in lines)
