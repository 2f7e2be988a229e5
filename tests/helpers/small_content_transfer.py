"""A small content transfer model, batches for it and how to compare: shared by its tests."""

import functools
import math

import jax
import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax import methods

SIZE, BATCH, CODE = 16, 4, (2, 2)
# None of them is small, so that no term's gradient hides behind another's.
BALANCED = {'recon1_a': 0.9, 'recon1_b': 1.3, 'cycle': 2.1, 'recon2_a': 0.7, 'recon2_b': 1.1,
            'domain_confusion': 0.8}


def make_config(variant='official', weights=None, **model):
  config = run_config.default('content_transfer')
  config.update(image_size=SIZE, batch_size=BATCH, variant=variant)
  config.model.update({'width': 4, 'depth': 3, 'separate_channels': 2, 'discriminator_width': 8,
                       **model})
  config.weights.update(weights or {})
  return config


def images(seed, batch=BATCH):
  return np.random.default_rng(seed).uniform(-1, 1, (batch, SIZE, SIZE, 3)).astype(np.float32)


def batch_of(seed=0):
  return {'a': images(seed), 'b': images(seed + 100)}


def variables_of(method, seed=0):
  """Returns parameters and state that look trained: no bias is 0, no scale 1, no average 0 or 1."""
  shapes = jax.eval_shape(method.init, jax.random.key(0), batch_of())
  rng = np.random.default_rng(seed)

  def draw(path, leaf):
    name, noise = path[-1].key, rng.uniform(-1, 1, leaf.shape)
    if name == 'kernel':
      x = noise * math.sqrt(3 / math.prod(leaf.shape[:-1]))
    else:
      x = (name in ('scale', 'var')) + 0.3 * noise
    return x.astype(np.float32)
  return jax.tree_util.tree_map_with_path(draw, shapes)


@functools.cache
def official():
  """Returns (method, parameters, state) of the official variant, with similar loss weights."""
  method = methods.make(make_config(weights=BALANCED))
  return method, *variables_of(method)


@functools.cache
def _compiled(name):
  return jax.jit(getattr(official()[0], name))


def opened(name):
  """Returns a function of `official()` with its variables bound: opened('translate')(a, b)."""
  _, params, model_state = official()
  return functools.partial(_compiled(name), params, model_state)


def close(ours, theirs, rtol=1e-4):
  ours, theirs = (np.asarray(x.detach() if hasattr(x, 'detach') else x) for x in (ours, theirs))
  assert ours.shape == theirs.shape
  np.testing.assert_allclose(ours, theirs, rtol=0, atol=rtol * max(np.abs(theirs).max(), 1e-3))
