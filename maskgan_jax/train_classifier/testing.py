"""How often a classifier is right of pictures that it has not learned from."""

from collections.abc import Callable, Sequence

import numpy as np

from maskgan_jax.data import pictures
from maskgan_jax.pretrained_networks import classifiers
from maskgan_jax.train_classifier import subjects

_BATCH = 64  # test pictures at once


def measure(
  classifier, data, *, split: str = 'test', poll: Callable[[], None] = lambda: None
):
  """Asks a classifier about all pictures of both domains in a split, a few at a time.

  Args:
    classifier: `pretrained_networks.classifiers.Classifier`.
    data: `data.pipeline.Data`, with the classifier's attributes; without a label 'B', that is
      domain b.
    split: the one that is measured.
    poll: is called often; may raise to stop.
  Returns:
    `pretrained_networks.classifiers.HeldOut`.
  """
  members, names = subjects.union(data, split), classifier.facts.attributes
  labels = _labels(data, split, members, names)
  right = _right_answers(classifier, data, split, members, labels, poll)

  # The commonest combination of labels is what a classifier that sees nothing can say.
  _, counts = np.unique(labels, axis=0, return_counts=True)
  shares = dict(zip(names, map(float, right.mean(0)), strict=True))
  positives = dict(zip(names, map(int, labels.sum(0)), strict=True))
  return classifiers.HeldOut(
    pictures=len(members),
    accuracy=shares,
    positives=positives,
    all_accuracy=float(right.all(1).mean()),
    all_commonest=float(counts.max() / len(members)),
  )


def _labels(data, split, members, names):
  """Returns the true labels of the members, bool [N, L]; a name that data lack is domain b."""
  records = data.records(split)
  in_b = np.isin(members, data.members(split)[1])
  columns = []
  for name in names:
    if name in records.attribute_names:
      column = records.attribute_names.index(name)
      columns.append(records.attributes[members, column])
    else:
      columns.append(in_b)
  return np.stack(columns, axis=1)


def _right_answers(classifier, data, split, members, labels, poll):
  """Returns where the classifier says what is true, bool [N, L]."""
  records = data.records(split)
  pairs = data.pairs(split, members, members)

  def read(index):
    return pairs.prepare(records.image(int(index)), int(index))

  right = []
  for start in range(0, len(members), _BATCH):
    poll()
    images = np.stack(pictures.parallel_map(read, members[start : start + _BATCH]))
    right.append((classifier(images)[0] > 0) == labels[start : start + _BATCH])
  return np.concatenate(right)


def lines(names: Sequence[str], held_out) -> list[str]:
  """Returns what was measured, a line an attribute."""
  width = max(map(len, (*names, 'all of them')))
  result = [
    f'right of {held_out.pictures:,} test pictures, and (what always the commoner answer '
    'gets)'
  ]
  for name in names:
    positives = held_out.positives[name]
    result.append(
      f'{name:{width}} {100 * held_out.accuracy[name]:6.2f} % '
      f'({100 * held_out.commoner(name):.2f} %); {positives:,} have it, '
      f'{held_out.pictures - positives:,} do not'
    )
    if positives in (0, held_out.pictures):
      result[-1] += ': this says nothing, as all are alike'
  if len(names) > 1:
    result.append(
      f'{"all of them":{width}} {100 * held_out.all_accuracy:6.2f} % '
      f'({100 * held_out.all_commonest:.2f} %)'
    )
  return result
