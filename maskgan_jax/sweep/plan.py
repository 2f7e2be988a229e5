"""Which runs a sweep is made of, and whether they go together."""

from collections.abc import Sequence
import dataclasses
import math
import os
from typing import Any

import ml_collections

from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.reports import charts

_WORDS = {'true': True, '1': True, 'false': False, '0': False}
_KINDS = {
  bool: 'true or false',
  int: 'a whole number',
  float: 'a finite number',
  str: 'a word',
}
_KEYS_SHOWN = 6  # of those in which runs differ


@dataclasses.dataclass(frozen=True)
class Planned:
  """A run of the sweep before it is opened.

  Attributes:
    label: its value as in headings; a baseline's name.
    value: that is varied; None for a baseline.
    workdir: its folder.
    config: its config.
    own: it is in the sweep's folder, and is trained if need be.
  """

  label: str
  value: Any
  workdir: str
  config: ml_collections.ConfigDict
  own: bool


def parse_value(text: str, like: Any, field: str) -> Any:
  """Returns a value of the type of `like`, which the config has in `field`.

  Raises UserError if the text is not one.
  """
  # A key that is None has no type: then the text decides.
  text = text.strip()
  kind = _kind(text) if like is None else type(like)
  if kind not in _KINDS:
    raise errors.UserError(
      f'config.{field} is a {kind.__name__}; one of its parts, a number, a '
      'word, true or false can be varied'
    )
  try:
    if kind is bool:
      return _WORDS[text.lower()]
    value = kind(text)
    if text and (kind is not float or math.isfinite(value)):
      return value
  except (KeyError, ValueError):
    pass
  raise errors.UserError(
    f'{text!r} is not a value for config.{field}, which is {like!r}: it must '
    f'be {_KINDS[kind]}'
  )


def _kind(text: str) -> type:
  """Returns what a text looks like, for a switch that is None since it follows another one."""
  # The narrowest type that reads the text is taken.
  for kind in (int, float):
    try:
      kind(text)
      return kind
    except ValueError:
      continue
  return bool if text.lower() in _WORDS else str


def _get(config: ml_collections.ConfigDict, field: str) -> Any:
  """Returns the value of a dotted key; UserError names the nearest if there is none."""
  # A key may name a group, or be misspelt.
  leaves = dict(run_config.flatten(config))
  if field in leaves:
    return leaves[field]
  inside = [key for key in leaves if key.startswith(field + '.')]
  if inside:
    raise errors.UserError(
      f'config.{field} is a group of keys; choose one: {", ".join(inside)}'
    )
  raise errors.UserError(
    f'the config has no key {field!r}{errors.nearest(field, leaves)}'
  )


def plan(
  config: ml_collections.ConfigDict,
  workdir: str,
  field: str,
  values: Sequence[Any],
  runs: Sequence[str],
  baselines: Sequence[str],
) -> list[Planned]:
  """Returns the runs of a sweep, in the order of training; UserError for a mistake in any."""
  # Runs to train come first, then runs that are there, and baselines last.
  planned = []
  if values:
    default = _get(config, field)
    for text in values:
      value = parse_value(str(text), default, field)
      planned.append(_to_train(config, workdir, field, value))
  planned += [_to_take(folder, field) for folder in runs]
  planned += _beside(baselines, [run.label for run in planned])
  if not planned:
    raise errors.UserError('no values and no runs: there is nothing to sweep')
  _check_together(planned)
  return planned


def _to_train(
  config: ml_collections.ConfigDict, workdir: str, field: str, value: Any
) -> Planned:
  """Returns the run of a value, which has a folder in the sweep's."""
  label = charts.spell(value)
  if os.sep in label:
    raise errors.UserError(
      f'{label!r} is not a name for a folder; train it with the train '
      'command and give its folder in --runs'
    )
  # The config, the method and what the folder holds already have to agree with the value.
  changed = config.copy_and_resolve_references()
  run_config.set_key(changed, field, value)
  run_config.check_values(changed)
  changed.name = f'{config.name}, {field}={label}'
  methods.make(changed)
  folder = os.path.join(workdir, f'{field}={label}')
  run_config.check_same_run(changed, folder)
  return Planned(label, value, folder, changed, own=True)


