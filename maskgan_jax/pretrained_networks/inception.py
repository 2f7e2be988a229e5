"""The Inception-v3 that FID, KID and IS are defined by: Google's graph of 2015-12-05.

It is neither the Inception-v3 of the paper (Szegedy et al., 2016) nor torchvision's: its averages
leave padding out, its last block takes maxima where the others average, and it has 1008 classes.
Its parts have the names that pytorch-fid and torch-fidelity give them.
"""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from maskgan_jax import errors
from maskgan_jax.networks import layers

TAPS = {
  '64': 64,
  '192': 192,
  '768': 768,
  '2048': 2048,
  'logits': 1008,
  'logits_unbiased': 1008,
}
SMALLEST = 75  # pixels of a side; the last blocks then have one
EPSILON = 1e-3  # added to variances

# GPUs and TPUs would otherwise round to ten bits or fewer, and features with them.
_EXACT = lax.Precision.HIGHEST
_ONE_AROUND = ((0, 0), (1, 1), (1, 1), (0, 0))  # a pixel on each side of [B, H, W, C]


class InceptionV3(nn.Module):
  """Features of images [B, H, W, 3] in [-1, 1], H and W at least 75; FID's are 299x299 pixels.

  For inference only: normalisation takes the statistics that are among the parameters.

  Attributes:
    dtype: of the computation and of the features; parameters are float32.
  """

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
    """Returns [B, channels] by the names of TAPS.

    '64' to '2048' are means over pixels, the first two after a pool; 'logits_unbiased' are logits
    before their bias. Under jit an unused one costs nothing.
    """
    _require_size(*images.shape[1:3])
    dtype = self.dtype
    taps = {}
    x = images.astype(dtype)

    # The stem.
    x = _Convolution(32, (3, 3), 2, 'VALID', dtype, name='Conv2d_1a_3x3')(x)
    x = _Convolution(32, (3, 3), 1, 'VALID', dtype, name='Conv2d_2a_3x3')(x)
    x = _Convolution(64, (3, 3), 1, 'SAME', dtype, name='Conv2d_2b_3x3')(x)
    x = _maximum(x, 2)
    taps['64'] = x.mean((1, 2))
    x = _Convolution(80, (1, 1), 1, 'VALID', dtype, name='Conv2d_3b_1x1')(x)
    x = _Convolution(192, (3, 3), 1, 'VALID', dtype, name='Conv2d_4a_3x3')(x)
    x = _maximum(x, 2)
    taps['192'] = x.mean((1, 2))

    # Blocks of 35x35, 17x17 and 8x8 pixels at 299x299.
    x = _BlockA(32, dtype, name='Mixed_5b')(x)
    x = _BlockA(64, dtype, name='Mixed_5c')(x)
    x = _BlockA(64, dtype, name='Mixed_5d')(x)
    x = _BlockB(dtype, name='Mixed_6a')(x)
    for name, channels in (('b', 128), ('c', 160), ('d', 160), ('e', 192)):
      x = _BlockC(channels, dtype, name=f'Mixed_6{name}')(x)
    taps['768'] = x.mean((1, 2))
    x = _BlockD(dtype, name='Mixed_7a')(x)
    x = _BlockE(_average, dtype, name='Mixed_7b')(x)
    x = _BlockE(_maximum, dtype, name='Mixed_7c')(x)
    taps['2048'] = x.mean((1, 2))
    head = _Head(TAPS['logits'], dtype, name='fc')
    taps['logits_unbiased'], taps['logits'] = head(taps['2048'])
    return {name: taps[name] for name in TAPS}


def _require_size(height, width):
  """Raises UserError for images of which the last blocks would have nothing left."""
  if min(height, width) < SMALLEST:
    raise errors.UserError(
      f'Inception-v3 takes images of {SMALLEST}x{SMALLEST} pixels and more, '
      f'not {height}x{width}'
    )


