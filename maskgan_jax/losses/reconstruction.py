"""Distances between images, codes or feature maps: float32 means over everything.

The perceptual losses are those of EGSC-IT, eqs. 4 and 5. They take the feature maps [B, H, W, C] of
any network, one for each layer.
"""

from collections.abc import Sequence

import jax
from jax import lax
import jax.numpy as jnp


def l1(x: jax.Array, y: jax.Array) -> jax.Array:
  """Computes the mean absolute difference, with gradient 0 (jnp.abs has 1) where that is 0."""
  difference = x.astype(jnp.float32) - y.astype(jnp.float32)
  return (difference * jnp.sign(difference)).mean()


def l2(x: jax.Array, y: jax.Array) -> jax.Array:
  """Computes the mean squared difference."""
  difference = x.astype(jnp.float32) - y.astype(jnp.float32)
  return jnp.square(difference).mean()


BY_NAME = {'l1': l1, 'l2': l2}  # as configs spell them


def unit_length(features: jax.Array) -> jax.Array:
  """Divides each channel of each image by its length, the root of its pixels' sum of squares.

  EGSC-IT's code does so before both losses; its paper is silent. A channel of zeros stays zero.
  """
  features = features.astype(jnp.float32)
  squares = jnp.square(features).sum((1, 2))
  return features * lax.rsqrt(jnp.maximum(squares, 1e-12))[:, None, None]


def gram(features: jax.Array) -> jax.Array:
  """Computes the mean over pixels of the product of every two channels: [B, C, C]."""
  features = features.astype(jnp.float32)
  flat = features.reshape(len(features), -1, features.shape[-1])
  return jnp.einsum('bnc,bnd->bcd', flat, flat) / flat.shape[1]


def content(features: Sequence[jax.Array], targets: Sequence[jax.Array]) -> jax.Array:
  """Adds i / n times the L1 distance of layer i = 1..n, so that deeper layers count more."""
  count = len(features)
  total = 0
  for layer, (x, y) in enumerate(zip(features, targets, strict=True), 1):
    total += layer / count * l1(x, y)
  return total


def style(features: Sequence[jax.Array], targets: Sequence[jax.Array]) -> jax.Array:
  """Adds the layers' L1 distances of Gram matrices; features and targets may differ in size."""
  return sum(l1(gram(x), gram(y)) for x, y in zip(features, targets, strict=True))
