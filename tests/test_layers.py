"""Layers, normalisation and networks against PyTorch with the same weights: values, gradients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskgan_jax.networks import decoders, discriminators, encoders, layers, normalization


@pytest.fixture(name='torch')
def _torch():
  return pytest.importorskip('torch')


def normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def nchw(torch, x):
  """An NHWC array as a torch leaf."""
  return torch.tensor(np.asarray(x).transpose(0, 3, 1, 2).copy(), requires_grad=True)


def value_and_vjp(function, cotangent_seed, *arguments):
  """(output, aux if there is any, gradients, cotangent) of `function`, in one compilation."""
  output = jax.eval_shape(function, *arguments)
  has_aux = isinstance(output, tuple)
  cotangent = normal(cotangent_seed, *(output[0] if has_aux else output).shape)

  @jax.jit
  def run(*arguments):
    y, backward, *aux = jax.vjp(function, *arguments, has_aux=has_aux)
    return (y, *aux), backward(jnp.asarray(cotangent, y.dtype))

  outputs, gradients = run(*arguments)
  return *outputs, gradients, cotangent


def init(module, x, **options):
  return jax.jit(lambda x: module.init(jax.random.key(1), x, **options))(x)


def close(ours, theirs, rtol=1e-4):
  """Equal up to float32 rounding, measured against the largest entry."""
  ours = np.asarray(ours)
  theirs = theirs.detach().numpy() if hasattr(theirs, 'detach') else np.asarray(theirs)
  assert ours.shape == theirs.shape
  np.testing.assert_allclose(ours, theirs, rtol=0, atol=rtol * max(np.abs(theirs).max(), 1e-3))


# The two forms of each convolution.

def compare_forms(plain, product, x, kernel, dtype, rtol):
  x, kernel = jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)
  cotangent = jnp.asarray(normal(2, *jax.eval_shape(plain, x, kernel).shape), dtype)

  @jax.jit
  def run(x, kernel):
    def one(form):
      y, backward = jax.vjp(form, x, kernel)
      return (y, *backward(cotangent))
    return one(product), one(plain)

  for ours, theirs in zip(*run(x, kernel), strict=True):
    assert ours.dtype == dtype
    close(ours.astype(jnp.float32), theirs.astype(jnp.float32), rtol)


# From 32 rows and 5 channels on, conv4x4 takes another branch; some sizes are not square.
@pytest.mark.parametrize('size', [(2, 2), (4, 4), (6, 10), (8, 8), (16, 16), (32, 32), (34, 6)])
@pytest.mark.parametrize('channels', [(3, 5), (7, 2)])
@pytest.mark.parametrize('dtype, rtol', [(jnp.float32, 1e-5), (jnp.bfloat16, 0.03)])
def test_downsampling_forms_agree(size, channels, dtype, rtol):
  x, kernel = normal(0, 2, *size, channels[0]), normal(1, 4, 4, *channels)
  compare_forms(layers._conv4x4_plain, layers._conv4x4_as_products, x, kernel, dtype, rtol)


@pytest.mark.parametrize('size', [(1, 1), (2, 2), (3, 5), (8, 8), (16, 16), (17, 3), (32, 32)])
@pytest.mark.parametrize('channels', [(3, 5), (7, 2)])
@pytest.mark.parametrize('dtype, rtol', [(jnp.float32, 1e-5), (jnp.bfloat16, 0.03)])
def test_upsampling_forms_agree(size, channels, dtype, rtol):
  x, kernel = normal(0, 2, *size, channels[0]), normal(1, 4, 4, *channels)
  compare_forms(layers._transposed_plain, layers._transposed_as_product, x, kernel, dtype, rtol)


@pytest.mark.parametrize('convolution', [layers.conv4x4_stride2, layers.conv4x4_stride2_transposed])
def test_convolution_is_linear_in_each_argument_and_jits(convolution):
  x, kernel = jnp.asarray(normal(0, 1, 4, 6, 3)), jnp.asarray(normal(1, 4, 4, 3, 2))
  twice = jax.jit(convolution)(2 * x, kernel)
  close(twice, convolution(x, 2 * kernel))
  assert np.abs(twice).max() > 0.1


def test_transposed_convolution_is_the_adjoint_of_the_convolution():
  x, y = jnp.asarray(normal(0, 2, 6, 10, 3)), jnp.asarray(normal(1, 2, 3, 5, 4))
  kernel = jnp.asarray(normal(2, 4, 4, 3, 4))
  left = jnp.vdot(layers.conv4x4_stride2(x, kernel), y)
  right = jnp.vdot(x, layers.conv4x4_stride2_transposed(y, kernel.transpose(0, 1, 3, 2)))
  assert float(left) == pytest.approx(float(right), rel=1e-4)


# Layers against PyTorch.

CONV, TRANSPOSED, LINEAR = (3, 2, 0, 1), (2, 3, 0, 1), (1, 0)  # ours -> PyTorch's axis order


def torch_run(torch, module, x, cotangent):
  """Output in our layout and its gradients: with respect to the input, and by parameter name."""
  image = x.ndim == 4
  leaf = nchw(torch, x) if image else torch.tensor(x, requires_grad=True)
  y = module(leaf)
  back = (0, 3, 1, 2) if image else tuple(range(x.ndim))
  y.backward(torch.tensor(cotangent.transpose(back).copy()))
  forward = np.argsort(back)
  return (y.detach().numpy().transpose(forward), leaf.grad.numpy().transpose(forward),
          {name: p.grad.numpy() for name, p in module.named_parameters()})


@pytest.mark.parametrize('kind, shape', [
    ('down', (2, 6, 10, 5)), ('down', (3, 32, 16, 3)), ('down', (2, 16, 32, 7)),
    ('up', (2, 3, 5, 7)), ('up', (1, 1, 1, 5)), ('up', (2, 16, 8, 3)), ('linear', (5, 13))])
def test_layer_equals_pytorch(torch, kind, shape):
  channels, features = shape[-1], 9
  ours, theirs, order = {
      'down': (layers.DownConv, lambda: torch.nn.Conv2d(channels, features, 4, 2, 1), CONV),
      'up': (layers.UpConv, lambda: torch.nn.ConvTranspose2d(channels, features, 4, 2, 1),
             TRANSPOSED),
      'linear': (layers.Linear, lambda: torch.nn.Linear(channels, features), LINEAR)}[kind]
  module, twin = ours(features), theirs()
  x = normal(0, *shape)
  params = init(module, x)['params']
  leaves = params.get('Dense_0', params)
  with torch.no_grad():
    twin.weight.copy_(torch.tensor(np.asarray(leaves['kernel']).transpose(order).copy()))
    twin.bias.copy_(torch.tensor(np.asarray(leaves['bias'])))
  y, (d_params, d_x), cotangent = value_and_vjp(
      lambda p, x: module.apply({'params': p}, x), 3, params, x)
  d_leaves = d_params.get('Dense_0', d_params)
  expected, expected_dx, expected_dp = torch_run(torch, twin, x, cotangent)
  close(y, expected)
  close(d_x, expected_dx)
  close(d_leaves['kernel'].transpose(order), expected_dp['weight'])
  close(d_leaves['bias'], expected_dp['bias'])


@pytest.mark.parametrize('kind', ['down', 'up', 'linear'])
def test_initialisation_has_pytorch_bounds(torch, kind):
  channels, features = 6, 40
  module, twin, x = {
      'down': (layers.DownConv(features), torch.nn.Conv2d(channels, features, 4, 2, 1),
               normal(0, 1, 4, 4, channels)),
      'up': (layers.UpConv(features), torch.nn.ConvTranspose2d(channels, features, 4, 2, 1),
             normal(0, 1, 4, 4, channels)),
      'linear': (layers.Linear(features), torch.nn.Linear(channels, features),
                 normal(0, 1, channels))}[kind]
  params = init(module, x)['params']
  params = params.get('Dense_0', params)
  fan_in, _ = torch.nn.init._calculate_fan_in_and_fan_out(twin.weight)
  bound = 1 / math.sqrt(fan_in)
  for name, theirs in (('kernel', twin.weight), ('bias', twin.bias)):
    ours = np.abs(np.asarray(params[name]))
    assert ours.size == theirs.numel()
    assert ours.max() <= bound and np.abs(theirs.detach().numpy()).max() <= bound
    assert ours.max() > 0.85 * bound  # reaches for the bound ...
    assert ours.mean() == pytest.approx(bound / 2, rel=0.25)  # ... and is uniform below it
    assert abs(np.asarray(params[name]).mean()) < 0.25 * bound


def test_layers_compute_in_their_dtype_and_keep_float32_parameters():
  for module, shape in ((layers.DownConv(4, jnp.bfloat16), (1, 4, 4, 3)),
                        (layers.UpConv(4, jnp.bfloat16), (1, 4, 4, 3)),
                        (layers.Linear(4, jnp.bfloat16), (2, 3))):
    x = normal(0, *shape)
    variables = init(module, x)
    y = module.apply(variables, x)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    exact = type(module)(4).apply(variables, x)
    close(y.astype(jnp.float32), exact, rtol=0.03)


# Batch normalisation.

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


# Whole networks.

def sequence_of(torch, kind, channels, widths, features, leak):
  """The network as a torch Sequential."""
  nn, blocks = torch.nn, []
  if kind == 'discriminator':
    return nn.Sequential(nn.Linear(channels, widths[0]), nn.LeakyReLU(0.2),
                         nn.Linear(widths[0], 1))
  conv = nn.Conv2d if kind == 'encoder' else nn.ConvTranspose2d
  for width in widths:
    blocks += [conv(channels, width, 4, 2, 1), nn.BatchNorm2d(width),
               nn.LeakyReLU(leak) if leak else nn.ReLU()]
    channels = width
  return nn.Sequential(*blocks, *([conv(channels, features, 4, 2, 1)] if features else []))


def as_torch(tree, kind):
  """Parameters, gradients or statistics of one of our networks as {torch's name: array}."""
  result = {}
  for layer, leaves in tree.items():
    family, index = layer.split('_')
    position = {'Linear': 2}.get(family, 3) * int(index) + (family == 'BatchNorm')
    order = {'DownConv': CONV, 'UpConv': TRANSPOSED, 'Linear': LINEAR}.get(family)
    for leaf, value in leaves.get('Dense_0', leaves).items():
      name = {'kernel': 'weight', 'scale': 'weight', 'mean': 'running_mean',
              'var': 'running_var'}.get(leaf, leaf)
      value = np.asarray(value)
      result[f'{position}.{name}'] = value.transpose(order).copy() if leaf == 'kernel' else value
  return result


@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('kind, shape, leak', [
    ('encoder', (3, 16, 24, 3), 0.2), ('encoder', (4, 32, 32, 5), 0.2),
    ('decoder', (3, 2, 3, 7), 0.2), ('decoder', (3, 4, 4, 5), 0.0)])
def test_network_equals_pytorch(torch, kind, shape, leak, train):
  widths = (5, 7)
  if kind == 'encoder':
    module, features = encoders.ConvEncoder(widths), 0
  else:
    module, features = decoders.ConvDecoder(widths, 4, leak), 4
  x = normal(0, *shape)
  variables = init(module, x, train=True)
  variables['batch_stats'] = jax.tree.map(lambda v: v + 0.3, variables['batch_stats'])
  twin = sequence_of(torch, kind, shape[-1], widths, features, leak).train(train)
  twin.load_state_dict({name: torch.tensor(value) for tree in variables.values()
                        for name, value in as_torch(tree, kind).items()}, strict=False)

  def apply(params, x):
    return module.apply({**variables, 'params': params}, x, train=train, mutable=['batch_stats'])

  y, updates, (d_params, d_x), cotangent = value_and_vjp(apply, 3, variables['params'], x)
  expected, expected_dx, expected_dp = torch_run(torch, twin, x, cotangent)
  close(y, expected)
  close(d_x, expected_dx, 1e-3)
  gradients = as_torch(d_params, kind)
  assert gradients.keys() == expected_dp.keys()
  scale = max(np.abs(g).max() for g in expected_dp.values())
  for name, gradient in expected_dp.items():  # a bias before a batch norm has gradient 0
    np.testing.assert_allclose(gradients[name], gradient, rtol=1e-3, atol=1e-5 * scale)
  state = twin.state_dict()
  for name, value in as_torch(updates['batch_stats'], kind).items():
    close(value, state[name])


def test_code_discriminator_equals_pytorch(torch):
  code = normal(0, 6, 2, 3, 5)
  module = discriminators.CodeDiscriminator(11)
  params = init(module, code)['params']
  twin = sequence_of(torch, 'discriminator', 30, (11,), 0, 0)
  twin.load_state_dict({name: torch.tensor(v) for name, v in as_torch(params, '').items()})
  y, (d_params, d_code), cotangent = value_and_vjp(
      lambda p, x: module.apply({'params': p}, x), 1, params, code)
  assert y.shape == (6,) and y.dtype == jnp.float32
  expected, expected_dx, expected_dp = torch_run(torch, twin, code.reshape(6, 30),
                                                 cotangent[:, None])
  close(y, expected[:, 0])
  close(d_code.reshape(6, 30), expected_dx)
  for name, gradient in as_torch(d_params, '').items():
    close(gradient, expected_dp[name])


def test_networks_give_the_documented_shapes_in_bfloat16():
  image = jnp.asarray(normal(0, 2, 16, 8, 3))
  code, variables = jax.eval_shape(
      lambda x: encoders.ConvEncoder((4, 6, 9), jnp.bfloat16).init_with_output(
          jax.random.key(0), x, train=True), image)
  assert code.shape == (2, 2, 1, 9) and code.dtype == jnp.bfloat16
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
  picture, _ = jax.eval_shape(
      lambda x: decoders.ConvDecoder((6, 5), 4, dtype=jnp.bfloat16).init_with_output(
          jax.random.key(0), x, train=True), code)
  assert picture.shape == (2, 16, 8, 4) and picture.dtype == jnp.float32
