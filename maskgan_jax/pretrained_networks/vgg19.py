"""VGG-19 (Simonyan and Zisserman, 2014, configuration E) up to relu5_1.

Losses compare its maps, and style transfer changes their statistics.
"""

from collections.abc import Sequence
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

from maskgan_jax import errors
from maskgan_jax.networks import layers

TAPS = ('relu1_1', 'relu2_1', 'relu3_1', 'relu4_1', 'relu5_1')

_CONVOLUTIONS = (2, 2, 4, 4, 1)  # of each block; the fifth is used up to its first
_FACTORS = (1, 2, 4, 8, 8)


def channels(width: int = 64, last: str = TAPS[-1]) -> dict[str, tuple[int, int]]:
  """Returns (input, output channels) of the convolutions from 'conv1_1' on, in order.

  Args:
    width: channels of the first block.
    last: the map that the last of them makes, such as 'relu4_1'.
  """
  result = {}
  inputs = 3
  for block, (count, factor) in enumerate(zip(_CONVOLUTIONS, _FACTORS, strict=True), 1):
    for i in range(1, count + 1):
      result[f'conv{block}_{i}'] = inputs, factor * width
      inputs = factor * width
      if map_of(f'conv{block}_{i}') == last:
        return result
  maps = [map_of(name) for name in result]
  raise errors.UserError(
    f'VGG-19 has no map {last!r}{errors.nearest(last, maps)}; up to relu5_1 it has '
    f'{", ".join(maps)}'
  )


def map_of(convolution: str) -> str:
  """Returns the name of the map that a convolution makes, 'relu1_1' of 'conv1_1'."""
  return convolution.replace('conv', 'relu')


def mirrored(width: int, level: int) -> tuple[tuple[int, ...], ...]:
  """Returns the output channels of convolutions that go from relu{level}_1 back to the image.

  Where the network has a convolution from m to n channels, these have one from n to m. There is a
  tuple for each size of the maps, the smallest first (see `decoders.VggDecoder`).
  """
  sizes: list[list[int]] = [[] for _ in range(level)]
  for name, (inputs, _) in channels(width, f'relu{level}_1').items():
    block = int(name[len('conv')])
    sizes[level - block].insert(0, inputs)
  return tuple(map(tuple, sizes))


class VGG19(nn.Module):
  """Feature maps of images [B, H, W, 3] in [-1, 1], as a tuple in the order of `taps`.

  The parameters say how images enter the first convolution: ((x + 1) / 2 - input_mean) /
  input_scale, RGB, which is x itself unless `import_weights` sets other values. Neither gets a
  gradient.

  Attributes:
    width: channels of the first block; the others have 2, 4, 8 and 8 times as many.
    classes: of the linear head on the last map that `classify` has; 0 is without.
    pool: 'SAME' rounds odd heights and widths up (TensorFlow's, and so EGSC-IT's), 'VALID' down
      (PyTorch's; images are then at least 16 pixels wide and high).
    dtype: of the computation and of the maps; parameters are float32.
    taps: names of the maps, in the order of the network, which ends with the last of them.
    padding: of the convolutions, a mode of jnp.pad; the normalised VGG-19's is 'reflect'.
    pooling: 'max' or 'average', of 2x2 pixels.
  """

  width: int = 64
  classes: int = 0
  pool: str = 'SAME'
  dtype: Any = jnp.float32
  taps: Sequence[str] = TAPS
  padding: str = 'constant'
  pooling: str = 'max'

  def setup(self):
    if self.pool not in ('SAME', 'VALID'):
      raise errors.UserError(
        f"VGG-19's pool is {self.pool!r}; it can be 'SAME' or 'VALID'"
      )
    half = nn.initializers.constant(0.5)
    self.input_mean = self.param('input_mean', half, (3,), jnp.float32)
    self.input_scale = self.param('input_scale', half, (3,), jnp.float32)
    for name, (_, features) in channels(self.width, self.taps[-1]).items():
      layer = layers.Conv(features, 3, self.dtype, self.padding, layers.he_normal)
      setattr(self, name, layer)
    if self.classes:
      wide = jnp.promote_types(self.dtype, jnp.float32)
      self.head = layers.Linear(self.classes, wide)

  def __call__(self, images: jax.Array) -> tuple[jax.Array, ...]:
    """Returns maps after their ReLU: of size H in block 1, H/2 in block 2, and so on."""
    if self.pool == 'VALID' and min(images.shape[1:3]) < 16:
      raise errors.UserError(
        f"VGG-19 with pool 'VALID' takes images of 16x16 pixels and more, not "
        f"{images.shape[1]}x{images.shape[2]}; 'SAME' takes any"
      )
    wide = jnp.promote_types(self.dtype, jnp.float32)
    mean, scale = (
      lax.stop_gradient(v).astype(wide).reshape(1, 1, 1, 3)
      for v in (self.input_mean, self.input_scale)
    )
    levels = (images.astype(wide) + 1) / 2
    x = ((levels - mean) / scale).astype(self.dtype)

    taps = []
    pool = average_pool if self.pooling == 'average' else max_pool
    for name in channels(self.width, self.taps[-1]):
      if name.endswith('_1') and name != 'conv1_1':
        x = pool(x, self.pool)
      x = jax.nn.relu(getattr(self, name)(x))
      if map_of(name) in self.taps:
        taps.append(x)
    if self.classes and self.is_initializing():
      self._logits(x)
    return tuple(taps)

  def classify(self, images: jax.Array) -> jax.Array:
    """Returns float32 logits [B, classes] of the last map's means over the image's four quadrants.

    There are four means because places can matter. Quadrants of an odd height or width overlap in
    the middle row or column; quadrants of a single pixel are that pixel.
    """
    return self._logits(self(images)[-1])

  def _logits(self, x):
    # The means of four quadrants, which overlap where a side is odd.
    x = x.astype(jnp.promote_types(self.dtype, jnp.float32))
    height, width = ((size + 1) // 2 for size in x.shape[1:3])
    quadrants = []
    for rows in (slice(height), slice(-height, None)):
      for columns in (slice(width), slice(-width, None)):
        quadrants.append(x[:, rows, columns].mean((1, 2)))
    return self.head(jnp.concatenate(quadrants, axis=-1))


def max_pool(x: jax.Array, padding: str) -> jax.Array:
  """Returns 2x2 maxima of [B, H, W, C], stride 2.

  An odd last row or column is a window of its own with 'SAME' and left out with 'VALID'. Windows
  with several maxima share their gradient among them. The gradient of lax.reduce_window would be a
  scatter, which XLA's CPU backend runs pixel by pixel.
  """
  return _windows(x, padding, -jnp.inf).max((2, 4))


def average_pool(x: jax.Array, padding: str) -> jax.Array:
  """Returns means of 2x2 pixels of [B, H, W, C], stride 2; see `max_pool` for odd sizes."""
  total = _windows(x, padding, 0).sum((2, 4))
  pixels = _windows(jnp.ones((1, *x.shape[1:3], 1), x.dtype), padding, 0).sum((2, 4))
  return total / pixels


def _windows(x, padding, fill):
  """Returns [B, H, W, C] with windows as axes of their own: [B, H / 2, 2, W / 2, 2, C]."""
  batch, height, width, features = x.shape
  if padding == 'VALID':
    x = x[:, : height // 2 * 2, : width // 2 * 2]
  elif height % 2 or width % 2:
    widths = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
    x = jnp.pad(x, widths, constant_values=fill)
  return x.reshape(batch, x.shape[1] // 2, 2, x.shape[2] // 2, 2, features)
