"""`scores.csv`: what the evaluators measured, one row for each step and split."""

from collections.abc import Callable, Mapping
import contextlib
import csv
import io
import os
from typing import Any

import ml_collections

from maskgan_jax import errors, files
from maskgan_jax.runs import measures, row_names

FILE_NAME = 'scores.csv'
Row = dict[str, Any]


def append(workdir: str | os.PathLike, row: Mapping[str, Any]) -> None:
  """Adds a row with `step`, `split` and scores, or replaces the one of this step and split.

  The columns are the union of those of all rows. Readers see the old file or the new one, and
  several evaluations may append at once.
  """
  if 'step' not in row or 'split' not in row:
    raise ValueError(f'a row of scores needs step and split, got {", ".join(row)}')
  os.makedirs(workdir, exist_ok=True)
  with _locked(workdir):
    rows = _rows(os.path.join(workdir, FILE_NAME), _text)
    columns = dict.fromkeys(['step', 'split'])
    for each in (*rows, row):
      columns.update(dict.fromkeys(each))

    # The row takes the place of an earlier one of its step and split.
    key = (row['step'], row['split'])
    keys = [(other['step'], other['split']) for other in rows]
    if key in keys:
      rows[keys.index(key)] = dict(row)
    else:
      rows.append(dict(row))

    # The file is written as a whole.
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(columns)
    for each in rows:
      writer.writerow([_spell(each.get(name, '')) for name in columns])
    files.write_atomically(os.path.join(workdir, FILE_NAME), text.getvalue())


def read(workdir: str | os.PathLike) -> list[Row]:
  """Returns the rows, numbers as numbers; what a row did not measure is not in it."""
  return read_file(os.path.join(workdir, FILE_NAME))


def read_file(path: str | os.PathLike) -> list[Row]:
  """Returns the rows of a file of any name; none where the file does not exist."""
  return _rows(path, _parse)


def _rows(
  path: str | os.PathLike, parse: Callable[[str, str], int | float | str]
) -> list[Row]:
  """Returns the rows of a file, with what `parse` makes of a column's name and text."""
  # A run that was never measured has no file.
  try:
    with open(path, newline='', encoding='utf-8') as file:
      rows = [_parsed(row, parse) for row in csv.DictReader(file, strict=True)]
  except FileNotFoundError:
    return []
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise errors.UserError(
      f'{path} is damaged ({error}); delete it and measure again with python '
      '-m maskgan_jax.evaluate'
    ) from error
  return [row for row in rows if isinstance(row.get('step'), int) and 'split' in row]


def latest(
  workdir: str | os.PathLike, *, split: str = '', step: int | None = None
) -> Row | None:
  """Returns the row of the highest step (or of `step`) for the split ('' for any), or None."""
  rows = [
    row
    for row in read(workdir)
    if split in ('', row['split']) and step in (None, row['step'])
  ]
  return max(rows, key=lambda row: row['step'], default=None)


def threshold(
  workdir: str | os.PathLike, step: int, config: ml_collections.ConfigDict
) -> float | None:
  """Returns where masks of a step are cut, as its last evaluation chose; None before any.

  What was measured on other data than those of the run's `config` does not count.
  """
  chosen = None
  for row in read(workdir):
    value = row.get('mask_threshold')
    if row['step'] != step or not isinstance(value, int | float):
      continue
    if 0 <= value <= 1 and row_names.has_own_data(row['split'], config):
      chosen = float(value)
  return chosen


def _spell(value: Any) -> str:
  """Returns text from which `_parse` gets the same value; arrays without dimensions are numbers."""
  value = value.item() if hasattr(value, 'item') else value
  return repr(value) if isinstance(value, float) else str(value)


def _parsed(
  row: Mapping[str, str], parse: Callable[[str, str], int | float | str]
) -> Row:
  """Returns the values of a row that it has."""
  return {name: parse(name, text) for name, text in row.items() if name and text}


def _text(name: str, text: str) -> int | str:
  """Returns a cell as it stands, so that writing it again changes nothing; a step is a number."""
  return _parse(name, text) if name == 'step' else text


def _parse(name: str, text: str) -> int | float | str:
  """Returns a number, or the text of a column that has texts or of a cell that is not a number."""
  if measures.is_text(name) or '_' in text:  # Python takes 1_000 for a number
    return text
  for kind in (int, float):
    with contextlib.suppress(ValueError):
      return kind(text)
  return text


@contextlib.contextmanager
def _locked(folder: str | os.PathLike):
  """Keeps other processes from appending meanwhile, where the system has such locks."""
  try:
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
  except (ImportError, OSError):
    yield
    return
  try:
    with contextlib.suppress(OSError):  # some network file systems have none
      fcntl.flock(handle, fcntl.LOCK_EX)
    yield
  finally:
    os.close(handle)
