"""Crop, resize, flip: a fixed part worth keeping in memory, and a random part drawn each epoch."""

import dataclasses

import numpy as np
from PIL import Image

from maskgan_jax import errors

RESIZE = {
    'bilinear': Image.Resampling.BILINEAR,
    'bicubic': Image.Resampling.BICUBIC,
    'lanczos': Image.Resampling.LANCZOS,
    'area': Image.Resampling.BOX,
}
NUM_UNIFORMS = 3  # what one random draw needs: flip, top, left


@dataclasses.dataclass(frozen=True)
class Transform:
  """The way from a stored picture to the network's input, the same for its mask.

  `fixed` crops and resizes; `augment` (training) or `centre` (evaluation) makes the final square.
  The flip comes last. LOMIT's authors flip first, which is the same here: a flip commutes with a
  resize, and with a centre crop of 178 from CelebA's width of 178.

  Attributes:
    image_size: side of the result, pixels.
    crop: '' | 'center:S' | 'center:H,W' | 'box:y0,x0,y1,x1', in stored pixels.
    keep_aspect: the shorter side becomes the size and the centre is kept, instead of distorting.
    load_size: side after the fixed part when training crops at random; 0 = image_size.
    resize: a key of RESIZE.
    flip: whether training mirrors half of the pictures.
  """
  image_size: int
  crop: str = ''
  keep_aspect: bool = False
  load_size: int = 0
  resize: str = 'bilinear'
  flip: bool = True

  def __post_init__(self):
    if self.image_size < 1:
      raise errors.UserError(f'image_size={self.image_size} must be at least 1')
    if self.resize not in RESIZE:
      raise errors.UserError(f'config.data.resize={self.resize!r} must be one of '
                             f'{", ".join(RESIZE)}{errors.nearest(self.resize, RESIZE)}')
    if self.load_size and self.load_size < self.image_size:
      raise errors.UserError(f'config.data.load_size={self.load_size} is smaller than '
                             f'image_size={self.image_size}; make it larger, or 0')
    _parse_crop(self.crop)

  @property
  def stored_size(self) -> int:
    """Side of what `fixed` returns, pixels."""
    return self.load_size or self.image_size

  def fixed(self, image: np.ndarray, name: str) -> np.ndarray:
    """Crops and resizes uint8 [H, W, 3] or a float32 mask [H, W] in [0, 1] to `stored_size`."""
    top, left, height, width = self._box(image.shape[0], image.shape[1], name)
    image = image[top:top + height, left:left + width]
    size = self.stored_size
    if not self.keep_aspect:
      return _resize(image, size, size, self.resize)
    shorter = min(height, width)
    tall, wide = (max(size, round(side * size / shorter)) for side in (height, width))
    image = _resize(image, tall, wide, self.resize)
    return _centre(image, size)

  def augment(self, images: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Makes the random part from uniforms [N, 3] in [0, 1); may write into the images.

    Args:
      images: uint8 [N, S, S, 3], as `fixed` returned them.
      uniforms: decide flip, top and left of each.
    """
    size = self.image_size
    if self.stored_size > size:
      corners = (uniforms[:, 1:] * (self.stored_size - size + 1)).astype(int)
      images = np.stack([image[top:top + size, left:left + size]
                         for image, (top, left) in zip(images, corners, strict=True)])
    if self.flip:
      mirrored = uniforms[:, 0] < 0.5
      before = images[mirrored]
      for channel in range(3):  # three times as fast as moving whole pixels of three bytes
        images[mirrored, :, :, channel] = before[:, :, ::-1, channel]
    return images

  def centre(self, image: np.ndarray) -> np.ndarray:
    """Returns the middle square of one stored picture or mask, as evaluation sees it."""
    return _centre(image, self.image_size)

  def _box(self, height, width, name):
    """Returns top, left, height, width of the crop inside a picture."""
    kind, numbers = _parse_crop(self.crop)
    if kind == 'center':
      tall, wide = numbers
      box = ((height - tall) // 2, (width - wide) // 2, tall, wide)
    elif kind == 'box':
      top, left, bottom, right = numbers
      box = (top, left, bottom - top, right - left)
    else:
      return 0, 0, height, width
    if min(box[:2]) < 0 or box[0] + box[2] > height or box[1] + box[3] > width:
      raise errors.UserError(f'config.data.crop={self.crop!r} does not fit into {name}, which is '
                             f'{height} high and {width} wide')
    return box


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
  """Resizes a float32 mask [H, W] in [0, 1], bilinear."""
  return _resize(mask, height, width, 'bilinear')


def _parse_crop(crop):
  """Returns ('', ()), ('center', (h, w)) or ('box', (y0, x0, y1, x1)), else UserError."""
  if not crop:
    return '', ()
  kind, _, rest = crop.partition(':')
  try:
    numbers = tuple(int(number) for number in rest.split(','))
  except ValueError:
    numbers = ()
  if kind == 'center' and len(numbers) in (1, 2) and min(numbers) > 0:
    return kind, (numbers * 2)[:2] if len(numbers) == 1 else numbers
  if kind == 'box' and len(numbers) == 4 and min(numbers) >= 0 and (
      numbers[0] < numbers[2] and numbers[1] < numbers[3]):
    return kind, numbers
  raise errors.UserError(f"config.data.crop={crop!r} must be '', 'center:SIDE', "
                         "'center:HEIGHT,WIDTH' or 'box:top,left,bottom,right', in pixels")


def _centre(image, size):
  top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
  return image[top:top + size, left:left + size]


def _resize(image, height, width, method):
  if image.shape[:2] == (height, width):
    return image
  resized = np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((width, height),
                                                                           RESIZE[method]))
  if image.dtype == np.uint8:
    return resized
  return np.clip(resized, 0, 1)  # bicubic and Lanczos overshoot
