"""Normalisation layers against PyTorch's, batch norm's groups against separate calls, HAdaIN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.comparing import close, init, nchw, normal, torch_run, value_and_vjp
from maskgan_jax.networks import masks, normalization, streams


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
    y, updates = module.apply({**variables, 'params': params}, streams.interleave(*batches),
                              train=True, groups=3, order=order, mutable=['batch_stats'])
    return streams.deinterleave(y, 3), updates['batch_stats']

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
  x = streams.interleave(*batches)
  for example in range(4):
    for group in range(3):
      assert np.array_equal(x[3 * example + group], batches[group][example])
  for ours, batch in zip(streams.deinterleave(x, 3), batches, strict=True):
    assert np.array_equal(ours, batch)


@pytest.mark.parametrize('ours, theirs', [
    (normalization.InstanceNorm, lambda torch, c: torch.nn.InstanceNorm2d(c, affine=True)),
    (normalization.LayerNorm, lambda torch, c: torch.nn.GroupNorm(1, c))])
@pytest.mark.parametrize('spread', [3, 0.005])  # where epsilon matters
def test_norms_of_an_image_equal_pytorchs(torch, ours, theirs, spread):
  x = spread * (normal(0, 3, 5, 7, 4) + 2)
  params = norm_variables(4)['params']
  twin = theirs(torch, 4)
  twin.load_state_dict({'weight': torch.tensor(params['scale']),
                        'bias': torch.tensor(params['bias'])})
  y, (d_params, d_x), cotangent = value_and_vjp(
      lambda params, x: ours().apply({'params': params}, x), 3, params, x)
  expected, expected_dx, expected_dp = torch_run(torch, twin, x, cotangent)
  close(y, expected)
  close(d_x, expected_dx, 5e-4)  # a small variance amplifies rounding
  close(d_params['scale'], expected_dp['weight'])
  close(d_params['bias'], expected_dp['bias'])


# Highway AdaIN.

def highway(**options):
  module = normalization.HighwayAdaIN(6, **options)
  content, mask = normal(0, 2, 4, 6, 3), normal(1, 2, 4, 6, 1) ** 2 % 1
  codes = normal(2, 2, 5), normal(3, 2, 5)
  variables = jax.tree.map(lambda p: p + 0.1 * normal(4, *p.shape),
                           module.init(jax.random.key(0), content, mask, *codes))
  return module, variables, content, mask, codes


def affine(variables, name, code, scale):
  """Computes gamma and beta with NumPy, [B, C] each."""
  x = code
  for layer in range(3):
    dense = variables['params'][name][f'Linear_{layer}']['Dense_0']
    x = x @ np.asarray(dense['kernel']) + np.asarray(dense['bias'])
    x = np.where(x > 0, x, 0.01 * x) if layer < 2 else x
  shift, gamma = x[:, :3], x[:, 3:]
  return (np.exp(gamma / 2) if scale == 'exp_half' else gamma), shift


@pytest.mark.parametrize('scale', ['linear', 'exp_half'])
@pytest.mark.parametrize('deviation', ['spatial', 'rows'])
def test_highway_adain_is_its_equation(scale, deviation):
  module, variables, content, mask, codes = highway(scale=scale, deviation=deviation)
  mean = content.mean((1, 2), keepdims=True)
  if deviation == 'spatial':
    sigma = np.sqrt(content.var((1, 2), keepdims=True) + 1e-5)
  else:
    sigma = content.std(2, ddof=1).std(1, ddof=1)[:, None, None] + 1e-5
  parts = []
  for name, code in zip(('foreground', 'background'), codes, strict=True):
    gamma, beta = affine(variables, name, code, scale)
    parts.append(gamma[:, None, None] * (content - mean) / sigma + beta[:, None, None])
  close(module.apply(variables, content, mask, *codes), mask * parts[0] + (1 - mask) * parts[1])


@pytest.mark.parametrize('value, name, code', [(1, 'foreground', 0), (0, 'background', 1)])
def test_highway_adain_is_adain_where_the_mask_is_0_or_1(value, name, code):
  module, variables, content, mask, codes = highway()
  gamma, beta = affine(variables, name, codes[code], 'linear')
  y = np.asarray(module.apply(variables, content, 0 * mask + value, *codes))
  scaled = normalization.normalized(content) * gamma[:, None, None]
  close(y, scaled + beta[:, None, None])
  close(y.mean((1, 2)), beta)  # AdaIN gives the style's statistics
  close(y.std((1, 2)), np.abs(gamma), 1e-3)


@pytest.mark.parametrize('deviation', ['spatial', 'rows'])
@pytest.mark.parametrize('kind', ['constant', 'zero', 'rows alike', 'one pixel'])
def test_constant_regions_have_finite_values_and_gradients(deviation, kind):
  module, variables, content, mask, codes = highway(deviation=deviation)
  content = {'constant': 0 * content + 0.3, 'zero': 0 * content,
             'rows alike': 0 * content + content[:, :1], 'one pixel': 0 * content}[kind]
  if kind == 'one pixel':
    content[:, 0, 0] = 1

  def loss(variables, content, mask, codes):
    return jnp.square(module.apply(variables, content, mask, *codes)).mean()
  for m in (mask, 0 * mask, 0 * mask + 1):
    value, gradients = jax.value_and_grad(loss, (0, 1, 2, 3))(variables, jnp.asarray(content), m,
                                                              codes)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))
  if kind in ('constant', 'zero'):
    assert np.abs(normalization.normalized(content, deviation)).max() < 0.02  # 1e-7 over 1e-5


def test_rows_deviation_is_an_eighth_for_normal_noise():
  x = normal(0, 4, 32, 32, 64)
  ratio = np.asarray(normalization.normalized(x, 'rows')).std() / np.asarray(
      normalization.normalized(x)).std()
  assert ratio == pytest.approx(8.1, abs=0.3)  # larger than it should be by this much


@pytest.mark.parametrize('factor', [1, 2, 4])
def test_masks_go_up_as_pytorch_interpolates_and_come_down_again(torch, factor):
  mask = np.random.default_rng(0).uniform(size=(2, 5, 7, 1)).astype(np.float32)
  large = masks.upsample(jnp.asarray(mask), factor)
  expected = torch.nn.functional.interpolate(torch.tensor(mask.transpose(0, 3, 1, 2).copy()), None,
                                             factor, 'bilinear', align_corners=False)
  close(large, expected.numpy().transpose(0, 2, 3, 1), 1e-6)
  close(masks.downsample(large, factor), mask, 1e-5)


def test_a_hard_edited_mask_comes_down_near_to_its_mean():
  mask = np.zeros((1, 16, 16, 1), np.float32)
  mask[:, 4:12, 8:] = 1  # whole cells of a 4x4 mask
  small = np.asarray(masks.downsample(mask, 4))
  assert small.min() >= 0 and small.max() <= 1
  assert np.abs(small - mask.reshape(1, 4, 4, 4, 4, 1).mean((2, 4))).max() < 0.3
