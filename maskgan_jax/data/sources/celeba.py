"""CelebA as its authors give it: img_align_celeba/, list_attr_celeba.txt, list_eval_partition.txt.

Kaggle's copy, with .csv lists and the pictures a folder deeper, is read too.
"""

import collections
from collections.abc import Sequence
import os

import ml_collections
import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import predicates
from maskgan_jax.data.records import Listing
from maskgan_jax.data.sources import files as file_records
from maskgan_jax.data.sources import table as table_source

_ATTRIBUTES = ('list_attr_celeba.txt', 'list_attr_celeba.csv')
_PARTITION = ('list_eval_partition.txt', 'list_eval_partition.csv')
_DEPTH = 3  # levels of folders below `path` that are searched
# Someone who names their home directory should not wait for its walk.
_MAX_FOLDERS = 500


def open_celeba(config_data: ml_collections.ConfigDict) -> Listing:
  """Opens CelebA under `config_data.path`; pictures that are listed but absent are left out."""
  # The attribute list comes first: it says which pictures there should be.
  path = file_records.check_folder(config_data.path, 'config.data.path')
  folders = _walk(path)
  attributes_file = config_data.attributes_file or _find(folders, _ATTRIBUTES)
  if not attributes_file:
    raise errors.UserError(f'config.data.path={path!r} {_why_no_list(path)}')
  table = read_attributes(os.path.expanduser(attributes_file))
  root, present = _find_pictures(path, folders, table.names)
  kept = [row for row, name in enumerate(table.names) if name in present]
  splits = _splits(folders, table, attributes_file)

  # Only pictures that are there become records.
  names = [present[table.names[row]] for row in kept]
  records = file_records.FileRecords(
    root,
    names,
    table.attribute_names,
    table.attributes[kept],
    masks_path=config_data.masks_path,
    labels_path=config_data.labels_path,
    max_pixels=config_data.max_pixels,
  )

  # A user may have fetched only a part of the pictures.
  absent = len(table.names) - len(kept)
  remark = (
    f'{absent} of {len(table.names)} listed pictures are not in {root}'
    if absent
    else ''
  )
  return Listing(records, splits[kept], remark, np.array(kept, np.int64))


def _splits(
  folders: Sequence[str], table: table_source.Table, attributes_file: str
) -> np.ndarray:
  """Returns the splits of a list's pictures, int8 [N], from CelebA's own file if it is there."""
  # CelebA's file of splits decides, and where it is absent the list's column.
  partition_file = _find(folders, _PARTITION)
  if not partition_file:
    return table.splits
  partition = read_partition(partition_file)
  codes = [partition.get(name, -1) for name in table.names]
  splits = np.array(codes, np.int8)
  if table.names and (splits == -1).all():
    raise errors.UserError(
      f'{partition_file} names none of the pictures of {attributes_file}, '
      f'such as {table.names[0]!r}; correct its names, or remove the file'
    )
  return splits


def _why_no_list(path: str) -> str:
  """Says what a folder without an attribute list is, and which folder to name instead."""
  # The user may have named the folder of the pictures; the list is then above it.
  above = os.path.dirname(os.path.abspath(path))
  if _find([above, os.path.join(above, 'Anno')], _ATTRIBUTES):
    return f'is one level too low; name {above!r}'
  present = predicates.shortlist(sorted(os.listdir(path)), 6)
  return (
    f'has no {_ATTRIBUTES[0]}; found: {present}. Name the folder that has it and '
    'img_align_celeba/'
  )


def read_attributes(path: str) -> table_source.Table:
  """Reads list_attr_celeba.txt (a count, the names, then a row a picture) or its .csv."""
  if path.endswith('.csv'):
    return table_source.read_csv(path)
  lines = table_source.read_text(path).splitlines()
  count, attribute_names = _read_head(path, lines)

  # A line a picture; empty lines are skipped.
  line_of, rows = {}, []
  for number, line in enumerate(lines[2:], 3):
    cells = line.split()
    if not cells:
      continue
    name, *values = cells
    place = f'{path} line {number}'
    if len(values) != len(attribute_names):
      raise errors.UserError(
        f'{place}: expected a file name and {len(attribute_names)} values, '
        f'one for each name in line 2; found {len(cells)} words'
      )
    others = set(values) - {'1', '-1'}
    if others:
      raise errors.UserError(f'{place}: {min(others)!r} is not 1 or -1')
    if name in line_of:
      raise errors.UserError(f'{place}: {name} is already on line {line_of[name]}')
    line_of[name] = number
    rows.append([value == '1' for value in values])

  # A list that was cut short would drop pictures without a word.
  if len(rows) != count:
    raise errors.UserError(
      f'{path} line 1: promises {count} pictures, but {len(rows)} follow; the '
      'file is cut short, or correct the number'
    )
  attributes = np.array(rows, bool).reshape(len(rows), len(attribute_names))
  splits = np.full(len(rows), -1, np.int8)
  return table_source.Table(list(line_of), attribute_names, attributes, splits)


