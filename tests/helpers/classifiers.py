"""A classifier with random weights."""

import jax
import numpy as np

from maskgan_jax.pretrained_networks import classifiers

SIZE, WIDTH = 16, 2


def drawn(attributes=('Red', 'Wide'), seed=0, image_shape=(SIZE, SIZE), accuracy=0.9):
  """Returns the parameters and facts of an untrained classifier."""
  module = classifiers.module_of(attributes, WIDTH)
  shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), np.zeros((1, 16, 16, 3))))
  rng = np.random.default_rng(seed)
  params = jax.tree.map(lambda x: rng.normal(0, 0.5, x.shape).astype(np.float32), shapes['params'])
  held_out = classifiers.HeldOut(10, dict.fromkeys(attributes, accuracy),
                                 dict.fromkeys(attributes, 4), accuracy, 0.5)
  return params, classifiers.Facts(attributes, WIDTH, image_shape, 7, 0, 'abc', held_out)
