"""A small AGGAN and its PyTorch twin, which computes from the same numbers in float64.

The twin is written from the layer list of the authors' TensorFlow code, with functions: a layer
takes its entry of our parameters.
"""

import functools

import jax
import numpy as np

from helpers import comparing_munit
from helpers.comparing_munit import from_torch, to_torch, variables_of
from maskgan_jax import config as run_config
from maskgan_jax import methods

__all__ = ['from_torch', 'to_torch', 'variables_of']

BATCH, SIZE = 2, 16
SMALL = {'width': 3, 'blocks': 2, 'discriminator_width': 3, 'discriminator_strides': 2,
         'pool_size': 9, 'switch_step': 5, 'threshold': 0.45}
WEIGHTS = {'adversarial': 0.8, 'cycle': 1.7}
# variant, changes of config.model
CASES = {'official': ('official', {}), 'intended': ('intended', {'attention_strides': 1}),
         'exemplar': ('official', {'exemplar': True, 'attention_strides': 1})}


@functools.cache
def small(case):
  """Returns (config, method, parameters)."""
  variant, model = CASES[case]
  config = run_config.default('aggan')
  config.update(image_size=SIZE, batch_size=BATCH, variant=variant)
  config.model.update({**SMALL, **model})
  config.weights.update(WEIGHTS)
  method = methods.make(config)
  return config, method, variables_of(method, config)


def images(seed):
  return comparing_munit.images(seed, (SIZE, SIZE), BATCH)


def batch_of(seed=0):
  return {'a': images(seed), 'b': images(seed + 100)}


class Twin:
  """The networks as functions, with parameters by group as leaves."""

  def __init__(self, case):
    import torch
    self.config, self.method, params = small(case)

    def leaf(x):
      return torch.tensor(np.asarray(x), dtype=torch.float64, requires_grad=True)
    self.params = jax.tree.map(leaf, params)
    self.exemplar = self.config.model.exemplar

  def conv(self, x, p, stride=1, pad=(0, 0, 0, 0), mode='constant'):
    from torch.nn import functional
    kernel = p['kernel'].permute(3, 2, 0, 1)
    return functional.conv2d(functional.pad(x, pad, mode), kernel, p['bias'], stride)

  def same(self, x, p, mode='constant'):
    side = p['kernel'].shape[0] // 2
    return self.conv(x, p, 1, (side,) * 4, mode)

  def norm(self, x, p):
    mean = x.mean((2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean((2, 3), keepdim=True)
    y = (x - mean) / (variance + 1e-5) ** 0.5
    return y * p['scale'][:, None, None] + p['bias'][:, None, None]

  def block(self, x, p, mode):
    import torch
    y = torch.relu(self.norm(self.same(x, p['Conv_0'], mode), p['InstanceNorm_0']))
    return torch.relu(x + self.norm(self.same(y, p['Conv_1'], mode), p['InstanceNorm_1']))

  def attention(self, domain, x):
    import torch
    p, strides = self.params[f'attention_{domain}'], self.config.model.attention_strides
    x = self.conv(x, p['Conv_0'], 2, (3,) * 4, 'reflect')
    x = torch.relu(self.norm(x, p['InstanceNorm_0']))
    for i in range(1, strides):  # TensorFlow's SAME pads after, where the side is even
      x = self.conv(x, p[f'Conv_{i}'], 2, (0, 1, 0, 1))
      x = torch.relu(self.norm(x, p[f'InstanceNorm_{i}']))
    x = self.block(x, p['Residual_0'], 'reflect')
    for i in range(strides, 2 * strides):
      x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
      x = torch.relu(self.norm(self.same(x, p[f'Conv_{i}']), p[f'InstanceNorm_{i}']))
    return torch.sigmoid(self.same(x, p[f'Conv_{2 * strides}']))

  def generator(self, name, x):
    import torch
    from torch.nn import functional
    p = self.params[f'generator_{name}']
    x = torch.relu(self.norm(self.same(x, p['Conv_0']), p['InstanceNorm_0']))
    for i in (1, 2):
      x = self.conv(x, p[f'Conv_{i}'], 2, (0, 1, 0, 1))
      x = torch.relu(self.norm(x, p[f'InstanceNorm_{i}']))
    for i in range(self.config.model.blocks):
      x = self.block(x, p[f'Residual_{i}'], 'constant')
    for i in (0, 1):
      up = p[f'UpConv3x3_{i}']
      kernel, side = up['kernel'].permute(2, 3, 0, 1), 2 * x.shape[2]
      # The gradient of SAME: what lies beyond the last pixel is cut off.
      x = functional.conv_transpose2d(x, kernel, stride=2)[:, :, :side, :side]
      x = torch.relu(self.norm(x + up['bias'][:, None, None], p[f'InstanceNorm_{3 + i}']))
    return torch.tanh(self.same(x, p['Conv_3']))

  def discriminator(self, domain, x, mask, late):
    from torch.nn import functional
    p, strides = self.params[f'discriminator_{domain}'], self.config.model.discriminator_strides
    if late:
      x = x * (mask >= self.config.model.threshold)
    for i in range(strides + 1):
      x = self.conv(x, p[f'Conv_{i}'], 2 if i < strides else 1, (2,) * 4)
      x = functional.leaky_relu(x if late else self.norm(x, p[f'InstanceNorm_{i}']), 0.2)
    return self.conv(x, p[f'Conv_{strides + 1}'], 1, (2,) * 4)

  def translate(self, domain, x, exemplar):
    import torch
    mask = self.attention(domain, x)
    seen = torch.cat([x, exemplar], 1) if self.exemplar else x
    y = self.generator({'a': 'ab', 'b': 'ba'}[domain], seen)
    return mask * y + (1 - mask) * x, mask

  def losses(self, batch, late):
    """Returns the terms of the discriminators' and of the generators' losses, pools being empty."""
    a, b = (to_torch(batch[d]).double() for d in 'ab')
    ab, mask_a = self.translate('a', a, b)
    ba, mask_b = self.translate('b', b, a)
    aba, _ = self.translate('b', ab, ba)
    bab, _ = self.translate('a', ba, ab)

    def square(x, target):
      return ((x - target) ** 2).mean()
    first = {}
    for d, real, own, fake, its in (('a', a, mask_a, ba, mask_b), ('b', b, mask_b, ab, mask_a)):
      first[f'real_{d}'] = square(self.discriminator(d, real, own.detach(), late), 1) / 2
      first[f'fake_{d}'] = square(self.discriminator(d, fake.detach(), its.detach(), late), 0) / 2
    first['loss'] = sum(first.values())
    second = {
      'adversarial': square(self.discriminator('b', ab, mask_a, late), 1)
                     + square(self.discriminator('a', ba, mask_b, late), 1),
      'cycle': (aba - a).abs().mean() + (bab - b).abs().mean()}
    second['loss'] = sum(WEIGHTS[name] * term for name, term in second.items())
    return first, second
