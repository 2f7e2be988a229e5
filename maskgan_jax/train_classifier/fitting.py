"""Trains a classifier's parameters on batches of both domains."""

import dataclasses
import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from maskgan_jax import errors
from maskgan_jax.losses import adversarial
from maskgan_jax.pretrained_networks import classifiers

_LINES = 10  # of progress


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How a classifier is trained; see `train` for the attributes."""

  names: tuple[str, ...]
  steps: int
  batch_size: int
  width: int
  learning_rate: float
  seed: int


def fit(data, recipe, poll, note):
  """Returns trained parameters."""
  params, state, step = _training(data, recipe)
  began, figures = time.monotonic(), []
  feed = data.train(batch_size=recipe.batch_size // 2)
  try:
    for i in range(1, recipe.steps + 1):
      poll()
      batch = next(feed)
      images = np.concatenate([batch['a'], batch['b']])
      labels = _labels(batch, recipe.names, data.attribute_names)
      params, state, loss_and_share = step(params, state, images, labels)
      figures.append(loss_and_share)

      # Figures are fetched where a line is due: until then the device need not wait.
      if i % max(1, recipe.steps // _LINES) == 0 or i == recipe.steps:
        loss, right = np.mean(jax.device_get(figures), axis=0)
        figures = []
        if not math.isfinite(loss):
          raise errors.UserError(
            f'the loss is not finite at step {i}; lower --learning_rate'
          )
        note(
          f'step {i:,} of {recipe.steps:,}: loss {loss:.4f}, {100 * right:.1f} % right of the '
          f'training pictures, {time.monotonic() - began:.0f} s'
        )
  finally:
    feed.close()
  return params


def _training(data, recipe):
  """Returns parameters, the optimizer's state, and the jitted step that updates them."""
  module = classifiers.module_of(recipe.names, recipe.width)
  optimizer = optax.adam(
    optax.cosine_decay_schedule(recipe.learning_rate, recipe.steps)
  )

  # Parameters are drawn for one blank picture of the data's size.
  images = jnp.zeros((1, *data.image_shape, 3))
  key = jax.random.key(recipe.seed)
  params = jax.jit(module.init)(key, images)['params']

  @jax.jit(donate_argnames=('params', 'state'))
  def step(params, state, images, labels):
    def loss(params):
      logits, _ = module.apply({'params': params}, classifiers.scaled(images))
      right = ((logits > 0) == (labels > 0.5)).mean()
      return adversarial.multi_label_cross_entropy(logits, labels), right

    (value, right), grads = jax.value_and_grad(loss, has_aux=True)(params)
    updates, state = optimizer.update(grads, state)
    return optax.apply_updates(params, updates), state, (value, right)

  return params, optimizer.init(params), step


def _labels(batch, names, carried):
  """Returns float32 [2 N, L] of a's N pictures and b's.

  Args:
    batch: of `data.pipeline`.
    names: of the labels; one that the batch does not carry is the domain's.
    carried: the names of the attributes in the batch.
  """
  rows = []
  for in_b, domain in enumerate('ab'):
    columns = []
    for name in names:
      if name in carried:
        columns.append(batch[f'{domain}_attributes'][:, carried.index(name)])
      else:
        columns.append(np.full(len(batch[domain]), in_b, np.float32))
    rows.append(np.stack(columns, axis=1))
  return np.concatenate(rows)
