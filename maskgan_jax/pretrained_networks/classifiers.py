"""Classifiers that `train_classifier` made: writing, reading and asking them."""

from collections.abc import Mapping
import dataclasses
import json
from typing import Any

from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from maskgan_jax import errors
from maskgan_jax.pretrained_networks import classifier
from maskgan_jax.pretrained_networks import files as weights

KIND = 'classifier'
MOST_WIDTH = 1_024
_LARGEST_BATCH = 64  # pictures at once; fewer are padded to 1, 2, 4, ...


@dataclasses.dataclass(frozen=True)
class HeldOut:
  """How often a classifier was right about pictures that it was not trained on.

  Attributes:
    pictures: their number.
    accuracy: by attribute, the share of right answers in [0, 1].
    positives: by attribute, the number of pictures that have it.
    all_accuracy: the share of pictures with right answers about every attribute.
    all_commonest: the share of pictures that have the commonest set of attributes.
  """

  pictures: int
  accuracy: Mapping[str, float]
  positives: Mapping[str, int]
  all_accuracy: float
  all_commonest: float

  def commoner(self, name: str) -> float:
    """Returns the accuracy of always answering an attribute's commoner value."""
    return (
      max(self.positives[name], self.pictures - self.positives[name]) / self.pictures
    )


@dataclasses.dataclass(frozen=True)
class Facts:
  """What a file says about its classifier.

  Attributes:
    attributes: names of the logits; 'B' may be the domain, see train_classifier.
    width: of pretrained_networks.classifier.AttributeClassifier.
    image_shape: height and width of the pictures it was trained on.
    steps: of its training.
    seed: of its parameters and of the pictures' order.
    data: fingerprint of the data, see data.pipeline.
    held_out: accuracy on the test split of the same data; None before it is measured.
    domains: predicates of a and b where 'B' is the domain; else ().
  """

  attributes: tuple[str, ...]
  width: int
  image_shape: tuple[int, int]
  steps: int
  seed: int
  data: str
  held_out: HeldOut | None = None
  domains: tuple[str, ...] = ()


class Classifier:
  """A trained classifier.

  Attributes:
    facts: see `Facts`.
  """

  def __init__(self, params: Mapping[str, Any], facts: Facts):
    self.facts = facts
    self._params = jax.device_put(dict(params))
    module = module_of(facts.attributes, facts.width)
    self._apply = jax.jit(
      lambda params, images: module.apply({'params': params}, scaled(images))
    )

  def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns float32 logits [N, L] and features [N, D] of uint8 images [N, H, W, 3]."""
    count = len(images)
    size = min(_LARGEST_BATCH, 1 << (count - 1).bit_length())
    chunks = []
    for start in range(0, count, size):
      rows = np.minimum(np.arange(start, start + size), count - 1)  # the last one pads
      chunks.append(self._apply(self._params, images[rows]))
    logits, features = zip(*jax.device_get(chunks), strict=True)
    return np.concatenate(logits)[:count], np.concatenate(features)[:count]


def module_of(
  attributes: tuple[str, ...], width: int
) -> classifier.AttributeClassifier:
  """Returns the network for these attributes."""
  return classifier.AttributeClassifier(len(attributes), width)


def scaled(images: jax.Array) -> jax.Array:
  """Returns bytes as the network takes them: float32 in [-1, 1]."""
  return images.astype(jnp.float32) / 127.5 - 1


def write(path: str, params: Mapping[str, Any], facts: Facts) -> None:
  """Writes a classifier, whole or not at all; UserError if `path` exists."""
  weights.write(
    path,
    jax.device_get(params),
    {'kind': KIND, 'facts': json.dumps(dataclasses.asdict(facts))},
  )


def read(path: str) -> Classifier:
  """Opens what `write` wrote; UserError for a file that is absent, damaged, or something else."""
  arrays, metadata = weights.read(path, KIND, 'train_classifier --config=FILE')
  try:
    facts = _facts(json.loads(metadata['facts']))
  except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
    raise errors.UserError(
      f'{path} does not say what it classifies; train the classifier again '
      'with this version'
    ) from error

  # The shapes that the file must have follow from its facts.
  images = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
  module = module_of(facts.attributes, facts.width)
  variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x), images)
  leaves = traverse_util.flatten_dict(variables['params'], sep='.')
  shapes = {name: leaf.shape for name, leaf in leaves.items()}
  return Classifier(
    weights.tree(path, arrays, shapes, 'train the classifier again'), facts
  )


def _facts(fields: dict[str, Any]) -> Facts:
  """Returns the facts of a file; KeyError, TypeError or ValueError where they make no sense."""
  held_out = HeldOut(**fields.pop('held_out'))
  for name in ('attributes', 'image_shape', 'domains'):
    if name in fields:
      fields[name] = tuple(fields[name])
  facts = Facts(**fields, held_out=held_out)
  if len(facts.domains) not in (0, 2):
    raise ValueError('the domains are not two')
  for name in facts.attributes:
    float(held_out.accuracy[name]), held_out.commoner(name)
    if not isinstance(held_out.accuracy[name], (int, float)):
      raise TypeError('an accuracy is not a number')
  if not facts.attributes or not 0 < int(facts.width) == facts.width <= MOST_WIDTH:
    raise ValueError('it has no attributes, or its width is out of range')
  height, width = facts.image_shape
  if not all(isinstance(size, int) for size in (height, width, facts.width)):
    raise TypeError('a size is not an integer')
  return facts
