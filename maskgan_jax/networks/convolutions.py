"""Stride-1 convolutions in the platform's fastest form, and one that upsamples first.

XLA's CPU backend reaches a fifth of the machine's matrix products in its own convolutions and less
in their gradients. There the functions below are matrix products: of Winograd's transformed tiles
for 3x3 kernels, of patches or of taps elsewhere. Accelerators get the plain convolution. All forms
compute the same numbers (tests/networks/test_convolutions.py).
"""

from collections.abc import Callable, Iterator
import contextlib
import contextvars

import jax
from jax import lax
import jax.numpy as jnp

_NHWC = ('NHWC', 'HWIO', 'NHWC')
_THIN = 4  # channels of an image or a map: too few for products of their own
_SMALL = 4_500  # numbers in a kernel: with fewer, compiling takes longer than anything saves


_PORTABLE = contextvars.ContextVar('portable', default=False)


@contextlib.contextmanager
def portable() -> Iterator[None]:
  """What is traced inside computes the same in one way for all platforms: for other runtimes."""
  token = _PORTABLE.set(True)
  try:
    yield
  finally:
    _PORTABLE.reset(token)


def by_platform(*arguments: jax.Array, cpu: Callable[..., jax.Array],
                default: Callable[..., jax.Array]) -> jax.Array:
  """`cpu` of the arguments where a program is compiled for CPUs, else `default`."""
  if _PORTABLE.get():
    return default(*arguments)
  return lax.platform_dependent(*arguments, cpu=cpu, default=default)


def product(x: jax.Array, matrix: jax.Array) -> jax.Array:
  """x @ matrix over the last axis, as one product of two matrices: XLA's CPU backend is several
  times slower, in the gradients most of all, when the leading axes are left apart."""
  return (x.reshape(-1, x.shape[-1]) @ matrix).reshape(*x.shape[:-1], matrix.shape[-1])


def pad(x: jax.Array, size: int, mode: str) -> jax.Array:
  """`size` more pixels on each side of [B, H, W, C]; `mode` as of jnp.pad."""
  return jnp.pad(x, ((0, 0), (size, size), (size, size), (0, 0)), mode=mode) if size else x


def recomputed(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
  """`function`, whose backward pass keeps the arguments and makes all else anew.

  For what is cheap to compute and large to keep: padding, patches, transformed tiles, normalised
  values. jax.checkpoint would not do on a CPU, where XLA drops its barrier and finds the forward
  pass' values again; here the backward pass starts from x + 0 * cotangent, which XLA cannot take
  for x. Each example's is its own, so that a batch over several devices stays where it is.

  Args:
    function: of x [B, ...] and parameters, to an array [B, ...].
  """
  @jax.custom_vjp
  def call(x, *parameters):
    return function(x, *parameters)

  def forward(x, *parameters):
    return function(x, *parameters), (x, *parameters)

  def backward(arguments, cotangent):
    x, *parameters = arguments
    one = cotangent[(slice(None), *[slice(1)] * (cotangent.ndim - 1))]
    zero = 0 * one.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)
    return jax.vjp(function, x + zero, *parameters)[1](cotangent)

  call.defvjp(forward, backward)
  return call


