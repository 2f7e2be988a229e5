"""A table of attributes: CSV with a file name first and then 0/1, -1/1 or true/false columns.

EmotioNet's table becomes one such: put the names of the downloaded files in place of the
addresses in its first column, remove the second, leave of 'AU 1' ... 'AU 60' those that are to be
labels (LOMIT: 1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43), and then the rows with a 999, which means
"not annotated".

  file,AU1,AU2,AU4,AU5,AU6,AU9,AU12,AU17,AU20,AU25,AU26,AU43
  N_0000000001_00001.jpg,0,0,1,0,0,0,1,0,0,1,0,0
"""

from collections.abc import Iterator, Sequence
import csv
import dataclasses
import os

import ml_collections
import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import images, predicates
from maskgan_jax.data.records import Listing
from maskgan_jax.data.sources import files as file_records

# What a cell means: 1, 0, -1 ("no" beside 1 alone, as in CelebA), or _UNKNOWN.
_UNKNOWN = 2
_VALUES = {
  **dict.fromkeys(('1', '1.0', 'true', 'yes'), 1),
  **dict.fromkeys(('0', '0.0', 'false', 'no'), 0),
  **dict.fromkeys(('-1', '-1.0'), -1),
  **dict.fromkeys(('', '999', '999.0', 'nan'), _UNKNOWN),
}
_SPLIT_COLUMNS = frozenset({'split', 'partition'})
_SPLIT_VALUES = {  # index into SPLITS
  **dict.fromkeys(('0', 'train', 'training'), 0),
  **dict.fromkeys(('1', 'val', 'valid', 'validation'), 1),
  **dict.fromkeys(('2', 'test', 'testing'), 2),
}


@dataclasses.dataclass(frozen=True)
class Table:
  """File names, attribute columns as bool [N, K], and splits as int8 [N] (-1: not said).

  `masks` has the file names of masks by those of their pictures, of the pictures that have one.
  """

  names: list[str]
  attribute_names: tuple[str, ...]
  attributes: np.ndarray
  splits: np.ndarray
  masks: dict[str, str] = dataclasses.field(default_factory=dict)


def open_csv(config_data: ml_collections.ConfigDict) -> Listing:
  """Opens `attributes_file` and the pictures it names under `path`; UserError if one is absent."""
  if not config_data.attributes_file:
    raise errors.UserError(
      "config.data.attributes_file is empty; source='csv' needs a table with "
      'a file name first and then one column an attribute'
    )
  table_path = os.path.expanduser(config_data.attributes_file)
  table = read_csv(table_path, mask_column=config_data.mask_column)
  if not table.names:
    raise errors.UserError(f'{config_data.attributes_file} has a header but no rows')

  # File names start from the table's folder unless the config names another.
  path = config_data.path or os.path.dirname(table_path) or '.'
  path = file_records.check_folder(path, 'config.data.path')

  _check_present(table.names, path, config_data.attributes_file)
  records = file_records.FileRecords(
    path,
    table.names,
    table.attribute_names,
    table.attributes,
    masks_path=config_data.masks_path,
    mask_files=_mask_files(table, config_data, path),
    labels_path=config_data.labels_path,
    max_pixels=config_data.max_pixels,
  )
  return Listing(records, table.splits)


def _check_present(names: Sequence[str], folder: str, table_path: str) -> None:
  """Raises UserError for pictures that are not there; one would stop training later."""
  absent = []
  for name in names:
    if not os.path.isfile(os.path.join(folder, name)):
      absent.append(name)
  if not absent:
    return
  present = predicates.shortlist(file_records.list_images(folder), 3)
  remedy = 'Name the folder that the file names start from in config.data.path'
  if '://' in absent[0]:
    remedy = 'Put file names in place of the addresses'
  raise errors.UserError(
    f'{len(absent)} of the {len(names)} pictures in {table_path} are not in {folder!r}, '
    f'first {absent[0]!r}; there are: {present}. {remedy}, or remove the rows'
  )


