"""Losses of codes that are drawn: what they are drawn from, and what their differences do."""

import jax
import jax.numpy as jnp


def normal_kl(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
  """Computes KL(N(mean, variance) || N(0, I)) of codes [B, S]: a sum over S, a mean over B."""
  mean = mean.astype(jnp.float32)
  log_variance = log_variance.astype(jnp.float32)
  terms = 1 + log_variance - jnp.square(mean) - jnp.exp(log_variance)
  return -0.5 * terms.sum(-1).mean()


def mode_seeking(
  images: tuple[jax.Array, jax.Array],
  codes: tuple[jax.Array, jax.Array],
  epsilon: float = 1e-5,
) -> jax.Array:
  """Computes 1 / (d(x, x') / d(z, z') + epsilon), which pushes images of two codes apart.

  Mao et al. 2019, as their code and DRIT++ have it; d is the mean absolute difference of an
  example, and the result a mean over examples.

  Args:
    images: x and x', made of the same content with z and z', [B, H, W, C] each.
    codes: z and z', [B, S] each.
    epsilon: bounds the loss where the images are equal.
  """
  ratio = _distance(*images) / _distance(*codes)
  return (1 / (ratio + epsilon)).mean()


def _distance(x, y):
  """Returns the mean absolute difference of each example, [B], with gradient 0 where it is 0."""
  difference = x.astype(jnp.float32) - y.astype(jnp.float32)
  absolute = difference * jnp.sign(difference)
  return absolute.reshape(len(absolute), -1).mean(-1)
