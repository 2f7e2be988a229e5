"""Silences messages of Orbax and TensorStore that only repeat what `checkpoints` raises."""

import functools
import logging as python_logging
import sys

from absl import logging


@functools.cache
def silence() -> None:
  """Drops Orbax's own messages, and TensorStore's complaint that its event loop is closed."""
  logging.get_absl_logger().addFilter(_without_orbax)
  _ignore_late_writes()


def silence_abandoned_writes() -> None:
  """Silences asyncio, which logs a traceback for every abandoned write."""
  python_logging.getLogger('asyncio').setLevel(python_logging.CRITICAL)


def _without_orbax(record: python_logging.LogRecord) -> bool:
  """Returns whether a message is to be logged; Orbax raises what it logs with a traceback, too."""
  return (
    'orbax/checkpoint/' not in record.pathname
    or logging.get_verbosity() >= logging.INFO
  )


def _ignore_late_writes() -> None:
  """Ignores an error that TensorStore's threads raise at any time after the error itself."""
  previous = sys.unraisablehook

  def hook(unraisable):
    if (
      unraisable.object is not None
      or str(unraisable.exc_value) != 'Event loop is closed'
    ):
      previous(unraisable)

  sys.unraisablehook = hook
