"""Checkpoints of LOMIT's authors (AnonymousIclrAuthor/Highway-Adaptive-Instance-Normalization).

Two files of plain state dicts, `G_exemplar_*.pth` and `D_exemplar_*.pth`. The two style heads of
the generator are one there, saved under both names. Its instance normalisations also have running
averages; the authors translate in training mode, which does not read them, and they are left out.
"""

from collections.abc import Mapping, Sequence
import re
from typing import Any

import jax
import ml_collections
import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.import_weights.base import abstract, Converted
from maskgan_jax.import_weights.tensors import Tensors

FILES = ('generator', 'discriminator')

_MARKS = {'generator': 'c_encoder.main.0.conv.weight', 'discriminator': 'conv2.weight'}
_FOREGROUND, _BACKGROUND = 's_encoder.foreground.', 's_encoder.background.'
_LEAVES = {
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}
# The authors' sets, by their sizes; another of four is Mustache, No_Beard, Male, Goatee.
_ATTRIBUTES = {
  4: ('Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Smiling'),
  2: ('Heavy_Makeup', 'Wearing_Lipstick'),
}


def convert(paths: Sequence[str], files: Sequence[Mapping[str, Any]]) -> Converted:
  """Converts `files`, read from `paths`: state dicts of arrays, the generator's and the critic's.

  All sizes are read off the shapes. UserError where a tensor is missing, unknown or of another
  shape than these say.
  """
  generator = _state_dict(paths[0], files[0], 'generator')
  critic = _state_dict(paths[1], files[1], 'discriminator')
  notes = []
  tied = _drop_tied_head(generator)
  if not tied:
    notes.append(
      f'{paths[0]} has two different style heads, where the authors have one: '
      "config.model.style_heads is 'separate'"
    )
  generator, critic = Tensors(paths[0], generator), Tensors(paths[1], critic)

  # Sizes are read off the tensors; the names of labels are in neither file.
  config = _config(generator, critic)
  if not tied:
    config.model.style_heads = 'separate'
  notes.append(
    'the files do not name their attributes; config.data.attributes is taken to be '
    f'{",".join(config.data.attributes)}, which translation does not read'
  )
  _, params, state = abstract(config, ' and '.join(paths))
  params = _filled(params, config, generator, critic)
  stats = _filled(state['batch_stats'], config, generator, critic)

  # All tensors have to be used, except for statistics of training.
  generator.finish(ignored=('.num_batches_tracked', '.running_mean', '.running_var'))
  critic.finish()
  model = {'params': params, 'model_state': {'batch_stats': stats}, 'ema_params': {}}
  return Converted(config, model, 0, notes)


def _filled(
  tree: Any, config: ml_collections.ConfigDict, generator: Tensors, critic: Tensors
) -> Any:
  """Returns our tree of parameters or statistics with the authors' arrays as its leaves."""
  names = layer_names(config)
  kernel = config.image_size // 2**config.model.critic_depth  # of conv2

  def take(path, leaf):
    group, *layer = (key.key for key in path[:-1] if key.key != 'Dense_0')
    name = names['/'.join((group, *layer))]
    tensors = critic if group == 'critic' else generator
    size = kernel if name == 'conv2' else 1
    return _array(tensors, f'{name}.{_LEAVES[path[-1].key]}', leaf.shape, size)

  return jax.tree_util.tree_map_with_path(take, tree)


def _drop_tied_head(generator: dict[str, np.ndarray]) -> bool:
  """Removes the background's style head if it equals the foreground's; returns whether it did."""
  # The authors' head is shared, and stands in the file under two names.
  background = [name for name in generator if name.startswith(_BACKGROUND)]
  foreground = [name for name in generator if name.startswith(_FOREGROUND)]
  if len(foreground) != len(background):
    return False
  for name in background:
    twin = generator.get(_FOREGROUND + name.removeprefix(_BACKGROUND))
    if twin is None or not np.array_equal(generator[name], twin):
      return False
  for name in background:
    del generator[name]
  return True


def _state_dict(path: str, file: Mapping[str, Any], role: str) -> dict[str, np.ndarray]:
  """Returns the state dict without the prefix that torch's DataParallel puts before every name."""
  for name, value in file.items():
    if not isinstance(name, str) or not isinstance(value, np.ndarray):
      raise errors.UserError(
        f'{path} is not a LOMIT {role}: its entry {name!r} is not a '
        'tensor; a plain state dict is expected'
      )
  if file and all(name.startswith('module.') for name in file):
    file = {name.removeprefix('module.'): value for name, value in file.items()}
  for other, mark in _MARKS.items():
    if other != role and mark in file:
      raise errors.UserError(
        f'{path} is the {other}, but is given as the {role}; the order of the '
        f'files is {", ".join(FILES)}'
      )
  if _MARKS[role] not in file:
    raise errors.UserError(f'{path} is not a LOMIT {role}: it has no {_MARKS[role]}')
  return dict(file)


