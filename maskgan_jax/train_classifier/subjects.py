"""What a classifier learns: the attributes by name, and the data whose batches carry them."""

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import pipeline, predicates
from maskgan_jax.data.domains import domains_of

IN_B = 'B'  # the label of domain b


def open_data(config, attributes, seed, note):
  """Returns the data, whose batches carry the attributes to learn, and their names."""
  config = config.copy_and_resolve_references()
  config.seed, config_data = seed, config.data

  def make(names):
    config_data.attributes = names
    return pipeline.make(config)

  # Opened without attributes, the data say which labels there are.
  asked = attributes or tuple(config_data.attributes)
  data = make(())
  unused = data.describe()['unused']
  if unused:
    note(f'{config_data.path}: {unused}')
  names = _names_to_learn(config_data, data, attributes, asked)
  data.train(batch_size=2).close()  # says which domain is empty

  # Attributes that all training pictures have, or none has, teach nothing.
  labels = data.records('train').attribute_names
  constant = _constant(data, [name for name in names if name in labels])
  if is_domain(names, data):
    _require_apart(data)
  names = tuple(name for name in names if name not in constant)
  if constant and (attributes or not names):
    raise errors.UserError(f'{next(iter(constant.values()))}: nothing to learn')
  for problem in constant.values():
    note(f'{problem}, so that is not learned')
  if not union(data, 'test').size:
    raise errors.UserError(
      'there are no test pictures to measure the classifier on; raise '
      'config.data.test_fraction or num_test'
    )
  return make(tuple(name for name in names if name in labels)), names


def _names_to_learn(config_data, data, attributes, asked):
  """Returns the names of the attributes to learn; UserError if there are none, or unknown ones."""
  labels = tuple(data.records('train').attribute_names)
  for name in asked:
    if name not in labels and not (attributes and name == IN_B):
      hint = (
        errors.nearest(name, labels) or f'; attributes: {predicates.shortlist(labels)}'
      )
      place = '--attributes' if attributes else 'config.data.attributes'
      raise errors.UserError(f'{place}: there is no attribute {name!r}{hint}')
  names = asked if attributes else (*_telling(config_data, labels), *asked)
  if not names:
    raise errors.UserError(
      'nothing to learn: no attribute tells these domains apart; name some in '
      f'--attributes; there are: {predicates.shortlist(labels)}'
    )
  return tuple(dict.fromkeys(names))


def is_domain(names, data):
  """Returns whether one of the names means the domain, and not a label of the data."""
  return IN_B in names and IN_B not in data.records('train').attribute_names


def _require_apart(data):
  """Raises UserError where pictures are in both domains."""
  for split in ('train', 'test'):
    a, b = data.members(split)
    common = len(np.intersect1d(a, b))
    if common:
      raise errors.UserError(
        f'--attributes={IN_B} tells domain b from a, and {common:,} of the '
        f'{len(np.union1d(a, b)):,} {split} pictures are in both; change '
        'config.data.a or config.data.b, or name labels in --attributes'
      )


def _telling(config_data, labels):
  """Returns the names in the predicates of both domains, those of b first."""
  domains = domains_of(config_data, labels)
  names = []
  for predicate in (domains.b, domains.a, domains.test_b, domains.test_a):
    names += [*predicate.positive, *predicate.negative]
  return names


def _constant(data, names):
  """Returns a sentence, by name, on each attribute that all training pictures have or lack."""
  records, members = data.records('train'), union(data, 'train')
  sentences = {}
  for name in names:
    column = records.attributes[members, records.attribute_names.index(name)]
    if (column == column[0]).all():
      sentences[name] = f'{"every" if column[0] else "no"} picture has {name}'
  return sentences


def union(data, split):
  """Returns the record numbers that are in either domain, once each."""
  return np.union1d(*data.members(split))
