"""AGGAN's networks (Mejjati et al., NeurIPS 2018), by the layers of the authors' code."""

import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from maskgan_jax.networks import layers, normalization

_INIT = layers.truncated_normal


def _block(x, dtype, padding):
  """Returns a residual block of x, with a ReLU after the sum."""
  block = layers.Residual(normalization.InstanceNorm, dtype, _INIT, padding)
  return jax.nn.relu(block(x))


def _strided(x, features, size, dtype, padding):
  """Returns a convolution of stride 2, normalised; 'SAME' is TensorFlow's."""
  conv = nn.Conv(
    features, (size, size), 2, padding=padding, dtype=dtype, kernel_init=_INIT
  )
  return normalization.InstanceNorm(dtype, jax.nn.relu)(conv(x))


def _twice_as_large(x):
  """Returns x with each pixel repeated in both directions."""
  return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


class Attention(nn.Module):
  """Finds where to change an image: [B, H, W, 3] -> float32 [B, H, W, 1] in [0, 1].

  Convolutions of stride 2, a residual block, and for each stride a nearest-neighbour upsampling by
  2 and a convolution; H and W are multiples of 2**strides.

  Attributes:
    width: channels after the first convolution.
    strides: convolutions of stride 2.
    intended: whether the convolutions after the upsamplings are 3x3 and the last 7x7. In the
      authors' code a wrong order of arguments makes them all 1x1, so that the mask is constant on
      squares of 2**strides pixels.
  """

  width: int = 32
  strides: int = 2
  intended: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    x = x.astype(self.dtype)
    x = jnp.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), 'reflect')
    x = _strided(x, self.width, 7, self.dtype, 'VALID')
    for i in range(1, self.strides):
      x = _strided(x, self.width * 2**i, 3, self.dtype, 'SAME')
    x = _block(x, self.dtype, 'reflect')

    inner, last = (3, 7) if self.intended else (1, 1)
    conv = functools.partial(
      layers.Conv, dtype=self.dtype, padding='constant', kernel_init=_INIT
    )
    for i in reversed(range(self.strides)):
      x = conv(self.width * 2**i, inner)(_twice_as_large(x))
      x = normalization.InstanceNorm(self.dtype, jax.nn.relu)(x)
    return jax.nn.sigmoid(conv(1, last)(x).astype(jnp.float32))


class Generator(nn.Module):
  """CycleGAN's generator as in TensorFlow: [B, H, W, C] -> float32 [B, H, W, 3] in [-1, 1].

  Zeros around in place of reflection, and a ReLU after each block's sum. H and W are multiples of
  4.

  Attributes:
    width: channels at full resolution.
    blocks: residual blocks, with four times as many channels.
  """

  width: int = 32
  blocks: int = 9
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    conv = functools.partial(
      layers.Conv, size=7, dtype=self.dtype, padding='constant', kernel_init=_INIT
    )
    norm = normalization.InstanceNorm
    x = norm(self.dtype, jax.nn.relu)(conv(self.width)(x))
    for features in (2 * self.width, 4 * self.width):
      x = _strided(x, features, 3, self.dtype, 'SAME')
    for _ in range(self.blocks):
      x = _block(x, self.dtype, 'constant')
    for features in (2 * self.width, self.width):
      x = layers.UpConv3x3(features, self.dtype, _INIT)(x)
      x = norm(self.dtype, jax.nn.relu)(x)
    return jnp.tanh(conv(3)(x).astype(jnp.float32))


class Discriminator(nn.Module):
  """A map of scores: 4x4 convolutions with two rows of zeros around, LeakyReLU 0.2.

  [B, H, W, 3] -> float32 [B, h, w, 1], 35x35 at 256x256. All convolutions but the last are
  normalised, also the first, or none is: its parameters then rest.

  Attributes:
    width: channels after the first convolution.
    strides: convolutions of stride 2; one of stride 1 and the scores follow.
  """

  width: int = 64
  strides: int = 3
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, *, normalized: bool):
    leak = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
    x = x.astype(self.dtype)
    for i in range(self.strides + 1):
      features = self.width * min(2**i, 8)
      x = self._conv(x, features, 2 if i < self.strides else 1)
      norm = normalization.InstanceNorm(self.dtype, leak)
      x_normalized = norm(x)
      x = x_normalized if normalized else leak(x)
    return self._conv(x, 1, 1).astype(jnp.float32)

  def _conv(self, x, features, stride):
    return nn.Conv(
      features,
      (4, 4),
      stride,
      padding=((2, 2), (2, 2)),
      dtype=self.dtype,
      kernel_init=_INIT,
    )(x)
