"""Small AdaIN, WCT and Gatys et al., and their networks in PyTorch with the same numbers."""

import jax
import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax import methods
from maskgan_jax.pretrained_networks import vgg19

SIZE, BATCH, WIDTH = 16, 3, 3


def make_config(name, variant=None, weights=None, **model):
  config = run_config.default(name)
  config.update(image_size=SIZE, batch_size=BATCH)
  if variant:
    config.variant = variant
  config.model.update(perceptual='a file', perceptual_width=WIDTH, **model)
  config.weights.update(weights or {})
  return config


def make(name, variant=None, weights=None, **model):
  """Returns a method and parameters that look trained: no bias is 0."""
  method = methods.make(make_config(name, variant, weights, **model))
  params, state = jax.device_get(jax.jit(method.init)(jax.random.key(0), {'a': images(0)}))
  assert state == {}
  rng = np.random.default_rng(0)

  def moved(x):
    return x + rng.normal(0, 0.1, x.shape).astype(np.float32) if x.ndim == 1 else x
  for group, tree in params.items():
    params[group] = {layer: jax.tree.map(moved, leaves) if isinstance(leaves, dict) else leaves
                     for layer, leaves in tree.items()}
  return method, params


def images(seed, count=BATCH, size=SIZE):
  return np.random.default_rng(seed).uniform(-1, 1, (count, size, size, 3)).astype(np.float32)


def to_torch(x):
  """Returns NHWC images as a float64 tensor NCHW."""
  import torch
  return torch.tensor(np.moveaxis(np.asarray(x, np.float64), -1, 1).copy())


def from_torch(x):
  return np.moveaxis(x.detach().numpy(), 1, -1)


def weights(params):
  """Returns parameters as float64 tensors with PyTorch's axes, which take gradients."""
  import torch

  def tensor(x):
    x = np.asarray(x, np.float64)
    return torch.tensor(x.transpose(3, 2, 0, 1).copy() if x.ndim == 4 else x, requires_grad=True)
  return jax.tree.map(tensor, params)


def convolve(x, layer, mode):
  import torch
  x = torch.nn.functional.pad(x, (1, 1, 1, 1), mode=mode)
  return torch.nn.functional.conv2d(x, layer['kernel'], layer['bias'])


def encode(network, image, *, padding='reflect', pooling='max', last='relu5_1'):
  """Returns VGG-19's maps by name; `network` as of `weights`, `image` NCHW in [-1, 1]."""
  import torch
  pool = torch.nn.MaxPool2d(2) if pooling == 'max' else torch.nn.AvgPool2d(2)
  mean, scale = (network[name].detach().reshape(1, 3, 1, 1)
                 for name in ('input_mean', 'input_scale'))
  x, maps = ((image + 1) / 2 - mean) / scale, {}
  for name in vgg19.channels(WIDTH, last):
    if name in ('conv2_1', 'conv3_1', 'conv4_1', 'conv5_1'):
      x = pool(x)
    x = torch.relu(convolve(x, network[name], padding))
    maps[name.replace('conv', 'relu')] = x
  return maps


DECODERS = {  # output channels over the width, 'up' for an upsampling; the last has 3 channels
    1: '3', 2: '1 up 1 3', 3: '2 up 2 1 up 1 3', 4: '4 up 4 4 4 2 up 2 1 up 1 3',
    5: '8 up 8 8 8 4 up 4 4 4 2 up 2 1 up 1 3'}


def decode(network, code, level):
  """Returns the picture of a map, [-1, 1], by the decoder of a level."""
  import torch
  x, number, plan = code, 0, DECODERS[level].split()
  for word in plan:
    if word == 'up':
      x = torch.nn.functional.interpolate(x, scale_factor=2, mode='nearest')
      continue
    layer = network[f'Conv_{number}']
    last = number + 1 == len(network)
    assert len(layer['bias']) == (3 if last else int(word) * WIDTH)
    x = convolve(x, layer, 'reflect')
    x, number = x if last else torch.relu(x), number + 1
  assert number == len(network)
  return 2 * x - 1


def assert_same_gradients(gradients, tensors):
  """Compares our gradients with those of `weights`, as a whole and array by array.

  In float64 they agree to 1e-14. In float32 a ReLU near 0 may fall on its other side, which
  moves the small gradients of the layers before it by percents.
  """
  flat = jax.tree_util.tree_leaves_with_path(gradients)
  theirs = dict(jax.tree_util.tree_leaves_with_path(
      jax.tree.map(lambda t: t.grad.numpy(), tensors)))
  assert len(flat) == len(theirs)
  squares, total = 0, 0
  for path, ours in flat:
    expected = theirs[path]
    expected = expected.transpose(2, 3, 1, 0) if expected.ndim == 4 else expected
    error, size = np.linalg.norm(ours - expected), np.linalg.norm(expected)
    assert size > 1e-8, f'{path}: nothing is compared'
    assert error < 0.15 * size, path
    squares, total = squares + error ** 2, total + size ** 2
  assert squares < 1e-6 * total
