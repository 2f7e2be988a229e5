"""A player's loss and gradients, over micro-batches where the config asks for them."""

import jax
from jax import lax
import jax.numpy as jnp

from maskgan_jax.methods import base
from maskgan_jax.networks import replicas


def compute(
  player: base.Player,
  params: base.Params,
  model_state: base.ModelState,
  batch: base.Batch,
  rng: jax.Array,
  accumulate: int,
) -> tuple[jax.Array, base.Metrics, base.ModelState, base.Params]:
  """Returns loss, metrics, model state and gradients of the groups that a player owns.

  With `accumulate` > 1 they are means over micro-batches. Micro-batch k holds examples k,
  k + n, k + 2n, ...: each device's share of it lies on the device.
  """
  owned = {group: params[group] for group in player.owns}

  def loss_of(owned, model_state, batch, rng):
    all_params = {**params, **owned}
    return player.loss(all_params, model_state, batch, rng)

  grad_of = jax.value_and_grad(loss_of, has_aux=True)

  if accumulate == 1:
    (loss, (metrics, model_state)), grads = grad_of(owned, model_state, batch, rng)
  else:

    def compute_one(model_state, micro_batch):
      (loss, (metrics, after)), grads = grad_of(owned, model_state, micro_batch, rng)
      return after, (loss, metrics, grads)

    model_state, sums = _accumulate(compute_one, model_state, batch, accumulate)
    loss, metrics, grads = jax.tree.map(lambda total: total / accumulate, sums)

  # Under pmap each replica has seen its part of the batch only.
  results = (loss, metrics, grads)
  loss, metrics, grads = jax.tree.map(replicas.mean, results)
  return loss, metrics, model_state, grads


def _accumulate(compute_one, model_state, batch, number):
  """Returns the model state after `number` micro-batches, and the sum of what they compute.

  Args:
    compute_one: (model_state, micro-batch) -> (model_state, tree of arrays).
    model_state: before the first micro-batch.
    batch: whole, on this device.
    number: of micro-batches.
  """
  micro_batches = {}
  for name, value in batch.items():
    split = value.reshape(-1, number, *value.shape[1:])
    micro_batches[name] = jnp.moveaxis(split, 1, 0)

  def one(model_state, inputs):
    micro_batch, index = inputs
    examples = len(jax.tree.leaves(micro_batch)[0])
    with replicas.micro_batch(index, number, examples):
      return compute_one(model_state, micro_batch)

  def add(carry, inputs):
    model_state, total = carry
    model_state, result = one(model_state, inputs)
    return (model_state, jax.tree.map(jnp.add, total, result)), None

  # Sums begin with zeros of the shapes that one micro-batch gives.
  inputs = micro_batches, jnp.arange(number)
  first = jax.tree.map(lambda x: x[0], inputs)
  _, result = jax.eval_shape(one, model_state, first)
  zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), result)
  carry = (model_state, zeros)
  (model_state, total), _ = lax.scan(add, carry, inputs)
  return model_state, total
