"""The config of a run on disk: config.json in its folder."""

from collections.abc import Mapping
import glob
import os
from typing import Any

import ml_collections

from maskgan_jax import errors, files
from maskgan_jax.config import schema

FILE_NAME = 'config.json'
_MOST_NAMED = 4  # keys in a message


def save(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Writes config.json into a run's folder."""
  files.write_atomically(os.path.join(workdir, FILE_NAME), schema.to_json(config))


def load(workdir: str) -> ml_collections.ConfigDict:
  """Reads a run's config.json; UserError if there is none, or a key that no config has."""
  path = os.path.join(workdir, FILE_NAME)
  try:
    with open(path, 'rb') as file:
      data = file.read()
  except OSError as error:
    raise errors.UserError(
      f'{workdir} is not a run: {_what_is_there(workdir)}'
    ) from error

  # What a damaged file raises depends on where it is damaged.
  try:
    config = schema.from_json(data.decode())
  except (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    errors.UserError,
  ) as error:
    raise errors.UserError(
      f'{path} is damaged: {error}; restore it or train in another folder'
    ) from error
  _check_keys(config, path)
  return config


def check_same_run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Raises a UserError if `workdir` holds a run of another config, naming the keys that differ."""
  if not os.path.exists(os.path.join(workdir, FILE_NAME)):
    return
  text = differences(schema.fixed(load(workdir)), schema.fixed(config))
  if text:
    raise errors.UserError(
      f'{workdir} holds a run of another config ({text}); train in another --workdir'
    )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
  """Names the keys whose values differ between two configs, with the values; '' if none do."""
  texts = []
  for key in sorted(before.keys() | now.keys()):
    if before.get(key) != now.get(key):
      texts.append(f'{key} was {before.get(key)!r}, is {now.get(key)!r}')
  more = f' and {len(texts) - _MOST_NAMED} more' if len(texts) > _MOST_NAMED else ''
  return '; '.join(texts[:_MOST_NAMED]) + more


def _what_is_there(workdir: str) -> str:
  """Says what a folder without config.json is, and what to name or do instead."""
  state = f'it has no {FILE_NAME}' if os.path.isdir(workdir) else 'no such folder'
  below = sorted(glob.glob(os.path.join(workdir, '*', FILE_NAME)))
  if below:
    runs = ', '.join(map(os.path.dirname, below[:5]))
    return f'{state}; runs below it: {runs}'
  return f'{state}; train one with python -m maskgan_jax.train'


def _check_keys(config: ml_collections.ConfigDict, path: str) -> None:
  """Raises a UserError for a key that today's config of the same method does not have."""
  keys = [key for key, _ in schema.flatten(schema.default(config.method))]
  for key, _ in schema.flatten(config):
    if key not in keys:
      raise errors.UserError(
        f'{path} has the key {key!r}, which no config has{errors.nearest(key, keys)}; correct '
        'or remove it, or use the version of maskgan_jax that wrote it'
      )
