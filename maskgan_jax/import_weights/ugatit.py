"""Checkpoints of U-GAT-IT's PyTorch code (github.com/znxlwm/UGATIT-pytorch).

One file holds a dict of six state dicts: a generator of each direction, and two discriminators of
each domain. It has no optimizer's state. The authors have published no such file; what their
TensorFlow code writes is not read here.
"""

from collections.abc import Mapping, Sequence
import math
import os
import re
from typing import Any

import jax
import ml_collections
import numpy as np

from maskgan_jax import errors
from maskgan_jax.import_weights.base import abstract, Converted
from maskgan_jax.import_weights.tensors import Tensors
from maskgan_jax.recipes import ugatit as recipe

FILES = ('checkpoint',)

# Our group -> the entry of the file.
ENTRIES = {
  'generator_ab': 'genA2B',
  'generator_ba': 'genB2A',
  'global_discriminator_a': 'disGA',
  'global_discriminator_b': 'disGB',
  'local_discriminator_a': 'disLA',
  'local_discriminator_b': 'disLB',
}


def convert(paths: Sequence[str], files: Sequence[Mapping[str, Any]]) -> Converted:
  """Converts the file read from the one path.

  All sizes are read off the shapes; images of the light form are taken to have 256 pixels.
  UserError where a tensor is missing, unknown or of another shape than these say.
  """
  (path,), (file,) = paths, files
  tensors = _tensors(path, file)
  config = _config(tensors)
  _, params, state = abstract(config, path)
  names = layer_names(config.model)

  def take(tree_path, leaf):
    group, *layer, kind = (key.key for key in tree_path if key.key != 'Dense_0')
    is_generator = group.startswith('generator')
    network = 'generator' if is_generator else group.partition('_')[0]
    theirs = names['/'.join((network, *layer))]
    name = f'{theirs}.{part(network, layer, kind)}'
    flattened = None
    if is_generator and layer == ['Linear_0'] and not config.model.light:
      flattened = code_shape(config)
    return _array(tensors[group], name, leaf.shape, flattened)

  # Our trees, filled with the file's arrays.
  params = jax.tree_util.tree_map_with_path(take, params)
  stats = jax.tree_util.tree_map_with_path(take, state['batch_stats'])
  for each in tensors.values():
    each.finish(ignored=('.weight_v',))  # the power iteration makes it of weight_u
  notes = []
  if config.model.light:
    notes.append('the file does not say how large the images were: 256x256 is taken')
  model = {'params': params, 'model_state': {'batch_stats': stats}, 'ema_params': {}}
  return Converted(config, model, _step(path), notes)


def _step(path: str) -> int:
  """Returns the iterations that NAME_params_0500000.pt names; 0 for another name."""
  match = re.fullmatch(r'.*_params_(\d+)\.pt', os.path.basename(path))
  return int(match[1]) if match else 0


def _tensors(path: str, file: Mapping[str, Any]) -> dict[str, Tensors]:
  """Returns the tensors of each of our groups; UserError unless the file has all of them."""
  expected = set(ENTRIES.values())
  if set(file) != expected:
    raise errors.UserError(
      f"{path} is not a checkpoint of U-GAT-IT's PyTorch code: it has the entries "
      f'{", ".join(sorted(map(str, file))[:6])}, expected {", ".join(sorted(expected))}'
    )
  tensors = {}
  for group, entry in ENTRIES.items():
    state = file[entry]
    is_dict = isinstance(state, Mapping)
    if not is_dict or not all(isinstance(x, np.ndarray) for x in state.values()):
      raise errors.UserError(f'{path}: {entry} is not a state dict of tensors')
    tensors[group] = Tensors(f'{path}: {entry}', dict(state))
  return tensors


