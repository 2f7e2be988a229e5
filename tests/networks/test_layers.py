"""Layers and networks against PyTorch with the same weights: values and gradients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.comparing import (
  close,
  CONV,
  init,
  LINEAR,
  normal,
  torch_run,
  TRANSPOSED,
  value_and_vjp,
)
from maskgan_jax.networks import (
  decoders,
  discriminators,
  encoders,
  layers,
  strided_kernels,
)

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
  height, width = size
  x, kernel = normal(0, 2, height + 2, width + 2, channels[0]), normal(1, 4, 4, *channels)
  compare_forms(strided_kernels._stride2_plain, strided_kernels._conv4x4_as_products,
                x, kernel, dtype, rtol)


@pytest.mark.parametrize('size', [(1, 1), (2, 2), (3, 5), (8, 8), (16, 16), (17, 3), (32, 32)])
@pytest.mark.parametrize('channels', [(3, 5), (7, 2)])
@pytest.mark.parametrize('dtype, rtol', [(jnp.float32, 1e-5), (jnp.bfloat16, 0.03)])
def test_upsampling_forms_agree(size, channels, dtype, rtol):
  x, kernel = normal(0, 2, *size, channels[0]), normal(1, 4, 4, *channels)
  compare_forms(strided_kernels._transposed_plain, strided_kernels._transposed_as_product,
                x, kernel, dtype, rtol)


@pytest.mark.parametrize('convolution', [strided_kernels.conv4x4_stride2,
                                         strided_kernels.conv4x4_stride2_transposed])
def test_convolution_is_linear_in_each_argument_and_jits(convolution):
  x, kernel = jnp.asarray(normal(0, 1, 4, 6, 3)), jnp.asarray(normal(1, 4, 4, 3, 2))
  twice = jax.jit(convolution)(2 * x, kernel)
  close(twice, convolution(x, 2 * kernel))
  assert np.abs(twice).max() > 0.1


def test_transposed_convolution_is_the_adjoint_of_the_convolution():
  x, y = jnp.asarray(normal(0, 2, 6, 10, 3)), jnp.asarray(normal(1, 2, 3, 5, 4))
  kernel = jnp.asarray(normal(2, 4, 4, 3, 4))
  left = jnp.vdot(strided_kernels.conv4x4_stride2(x, kernel), y)
  right = jnp.vdot(x, strided_kernels.conv4x4_stride2_transposed(y, kernel.transpose(0, 1, 3, 2)))
  assert float(left) == pytest.approx(float(right), rel=1e-4)


# Layers against PyTorch.

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


@pytest.mark.slow
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


# Whole networks.

def sequence_of(torch, kind, channels, widths, features, leak):
  """Returns the network as a torch Sequential."""
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
  """Returns parameters, gradients or statistics of one of our networks as {torch's name: array}."""
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
