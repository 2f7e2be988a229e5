"""Crop, resize, flip, zoom: a fixed part worth keeping in memory, a random one drawn each epoch."""

import dataclasses

import ml_collections
import numpy as np
from PIL import Image

from maskgan_jax import errors, fields
from maskgan_jax.data import default_config
from maskgan_jax.fields import at_least, field

RESIZE = {
  'bilinear': Image.Resampling.BILINEAR,
  'bicubic': Image.Resampling.BICUBIC,
  'lanczos': Image.Resampling.LANCZOS,
  'area': Image.Resampling.BOX,
}
NUM_UNIFORMS = 3  # that one random draw needs: flip, top, left
NUM_ZOOM_UNIFORMS = 4  # that a zoom needs besides: whether, scale, top, left
_LEAST_SHARE = 0.5  # CelebA's usual crops leave 0.8 of it
# Levels of 255: a picture that stays below or above is nearly black or white.
DARK, _BRIGHT = (16, 239)
# The remedy for dark pictures.
SHALLOW = (
  'files of 16 bits must use all of 0 to 65535: multiply data of 14 bits by 4, of 12 by '
  '16 and of 10 by 64, or save 8 bits'
)
_LARGEST_LOAD = 16  # times image_size
# A stretch of a picture's sides, relative to the result's; beyond it the ends are cut off.
_MOST_STRETCH = 64
_SHAPE = dict(
  image_size=field(0, at_least(1)),
  image_width=field(0, at_least(0)),
)


