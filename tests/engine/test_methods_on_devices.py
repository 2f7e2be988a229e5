"""Every method gives the same numbers on any devices and after resuming at any step."""

import jax
import pytest

from helpers.method_checks import check_same_on_eight_devices, step_config, STEPS, steps
from helpers.training import assert_same, newest
from maskgan_jax import methods
from maskgan_jax.training import loop

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def one_device():
  results = {}

  def of(name):
    if name not in results:
      results[name] = steps(name, devices=jax.devices()[:1])
    return results[name]
  return of


@pytest.mark.parametrize('parallel', ['jit', 'pmap'])
@pytest.mark.parametrize('name', methods.names())
def test_eight_devices_compute_what_one_does(name, parallel, one_device):
  check_same_on_eight_devices(name, parallel, one_device(name))


@pytest.mark.parametrize('name', methods.names())
def test_a_resumed_run_is_bitwise_the_whole_one(name, tmp_path, data_dir):
  def train(folder, num_steps):
    config = step_config(name)
    config.update(num_steps=num_steps, evaluators=(), sample_every=0)
    config.data.data_dir = data_dir
    loop.train(config, str(tmp_path / folder))
    return newest(str(tmp_path / folder))
  whole = train('whole', STEPS)
  train('parts', STEPS - 1)  # not at the end of a cycle of turns
  assert_same(train('parts', STEPS), whole)
