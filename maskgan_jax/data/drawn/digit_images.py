"""Handwritten digits in grey: MNIST's IDX files, TFDS's `mnist`, or scikit-learn's small set."""

from collections.abc import Callable
import dataclasses
import functools
import gzip
import hashlib
import itertools
import math
import os
import types
import zlib

import numpy as np
from PIL import Image

from maskgan_jax import errors
from maskgan_jax.data import images
from maskgan_jax.data.records import Listing, SPLITS
from maskgan_jax.data.sources import files as file_records

SIDE = 28  # pixels

_FILES = {
  'train': ('train-images-idx3-ubyte', 'train-labels-idx1-ubyte'),
  'test': ('t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte'),
}
_EMBEDDED_TEST = 297  # the last of 1,797, which leaves 1,500 to train on
_EMBEDDED_SIDE = 20  # pixels, of the 28: MNIST's digits fill as much


@dataclasses.dataclass(frozen=True)
class Digits:
  """N digits: pictures uint8 [N, 28, 28], bright on black, and labels uint8 [N] in 0..9."""

  images: np.ndarray
  labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Origin:
  """Where digits are from.

  Attributes:
    name: e.g. 'embedded' or 'idx-1a2b3c4d'; differs wherever a digit does.
    load: returns the digits by split, 'train' and 'test'; UserError if they are damaged.
    remark: what a user should know about them, or ''.
  """

  name: str
  load: Callable[[], dict[str, Digits]]
  remark: str = ''


def open_digits(digits: str, *, path: str = '', data_dir: str = '') -> Origin:
  """Finds the digits that config.data asks for.

  Args:
    digits: 'embedded', 'idx' or 'tfds'.
    path: 'idx': the folder with MNIST's four files, gzipped or not.
    data_dir: 'tfds': where TFDS keeps its data; '' = its own choice.

  Raises:
    UserError: digits that are not there, or files that do not hold them.
  """
  if digits == 'embedded':
    return EMBEDDED
  if digits == 'idx':
    return _open_idx(path)
  return _open_tfds(data_dir)


def load_embedded() -> dict[str, Digits]:
  """Returns scikit-learn's digits, 8x8 of 17 levels, enlarged to the size of MNIST's."""
  from sklearn import datasets  # here: it takes a second

  # Levels 0 to 16 become 0 to 255 before the pictures are enlarged.
  dataset = datasets.load_digits()
  shape = _EMBEDDED_SIDE, _EMBEDDED_SIDE
  enlarged = []
  for grey in np.rint(dataset.images * (255 / 16)).astype(np.uint8):
    enlarged.append(Image.fromarray(grey).resize(shape, Image.Resampling.BICUBIC))
  margin = (SIDE - _EMBEDDED_SIDE) // 2
  sides = (margin, margin)
  pictures = np.pad(np.stack(enlarged), ((0, 0), sides, sides))
  labels = dataset.target.astype(np.uint8)
  return {
    'train': Digits(pictures[:-_EMBEDDED_TEST], labels[:-_EMBEDDED_TEST]),
    'test': Digits(pictures[-_EMBEDDED_TEST:], labels[-_EMBEDDED_TEST:]),
  }


# Without a hash, so that scikit-learn need not be imported: its digits never change.
EMBEDDED = Origin('embedded', load_embedded, "scikit-learn's 1,797 digits, not MNIST")


def _open_idx(path: str) -> Origin:
  """Reads MNIST's four files."""
  # The origin's name has a hash of the contents, so that other files draw other sets.
  folder = file_records.check_folder(path, 'config.data.path')
  digits_by_split = {}
  digest = hashlib.sha256()
  for split, names in _FILES.items():
    digits = _read_split(folder, *names)
    digest.update(digits.images.tobytes() + digits.labels.tobytes())
    digits_by_split[split] = digits
  return Origin(f'idx-{digest.hexdigest()[:8]}', lambda: digits_by_split)


def _read_split(folder: str, images_name: str, labels_name: str) -> Digits:
  """Reads the pictures and labels of a split; UserError if they do not belong together."""
  pictures = _read_idx(folder, images_name, 3)
  labels = _read_idx(folder, labels_name, 1)
  if pictures.shape[1:] != (SIDE, SIDE):
    height, width = pictures.shape[1:]
    raise errors.UserError(
      f'{os.path.join(folder, images_name)} has pictures of {width}x{height} '
      f'pixels; expected {SIDE}x{SIDE}'
    )

  # The two files must belong together.
  if len(pictures) != len(labels):
    raise errors.UserError(
      f'{folder} has {len(pictures)} pictures in {images_name} but '
      f'{len(labels)} labels in {labels_name}; they are not of one set'
    )
  if not len(labels) or labels.max() > 9:
    problem = f'a label {labels.max()}' if len(labels) else 'no labels'
    raise errors.UserError(
      f'{os.path.join(folder, labels_name)} has {problem}; expected the digits 0 to 9'
    )
  return Digits(pictures, labels)


