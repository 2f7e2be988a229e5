"""Files that are whole or absent: nothing half-written ever has its final name."""

from collections.abc import Iterable, Iterator
import contextlib
import errno
import glob
import os
import shutil
import stat
import tempfile
from typing import IO
import weakref

from maskgan_jax import errors

try:
  import fcntl
except ImportError:  # not a POSIX system
  fcntl = None

_LOCK = '.lock'
_MOST_NAMED = 32  # characters, of up to 4 bytes each, of a name in its temporary one
_temporary: set[str] = set()  # unfinished files and folders of this process


@contextlib.contextmanager
def held(folder: str | os.PathLike, activity: str) -> Iterator[None]:
  """Holds `folder` for this process until the end of the block or of the process.

  Where files cannot be locked, nothing is held.

  Args:
    folder: made if it is not there.
    activity: what the process does in it, such as 'trains', for the message of another process.
  Raises:
    UserError: another process holds the folder.
  """
  try:
    os.makedirs(folder, exist_ok=True)
    file = open(os.path.join(folder, _LOCK), 'w', encoding='utf-8')  # noqa: SIM115
  except OSError as error:
    raise errors.UserError(
      f'cannot write into {folder}: {error.strerror or error}'
    ) from error
  with file:
    try:
      _lock(file)
    except BlockingIOError:
      raise errors.UserError(
        f'another process {activity} in {folder}; wait for it, stop it, or '
        'choose another folder'
      ) from None
    except OSError:
      pass
    yield


def check_output(
  path: str | os.PathLike, inputs: Iterable[str | os.PathLike] = ()
) -> None:
  """Raises a UserError if an output would be hidden, cannot be made or would replace an input."""
  path = os.fspath(path)
  base = os.path.basename(path)
  if base.startswith('.') and base.strip('.') and not os.path.isdir(path):
    raise errors.UserError(
      f'--output={path}: a file called {base} would be hidden; write a name '
      'before the dot, or for a folder a slash at the end'
    )
  check_name(path)
  for file in filter(None, inputs):
    both_exist = os.path.exists(path) and os.path.exists(file)
    if both_exist and os.path.samefile(path, file):
      raise errors.UserError(
        f'--output={path} is one of the inputs; choose another name'
      )


def check_name(path: str | os.PathLike) -> None:
  """Raises a UserError if nothing can be made at `path`, whatever it holds.

  A name may be too long, or a part of the path may be a file. A slash at the end asks for a folder.
  """
  path = os.fspath(path)
  folder, missing = path, []
  while not os.path.exists(folder or os.curdir):
    folder, name = os.path.split(folder)
    missing.append(name)
  if missing and not os.path.isdir(folder or os.curdir):
    raise errors.UserError(
      f'cannot write {path}: {folder} is {_kind(folder)}, not a folder; '
      'choose another --output'
    )

  # Below a folder that is absent the system does not look at names.
  for place in (path, *(os.path.join(folder, name) for name in missing)):
    try:
      os.lstat(place)
    except FileNotFoundError:
      continue
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
      reason = getattr(error, 'strerror', None) or error
      is_long = getattr(error, 'errno', None) == errno.ENAMETOOLONG
      remedy = '; shorten it' if is_long else ''
      raise errors.UserError(f'cannot write {path}: {reason}{remedy}') from error


def _kind(path: str) -> str:
  """Returns what is at `path`, which is not a folder: 'a file', 'a pipe' or 'a device'."""
  mode = os.stat(path).st_mode
  if stat.S_ISREG(mode):
    return 'a file'
  return 'a pipe' if stat.S_ISFIFO(mode) else 'a device'


def _lock(file) -> None:
  """Locks an open file until it is closed; BlockingIOError if another process holds it."""
  if fcntl is None:
    raise OSError('this system cannot lock files')
  fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class ProcessFolder:
  """A temporary folder that is removed with this object, at the latest at the end of its process.

  A process that is killed leaves its folder behind; the next one that asks for the same prefix
  removes it. A lock in the folder tells whether its process lives: the system frees it at the end.

  Attributes:
    name: path of the folder.
  """

  def __init__(self, prefix: str):
    _remove_abandoned(prefix)
    self.name = tempfile.mkdtemp(prefix=prefix)
    _temporary.add(self.name)
    # The lock gets its name once it is locked: no other process finds the folder abandoned.
    unlocked = os.path.join(self.name, '.unlocked')
    lock = open(unlocked, 'w', encoding='utf-8')  # noqa: SIM115
    with contextlib.suppress(OSError):
      _lock(lock)
      os.rename(unlocked, os.path.join(self.name, _LOCK))
    self.remove = weakref.finalize(self, _remove, self.name, lock)


