"""Does a classifier find in translations what should be there? (LOMIT's CA, content transfer's.)

  ab_accuracy              share of the translations in which every attribute that is to change is
                           found as it should be
  ab_accuracy[NAME]        the same of one attribute
  ab_accuracy_changed      ab_accuracy over the pairs in which at least one of them differs between
                           the two pictures; in the others doing nothing is right
  do_nothing_ab_accuracy   of the untranslated pictures; 0 if all of them have to change
  truth_ab_accuracy        of the true translations, where the data know them: what a perfect one
                           gets from this classifier
  a_accuracy, b_accuracy   share of the real pictures measured in which it finds what their labels
                           say: no better than that are its other answers
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

`config.accuracy.network` is what `train_classifier` wrote; or a file of networks.py, which returns
logits [B, L] of pictures as they are, positive for yes, of `config.accuracy.attributes`.
"""

from collections.abc import Callable, Iterator, Mapping
import os
import re
from typing import Any

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import default_config, evaluation, predicates
from maskgan_jax.data.domains import domains_of
from maskgan_jax.evaluators import _features as features
from maskgan_jax.evaluators import _networks as networks
from maskgan_jax.evaluators import base, similarity
from maskgan_jax.pretrained_networks import classifiers
from maskgan_jax.pretrained_networks import files as weights

DEFAULTS = {  # config.accuracy; a literal, which config/evaluation.py reads
    'network': '',  # NAME.safetensors of train_classifier, a jax.export blob, or NAME.onnx
    'attributes': (),  # of the last two kinds: the name of each output
}

_FIELD = 'config.accuracy.network'
_DOUBTFUL = 0.8  # held-out accuracy below which a classifier is not a judge
_DOMAINS = 'ab'
_IN_B = 'B'  # the label of domain b


