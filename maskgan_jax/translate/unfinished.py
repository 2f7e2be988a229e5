"""Results that take long: a folder beside each keeps its parts, so that a kill costs little.

The result gets its name when it is whole.
"""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import json
import os
import shutil
from typing import Any

from maskgan_jax import errors, files

_SETTINGS = 'settings.json'


class Unfinished:
  """The parts of a result, in OUTPUT.part.

  Attributes:
    folder: that folder.
    parts: files of the finished parts, in order.
  """

  def __init__(self, output: str, extension: str):
    """Takes the result's path, and the extension of parts."""
    # Behind a link lies the folder that the result replaces.
    self._output = os.path.realpath(output) if os.path.islink(output) else output
    self._output = self._output.rstrip(os.sep)
    self._extension = extension
    self.folder = f'{self._output}.part'
    self.parts: list[str] = []

  @contextlib.contextmanager
  def opened(
    self, settings: Mapping[str, Any], note: Callable[[str], None]
  ) -> Iterator[None]:
    """Holds the folder for this process; parts that another command made are removed.

    Args:
      settings: of the command, for JSON. The same settings make the same parts.
      note: gets a line where parts are removed.
    """
    path = os.path.join(self.folder, _SETTINGS)
    is_other = os.path.isdir(self.folder) and os.listdir(self.folder)
    if is_other and not os.path.exists(path):
      raise errors.UserError(
        f'{self.folder} is where parts of the result go, but holds other files; move them'
      )
    with files.held(self.folder, 'writes the same result'):
      text = json.dumps(settings, indent=1, sort_keys=True)
      if not os.path.exists(path) or _read(path) != text:
        if self._present():
          note(
            f'{self.folder} holds parts of a result with other settings, which begins anew'
          )
        self._clear()
        files.write_atomically(path, text)
      self.parts = self._present()
      yield

  def _present(self) -> list[str]:
    """Returns the parts that are there without a gap."""
    paths = []
    while os.path.exists(path := self._path(len(paths))):
      paths.append(path)
    return paths

  def _path(self, number: int) -> str:
    return os.path.join(self.folder, f'{number:06d}{self._extension}')

  def _clear(self) -> None:
    """Removes all but the lock."""
    for name in os.listdir(self.folder):
      path = os.path.join(self.folder, name)
      if os.path.isdir(path):
        shutil.rmtree(path)
      elif not name.startswith('.'):
        os.remove(path)

  def add(self, data: bytes) -> None:
    """Writes the next part."""
    path = self._path(len(self.parts))
    files.write_atomically(path, data)
    self.parts.append(path)

  def finish(self, join: Callable[[str], None]) -> None:
    """Gives the result its name, and removes the parts.

    Args:
      join: makes the result of all parts at the path that it gets.
    """
    whole = os.path.join(self.folder, f'whole{os.path.splitext(self._output)[1]}')
    if os.path.isdir(whole):
      shutil.rmtree(whole)
    try:
      join(whole)
      if os.path.isdir(self._output):
        os.rmdir(self._output)  # it is empty; not every system renames onto it
      os.replace(whole, self._output)
    except OSError as error:
      raise errors.UserError(
        f'cannot write {self._output}: {error.strerror or error}'
      ) from error
    shutil.rmtree(self.folder, ignore_errors=True)


def _read(path: str) -> str:
  with open(path, encoding='utf-8') as file:
    return file.read()
