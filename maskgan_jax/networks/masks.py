"""Soft masks in [0, 1]: networks, composition, resolution, and statistics that show a collapse."""

from collections.abc import Sequence
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from maskgan_jax.networks import layers, normalization


def composite(
  mask: jax.Array, foreground: jax.Array, background: jax.Array
) -> jax.Array:
  """Blends per pixel: mask * foreground + (1 - mask) * background; mask [B, H, W, 1]."""
  return mask * foreground + (1 - mask) * background


def difference(image: jax.Array, other: jax.Array) -> jax.Array:
  """Returns how far pixels differ: the mean over channels of |image - other|, from 0 to 1.

  Images are [B, H, W, C] in [-1, 1], so that 1 is black for white; the result is [B, H, W, 1].
  """
  distance = jnp.abs(image.astype(jnp.float32) - other.astype(jnp.float32))
  return distance.mean(-1, keepdims=True) / 2


def statistics(mask: jax.Array) -> dict[str, jax.Array]:
  """Returns mean, share of pixels over 0.5 and mean entropy in bits (0: binary, 1: undecided)."""
  m = jnp.clip(mask.astype(jnp.float32), 1e-6, 1 - 1e-6)
  entropy = -(m * jnp.log2(m) + (1 - m) * jnp.log2(1 - m))
  return {
    'mask_mean': mask.mean(dtype=jnp.float32),
    'mask_over_half': (mask > 0.5).mean(dtype=jnp.float32),
    'mask_entropy': entropy.mean(),
  }


def upsample(mask: jax.Array, factor: int) -> jax.Array:
  """Interpolates linearly, pixel centres aligned: [B, h, w, C] -> [B, factor h, factor w, C]."""
  rows, columns = (_upsampling(n, factor) for n in mask.shape[1:3])
  return jnp.einsum('Hh,bhwc,Ww->bHWc', rows, mask, columns)


def downsample(mask: jax.Array, factor: int) -> jax.Array:
  """Inverts `upsample`: returns the small mask that comes nearest to `mask` when upsampled.

  It is nearest in the mean square, and clipped to [0, 1].
  """
  rows, columns = (_downsampling(n // factor, factor) for n in mask.shape[1:3])
  return jnp.clip(jnp.einsum('hH,bHWc,wW->bhwc', rows, mask, columns), 0, 1)


@functools.cache
def _upsampling(size: int, factor: int) -> np.ndarray:
  """Returns [factor * size, size]: rows of weights that sum to 1. Edges are repeated."""
  places = (np.arange(factor * size) + 0.5) / factor - 0.5
  places = np.clip(places, 0, size - 1)
  distances = np.abs(places[:, None] - np.arange(size))
  return np.maximum(1 - distances, 0).astype(np.float32)


@functools.cache
def _downsampling(size: int, factor: int) -> np.ndarray:
  """Returns [size, factor * size]: the pseudo-inverse of `_upsampling`."""
  return np.linalg.pinv(_upsampling(size, factor)).astype(np.float32)


class MaskNetwork(nn.Module):
  """LOMIT's attention network: six 3x3 convolutions with batch norm and ReLU, then a 1x1 one.

  ICLR appendix 7.1; the last one is the code's. [B, h, w, C] -> [B, h, w, 1] in (0, 1), float32.
  """

  depth: int = 6
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, content, *, train: bool, groups: int = 1, order: Sequence[int] | None = None
  ):
    x = content
    for _ in range(self.depth):
      x = layers.Conv(x.shape[-1], 3, self.dtype, kernel_init=layers.he_normal)(x)
      x = normalization.BatchNorm(dtype=self.dtype)(
        x, train=train, groups=groups, order=order
      )
      x = jax.nn.relu(x)
    x = layers.Conv(1, 1, self.dtype, kernel_init=layers.he_normal)(x)
    return jax.nn.sigmoid(x.astype(jnp.float32))


class ChannelGate(nn.Module):
  """LOMIT's co-segmentation: channels of one image's content, weighted by the other's content.

  The weights are sigmoid(MLP(mean of the other's content over its pixels)), with tanh between the
  two layers (ICLR section 3.1, appendix 7.1). Two contents [B, h, w, C] -> [B, h, w, C].
  """

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, content, other):
    channels = content.shape[-1]
    x = other.mean((1, 2), dtype=jnp.float32)
    x = jnp.tanh(layers.Linear(2 * channels, kernel_init=layers.he_normal)(x))
    x = jax.nn.sigmoid(layers.Linear(channels, kernel_init=layers.he_normal)(x))
    return content * x[:, None, None].astype(self.dtype)