def padded_convolution(x: jax.Array, kernel: jax.Array, mode: str) -> jax.Array:
  """`convolution` of what is padded by (k - 1) // 2 on each side; `mode` as of jnp.pad."""
  return recomputed(lambda x, kernel: convolution(
      pad(x, (kernel.shape[0] - 1) // 2, mode), kernel))(x, kernel)


def convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """[B, H, W, C] * [k, k, C, O] -> [B, H-k+1, W-k+1, O]: stride 1, no padding."""
  size, _, channels, features = kernel.shape
  if size == 1:
    return product(x, kernel[0, 0])
  if kernel.size < _SMALL:
    return _plain(x, kernel)
  height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
  if size == 3 and min(channels, features) > _THIN and height % 2 == 0 and width % 2 == 0:
    fast = _winograd
  elif channels <= _THIN:
    fast = _by_patches
  elif features <= _THIN:
    fast = _by_taps
  else:
    fast = _by_rows
  return by_platform(x, kernel, cpu=fast, default=_plain)


def _plain(x, kernel):
  return lax.conv_general_dilated(x, kernel, (1, 1), 'VALID', dimension_numbers=_NHWC)


def _by_rows(x, kernel):
  """Patches of one row; a shifted product for each row of the kernel."""
  size, _, channels, features = kernel.shape
  height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
  patches = jnp.concatenate([x[:, :, j:j + width] for j in range(size)], axis=-1)
  return sum(product(patches[:, i:i + height], kernel[i].reshape(size * channels, features))
             for i in range(size))


def _by_patches(x, kernel):
  """One product, for few input channels. Patches grow along one axis, then along the other."""
  size, _, channels, features = kernel.shape
  height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
  patches = jnp.concatenate([x[:, :, j:j + width] for j in range(size)], axis=-1)
  patches = jnp.concatenate([patches[:, i:i + height] for i in range(size)], axis=-1)
  return product(patches, kernel.reshape(size * size * channels, features))


def _by_taps(x, kernel):
  """The transpose, for few output channels: each pixel's share in its neighbours, then sums."""
  size, _, channels, features = kernel.shape
  height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
  shares = product(x, kernel.transpose(2, 0, 1, 3).reshape(channels, size * size * features))
  row = size * features
  shares = sum(shares[:, i:i + height, :, i * row:(i + 1) * row] for i in range(size))
  return sum(shares[:, :, j:j + width, j * features:(j + 1) * features] for j in range(size))


def _winograd(x, kernel):
  """F(2x2, 3x3) of Lavin and Gray (2016): 16 products where the definition takes 36.

  Tiles of 4x4 pixels, two apart, make 2x2 outputs each. The transformed tiles are four times as
  large as the input.
  """
  g = [kernel[0], (kernel[0] + kernel[1] + kernel[2]) / 2,
       (kernel[0] - kernel[1] + kernel[2]) / 2, kernel[2]]
  g = [(row[0], (row[0] + row[1] + row[2]) / 2, (row[0] - row[1] + row[2]) / 2, row[2])
       for row in g]
  height, width = x.shape[1] - 2, x.shape[2] - 2
  tiles = [[x[:, i:i + height - 1:2, j:j + width - 1:2] for i in range(4)] for j in range(4)]
  tiles = [_of_input(column) for column in tiles]  # [column][transformed row]
  tiles = [_of_input([column[i] for column in tiles]) for i in range(4)]
  products = [[product(tiles[i][j], g[i][j]) for i in range(4)] for j in range(4)]
  products = [_to_output(column) for column in products]
  rows = [jnp.stack(_to_output([column[i] for column in products]), axis=3) for i in range(2)]
  return jnp.stack(rows, axis=2).reshape(x.shape[0], height, width, kernel.shape[-1])


def _of_input(d):
  return d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]


def _to_output(m):
  return m[0] + m[1] + m[2], m[1] - m[2] - m[3]


def upsampled_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Nearest-neighbour upsampling by 2, reflection padding 2, 5x5 convolution, in one.

  Two neighbours of an upsampled image are one pixel, so each of the four phases of the result is a
  3x3 convolution of the small image with sums of taps: 9 products a pixel instead of 25. Padded
  with its edge, the small image gives all but the outermost rows and columns, where reflection
  shows the second pixel and not the first; the difference is added there.

  Args:
    x: [B, H, W, C], H and W at least 2.
    kernel: [5, 5, C, O].
  Returns:
    [B, 2H, 2W, O].
  """
  return (_upsampled_plainly if _PORTABLE.get() else recomputed(_upsampled_convolution))(x, kernel)


def _upsampled_plainly(x, kernel):
  return convolution(pad(jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2), 2, 'reflect'), kernel)


def _upsampled_convolution(x, kernel):
  batch, height, width, channels = x.shape
  features = kernel.shape[-1]
  # A phase's three taps: of an even pixel (0 1, 2 3, 4), of an odd one (0, 1 2, 3 4).
  even = jnp.stack([kernel[0] + kernel[1], kernel[2] + kernel[3], kernel[4]])
  odd = jnp.stack([kernel[0], kernel[1] + kernel[2], kernel[3] + kernel[4]])
  rows = jnp.stack([even, odd])  # [row phase, 3, 5, C, O]
  even = jnp.stack([rows[:, :, 0] + rows[:, :, 1], rows[:, :, 2] + rows[:, :, 3], rows[:, :, 4]], 2)
  odd = jnp.stack([rows[:, :, 0], rows[:, :, 1] + rows[:, :, 2], rows[:, :, 3] + rows[:, :, 4]], 2)
  phases = jnp.stack([even, odd])  # [column phase, row phase, 3, 3, C, O]
  phases = phases.transpose(2, 3, 4, 1, 0, 5).reshape(3, 3, channels, 4 * features)
  y = convolution(pad(x, 1, 'edge'), phases).reshape(batch, height, width, 2, 2, features)
  y = y.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, features)

  def line(pixels, taps, mode):
    """5-tap convolution of [B, L, C], upsampled to 2L: what a border lacks."""
    pixels = jnp.repeat(pixels, 2, axis=1)
    pixels = jnp.pad(pixels, ((0, 0), (2, 2), (0, 0)), mode=mode)
    size = pixels.shape[1] - 4
    patches = jnp.concatenate([pixels[:, t:t + size] for t in range(5)], axis=-1)
    return product(patches, taps.reshape(5 * channels, features))

  top, bottom = x[:, 1] - x[:, 0], x[:, -2] - x[:, -1]
  y = y.at[:, 0].add(line(top, kernel[0], 'reflect'))
  y = y.at[:, -1].add(line(bottom, kernel[4], 'reflect'))
  left, right = x[:, :, 1] - x[:, :, 0], x[:, :, -2] - x[:, :, -1]
  y = y.at[:, :, 0].add(line(left, kernel[:, 0], 'edge'))
  return y.at[:, :, -1].add(line(right, kernel[:, 4], 'edge'))
