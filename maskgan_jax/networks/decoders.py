"""Decoders."""

from collections.abc import Sequence
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from maskgan_jax.networks import layers, normalization


class ConvDecoder(nn.Module):
  """Blocks of transposed 4x4 stride-2 convolution, batch norm, activation, then a bare one.

  Content transfer, appendix A. [B, h, w, C] -> [B, h * 2**(n+1), w * 2**(n+1), features] for n
  widths, float32, before any output activation.

  Attributes:
    leak: negative slope of the activation; 0 is ReLU.
  """
  widths: Sequence[int]
  features: int
  leak: float = 0.2
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, *, train: bool, groups: int = 1, order: Sequence[int] | None = None):
    for width in self.widths:
      x = layers.UpConv(width, self.dtype)(x)
      x = normalization.BatchNorm(dtype=self.dtype)(x, train=train, groups=groups, order=order)
      x = jax.nn.leaky_relu(x, self.leak)
    return layers.UpConv(self.features, self.dtype)(x).astype(jnp.float32)
