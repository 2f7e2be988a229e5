"""The two published files of LPIPS: torchvision's AlexNet or VGG-16, and linear weights on top."""

from collections.abc import Mapping, Sequence
import hashlib
from typing import Any

import numpy as np

from maskgan_jax import errors
from maskgan_jax.import_weights.tensors import Tensors, without_classifier
from maskgan_jax.pretrained_networks import lpips

FILES = ('backbone', 'linear')

_POSITIONS = {
  'alex': (0, 3, 6, 8, 10),
  'vgg': (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}
_NAMES = {'alex': 'alexnet-owt-7be5be79.pth', 'vgg': 'vgg16-397923af.pth'}
# Beginnings of SHA-256 of published files: networks have them in their names, linear weights are
# those of version 0.1.
_BACKBONES = {'alex': ('7be5be79', '4df8aa71'), 'vgg': ('397923af',)}
_LINEARS = {'alex': ('df73285e35b22355',), 'vgg': ('a78928a0af1e5f0f',)}
_OTHERS = {
  'VGG-11': (0, 3, 6, 8, 11, 13, 16, 18),
  'VGG-13': (0, 2, 5, 7, 10, 12, 15, 17, 20, 22),
  'VGG-19': (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
}


def convert(
  paths: Sequence[str], states: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], str]:
  """Converts the arrays of the two files `paths`, backbone and linear weights, by name.

  UserError where a tensor is missing, of another shape, or not of these networks, and where the
  files are not of the same one.

  Returns:
    Parameters of pretrained_networks.lpips.LPIPS, and which of its NETS it is.
  """
  # The two files may have been given in the wrong order.
  backbone = _plain(paths[0], states[0])
  linear = _plain(paths[1], states[1])
  if any(name.startswith('lin') for name in backbone):
    raise errors.UserError(
      f'{paths[0]} holds linear weights; give the network first, '
      f'{" or ".join(_NAMES.values())}, then them'
    )
  net = _net(paths[0], backbone)
  tensors = Tensors(paths[0], without_classifier(backbone))
  layers = lpips.convolutions(net, tensors.shape('features.0.weight', 4)[0])
  params = _convolutions(tensors, layers, _POSITIONS[net])
  tensors.finish()

  sizes = _sizes(layers)
  _refuse_other_linear(paths, linear, net, sizes)
  return params | _linear_weights(paths[1], linear, sizes), net


def _convolutions(tensors, layers, positions):
  """Returns kernels and biases of a network's convolutions, by our names.

  Args:
    tensors: the network's, each kernel as [out, in, row, column].
    layers: as of lpips.convolutions.
    positions: of the convolutions in torchvision's `features`, in order.
  """
  params = {}
  # Kernels become [row, column, in, out] from PyTorch's [out, in, row, column].
  remaining = iter(positions)
  for layer in layers:
    for name, (rows, columns, inputs, features) in layer.items():
      theirs = f'features.{next(remaining)}'
      kernel = tensors.take(f'{theirs}.weight', (features, inputs, rows, columns))
      params[name] = {
        'kernel': np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)),
        'bias': tensors.take(f'{theirs}.bias', (features,)),
      }
  return params


def _linear_weights(path, arrays, sizes):
  """Returns one weight for each channel of each layer, by our names."""
  tensors = Tensors(path, arrays)
  params = {}
  for number, size in enumerate(sizes):
    name = f'lin{number}.model.1.weight'
    weights = tensors.take(name, (1, size, 1, 1)).reshape(size)
    if (weights < 0).any():
      raise errors.UserError(
        f'{path}: {name} has weights below zero, which LPIPS does not'
      )
    params[f'linear{number + 1}'] = weights
  tensors.finish()
  return params


def checksums(paths: Sequence[str], net: str) -> dict[str, str]:
  """Returns 'sha256' and 'linear_sha256' of the files, and 'published'.

  'published' is 'v0.1' where both are published files of `net`, else ''.
  """
  digests = []
  for path in paths:
    try:
      with open(path, 'rb') as file:
        digests.append(hashlib.file_digest(file, 'sha256').hexdigest())
    except OSError as error:
      raise errors.UserError(
        f'cannot read {path}: {error.strerror or error}'
      ) from error
  backbone, linear = digests
  both = backbone.startswith(_BACKBONES[net]) and linear.startswith(_LINEARS[net])
  return {
    'sha256': backbone,
    'linear_sha256': linear,
    'published': 'v0.1' if both else '',
  }


def _sizes(layers):
  """Returns the channels of each layer's last convolution."""
  return [list(layer.values())[-1][-1] for layer in layers]


def _plain(path, state):
  """Returns the file's arrays; UserError for anything else in it."""
  for name, value in state.items():
    if not isinstance(name, str) or not isinstance(value, np.ndarray):
      raise errors.UserError(
        f'{path}: its entry {name!r} is not a tensor; a plain state dict is expected'
      )
  return state


def _net(path: str, arrays: Mapping[str, np.ndarray]) -> str:
  """Tells the network by the places of its convolutions; UserError that names another one."""
  # Each of the well-known other networks is named, with what is needed in its place.
  if any(name.endswith(('.running_mean', '.running_var')) for name in arrays):
    raise errors.UserError(
      f'{path} is a network with batch normalisation (vgg16_bn?); '
      f'{_NAMES["vgg"]} is needed'
    )
  if any('.squeeze.' in name for name in arrays):
    raise errors.UserError(
      f'{path} is a SqueezeNet; LPIPS is here with {" and ".join(lpips.NETS)}'
    )
  places = {
    name.removeprefix('features.').removesuffix('.weight')
    for name, x in arrays.items()
    if name.startswith('features.') and x.ndim == 4
  }
  for other, positions in _OTHERS.items():
    if places == set(map(str, positions)):
      raise errors.UserError(
        f'{path} is a {other}, by the convolutions that it has; LPIPS needs '
        f'{" or ".join(_NAMES.values())}'
      )
  first = arrays.get('features.0.weight')
  if first is None:
    raise errors.UserError(
      f"{path} has no features.0.weight; torchvision's state dict is needed, "
      f'{" or ".join(_NAMES.values())}'
    )
  return 'alex' if first.ndim == 4 and first.shape[2:] == (11, 11) else 'vgg'


def _refuse_other_linear(paths, linear, net, sizes):
  """Raises UserError if the linear weights are of another network, or a whole LPIPS."""
  if any(name.startswith(('net.', 'scaling_layer.')) for name in linear):
    raise errors.UserError(
      f"{paths[1]} is a whole LPIPS; the package's weights/v0.1/{net}.pth is needed"
    )
  first = linear.get('lin1.model.1.weight')
  for other in lpips.NETS.keys() - {net}:
    theirs = _sizes(lpips.convolutions(other, sizes[0]))
    fits_theirs = first is not None and first.shape == (1, theirs[1], 1, 1)
    if fits_theirs and theirs != sizes:
      raise errors.UserError(
        f'{paths[1]} is for {lpips.NETS[other]} and {paths[0]} is '
        f'{lpips.NETS[net]}; the linear weights are needed that go with it, '
        f'{net}.pth'
      )
