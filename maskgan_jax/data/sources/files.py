"""Records that are picture files under one folder, with masks in another; and listing folders."""

import collections
from collections.abc import Callable, Iterable, Mapping, Sequence
import hashlib
import os

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import images, transforms
from maskgan_jax.data.records import Records

_SIZED = 1024  # files whose size enters the fingerprint; more would be minutes on a network disk


class FileRecords(Records):
  """Picture files: names relative to a root folder, and their attributes."""

  def __init__(
    self,
    root: str,
    names: Sequence[str],
    attribute_names: Sequence[str],
    attributes: np.ndarray,
    *,
    masks_path: str = '',
    mask_files: Mapping[str, str] | None = None,
    labels_path: str = '',
    max_pixels: int = images.MAX_PIXELS,
  ):
    """Takes names in listing order.

    Args:
      root: the folder.
      names: relative to it.
      attribute_names: K.
      attributes: bool [N, K].
      masks_path: a folder of masks with the same stems.
      mask_files: paths of masks by the names of their pictures, in place of `masks_path`.
      labels_path: a folder of label maps with the same stems: PNGs of class ids.
      max_pixels: of a picture.
    """
    self._root = root
    self._names = tuple(names)
    self._max_pixels = max_pixels
    self.attribute_names = tuple(attribute_names)
    self.attributes = np.asarray(attributes, bool).reshape(
      len(names), len(attribute_names)
    )
    self._masks = dict(mask_files or {})
    if masks_path and mask_files is None:
      self._masks = _match('masks', masks_path, self._names)
    self._labels = _match('labels', labels_path, self._names) if labels_path else {}
    self.identity, self.fingerprint = self._digests()

  def __len__(self):
    return len(self._names)

  def name(self, index):
    return self._names[index]

  def image(self, index):
    return images.load_image(
      os.path.join(self._root, self._names[index]), max_pixels=self._max_pixels
    )

  def mask(self, index, attribute):
    """Returns the file's mask at its picture's size, whatever the attribute; None without one."""
    path = self._masks.get(self._names[index])
    if path is None:
      return None
    mask = images.load_mask(path, max_pixels=self._max_pixels)
    return transforms.resize_mask(mask, *self._size(index, 'mask', path, mask))

  def has_mask(self, index, names):
    """Returns whether there is a file of it, whatever the attributes."""
    return self._names[index] in self._masks

  def label(self, index):
    """Returns the file's class ids at its picture's size, int32 [H, W]; None without them."""
    path = self._labels.get(self._names[index])
    if path is None:
      return None
    label = images.load_labels(path, max_pixels=self._max_pixels)
    return transforms.resize_mask(label, *self._size(index, 'label map', path, label))

  def _size(
    self, index: int, kind: str, path: str, mask: np.ndarray
  ) -> tuple[int, int]:
    """Returns height and width of a picture; UserError if a mask of it is of another shape."""
    height, width = self.image(index).shape[:2]
    # Same shape up to the rounding of one pixel, else it belongs to another crop of the picture.
    if abs(mask.shape[1] - mask.shape[0] * width / height) > 1:
      raise errors.UserError(
        f'the {kind} {path} is {mask.shape[1]}x{mask.shape[0]}, of another shape than its '
        f'picture {self._names[index]}, which is {width}x{height}; a {kind} must cover the whole '
        'picture'
      )
    return height, width

  def _digests(self) -> tuple[str, str]:
    """Returns a hash of names and labels, and one of these with file sizes and names of masks."""
    # Names and labels identify the set; sizes of some files show that pictures changed.
    digest = hashlib.sha256(_encoded(self._names))
    digest.update('\0'.join(self.attribute_names).encode())
    digest.update(np.packbits(self.attributes).tobytes())
    identity = digest.hexdigest()[:16]
    count = min(len(self), _SIZED)
    for index in np.linspace(0, len(self) - 1, count).astype(int):
      path = os.path.join(self._root, self._names[index])
      size = os.path.getsize(path)
      digest.update(str(size).encode())
    digest.update(_encoded(sorted(self._masks)))
    return identity, digest.hexdigest()[:16]


def _encoded(names: Iterable[str]) -> bytes:
  return '\0'.join(names).encode('utf-8', 'surrogateescape')


def check_folder(path: str, field: str) -> str:
  """Returns `path` with ~ expanded if it is a folder that can be listed, else UserError."""
  if not path:
    raise errors.UserError(f'{field} is empty; name the folder that holds the pictures')
  path = os.path.expanduser(path)
  if not os.path.exists(path):
    raise errors.UserError(
      f'{field}={path!r} does not exist{images.nearest_path(path)}'
    )
  if not os.path.isdir(path):
    raise errors.UserError(f'{field}={path!r} is a file; name the folder that holds it')
  return path


