"""Checks the pictures, masks and thresholds that callers give a translator."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maskgan_jax import errors

# By which a float image may leave [-1, 1], a mask [0, 1]: resizing overshoots.
_TOLERANCE = 1e-3


def check_images(role: str, value: Any, shape: tuple[int, int]) -> np.ndarray:
  """Returns images as a uint8 or float32 array [..., *shape, 3]; raises UserError for others."""
  array = _array(role, value)
  if array.ndim not in (3, 4) or array.shape[-1] != 3:
    hint = ''
    if array.ndim in (3, 4) and array.shape[-3] == 3:
      hint = '; channels come last'
    elif array.ndim in (3, 4) and array.shape[-1] == 4:
      hint = '; drop the alpha channel'
    raise errors.UserError(
      f'{role} has shape {list(array.shape)}, images are [height, width, 3] '
      f'or [batch, height, width, 3]{hint}'
    )

  # Pictures are not resized unasked: how to crop them is the user's choice.
  if array.shape[-3:-1] != shape:
    raise errors.UserError(
      f'{role} is {array.shape[-3]}x{array.shape[-2]} pixels, the model was '
      f'trained at {shape[0]}x{shape[1]}; resize it first: Translator.fit'
    )
  if not len(array):
    raise errors.UserError(f'{role} holds no image')
  if array.dtype == np.uint8:
    return array
  if not jnp.issubdtype(array.dtype, jnp.floating):
    raise errors.UserError(
      f'{role} is of type {array.dtype}; images are uint8, or float in [-1, 1]'
    )
  return _check_range(
    role, array, -1, 'images of floats lie in [-1, 1], bytes are uint8'
  )


def check_mask(role: str, value: Any, shape: tuple[int, int]) -> np.ndarray:
  """Returns masks as float32 [B, *shape, 1] in [0, 1], resized; raises UserError for others."""
  mask = _array(role, value)
  original_shape = list(mask.shape)
  if mask.ndim in (3, 4) and mask.shape[-1] == 1:
    mask = mask[..., 0]
  if mask.ndim == 2:
    mask = mask[None]
  if mask.ndim != 3 or not mask.size or not _proportional(mask.shape[1:], shape):
    form = 'square'
    if shape[0] != shape[1]:
      form = f'{shape[0]}x{shape[1]} or in that proportion'
    raise errors.UserError(
      f'{role} has shape {original_shape}; masks are {form}, like the images: '
      '[height, width], [batch, height, width] or [batch, height, width, 1]'
    )
  if mask.dtype == np.uint8:
    if mask.max() == 1:  # as 1/255 it would do nothing, without a word
      raise errors.UserError(
        f'{role} is uint8 and holds only 0 and 1; use bool, or 255 for 1'
      )
    mask = mask / np.float32(255)
  elif mask.dtype == bool:
    mask = mask.astype(np.float32)
  elif jnp.issubdtype(mask.dtype, jnp.floating):
    mask = np.clip(_check_range(role, mask, 0, 'masks of floats lie in [0, 1]'), 0, 1)
  else:
    raise errors.UserError(
      f'{role} is of type {mask.dtype}; masks are bool, uint8, or float in [0, 1]'
    )
  if mask.shape[1:] != shape:
    resized = jax.image.resize(mask, (len(mask), *shape), 'bilinear')
    mask = np.asarray(resized)
  return mask[..., None]


def _proportional(size: tuple[int, int], shape: tuple[int, int]) -> bool:
  """Returns whether one size is the other scaled, with sides rounded to whole pixels."""
  excess = size[1] * shape[0] - size[0] * shape[1]
  return 2 * abs(excess) <= max(shape)


def _array(role: str, value: Any) -> np.ndarray:
  """Returns the value as an array; raises UserError for pictures of several sizes."""
  try:
    return np.asarray(value)
  except ValueError as error:
    raise errors.UserError(
      f'{role}: pictures of different sizes make no batch; resize them first'
    ) from error


def _check_range(role: str, array: np.ndarray, low: float, rule: str) -> np.ndarray:
  """Returns the array as float32; raises UserError unless it lies in [low, 1]."""
  array = array.astype(np.float32)
  if not np.isfinite(array).all():
    raise errors.UserError(f'{role} holds NaN or infinite values')
  if array.min() < low - _TOLERANCE or array.max() > 1 + _TOLERANCE:
    raise errors.UserError(
      f'{role} has values from {array.min():g} to {array.max():g}; {rule}'
    )
  return array


def check_threshold(value: float | None) -> np.float32 | None:
  """Returns the threshold, or None; raises UserError unless it lies in [0, 1]."""
  if value is None:
    return None
  if isinstance(value, str) or not 0 <= value <= 1:
    raise errors.UserError(f'threshold is {value!r}; it lies in [0, 1]')
  return np.float32(value)


def check_seed(value: int) -> np.uint32:
  """Returns the seed; raises UserError unless it is a whole number from 0 to 2**32 - 1."""
  is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
  if not is_whole or not 0 <= value < 2**32:
    raise errors.UserError(
      f'seed is {value!r}; it is a whole number from 0 to 2**32 - 1'
    )
  return np.uint32(value)


def check_all(
  images: Mapping[str, Any], masks: Mapping[str, Any], shape: tuple[int, int]
) -> tuple[dict[str, np.ndarray], bool]:
  """Returns images and masks by role with a batch axis, and whether no image had one.

  Args:
    images: by role.
    masks: by role; None is left out.
    shape: (height, width) of the model's images.
  """
  arrays, single = {}, True
  for role, value in images.items():
    array = check_images(role, value, shape)
    single = single and array.ndim == 3
    arrays[role] = array[None] if array.ndim == 3 else array
  for role, value in masks.items():
    if value is not None:
      arrays[role] = check_mask(role, value, shape)
  return arrays, single


def common_length(arrays: Mapping[str, np.ndarray]) -> int:
  """Returns the number of examples; raises UserError where batches differ."""
  # A single image goes with a batch of any length.
  counts = {role: len(array) for role, array in arrays.items()}
  count = max(counts.values())
  if set(counts.values()) - {1, count}:
    lengths = ', '.join(f'{number} in {role}' for role, number in counts.items())
    raise errors.UserError(
      f'batches do not fit together: {lengths}; give equally many, or one'
    )
  return count
