"""Draws data sets once, whole or absent, and reads them back; used by all that are drawn here."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import errno
import io
import os
import re
import shutil
import sys
from typing import Any

from absl import logging
import numpy as np
from PIL import Image
import tensorflow_datasets as tfds
from tensorflow_datasets.core.utils import tqdm_utils

from maskgan_jax import errors

try:
  import fcntl
except ImportError:  # not a POSIX system
  fcntl = None

_CHUNK = 1024  # records read at once


def describe_pairs(
  builder: tfds.core.DatasetBuilder, description: str, side: int, names: Sequence[str]
) -> tfds.core.DatasetInfo:
  """Returns what a set of drawn pairs holds: record i of a and record i of b make pair i.

  Args:
    builder: of the set.
    description: the first sentence; the names of the attributes follow it.
    side: of the pictures, in pixels.
    names: of the attributes.
  """
  picture = tfds.features.Image(shape=(side, side, 3), encoding_format='png')
  features = {
    'image': picture,
    'attributes': tfds.features.Tensor(shape=(len(names),), dtype=np.bool_),
    'recipe': tfds.features.Text(),
  }
  return tfds.core.DatasetInfo(
    builder=builder,
    description=f'{description} The attributes are {", ".join(names)}.',
    features=tfds.features.FeaturesDict(features),
    disable_shuffling=True,
  )


def draw_once(
  builder: Callable[[], tfds.core.DatasetBuilder], folder: str, pictures: str
) -> None:
  """Draws a data set that is not in `folder` yet; once, however many processes ask for it.

  Args:
    builder: makes the builder whose final folder this is.
    folder: may be in a bucket.
    pictures: what messages call them.

  Raises:
    UserError: the system refuses to write.
  """
  if os.path.exists(folder):  # TFDS gives a folder its final name when it is complete
    return
  print(f'drawing {pictures}, once, into {folder}', file=sys.stderr, flush=True)
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
    raise errors.UserError(
      f'cannot draw {pictures} into {folder}: {refusal}; set '
      'config.data.data_dir to a folder that can be written'
    ) from error


def _refusal(error: OSError | RuntimeError) -> str:
  """Returns the system's reason not to write, or '' if the error is not about that."""
  if isinstance(error, OSError):
    return os.strerror(error.errno) if error.errno else str(error)
  # array_record quotes the system in its RuntimeErrors.
  for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS):
    if os.strerror(number) in str(error):
      return os.strerror(number)
  return ''


def read(
  builder: Callable[[], tfds.core.DatasetBuilder], folder: str, split: str
) -> list[dict[str, Any]]:
  """Returns the records of a split of what `draw_once` drew; `image` stays PNG bytes.

  Raises:
    UserError: the files are damaged.
  """
  records = []
  with damage_reported(folder), quiet():
    source = builder().as_data_source(
      split, decoders={'image': tfds.decode.SkipDecoding()}
    )
    for start in range(0, len(source), _CHUNK):
      records += source.__getitems__(range(start, min(start + _CHUNK, len(source))))
  return records


def counts_or_defaults(
  counts: Sequence[int], defaults: Sequence[int]
) -> tuple[int, ...]:
  """Returns the pictures of each split, with the default in the place of 0."""
  return tuple(
    count or default for count, default in zip(counts, defaults, strict=True)
  )


def png(pixels: np.ndarray, **options) -> bytes:
  """Encodes uint8 [H, W, 3] or [H, W] as PNG, with options of Pillow's."""
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'PNG', **options)
  return file.getvalue()


def pixels(encoded: bytes) -> np.ndarray:
  """Decodes what `png` encoded."""
  with Image.open(io.BytesIO(encoded)) as image:
    return np.array(image)


@contextlib.contextmanager
def damage_reported(folder: str) -> Iterator[None]:
  """Turns whatever reading `folder` raises into a UserError that says to delete it."""
  try:
    yield
  except Exception as error:  # of TFDS, protobuf or array_record
    if errors.out_of_memory(error):
      raise
    reason = str(error).partition('\n')[0]
    raise errors.UserError(
      f'{folder} is damaged ({reason}); delete it, and it will be drawn again'
    ) from error


def _remove_incomplete(folder: str) -> None:
  """Removes what killed preparations of `folder` have left beside it, by TFDS's names."""
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
  """Silences TFDS: its prints, its warnings and its progress bars."""
  # TFDS has no public function that tells whether its bars are shown.
  verbosity, progress = logging.get_verbosity(), getattr(tqdm_utils, '_active', True)
  logging.set_verbosity(logging.ERROR)
  tfds.display_progress_bar(False)
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    tfds.display_progress_bar(progress)
    logging.set_verbosity(verbosity)