def _read_head(path: str, lines: Sequence[str]) -> tuple[int, tuple[str, ...]]:
  """Returns the number of pictures, of line 1, and the attribute names, of line 2."""
  if not lines or not lines[0].strip().isdecimal():
    start = repr(lines[0][:40]) if lines else 'nothing'
    raise errors.UserError(
      f'{path} line 1: expected the number of pictures, found {start}; a list '
      'has a count, then a line of attribute names, then a line a picture'
    )
  names = lines[1].split() if len(lines) > 1 else []
  are_values = {'1', '-1'} & set(names)
  if not names or are_values or len(set(names)) < len(names):
    raise errors.UserError(f'{path} line 2: expected the attribute names, each once')
  return int(lines[0]), tuple(names)


def read_partition(path: str) -> dict[str, int]:
  """Reads list_eval_partition (a file name and 0, 1 or 2 a line) as {name: index into SPLITS}."""
  # CelebA's file separates cells by spaces, Kaggle's by commas.
  partition = {}
  for number, line in enumerate(table_source.read_text(path).splitlines(), 1):
    cells = line.replace(',', ' ').replace('"', ' ').split()
    if not cells or (number == 1 and cells[-1] == 'partition'):
      continue
    if len(cells) != 2 or cells[1] not in ('0', '1', '2'):
      raise errors.UserError(
        f'{path} line {number}: expected a file name and 0, 1 or 2, found {line[:60]!r}'
      )
    partition[cells[0]] = int(cells[1])
  return partition


def _walk(path: str) -> list[str]:
  """Returns `path` and the folders below it, nearest first, aligned pictures before others."""
  # Breadth first, with a limit a level: a path may have many other folders.
  folders, level = [path], [path]
  for _ in range(_DEPTH):
    parents, level = level[:_MAX_FOLDERS], []
    for parent in parents:
      level += [
        os.path.join(parent, name) for name in file_records.list_folders(parent)
      ]
    folders += sorted(level, key=_aligned_first)
  return folders


def _aligned_first(folder: str) -> tuple[bool, str]:
  """Returns the order of a folder among others."""
  return 'align' not in os.path.basename(folder), folder


def _find(folders: Sequence[str], filenames: Sequence[str]) -> str:
  """Returns the first of the files that exists in the first folder that has one, or ''."""
  for folder in folders:
    for name in filenames:
      path = os.path.join(folder, name)
      if os.path.isfile(path):
        return path
  return ''


def _find_pictures(
  path: str, folders: Sequence[str], names: Sequence[str]
) -> tuple[str, dict[str, str]]:
  """Finds the folder that has most of the listed pictures.

  The PNG edition's list says .jpg, so a file is also found by its stem.

  Returns:
    the folder; listed name -> name of its file there.
  """
  names_by_stem = collections.defaultdict(list)
  for name in names:
    names_by_stem[os.path.splitext(name)[0]].append(name)
  best_folder, best = '', {}
  for folder in folders:
    present = {}
    for file in file_records.list_images(folder):
      for name in names_by_stem.get(os.path.splitext(file)[0], ()):
        if present.get(name) != name:  # a file of this very name is preferred
          present[name] = file
    if len(present) > len(best):
      best_folder, best = folder, present
  if best:
    return best_folder, best
  listed = f'such as {names[0]}' if names else '(the list is empty)'
  raise errors.UserError(
    f'config.data.path={path!r} has the attribute list, but no folder with '
    f'the pictures it names {listed}; unpack img_align_celeba.zip there'
  )
