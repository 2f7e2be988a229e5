"""Checkpoints of MUNIT's authors (github.com/NVlabs/MUNIT).

A file of generators, gen_*.pt or a published one, and one of discriminators, dis_*.pt: each a dict
of two state dicts, 'a' and 'b'. The published files are generators alone. Files of PyTorch 0.3 also
have running averages of instance normalisation, which nothing reads.
"""

from collections.abc import Mapping, Sequence
import os
import re
from typing import Any

import jax
import ml_collections
import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.import_weights.base import abstract, Converted
from maskgan_jax.import_weights.tensors import Tensors

FILES = ('generators', 'discriminators')
OPTIONAL = 1  # of FILES, the last ones

_MARKS = ('enc_content.model.0.conv.weight', 'cnns.0.0.conv.weight')
_LEAVES = {'kernel': 'weight', 'bias': 'bias', 'scale': 'gamma'}
_IGNORED = ('.running_mean', '.running_var', '.num_batches_tracked')


def convert(paths: Sequence[str], files: Sequence[Mapping[str, Any]]) -> Converted:
  """Converts `files`, read from `paths`: the generators', and the discriminators' if given.

  All sizes but the images' are read off the shapes; images are taken to have 256 pixels, as the
  authors' have. UserError where a tensor is missing, unknown or of another shape than these say.
  """
  tensors = {}
  for path, file, role, mark in zip(paths, files, FILES, _MARKS, strict=False):
    for domain, state in _domains(path, file, role, mark).items():
      tensors[role, domain] = Tensors(f'{path} ({domain})', state)
  config = _config(tensors)
  method, params, _ = abstract(config, ' and '.join(paths))
  names = layer_names(config)
  notes = ['the files do not say how large the images were: 256x256 is taken']

  # What the files have replaces our fresh numbers.
  converted = {}
  for group, tree in params.items():
    network, _, domain = group.rpartition('_')
    role = FILES[network == 'discriminator']
    if (role, domain) in tensors:
      converted[group] = _filled(tree, network, names, tensors[role, domain])
  for each in tensors.values():
    each.finish(ignored=_IGNORED)
  if len(paths) == 1:
    image = jax.ShapeDtypeStruct(
      (1, config.image_size, config.image_size, 3), 'float32'
    )
    fresh = _fresh_discriminators(method, config, image)
    converted.update(fresh)
    notes.append(
      'no discriminators were given: they start afresh, and translation does not need them'
    )
  model = {'params': converted, 'model_state': {}, 'ema_params': {}}
  return Converted(config, model, _step(paths[0]), notes)


def _fresh_discriminators(method, config, image):
  """Returns fresh parameters of both discriminators."""
  rng = jax.random.key(config.seed)
  pixels = np.zeros(image.shape, np.float32)
  fresh = {}
  for domain, key in zip('ab', jax.random.split(rng), strict=True):
    name = f'discriminator_{domain}'
    init = jax.jit(method.networks[name].init)
    fresh[name] = jax.device_get(init(key, pixels)['params'])
  return fresh


def _step(path: str) -> int:
  """Returns the iterations that gen_00500000.pt names; 0 for another name."""
  match = re.fullmatch(r'gen_(\d+)\.pt', os.path.basename(path))
  return int(match[1]) if match else 0


def _domains(
  path: str, file: Mapping[str, Any], role: str, mark: str
) -> dict[str, dict[str, np.ndarray]]:
  """Returns the state dicts of both domains; UserError unless the file is one of this role."""
  if set(file) != {'a', 'b'}:
    raise errors.UserError(
      f"{path} is not one of MUNIT's {role}: it has the entries "
      f'{", ".join(sorted(map(str, file))[:4])}, expected a and b'
    )
  for domain, state in file.items():
    is_dict = isinstance(state, Mapping)
    if not is_dict or not all(isinstance(x, np.ndarray) for x in state.values()):
      raise errors.UserError(f'{path}: {domain} is not a state dict of tensors')
    if mark not in state:
      raise errors.UserError(
        f"{path} is not one of MUNIT's {role}: {domain} has no {mark}; the order of the "
        f'files is {", ".join(FILES)}'
      )
  return {domain: dict(state) for domain, state in file.items()}


