"""Checkpoints of UNIT's authors (github.com/mingyuliutw/UNIT), of both releases.

The first code writes two plain state dicts, NAME_gen_*.pkl with both domains' layers and what they
share, and NAME_dis_*.pkl; only its discriminators for cats and dogs are known here. The re-release
writes gen_*.pt and dis_*.pt, each a dict of two state dicts, 'a' and 'b'.
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
from maskgan_jax.recipes import unit as recipe

FILES = ('generators', 'discriminators')

_MARKS = {
  'paper': ('encode_A.0.model.0.weight', 'model_A.0.model.0.weight'),
  'rerelease': ('a.enc.model.0.conv.weight', 'a.cnns.0.0.conv.weight'),
}
_LEAVES = {'kernel': 'weight', 'bias': 'bias', 'scale': 'gamma'}
_IGNORED = ('.running_mean', '.running_var', '.num_batches_tracked')


def convert(paths: Sequence[str], files: Sequence[Mapping[str, Any]]) -> Converted:
  """Converts `files`, read from `paths`: the generators', then the discriminators'.

  All sizes but the images' are read off the shapes; images are taken to have 256 pixels. UserError
  where a tensor is missing, unknown or of another shape than these say.
  """
  generator, discriminator = map(_flat, paths, files)
  variant = 'rerelease' if 'a' in files[0] else 'paper'
  marked = zip(paths, (generator, discriminator), FILES, _MARKS[variant], strict=True)
  for path, state, role, mark in marked:
    if mark not in state:
      raise errors.UserError(
        f"{path} is not one of UNIT's {role}: it has no {mark}; the order of the files is "
        f'{", ".join(FILES)}'
      )
  tensors = [
    Tensors(*pair) for pair in zip(paths, (generator, discriminator), strict=True)
  ]
  config = _config(variant, *tensors)
  _, params, _ = abstract(config, ' and '.join(paths))

  # Our trees, filled from the two files.
  names = layer_names(config)

  def take(path, leaf):
    *layer, kind = (key.key for key in path)
    is_discriminator = layer[0].startswith('discriminator')
    name = names['/'.join(layer)]
    part = _LEAVES[kind]
    if kind == 'bias' and layer[-1].startswith('LayerNorm'):
      part = 'beta'
    transposed = is_transposed(name, config.model)
    return _array(tensors[is_discriminator], f'{name}.{part}', leaf.shape, transposed)

  params = jax.tree_util.tree_map_with_path(take, params)
  for each in tensors:
    each.finish(ignored=_IGNORED)
  model = {'params': params, 'model_state': {}, 'ema_params': {}}
  notes = ['the files do not say how large the images were: 256x256 is taken']
  return Converted(config, model, _step(paths[0]), notes)


def _step(path: str) -> int:
  """Returns the iterations that NAME_gen_00500000.pkl or gen_00500000.pt names; 0 for others."""
  match = re.fullmatch(r'(?:.*_)?gen_(\d+)\.\w+', os.path.basename(path))
  return int(match[1]) if match else 0


def _flat(path: str, file: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Returns a file's tensors by name; names of the re-release begin with the domain."""
  parts = file.items() if set(file) == {'a', 'b'} else [('', file)]
  flat = {}
  for domain, state in parts:
    is_dict = isinstance(state, Mapping)
    if not is_dict or not all(isinstance(x, np.ndarray) for x in state.values()):
      raise errors.UserError(
        f"{path} is not one of UNIT's checkpoints: a dict of tensors is expected, or of two "
        'such dicts, a and b'
      )
    for name, array in state.items():
      flat[f'{domain}.{name}' if domain else name] = array
  return flat


def _config(
  variant: str, generator: Tensors, discriminator: Tensors
) -> ml_collections.ConfigDict:
  """Returns a release's config at the sizes of these tensors."""

  def count(tensors, pattern):
    return sum(bool(re.fullmatch(pattern, name)) for name in tensors.names(4))

  config = recipe.photographs(variant)
  config.data.update(source='folder', path='data/summer2winter')
  if variant == 'paper':
    patterns = r'encode_A\.\d+\.model\.0\.weight', r'encode_A\.\d+\.model\.3\.weight'
    scores = r'model_A\.\d+\.model\.0\.weight'
    scales = 1
  else:
    patterns = (
      r'a\.enc\.model\.\d+\.conv\.weight',
      r'a\.enc\.model\.\d+\.model\.\d+\.model\.0\.conv\.weight',
    )
    scores = r'a\.cnns\.0\.\d+\.conv\.weight'
    scales = count(discriminator, r'a\.cnns\.\d+\.0\.conv\.weight')

  # The first code's blocks have a convolution of the strided ones' name.
  convolutions, blocks = (count(generator, pattern) for pattern in patterns)
  if variant == 'paper':
    convolutions -= blocks
  of_generator, of_discriminator = _MARKS[variant]
  config.model.update(
    width=generator.shape(of_generator, 4)[0],
    downsamplings=convolutions - 1,
    blocks=blocks,
    discriminator_width=discriminator.shape(of_discriminator, 4)[0],
    discriminator_depth=count(discriminator, scores),
    discriminator_scales=scales,
  )
  return config


