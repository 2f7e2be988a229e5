"""Pictures in and out: whatever a user's folder holds becomes uint8 RGB, or one clear error."""

import io
import os
import stat

import numpy as np
from PIL import Image, ImageOps

from maskgan_jax import errors, files

MAX_PIXELS = 40_000_000  # pixels; 120 MB once decoded
EXTENSIONS = frozenset({'.apng', '.avif', '.bmp', '.gif', '.jfif', '.jpe', '.jpeg', '.jpg', '.pbm',
                        '.pgm', '.png', '.ppm', '.tga', '.tif', '.tiff', '.webp'})
# Of pictures too, but read by other programs only.
_UNREAD_EXTENSIONS = frozenset({
    '.arw', '.cr2', '.cr3', '.dcm', '.dib', '.dng', '.eps', '.exr', '.hdr', '.heic', '.heif',
    '.hif', '.ico', '.j2k', '.jp2', '.jpx', '.jxl', '.jxr', '.nef', '.orf', '.pcx', '.pnm', '.psd',
    '.raf', '.raw', '.rw2', '.sgi', '.svg', '.wdp', '.xcf'})
_INTEGER_MODES = frozenset({'I', 'I;16', 'I;16B', 'I;16L', 'I;16N'})


def is_image_name(name: str) -> bool:
  """Whether a file called `name` is taken for a picture: known extension, not hidden."""
  return not name.startswith('.') and os.path.splitext(name)[1].lower() in EXTENSIONS


def is_unread(name: str) -> bool:
  """Whether a file called `name` is a picture of a format that is not read, not hidden."""
  return not name.startswith('.') and os.path.splitext(name)[1].lower() in _UNREAD_EXTENSIONS


def nearest_path(path: str) -> str:
  """Returns " (did you mean 'x'?)" for what lies in the same folder under a similar name, or ""."""
  folder, base = os.path.split(os.path.abspath(path))
  try:
    return errors.nearest(base, os.listdir(folder)[:2000])  # comparing more would take seconds
  except OSError:
    return ''


def load_image(source: str | os.PathLike | bytes, *, max_pixels: int = MAX_PIXELS,
               name: str = '') -> np.ndarray:
  """Decodes a picture as people see it.

  The orientation in EXIF is applied; transparency is laid over white; of an animation the first
  frame is taken; 16-bit values lose their lower bits; CMYK is converted without its ICC profile.

  Args:
    source: a path, or the encoded bytes.
    max_pixels: more than this, by the header, is refused before anything is decoded.
    name: what messages call the picture; by default the path.

  Returns:
    uint8 [H, W, 3].

  Raises:
    UserError: names the picture that is absent, empty, unreadable, truncated or too large.
  """
  return _decode(source, max_pixels, name, _to_rgb)


def load_mask(source: str | os.PathLike | bytes, *, max_pixels: int = MAX_PIXELS,
              name: str = '') -> np.ndarray:
  """Decodes a mask of any mode to float32 [H, W] in [0, 1]; UserError as `load_image`.

  A picture with some transparency is a painted layer: its alpha is the mask, whatever the paint.
  Otherwise the brightest of the channels counts, so that a mask drawn in red is as good as a white
  one. Integers are divided by their type's maximum, except that a mask of zeros and ones is taken
  as it is, and that in a palette picture of black and one colour that colour is 1.
  """
  return _decode(source, max_pixels, name, _to_mask)


def load_labels(source: str | os.PathLike | bytes, *, max_pixels: int = MAX_PIXELS,
                name: str = '') -> np.ndarray:
  """Decodes class ids, int32 [H, W]: grey levels of any depth as they are, or a palette's indices.

  UserError as `load_image`, and for colours, which are no ids.
  """
  return _decode(source, max_pixels, name, _to_labels)


def encode_png(array: np.ndarray) -> bytes:
  """Encodes uint8 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4], or floats in [0, 1], as PNG."""
  array = np.asarray(array)
  if array.ndim == 3 and array.shape[-1] == 1:
    array = array[..., 0]
  if array.dtype == bool or np.issubdtype(array.dtype, np.floating):
    if not (np.min(array) >= 0 and np.max(array) <= 1):  # also false for NaN
      raise ValueError(f'a float picture must be in [0, 1], not [{array.min()}, {array.max()}]')
    array = np.rint(array * np.float32(255)).astype(np.uint8)
  if array.dtype != np.uint8 or array.ndim not in (2, 3):
    raise ValueError(f'cannot write {array.dtype} {array.shape} as PNG')
  buffer = io.BytesIO()
  Image.fromarray(array).save(buffer, 'PNG')
  return buffer.getvalue()


def save_png(path: str | os.PathLike, array: np.ndarray) -> None:
  """Writes what `encode_png` accepts; the file is whole or absent."""
  files.write_atomically(path, encode_png(array))


