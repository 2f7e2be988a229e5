"""Configs: defaults, the flags that name one, its file in a run, what may change on resuming."""

from collections.abc import Collection, Iterator, Mapping, Sequence
import glob
import json
import math
import os
import runpy
import shlex
import sys
import traceback
from typing import Any

from absl import flags
import ml_collections
from ml_collections import config_flags
import numpy as np

from maskgan_jax import errors, files, methods
from maskgan_jax.data import default_config as data_defaults
from maskgan_jax.runs import stored_keys

FILE_NAME = 'config.json'

# Keys that may differ when a run is resumed: they change no number that training computes, but
# for num_steps under a schedule that ends with it.
_FREE = ('name', 'command', 'num_steps', 'log_every', 'checkpoint_every', 'sample_every',
         'evaluate_every', 'keep_last', 'keep_best', 'best_metric', 'best_mode', 'evaluators',
         'evaluation_batch_size', 'evaluation_pairs', 'sample_pairs', 'parallel', 'max_skipped',
         'remat', 'steps_per_dispatch', 'accept_changed_data', 'data.data_dir',
         'data.path', 'data.attributes_file', 'data.max_pixels', 'data.workers', 'data.prefetch',
         'data.in_memory', 'data.masks_path', 'data.mask', 'data.transfer', 'data.erase',
         'data.apart', 'data.labels_path', 'segmentation.network', 'segmentation.classes',
         'segmentation.ids', 'segmentation.ignore', 'distribution.network', 'distribution.protocol',
         'distribution.tap', 'distribution.cache', 'distribution.kid.degree',
         'distribution.kid.gamma', 'distribution.kid.coefficient', 'distribution.kid.subsets',
         'distribution.kid.subset_size', 'distribution.real', 'accuracy.network',
         'accuracy.attributes', 'identity.network', 'lpips.network', 'lpips.exemplars',
         'sweep.field', 'sweep.over')

# Those of them that `fingerprint` holds all the same: earlier versions wrote it into checkpoints.
FREE_SINCE = ('data.attributes_file', 'data.max_pixels')


def default(method: str) -> ml_collections.ConfigDict:
  """Everything a config has, with defaults; experiments override what they need."""
  config = ml_collections.ConfigDict()
  config.name = ''  # for reports; defaults to the config file's name
  config.command = ''  # how the run was started; filled in
  config.method = method
  config.seed = 0  # of parameters, order of records, augmentation and noise
  config.image_size = 128  # height in pixels
  config.image_width = 0  # in pixels; 0 is image_size: a square
  config.batch_size = 32  # global: examples of each domain per update, over all devices
  config.num_steps = 150_000
  config.compute_dtype = 'float32'  # or 'bfloat16'; parameters, statistics and losses stay float32
  config.remat = False  # recompute activations in the backward pass: less memory, more time
  config.accumulate = 1  # micro-batches per update, with the large batch's noise; batch statistics
  # are then the micro-batch's, and a replay pool sees the examples in another order
  config.steps_per_dispatch = 1  # steps that one program does; more where small steps starve a GPU
  config.parallel = 'jit'  # 'jit' over a mesh, or 'pmap' per replica; the same numbers
  config.init_from = ''  # a run whose parameters this one begins with, instead of fresh ones:
  config.init_groups = ()  # these groups; () is what the method takes from an earlier stage
  config.accept_changed_data = False  # True: a run goes on though pictures or labels have changed
  config.ema_decay = 0.0  # of the parameters that translate; 0 is off, as in the papers
  config.max_skipped = 20  # non-finite iterations in a row that stop the run
  config.log_every = 100  # steps; metrics are means since the last line
  config.checkpoint_every = 5_000
  config.keep_last = 2  # checkpoints
  config.keep_best = 1  # by best_metric, if evaluate_every is on
  config.best_metric = ''  # a column of scores.csv
  config.best_mode = 'max'
  config.sample_every = 5_000
  config.sample_pairs = 8
  config.evaluate_every = 0  # steps; 0 evaluates once, after training
  config.evaluators = ('masks', 'truth')  # () for none
  config.evaluation_batch_size = 64
  config.evaluation_pairs = 0  # of each split; 0 is all
  config.segmentation = dict(  # for the evaluator of that name
      network='',  # a file: a jax.export blob, or NAME.onnx
      classes=19,
      ids=(),  # the id of each class in data.labels_path, others are ignored; () = 0, 1, 2, ...
      ignore=255,  # the id of what is not a class
  )
  config.distribution = dict(  # for the evaluator of that name
      network='',  # NAME.safetensors of import_weights inception, a jax.export blob, or NAME.onnx
      protocol='pytorch_fid',  # 'clean', 'tf1': how Inception gets its 299x299 pixels
      tap='2048',  # of Inception: '64', '192', '768'
      real='target',  # what translations are held against; 'source': the domain they come from
      kid=dict(degree=3, gamma=0.0, coefficient=1.0, subsets=100, subset_size=1000),  # 0 = 1/dim
      cache='',  # a folder for what is known of the real pictures; '' works it out each time
  )
  config.accuracy = dict(  # for the evaluator of that name
      network='',  # NAME.safetensors of train_classifier, a jax.export blob, or NAME.onnx
      attributes=(),  # of the last two kinds: the name of each of its outputs
  )
  config.identity = dict(network='')  # for the evaluator of that name; '' is accuracy.network
  config.lpips = dict(  # for the evaluator of that name
      network='',  # NAME.safetensors of import_weights lpips
      exemplars=4,  # diversity is over this number of exemplars of each source
  )
  config.sweep = dict(  # what `python -m maskgan_jax.sweep` varies
      field='',  # a key of the config, e.g. 'weights.mask'
      over=(),  # its values: a run each
  )
  config.data = data_defaults.get_default()
  config.update(methods.module(method).get_default())
  return config.lock()  # so that a misspelt key in a config file is an error


