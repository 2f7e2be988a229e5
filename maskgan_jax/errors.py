"""Errors that a command turns into one clear line, and the hint that goes with a misspelt name."""

from collections.abc import Iterable, Sequence
import difflib
import errno
import re


class UserError(Exception):
  """A user's mistake: the message says what is wrong, where, and what to do. Exit code 2."""


class NotFiniteError(UserError):
  """A model computes NaN or infinite values, or its training does.

  Attributes:
    examples: numbers of the examples for which it does; () in training.
  """

  def __init__(self, message: str, examples: Iterable[int]):
    super().__init__(message)
    self.examples = tuple(examples)

  def naming(self, paths: Sequence[str]) -> 'NotFiniteError':
    """Returns the error with the first picture concerned, of `paths` one for each example."""
    return NotFiniteError(
      f'{self}; the first is {paths[self.examples[0]]}', self.examples
    )


class Preempted(Exception):
  """The run was asked to stop and has saved its state; starting it again resumes. Exit code 75."""


def out_of_memory(error: BaseException | None) -> str:
  """Returns the line that says how memory is lacking, here or on a device, or ''.

  It is that of the error or of one of its causes. A UserError speaks for itself.
  """
  # JAX reports a device's memory as text, and the system a host's as a number.
  while error is not None and not isinstance(error, UserError):
    text = str(error).strip() or 'the system gives no more'
    is_host = (
      isinstance(error, MemoryError) or getattr(error, 'errno', None) == errno.ENOMEM
    )
    if is_host or 'RESOURCE_EXHAUSTED' in text:
      line = text.splitlines()[0].removeprefix('RESOURCE_EXHAUSTED: ').rstrip('.')[:200]
      return re.sub(r'(\d{7,}) bytes', _gibibytes, line)
    error = error.__cause__
  return ''


def _gibibytes(size: re.Match) -> str:
  return f'{int(size[1]) / 2**30:.2f} GiB'


def nearest(name: str, choices: Iterable[str]) -> str:
  """Returns " (did you mean 'x'?)" for the choice most like `name`, or "" if none is alike."""
  similar = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
  return f" (did you mean '{similar[0]}'?)" if similar else ''
