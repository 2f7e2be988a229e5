"""Optimizers and schedules against PyTorch's and against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.training import optimizers


def part(**changes):
  """Returns an optimizer's part of a config."""
  config = run_config.default('egsc_it').optimizers.generator
  config.update({'learning_rate': 0.1, 'b1': 0.5, 'schedule': 'constant', **changes})
  return config


def test_weight_decay_is_that_of_pytorchs_adam(torch):
  """It goes through the moments, which AdamW's does not; biases are not spared."""
  config = part(weight_decay=0.3, eps=1e-3)
  optimizer = optimizers.make(config, num_steps=10, clip_norm=0.0)
  rng = np.random.default_rng(0)
  params = {'kernel': jnp.asarray(rng.normal(size=(3, 4))), 'bias': jnp.asarray(rng.normal(size=4))}
  theirs = {name: torch.nn.Parameter(torch.tensor(np.array(x))) for name, x in params.items()}
  adam = torch.optim.Adam(theirs.values(), lr=0.1, betas=(0.5, 0.999), eps=1e-3, weight_decay=0.3)
  state = optimizer.init(params)
  for step in range(4):
    grads = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), params)
    params, state = optimizer.update(grads, state, params, jnp.int32(step))
    for name, parameter in theirs.items():
      parameter.grad = torch.tensor(np.array(grads[name]))
    adam.step()
  for name, parameter in theirs.items():
    np.testing.assert_allclose(params[name], parameter.detach(), rtol=0, atol=1e-5)


def test_the_norm_that_is_clipped_is_that_of_the_gradient_alone():
  config = part(name='sgd', weight_decay=0.5, clip_norm=1.0)
  optimizer = optimizers.make(config, num_steps=10, clip_norm=0.0)
  params = jnp.array([2.0, 0.0])
  after, _ = optimizer.update(jnp.array([0.0, 4.0]), optimizer.init(params), params, jnp.int32(0))
  np.testing.assert_allclose(after, params - 0.1 * jnp.array([1.0, 1.0]), rtol=1e-6)


def test_a_rate_in_inverse_time():
  """AdaIN's lr / (1 + 5e-5 t), from `schedule_start` on."""
  rate = optimizers.schedule(part(schedule='inverse_time', schedule_every=20_000), 160_000)
  steps = np.array([0, 1_000, 20_000, 160_000])
  np.testing.assert_allclose([rate(jnp.int32(step)) for step in steps],
                             0.1 / (1 + 5e-5 * steps), rtol=1e-6)
  later = optimizers.schedule(
      part(schedule='inverse_time', schedule_start=100, schedule_every=50), 200)
  np.testing.assert_allclose([later(jnp.int32(step)) for step in (99, 150)], [0.1, 0.05], rtol=1e-6)


@pytest.mark.parametrize('schedule', ['halve', 'halve_linearly', 'inverse_time'])
def test_a_schedule_without_its_steps_is_refused(schedule):
  with pytest.raises(errors.UserError, match=f"'{schedule}' needs schedule_every: the steps"):
    optimizers.schedule(part(schedule=schedule), 10)