def _config(generator: Tensors, critic: Tensors) -> ml_collections.ConfigDict:
  """Returns the official config, at the sizes of these tensors and with the authors' data."""

  def count(tensors, axes, pattern):
    return sum(bool(re.fullmatch(pattern, name)) for name in tensors.names(axes))

  depth = count(critic, 4, r'main\.\d+\.conv\.weight')
  attributes, _, *kernel = critic.shape('conv2.weight', 4)
  if kernel[0] != kernel[1]:
    raise errors.UserError(
      f'{critic.where}: conv2.weight is a kernel of {kernel[0]}x{kernel[1]}; '
      'images are square'
    )
  config = run_config.default('lomit')
  config.update(
    variant='official', image_size=kernel[0] * 2**depth, batch_size=8, num_steps=200_000
  )
  config.model.update(
    width=generator.shape('c_encoder.main.0.conv.weight', 4)[0],
    blocks=count(generator, 4, r'c_encoder\.main\.\d+\.main\.0\.conv\.weight'),
    style_size=generator.shape(f'{_FOREGROUND}3.weight', 4)[0],
    mlp=generator.shape('decoder.f_mlp.main.0.fc.weight', 2)[0],
    mask_depth=count(generator, 1, r'mask\.main\.\d+\.norm\.weight'),
    critic_width=critic.shape('main.0.conv.weight', 4)[0],
    critic_depth=depth,
  )
  names = tuple(f'attribute_{i}' for i in range(attributes))
  config.data.update(
    source='celeba',
    path='data/celeba',
    crop='center:178',
    test_rows=1_999,
    a='',
    b='',
    attributes=_ATTRIBUTES.get(attributes, names),
  )
  if attributes == 4:  # the authors leave out who has none of the three
    config.data.update(dict.fromkeys('ab', 'Black_Hair | Blond_Hair | Brown_Hair'))
  return config


def layer_names(config: ml_collections.ConfigDict) -> dict[str, str]:
  """Returns the authors' names of our layers, 'group/module/...' without a Linear's inner Dense."""
  model = config.model
  names = {
    **_encoder_names(model.style_heads == 'separate'),
    **_residual_names(model.blocks),
    **_decoder_names(model.blocks),
  }

  # Numbers are those of the authors' sequential modules.
  for i in range(2):
    names[f'gate/Linear_{i}'] = f'mask.co_attn.main.{i}.fc'
  for i in range(model.mask_depth):
    names[f'mask/Conv_{i}'] = f'mask.main.{i}.conv'
    names[f'mask/BatchNorm_{i}'] = f'mask.main.{i}.norm'
  names[f'mask/Conv_{model.mask_depth}'] = f'mask.main.{model.mask_depth}.conv'
  for i in range(model.critic_depth):
    names[f'critic/DownConv_{i}'] = f'main.{i}.conv'
  return {**names, 'critic/scores': 'conv1.conv', 'critic/classes': 'conv2'}


def _encoder_names(separate: bool) -> dict[str, str]:
  """Returns the names of both encoders' layers, less the residual blocks."""
  names = {}
  for i, layer in enumerate(('Conv_0', 'DownConv_0', 'DownConv_1')):
    names[f'content_encoder/{layer}'] = f'c_encoder.main.{i}.conv'
    names[f'content_encoder/InstanceNorm_{i}'] = f'c_encoder.main.{i}.norm'
    names[f'style_encoder/{layer}'] = f's_encoder.shared.{i}.conv'

  # Layer 2 of each head averages, and has no weights.
  heads = {'head': _FOREGROUND}
  if separate:
    heads = {'foreground': _FOREGROUND, 'background': _BACKGROUND}
  for head, prefix in heads.items():
    for i in range(2):
      names[f'style_encoder/{head}/DownConv_{i}'] = f'{prefix}{i}.conv'
    names[f'style_encoder/{head}/Linear_0'] = f'{prefix}3'
  return names


def _residual_names(blocks: int) -> dict[str, str]:
  """Returns the names of the residual blocks' layers, in the content encoder and the decoder."""
  names = {}
  for i in range(blocks):
    for group, norm, theirs in (
      ('content_encoder', 'InstanceNorm', f'c_encoder.main.{3 + i}'),
      ('decoder', 'LayerNorm', f'decoder.main.{i}'),
    ):
      for j in range(2):
        names[f'{group}/Residual_{i}/Conv_{j}'] = f'{theirs}.main.{j}.conv'
        names[f'{group}/Residual_{i}/{norm}_{j}'] = f'{theirs}.main.{j}.norm'
  return names


def _decoder_names(blocks: int) -> dict[str, str]:
  """Returns the names of the decoder's layers after its residual blocks, and of its MLPs'."""
  names = {}
  for i in range(2):
    convolution = f'decoder.main.{blocks + 1 + 2 * i}'  # an upsampling is before each
    names[f'decoder/UpsampledConv_{i}'] = f'{convolution}.conv'
    names[f'decoder/LayerNorm_{i}'] = f'{convolution}.norm'
  names['decoder/Conv_0'] = f'decoder.main.{blocks + 4}.conv'
  for head in ('foreground', 'background'):
    for i in range(3):
      layer = f'decoder/HighwayAdaIN_0/{head}/Linear_{i}'
      names[layer] = f'decoder.{head[0]}_mlp.main.{i}.fc'
  return names


def _array(
  tensors: Tensors, name: str, shape: tuple[int, ...], size: int
) -> np.ndarray:
  """Returns one of our arrays from theirs, which is in PyTorch's layout.

  `size` is the side of a convolution's kernel that is a Linear layer here.
  """
  if len(shape) == 1:
    return tensors.take(name, shape)
  if name.endswith('.fc.weight'):
    return np.ascontiguousarray(tensors.take(name, shape[::-1]).T)
  if len(shape) == 2:  # ours sees the map flattened as (row, column, channel)
    theirs = (shape[1], shape[0] // size**2, size, size)
  else:
    theirs = (*shape[:1:-1], *shape[:2])
  # [out, in, row, column] becomes [row, column, in, out].
  array = tensors.take(name, theirs).transpose(2, 3, 1, 0)
  return np.ascontiguousarray(array.reshape(shape))
