"""LOMIT with tiny networks, its batches, and weights that look trained."""

import jax
import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax import methods

SIZE, BATCH = 16, 3


def make_config(variant='ijcai', attributes=(), weights=None, **model):
  config = run_config.default('lomit')
  config.update(image_size=SIZE, batch_size=BATCH, variant=variant)
  config.data.attributes = attributes
  config.model.update({'width': 2, 'blocks': 1, 'style_size': 3, 'mlp': 5, 'mask_depth': 1,
                       'critic_width': 2, 'critic_depth': 2, **model})
  config.weights.update(weights or {})
  return config


def images(seed, batch=BATCH):
  return np.random.default_rng(seed).uniform(-1, 1, (batch, SIZE, SIZE, 3)).astype(np.float32)


def batch_of(config):
  rng, batch = np.random.default_rng(7), {'a': images(0), 'b': images(1)}
  if count := len(config.data.attributes):
    batch |= {f'{d}_attributes': rng.integers(0, 2, (BATCH, count)).astype(np.float32)
              for d in 'ab'}
  return batch


def variables_of(method, config):
  """Returns parameters that look trained, so that masks and styles are far from uniform."""
  shapes = jax.eval_shape(method.init, jax.random.key(0), batch_of(config))
  rng = np.random.default_rng(0)

  def draw(path, leaf):
    name, noise = path[-1].key, rng.normal(size=leaf.shape)
    if name == 'kernel':
      x = noise * np.sqrt(2 / np.prod(leaf.shape[:-1]))
    else:
      x = (name in ('scale', 'var')) + 0.2 * np.clip(noise, -2, 2)
    return x.astype(np.float32)
  return jax.tree_util.tree_map_with_path(draw, shapes)


def loss_of(player, config):
  """Returns (loss, metrics, new model state) of one player, and the method."""
  method = methods.make(config)
  params, model_state = variables_of(method, config)
  chosen = next(p for p in method.players if p.name == player)
  loss, (metrics, state) = jax.jit(chosen.loss)(params, model_state, batch_of(config),
                                                jax.random.key(0))
  return loss, metrics, state
