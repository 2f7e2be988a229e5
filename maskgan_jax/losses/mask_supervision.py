"""Losses for pictures whose true mask is given, which may be few of a batch or none.

Both weigh the pictures of a batch: weight_i is 0 where picture i has no mask, and what its mask
says is then ignored. With weights whose mean is 1 a loss is the mean over the pictures with one.
"""

import jax
import jax.numpy as jnp

_EPSILON = 1e-6  # of a mask: logarithms stay finite


def agreement(mask: jax.Array, truth: jax.Array, weight: jax.Array) -> jax.Array:
  """Computes how far predicted masks are from the true ones, by cross entropy:

    -1/B sum_i weight_i 1/P sum_p [t_ip log m_ip + (1 - t_ip) log(1 - m_ip)]

  for B pictures i and their P pixels p, with m within [1e-6, 1 - 1e-6].

  Args:
    mask: m, predicted, [B, H, W, 1] in [0, 1].
    truth: t, [B, H, W, 1] in [0, 1]; soft edges are targets between 0 and 1.
    weight: [B].

  Returns:
    A float32 scalar.
  """
  m = jnp.clip(mask.astype(jnp.float32), _EPSILON, 1 - _EPSILON)
  truth = truth.astype(jnp.float32)
  entropy = -(truth * jnp.log(m) + (1 - truth) * jnp.log1p(-m))
  return (weight * entropy.mean((1, 2, 3))).mean()


def outside(
  image: jax.Array, source: jax.Array, truth: jax.Array, weight: jax.Array
) -> jax.Array:
  """Computes what changes outside the true masks, where nothing should:

    1/B sum_i weight_i 1/(P C) sum_p (1 - t_ip) sum_c |y_ipc - x_ipc|

  for B pictures i with P pixels p and C channels c. The gradient is 0 where y = x.

  Args:
    image: y, what has become of the source, [B, H, W, C].
    source: x, [B, H, W, C].
    truth: t, [B, H, W, 1] in [0, 1], 1 where the source may change.
    weight: [B].

  Returns:
    A float32 scalar.
  """
  change = image.astype(jnp.float32) - source.astype(jnp.float32)
  kept = (1 - truth.astype(jnp.float32)) * change * jnp.sign(change)
  return (weight * kept.mean((1, 2, 3))).mean()
