"""Convolutions as matrix products on CPUs, and as XLA's own convolutions elsewhere.

XLA's CPU backend reaches a fifth of the machine's matrix products in its convolutions and less in
their gradients; transposed convolutions and tiny maps are an order of magnitude slower still. The
forms here are matrix products instead: of Winograd's transformed tiles, of patches, of taps. All
forms compute the same numbers (tests/networks/test_cpu_kernels.py, test_layers.py).
Stride 1 and upsampling are here, stride 2 and its transposes in strided_kernels.py.
`by_platform` is the one place that chooses, `portable` the switch that turns the CPU's forms off.
"""

from collections.abc import Callable, Iterator
import contextlib
import contextvars

import jax
from jax import lax
import jax.numpy as jnp

NHWC = ('NHWC', 'HWIO', 'NHWC')
THIN = 4  # channels of an image or a map: too few for products of their own
# Numbers in a kernel: with fewer, compiling takes longer than anything saves.
_SMALL = 4_500
_PORTABLE = contextvars.ContextVar('portable', default=False)
_PLATFORM = contextvars.ContextVar('platform', default=None)


@contextlib.contextmanager
def portable() -> Iterator[None]:
  """Makes what is traced inside the same for all platforms, so that other runtimes can run it."""
  token = _PORTABLE.set(True)
  try:
    yield
  finally:
    _PORTABLE.reset(token)


@contextlib.contextmanager
def traced_for(platform: str) -> Iterator[None]:
  """Makes what is traced inside for one platform ('cpu', 'gpu', 'tpu'), the only one it can run on.

  Otherwise each form is traced for each platform, which doubles the time that tracing takes.
  """
  token = _PLATFORM.set(platform)
  try:
    yield
  finally:
    _PLATFORM.reset(token)


def by_platform(
  *arguments: jax.Array,
  cpu: Callable[..., jax.Array],
  default: Callable[..., jax.Array],
) -> jax.Array:
  """Computes `cpu` of the arguments where a program is compiled for CPUs, else `default`."""
  if _PORTABLE.get():
    return default(*arguments)
  platform = _PLATFORM.get()
  if platform is not None:
    return cpu(*arguments) if platform == 'cpu' else default(*arguments)
  return lax.platform_dependent(*arguments, cpu=cpu, default=default)


