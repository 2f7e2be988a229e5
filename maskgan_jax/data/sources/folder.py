"""A user's folder: trainA, trainB, testA, testB; or split/label/*.png; or label/*.png."""

from collections.abc import Sequence
import os
from typing import NamedTuple

import ml_collections
import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import predicates, unused
from maskgan_jax.data.records import Listing
from maskgan_jax.data.sources import files as file_records

_SPLIT_NAMES = {  # index into SPLITS
  **dict.fromkeys(('train', 'training'), 0),
  **dict.fromkeys(('val', 'valid', 'validation'), 1),
  **dict.fromkeys(('test', 'testing'), 2),
}
_LAYOUTS = (
  'trainA/ and trainB/ (and testA/, testB/), or train/LABEL/ folders with pictures'
)


class _Part(NamedTuple):
  """Pictures of a label: the folder they are in, relative to the data's, and their split's code."""

  split: int
  label: str
  folder: str


def open_folder(config_data: ml_collections.ConfigDict) -> Listing:
  """Lists `config_data.path`; UserError says what is there and which folder to name instead."""
  path = file_records.check_folder(config_data.path, 'config.data.path')
  parts = _read_layout(path)
  if not parts:
    raise errors.UserError(f'config.data.path={path!r} {_explain(path)}')
  labels = sorted({part.label for part in parts})
  _check_both_domains(path, parts, labels)
  if set(labels) <= {'A', 'B'}:
    labels = ['B']  # one attribute: pictures of A are without it, those of B with it

  names, splits, rows = [], [], []
  for part in parts:
    row = [part.label == label for label in labels]
    for name in file_records.list_images(os.path.join(path, part.folder)):
      names.append(f'{part.folder}/{name}')
      splits.append(part.split)
      rows.append(row)
  records = file_records.FileRecords(
    path,
    names,
    labels,
    np.array(rows, bool),
    masks_path=config_data.masks_path,
    labels_path=config_data.labels_path,
    max_pixels=config_data.max_pixels,
  )
  folders = [part.folder for part in parts]
  not_pictures = config_data.masks_path, config_data.labels_path
  return Listing(
    records,
    np.array(splits, np.int8),
    unused=unused.describe(path, folders, not_pictures),
  )


def _check_both_domains(
  path: str, parts: Sequence[_Part], labels: Sequence[str]
) -> None:
  """Raises a UserError for trainA without trainB, or the reverse."""
  train = [part for part in parts if part.split == 0]
  train_labels = {part.label for part in train}
  if len(train_labels) == 1 and set(labels) <= {'A', 'B'}:
    folder = train[0].folder
    other = folder[:-1] + ('B' if folder.endswith('A') else 'A')
    raise errors.UserError(
      f'config.data.path={path!r} has {folder}, but no pictures in {other}'
    )


def _domain_folder(name: str) -> tuple[int, str] | None:
  """Returns (split, 'A' | 'B') for a name such as trainA, train_A or testB, else None."""
  split, domain = name[:-1].rstrip('_-').lower(), name[-1:]
  if domain in ('A', 'B') and split in _SPLIT_NAMES:
    return _SPLIT_NAMES[split], domain
  return None


def _read_layout(path: str) -> list[_Part]:
  """Returns the folders that hold pictures, and what they say of these."""
  folders = file_records.list_folders(path)

  # trainA/, trainB/, testA/, testB/
  parts = []
  for name in folders:
    if domain := _domain_folder(name):
      parts.append(_Part(*domain, name))
  parts.sort(key=lambda part: (part.split, part.label))

  # train/LABEL/
  if not parts:
    for name in folders:
      if name.lower() in _SPLIT_NAMES:
        for label in file_records.list_folders(os.path.join(path, name)):
          parts.append(_Part(_SPLIT_NAMES[name.lower()], label, f'{name}/{label}'))

  # LABEL/, unless this is the train/ of a layout above
  base = os.path.basename(os.path.abspath(path)).lower()
  if not parts and base not in _SPLIT_NAMES:
    parts = [_Part(-1, name, name) for name in folders]
  return [
    part for part in parts if file_records.list_images(os.path.join(path, part.folder))
  ]


def _explain(path: str) -> str:
  """Says why a folder is not one with pictures of two domains, and what to name instead."""
  # The usual mistake is to name a folder above or below the right one.
  parent, base = os.path.split(os.path.abspath(path))
  pictures = file_records.list_images(path)
  folders = file_records.list_folders(path)
  if _domain_folder(base) or base.lower() in _SPLIT_NAMES:
    return f'is one part of a data set; name the folder above it, {parent!r}'
  inside = [name for name in folders if _read_layout(os.path.join(path, name))]
  if inside:
    return f'is one level too high; name {os.path.join(path, inside[0])!r}, which has the pictures'
  if pictures and len({part.label for part in _read_layout(parent)}) > 1:
    return f'is one level too low: it holds the pictures of one label; name {parent!r}'

  # It is the right folder, maybe, but without the layout.
  if pictures:
    return (
      f'has {len(pictures)} pictures that nothing tells apart; sort them into {_LAYOUTS}, '
      "or list their attributes in a table and use config.data.source='csv'"
    )
  if folders:
    return (
      f'has the folders {predicates.shortlist(folders)}, but no pictures in them; '
      f'expected {_LAYOUTS}'
    )
  return f'is empty; expected {_LAYOUTS}'
