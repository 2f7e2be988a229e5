"""Adversarial losses on logits."""

import jax
import jax.numpy as jnp


def binary_cross_entropy(logits: jax.Array, target: float) -> jax.Array:
  """Mean of -(t log p + (1 - t) log(1 - p)) with p = sigmoid(logits) and target t in [0, 1]."""
  logits = logits.astype(jnp.float32)
  return (jax.nn.softplus(logits) - target * logits).mean()


def multi_label_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Binary cross entropy, added up over labels, averaged over examples; both [B, K], labels 0/1."""
  logits, labels = logits.astype(jnp.float32), labels.astype(jnp.float32)
  return (jax.nn.softplus(logits) - labels * logits).sum(-1).mean()


def least_squares(scores: jax.Array, target: float) -> jax.Array:
  """Mean of (score - target)**2 (Mao et al. 2017)."""
  return jnp.square(scores.astype(jnp.float32) - target).mean()
