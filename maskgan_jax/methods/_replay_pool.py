"""A pool of earlier translations that lives on the device (CycleGAN's image buffer).

A pool is an entry of a method's model state, so it is saved and restored with the rest; a player's
loss queries it and puts the new pool into the model state that it returns.
"""

import jax
from jax import lax
import jax.numpy as jnp

from maskgan_jax.networks import replicas

Pool = dict[str, jax.Array]


def init(size: int, shape: tuple[int, ...]) -> Pool:
  """Returns an empty pool for `size` images of a shape [H, W, C]; size 0 keeps nothing."""
  return {'images': jnp.zeros((size, *shape)), 'count': jnp.int32(0)}


def query(pool: Pool, images: jax.Array, rng: jax.Array) -> tuple[jax.Array, Pool]:
  """Returns what a discriminator sees in place of `images` [B, H, W, C], and the new pool.

  While the pool fills, each image goes in and comes back. Once it is full, the image itself comes
  back with probability 1/2; else a stored image does, and the new one takes its place. No gradient
  passes.
  """
  size = pool['images'].shape[0]
  images = lax.stop_gradient(images)
  if size == 0:
    return images, pool

  # Replicas share one pool: each sees all images and returns those of its own part of the batch.
  try:
    replica = lax.axis_index(replicas.DATA_AXIS)
    everything = lax.all_gather(images, replicas.DATA_AXIS, tiled=True)
  except NameError:
    replica, everything = 0, images

  def one(pool, inputs):
    image, key = inputs
    coin, place = jax.random.split(key)
    filling = pool['count'] < size
    drawn_slot = jax.random.randint(place, (), 0, size)
    slot = jnp.where(filling, pool['count'], drawn_slot)
    swaps = ~filling & jax.random.bernoulli(coin)
    stored = pool['images'][slot]
    kept = jnp.where(filling | swaps, image, stored)
    pool = {
      'images': pool['images'].at[slot].set(kept),
      'count': pool['count'] + filling,
    }
    return pool, jnp.where(swaps, stored, image)

  keys = jax.random.split(replicas.own_key(rng), len(everything))
  pool, seen = lax.scan(one, pool, (everything, keys))
  return lax.dynamic_slice_in_dim(seen, replica * len(images), len(images)), pool
