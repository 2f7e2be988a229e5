"""Stopping at any moment of a training: on a scheduler's SIGTERM or on Ctrl-C."""

from collections import deque
from collections.abc import Callable
import os
import signal
import sys
import threading
from typing import Any

import jax

import maskgan_jax
from maskgan_jax import errors, files

# Steps after which processes read their agreement: none waits for the newest step.
_LAG = 2
_POLL_SECONDS = 0.1


class StopRequest:
  """Whether SIGTERM or SIGINT asked the run to stop; all processes agree on the step.

  The requests of all processes travel over the devices beside each step, and are read a
  fixed number of steps later: so all processes save the same step, whichever got the
  signal. (JAX's preemption service would do as much between steps, but it says nothing
  before the next one.) A second SIGINT interrupts at once.

  Attributes:
    requested: whether this process got a signal.
    unsaved: whether there is work that no checkpoint has. Without such work, a process
      that is alone exits with 75 as soon as it gets a signal.
  """

  def __init__(self, requested: bool = False):
    self.requested = requested
    self.unsaved = False
    self._message = 'stopped before the first step; nothing is lost'
    self._several = jax.process_count() > 1
    self._agreed: deque[jax.Array] = deque()
    self._earlier_handlers = {}
    # Notebooks and tests may train in another thread, where signals cannot be handled.
    if threading.current_thread() is threading.main_thread():
      for number, handler in (
        (signal.SIGINT, self._interrupt),
        (signal.SIGTERM, self._terminate),
      ):
        self._earlier_handlers[number] = signal.signal(number, handler)

  def _terminate(self, *_):
    if not self.unsaved and not self._several:
      print(self._message, file=sys.stderr, flush=True)
      files.remove_temporaries()
      os._exit(75)
    self.requested = True

  def _interrupt(self, *_):
    signal.signal(signal.SIGINT, self._earlier_handlers[signal.SIGINT])
    self._terminate()

  def all_is_saved(self, step: int) -> None:
    """Notes that a checkpoint has everything up to `step`."""
    self.unsaved = False
    self._message = (
      f'stopped; all {step} steps so far are saved, and the same command goes on '
      'from there'
    )

  def reached(self, any_process: Callable[[bool], jax.Array]) -> bool:
    """Returns whether every process must save and stop; ask once after every step.

    Args:
      any_process: `Parallel.any`.
    """
    if not self._several:
      return self.requested
    self._agreed.append(any_process(self.requested))
    return len(self._agreed) > _LAG and bool(self._agreed.popleft())

  def poll(self) -> None:
    """Raises Preempted if this process got a signal; for long work between two steps."""
    if self.requested:
      raise errors.Preempted(self._message)

  def hearing(self, function: Callable[[], Any], *, drop: bool = True) -> Any:
    """Returns function(), which runs in a thread while this one hears signals.

    A compiler, say, holds off the signals of its own thread for minutes. With `drop`, this
    raises Preempted as soon as the process gets a signal; the function may then run on
    until the process ends.
    """
    if not self._earlier_handlers:
      return function()
    outcome = {}

    def work():
      try:
        outcome['value'] = function()
      except BaseException as error:
        outcome['error'] = error

    # This thread polls: Python runs the handlers of signals in the main thread only.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
      thread.join(_POLL_SECONDS)
      if drop and thread.is_alive():
        self.poll()
    if 'error' in outcome:
      raise outcome['error']
    return outcome['value']

  def close(self) -> None:
    """Restores the earlier handlers, and passes on a SIGTERM that came in the last step."""
    for number, handler in self._earlier_handlers.items():
      signal.signal(number, handler)
    earlier = self._earlier_handlers.get(signal.SIGTERM)
    # It may be the handler of a sweep, which has more to train. That of a command that loads
    # would end the process before its caller has measured the run.
    is_waiting = callable(earlier) and earlier is not maskgan_jax.end_before_work
    if self.requested and is_waiting:
      earlier(signal.SIGTERM, None)
    self._earlier_handlers = {}