def _read_idx(folder: str, name: str, dimensions: int) -> np.ndarray:
  """Reads an IDX file of bytes, gzipped or not, into an array of 3 or 1 dimensions."""
  path, data = _read_unpacked(folder, name)
  magic = bytes((0, 0, 8, dimensions))  # 8: unsigned bytes
  if data[:4] != magic:
    kind = 'pictures' if dimensions == 3 else 'labels'
    raise errors.UserError(
      f'{path} begins with {data[:4].hex() or "nothing"}, an IDX file of '
      f'{kind} with {magic.hex()}; it is another file, or is damaged'
    )
  start = 4 + 4 * dimensions
  shape = [1] * dimensions
  if len(data) >= start:
    shape = np.frombuffer(data[4:start], '>u4', dimensions).tolist()
  if len(data) - start != math.prod(shape):
    raise errors.UserError(
      f'{path} is damaged: {max(len(data) - start, 0)} bytes follow its '
      f'header, which promises {"x".join(map(str, shape))}; fetch it again'
    )
  return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _read_unpacked(folder: str, name: str) -> tuple[str, bytes]:
  """Returns the path and the contents of a file that may be gzipped.

  The contents decide whether it is, since browsers may unpack what they fetch and keep the name.
  """
  paths = [os.path.join(folder, name), os.path.join(folder, f'{name}.gz')]
  present = list(filter(os.path.isfile, paths))
  if not present:
    hint = images.nearest_path(paths[1]) or images.nearest_path(paths[0])
    names = ', '.join(itertools.chain(*_FILES.values()))
    raise errors.UserError(
      f'config.data.path={folder!r} has no {name} and no {name}.gz{hint}; '
      f'MNIST is four files: {names}'
    )

  # Two bytes begin every gzipped file.
  path = present[0]
  try:
    with open(path, 'rb') as file:
      data = file.read()
    if data[:2] == b'\x1f\x8b':
      data = gzip.decompress(data)
  except (EOFError, zlib.error, gzip.BadGzipFile) as error:
    raise errors.UserError(
      f'{path} is damaged or cut short ({error}); fetch it again'
    ) from error
  except OSError as error:
    raise errors.UserError(
      f'{path} cannot be read: {error.strerror or error}'
    ) from error
  return path, data


def _open_tfds(data_dir: str) -> Origin:
  """Finds TFDS's `mnist`, and hashes its files."""
  from maskgan_jax.data.sources import tfds as tfds_source

  # Only the files are hashed here; pictures are decoded when a set is drawn.
  folder = os.fspath(tfds_source.open_builder('mnist', data_dir).data_dir)
  digest = hashlib.sha256()
  for name in sorted(os.listdir(folder)):
    if '.array_record' in name:
      with open(os.path.join(folder, name), 'rb') as file:
        digest.update(file.read())
  return Origin(
    f'tfds-{digest.hexdigest()[:8]}',
    functools.partial(_load_tfds, data_dir, folder),
    "TFDS keeps MNIST in an order of its own; config.data.digits='idx' gives the very "
    'pictures of the paper',
  )


def _load_tfds(data_dir: str, folder: str) -> dict[str, Digits]:
  """Reads TFDS's `mnist`, which is prepared in `folder`."""
  from maskgan_jax.data.sources import tfds as tfds_source

  settings = types.SimpleNamespace(
    name='mnist', data_dir=data_dir, max_pixels=images.MAX_PIXELS
  )
  try:
    listing = tfds_source.open_tfds(settings)
    return {split: _of_split(listing, split) for split in ('train', 'test')}
  except errors.UserError:
    raise
  except Exception as error:  # of TFDS, protobuf or array_record
    if errors.out_of_memory(error):
      raise
    reason = str(error).partition('\n')[0]
    raise errors.UserError(
      f'{folder} is damaged ({reason}); delete it and prepare it again'
    ) from error


def _of_split(listing: Listing, split: str) -> Digits:
  """Returns the digits of a split; the attributes of each record are its label, one of ten."""
  members = np.flatnonzero(listing.splits == SPLITS.index(split))
  pictures = [listing.records.image(int(index))[..., 0] for index in members]
  labels = listing.records.attributes[members].argmax(axis=1).astype(np.uint8)
  return Digits(np.stack(pictures), labels)
