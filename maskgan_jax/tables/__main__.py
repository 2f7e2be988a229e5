"""Prints a paper's tables: its numbers, and what the runs of this project have in their place.

  python -m maskgan_jax.tables --list
  python -m maskgan_jax.tables --table=egsc_it/2 --workdir=runs
  python -m maskgan_jax.tables --table=egsc_it/2 --workdir=runs --add=quick --train \\
      --override=data.path=DIRECTORY_WITH_MNIST --seeds=0,1,2
  python -m maskgan_jax.tables --table=all --format=csv --noevaluate > tables.csv
  python -m maskgan_jax.tables --table=all --format=cells --noevaluate > cells.csv

Each cell has a config (configs/NAME.py:ARGUMENT). Runs of it are looked for below --workdir,
whatever their folders are called: a run belongs to a cell if its config says so, and runs that
differ in the seed alone become mean and deviation. A run that was not measured as the table asks is
measured; with --train missing runs are trained first, one after another, in WORKDIR/NAME-ARGUMENT.
After a stop or a kill, the same command goes on. A cell without a number says why.

--add=quick takes the short version of every config, where it has one, and --override sets a key in
all of them: where data are, which weights measure. Scores of another protocol are kept apart:
settings of the measuring are part of the name of a row in scores.csv ('test,
distribution.real=source'). --other=NAME=FILE puts below the table what picture_benchmark measured
of another program's pictures.
"""

from collections.abc import Mapping, Sequence
import contextlib
import os
import shlex
import sys
from typing import Any

from absl import flags

from maskgan_jax import cli, errors
from maskgan_jax import config as run_config
from maskgan_jax.evaluators.base import Reporter
from maskgan_jax.tables import csv_files, filling, formats, papers, plans

FORMATS = ('markdown', 'csv', 'latex', 'cells')


def define_flags() -> None:
  """The command's flags."""
  flags.DEFINE_list(
    'table', [], "Tables, e.g. egsc_it/2, with commas between; 'all' for all."
  )
  flags.DEFINE_bool('list', False, 'Name the tables there are.')
  flags.DEFINE_string(
    'workdir', 'runs', 'The folder below which runs are, and are trained.'
  )
  flags.DEFINE_enum(
    'format',
    'markdown',
    FORMATS,
    'How tables are printed; csv: '
    'all cells in full, cells: those of ours, rounded, as in docs/cells.csv.',
  )
  flags.DEFINE_string('add', '', "Arguments added to every config's, e.g. quick.")
  flags.DEFINE_multi_string(
    'override',
    [],
    'KEY=VALUE for the configs of all cells, e.g. '
    'data.path=data/celeba; may be given several times.',
  )
  flags.DEFINE_multi_string(
    'other',
    [],
    "NAME=FILE: another program's row, FILE of "
    'picture_benchmark --output; may be given several times.',
  )
  flags.DEFINE_list(
    'seeds',
    [],
    'Seeds that count, with commas between; by default all there are, '
    'and 0 is trained.',
  )
  flags.DEFINE_bool('train', False, 'Train what is missing first.')
  flags.DEFINE_bool('evaluate', True, 'Measure what is there and was not measured.')
  flags.DEFINE_bool('again', False, 'Measure everything again.')


def main() -> None:
  """Runs the command."""
  arguments = flags.FLAGS
  if arguments.list:
    for name in papers.names():
      print(f'{name}: {papers.get(name).title}')
    return
  names = _names(arguments.table)
  _check_workdir(arguments)
  _, poll = cli.watch('asked to stop; the same command goes on with what is missing')
  overrides = _overrides(arguments.override)
  _check_used(names, arguments.add, overrides)
  seeds, others = _seeds(arguments.seeds), _others(arguments.other)

  # Tables go to stdout; what training and measuring say goes to stderr.
  tables = []
  reporter = Reporter(poll, lambda line: print(line, file=sys.stderr, flush=True))
  for name in names:
    request = filling.Request(
      add=arguments.add,
      overrides=overrides,
      seeds=seeds,
      train=arguments.train,
      evaluate=arguments.evaluate,
      again=arguments.again,
      strict=len(names) == 1,
      others=others,
      command=_command(name, arguments),
    )
    try:
      with contextlib.redirect_stdout(sys.stderr):
        tables.append(filling.fill(name, arguments.workdir, request, reporter))
    except errors.UserError as error:
      if len(names) == 1:
        raise
      print(f'{name} is left out: {error}', file=sys.stderr)
  print(_formatted(tables, arguments.format), end='')