def _remove_abandoned(prefix: str) -> None:
  """Removes this user's `ProcessFolder`s whose process has ended."""
  pattern = os.path.join(
    glob.escape(tempfile.gettempdir()), f'{glob.escape(prefix)}*', _LOCK
  )
  for path in glob.glob(pattern):
    folder = os.path.dirname(path)
    # A folder may be held, or cannot be locked, or went meanwhile.
    with contextlib.suppress(OSError):
      if os.lstat(folder).st_uid == os.getuid():
        with open(path, 'r+', encoding='utf-8') as file:
          _lock(file)
          shutil.rmtree(folder, ignore_errors=True)


def _remove(path: str, lock: IO | None = None) -> None:
  """Removes a temporary file or folder, also one that other threads still write into."""
  # Threads that still write may add files while the folder is removed.
  for _ in range(10):
    if os.path.isdir(path):
      shutil.rmtree(path, ignore_errors=True)
    else:
      with contextlib.suppress(OSError):
        os.unlink(path)
    if not os.path.lexists(path):
      break
  _temporary.discard(path)
  if lock:
    lock.close()


def remove_temporaries() -> None:
  """Removes this process's unfinished files; a process that ends at once calls this before."""
  for path in list(_temporary):
    _remove(path)


@contextlib.contextmanager
def folder_atomically(folder: str | os.PathLike) -> Iterator[str]:
  """Yields a folder to fill that is renamed to `folder` at the end of the block.

  It is removed if the block raises. UserError if the disk refuses, or `folder` is not empty.
  """
  name, temporary = os.fspath(folder), None
  try:
    folder = os.path.realpath(name)  # a link stays one
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    temporary = tempfile.mkdtemp(dir=os.path.dirname(folder), prefix=_prefix(folder))
    _temporary.add(temporary)
    yield temporary
    os.chmod(temporary, 0o777 & ~_umask())  # mkdtemp's 0700 would hide it from others
    if os.path.isdir(folder):
      os.rmdir(folder)  # not every system renames onto it
    os.rename(temporary, folder)
  except OSError as error:
    raise errors.UserError(f'cannot write {name}: {error.strerror or error}') from error
  finally:
    if temporary:
      _remove(temporary)  # is gone if all went well


def write_atomically(path: str | os.PathLike, data: bytes | str) -> None:
  """Writes `data` beside `path` and renames it into place; UserError if the disk refuses.

  A link is followed. What is not an ordinary file, such as a device, is never replaced.
  """
  name, temporary = os.fspath(path), None
  try:
    path = os.path.realpath(name)
    folder = os.path.dirname(path)
    is_usual = os.path.isfile(path) or os.path.isdir(path)
    if os.path.exists(path) and not is_usual:
      raise errors.UserError(f'{name} is not an ordinary file; choose another name')
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=_prefix(path))
    _temporary.add(temporary)
    with os.fdopen(handle, 'wb') as file:
      file.write(data.encode() if isinstance(data, str) else data)
      file.flush()
      os.fsync(file.fileno())
    # The 0600 of mkstemp would hide results from others.
    os.chmod(temporary, 0o666 & ~_umask())
    os.replace(temporary, path)
    _temporary.discard(temporary)
  except (OSError, ValueError) as error:  # ValueError: a name that no file can have
    if temporary:
      _remove(temporary)
    reason = getattr(error, 'strerror', None) or error
    raise errors.UserError(f'cannot write {name}: {reason}') from error


def _prefix(path: str) -> str:
  """Returns the beginning of a hidden temporary name, which is never too long if `path` is not."""
  return f'.{os.path.basename(path)[:_MOST_NAMED]}.'


def _umask() -> int:
  """Returns the process's umask, which can only be read by setting it."""
  umask = os.umask(0)
  os.umask(umask)
  return umask
