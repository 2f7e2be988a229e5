"""Reads the pictures of every split and domain, and notes what is wrong with them."""

import collections
import dataclasses
import hashlib

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import pipeline, transforms
from maskgan_jax.data.records import SPLITS

_FLAT = 2  # levels of 255 within which a picture is of one colour; lossy formats are not exact


@dataclasses.dataclass
class Examined:
  """What the pictures of a domain in a split are like.

  Attributes:
    count: how many there are.
    read: how many were looked at.
    unreadable: messages; so are `unfit` (smaller than the crop) and `bad_masks`.
    constant: names of pictures of one colour.
    names_by_levels: names by what is odd about their levels.
    pixels: a hash of the pixels, and the name, of each.
    shares: share of its area that the crop leaves of a picture, by name.
    sizes: how many there are of each, such as '178x218'.
    size_by_name: height and width of each.
    smaller: how many are smaller than the input.
    masks: how many have a true mask; `empty_masks`, how many an empty one.
    highest: level, of 255.
    usable: record numbers of pictures without any of these faults.
  """

  count: int = 0
  read: int = 0
  unreadable: list[str] = dataclasses.field(default_factory=list)
  unfit: list[str] = dataclasses.field(default_factory=list)
  bad_masks: list[str] = dataclasses.field(default_factory=list)
  constant: list[str] = dataclasses.field(default_factory=list)
  names_by_levels: dict[str, list[str]] = dataclasses.field(
    default_factory=lambda: collections.defaultdict(list)
  )
  pixels: list[tuple[bytes, str]] = dataclasses.field(default_factory=list)
  shares: dict[str, float] = dataclasses.field(default_factory=dict)
  sizes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  size_by_name: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
  smaller: int = 0
  masks: int = 0
  empty_masks: int = 0
  highest: int = 0
  usable: list[int] = dataclasses.field(default_factory=list)

  def facts(self) -> dict:
    """Returns the part of the report about these pictures."""
    least = max(self.shares.values(), default=0) / 2
    return {
      'count': self.count,
      'read': self.read,
      'unreadable': self.unreadable,
      'unfit': self.unfit,
      'constant': self.constant,
      'sizes': dict(self.sizes.most_common()),
      'smaller': self.smaller,
      'masks': self.masks,
      'empty_masks': self.empty_masks,
      'bad_masks': self.bad_masks,
      'levels': dict(self.names_by_levels),
      'highest': self.highest,
      'cut': [name for name, share in self.shares.items() if share < least],
    }

  def see(self, name: str, image: np.ndarray, input_shape: tuple[int, int]) -> bool:
    """Takes a picture in; returns whether it shows anything."""
    height, width = image.shape[:2]
    self.highest = max(self.highest, int(image.max()))
    self.sizes[f'{width}x{height}'] += 1
    self.size_by_name[name] = height, width
    self.smaller += height < input_shape[0] or width < input_shape[1]
    contents = str(image.shape).encode() + image.tobytes()
    self.pixels.append((hashlib.blake2b(contents, digest_size=16).digest(), name))

    # Of a dark picture in a file of 16 bits few levels are left, and it may look flat.
    is_flat = np.ptp(image, axis=(0, 1)).max() <= _FLAT
    remark = transforms.levels_remark(image)
    if remark and (not is_flat or 0 < image.max() < 128):
      self.names_by_levels[remark].append(name)
    elif is_flat:
      self.constant.append(name)
    return not is_flat


def examine_all(
  data: pipeline.Data, transform: transforms.Transform, max_images: int
) -> dict[tuple[str, str], Examined]:
  """Reads the pictures of every split and domain."""
  examined = {}
  for split in SPLITS:
    for domain, members in zip('ab', data.members(split), strict=True):
      indices = _spread(members, max_images)
      examined[split, domain] = _examine(data, split, indices, transform)
      examined[split, domain].count = len(members)
  return examined


def _spread(members: np.ndarray, max_images: int) -> np.ndarray:
  """Returns `max_images` of the record numbers, evenly spread; all of them for 0."""
  if not max_images or len(members) <= max_images:
    return members
  return members[np.linspace(0, len(members) - 1, max_images).astype(int)]


def _examine(
  data: pipeline.Data, split: str, indices: np.ndarray, transform: transforms.Transform
) -> Examined:
  """Reads records of a split."""
  records = data.records(split)
  pairs = data.pairs(split, indices, indices)
  examined = Examined(read=len(indices))
  for index in map(int, indices):
    name = records.name(index)
    try:
      image = records.image(index)
    except errors.UserError as error:
      examined.unreadable.append(str(error))
      continue
    if not examined.see(name, image, data.image_shape):
      continue

    # It shows something: does it have the size for the crop, and a mask that fits?
    try:
      pairs.prepare(image, index)
      examined.shares[name] = transform.crop_share(*image.shape[:2], name)
    except errors.UserError as error:
      examined.unfit.append(str(error))
      continue
    try:
      if split == 'train' and data.training_masks:
        mask = data.training_masks.mask(index)
      else:
        mask = pairs.true_mask(index)
    except errors.UserError as error:
      examined.bad_masks.append(str(error))
      continue
    if mask is not None:
      examined.masks += 1
      examined.empty_masks += not mask.any()
    examined.usable.append(index)
  return examined