def parse_argument(argument: str, choices: Sequence[str]) -> set[str]:
  """A config file's `:argument`, one or several of `choices` and 'smoke', with commas between."""
  known = (*choices, 'smoke')
  chosen = [part for part in argument.split(',') if part]
  for part in chosen:
    if part not in known:
      raise errors.UserError(f'config argument {part!r} is unknown{errors.nearest(part, known)}; '
                             f'known: {", ".join(known)}')
  return set(chosen)


_VARIANTS = ('official', 'paper', 'ijcai', 'iclr')


def variant(chosen: Collection[str], default: str) -> str:
  """The one variant among a config's arguments, or the default; UserError for two."""
  return exclusive(chosen, _VARIANTS) or default


def exclusive(chosen: Collection[str], names: Sequence[str]) -> str:
  """The one of `names` among a config's arguments, or ''; UserError for two."""
  found = [name for name in names if name in chosen]
  if len(found) > 1:
    raise errors.UserError(f'config arguments {" and ".join(found)} exclude each other')
  return found[0] if found else ''


def finish(config: ml_collections.ConfigDict, chosen: Collection[str]
           ) -> ml_collections.ConfigDict:
  """Applies 'smoke' (seconds, not hours: does it run?) if it was chosen."""
  if 'smoke' in chosen:
    smoke(config)
  return config


def smoke(config: ml_collections.ConfigDict) -> None:
  """Shrinks a config to a few steps of a tiny model on a few small images."""
  config.image_width = 16 * config.image_width // config.image_size
  config.update(image_size=16, batch_size=8, num_steps=4, log_every=2, checkpoint_every=2,
                sample_every=4, sample_pairs=2, evaluation_batch_size=8, evaluation_pairs=8)
  config.data.update(num_train=32, num_validation=16, num_test=16, in_memory='always',
                     load_size=18 if config.data.load_size else 0)
  methods.module(config.method).shrink(config)


def define_flags() -> None:
  """--config=FILE[:argument], and --config.key=value for any key in it."""
  config_flags.DEFINE_config_file(
      'config', None, 'Config file, e.g. configs/quickstart.py or configs/quickstart.py:smoke; '
      'override any key with --config.key=value.', lock_config=True)


def define_workdir_config(argv: list[str]) -> None:
  """--config.key=value on top of the config of the run that --workdir names in `argv`."""
  for i, argument in enumerate(argv):
    name, equals, value = argument.lstrip('-').partition('=')
    if name == 'workdir' and argument.startswith('-'):
      workdir = value if equals else ''.join(argv[i + 1:i + 2])
      config = load(workdir)
      try:  # this reads the overrides already
        config_flags.DEFINE_config_dict('config', config, lock_config=True)
      except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise errors.UserError(_bad_key(argv, error, config)) from error


def from_flags() -> ml_collections.ConfigDict:
  """The config that the command line names; UserError if none does."""
  config = flags.FLAGS.config
  if config is None:
    raise errors.UserError('no config given; add --config=configs/quickstart.py'
                           f'{_available("configs")}')
  for key, value in flatten(config):
    if isinstance(value, tuple) and all(isinstance(v, str) for v in value):
      # The flag parser takes a,b for one string, and nothing for one that is empty.
      set_key(config, key, tuple(part for v in value for part in v.split(',') if part))
  check_values(config)
  with config.unlocked():
    if not config.get('name'):
      path = config_flags.get_config_filename(flags.FLAGS['config'])
      config.name = os.path.splitext(os.path.basename(path))[0]
    if not config.get('command'):
      module = sys.modules['__main__'].__spec__
      name = f'python -m {module.name.removesuffix(".__main__")}' if module else sys.argv[0]
      config.command = shlex.join([*name.split(), *sys.argv[1:]])
  return config


