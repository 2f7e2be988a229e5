"""Being told to stop: by a scheduler's SIGTERM or by Ctrl-C, at any moment of a training."""

from collections import deque
from collections.abc import Callable
import os
import signal
import sys
import threading
from typing import Any

import jax

from maskgan_jax import errors, files

_LAG = 2  # steps after which processes read what they agreed on: none waits for the newest
_POLL_SECONDS = 0.1


class StopRequest:
  """Whether SIGTERM or SIGINT asked the run to stop; all processes agree on the step.

  What processes were told travels over the devices beside each step, and is read a fixed number of
  steps later: so all save the same step, whichever of them was told. (JAX's preemption service
  would do as much between steps, but says nothing before the next one.) A second SIGINT interrupts
  at once.

  Attributes:
    told: whether this process was told to stop.
    unsaved: whether something was done that no checkpoint has; while nothing was, a process that is
      alone exits at once with 75.
  """

  def __init__(self, told: bool = False):
    self._saved = 'told to stop before the first step; nothing is lost'
    self.told = told
    self._several = jax.process_count() > 1
    self._agreed: deque[jax.Array] = deque()
    self._before = {}
    self.unsaved = False
    if threading.current_thread() is threading.main_thread():
      # (Notebooks and tests may train in a thread, where signals cannot be handled.)
      for number, handler in ((signal.SIGINT, self._interrupt), (signal.SIGTERM, self._terminate)):
        self._before[number] = signal.signal(number, handler)

  def _terminate(self, *_):
    if not self.unsaved and not self._several:
      print(self._saved, file=sys.stderr, flush=True)
      files.remove_temporaries()
      os._exit(75)
    self.told = True

  def _interrupt(self, *_):
    signal.signal(signal.SIGINT, self._before[signal.SIGINT])
    self._terminate()

  def all_is_saved(self, step: int) -> None:
    """There is a checkpoint of all that was done."""
    self.unsaved = False
    self._saved = (f'told to stop; all {step} steps so far are saved, and the same command goes on '
                   'from there')

  def reached(self, any_process: Callable[[bool], jax.Array]) -> bool:
    """True where every process must save and stop; to be asked once after every step.

    Args:
      any_process: `Parallel.any`.
    """
    if not self._several:
      return self.told
    self._agreed.append(any_process(self.told))
    return len(self._agreed) > _LAG and bool(self._agreed.popleft())

  def poll(self) -> None:
    """Raises Preempted if this process was told to stop; for long work between two steps."""
    if self.told:
      raise errors.Preempted(self._saved)

  def hearing(self, function: Callable[[], Any], *, drop: bool = True) -> Any:
    """function(), in a thread of its own: a compiler, say, holds off the signals of the thread that
    it runs in, for minutes.

    With `drop`, Preempted as soon as this process is told to stop; the function may then still run
    on, until the process ends.
    """
    if not self._before:
      return function()
    outcome = {}

    def work():
      try:
        outcome['value'] = function()
      except BaseException as error:
        outcome['error'] = error
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
    """Gives the signals back, with a SIGTERM that came too late to stop the last step."""
    for number, handler in self._before.items():
      signal.signal(number, handler)
    earlier = self._before.get(signal.SIGTERM)
    if self.told and callable(earlier):  # of a sweep, say, which has more to train
      earlier(signal.SIGTERM, None)
    self._before = {}