def recomputed(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
  """Returns `function` with a backward pass that keeps the arguments and computes all else again.

  This is for values that are cheap to compute and large to keep: padding, patches, transformed
  tiles, normalised values. jax.checkpoint would not do on a CPU, where XLA drops its barrier and
  finds the values of the forward pass again. Here the backward pass starts from x + 0 * cotangent,
  which XLA cannot take for x. Each example has a zero of its own, so that a batch over several
  devices stays where it is.

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


def product(x: jax.Array, matrix: jax.Array) -> jax.Array:
  """Computes x @ matrix over the last axis as one product of two matrices.

  XLA's CPU backend is several times slower, most of all in the gradients, when the leading axes
  stay apart.
  """
  rows = x.reshape(-1, x.shape[-1])
  products = rows @ matrix
  return products.reshape(*x.shape[:-1], matrix.shape[-1])


def pad(x: jax.Array, size: int, mode: str) -> jax.Array:
  """Adds `size` pixels on each side of [B, H, W, C]; `mode` is that of jnp.pad."""
  if not size:
    return x
  sides = (size, size)
  return jnp.pad(x, ((0, 0), sides, sides, (0, 0)), mode=mode)


# Stride 1.


def padded_convolution(x: jax.Array, kernel: jax.Array, mode: str) -> jax.Array:
  """Computes `convolution` after padding by (k - 1) // 2 on each side; `mode` as of jnp.pad."""

  def compute(x, kernel):
    return convolution(pad(x, (kernel.shape[0] - 1) // 2, mode), kernel)

  return recomputed(compute)(x, kernel)


def convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolves [B, H, W, C] with [k, k, C, O] into [B, H-k+1, W-k+1, O]: stride 1, no padding."""
  size, _, channels, features = kernel.shape
  if size == 1:
    return product(x, kernel[0, 0])
  if kernel.size < _SMALL:
    return _plain(x, kernel)

  # Which form is fastest on a CPU depends on the channels and the size.
  height, width = _output_size(x, kernel)
  even = height % 2 == 0 and width % 2 == 0
  if size == 3 and min(channels, features) > THIN and even:
    fast = _winograd
  elif channels <= THIN:
    fast = _by_patches
  elif features <= THIN:
    fast = _by_taps
  else:
    fast = _by_rows
  return by_platform(x, kernel, cpu=fast, default=_plain)


def _plain(x, kernel):
  return lax.conv_general_dilated(x, kernel, (1, 1), 'VALID', dimension_numbers=NHWC)


def _output_size(x, kernel):
  size = kernel.shape[0]
  return x.shape[1] - size + 1, x.shape[2] - size + 1


def _row_patches(x, kernel):
  """Returns [B, H, W-k+1, k * C]: each pixel with those that follow it in its row."""
  _, width = _output_size(x, kernel)
  shifted = [x[:, :, j : j + width] for j in range(kernel.shape[0])]
  return jnp.concatenate(shifted, axis=-1)


def _by_rows(x, kernel):
  """Adds one shifted product for each row of the kernel, of patches of one row."""
  size, _, channels, features = kernel.shape
  height, _ = _output_size(x, kernel)
  patches = _row_patches(x, kernel)
  # A row of taps is one product over its taps and channels.
  total = 0
  for i in range(size):
    row = kernel[i].reshape(size * channels, features)
    total += product(patches[:, i : i + height], row)
  return total


def _by_patches(x, kernel):
  """Makes one product, for few input channels. Patches grow along one axis, then the other."""
  size, _, channels, features = kernel.shape
  height, _ = _output_size(x, kernel)
  rows = _row_patches(x, kernel)
  shifted = [rows[:, i : i + height] for i in range(size)]
  patches = jnp.concatenate(shifted, axis=-1)
  return product(patches, kernel.reshape(size * size * channels, features))


def _by_taps(x, kernel):
  """Adds each pixel's shares in its neighbours: the transpose, for few output channels."""
  size, _, channels, features = kernel.shape
  height, width = _output_size(x, kernel)
  taps = kernel.transpose(2, 0, 1, 3).reshape(channels, size * size * features)
  shares = product(x, taps)

  # Rows of the kernel first, then its columns.
  row = size * features
  by_row = 0
  for i in range(size):
    by_row += shares[:, i : i + height, :, i * row : (i + 1) * row]
  total = 0
  for j in range(size):
    total += by_row[:, :, j : j + width, j * features : (j + 1) * features]
  return total


def _winograd(x, kernel):
  """Computes F(2x2, 3x3) of Lavin and Gray (2016): 16 products where the definition takes 36.

  Tiles of 4x4 pixels, two apart, make 2x2 outputs each. The transformed tiles are four times as
  large as the input.
  """
  height, width = _output_size(x, kernel)
  weights = [_of_kernel(row) for row in _of_kernel(kernel)]

  # All tiles at once: columns[j][i] is row i, column j of each, transformed along its column.
  columns = []
  for j in range(4):
    column = [x[:, i : i + height - 1 : 2, j : j + width - 1 : 2] for i in range(4)]
    columns.append(_of_input(column))
  tiles = []
  for i in range(4):
    tiles.append(_of_input([column[i] for column in columns]))

  # Sixteen products, of which the transform back makes 2x2 outputs.
  products = []
  for j in range(4):
    column = [product(tiles[i][j], weights[i][j]) for i in range(4)]
    products.append(_to_output(column))
  outputs = []
  for i in range(2):
    row = _to_output([column[i] for column in products])
    outputs.append(jnp.stack(row, axis=3))
  result = jnp.stack(outputs, axis=2)  # [B, H / 2, 2, W / 2, 2, O]
  return result.reshape(x.shape[0], height, width, kernel.shape[-1])


def _of_kernel(g):
  return (
    g[0],
    (g[0] + g[1] + g[2]) / 2,
    (g[0] - g[1] + g[2]) / 2,
    g[2],
  )


def _of_input(d):
  return (
    d[0] - d[2],
    d[1] + d[2],
    d[2] - d[1],
    d[1] - d[3],
  )


def _to_output(m):
  return m[0] + m[1] + m[2], m[1] - m[2] - m[3]


# Upsampling.


def upsampled_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Upsamples by 2 (nearest neighbour), pads by 2 (reflection) and convolves with 5x5 taps, in one.

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
  if _PORTABLE.get():
    upsampled = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    return convolution(pad(upsampled, 2, 'reflect'), kernel)
  return recomputed(_upsampled_convolution)(x, kernel)


def _upsampled_convolution(x, kernel):
  batch, height, width, channels = x.shape
  features = kernel.shape[-1]
  y = convolution(pad(x, 1, 'edge'), _phase_kernels(kernel))
  # The four phases lie side by side: [B, H, W, 2, 2, O] becomes [B, 2H, 2W, O].
  y = y.reshape(batch, height, width, 2, 2, features)
  y = y.transpose(0, 1, 3, 2, 4, 5)
  y = y.reshape(batch, 2 * height, 2 * width, features)

  def line(pixels, taps, mode):
    """Returns what a border lacks: a 5-tap convolution of [B, L, C], upsampled to 2L."""
    pixels = jnp.repeat(pixels, 2, axis=1)
    pixels = jnp.pad(pixels, ((0, 0), (2, 2), (0, 0)), mode=mode)
    size = pixels.shape[1] - 4
    shifted = [pixels[:, t : t + size] for t in range(5)]
    patches = jnp.concatenate(shifted, axis=-1)
    return product(patches, taps.reshape(5 * channels, features))

  # At the borders reflection shows the second pixel, where the edge shows the first.
  top = x[:, 1] - x[:, 0]
  bottom = x[:, -2] - x[:, -1]
  y = y.at[:, 0].add(line(top, kernel[0], 'reflect'))
  y = y.at[:, -1].add(line(bottom, kernel[4], 'reflect'))

  # Columns next; the corners were in the rows.
  left = x[:, :, 1] - x[:, :, 0]
  right = x[:, :, -2] - x[:, :, -1]
  y = y.at[:, :, 0].add(line(left, kernel[:, 0], 'edge'))
  return y.at[:, :, -1].add(line(right, kernel[:, 4], 'edge'))


def _phase_kernels(kernel):
  """Returns the 3x3 kernels of the four phases as one, [3, 3, C, 4 * O].

  Three taps are sums of five: (0 1, 2 3, 4) for an even pixel, (0, 1 2, 3 4) for an odd one.
  """
  _, _, channels, features = kernel.shape
  even = jnp.stack([kernel[0] + kernel[1], kernel[2] + kernel[3], kernel[4]])
  odd = jnp.stack([kernel[0], kernel[1] + kernel[2], kernel[3] + kernel[4]])
  rows = jnp.stack([even, odd])  # [row phase, 3, 5, C, O]
  even = jnp.stack(
    [rows[:, :, 0] + rows[:, :, 1], rows[:, :, 2] + rows[:, :, 3], rows[:, :, 4]], 2
  )
  odd = jnp.stack(
    [rows[:, :, 0], rows[:, :, 1] + rows[:, :, 2], rows[:, :, 3] + rows[:, :, 4]], 2
  )
  phases = jnp.stack([even, odd])  # [column phase, row phase, 3, 3, C, O]
  phases = phases.transpose(2, 3, 4, 1, 0, 5)
  return phases.reshape(3, 3, channels, 4 * features)
