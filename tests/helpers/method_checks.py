"""Checks that every method passes, also one that a test adds."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from helpers.training import assert_close, random_batch, run, small_config
from maskgan_jax import methods
from maskgan_jax.training import gradients, train_step
from maskgan_jax.training.parallel import Parallel

STEPS = 4  # in which every player of a shrunken config plays
LABELS = ('Black_Hair', 'Smiling')


def check_gradients_by_owner(name):
  """Checks that a player trains every group that it owns, and that each group has an owner."""
  config = small_config(name)
  method = methods.make(config)
  optimizers = train_step.make_optimizers(method, config)
  before = Parallel('jit').initialize(
      lambda: train_step.init_state(method, optimizers, config))
  batch = train_step.normalize({k: jnp.asarray(v) for k, v in random_batch(config).items()})
  for player in method.players:
    _, _, _, grads = jax.jit(gradients.compute, static_argnums=(0, 5))(
        player, before.params, before.model_state, batch, jax.random.key(1), 1)
    assert set(grads) == set(player.owns)
    for group, tree in grads.items():
      assert float(optax.tree.norm(tree)) > 0, f'{player.name} does not train {group}'
  assert {g for p in method.players for g in p.owns} == set(before.params)


def batches(config):
  rng = np.random.default_rng(0)
  for i in range(STEPS):
    labels = {f'{d}_attributes': rng.integers(0, 2, (config.batch_size, len(LABELS))).astype('f4')
              for d in 'ab'}
    yield {**random_batch(config, i), **labels}


def step_config(name, parallel='jit'):
  """Returns a config whose step the tests of a method share, so that it is compiled once.

  Its epsilon is large: Adam magnifies rounding where the true gradient is zero. EGSC-IT's first
  gradients are of the order of a million, and so is their rounding: there Adam makes plain steps.
  """
  config = small_config(name, parallel=parallel, batch_size=8)
  config.data.attributes = LABELS
  if name == 'lomit':
    # The authors' deviation of rows has slopes of 1e3 on maps of 4x4, which magnify rounding too.
    config.variant = 'ijcai'
    config.weights.total_variation = 0.01  # the one term that is a sum over the batch
  rate, epsilon = (0.1, 1e4) if name == 'egsc_it' else (1e-5, 1.0)
  for player in config.optimizers.values():
    player.update(learning_rate=rate, eps=epsilon, schedule='constant')  # for any num_steps
  return config


def steps(name, parallel='jit', devices=None):
  """Returns the state after STEPS steps, and their metrics."""
  config = step_config(name, parallel)
  return run(config, devices=devices, steps=STEPS, batches=list(batches(config)))


def check_same_on_eight_devices(name, parallel, one_device):
  """Checks that eight devices compute what one does; `one_device` is the result of `steps`."""
  state, history = steps(name, parallel)
  reference, expected = one_device
  assert_close(state.params, reference.params)
  assert_close(state.model_state, reference.model_state)
  assert_close(history, expected, rtol=1e-3, atol=1e-4)
  for player in methods.make(small_config(name)).players:
    assert any(f'{player.name}/loss' in metrics for metrics in history), player.name