def _formatted(tables: Sequence, name: str) -> str:
  if name == 'csv':
    return csv_files.full(tables)
  if name == 'cells':
    return csv_files.cells(tables)
  write = formats.markdown if name == 'markdown' else formats.latex
  return '\n'.join(write(table) for table in tables)


def _names(texts: Sequence[str]) -> list[str]:
  """Returns the tables that are asked for; UserError for unknown ones."""
  if not texts:
    raise errors.UserError(
      'name a table: --table=egsc_it/2, say; --list names them all'
    )
  names = list(dict.fromkeys(filter(None, texts)))
  if 'all' in texts:
    names = papers.names()
  for name in names:
    papers.get(name)  # a misspelt one is reported before anything is trained
  return names


def _check_workdir(arguments: Any) -> None:
  workdir = arguments.workdir
  if '://' in workdir:
    raise errors.UserError(
      f'--workdir={workdir} is not a folder of this file system; mount the '
      'bucket and name its folder'
    )
  if not workdir or os.path.exists(workdir) and not os.path.isdir(workdir):
    raise errors.UserError(f'--workdir={workdir} is not a folder')
  # The default folder may be absent: then there are no runs.
  named = flags.FLAGS['workdir'].present
  if named and not arguments.train and not os.path.isdir(workdir):
    raise errors.UserError(f'there is no folder {workdir}; --train makes it')


def _check_used(names: Sequence[str], add: str, overrides: Mapping[str, str]) -> None:
  """Raises UserError for an argument or a key that none of the tables' configs takes."""
  # A key or argument that one table lacks may serve another.
  refusals, keys, tables_with_configs = [], set(), 0
  for name in names:
    planned = plans.plan(papers.get(name), add, strict=False, note=refusals.append)
    tables_with_configs += bool(planned)
    for plan in planned.values():
      if plan.config is not None:
        keys.update(key for key, _ in run_config.flatten(plan.config))
  if add and refusals and len(refusals) == tables_with_configs:
    raise errors.UserError(refusals[0].partition(': ')[2])
  for key in overrides if keys else ():
    if key not in keys:
      raise errors.UserError(
        f'--override={key}=...: no config has that key{errors.nearest(key, keys)}'
      )


def _command(name: str, arguments: Any) -> str:
  """Returns the command that trains and prints a table."""
  # The words are quoted for a shell, so that the line can be pasted.
  words = ['python', '-m', 'maskgan_jax.tables', f'--table={name}']
  words += [f'--workdir={arguments.workdir}', '--train']
  words += [f'--override={text}' for text in arguments.override]
  if arguments.add:
    words.append(f'--add={arguments.add}')
  if arguments.seeds:
    words.append(f'--seeds={",".join(arguments.seeds)}')
  return shlex.join(words)


def _overrides(texts: Sequence[str]) -> dict[str, str]:
  """Returns KEY=VALUE as a dict; UserError for anything else."""
  overrides: dict[str, str] = {}
  for text in texts:
    key, equals, value = text.partition('=')
    key = key.strip().removeprefix('config.')
    if not key or not equals:
      raise errors.UserError(f'--override={text} is not KEY=VALUE')
    if key == 'seed':
      raise errors.UserError(f'--override={text}: seeds are given with --seeds={value}')
    if overrides.setdefault(key, value) != value:
      raise errors.UserError(
        f'--override={key} is given twice, as {overrides[key]!r} and {value!r}'
      )
  return overrides


def _others(texts: Sequence[str]) -> dict[str, str]:
  """Returns NAME=FILE as a dict; UserError for anything else."""
  others = {}
  for text in texts:
    name, _, path = text.partition('=')
    if not name or not os.path.isfile(path):
      raise errors.UserError(
        f'--other={text} is not NAME=FILE, a file of picture_benchmark --output'
      )
    others[name] = path
  return others


def _seeds(texts: Sequence[str]) -> tuple[int, ...]:
  """Returns whole numbers from 0 to 2**31 - 1, each once; UserError for anything else."""
  try:
    seeds = tuple(dict.fromkeys(int(text) for text in texts))
  except ValueError as error:
    raise errors.UserError(
      f'--seeds={",".join(texts)} are not whole numbers'
    ) from error
  for seed in seeds:
    if not 0 <= seed < 2**31:
      raise errors.UserError(
        f'--seeds={",".join(texts)}: {seed} is not from 0 to 2147483647'
      )
  return seeds


if __name__ == '__main__':
  define_flags()
  cli.run(main, saves_memory=cli.TRAINING_MEMORY)
