"""CelebA as its authors give it: img_align_celeba/, list_attr_celeba.txt, list_eval_partition.txt.

Kaggle's copy, with .csv lists and the pictures a folder deeper, is the same to it.
"""

import collections
import os

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import predicates
from maskgan_jax.data.records import Listing
from maskgan_jax.data.sources import files as file_records
from maskgan_jax.data.sources import table as table_source

_ATTRIBUTES = ('list_attr_celeba.txt', 'list_attr_celeba.csv')
_PARTITION = ('list_eval_partition.txt', 'list_eval_partition.csv')
_DEPTH = 3  # levels of folders below `path` that are looked into
_MAX_FOLDERS = 500  # someone who names their home directory should not wait for its walk


def open_celeba(config_data) -> Listing:
  """Opens CelebA under `config_data.path`; pictures that are listed but absent are left out."""
  path = file_records.check_folder(config_data.path, 'config.data.path')
  folders = _walk(path)
  attributes_file = config_data.attributes_file or _find(folders, _ATTRIBUTES)
  if not attributes_file:
    above = os.path.dirname(os.path.abspath(path))
    if _find([above, os.path.join(above, 'Anno')], _ATTRIBUTES):
      raise errors.UserError(f'config.data.path={path!r} is one level too low; name {above!r}')
    found = predicates.shortlist(sorted(os.listdir(path)), 6)
    raise errors.UserError(f'config.data.path={path!r} has no {_ATTRIBUTES[0]}; found: {found}. '
                           'Name the folder that has it and img_align_celeba/')
  table = read_attributes(os.path.expanduser(attributes_file))
  root, present = _find_pictures(path, folders, table.names)
  kept = [i for i, name in enumerate(table.names) if name in present]
  names = [present[table.names[i]] for i in kept]
  splits = table.splits
  partition_file = _find(folders, _PARTITION)
  if partition_file:
    partition = read_partition(partition_file)
    splits = np.array([partition.get(name, -1) for name in table.names], np.int8)
    if table.names and (splits == -1).all():
      raise errors.UserError(f'{partition_file} names none of the pictures of {attributes_file}, '
                             f'such as {table.names[0]!r}; correct its names, or remove the file')
  records = file_records.FileRecords(
      root, names, table.attribute_names, table.attributes[kept],
      masks_path=config_data.masks_path, labels_path=config_data.labels_path,
      max_pixels=config_data.max_pixels)
  absent = len(table.names) - len(kept)
  remark = f'{absent} of {len(table.names)} listed pictures are not in {root}' if absent else ''
  return Listing(records, splits[kept], remark, np.array(kept, np.int64))


def read_attributes(path: str) -> table_source.Table:
  """Reads list_attr_celeba.txt (a count, the names, then a row a picture) or its .csv."""
  if path.endswith('.csv'):
    return table_source.read_csv(path)
  lines = table_source.read_text(path).splitlines()
  if not lines or not lines[0].strip().isdecimal():
    found = repr(lines[0][:40]) if lines else 'nothing'
    raise errors.UserError(f'{path} line 1: expected the number of pictures, found {found}; a list '
                           'has a count, then a line of attribute names, then a line a picture')
  count, attribute_names = int(lines[0]), (lines[1].split() if len(lines) > 1 else [])
  if not attribute_names or len(set(attribute_names)) < len(attribute_names) or (
      {'1', '-1'} & set(attribute_names)):
    raise errors.UserError(f'{path} line 2: expected the attribute names, each once')
  names, rows = {}, []
  for number, line in enumerate(lines[2:], 3):
    cells = line.split()
    if not cells:
      continue
    if len(cells) != len(attribute_names) + 1:
      raise errors.UserError(f'{path} line {number}: expected a file name and '
                             f'{len(attribute_names)} values, one for each name in line 2; found '
                             f'{len(cells)} words')
    unknown = set(cells[1:]) - {'1', '-1'}
    if unknown:
      raise errors.UserError(f'{path} line {number}: {min(unknown)!r} is not 1 or -1')
    if cells[0] in names:
      raise errors.UserError(f'{path} line {number}: {cells[0]} is already on line '
                             f'{names[cells[0]]}')
    names[cells[0]] = number
    rows.append([cell == '1' for cell in cells[1:]])
  if len(rows) != count:
    raise errors.UserError(f'{path} line 1: promises {count} pictures, but {len(rows)} follow; the '
                           'file is cut short, or correct the number')
  attributes = np.array(rows, bool).reshape(len(rows), len(attribute_names))
  return table_source.Table(list(names), tuple(attribute_names), attributes,
                            np.full(len(rows), -1, np.int8))


def read_partition(path: str) -> dict[str, int]:
  """Reads list_eval_partition (a file name and 0, 1 or 2 a line) as {name: index into SPLITS}."""
  partition = {}
  for number, line in enumerate(table_source.read_text(path).splitlines(), 1):
    cells = line.replace(',', ' ').replace('"', ' ').split()
    if not cells or (number == 1 and cells[-1] == 'partition'):
      continue
    if len(cells) != 2 or cells[1] not in ('0', '1', '2'):
      raise errors.UserError(f'{path} line {number}: expected a file name and 0, 1 or 2, found '
                             f'{line[:60]!r}')
    partition[cells[0]] = int(cells[1])
  return partition


def _walk(path):
  """Returns `path` and the folders below it, nearest first, aligned pictures before others."""
  folders, level = [path], [path]
  for _ in range(_DEPTH):
    level = [os.path.join(folder, name) for folder in level[:_MAX_FOLDERS]
             for name in file_records.list_folders(folder)]
    folders += sorted(level, key=lambda folder: ('align' not in os.path.basename(folder), folder))
  return folders


def _find(folders, filenames):
  """Returns the first of the files that exists in the first folder that has one, or ''."""
  paths = (os.path.join(folder, name) for folder in folders for name in filenames)
  return next(filter(os.path.isfile, paths), '')


def _find_pictures(path, folders, names):
  """Returns the folder with most of the listed pictures, and {listed name: name of its file there}.

  The PNG edition's list says .jpg, so a file is also found by its stem.
  """
  best, most = '', {}
  by_stem = collections.defaultdict(list)  # the listed names
  for name in names:
    by_stem[os.path.splitext(name)[0]].append(name)
  for folder in folders:
    present = {}
    for file in file_records.list_images(folder):
      for name in by_stem.get(os.path.splitext(file)[0], ()):
        if present.get(name) != name:  # else the file of this very name is there
          present[name] = file
    if len(present) > len(most):
      best, most = folder, present
  if most:
    return best, most
  listed = f'such as {names[0]}' if names else '(the list is empty)'
  raise errors.UserError(f'config.data.path={path!r} has the attribute list, but no folder with '
                         f'the pictures it names {listed}; unpack img_align_celeba.zip there')
