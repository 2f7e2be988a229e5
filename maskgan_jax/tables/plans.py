"""The configs behind a paper's table: which config each cell needs, and where its runs go."""

from collections.abc import Callable, Mapping
import dataclasses
import os
from typing import Any

import ml_collections

from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.sweep import plan as sweep_plans
from maskgan_jax.tables.papers import base

# Groups of the config that say how something is measured; what lies elsewhere is a matter of
# training, or of where things are.
_MEASURING = (
  *(f'{group}.' for group in run_config.evaluator_groups()),
  'evaluation_pairs',
  'data.apart',
  'data.erase',
  'data.mask',
  'data.transfer',
)
_PLACES = ('distribution.cache', 'data.masks_path')


@dataclasses.dataclass(frozen=True)
class Plan:
  """A config that cells need.

  Attributes:
    config_path: as the table has it, 'configs/NAME.py:ARGUMENT'.
    resolved_path: as the command line of `train` has it, with the added arguments.
    config: with the table's settings and the overrides; None where there is none.
    reason: why `config` is None.
  """

  config_path: str
  resolved_path: str
  config: ml_collections.ConfigDict | None
  reason: str = ''


def config_path(row: base.Row, column: base.Column) -> str:
  """Returns a cell's config path; '' if we never run it or its value is a constant."""
  measure = measure_of(row, column)
  if not row.ours or not measure or is_constant(measure):
    return ''
  return row.config or column.config


def measure_of(row: base.Row, column: base.Column) -> str:
  """Returns the column of scores.csv that a cell shows."""
  return row.measures.get(column.name, column.measure)


def is_constant(measure: str) -> bool:
  """Returns whether a cell's value needs no run: '=1' stands for 1."""
  return measure.startswith('=')


def plan(
  table: base.Table,
  add: str = '',
  overrides: Mapping[str, str] | None = None,
  strict: bool = True,
  note: Callable[[str], None] = print,
) -> dict[str, Plan]:
  """Returns the configs of a table, by the cells' own spelling of them.

  Args:
    table: the table.
    add: arguments added to those of every config that takes them, e.g. 'quick'.
    overrides: dotted key -> text, for the configs that have the key.
    strict: whether some config must have each override's key.
    note: takes a line if no config takes `add`.
  Raises:
    UserError: if there are configs and none has a key, or if an override's text is not a value.
  """
  overrides = dict(overrides or {})
  plans: dict[str, Plan] = {}
  refusal, some_take_it = None, not add
  for path in _config_paths(table):
    # Many configs have no short version; then the config itself is taken.
    try:
      planned = Plan(path, *_read(path, add))
      some_take_it = True
    except errors.UserError as error:
      refusal = error
      planned = _plan_without_arguments(path)
    if planned.config is not None:
      _apply(planned.config, table, planned.resolved_path, overrides)
    plans[path] = planned
  if plans and not some_take_it:
    note(
      f'no config of this table takes --add={add}, so they are taken as they are: {refusal}'
    )
  if strict:
    _check_used(plans, overrides)
  return plans


def _plan_without_arguments(path: str) -> Plan:
  """Returns the plan of a config as its path says; one with a reason where there is none."""
  try:
    return Plan(path, *_read(path, ''))
  except errors.UserError as missing:
    return Plan(path, path, None, str(missing).partition(';')[0])


def _config_paths(table: base.Table) -> list[str]:
  paths = {}
  for row in table.rows:
    for column in table.columns:
      paths[config_path(row, column)] = None
  return [path for path in paths if path]


def _read(path: str, add: str) -> tuple[str, ml_collections.ConfigDict]:
  """Returns a config's path with `add` among its arguments, and the config.

  It is read from the working folder, or from beside the package if this is not the repository.
  """
  import maskgan_jax

  path, _, argument = path.partition(':')
  argument = ','.join(filter(None, (argument, add)))
  if argument:
    argument = f':{argument}'

  # A file of the working folder comes before one of the repository.
  root = os.path.dirname(os.path.dirname(maskgan_jax.__file__))
  beside = os.path.join(root, path)
  place = beside if not os.path.exists(path) and os.path.exists(beside) else path
  return path + argument, run_config.read_file(place + argument)


def _apply(config, table: base.Table, path: str, overrides: Mapping[str, str]) -> None:
  """Sets what the table and the command line ask of a config."""
  stem = os.path.basename(path.partition(':')[0])
  config.name = config.name or os.path.splitext(stem)[0]
  config.evaluators = tuple(dict.fromkeys((*config.evaluators, *table.evaluators)))

  # Settings of the table come first, and the command line overrides them.
  leaves = dict(run_config.flatten(config))
  for key, value in table.settings.items():
    run_config.set_key(config, key, value)
  for key, text in overrides.items():
    if key in leaves:
      run_config.set_key(config, key, _parsed(text, leaves[key], key))
  run_config.check_values(config)


def _parsed(text: str, like: Any, key: str) -> Any:
  """Returns a value of the type that the config has; a tuple's words have commas between."""
  if isinstance(like, tuple):
    return tuple(part for part in text.split(',') if part)
  return sweep_plans.parse_value(text, like, key)


def _check_used(plans: Mapping[str, Plan], overrides: Mapping[str, str]) -> None:
  """Raises UserError for a key that none of the configs has."""
  keys = set()
  for planned in plans.values():
    if planned.config is not None:
      keys.update(key for key, _ in run_config.flatten(planned.config))
  for key in overrides if plans else ():
    if key not in keys:
      raise errors.UserError(
        f'no config of this table has a key {key!r}{errors.nearest(key, keys)}'
      )


def row_name(table: base.Table, overrides: Mapping[str, str] | None = None) -> str:
  """Returns the `split` under which scores of this table's protocol stand in scores.csv."""
  parts = []
  for key, value in sorted({**table.settings, **(overrides or {})}.items()):
    if key.startswith(_MEASURING) and key not in _PLACES:
      if key.endswith('.network'):
        value = os.path.basename(str(value))
      parts.append(f'{key}={value}')
  return ', '.join(['test', *parts])


def folder(root: str, path: str, seed: int) -> str:
  """Returns the folder in which the run of a config path and a seed is trained."""
  stem, _, argument = os.path.basename(path).partition(':')
  arguments = sorted(filter(None, argument.split(',')))
  name = '-'.join([os.path.splitext(stem)[0], *arguments])
  if seed:
    name += f'-seed{seed}'
  return os.path.join(root, name)
