"""A small MUNIT, its PyTorch twin with the same numbers, and the way between their layouts.

The twin computes in float64, as in comparing_lomit.py.
"""

import math

import jax
import numpy as np

from helpers import comparing
from maskgan_jax import config as run_config
from maskgan_jax import methods
from maskgan_jax.import_weights import munit as converter

BATCH = 3
SMALL = {'width': 3, 'downsamplings': 1, 'blocks': 1, 'style_size': 3, 'style_downsamplings': 2,
         'mlp': 5, 'discriminator_width': 3, 'discriminator_depth': 2, 'discriminator_scales': 2}
# Such that no term's gradient hides behind another's, whatever its size is.
BALANCED = {'adversarial': 0.7, 'reconstruction': 1.9, 'content': 1.3, 'style': 1.1, 'cycle': 1.7}
# (height, width, variant, changes of config.model, changes of BALANCED)
CASES = {
    'official': (16, 16, 'official', {}, {'cycle': 0.0}),
    'cycle': (16, 24, 'official', {'downsamplings': 2, 'style_downsamplings': 3}, {}),
    'paper': (24, 16, 'paper', {'blocks': 2, 'adversarial': 'cross_entropy'}, {}),
}
_LEAVES = {'kernel': 'weight', 'bias': 'bias', 'scale': 'gamma'}


def module():
  """Imports benchmarks/torch_munit.py."""
  return comparing.benchmark('torch_munit')


def make_config(case):
  height, width, variant, model, weights = CASES[case]
  config = run_config.default('munit')
  config.update(image_size=height, image_width=width, batch_size=BATCH, variant=variant)
  config.model.update({**SMALL, **model})
  config.weights.update({**BALANCED, **weights})
  return config


def images(seed, shape, batch=BATCH):
  """Returns noise with a different colour in each image."""
  rng = np.random.default_rng(seed)
  x = 0.6 * rng.uniform(-1, 1, (batch, *shape, 3)) + 0.4 * rng.uniform(-1, 1, (batch, 1, 1, 3))
  return x.astype(np.float32)


def batch_of(config, seed=0):
  shape = methods.base.image_shape(config)
  return {'a': images(seed, shape), 'b': images(seed + 100, shape)}


def variables_of(method, config, seed=3):
  """Returns parameters that look trained: no bias is 0, no scale 1."""
  shapes, _ = jax.eval_shape(method.init, jax.random.key(0), batch_of(config))
  rng = np.random.default_rng(seed)

  def draw(path, leaf):
    name, noise = path[-1].key, rng.uniform(-1, 1, leaf.shape)
    if name == 'kernel':
      x = noise * math.sqrt(6 / math.prod(leaf.shape[:-1]))
    else:
      x = (name == 'scale') + 0.3 * noise
    return x.astype(np.float32)
  return jax.tree_util.tree_map_with_path(draw, shapes)


def small(case):
  """Returns (config, method, parameters)."""
  config = make_config(case)
  method = methods.make(config)
  return config, method, variables_of(method, config)


def make_twin(config, params, **options):
  """Returns a twin with these numbers, in float64."""
  switches = methods.make(config).switches
  model = module().Munit(
      **{name: config.model[name] for name in SMALL}, weights=config.weights.to_dict(),
      unbiased=switches.layer_norm == 'unbiased',
      cross_entropy=config.model.adversarial == 'cross_entropy', **options)
  generators, discriminators = state_dicts(config, params)
  for networks, states in ((model.generators, generators), (model.discriminators, discriminators)):
    for domain, state in states.items():
      networks[domain].load_state_dict(state)
    networks.double()
  return model


def state_dicts(config, tree):
  """Returns parameters or gradients under the authors' names, in PyTorch's layout: of generators
  and of discriminators, each by domain."""
  import torch
  names, result = converter.layer_names(config), ({}, {})
  for path, value in jax.tree_util.tree_leaves_with_path(tree):
    group, *layer, leaf = (key.key for key in path if key.key != 'Dense_0')
    network, _, domain = group.rpartition('_')
    name, value = names['/'.join((network, *layer))], np.asarray(value)
    if leaf == 'kernel' and value.ndim == 2:
      value = value.T
      if not name.endswith('.fc'):  # the twin has a convolution of a single pixel
        value = value[:, :, None, None]
    elif leaf == 'kernel':
      value = value.transpose(3, 2, 0, 1)
    is_shift = leaf == 'bias' and layer[-1].startswith('LayerNorm')
    part = 'beta' if is_shift else _LEAVES[leaf]
    states = result[network == 'discriminator'].setdefault(domain, {})
    states[f'{name}.{part}'] = torch.from_numpy(value.copy())
  return result


def to_torch(x):
  import torch
  x = np.asarray(x, np.float64)
  return torch.tensor((x.transpose(0, 3, 1, 2) if x.ndim == 4 else x).copy())


def from_torch(x):
  x = x.detach().numpy()
  return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x
