"""Encoders."""

from collections.abc import Sequence
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from maskgan_jax.networks import layers, normalization


class ConvEncoder(nn.Module):
  """Blocks of 4x4 stride-2 convolution, batch norm, LeakyReLU 0.2 (content transfer, appendix A).

  [B, H, W, C] -> [B, H / 2**n, W / 2**n, widths[-1]] for n widths.
  """
  widths: Sequence[int]
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, *, train: bool, groups: int = 1, order: Sequence[int] | None = None):
    for width in self.widths:
      x = layers.DownConv(width, self.dtype)(x)
      x = normalization.BatchNorm(dtype=self.dtype)(x, train=train, groups=groups, order=order)
      x = jax.nn.leaky_relu(x, 0.2)
    return x
