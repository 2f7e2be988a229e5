"""The arguments of a config file: `configs/quickstart.py:official,smoke`."""

from collections.abc import Collection, Sequence

import ml_collections

from maskgan_jax import errors, methods

_VARIANTS = ('official', 'paper', 'ijcai', 'iclr', 'tuned')


def parse_argument(argument: str, choices: Sequence[str]) -> set[str]:
  """Returns the arguments after the colon of a config file.

  Args:
    argument: one or several names with commas between; '' is none.
    choices: the names that the file knows, besides 'smoke', which all know.
  Raises:
    UserError: a name that is not among them.
  """
  names = (*choices, 'smoke')
  chosen = {name for name in argument.split(',') if name}
  for name in sorted(chosen - set(names)):
    raise errors.UserError(
      f'config argument {name!r} is unknown{errors.nearest(name, names)}; '
      f'known: {", ".join(names)}'
    )
  return chosen


def variant(chosen: Collection[str], default: str) -> str:
  """Returns the variant among a config's arguments, or the default; UserError for two."""
  return exclusive(chosen, _VARIANTS) or default


def exclusive(chosen: Collection[str], names: Sequence[str]) -> str:
  """Returns the one of `names` among a config's arguments, or ''; UserError for two."""
  present = [name for name in names if name in chosen]
  if len(present) > 1:
    raise errors.UserError(
      f'config arguments {" and ".join(present)} exclude each other'
    )
  return present[0] if present else ''


def finish(
  config: ml_collections.ConfigDict, chosen: Collection[str]
) -> ml_collections.ConfigDict:
  """Returns the config, made small if 'smoke' was chosen; a config file ends with this."""
  if 'smoke' in chosen:
    smoke(config)
  return config


def smoke(config: ml_collections.ConfigDict) -> None:
  """Shrinks a config to a few steps of a tiny model on a few small images."""
  size = 16
  config.image_width = size * config.image_width // config.image_size
  config.update(
    image_size=size,
    batch_size=8,
    num_steps=4,
    log_every=2,
    checkpoint_every=2,
    sample_every=4,
    sample_pairs=2,
    evaluation_batch_size=8,
    evaluation_pairs=8,
  )

  # Little data, and a model of a few channels.
  config.data.update(num_train=32, num_validation=16, num_test=16, in_memory='always')
  if config.data.load_size:
    config.data.load_size = size + 2
  methods.module(config.method).shrink(config)
