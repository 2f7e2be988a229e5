"""A table of attributes: CSV with a file name first and then 0/1, -1/1 or true/false columns."""

import csv
import dataclasses
import os

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import file_records, images, predicates, sources

_TRUE = frozenset({'1', '1.0', 'true', 'yes'})
_FALSE = frozenset({'0', '0.0', '-1', '-1.0', 'false', 'no'})
_SPLIT_COLUMNS = frozenset({'split', 'partition'})
_SPLIT_VALUES = {'0': 0, 'train': 0, 'training': 0, '1': 1, 'val': 1, 'valid': 1, 'validation': 1,
                 '2': 2, 'test': 2, 'testing': 2}


@dataclasses.dataclass(frozen=True)
class Table:
  """File names, attribute columns as bool [N, K], and splits as int8 [N] (-1: not said)."""
  names: list[str]
  attribute_names: tuple[str, ...]
  attributes: np.ndarray
  splits: np.ndarray


def open_csv(config_data) -> sources.Listing:
  """Opens `attributes_file` and the pictures it names under `path`; UserError if one is absent."""
  if not config_data.attributes_file:
    raise errors.UserError("config.data.attributes_file is empty; source='csv' needs a table with "
                           'a file name first and then one column an attribute')
  table = read_csv(os.path.expanduser(config_data.attributes_file))
  if not table.names:
    raise errors.UserError(f'{config_data.attributes_file} has a header but no rows')
  path = config_data.path or os.path.dirname(os.path.expanduser(config_data.attributes_file)) or '.'
  path = file_records.check_folder(path, 'config.data.path')
  absent = [name for name in table.names if not os.path.isfile(os.path.join(path, name))]
  if absent:
    there = file_records.list_images(path)
    raise errors.UserError(
        f'{len(absent)} of the {len(table.names)} pictures in {config_data.attributes_file} are '
        f'not in {path!r}, first {absent[0]!r}; there are: {predicates.shortlist(there, 3)}. '
        'Name the folder that the file names start from in config.data.path, or remove the rows')
  records = file_records.FileRecords(
      path, table.names, table.attribute_names, table.attributes,
      masks_path=config_data.masks_path, max_pixels=config_data.max_pixels)
  return sources.Listing(records, table.splits)


def read_text(path: str) -> str:
  """Returns a text file's contents; UserError if it is absent or not UTF-8."""
  try:
    with open(path, encoding='utf-8-sig', newline='') as file:
      return file.read()
  except FileNotFoundError as error:
    raise errors.UserError(f'{path} does not exist{images.nearest_path(path)}') from error
  except UnicodeDecodeError as error:
    raise errors.UserError(f'{path} is not UTF-8 text (byte {error.start})') from error
  except OSError as error:
    raise errors.UserError(f'{path} cannot be read: {error.strerror}') from error


def read_csv(path: str) -> Table:
  """Reads a table whose columns are separated by comma, semicolon or tab.

  A column called 'split' or 'partition' holds train, validation, test, or CelebA's 0, 1, 2.

  Raises:
    UserError: names the line and column that cannot be used.
  """
  lines = read_text(path).splitlines()
  if not lines or not lines[0].strip():
    raise errors.UserError(f'{path} line 1: expected a header, the file name first and then the '
                           'attributes')
  separator = max(',;\t', key=lines[0].count)
  reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
  header = [column.strip() for column in next(reader)]
  if len(header) < 2:
    raise errors.UserError(f'{path} line 1: expected a header with two or more columns, found '
                           f'{lines[0][:60]!r}')
  _check_header(path, header)
  split_column = next((i for i, name in enumerate(header) if name.lower() in _SPLIT_COLUMNS), None)
  columns = [i for i in range(1, len(header)) if i != split_column]
  first_lines, rows, splits = {}, [], []
  for row in reader:
    if not any(cell.strip() for cell in row):
      continue
    where = f'{path} line {reader.line_num}'
    if len(row) != len(header):
      raise errors.UserError(f'{where}: {len(row)} columns, but the header has {len(header)}')
    name = row[0].strip()
    if not name or name in first_lines:
      problem = f'{name!r} is already on line {first_lines[name]}' if name else 'no file name'
      raise errors.UserError(f'{where}: {problem}')
    first_lines[name] = reader.line_num
    rows.append([_truth(row[i], f'{where}, column {header[i]!r}') for i in columns])
    splits.append(-1 if split_column is None else
                  _split(row[split_column], f'{where}, column {header[split_column]!r}'))
  return Table(list(first_lines), tuple(header[i] for i in columns),
               np.array(rows, bool).reshape(len(rows), len(columns)), np.array(splits, np.int8))


def _check_header(path, header):
  for i, name in enumerate(header[1:], 1):
    if not name or name in header[1:i]:
      problem = f'{name!r} is there twice' if name else f'column {i + 1} has no name'
      raise errors.UserError(f'{path} line 1: {problem}')
  if all(cell.lower() in _TRUE | _FALSE for cell in header[1:]):
    raise errors.UserError(f'{path} line 1: the header is missing; it names the attributes, e.g. '
                           'file,Eyeglasses,Smiling')


def _truth(cell, where):
  value = cell.strip().lower()
  if value not in _TRUE and value not in _FALSE:
    raise errors.UserError(f'{where}: {cell!r} is not 0, 1, -1, true or false')
  return value in _TRUE


def _split(cell, where):
  value = cell.strip().lower()
  if value not in _SPLIT_VALUES:
    raise errors.UserError(f'{where}: {cell!r} is not train, validation or test (or 0, 1, 2)'
                           f'{errors.nearest(value, _SPLIT_VALUES)}')
  return _SPLIT_VALUES[value]
