"""Faces as layers, with the exact share of each pixel's light that comes from each part.

The parts (Avataaars) are python-avatars'; resvg rasterises each one once per size; a face is those
layers laid over each other. A layer is linear in the colour its part takes, so drawing a part in
black and in white tells all colours, and a face is a few multiplications.
"""

from collections.abc import Sequence
import dataclasses
import functools
import io
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from PIL import Image
import python_avatars
import resvg_py

Crop = tuple[
  int, int, int
]  # a square of python-avatars' 264 x 280 drawing: left, top, width

_CROP: Crop = (44, 22, 176)  # around the head

# Slots of parts: python-avatars' enumeration, and `Avatar`'s arguments for the part and its colour.
_SLOTS = {
  'body': (None, '', 'skin_color'),
  'clothing': (python_avatars.ClothingType, 'clothing', 'clothing_color'),
  'mouth': (python_avatars.MouthType, 'mouth', ''),
  'nose': (python_avatars.NoseType, 'nose', ''),
  'eyes': (python_avatars.EyeType, 'eyes', ''),
  'eyebrows': (python_avatars.EyebrowType, 'eyebrows', ''),
  'facial_hair': (python_avatars.FacialHairType, 'facial_hair', 'facial_hair_color'),
  'glasses': (python_avatars.AccessoryType, 'accessory', ''),
  'hair': (python_avatars.HairType, 'top', 'hair_color'),
  'hat': (python_avatars.HatType, 'top', 'hat_color'),
}


class Part(NamedTuple):
  """A part in a slot (see `_SLOTS`), by python-avatars' name, in a colour '#rrggbb'."""

  slot: str
  name: str
  color: str = '#000000'


@dataclasses.dataclass(frozen=True)
class _Layer:
  """A part at one size, cut to its box. Over a picture: `picture * through + fixed + tint * color`.

  through: float32 [h, w, 1] in [0, 1], the share that shines through; 1 minus the coverage.
  fixed: float32 [h, w, 3] in [0, 255], the light that the part always adds.
  tint: float32 [h, w, 1] in [0, 1 - through], the share that takes the colour.
  """

  box: tuple[slice, slice]
  through: np.ndarray
  fixed: np.ndarray
  tint: np.ndarray


def draw(parts: Sequence[Part], background: str, size: int) -> np.ndarray:
  """Lays the parts over a plain background, first one lowest: uint8 [size, size, 3]."""
  image = np.empty((size, size, 3), np.float32)
  image[:] = rgb(background)
  for part in parts:
    # A layer lets some light through, and adds its fixed and its coloured light.
    layer = _layer(part.slot, part.name, size)
    view = image[layer.box]
    view *= layer.through
    view += layer.fixed
    view += layer.tint * rgb(part.color)
  return (np.minimum(image, 255) + 0.5).astype(np.uint8)


