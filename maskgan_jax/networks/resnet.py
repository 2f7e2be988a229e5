"""Residual generators: CycleGAN's and StarGAN's."""

import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from maskgan_jax.networks import layers, normalization


class ResnetGenerator(nn.Module):
  """CycleGAN's residual generator (Zhu et al. 2017, after Johnson et al. 2016), without its tanh.

  7x7 convolution, two 3x3 ones of stride 2, residual blocks, two transposed 3x3 ones of stride 2,
  7x7 convolution; instance normalisation (no scale, no bias) and ReLU after all except the last.
  Padding by reflection, but zeros where the stride is 2. [B, H, W, 3], H and W multiples of 4 ->
  float32 [B, H, W, features].

  Attributes:
    width: channels at full resolution.
    blocks: residual blocks, with four times as many channels; CycleGAN's 9 are for images of
      256x256, its 6 for 128x128.
  """

  width: int = 64
  blocks: int = 9
  features: int = 3
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    init = nn.initializers.normal(0.02)
    norm = functools.partial(normalization.InstanceNorm, affine=False)
    x = layers.Conv(self.width, 7, self.dtype, kernel_init=init)(x)
    x = norm(self.dtype, jax.nn.relu)(x)
    for features in (2 * self.width, 4 * self.width):
      x = layers.DownConv(features, self.dtype, kernel_init=init, size=3)(x)
      x = norm(self.dtype, jax.nn.relu)(x)
    for _ in range(self.blocks):
      x = layers.Residual(norm, self.dtype, init)(x)
    for features in (2 * self.width, self.width):
      x = layers.UpConv3x3(features, self.dtype, init, padding=1)(x)
      x = norm(self.dtype, jax.nn.relu)(x)
    return layers.Conv(self.features, 7, self.dtype, kernel_init=init)(x).astype(
      jnp.float32
    )


class StarGenerator(nn.Module):
  """StarGAN's generator (Choi et al. 2018), without its tanh.

  Images with their labels as further channels, the same at each pixel: 7x7 convolution, two 4x4
  ones of stride 2, residual blocks, two transposed 4x4 ones of stride 2, 7x7 convolution; instance
  normalisation with scale and bias, and ReLU, after all except the last; no other bias.
  [B, H, W, 3], H and W multiples of 4, and labels [B, K] -> float32 [B, H, W, outputs].

  Attributes:
    width: channels at full resolution.
    blocks: residual blocks, with four times as many channels.
    outputs: 3; with 4 it is AttentionGAN-v1-multi's, whose first channel is a mask.
    padding: mode of jnp.pad. Labels count with zeros only, 'constant': a label adds one value to
      each channel of the first convolution, and the normalisation takes that away, except next to
      zeros at the border.
  """

  width: int = 64
  blocks: int = 6
  outputs: int = 3
  dtype: Any = jnp.float32
  padding: str = 'constant'

  @nn.compact
  def __call__(self, x, labels):
    norm = normalization.InstanceNorm
    conv = functools.partial(
      layers.Conv, dtype=self.dtype, padding=self.padding, use_bias=False
    )
    planes = jnp.broadcast_to(labels[:, None, None], (*x.shape[:3], labels.shape[-1]))
    x = jnp.concatenate([x, planes.astype(x.dtype)], axis=-1)
    x = norm(self.dtype, jax.nn.relu)(conv(self.width, 7)(x))
    for features in (2 * self.width, 4 * self.width):
      x = layers.DownConv(features, self.dtype, use_bias=False)(x)
      x = norm(self.dtype, jax.nn.relu)(x)
    for _ in range(self.blocks):
      x = layers.Residual(
        norm, self.dtype, kernel_init=None, padding='constant', use_bias=False
      )(x)
    for features in (2 * self.width, self.width):
      x = layers.UpConv(features, self.dtype, use_bias=False)(x)
      x = norm(self.dtype, jax.nn.relu)(x)
    return conv(self.outputs, 7)(x).astype(jnp.float32)
