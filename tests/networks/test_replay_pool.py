"""The replay pool against CycleGAN's rule, step by step."""

import jax
import jax.numpy as jnp
import numpy as np

from maskgan_jax.methods import _replay_pool as replay_pool
from maskgan_jax.networks.replicas import DATA_AXIS


def numbered(first, count):
  """Returns images that can be recognised by their value."""
  return jnp.broadcast_to(jnp.arange(first, first + count, dtype=jnp.float32).reshape(-1, 1, 1, 1),
                          (count, 2, 2, 1))


def values(images):
  return [int(v) for v in np.asarray(images)[:, 0, 0, 0]]


def test_it_fills_first():
  pool = replay_pool.init(5, (2, 2, 1))
  seen, pool = replay_pool.query(pool, numbered(1, 3), jax.random.key(0))
  assert values(seen) == [1, 2, 3] and int(pool['count']) == 3
  assert values(pool['images']) == [1, 2, 3, 0, 0]


def test_then_half_of_what_is_seen_is_stored_and_nothing_is_lost_or_doubled():
  pool = replay_pool.init(8, (2, 2, 1))
  query = jax.jit(replay_pool.query)
  _, pool = query(pool, numbered(0, 8), jax.random.key(0))
  offered, shown = list(range(8)), list(range(8))
  swapped = 0
  for step in range(60):
    before = set(values(pool['images']))
    new = numbered(100 + 4 * step, 4)
    seen, pool = query(pool, new, jax.random.key(step + 1))
    offered += values(new)
    shown += values(seen)
    swapped += sum(s != n for s, n in zip(values(seen), values(new), strict=True))
    assert set(values(pool['images'])) <= before | set(values(new))
  assert 0.4 < swapped / 240 < 0.6
  later = shown[8:]
  assert len(set(later)) == len(later), 'an image leaves the pool when it is shown'
  assert set(later) | set(values(pool['images'])) == set(offered)


def test_size_0_and_no_gradient():
  pool = replay_pool.init(0, (2, 2, 1))
  assert values(replay_pool.query(pool, numbered(1, 2), jax.random.key(0))[0]) == [1, 2]
  pool = replay_pool.init(2, (2, 2, 1))
  grad = jax.grad(lambda x: replay_pool.query(pool, x, jax.random.key(0))[0].sum())(numbered(1, 2))
  assert not np.asarray(grad).any()


def test_replicas_share_one_pool_and_agree_with_a_single_device():
  devices = 4
  whole = split = replay_pool.init(6, (2, 2, 1))
  mapped = jax.pmap(replay_pool.query, axis_name=DATA_AXIS, in_axes=(None, 0, None),
                    out_axes=(0, None), devices=jax.devices()[:devices])
  for step in range(4):
    images = numbered(10 * step, 8)
    seen, whole = replay_pool.query(whole, images, jax.random.key(step))
    parts, split = mapped(split, images.reshape(devices, 2, 2, 2, 1), jax.random.key(step))
    assert values(seen) == values(parts.reshape(8, 2, 2, 1))
    assert values(whole['images']) == values(split['images'])
