"""The flags that name a config and set its keys: --config=FILE[:argument] --config.key=value."""

from collections.abc import Callable, Sequence
import glob
import os
import runpy
import shlex
import sys
import traceback

from absl import flags
import ml_collections
from ml_collections import config_flags

from maskgan_jax import errors
from maskgan_jax.config import schema, stored


def define_flags() -> None:
  """Defines --config=FILE[:argument], and --config.key=value for any key in it."""
  config_flags.DEFINE_config_file(
    'config',
    None,
    'Config file, e.g. configs/quickstart.py or configs/quickstart.py:smoke; '
    'override any key with --config.key=value.',
    lock_config=True,
  )


def define_workdir_config(
  argv: Sequence[str], folder_of_model: Callable[[str], str]
) -> None:
  """Defines --config.key=value on top of the config of a run or of a pretrained model.

  Args:
    argv: all arguments, of which --workdir names the run, or --pretrained the model.
    folder_of_model: returns the folder of what --pretrained names.
  """
  folder, model = _flag(argv, 'workdir'), _flag(argv, 'pretrained')
  if folder is None and model:
    folder = folder_of_model(model)
  if folder is None:
    return
  config = stored.load(folder)
  try:  # defining the flag reads the overrides already
    config_flags.DEFINE_config_dict('config', config, lock_config=True)
  except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
    raise errors.UserError(_problem(argv, error, config)) from error


def parse_flags(argv: list[str]) -> list[str]:
  """Parses the flags and returns the other arguments; UserError names the nearest flag or key."""
  path = _flag(argv, 'config')
  config = ml_collections.ConfigDict() if path is None else read_file(path)
  try:
    return flags.FLAGS(argv)
  except flags.Error as error:
    raise errors.UserError(' '.join(str(error).split())) from error
  except (AttributeError, KeyError) as error:
    raise errors.UserError(_problem(argv, error, config)) from error


def from_flags() -> ml_collections.ConfigDict:
  """Returns the config that the command line names; UserError if none does or a value is wrong."""
  config = flags.FLAGS.config
  if config is None:
    raise errors.UserError(
      f'no config given; add --config=configs/quickstart.py{_available("configs")}'
    )
  _split_texts(config)
  schema.check_values(config)
  with config.unlocked():
    if not config.get('name'):
      path = config_flags.get_config_filename(flags.FLAGS['config'])
      config.name = os.path.splitext(os.path.basename(path))[0]
    if not config.get('command'):
      config.command = _command()
  return config


def read_file(value: str) -> ml_collections.ConfigDict:
  """Runs a config file, named as `path[:argument]`; UserError for all that can be wrong with it."""
  path, _, argument = value.partition(':')
  if not os.path.isfile(path):
    raise errors.UserError(
      f'no config file {path}{_available(os.path.dirname(path), path)}'
    )
  arguments = [argument] if argument else []
  try:
    names = runpy.run_path(path)
    config = names['get_config'](*arguments) if 'get_config' in names else None
  except errors.UserError:
    raise
  except Exception as error:  # of the user's code
    raise errors.UserError(f'{path}: {_in_one_line(error, path)}') from error
  if 'get_config' not in names:
    raise errors.UserError(f'{path} is not a config file: it has no get_config()')
  if not isinstance(config, ml_collections.ConfigDict):
    raise errors.UserError(
      f'{path}: get_config() returns a {type(config).__name__}, not a ConfigDict'
    )
  return config


def _flag(argv: Sequence[str], name: str) -> str | None:
  """Returns the value of --name=value or --name value, before flags are parsed; None without."""
  for position, argument in enumerate(argv):
    flag, equals, value = argument.lstrip('-').partition('=')
    if flag == name and argument.startswith('-'):
      return value if equals else ''.join(argv[position + 1 : position + 2])
  return None


def _split_texts(config: ml_collections.ConfigDict) -> None:
  """Makes tuples of the values of keys that list names.

  The flag parser takes a,b for one string, and nothing for one that is empty.
  """
  for key, value in schema.flatten(config):
    if isinstance(value, tuple) and all(isinstance(text, str) for text in value):
      names = ','.join(value).split(',')
      schema.set_key(config, key, tuple(filter(None, names)))


def _command() -> str:
  """Returns the command line of this process, as a user would type it."""
  module = sys.modules['__main__'].__spec__
  program = [sys.argv[0]]
  if module:
    program = ['python', '-m', module.name.removesuffix('.__main__')]
  return shlex.join([*program, *sys.argv[1:]])


def _problem(
  argv: Sequence[str], error: Exception, config: ml_collections.ConfigDict
) -> str:
  """Returns in a line what is wrong with --config.key=value: a key that the config lacks, or else.

  Args:
    argv: all arguments.
    error: what the flag parser raised.
    config: before any override.
  """
  keys = [key for key, _ in schema.flatten(config)]
  for argument in argv[1:]:
    flag, _, key = argument.lstrip('-').partition('=')[0].partition('.')
    if flag in ('config', 'noconfig') and key:
      is_group = any(other.startswith(key + '.') for other in keys)
      if key not in keys and not is_group:
        return f'the config has no key {key!r}{errors.nearest(key, keys)}'
  return ' '.join(f'in the config: {error}'.split())


def _in_one_line(error: Exception, path: str) -> str:
  """Returns where in a config file an exception was raised, and what it says."""
  line = getattr(error, 'lineno', None)  # of a syntax error
  if not line:
    for frame in traceback.extract_tb(error.__traceback__):
      if os.path.basename(frame.filename) == os.path.basename(path):
        line = frame.lineno
  place = f'line {line}: ' if line else ''
  return f'{place}{type(error).__name__}: {" ".join(str(error).split())}'


def _available(folder: str, path: str = '') -> str:
  """Returns a hint: the config file of the folder with the name most like `path`, or a list."""
  present = sorted(glob.glob(os.path.join(folder or '.', '*.py')))
  hint = errors.nearest(path, present) if path else ''
  if hint or not present:
    return hint
  return f'; there is {", ".join(present[:12])}'
