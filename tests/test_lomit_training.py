"""LOMIT in the engine: the same numbers on any devices, resumed between two generator steps."""

import jax
import numpy as np
import pytest
from test_loop import assert_same, newest
from test_train_step import assert_close, random_batch, run

from maskgan_jax import methods
from maskgan_jax.runs import config as run_config
from maskgan_jax.training import loop

pytestmark = pytest.mark.slow


def smoke_config(**changes):
  config = run_config.default('lomit')
  run_config.smoke(config)
  config.data.update(a='~Bald & ~Wearing_Hat', b='~Bald & ~Wearing_Hat', transfer=('hair_color',),
                     attributes=('Black_Hair', 'Smiling'))
  config.model.mask_depth = 1
  config.update(changes)
  return config


def batches(config, count):
  rng = np.random.default_rng(0)
  for i in range(count):
    labels = {f'{d}_attributes': rng.integers(0, 2, (config.batch_size, 2)).astype(np.float32)
              for d in 'ab'}
    yield {**random_batch(config, i), **labels}


def steps(parallel='jit', devices=None):
  """Three plain gradient steps, of which the generator plays the first and the third.

  Adam would blow rounding up to its step size wherever the true gradient is zero.
  """
  config = smoke_config(parallel=parallel)
  config.weights.total_variation = 0.01  # the one term that is a sum over the batch
  for player in config.optimizers.values():
    player.update(name='sgd', learning_rate=1e-3)
  return run(config, devices=devices, steps=3, batches=list(batches(config, 3)))


@pytest.fixture(scope='module')
def one_device():
  return steps(devices=jax.devices()[:1])


@pytest.mark.parametrize('parallel', ['jit', 'pmap'])
def test_eight_devices_compute_what_one_does(parallel, one_device):
  state, history = steps(parallel)
  assert_close(state.params, one_device[0].params)
  assert_close(state.model_state, one_device[0].model_state)
  assert_close(history, one_device[1], rtol=1e-3, atol=1e-4)
  played = [not np.isnan(h['generator/loss']) for h in history]
  assert played == [True, False, True] and not np.isnan(history[1]['critic/loss'])


def test_a_run_resumed_between_two_generator_steps_is_bitwise_the_whole_one(tmp_path, data_dir):
  def train(name, num_steps):
    config = smoke_config(num_steps=num_steps, evaluators=())
    config.data.data_dir = data_dir
    loop.train(config, str(tmp_path / name))
    return newest(str(tmp_path / name))
  whole = train('whole', 4)
  train('parts', 1)
  train('parts', 3)
  assert_same(train('parts', 4), whole)
  assert methods.make(run_config.load(str(tmp_path / 'whole'))).players[1].every == 2
