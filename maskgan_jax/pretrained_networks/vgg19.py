"""VGG-19 (Simonyan and Zisserman, 2014, configuration E) up to relu5_1.

Losses compare its maps.
"""

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


def channels(width: int = 64) -> dict[str, tuple[int, int]]:
  """Returns (input, output channels) of the convolutions 'conv1_1' to 'conv5_1', in order."""
  result = {}
  inputs = 3
  for block, (count, factor) in enumerate(zip(_CONVOLUTIONS, _FACTORS, strict=True), 1):
    for i in range(1, count + 1):
      result[f'conv{block}_{i}'] = inputs, factor * width
      inputs = factor * width
  return result


class VGG19(nn.Module):
  """Feature maps of images [B, H, W, 3] in [-1, 1], as a tuple in the order of TAPS.

  The parameters say how images enter the first convolution: ((x + 1) / 2 - input_mean) /
  input_scale, RGB, which is x itself unless `import_weights` sets other values. Neither gets a
  gradient.

  Attributes:
    width: channels of the first block; the others have 2, 4, 8 and 8 times as many.
    classes: of the linear head on relu5_1 that `classify` has; 0 is without.
    pool: 'SAME' rounds odd heights and widths up (TensorFlow's, and so EGSC-IT's), 'VALID' down
      (PyTorch's; images are then at least 16 pixels wide and high).
    dtype: of the computation and of the maps; parameters are float32.
  """

  width: int = 64
  classes: int = 0
  pool: str = 'SAME'
  dtype: Any = jnp.float32

  def setup(self):
    if self.pool not in ('SAME', 'VALID'):
      raise errors.UserError(
        f"VGG-19's pool is {self.pool!r}; it can be 'SAME' or 'VALID'"
      )
    half = nn.initializers.constant(0.5)
    self.input_mean = self.param('input_mean', half, (3,), jnp.float32)
    self.input_scale = self.param('input_scale', half, (3,), jnp.float32)
    for name, (_, features) in channels(self.width).items():
      layer = layers.Conv(features, 3, self.dtype, 'constant', layers.he_normal)
      setattr(self, name, layer)
    if self.classes:
      wide = jnp.promote_types(self.dtype, jnp.float32)
      self.head = layers.Linear(self.classes, wide)

  def __call__(self, images: jax.Array) -> tuple[jax.Array, ...]:
    """Returns maps of size H, H/2, H/4, H/8 and H/16, after their ReLU."""
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

    # The first map of each block is given out.
    taps = []
    for block, count in enumerate(_CONVOLUTIONS, 1):
      if block > 1:
        x = max_pool(x, self.pool)
      for i in range(1, count + 1):
        x = jax.nn.relu(getattr(self, f'conv{block}_{i}')(x))
        if i == 1:
          taps.append(x)
    if self.classes and self.is_initializing():
      self._logits(x)
    return tuple(taps)

  def classify(self, images: jax.Array) -> jax.Array:
    """Returns float32 logits [B, classes] of relu5_1's means over the image's four quadrants.

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
  batch, height, width, features = x.shape
  if padding == 'VALID':
    x = x[:, : height // 2 * 2, : width // 2 * 2]
  elif height % 2 or width % 2:
    widths = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
    x = jnp.pad(x, widths, constant_values=-jnp.inf)

  # Windows become axes of their own: [B, H / 2, 2, W / 2, 2, C].
  x = x.reshape(batch, x.shape[1] // 2, 2, x.shape[2] // 2, 2, features)
  return x.max((2, 4))
