"""Gives an enlarged mask the edges of the picture that it belongs to, where the picture has them.

Two masks are mixed. One is sharp by itself: a mask of the model's resolution is the mean over its
pixels of a finer one, so that between low and high neighbours there is an edge. The other is a
guided filter's (He, Sun and Tang, Guided Image Filtering, TPAMI 2013), which follows the colours of
the picture. What is taken off or recoloured has its edges there; what is put on, such as glasses,
does not, and a guided filter alone would blur it. Its weight is therefore the share of the mask's
variance that it explains.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from maskgan_jax.data import turned
from maskgan_jax.translator.enlarging import Box, enlarged, inside, Part, scales

RADIUS = 1.0  # of the guided filter's windows, in pixels of the model
EPSILON = 1e-4  # of the guided filter, for pictures in [0, 1]
CONTRAST = 2.0  # of the sharp mask between its low and its high neighbours
REACH = 3  # pixels of the model by which a refined mask may leave the mask at most
_FINENESS = 8  # pixels here along one of the model, at most
_MOST_SIDE = 768  # pixels
_LEAST_VARIANCE = 1e-4  # of a mask; flat masks have no edges to explain
_LEAST_SPAN = 1e-3  # between low and high neighbours


class Guided(NamedTuple):
  """A guided filter's output as a function of the picture: mask = slopes . pixel + intercept.

  slopes: float32 [h, w, C].
  intercept: float32 [h, w].
  explained: share of the mask's variance that this explains, float32 [h, w] in [0, 1].
  """

  slopes: np.ndarray
  intercept: np.ndarray
  explained: np.ndarray


class Edges(NamedTuple):
  """A mask as a function of the picture, at some resolution between the model's and the picture's.

  mask = slopes . pixel + intercept + rest * sharp(level, low, high)

  slopes: float32 [h, w, 3].
  others: float32 [h, w, 5]: intercept, rest, level, low, high.
  """

  slopes: np.ndarray
  others: np.ndarray


def guided_filter(
  picture: np.ndarray, mask: np.ndarray, radius: int, epsilon: float
) -> Guided:
  """Fits the mask around each pixel as a linear function of the picture's colours.

  He, Sun and Tang 2013, section 3.5: in each window slopes = (covariance of the picture +
  epsilon)^-1 covariance of picture and mask (equation 19), intercept = mean mask - slopes . mean
  picture (20); a pixel has the mean of the windows that it lies in (21).

  Args:
    picture: float32 [h, w, C] in [0, 1].
    mask: float32 [h, w].
    radius: of the square windows, which are 2 radius + 1 pixels wide.
    epsilon: the larger, the smoother.
  """

  def mean(array):
    window = (2 * radius + 1, 2 * radius + 1) + (1,) * (array.ndim - 2)
    return ndimage.uniform_filter(array, window, mode='nearest')

  mean_picture, mean_mask = mean(picture), mean(mask)
  products = mean(picture[..., :, None] * picture[..., None, :])
  covariance = products - mean_picture[..., :, None] * mean_picture[..., None, :]
  covariance += epsilon * np.eye(picture.shape[-1], dtype=np.float32)
  with_mask = mean(picture * mask[..., None]) - mean_picture * mean_mask[..., None]
  slopes = np.linalg.solve(covariance, with_mask[..., None])[..., 0]
  intercept = mean_mask - (slopes * mean_picture).sum(axis=-1)

  # The share of the variance that a linear fit explains is R squared.
  variance = mean(mask * mask) - mean_mask**2 + np.float32(_LEAST_VARIANCE)
  explained = np.clip((slopes * with_mask).sum(axis=-1) / variance, 0, 1)
  return Guided(mean(slopes), mean(intercept), mean(explained))


def edges_of(
  picture: np.ndarray, mask: np.ndarray, box: Part, *, mixed: bool = True
) -> Edges:
  """Returns the refined mask of a part of a picture as a function of the picture.

  It is computed at a smaller size and enlarged later (He and Sun, Fast Guided Filter, 2015); as a
  function of the pixels it still has the edges of the large picture.

  Args:
    picture: uint8 or uint16 [H, W, 3].
    mask: float32 [h, w].
    box: the part.
    mixed: whether both masks are mixed; if not, it is a guided filter of the plain mask, to
      compare with.
  """
  factor = _fineness(mask, box)
  shape = (mask.shape[0] * factor, mask.shape[1] * factor)
  level, low, high = _neighbourhood(mask, shape)
  seen = _reduced(picture, box, shape)
  radius = max(1, round(RADIUS * factor))
  if mixed:
    guided = guided_filter(seen, sharp(level, low, high), radius, EPSILON)
    share = guided.explained
  else:
    guided = guided_filter(seen, level, radius, EPSILON)
    share = np.ones_like(level)
  others = [share * guided.intercept, 1 - share, level, low, high]
  return Edges(share[..., None] * guided.slopes, np.stack(others, axis=-1))


def refined(
  pixels: np.ndarray, edges: Edges, box: Part, rows: slice, columns: slice
) -> np.ndarray:
  """Returns the mask float32 [n, m] of rows and columns, `pixels` float32 [n, m, 3] in [0, 1]."""
  slopes = enlarged(edges.slopes, box, rows, columns)
  others = enlarged(edges.others, box, rows, columns)
  intercept, rest, level, low, high = np.moveaxis(others, -1, 0)
  mask = np.einsum('ijk,ijk->ij', slopes, pixels) + intercept
  return np.clip(mask + rest * sharp(level, low, high), 0, 1)


def sharp(level: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
  """Returns a mask with more contrast around the middle of its low and high neighbours."""
  span = np.maximum(high - low, np.float32(_LEAST_SPAN))
  place = (np.clip(level, low, high) - low) / span
  steep = np.clip((place - 0.5) * np.float32(CONTRAST) + 0.5, 0, 1)
  return np.where(high - low > _LEAST_SPAN, low + steep * span, level)


def _fineness(mask: np.ndarray, box: Part) -> int:
  """Returns the number of pixels along one of the mask's for which edges are computed."""
  down, across = scales(box, mask.shape)
  most = min(_FINENESS, _MOST_SIDE // max(mask.shape), round(min(down, across)))
  return max(1, most)


def _neighbourhood(
  mask: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns a mask and its lowest and highest neighbours, enlarged to a shape."""
  whole = Box(0, 0, *shape)
  rows, columns = inside(whole, shape)
  low = enlarged(ndimage.minimum_filter(mask, 3), whole, rows, columns)
  high = enlarged(ndimage.maximum_filter(mask, 3), whole, rows, columns)
  smooth = Image.fromarray(mask).resize(shape[::-1], Image.Resampling.BICUBIC)
  return np.clip(np.asarray(smooth), 0, 1), low, high


def _reduced(picture: np.ndarray, box: Part, shape: tuple[int, int]) -> np.ndarray:
  """Returns a part of a picture at a smaller size, float32 [*shape, 3] in [0, 1]."""
  if isinstance(box, turned.Turned):
    return np.asarray(turned.upright(picture, box, shape), np.float32) / 255
  rows, columns = inside(box, picture.shape)
  part = picture[rows, columns]
  # Of a very large part some pixels are enough.
  step = max(1, min(part.shape[0] // shape[0], part.shape[1] // shape[1]) // 4)
  part = part[::step, ::step]
  if part.dtype == np.uint16:
    part = (part >> 8).astype(np.uint8)
  image = Image.fromarray(np.ascontiguousarray(part))
  reduced = image.resize(shape[::-1], Image.Resampling.BOX)
  return np.asarray(reduced, np.float32) / 255
