"""FID's Inception-v3 against torch-fidelity's with the same random weights, at every tap."""

import copy
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import comparing_inception
from helpers.comparing import close
from maskgan_jax import errors
from maskgan_jax.import_weights import inception as convert
from maskgan_jax.pretrained_networks import inception

# The last blocks see 3x2 pixels. The pools see 67x66 and 31x30: pools that round up give other
# sizes for the even numbers.
SIZE = (139, 137)


@functools.cache
def model():
  import torch
  return comparing_inception.network(torch, inception.TAPS)


@functools.cache
def params():
  arrays = {name: x.numpy() for name, x in model().state_dict().items()}
  return jax.device_put(convert.convert('x', arrays))


@functools.cache
def wide_model():
  return copy.deepcopy(model()).double()


def pictures(height, width):
  """Returns noise on ramps that differ along each axis and in each picture."""
  rng, batch = np.random.default_rng(height), 2
  rows, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
  slopes = rng.uniform(-0.5, 0.5, (2, batch, 1, 1, 3))
  ramps = slopes[0] * rows.reshape(1, -1, 1, 1) + slopes[1] * columns.reshape(1, 1, -1, 1)
  return np.clip(ramps + rng.normal(0, 0.3, (batch, height, width, 3)), -1, 1).astype(np.float32)


@functools.cache
def compiled():
  return jax.jit(lambda p, x: inception.InceptionV3().apply({'params': p}, x))


def ours(images):
  return jax.device_get(compiled()(params(), images))


@functools.cache
def wide(height, width):
  """Compares them in float64."""
  images = pictures(height, width).astype(np.float64)
  with jax.enable_x64(True):
    module = inception.InceptionV3(dtype=jnp.float64)
    return jax.device_get(jax.jit(lambda p, x: module.apply({'params': p}, x))(params(), images))


def theirs(torch, network, height, width, batch=2):
  images = torch.tensor(pictures(height, width), dtype=network.fc.weight.dtype)[:batch]
  return comparing_inception.taps_of(network, images)


def worst(one, other):
  """Returns the largest difference at any tap, relative to the largest entry."""
  return max(float(np.abs(one[tap] - other[tap].numpy()).max() / other[tap].abs().max())
             for tap in inception.TAPS)


@pytest.mark.slow
@pytest.mark.parametrize('size', [(75, 107), SIZE])
def test_every_tap_equals_torch_fidelity(torch, size):
  expected = theirs(torch, model(), *size)
  taps = ours(pictures(*size))
  assert list(taps) == sorted(inception.TAPS) and taps.keys() == expected.keys()
  for name, tap in taps.items():
    assert tap.shape == (2, inception.TAPS[name]) and tap.dtype == np.float32
    close(tap, expected[name])
    # Features that vanish, or are equal for both pictures, would prove nothing.
    assert 0.05 < float(tap.std()) < 50 and float(np.abs(tap[0] - tap[1]).max()) > 0.05
  expected = theirs(torch, wide_model(), *size)
  for name, tap in wide(*size).items():
    assert tap.dtype == np.float64
    close(tap, expected[name], rtol=1e-9)


@pytest.mark.slow
def test_its_own_forward_gives_the_same(torch):
  """Its forward subtracts 128 from uint8 pictures at 299x299 and divides by 128."""
  images = np.random.default_rng(0).integers(0, 256, (1, 299, 299, 3), np.uint8)
  expected = dict(zip(inception.TAPS, model()(torch.tensor(images).permute(0, 3, 1, 2)),
                      strict=True))
  for name, tap in ours((images.astype(np.float32) - 128) / 128).items():
    close(tap, expected[name])


@pytest.mark.slow
def test_pictures_of_a_batch_do_not_meet(torch):
  images = pictures(75, 107)
  both, second = ours(images), ours(np.stack([0 * images[0], images[1]]))
  for name, tap in both.items():
    close(second[name][1], tap[1], rtol=1e-6)
    assert np.abs(second[name][0] - tap[0]).max() > 0.05


# The comparison notices mistakes: each of these changes of the oracle is far beyond 1e-9.

def average_with_padding(torch, network, patch):
  average = torch.nn.functional.avg_pool2d
  patch.setattr(torch.nn.functional, 'avg_pool2d',
                lambda x, **options: average(x, **{**options, 'count_include_pad': True}))


def other_pool(block, other):
  def change(torch, network, patch):
    forward = type(getattr(network, other)).forward
    patch.setattr(type(getattr(network, block)), 'forward', forward)
  return change


