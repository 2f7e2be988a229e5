"""A user's picture on its way into a model: decoded, cropped and resized as the run's own are."""

import dataclasses
import os
from typing import Any

import numpy as np
from PIL import Image

from maskgan_jax import errors
from maskgan_jax.data import images
from maskgan_jax.data.transforms import resize_mask, Transform


@dataclasses.dataclass(frozen=True)
class Fitted:
  """A picture at the model's resolution, and how it came there.

  It goes into a translator as it is: NumPy takes it for its `image`.

  Attributes:
    image: uint8 [H, W, 3] at the model's resolution.
    name: what messages call the picture.
    size: height and width of the picture as given, pixels.
    transform: cropped and resized the picture; with `size` it says which part `image` shows.
    remarks: what may surprise about the picture: of its crop, and of its levels; '' if nothing.
  """

  image: np.ndarray
  name: str
  size: tuple[int, int]
  transform: Transform
  remarks: tuple[str, str] = ('', '')

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
    height, width = self.size
    tall, wide = mask.shape
    if abs(wide * height / tall - width) > 1:
      raise errors.UserError(
        f'{name} is {tall}x{wide} (height x width), which does not fit '
        f'{self.name}, {height}x{width}'
      )
    if mask.shape != self.size:
      mask = resize_mask(mask, height, width)
    return self.transform.fit(mask, name)[..., None]


def fit(
  picture: Any,
  transform: Transform,
  *,
  name: str = '',
  max_pixels: int = images.MAX_PIXELS,
) -> Fitted:
  """Returns a picture as the model takes it; see `Translator.fit`."""
  name = name or _name_of(picture)
  image = _decoded(picture, name, max_pixels)
  fitted = transform.fit(image, name)
  return Fitted(
    fitted, name, image.shape[:2], transform, transform.remarks(image, name)
  )


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
