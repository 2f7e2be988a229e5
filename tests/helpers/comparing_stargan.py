"""A small StarGAN, its PyTorch twin with the same numbers, and the way between their layouts.

The twin is written from the layer list of the authors' code; its names are those of their files. It
computes in float64.
"""

import functools

import jax
import numpy as np

from helpers import comparing, comparing_munit
from helpers.comparing_munit import from_torch, to_torch, variables_of
from maskgan_jax import config as run_config
from maskgan_jax import methods
from maskgan_jax.import_weights import stargan as converter

__all__ = ['from_torch', 'to_torch', 'variables_of']

BATCH, SIZE, LABELS = 2, 16, ('Black_Hair', 'Male', 'Young')
SMALL = {'width': 3, 'blocks': 2, 'critic_width': 4, 'critic_depth': 3, 'targets': 'partner'}
# Such that no term's gradient hides behind another's.
WEIGHTS = {'adversarial': 0.7, 'classification': 0.4, 'gradient_penalty': 1.3,
           'reconstruction': 2.0}
_LEAVES = {'kernel': 'weight', 'bias': 'bias', 'scale': 'weight'}


@functools.cache
def small(outputs):
  """Returns (config, method, parameters)."""
  config = run_config.default('stargan')
  config.update(image_size=SIZE, batch_size=BATCH)
  config.model.update(outputs=outputs, **SMALL)
  config.weights.update(WEIGHTS)
  config.data.attributes = LABELS
  method = methods.make(config)
  return config, method, variables_of(method, config)


def batch_of(seed=0):
  rng = np.random.default_rng(seed)
  labels = {f'{d}_attributes': rng.integers(0, 2, (BATCH, len(LABELS))).astype('f4') for d in 'ab'}
  return {'a': images(seed), 'b': images(seed + 100), **labels}


def images(seed, size=SIZE, batch=BATCH):
  return comparing_munit.images(seed, (size, size), batch)


def state_dicts(config, tree):
  """Returns the generator's and the critic's parameters or gradients under the authors' names."""
  import torch
  names, result = converter.layer_names(config.model), ({}, {})
  pixels = config.image_size // 2 ** config.model.critic_depth
  for path, value in jax.tree_util.tree_leaves_with_path(tree):
    *layer, leaf = (key.key for key in path if key.key != 'Dense_0')
    value = np.asarray(value)
    if layer[-1] == 'classes':
      value = value.reshape(pixels, pixels, -1, value.shape[1]).transpose(3, 2, 0, 1)
    elif leaf == 'kernel':
      is_transposed = layer[-1].startswith('UpConv')
      value = value.transpose(comparing.TRANSPOSED if is_transposed else comparing.CONV)
    name = f'{names["/".join(layer)]}.{_LEAVES[leaf]}'
    result[layer[0] == 'critic'][name] = torch.from_numpy(value.copy())
  return result


def make_twin(outputs):
  """Returns (generator, critic) with the numbers of `small`, in float64."""
  config, _, params = small(outputs)
  twin = networks(outputs, len(LABELS), **{key: config.model[key] for key in (
      'width', 'blocks', 'critic_width', 'critic_depth')}, size=SIZE)
  for network, state in zip(twin, state_dicts(config, params), strict=True):
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected and not missing
    network.double()
  return twin


def networks(outputs, labels, *, width, blocks, critic_width, critic_depth, size):
  """Returns the twin's two modules."""
  import torch
  from torch import nn

  def norm(features):
    return nn.InstanceNorm2d(features, affine=True)

  class Block(nn.Module):
    def __init__(self, features):
      super().__init__()
      conv = functools.partial(nn.Conv2d, features, features, 3, 1, 1, bias=False)
      self.main = nn.Sequential(conv(), norm(features), nn.ReLU(), conv(), norm(features))

    def forward(self, x):
      return x + self.main(x)

  class Generator(nn.Module):
    def __init__(self):
      super().__init__()
      layers = [nn.Conv2d(3 + labels, width, 7, 1, 3, bias=False), norm(width), nn.ReLU()]
      for n in (width, 2 * width):
        layers += [nn.Conv2d(n, 2 * n, 4, 2, 1, bias=False), norm(2 * n), nn.ReLU()]
      layers += [Block(4 * width) for _ in range(blocks)]
      for n in (4 * width, 2 * width):
        layers += [nn.ConvTranspose2d(n, n // 2, 4, 2, 1, bias=False), norm(n // 2), nn.ReLU()]
      self.main = nn.Sequential(*layers, nn.Conv2d(width, outputs, 7, 1, 3, bias=False))

    def forward(self, x, c):
      planes = c[:, :, None, None].expand(-1, -1, *x.shape[2:])
      y = self.main(torch.cat([x, planes], 1))
      if outputs == 3:
        return torch.tanh(y)
      mask = torch.sigmoid(y[:, :1])
      return mask * y[:, 1:] + (1 - mask) * x

  class Critic(nn.Module):
    def __init__(self):
      super().__init__()
      layers, n = [], 3
      for i in range(critic_depth):
        layers += [nn.Conv2d(n, critic_width * 2 ** i, 4, 2, 1), nn.LeakyReLU(0.01)]
        n = critic_width * 2 ** i
      self.main = nn.Sequential(*layers)
      self.conv1 = nn.Conv2d(n, 1, 3, 1, 1, bias=False)
      self.conv2 = nn.Conv2d(n, labels, size // 2 ** critic_depth, bias=False)

    def forward(self, x):
      h = self.main(x)
      return self.conv1(h), self.conv2(h).flatten(1)

  return Generator(), Critic()


def losses(generator, critic, batch, alpha):
  """Returns the terms of L_D and L_G of a batch whose labels partners exchange."""
  import torch
  from torch.nn import functional

  def both(one, other):
    return torch.stack([one, other], 1).flatten(0, 1)  # a_0, b_0, a_1, ...
  a, b = (to_torch(batch[d]).double() for d in 'ab')
  of_a, of_b = (torch.tensor(batch[f'{d}_attributes']).double() for d in 'ab')
  x, c, target = both(a, b), both(of_a, of_b), both(of_b, of_a)

  def classify(logits, labels):
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction='sum') / len(x)
  fake = generator(x, target)
  score, logits = critic(x)
  fake_score, fake_logits = critic(fake.detach())
  line = (alpha * x + (1 - alpha) * fake.detach()).requires_grad_(True)
  [slope] = torch.autograd.grad(critic(line)[0].sum(), line, create_graph=True)
  of_critic = {'real': -score.mean(), 'fake': fake_score.mean(),
               'classification': classify(logits, c),
               'gradient_penalty': ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()}
  score, logits = critic(fake)
  of_generator = {'adversarial': -score.mean(), 'classification': classify(logits, target),
                  'reconstruction': (x - generator(fake, c)).abs().mean()}
  for terms in (of_critic, of_generator):
    weights = {'real': 'adversarial', 'fake': 'adversarial'}
    terms['loss'] = sum(WEIGHTS[weights.get(name, name)] * term for name, term in terms.items())
  return of_critic, of_generator