def layer_names(config: ml_collections.ConfigDict) -> dict[str, str]:
  """Returns the authors' names of our layers, 'group/module/...'."""
  if config.variant == 'rerelease':
    return {
      **_rerelease_names(config.model, 'a'),
      **_rerelease_names(config.model, 'b'),
    }
  names = {**_first_names(config.model, 'a'), **_first_names(config.model, 'b')}
  for ours, theirs in (
    ('shared_encoder', 'enc_shared'),
    ('shared_decoder', 'dec_shared'),
  ):
    for j in range(2):
      names[f'{ours}/Conv_{j}'] = f'{theirs}.0.model.{3 * j}'
  return names


def _first_names(model: ml_collections.ConfigDict, domain: str) -> dict[str, str]:
  """Returns the names of a domain's own layers in the first code."""
  encode, decode = f'encode_{domain.upper()}', f'decode_{domain.upper()}'
  encoder, decoder = f'encoder_{domain}', f'decoder_{domain}'
  strides, blocks = model.downsamplings, model.blocks
  names = {f'{encoder}/Conv_0': f'{encode}.0.model.0'}
  for i in range(strides):
    names[f'{encoder}/DownConv_{i}'] = f'{encode}.{i + 1}.model.0'
    names[f'{decoder}/UpConv3x3_{i}'] = f'{decode}.{blocks + i}.model.0'
  for i in range(blocks):
    for j in range(2):
      names[f'{encoder}/Residual_{i}/Conv_{j}'] = (
        f'{encode}.{strides + 1 + i}.model.{3 * j}'
      )
      names[f'{decoder}/Residual_{i}/Conv_{j}'] = f'{decode}.{i}.model.{3 * j}'
  names[f'{decoder}/Conv_0'] = f'{decode}.{blocks + strides}'

  scale, theirs = f'discriminator_{domain}/scale_0', f'model_{domain.upper()}'
  for i in range(model.discriminator_depth):
    names[f'{scale}/DownConv_{i}'] = f'{theirs}.{i}.model.0'
  names[f'{scale}/scores'] = f'{theirs}.{model.discriminator_depth}'
  return names


def _rerelease_names(model: ml_collections.ConfigDict, domain: str) -> dict[str, str]:
  """Returns the names of a domain's layers in the re-release."""
  encoder, decoder = f'encoder_{domain}', f'decoder_{domain}'
  encode, decode = f'{domain}.enc.model', f'{domain}.dec.model'
  strides = model.downsamplings
  names = {f'{encoder}/Conv_0': f'{encode}.0.conv'}
  for i in range(strides):
    names[f'{encoder}/DownConv_{i}'] = f'{encode}.{i + 1}.conv'
    names[f'{decoder}/UpsampledConv_{i}'] = f'{decode}.{2 * i + 2}.conv'
    names[f'{decoder}/LayerNorm_{i}'] = f'{decode}.{2 * i + 2}.norm'
  for i in range(model.blocks):
    for j in range(2):
      block = f'model.{i}.model.{j}.conv'
      names[f'{encoder}/Residual_{i}/Conv_{j}'] = f'{encode}.{strides + 1}.{block}'
      names[f'{decoder}/Residual_{i}/Conv_{j}'] = f'{decode}.0.{block}'
  names[f'{decoder}/Conv_0'] = f'{decode}.{2 * strides + 1}.conv'

  for scale in range(model.discriminator_scales):
    ours, theirs = f'discriminator_{domain}/scale_{scale}', f'{domain}.cnns.{scale}'
    for i in range(model.discriminator_depth):
      names[f'{ours}/DownConv_{i}'] = f'{theirs}.{i}.conv'
    names[f'{ours}/scores'] = f'{theirs}.{model.discriminator_depth}'
  return names


def is_transposed(name: str, model: ml_collections.ConfigDict) -> bool:
  """Returns whether a layer of the first code is a transposed convolution, by its name."""
  match = re.match(r'decode_[AB]\.(\d+)', name)
  return match is not None and int(match[1]) >= model.blocks


def _array(
  tensors: Tensors, name: str, shape: tuple[int, ...], transposed: bool = False
) -> np.ndarray:
  """Returns one of our arrays from theirs, which is in PyTorch's layout."""
  if len(shape) == 1:
    return tensors.take(name, shape)
  if transposed:  # [in, out, row, column] becomes [row, column, in, out]
    array = tensors.take(name, (*shape[2:], *shape[:2]))
    return np.ascontiguousarray(array.transpose(2, 3, 0, 1))
  array = tensors.take(name, (*shape[:1:-1], *shape[:2]))
  return np.ascontiguousarray(array.transpose(2, 3, 1, 0))
