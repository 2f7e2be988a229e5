"""A small EGSC-IT, its PyTorch twin with the same numbers, and the way between their layouts.

The twin computes in float64, as in comparing_lomit.py: AdaIN divides by variances.
"""

import math
import re

import jax
import numpy as np

from helpers import comparing
from maskgan_jax import config as run_config
from maskgan_jax import methods
from maskgan_jax.networks.streams import deinterleave

BATCH = 2
SIZES = {'width': 4, 'blocks': 1, 'discriminator_width': 4, 'discriminator_depth': 4,
         'perceptual_width': 3}
# Such that no term's gradient hides behind another's, whatever its size is.
BALANCED = {'adversarial': 1.3, 'kl': 0.6, 'reconstruction': 1.1, 'cycle_kl': 0.7, 'cycle': 1.9,
            'content': 11.0, 'style': 130.0}
# (height, width, changes of config.model). Discriminators end in maps of more than two pixels: one
# of two is always above and one below their mean by a deviation, and nothing has a gradient.
CASES = {
    'digits': (28, 28, {'downsamplings': 0}),  # maps of 28, 14, 7, 4 and 2 pixels
    'scenes': (16, 24, {'downsamplings': 2, 'discriminator_depth': 3,
                        'adain_spread': 'deviation'}),
    'paper': (12, 8, {'downsamplings': 1, 'discriminator_depth': 2}),  # all as in the paper
}
_RESIDUAL = ((r'Conv_(\d)', r'convolutions.\1'), (r'InstanceNorm_(\d)', r'norms.\1'))
_LAYERS = {  # part of a network's name -> our layers' names and the twin's
    'shared': _RESIDUAL,
    'discriminator': (
        (r'DownConv_(\d)', r'convolutions.\1'), ('scores', 'last'),
        (r'InstanceNorm_(\d)', lambda match: f'norms.{int(match[1]) + 1}')),
    'generator': ((r'^Conv_0', 'last'), (r'UpConv3x3_(\d)', r'convolutions.\1'),
                  (r'Residual_(\d)', r'residuals.\1'), *_RESIDUAL),
    'perceptual': ((r'conv(\d)_(\d)',
                    lambda match: f'blocks.{int(match[1]) - 1}.{int(match[2]) - 1}'),),
    'encoder': ((r'DownConv_(\d)', lambda match: f'convolutions.{int(match[1]) + 1}'),
                (r'Residual_(\d)', r'residuals.\1'), *_RESIDUAL),
}
_CAFFE_MEANS = (123.68, 116.779, 103.939)  # red, green, blue


def module():
  """Imports benchmarks/torch_egsc_it.py."""
  return comparing.benchmark('torch_egsc_it')


def make_config(case, pretrain_steps=0):
  """Returns a config of small networks; without first-stage steps it has second-stage players."""
  height, width, model = CASES[case]
  config = run_config.default('egsc_it')
  config.update(image_size=height, image_width=width, batch_size=BATCH, num_steps=4,
                variant='paper' if case == 'paper' else 'official')
  config.model.update({**SIZES, 'discriminator_every': 2,
                       'pretrain_steps': pretrain_steps, 'perceptual': 'a file', **model})
  config.weights.update(BALANCED)
  return config


def images(seed, shape, batch=BATCH):
  """Returns noise with a different colour in each image, so that styles differ."""
  rng = np.random.default_rng(seed)
  x = 0.6 * rng.uniform(-1, 1, (batch, *shape, 3)) + 0.4 * rng.uniform(-1, 1, (batch, 1, 1, 3))
  return x.astype(np.float32)


def batch_of(config, seed=0):
  shape = methods.base.image_shape(config)
  return {'a': images(seed, shape), 'b': images(seed + 100, shape)}