def list_images(folder: str) -> list[str]:
  """Returns the names of the pictures directly in `folder`, sorted."""
  return list_files(
    folder, lambda entry: images.is_image_name(entry.name) and is_file(entry)
  )


def list_by_stem(folder: str) -> dict[str, list[str]]:
  """Returns the paths of the pictures directly in `folder` by name without extension, sorted."""
  by_stem = collections.defaultdict(list)
  for name in list_images(folder):
    stem, _ = os.path.splitext(name)
    by_stem[stem].append(os.path.join(folder, name))
  return dict(by_stem)


def list_folders(folder: str) -> list[str]:
  """Returns the names of the folders directly in `folder` that are not hidden, sorted."""
  return list_files(
    folder, lambda entry: not entry.name.startswith(('.', '__')) and is_folder(entry)
  )


def is_file(entry: os.DirEntry) -> bool:
  """Returns whether an entry is a file; a link in circles or into a closed folder is not."""
  try:
    return entry.is_file()
  except OSError:
    return False


def is_folder(entry: os.DirEntry) -> bool:
  """Returns whether an entry is a folder; as `is_file`."""
  try:
    return entry.is_dir()
  except OSError:
    return False


def list_files(folder: str, wanted: Callable[[os.DirEntry], bool]) -> list[str]:
  """Returns the names of the wanted entries of `folder`, sorted; UserError if it is not listed."""
  try:
    with os.scandir(folder) as entries:
      return sorted(entry.name for entry in entries if wanted(entry))
  except OSError as error:
    raise errors.UserError(f'{folder} cannot be listed: {error.strerror}') from error


def _stem(name: str) -> str:
  """Returns a path without its extension, with / between folders."""
  return os.path.splitext(name)[0].replace(os.sep, '/')


def _match(kind: str, folder: str, names: Sequence[str]) -> dict[str, str]:
  """Returns the file by picture name: by relative stem first, else by stem alone.

  Args:
    kind: 'masks' or 'labels'; the latter are PNGs, as JPEG would change class ids.
    folder: what `config.data.{kind}_path` names.
    names: of the pictures.
  """
  folder = check_folder(folder, f'config.data.{kind}_path')
  path_by_stem = _files_by_stem(kind, folder)
  matched, name_by_stem = {}, {}
  for name in names:
    stem = _stem(name)
    if stem in path_by_stem:
      matched[name] = path_by_stem[stem]
      continue

    # Without the folder, a stem must be that of one picture only.
    stem = os.path.basename(stem)
    if stem not in path_by_stem:
      continue
    if stem in name_by_stem:
      raise errors.UserError(
        f'{path_by_stem[stem]} could be that of {name_by_stem[stem]} or of {name}; sort the '
        f'{kind} into folders as the pictures are, e.g. '
        f'{os.path.join(folder, os.path.dirname(name))}'
      )
    name_by_stem[stem] = name
    matched[name] = path_by_stem[stem]
  if not matched:
    raise _no_match(kind, folder, path_by_stem, names)
  return matched


def _no_match(
  kind: str, folder: str, path_by_stem: dict[str, str], names: Sequence[str]
) -> errors.UserError:
  """Returns the error for a folder of which no file has the name of a picture."""
  example = ''
  if path_by_stem and names:
    example = (
      f'; the first is {min(path_by_stem)!r} and the first picture {_stem(names[0])!r}'
    )
  kind_of_file = 'PNG files' if kind == 'labels' else kind
  return errors.UserError(
    f'config.data.{kind}_path={folder!r} has {len(path_by_stem)} {kind_of_file}, none with '
    f'the name of a picture{example}'
  )


def _files_by_stem(kind: str, folder: str) -> dict[str, str]:
  """Returns the paths of the pictures below a folder, by path without extension, relative to it."""
  # Two files of one stem could both be the mask, so that neither is chosen.
  paths = {}
  for parent, folders, filenames in os.walk(folder):
    folders.sort()
    for filename in sorted(filter(images.is_image_name, filenames)):
      if kind == 'labels' and not filename.lower().endswith('.png'):
        continue
      path = os.path.join(parent, filename)
      stem = _stem(os.path.relpath(path, folder))
      if stem in paths:
        raise errors.UserError(
          f'{paths[stem]} and {path} are {kind} of one picture; remove one'
        )
      paths[stem] = path
  return paths
