"""A user's picture on its way into a model: decoded, cropped and resized as the run's own are."""

from collections.abc import Callable, Sequence
import dataclasses
import functools
import os
from typing import Any

import numpy as np
from PIL import Image

from maskgan_jax import errors
from maskgan_jax.data import images, landmarks, turned
from maskgan_jax.data.transforms import RESIZE, resize_mask, Transform
from maskgan_jax.data.turned import Turned
from maskgan_jax.translator.enlarging import Box, Part, region_box, scales

_LEAST_SHARE = 1 / 8  # of the sides of a model, which a part of a picture has at least
_NEARLY_ALL = 0.9  # of a part: if a model sees less, it is said


# Says which part of a picture of some size and name a model is to see.
Place = Callable[[tuple[int, int], str], Part] | None


@dataclasses.dataclass(frozen=True)
class Fitted:
  """A picture at the model's resolution, and how it came there.

  It goes into a translator as it is: NumPy takes it for its `image`.

  Attributes:
    image: uint8 [H, W, 3] at the model's resolution.
    name: what messages call the picture.
    size: height and width of the picture as given, pixels.
    transform: cropped and resized the region; with `region` it says which part `image` shows.
    remarks: what may surprise about the picture: of its crop, of its levels, and of its size; ''
      if nothing.
    region: the part of the picture that was cut out for the model: in whole pixels, or turned;
      None is all.
    picture: as it was given, for `translator(..., size='own')`.
  """

  image: np.ndarray
  name: str
  size: tuple[int, int]
  transform: Transform
  remarks: tuple[str, str, str] = ('', '', '')
  region: Part | None = None
  picture: Any = dataclasses.field(default=None, repr=False)

  @property
  def box(self) -> Part:
    """The part of the picture that `image` shows: the region, or what a crop leaves of it."""
    if isinstance(self.region, Turned):
      return self.region
    region = self.region or Box(0, 0, *self.size)
    height, width = region.bottom - region.top, region.right - region.left
    top, left, bottom, right = self.transform.seen(height, width, self.name)
    return Box(
      region.top + top, region.left + left, region.top + bottom, region.left + right
    )

  @property
  def region_size(self) -> tuple[float, float]:
    """Height and width of the region, pixels."""
    return scales(self.region or Box(0, 0, *self.size), (1, 1))

  def seen_remark(self) -> str:
    """Says that the model sees much less than the region, because it keeps proportions; or ''."""
    if not self.transform.keep_aspect or isinstance(self.region, Turned):
      return ''
    (tall, wide), (height, width) = scales(self.box, (1, 1)), self.region_size
    if tall * wide > _NEARLY_ALL * height * width:
      return ''
    what = 'the region' if self.region else 'all'
    return (
      f'{self.name}: the model keeps proportions and sees the middle {tall:.0f}x{wide:.0f} '
      f'pixels (height x width) of {what}, {height:.0f}x{width:.0f}; nothing else changes'
    )

  def seen(self, array: np.ndarray, name: str) -> np.ndarray:
    """Returns what a model sees of a picture or mask of the picture's size.

    Args:
      array: uint8 [height, width, 3], or a mask, float32 [height, width] in [0, 1].
      name: what messages call it.
    """
    return _seen(array, self.region, self.transform, name)

  def __array__(self, dtype=None, copy=None) -> np.ndarray:
    return np.array(self.image, dtype=dtype, copy=copy)

  def fit_mask(self, mask: np.ndarray, name: str) -> np.ndarray:
    """Returns a mask that was drawn for the given picture at the model's resolution.

    Args:
      mask: float32 [height, width] in [0, 1]. It has the model's resolution and is kept
        (`is_of_model`), or the proportions of the given picture and goes the way of that.
      name: what messages call the mask.
    Returns:
      float32 [H, W, 1].
    Raises:
      UserError: the mask has other proportions.
    """
    if self.is_of_model(mask):
      return mask[..., None]
    return self.seen(self.enlarge_mask(mask, name), name)[..., None]

  def is_of_model(self, mask: np.ndarray) -> bool:
    """Returns whether a mask, [height, width], was drawn for what the model sees.

    Where the picture has the model's resolution too, a mask of a part would fit both: it is the
    whole picture's.
    """
    is_of_picture = self.region is not None and mask.shape == tuple(self.size)
    return mask.shape == self.transform.shape and not is_of_picture

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
  places: Sequence[Place] = (None,),
) -> list[Fitted]:
  """Returns places of a picture as the model takes them; see `Translator.fit_all`."""
  name = name or _name_of(picture)
  image = _decoded(picture, name, max_pixels)
  size = image.shape[:2]
  fitted = []
  for place in places:
    # A place takes that of the run's crop, which is in pixels of its own pictures.
    region, its_transform = None, transform
    if place is not None:
      region = place(size, name)
      its_transform = dataclasses.replace(transform, crop='', test_whole=True)
      _check_size(region, transform.shape, name)
    seen = _seen(image, region, its_transform, name)
    part = seen if isinstance(region, Turned) else _cut(image, region)
    one = Fitted(seen, name, size, its_transform, region=region, picture=picture)
    remarks = *its_transform.remarks(part, name), _size_remark(one)
    fitted.append(dataclasses.replace(one, remarks=remarks))
  return fitted