def _mask_files(
  table: Table, config_data: ml_collections.ConfigDict, path: str
) -> dict[str, str] | None:
  """Returns the paths of masks by picture; None without a column of them, UserError if absent."""
  if not config_data.mask_column:
    return None
  folder = path
  if config_data.masks_path:
    folder = file_records.check_folder(config_data.masks_path, 'config.data.masks_path')

  files = {name: os.path.join(folder, mask) for name, mask in table.masks.items()}
  absent = [name for name in files if not os.path.isfile(files[name])]
  if absent:
    raise errors.UserError(
      f'{len(absent)} of the {len(files)} masks in column {config_data.mask_column!r} of '
      f'{config_data.attributes_file} are not there, first {files[absent[0]]!r} of '
      f'{absent[0]!r}; name the folder that they start from in config.data.masks_path, or empty '
      'these cells'
    )
  return files


def read_text(path: str) -> str:
  """Returns a text file's contents; UserError if it is absent or not UTF-8."""
  try:
    with open(path, encoding='utf-8-sig', newline='') as file:
      return file.read()
  except FileNotFoundError as error:
    raise errors.UserError(
      f'{path} does not exist{images.nearest_path(path)}'
    ) from error
  except UnicodeDecodeError as error:
    raise errors.UserError(f'{path} is not UTF-8 text (byte {error.start})') from error
  except OSError as error:
    raise errors.UserError(f'{path} cannot be read: {error.strerror}') from error


def read_csv(path: str, *, mask_column: str = '') -> Table:
  """Reads a table whose columns are separated by comma, semicolon or tab.

  A column called 'split' or 'partition' holds train, validation, test, or CelebA's 0, 1, 2. A label
  that is not known (empty, nan, 999, or -1 in a column that also has 0) is an error: a network that
  learned it as a no would learn something wrong. `mask_column` names a column of file names of
  masks, in which a cell may be empty.

  Raises:
    UserError: names the line and column that cannot be used.
  """
  lines = read_text(path).splitlines()
  rows = _rows(path, lines)
  header = _read_header(path, lines, rows)
  split_column = _split_column(header)
  masks_in = _mask_column(path, header, mask_column)
  others = {0, split_column, masks_in}
  columns = [number for number in range(len(header)) if number not in others]

  # A line a picture; empty lines are skipped.
  line_of, values, splits, masks = {}, [], [], {}
  for line, row in rows:
    if not any(cell.strip() for cell in row):
      continue
    place = f'{path} line {line}'
    name = _read_name(row, len(header), place)
    if name in line_of:
      raise errors.UserError(f'{place}: {name!r} is already on line {line_of[name]}')
    line_of[name] = line
    values.append([_value(row[number], place, header[number]) for number in columns])
    split = -1
    if split_column is not None:
      split = _split(row[split_column], f'{place}, column {header[split_column]!r}')
    splits.append(split)
    if masks_in is not None and row[masks_in].strip():
      masks[name] = row[masks_in].strip()

  values = np.array(values, np.int8).reshape(len(values), len(columns))
  names = tuple(header[number] for number in columns)
  _check_known(path, values, names, list(line_of.values()))
  return Table(list(line_of), names, values == 1, np.array(splits, np.int8), masks)


def _read_name(row: Sequence[str], count: int, place: str) -> str:
  """Returns the file name of a row; UserError without one, or for other than `count` cells."""
  if len(row) != count:
    raise errors.UserError(f'{place}: {len(row)} columns, but the header has {count}')
  name = row[0].strip()
  if not name:
    raise errors.UserError(f'{place}: no file name')
  return name


def _read_header(
  path: str, lines: Sequence[str], rows: Iterator[tuple[int, list[str]]]
) -> list[str]:
  """Returns the names of the columns, from the first row; UserError for what is not a header."""
  if not lines or not lines[0].strip():
    raise errors.UserError(
      f'{path} line 1: expected a header, the file name first and then the attributes'
    )
  header = [column.strip(" \t'") for column in next(rows)[1]]
  if len(header) < 2:
    raise errors.UserError(
      f'{path} line 1: expected a header with two or more columns, found '
      f'{lines[0][:60]!r}'
    )

  # Every attribute needs a name of its own, and a row of values is not a header.
  for number, name in enumerate(header[1:], 1):
    if not name:
      raise errors.UserError(f'{path} line 1: column {number + 1} has no name')
    if name in header[1:number]:
      raise errors.UserError(f'{path} line 1: {name!r} is there twice')
  if all(cell.lower() in _VALUES for cell in header[1:]):
    raise errors.UserError(
      f'{path} line 1: the header is missing; it names the attributes, e.g. '
      'file,Eyeglasses,Smiling'
    )
  return header


