"""Tiny translators of every method, with random weights."""

from jax import tree
import numpy as np

from helpers.training import small_config
from maskgan_jax import methods
from maskgan_jax.methods import base
from maskgan_jax.translator import Translator


def drawn(name, **switches):
  """Returns a tiny translator of a method with random weights."""
  config = small_config(name)
  config.model.update(switches)
  return with_weights(config)


def with_weights(config, scale=0.2):
  """Returns a translator whose weights are normal with this deviation."""
  config.data.update(attributes=('Black_Hair',), path='/secret/place')
  method = methods.make(config)
  rng = np.random.default_rng(0)
  abstract = base.abstract_model(method, config)
  params = tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype) * scale, abstract['params'])
  state = tree.map(lambda x: np.ones(x.shape, x.dtype), abstract['model_state'])
  return Translator(method, params, state, config, 7, threshold=0.25)


def picture(seed, translator, count=2):
  """Returns random pictures, uint8 [count, H, W, 3], for a translator."""
  shape = (count, *base.image_shape(translator.config), 3)
  return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
