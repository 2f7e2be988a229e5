"""Several batches as one, example by example, and back: (a0, b0, a1, b1, ...).

Interleaved, not concatenated: a batch that is split over devices stays where it is.
"""

import jax
import jax.numpy as jnp


def interleave(*batches: jax.Array) -> jax.Array:
  """G batches [B, ...] as one [B*G, ...], example by example."""
  return jnp.stack(batches, axis=1).reshape(-1, *batches[0].shape[1:])


def deinterleave(x: jax.Array, groups: int) -> tuple[jax.Array, ...]:
  """The inverse of `interleave`."""
  grouped = x.reshape(-1, groups, *x.shape[1:])
  return tuple(grouped[:, i] for i in range(groups))


def swap(x: jax.Array) -> jax.Array:
  """Interleaved (a0, b0, a1, b1, ...) as (b0, a0, b1, a1, ...)."""
  return x.reshape(-1, 2, *x.shape[1:])[:, ::-1].reshape(x.shape)


def pair(x: jax.Array, y: jax.Array) -> jax.Array:
  """Interleaved x (a0, b0, ...) and y (c0, d0, ...) as (a0, b0, c0, d0, a1, ...)."""
  shape = (len(x) // 2, 2, *x.shape[1:])
  return interleave(x.reshape(shape), y.reshape(shape)).reshape(-1, *x.shape[1:])


def unpair(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The inverse of `pair`."""
  return tuple(part.reshape(-1, *x.shape[1:])
               for part in deinterleave(x.reshape(-1, 2, *x.shape[1:]), 2))
