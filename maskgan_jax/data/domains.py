"""Which records make a domain."""

from collections.abc import Sequence
import dataclasses

import ml_collections

from maskgan_jax import errors
from maskgan_jax.data import default_config, predicates


@dataclasses.dataclass(frozen=True)
class Domains:
  """The predicates of the two domains, for training and for evaluation."""

  a: predicates.Predicate
  b: predicates.Predicate
  test_a: predicates.Predicate
  test_b: predicates.Predicate

  def of(self, split: str) -> tuple[predicates.Predicate, predicates.Predicate]:
    """Returns the predicates of a and b in one split."""
    return (self.a, self.b) if split == 'train' else (self.test_a, self.test_b)


# What tells domains apart in the sources that have one attribute for it.
_TELLING = {'colored_digits': 'Colored', 'circle_square': 'Square'}


def domains_of(config_data: ml_collections.ConfigDict, names: Sequence[str]) -> Domains:
  """Parses the four predicates over the attributes that exist.

  Where the only attribute is 'B', as in trainA and trainB, untouched defaults mean '~B' and 'B';
  of colored_digits, '~Colored' and 'Colored'; of circle_square, '~Square' and 'Square'.
  """
  a, b = config_data.a, config_data.b
  default_a, default_b = default_config.FIELDS['a'], default_config.FIELDS['b']
  only_b = tuple(names) == ('B',)
  attribute = _TELLING.get(config_data.source, 'B' if only_b else '')
  if attribute:
    a = f'~{attribute}' if a == default_a else a
    b = attribute if b == default_b else b
  elif not names and (a, b) == (default_a, default_b):
    raise errors.UserError(
      'these pictures have no labels, so config.data.a and config.data.b '
      'cannot tell two domains apart; sort them into trainA/ and trainB/'
    )

  # Validation and test take the domains of training, unless they have theirs.
  texts = {
    'a': a,
    'b': b,
    'test_a': config_data.test_a or a,
    'test_b': config_data.test_b or b,
  }
  parsed = {}
  for field, text in texts.items():
    parsed[field] = predicates.parse(text, names, where=f'config.data.{field}')
  return Domains(**parsed)
