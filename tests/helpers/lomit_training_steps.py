"""Compares LOMIT's training steps with its PyTorch twin's, in float64: a process of its own.

python -m helpers.lomit_training_steps, with tests/ on the path. Both make two whole iterations
of the engine with Adam: the first plays critic and generator, the second the critic alone.
"""

from helpers import double_precision  # isort: skip

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from helpers import comparing_lomit as comparing
from maskgan_jax import methods
from maskgan_jax.networks.streams import deinterleave
from maskgan_jax.training import parallel as parallel_lib
from maskgan_jax.training import train_step

CRITIC = 0  # plays first
TOLERANCE = 1e-9  # gradients agree to 1e-12, running averages to 1e-15


def penalty_draws(seed, iteration):
  """Returns the mixing weights that the engine draws for the penalty, for directions ab and ba."""
  key = jax.random.fold_in(jax.random.key(seed), iteration)
  key = jax.random.fold_in(jax.random.fold_in(key, CRITIC), 0)
  drawn = jax.random.uniform(key, (2 * comparing.BATCH, 1, 1, 1), dtype=jnp.float32)
  return [torch.tensor(np.array(alpha, np.float64)) for alpha in deinterleave(drawn, 2)]


def largest_steps(before, after):
  """Returns by network how far its weights moved at most."""
  distances = jax.tree.map(lambda x, y: float(np.abs(x - y).max()), before, after)
  return {network: max(jax.tree.leaves(tree)) for network, tree in distances.items()}


def assert_same_numbers(ours, theirs):
  for name, value in ours.items():
    assert value.dtype == torch.float64, name
    np.testing.assert_allclose(value, theirs[name], rtol=0, atol=TOLERANCE, err_msg=name)


def main():
  config = comparing.make_config(comparing.BALANCED)
  for player in ('critic', 'generator'):
    config.optimizers[player].eps = 0.1  # with 1e-8, Adam makes steps of rounding errors
    config.optimizers[player].learning_rate = 1e-2
  method = methods.make(config)
  optimizers = train_step.make_optimizers(method, config)

  # The same weights on both sides.
  params, model_state = double_precision.widen(comparing.variables_of(method))
  params = jax.tree.map(jnp.asarray, params)
  opt_state = {}
  for player in method.players:
    owned = {network: params[network] for network in player.owns}
    opt_state[player.name] = optimizers[player.name].init(owned)
  state = train_step.TrainState(jnp.int32(0), params, opt_state, model_state, {},
                                skipped=jnp.int32(0), skipped_in_a_row=jnp.int32(0))
  model = comparing.make_twin(config, params, model_state['batch_stats'], comparing.BALANCED)
  for optimizer in (model.critic_optimizer, model.generator_optimizer):
    optimizer.param_groups[0].update(eps=0.1, lr=1e-2)

  step = train_step.make_step(method, optimizers, config)
  parallel = parallel_lib.Parallel('jit', jax.devices()[:1])
  compiled = parallel.compile(step)
  for i in range(2):
    batch = double_precision.widen(comparing.batch_of(i))
    before = jax.device_get(state.params)
    state, metrics = compiled(state, parallel.feed(batch, 1), config.seed)
    metrics = step.by_name(metrics)
    losses = model.train_step(i, *comparing.of_batch(batch), penalty_draws(config.seed, i))

    # Both sides saw the same losses, and the same players played.
    assert metrics['critic/loss'] == pytest.approx(losses[0], rel=1e-6)
    assert len(losses) == (2, 1)[i]
    if i == 0:
      assert metrics['generator/loss'] == pytest.approx(losses[1], rel=1e-6)
    else:
      assert 'generator/loss' not in metrics
    moved = largest_steps(before, jax.device_get(state.params))
    for network, distance in moved.items():
      assert (distance > 1e-3) == (i == 0 or network == 'critic'), moved

    # Weights and running averages are the twin's.
    theirs = {**model.generator.state_dict(), **model.critic.state_dict()}
    ours = comparing.state_dict(config, jax.device_get(state.params))
    assert_same_numbers(ours, theirs)
    averages = jax.device_get(state.model_state['batch_stats'])
    assert_same_numbers(comparing.state_dict(config, averages), theirs)
  print('the same')


if __name__ == '__main__':
  main()
