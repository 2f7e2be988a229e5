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


def gram(features: jax.Array, weight: jax.Array | None = None) -> jax.Array:
  """Computes the mean over pixels of the product of every two channels: [B, C, C].

  Args:
    features: [B, H, W, C].
    weight: of the pixels, [B, H, W, 1] >= 0; where all are zero, so is the mean.
  """
  features = features.astype(jnp.float32)
  flat = features.reshape(features.shape[0], -1, features.shape[-1])
  if weight is None:
    return jnp.einsum('bnc,bnd->bcd', flat, flat) / flat.shape[1]
  total = jnp.maximum(weight.sum((1, 2)), 1e-6)
  weighted = flat * weight.reshape(flat.shape[0], -1, 1)
  return jnp.einsum('bnc,bnd->bcd', weighted, flat) / total[:, :, None]


def moments(
  moments: tuple[jax.Array, jax.Array],
  targets: tuple[jax.Array, jax.Array],
  *,
  squared: bool = True,
  epsilon: float = 1e-6,
) -> jax.Array:
  """Returns the distance of means plus that of standard deviations of maps, as AdaIN has it.

  Args:
    moments: `normalization.moments` of maps, [B, C] each.
    targets: the same of others.
    squared: the sum over channels of the squares, or else its root; the mean over examples.
    epsilon: added to the variances, whose root has no finite slope at 0.
  """
  (mean, variance), (other_mean, other_variance) = moments, targets
  deviation = jnp.sqrt(variance + epsilon) - jnp.sqrt(other_variance + epsilon)
  return length(mean - other_mean, squared) + length(deviation, squared)


def length(difference: jax.Array, squared: bool) -> jax.Array:
  """Returns the mean over examples of the length of [B, ...], or of its square."""
  axes = tuple(range(1, difference.ndim))
  squares = jnp.square(difference.astype(jnp.float32)).sum(axes)
  if squared:
    return squares.mean()
  # The root of zero has no finite slope.
  zero = squares == 0
  return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squares))).mean()


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
