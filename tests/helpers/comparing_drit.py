"""A small DRIT, its PyTorch twin with the same numbers, and the way between their layouts.

The twin computes in float64, as in comparing_lomit.py.
"""

import jax
import numpy as np

from helpers import comparing
from helpers.comparing_munit import batch_of, from_torch, images, to_torch, variables_of
from maskgan_jax import config as run_config
from maskgan_jax import methods
from maskgan_jax.import_weights import drit as converter

__all__ = ['batch_of', 'from_torch', 'images', 'to_torch', 'variables_of']

BATCH = 3
SMALL = {'width': 3, 'downsamplings': 1, 'blocks': 1, 'attribute_size': 3,
         'attribute_downsamplings': 3, 'mlp': 5, 'discriminator_width': 3,
         'discriminator_depth': 2, 'discriminator_scales': 2, 'content_depth': 1}
# Such that no term's gradient hides behind another's, whatever its size is.
BALANCED = {'adversarial': 0.7, 'random_adversarial': 0.6, 'content_adversarial': 1.2,
            'reconstruction': 1.9, 'cycle': 1.7, 'latent': 1.1, 'kl': 0.3, 'content': 0.4,
            'mode_seeking': 0.2}
# (height, width, variant, changes of config.model); sides of 20 and 44 have odd halves.
CASES = {
    'concat': (20, 24, 'official', {'attribute_downsamplings': 4, 'content_kernel': '4x4'}),
    'feature_wise': (20, 20, 'official', {'generator': 'feature_wise', 'content_kernel': '4x4',
                                          'mode_seeking': False}),
    'paper': (44, 44, 'paper', {'downsamplings': 2, 'content_kernel': '7x7'}),
}
_LEAVES = {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias'}


def module():
  """Imports benchmarks/torch_drit.py."""
  return comparing.benchmark('torch_drit')


def make_config(case):
  height, width, variant, model = CASES[case]
  config = run_config.default('drit')
  config.update(image_size=height, image_width=width, batch_size=BATCH, variant=variant)
  config.model.update({**SMALL, 'others_every': 1, **model})
  config.weights.update(BALANCED)
  return config


def small(case):
  """Returns (config, method, parameters)."""
  config = make_config(case)
  method = methods.make(config)
  return config, method, variables_of(method, config)


def make_twin(config, params, **options):
  """Returns a twin with these numbers, in float64."""
  switches = methods.make(config).switches
  model = module().Drit(
      **{name: config.model[name] for name in SMALL},
      feature_wise=config.model.generator == 'feature_wise',
      mode_seeking=config.model.mode_seeking,
      content_4x4=config.model.content_kernel == '4x4',
      joint=switches.random_step == 'joint',
      content_l1=switches.content_penalty == 'l1',
      content_norm=switches.content_norm == 'instance',
      weights=config.weights.to_dict(), **options)
  for name, state in state_dicts(config, params).items():
    model.networks[name].load_state_dict(state)
  model.networks.double()
  return model


def state_dicts(config, tree):
  """Returns parameters or gradients under the authors' names, in PyTorch's layout, by network."""
  import torch
  names, result = converter.layer_names(config), {}
  for path, value in jax.tree_util.tree_leaves_with_path(tree):
    *layer, leaf = (key.key for key in path if key.key != 'Dense_0')
    network, name = names['/'.join(layer)]
    value = np.asarray(value)
    if value.ndim == 4:
      transposed = converter.is_transposed(name, config)
      value = value.transpose(comparing.TRANSPOSED if transposed else comparing.CONV)
    elif value.ndim == 2:
      value = value.T
      if name.startswith('model_'):  # the authors have a convolution of a single pixel
        value = value[:, :, None, None]
    elif layer[-1].startswith('LayerNorm'):
      value = value[:, None, None]
    states = result.setdefault(network, {})
    states[f'{name}.{_LEAVES[leaf]}'] = torch.from_numpy(value.copy())
  return result


# Random numbers, drawn as the method draws them.


def draws_of(config, player, key):
  """Returns the random numbers that a player of the method draws from its key, for the twin."""
  count = 2 if config.model.mode_seeking else 1
  if player == 'content_discriminator':
    return {'noise': noise(config, key)}
  if player == 'generator':
    first, second, last = jax.random.split(key, 3)
    again = encoding(config, second)
    return {**encoding(config, first), 'z': codes(config, last, count),
            **{f'{name}_2': value for name, value in again.items()}}
  first, last = jax.random.split(key)
  drawn = {'z': codes(config, last, count)}
  if player == 'random':
    return {'noise': noise(config, first), **drawn}
  return {**encoding(config, first), **drawn}


def encoding(config, key):
  """Returns the noise of contents and attributes."""
  key, *keys = jax.random.split(key, 3)
  shape = BATCH, config.model.attribute_size
  attributes = [to_torch(jax.random.normal(each, shape)) for each in keys]
  return {'noise': noise(config, key), 'attributes': dict(zip('AB', attributes, strict=True))}


def codes(config, key, count):
  shape = BATCH, config.model.attribute_size
  return [to_torch(jax.random.normal(each, shape)) for each in jax.random.split(key, count)]


def noise(config, key):
  """Returns what is added to the contents of both domains, NCHW."""
  height, width = methods.base.image_shape(config)
  factor = 2 ** config.model.downsamplings
  shape = (2 * BATCH, height // factor, width // factor, factor * config.model.width)
  drawn = jax.random.normal(key, shape)
  return {'A': to_torch(drawn[::2]), 'B': to_torch(drawn[1::2])}


def pictures(batch):
  """Returns a batch for the twin, by domain."""
  return {domain.upper(): to_torch(batch[domain]) for domain in 'ab'}