def without_background(
  parts: Sequence[Part], size: int, crop: Crop | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """Lays the parts over nothing; over a background they are `light + through * background`.

  Args:
    parts: first one lowest.
    size: side in pixels.
    crop: what the picture shows; None is the square around the head.

  Returns:
    light: float32 [size, size, 3] in [0, 255], and through: float32 [size, size, 1] in [0, 1].
  """
  light = np.zeros((size, size, 3), np.float32)
  through = np.ones((size, size, 1), np.float32)
  for part in parts:
    layer = _layer(part.slot, part.name, size, crop or _CROP)
    light[layer.box] *= layer.through
    light[layer.box] += layer.fixed + layer.tint * rgb(part.color)
    through[layer.box] *= layer.through
  return light, through


def changed(
  before: Sequence[Part],
  background_before: str,
  after: Sequence[Part],
  background_after: str,
  size: int,
  crop: Crop | None = None,
) -> np.ndarray:
  """Returns the share of each pixel's light that differs in origin: float32 [size, size] in [0, 1].

  An origin is the background or one part's fixed or coloured share. The answer is the total
  variation distance between the two pictures' shares: 0 only where the pictures are equal, and 1
  where nothing is left of the first. Putting something on changes a pixel by its coverage m, and
  the picture to `picture * (1 - m) + light`, so soft edges and tinted lenses have their true share.
  """
  crop = crop or _CROP
  before = _shares(tuple(before), background_before, size, crop)
  after = _shares(tuple(after), background_after, size, crop)

  # What some origins lose others gain: the losses alone add up to the distance.
  difference = np.zeros((size, size), np.float32)
  for origin, share in before.items():
    if origin in after:
      share = np.maximum(share - after[origin], 0)
    difference += share
  return np.minimum(difference, 1)


@functools.cache
def order_at_the_top(slot: str, name: str) -> tuple[str, ...]:
  """Returns 'facial_hair', 'glasses' and `slot` from low to high, as this hair or hat is drawn."""
  if not name:
    return ('facial_hair', 'glasses')
  slot_by_suffix = {
    '_Facial-Hair': 'facial_hair',
    '_Accessory': 'glasses',
    '_Hair-Color': slot,
    '_Fabric-Color': slot,
  }

  # Elements stand in the order of drawing; a slot counts where it comes first.
  slots = []
  for element in _drawing(slot, name, '#000000').iter():
    for suffix, its_slot in slot_by_suffix.items():
      if element.get('id', '').endswith(suffix):
        slots.append(its_slot)
  return tuple(dict.fromkeys(slots))


@functools.cache
def rgb(color: str) -> np.ndarray:
  """Returns '#rrggbb' as float32 [3] in [0, 255]."""
  return np.array(list(bytes.fromhex(color.removeprefix('#'))), np.float32)


@functools.lru_cache(maxsize=2)  # the masks of a face are computed one after the other
def _shares(
  parts: tuple[Part, ...], background: str, size: int, crop: Crop
) -> dict[tuple[str, ...], np.ndarray]:
  """Returns each origin's share of the light, float32 [size, size]; the shares sum to 1."""
  shares = {}
  seen = np.ones((size, size), np.float32)  # the share that is left to lower parts
  for part in reversed(parts):
    layer = _layer(part.slot, part.name, size, crop)
    through, tint = layer.through[..., 0], layer.tint[..., 0]
    fixed_origin = part.slot, part.name
    for origin, share in ((fixed_origin, 1 - through - tint), (part, tint)):
      shares[origin] = np.zeros((size, size), np.float32)
      shares[origin][layer.box] = seen[layer.box] * share
    seen[layer.box] *= through
  shares['background', background] = seen
  return shares


@functools.cache
def _layer(slot: str, name: str, size: int, crop: Crop = _CROP) -> _Layer:
  """Rasterises a part in black and, if it takes a colour, in white."""
  factor = _subpixels(size)
  raster = functools.partial(_raster, slot, name, size=size, factor=factor, crop=crop)
  black = raster('#000000')
  white = raster('#FFFFFF') if _SLOTS[slot][2] else black
  coverage = black[..., 3:]
  rows = _extent(coverage.any(axis=(1, 2)))
  columns = _extent(coverage.any(axis=(0, 2)))
  box = rows, columns
  black, white, coverage = black[box], white[box], coverage[box]
  whole = (255 * factor) ** 2
  through = 1 - coverage / whole
  gain = (white - black)[..., :3]
  tint = gain.sum(axis=-1, keepdims=True) / (3 * whole)
  # Less than one level is the rounding of 8 bits.
  tint = np.where(tint < 1 / 255, 0, np.minimum(tint, 1 - through))
  fixed = 255 * black[..., :3] / whole
  return _Layer(
    box,
    through=through.astype(np.float32),
    fixed=fixed.astype(np.float32),
    tint=tint.astype(np.float32),
  )


def _extent(covered: np.ndarray) -> slice:
  """Returns the range of the true values of bool [N]; an empty one if there are none."""
  indices = np.flatnonzero(covered)
  if not indices.size:  # a part that lies outside the crop
    return slice(0, 0)
  return slice(indices[0], indices[-1] + 1)


def _subpixels(size: int) -> int:
  """Returns the rows and columns of which a pixel is the mean; about 128 rows in a small picture.

  resvg smooths a mask and what it masks separately, and the product leaves a dark fringe around
  hair; averaging keeps it within a part of a pixel.
  """
  return max(2, 128 // size)


def _raster(
  slot: str, name: str, color: str, *, size: int, factor: int, crop: Crop
) -> np.ndarray:
  """Returns int64 [size, size, 4]: premultiplied colours and coverage, summed over subpixels."""
  # The crop is drawn `factor` times larger; subpixels are summed below.
  tree = _drawing(slot, name, color)
  left, top, width = crop
  tree.attrib.update(
    viewBox=f'{left} {top} {width} {width}',
    width=str(size * factor),
    height=str(size * factor),
  )
  png = resvg_py.svg_to_bytes(
    svg_string=ElementTree.tostring(tree, encoding='unicode'), skip_system_fonts=True
  )
  with Image.open(io.BytesIO(png)) as image:
    pixels = np.asarray(image.convert('RGBA'), np.int64)

  # Colours are weighted by their coverage, since transparent pixels have no colour.
  colors, coverage = pixels[..., :3], pixels[..., 3:]
  pixels = np.concatenate([colors * coverage, 255 * coverage], axis=-1)
  subpixels = pixels.reshape(size, factor, size, factor, 4)
  return subpixels.sum(axis=(1, 3))


def _drawing(slot: str, name: str, color: str) -> ElementTree.Element:
  """Returns python-avatars' drawing of one part alone, as an SVG tree."""
  wear = dict.fromkeys(
    ['eyebrows', 'eyes', 'nose', 'mouth', 'facial_hair', 'accessory', 'clothing']
  )
  # Draws nothing, but has room for glasses and beards: here they sit as on a bald head, while in
  # python-avatars they shift by a unit or two with the hair, and would thus reveal it.
  wear['top'] = python_avatars.HairType.NONE
  names, argument, color_argument = _SLOTS[slot]
  if argument:
    wear[argument] = names[name]
  if color_argument:
    wear[color_argument] = color
  avatar = python_avatars.Avatar(style=python_avatars.AvatarStyle.TRANSPARENT, **wear)
  tree = ElementTree.fromstring(avatar.render())
  if slot != 'body':
    for parent in list(tree.iter()):
      for child in list(parent):
        if child.get('id', '').endswith('_Body'):
          parent.remove(child)
  return tree
