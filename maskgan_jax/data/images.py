"""Pictures in and out: whatever a user's folder holds becomes uint8 RGB, or one clear error."""

from collections.abc import Callable, Sequence
import io
import os
import stat
from typing import Any

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from maskgan_jax import errors, files
from maskgan_jax.data import _masks

MAX_PIXELS = 40_000_000  # pixels; 120 MB once decoded
EXTENSIONS = frozenset(
  {
    '.apng',
    '.avif',
    '.bmp',
    '.gif',
    '.jfif',
    '.jpe',
    '.jpeg',
    '.jpg',
    '.pbm',
    '.pgm',
    '.png',
    '.ppm',
    '.tga',
    '.tif',
    '.tiff',
    '.webp',
  }
)
# Formats of pictures that other programs read, and this does not.
_UNREAD_EXTENSIONS = frozenset(
  {
    '.arw',
    '.cr2',
    '.cr3',
    '.dcm',
    '.dib',
    '.dng',
    '.eps',
    '.exr',
    '.hdr',
    '.heic',
    '.heif',
    '.hif',
    '.ico',
    '.j2k',
    '.jp2',
    '.jpx',
    '.jxl',
    '.jxr',
    '.nef',
    '.orf',
    '.pcx',
    '.pnm',
    '.psd',
    '.raf',
    '.raw',
    '.rw2',
    '.sgi',
    '.svg',
    '.wdp',
    '.xcf',
  }
)


def is_image_name(name: str) -> bool:
  """Returns whether a file called `name` is taken for a picture: by its extension, not hidden."""
  return not name.startswith('.') and os.path.splitext(name)[1].lower() in EXTENSIONS


def result_stems(
  output: str,
  names: Sequence[str],
  several: bool,
  extensions: Sequence[str] = ('.png',),
  remedy: str = 'name a folder, or add --grid',
) -> list[str]:
  """Returns the paths of results without extension: of `names` in a folder, or the one of a file.

  `remedy` says what to do where a folder is needed.

  Raises:
    UserError: `output` cannot hold them: as `files.check_output`; it is a picture of another kind,
      or one picture where a command makes `several`.
  """
  files.check_output(output)
  extension = os.path.splitext(output)[1].lower()
  if os.path.isdir(output) or not is_image_name('x' + extension):
    return [os.path.join(output, name) for name in names]
  if extension not in extensions:
    raise errors.UserError(
      f'--output={output}: pictures are written as {" or ".join(extensions)}'
    )
  if several:
    raise errors.UserError(
      f'--output={output} is one picture, but a folder makes several; {remedy}'
    )
  return [output[: -len(extension)]]


def is_unread(name: str) -> bool:
  """Returns whether a file called `name` is a picture of a format that is not read, not hidden."""
  return (
    not name.startswith('.') and os.path.splitext(name)[1].lower() in _UNREAD_EXTENSIONS
  )


def nearest_path(path: str) -> str:
  """Returns a remark on a path that is absent, or "".

  It is " (it is a link to 'x', where nothing is)", or " (did you mean 'x'?)" for a file of the same
  folder with a similar name.
  """
  if os.path.islink(path) and not os.path.exists(path):
    return f" (it is a link to '{os.readlink(path)}', where nothing is)"
  folder, base = os.path.split(os.path.abspath(path))
  try:
    # Comparing more names would take seconds.
    return errors.nearest(base, os.listdir(folder)[:2000])
  except OSError:
    return ''


def load_image(
  source: str | os.PathLike | bytes, *, max_pixels: int = MAX_PIXELS, name: str = ''
) -> np.ndarray:
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
  return decode(source, _to_rgb, max_pixels=max_pixels, name=name)


