"""Measures whether a classifier finds in translations what should be there, as LOMIT's CA does.

  ab_accuracy              share of the translations in which every attribute that is to change is
                           found as it should be
  ab_accuracy[NAME]        the same of one attribute
  ab_accuracy_changed      ab_accuracy over the pairs in which at least one of them differs between
                           the two pictures; in the others doing nothing is right
  do_nothing_ab_accuracy   of the untranslated pictures; 0 if all of them have to change
  truth_ab_accuracy        of the true translations, where the data know them: what a perfect one
                           gets from this classifier
  a_accuracy, b_accuracy   share of the real pictures measured in which it finds what their labels
                           say: its other answers are no better than that
  classifier               the file, and what it got right when it was trained

`ba` is the other direction, for methods that translate both ways, and `removal` b without the
attributes, for methods that remove.

Which attributes are to change: the labels among `config.data.transfer`; else those asked for in b
and refused in a; else the other way round; else asked for in b alone; else, where nothing tells the
domains apart, `config.data.attributes`. A translation should have its exemplar's values of them
(without an exemplar: those of the picture that it is paired with); a picture with them removed
those of domain a, where all of a are alike. Labels say which those are, and where there are none
the domain does: 1 in b and 0 in a, or the other way round.

Content transfer's classifier (ICLR 2020, section 4) tells the domains apart instead. One that has
learnt the label 'B', of b or of a (`train_classifier --attributes=B`), judges by that alone where
it knows nothing else, or where what only one of the predicates asks for has an | or brackets, as in
b = 'Mustache | Goatee | ~No_Beard': translations from a should be B, those from b and removals not.
To find Mustache and Goatee as in the exemplar, maybe neither, would be another and stricter
question. A label of the data that is called B is as any other.

LOMIT's accuracy (ICLR submission, Table 1) is of any two pictures, whose labels often agree: of one
label, doing nothing is right in at least half of random pairs. Of `ab_accuracy_changed` it gets 0
where the classifier is right.

`config.accuracy.network` is what `train_classifier` wrote; or a file of _networks.py, which returns
logits [B, L] of pictures as they are, positive for yes, of `config.accuracy.attributes`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import evaluation, predicates
from maskgan_jax.data.domains import domains_of
from maskgan_jax.evaluators import _changing as changing
from maskgan_jax.evaluators import base, similarity
from maskgan_jax.evaluators._classifier import Classifier, FIELD
from maskgan_jax.runs.measures import DIRECTIONS, DO_NOTHING, Measure, Quantity, TRUTH

DEFAULTS = {  # config.accuracy; a literal, which config/evaluation.py reads
  'network': '',  # NAME.safetensors of train_classifier, a jax.export blob, or NAME.onnx
  'attributes': (),  # of the last two kinds: the name of each output
}

_DOUBTFUL = 0.8  # held-out accuracy below which a classifier is not a judge
_DOMAINS = 'ab'
_IN_B = 'B'  # the label of domain b


class Evaluator(base.Evaluator):
  """See the module's docstring and `base.Evaluator`."""

  order = 90
  texts = ('classifier',)
  quantities = (
    Quantity(
      'accuracy',
      DIRECTIONS,
      title='as it should be',
      better=1,
      unit='%',
      digits=1,
      meaning='Share of the translations in which a classifier finds every '
      'attribute that is to change as it should be.',
      truth='The same for true translations: what a perfect one gets.',
    ),
    Quantity(
      'accuracy',
      ('removal',),
      title='as it should be',
      better=1,
      unit='%',
      digits=1,
      meaning='Share of the pictures with the attribute removed in which a '
      'classifier no longer finds it.',
      truth='The same for true pictures without it: what a perfect one gets.',
    ),
    Quantity(
      'accuracy_changed',
      DIRECTIONS,
      title='right where it differs',
      better=1,
      unit='%',
      digits=1,
      meaning='The same of the pairs in which source and exemplar differ in it.',
    ),
    Quantity(
      'accuracy',
      ('a', 'b'),
      title='the classifier is right',
      better=1,
      unit='%',
      digits=1,
      meaning='Share of the real pictures of this domain that the classifier is '
      'right about: its other answers are no better than that.',
    ),
  )
  settings = ('accuracy', 'data')

  def __init__(self, settings: Mapping[str, Any], data: Mapping[str, Any]):
    """Opens the network, if one is named.

    Args:
      settings: config.accuracy.
      data: config.data.
    """
    self._network = None
    if settings['network']:
      self._network = Classifier(settings['network'], tuple(settings['attributes']))
    self._data = data
    self._values = base.PerImage()
    self._names: tuple[str, ...] = ()  # of what is to change
    self._labels: dict[str, np.ndarray] = {}  # of the pairs, by domain: bool [N, K]
    # By domain: 0, 1, or NaN where the domain says neither.
    self._of_domain: dict[str, np.ndarray] = {}
    self._measured_labels: dict[str, list[np.ndarray]] = {'a': [], 'b': []}
    self._by_domain = False  # judged by the label of domain b
    self._other_domains = ''  # that the classifier was trained on, if these are others
    self._pairs = 0  # so far
    self._note: Callable[[str], None] = lambda line: None

  def missing(self, batch, abilities):
    if not self._network:
      return (
        f'no classifier is named ({FIELD}); python -m maskgan_jax.train_classifier '
        '--config=FILE --output=NAME.safetensors makes one'
      )

    # Before records are opened, the labels are those that the config names.
    shape = self._network.image_shape
    self._resized = shape is not None and shape != batch['a'].shape[1:3]
    return self._settle(changing.names_in(self._data, self._network.attributes))

  def begin(self, data, split, reporter):
    """See `base.Evaluator`; finds the labels of all pairs."""
    # The records know all labels, so that the answer of `missing` may change.
    self._note = reporter.note
    if hasattr(data, 'records'):
      records = data.records(split)
      problem = self._settle(tuple(records.attribute_names), records)
      if problem:
        self._note(f"evaluator 'accuracy' measures nothing here: {problem}")
        self._names = ()
        return
      if not self._by_domain:
        self._take_labels(records, *data.members(split))
    self._warn()

  def _take_labels(self, records, a, b):
    """Takes the labels of what is to change, of the members [N] of each domain."""
    # The labels of pairs, [N, K]: b's are turned as evaluation turns its pictures.
    columns = [records.attribute_names.index(name) for name in self._names]
    labels = records.attributes[:, columns]
    self._labels = {'a': labels[a], 'b': labels[evaluation.turned(a, b)]}

    # A label that all members share is that of the domain; others are unknown (NaN).
    for domain, members in zip(_DOMAINS, (a, b), strict=True):
      least = np.min(labels[members], axis=0).astype(float)
      most = np.max(labels[members], axis=0).astype(float)
      self._of_domain[domain] = np.where(least == most, least, np.nan)

  def _warn(self):
    """Notes what makes the classifier a doubtful judge here."""
    if self._other_domains:
      self._note(
        "'accuracy' is by a classifier of other domains than these: "
        f'{self._other_domains}'
      )
    for name in self._names:
      share = self._network.held_out.get(name, 1.0)
      if share < _DOUBTFUL:
        self._note(
          f"'accuracy' is by a classifier that was right about {name} in only "
          f'{100 * share:.1f} % of its test pictures'
        )
    if self._resized:
      height, width = self._network.image_shape
      self._note(
        f"'accuracy' is by a classifier of pictures of {height}x{width} pixels, and these "
        'have another size'
      )

  def _settle(self, labels, records=None):
    """Finds what is to change, of the labels that exist; returns why it cannot be judged, or ''."""
    try:
      domains = domains_of(self._data, labels)
    except errors.UserError as error:
      return str(error)
    a, b = domains.of('test')
    learnt = self._network.attributes
    compound = not changing.told_apart_by_labels(a.text, b.text)

    # The label of domain b itself judges where no single labels tell the domains apart.
    domain_is_learnt = _IN_B in learnt and _IN_B not in labels and a.text != b.text
    self._by_domain = domain_is_learnt and (compound or learnt == (_IN_B,))
    if self._by_domain:
      self._names, self._columns = (_IN_B,), [learnt.index(_IN_B)]
      self._of_domain = {'a': np.zeros(1), 'b': np.ones(1)}
      trained = self._network.domains
      if trained not in ((), (domains.a.text, domains.b.text)):
        self._other_domains = 'a={!r}, b={!r}'.format(*trained)
      return ''

    # Every label that is to change has to be among those that the classifier has learnt.
    names = changing.changing(self._data, domains, labels, records)
    if not names:
      return 'nothing says which attributes are to change (config.data.transfer)'
    if not set(names) <= set(learnt):
      fitting = _IN_B if compound else ','.join(names)
      return (
        f'{FIELD} knows {predicates.shortlist(learnt)}, and what is to change is '
        f'{predicates.shortlist(names)}; train_classifier --attributes={fitting} makes one '
        'that fits'
      )
    self._names, self._columns = names, [learnt.index(name) for name in names]
    for domain, predicate in zip(_DOMAINS, (a, b), strict=True):
      values = [changing.value_in(predicate, name) for name in names]
      self._of_domain[domain] = np.array(values)
    return ''

  def update(self, batch, outputs, valid):
    if not self._names or not valid.any():
      return

    # The source pictures show how far the classifier can be trusted.
    labels = {domain: self._labels_of(domain, batch, valid) for domain in _DOMAINS}
    seen = {domain: self._find(batch[domain][valid]) for domain in _DOMAINS}
    self._pairs += int(valid.sum())
    for domain, wanted in labels.items():
      if wanted is not None:
        self._measured_labels[domain].append(wanted)
        self._add(Measure('accuracy', domain), seen[domain], wanted)

    # A translation should have the labels of its target, a removal those of domain a.
    for direction in similarity.directions(outputs.abilities):
      source, target = direction
      if labels[target] is not None:
        images = {
          '': outputs.translated(direction),
          TRUTH: batch.get(f'truth_{direction}'),
        }
        right = self._judge(direction, images, seen[source], valid, labels[target])
        if labels[source] is not None:
          differs = (labels['a'] != labels['b']).any(axis=1)
          self._values.add(f'{direction}_accuracy_changed', right, differs)

    # A removal's truth is a picture of domain a.
    if 'remove' in outputs.abilities:
      wanted = np.tile(self._of_domain['a'], (len(seen['b']), 1))
      if np.isfinite(wanted).any():
        images = {'': outputs.removal.image, TRUTH: batch.get('truth_ba')}
        self._judge('removal', images, seen['b'], valid, wanted)

  def _labels_of(self, domain, batch, valid):
    """Returns bool [N, K] of the valid pictures of a domain; None where that is not known."""
    # Labels that the batch carries come first, then those of the records.
    carried = tuple(self._data['attributes'])
    if f'{domain}_attributes' in batch and set(self._names) <= set(carried):
      columns = [carried.index(name) for name in self._names]
      return batch[f'{domain}_attributes'][valid][:, columns] > 0.5
    if self._labels:
      return self._labels[domain][self._pairs : self._pairs + valid.sum()]

    # Without either, a label that all of the domain share holds for each picture.
    values = self._of_domain[domain]
    if np.isnan(values).any():
      return None
    return np.tile(values > 0.5, (valid.sum(), 1))

  def _judge(self, task, images, seen_before, valid, wanted):
    """Takes in a task's images by reference; returns bool [N]: all of it is as wanted."""
    accuracy = Measure('accuracy', task)
    right = self._add(accuracy, self._find(images[''][valid]), wanted)
    self._add(accuracy.of(DO_NOTHING), seen_before, wanted)
    if images[TRUTH] is not None:
      seen_in_truth = self._find(images[TRUTH][valid])
      self._add(accuracy.of(TRUTH), seen_in_truth, wanted)
    return right

  def _find(self, images):
    """Returns bool [N, K]: which of the attributes the classifier finds."""
    return self._network(images)[:, self._columns] > 0

  def _add(self, accuracy, seen, wanted):
    """Takes in what was seen, bool [N, K], where `wanted` is 1 or 0; NaN does not count.

    Returns bool [N]: all that counts is as wanted.
    """
    # A picture is right if all its labels that count are.
    wanted = np.asarray(wanted, float)
    counts = np.isfinite(wanted)
    right = seen == (wanted == 1)
    together = (right | ~counts).all(axis=1)
    self._values.add(accuracy.column, together, counts.any(axis=1))
    for i, name in enumerate(self._names):
      column = accuracy.in_group(name).column
      self._values.add(column, right[:, i], counts[:, i])
    return together

  def results(self) -> Iterator[tuple[str, float | str]]:
    means = dict(self._values.means())
    yield from means.items()
    labels = [
      np.concatenate(parts) for parts in self._measured_labels.values() if parts
    ]
    if len(labels) == 2:
      self._note_alike(np.concatenate(labels))
    if means:
      yield 'classifier', self._network.provenance

  def _note_alike(self, labels):
    """Notes attributes that all the pictures have, or none has; `labels` is bool [N, K]."""
    for name, values in zip(self._names, labels.T, strict=True):
      if (values == values[0]).all():
        self._note(
          f'{"every" if values[0] else "no"} picture measured, of a and of b, has {name}: '
          "'accuracy' of it says nothing of translation"
        )
