"""Finds in each frame of a clip what a region showed in the first.

The region of the first frame is a template. Where its weighted normalised correlation with a frame
is highest, near its last place, the region lies. Only the place follows: the size stays, and a head
that tilts is not turned back.
"""

import numpy as np
from PIL import Image
from scipy import signal

from maskgan_jax.translator.enlarging import Box

_SIDE = 48  # pixels of the template along its longer side
_REACH = 0.35  # of the region's sides, that it moves at most from a frame to the next
_LEAST = 0.4  # correlation; below it is something else
_WIDTH = 0.35  # deviation of the weights, of the template's sides


class Follower:
  """Follows a region through a clip.

  Attributes:
    lost: number of frames so far in which nothing was like the region; it stayed where it was.
  """

  def __init__(self, pixels: np.ndarray, box: Box):
    """Takes the first frame, uint8 [H, W, 3], and the region in whole pixels."""
    self.lost = 0
    self._box = Box(*map(int, box))
    self._sides = self._box.bottom - self._box.top, self._box.right - self._box.left
    self._step = max(1.0, max(self._sides) / _SIDE)
    template = self._reduced(pixels, self._box)
    self._weights = _weights(template.shape[:2])
    self._template = _less_mean(template, self._weights)

  def __call__(self, pixels: np.ndarray) -> Box:
    """Returns the region's place in the next frame, in whole pixels inside of it."""
    height, width = pixels.shape[:2]
    down, across = (max(1, round(_REACH * side)) for side in self._sides)
    box = self._box
    around = Box(
      max(0, box.top - down),
      max(0, box.left - across),
      min(height, box.bottom + down),
      min(width, box.right + across),
    )
    searched = self._reduced(pixels, around)
    likeness = self._correlation(searched)
    top, left = np.unravel_index(np.argmax(likeness), likeness.shape)
    if likeness[top, left] < _LEAST:
      self.lost += 1
      return box

    # The place lies between pixels of the template.
    down = (around.bottom - around.top) / searched.shape[0]
    across = (around.right - around.left) / searched.shape[1]
    place = (
      around.top + down * (top + _peak(likeness[:, left], top)),
      around.left + across * (left + _peak(likeness[top], left)),
    )
    self._box = self._placed(place, (height, width))
    return self._box

  def _placed(self, place: tuple[float, float], size: tuple[int, int]) -> Box:
    """Returns the region at a place, in whole pixels of a frame of this size."""
    corners = []
    for start, side, most in zip(place, self._sides, size, strict=True):
      corners.append(min(max(0, round(start)), most - side))
    return Box(*corners, corners[0] + self._sides[0], corners[1] + self._sides[1])

  def _reduced(self, pixels: np.ndarray, box: Box) -> np.ndarray:
    """Returns a part of a frame at the template's scale, float32 [h, w, 3]."""
    part = pixels[box.top : box.bottom, box.left : box.right]
    size = [max(1, round(side / self._step)) for side in part.shape[1::-1]]
    reduced = Image.fromarray(part).resize(size, Image.Resampling.BOX)
    return np.asarray(reduced, np.float32) / 255

  def _correlation(self, searched: np.ndarray) -> np.ndarray:
    """Returns the correlation with the template at each place, in [-1, 1]."""
    total = self._weights.sum()
    shared, energy = 0.0, 0.0
    for channel in range(3):
      levels = searched[..., channel]
      shared += _slid(levels, self._weights * self._template[..., channel])
      mean = _slid(levels, self._weights) / total
      energy += _slid(levels**2, self._weights) - total * mean**2
    energy *= (self._weights[..., None] * self._template**2).sum()
    return shared / np.sqrt(np.maximum(energy, 1e-6))


def _weights(shape: tuple[int, int]) -> np.ndarray:
  """Returns weights that are highest in the middle: the edges show the ground."""
  bells = [signal.windows.gaussian(side, _WIDTH * side) for side in shape]
  return np.outer(*bells).astype(np.float32)


def _less_mean(template: np.ndarray, weights: np.ndarray) -> np.ndarray:
  """Returns a template less its weighted mean."""
  mean = (template * weights[..., None]).sum(axis=(0, 1)) / weights.sum()
  return template - mean


def _slid(picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
  """Returns the sums of a picture times a kernel at each place."""
  return signal.fftconvolve(picture, kernel[::-1, ::-1], mode='valid')


def _peak(line: np.ndarray, place: int) -> float:
  """Returns how far the peak of a parabola through three values lies from the highest."""
  if not 0 < place < len(line) - 1:
    return 0.0
  before, highest, after = line[place - 1 : place + 2]
  bend = before - 2 * highest + after
  return float(0.5 * (before - after) / bend) if bend < 0 else 0.0
