"""Photographs as they are: 8 or 16 bits, opacity, EXIF, colour profile, JPEG tables.

`images` gives a picture as a model takes it. Here a picture keeps what its file holds, and is
written again with it.
"""

import contextlib
import dataclasses
import io
import os
import struct
from typing import Any
import zlib

import numpy as np
from PIL import Image, JpegImagePlugin

from maskgan_jax import errors
from maskgan_jax.data import _masks, images

MAX_PIXELS = 80_000_000  # 240 MB of 8 bits once decoded
EXTENSIONS = ('.png', '.jpg', '.jpeg')
_REFUSED = {'CMYK': 'inks for print', 'LAB': 'CIE Lab'}  # no agreed way to RGB and back
_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG_QUALITY = 95  # of what was not a JPEG before
_PNG_COMPRESSION = (
  3  # of 9; more takes seconds for a photograph and saves a few percent
)
_ROWS = 256  # of a 16-bit PNG that are compressed at once


@dataclasses.dataclass(frozen=True)
class Photograph:
  """A picture upright, with what its file says besides.

  Attributes:
    pixels: uint8 or uint16 [H, W, 3].
    opacity: of the same type, [H, W]; None if all is opaque.
    exif: the EXIF block without an orientation, or b''.
    profile: the ICC profile, or b''.
    jpeg: how Pillow's `save` writes a JPEG as this one was; {} if the picture was not a JPEG.
  """

  pixels: np.ndarray
  opacity: np.ndarray | None = None
  exif: bytes = b''
  profile: bytes = b''
  jpeg: dict[str, Any] = dataclasses.field(default_factory=dict)

  def with_pixels(self, pixels: np.ndarray) -> 'Photograph':
    """Returns the photograph with other pixels of the same type."""
    return dataclasses.replace(self, pixels=pixels)


def check(source: str | os.PathLike | bytes, name: str = '') -> None:
  """Raises UserError for colours that cannot be edited, by the file's header alone."""
  data, name = images.content(source, name)
  mode = ''
  # What is wrong with a damaged file is said when it is decoded.
  with contextlib.suppress(Exception), Image.open(io.BytesIO(data)) as image:
    mode = image.mode
  _check_mode(mode, name)


def load(
  source: str | os.PathLike | bytes, *, max_pixels: int = MAX_PIXELS, name: str = ''
) -> Photograph:
  """Decodes a photograph with all that is kept; UserError as `images.load_image`, and for CMYK."""
  data, name = images.content(source, name)

  def convert(image):
    _check_mode(image.mode, name)
    turned = images.upright(image)
    pixels, opacity = _pixels(turned)
    if _has_deep_colours(data):
      pixels, opacity = _with_low_bytes(data, pixels, opacity)
    if pixels.dtype == np.uint16 and 'transparency' in turned.info:
      opacity = _opacity_of(pixels, turned.info['transparency'])
    exif, profile = turned.info.get('exif', b''), turned.info.get('icc_profile') or b''
    if profile[16:20] != b'RGB ':
      profile = b''  # a grey picture's does not fit the colours that it gets
    return Photograph(pixels, opacity, exif, profile, _jpeg_settings(image))

  return images.decode(
    data,
    convert,
    max_pixels=max_pixels,
    name=name,
    keep_turned=True,
    remedy='make it smaller',
  )


