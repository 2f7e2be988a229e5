"""The Inception-v3 of FID as pytorch-fid and torch-fidelity publish it: one state dict."""

from collections.abc import Mapping
import hashlib
from typing import Any

import numpy as np

from maskgan_jax import errors
from maskgan_jax.import_weights.tensors import Tensors
from maskgan_jax.pretrained_networks import inception

FILES = ('weights',)
PUBLISHED = 'pt_inception-2015-12-05-6726825d.pth'

_SHA256 = ('6726825d',)  # beginnings, as in the file's name, of what is published
_THEIRS = {
  'kernel': 'conv.weight',
  'scale': 'bn.weight',
  'bias': 'bn.bias',
  'mean': 'bn.running_mean',
  'variance': 'bn.running_var',
}


def convert(path: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
  """Returns parameters of pretrained_networks.inception.InceptionV3 from the arrays of `path`.

  UserError where a tensor is missing, of another shape, or not of this network.
  """
  for name, value in arrays.items():
    if not isinstance(name, str) or not isinstance(value, np.ndarray):
      raise errors.UserError(
        f'{path} is not an Inception-v3: its entry {name!r} is not a '
        f'tensor; a plain state dict is expected, {PUBLISHED}'
      )
  _refuse_others(path, arrays)
  tensors = Tensors(path, arrays)

  # Blocks and their layers have the same names in both; the head is a plain layer of theirs.
  def take_all(shapes, prefix):
    if 'kernel' in shapes:
      arrays = {}
      for leaf, shape in shapes.items():
        arrays[leaf] = _take(tensors, prefix + _THEIRS[leaf], shape)
      return arrays
    return {name: take_all(inner, f'{prefix}{name}.') for name, inner in shapes.items()}

  # PyTorch's kernel of a linear layer is transposed, [out, in].
  shapes = inception.shapes()
  head = shapes.pop('fc')
  params = take_all(shapes, '')
  features, classes = head['kernel']
  kernel = tensors.take('fc.weight', (classes, features))
  params['fc'] = {
    'kernel': np.ascontiguousarray(kernel.T),
    'bias': tensors.take('fc.bias', head['bias']),
  }
  tensors.finish(ignored=('.bn.num_batches_tracked',))
  return params


def checksums(path: str) -> dict[str, str]:
  """Returns 'sha256' of the file, and 'published': 'FID', or '' for an unknown file."""
  try:
    with open(path, 'rb') as file:
      sha256 = hashlib.file_digest(file, 'sha256').hexdigest()
  except OSError as error:
    raise errors.UserError(f'cannot read {path}: {error.strerror or error}') from error
  return {'sha256': sha256, 'published': 'FID' if sha256.startswith(_SHA256) else ''}


def _take(tensors, name, shape):
  if len(shape) == 4:  # [out, in, row, column] becomes [row, column, in, out]
    rows, columns, inputs, features = shape
    array = tensors.take(name, (features, inputs, rows, columns))
    return np.ascontiguousarray(array.transpose(2, 3, 1, 0))
  array = tensors.take(name, shape)
  if name.endswith('running_var') and (array < 0).any():
    raise errors.UserError(f'{tensors.where}: {name} has variances below zero')
  return array


def _refuse_others(path, arrays):
  """Raises UserError that names the network, if it is another well-known one."""
  # The shape of its head tells torchvision's network from FID's.
  head = arrays.get('fc.weight')
  auxiliary = any(name.startswith('AuxLogits.') for name in arrays)
  if auxiliary or (head is not None and head.shape == (1000, 2048)):
    raise errors.UserError(
      f"{path} is torchvision's Inception-v3, whose distances are not FID; "
      f'{PUBLISHED} is needed'
    )
  if any(name.startswith('blocks.0.') for name in arrays):
    raise errors.UserError(
      f"{path} was saved from pytorch-fid's InceptionV3 and lacks the logits; "
      f'{PUBLISHED}, which it was made from, is needed'
    )