def epsilon(torch, network, patch):
  for part in network.modules():
    if isinstance(part, torch.nn.BatchNorm2d):
      part.eps = 1e-5


def one_epsilon(torch, network, patch):
  network.Mixed_6c.branch7x7_2.bn.eps = 1.1e-3


def ceil_mode(pool):
  def change(torch, network, patch):
    getattr(network, pool).ceil_mode = True
  return change


def reflected(torch, network, patch):
  network.Mixed_5c.branch5x5_2.conv.padding_mode = 'reflect'


def padding_of_the_stem(torch, network, patch):
  network.Conv2d_4a_3x3.conv.padding = (1, 1)


def shifted(torch, network, patch):
  """Pads strided convolutions and a pool by one pixel where Inception has no padding."""
  network.Mixed_7a.branch3x3_2.conv.padding = (1, 1)
  network.Mixed_7a.branch7x7x3_4.conv.padding = (1, 1)
  pool = torch.nn.functional.max_pool2d
  patch.setattr(torch.nn.functional, 'max_pool2d', lambda x, *rest, **options: pool(
      x, *rest, **{**options, **({'padding': 1} if x.shape[1] == 768 else {})}))


def lying_kernels(block, *names):
  """Exchanges 1x7 and 7x1 kernels."""
  def change(torch, network, patch):
    for name in names:
      conv = getattr(getattr(network, block), name).conv
      conv.weight.data = conv.weight.data.transpose(2, 3).contiguous()
      conv.padding = conv.padding[::-1]
  return change


def swapped(first, second):
  def change(torch, network, patch):
    bn = network.Mixed_6b.branch1x1.bn
    one, other = getattr(bn, first), getattr(bn, second)
    one.data, other.data = other.data.clone(), one.data.clone()
  return change


def mirrored(torch, network, patch):
  """Reverses the columns of one kernel."""
  weight = network.Mixed_5b.branch3x3dbl_2.conv.weight
  weight.data = weight.data.flip(3)


@pytest.mark.slow
@pytest.mark.parametrize('change', [
    pytest.param(change, id=name) for name, change in {
        'average with padding': average_with_padding,
        'average in Mixed_7c': other_pool('Mixed_7c', 'Mixed_7b'),
        'maximum in Mixed_7b': other_pool('Mixed_7b', 'Mixed_7c'),
        'epsilon 1e-5': epsilon, 'one epsilon': one_epsilon,
        'first pool rounds up': ceil_mode('MaxPool_1'),
        'second pool rounds up': ceil_mode('MaxPool_2'),
        'reflected padding': reflected, 'padded stem': padding_of_the_stem,
        'padded reduction': shifted,
        'lying kernels in Mixed_6d': lying_kernels('Mixed_6d', 'branch7x7_2', 'branch7x7_3'),
        'lying kernels in Mixed_7c': lying_kernels('Mixed_7c', 'branch3x3_2a', 'branch3x3_2b'),
        'mean as bias': swapped('running_mean', 'bias'),
        'variance as scale': swapped('running_var', 'weight'), 'mirrored': mirrored}.items()])
def test_a_change_shows(torch, change):
  network = copy.deepcopy(model())
  with pytest.MonkeyPatch.context() as patch:
    change(torch, network.double(), patch)
    expected = theirs(torch, network, *SIZE, batch=1)
  first = {name: tap[:1] for name, tap in wide(*SIZE).items()}
  assert worst(first, expected) > 1e-6


def test_a_picture_too_small_is_refused():
  module = inception.InceptionV3()
  for size in ((74, 80), (80, 74)):
    with pytest.raises(errors.UserError, match=f'75x75 pixels and more, not {size[0]}x{size[1]}'):
      jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *size, 3)))


def test_sizes_are_the_published_networks():
  """torchvision's network has 23,834,568 parameters without the auxiliary head, for 1000 classes;
  17,216 channels are normalised, each with a mean and a variance too (Keras's table of layers)."""
  tree = inception.shapes()
  leaves = {jax.tree_util.keystr(path, simple=True, separator='.'): shape
            for path, shape in jax.tree_util.tree_flatten_with_path(
                tree, is_leaf=lambda x: isinstance(x, tuple))[0]}
  counts = {name: int(np.prod(shape)) for name, shape in leaves.items()}
  statistics = sum(n for name, n in counts.items() if name.endswith(('.mean', '.variance')))
  assert len([name for name in leaves if name.endswith('.mean')]) == 94
  assert statistics == 2 * 17_216
  assert sum(counts.values()) - statistics == 23_834_568 + 8 * (2048 + 1)
