"""A user's picture on its way into a model: decoded, cropped and resized as the run's own are."""

from collections.abc import Sequence
import dataclasses
import os
from typing import Any

import numpy as np
from PIL import Image

from maskgan_jax import errors
from maskgan_jax.data import images
from maskgan_jax.data.transforms import resize_mask, Transform
from maskgan_jax.translator.enlarging import Box, region_box


@dataclasses.dataclass(frozen=True)
class Fitted:
  """A picture at the model's resolution, and how it came there.

  It goes into a translator as it is: NumPy takes it for its `image`.

  Attributes:
    image: uint8 [H, W, 3] at the model's resolution.
    name: what messages call the picture.
    size: height and width of the picture as given, pixels.
    transform: cropped and resized the region; with `region` it says which part `image` shows.
    remarks: what may surprise about the picture: of its crop, and of its levels; '' if nothing.
    region: the part of the picture that was cut out for the model, in whole pixels; None is all.
    picture: as it was given, for `translator(..., size='own')`.
  """

  image: np.ndarray
  name: str
  size: tuple[int, int]
  transform: Transform
  remarks: tuple[str, str] = ('', '')
  region: Box | None = None
  picture: Any = dataclasses.field(default=None, repr=False)

  @property
  def box(self) -> Box:
    """The part of the picture that `image` shows: the region, or what a crop leaves of it."""
    region = self.region or Box(0, 0, *self.size)
    height, width = region.bottom - region.top, region.right - region.left
    top, left, bottom, right = self.transform.seen(height, width, self.name)
    return Box(
      region.top + top, region.left + left, region.top + bottom, region.left + right
    )

  def cut(self, array: np.ndarray) -> np.ndarray:
    """Returns the region of an array of the picture's size."""
    return _cut(array, self.region)

  def __array__(self, dtype=None, copy=None) -> np.ndarray:
    return np.array(self.image, dtype=dtype, copy=copy)

  def fit_mask(self, mask: np.ndarray, name: str) -> np.ndarray:
    """Returns a mask that was drawn for the given picture at the model's resolution.

    Args:
      mask: float32 [height, width] in [0, 1]. It has the model's resolution and is kept, or the
        proportions of the given picture and goes the way of that.
      name: what messages call the mask.
    Returns:
      float32 [H, W, 1].
    Raises:
      UserError: the mask has other proportions.
    """
    if mask.shape == self.transform.shape:
      return mask[..., None]
    mask = self.enlarge_mask(mask, name)
    return self.transform.fit(self.cut(mask), name)[..., None]

  def enlarge_mask(self, mask: np.ndarray, name: str) -> np.ndarray:
    """Returns a mask of the given picture's proportions at its size; UserError for others."""
    height, width = self.size
    tall, wide = mask.shape
    if abs(wide * height / tall - width) > 1:
      raise errors.UserError(
        f'{name} is {tall}x{wide} (height x width), which does not fit '
        f'{self.name}, {height}x{width}'
      )
    return mask if mask.shape == self.size else resize_mask(mask, height, width)


def fit(
  picture: Any,
  transform: Transform,
  *,
  name: str = '',
  max_pixels: int = images.MAX_PIXELS,
  region: Sequence[float] | None = None,
) -> Fitted:
  """Returns a picture as the model takes it; see `Translator.fit`."""
  name = name or _name_of(picture)
  image = _decoded(picture, name, max_pixels)
  size, box = image.shape[:2], None
  if region is not None:
    # A region takes the place of the run's crop, which is in pixels of its own pictures.
    box = region_box(region, size, name)
    transform = dataclasses.replace(transform, crop='', test_whole=True)
    image = _cut(image, box)
  fitted = transform.fit(image, name)
  remarks = transform.remarks(image, name)
  return Fitted(fitted, name, size, transform, remarks, box, picture)


def _cut(array: np.ndarray, box: Box | None) -> np.ndarray:
  """Returns a part of an array in whole pixels, or all of it."""
  if box is None:
    return array
  return array[box.top : box.bottom, box.left : box.right]


def _name_of(picture: Any) -> str:
  if isinstance(picture, str | os.PathLike):
    return os.fspath(picture)
  return 'the picture'


def _decoded(picture: Any, name: str, max_pixels: int) -> np.ndarray:
  """Returns uint8 [height, width, 3] of a file, its bytes, a Pillow image or an array."""
  if isinstance(picture, str | os.PathLike | bytes):
    return images.load_image(picture, max_pixels=max_pixels, name=name)
  if isinstance(picture, Image.Image):
    return images.from_pillow(picture, name=name)

  # An array: grey, RGB, or RGB with opacity.
  array = np.asarray(picture)
  has_channels = array.ndim == 3 and array.shape[-1] in (1, 3, 4)
  is_picture = array.ndim == 2 or has_channels
  if array.dtype != np.uint8 or not is_picture or not array.size:
    raise errors.UserError(
      f'{name} is an array of {array.dtype} {list(array.shape)}; a picture is a path, the bytes '
      'of a file, a Pillow image, or a uint8 array [height, width, 3]'
    )
  if array.shape[-1] == 3 and array.ndim == 3:
    return array
  grey = array.ndim == 3 and array.shape[-1] == 1
  return images.from_pillow(
    Image.fromarray(array[..., 0] if grey else array), name=name
  )
