"""Blocks that several networks are built of."""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from maskgan_jax.networks import layers


class Residual(nn.Module):
  """x + norm(conv(relu(norm(conv(x))))), two 3x3 convolutions with reflection padding.

  Attributes:
    norm: makes a normalisation layer from a dtype and an activation; None is without.
    kernel_init: of the kernels; biases are zero.
  """
  norm: Callable[..., nn.Module] | None
  dtype: Any = jnp.float32
  kernel_init: Any = layers.he_normal

  @nn.compact
  def __call__(self, x):
    y = layers.Conv(x.shape[-1], 3, self.dtype, kernel_init=self.kernel_init)(x)
    y = self.norm(self.dtype, jax.nn.relu)(y) if self.norm else jax.nn.relu(y)
    y = layers.Conv(x.shape[-1], 3, self.dtype, kernel_init=self.kernel_init)(y)
    return x + (self.norm(self.dtype)(y) if self.norm else y)
