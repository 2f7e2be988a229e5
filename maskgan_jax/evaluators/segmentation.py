"""Does a segmentation network still see in a translation what the source's label map says?

Mean intersection over union, in the manner of the FCN score: a trained network, which the user
names, segments the translations of domain a's pictures, and the label maps of the untranslated ones
are the truth. (EGSC-IT's Table 3 asks the same another way: its authors train a network on
translations and test it on real pictures of domain b. Numbers of the two do not compare.)

  segmentation_miou          of translations; the mean over the classes that labels or predictions
                             have, from one confusion matrix of all pictures
  segmentation_source_miou   of the untranslated pictures
  segmentation_iou_3, segmentation_source_iou_3   the same of class 3 alone; if classes are few

`config.segmentation.network` is a file of one of two kinds.

A function that `jax.export` has serialized: uint8 [B, H, W, 3] -> scores [B, h, w, classes] or
integer class ids [B, h, w].

NAME.onnx, an ONNX model, for which onnxruntime must be installed: its first input is [B, 3, H, W]
or [B, H, W, 3], its first output scores with classes on the same axis as the input's channels, or
integer class ids [B, h, w]. To uint8 inputs go bytes. Floats are in [0, 1] if the model's metadata
do not say otherwise: `Image.NominalPixelRange` (NominalRange_0_255, NominalRange_16_235,
Normalized_0_1 or Normalized_1_1, which is [-1, 1]) and `Image.BitmapPixelFormat` (Rgb8 or Bgr8)
mean what ONNX says; `mean` and `std`, each three numbers with commas between in the order of the
channels, are subtracted and divided by after that.

Networks whose batch, height and width are fixed get batches and pictures of that size. Scores of
another resolution than the pictures' are resized bilinearly before the best class is taken, ids by
the nearest.
"""

from collections.abc import Callable, Iterator, Mapping
import dataclasses
import os
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from PIL import Image

from maskgan_jax import errors

_BATCH = 8  # pictures at once, where the network leaves it open
_FEW = 20  # classes up to which each is listed
_FIELD = 'config.segmentation.network'


class Evaluator:
  """See the module's docstring and `base.Evaluator`."""
  settings = 'segmentation'

  def __init__(self, settings: Mapping[str, Any]):
    """Opens the network, if one is named."""
    self._classes, self._ignore = settings['classes'], settings['ignore']
    self._ids = _numbers(settings['ids'])
    if not 1 <= self._classes <= 4096 or self._ids and len(self._ids) != self._classes:
      raise errors.UserError(f'config.segmentation.classes={self._classes} must be from 1 to 4096, '
                             f'and as many as ids, of which there are {len(self._ids)}')
    self._network = open_network(settings['network']) if settings['network'] else None
    self._confusion = {name: np.zeros((self._classes,) * 2, np.int64)  # [label, prediction]
                       for name in ('segmentation', 'segmentation_source')}

  def missing(self, batch, abilities):
    if not self._network:
      return f'no segmentation network is named ({_FIELD})'
    if 'a_labels' not in batch:
      return ("the data have no label maps of domain a's pictures (config.data.labels_path, for "
              "config.data.source='folder', 'celeba' or 'csv')")
    return ''

  def update(self, batch, outputs, valid):
    if not valid.any():
      return
    labels = self._true(batch['a_labels'][valid])
    known = labels >= 0
    if not known.any():
      return
    for name, images in (('segmentation', outputs.translation.image),
                         ('segmentation_source', batch['a'])):
      predicted = self._network.predict(images[valid], self._classes)
      self._confusion[name] += confusion(labels[known], predicted[known], self._classes)

  def _true(self, labels):
    """Returns classes, int32 [B, H, W], -1 where there is none, of the ids in label maps."""
    if self._ids:
      classes = np.full_like(labels, -1)
      for number, identity in enumerate(self._ids):
        classes[labels == identity] = number
      return classes
    classes = np.where(labels == self._ignore, -1, labels)
    if classes.min() < -1 or classes.max() >= self._classes:
      wrong = classes.max() if classes.max() >= self._classes else classes.min()
      raise errors.UserError(
          f'a label map in config.data.labels_path has the class id {wrong}; ids are below '
          f'config.segmentation.classes={self._classes} or ignore={self._ignore}, or list those of '
          'the classes in config.segmentation.ids')
    return classes

  def results(self) -> Iterator[tuple[str, float]]:
    for name, matrix in self._confusion.items():
      there, values = ious(matrix)
      if values.size:
        yield f'{name}_miou', float(values.mean())
        if self._classes <= _FEW:
          yield from zip((f'{name}_iou_{number}' for number in there), map(float, values),
                         strict=True)


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
  """Counts pixels [N] by (label, prediction), int64 [classes, classes]."""
  pairs = labels.astype(np.int64) * classes + predicted
  return np.bincount(pairs, minlength=classes ** 2).reshape(classes, classes)


