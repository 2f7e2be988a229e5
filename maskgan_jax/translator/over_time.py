"""Steadies what a model does to the frames of a clip.

A model sees each frame alone, so that its mask and its paint tremble where the picture does not.
Both become a weighted mean over the frames before and after. The weight falls with the distance in
time, and where a frame shows something else in that place: what has moved is not averaged with what
it left behind.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
import dataclasses
import math
from typing import NamedTuple, TypeVar

import numpy as np
from scipy import ndimage

from maskgan_jax.translator.own_size import Change

TOLERANCE = (
  0.03  # of [0, 1], by which a place in two frames may differ and still be the same
)
_PATCH = 3  # pixels of the model that are compared around each
_REACH = 2.0  # deviations of the mean over time
_LEAST = 1e-3  # of a mask, whose paint counts
_Item = TypeVar('_Item')


class Moment(NamedTuple):
  """A frame as a model saw it, uint8 [h, w, 3], and what it does to it."""

  source: np.ndarray
  change: Change


def reach(deviation: float) -> int:
  """Returns the number of frames before and after that a mean over time takes."""
  return math.ceil(_REACH * deviation)


def windows(items: Iterable[_Item], reach: int) -> Iterator[tuple[list[_Item], int]]:
  """Yields, for each item, it and its neighbours in order, and its place among them."""
  window: deque[_Item] = deque()
  centre = 0
  for item in items:
    window.append(item)
    if len(window) - centre > reach:
      yield list(window), centre
      centre += 1
    if centre > reach:
      window.popleft()
      centre -= 1
  while centre < len(window):
    yield list(window), centre
    centre += 1
    if centre > reach:
      window.popleft()
      centre -= 1


def steadied(moments: Sequence[Moment], centre: int, deviation: float) -> Change:
  """Returns the change of one moment as the mean of its neighbours'.

  Args:
    moments: in order.
    centre: the one that is steadied.
    deviation: of the weights over time, in frames.
  """
  now = moments[centre]
  total = np.zeros(now.change.mask.shape, np.float32)
  mask, layers, weight_of_layers = np.zeros_like(total), 0.0, np.zeros_like(total)
  for number, moment in enumerate(moments):
    change = moment.change
    weight = np.float32(math.exp(-0.5 * ((number - centre) / deviation) ** 2))
    weight = weight * _likeness(now.source, moment.source)
    total += weight
    mask += weight * change.mask
    # Paint counts as far as there is some; a difference is itself the amount.
    if change.paint is not None:
      weight = weight * (change.mask + np.float32(_LEAST))
    weight_of_layers += weight
    layers += weight[..., None] * _layer(change)
  mean = layers / weight_of_layers[..., None]
  name = 'difference' if now.change.paint is None else 'paint'
  return dataclasses.replace(now.change, mask=mask / total, **{name: mean})


def _layer(change: Change) -> np.ndarray:
  """Returns what a change puts on the picture, float32 [h, w, 3]."""
  return change.difference if change.paint is None else change.paint


def _likeness(now: np.ndarray, other: np.ndarray) -> np.ndarray:
  """Returns how far each place shows the same in two frames, float32 [h, w] in [0, 1]."""
  distance = (now.astype(np.float32) - other) / 255
  smooth = ndimage.uniform_filter(distance, (_PATCH, _PATCH, 0), mode='nearest')
  squared = (smooth**2).mean(axis=-1)
  return np.exp(-0.5 * squared / np.float32(TOLERANCE) ** 2)
