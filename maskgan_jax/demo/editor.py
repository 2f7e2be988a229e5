"""Pictures and masks as the page shows them.

A mask travels to the page's editor and back as the opacity of a coloured layer. `LAYER` of opacity
is a mask of 1, so that the picture shows through. Pictures are enlarged by whole factors, without
smoothing, so that nothing is lost on the way.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskgan_jax.data import images
from maskgan_jax.runs import pictures

COLOUR = (255, 32, 96)
LAYER = 0.6  # opacity of a mask of 1
CANVAS = 320  # pixels that a picture's shorter side has at least on the page
_TOLERANCE = 2 / 255  # by which a mask may change on the way to the page and back


def enlarged(picture: np.ndarray, least: int = CANVAS) -> np.ndarray:
  """Returns [H, W, ...] with pixels repeated, so that the shorter side has `least` or more."""
  factor = -(-least // min(picture.shape[:2]))
  return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def difference(before: np.ndarray, after: np.ndarray) -> np.ndarray:
  """Returns what was added between two pictures, uint8 [H, W, 3]; grey is nothing."""
  change = (after.astype(np.int16) - before) // 2
  return (change + 127).clip(0, 255).astype(np.uint8)


def shown_mask(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """Returns a mask laid over its picture, uint8 [H, W, 3]; three channels are a picture already."""
  if mask.shape[-1] == 3:
    return pictures.to_uint8(mask)
  return pictures.overlay(picture, mask)


def same(mask: np.ndarray, other: np.ndarray) -> bool:
  """Returns whether two masks differ no more than by their way to the page and back."""
  return np.abs(mask - other).max() <= _TOLERANCE


def to_editor(image: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
  """Returns the value of the page's editor: the picture, and the mask [H, W] as a layer on it."""
  alpha = np.rint(mask * LAYER * 255).astype(np.uint8)
  colour = np.broadcast_to(np.uint8(COLOUR), (*mask.shape, 3))
  layer = np.dstack([colour, alpha])
  return {'background': enlarged(image), 'layers': [enlarged(layer)], 'composite': None}


def from_editor(
  files: Sequence[bytes] | None, shape: tuple[int, int]
) -> np.ndarray | None:
  """Returns the mask that was painted, float32 [H, W].

  Args:
    files: the editor's layers.
    shape: height and width of the mask.
  Returns:
    The mask; None where the editor has no layers of this picture.
  Raises:
    UserError: a file is not a picture.
  """
  # Layers of another picture's size are of an editor that was left behind.
  layers = [images.load_mask(data, name='the painted mask') for data in files or ()]
  if not layers or any(layer.shape != layers[0].shape for layer in layers):
    return None
  height, width = shape
  tall, wide = layers[0].shape
  factor = tall // height
  if (tall, wide) != (factor * height, factor * width):
    return None

  # A stroke has the opacity LAYER where it is 1; blocks of pixels are averaged.
  mask = (np.max(layers, axis=0) / np.float32(LAYER)).clip(0, 1)
  blocks = mask.reshape(height, factor, width, factor)
  return blocks.mean(axis=(1, 3), dtype=np.float32)
