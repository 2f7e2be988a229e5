"""Batch normalisation against PyTorch's, its groups against separate calls."""

from comparing import close, init, nchw, normal, torch_run, value_and_vjp
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskgan_jax.networks import normalization

pytestmark = pytest.mark.usefixtures('compile_quickly')


def norm_variables(channels, seed=5):
  return {'params': {'scale': 1 + normal(seed, channels) / 3, 'bias': normal(seed + 1, channels)},
          'batch_stats': {'mean': normal(seed + 2, channels),
                          'var': 1 + np.abs(normal(seed + 3, channels))}}


def torch_norm(torch, variables):
  twin = torch.nn.BatchNorm2d(variables['params']['scale'].size)
  twin.load_state_dict({
      'weight': torch.tensor(variables['params']['scale']),
      'bias': torch.tensor(variables['params']['bias']),
      'running_mean': torch.tensor(variables['batch_stats']['mean']),
      'running_var': torch.tensor(variables['batch_stats']['var'])}, strict=False)
  return twin


@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('shape, spread', [((4, 3, 5, 7), 3), ((3, 2, 1, 3), 3),
                                           ((4, 3, 5, 7), 0.005)])  # where epsilon matters
def test_batch_norm_equals_pytorch(torch, train, shape, spread):
  variables = norm_variables(shape[-1])
  variables['batch_stats']['var'] *= spread ** 2
  twin = torch_norm(torch, variables).train(train)
  x = spread * (normal(0, *shape) + 2)
  module = normalization.BatchNorm()

  def apply(params, x):
    return module.apply({**variables, 'params': params}, x, train=train, mutable=['batch_stats'])

  y, updates, (d_params, d_x), cotangent = value_and_vjp(apply, 3, variables['params'], x)
  expected, expected_dx, expected_dp = torch_run(torch, twin, x, cotangent)
  close(y, expected)
  close(d_x, expected_dx)
  close(d_params['scale'], expected_dp['weight'])
  close(d_params['bias'], expected_dp['bias'])
  close(updates['batch_stats']['mean'], twin.running_mean)
  close(updates['batch_stats']['var'], twin.running_var)
  changed = not np.array_equal(updates['batch_stats']['mean'], variables['batch_stats']['mean'])
  assert changed == train


def test_running_averages_after_several_batches_equal_pytorch(torch):
  variables = norm_variables(4)
  twin = torch_norm(torch, variables).train()
  module = normalization.BatchNorm()
  for seed in range(3):
    x = (seed + 1) * normal(seed, 3, 2, 4, 4) + seed
    _, updates = module.apply(variables, x, train=True, mutable=['batch_stats'])
    variables = {**variables, **updates}
    twin(nchw(torch, x))
  close(variables['batch_stats']['mean'], twin.running_mean)
  close(variables['batch_stats']['var'], twin.running_var)
  y = module.apply(variables, x, train=False)
  close(y, twin.eval()(nchw(torch, x)).permute(0, 2, 3, 1))


@pytest.mark.parametrize('order', [None, (0, 1, 2, 0), (2, 0)])
def test_groups_equal_separate_calls(order):
  variables = norm_variables(3)
  module = normalization.BatchNorm()
  batches = [(g + 1) * normal(g, 4, 2, 5, 3) - g for g in range(3)]
  cotangents = [jnp.asarray(normal(10 + g, *batches[g].shape)) for g in range(3)]

  def together(params, *batches):
    y, updates = module.apply({**variables, 'params': params}, normalization.interleave(*batches),
                              train=True, groups=3, order=order, mutable=['batch_stats'])
    return normalization.deinterleave(y, 3), updates['batch_stats']

  def separately(params, *batches):
    return tuple(module.apply({**variables, 'params': params}, x, train=True,
                              mutable=['batch_stats'])[0] for x in batches)

  @jax.jit
  def run(params, *batches):
    y, backward, stats = jax.vjp(together, params, *batches, has_aux=True)
    expected, expected_backward = jax.vjp(separately, params, *batches)
    cotangent = tuple(cotangents)
    return (y, backward(cotangent)), (expected, expected_backward(cotangent)), stats

  ours, theirs, stats = run(variables['params'], *batches)
  jax.tree.map(close, ours, theirs)

  one_by_one = variables
  for group in range(3) if order is None else order:
    _, updates = module.apply(one_by_one, batches[group], train=True, mutable=['batch_stats'])
    one_by_one = {**one_by_one, **updates}
  jax.tree.map(close, stats, one_by_one['batch_stats'])


def test_running_averages_carry_no_gradient():
  variables = norm_variables(3)

  def average(x):
    _, updates = normalization.BatchNorm().apply(variables, x, train=True, mutable=['batch_stats'])
    return sum(leaf.sum() for leaf in jax.tree.leaves(updates))

  assert not np.any(jax.grad(average)(jnp.asarray(normal(0, 2, 3, 3, 3))))


@pytest.mark.parametrize('value', [0.0, 7.0])
def test_constant_input_has_finite_outputs_and_gradients(value):
  variables = norm_variables(3)
  x = jnp.full((2, 4, 4, 3), value)

  def total(params, x):
    y, _ = normalization.BatchNorm().apply({**variables, 'params': params}, x, train=True,
                                           mutable=['batch_stats'])
    return (y * jnp.asarray(normal(1, *x.shape))).sum()

  loss, gradients = jax.value_and_grad(total, argnums=(0, 1))(variables['params'], x)
  assert np.isfinite(loss)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_single_value_per_channel_is_finite():
  _, updates = normalization.BatchNorm().apply(norm_variables(3), jnp.ones((1, 1, 1, 3)),
                                               train=True, mutable=['batch_stats'])
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(updates))


def test_statistics_of_bfloat16_are_float32():
  x = jnp.asarray(1000 + normal(0, 8, 4, 4, 2), jnp.bfloat16)
  module = normalization.BatchNorm(dtype=jnp.bfloat16)
  variables = init(module, x, train=True)
  y, updates = module.apply(variables, x, train=True, mutable=['batch_stats'])
  assert y.dtype == jnp.bfloat16
  exact = np.asarray(x, np.float64).mean((0, 1, 2))
  assert updates['batch_stats']['mean'].dtype == jnp.float32
  np.testing.assert_allclose(updates['batch_stats']['mean'], 0.1 * exact, rtol=1e-5)


def test_initialising_leaves_the_running_averages_alone():
  variables = normalization.BatchNorm().init(jax.random.key(0), normal(0, 2, 3, 3, 4) + 5,
                                             train=True)
  assert np.array_equal(variables['batch_stats']['mean'], np.zeros(4))
  assert np.array_equal(variables['batch_stats']['var'], np.ones(4))


def test_interleave_keeps_examples_together_and_deinterleave_undoes_it():
  batches = [normal(seed, 4, 2, 3) for seed in range(3)]
  x = normalization.interleave(*batches)
  for example in range(4):
    for group in range(3):
      assert np.array_equal(x[3 * example + group], batches[group][example])
  for ours, batch in zip(normalization.deinterleave(x, 3), batches, strict=True):
    assert np.array_equal(ours, batch)
