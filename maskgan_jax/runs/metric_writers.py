"""Where a run's numbers go: `metrics.jsonl` always, and the trackers of `TRACKERS` beside it.

A tracker, such as TensorBoard's event files, is a class with the methods of `Tracker`, which have
the names of CLU's metric writers; an entry in `TRACKERS` puts it beside every run.
"""

from collections.abc import Callable, Mapping
import contextlib
import errno
import importlib.util
import json
import math
import os
from typing import Any

from absl import logging
import numpy as np

from maskgan_jax import errors, files

FILE_NAME = 'metrics.jsonl'
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class Tracker:
  """Takes the numbers of a run; a subclass overrides what it can record."""

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    """Records the numbers of a step."""

  def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
    """Records texts of a step."""

  def write_hparams(self, hparams: Mapping[str, Any]) -> None:
    """Records the config, by dotted keys; is called once, before the first step of a run."""

  def flush(self) -> None:
    """Brings everything to where it is kept."""

  def close(self) -> None:
    """Ends the recording."""


def _tensorboard(workdir: str) -> Tracker | None:
  """Returns a tracker that writes TensorBoard's event files; None without tensorboardX."""
  if importlib.util.find_spec('tensorboardX') is None:
    return None
  from maskgan_jax.runs import tensorboard

  return tensorboard.TensorBoard(workdir)


# By name: a function that gets the run's folder and returns a tracker, or None where its library is
# not installed.
TRACKERS: dict[str, Callable[[str], Tracker | None]] = {'tensorboard': _tensorboard}


class MetricWriter:
  """Writes the metrics of a run; no trouble with them stops training, except a full disk.

  Args:
    workdir: folder of the run; created if absent.
    process_index: only process 0 writes.
  """

  def __init__(self, workdir: str | os.PathLike, *, process_index: int = 0):
    self._path = os.path.join(workdir, FILE_NAME)
    self._writes = process_index == 0
    self._trackers: dict[str, Tracker] = {}
    if not self._writes:
      return
    try:
      os.makedirs(workdir, exist_ok=True)
      _drop_half_a_line(self._path)
    except OSError as error:
      raise errors.UserError(
        f'cannot write {self._path}: {error.strerror or error}'
      ) from error
    self._start_trackers(os.fspath(workdir))

  def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
    """Writes a line of numbers (also arrays without dimensions); what is not finite is null."""
    line, numbers = {}, {}
    for name, value in scalars.items():
      line[name] = _number(name, value)
      numbers[name] = float(value)
    self._write_line(step, line)
    self._track('write_scalars', step, numbers)

  def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
    """Writes a line of texts."""
    self._write_line(step, dict(texts))
    self._track('write_texts', step, dict(texts))

  def write_hparams(self, hparams: Mapping[str, Any]) -> None:
    """Gives trackers the hyperparameters; config.json has them already."""
    self._track('write_hparams', dict(hparams))

  def truncate_after(self, step: int) -> None:
    """Drops the lines of later steps, which a run resumed from `step` will write again."""
    if not self._writes:
      return

    # Lines that are not whole are dropped, too.
    kept = []
    for line in _lines(self._path):
      row = _row(line)
      if row and row['step'] <= step:
        kept.append(line)
    files.write_atomically(self._path, b''.join(kept))

  def flush(self) -> None:
    """Brings everything onto the disk; lines of metrics.jsonl are there already."""
    self._track('flush')

  def close(self) -> None:
    """Ends the recording of the trackers."""
    self._track('close')
    self._trackers.clear()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def _write_line(self, step: int, values: dict[str, Any]) -> None:
    if not self._writes:
      return
    row = {'step': int(step), **values}
    line = json.dumps(row, allow_nan=False).encode() + b'\n'
    # Each line is written at once and the file closed: whoever reads along sees whole lines.
    try:
      with open(self._path, 'ab', buffering=0) as file:
        written = file.write(line)
        if written < len(line):
          file.write(line[written:])  # raises what cut the first one short
    except OSError as error:
      if error.errno in _FULL:
        raise errors.UserError(
          f'cannot write {self._path}: {error.strerror}'
        ) from error
      logging.warning('metrics of step %d are lost: %s', step, error)
      with contextlib.suppress(OSError):
        _drop_half_a_line(self._path)

  def _start_trackers(self, workdir: str) -> None:
    for name, make in TRACKERS.items():
      try:
        tracker = make(workdir)
      except Exception as error:  # an installation that is broken in any way
        _stop_if_full(name, error)
        logging.warning('the tracker %s is off: %s', name, error)
        continue
      if tracker is not None:
        self._trackers[name] = tracker

  def _track(self, method: str, *args) -> None:
    """Calls a method of every tracker; the first failure of a tracker is its last call."""
    for name, tracker in list(self._trackers.items()):
      try:
        getattr(tracker, method)(*args)
      except Exception as error:  # trackers have their own error classes
        del self._trackers[name]
        _stop_if_full(name, error)
        logging.warning('the tracker %s is off from here on: %s', name, error)


def _stop_if_full(name: str, error: Exception) -> None:
  """Raises UserError if the disk is full: checkpoints would be next."""
  if getattr(error, 'errno', None) in _FULL or 'No space left on device' in str(error):
    raise errors.UserError(f'cannot write for the tracker {name}: {error}') from error


def read(workdir: str | os.PathLike) -> list[dict[str, Any]]:
  """Returns the rows of a run's `metrics.jsonl`; half-written ones are left out."""
  rows = [_row(line) for line in _lines(os.path.join(workdir, FILE_NAME))]
  return [row for row in rows if row]


def _lines(path: str) -> list[bytes]:
  try:
    with open(path, 'rb') as file:
      return file.readlines()
  except OSError:
    return []


def _row(line: bytes) -> dict[str, Any] | None:
  """Returns the line's row, or None if it is not a whole one."""
  # A process that was killed may have left half a line.
  try:
    row = json.loads(line)
  except ValueError:
    return None
  if not line.endswith(b'\n') or not isinstance(row, dict):
    return None
  return row if isinstance(row.get('step'), int) else None


def _drop_half_a_line(path: str) -> None:
  """Ends the file (created if absent) after its last whole line; the next one starts there."""
  with open(path, 'a+b') as file:
    file.seek(0)
    file.truncate(file.read().rfind(b'\n') + 1)


def _number(name: str, value: Any) -> float | int | None:
  """Returns a number as JSON has it: None if it is not finite; ValueError if it is not one."""
  # JSON has no NaN and no infinity.
  value = np.asarray(value)
  if value.ndim or value.dtype == object:
    raise ValueError(f'metric {name} is not a number but has shape {value.shape}')
  value = value.item()
  if isinstance(value, (bool, int)):
    return int(value)
  return float(value) if math.isfinite(value) else None
