"""Which runs a sweep is made of, and whether they go together."""

from collections.abc import Sequence
import dataclasses
import math
import os
from typing import Any

import ml_collections

from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.sweep import charts as value_charts

_WORDS = {'true': True, '1': True, 'false': False, '0': False}


@dataclasses.dataclass(frozen=True)
class Planned:
  """A run of the sweep before it is opened: as `sweeps.Run`, and its config.

  Attributes:
    own: in the sweep's folder: it is trained if need be.
  """
  label: str
  value: Any
  workdir: str
  config: ml_collections.ConfigDict
  own: bool


def parse_value(text: str, like: Any, field: str) -> Any:
  """A value of the type that the config has in `field`; UserError if the text is none."""
  text = text.strip()
  kind = type(like)
  if like is None:  # a switch that follows another: whatever the text looks like
    kind = next((k for k in (int, float) if _is(k, text)),
                bool if text.lower() in _WORDS else str)
  try:
    if kind is bool:
      return _WORDS[text.lower()]
    if kind in (int, float, str) and text:
      value = kind(text)
      if kind is not float or math.isfinite(value):
        return value
  except (KeyError, ValueError):
    pass
  if kind not in (bool, int, float, str):
    raise errors.UserError(f'config.{field} is a {kind.__name__}; one of its parts, a number, a '
                           'word, true or false can be varied')
  wanted = {bool: 'true or false', int: 'a whole number', float: 'a finite number',
            str: 'a word'}[kind]
  raise errors.UserError(f'{text!r} is not a value for config.{field}, which is {like!r}: it must '
                         f'be {wanted}')


def _is(kind, text):
  try:
    kind(text)
  except ValueError:
    return False
  return True


def _get(config: ml_collections.ConfigDict, field: str) -> Any:
  """The value of a dotted key; UserError names the nearest if there is none."""
  leaves = dict(run_config.flatten(config))
  if field in leaves:
    return leaves[field]
  inside = [key for key in leaves if key.startswith(field + '.')]
  if inside:
    raise errors.UserError(f'config.{field} is a group of keys; choose one: {", ".join(inside)}')
  raise errors.UserError(f'the config has no key {field!r}{errors.nearest(field, leaves)}')


def plan(config: ml_collections.ConfigDict, workdir: str, field: str, values: Sequence[Any],
         runs: Sequence[str], baselines: Sequence[str]) -> list[Planned]:
  """The runs of a sweep, in the order of training; UserError for whatever is wrong with them."""
  planned = []
  default = _get(config, field) if values else None
  for given in values:
    value = parse_value(str(given), default, field)
    label = value_charts.spell(value)
    if os.sep in label:
      raise errors.UserError(f'{label!r} is not a name for a folder; train it with the train '
                             'command and give its folder in --runs')
    changed = config.copy_and_resolve_references()
    run_config.set_key(changed, field, value)
    run_config.check_values(changed)
    changed.name = f'{config.name}, {field}={label}'
    methods.make(changed)
    folder = os.path.join(workdir, f'{field}={label}')
    run_config.check_same_run(changed, folder)
    planned.append(Planned(label, value, folder, changed, True))
  for folder in runs:
    stored = run_config.load(folder)
    leaves = dict(run_config.flatten(stored))
    value = leaves.get(field)
    if value is None and field in leaves:
      raise errors.UserError(f'the run {folder} leaves config.{field} to its variant, so it has no '
                             'value to stand at; make it a --baseline')
    if value is None:
      hint = errors.nearest(field, leaves)
      raise errors.UserError(f'the run {folder} has no config.{field}{hint}; a run without it is a '
                             '--baseline')
    planned.append(Planned(value_charts.spell(value), value, folder, stored, False))
  names = [os.path.basename(os.path.abspath(folder)) for folder in baselines]
  for folder, name in zip(baselines, names, strict=True):
    if [*names, *(run.label for run in planned if run.value is not None)].count(name) > 1:
      name = folder
    planned.append(Planned(name, None, folder, run_config.load(folder), False))
  if not planned:
    raise errors.UserError('no values and no runs: there is nothing to sweep')
  _check_together(planned)
  return planned


def _check_together(planned: Sequence[Planned]) -> None:
  """UserError if a value comes twice, or if runs translate pictures of several sizes."""
  seen, first = {}, planned[0]
  for run in planned:
    if run.value is not None:
      if run.value in seen:
        raise errors.UserError(f'the value {run.label} comes twice: {seen[run.value]} and '
                               f'{run.workdir}')
      seen[run.value] = run.workdir
    sizes = [(p.config.image_size, p.config.image_width or p.config.image_size)
             for p in (first, run)]
    if sizes[0] != sizes[1]:
      raise errors.UserError(f'{first.workdir} is of {sizes[0][0]}x{sizes[0][1]} pixels and '
                             f'{run.workdir} of {sizes[1][0]}x{sizes[1][1]}; only runs of one size '
                             'are drawn together')


def differences(planned: Sequence[Planned], field: str) -> list[str]:
  """A sentence if runs with a value differ in more than that: a curve would mix the causes."""
  configs = [run.config for run in planned if run.value is not None]
  keys = sorted({key for config in configs for key in _other_causes(configs[0], config, field)})
  if not keys:
    return []
  more = f' and {len(keys) - 6} more' if len(keys) > 6 else ''
  return [f'the runs differ in more than {field}: {", ".join(keys[:6])}{more}']


def _other_causes(one: ml_collections.ConfigDict, other: ml_collections.ConfigDict,
                  field: str) -> list[str]:
  """Keys but the field that differ and that training depends on."""
  if one.method != other.method:
    return ['method']
  mine, theirs = (dict(run_config.flatten(config)) for config in (one, other))
  keys = []
  for key in sorted((mine.keys() & theirs.keys()) - {field}):
    changed = one.copy_and_resolve_references()
    if mine[key] != theirs[key]:
      with changed.unlocked(), changed.ignore_type():
        run_config.set_key(changed, key, theirs[key])
      if key == 'num_steps' or run_config.fingerprint(changed) != run_config.fingerprint(one):
        keys.append(key)
  return keys
