"""Checkpoints of content transfer's and of Press' authors, whose networks are torch Sequentials.

One file holds a dict: a state dict for each network, the optimizers' state and the number of
iterations. Layers are numbered as in a Sequential: convolution 0, 3, 6, ... and its batch norm,
if it has parameters, 1, 4, 7, ...; the discriminator's two Linear layers are 0 and 2.
"""

from collections.abc import Mapping
import math
from typing import Any

import jax
import ml_collections
import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.import_weights.base import abstract, Converted
from maskgan_jax.import_weights.tensors import Tensors

# Our group -> the names that its state dict has, and the Sequential inside.
Networks = Mapping[str, tuple[tuple[str, ...], str]]

_IGNORED = ('ae_opt', 'disc_opt', 'iters')  # Adam's moments fit no other optimizer


def convert(
  path: str, checkpoint: Mapping[str, Any], method: str, networks: Networks
) -> Converted:
  """Converts a dict of state dicts of arrays.

  Image size, depth, widths and separate channels are read off the shapes. UserError where a tensor
  is missing, unknown or of another shape than these say.

  Args:
    path: where the checkpoint was read from, for messages.
    checkpoint: the file's contents.
    method: our name of the method; it has encoders, decoders and a discriminator of these kinds.
    networks: of the method.
  """
  tensors = _tensors(path, checkpoint, method, networks)
  config = _config(tensors, method)
  built, params, state = abstract(config, path)
  pixels = config.image_size // 2**config.model.depth  # the code is so wide and high

  # Our trees, filled network by network.
  params = _groups(params, tensors, pixels)
  if 'batch_stats' in state:
    state = {'batch_stats': _groups(state['batch_stats'], tensors, pixels)}
  for network in tensors.values():
    network.finish(ignored=('.num_batches_tracked',))
  notes = []
  if 'discriminator' not in tensors:
    params['discriminator'] = _fresh_discriminator(built, config, pixels)
    notes.append(
      f'{path} has no discriminator (disc): it starts afresh, translation does not need '
      f'it; and the image size is taken to be {config.image_size}'
    )
  iterations = checkpoint.get('iters')
  step = iterations if isinstance(iterations, int) and iterations > 0 else 0
  model = {'params': params, 'model_state': state, 'ema_params': {}}
  return Converted(config, model, step, notes)


def _fresh_discriminator(
  method: Any, config: ml_collections.ConfigDict, pixels: int
) -> dict[str, Any]:
  """Returns fresh parameters of a discriminator of codes of `pixels` rows and columns."""
  channels = method.networks['common_encoder'].widths[-1]
  code = np.zeros((1, pixels, pixels, channels), np.float32)
  fresh = method.networks['discriminator'].init(jax.random.key(config.seed), code)
  return jax.device_get(fresh['params'])


def _tensors(
  path: str, checkpoint: Mapping[str, Any], method: str, networks: Networks
) -> dict[str, Tensors]:
  """Returns the tensors of each of our groups."""
  kind = method.replace('_', ' ')
  group_of = {}
  for group, (names, _) in networks.items():
    group_of.update(dict.fromkeys(names, group))

  # Entries of the file.
  tensors = {}
  for name, value in checkpoint.items():
    if name in _IGNORED:
      continue
    if name not in group_of:
      raise errors.UserError(
        f'{path} is not a {kind} checkpoint: it has an entry '
        f'{name!r}{errors.nearest(str(name), group_of)}'
      )
    group = group_of[name]
    if group in tensors:
      raise errors.UserError(
        f'{path} has both {" and ".join(networks[group][0])}, two names of '
        'the same network'
      )
    tensors[group] = _state_dict(path, name, value, f'{networks[group][1]}.')

  # The discriminator may be left out: translation does not need it.
  for group, (names, _) in networks.items():
    if group not in tensors and group != 'discriminator':
      raise errors.UserError(
        f'{path} is not a {kind} checkpoint: it has no {" or ".join(names)}'
      )
  return tensors