def shapes() -> dict[str, Any]:
  """Returns the tree of the parameters' shapes."""
  images = jax.ShapeDtypeStruct((1, SMALLEST, SMALLEST, 3), jnp.float32)

  def init(x):
    return InceptionV3().init(jax.random.key(0), x)['params']

  return jax.tree.map(lambda leaf: leaf.shape, jax.eval_shape(init, images))


class _Convolution(nn.Module):
  """Convolution without a bias, normalisation by stored statistics, ReLU.

  Attributes:
    size: of the kernel, rows and columns.
    padding: 'SAME', with stride 1 only, or 'VALID'.
  """

  features: int
  size: tuple[int, int]
  stride: int
  padding: str
  dtype: Any

  @nn.compact
  def __call__(self, x):
    kernel = self.param(
      'kernel', layers.he_normal, (*self.size, x.shape[-1], self.features)
    )
    scale, bias, mean, variance = (
      self.param(name, init, (self.features,)).astype(self.dtype).reshape(1, 1, 1, -1)
      for name, init in (
        ('scale', nn.initializers.ones),
        ('bias', nn.initializers.zeros),
        ('mean', nn.initializers.zeros),
        ('variance', nn.initializers.ones),
      )
    )
    x = lax.conv_general_dilated(
      x,
      kernel.astype(self.dtype),
      (self.stride, self.stride),
      self.padding,
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      precision=_EXACT,
    )
    return jax.nn.relu((x - mean) * (scale * lax.rsqrt(variance + EPSILON)) + bias)


class _Head(nn.Module):
  """Linear layer: [B, C] -> logits before and after their bias, [B, classes] each."""

  classes: int
  dtype: Any

  @nn.compact
  def __call__(self, x):
    kernel = self.param(
      'kernel', nn.initializers.lecun_normal(), (x.shape[-1], self.classes)
    )
    bias = self.param('bias', nn.initializers.zeros, (self.classes,)).astype(self.dtype)
    unbiased = jnp.matmul(x, kernel.astype(self.dtype), precision=_EXACT)
    return unbiased, unbiased + bias.reshape(1, -1)


class _Block(nn.Module):
  """What the blocks have in common: branches of one input, whose channels are concatenated."""

  def chain(self, x, *steps):
    """Applies convolutions one after another.

    Each is (name, features, rows, columns) and keeps the size, or (name, features, rows, columns,
    stride) without padding.
    """
    for name, features, rows, columns, *strides in steps:
      stride = strides[0] if strides else 1
      padding = 'VALID' if strides else 'SAME'
      x = _Convolution(
        features, (rows, columns), stride, padding, self.dtype, name=name
      )(x)
    return x


class _BlockA(_Block):
  """[B, H, W, C] -> [B, H, W, 224 + pooled]."""

  pooled: int
  dtype: Any

  @nn.compact
  def __call__(self, x):
    return jnp.concatenate(
      [
        self.chain(x, ('branch1x1', 64, 1, 1)),
        self.chain(x, ('branch5x5_1', 48, 1, 1), ('branch5x5_2', 64, 5, 5)),
        self.chain(
          x,
          ('branch3x3dbl_1', 64, 1, 1),
          ('branch3x3dbl_2', 96, 3, 3),
          ('branch3x3dbl_3', 96, 3, 3),
        ),
        self.chain(_average(x), ('branch_pool', self.pooled, 1, 1)),
      ],
      axis=-1,
    )


class _BlockB(_Block):
  """[B, H, W, C] -> [B, (H - 1) // 2, (W - 1) // 2, 480 + C]."""

  dtype: Any

  @nn.compact
  def __call__(self, x):
    return jnp.concatenate(
      [
        self.chain(x, ('branch3x3', 384, 3, 3, 2)),
        self.chain(
          x,
          ('branch3x3dbl_1', 64, 1, 1),
          ('branch3x3dbl_2', 96, 3, 3),
          ('branch3x3dbl_3', 96, 3, 3, 2),
        ),
        _maximum(x, 2),
      ],
      axis=-1,
    )


