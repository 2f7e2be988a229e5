"""The keys of a stored config.json, compared with the keys that configs have today."""

from collections.abc import Sequence

import ml_collections

from maskgan_jax import errors

# Keys of earlier versions: today's name, or None for one that no run can be resumed with any more.
_EARLIER = {'sweep.values': 'sweep.over', 'model.mask_norm': None}


def update(config: ml_collections.ConfigDict, keys: Sequence[str], path: str) -> None:
  """Renames keys of earlier versions in place; raises UserError for one that no version wrote.

  Args:
    config: as it was stored.
    keys: dotted keys of today's config of the same method.
    path: of the file, for messages.
  """
  for key in _leaves(config):
    if key in keys or key in _EARLIER and not _EARLIER[key]:
      continue
    if key not in _EARLIER:
      raise errors.UserError(
          f'{path} has the key {key!r}, which no config has{errors.nearest(key, keys)}; correct '
          'or remove it, or use the version of maskgan_jax that wrote it')
    group, _, name = key.rpartition('.')  # a renamed key stays in its group
    with config.unlocked():
      config[group][_EARLIER[key].rpartition('.')[2]] = config[group][name]
      del config[group][name]


def _leaves(config, prefix=''):
  """Lists the dotted keys of all values."""
  keys = []
  for key in sorted(config):
    value = config[key]
    keys += _leaves(value, f'{prefix}{key}.') if isinstance(
        value, ml_collections.ConfigDict) else [prefix + key]
  return keys
