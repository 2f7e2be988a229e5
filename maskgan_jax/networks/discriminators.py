"""Discriminators."""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from maskgan_jax.networks import layers


class CodeDiscriminator(nn.Module):
  """Two fully connected layers on a code: which domain is it from (content transfer, appendix A)?

  [B, ...] -> float32 logits [B]; the paper's C is their sigmoid.
  """
  width: int = 512
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, code):
    x = code.reshape(code.shape[0], -1)
    x = jax.nn.leaky_relu(layers.Linear(self.width, self.dtype)(x), 0.2)
    return layers.Linear(1, self.dtype)(x)[:, 0].astype(jnp.float32)
