"""Perceptual losses on feature maps, whatever network they are of (EGSC-IT eqs. 4 and 5).

Maps are [B, H, W, C], one for each layer; all losses are float32 means.
"""

from collections.abc import Sequence

import jax
from jax import lax
import jax.numpy as jnp

from maskgan_jax.losses import reconstruction


def normalized(features: jax.Array) -> jax.Array:
  """Each channel of each image over its length, the root of the sum of squares over its pixels.

  EGSC-IT's code does so before both losses; its paper is silent. A channel of zeros stays so.
  """
  features = features.astype(jnp.float32)
  squares = jnp.square(features).sum((1, 2))
  return features * lax.rsqrt(jnp.maximum(squares, 1e-12))[:, None, None]


def gram(features: jax.Array) -> jax.Array:
  """Means over pixels of the products of two channels: [B, C, C]."""
  features = features.astype(jnp.float32)
  flat = features.reshape(len(features), -1, features.shape[-1])
  return jnp.einsum('bnc,bnd->bcd', flat, flat) / flat.shape[1]


def content(features: Sequence[jax.Array], targets: Sequence[jax.Array]) -> jax.Array:
  """Sum over layers i = 1..n of i / n times the mean absolute difference: more for deeper ones."""
  count = len(features)
  return sum((i + 1) / count * reconstruction.l1(x, y)
             for i, (x, y) in enumerate(zip(features, targets, strict=True)))


def style(features: Sequence[jax.Array], targets: Sequence[jax.Array]) -> jax.Array:
  """Sum over layers of the mean absolute difference of Gram matrices; images may differ in size."""
  return sum(reconstruction.l1(gram(x), gram(y)) for x, y in zip(features, targets, strict=True))
