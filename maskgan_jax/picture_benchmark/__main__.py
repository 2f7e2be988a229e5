r"""Writes a config's data for other frameworks, and measures the translations that they make.

  python -m maskgan_jax.picture_benchmark --config=configs/avatars_benchmark.py:glasses,quick \
      --write=DIR
  python -m maskgan_jax.picture_benchmark --config=configs/avatars_benchmark.py:glasses,quick \
      --pictures=DIR1 --back=DIR2 --masks=DIR3 --output=scores.csv

The first writes PNG files: training and validation pictures, the test pairs that evaluation
measures, their true answers, and a README.txt that explains them and how to take part. DIR is whole
or absent: a command that is stopped leaves nothing.

The second measures translations of the test pairs that another program made, by all evaluators of
the config except 'speed', and prints what `evaluate` prints. DIR1 holds one PNG for each pair, with
the name that the pair has in DIR/a: the translation of a after b. Optional:

  --back              b with the attribute taken off, or translated after a
  --masks             where the method says that b has the attribute; grey, 255 is 1
  --validation_masks  the same of all of DIR/validationB: on these the threshold for --masks is
                      searched, as it is for a model; without them it is 0.5
  --source_masks      where the method says that it changed a

What needs a model, such as the diversity over exemplars, is left out. --config.key=value goes with
either, e.g. --config.accuracy.network=FILE with the second.
"""

from collections.abc import Callable
import functools
import os
import shlex
import sys
import tempfile

from absl import flags
import ml_collections

from maskgan_jax import cli, errors, evaluators, files
from maskgan_jax import config as run_config
from maskgan_jax.data import pipeline
from maskgan_jax.picture_benchmark import folders as benchmark_folders
from maskgan_jax.picture_benchmark import given as given_pictures
from maskgan_jax.runs import scores

_NEEDS_A_MODEL = ('speed',)
_MEASURING = (
  'back',
  'masks',
  'validation_masks',
  'source_masks',
  'output',
)  # go with --pictures
_FINGERPRINT = 'data_fingerprint'  # a column by which files of this command are known


def write(
  config: ml_collections.ConfigDict,
  folder: str,
  *,
  command: str = '',
  watch: Callable[[], Callable[[], None]] = lambda: lambda: None,
  note: Callable[[str], None] = print,
) -> dict[str, int]:
  """Writes the data; see the module's docstring and `benchmark_folders.write`.

  `watch` is called once the data are open, and returns a function that is then called often.
  `note` takes a line on pictures that are not used.
  """
  benchmark_folders.require_empty(folder)
  data = _open(config, note)
  return benchmark_folders.write(data, config, folder, command=command, poll=watch())


def measure(
  config: ml_collections.ConfigDict,
  folders: given_pictures.Folders,
  output: str = '',
  *,
  note: Callable[[str], None] = print,
) -> dict[str, float | str]:
  """Measures translations in files; see the module's docstring.

  Args:
    config: whose evaluators measure.
    folders: of the files.
    output: a CSV file in the format of scores.csv, with one row; '' for none.
    note: takes a line on what cannot be measured.
  Returns:
    name -> value, as `evaluators.run` does.
  """
  names = _evaluators_of_pictures(config)
  files.check_output(output, [config.data.attributes_file])
  _check_output(output)

  # To evaluators the files are a model that knows these pairs alone.
  data = _open(config, note)
  stand_in = given_pictures.Given(config, data, folders, benchmark_folders.file_names)
  results = evaluators.run(
    stand_in,
    stand_in.data,
    names=names,
    config=config,
    note=note,
    batch_size=config.evaluation_batch_size,
    max_pairs=config.evaluation_pairs,
  )
  if not results:
    raise errors.UserError('none of config.evaluators has anything to measure here')
  results[_FINGERPRINT] = data.fingerprint
  if output:
    _write_scores(output, results)
  return results


def _evaluators_of_pictures(config: ml_collections.ConfigDict) -> list[str]:
  """Returns the names of the evaluators that need no model; UserError without one."""
  names = [name for name in config.evaluators if name not in _NEEDS_A_MODEL]
  # What is wrong with an evaluator is reported before any data is made.
  for name in names:
    evaluators.make(name, config)
  if not names:
    raise errors.UserError(
      f'config.evaluators={tuple(config.evaluators)!r} names none that can '
      'measure pictures'
    )
  return names


def _write_scores(output: str, results: dict[str, float | str]) -> None:
  """Writes a CSV file in the format of scores.csv, with one row; whole or not at all."""
  with tempfile.TemporaryDirectory() as folder:
    scores.append(folder, {'step': 0, 'split': evaluators.SPLIT, **results})
    with open(os.path.join(folder, scores.FILE_NAME), 'rb') as file:
      files.write_atomically(output, file.read())