def _state_dict(path: str, name: str, value: Any, prefix: str) -> Tensors:
  """Returns the tensors of the entry `name`, whose names all begin with a prefix, without it."""
  is_dict = isinstance(value, Mapping)
  if not is_dict or not all(isinstance(array, np.ndarray) for array in value.values()):
    raise errors.UserError(
      f'{path}: {name} is not a state dict: a dict of tensors is expected'
    )

  # Names lose the prefix of the network that the entry holds.
  arrays = {}
  for tensor, array in value.items():
    if not str(tensor).startswith(prefix):
      raise errors.UserError(
        f'{path}: {name} has a tensor {tensor!r}; all are to start with {prefix!r}'
      )
    arrays[tensor.removeprefix(prefix)] = array
  return Tensors(f'{path}: {name}.{prefix[:-1]}', arrays)


def _config(networks: Mapping[str, Tensors], method: str) -> ml_collections.ConfigDict:
  """Returns the official config of a method, at the sizes of these tensors."""
  common, separate = networks['common_encoder'], networks['separate_encoder']
  kernels = [name for name in common.names(axes=4) if name.endswith('.weight')]
  depth = max(len(kernels), 1)
  widths = [common.shape(f'{3 * layer}.weight', 4)[0] for layer in range(depth)]
  separate_channels = separate.shape(f'{3 * (depth - 1)}.weight', 4)[0]
  discriminator_width, pixels = 512, 2  # the authors'
  if 'discriminator' in networks:
    discriminator = networks['discriminator']
    discriminator_width, features = discriminator.shape('0.weight', 2)
    pixels = math.isqrt(features // max(widths[-1], 1))
    if not features or pixels**2 * widths[-1] != features:
      raise errors.UserError(
        f'{discriminator.where}: 0.weight has {features} inputs, which is not '
        f"a square code of e1's {widths[-1]} channels"
      )
  config = run_config.default(method)
  config.update(variant='official', image_size=pixels * 2**depth)
  config.model.update(
    width=widths[0],
    depth=depth,
    separate_channels=separate_channels,
    discriminator_width=discriminator_width,
  )
  return config


def _groups(
  trees: Mapping[str, Any], networks: Mapping[str, Tensors], pixels: int
) -> dict[str, Any]:
  """Returns all groups' parameters, or their statistics; None for a network that is not there."""
  result = dict.fromkeys(trees)
  for group, tree in trees.items():
    if group in networks:
      result[group] = _group(tree, networks[group], pixels)
  return result


def _group(tree: Mapping[str, Any], tensors: Tensors, pixels: int) -> dict[str, Any]:
  """Returns one network's parameters, or its statistics, in the layout of `tree`."""
  result = {}
  for layer, leaves in tree.items():
    kind, index = layer.split('_')
    # A layer of theirs is convolution, normalisation and activation, or Linear and activation.
    position = (2 if kind == 'Linear' else 3) * int(index)
    if kind == 'BatchNorm':
      position += 1
    if kind == 'Linear':
      leaves = leaves['Dense_0']
    arrays = {}
    for leaf, shaped in leaves.items():
      arrays[leaf] = _leaf(kind, leaf, shaped.shape, tensors, position, pixels)
    result[layer] = {'Dense_0': arrays} if kind == 'Linear' else arrays
  return result


def _leaf(
  kind: str,
  leaf: str,
  shape: tuple[int, ...],
  tensors: Tensors,
  position: int,
  pixels: int,
) -> np.ndarray:
  """Returns one of our arrays from theirs, which is in PyTorch's layout."""
  names = {
    'kernel': 'weight',
    'scale': 'weight',
    'bias': 'bias',
    'mean': 'running_mean',
    'var': 'running_var',
  }
  name = f'{position}.{names[leaf]}'
  if leaf != 'kernel':
    return tensors.take(name, shape)
  if kind == 'Linear':
    array = tensors.take(name, shape[::-1])
    if position == 0:  # their codes are flattened as (channel, row, column)
      codes = array.reshape(shape[1], -1, pixels, pixels)
      array = codes.transpose(0, 2, 3, 1).reshape(array.shape)
    return np.ascontiguousarray(array.T)

  # [out, in, row, column], or [in, out, row, column] if transposed, becomes [row, column, in, out].
  axes = (2, 3, 1, 0) if kind == 'DownConv' else (2, 3, 0, 1)
  array = tensors.take(name, tuple(shape[i] for i in np.argsort(axes)))
  return np.ascontiguousarray(array.transpose(axes))
