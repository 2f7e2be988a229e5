"""Errors that a command turns into one clear line, and the hint that goes with a misspelt name."""

from collections.abc import Iterable
import difflib


class UserError(Exception):
  """A user's mistake: the message says what is wrong, where, and what to do. Exit code 2."""


class Preempted(Exception):
  """The run was told to stop and has saved its state; starting it again resumes. Exit code 75."""


def nearest(name: str, choices: Iterable[str]) -> str:
  """Returns " (did you mean 'x'?)" for the choice most like `name`, or "" if none is alike."""
  found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
  return f" (did you mean '{found[0]}'?)" if found else ''
