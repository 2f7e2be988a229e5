"""Writes TensorBoard's event files with tensorboardX, which does not need TensorFlow."""

from collections.abc import Mapping
import os
import time
from typing import Any
import weakref

from tensorboardX import event_file_writer, summary
from tensorboardX.proto import event_pb2

from maskgan_jax.runs import metric_writers


class TensorBoard(metric_writers.Tracker):
  """Writes `tensorboard/` in the folder of a run.

  Events go to the disk in the calling thread: tensorboardX's own SummaryWriter has a thread for
  them, and where the disk is full that thread ends and training waits for it forever.
  """

  def __init__(self, workdir: str):
    folder = os.path.join(workdir, 'tensorboard')
    os.makedirs(folder, exist_ok=True)
    # tensorboardX names files by the second: a resumed run may start within the same one.
    self._file = event_file_writer.EventsWriter(
      os.path.join(folder, 'events'), f'.{time.time_ns()}'
    )
    self._file.flush()
    # The file of a training that fails is closed, too.
    self._close = weakref.finalize(self, self._file.close)

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    for name, value in scalars.items():
      self._write(summary.scalar(name, value), step)
    self._file.flush()

  def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
      self._write(summary.text(name, text), step)
    self._file.flush()

  def write_hparams(self, hparams: Mapping[str, Any]) -> None:
    # Tuples and None have no type there.
    values = {}
    for name, value in hparams.items():
      values[name] = value if isinstance(value, (bool, int, float, str)) else str(value)
    for part in summary.hparams(values, {}):
      self._write(part, 0)
    self._file.flush()

  def flush(self) -> None:
    self._file.flush()

  def close(self) -> None:
    self._close()

  def _write(self, part, step: int) -> None:
    event = event_pb2.Event(wall_time=time.time(), step=step, summary=part)
    self._file.write_event(event)