def _to_take(folder: str, field: str) -> Planned:
  """Returns a run that is taken as it is; its config says at which value it stands."""
  # The value is the config's, and not the folder's name.
  stored = run_config.load(folder)
  leaves = dict(run_config.flatten(stored))
  value = leaves.get(field)
  if value is None and field in leaves:
    raise errors.UserError(
      f'the run {folder} leaves config.{field} to its variant, so it has no '
      'value to stand at; make it a --baseline'
    )
  if value is None:
    hint = errors.nearest(field, leaves)
    raise errors.UserError(
      f'the run {folder} has no config.{field}{hint}; a run without it is a --baseline'
    )
  return Planned(charts.spell(value), value, folder, stored, own=False)


def _beside(folders: Sequence[str], labels: Sequence[str]) -> list[Planned]:
  """Returns the baselines, called as their folders, by the whole path where that is not clear."""
  names = [os.path.basename(os.path.abspath(folder)) for folder in folders]
  taken = [*names, *labels]
  planned = []
  for folder, name in zip(folders, names, strict=True):
    label = folder if taken.count(name) > 1 else name
    planned.append(Planned(label, None, folder, run_config.load(folder), own=False))
  return planned


def _check_together(planned: Sequence[Planned]) -> None:
  """Raises UserError if a value comes twice, or if runs have pictures of several sizes."""
  first = planned[0]
  workdir_of = {}  # by value
  height, width = _size(first.config)
  for run in planned:
    if run.value is not None and run.value in workdir_of:
      raise errors.UserError(
        f'the value {run.label} comes twice: {workdir_of[run.value]} and {run.workdir}'
      )
    if run.value is not None:
      workdir_of[run.value] = run.workdir
    other_height, other_width = _size(run.config)
    if (other_height, other_width) != (height, width):
      raise errors.UserError(
        f'{first.workdir} is of {height}x{width} pixels and {run.workdir} of '
        f'{other_height}x{other_width}; only runs of one size are drawn '
        'together'
      )


def _size(config: ml_collections.ConfigDict) -> tuple[int, int]:
  return config.image_size, config.image_width or config.image_size


def differences(planned: Sequence[Planned], field: str) -> list[str]:
  """Returns a sentence if runs with a value differ in more: a curve would mix the causes."""
  configs = [run.config for run in planned if run.value is not None]
  keys = set()
  for config in configs[1:]:
    keys.update(_other_causes(configs[0], config, field))
  if not keys:
    return []
  more = f' and {len(keys) - _KEYS_SHOWN} more' if len(keys) > _KEYS_SHOWN else ''
  shown = ', '.join(sorted(keys)[:_KEYS_SHOWN])
  return [f'the runs differ in more than {field}: {shown}{more}']


def _other_causes(
  one: ml_collections.ConfigDict, other: ml_collections.ConfigDict, field: str
) -> list[str]:
  """Returns the keys without the field that differ and that training depends on."""
  if one.method != other.method:
    return ['method']
  values, other_values = (dict(run_config.flatten(config)) for config in (one, other))
  keys = []
  for key in sorted((values.keys() & other_values.keys()) - {field}):
    if values[key] == other_values[key]:
      continue
    # Training depends on a key if the fingerprint of the config does.
    changed = one.copy_and_resolve_references()
    with changed.unlocked(), changed.ignore_type():
      run_config.set_key(changed, key, other_values[key])
    if key == 'num_steps' or run_config.fingerprint(changed) != run_config.fingerprint(
      one
    ):
      keys.append(key)
  return keys
