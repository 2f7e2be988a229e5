"""Fields of a config: each declares its default, and what its values must be.

  FIELDS = dict(
      width=field(64, at_least(1)),  # channels of the first layer
      norm=field('instance', one_of('instance', 'batch')),
      remat=free(False),  # a resumed run may have another value
      depth=4,  # a plain value is a field without constraints
  )

`defaults(FIELDS)` makes the config, `check(config, FIELDS)` refuses values that do not fit.
"""

from collections.abc import Callable, Iterator, Mapping
import copy
import dataclasses
from typing import Any

import ml_collections

from maskgan_jax import errors


@dataclasses.dataclass(frozen=True)
class Constraint:
  """What the values of a field must be.

  Attributes:
    text: completes the sentence "it must be ...".
    holds: returns whether a value is so.
    choices: the values, where they are a few names.
  """

  text: str
  holds: Callable[[Any], bool]
  choices: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Field:
  """A key of a config.

  Attributes:
    default: the value of a config that does not set the key. A default of None means that
      another key decides, so None is then allowed besides what the constraints allow.
    constraints: all must hold.
    free: whether a run may be resumed with another value, because no number that training
      computes depends on the key.
  """

  default: Any
  constraints: tuple[Constraint, ...] = ()
  free: bool = False


Fields = Mapping[str, Any]  # name -> Field, plain default, or Fields of a group


def field(default: Any, *constraints: Constraint) -> Field:
  """Returns a field whose value stays the same as long as a run trains."""
  return Field(default, constraints)


def free(default: Any, *constraints: Constraint) -> Field:
  """Returns a field that may have another value when a run is resumed."""
  return Field(default, constraints, free=True)


def at_least(least: float) -> Constraint:
  return Constraint(f'at least {least}', lambda value: value >= least)


def at_most(most: float) -> Constraint:
  return Constraint(f'at most {most}', lambda value: value <= most)


def more_than(bound: float) -> Constraint:
  return Constraint(f'more than {bound}', lambda value: value > bound)


def less_than(bound: float) -> Constraint:
  return Constraint(f'less than {bound}', lambda value: value < bound)


def between(least: float, most: float) -> Constraint:
  """Returns the constraint of a closed range."""
  return Constraint(f'between {least} and {most}', lambda value: least <= value <= most)


def multiple_of(factor: int) -> Constraint:
  return Constraint(f'a multiple of {factor}', lambda value: value % factor == 0)


def one_of(*choices: str) -> Constraint:
  """Returns the constraint of a field that takes one of a few names."""
  return Constraint(
    f'one of {", ".join(choices)}', lambda value: value in choices, choices
  )


def some_of(*choices: str) -> Constraint:
  """Returns the constraint of a field that takes a tuple of some names, or ()."""
  return Constraint(
    f'some of {", ".join(choices)}', lambda value: set(value) <= set(choices), choices
  )


def defaults(fields: Fields) -> ml_collections.ConfigDict:
  """Returns a config with the defaults of all fields and groups."""
  config = ml_collections.ConfigDict()
  for name, declared in fields.items():
    if isinstance(declared, Mapping):
      config[name] = defaults(declared)
    else:
      default = declared.default if isinstance(declared, Field) else declared
      # A default may be a reference (a typed None), which no two keys may share.
      config[name] = copy.deepcopy(default)
  return config


def check(values: Mapping[str, Any], fields: Fields, prefix: str = 'config.') -> None:
  """Raises a UserError for the first value that does not satisfy its field's constraints.

  Args:
    values: a config, or a group of one; keys that it lacks are skipped.
    fields: what is declared of its keys.
    prefix: what comes before a key in messages.
  """
  for key, declared in _leaves(fields):
    group, _, name = key.rpartition('.')
    holder = values
    for part in filter(None, group.split('.')):
      holder = holder.get(part, {})
    if name in holder:
      check_value(prefix + key, holder[name], declared)


def check_value(name: str, value: Any, declared: Field) -> None:
  """Raises a UserError unless a value satisfies the constraints of a field.

  Args:
    name: of the value, as messages spell it, such as 'config.batch_size'.
    value: as the user gave it.
    declared: its field.
  """
  if value is None and declared.default is None:
    return
  for constraint in declared.constraints:
    if not constraint.holds(value):
      hint = errors.nearest(str(value), constraint.choices)
      raise errors.UserError(f'{name}={value!r} must be {constraint.text}{hint}')


def free_keys(fields: Fields) -> frozenset[str]:
  """Returns the dotted keys of the fields that may change when a run is resumed."""
  return frozenset(key for key, declared in _leaves(fields) if declared.free)


def _leaves(fields: Fields, prefix: str = '') -> Iterator[tuple[str, Field]]:
  """Yields (dotted key, field) of every key that was declared with `field` or `free`."""
  for name, declared in fields.items():
    if isinstance(declared, Mapping):
      yield from _leaves(declared, f'{prefix}{name}.')
    elif isinstance(declared, Field):
      yield prefix + name, declared
