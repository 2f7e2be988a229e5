"""A user's own folder: trainA, trainB, testA, testB; or split/label/*.png; or label/*.png."""

import os

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import predicates, unused
from maskgan_jax.data.records import Listing
from maskgan_jax.data.sources import files as file_records

_SPLIT_NAMES = {'train': 0, 'training': 0, 'val': 1, 'valid': 1, 'validation': 1, 'test': 2,
                'testing': 2}
_LAYOUTS = 'trainA/ and trainB/ (and testA/, testB/), or train/LABEL/ folders with pictures'


def open_folder(config_data) -> Listing:
  """Lists `config_data.path`; UserError says what was found and which folder to name instead."""
  path = file_records.check_folder(config_data.path, 'config.data.path')
  layout = _read_layout(path)
  if not layout:
    raise errors.UserError(f'config.data.path={path!r} {_explain(path)}')
  train = {label for split, label, _ in layout if split == 0}
  labels = sorted({label for _, label, _ in layout})
  if len(train) == 1 and train < {'A', 'B'} and set(labels) <= {'A', 'B'}:
    there = next(folder for split, _, folder in layout if split == 0)
    other = there[:-1] + ('B' if there.endswith('A') else 'A')
    raise errors.UserError(f'config.data.path={path!r} has {there}, but no pictures in {other}')
  if {'A', 'B'} >= set(labels):
    labels = ['B']  # one attribute: pictures of A are without it, those of B with it
  names, splits, rows = [], [], []
  for split, label, folder in layout:
    found = file_records.list_images(os.path.join(path, folder))
    names += [f'{folder}/{name}' for name in found]
    splits += [split] * len(found)
    rows += [[label == column for column in labels]] * len(found)
  records = file_records.FileRecords(
      path, names, labels, np.array(rows, bool), masks_path=config_data.masks_path,
      labels_path=config_data.labels_path, max_pixels=config_data.max_pixels)
  folders = [folder for _, _, folder in layout]
  apart = config_data.masks_path, config_data.labels_path
  return Listing(records, np.array(splits, np.int8),
                 unused=unused.describe(path, folders, apart))


def _domain_folder(name):
  """Returns (split, 'A' | 'B') for a name such as trainA, train_A or testB, else None."""
  split, domain = name[:-1].rstrip('_-').lower(), name[-1:]
  if domain in ('A', 'B') and split in _SPLIT_NAMES:
    return _SPLIT_NAMES[split], domain
  return None


def _read_layout(path):
  """Returns [(split, label, folder relative to path)] of the folders that hold pictures."""
  folders = file_records.list_folders(path)
  paired = [(*_domain_folder(name), name) for name in folders if _domain_folder(name)]
  if paired:
    layout = sorted(paired, key=lambda part: part[:2])
  else:
    layout = []
    for name in folders:
      if name.lower() in _SPLIT_NAMES:
        layout += [(_SPLIT_NAMES[name.lower()], label, f'{name}/{label}')
                   for label in file_records.list_folders(os.path.join(path, name))]
    if not layout and os.path.basename(os.path.abspath(path)).lower() not in _SPLIT_NAMES:
      layout = [(-1, name, name) for name in folders]
  return [part for part in layout if file_records.list_images(os.path.join(path, part[2]))]


def _explain(path):
  """Says why nothing was found in `path`, and what to name instead."""
  parent, base = os.path.split(os.path.abspath(path))
  pictures = file_records.list_images(path)
  folders = file_records.list_folders(path)
  if _domain_folder(base) or base.lower() in _SPLIT_NAMES:
    return f'is one part of a data set; name the folder above it, {parent!r}'
  inside = [name for name in folders if _read_layout(os.path.join(path, name))]
  if inside:
    return f'is one level too high; name {os.path.join(path, inside[0])!r}, which has the pictures'
  if pictures and len({label for _, label, _ in _read_layout(parent)}) > 1:
    return f'is one level too low: it holds the pictures of one label; name {parent!r}'
  if pictures:
    return (f'has {len(pictures)} pictures that nothing tells apart; sort them into {_LAYOUTS}, '
            "or list their attributes in a table and use config.data.source='csv'")
  if folders:
    return (f'has the folders {predicates.shortlist(folders)}, but no pictures in them; '
            f'expected {_LAYOUTS}')
  return f'is empty; expected {_LAYOUTS}'