@dataclasses.dataclass(frozen=True)
class Transform:
  """The way from a stored picture to the network's input, the same for its mask.

  `fixed` crops and resizes, `augment` then makes the final shape in training; evaluation and
  translation see what `unaugmented` makes.
  The flip comes last. LOMIT's authors flip first, which is the same here: a flip commutes with a
  resize, and with a centre crop of 178 from CelebA's width of 178.

  Attributes:
    image_size: height of the result, pixels.
    crop: '' | 'center:S' | 'center:H,W' | 'box:y0,x0,y1,x1', in stored pixels.
    keep_aspect: the result's shape is covered and the centre kept, instead of distorting.
    load_size: height after the fixed part when training crops at random; 0 = image_size. The width
      is in proportion.
    resize: a key of RESIZE.
    flip: whether training mirrors half of the pictures.
    image_width: width of the result, pixels; 0 = image_size.
    zoom_probability: chance of a training picture to become a random part of itself, resized back.
    zoom_least: least share of height and width of such a part; the most is 1.
    test_whole: whether evaluation sees all of a picture at the result's size; if not, it sees the
      centre of what a larger load_size made.
  """

  image_size: int
  crop: str = ''
  keep_aspect: bool = False
  load_size: int = 0
  resize: str = 'bilinear'
  flip: bool = True
  image_width: int = 0
  zoom_probability: float = 0.0
  zoom_least: float = 0.8
  test_whole: bool = False

  @classmethod
  def of(cls, config: ml_collections.ConfigDict) -> 'Transform':
    """Returns the transform that a config describes."""
    data = config.data
    return cls(
      image_size=config.image_size,
      image_width=config.image_width,
      crop=data.crop,
      keep_aspect=data.keep_aspect,
      load_size=data.load_size,
      resize=data.resize,
      flip=data.flip,
      zoom_probability=data.zoom_probability,
      zoom_least=data.zoom_least,
      test_whole=data.test_whole,
    )

  def __post_init__(self):
    fields.check(vars(self), _SHAPE)
    fields.check(vars(self), default_config.FIELDS, 'config.data.')
    if self.load_size and self.load_size < self.image_size:
      raise errors.UserError(
        f'config.data.load_size={self.load_size} is smaller than '
        f'image_size={self.image_size}; make it larger, or 0'
      )
    # Crops of a larger picture would show next to nothing: a slip of the keyboard.
    if self.load_size > _LARGEST_LOAD * self.image_size:
      raise errors.UserError(
        f'config.data.load_size={self.load_size} is more than {_LARGEST_LOAD} '
        f'times image_size={self.image_size}, which is cropped from it; make '
        'it smaller'
      )
    _parse_crop(self.crop)

  @property
  def shape(self) -> tuple[int, int]:
    """Height and width of the result, pixels."""
    return self.image_size, self.image_width or self.image_size

  @property
  def stored_shape(self) -> tuple[int, int]:
    """Height and width of what `fixed` returns, pixels."""
    height, width = self.shape
    if not self.load_size:
      return height, width
    return self.load_size, round(self.load_size * width / height)

  def fixed(self, image: np.ndarray, name: str) -> np.ndarray:
    """Crops and resizes to `stored_shape`.

    Args:
      image: uint8 [H, W, 3], a float32 mask [H, W] in [0, 1], or int32 class ids [H, W].
      name: what messages call it.
    """
    top, left, height, width = self._box(image.shape[0], image.shape[1], name)
    image = image[top : top + height, left : left + width]
    if not self.keep_aspect:
      return _resize(image, *self.stored_shape, self.resize)

    kept, covering = self._covering(height, width)
    image = _centre(image, kept)
    return _centre(_resize(image, *covering, self.resize), self.stored_shape)

  def _covering(
    self, height: int, width: int
  ) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns the middle of a picture that `keep_aspect` resizes, and the size that this gets."""
    # A thin strip would become huge; only its middle will be seen, so the ends can go before.
    tall, wide = self.stored_shape
    scale = _MOST_STRETCH * min(height / tall, width / wide)
    if max(height / tall, width / wide) > scale:
      height = max(1, min(height, round(scale * tall)))
      width = max(1, min(width, round(scale * wide)))

    # One side fits, and the other has something left over on both ends.
    if height * wide < width * tall:  # relatively wider
      wide = max(wide, round(width * tall / height))
    else:
      tall = max(tall, round(height * wide / width))
    return (height, width), (tall, wide)

  def augment(
    self, images: np.ndarray, uniforms: np.ndarray, zooms: np.ndarray | None = None
  ) -> np.ndarray:
    """Makes the random part from uniforms in [0, 1); may write into the images.

    Args:
      images: uint8 [N, *stored_shape, C], as `fixed` returned them; C is 3, or 4 with masks.
      uniforms: [N, 3], decide flip, top and left of each.
      zooms: [N, 4], decide whether each is zoomed, and scale, top and left; None zooms none.
    """
    height, width = self.shape
    if self.stored_shape != self.shape:
      places = np.subtract(self.stored_shape, self.shape) + 1
      corners = (uniforms[:, 1:] * places).astype(int)
      crops = []
      for image, (top, left) in zip(images, corners, strict=True):
        crops.append(image[top : top + height, left : left + width])
      images = np.stack(crops)
    if zooms is not None:
      zoomed = zooms[:, 0] < self.zoom_probability
      _, size, top, left = zooms[zoomed].T
      scales = 1 - (1 - self.zoom_least) * size
      images[zoomed] = _zoom(images[zoomed], scales, top, left)
    if self.flip:
      mirrored = uniforms[:, 0] < 0.5
      before = images[mirrored]
      # This is three times as fast as moving whole pixels of three bytes.
      for channel in range(images.shape[-1]):
        images[mirrored, :, :, channel] = before[:, :, ::-1, channel]
    return images

  def unaugmented(self, image: np.ndarray, name: str) -> np.ndarray:
    """Returns a picture, mask or class ids as evaluation and translation see it; as `fixed`."""
    transform = dataclasses.replace(self, load_size=0) if self.test_whole else self
    return _centre(transform.fixed(image, name), self.shape)

  def fit(self, image: np.ndarray, name: str) -> np.ndarray:
    """Returns what `unaugmented` does; an image of the result's size, as of a result, stays so."""
    if image.shape[:2] == self.shape:
      return image
    return self.unaugmented(image, name)

  def seen(
    self, height: int, width: int, name: str
  ) -> tuple[float, float, float, float]:
    """Returns top, left, bottom and right of the part of a picture that `fit` shows, in pixels."""
    if (height, width) == self.shape:
      return 0, 0, height, width
    transform = dataclasses.replace(self, load_size=0) if self.test_whole else self
    top, left, height, width = self._box(height, width, name)

    # `_centre` cuts before and after the resize; a resized pixel is `down` x `across` large.
    stored = tall, wide = transform.stored_shape
    if self.keep_aspect:
      kept, (tall, wide) = transform._covering(height, width)
      top, left = top + (height - kept[0]) // 2, left + (width - kept[1]) // 2
      height, width = kept
    down, across = height / tall, width / wide
    rows = (tall - stored[0]) // 2 + (stored[0] - self.shape[0]) // 2
    columns = (wide - stored[1]) // 2 + (stored[1] - self.shape[1]) // 2
    top, left = top + rows * down, left + columns * across
    return top, left, top + self.shape[0] * down, left + self.shape[1] * across

  def remarks(self, image: np.ndarray, name: str) -> tuple[str, str]:
    """Returns warnings about a picture to translate: of the crop and of its levels; '' for none.

    A crop is in the pixels of the training pictures, whose sizes are not stored: of a photograph
    that is much larger it leaves a speck. Pictures of the result's size are not cropped.
    """
    # A crop that leaves little of a picture was hardly meant for it.
    height, width = image.shape[:2]
    share, crop = 1.0, ''
    if (height, width) != self.shape:
      share = self.crop_share(height, width, name)
    if share < _LEAST_SHARE:
      crop = (
        f'config.data.crop={self.crop!r} leaves {100 * share:.2g} % of {name}, which is '
        f'{height} high and {width} wide: it is in pixels of the training pictures; resize '
        'this one to their size first'
      )
    levels = levels_remark(image)
    return crop, f'{name} is {levels}' if levels else ''

  def crop_share(self, height: int, width: int, name: str) -> float:
    """Returns the share of a picture's area that the crop leaves; UserError if it does not fit."""
    tall, wide = self._box(height, width, name)[2:]
    return tall * wide / (height * width)

  def _box(self, height: int, width: int, name: str) -> tuple[int, int, int, int]:
    """Returns top, left, height, width of the crop inside a picture."""
    # The numbers are the size of a centred crop, or the corners of a box.
    kind, numbers = _parse_crop(self.crop)
    if kind == 'center':
      tall, wide = numbers
      top, left = (height - tall) // 2, (width - wide) // 2
    elif kind == 'box':
      top, left, bottom, right = numbers
      tall, wide = bottom - top, right - left
    else:
      return 0, 0, height, width
    if min(top, left) < 0 or top + tall > height or left + wide > width:
      raise errors.UserError(
        f'config.data.crop={self.crop!r} does not fit into {name}, which is '
        f'{height} high and {width} wide'
      )
    return top, left, tall, wide


