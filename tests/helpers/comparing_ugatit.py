"""A small U-GAT-IT, its PyTorch twin with the same numbers, and the way between their layouts.

The twin computes in float64, as in comparing_lomit.py.
"""

import math

import jax
import numpy as np

from helpers import comparing
from helpers.comparing_munit import BATCH, batch_of, from_torch, to_torch
from maskgan_jax import config as run_config
from maskgan_jax import methods
from maskgan_jax.import_weights import ugatit as converter

__all__ = ['BATCH', 'batch_of', 'from_torch', 'to_torch']

SMALL = {'width': 3, 'downsamplings': 1, 'blocks': 1, 'light': False, 'discriminator_width': 3,
         'global_strides': 2, 'local_strides': 1}
# Such that no term's gradient hides behind another's, whatever its size is.
BALANCED = {'adversarial': 0.7, 'cycle': 1.9, 'identity': 1.3, 'cam': 1.1}
# (height, width, variant, changes of config.model)
CASES = {
    'pytorch': (16, 16, 'pytorch', {}),
    'light': (16, 24, 'pytorch', {'light': True, 'blocks': 2}),
    'paper': (16, 20, 'paper', {}),
}
# Where normalisations see few pixels, rounding to float32 reaches 1e-3 of a gradient: gradients
# are compared in the other cases.
DEEP = {'deep': (16, 24, 'pytorch', {'light': True, 'downsamplings': 2, 'blocks': 2})}


def module():
  """Imports benchmarks/torch_ugatit.py."""
  return comparing.benchmark('torch_ugatit')


def make_config(case):
  height, width, variant, model = {**CASES, **DEEP}[case]
  config = run_config.default('ugatit')
  config.update(image_size=height, image_width=width, batch_size=BATCH, variant=variant)
  config.model.update({**SMALL, **model})
  config.weights.update(BALANCED)
  return config


def small(case):
  """Returns (config, method, parameters, state)."""
  config = make_config(case)
  method = methods.make(config)
  shapes = jax.eval_shape(method.init, jax.random.key(0), batch_of(config))
  rng = np.random.default_rng(3)

  def draw(path, leaf):
    """Draws what looks trained: no bias is 0, no scale 1, and rho lies from 0 to 1."""
    name, noise = path[-1].key, rng.uniform(-1, 1, leaf.shape)
    if name == 'kernel':
      x = noise * math.sqrt(6 / math.prod(leaf.shape[:-1]))
    elif name == 'u':
      x = noise / np.sqrt(np.square(noise).sum())
    elif name == 'rho':
      x = 0.5 + 0.5 * noise
    else:
      x = (name == 'scale') + 0.3 * noise
    return x.astype(np.float32)
  params, state = jax.tree_util.tree_map_with_path(draw, shapes)
  return config, method, params, state


def make_twin(config, params, state):
  """Returns a twin with these numbers, in float64."""
  model = module().Ugatit(
      sides=methods.base.image_shape(config), **{name: config.model[name] for name in SMALL},
      tensorflow=config.variant == 'paper', weights=config.weights.to_dict())
  states = state_dicts(config, params, state['batch_stats'])
  for networks in (model.generators, model.discriminators):
    for name, network in networks.items():
      network.load_state_dict(states[name])
    networks.double()
  return model


def state_dicts(config, *trees):
  """Returns parameters, gradients or statistics as the authors' state dicts, in their layout."""
  import torch
  names, result = converter.layer_names(config.model), {}
  for path, value in (pair for tree in trees for pair in jax.tree_util.tree_leaves_with_path(tree)):
    group, *layer, leaf = (key.key for key in path if key.key != 'Dense_0')
    network = group.split('_')[0]
    name, value = names['/'.join((network, *layer))], np.asarray(value)
    if value.ndim == 4:
      value = value.transpose(comparing.CONV)
    elif value.ndim == 2:
      value = value.T
      if network == 'generator' and layer == ['Linear_0'] and not config.model.light:
        channels, height, width = converter.code_shape(config)
        maps = value.reshape(-1, height, width, channels)
        value = maps.transpose(0, 3, 1, 2).reshape(value.shape)
    elif layer[-1].startswith('AdaLin'):
      value = value[None, :, None, None]
    state = result.setdefault(converter.ENTRIES[group], {})
    state[f'{name}.{converter.part(network, layer, leaf)}'] = torch.from_numpy(value.copy())
  return result
