"""A small LOMIT, its PyTorch twin with the same numbers, and the way between their layouts.

The twin computes in float64. In float32 it would be no closer to that than our code is, and much of
a gradient would be the rounding of a division by HAdaIN's small deviations.
"""

import math

import jax
import numpy as np

from helpers import comparing
from maskgan_jax import config as run_config
from maskgan_jax import methods
from maskgan_jax.import_weights import lomit as converter

SIZE, BATCH, ATTRIBUTES = 16, 3, 3
SMALL = {'width': 4, 'blocks': 1, 'style_size': 3, 'mlp': 6, 'mask_depth': 2, 'critic_width': 4,
         'critic_depth': 3, 'critic_every': 2}
# Such that no term's gradient hides behind another's, whatever its size is.
BALANCED = {'adversarial': 1.3, 'classification': 0.7, 'gradient_penalty': 2.1, 'cycle': 1.9,
            'reconstruction': 1.1, 'foreground_style': 0.8, 'background_style': 1.2, 'content': 0.9,
            'similarity': 3.1, 'size': 1.7, 'total_variation': 0.02, 'style_difference': 0.6}
_LEAVES = {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias', 'mean': 'running_mean',
           'var': 'running_var'}


def module():
  """Imports benchmarks/torch_lomit.py."""
  return comparing.benchmark('torch_lomit')


def make_config(weights=None, **model):
  """Returns a config of the official variant at small sizes."""
  config = run_config.default('lomit')
  config.update(image_size=SIZE, batch_size=BATCH, variant='official')
  config.data.attributes = tuple(f'attribute_{i}' for i in range(ATTRIBUTES))
  config.model.update({**SMALL, **model})
  weights = dict(weights or {})
  config.model.style_difference = weights.pop('style_difference', None)
  config.weights.update(weights)
  return config


def images(seed, batch=BATCH):
  """Returns noise with a different colour in each image, so that codes differ."""
  rng = np.random.default_rng(seed)
  x = 0.6 * rng.uniform(-1, 1, (batch, SIZE, SIZE, 3)) + 0.4 * rng.uniform(-1, 1, (batch, 1, 1, 3))
  return x.astype(np.float32)


def batch_of(seed=0):
  labels = np.random.default_rng(seed).integers(0, 2, (2, BATCH, ATTRIBUTES)).astype(np.float32)
  return {'a': images(seed), 'b': images(seed + 100), 'a_attributes': labels[0],
          'b_attributes': labels[1]}


def variables_of(method, seed=4):
  """Returns parameters and state that look trained: no bias is 0, no scale 1, no average 0 or 1.

  With this seed no activation or difference is so near to zero that float32 decides its sign.
  """
  shapes = jax.eval_shape(method.init, jax.random.key(0), batch_of())
  rng = np.random.default_rng(seed)

  def draw(path, leaf):
    name, noise = path[-1].key, rng.uniform(-1, 1, leaf.shape)
    if name == 'kernel':
      x = noise * math.sqrt(6 / math.prod(leaf.shape[:-1]))
    else:
      x = (name in ('scale', 'var')) + 0.3 * noise
    return x.astype(np.float32)
  return jax.tree_util.tree_map_with_path(draw, shapes)


def make_twin(config, params, batch_stats, weights=None):
  """Returns a twin with these numbers, in float64."""
  sizes = {name: config.model[name] for name in SMALL}
  model = module().Lomit(image_size=config.image_size, attributes=len(config.data.attributes),
                         weights=weights, **sizes)
  tensors = {**state_dict(config, params), **state_dict(config, batch_stats)}
  for network in (model.generator, model.critic):
    state = network.state_dict()
    loaded = {name: tensors.pop(name) for name in state if name in tensors}
    # The style heads have a second name; the remaining tensors keep PyTorch's initial values.
    loaded.update({name: loaded[name.replace('background', 'foreground')] for name in state
                   if 's_encoder.background' in name})
    absent = [name for name in state.keys() - loaded.keys()
              if not name.endswith(('running_mean', 'running_var', 'num_batches_tracked'))]
    assert not absent, absent
    network.load_state_dict({**state, **loaded})
    network.double().train()
  assert not tensors, tensors.keys()
  return model


def state_dict(config, tree):
  """Returns parameters, gradients or batch_stats under the authors' names, in PyTorch's layout."""
  import torch
  names, result = converter.layer_names(config), {}
  for path, value in jax.tree_util.tree_leaves_with_path(tree):
    *layer, leaf = (key.key for key in path)
    name = names['/'.join(part for part in layer if part != 'Dense_0')]
    value = np.asarray(value)
    if leaf == 'kernel' and value.ndim == 2:
      value = value.T
      if not name.endswith('.fc'):  # the twin has a convolution over the whole map
        size = config.image_size // 2 ** config.model.critic_depth if name == 'conv2' else 1
        value = value.reshape(len(value), size, size, -1).transpose(0, 3, 1, 2)
    elif leaf == 'kernel':
      value = value.transpose(3, 2, 0, 1)
    result[f'{name}.{_LEAVES[leaf]}'] = torch.from_numpy(value.copy())
  return result


def to_torch(x):
  import torch
  x = np.asarray(x, np.float64)
  return torch.tensor((x.transpose(0, 3, 1, 2) if x.ndim == 4 else x).copy())


def from_torch(x):
  return x.detach().numpy().transpose(0, 2, 3, 1)


def of_batch(batch):
  """Returns images and labels as the twin's functions take them."""
  return [to_torch(batch[name]) for name in ('a', 'b', 'a_attributes', 'b_attributes')]


def small(weights=None, **model):
  """Returns (config, method, parameters, state) of `make_config`."""
  config = make_config(weights, **model)
  method = methods.make(config)
  return config, method, *variables_of(method)