def ious(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The classes that labels or predictions have, and the IoU of each."""
  both = np.diag(matrix)
  either = matrix.sum(axis=0) + matrix.sum(axis=1) - both
  there = np.flatnonzero(either)
  return there, both[there] / either[there]


@dataclasses.dataclass(frozen=True)
class Network:
  """A segmentation network, whatever it is written in.

  Attributes:
    call: uint8 [B, H, W, 3] -> scores [B, h, w, classes], or with classes on axis 1, or ids.
    shape: batch, height and width that it must have; None where any will do.
    class_axis: of its scores.
  """
  call: Callable[[np.ndarray], Any]
  shape: tuple[int | None, int | None, int | None]
  class_axis: int = 3

  def predict(self, images: np.ndarray, classes: int) -> np.ndarray:
    """Returns class ids, int [B, H, W], of pictures uint8 [B, H, W, 3]."""
    batch, *size = self.shape
    batch = batch or _BATCH
    shape = images.shape[1:3]
    taken = _resized(images, [own or given for own, given in zip(size, shape, strict=True)])
    parts = []
    for start in range(0, len(taken), batch):
      rows = np.minimum(np.arange(start, start + batch), len(taken) - 1)
      try:
        output = self.call(taken[rows])
      except Exception as error:  # what a network that does not fit raises depends on its runtime
        raise errors.UserError(f'{_FIELD} fails on pictures of {shape[0]}x{shape[1]} pixels: '
                               f'{_first_line(error)}') from error
      output = np.asarray(output)
      if not output.ndim or len(output) != len(rows):
        raise errors.UserError(f'{_FIELD} gives {output.dtype} {list(output.shape)} for '
                               f'{len(rows)} pictures; expected something for each')
      parts.append(self._classes_of(output, shape, classes))
    return np.concatenate(parts)[:len(images)]

  def _classes_of(self, output, shape, classes):
    size = (len(output), *shape)
    if output.ndim == 4 and 1 in output.shape[1::2] and output.dtype.kind in 'iu':
      output = output.squeeze(1 if output.shape[1] == 1 else 3)  # ids that kept an axis
    if output.ndim == 3 and output.dtype.kind in 'iu':
      if output.min() < 0 or output.max() >= classes:
        raise errors.UserError(f'{_FIELD} gives class ids from {output.min()} to {output.max()}, '
                               f'but config.segmentation.classes is {classes}')
      return np.asarray(jax.image.resize(output.astype(np.int32), size, 'nearest'))
    if output.ndim != 4 or output.shape[self.class_axis] != classes:
      axes = '[B, h, w, {}]' if self.class_axis == 3 else '[B, {}, h, w]'
      raise errors.UserError(
          f'{_FIELD} gives {output.dtype} {list(output.shape)}; expected scores '
          f'{axes.format(classes)}, as config.segmentation.classes={classes}, or integer ids '
          '[B, h, w]')
    scores = jnp.moveaxis(jnp.asarray(output, jnp.float32), self.class_axis, -1)
    if not np.isfinite(output).all():
      raise errors.UserError(f'{_FIELD} gives scores that are not finite')
    return np.asarray(jax.image.resize(scores, (*size, classes), 'bilinear').argmax(axis=-1))


def open_network(path: str) -> Network:
  """Opens a file of either kind; UserError says what is wrong with it."""
  path = os.path.expanduser(path)
  try:
    with open(path, 'rb') as file:
      data = file.read()
  except OSError as error:
    raise errors.UserError(f'{_FIELD}={path!r} cannot be read: {error.strerror or error}'
                           ) from error
  if path.lower().endswith('.onnx'):
    return _open_onnx(path)
  try:
    exported = jax.export.deserialize(bytearray(data))
  except Exception as error:  # damaged blobs raise anything
    raise errors.UserError(f'{_FIELD}={path!r} is neither a function serialized by jax.export nor '
                           f'NAME.onnx: {_first_line(error)}') from error
  first = exported.in_avals[0] if len(exported.in_avals) == 1 else None
  if first is None or first.dtype != np.uint8 or len(first.shape) != 4 or first.shape[3] != 3:
    raise errors.UserError(
        f'{_FIELD}={path!r} takes {", ".join(map(str, exported.in_avals)) or "nothing"}; expected '
        'one uint8 array [B, H, W, 3]')
  if len(exported.out_avals) != 1:
    raise errors.UserError(f'{_FIELD}={path!r} returns {len(exported.out_avals)} arrays; expected '
                           'scores or class ids alone')
  call = jax.jit(exported.call)
  return Network(lambda images: jax.tree.leaves(call(images))[0], _fixed(first.shape[:3]))


_RANGES = {  # ONNX's names -> from bytes
    'normalized_0_1': lambda x: x / 255,
    'normalized_1_1': lambda x: x / 127.5 - 1,
    'nominalrange_0_255': lambda x: x,
    'nominalrange_16_235': lambda x: 16 + x * (219 / 255),
}


def _open_onnx(path):
  try:
    import onnxruntime
  except ImportError as error:
    raise errors.UserError(f'{_FIELD}={path!r} needs onnxruntime: pip install onnxruntime'
                           ) from error
  try:
    session = onnxruntime.InferenceSession(path, providers=onnxruntime.get_available_providers())
  except Exception as error:
    raise errors.UserError(f'{_FIELD}={path!r} is not a model that onnxruntime opens: '
                           f'{_first_line(error)}') from error
  given = session.get_inputs()[0]
  types = {'tensor(float)': np.float32, 'tensor(float16)': np.float16, 'tensor(uint8)': np.uint8}
  shape = list(given.shape)
  channels = next((axis for axis in (1, 3) if len(shape) == 4 and shape[axis] == 3), None)
  if channels is None or given.type not in types:
    raise errors.UserError(f'{_FIELD}={path!r} takes {given.type} {shape}; expected float or uint8 '
                           '[B, 3, H, W] or [B, H, W, 3]')
  prepare = _preparation(path, session.get_modelmeta().custom_metadata_map)
  dtype = types[given.type]

  def call(images):
    images = (prepare(images) if dtype != np.uint8 else images).astype(dtype)
    images = np.ascontiguousarray(np.moveaxis(images, -1, channels))
    return session.run(None, {given.name: images})[0]

  del shape[channels]
  return Network(call, _fixed(shape), channels)


def _preparation(path, metadata):
  """Returns uint8 [B, H, W, 3] -> float32, as an ONNX model's metadata ask."""
  metadata = {key.lower(): value for key, value in metadata.items()}
  kind = metadata.get('image.nominalpixelrange', 'Normalized_0_1')
  order = metadata.get('image.bitmappixelformat', 'Rgb8')
  if kind.lower() not in _RANGES or order.lower() not in ('rgb8', 'bgr8'):
    raise errors.UserError(f'{_FIELD}={path!r} asks for pixels {order} in {kind}; known: Rgb8 and '
                           f'Bgr8, in {", ".join(_RANGES)}')
  moments = []
  for key, default in (('mean', '0,0,0'), ('std', '1,1,1')):
    try:
      moments.append(np.array([float(x) for x in metadata.get(key, default).split(',')],
                              np.float32).reshape(3))
    except ValueError as error:
      raise errors.UserError(f'{_FIELD}={path!r} has metadata {key}={metadata[key]!r}; expected '
                             'three numbers with commas between') from error
  mean, std = moments

  def prepare(images):
    images = images[..., ::-1] if order.lower() == 'bgr8' else images
    return (_RANGES[kind.lower()](images.astype(np.float32)) - mean) / std
  return prepare


def _fixed(shape):
  """Returns the sizes that are numbers; names and symbols, which stand for any, become None."""
  return tuple(size if isinstance(size, int) else None for size in shape)


def _resized(images, size):
  if images.shape[1:3] == tuple(size):
    return images
  return np.stack([np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
                   for image in images])


def _numbers(values):
  """Returns ids as int; on the command line they come as text."""
  try:
    return tuple(int(value) for value in values)
  except ValueError as error:
    raise errors.UserError(f'config.segmentation.ids={tuple(values)!r}: {error}') from error


def _first_line(error):
  return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
