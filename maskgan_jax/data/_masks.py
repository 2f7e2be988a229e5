"""The meaning of a decoded picture as a mask: which of its pixels are 1, and how much."""

import numpy as np
from PIL import Image

INTEGER_MODES = frozenset({'I', 'I;16', 'I;16B', 'I;16L', 'I;16N'})

# How masks are recognised; levels are of 255.
_VOID = (224, 224, 192)  # PASCAL's border between objects
_TINT = 16  # most difference between channels of a grey, or shades of a colour: JPEG, scanners
_FLAT = 32  # most colours of a picture that has areas of colours, not shades
_SHADES = 8  # most colours of a palette that holds labels, even if they are shades of one colour
_IDS = 32  # greatest class id: levels up to this and 255 are those of a label map
_NO_BLACK = (
  'has several colours and no black, so that nothing says which of them is 0; draw the '
  'mask white on black'
)


class Refused(Exception):
  """A picture that decodes, but has no agreed meaning as one."""


def to_mask(image: Image.Image) -> np.ndarray:
  """Returns the mask of a picture, float32 [H, W], by the rule of `images.load_mask`."""
  # An opaque picture is its own mask: its levels, or its brightness.
  if image.mode in INTEGER_MODES or image.mode == 'F':
    return unit_range(image, is_mask=True)
  if image.mode == '1':
    return np.array(image).astype(np.float32)
  if not image.has_transparency_data:
    if image.mode == 'L':
      return _grey_mask(np.array(image), palette=False)
    return _brightness(image)

  # Transparency: the opacity is the mask, unless the paint is itself a drawing.
  layer = np.array(image.convert('RGBA'))
  alpha = layer[..., 3]
  if alpha.min() == 255:
    return _brightness(image)
  opacity = alpha.astype(np.float32) / 255
  if not _is_drawing(layer[alpha == alpha.max(), :3], alpha.max()):
    return opacity
  layer[alpha == 0] = 0  # invisible paint must not count among the colours
  return opacity * _brightness(Image.fromarray(layer[..., :3]))


def _is_drawing(paint: np.ndarray, alpha: int) -> bool:
  """Returns whether pixels uint8 [N, 3] of one opacity are drawn in black and a colour."""
  # Only paint that is both dark and light, in shades of one colour, can be a drawing.
  levels = paint.max(axis=-1)
  peak = int(levels.max())
  has_dark = 2 * int(levels.min()) < peak
  if alpha < 128 or not has_dark or not _shades_of_one_colour(paint):
    return False

  # A drawing has few pixels between its dark and its light levels.
  is_clear = (levels < peak / 8) | (levels > peak * 7 / 8)
  if np.mean(is_clear) < 0.5:
    raise Refused(
      'is partly transparent and drawn in many greys, so that either could be the '
      'mask; save it without transparency, or as one colour on transparency'
    )
  return True


def _brightness(image: Image.Image) -> np.ndarray:
  """Returns the mask of a picture without transparency, by its greys or its colours."""
  rgb = np.array(image.convert('RGB'))
  levels = rgb.max(axis=-1)
  if np.all(levels - rgb.min(axis=-1) <= _TINT):
    return _grey_mask(levels, image.mode in ('P', 'PA'))
  return _colour_mask(image, rgb, levels)


def _grey_mask(levels: np.ndarray, palette: bool) -> np.ndarray:
  """Returns the mask of grey levels, uint8 [H, W]."""
  # A palette with one colour besides black, or levels 0 and 1, mean off and on.
  used = np.flatnonzero(Image.fromarray(levels).histogram())
  above_black = used[used > 0]
  if palette and len(above_black) <= 1:
    return (levels > 0).astype(np.float32)
  if used[-1] <= 1:
    return levels.astype(np.float32)

  # Small numbers with a void of 255 are class ids: dividing them by 255 would be wrong.
  has_void = used[0] == 0 and used[-1] == 255
  if has_void and len(above_black) > 1 and used[-2] <= _IDS:
    raise Refused(
      f'has no grey levels but {used[0]} to {used[-2]} and 255, as class ids with a '
      'void have; a mask is white (255) where it is 1: draw it so, or keep the '
      "label map's palette"
    )
  return levels.astype(np.float32) / 255


def _colour_mask(image: Image.Image, rgb: np.ndarray, levels: np.ndarray) -> np.ndarray:
  """Returns the mask of pixels uint8 [H, W, 3], of which `levels` are the brightest channels."""
  palette = image.mode in ('P', 'PA')
  counted = image.convert('RGB').getcolors(256 if palette else _FLAT)

  # Too many colours for areas.
  if counted is None:
    has_dark = 2 * int(levels.min()) <= int(levels.max())
    if not has_dark and not _shades_of_one_colour(rgb.reshape(-1, 3)):
      raise Refused(_NO_BLACK)
    return levels.astype(np.float32) / levels.max()

  # Shades of one colour.
  colours = np.array([colour for _, colour in counted if colour != _VOID], np.uint8)
  all_shades = len(colours) == len(counted) and _shades_of_one_colour(colours)
  if all_shades and not (palette and len(colours) <= _SHADES):
    return levels.astype(np.float32) / levels.max()

  # Areas of colours: labels, or a drawing without soft edges.
  void = (rgb == np.uint8(_VOID)).all(axis=-1)
  black = levels <= _TINT
  begins_black = palette and image.getpalette()[:3] == [0, 0, 0]
  if len(colours) > 1 and not black.any() and not begins_black:
    raise Refused(_NO_BLACK)
  return (~void & ~black).astype(np.float32)


def _shades_of_one_colour(pixels: np.ndarray) -> bool:
  """Returns whether pixels uint8 [N, 3] are mixtures of black and the brightest of them."""
  pixels = pixels[:: 1 + len(pixels) // 1_000_000]  # more would need gigabytes
  levels = pixels.max(axis=-1)
  brightest = pixels[levels.argmax()].astype(np.float32)
  mixtures = levels[:, None] * (brightest / max(brightest.max(), 1))
  return bool(np.all(np.abs(pixels - mixtures) <= _TINT))


def unit_range(image: Image.Image, is_mask: bool = False) -> np.ndarray:
  """Returns grey levels of over 8 bits as float32 in [0, 1]; floats in [0, 1] or [0, 255] too."""
  levels = np.array(image).astype(np.float64)
  low, high = levels.min(), levels.max()
  limit = 255 if image.mode == 'F' else 65535
  if not (low >= 0 and high <= limit):
    raise Refused(f'has grey levels from {low:g} to {high:g}; expected 0 to {limit}')

  # Deep files may hold 8-bit masks, and floats are in [0, 1] or in [0, 255].
  if is_mask and image.mode != 'F' and high <= 255:
    return _grey_mask(levels.astype(np.uint8), palette=False)
  if high <= 1 and image.mode == 'F':
    limit = 1
  return (levels / limit).astype(np.float32)
