"""Pictures for people: grids whose rows and columns have names, masks laid over images."""

from collections.abc import Sequence
import functools
import io
import os
import re
from typing import Any
import unicodedata

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from maskgan_jax import files

_CELL = 112  # pixels that a cell is enlarged to, about
_GAP = 6
_MARGIN = 12
_NAMES = 120  # pixels at most for the names of rows
_TEXT, _TITLE = 13, 16  # sizes of letters
_INK, _FRAME = (34, 34, 34), (214, 214, 214)


def to_uint8(image: Any) -> np.ndarray:
  """Returns uint8 [H, W, 3] for what a run draws.

  Args:
    image: uint8 [H, W, 3]; float [H, W, 3] in [-1, 1]; or a mask [H, W, 1] or [H, W], float in
      [0, 1], bool or uint8, which becomes grey. What is not finite becomes black.
  """
  image = np.asarray(image)
  if image.ndim == 2:
    image = image[..., None]
  if image.ndim != 3 or image.shape[-1] not in (1, 3):
    raise ValueError(f'an image is [H, W, 3], [H, W, 1] or [H, W], not {list(image.shape)}')
  if image.dtype != np.uint8:
    image = image.astype(np.float32)
    image = 255 * image if image.shape[-1] == 1 else 127.5 * (image + 1)
    image = np.rint(np.clip(np.nan_to_num(image), 0, 255)).astype(np.uint8)
  return np.repeat(image, 3, -1) if image.shape[-1] == 1 else image


def grid(rows: Sequence[Sequence[Any]], *, column_names: Sequence[str],
         row_names: Sequence[str] | None = None, title: str = '',
         scale: int | None = None) -> np.ndarray:
  """Returns a uint8 [H, W, 3] picture of images in rows and columns, with their names.

  Letters that its font lacks, all but those of English, are written as these or as \\u and their
  number; see also `labels`.

  Args:
    rows: images as `to_uint8` takes them, or None for an empty cell. A smaller one, such as a mask
      of a lower resolution, is enlarged to the largest, which must be a multiple of it.
    column_names: a heading for each column.
    row_names: a name for each row, on its left.
    title: a line above everything.
    scale: by how much pixels are enlarged; None makes cells of about 112 pixels.
  """
  rows = [[None if image is None else to_uint8(image) for image in row] for row in rows]
  if any(len(row) != len(column_names) for row in rows):
    raise ValueError(f'{len(column_names)} column names for rows of {[len(r) for r in rows]}')
  if row_names is not None and len(row_names) != len(rows):
    raise ValueError(f'{len(row_names)} row names for {len(rows)} rows')
  shapes = [image.shape for row in rows for image in row if image is not None]
  if not shapes:
    raise ValueError('a grid needs an image')
  height, width = max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
  scale = scale or max(1, round(_CELL / height))
  cell = height * scale, width * scale

  text, large = (ImageFont.load_default(size) for size in (_TEXT, _TITLE))
  column_names, title = [_writable(name) for name in column_names], _writable(title)
  row_names = [_writable(name) for name in row_names or [''] * len(rows)]
  headings = [_wrap(name, text, cell[1]) for name in column_names]
  names = [_wrap(name, text, _NAMES) for name in row_names]
  left = _MARGIN + max(_size(name, text)[0] for name in names)
  left += _GAP if left > _MARGIN else 0
  body = left + len(column_names) * (cell[1] + _GAP) - _GAP + _MARGIN
  title = _wrap(title, large, body - 2 * _MARGIN)
  heading_top = _MARGIN + (_size(title, large)[1] + _GAP if title else 0)
  top = heading_top + max(_size(heading, text)[1] for heading in headings)
  top += _GAP if top > heading_top else 0
  canvas = Image.new('RGB', (body, top + len(rows) * (cell[0] + _GAP) - _GAP + _MARGIN), 'white')
  draw = ImageDraw.Draw(canvas)
  draw.multiline_text((_MARGIN, _MARGIN), title, _INK, large, 'la', 4)
  for j, heading in enumerate(headings):
    x = left + j * (cell[1] + _GAP) + cell[1] / 2
    draw.multiline_text((x, top - _GAP), heading, _INK, text, 'md', 4, 'center')
  for i, (row, name) in enumerate(zip(rows, names, strict=True)):
    y = top + i * (cell[0] + _GAP)
    draw.multiline_text((left - _GAP, y + cell[0] / 2), name, _INK, text, 'rm', 4, 'right')
    for j, image in enumerate(row):
      if image is not None:
        x = left + j * (cell[1] + _GAP)
        draw.rectangle((x - 1, y - 1, x + cell[1], y + cell[0]), outline=_FRAME)
        canvas.paste(Image.fromarray(_enlarge(image, cell)), (x, y))
  return np.asarray(canvas)


