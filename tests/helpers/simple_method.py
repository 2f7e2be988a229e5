"""A method with predictable answers, and pairs with the true masks and answers for it."""

import jax.numpy as jnp
import numpy as np

from helpers.tiny_model import make_config, SIZE
from maskgan_jax.methods.base import Extra, Method, Translation
from maskgan_jax.translator import Translator


def pictures(n, seed=0, size=SIZE):
  return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


class Simple(Method):
  """Paints the left part of a white; segments b where it is red; removes by painting that black."""
  abilities = frozenset({'exemplar', 'source_mask', 'remove', 'segment'})

  def translate(self, params, model_state, source, exemplar, **unused):
    mask = jnp.zeros((*source.shape[:-1], 1)).at[:, :, :8].set(0.7)
    return Translation(jnp.where(mask > 0, 1.0, source), mask)

  def segment(self, params, model_state, image):
    return (image[..., :1] + 1) / 2

  def remove(self, params, model_state, image, *, mask=None, threshold=None):
    mask = self.segment(params, model_state, image)
    inside = mask > (0.1 if threshold is None else threshold)
    return Translation(jnp.where(inside, -1.0, image), mask)


class Adds(Method):
  """Takes no exemplar: makes the left half of a lighter, mostly in red, and that of b darker."""
  abilities = frozenset({'source_mask', 'reverse'})
  extras = (Extra('added_mask', 'added mask', 'what is added', shows_change=True),
            Extra('attention', 'attention', 'how much is let through', saved=False))

  def translate(self, params, model_state, source, exemplar=None, *, source_mask=None,
                exemplar_mask=None, rng=None, reverse=False):
    assert exemplar is None and exemplar_mask is None
    attention = jnp.zeros((*source.shape[:-1], 1)).at[:, :, :SIZE // 2].set(0.5)
    mask = (-1 if reverse else 1) * attention * jnp.array([1, 0.5, 0.25])[None, None, None]
    applied_mask = jnp.ones_like(attention) if source_mask is None else source_mask
    image = jnp.clip(source + applied_mask * mask, -1, 1)
    return Translation(image, jnp.abs(image - source).max(-1, keepdims=True), None,
                       {'added_mask': mask, 'attention': attention})


def simple(method=None):
  return Translator(method or Simple(), {}, {}, make_config())


class Data:
  """Pairs of a split, batched with padding as in data/evaluation.py."""

  def __init__(self, **splits):
    self.splits = splits
    self.served = []

  def evaluation(self, split, *, batch_size, max_pairs=None):
    rows = self.splits[split]
    count = min(len(rows['a']), max_pairs or len(rows['a']))
    self.served.append(split)
    for start in range(0, count, batch_size):
      index = np.arange(start, start + batch_size)
      batch = {name: values[np.minimum(index, count - 1)] for name, values in rows.items()}
      yield batch | {'valid': index < count}


def pairs(n, seed=0, size=SIZE):
  rng = np.random.default_rng(seed)
  a, b = pictures(n, seed, size), pictures(n, seed + 100, size)
  noise = rng.normal(0, 0.25, (n, size, size, 1))
  b_mask = (b[..., :1] / 255 + noise > 0.62).astype(np.float32)
  region = np.zeros((n, size, size, 1), np.float32)
  for i in range(n):
    region[i, :, :2 + i % 7] = 1
  truth_ab = np.where(region > 0.5, pictures(n, seed + 200, size), a)
  truth_ba = np.where(b_mask > 0.5, pictures(n, seed + 300, size), b)
  return {'a': a, 'b': b, 'a_mask': 0 * b_mask, 'b_mask': b_mask, 'truth_ab': truth_ab,
          'truth_ab_mask': region, 'truth_ba': truth_ba}