class Evaluator:
  """See the module's docstring and `base.Evaluator`."""
  settings = ('accuracy', 'data')

  def __init__(self, settings: Mapping[str, Any], data: Mapping[str, Any]):
    """Opens the network, if one is named.

    Args:
      settings: config.accuracy.
      data: config.data.
    """
    self._network = (Network(settings['network'], tuple(settings['attributes']))
                     if settings['network'] else None)
    self._data = data
    self._values = base.PerImage()
    self._names: tuple[str, ...] = ()  # of what is to change
    self._labels: dict[str, np.ndarray] = {}  # of the pairs, by domain: bool [N, K]
    self._of_domain: dict[str, np.ndarray] = {}  # by domain: 0, 1, or NaN where it says neither
    self._told: dict[str, list[np.ndarray]] = {domain: [] for domain in _DOMAINS}
    self._by_domain = False  # judged by the label of domain b
    self._other = ''  # domains that the classifier was trained on, if these are others
    self._seen = 0  # pairs so far
    self._note: Callable[[str], None] = lambda line: None

  def missing(self, batch, abilities):
    if not self._network:
      return (f'no classifier is named ({_FIELD}); python -m maskgan_jax.train_classifier '
              '--config=FILE --output=NAME.safetensors makes one')
    shape = self._network.image_shape
    self._resized = shape is not None and shape != batch['a'].shape[1:3]
    return self._settle(_names_in(self._data, self._network.attributes))

  def begin(self, data: Any, split: str, poll: Callable[[], None],
            note: Callable[[str], None]) -> None:
    """See `base.Evaluator`; finds the labels of all pairs."""
    del poll
    self._note = note
    if hasattr(data, 'records'):
      records, (a, b) = data.records(split), data.members(split)
      if problem := self._settle(tuple(records.attribute_names), records):
        note(f"evaluator 'accuracy' measures nothing here: {problem}")
        self._names = ()
        return
      if not self._by_domain:
        columns = [records.attribute_names.index(name) for name in self._names]
        labels = records.attributes[:, columns]
        self._labels = {'a': labels[a], 'b': labels[evaluation.turned(a, b)]}
        for domain, members in zip(_DOMAINS, (a, b), strict=True):
          least, most = (f(labels[members], axis=0).astype(float) for f in (np.min, np.max))
          self._of_domain[domain] = np.where(least == most, least, np.nan)
    if self._other:
      note(f"'accuracy' is by a classifier of other domains than these: {self._other}")
    for name in self._names:
      share = self._network.held_out.get(name, 1.0)
      if share < _DOUBTFUL:
        note(f"'accuracy' is by a classifier that was right about {name} in only "
             f'{100 * share:.1f} % of its test pictures')
    if self._resized:
      height, width = self._network.image_shape
      note(f"'accuracy' is by a classifier of pictures of {height}x{width} pixels, and these have "
           'another size')

  def _settle(self, known, records=None):
    """Finds what is to change, of the labels `known`; returns why it cannot be judged, or ''."""
    try:
      domains = domains_of(self._data, known)
    except errors.UserError as error:
      return str(error)
    names = _to_change(self._data, domains, known, records)
    a, b = domains.of('test')
    learnt, compound = self._network.attributes, not _plain(a.text, b.text)
    self._by_domain = (_IN_B in learnt and _IN_B not in known and a.text != b.text
                       and (compound or learnt == (_IN_B,)))
    if self._by_domain:
      self._names, self._columns = (_IN_B,), [learnt.index(_IN_B)]
      self._of_domain = {'a': np.zeros(1), 'b': np.ones(1)}
      trained = self._network.domains
      self._other = ('' if trained in ((), (domains.a.text, domains.b.text)) else
                     'a={!r}, b={!r}'.format(*trained))
      return ''
    lacking = [name for name in names if name not in learnt]
    if not names:
      return 'nothing says which attributes are to change (config.data.transfer)'
    if lacking:
      fitting = _IN_B if compound else ','.join(names)
      return (f'{_FIELD} knows {predicates.shortlist(learnt)}, and what is to change is '
              f'{predicates.shortlist(names)}; train_classifier --attributes={fitting} makes one '
              'that fits')
    self._names, self._columns = names, [learnt.index(name) for name in names]
    for domain, predicate in zip(_DOMAINS, (a, b), strict=True):
      self._of_domain[domain] = np.array([_told_by(predicate, name) for name in names])
    return ''

  def _labels_of(self, domain, batch, valid):
    """Returns bool [N, K] of the valid pictures of a domain; None where that is not known."""
    carried = tuple(self._data['attributes'])
    if f'{domain}_attributes' in batch and set(self._names) <= set(carried):
      columns = [carried.index(name) for name in self._names]
      return batch[f'{domain}_attributes'][valid][:, columns] > 0.5
    if self._labels:
      return self._labels[domain][self._seen:self._seen + valid.sum()]
    values = self._of_domain[domain]
    return None if np.isnan(values).any() else np.tile(values > 0.5, (valid.sum(), 1))

  def update(self, batch, outputs, valid):
    if not self._names or not valid.any():
      return
    labels = {domain: self._labels_of(domain, batch, valid) for domain in _DOMAINS}
    found = {domain: self._find(batch[domain][valid]) for domain in _DOMAINS}
    self._seen += int(valid.sum())
    for domain, wanted in labels.items():
      if wanted is not None:
        self._told[domain].append(wanted)
        self._add(domain, found[domain], wanted)
    for direction in similarity.directions(outputs.abilities):
      if labels[direction[1]] is not None:
        image = (outputs.translation if direction == 'ab' else outputs.back).image
        right = self._judge(direction, image, found[direction[0]],
                            batch.get(f'truth_{direction}'), valid, labels[direction[1]])
        if labels[direction[0]] is not None:
          self._values.add(f'{direction}_accuracy_changed', right,
                           (labels['a'] != labels['b']).any(axis=1))
    if 'remove' in outputs.abilities:
      wanted = np.tile(self._of_domain['a'], (len(found['b']), 1))
      if np.isfinite(wanted).any():
        self._judge('removal', outputs.removal.image, found['b'], batch.get('truth_ba'), valid,
                    wanted)

  def _judge(self, task, image, before, truth, valid, wanted):
    """Takes a task in; returns bool [N]: all of it is as wanted."""
    right = self._add(task, self._find(image[valid]), wanted)
    self._add(f'do_nothing_{task}', before, wanted)
    if truth is not None:
      self._add(f'truth_{task}', self._find(truth[valid]), wanted)
    return right

  def _find(self, images):
    """Returns bool [N, K]: which of the attributes the classifier finds."""
    return self._network(images)[:, self._columns] > 0

  def _add(self, prefix, found, wanted):
    """Takes in what was found, bool [N, K], where `wanted` is 1 or 0; NaN does not count.

    Returns bool [N]: all that counts is as wanted.
    """
    wanted = np.asarray(wanted, float)
    known = np.isfinite(wanted)
    right = found == (wanted == 1)
    together = (right | ~known).all(axis=1)
    self._values.add(f'{prefix}_accuracy', together, known.any(axis=1))
    for i, name in enumerate(self._names):
      self._values.add(f'{prefix}_accuracy[{name}]', right[:, i], known[:, i])
    return together

  def results(self) -> Iterator[tuple[str, float | str]]:
    means = dict(self._values.means())
    yield from means.items()
    told = [np.concatenate(parts) for parts in self._told.values() if parts]
    for i, name in enumerate(self._names if len(told) == 2 else ()):
      values = np.concatenate(told)[:, i]
      if (values == values[0]).all():
        self._note(f"{'every' if values[0] else 'no'} picture measured, of a and of b, has {name}: "
                   "'accuracy' of it says nothing of translation")
    if means:
      yield 'classifier', self._network.provenance


