"""Convolutions with stride 2 and their transposes: matrix products on CPUs, XLA's own elsewhere.

Why, and what chooses between the two forms, is in cpu_kernels.py.
"""

import jax
from jax import lax
import jax.numpy as jnp

from maskgan_jax.networks.cpu_kernels import (
  by_platform,
  NHWC,
  pad,
  product,
  recomputed,
  THIN,
)

# Pixels of a side; which order of products is fastest was measured on two cores.
_LARGE = 16
_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # of 2x2 pixels or taps

# Stride 2.


def conv4x4_stride2(
  x: jax.Array, kernel: jax.Array, padding: str = 'constant'
) -> jax.Array:
  """Convolves with 4x4 taps, stride 2, padding 1: [B, H, W, C] -> [B, H//2, W//2, O].

  `padding` is a mode of jnp.pad: 'constant' (zeros) or 'reflect'.
  """

  def compute(x, kernel):
    # Of an odd side the last padded row or column is not used.
    x = pad(x, 1, padding)
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    return by_platform(x, kernel, cpu=_conv4x4_as_products, default=_stride2_plain)

  return recomputed(compute)(x, kernel)


def conv3x3_stride2(
  x: jax.Array, kernel: jax.Array, padding: str = 'constant'
) -> jax.Array:
  """Convolves with 3x3 taps, stride 2, padding 1: [B, H, W, C] -> [B, H/2, W/2, O]; H, W even."""

  def as_4x4(x, kernel):  # a fourth row and column of zeros
    kernel = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))
    return _conv4x4_as_products(x, kernel)

  def compute(x, kernel):
    return by_platform(pad(x, 1, padding), kernel, cpu=as_4x4, default=_stride2_plain)

  return recomputed(compute)(x, kernel)


def _stride2_plain(x, kernel):
  return lax.conv_general_dilated(x, kernel, (2, 2), 'VALID', dimension_numbers=NHWC)


def _conv4x4_as_products(x, kernel):
  """Turns space into depth; the four taps of the 2x2 convolution that is left are products."""
  batch, height, width, channels = x.shape  # with padding
  out = kernel.shape[-1]
  h, w = height // 2 - 1, width // 2 - 1
  blocks = x.reshape(batch, h + 1, 2, w + 1, 2, channels)
  blocks = blocks.transpose(0, 1, 3, 2, 4, 5)
  blocks = blocks.reshape(batch, h + 1, w + 1, 4 * channels)
  taps = kernel.reshape(2, 2, 2, 2, channels, out)
  taps = taps.transpose(0, 2, 1, 3, 4, 5)
  taps = taps.reshape(2, 2, 4 * channels, out)

  # Three orders of the same sums; which is fastest was measured, with gradients.
  if channels <= THIN:  # an image
    shifted = [blocks[:, i : i + h, j : j + w] for i, j in _CORNERS]
    patches = jnp.concatenate(shifted, axis=-1)
    return product(patches, taps.reshape(16 * channels, out))
  if h >= _LARGE:
    matrix = taps.transpose(2, 0, 1, 3).reshape(4 * channels, 4 * out)
    y = product(blocks, matrix)
    y = y.reshape(batch, h + 1, w + 1, 2, 2, out)
    return sum(y[:, i : i + h, j : j + w, i, j] for i, j in _CORNERS)
  total = 0
  for i, j in _CORNERS:
    total += product(blocks[:, i : i + h, j : j + w], taps[i, j])
  return total


# Transposed, stride 2.


