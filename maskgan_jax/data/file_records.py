"""Records that are picture files under one folder, with masks in another; and listing folders."""

from collections.abc import Sequence
import hashlib
import os

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import images, transforms

_SIZED = 1024  # files whose size enters the fingerprint; more would be minutes on a network disk


class FileRecords:
  """Picture files: names relative to a root folder, and their attributes."""

  def __init__(self, root: str, names: Sequence[str], attribute_names: Sequence[str],
               attributes: np.ndarray, *, masks_path: str = '',
               max_pixels: int = images.MAX_PIXELS):
    """Takes names in listing order; `masks_path` is a folder of masks with the same stems."""
    self._root = root
    self._names = tuple(names)
    self._max_pixels = max_pixels
    self.attribute_names = tuple(attribute_names)
    self.attributes = np.asarray(attributes, bool).reshape(len(names), len(attribute_names))
    self._masks = _match_masks(masks_path, self._names) if masks_path else {}
    self.fingerprint = self._fingerprint()

  def __len__(self):
    return len(self._names)

  def name(self, index):
    return self._names[index]

  def image(self, index):
    return images.load_image(os.path.join(self._root, self._names[index]),
                             max_pixels=self._max_pixels)

  def mask(self, index, attribute):
    """Returns the file's mask at its picture's size, whatever the attribute; None without one."""
    path = self._masks.get(self._names[index])
    if path is None:
      return None
    mask = images.load_mask(path, max_pixels=self._max_pixels)
    height, width = self.image(index).shape[:2]
    # Same shape up to the rounding of one pixel, else it belongs to another crop of the picture.
    if abs(mask.shape[1] - mask.shape[0] * width / height) > 1:
      raise errors.UserError(
          f'the mask {path} is {mask.shape[1]}x{mask.shape[0]}, of another shape than its picture '
          f'{self._names[index]}, which is {width}x{height}; masks must cover the whole picture')
    return transforms.resize_mask(mask, height, width)

  def _fingerprint(self):
    digest = hashlib.sha256('\0'.join(self._names).encode('utf-8', 'surrogateescape'))
    digest.update('\0'.join(self.attribute_names).encode())
    digest.update(np.packbits(self.attributes).tobytes())
    for index in np.linspace(0, len(self) - 1, min(len(self), _SIZED)).astype(int):
      digest.update(str(os.path.getsize(os.path.join(self._root, self._names[index]))).encode())
    digest.update('\0'.join(sorted(self._masks)).encode('utf-8', 'surrogateescape'))
    return digest.hexdigest()[:16]


def check_folder(path: str, field: str) -> str:
  """Returns `path` with ~ expanded if it is a folder that can be listed, else UserError."""
  if not path:
    raise errors.UserError(f'{field} is empty; name the folder that holds the pictures')
  path = os.path.expanduser(path)
  if not os.path.exists(path):
    raise errors.UserError(f'{field}={path!r} does not exist{images.nearest_path(path)}')
  if not os.path.isdir(path):
    raise errors.UserError(f'{field}={path!r} is a file; name the folder that holds it')
  return path


def list_images(folder: str) -> list[str]:
  """Returns the names of the pictures directly in `folder`, sorted."""
  return _scan(folder, lambda entry: images.is_image_name(entry.name) and entry.is_file())


def list_folders(folder: str) -> list[str]:
  """Returns the names of the folders directly in `folder` that are not hidden, sorted."""
  return _scan(folder, lambda entry: not entry.name.startswith(('.', '__')) and entry.is_dir())


def _scan(folder, wanted):
  try:
    with os.scandir(folder) as entries:
      return sorted(entry.name for entry in entries if wanted(entry))
  except OSError as error:
    raise errors.UserError(f'{folder} cannot be listed: {error.strerror}') from error


def _stem(name):
  return os.path.splitext(name)[0].replace(os.sep, '/')


def _match_masks(masks_path, names):
  """Returns the mask file by picture name: by relative stem first, else by stem alone."""
  folder = check_folder(masks_path, 'config.data.masks_path')
  masks = {}
  for parent, folders, filenames in os.walk(folder):
    folders.sort()
    for filename in sorted(filter(images.is_image_name, filenames)):
      path = os.path.join(parent, filename)
      stem = _stem(os.path.relpath(path, folder))
      if stem in masks:
        raise errors.UserError(f'{masks[stem]} and {path} are masks of one picture; remove one')
      masks[stem] = path
  by_relative = {name: masks[_stem(name)] for name in names if _stem(name) in masks}
  seen = {}
  for name in names:
    stem = os.path.basename(_stem(name))
    if name in by_relative or stem not in masks:
      continue
    if stem in seen:
      raise errors.UserError(
          f'the mask {masks[stem]} could be that of {seen[stem]} or of {name}; sort the masks into '
          f'folders as the pictures are, e.g. {os.path.join(folder, os.path.dirname(name))}')
    seen[stem] = name
  matched = by_relative | {name: masks[stem] for stem, name in seen.items()}
  if not matched:
    example = f'; the first is {next(iter(masks))!r} and the first picture {_stem(names[0])!r}'
    raise errors.UserError(f'config.data.masks_path={folder!r} has {len(masks)} masks, none with '
                           f'the name of a picture{example if masks and names else ""}')
  return matched
