"""A small UNIT, its PyTorch twin with the same numbers, and the way between their layouts.

The twin computes in float64, as in comparing_lomit.py.
"""

import jax
import numpy as np

from helpers import comparing
from helpers.comparing_munit import (
  BATCH,
  batch_of,
  from_torch,
  images,
  to_torch,
  variables_of,
)
from maskgan_jax import config as run_config
from maskgan_jax import methods
from maskgan_jax.import_weights import unit as converter

__all__ = ['BATCH', 'batch_of', 'from_torch', 'images', 'to_torch', 'variables_of']

SMALL = {'width': 3, 'downsamplings': 1, 'blocks': 1, 'strided_norm': True,
         'discriminator_width': 3, 'discriminator_depth': 3, 'discriminator_scales': 1}
# Such that no term's gradient hides behind another's, whatever its size is.
BALANCED = {'adversarial': 0.7, 'reconstruction': 1.9, 'kl': 0.3, 'cycle': 1.7, 'cycle_kl': 0.2}
# (height, width, variant, changes of config.model)
CASES = {
    'paper': (16, 24, 'paper', {'blocks': 2, 'downsamplings': 2}),
    'faces': (16, 16, 'paper', {'strided_norm': False}),
    'rerelease': (24, 16, 'rerelease', {'discriminator_depth': 2, 'discriminator_scales': 2}),
}
_LEAVES = {'kernel': 'weight', 'bias': 'bias', 'scale': 'gamma'}


def module():
  """Imports benchmarks/torch_unit.py."""
  comparing.benchmark('torch_munit')
  return comparing.benchmark('torch_unit')


def make_config(case):
  height, width, variant, model = CASES[case]
  config = run_config.default('unit')
  config.update(image_size=height, image_width=width, batch_size=BATCH, variant=variant)
  config.model.update({**SMALL, **model})
  config.weights.update(BALANCED)
  return config


def small(case):
  """Returns (config, method, parameters)."""
  config = make_config(case)
  method = methods.make(config)
  return config, method, variables_of(method, config)


def make_twin(config, params, **options):
  """Returns a twin with these numbers, in float64."""
  model = module().Unit(
      **{name: config.model[name] for name in SMALL}, weights=config.weights.to_dict(),
      rerelease=config.variant == 'rerelease', **options)
  for networks, state in zip((model.generator, model.discriminators), state_dicts(config, params),
                             strict=True):
    networks.load_state_dict({twin_name(name): value for name, value in state.items()})
    networks.double()
  return model


def twin_name(name):
  """Returns the twin's name of a tensor of the authors'."""
  for theirs, twins in (('model_A.', 'a.model.'), ('model_B.', 'b.model.'), ('a.enc.', 'enc.a.'),
                        ('b.enc.', 'enc.b.'), ('a.dec.', 'dec.a.'), ('b.dec.', 'dec.b.')):
    if name.startswith(theirs):
      return twins + name.removeprefix(theirs)
  return name


def state_dicts(config, tree):
  """Returns parameters or gradients under the authors' names, in PyTorch's layout: of generators
  and of discriminators."""
  import torch
  names, result = converter.layer_names(config), ({}, {})
  for path, value in jax.tree_util.tree_leaves_with_path(tree):
    *layer, leaf = (key.key for key in path)
    name, value = names['/'.join(layer)], np.asarray(value)
    if leaf == 'kernel':
      transposed = converter.is_transposed(name, config.model)
      value = value.transpose(comparing.TRANSPOSED if transposed else comparing.CONV)
    is_shift = leaf == 'bias' and layer[-1].startswith('LayerNorm')
    part = 'beta' if is_shift else _LEAVES[leaf]
    result[layer[0].startswith('discriminator')][f'{name}.{part}'] = torch.from_numpy(value.copy())
  return result


def noise(config, key):
  """Returns what a player adds to the latents of a and b from a key, NCHW."""
  height, width = methods.base.image_shape(config)
  factor = 2 ** config.model.downsamplings
  shape = (2 * BATCH, height // factor, width // factor, factor * config.model.width)
  drawn = jax.random.normal(key, shape)
  return to_torch(drawn[::2]), to_torch(drawn[1::2])
