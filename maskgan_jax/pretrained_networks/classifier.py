"""A small classifier of attributes, to judge translations by."""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from maskgan_jax.networks import layers, normalization

_FACTORS = (1, 2, 4, 8)  # of the width, after each strided convolution


class AttributeClassifier(nn.Module):
  """Answers yes-no questions about images [B, H, W, 3] in [-1, 1] of any size.

  Four 4x4 stride-2 convolutions, each with group normalisation of one group, so that no example
  depends on its batch, and LeakyReLU 0.2; the mean over pixels; a linear layer.

  Attributes:
    labels: the number of questions.
    width: channels of the first layer; features are 8 * width.
    dtype: of the computation; parameters are float32.
  """

  labels: int
  width: int = 16
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns float32 logits [B, labels], and the features [B, 8 * width] before the last layer."""
    x = images
    for factor in _FACTORS:
      x = layers.DownConv(
        factor * self.width, self.dtype, kernel_init=layers.he_normal
      )(x)
      x = normalization.LayerNorm(self.dtype, _activation)(x)
    features = x.astype(jnp.float32).mean((1, 2))
    return layers.Linear(self.labels)(features), features


def _activation(x):
  return jax.nn.leaky_relu(x, 0.2)
