"""Every method in the engine: the same numbers on any devices, resumed at any step."""

import jax
import numpy as np
import pytest
from test_loop import assert_same, newest
from test_train_step import assert_close, random_batch, run, small_config

from maskgan_jax import methods
from maskgan_jax.training import loop

pytestmark = pytest.mark.slow

STEPS = 4  # in which every player of a shrunken config plays
LABELS = ('Black_Hair', 'Smiling')


def batches(config):
  rng = np.random.default_rng(0)
  for i in range(STEPS):
    labels = {f'{d}_attributes': rng.integers(0, 2, (config.batch_size, len(LABELS))).astype('f4')
              for d in 'ab'}
    yield {**random_batch(config, i), **labels}


def steps(name, parallel='jit', devices=None):
  """Plain gradient steps: Adam would blow rounding up wherever the true gradient is zero."""
  config = small_config(name, parallel=parallel, batch_size=8)
  config.data.attributes = LABELS
  if name == 'lomit':
    # The authors' deviation of rows has slopes of 1e3 on maps of 4x4, which blow rounding up too.
    config.variant = 'ijcai'
    config.weights.total_variation = 0.01  # the one term that is a sum over the batch
  for player in config.optimizers.values():
    player.update(name='sgd', learning_rate=1e-5)
  return run(config, devices=devices, steps=STEPS, batches=list(batches(config)))


@pytest.fixture(scope='module')
def one_device():
  found = {}

  def of(name):
    if name not in found:
      found[name] = steps(name, devices=jax.devices()[:1])
    return found[name]
  return of


@pytest.mark.parametrize('parallel', ['jit', 'pmap'])
@pytest.mark.parametrize('name', methods.names())
def test_eight_devices_compute_what_one_does(name, parallel, one_device):
  state, history = steps(name, parallel)
  reference, expected = one_device(name)
  assert_close(state.params, reference.params)
  assert_close(state.model_state, reference.model_state)
  assert_close(history, expected, rtol=1e-3, atol=1e-4)
  for metric in history[0]:
    assert any(np.isfinite(h[metric]) for h in history), f'{metric}: its player never played'


@pytest.mark.parametrize('name', methods.names())
def test_a_run_resumed_at_any_step_is_bitwise_the_whole_one(name, tmp_path, data_dir):
  def train(folder, num_steps):
    config = small_config(name, num_steps=num_steps, evaluators=())
    config.data.update(data_dir=data_dir, attributes=LABELS)
    for player in config.optimizers.values():
      player.schedule = 'constant'  # others depend on num_steps
    loop.train(config, str(tmp_path / folder))
    return newest(str(tmp_path / folder))
  whole = train('whole', STEPS)
  for num_steps in range(1, STEPS):
    train('parts', num_steps)
  assert_same(train('parts', STEPS), whole)
