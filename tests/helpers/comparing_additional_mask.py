"""A small additional-mask model, its PyTorch twin with the same numbers, and the way between their
layouts.

The twin computes in float64, as in comparing_lomit.py.
"""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np

from helpers import comparing
from maskgan_jax import config as run_config
from maskgan_jax import methods

BATCH, POOL = 3, 2
SIZES = {'width': 3, 'blocks': 2, 'discriminator_width': 3, 'discriminator_layers': 2}
# Such that no term's gradient hides behind another's, whatever its size is.
BALANCED = {'adversarial': 0.7, 'cycle': 1.9, 'mask': 1.3, 'identity': 1.1, 'supervised': 1.7}
# (height, width, variant, changes of config.model, changes of BALANCED)
CASES = {
    'paper': (16, 20, 'paper', {}, {'identity': 0.0}),
    'switched': (32, 32, 'paper',  # DCGAN's halves the images as often; sums over 3072 numbers
                 {'discriminator': 'dcgan', 'discriminator_layers': 3, 'attention': True,
                  'mask_range': 2.0, 'clipped': True, 'l1_norm': 'sum',
                  'lambda_g': 'discriminator'}, {'cycle': 6e-4, 'mask': 1e-3, 'identity': 4e-4}),
    'cyclegan': (20, 16, 'cyclegan', {}, {}),
    'supervised': (12, 16, 'paper', {'scheme': 'supervised'}, {}),
}
_LAYERS = {  # part of a network's name -> our layers' names and the twin's
    'generator': ((r'Residual_(\d+)\.Conv_(\d)', r'residuals.\1.convolutions.\2'),
                  (r'DownConv_(\d)', r'down.\1'), (r'UpConv3x3_(\d)', r'up.\1'),
                  ('^Conv_0', 'first'), ('^Conv_1', 'last')),
    'patch': ((r'DownConv_(\d)', r'convolutions.\1'), ('^Conv_0', 'dense'), ('scores', 'last')),
    'dcgan': ((r'DownConv_(\d)', r'convolutions.\1'), (r'BatchNorm_(\d)', r'norms.\1'),
              (r'scores\.Dense_0', 'last')),
}


def module():
  """Imports benchmarks/torch_additional_mask.py."""
  return comparing.benchmark('torch_additional_mask')


def make_config(case):
  height, width, variant, model, weights = CASES[case]
  config = run_config.default('additional_mask')
  config.update(image_size=height, image_width=width, batch_size=BATCH, variant=variant)
  config.model.update({**SIZES, 'pool_size': POOL, **model})
  config.weights.update({**BALANCED, **weights})
  if config.model.scheme == 'supervised':
    config.data.aligned = True
  return config


def images(seed, shape, batch=BATCH):
  """Returns noise with a different colour in each image."""
  rng = np.random.default_rng(seed)
  x = 0.6 * rng.uniform(-1, 1, (batch, *shape, 3)) + 0.4 * rng.uniform(-1, 1, (batch, 1, 1, 3))
  return x.astype(np.float32)


def batch_of(config, seed=0):
  shape = methods.base.image_shape(config)
  return {'a': images(seed, shape), 'b': images(seed + 100, shape)}


def variables_of(method, config, seed=27):
  """Returns parameters and state that look trained: no bias is 0, no scale 1, pools are full.

  With this seed no activation or difference is so near to zero that float32 decides its sign.
  """
  shapes = jax.eval_shape(method.init, jax.random.key(0), batch_of(config))
  rng = np.random.default_rng(seed)

  def draw(path, leaf):
    name, noise = path[-1].key, rng.uniform(-1, 1, leaf.shape)
    if name == 'count':
      return jnp.int32(POOL)
    if name == 'kernel':
      x = noise * math.sqrt(6 / math.prod(leaf.shape[:-1]))
    elif name == 'images':
      x = noise
    else:
      x = (name == 'scale') + 0.3 * noise
    return x.astype(np.float32)
  return jax.tree_util.tree_map_with_path(draw, shapes)


def make_twin(config, params, model_state=None, **options):
  """Returns a twin with these numbers, in float64; its pools are empty without a model state."""
  names = ('scheme', 'discriminator', 'attention', 'pool_size')
  model = module().AdditionalMask(
      weights=config.weights.to_dict(), switches=dict(methods.make(config).switches),
      **{name: config.model[name] for name in (*SIZES, *names)}, **options)
  model.networks.load_state_dict(state_dict(params))
  model.networks.double()
  for domain, pool in (model_state or {}).get('pools', {}).items():
    model.pools[domain].images = list(to_torch(pool['images']))
  return model


def state_dict(tree):
  """Returns parameters or gradients under the twin's names, in PyTorch's layout."""
  import torch
  result = {}
  for path, value in jax.tree_util.tree_leaves_with_path(tree):
    network, *layers, leaf = (key.key for key in path)
    kind, name, value = 'generator', '.'.join(layers), np.asarray(value)
    if network.startswith('discriminator'):
      kind = 'dcgan' if 'Dense_0' in tree[network]['scores'] else 'patch'
    if leaf == 'kernel' and value.ndim == 2:  # the twin has a convolution over the whole map
      value = value.reshape(4, 4, -1, 1)
    if leaf == 'kernel':
      value = value.transpose(comparing.TRANSPOSED if name.startswith('Up') else comparing.CONV)
    for pattern, replacement in _LAYERS[kind]:
      name = re.sub(pattern, replacement, name)
    leaf = 'bias' if leaf == 'bias' else 'weight'
    result[f'{network}.{name}.{leaf}'] = torch.from_numpy(value.copy())
  return result


def slots(rng, batch=BATCH):
  """Returns what the discriminators draw from this key for the pools of a and b: for each image
  the slot whose picture replaces it, or None."""
  def draw(key):
    coin, place = jax.random.split(key)
    slot = jax.random.randint(place, (), 0, POOL)
    return int(slot) if jax.random.bernoulli(coin) else None
  return [[draw(key) for key in jax.random.split(domain, batch)]
          for domain in jax.random.split(rng)]


def to_torch(x):
  import torch
  return torch.tensor(np.asarray(x, np.float64).transpose(0, 3, 1, 2).copy())


def from_torch(x):
  return x.detach().numpy().transpose(0, 2, 3, 1)


def of_batch(batch):
  return [to_torch(batch[name]) for name in 'ab']


def small(case):
  """Returns (config, method, parameters, state)."""
  config = make_config(case)
  method = methods.make(config)
  return config, method, *variables_of(method, config)
