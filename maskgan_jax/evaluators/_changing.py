"""Which attributes a translation is to change, and what its domains say of each."""

from collections.abc import Mapping, Sequence
import re
from typing import Any

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import default_config, predicates
from maskgan_jax.data.domains import Domains, domains_of

# An attribute's name in a predicate: in quotes of either kind, or without symbols.
_NAME = re.compile(r"""'([^']+)'|"([^"]+)"|([^\s~&|()'"]+)""")
_QUOTED = re.compile(r"'[^']+'|\"[^\"]+\"")


def to_change(
  data: Mapping[str, Any], attributes: tuple[str, ...], records: Any = None
) -> tuple[str, ...]:
  """Returns the labels that are to change, see `accuracy`; () where that is not known.

  Args:
    data: config.data.
    attributes: what a classifier knows.
    records: of the split that is measured, where there are any.
  """
  labels = tuple(records.attribute_names) if records else names_in(data, attributes)
  try:
    return changing(data, domains_of(data, labels), labels, records)
  except errors.UserError:
    return ()


def changing(
  data: Mapping[str, Any], domains: Domains, labels: Sequence[str], records: Any = None
) -> tuple[str, ...]:
  """Returns the labels that are to change, of those that the data have; see `accuracy`."""
  # What the config says to transfer comes first.
  transferred = []
  for name in data['transfer']:
    transferred += _labels_of(name, labels, records)
  if transferred:
    return tuple(dict.fromkeys(transferred))

  # Otherwise it is what one domain asks for and the other denies.
  a, b = domains.of('test')
  for wanted, other in ((b.positive, a.negative), (a.positive, b.negative)):
    names = [name for name in wanted if name in other]
    if names:
      return tuple(names)
  only_b = [name for name in b.positive if name not in a.positive]
  return tuple(only_b or data['attributes'])


def _labels_of(name: str, labels: Sequence[str], records: Any) -> tuple[str, ...]:
  """Returns a transferred label itself, or the labels that go with a transferred feature."""
  if name in labels:
    return (name,)
  return tuple(records.labels_of(name)) if records is not None else ()


def names_in(data: Mapping[str, Any], attributes: tuple[str, ...]) -> tuple[str, ...]:
  """Returns labels that the data must have, by the config alone.

  Args:
    data: config.data.
    attributes: what a classifier knows.
  """
  # Folders trainA and trainB have one attribute, which no field names.
  default = default_config.get_default()
  untouched = (data['a'], data['b']) == (default.a, default.b)
  if data['source'] in ('folder', 'tfds') and untouched and attributes == ('B',):
    return ('B',)
  texts = ' '.join(data[field] for field in ('a', 'b', 'test_a', 'test_b'))
  names = [next(filter(None, spellings)) for spellings in _NAME.findall(texts)]
  names += data['attributes']
  names += [name for name in data['transfer'] if name in attributes]
  return tuple(dict.fromkeys([*names, 'Colored', 'Square']))


def told_apart_by_labels(a: str, b: str) -> bool:
  """Returns whether what only one of two predicates asks for is single labels, without | and ()."""
  return not any(set('|(') & set(part) for part in _conjuncts(a) ^ _conjuncts(b))


def _conjuncts(text: str) -> set[str]:
  """Returns the parts of a predicate between its outermost &; all of it where a | is outermost."""
  # Names in quotes may have any of the symbols.
  text = _QUOTED.sub(lambda match: re.sub(r'[&|()\s]', '_', match[0]), text)
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


def value_in(predicate: predicates.Predicate, name: str) -> float:
  """Returns 1 or 0 if a predicate asks for an attribute or refuses it, else NaN."""
  asked, refused = name in predicate.positive, name in predicate.negative
  return np.nan if asked == refused else float(asked)