def _decode(source, max_pixels, name, convert):
  """Opens, checks the header, decodes the first frame, turns it upright, converts."""
  if isinstance(source, bytes):
    name = name or 'the picture'
    data = source
  else:
    path = os.fspath(source)
    name = name or path
    data = read(path, name)
  if not data:
    raise errors.UserError(f'{name} is empty (0 bytes)')
  try:
    # Pillow warns of large pictures from the header alone, and raises on larger ones.
    with Image.open(io.BytesIO(data)) as image:
      width, height = image.size
      if width * height > max_pixels:
        raise errors.UserError(
            f'{name} has {width}x{height} pixels, more than max_pixels={max_pixels}; '
            'make it smaller or raise config.data.max_pixels')
      image.load()
      return convert(_upright(image))
  except errors.UserError:
    raise
  except _Refused as error:
    raise errors.UserError(f'{name} {error}') from error
  except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
    raise errors.UserError(f'{name} is too large to decode safely: {error}') from error
  except Image.UnidentifiedImageError as error:
    remedy = '; convert it to PNG or JPEG' if is_unread(os.path.basename(name)) else ''
    raise errors.UserError(f'{name} is not a picture that can be read{remedy}') from error
  except Exception as error:  # Pillow's readers raise anything at all on damaged files
    raise errors.UserError(f'{name} is damaged or truncated: {error}') from error


def read(path: str, name: str = '') -> bytes:
  """Returns a file's bytes; UserError for what cannot be read, or never ends, as a named pipe.

  Args:
    path: a file; below /dev and /proc a pipe too, since a shell's <(command) is one there.
    name: what messages call it; by default the path.
  """
  name = name or path
  try:
    kind = os.stat(path).st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind) or path.startswith(('/dev/', '/proc/'))):
      raise errors.UserError(f'{name} is not an ordinary file, but a pipe or a device')
    with open(path, 'rb') as file:
      return file.read()
  except IsADirectoryError as error:
    raise errors.UserError(f'{name} is a folder, not a picture') from error
  except FileNotFoundError as error:
    raise errors.UserError(f'{name} does not exist{nearest_path(path)}') from error
  except (OSError, ValueError) as error:  # ValueError: a null byte in the name
    reason = getattr(error, 'strerror', None) or error
    raise errors.UserError(f'{name} cannot be read: {reason}') from error


class _Refused(Exception):
  """A picture that decodes, but has no agreed meaning as one."""


def _upright(image):
  """Applies the EXIF orientation; damaged EXIF does not make a good picture unusable."""
  try:
    return ImageOps.exif_transpose(image)
  except Exception:  # as above: Pillow's EXIF reader raises anything
    return image


def _to_rgb(image):
  if image.mode in _INTEGER_MODES or image.mode == 'F':
    grey = np.rint(_unit_range(image) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
  if image.has_transparency_data:
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, (255, 255, 255, 255))
    image = Image.alpha_composite(white, image)
  return np.array(image.convert('RGB'))


def _to_mask(image):
  if image.mode in _INTEGER_MODES or image.mode == 'F':
    return _unit_range(image, allow_binary=True)
  if image.has_transparency_data:
    alpha = np.array(image.convert('RGBA').getchannel('A'))
    if alpha.min() < 255:
      return alpha.astype(np.float32) / 255
  binary = image.mode == '1'
  palette = image.mode in ('P', 'PA')
  if image.mode in ('1', 'L'):
    levels = np.array(image.convert('L'))
  else:
    levels = np.array(image.convert('RGB')).max(axis=-1)
  values = np.unique(levels)
  if palette and len(values) == 2 and values[0] == 0:
    return (levels > 0).astype(np.float32)
  if not binary and values[-1] <= 1:
    return levels.astype(np.float32)
  return levels.astype(np.float32) / 255


def _to_labels(image):
  if image.mode not in _INTEGER_MODES | {'1', 'L', 'P'}:
    raise _Refused(f'is of mode {image.mode}; a label map has one class id a pixel: save it grey, '
                   'or with a palette whose indices are the ids')
  return np.array(image).astype(np.int32)


def _unit_range(image, allow_binary=False):
  """Grey levels of more than 8 bits as float32 in [0, 1]; floats may be in [0, 1] or [0, 255]."""
  levels = np.array(image).astype(np.float64)
  low, high = levels.min(), levels.max()
  limit = 255 if image.mode == 'F' else 65535
  if not (low >= 0 and high <= limit):
    raise _Refused(f'has grey levels from {low:g} to {high:g}; expected 0 to {limit}')
  if high <= 1 and (image.mode == 'F' or allow_binary):
    limit = 1
  return (levels / limit).astype(np.float32)
