"""The keys of a config: each with its default, its unit or meaning, and what values it may have.

`free` marks a key that may change when a run is resumed. `config.data` is declared in
data/default_config.py, the model, weights and optimizers of a method in its file, and the settings
of an evaluator in its file (see config/evaluation.py).
"""

from collections.abc import Iterator, Mapping
import hashlib
import json
import math
from typing import Any

import ml_collections
import numpy as np

from maskgan_jax import errors, fields, methods
from maskgan_jax.config import evaluation
from maskgan_jax.data import default_config as data_defaults
from maskgan_jax.fields import (
  at_least,
  between,
  field,
  free,
  less_than,
  one_of,
  some_of,
)
from maskgan_jax.networks import augmentation

_FIELDS = dict(
  # What the run is called. Both are filled in by the command.
  name=free(''),  # for reports; the name of the config file
  command=free(''),  # how the run was started
  # What is trained, and on what. `default` fills in the method.
  method='',
  # The seed of parameters, order of records, augmentation and noise.
  seed=field(0, between(0, 2**31 - 1)),
  image_size=field(128, at_least(1)),  # height in pixels
  image_width=field(0, at_least(0)),  # in pixels; 0 = image_size, a square
  # Examples of each domain per update, over all devices.
  batch_size=field(32, at_least(1)),
  # With more steps, a schedule that ends with the last one ends later.
  num_steps=free(150_000, at_least(1)),
  # Micro-batches per update. They share the large batch's noise; batch statistics are those of
  # a micro-batch, and a replay pool sees the examples in another order.
  accumulate=field(1, at_least(1)),
  compute_dtype='float32',  # or 'bfloat16'; parameters, statistics and losses stay float32
  # The moving average of translating parameters; 0 = off (papers).
  ema_decay=field(0.0, at_least(0), less_than(1)),
  # Random changes of the pictures that critics see, real and generated, for small sets of
  # pictures (networks/augmentation.py): 'color', 'translation', 'cutout'; () = off (papers).
  critic_augmentation=field((), some_of(*augmentation.KINDS)),
  # What the run begins with.
  init_from='',  # a run whose parameters this one begins with, instead of fresh ones
  init_groups=(),  # the groups to take; () = those that the method takes from an earlier stage
  # Whether to resume although pictures or labels have changed.
  accept_changed_data=free(False),
  # How it is computed. None of these changes a number. `remat` computes activations again in the
  # backward pass, for less memory; a program takes more steps than one where a GPU starves.
  remat=free(False),
  steps_per_dispatch=free(1, at_least(1)),
  parallel=free('jit'),  # 'jit' over a mesh, or 'pmap' per replica; the same numbers
  max_skipped=free(20, at_least(1)),  # non-finite iterations in a row that stop the run
  # What it leaves, and how often, in steps.
  log_every=free(100, at_least(1)),  # metrics are means since the last line
  checkpoint_every=free(5_000, at_least(1)),
  keep_last=free(2, at_least(1)),  # checkpoints
  # Checkpoints by best_metric, if evaluate_every is on.
  keep_best=free(1, at_least(0)),
  best_metric=free(''),  # a column of scores.csv
  best_mode=free('max', one_of('max', 'min')),
  sample_every=free(5_000, at_least(0)),  # 0 = never
  sample_pairs=free(8, at_least(1)),
  # How it is measured.
  evaluate_every=free(0, at_least(0)),  # steps; 0 = once, after training
  evaluators=free(('masks', 'truth')),  # () = none
  evaluation_batch_size=free(64, at_least(1)),
  evaluation_pairs=free(0, at_least(0)),  # of each split; 0 = all
  # What `python -m maskgan_jax.sweep` varies.
  sweep=dict(
    field=free(''),  # a key of the config, e.g. 'weights.mask'
    over=free(()),  # its values, a run for each
  ),
  data=data_defaults.FIELDS,
)
_FREE_KEYS = fields.free_keys(_FIELDS)


def default(method: str) -> ml_collections.ConfigDict:
  """Returns the config of a method with all keys at their defaults.

  It is locked, so that a misspelt key in a config file is an error.
  """
  config = fields.defaults(_FIELDS)
  config.method = method
  config.update(fields.defaults(evaluation.evaluator_defaults()))
  config.update(methods.module(method).get_default())
  return config.lock()