def _split_column(header: Sequence[str]) -> int | None:
  """Returns the number of the column that says which split a picture belongs to."""
  for number, name in enumerate(header):
    if name.lower() in _SPLIT_COLUMNS:
      return number
  return None


def _mask_column(path: str, header: Sequence[str], column: str) -> int | None:
  """Returns the number of the column of masks, None if none is named; UserError if it is absent."""
  if not column:
    return None
  if column not in header[1:]:
    raise errors.UserError(
      f'config.data.mask_column={column!r} is not a column of {path}'
      f'{errors.nearest(column, header[1:])}; columns: {predicates.shortlist(header[1:])}'
    )
  return header.index(column, 1)


def _rows(path: str, lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
  """Yields (line number, cells); UserError for a quote that a line below the header leaves open."""
  separator = max(',;\t', key=lines[0].count)
  reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
  line = 1
  try:
    for row in reader:
      # A header may have names on several lines, unless they swallow the table.
      if reader.line_num > line and (line > 1 or reader.line_num == len(lines)):
        raise _open_quote(path, line)
      yield line, row
      line = reader.line_num + 1
  except (
    csv.Error
  ) as error:  # such as the open quote of a long table, which swallows too much
    if 'field limit' in str(error):
      raise _open_quote(path, line) from error
    raise errors.UserError(f'{path} line {line}: {error}') from error


def _open_quote(path: str, line: int) -> errors.UserError:
  return errors.UserError(
    f'{path} line {line}: a quote (") that this line opens is not closed in '
    'it; close or remove it'
  )


def _value(cell: str, place: str, column: str) -> int:
  """Returns what a cell means; UserError names the place and column of another text."""
  value = _VALUES.get(cell.strip().lower())
  if value is None:
    raise errors.UserError(
      f'{place}, column {column!r}: {cell!r} is not 0, 1, -1, true or false; '
      'remove a column that is not an attribute'
    )
  return value


def _check_known(
  path: str, values: np.ndarray, names: Sequence[str], lines: Sequence[int]
) -> None:
  """Raises one UserError for all labels that are not known: there may be thousands.

  Args:
    path: of the table.
    values: int8 [N, K], what the cells mean.
    names: of the K columns.
    lines: of the N rows.
  """
  # A value of -1 means no, as in CelebA's list, unless the column has zeros, too.
  has_zero = (values == 0).any(axis=0)
  unknown = (values == _UNKNOWN) | ((values == -1) & has_zero)
  if not unknown.any():
    return
  row, column = np.argwhere(unknown)[0]
  cell = (
    'empty, nan or 999'
    if values[row, column] == _UNKNOWN
    else '-1 in a column of 0 and 1'
  )

  # One message names the first such label, and counts the rows to remove.
  columns = [names[number] for number in np.flatnonzero(unknown.any(axis=0))]
  raise errors.UserError(
    f'{path} line {lines[row]}, column {names[column]!r}: {cell} is a label that is not known; '
    f'write 0 or 1, or remove the rows with such labels ({unknown.any(axis=1).sum()} of '
    f'{len(lines)}), or the columns with them: {predicates.shortlist(columns, 6)}'
  )


def _split(cell: str, place: str) -> int:
  """Returns the index into SPLITS that a cell names."""
  value = cell.strip().lower()
  if value not in _SPLIT_VALUES:
    raise errors.UserError(
      f'{place}: {cell!r} is not train, validation or test (or 0, 1, 2)'
      f'{errors.nearest(value, _SPLIT_VALUES)}'
    )
  return _SPLIT_VALUES[value]
