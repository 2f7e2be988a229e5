"""Checkpoints of StarGAN's authors (github.com/yunjey/stargan), and of AttentionGAN-v1-multi's.

Two plain state dicts, NAME-G.ckpt and NAME-D.ckpt. The generator is one Sequential, `main`, whose
residual blocks have a `main` too; the critic is a Sequential and two convolutions.
"""

from collections.abc import Mapping, Sequence
import os
import re
from typing import Any

import jax
import ml_collections
import numpy as np

from maskgan_jax import errors
from maskgan_jax.import_weights.base import abstract, Converted
from maskgan_jax.import_weights.tensors import Tensors
from maskgan_jax.recipes import stargan as recipe

FILES = ('generator', 'critic')

_LEAVES = {'kernel': 'weight', 'bias': 'bias', 'scale': 'weight'}
_IGNORED = ('.running_mean', '.running_var', '.num_batches_tracked')
# The five labels of the authors' weights for CelebA.
_CELEBA = ('Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Male', 'Young')


def convert(paths: Sequence[str], files: Sequence[Mapping[str, Any]]) -> Converted:
  """Converts `files`, read from `paths`: the generator's, then the critic's.

  Widths, blocks, labels and the size of images are read off the shapes. UserError where a tensor is
  missing, unknown or of another shape than these say.
  """
  for path, state, role in zip(paths, files, FILES, strict=True):
    is_dict = isinstance(state, Mapping)
    if not is_dict or not all(isinstance(x, np.ndarray) for x in state.values()):
      raise errors.UserError(
        f"{path} is not StarGAN's {role}: a dict of tensors is expected; the order of the files "
        f'is {", ".join(FILES)}'
      )
  generator, critic = (Tensors(*pair) for pair in zip(paths, files, strict=True))
  config, notes = _config(generator, critic)
  _, params, _ = abstract(config, ' and '.join(paths))
  names = layer_names(config.model)
  pixels = config.image_size // 2**config.model.critic_depth

  def take(path, leaf):
    group, *layer, kind = (key.key for key in path)
    layer = [part for part in layer if part != 'Dense_0']
    tensors = generator if group == 'generator' else critic
    name = f'{names["/".join((group, *layer))]}.{_LEAVES[kind]}'
    return _array(tensors, name, layer[-1], leaf.shape, pixels)

  params = jax.tree_util.tree_map_with_path(take, params)
  for each in (generator, critic):
    each.finish(ignored=_IGNORED)
  model = {'params': params, 'model_state': {}, 'ema_params': {}}
  return Converted(config, model, _step(paths[0]), notes)


def layer_names(model: ml_collections.ConfigDict) -> dict[str, str]:
  """Returns the authors' name of each of our layers, 'group/layer/layer'."""
  names = {}

  def block(ours, number, norm):
    names[f'generator/{ours}'] = f'main.{number}'
    if norm is not None:
      names[f'generator/InstanceNorm_{norm}'] = f'main.{number + 1}'

  # Convolution, normalisation, activation; blocks stand alone.
  block('Conv_0', 0, 0)
  block('DownConv_0', 3, 1)
  block('DownConv_1', 6, 2)
  for i in range(model.blocks):
    for j in range(2):
      theirs = f'main.{9 + i}.main.{3 * j}'
      names[f'generator/Residual_{i}/Conv_{j}'] = theirs
      theirs = f'main.{9 + i}.main.{3 * j + 1}'
      names[f'generator/Residual_{i}/InstanceNorm_{j}'] = theirs
  after = 9 + model.blocks
  block('UpConv_0', after, 3)
  block('UpConv_1', after + 3, 4)
  block('Conv_1', after + 6, None)
  for i in range(model.critic_depth):
    names[f'critic/DownConv_{i}'] = f'main.{2 * i}'
  return {**names, 'critic/scores': 'conv1', 'critic/classes': 'conv2'}


def _array(
  tensors: Tensors, name: str, layer: str, shape: tuple[int, ...], pixels: int
) -> np.ndarray:
  """Returns one of our arrays from theirs, which is in PyTorch's layout."""
  if layer == 'classes':
    # A convolution as large as the map is our linear layer on the flattened one.
    count = shape[1]
    array = tensors.take(name, (count, shape[0] // pixels**2, pixels, pixels))
    return np.ascontiguousarray(array.transpose(2, 3, 1, 0).reshape(shape))
  if len(shape) == 1:
    return tensors.take(name, shape)
  # [out, in, row, column], or [in, out, row, column] if transposed, becomes [row, column, in, out].
  axes = (2, 3, 0, 1) if layer.startswith('UpConv') else (2, 3, 1, 0)
  array = tensors.take(name, tuple(shape[i] for i in np.argsort(axes)))
  return np.ascontiguousarray(array.transpose(axes))


def _config(
  generator: Tensors, critic: Tensors
) -> tuple[ml_collections.ConfigDict, list[str]]:
  """Returns the authors' config at the sizes of these tensors, and notes for the user."""
  width, channels = generator.shape('main.0.weight', 4)[:2]
  blocks = sum(
    bool(re.fullmatch(r'main\.\d+\.main\.0\.weight', name))
    for name in generator.names(4)
  )
  outputs = generator.shape(f'main.{15 + blocks}.weight', 4)[0]
  depth = sum(
    bool(re.fullmatch(r'main\.\d+\.weight', name)) for name in critic.names(4)
  )
  labels, _, pixels, _ = critic.shape('conv2.weight', 4)
  if labels != channels - 3:
    raise errors.UserError(
      f'{critic.where} has {labels} labels, and {generator.where} {channels - 3}: they are not '
      'of one training'
    )
  config = recipe.default()
  config.image_size = pixels * 2**depth
  config.model.update(
    width=width,
    blocks=blocks,
    outputs=outputs,
    critic_width=critic.shape('main.0.weight', 4)[0],
    critic_depth=depth,
  )
  recipe.celeba(config, _CELEBA)
  notes = []
  if labels != len(_CELEBA):
    config.data.attributes = tuple(f'label_{i}' for i in range(labels))
    notes.append(
      f'the files do not say what their {labels} labels are: they are named '
      f'{", ".join(config.data.attributes)}'
    )
  return config, notes


def _step(path: str) -> int:
  """Returns the iterations that 200000-G.ckpt names; 0 for others."""
  match = re.fullmatch(r'(\d+)-G\.\w+', os.path.basename(path))
  return int(match[1]) if match else 0