def may_change(key: str) -> bool:
  """Returns whether a resumed run may have another value of a dotted key."""
  return key in _FREE_KEYS or key.partition('.')[0] in evaluation.evaluator_groups()


def check_values(config: ml_collections.ConfigDict) -> None:
  """Raises a UserError for a value that its key cannot have."""
  fields.check(config, _FIELDS)
  for key, value in flatten(config):
    if isinstance(value, float) and not math.isfinite(value):
      raise errors.UserError(f'config.{key}={value!r} must be a finite number')
    if key.endswith('.learning_rate'):
      fields.check_value(f'config.{key}', value, field(0.0, at_least(0)))


def flatten(config: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
  """Yields (dotted key, value) for every leaf of a ConfigDict, sorted."""
  for key in sorted(config.keys()):
    value = config[key]
    if isinstance(value, ml_collections.ConfigDict):
      yield from flatten(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', value


def set_key(config: ml_collections.ConfigDict, key: str, value: Any) -> None:
  """Sets a dotted key."""
  *groups, name = key.split('.')
  for group in groups:
    config = config[group]
  config[name] = value


def to_json(config: ml_collections.ConfigDict) -> str:
  """Returns the config as indented JSON."""
  return (
    json.dumps(config.to_dict(), indent=2, sort_keys=True, default=_plain_number) + '\n'
  )


def _plain_number(value: Any) -> Any:
  """Returns a number of NumPy as one of Python."""
  if isinstance(value, (np.floating, np.integer)):
    return value.item()
  raise TypeError(
    f'config value of type {type(value).__name__} cannot be written as JSON'
  )


def from_json(text: str) -> ml_collections.ConfigDict:
  """Returns the config that `to_json` wrote; keys that the text lacks get their defaults.

  Raises:
    ValueError: the text is not JSON, or a value is not of its default's type. A group of keys is
      not one, such as `"model": null`.
    KeyError: the text does not name the method.
  """
  stored = _with_tuples(json.loads(text))
  if not isinstance(stored, dict):
    raise ValueError('the text is not a JSON object of keys and values')
  config = default(stored['method'])
  _check_groups(config, stored)
  defaults = dict(flatten(config))
  with config.unlocked(), config.ignore_type():
    config.update(stored)

  # A value of another type would be noticed hours later, or never.
  values = dict(flatten(config))
  for key, usual in defaults.items():
    if key not in values:
      raise ValueError(f'{key} has keys below it, and should be like {usual!r}')
    types = (int, float) if isinstance(usual, float) else type(usual)
    if usual is not None and not isinstance(values[key], types):
      raise ValueError(f'{key} is {values[key]!r}, and should be like {usual!r}')
  return config


def _check_groups(
  config: ml_collections.ConfigDict, stored: Mapping[str, Any], prefix: str = ''
) -> None:
  """Raises ValueError where parsed JSON has a value in place of keys, such as `"model": null`."""
  for key, value in stored.items():
    group = config.get(key)
    if not isinstance(group, ml_collections.ConfigDict):
      continue
    if not isinstance(value, dict):
      raise ValueError(
        f'{prefix}{key} is {json.dumps(value)}, and should have keys below it'
      )
    _check_groups(group, value, f'{prefix}{key}.')


def _with_tuples(value: Any) -> Any:
  """Returns parsed JSON with tuples in place of lists, as configs have them."""
  if isinstance(value, dict):
    return {key: _with_tuples(part) for key, part in value.items()}
  if isinstance(value, list):
    return tuple(map(_with_tuples, value))
  return value


def fixed(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Returns the keys that may not change on resuming, and their values."""
  stored = from_json(to_json(config))  # tuples and numbers as a file gives them back
  return {key: value for key, value in flatten(stored) if not may_change(key)}


def fingerprint(config: ml_collections.ConfigDict) -> str:
  """Returns a hash of what may not change on resuming: the same for runs of the same training."""
  text = json.dumps(fixed(config), sort_keys=True, default=str)
  return hashlib.sha256(text.encode()).hexdigest()[:16]
