"""Measures whether a segmentation network sees in a translation what the source's labels say.

Mean intersection over union, in the manner of the FCN score: a trained network, which the user
names, segments the translations of domain a's pictures, and the label maps of the untranslated ones
are the truth. (EGSC-IT's Table 3 asks the same another way: its authors train a network on
translations and test it on real pictures of domain b. Numbers of the two do not compare.)

  segmentation_miou          of translations; the mean over the classes that labels or predictions
                             have, from one confusion matrix of all pictures
  segmentation_source_miou   of the untranslated pictures
  segmentation_iou_3, segmentation_source_iou_3   the same of class 3 alone; if classes are few

`config.segmentation.network` is a file, jax.export's or NAME.onnx (see _networks.py). What it gives
are scores [B, h, w, classes], those of an ONNX model with classes on the same axis as its input's
channels, or integer class ids [B, h, w]. Scores of another resolution than the pictures' are
resized bilinearly before the best class is taken, ids by the nearest.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maskgan_jax import errors
from maskgan_jax.evaluators import _networks as networks
from maskgan_jax.evaluators import base
from maskgan_jax.runs.measures import Measure, Quantity, SOURCE

DEFAULTS = {  # config.segmentation; a literal, which config/evaluation.py reads
  'network': '',  # a file: a jax.export blob, or NAME.onnx
  'classes': 19,
  'ids': (),  # the id of each class in data.labels_path, others are ignored; () = 0, 1, 2, ...
  'ignore': 255,  # the id of what is not a class
}

_FEW = 20  # classes up to which each is listed
_FIELD = 'config.segmentation.network'


class Evaluator(base.Evaluator):
  """See the module's docstring and `base.Evaluator`."""

  order = 60
  quantities = (
    Quantity(
      'miou',
      ('segmentation',),
      title='mean IoU',
      better=1,
      meaning='How well a segmentation network sees in the translation what was '
      'in the source: intersection over union, the mean over the '
      'classes.',
    ),
    Quantity(
      'iou',
      ('segmentation',),
      title='IoU of class',
      better=1,
      meaning='The same for one class.',
    ),
  )
  settings = ('segmentation',)

  def __init__(self, settings: Mapping[str, Any]):
    """Opens the network, if one is named."""
    self._classes, self._ignore = settings['classes'], settings['ignore']
    self._ids = _numbers(settings['ids'])
    if not 1 <= self._classes <= 4096 or self._ids and len(self._ids) != self._classes:
      raise errors.UserError(
        f'config.segmentation.classes={self._classes} must be from 1 to 4096, '
        f'and as many as ids, of which there are {len(self._ids)}'
      )
    self._network = open_network(settings['network']) if settings['network'] else None
    self._note: Callable[[str], None] = lambda line: None
    shape = self._classes, self._classes  # [label, prediction]
    self._confusion = {'': np.zeros(shape, np.int64), SOURCE: np.zeros(shape, np.int64)}

  def begin(self, data, split, reporter):
    self._note = reporter.note

  def missing(self, batch, abilities):
    if not self._network:
      return f'no segmentation network is named ({_FIELD})'
    if 'a_labels' not in batch:
      return (
        "the data have no label maps of domain a's pictures (config.data.labels_path, for "
        "config.data.source='folder', 'celeba' or 'csv')"
      )
    return ''

  def update(self, batch, outputs, valid):
    if not valid.any():
      return
    labels = self._true(batch['a_labels'][valid])
    labelled = labels >= 0
    if not labelled.any():
      return

    # The untranslated pictures show how good the network is as a judge.
    for name, images in (('', outputs.translation.image), (SOURCE, batch['a'])):
      predicted = self._network.predict(images[valid], self._classes)
      self._confusion[name] += confusion(
        labels[labelled], predicted[labelled], self._classes
      )

  def _true(self, labels):
    """Returns classes, int32 [B, H, W], -1 where there is none, of the ids in label maps."""
    if self._ids:
      classes = np.full_like(labels, -1)
      for number, identity in enumerate(self._ids):
        classes[labels == identity] = number
      return classes

    # Without a list of ids, an id is its class.
    classes = np.where(labels == self._ignore, -1, labels)
    if classes.min() < -1 or classes.max() >= self._classes:
      wrong = classes.max() if classes.max() >= self._classes else classes.min()
      raise errors.UserError(
        f'a label map in config.data.labels_path has the class id {wrong}; ids are below '
        f'config.segmentation.classes={self._classes} or ignore={self._ignore}, or list those of '
        'the classes in config.segmentation.ids'
      )
    return classes

  def _note_single_classes(self):
    """Notes what makes IoU say nothing: labels or predictions of one class."""
    # Rows are true classes and columns predicted ones, of untranslated pictures.
    matrix = self._confusion[SOURCE]
    labelled = np.flatnonzero(matrix.sum(axis=1))
    predicted = np.flatnonzero(matrix.sum(axis=0))
    if len(labelled) == 1:
      self._note(
        f'all label maps measured are of class {labelled[0]} alone: a network that always '
        "says so would be perfect, and 'segmentation' says nothing of translation"
      )
    elif len(predicted) == 1:
      self._note(
        f'{_FIELD} finds class {predicted[0]} alone in all untranslated pictures, whose '
        f"label maps have {len(labelled)}: it is not a judge, and 'segmentation' says "
        'nothing of translation'
      )

  def results(self) -> Iterator[tuple[str, float]]:
    self._note_single_classes()
    for reference, matrix in self._confusion.items():
      classes, values = ious(matrix)
      if values.size:
        yield Measure('miou', 'segmentation', reference).column, float(values.mean())
        if self._classes <= _FEW:
          for number, value in zip(classes, values, strict=True):
            measure = Measure('iou', 'segmentation', reference, str(number))
            yield measure.column, float(value)


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
  """Counts pixels [N] by (label, prediction), int64 [classes, classes]."""
  pairs = labels.astype(np.int64) * classes + predicted
  return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def ious(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the classes that labels or predictions have, and the IoU of each."""
  both = np.diag(matrix)
  union = matrix.sum(axis=0) + matrix.sum(axis=1) - both
  classes = np.flatnonzero(union)
  return classes, both[classes] / union[classes]


class Network(networks.Network):
  """A network whose arrays are scores [B, h, w, classes], or [B, classes, h, w], or class ids."""

  @property
  def class_axis(self) -> int:
    """Returns the axis of its scores that holds the classes."""
    return self.channels

  def predict(self, images: np.ndarray, classes: int) -> np.ndarray:
    """Returns class ids, int [B, H, W], of pictures uint8 [B, H, W, 3]."""
    parts = [
      self._classes_of(output, images.shape[1:3], classes)
      for output in self.outputs(images)
    ]
    return np.concatenate(parts)[: len(images)]

  def _classes_of(self, output, shape, classes):
    size = (len(output), *shape)
    if output.ndim == 4 and 1 in output.shape[1::2] and output.dtype.kind in 'iu':
      output = output.squeeze(1 if output.shape[1] == 1 else 3)  # ids that kept an axis
    if output.ndim == 3 and output.dtype.kind in 'iu':
      if output.min() < 0 or output.max() >= classes:
        raise errors.UserError(
          f'{_FIELD} gives class ids from {output.min()} to {output.max()}, '
          f'but config.segmentation.classes is {classes}'
        )
      return np.asarray(jax.image.resize(output.astype(np.int32), size, 'nearest'))
    if output.ndim != 4 or output.shape[self.class_axis] != classes:
      axes = '[B, h, w, {}]' if self.class_axis == 3 else '[B, {}, h, w]'
      raise errors.UserError(
        f'{_FIELD} gives {output.dtype} {list(output.shape)}; expected scores '
        f'{axes.format(classes)}, as config.segmentation.classes={classes}, or integer ids '
        '[B, h, w]'
      )
    scores = jnp.moveaxis(jnp.asarray(output, jnp.float32), self.class_axis, -1)
    if not np.isfinite(output).all():
      raise errors.UserError(f'{_FIELD} gives scores that are not finite')
    return np.asarray(
      jax.image.resize(scores, (*size, classes), 'bilinear').argmax(axis=-1)
    )


def open_network(path: str) -> Network:
  """Opens a file of either kind; UserError says what is wrong with it."""
  return networks.open_network(path, _FIELD, 'scores or class ids', Network)


def _numbers(values):
  """Returns ids as int; on the command line they come as text."""
  try:
    return tuple(int(value) for value in values)
  except ValueError as error:
    raise errors.UserError(
      f'config.segmentation.ids={tuple(values)!r}: {error}'
    ) from error