def load_mask(
  source: str | os.PathLike | bytes, *, max_pixels: int = MAX_PIXELS, name: str = ''
) -> np.ndarray:
  """Decodes a picture file to a mask: float32 [H, W] in [0, 1], black is 0 and white is 1.

  Transparency: where a picture is transparent its mask is 0. Of a painted layer or a cut-out the
  opacity is the mask, whatever the paint. Where the most opaque pixels are themselves a drawing, in
  black and one colour, its brightness is multiplied by the opacity.

  Greys, of any mode and up to a tint as JPEG and scanners leave it: the level divided by the type's
  maximum, 255 or 65535, of floats 255 or 1. So soft edges stay soft. A mask of zeros and ones is
  taken as it is, 16 bits with no level above 255 count as 8, and one grey beside black in a palette
  is 1.

  Colours: in a palette, or with at most 32 of them, black and PASCAL's void (224, 224, 192) are 0
  and every other colour is 1. Shades of one colour, and pictures of more colours, give the
  brightest channel divided by the picture's highest value. (In a palette up to 8 shades are colours
  of their own, as PASCAL's are.)

  Raises:
    UserError: as `load_image`; for greys that are class ids with a void of 255; for colours without
      black, unless the palette begins with it; and for a drawing in greys that is transparent too.
  """
  return decode(source, _masks.to_mask, max_pixels=max_pixels, name=name)


def load_labels(
  source: str | os.PathLike | bytes, *, max_pixels: int = MAX_PIXELS, name: str = ''
) -> np.ndarray:
  """Decodes class ids, int32 [H, W]: grey levels of any depth as they are, or a palette's indices.

  UserError as `load_image`, and for colours, which are not ids.
  """
  return decode(source, _to_labels, max_pixels=max_pixels, name=name)


def from_pillow(image: Image.Image, *, name: str = 'the picture') -> np.ndarray:
  """Returns uint8 [H, W, 3] of a Pillow image, by the rules of `load_image`."""
  try:
    return _to_rgb(upright(image))
  except _masks.Refused as error:
    raise errors.UserError(f'{name} {error}') from error


def to_uint8(array: Any, *, broken_as_black: bool = False) -> np.ndarray:
  """Returns a picture or mask in bytes.

  Args:
    array: uint8, which stays as it is; a picture, float [H, W, 3] in [-1, 1]; or a mask, bool or
      float [H, W, 1] or [H, W] in [0, 1]. Values outside are clipped.
    broken_as_black: whether to draw NaN as black and clip infinite values.

  Raises:
    ValueError: the array holds integers of another type, or NaN or infinite values.
  """
  array = np.asarray(array)
  if array.dtype == np.uint8:
    return array

  if array.dtype.kind in 'iu':
    raise ValueError(f'a picture is of bytes or floats, not of {array.dtype}')
  levels = array.astype(np.float32)
  if not broken_as_black and not np.isfinite(levels).all():
    raise ValueError('a picture with NaN or infinite values would be drawn black')

  # Pictures are in [-1, 1] and masks in [0, 1]; both become 0 to 255.
  is_picture = levels.ndim == 3 and levels.shape[-1] == 3
  levels = 127.5 * (levels + 1) if is_picture else 255 * levels
  levels = np.clip(np.nan_to_num(levels), 0, 255)
  return np.rint(levels).astype(np.uint8)


def encode_png(array: Any, *, description: str = '') -> bytes:
  """Encodes a picture or mask as PNG.

  Args:
    array: as `to_uint8` takes it, or uint8 [H, W, 4].
    description: a text to keep in the file.
  """
  # Pillow takes pictures of one channel without their last axis.
  array = to_uint8(array)
  if array.ndim == 3 and array.shape[-1] == 1:
    array = array[..., 0]
  if array.ndim not in (2, 3):
    raise ValueError(f'cannot write {array.dtype} {array.shape} as PNG')
  notes = PngImagePlugin.PngInfo()
  if description:
    notes.add_itxt('Description', description)
  buffer = io.BytesIO()
  Image.fromarray(array).save(buffer, 'PNG', pnginfo=notes)
  return buffer.getvalue()


def save_png(path: str | os.PathLike, array: Any, *, description: str = '') -> None:
  """Writes what `encode_png` encodes; the file is whole or absent, its folder made if need be."""
  files.write_atomically(path, encode_png(array, description=description))


