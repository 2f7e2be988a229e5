"""VGG-19 against a torch Sequential with the same random weights, in float32 and float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.comparing import close, CONV, normal
from maskgan_jax import errors
from maskgan_jax.pretrained_networks import vgg19


def random_params(width, seed=0):
  """Returns parameters that look trained: biases, mean and scale are not the initial ones."""
  rng = np.random.default_rng(seed)
  params = {'input_mean': rng.uniform(0.3, 0.6, 3).astype(np.float32),
            'input_scale': rng.uniform(0.2, 0.6, 3).astype(np.float32)}
  for name, (inputs, features) in vgg19.channels(width).items():
    kernel = rng.normal(0, (2 / (9 * inputs)) ** 0.5, (3, 3, inputs, features))
    bias = rng.normal(0, 0.1, features)
    params[name] = {'kernel': kernel.astype(np.float32), 'bias': bias.astype(np.float32)}
  return params


def torch_taps(torch, params, images, pool):
  """Returns the five maps in NHWC; `images` is an NHWC leaf."""
  mean, scale = (torch.tensor(params[name], dtype=images.dtype)
                 for name in ('input_mean', 'input_scale'))
  x = (((images + 1) / 2 - mean) / scale).permute(0, 3, 1, 2)
  layers, taps = [], []
  for name in vgg19.channels():
    if name[4:] in ('2_1', '3_1', '4_1', '5_1'):
      layers.append(torch.nn.MaxPool2d(2, ceil_mode=pool == 'SAME'))
    kernel, bias = (torch.tensor(params[name][leaf]) for leaf in ('kernel', 'bias'))
    convolution = torch.nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=1)
    with torch.no_grad():
      convolution.weight.copy_(kernel.permute(CONV))
      convolution.bias.copy_(bias)
    layers += [convolution, torch.nn.ReLU()]
  wanted = [i + 1 for i, layer in enumerate(layers) if i == 0 or
            isinstance(layers[i - 1], torch.nn.MaxPool2d)]
  for i, layer in enumerate(torch.nn.Sequential(*layers).to(images.dtype)):
    x = layer(x)
    if i in wanted:
      taps.append(x.permute(0, 2, 3, 1))
  assert len(taps) == 5
  return taps


@pytest.fixture(name='full', scope='module')
def _full():
  return random_params(64)


@pytest.mark.slow
@pytest.mark.parametrize('size, pool', [
    ((32, 32), 'SAME'), ((32, 32), 'VALID'), ((37, 29), 'SAME'), ((37, 29), 'VALID')])
def test_every_tap_equals_pytorch(torch, full, size, pool):
  images = np.random.default_rng(1).uniform(-1, 1, (2, *size, 3)).astype(np.float32)
  expected = torch_taps(torch, full, torch.tensor(images), pool)
  for tap, theirs in zip(jax.jit(vgg19.VGG19(pool=pool).apply)({'params': full}, images), expected,
                         strict=True):
    close(tap, theirs)
    assert tap.dtype == jnp.float32 and float(tap.std()) > 0.1  # flat maps would prove nothing
  expected = torch_taps(torch, full, torch.tensor(images, dtype=torch.float64), pool)
  with jax.enable_x64(True):
    module = vgg19.VGG19(pool=pool, dtype=jnp.float64)
    taps = jax.jit(module.apply)({'params': full}, images.astype(np.float64))
  for tap, theirs in zip(taps, expected, strict=True):
    assert tap.dtype == np.float64
    close(tap, theirs, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize('size, pool', [
    ((28, 28), 'SAME'), ((17, 22), 'VALID'), ((13, 7), 'SAME'), ((1, 1), 'SAME')])
def test_gradient_to_the_image_equals_pytorch(torch, size, pool):
  """Compares in float64, since in float32 a maximum can move to another pixel."""
  params = random_params(8)
  images = np.random.default_rng(1).uniform(-1, 1, (2, *size, 3))
  with jax.enable_x64(True):
    module = vgg19.VGG19(width=8, pool=pool, dtype=jnp.float64)
    shapes = jax.eval_shape(module.apply, {'params': params}, images)
    weights = [np.random.default_rng(i).normal(size=tap.shape) for i, tap in enumerate(shapes)]

    def loss(params, images):
      taps = module.apply({'params': params}, images)
      return sum((tap * weight).sum() for tap, weight in zip(taps, weights, strict=True))
    d_params, d_images = jax.jit(jax.grad(loss, (0, 1)))(params, images)
  leaf = torch.tensor(images, requires_grad=True)
  taps = torch_taps(torch, params, leaf, pool)
  sum((tap * torch.tensor(weight)).sum()
      for tap, weight in zip(taps, weights, strict=True)).backward()
  close(d_images, leaf.grad, rtol=1e-9)
  assert np.abs(d_images).max() > 0.1
  for name in ('input_mean', 'input_scale'):  # no optimizer changes them
    assert not np.any(d_params[name])
  assert all(np.any(d_params[name]['kernel']) for name in vgg19.channels())


@pytest.mark.parametrize('size', [(32, 32), (48, 80), (7, 9)])
def test_head_equals_pytorch(torch, size):
  """The sizes leave 2x2, 3x5 and 1x1 pixels at relu5_1."""
  images = np.random.default_rng(1).uniform(-1, 1, (2, *size, 3)).astype(np.float32)
  module = vgg19.VGG19(width=4, classes=5)
  params = {**random_params(4), 'head': {'Dense_0': {'kernel': normal(2, 128, 5),
                                                     'bias': normal(3, 5)}}}
  logits = jax.jit(lambda p, x: module.apply({'params': p}, x, method='classify'))(params, images)
  x = torch_taps(torch, params, torch.tensor(images), 'SAME')[-1].permute(0, 3, 1, 2)
  x = torch.nn.AdaptiveAvgPool2d(2)(x).permute(0, 2, 3, 1).reshape(2, 128)
  head = params['head']['Dense_0']
  close(logits, x @ torch.tensor(head['kernel']) + torch.tensor(head['bias']))
  assert logits.dtype == jnp.float32


def test_head_exists_only_with_classes():
  images = jnp.zeros((1, 16, 16, 3))

  def tree(classes, method):
    return jax.eval_shape(lambda: vgg19.VGG19(width=4, classes=classes).init(
        jax.random.key(0), images, method=method))['params']
  without, by_taps, by_logits = tree(0, '__call__'), tree(3, '__call__'), tree(3, 'classify')
  assert by_taps == by_logits
  assert without == {name: leaves for name, leaves in by_taps.items() if name != 'head'}
  assert by_taps.keys() - without.keys() == {'head'}
  assert without.keys() == {'input_mean', 'input_scale', *vgg19.channels()}


def test_fresh_parameters_are_he_normal_and_take_pictures_as_they_are():
  params = jax.jit(lambda: vgg19.VGG19(width=16).init(
      jax.random.key(0), jnp.zeros((1, 1, 1, 3))))()['params']
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
  for name in ('input_mean', 'input_scale'):
    np.testing.assert_array_equal(params.pop(name), 0.5)
  for name, (inputs, features) in vgg19.channels(16).items():
    kernel = np.asarray(params[name]['kernel'])
    assert kernel.shape == (3, 3, inputs, features) and not np.any(params[name]['bias'])
    tolerance = 4 / kernel.size ** 0.5
    assert kernel.std() == pytest.approx((2 / (9 * inputs)) ** 0.5, rel=tolerance)
    assert abs(kernel.mean()) < tolerance * kernel.std()


def test_sizes_are_the_papers():
  """Configuration E's convolutions have 20,024,384 parameters; conv5_2 to conv5_4 are left out."""
  tree = jax.eval_shape(lambda: vgg19.VGG19().init(
      jax.random.key(0), jnp.zeros((1, 16, 16, 3))))['params']
  count = sum(leaf.size for leaf in jax.tree.leaves(tree)) - 6
  assert count == 20_024_384 - 3 * (9 * 512 * 512 + 512)
  for pool, expected in (('SAME', (28, 14, 7, 4, 2)), ('VALID', (28, 14, 7, 3, 1))):
    taps = jax.eval_shape(vgg19.VGG19(pool=pool, dtype=jnp.bfloat16).apply, {'params': tree},
                          jnp.zeros((3, 28, 28, 3)))
    assert [tap.shape for tap in taps] == [
        (3, size, size, 64 * factor) for size, factor in zip(expected, (1, 2, 4, 8, 8),
                                                             strict=True)]
    assert {tap.dtype for tap in taps} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.slow
