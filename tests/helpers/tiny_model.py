"""A content-transfer model of 16x16 pictures with random weights, to test what uses models."""

import jax
import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax import methods, translator

SIZE = 16


def make_config(**overrides):
  """Returns the smoke config; `data__crop=...` overrides `config.data.crop`."""
  config = run_config.default('content_transfer')
  run_config.smoke(config)
  config.name = 'tiny'
  for key, value in overrides.items():
    run_config.set_key(config, key.replace('__', '.'), value)
  return config


def make_model(config, seed=0):
  """Returns (method, params, model_state); the random weights give masks that vary widely."""
  method = methods.make(config)
  abstract = methods.base.abstract_model(method, config)
  rng = np.random.default_rng(seed)

  def draw(leaf):
    scale = 2 / np.sqrt(np.prod(leaf.shape[:-1])) if leaf.ndim > 1 else 0.3
    return (rng.normal(size=leaf.shape) * scale + (leaf.ndim == 1) * 0.7).astype(np.float32)
  params = jax.tree.map(draw, abstract['params'])
  model_state = jax.tree.map(lambda x: np.ones(x.shape, np.float32), abstract['model_state'])
  return method, params, model_state


def make_translator(config=None, seed=0):
  """Returns a Translator of such a model."""
  config = config or make_config()
  return translator.Translator(*make_model(config, seed), config)
