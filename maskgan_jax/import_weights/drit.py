"""Checkpoints of DRIT's authors (github.com/HsinYingLee/DRIT), and of MSGAN's DRIT.

One dict of state dicts: encoders, generators, all discriminators, optimizers. The networks are the
same with and without mode seeking. Whether the content discriminator was trained with normalisation
is not in the file: it has no parameters.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from maskgan_jax import errors
from maskgan_jax.import_weights.base import abstract, Converted
from maskgan_jax.import_weights.tensors import Tensors
from maskgan_jax.recipes import drit as recipe

FILES = ('checkpoint',)

# Our group without its domain -> their network; {0} is the domain.
_NETWORKS = {
  'content_encoder': 'enc_c',
  'shared_encoder': 'enc_c',
  'attribute_encoder': 'enc_a',
  'generator': 'gen',
  'shared_generator': 'gen',
  'discriminator': 'dis{0}',
  'random_discriminator': 'dis{0}2',
  'content_discriminator': 'disContent',
}
_STATES = ('enc_c', 'enc_a', 'gen', 'disA', 'disB', 'disA2', 'disB2', 'disContent')
_LEAVES = {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias'}


def convert(paths: Sequence[str], files: Sequence[Mapping[str, Any]]) -> Converted:
  """Converts `files`, read from `paths`: one, a dict of state dicts of arrays.

  All sizes but the images' are read off the shapes; images are taken to have 216 pixels. UserError
  where a tensor is missing, unknown or of another shape than these say.
  """
  (path,), (checkpoint,) = paths, files
  tensors = {}
  for name in _STATES:
    state = checkpoint.get(name)
    is_dict = isinstance(state, Mapping)
    if not is_dict or not all(isinstance(x, np.ndarray) for x in state.values()):
      raise errors.UserError(
        f"{path} is not one of DRIT's checkpoints: {name} is not a state dict of tensors"
      )
    tensors[name] = Tensors(f'{path} ({name})', state)
  config = _config(tensors)
  _, params, _ = abstract(config, path)
  names = layer_names(config)

  def take(tree_path, leaf):
    group, *layer, kind = (key.key for key in tree_path if key.key != 'Dense_0')
    state, theirs = names['/'.join((group, *layer))]
    transposed = is_transposed(theirs, config)
    return _array(tensors[state], theirs, _LEAVES[kind], leaf.shape, transposed)

  params = jax.tree_util.tree_map_with_path(take, params)
  for each in tensors.values():
    each.finish()
  model = {'params': params, 'model_state': {}, 'ema_params': {}}
  step = checkpoint.get('total_it', 0)
  notes = [
    'the file does not say how large the images were: crops of 216x216 are taken',
    "the step is the authors' count, without steps of the content discriminator alone",
  ]
  return Converted(config, model, step if isinstance(step, int) else 0, notes)


def _config(tensors: Mapping[str, Tensors]) -> ml_collections.ConfigDict:
  """Returns the official config at the sizes of these tensors."""
  encoder, attribute, generator = (tensors[n] for n in ('enc_c', 'enc_a', 'gen'))
  is_concat = 'dec_share.0.model.1.weight' in generator.names(4)

  def count(network, pattern):
    """Counts the layers '{}' of a pattern from the first that may be there."""
    names = network.names(4)
    return sum(pattern.format(i) in names for i in range(40))

  config = recipe.photographs(
    'official', generator='concat' if is_concat else 'feature_wise'
  )
  # Residual blocks too have a convolution of the strided ones' name, and a second one.
  blocks = count(encoder, 'convA.{}.model.5.weight')
  convolutions = count(encoder, 'convA.{}.model.1.weight') - blocks
  if is_concat:
    code = attribute.shape('fc_A.0.weight', 2)[0]
    halvings = 1 + count(attribute, 'conv_A.{}.shortcut.1.weight')
  else:
    halvings = count(attribute, 'model_a.{}.weight') - 2
    code = attribute.shape(f'model_a.{3 * halvings + 4}.weight', 4)[0]
    config.model.mlp = generator.shape('mlpA.0.weight', 2)[0]
  contents, images = tensors['disContent'], tensors['disA']
  kernel = contents.shape('model.0.model.1.weight', 4)[-1]
  config.model.update(
    width=encoder.shape('convA.0.model.1.weight', 4)[0],
    downsamplings=convolutions - 1,
    blocks=blocks,
    attribute_size=code,
    attribute_downsamplings=halvings,
    discriminator_width=images.shape('Diss.0.0.model.1.weight', 4)[0],
    discriminator_depth=count(images, 'Diss.0.{}.model.1.weight'),
    discriminator_scales=count(images, 'Diss.{}.0.model.1.weight'),
    content_kernel=f'{kernel}x{kernel}',
    content_depth=count(contents, 'model.{}.model.1.weight') - 1,
  )
  config.data.update(source='folder', path='data/summer2winter')
  return config


def layer_names(config: ml_collections.ConfigDict) -> dict[str, tuple[str, str]]:
  """Returns the authors' network and name of our layers, 'group/module/...'."""
  model = config.model
  of_domain = [_content_encoder(model), _discriminator(model)]
  if model.generator == 'concat':
    of_domain += [_attribute_encoder(model), _concat_generator(model)]
  else:
    of_domain += [_plain_attribute_encoder(model), _feature_wise_generator(model)]

  # Names of a domain have {0} for A or B, and {1} for a or b.
  names = {}
  for layers in of_domain:
    for ours, theirs in layers.items():
      network, _, layer = ours.partition('/')
      for domain in 'ab':
        letters = domain.upper(), domain
        state = _NETWORKS[network].format(*letters)
        names[f'{network}_{domain}/{layer}'] = state, theirs.format(*letters)
  for ours, theirs in _shared(model).items():
    names[ours] = _NETWORKS[ours.partition('/')[0]], theirs
  return names


