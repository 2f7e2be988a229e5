"""What builders that draw themselves have in common: drawn once, whole or absent, quietly."""

from collections.abc import Callable, Iterator
import contextlib
import errno
import io
import os
import re
import shutil
import sys

from absl import logging
import tensorflow_datasets as tfds
from tensorflow_datasets.core.utils import tqdm_utils

from maskgan_jax import errors

try:
  import fcntl
except ImportError:  # not a POSIX system
  fcntl = None


def draw_once(builder: Callable[[], tfds.core.DatasetBuilder], folder: str, what: str) -> None:
  """Draws what is not in `folder` yet; once, however many processes ask for it.

  Args:
    builder: makes the builder whose final folder this is.
    folder: may be in a bucket.
    what: is drawn, for messages.

  Raises:
    UserError: the system refuses to write.
  """
  if os.path.exists(folder):  # TFDS gives a folder its final name when all is in it
    return
  print(f'drawing {what}, once, into {folder}', file=sys.stderr, flush=True)
  try:
    with _locked(os.path.dirname(folder) + '.lock') as alone, quiet():
      if alone:
        _remove_incomplete(folder)
      # Does nothing if another process has drawn them while this one waited.
      builder().download_and_prepare()
  except (OSError, RuntimeError) as error:
    if os.path.exists(folder):  # where nothing is locked: another process was faster
      return
    refusal = _refusal(error)
    if not refusal:
      raise
    raise errors.UserError(f'cannot draw {what} into {folder}: {refusal}; set '
                           'config.data.data_dir to a folder that can be written') from error


def _refusal(error: OSError | RuntimeError) -> str:
  """Returns the system's reason not to write, or '' if the error is not about that."""
  if isinstance(error, OSError):
    return os.strerror(error.errno) if error.errno else str(error)
  # array_record quotes the system in its RuntimeErrors.
  reasons = map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS))
  return next((reason for reason in reasons if reason in str(error)), '')


@contextlib.contextmanager
def damage_reported(folder: str) -> Iterator[None]:
  """Turns whatever reading `folder` raises into a UserError that says to delete it."""
  try:
    yield
  except Exception as error:  # TFDS, protobuf and array_record each have their own
    if errors.out_of_memory(error):
      raise
    reason = str(error).partition('\n')[0]
    raise errors.UserError(f'{folder} is damaged ({reason}); delete it, and it will be drawn '
                           'again') from error


def _remove_incomplete(folder: str) -> None:
  """Removes what preparations of `folder` that were killed have left beside it, by TFDS's names."""
  parent, name = os.path.split(folder)
  with contextlib.suppress(FileNotFoundError):
    for entry in os.listdir(parent):
      if re.fullmatch(rf'incomplete\.[A-Z0-9]+_{re.escape(name)}', entry):
        shutil.rmtree(os.path.join(parent, entry), ignore_errors=True)


@contextlib.contextmanager
def _locked(path: str) -> Iterator[bool]:
  """Waits until no other process holds the lock file; the system frees it when a holder dies.

  Yields whether it is held now: where nothing can be locked, others may be at work.
  """
  if fcntl is None or '://' in path:  # a bucket has no locks
    yield False
    return
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, 'w') as file:
    held = False
    with contextlib.suppress(OSError):  # some network disks have none either
      fcntl.flock(file, fcntl.LOCK_EX)
      held = True
    yield held


@contextlib.contextmanager
def quiet() -> Iterator[None]:
  """Keeps TFDS from telling what it does: its prints, its warnings and its progress bars."""
  verbosity, progress = logging.get_verbosity(), getattr(tqdm_utils, '_active', True)
  logging.set_verbosity(logging.ERROR)
  tfds.display_progress_bar(False)
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    tfds.display_progress_bar(progress)
    logging.set_verbosity(verbosity)
