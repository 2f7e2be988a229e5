"""Distances between an image or code and its reconstruction: means over everything."""

import jax
import jax.numpy as jnp


def l1(x: jax.Array, y: jax.Array) -> jax.Array:
  """Mean absolute difference; where it is zero its gradient is zero (that of jnp.abs is 1)."""
  difference = x.astype(jnp.float32) - y.astype(jnp.float32)
  return (difference * jnp.sign(difference)).mean()


def l2(x: jax.Array, y: jax.Array) -> jax.Array:
  """Mean squared difference."""
  return jnp.square(x.astype(jnp.float32) - y.astype(jnp.float32)).mean()