def _shared(model):
  """Returns names in what both domains have together."""
  names = {}
  networks = {'shared_encoder': 'conv_share', 'shared_generator': 'dec_share'}
  for ours, theirs in networks.items():
    for j in range(2):
      names[f'{ours}/Conv_{j}'] = f'{theirs}.0.model.{4 * j + 1}'
  ours = 'content_discriminator'
  layer = 'DownConv' if model.content_kernel == '4x4' else 'Conv'
  for i in range(model.content_depth):
    names[f'{ours}/{layer}_{i}'] = f'model.{i}.model.1'
  names[f'{ours}/whole'] = f'model.{model.content_depth}.model.1'
  names[f'{ours}/scores'] = f'model.{model.content_depth + 1}'
  return names


def _content_encoder(model):
  ours, theirs = 'content_encoder', 'conv{0}'
  names = {f'{ours}/Conv_0': f'{theirs}.0.model.1'}
  for i in range(model.downsamplings):
    names[f'{ours}/DownConv_{i}'] = f'{theirs}.{i + 1}.model.1'
  for i in range(model.blocks):
    for j in range(2):
      place = model.downsamplings + 1 + i
      names[f'{ours}/Residual_{i}/Conv_{j}'] = f'{theirs}.{place}.model.{4 * j + 1}'
  return names


def _attribute_encoder(model):
  ours, theirs = 'attribute_encoder', 'conv_{0}'
  names = {
    f'{ours}/DownConv_0': f'{theirs}.1',
    f'{ours}/mean': 'fc_{0}.0',
    f'{ours}/log_variance': 'fcVar_{0}.0',
  }
  for i in range(model.attribute_downsamplings - 1):
    block, theirs_block = f'{ours}/_HalvingBlock_{i}', f'{theirs}.{i + 2}'
    names[f'{block}/Conv_0'] = f'{theirs_block}.conv.2'
    names[f'{block}/Conv_1'] = f'{theirs_block}.conv.4.1'
    names[f'{block}/shortcut'] = f'{theirs_block}.shortcut.1'
  return names


def _plain_attribute_encoder(model):
  ours, theirs = 'attribute_encoder', 'model_{1}'
  names = {f'{ours}/Conv_0': f'{theirs}.1'}
  for i in range(model.attribute_downsamplings):
    layer = f'DownConv_{i}' if i < 2 else f'head/DownConv_{i - 2}'
    names[f'{ours}/{layer}'] = f'{theirs}.{3 * i + 4}'
  last = 3 * model.attribute_downsamplings + 4
  names[f'{ours}/head/Linear_0'] = f'{theirs}.{last}'
  return names