def test_bfloat16_is_near_float32():
  images = np.random.default_rng(1).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
  params = random_params(8)
  exact, rough = (jax.jit(vgg19.VGG19(width=8, dtype=dtype).apply)({'params': params}, images)
                  for dtype in (jnp.float32, jnp.bfloat16))
  for one, other in zip(exact, rough, strict=True):
    assert np.sqrt(np.mean((other - one) ** 2) / np.mean(one ** 2)) < 0.03


@pytest.mark.parametrize('shape', [(2, 6, 4, 3), (2, 5, 4, 3), (1, 7, 3, 2), (2, 1, 1, 3)])
@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
def test_max_pool(torch, shape, padding):
  x = normal(0, *shape) - 3  # a border of zeros would be the maximum
  ours = vgg19.max_pool(jnp.asarray(x), padding)
  if min(shape[1:3]) == 1 and padding == 'VALID':
    assert ours.size == 0
    return
  theirs = torch.nn.MaxPool2d(2, ceil_mode=padding == 'SAME')(
      torch.tensor(x.transpose(0, 3, 1, 2).copy()))
  np.testing.assert_array_equal(ours, theirs.numpy().transpose(0, 2, 3, 1))


def test_equal_maxima_share_their_gradient():
  cotangent = normal(0, 2, 3, 2, 4)
  _, backward = jax.vjp(lambda x: vgg19.max_pool(x, 'SAME'), jnp.full((2, 5, 4, 4), 0.7))
  gradient = np.asarray(backward(jnp.asarray(cotangent))[0])
  gradient = np.pad(gradient, ((0, 0), (0, 1), (0, 0), (0, 0))).reshape(2, 3, 2, 2, 2, 4)
  close(gradient.sum((2, 4)), cotangent)


