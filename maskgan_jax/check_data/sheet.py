"""Draws the contact sheet: training pairs, then evaluation pairs with masks and true answers."""

import os

import ml_collections
import numpy as np

from maskgan_jax import errors, files
from maskgan_jax.check_data.examination import Examined
from maskgan_jax.data import evaluation, images, pipeline, unused
from maskgan_jax.data.records import SPLITS
from maskgan_jax.runs import pictures

_SHEET_PAIRS = 6
_ROWS = {  # of the contact sheet: names in a batch, and titles
  'a': 'a',
  'b': 'b',
  'a_mask': "a's mask",
  'b_mask': "b's mask",
  'truth_ab': 'a after b',
  'truth_ab_mask': 'what changed',
  'truth_ba': 'b without it, or after a',
  'b_erase': 'to erase in b',
  'truth_ab_erased': 'a after b, erased',
  'a_erase': 'what that leaves as in a',
}


def rows_of(
  data: pipeline.Data, examined: dict[tuple[str, str], Examined]
) -> dict[str, list[np.ndarray]]:
  """Returns named rows of pictures: training pairs, then evaluation pairs with masks and truths."""
  rows = {}
  training_rows = {'a', 'b'}
  if data.training_masks:
    training_rows |= {'a_mask', 'b_mask'}
  for split in SPLITS:
    a = np.array(examined[split, 'a'].usable, np.int64)
    b = np.array(examined[split, 'b'].usable, np.int64)
    b = evaluation.turned(a, b)
    count = min(len(a), len(b), _SHEET_PAIRS)
    if not count:
      continue
    try:
      pairs = data.pairs(split, a[:count], b[:count]).get(range(count))
    except errors.UserError:  # a mask that does not fit, which is among the problems
      continue
    for name, title in _ROWS.items():
      if name in pairs[0] and (split != 'train' or name in training_rows):
        rows[f'{split} {title}'] = [np.nan_to_num(pair[name]) for pair in pairs]
  return rows


def save(output: str, rows: dict[str, list[np.ndarray]]) -> str:
  """Writes the contact sheet and returns its path; '' if there is none to write.

  A row that is shorter than others ends with empty cells.
  """
  if not output or not rows:
    return ''
  width = max(map(len, rows.values()))
  cells = [row + [None] * (width - len(row)) for row in rows.values()]
  sheet = pictures.grid(cells, row_names=list(rows), column_names=[''] * width)
  images.save_png(output, sheet)
  return output


def check_output(output: str, config_data: ml_collections.ConfigDict) -> None:
  """Raises a UserError if the sheet would be hidden, or would replace a file of the data."""
  files.check_output(output, [config_data.attributes_file])
  if not os.path.isfile(output) or os.path.basename(output) == unused.CONTACT_SHEET:
    return

  # A file that lies in a folder of the data is one of them.
  for folder in (config_data.path, config_data.masks_path, config_data.labels_path):
    real_folder = os.path.realpath(os.path.expanduser(folder))
    if folder and os.path.realpath(output).startswith(real_folder + os.sep):
      raise errors.UserError(
        f'--output={output} is a file of the data; choose another name'
      )