def _concat_generator(model):
  ours, theirs = 'generator', 'dec{0}'
  names = {}
  for i in range(model.blocks):
    for j in range(2):
      names[f'{ours}/Residual_{i}/Conv_{j}'] = f'{theirs}1.{i}.model.{4 * j + 1}'
  for i in range(model.downsamplings):
    names[f'{ours}/UpConv3x3_{i}'] = f'{theirs}{i + 2}.0.model.0'
    names[f'{ours}/LayerNorm_{i}'] = f'{theirs}{i + 2}.0.model.1'
  names[f'{ours}/Conv_0'] = f'{theirs}{model.downsamplings + 2}.0'
  return names


def _feature_wise_generator(model):
  ours, theirs = 'generator', 'dec{0}'
  names = {}
  for i in range(model.blocks + 1):
    block, theirs_block = f'{ours}/FeatureWiseBlock_{i}', f'{theirs}{i + 1}'
    for j in range(2):
      names[f'{block}/Conv_{3 * j}'] = f'{theirs_block}.conv{j + 1}.0.1'
      names[f'{block}/Conv_{3 * j + 1}'] = f'{theirs_block}.blk{j + 1}.0'
      names[f'{block}/Conv_{3 * j + 2}'] = f'{theirs_block}.blk{j + 1}.2'
  last = f'{theirs}{model.blocks + 2}'
  for i in range(model.downsamplings):
    names[f'{ours}/UpConv3x3_{i}'] = f'{last}.{i}.model.0'
    names[f'{ours}/LayerNorm_{i}'] = f'{last}.{i}.model.1'
  names[f'{ours}/Conv_0'] = f'{last}.{model.downsamplings}'
  for i in range(3):
    names[f'{ours}/mlp/Linear_{i}'] = f'mlp{{0}}.{2 * i}'
  return names


def _discriminator(model):
  names = {}
  for ours in ('discriminator', 'random_discriminator'):
    for scale in range(model.discriminator_scales):
      for i in range(model.discriminator_depth):
        names[f'{ours}/scale_{scale}/DownConv_{i}'] = f'Diss.{scale}.{i}.model.1'
      last = model.discriminator_depth
      names[f'{ours}/scale_{scale}/scores'] = f'Diss.{scale}.{last}'
  return names


def is_transposed(name: str, config: ml_collections.ConfigDict) -> bool:
  """Returns whether a layer of theirs, by its name, is a transposed convolution."""
  head, _, _ = name.partition('.')
  if not head.startswith(('decA', 'decB')):
    return False
  blocks = 1 if config.model.generator == 'concat' else config.model.blocks + 1
  return int(head.removeprefix('dec')[1:]) > blocks


def _array(
  tensors: Tensors, layer: str, kind: str, shape: tuple[int, ...], transposed: bool
) -> np.ndarray:
  """Returns one of our arrays from theirs, which is in PyTorch's layout.

  Args:
    tensors: of their network.
    layer: its layer.
    kind: 'weight' or 'bias'.
    shape: of our array.
    transposed: see `is_transposed`.
  """
  name = f'{layer}.{kind}'
  if len(shape) == 1:
    # The layer normalisation of theirs has two axes of length 1 more.
    is_wide = name in tensors.names(3)
    return tensors.take(name, (*shape, 1, 1) if is_wide else shape).reshape(shape)
  if len(shape) == 2:  # a linear layer, or a 1x1 convolution of a single pixel
    is_convolution = name in tensors.names(4)
    array = tensors.take(name, (*shape[::-1], 1, 1) if is_convolution else shape[::-1])
    return np.ascontiguousarray(array.reshape(shape[::-1]).T)
  if transposed:  # [in, out, row, column] becomes [row, column, in, out]
    array = tensors.take(name, (*shape[2:], *shape[:2]))
    return np.ascontiguousarray(array.transpose(2, 3, 0, 1))
  array = tensors.take(name, (*shape[:1:-1], *shape[:2]))
  return np.ascontiguousarray(array.transpose(2, 3, 1, 0))