def content(source: str | os.PathLike | bytes, name: str = '') -> tuple[bytes, str]:
  """Returns the bytes of a picture's file, and what messages call the picture."""
  if isinstance(source, bytes):
    return source, name or 'the picture'
  path = os.fspath(source)
  name = name or path
  return read(path, name), name


def decode(
  source: str | os.PathLike | bytes,
  convert: Callable[[Image.Image], Any],
  *,
  max_pixels: int = MAX_PIXELS,
  name: str = '',
  keep_turned: bool = False,
  remedy: str = 'make it smaller or raise config.data.max_pixels',
) -> Any:
  """Opens, checks the header, decodes the first frame, turns it upright, converts.

  Args:
    source: see `load_image`.
    convert: takes the Pillow image and returns the result.
    max_pixels: see `load_image`.
    name: see `load_image`.
    keep_turned: whether `convert` gets the image as it is stored, not turned by its EXIF.
    remedy: what to do about a picture that is too large.
  """
  data, name = content(source, name)
  if not data:
    raise errors.UserError(f'{name} is empty (0 bytes)')
  try:
    # Pillow warns of large pictures from the header alone, and raises on larger ones.
    with Image.open(io.BytesIO(data)) as image:
      width, height = image.size
      if width * height > max_pixels:
        raise errors.UserError(
          f'{name} has {width}x{height} pixels, more than max_pixels={max_pixels}; {remedy}'
        )
      image.load()
      return convert(image if keep_turned else upright(image))
  except errors.UserError:
    raise
  except _masks.Refused as error:
    raise errors.UserError(f'{name} {error}') from error
  except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
    size = str(error).partition(', could')[0]
    raise errors.UserError(f'{name} is too large to decode safely: {size}') from error
  except Image.UnidentifiedImageError as error:
    advice = '; convert it to PNG or JPEG' if is_unread(os.path.basename(name)) else ''
    raise errors.UserError(
      f'{name} is not a picture that can be read{advice}'
    ) from error
  except MemoryError:
    raise
  except Exception as error:  # Pillow's readers raise anything at all on damaged files
    raise errors.UserError(f'{name} is damaged or truncated: {error}') from error


def read(path: str, name: str = '') -> bytes:
  """Returns a file's bytes; UserError if it cannot be read, or never ends, such as a named pipe.

  Args:
    path: a file; below /dev and /proc a pipe too, since a shell's <(command) is one there.
    name: what messages call it; by default the path.
  """
  name = name or path
  try:
    kind = os.stat(path).st_mode
    if not (
      stat.S_ISREG(kind) or stat.S_ISDIR(kind) or path.startswith(('/dev/', '/proc/'))
    ):
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


def upright(image: Image.Image) -> Image.Image:
  """Applies the EXIF orientation; damaged EXIF does not make a good picture unusable."""
  try:
    return ImageOps.exif_transpose(image)
  except Exception:  # as above: Pillow's EXIF reader raises anything
    return image


def _to_rgb(image: Image.Image) -> np.ndarray:
  """Applies the rule of `load_image`."""
  # More than 8 bits are scaled down, as Pillow would clip them.
  if image.mode in _masks.INTEGER_MODES or image.mode == 'F':
    grey = np.rint(_masks.unit_range(image) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)

  # Where a picture is transparent, it shows white.
  if image.has_transparency_data:
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, (255, 255, 255, 255))
    image = Image.alpha_composite(white, image)
  return np.array(image.convert('RGB'))


def _to_labels(image: Image.Image) -> np.ndarray:
  """Applies the rule of `load_labels`."""
  if image.mode not in _masks.INTEGER_MODES | {'1', 'L', 'P'}:
    raise _masks.Refused(
      f'is of mode {image.mode}; a label map has one class id a pixel: save it grey, '
      'or with a palette whose indices are the ids'
    )
  return np.array(image).astype(np.int32)
