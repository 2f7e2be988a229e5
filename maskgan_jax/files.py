"""Files that are whole or absent: nothing half-written ever has its final name."""

import contextlib
import os
import tempfile

from maskgan_jax import errors


def write_atomically(path: str | os.PathLike, data: bytes | str) -> None:
  """Writes `data` beside `path` and renames it into place; UserError if the disk refuses."""
  path = os.fspath(path)
  folder = os.path.dirname(path) or '.'
  temporary = None
  try:
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
  except OSError as error:
    if temporary:
      with contextlib.suppress(OSError):
        os.unlink(temporary)
    raise errors.UserError(f'cannot write {path}: {error.strerror or error}') from error
