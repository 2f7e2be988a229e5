"""Adversarial losses on logits."""

import jax
import jax.numpy as jnp


def binary_cross_entropy(logits: jax.Array, target: float) -> jax.Array:
  """Mean of -(t log p + (1 - t) log(1 - p)) with p = sigmoid(logits) and target t in [0, 1]."""
  logits = logits.astype(jnp.float32)
  return (jax.nn.softplus(logits) - target * logits).mean()
