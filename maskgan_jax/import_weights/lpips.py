"""LPIPS's two published files: torchvision's AlexNet or VGG-16, and the linear weights on top."""

from collections.abc import Mapping, Sequence
import hashlib
from typing import Any

import numpy as np

from maskgan_jax import errors
from maskgan_jax.import_weights.tensors import Tensors
from maskgan_jax.pretrained_networks import lpips

FILES = ('backbone', 'linear')

_POSITIONS = {'alex': (0, 3, 6, 8, 10), 'vgg': (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)}
_NAMES = {'alex': 'alexnet-owt-7be5be79.pth', 'vgg': 'vgg16-397923af.pth'}
# Beginnings of SHA-256 of what is published: those of networks are in the files' names, the linear
# weights are version 0.1's.
_BACKBONES = {'alex': ('7be5be79', '4df8aa71'), 'vgg': ('397923af',)}
_LINEARS = {'alex': ('df73285e35b22355',), 'vgg': ('a78928a0af1e5f0f',)}
_OTHERS = {'VGG-11': (0, 3, 6, 8, 11, 13, 16, 18), 'VGG-13': (0, 2, 5, 7, 10, 12, 15, 17, 20, 22),
           'VGG-19': (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)}


def convert(paths: Sequence[str], states: Sequence[Mapping[str, Any]]
            ) -> tuple[dict[str, Any], str]:
  """Converts the arrays of the two files `paths`, backbone and linear weights, by name.

  UserError where a tensor is missing, of another shape, or not of these networks, and where the
  files are not of the same one.

  Returns:
    Parameters of pretrained_networks.lpips.LPIPS, and which of its NETS it is.
  """
  backbone, linear = (_plain(path, state) for path, state in zip(paths, states, strict=True))
  if any(name.startswith('lin') for name in backbone):
    raise errors.UserError(f'{paths[0]} holds linear weights; give the network first, '
                           f'{" or ".join(_NAMES.values())}, then them')
  net = _net(paths[0], backbone)
  tensors = Tensors(paths[0], {name: x for name, x in backbone.items()
                               if not name.startswith('classifier.')})
  width, params = tensors.shape('features.0.weight', 4)[0], {}
  layers = lpips.convolutions(net, width)
  positions = iter(_POSITIONS[net])
  for name, (rows, columns, inputs, features) in (item for layer in layers
                                                  for item in layer.items()):
    theirs = f'features.{next(positions)}'  # [out, in, row, column]
    kernel = tensors.take(f'{theirs}.weight', (features, inputs, rows, columns))
    params[name] = {'kernel': np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)),
                    'bias': tensors.take(f'{theirs}.bias', (features,))}
  tensors.finish()

  sizes = [list(layer.values())[-1][-1] for layer in layers]
  _refuse_other_linear(paths, linear, net, sizes)
  tensors = Tensors(paths[1], linear)
  for i, size in enumerate(sizes):
    weights = tensors.take(f'lin{i}.model.1.weight', (1, size, 1, 1)).reshape(size)
    if (weights < 0).any():
      raise errors.UserError(f'{paths[1]}: lin{i}.model.1.weight has weights below zero, which '
                             'LPIPS does not')
    params[f'linear{i + 1}'] = weights
  tensors.finish()
  return params, net


def checksums(paths: Sequence[str], net: str) -> dict[str, str]:
  """'sha256' and 'linear_sha256' of the files, and whether both are 'published' ones of `net`.

  'published' is 'v0.1', or '' where either is unknown.
  """
  digests = []
  for path in paths:
    try:
      with open(path, 'rb') as file:
        digests.append(hashlib.file_digest(file, 'sha256').hexdigest())
    except OSError as error:
      raise errors.UserError(f'cannot read {path}: {error.strerror or error}') from error
  known = digests[0].startswith(_BACKBONES[net]) and digests[1].startswith(_LINEARS[net])
  return {'sha256': digests[0], 'linear_sha256': digests[1], 'published': 'v0.1' if known else ''}


def _plain(path, state):
  """The file's arrays; UserError for anything else in it."""
  for name, value in state.items():
    if not isinstance(name, str) or not isinstance(value, np.ndarray):
      raise errors.UserError(f'{path}: its entry {name!r} is not a tensor; a plain state dict is '
                             'expected')
  return state


def _net(path: str, arrays: Mapping[str, np.ndarray]) -> str:
  """Which network it is, by where its convolutions are; UserError that names another one."""
  if any(name.endswith(('.running_mean', '.running_var')) for name in arrays):
    raise errors.UserError(f'{path} is a network with batch normalisation (vgg16_bn?); '
                           f'{_NAMES["vgg"]} is needed')
  if any('.squeeze.' in name for name in arrays):
    raise errors.UserError(f'{path} is a SqueezeNet; LPIPS is here with {" and ".join(lpips.NETS)}')
  found = {name.removeprefix('features.').removesuffix('.weight') for name, x in arrays.items()
           if name.startswith('features.') and x.ndim == 4}
  for other, positions in _OTHERS.items():
    if found == set(map(str, positions)):
      raise errors.UserError(f'{path} is a {other}, by the convolutions that it has; LPIPS needs '
                             f'{" or ".join(_NAMES.values())}')
  first = arrays.get('features.0.weight')
  if first is None:
    raise errors.UserError(f"{path} has no features.0.weight; torchvision's state dict is needed, "
                           f'{" or ".join(_NAMES.values())}')
  return 'alex' if first.ndim == 4 and first.shape[2:] == (11, 11) else 'vgg'


def _refuse_other_linear(paths, linear, net, sizes):
  """UserError that says whose the linear weights are, where that is known."""
  if any(name.startswith(('net.', 'scaling_layer.')) for name in linear):
    raise errors.UserError(f"{paths[1]} is a whole LPIPS; the package's weights/v0.1/{net}.pth is "
                           'needed')
  first = linear.get('lin1.model.1.weight')
  for other in lpips.NETS.keys() - {net}:
    theirs = [list(layer.values())[-1][-1] for layer in lpips.convolutions(other, sizes[0])]
    if first is not None and first.shape == (1, theirs[1], 1, 1) and theirs != sizes:
      raise errors.UserError(f'{paths[1]} is for {lpips.NETS[other]} and {paths[0]} is '
                             f'{lpips.NETS[net]}; the linear weights are needed that go with it, '
                             f'{net}.pth')
