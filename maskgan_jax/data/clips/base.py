"""What every clip is: frames one after another, each with its time."""

from collections.abc import Iterator, Sequence
import dataclasses
from fractions import Fraction
import hashlib

import numpy as np

from maskgan_jax import errors


class CutOff(errors.UserError):
  """A clip ends early; it is raised after the last frame that can be read."""


@dataclasses.dataclass(frozen=True)
class Frame:
  """A picture of a clip.

  Attributes:
    pixels: upright, uint8 [H, W, 3].
    time: when it is shown, in the clip's unit.
    duration: how long, likewise; at least 1.
    name: what messages call it, and results in a folder are named after.
    opacity: uint8 [H, W]; None if all is opaque.
  """

  pixels: np.ndarray
  time: int
  duration: int
  name: str
  opacity: np.ndarray | None = None

  @property
  def size(self) -> tuple[int, int]:
    """Height and width."""
    return self.pixels.shape[:2]

  def with_pixels(self, pixels: np.ndarray) -> 'Frame':
    """Returns the frame with other pixels."""
    return dataclasses.replace(self, pixels=pixels)


class Clip:
  """Frames of one size, read from the first to the last.

  Attributes:
    path: the file or folder.
    size: height and width of its frames.
    count: number of frames, or an estimate; 0 where the file does not say it.
    unit: in which times are counted, in seconds.
    loops: how often it is repeated: 0 is for ever, None not at all.
    sounds: codecs of its sound; () without sound.
    remarks: what may surprise about it.
  """

  path: str
  size: tuple[int, int]
  count: int
  unit: Fraction
  loops: int | None = None
  sounds: tuple[str, ...] = ()
  remarks: tuple[str, ...] = ()

  def frames(self) -> Iterator[Frame]:
    """Yields the frames, decoded one at a time.

    Raises:
      CutOff: after the last frame of a clip that ends early.
    """
    raise NotImplementedError

  def checked_frames(self) -> Iterator[Frame]:
    """Yields `frames`; UserError where one has another size than the first, or none is there."""
    frame = None
    for frame in self.frames():
      if frame.size != self.size:
        raise errors.UserError(
          f'{self.path}: {frame.name} has {_text(frame.size)} pixels, and the first frame '
          f'{_text(self.size)}; frames of a clip have one size: cut it where that changes'
        )
      yield frame
    if frame is None:
      raise errors.UserError(f'{self.path} holds no frame that can be read')

  def signature(self) -> list:
    """Returns what differs between this clip and another under the same name."""
    raise NotImplementedError


def unit_of(rate: float) -> Fraction:
  """Returns the seconds that a frame lasts; UserError for what is not a rate."""
  if not 0 < rate <= 1000:
    raise errors.UserError(f'--rate={rate:g} is not a number of frames per second')
  return 1 / Fraction(rate).limit_denominator(1001)


class Drawn(Clip):
  """A clip of pictures in memory, uint8 [H, W, 3], each shown for one unit; it runs for ever."""

  def __init__(
    self,
    pictures: Sequence[np.ndarray],
    rate: float,
    opacity: np.ndarray | None = None,
  ):
    """Takes the pictures, frames per second, and the opacity of all of them, uint8 [H, W]."""
    self.path, self.loops = 'the clip', 0
    self.unit = unit_of(rate)
    self.size, self.count = pictures[0].shape[:2], len(pictures)
    self._pictures, self._opacity = pictures, opacity

  def frames(self) -> Iterator[Frame]:
    """Yields the frames; see `Clip`."""
    for number, picture in enumerate(self._pictures):
      yield Frame(picture, number, 1, f'frame {number + 1}', self._opacity)

  def signature(self) -> list:
    """Returns a hash of the pictures."""
    digest = hashlib.sha256()
    opacity = [] if self._opacity is None else [self._opacity]
    for picture in (*self._pictures, *opacity):
      digest.update(np.ascontiguousarray(picture).tobytes())
    return [digest.hexdigest()]


def _text(size: tuple[int, int]) -> str:
  """Returns a size as people write it: width x height."""
  return f'{size[1]}x{size[0]}'