def variables_of(method, config, seed=0):
  """Returns parameters that look trained: no bias is 0, no scale 1. The perceptual network's input
  is Caffe's, except for the order of channels."""
  shapes, _ = jax.eval_shape(method.init, jax.random.key(0), batch_of(config))
  rng = np.random.default_rng(seed)

  def draw(path, leaf):
    *_, layer, name = (key.key for key in path)
    noise = rng.uniform(-1, 1, leaf.shape)
    if name == 'kernel':
      x = noise * math.sqrt(3 / math.prod(leaf.shape[:-1]))
      x = x / 60 if layer == 'conv1_1' else x
    elif name == 'input_mean':
      x = np.array(_CAFFE_MEANS) / 255
    elif name == 'input_scale':
      x = np.full(3, 1 / 255)
    else:
      x = (name == 'scale') + 0.3 * noise
    return x.astype(np.float32)
  return jax.tree_util.tree_map_with_path(draw, shapes)


def make_twin(config, params, stage, **options):
  """Returns a twin of a stage with these numbers, in float64."""
  switches = methods.make(config).switches
  options |= {'weights': BALANCED, 'switches': {name: switches[name] for name in module().OFFICIAL}}
  options |= {name: config.model[name] for name in (*SIZES, 'downsamplings')}
  if stage == 1:
    model = module().Pretraining(**options)
  else:
    model = module().EgscIt(**options, **{name: config.model[name] for name in (
        'discriminator_every', 'mask_threshold', 'adain_epsilon')})
  tensors = state_dict({name: params[name] for name in model.networks})
  model.networks.load_state_dict(tensors)
  model.networks.double()
  return model


def state_dict(tree):
  """Returns parameters or gradients under the twin's names, in PyTorch's layout."""
  import torch
  result = {}
  for path, value in jax.tree_util.tree_leaves_with_path(tree):
    network, *layers, leaf = (key.key for key in path)
    if leaf.startswith('input_'):  # built into the twin
      continue
    kind = next((kind for kind in _LAYERS if kind in network), 'encoder')
    name, value = '.'.join(layers), np.asarray(value)
    if leaf == 'kernel':
      transposed = kind == 'generator' and not name.startswith('Residual')
      value = value.transpose((2, 3, 0, 1) if transposed else (3, 2, 0, 1))
      if name == 'conv1_1':
        value = value[:, ::-1]  # from RGB to BGR
    for pattern, replacement in _LAYERS[kind]:
      name = re.sub(pattern, replacement, name)
    leaf = 'bias' if leaf == 'bias' else 'weight'
    result[f'{network}.{name}.{leaf}'] = torch.from_numpy(value.copy())
  return result


def noises(rng, like, groups=2):
  """Returns what the method draws from this key for interleaved latents of the shape of `like`,
  NHWC, as one tensor for each batch."""
  drawn = jax.random.normal(rng, (groups * len(like), *like.shape[1:]))
  return [to_torch(x) for x in deinterleave(drawn, groups)]


def noise_of(player, config, rng):
  """Returns what a player draws from its key, in the twin's order."""
  height, width = (side // 2 ** config.model.downsamplings
                   for side in methods.base.image_shape(config))
  like = np.empty((BATCH, height, width, config.model.width * 2 ** config.model.downsamplings))
  if player.startswith('pretrain'):  # each domain separately
    return [noises(key, like, 1)[0] for key in jax.random.split(rng)]
  if player == 'discriminator':
    return noises(rng, like)
  first, second = jax.random.split(rng)
  of_ba, of_ab = noises(second, like)  # E_A sees x_ba
  return [*noises(first, like), of_ab, of_ba]


def to_torch(x):
  import torch
  return torch.tensor(np.asarray(x, np.float64).transpose(0, 3, 1, 2).copy())


def from_torch(x):
  return x.detach().numpy().transpose(0, 2, 3, 1)


def of_batch(batch):
  return [to_torch(batch[name]) for name in 'ab']


def small(case, pretrain_steps=0):
  """Returns (config, method, parameters)."""
  config = make_config(case, pretrain_steps)
  method = methods.make(config)
  return config, method, variables_of(method, config)
