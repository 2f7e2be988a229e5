"""Where a run's numbers go: `metrics.jsonl` always, TensorBoard when TensorFlow is installed.

The only file that knows CLU's metric writers and TensorBoard; the methods have CLU's names.
"""

from collections.abc import Mapping
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


class MetricWriter:
  """Writes the metrics of a run; no trouble with them stops training, except a full disk.

  Args:
    workdir: folder of the run; created if absent.
    process_index: only process 0 writes.
    tensorboard: False leaves TensorBoard out even where it could be written.
  """

  def __init__(self, workdir: str | os.PathLike, *, process_index: int = 0,
               tensorboard: bool = True):
    self._path = os.path.join(workdir, FILE_NAME)
    self._writes = process_index == 0
    self._events = None
    if not self._writes:
      return
    try:
      os.makedirs(workdir, exist_ok=True)
      _drop_half_a_line(self._path)
    except OSError as error:
      raise errors.UserError(f'cannot write {self._path}: {error.strerror or error}') from error
    if tensorboard:
      self._events = _tensorboard(os.path.join(workdir, 'tensorboard'))

  def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
    """Writes a line of numbers (also arrays without dimensions); what is not finite is null."""
    self._line(step, {name: _number(name, value) for name, value in scalars.items()})
    self._event('write_scalars', step, {name: float(value) for name, value in scalars.items()})

  def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
    """Shows uint8 images [H, W, C] or [N, H, W, C] in TensorBoard; images.save_png writes files."""
    self._event('write_images', step,
                {name: image.reshape(-1, *image.shape[-3:]) for name, image in images.items()})

  def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
    """Writes a line of texts."""
    self._line(step, dict(texts))
    self._event('write_texts', step, dict(texts))

  def write_hparams(self, hparams: Mapping[str, Any]) -> None:
    """Shows hyperparameters in TensorBoard; config.json has them already."""
    self._event('write_hparams', dict(hparams))

  def truncate_after(self, step: int) -> None:
    """Drops the lines of later steps, which a run resumed from `step` will write again."""
    if self._writes:
      kept = [line for line in _lines(self._path) if (row := _row(line)) and row['step'] <= step]
      files.write_atomically(self._path, b''.join(kept))

  def flush(self) -> None:
    """Brings everything onto the disk; lines of metrics.jsonl are there already."""
    self._event('flush')

  def close(self) -> None:
    """Ends the writing of TensorBoard events."""
    self._event('close')
    self._events = None

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def _line(self, step: int, values: dict[str, Any]) -> None:
    if not self._writes:
      return
    line = json.dumps({'step': int(step), **values}, allow_nan=False).encode() + b'\n'
    try:
      with open(self._path, 'ab', buffering=0) as file:
        if (written := file.write(line)) < len(line):
          file.write(line[written:])  # raises what the first one ran into
    except OSError as error:
      if error.errno in _FULL:
        raise errors.UserError(f'cannot write {self._path}: {error.strerror}') from error
      logging.warning('metrics of step %d are lost: %s', step, error)
      with contextlib.suppress(OSError):
        _drop_half_a_line(self._path)

  def _event(self, method: str, *args) -> None:
    """Calls CLU's writer; the first failure is the last call."""
    if self._events is None:
      return
    try:
      getattr(self._events, method)(*args)
    except Exception as error:  # TensorFlow has its own error classes
      self._events = None
      if getattr(error, 'errno', None) in _FULL or 'No space left on device' in str(error):
        raise errors.UserError(f'cannot write TensorBoard events: {error}') from error
      logging.warning('TensorBoard is off from here on: %s', error)


def read(workdir: str | os.PathLike) -> list[dict[str, Any]]:
  """Returns the rows of a run's `metrics.jsonl`; half-written ones are left out."""
  return [row for line in _lines(os.path.join(workdir, FILE_NAME)) if (row := _row(line))]


def _lines(path: str) -> list[bytes]:
  try:
    with open(path, 'rb') as file:
      return file.readlines()
  except OSError:
    return []


def _row(line: bytes) -> dict[str, Any] | None:
  """Returns the line's row, or None if it is not a whole one."""
  try:
    row = json.loads(line)
  except ValueError:
    return None
  whole = line.endswith(b'\n') and isinstance(row, dict) and isinstance(row.get('step'), int)
  return row if whole else None


def _drop_half_a_line(path: str) -> None:
  """Ends the file (created if absent) after its last whole line; the next one starts there."""
  with open(path, 'a+b') as file:
    file.seek(0)
    file.truncate(file.read().rfind(b'\n') + 1)


def _number(name: str, value: Any) -> float | int | None:
  value = np.asarray(value)
  if value.ndim or value.dtype == object:
    raise ValueError(f'metric {name} is not a number but has shape {value.shape}')
  value = value.item()
  if isinstance(value, (bool, int)):
    return int(value)
  return float(value) if math.isfinite(value) else None


def _tensorboard(folder: str) -> Any:
  """Returns CLU's writer of TensorBoard events, or None where it cannot be had."""
  if importlib.util.find_spec('tensorflow') is None:
    return None
  try:
    import tensorflow
    tensorflow.config.set_visible_devices([], 'GPU')  # it would take all of the memory JAX needs
    from clu import metric_writers
    return metric_writers.SummaryWriter(folder)
  except Exception as error:  # an installation that is broken in any way
    logging.warning('TensorBoard is off: %s', error)
    return None
