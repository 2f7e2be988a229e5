"""Animated pictures, GIF and WebP, which Pillow reads."""

from collections.abc import Iterator
from fractions import Fraction
import hashlib
import io
import itertools

import numpy as np
from PIL import Image

from maskgan_jax import errors
from maskgan_jax.data import images
from maskgan_jax.data.clips.base import Clip, CutOff, Frame

EXTENSIONS = ('.gif', '.webp')
_NO_DURATION = 100  # milliseconds that browsers show a frame for which none is written


class Animation(Clip):
  """An animated picture; times are in milliseconds."""

  def __init__(self, path: str, max_pixels: int):
    self.path, self.unit = path, Fraction(1, 1000)
    self._data = images.read(path)
    if not self._data:
      raise errors.UserError(f'{path} is empty (0 bytes)')

    # The first frame is decoded here, so that a file without any is refused at once.
    images.decode(
      self._data, self._look, max_pixels=max_pixels, name=path, keep_turned=True
    )
    if self.count == 1 and not path.lower().endswith(EXTENSIONS):
      raise errors.UserError(
        f'{path} is one picture and not a clip; write its result as .png or .jpg'
      )

  def _look(self, image: Image.Image) -> None:
    """Notes what the file says of all frames."""
    self.size = image.height, image.width
    self.loops = image.info.get('loop')
    # Counting the frames of a file that is cut off raises anything.
    try:
      self.count = getattr(image, 'n_frames', 1)
    except Exception:
      self.count = 0

  def frames(self) -> Iterator[Frame]:
    """Yields the frames; see `Clip`."""
    time = 0
    with Image.open(io.BytesIO(self._data)) as image:
      for number in itertools.count():
        try:
          image.seek(number)
          image.load()
        except EOFError:
          break
        except Exception as error:  # Pillow's readers raise anything on damaged files
          raise self._cut_off(number) from error
        duration = round(image.info.get('duration') or _NO_DURATION)
        yield Frame(*_layers(image, time, duration, number))
        time += duration
    is_gif = self._data[:3] == b'GIF'
    if is_gif and not self._data.rstrip(b'\0').endswith(b';'):
      raise self._cut_off(number)

  def _cut_off(self, number: int) -> CutOff:
    return CutOff(f'{self.path} is cut off after {number} frames')

  def signature(self) -> list:
    """Returns a hash of the file."""
    return [hashlib.sha256(self._data).hexdigest()]


def _layers(image: Image.Image, time: int, duration: int, number: int) -> tuple:
  """Returns the fields of a `Frame`."""
  name = f'frame {number + 1}'
  if not image.has_transparency_data:
    return np.array(image.convert('RGB')), time, duration, name
  layers = np.array(image.convert('RGBA'))
  opacity = layers[..., 3]
  pixels = np.ascontiguousarray(layers[..., :3])
  return pixels, time, duration, name, None if opacity.min() == 255 else opacity