def _open(
  config: ml_collections.ConfigDict, note: Callable[[str], None]
) -> pipeline.Data:
  """Opens the config's data, which are read once and not kept; notes what is not used."""
  config = config.copy_and_resolve_references()
  config.data.in_memory = 'never'
  data = pipeline.make(config)
  unused = data.describe()['unused']
  if unused:
    note(f'{config.data.path}: {unused}')
  return data


def _check_output(path: str) -> None:
  """Raises UserError for a file that cannot be written, or must not, as a run's scores.csv."""
  if not path:
    return
  if not path.endswith('.csv'):
    raise errors.UserError(f'--output={path}: scores are written as NAME.csv')
  folder = os.path.dirname(path) or '.'
  try:
    os.makedirs(folder, exist_ok=True)
  except OSError as error:
    raise errors.UserError(f'cannot write {path}: {error.strerror or error}') from error
  if not os.access(folder, os.W_OK):
    raise errors.UserError(f'cannot write {path}: {folder} may not be written into')
  try:
    with open(path, encoding='utf-8') as file:
      columns = file.readline().rstrip('\n').split(',')
  except FileNotFoundError:
    return
  except (OSError, UnicodeDecodeError) as error:
    raise errors.UserError(f'--output={path} cannot be replaced: {error}') from error
  if _FINGERPRINT not in columns:
    raise errors.UserError(
      f'--output={path} is there already, and not of this command; name another file'
    )


def measuring_command(arguments: list[str]) -> str:
  """Returns the command that measures with this config, for whoever gets the pictures."""
  kept, takes_next = [], False
  for argument in arguments:
    name, equals, _ = argument.lstrip('-').partition('=')
    if takes_next or (
      argument.startswith('-')
      and name.partition('.')[0] == 'config'
      and name != 'config.data.data_dir'
    ):
      kept.append(argument)
      takes_next = not takes_next and not equals
  for key in ('accuracy', 'identity'):  # networks of whoever measures
    named = [f'config.{key}.network' in argument for argument in kept]
    if not any(named):
      kept.append(f'--config.{key}.network=FILE')
  return shlex.join(['python', '-m', 'maskgan_jax.picture_benchmark', *kept])


def define_flags() -> None:
  """Defines the command's flags."""
  run_config.define_flags()
  flags.DEFINE_string('write', '', 'Folder to write the data into; absent or empty.')
  flags.DEFINE_string(
    'pictures', '', 'Folder of translations to measure, a PNG for each test pair.'
  )
  flags.DEFINE_string(
    'back', '', "Folder of b's pictures with the attribute taken off."
  )
  flags.DEFINE_string('masks', '', "Folder of masks of b's attribute, grey PNG.")
  flags.DEFINE_string(
    'validation_masks',
    '',
    'Folder of the same of the validation pictures of b, to search the threshold.',
  )
  flags.DEFINE_string('source_masks', '', 'Folder of masks of what was changed in a.')
  flags.DEFINE_string('output', '', 'Where the scores go, NAME.csv.')


def main() -> None:
  """Runs the command: one way or the other."""
  arguments = flags.FLAGS
  if bool(arguments.write) == bool(arguments.pictures):
    raise errors.UserError(
      'give either --write=DIR, to get the pictures, or --pictures=DIR, to '
      'have translations measured; see --help'
    )
  for name in _MEASURING if arguments.write else ():
    if arguments[name].value:
      raise errors.UserError(f'--{name} goes with --pictures, not with --write')
  if not arguments.write:
    folders = given_pictures.Folders(
      arguments.pictures,
      arguments.back,
      arguments.masks,
      arguments.validation_masks,
      arguments.source_masks,
    )
  config = run_config.from_flags()
  note = functools.partial(print, file=sys.stderr, flush=True)
  if arguments.write:
    command = measuring_command(sys.argv[1:])
    counts = write(config, arguments.write, command=command, watch=_watch, note=note)
    print(
      f'wrote {sum(counts.values()):,} files into {arguments.write}; README.txt there explains '
      'them'
    )
    return
  results = measure(config, folders, arguments.output, note=note)
  print(evaluators.table(results))
  if arguments.output:
    print(f'wrote {arguments.output}')


def _watch() -> Callable[[], None]:
  """Installs signal handlers; the returned poll() raises Preempted, so that files are removed."""
  return cli.watch(
    'asked to stop; nothing was written, and the same command begins anew'
  )[1]


if __name__ == '__main__':
  define_flags()
  cli.run(main, saves_memory=cli.MEASURING_MEMORY)