def conv4x4_stride2_transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolves transposed with 4x4 taps, stride 2, padding 1: [B, H, W, C] -> [B, 2H, 2W, O].

  `kernel` is [4, 4, C, O]; tap (s, t) of input pixel (i, j) lands on (2i + s - 1, 2j + t - 1), as
  in PyTorch.
  """
  return by_platform(x, kernel, cpu=_transposed_as_product, default=_transposed_plain)


def _transposed_plain(x, kernel):
  return lax.conv_general_dilated(
    x,
    kernel[::-1, ::-1],
    (1, 1),
    ((2, 2), (2, 2)),
    lhs_dilation=(2, 2),
    dimension_numbers=NHWC,
  )


def _transposed_as_product(x, kernel):
  """Makes one product, and cuts the border off its blocks."""
  batch, height, width, _ = x.shape
  out = kernel.shape[-1]
  to_blocks = _patches_to_blocks if height >= _LARGE else _pixels_to_blocks
  y = to_blocks(x, kernel).transpose(0, 1, 3, 2, 4, 5)
  y = y.reshape(batch, 2 * height + 2, 2 * width + 2, out)
  return y[:, 1:-1, 1:-1]


def _patches_to_blocks(x, kernel):
  """Maps 2x2 patches to 2x2 blocks of the result: [B, H + 1, W + 1, 2, 2, O]."""
  batch, height, width, channels = x.shape
  out = kernel.shape[-1]
  padded = pad(x, 1, 'constant')
  shifted = []
  for i, j in _CORNERS:
    shifted.append(padded[:, i : i + height + 1, j : j + width + 1])
  patches = jnp.concatenate(shifted, axis=-1)
  # Taps become [row, column, C] of a patch by [row, column, O] of a block.
  taps = kernel.reshape(2, 2, 2, 2, channels, out)[::-1, :, ::-1]
  taps = taps.transpose(0, 2, 4, 1, 3, 5)
  blocks = product(patches, taps.reshape(4 * channels, 4 * out))
  return blocks.reshape(batch, height + 1, width + 1, 2, 2, out)


def _pixels_to_blocks(x, kernel):
  """Maps pixels to all sixteen taps and adds blocks that overlap: [B, H + 1, W + 1, 2, 2, O]."""
  batch, height, width, channels = x.shape
  out = kernel.shape[-1]
  taps = kernel.transpose(2, 0, 1, 3).reshape(channels, 16 * out)
  y = product(x, taps)
  y = y.reshape(batch, height, width, 2, 2, 2, 2, out)  # a tap's block and place in it
  total = 0
  for i, j in _CORNERS:
    down, right = (i, 1 - i), (j, 1 - j)
    unmoved = [(0, 0)] * 3
    total += jnp.pad(y[:, :, :, i, :, j], ((0, 0), down, right, *unmoved))
  return total


def conv3x3_stride2_transposed(
  x: jax.Array, kernel: jax.Array, padding: int = 0
) -> jax.Array:
  """Convolves transposed with 3x3 taps, stride 2: [B, H, W, C] -> [B, 2H, 2W, O].

  `kernel` is [3, 3, C, O]; tap (s, t) of input pixel (i, j) lands on (2i + s, 2j + t) - padding,
  and what lands outside is dropped. `padding` 0 is TensorFlow's 'SAME', 1 is PyTorch's padding=1
  with output_padding=1.
  """

  def plain(x, kernel):
    return lax.conv_general_dilated(
      x,
      kernel[::-1, ::-1],
      (1, 1),
      ((2 - padding, 1 + padding),) * 2,
      lhs_dilation=(2, 2),
      dimension_numbers=NHWC,
    )

  def as_product(x, kernel):
    """Maps pixels to all nine taps, and adds those that land on one phase of the result."""
    batch, height, width, channels = x.shape
    out = kernel.shape[-1]
    taps = kernel.transpose(2, 0, 1, 3).reshape(channels, 9 * out)
    y = product(x, taps)
    y = y.reshape(batch, height, width, 3, 3, out)
    y = _phases(y, 1, padding)
    y = y.reshape(batch, 2 * height, width, 3, out)
    y = _phases(y, 2, padding)
    return y.reshape(batch, 2 * height, 2 * width, out)

  return by_platform(x, kernel, cpu=as_product, default=plain)


def _phases(taps, axis, padding):
  """Returns even and odd rows (axis 1) or columns (axis 2), stacked behind that axis.

  `taps` has what each pixel's three taps make of it on its fourth axis.
  """
  first, middle, last = (taps[:, :, :, place] for place in range(3))
  if padding:
    phases = middle, last + _shifted(first, axis, -1)
  else:
    phases = first + _shifted(last, axis, 1), middle
  return jnp.stack(phases, axis=axis + 1)


def _shifted(x, axis, by):
  """Moves x by one place along an axis, forward (1) or back (-1); zeros come in."""
  size = x.shape[axis]
  kept = lax.slice_in_dim(x, max(-by, 0), size - max(by, 0), axis=axis)
  widths = [(0, 0)] * x.ndim
  widths[axis] = (max(by, 0), max(-by, 0))
  return jnp.pad(kept, widths)
