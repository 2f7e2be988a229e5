"""A content-transfer model of 16x16 pictures with drawn weights, for tests of what surrounds it."""

import jax
import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax import methods, translator

SIZE = 16


def make_config(**overrides):
  """The smoke config, with keys of `config.data` or of the config overridden."""
  config = run_config.default('content_transfer')
  run_config.smoke(config)
  config.name = 'tiny'
  for key, value in overrides.items():
    run_config.set_key(config, key.replace('__', '.'), value)
  return config


def make_model(config, seed=0):
  """(method, params, model_state): drawn, not trained; masks and pictures vary widely."""
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
  """A Translator of such a model."""
  config = config or make_config()
  return translator.Translator(*make_model(config, seed), config)