def of_array(pixels: np.ndarray) -> Photograph:
  """Returns a photograph of uint8 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]."""
  if pixels.ndim == 3 and pixels.shape[-1] == 4:
    return Photograph(pixels[..., :3], pixels[..., 3])
  if pixels.ndim == 2:
    pixels = pixels[..., None]
  return Photograph(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def of_pillow(image: Image.Image) -> Photograph:
  """Returns a photograph of a Pillow image; UserError for CMYK."""
  _check_mode(image.mode, 'the picture')
  return Photograph(*_pixels(images.upright(image)))


def encode(photograph: Photograph, extension: str, name: str = '') -> bytes:
  """Encodes as .png, which keeps every pixel, or as .jpg with the tables of the JPEG it came from.

  Raises:
    UserError: transparency in a JPEG, or more than a JPEG can hold.
  """
  pixels, opacity = photograph.pixels, photograph.opacity
  name = name or 'the picture'
  if extension != '.png':
    if opacity is not None and (opacity < np.iinfo(opacity.dtype).max).any():
      raise errors.UserError(
        f'{name} is partly transparent, which a {extension} cannot be; write a .png'
      )
    try:
      return _jpeg(photograph)
    except (OSError, ValueError) as error:
      # Sides of more than 65,500 pixels, or EXIF of more than 64 KB.
      raise errors.UserError(
        f'{name} cannot be a {extension} ({error}); write a .png'
      ) from error
  if opacity is not None:
    pixels = np.concatenate([pixels, opacity[..., None]], axis=-1)
  if pixels.dtype == np.uint16:
    return _deep_png(pixels, photograph)
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(
    buffer, 'PNG', compress_level=_PNG_COMPRESSION, **_notes(photograph)
  )
  return buffer.getvalue()


def _check_mode(mode: str, name: str) -> None:
  if mode in _REFUSED:
    raise errors.UserError(
      f'{name} is {mode} ({_REFUSED[mode]}), which cannot be edited at its own size; '
      'convert it to RGB'
    )


def _pixels(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
  """Returns uint8 or uint16 [H, W, 3], and the opacity or None."""
  if image.mode in _masks.INTEGER_MODES:
    levels = np.array(image)
    if levels.min() < 0 or levels.max() > 65535:
      raise _masks.Refused('has grey levels outside of 0 to 65535')
    return np.repeat(levels.astype(np.uint16)[..., None], 3, axis=-1), None
  if image.has_transparency_data:
    layers = np.array(image.convert('RGBA'))
    return np.ascontiguousarray(layers[..., :3]), layers[..., 3]
  if image.mode == 'F':
    grey = np.rint(65535 * _masks.unit_range(image)).astype(np.uint16)
    return np.repeat(grey[..., None], 3, axis=-1), None
  return np.array(image.convert('RGB')), None


def _has_deep_colours(data: bytes) -> bool:
  """Returns whether a file is a PNG of 16 bits with colours, of which Pillow reads 8."""
  return data[:8] == _PNG and data[24:26] in (b'\x10\x02', b'\x10\x06')


def _with_low_bytes(
  data: bytes, high: np.ndarray, opacity: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
  """Returns pixels and opacity in 16 bits, given the upper 8.

  Pillow takes the first of two bytes in big-endian order; told that the order is the other one, it
  takes the second.
  """
  with Image.open(io.BytesIO(data)) as image:
    [tile] = image.tile
    image.tile = [tile._replace(args=tile.args.removesuffix('B') + 'L')]
    image.load()
    low = np.array(images.upright(image))
  deep = (high.astype(np.uint16) << 8) | low[..., :3]
  # A PNG of colours may have one transparent colour in place of opacities.
  if opacity is None or low.shape[-1] == 3:
    return deep, None
  return deep, (opacity.astype(np.uint16) << 8) | low[..., 3]


def _opacity_of(pixels: np.ndarray, colour: int | tuple[int, ...]) -> np.ndarray:
  """Returns the opacity of 16 bits of a picture in which one colour is transparent."""
  return np.where((pixels == colour).all(axis=-1), 0, 65535).astype(np.uint16)


def _jpeg_settings(image: Image.Image) -> dict[str, Any]:
  """Returns how a JPEG was compressed, for Pillow's `save`."""
  tables = getattr(image, 'quantization', None)
  if not isinstance(image, JpegImagePlugin.JpegImageFile) or not tables:
    return {}
  settings = {'qtables': tables, 'progressive': bool(image.info.get('progressive'))}
  subsampling = JpegImagePlugin.get_sampling(image)
  if subsampling >= 0:
    settings['subsampling'] = subsampling
  return settings


def _jpeg(photograph: Photograph) -> bytes:
  """Returns a JPEG with the tables of the one that the photograph came from."""
  pixels = photograph.pixels
  if pixels.dtype == np.uint16:
    pixels = np.rint(pixels / np.float32(257)).astype(np.uint8)
  settings = photograph.jpeg or {'quality': _JPEG_QUALITY, 'subsampling': 0}
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, 'JPEG', **settings, **_notes(photograph))
  return buffer.getvalue()


def _notes(photograph: Photograph) -> dict[str, bytes]:
  """Returns EXIF and profile as arguments of Pillow's `save`."""
  notes = {'exif': photograph.exif, 'icc_profile': photograph.profile}
  return {key: value for key, value in notes.items() if value}


def _deep_png(pixels: np.ndarray, photograph: Photograph) -> bytes:
  """Returns a PNG of uint16 [H, W, 3 or 4], which Pillow does not write."""
  height, width, channels = pixels.shape
  kind = {3: 2, 4: 6}[channels]
  header = struct.pack('>IIBBBBB', width, height, 16, kind, 0, 0, 0)
  chunks = [_chunk(b'IHDR', header)]
  if photograph.profile:
    compressed = zlib.compress(photograph.profile)
    chunks.append(_chunk(b'iCCP', b'ICC Profile\0\0' + compressed))
  if photograph.exif:
    chunks.append(_chunk(b'eXIf', photograph.exif.removeprefix(b'Exif\0\0')))

  # Each row is stored less the one above it, byte by byte: filter 2.
  compressor = zlib.compressobj(_PNG_COMPRESSION)
  above = np.zeros((1, 2 * channels * width), np.uint8)
  for top in range(0, height, _ROWS):
    rows = np.ascontiguousarray(pixels[top : top + _ROWS].astype('>u2'))
    rows = rows.view(np.uint8).reshape(len(rows), -1)
    filtered = rows - np.concatenate([above, rows[:-1]])
    marked = np.pad(filtered, ((0, 0), (1, 0)), constant_values=2)
    chunks.append(_chunk(b'IDAT', compressor.compress(marked.tobytes())))
    above = rows[-1:]
  chunks += [_chunk(b'IDAT', compressor.flush()), _chunk(b'IEND', b'')]
  return _PNG + b''.join(chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
  """Returns a chunk of a PNG: length, kind, content, checksum."""
  checksum = zlib.crc32(kind + content)
  return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', checksum)
