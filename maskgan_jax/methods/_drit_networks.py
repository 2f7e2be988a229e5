"""Networks that DRIT has and no other method: attributes, generators, the content's domain."""

from collections.abc import Callable
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from maskgan_jax.networks import layers, normalization

INIT = nn.initializers.normal(0.02)
NORM = functools.partial(normalization.InstanceNorm, affine=False)


class AttributeEncoder(nn.Module):
  """Encodes an image into the mean and the log-variance of its attribute, float32 [B, S] each.

  A 4x4 convolution with stride 2, blocks that halve the map again, a mean, a linear layer for each
  result. Channels are width, 2 width, 3 width, 4 width, and no more. Nothing is normalised.

  Attributes:
    width: channels after the first convolution.
    downsamplings: the first convolution and the blocks.
    code: S, numbers in an attribute.
  """

  width: int = 64
  downsamplings: int = 4
  code: int = 8
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    x = layers.DownConv(self.width, self.dtype, 'reflect', INIT, odd='down')(x)
    for i in range(1, self.downsamplings):
      x = _HalvingBlock(self.width * min(4, i + 1), self.dtype)(x)
    x = jax.nn.leaky_relu(x, 0.2)
    x = x.mean((1, 2), dtype=jnp.float32)
    mean = layers.Linear(self.code, name='mean')(x)
    return mean, layers.Linear(self.code, name='log_variance')(x)


class _HalvingBlock(nn.Module):
  """Two 3x3 convolutions after LeakyReLU 0.2 each, beside a 1x1 one; halves height and width."""

  features: int
  dtype: Any

  @nn.compact
  def __call__(self, x):
    y = jax.nn.leaky_relu(x, 0.2)
    y = layers.Conv(x.shape[-1], 3, self.dtype, kernel_init=INIT)(y)
    y = jax.nn.leaky_relu(y, 0.2)
    y = _halved(layers.Conv(self.features, 3, self.dtype, kernel_init=INIT)(y))
    short = layers.Conv(self.features, 1, self.dtype, kernel_init=INIT, name='shortcut')
    return y + short(_halved(x))


def _halved(x):
  """Returns means of 2x2 pixels; an odd last row or column is left out, as PyTorch does."""
  height, width = x.shape[1] // 2, x.shape[2] // 2
  x = x[:, : 2 * height, : 2 * width]
  return x.reshape(-1, height, 2, width, 2, x.shape[-1]).mean((2, 4))


class ConcatGenerator(nn.Module):
  """A domain's generator whose layers see the attribute as further channels of their input.

  [B, h, w, C] and [B, S] -> [B, h * 2**n, w * 2**n, 3] in [-1, 1], float32. The attribute is joined
  before the residual blocks, before each upsampling and before the last convolution.

  Attributes:
    blocks: residual blocks.
    upsamplings: n; each halves the channels.
  """

  blocks: int = 3
  upsamplings: int = 2
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, content, attribute):
    x = _joined(content, attribute)
    for _ in range(self.blocks):
      x = layers.Residual(NORM, self.dtype, INIT)(x)
    for _ in range(self.upsamplings):
      x = _upsampled(_joined(x, attribute), self.dtype)
    return _image(_joined(x, attribute), self.dtype)


class FeatureWiseGenerator(nn.Module):
  """A domain's generator whose blocks see features that an MLP makes of the attribute.

  Shapes are as of ConcatGenerator.

  Attributes:
    blocks: see FeatureWiseBlock; each gets C features of its own.
    upsamplings: n; each halves the channels.
    mlp: width of the MLP.
  """

  blocks: int = 4
  upsamplings: int = 2
  mlp: int = 256
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, content, attribute):
    x, channels = content, content.shape[-1]
    mlp = normalization.StyleMLP(self.mlp, self.blocks * channels, leak=0.0, name='mlp')
    features = mlp(attribute).reshape(-1, self.blocks, channels)
    for i in range(self.blocks):
      x = FeatureWiseBlock(self.dtype)(x, features[:, i])
    for _ in range(self.upsamplings):
      x = _upsampled(x, self.dtype)
    return _image(x, self.dtype)


class FeatureWiseBlock(nn.Module):
  """A residual block that joins features to its pixels and mixes them, twice.

  x + mix(norm(conv(mix(norm(conv(x)))))), where mix joins the features and applies two 1x1
  convolutions with ReLU, to twice the channels and back.
  """

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, features):
    """Maps x [B, h, w, C] and features [B, C]."""
    channels = x.shape[-1]
    y = x
    for _ in range(2):
      y = layers.Conv(channels, 3, self.dtype, kernel_init=INIT)(y)
      y = _joined(NORM(self.dtype)(y), features)
      for width in (2 * channels, channels):
        y = jax.nn.relu(layers.Conv(width, 1, self.dtype, kernel_init=INIT)(y))
    return x + y


def _joined(x, code):
  """Joins codes [B, S] to the channels of all pixels of x [B, h, w, C]."""
  code = code.astype(x.dtype)[:, None, None]
  code = jnp.broadcast_to(code, (*x.shape[:3], code.shape[-1]))
  return jnp.concatenate([x, code], axis=-1)


def _upsampled(x, dtype):
  """Returns half of the channels at twice the height and width; layers go into the caller."""
  x = layers.UpConv3x3(x.shape[-1] // 2, dtype, INIT, padding=1)(x)
  return normalization.LayerNorm(dtype, jax.nn.relu)(x)


def _image(x, dtype):
  x = layers.Conv(3, 1, dtype, kernel_init=INIT)(x)
  return jnp.tanh(x.astype(jnp.float32))


class ContentDiscriminator(nn.Module):
  """Tells which domain contents [B, h, w, C] are from: float32 logits [B, m, n, 1].

  Strided convolutions with LeakyReLU 0.01, a 4x4 convolution without padding, and a 1x1 one; all
  have C channels. `map_side` says how large the strided ones leave a map, which must be 4 or more.

  Attributes:
    depth: of the strided convolutions.
    size: '7x7', the authors' kernel, or '4x4', which needs smaller maps.
    norm: of the strided convolutions; None is without.
  """

  depth: int = 3
  size: str = '7x7'
  norm: Callable[..., nn.Module] | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    leak = functools.partial(jax.nn.leaky_relu, negative_slope=0.01)
    channels = x.shape[-1]
    for _ in range(self.depth):
      x = self._strided(x, channels)
      x = self.norm(self.dtype, leak)(x) if self.norm else leak(x)
    x = leak(self._unpadded(channels, 4, 1, 'whole')(x))
    x = layers.Conv(1, 1, self.dtype, kernel_init=INIT, name='scores')(x)
    return x.astype(jnp.float32)

  def _strided(self, x, channels):
    if self.size == '4x4':
      return layers.DownConv(channels, self.dtype, 'reflect', INIT)(x)
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), 'reflect')
    return self._unpadded(channels, 7, 2, None)(x)

  def _unpadded(self, channels, size, stride, name):
    sides, strides = (size, size), (stride, stride)
    return nn.Conv(
      channels, sides, strides, 'VALID', kernel_init=INIT, dtype=self.dtype, name=name
    )


def map_side(side: int, depth: int, size: str) -> int:
  """Returns the side that ContentDiscriminator's strided convolutions leave of a map's side."""
  for _ in range(depth):
    side = (side - 5) // 2 + 1 if size == '7x7' else (side + 1) // 2
  return side