@pytest.mark.parametrize('shape', [(2, 6, 4, 3), (2, 5, 7, 3), (1, 1, 1, 3)])
@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
def test_average_pool(torch, shape, padding):
  x = normal(0, *shape)
  ours = vgg19.average_pool(jnp.asarray(x), padding)
  if min(shape[1:3]) == 1 and padding == 'VALID':
    assert ours.size == 0
    return
  theirs = torch.nn.AvgPool2d(2, ceil_mode=padding == 'SAME')(
      torch.tensor(x.transpose(0, 3, 1, 2).copy()))
  close(ours, theirs.numpy().transpose(0, 2, 3, 1), rtol=1e-6)


def test_the_network_ends_with_the_last_map_that_is_asked_for():
  names = ('relu1_1', 'relu3_2', 'relu4_1')
  module = vgg19.VGG19(width=2, taps=names, padding='reflect', pooling='average')
  variables = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3))))
  layers = variables['params'].keys() - {'input_mean', 'input_scale'}
  assert layers == set(vgg19.channels(2, 'relu4_1')) and 'conv4_1' in layers
  assert 'conv4_2' not in layers
  maps = jax.eval_shape(module.apply, variables, jnp.zeros((1, 16, 16, 3)))
  assert [x.shape for x in maps] == [(1, 16, 16, 2), (1, 4, 4, 8), (1, 2, 2, 16)]
  with pytest.raises(errors.UserError, match="no map 'relu6_1'.*relu5_1"):
    vgg19.channels(last='relu6_1')


def test_mirrored_convolutions_are_those_of_the_published_decoder():
  assert vgg19.mirrored(64, 4) == ((256,), (256, 256, 256, 128), (128, 64), (64, 3))
  assert [sum(map(len, vgg19.mirrored(64, level))) for level in range(1, 6)] == [1, 3, 5, 9, 13]


def test_what_cannot_be_is_refused():
  images = jnp.zeros((1, 15, 40, 3))
  with pytest.raises(errors.UserError, match='16x16 pixels and more, not 15x40'):
    vgg19.VGG19(width=4, pool='VALID').init(jax.random.key(0), images)
  with pytest.raises(errors.UserError, match="'FULL'; it can be 'SAME' or 'VALID'"):
    vgg19.VGG19(width=4, pool='FULL').init(jax.random.key(0), images)
