"""Names of the rows of scores.csv: the split, and in what the measured data are not the run's.

  test, data.a=~Smiling, data.b=Smiling

is a row over other pictures than those of a run that tells glasses. `tables` names the settings of
its protocols in the same form, where they are not those of the run.
"""

from typing import Any

import ml_collections

from maskgan_jax import config as run_config

PLACES = (
  'data.path',
  'data.attributes_file',
  'data.data_dir',
)  # where the same data may lie

# Which pictures and labels are measured does not depend on the other places, on what only training
# takes, and on how pictures are fed. Columns name the groups that are measured apart.
_WITHOUT_EFFECT = (
  *PLACES,
  'data.num_train',
  'data.masks_share',
  'data.fixed_pairs',
  'data.flip',
  'data.zoom_probability',
  'data.zoom_least',
  'data.max_pixels',
  'data.in_memory',
  'data.prefetch',
  'data.workers',
  'data.template',
  'data.apart',
)
# What only some evaluators read. A run without it may get it later.
_TRUTHS = ('data.masks_path', 'data.mask_column', 'data.labels_path')
# What is measured besides, of the same pictures and with the same masks.
_BESIDE = ('data.apart', 'data.erase')


def row_name(
  split: str,
  of_run: ml_collections.ConfigDict,
  config: ml_collections.ConfigDict,
  *,
  elsewhere: bool = False,
) -> str:
  """Returns the name of the rows that a config measures of a run: the split, if data are the run's.

  Args:
    split: 'test'.
    of_run: the run's own config.
    config: what is measured with.
    elsewhere: whether other `PLACES` hold other data.
  """
  # The name says what differs from the run's config, and may change a result.
  values = _texts(of_run)
  parts = [split]
  for key, text in _texts(config).items():
    before = values.get(key)
    counts = key not in _WITHOUT_EFFECT or (elsewhere and key in PLACES)
    if key in _TRUTHS:
      counts = bool(before)
    if counts and text != before:
      parts.append(f'{key}={text}')
  return ', '.join(parts)


def moved(of_run: ml_collections.ConfigDict, config: ml_collections.ConfigDict) -> bool:
  """Returns whether a config names other places of data than the run's own does."""
  before, now = _texts(of_run), _texts(config)
  return any(before[key] != now[key] for key in PLACES)


def has_own_data(name: str, of_run: ml_collections.ConfigDict) -> bool:
  """Returns whether a row of this name is of the run's pictures, domains and masks."""
  settings = name.split(', ')[1:]
  values = _texts(of_run) if settings else {}
  for part in settings:
    key, _, text = part.partition('=')
    is_of_data = key.startswith('data.') and key not in _BESIDE
    if is_of_data and text != values.get(key):
      return False
  return True


def _texts(config: ml_collections.ConfigDict) -> dict[str, str]:
  """Returns the values of `config.data` as a row's name spells them, by dotted key."""
  texts = {}
  for key, value in run_config.flatten(config.data, 'data.'):
    texts[key] = _spelled(value)
  return texts


def _spelled(value: Any) -> str:
  """Returns a value as the command line takes it."""
  return ','.join(value) if isinstance(value, tuple | list) else str(value)