class _BlockC(_Block):
  """[B, H, W, C] -> [B, H, W, 768], with `channels` between the 7x1 and 1x7 convolutions."""

  channels: int
  dtype: Any

  @nn.compact
  def __call__(self, x):
    channels = self.channels
    return jnp.concatenate(
      [
        self.chain(x, ('branch1x1', 192, 1, 1)),
        self.chain(
          x,
          ('branch7x7_1', channels, 1, 1),
          ('branch7x7_2', channels, 1, 7),
          ('branch7x7_3', 192, 7, 1),
        ),
        self.chain(
          x,
          ('branch7x7dbl_1', channels, 1, 1),
          ('branch7x7dbl_2', channels, 7, 1),
          ('branch7x7dbl_3', channels, 1, 7),
          ('branch7x7dbl_4', channels, 7, 1),
          ('branch7x7dbl_5', 192, 1, 7),
        ),
        self.chain(_average(x), ('branch_pool', 192, 1, 1)),
      ],
      axis=-1,
    )


class _BlockD(_Block):
  """[B, H, W, C] -> [B, (H - 1) // 2, (W - 1) // 2, 512 + C]."""

  dtype: Any

  @nn.compact
  def __call__(self, x):
    return jnp.concatenate(
      [
        self.chain(x, ('branch3x3_1', 192, 1, 1), ('branch3x3_2', 320, 3, 3, 2)),
        self.chain(
          x,
          ('branch7x7x3_1', 192, 1, 1),
          ('branch7x7x3_2', 192, 1, 7),
          ('branch7x7x3_3', 192, 7, 1),
          ('branch7x7x3_4', 192, 3, 3, 2),
        ),
        _maximum(x, 2),
      ],
      axis=-1,
    )


class _BlockE(_Block):
  """[B, H, W, C] -> [B, H, W, 2048], with `pool` before the last branch."""

  pool: Callable[[jax.Array], jax.Array]
  dtype: Any

  @nn.compact
  def __call__(self, x):
    middle = self.chain(x, ('branch3x3_1', 384, 1, 1))
    double = self.chain(x, ('branch3x3dbl_1', 448, 1, 1), ('branch3x3dbl_2', 384, 3, 3))
    return jnp.concatenate(
      [
        self.chain(x, ('branch1x1', 320, 1, 1)),
        self.chain(middle, ('branch3x3_2a', 384, 1, 3)),
        self.chain(middle, ('branch3x3_2b', 384, 3, 1)),
        self.chain(double, ('branch3x3dbl_3a', 384, 1, 3)),
        self.chain(double, ('branch3x3dbl_3b', 384, 3, 1)),
        self.chain(self.pool(x), ('branch_pool', 192, 1, 1)),
      ],
      axis=-1,
    )


def _maximum(x, stride=1):
  """Returns 3x3 maxima; stride 1 keeps the size, stride 2 takes whole windows only."""
  if stride == 1:
    x = jnp.pad(x, _ONE_AROUND, constant_values=-jnp.inf)
  return _reduced(x, jnp.maximum, stride)


def _average(x):
  """Returns 3x3 means without padding: of four pixels in a corner, of six at an edge."""
  sums = _reduced(jnp.pad(x, _ONE_AROUND), jnp.add, 1)
  rows, columns = (
    3 - (np.arange(size) == 0) - (np.arange(size) == size - 1) for size in x.shape[1:3]
  )
  counts = rows.reshape(1, -1, 1, 1) * columns.reshape(1, 1, -1, 1)
  return sums / counts.astype(x.dtype)


def _reduced(x, operation, stride):
  """Reduces 3x3 windows, rows first; lax.reduce_window is eight times slower on CPUs."""
  height, width = (size - 2 for size in x.shape[1:3])
  first, second, third = (x[:, i : i + height : stride] for i in range(3))
  x = operation(operation(first, second), third)
  first, second, third = (x[:, :, i : i + width : stride] for i in range(3))
  return operation(operation(first, second), third)