def levels_remark(image: np.ndarray) -> str:
  """Says in a few words what is odd about the levels of a uint8 picture, or ''.

  Of 12-bit data in a 16-bit file no level is above 16 of 255, and of 10-bit data none above 4.
  """
  if image.max() <= DARK:
    return f'nearly black, with no level above {DARK} of 255; {SHALLOW}'
  if image.min() >= _BRIGHT:
    return f'nearly white, with no level below {_BRIGHT} of 255'
  return ''


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
  """Resizes a float32 mask [H, W] in [0, 1], bilinear, or int32 class ids [H, W], nearest."""
  return _resize(mask, height, width, 'bilinear')


def _parse_crop(crop: str) -> tuple[str, tuple[int, ...]]:
  """Returns ('', ()), ('center', (h, w)) or ('box', (y0, x0, y1, x1)), else UserError."""
  if not crop:
    return '', ()

  # Numbers of pixels follow the kind.
  kind, _, rest = crop.partition(':')
  try:
    numbers = tuple(map(int, rest.split(',')))
  except ValueError:
    numbers = ()
  if kind == 'center' and len(numbers) in (1, 2) and min(numbers) > 0:
    return kind, (numbers[0], numbers[-1])
  if kind == 'box' and len(numbers) == 4 and min(numbers) >= 0:
    top, left, bottom, right = numbers
    if top < bottom and left < right:
      return kind, numbers
  raise errors.UserError(
    f"config.data.crop={crop!r} must be '', 'center:SIDE', "
    "'center:HEIGHT,WIDTH' or 'box:top,left,bottom,right', in pixels"
  )


def _centre(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
  """Returns the middle of an image."""
  height, width = shape
  top = (image.shape[0] - height) // 2
  left = (image.shape[1] - width) // 2
  return image[top : top + height, left : left + width]


def _zoom(
  images: np.ndarray, scales: np.ndarray, tops: np.ndarray, lefts: np.ndarray
) -> np.ndarray:
  """Returns a part of each uint8 [N, H, W, 3], `scales` times as high and wide, resized back.

  Pixel (y, x) is that at (scale * y + top, scale * x + left), bilinear, as EGSC-IT's authors have
  it: without the half pixel by which centres differ from corners. `tops` and `lefts` are shares of
  the rows and columns that are not in the part. Past the last row or column this repeats it, where
  the authors have mid-grey.
  """
  count, height, width, channels = images.shape
  above, below, row_weights = _between(height, scales, tops)
  left, right, column_weights = _between(width, scales, lefts)
  # Rows are flat, because taking numbers is faster than taking pixels of three.
  channel = np.tile(np.arange(channels), width)
  left = left.repeat(channels, axis=1) * channels + channel
  right = right.repeat(channels, axis=1) * channels + channel
  column_weights = column_weights.repeat(channels, axis=1)
  result = np.empty((count, height, width * channels), np.uint8)
  for i, image in enumerate(images.reshape(result.shape)):
    rows = image[above[i]].astype(np.float32)
    rows += (image[below[i]] - rows) * row_weights[i][:, None]
    columns = rows.take(left[i], axis=1)
    steps = rows.take(right[i], axis=1)
    steps -= columns
    steps *= column_weights[i]
    columns += steps
    result[i] = np.rint(columns, out=columns)
  return result.reshape(images.shape)


def _between(
  size: int, scales: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the two rows (or columns) that each new one lies between, and the second's weight."""
  # Places are in pixels of the picture; none lies beyond the last one.
  offsets = starts * (1 - scales) * size
  places = scales[:, None] * np.arange(size) + offsets[:, None]
  places = np.minimum(places, size - 1)
  first = places.astype(int)
  second = np.minimum(first + 1, size - 1)
  return first, second, (places - first).astype(np.float32)


def _resize(image: np.ndarray, height: int, width: int, method: str) -> np.ndarray:
  """Resizes a picture, a float32 mask or int32 class ids."""
  if image.shape[:2] == (height, width):
    return image
  filter_ = RESIZE[method]
  if image.dtype == np.int32:
    filter_ = Image.Resampling.NEAREST  # there is nothing between two class ids
  picture = Image.fromarray(np.ascontiguousarray(image))
  resized = np.asarray(picture.resize((width, height), filter_))
  if image.dtype == np.float32:
    return np.clip(resized, 0, 1)  # bicubic and Lanczos overshoot
  return resized