def _config(tensors: Mapping[tuple[str, str], Tensors]) -> ml_collections.ConfigDict:
  """Returns the official config at the sizes of these tensors."""
  generator = tensors['generators', 'a']

  def count(tensors, pattern):
    return sum(bool(re.fullmatch(pattern, name)) for name in tensors.names(4))

  downsamplings = count(generator, r'enc_content\.model\.\d+\.conv\.weight') - 1
  style_downsamplings = count(generator, r'enc_style\.model\.\d+\.conv\.weight') - 1
  code = f'enc_style.model.{style_downsamplings + 2}.weight'
  config = run_config.default('munit')
  config.update(variant='official', image_size=256, batch_size=1, num_steps=1_000_000)
  config.model.update(
    width=generator.shape('enc_content.model.0.conv.weight', 4)[0],
    downsamplings=downsamplings,
    blocks=count(
      generator, r'enc_content\.model\.\d+\.model\.\d+\.model\.0\.conv\.weight'
    ),
    style_size=generator.shape(code, 4)[0],
    style_downsamplings=style_downsamplings,
    mlp=generator.shape('mlp.model.0.fc.weight', 2)[0],
  )
  if ('discriminators', 'a') in tensors:
    discriminator = tensors['discriminators', 'a']
    config.model.update(
      discriminator_width=discriminator.shape('cnns.0.0.conv.weight', 4)[0],
      discriminator_depth=count(discriminator, r'cnns\.0\.\d+\.conv\.weight'),
      discriminator_scales=count(discriminator, r'cnns\.\d+\.0\.conv\.weight'),
    )
  config.data.update(source='folder', path='data/edges2handbags', a='~B', b='B')
  return config


def layer_names(config: ml_collections.ConfigDict) -> dict[str, str]:
  """Returns the authors' names of our layers, 'network/module/...' without inner Dense modules."""
  model = config.model
  names = {'content_encoder/Conv_0': 'enc_content.model.0.conv'}
  for i in range(model.downsamplings):
    names[f'content_encoder/DownConv_{i}'] = f'enc_content.model.{i + 1}.conv'

  # Residual blocks are one module of theirs, before the upsamplings in the decoder.
  for i in range(model.blocks):
    theirs = f'enc_content.model.{model.downsamplings + 1}.model.{i}.model'
    for j in range(2):
      names[f'content_encoder/Residual_{i}/Conv_{j}'] = f'{theirs}.{j}.conv'
      names[f'decoder/StyledResidual_{i}/Conv_{j}'] = (
        f'dec.model.0.model.{i}.model.{j}.conv'
      )
  for i in range(model.downsamplings):
    names[f'decoder/UpsampledConv_{i}'] = f'dec.model.{2 * i + 2}.conv'
    names[f'decoder/LayerNorm_{i}'] = f'dec.model.{2 * i + 2}.norm'
  names['decoder/Conv_0'] = f'dec.model.{2 * model.downsamplings + 1}.conv'
  for i in range(3):
    names[f'decoder/style/Linear_{i}'] = f'mlp.model.{i}.fc'

  # The first two strided convolutions of a style encoder are outside of our head.
  names['style_encoder/Conv_0'] = 'enc_style.model.0.conv'
  for i in range(model.style_downsamplings):
    ours = f'DownConv_{i}' if i < 2 else f'head/DownConv_{i - 2}'
    names[f'style_encoder/{ours}'] = f'enc_style.model.{i + 1}.conv'
  code = f'enc_style.model.{model.style_downsamplings + 2}'
  names['style_encoder/head/Linear_0'] = code

  for scale in range(model.discriminator_scales):
    ours = f'discriminator/scale_{scale}'
    for i in range(model.discriminator_depth):
      names[f'{ours}/DownConv_{i}'] = f'cnns.{scale}.{i}.conv'
    names[f'{ours}/scores'] = f'cnns.{scale}.{model.discriminator_depth}'
  return names


def _filled(tree: Any, network: str, names: Mapping[str, str], tensors: Tensors) -> Any:
  """Returns our tree of a network's parameters with the authors' arrays as its leaves."""

  def take(path, leaf):
    *layer, kind = (key.key for key in path if key.key != 'Dense_0')
    theirs = names['/'.join((network, *layer))]
    is_norm = layer[-1].startswith('LayerNorm')
    name = 'beta' if is_norm and kind == 'bias' else _LEAVES[kind]
    return _array(tensors, f'{theirs}.{name}', leaf.shape)

  return jax.tree_util.tree_map_with_path(take, tree)


def _array(tensors: Tensors, name: str, shape: tuple[int, ...]) -> np.ndarray:
  """Returns one of our arrays from theirs, which is in PyTorch's layout."""
  if len(shape) == 1:
    return tensors.take(name, shape)
  if name.endswith('.fc.weight'):
    return np.ascontiguousarray(tensors.take(name, shape[::-1]).T)
  if len(shape) == 2:  # a 1x1 convolution of a single pixel
    array = tensors.take(name, (*shape[::-1], 1, 1))
    return np.ascontiguousarray(array[:, :, 0, 0].T)
  # [out, in, row, column] becomes [row, column, in, out].
  array = tensors.take(name, (*shape[:1:-1], *shape[:2]))
  return np.ascontiguousarray(array.transpose(2, 3, 1, 0))