def _config(tensors: Mapping[str, Tensors]) -> ml_collections.ConfigDict:
  """Returns the PyTorch code's config at the sizes of these tensors."""

  def count(group, pattern):
    names = tensors[group].names(4)
    return sum(bool(re.fullmatch(pattern, name)) for name in names)

  generator = tensors['generator_ab']
  downsamplings = count('generator_ab', r'DownBlock\.\d+\.weight') - 1
  channels, features = generator.shape('FC.0.weight', 2)
  light = features == channels
  config = recipe.photographs(('pytorch', 'light') if light else ('pytorch',))
  if not light:
    side = math.isqrt(features // channels)
    if side**2 * channels != features:
      raise errors.UserError(
        f'{generator.where}: FC.0.weight has {features} inputs, which is not a square map of '
        f'{channels} channels'
      )
    config.image_size = side * 2**downsamplings
  weight = 'model.1.weight_orig'
  strided = r'model\.\d+\.weight_orig'
  config.model.update(
    width=generator.shape('DownBlock.1.weight', 4)[0],
    downsamplings=downsamplings,
    blocks=count('generator_ab', r'DownBlock\.\d+\.conv_block\.1\.weight'),
    discriminator_width=tensors['global_discriminator_a'].shape(weight, 4)[0],
    # The last one of these convolutions has stride 1.
    global_strides=count('global_discriminator_a', strided) - 1,
    local_strides=count('local_discriminator_a', strided) - 1,
  )
  config.data.update(source='folder', path='data/selfie2anime')
  config.data.load_size = round(286 * config.image_size / 256)
  return config


def code_shape(config: ml_collections.ConfigDict) -> tuple[int, int, int]:
  """Returns channels, height and width of the maps that the full form's first layer sees."""
  factor = 2**config.model.downsamplings
  width = config.image_width or config.image_size
  return config.model.width * factor, config.image_size // factor, width // factor


def part(network: str, layer: Sequence[str], kind: str) -> str:
  """Returns the authors' name of a leaf of a layer of ours.

  Args:
    network: 'generator', or 'global' or 'local' for a discriminator.
    layer: names of our modules.
    kind: our name of the leaf.
  """
  if layer[-1].startswith('AdaLin'):
    return {'rho': 'rho', 'scale': 'gamma', 'bias': 'beta'}[kind]
  if kind == 'kernel' and network != 'generator' and list(layer) != ['cam', 'Conv_0']:
    return 'weight_orig'
  return {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias', 'u': 'weight_u'}[kind]


def layer_names(model: ml_collections.ConfigDict) -> dict[str, str]:
  """Returns the authors' names of our layers, 'network/module/...' without inner Dense modules."""
  names = {f'generator/{ours}': theirs for ours, theirs in _generator(model).items()}
  for network in ('global', 'local'):
    strides = model[f'{network}_strides']
    layers = {'Conv_0': f'model.{1 + 3 * strides}', 'scores': 'conv', **_CAM}
    for i in range(strides):
      layers[f'DownConv_{i}'] = f'model.{1 + 3 * i}'
    names.update({f'{network}/{ours}': theirs for ours, theirs in layers.items()})
  return names


_CAM = {
  'cam/mean': 'gap_fc',
  'cam/both': 'gap_fc',
  'cam/max': 'gmp_fc',
  'cam/Conv_0': 'conv1x1',
}


def _generator(model: ml_collections.ConfigDict) -> dict[str, str]:
  """Returns the names of a generator's layers.

  Instance normalisation has parameters in the form with biases only.
  """
  strides = model.downsamplings
  names = {'Conv_0': 'DownBlock.1', 'InstanceNorm_0': 'DownBlock.2', **_CAM}
  for i in range(strides):
    names[f'DownConv_{i}'] = f'DownBlock.{4 * i + 5}'
    names[f'InstanceNorm_{i + 1}'] = f'DownBlock.{4 * i + 6}'
    names[f'Conv_{i + 1}'] = f'UpBlock2.{5 * i + 2}'
    names[f'AdaLin_{i}'] = f'UpBlock2.{5 * i + 3}'
  names[f'Conv_{strides + 1}'] = f'UpBlock2.{5 * strides + 1}'
  for i in range(model.blocks):
    encoder = f'DownBlock.{4 * (strides + 1) + i}.conv_block'
    decoder = f'UpBlock1_{i + 1}'
    for j in range(2):
      names[f'Residual_{i}/Conv_{j}'] = f'{encoder}.{4 * j + 1}'
      names[f'Residual_{i}/InstanceNorm_{j}'] = f'{encoder}.{4 * j + 2}'
      names[f'StyledResidual_{i}/Conv_{j}'] = f'{decoder}.conv{j + 1}'
      names[f'StyledResidual_{i}/AdaLin_{j}'] = f'{decoder}.norm{j + 1}'
  names.update(Linear_0='FC.0', Linear_1='FC.2', scale='gamma', shift='beta')
  return names


def _array(
  tensors: Tensors,
  name: str,
  shape: tuple[int, ...],
  flattened: tuple[int, int, int] | None,
) -> np.ndarray:
  """Returns one of our arrays from theirs, which is in PyTorch's layout.

  Args:
    tensors: of the network.
    name: of the tensor.
    shape: of our array.
    flattened: channels, height and width of what a fully connected layer sees, if it is a map.
  """
  if name.endswith(('.rho', '.gamma', '.beta')) and len(shape) == 1:
    return tensors.take(name, (1, *shape, 1, 1)).reshape(shape)
  if len(shape) == 1:
    return tensors.take(name, shape)
  if len(shape) == 2:
    array = tensors.take(name, shape[::-1])
    if flattened:
      maps = array.reshape(-1, *flattened)
      array = maps.transpose(0, 2, 3, 1).reshape(array.shape)
    return np.ascontiguousarray(array.T)
  # [out, in, row, column] becomes [row, column, in, out].
  array = tensors.take(name, (*shape[:1:-1], *shape[:2]))
  return np.ascontiguousarray(array.transpose(2, 3, 1, 0))
