"""Writes TensorBoard's event files with tensorboardX, which does not need TensorFlow."""

from collections.abc import Mapping
import contextlib
import os
import socket
import time
from typing import Any
import weakref

from tensorboardX import record_writer, summary
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
    # A name by the second would not do: a resumed run may start within the same one.
    now = time.time_ns()
    name = f'events.out.tfevents.{now // 10**9}.{socket.gethostname()}.{now}'
    self._file = record_writer.RecordWriter(os.path.join(folder, name))
    # The file of a tracker that is never closed is closed with it.
    self._close_silently = weakref.finalize(self, _close_silently, self._file)
    self._write_event(file_version='brain.Event:2')
    self._file.flush()

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    for name, value in scalars.items():
      self._write_event(step=step, summary=summary.scalar(name, value))
    self._file.flush()

  def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
      self._write_event(step=step, summary=summary.text(name, text))
    self._file.flush()

  def write_hparams(self, hparams: Mapping[str, Any]) -> None:
    # Tuples and None have no type there.
    values = {}
    for name, value in hparams.items():
      values[name] = value if isinstance(value, (bool, int, float, str)) else str(value)
    for part in summary.hparams(values, {}):
      self._write_event(step=0, summary=part)
    self._file.flush()

  def flush(self) -> None:
    self._file.flush()

  def close(self) -> None:
    self._close_silently.detach()
    self._file.close()

  def _write_event(self, **fields) -> None:
    event = event_pb2.Event(wall_time=time.time(), **fields)
    self._file.write(event.SerializeToString())


def _close_silently(file: record_writer.RecordWriter) -> None:
  """Closes a file; what a full disk refuses was an error when it was written."""
  with contextlib.suppress(OSError):
    file.close()