# Least values of numbers that no room checks by itself.
_LEAST = {'batch_size': 1, 'image_size': 1, 'image_width': 0, 'num_steps': 1, 'accumulate': 1,
          'steps_per_dispatch': 1, 'log_every': 1, 'checkpoint_every': 1, 'sample_every': 0,
          'evaluate_every': 0, 'sample_pairs': 1, 'evaluation_batch_size': 1, 'evaluation_pairs': 0,
          'max_skipped': 1, 'seed': 0, 'keep_last': 1, 'keep_best': 0, 'ema_decay': 0}


def check_values(config: ml_collections.ConfigDict) -> None:
  """UserError for a number out of its range."""
  for key, least in _LEAST.items():
    if not config.get(key, least) >= least:
      raise errors.UserError(f'config.{key} is {config[key]}; it must be at least {least}')
  if config.get('seed', 0) >= 2 ** 31:
    raise errors.UserError(f'config.seed is {config.seed}; it must be below 2**31')
  for key, value in flatten(config):
    if isinstance(value, float) and not math.isfinite(value):
      raise errors.UserError(f'config.{key} is {value}; it must be a finite number')
    if key.endswith('.learning_rate') and value < 0:
      raise errors.UserError(f'config.{key} is {value}; it must be at least 0')
  if config.get('ema_decay', 0) >= 1:
    raise errors.UserError(f'config.ema_decay is {config.ema_decay}; it must be below 1')


def parse_flags(argv: list[str]) -> list[str]:
  """Parses flags; whatever is wrong with them becomes a UserError naming the nearest."""
  _config_of(argv)
  try:
    return flags.FLAGS(argv)
  except flags.Error as error:
    raise errors.UserError(' '.join(str(error).split())) from error
  except (AttributeError, KeyError) as error:
    raise errors.UserError(_bad_key(argv, error)) from error


def _bad_key(argv, error, config=None) -> str:
  """One line for a --config.key that is not there, with the nearest that is."""
  known = [key for key, _ in flatten(_config_of(argv) if config is None else config)]
  for argument in argv[1:]:
    name = argument.lstrip('-').partition('=')[0]
    if name.startswith(('config.', 'noconfig.')):
      key = name.partition('.')[2]
      if key not in known and not any(k.startswith(key + '.') for k in known):
        return f'the config has no key {key!r}{errors.nearest(key, known)}'
  return ' '.join(f'in the config: {error}'.split())


def _config_of(argv) -> ml_collections.ConfigDict:
  """The config that the flags name, before any override; empty if none."""
  for i, argument in enumerate(argv[1:], 1):
    name, equals, value = argument.lstrip('-').partition('=')
    if name == 'config' and argument.startswith('-'):
      return read_file(value if equals else ''.join(argv[i + 1:i + 2]))
  return ml_collections.ConfigDict()


def read_file(value: str) -> ml_collections.ConfigDict:
  """Runs a config file, named as `path[:argument]`; UserError for all that can be wrong with it."""
  path, _, argument = value.partition(':')
  if not os.path.isfile(path):
    raise errors.UserError(f'no config file {path}{_available(os.path.dirname(path), path)}')
  try:
    config = runpy.run_path(path)['get_config'](*([argument] if argument else []))
  except errors.UserError:
    raise
  except KeyError as error:
    if error.args == ('get_config',):
      raise errors.UserError(f'{path} is not a config file: it has no get_config()') from error
    raise errors.UserError(f'{path}: {_where(error, path)}') from error
  except Exception as error:
    raise errors.UserError(f'{path}: {_where(error, path)}') from error
  if not isinstance(config, ml_collections.ConfigDict):
    raise errors.UserError(f'{path}: get_config() returns a {type(config).__name__}, not a '
                           'ConfigDict')
  return config


def _where(error: Exception, path: str) -> str:
  """An exception in a config file as one line: where in it, and what."""
  lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
           if os.path.basename(frame.filename) == os.path.basename(path)]
  line = getattr(error, 'lineno', None) or (lines[-1] if lines else None)
  place = f'line {line}: ' if line else ''
  return f'{place}{type(error).__name__}: {" ".join(str(error).split())}'


def _available(folder: str, path: str = '') -> str:
  found = sorted(glob.glob(os.path.join(folder or '.', '*.py')))
  hint = errors.nearest(path, found) if path else ''
  return hint or (f'; there is {", ".join(found[:12])}' if found else '')