def labels(names: Sequence[str], kind: str) -> tuple[list[str], str]:
  """Returns what a grid calls its rows or columns, and a line that says which that is, or ''.

  Args:
    names: of the rows or columns; those with letters that the font lacks become numbers.
    kind: 'row' or 'column'.
  """
  written = [name if all(map(_has_glyph, name)) else f'{kind} {number}'
             for number, name in enumerate(names, 1)]
  meant = [f'{label} is {name}' for label, name in zip(written, names, strict=True)
           if label != name]
  return written, f'in the grid {", ".join(meant)}' if meant else ''


@functools.cache
def _has_glyph(letter):
  font = ImageFont.load_default(_TEXT)
  absent, drawn = (font.getmask(code) for code in ('\uffff', letter))
  return drawn.size != absent.size or bytes(drawn) != bytes(absent)


def _writable(text):
  """Returns `text` without letters that would be empty boxes: é becomes e, and 照 \\u7167."""
  plain = ''.join(letter if letter == '\n' or _has_glyph(letter) else
                  unicodedata.normalize('NFKD', letter) for letter in text)
  return ''.join(letter if letter == '\n' or _has_glyph(letter) else
                 letter.encode('ascii', 'backslashreplace').decode()
                 for letter in plain if not unicodedata.combining(letter))


def transfer_grid(sources: Sequence[Any], exemplars: Sequence[Any],
                  results: Sequence[Sequence[Any]], *, title: str = '',
                  scale: int | None = None) -> np.ndarray:
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
  rows = [[None, *sources]] + [[e, *row] for e, row in zip(exemplars, results, strict=True)]
  return grid(rows, column_names=['', *(f'source {j + 1}' for j in range(len(sources)))],
              row_names=['', *(f'exemplar {i + 1}' for i in range(len(exemplars)))],
              title=title, scale=scale)


def overlay(image: Any, mask: Any, colour: Sequence[int] = (255, 32, 96),
            strength: float = 0.6) -> np.ndarray:
  """Returns the image, uint8 [H, W, 3], tinted with `colour` as much as the mask says."""
  image = to_uint8(image).astype(np.float32)
  mask = np.asarray(mask)
  mask = mask.astype(np.float32) / (255 if mask.dtype == np.uint8 else 1)
  weight = strength * np.clip(np.nan_to_num(mask.reshape(*mask.shape[:2], 1)), 0, 1)
  if weight.shape[:2] != image.shape[:2]:
    raise ValueError(f'a mask {list(mask.shape)} does not fit an image {list(image.shape)}')
  return np.rint(image + weight * (np.asarray(colour, np.float32) - image)).astype(np.uint8)


def save(path: str | os.PathLike, image: Any, *, description: str = '') -> None:
  """Writes an image as `to_uint8` takes it to a PNG file, whole or not at all.

  Args:
    path: file; its folder is created if absent.
    image: what to write.
    description: kept in the file; reports show it as the caption.
  """
  data = io.BytesIO()
  notes = PngImagePlugin.PngInfo()
  if description:
    notes.add_itxt('Description', description)
  Image.fromarray(to_uint8(image)).save(data, 'PNG', pnginfo=notes)
  files.write_atomically(path, data.getvalue())


def _enlarge(image: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
  """Repeats pixels, so that they stay visible as pixels."""
  height, width = image.shape[:2]
  if cell[0] % height or cell[1] % width:
    raise ValueError(f'an image {height}x{width} does not divide a cell {cell[0]}x{cell[1]}')
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
  lines = ['']
  for piece in re.findall(r'[^\s_-]*[\s_-]?', text):
    if lines[-1] and font.getlength((lines[-1] + piece).rstrip()) > width:
      lines.append('')
    for letter in piece:
      if lines[-1] and font.getlength((lines[-1] + letter).rstrip()) > width:
        lines.append('')
      lines[-1] += letter
  return '\n'.join(line.strip() for line in lines)