class Network:
  """A classifier from a file of either kind.

  Attributes:
    attributes: what its logits mean.
    image_shape: height and width of what it was trained on; None if the file does not say.
    domains: predicates of the a and b that its label 'B' is about; () if the file does not say.
    held_out: accuracy on pictures that it was not trained on, by attribute, where the file says.
    provenance: names it in results.
  """

  def __init__(self, path: str, attributes: tuple[str, ...]):
    """UserError says what is wrong with the file `path` or the names of its outputs."""
    path = os.path.expanduser(path)
    self.image_shape, self.domains, self.held_out, described = None, (), {}, ''
    if path.endswith(weights.SUFFIX):
      opened = classifiers.read(path)
      self.attributes, self.image_shape = opened.facts.attributes, opened.facts.image_shape
      self.domains = opened.facts.domains
      if attributes and attributes != self.attributes:
        raise errors.UserError(f'config.accuracy.attributes={attributes!r}, but {path} knows '
                               f'{", ".join(self.attributes)}; leave it empty')
      held_out = opened.facts.held_out
      self.held_out = dict(held_out.accuracy)
      described = '; of its own {:,} test pictures right: {}'.format(held_out.pictures, ', '.join(
          f'{name} {100 * share:.1f} % (always the commoner value '
          f'{100 * held_out.commoner(name):.1f} %)' for name, share in self.held_out.items()))
      self._call = lambda images: opened(images)[0]
    else:
      if not attributes:
        raise errors.UserError(f'{_FIELD}={path!r} does not say what its outputs mean; name them '
                               'in config.accuracy.attributes')
      self.attributes = attributes
      network = networks.open_network(path, _FIELD, 'logits [B, L]')
      self._call = lambda images: np.concatenate(list(network.outputs(images)))[:len(images)]
    self.provenance = (f'{os.path.basename(path)}, sha256 {features.digest_of(path)[:16]}'
                       f'{described}')

  def __call__(self, images: np.ndarray) -> np.ndarray:
    """Logits [N, L] of uint8 [N, H, W, 3]; UserError where they are not that, or not finite."""
    logits = self._call(images)
    if logits.shape != (len(images), len(self.attributes)) or logits.dtype.kind in 'OSUcb':
      raise errors.UserError(f'{_FIELD} gives {logits.dtype} {list(logits.shape)}; expected logits '
                             f'[B, {len(self.attributes)}], for {", ".join(self.attributes)}')
    logits = logits.astype(np.float32)
    if not np.isfinite(logits).all():
      raise errors.UserError(f'{_FIELD} gives logits that are not finite')
    return logits


def to_change(data: Mapping[str, Any], attributes: tuple[str, ...], records: Any = None
              ) -> tuple[str, ...]:
  """What is to change, see the module's docstring; () where that is not known.

  Args:
    data: config.data.
    attributes: those that a classifier knows.
    records: of the split that is measured, where there are any.
  Returns:
    Names of labels.
  """
  known = tuple(records.attribute_names) if records else _names_in(data, attributes)
  try:
    return _to_change(data, domains_of(data, known), known, records)
  except errors.UserError:
    return ()


def _to_change(data, domains, known, records=None):
  """Returns names of labels; see the module's docstring."""
  named = [label for name in data['transfer'] for label in _labels_of(name, known, records)]
  if named:
    return tuple(dict.fromkeys(named))
  a, b = domains.of('test')
  for names in ([name for name in b.positive if name in a.negative],
                [name for name in a.positive if name in b.negative],
                [name for name in b.positive if name not in a.positive]):
    if names:
      return tuple(names)
  return tuple(data['attributes'])


def _labels_of(name, known, records):
  """The labels that tell what is transferred: itself, or of a feature those that go with it."""
  if name in known:
    return (name,)
  return tuple(records.labels_of(name)) if hasattr(records, 'labels_of') else ()


def _plain(a, b):
  """Whether what only one of two predicates asks for is single labels, without | and brackets."""
  return not any(set('|(') & set(part) for part in _conjuncts(a) ^ _conjuncts(b))


def _conjuncts(text):
  """What a predicate has between its outermost &; all of it is one if there is an | so far out."""
  # Names in quotes may have any of the symbols.
  text = re.sub(r"'[^']+'|\"[^\"]+\"", lambda match: re.sub(r'[&|()\s]', '_', match[0]), text)
  text, parts, depth = ''.join(text.split()), [''], 0
  for symbol in text:
    depth += (symbol == '(') - (symbol == ')')
    if symbol == '|' and not depth:
      return {text}
    if symbol == '&' and not depth:
      parts.append('')
    else:
      parts[-1] += symbol
  return set(parts)


def _told_by(predicate, name):
  """1 or 0 if a predicate asks for an attribute or refuses it, else NaN."""
  asked, refused = name in predicate.positive, name in predicate.negative
  return np.nan if asked == refused else float(asked)


def _names_in(data, attributes):
  """Labels that the data must have, by the config alone; `attributes` are the classifier's."""
  default = default_config.get_default()
  untouched = (data['a'], data['b']) == (default.a, default.b)
  if data['source'] in ('folder', 'tfds') and untouched and attributes == ('B',):
    return ('B',)
  texts = ' '.join(data[field] for field in ('a', 'b', 'test_a', 'test_b'))
  found = re.findall(r"""'([^']+)'|"([^"]+)"|([^\s~&|()'"]+)""", texts)
  return tuple(dict.fromkeys(
      [part for parts in found for part in parts if part]
      + list(data['attributes']) + [name for name in data['transfer'] if name in attributes]
      + ['Colored', 'Square']))
