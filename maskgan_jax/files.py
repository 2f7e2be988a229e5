"""Files that are whole or absent: nothing half-written ever has its final name."""

from collections.abc import Iterable, Iterator
import contextlib
import os
import tempfile

from maskgan_jax import errors


@contextlib.contextmanager
def held(folder: str | os.PathLike, what: str) -> Iterator[None]:
  """Holds `folder` for this process until the end of the block or of the process.

  UserError if another process holds it: `what` says what that one does. Where files cannot be
  locked, nothing is held.
  """
  try:
    os.makedirs(folder, exist_ok=True)
    file = open(os.path.join(folder, '.lock'), 'w', encoding='utf-8')  # noqa: SIM115
  except OSError as error:
    raise errors.UserError(f'cannot write into {folder}: {error.strerror or error}') from error
  with file:
    try:
      import fcntl
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise errors.UserError(f'another process {what} in {folder}; wait for it, stop it, or choose '
                             'another folder') from None
    except (ImportError, OSError):
      pass
    yield


def check_output(path: str | os.PathLike, inputs: Iterable[str | os.PathLike] = ()) -> None:
  """UserError if a command's output would be a hidden file, or would replace one of `inputs`."""
  path = os.fspath(path)
  base = os.path.basename(path)
  if base.startswith('.') and base.strip('.') and not os.path.isdir(path):
    raise errors.UserError(f'--output={path}: a file called {base} would be hidden; write a name '
                           'before the dot, or for a folder a slash at the end')
  if os.path.exists(path) and any(os.path.exists(file) and os.path.samefile(path, file)
                                  for file in inputs if file):
    raise errors.UserError(f'--output={path} is one of the inputs; choose another name')


def write_atomically(path: str | os.PathLike, data: bytes | str) -> None:
  """Writes `data` beside `path` and renames it into place; UserError if the disk refuses.

  A link is followed. What is no ordinary file, a device say, is never replaced.
  """
  given, temporary = os.fspath(path), None
  try:
    path = os.path.realpath(given)
    folder = os.path.dirname(path)
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
      raise errors.UserError(f'{given} is no ordinary file; choose another name')
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix='.' + os.path.basename(path) + '.')
    with os.fdopen(handle, 'wb') as file:
      file.write(data.encode() if isinstance(data, str) else data)
      file.flush()
      os.fsync(file.fileno())
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(temporary, 0o666 & ~umask)  # mkstemp's 0600 would hide results from other readers
    os.replace(temporary, path)
  except (OSError, ValueError) as error:  # the latter of a name that no file can have
    if temporary:
      with contextlib.suppress(OSError):
        os.unlink(temporary)
    reason = getattr(error, 'strerror', None) or error
    raise errors.UserError(f'cannot write {given}: {reason}') from error