def flatten(config: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
  """(dotted key, value) for every leaf of a ConfigDict."""
  for key in sorted(config.keys()):
    value = config[key]
    if isinstance(value, ml_collections.ConfigDict):
      yield from flatten(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', value


def set_key(config: ml_collections.ConfigDict, key: str, value: Any) -> None:
  """Sets a dotted key."""
  *parents, last = key.split('.')
  for parent in parents:
    config = config[parent]
  config[last] = value


def to_json(config: ml_collections.ConfigDict) -> str:
  """The config as indented JSON."""
  def plain(value):
    if isinstance(value, (np.floating, np.integer)):
      return value.item()
    raise TypeError(f'config value of type {type(value).__name__} cannot be written as JSON')
  return json.dumps(config.to_dict(), indent=2, sort_keys=True, default=plain) + '\n'


def from_json(text: str) -> ml_collections.ConfigDict:
  """The inverse of `to_json`; keys that are newer than the file get their defaults."""
  def tuples(value):
    if isinstance(value, dict):
      return {k: tuples(v) for k, v in value.items()}
    return tuple(tuples(v) for v in value) if isinstance(value, list) else value
  stored = tuples(json.loads(text))
  config = default(stored['method'])
  expected = dict(flatten(config))
  with config.unlocked(), config.ignore_type():
    config.update(stored)
  given = dict(flatten(config))
  for key, value in expected.items():
    if key not in given:
      raise ValueError(f'{key} has keys of its own, and should be like {value!r}')
    kinds = (int, float) if isinstance(value, float) else type(value)
    if value is not None and not isinstance(given[key], kinds):
      raise ValueError(f'{key} is {given[key]!r}, and should be like {value!r}')
  return config


def save(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Writes config.json into a run's folder."""
  files.write_atomically(os.path.join(workdir, FILE_NAME), to_json(config))


def load(workdir: str) -> ml_collections.ConfigDict:
  """Reads a run's config.json; UserError where there is no run, or a key that no version has."""
  path = os.path.join(workdir, FILE_NAME)
  try:
    with open(path, 'rb') as file:
      data = file.read()
  except OSError as error:
    inside = sorted(glob.glob(os.path.join(workdir, '*', FILE_NAME)))
    hint = (f'; runs below it: {", ".join(os.path.dirname(p) for p in inside[:5])}'
            if inside else '; train one with python -m maskgan_jax.train')
    what = 'no such folder' if not os.path.isdir(workdir) else f'it has no {FILE_NAME}'
    raise errors.UserError(f'{workdir} is not a run: {what}{hint}') from error
  try:
    config = from_json(data.decode())
  except (ValueError, KeyError, TypeError, AttributeError, RecursionError,
          errors.UserError) as error:
    raise errors.UserError(f'{path} is damaged: {error}; restore it or train in another '
                           'folder') from error
  stored_keys.update(config, [key for key, _ in flatten(default(config.method))], path)
  return config


def check_same_run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """UserError if `workdir` holds a run of another config, naming the keys that differ."""
  if not os.path.exists(os.path.join(workdir, FILE_NAME)):
    return
  stored = dict(flatten(load(workdir)))
  now = dict(flatten(from_json(to_json(config))))
  if text := differences(stored, now):
    raise errors.UserError(f'{workdir} holds a run of another config ({text}); '
                           'train in another --workdir')


def differences(stored: Mapping[str, Any], now: Mapping[str, Any]) -> str:
  """Names the keys that may not change on resuming and did, with their values; '' if none did."""
  keys = [key for key in sorted(stored.keys() | now.keys())
          if key not in _FREE and stored.get(key) != now.get(key)]
  texts = [f'{key} was {stored.get(key)!r}, is {now.get(key)!r}' for key in keys[:4]]
  return '; '.join(texts) + (f' and {len(keys) - 4} more' if len(keys) > 4 else '')


def fixed(config: ml_collections.ConfigDict, free: Sequence[str] = _FREE) -> dict[str, Any]:
  """Key -> value of what may not change on resuming, without the values that are the default.

  So a key that is new today does not part a run from its older checkpoints.
  """
  defaults = dict(flatten(from_json(to_json(default(config.method)))))
  return {key: value for key, value in flatten(from_json(to_json(config)))
          if key not in free and value != defaults.get(key) or key == 'method'}


def fingerprint(config: ml_collections.ConfigDict) -> str:
  """Returns a hash of what a checkpoint depends on, as earlier versions wrote it."""
  import hashlib
  values = fixed(config, [key for key in _FREE if key not in FREE_SINCE])
  return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]