def at_region(region: Sequence[float]) -> Place:
  """Returns the place of a region; see `enlarging.region_box`."""
  return functools.partial(region_box, region)


def at_points(
  points: Sequence, template: landmarks.Template | None, transform: Transform
) -> Place:
  """Returns the place of a face in which its points lie as the template's.

  Raises:
    UserError: the model has no template.
  """
  if template is None:
    raise errors.UserError(
      'points of faces say nothing to this model: the pictures that it was trained with have no '
      'template; set config.data.template if they are aligned (docs/photographs.md)'
    )
  seen = transform.seen(*template.size, 'the template')

  def place(size, name):
    return turned.of_points(points, template, seen, size, name)

  return place


def same_picture(one: Fitted, other: Fitted) -> bool:
  """Returns whether two places are of one picture."""
  if one.picture is other.picture:
    return True
  kinds = str | os.PathLike | bytes
  are_files = isinstance(one.picture, kinds) and isinstance(other.picture, kinds)
  return are_files and one.picture == other.picture


def _seen(
  array: np.ndarray, region: Part | None, transform: Transform, name: str
) -> np.ndarray:
  """Returns what a model sees of a picture or mask."""
  if isinstance(region, Turned):
    filter_ = RESIZE[transform.resize]
    return turned.upright(array, region, transform.shape, filter_)
  return transform.fit(_cut(array, region), name)


def _cut(array: np.ndarray, box: Box | None) -> np.ndarray:
  """Returns a part of an array in whole pixels, or all of it."""
  if box is None:
    return array
  return array[box.top : box.bottom, box.left : box.right]


def _check_size(region: Part, shape: tuple[int, int], name: str) -> None:
  """Raises UserError for a part of so few pixels that a model sees nothing in it."""
  height, width = scales(region, (1, 1))
  if height < _LEAST_SHARE * shape[0] or width < _LEAST_SHARE * shape[1]:
    raise errors.UserError(
      f'the region of {name} has {height:.0f}x{width:.0f} pixels (height x width), far too few '
      f'for a model of {shape[0]}x{shape[1]}'
    )


def _size_remark(fitted: Fitted) -> str:
  """Says that the model sees an enlarged picture, or ''."""
  (height, width), shape = scales(fitted.box, (1, 1)), fitted.image.shape[:2]
  if 2 * height >= shape[0] and 2 * width >= shape[1]:
    return ''
  return (
    f'{fitted.name}: what the model sees has {height:.0f}x{width:.0f} pixels (height x width), '
    f'less than half of the {shape[0]}x{shape[1]} of the model, and is enlarged'
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
