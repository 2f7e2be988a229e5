"""A paper's table: its numbers, and what the runs of this project have in their place.

  python -m maskgan_jax.tables --list
  python -m maskgan_jax.tables --table=egsc_it/2 --workdir=runs
  python -m maskgan_jax.tables --table=egsc_it/2 --workdir=runs --add=quick --train \\
      --override=data.path=DIRECTORY_WITH_MNIST --seeds=0,1,2
  python -m maskgan_jax.tables --table=all --format=csv --noevaluate > tables.csv
  python -m maskgan_jax.tables --table=all --format=cells --noevaluate > cells.csv

Each cell has a config (configs/NAME.py:ARGUMENT). Runs of it are looked for below --workdir,
whatever their folders are called: a run belongs to a cell if its config says so, and runs that
differ in the seed alone become mean and deviation. What is there but was not measured as the table
asks is measured; with --train what is missing is trained first, one run after another, in
WORKDIR/NAME-ARGUMENT; told to stop, or killed, the same command goes on. Whatever has no number
says why not.

--add=quick takes the short version of every config, where it has one, and --override sets a key in
all of them: where data are, which weights measure. Scores of another protocol are kept apart.
--other=NAME=FILE puts below them what picture_benchmark measured of another program's pictures.
"""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import dataclasses
import os
import shlex
import sys
from typing import Any

from absl import flags

from maskgan_jax import cli, errors
from maskgan_jax import config as run_config
from maskgan_jax.runs import measures
from maskgan_jax.tables import cells as table_cells
from maskgan_jax.tables import formats as table_formats
from maskgan_jax.tables import papers as paper_tables

FORMATS = ('markdown', 'csv', 'latex', 'cells')


def fill(name: str, workdir: str, *, add: str = '', overrides: Mapping[str, str] | None = None,
         seeds: Sequence[int] = (), train: bool = False, evaluate: bool = True,
         again: bool = False, command: str = '', strict: bool = True,
         others: Mapping[str, str] | None = None,
         poll: Callable[[], None] = lambda: None,
         note: Callable[[str], None] = print) -> table_formats.Filled:
  """Fills a table; see the module's docstring.

  Args:
    name: of the table, 'egsc_it/2'.
    workdir: the folder below which runs are.
    add: arguments added to every config's.
    overrides: dotted key of the configs -> text.
    seeds: that count, and with `train` are trained; () is all there are, or seed 0.
    train: train what is missing or unfinished.
    evaluate: measure what is there and was not measured.
    again: measure what was measured, too.
    command: to stand below the table.
    strict: UserError if no config of the table has an override's key.
    others: name -> scores file of picture_benchmark: rows below the table's.
    poll: called often; may raise to stop.
    note: told what is done.
  """
  table = paper_tables.get(name)
  plans = table_cells.plan(table, add, overrides, strict, note)
  row_name = table_cells.row_name(table, overrides)
  whys: dict[str, str] = {}
  if train:
    _train(plans, workdir, tuple(seeds) or (0,), row_name, whys, poll, note)
  runs = {own: [run for run in found if not seeds or run.seed in seeds]
          for own, found in table_cells.find(workdir, plans, note).items()}
  asked = {own: _asked(plan.config, table) for own, plan in plans.items()}
  if evaluate:
    for own, found in runs.items():
      wanted = {table_cells.measure_of(row, column) for row in table.rows
                for column in table.columns if table_cells.spec_of(row, column) == own}
      for run in found:
        _measure(run, plans[own], asked[own], wanted, row_name, again, whys, poll, note)
  unfinished = [f'{run.workdir} is at step {step:,} of {run.planned_steps:,}'
                for found in runs.values() for run in found
                if (step := table_cells.furthest(run.workdir)) not in (-1, run.planned_steps)]
  for own, found in runs.items():
    if lacking := sorted(set(seeds) - {run.seed for run in found}) if found else ():
      unfinished.append(f'{plans[own].spec}: there is no run of seed '
                        f'{", ".join(map(str, lacking))}')
  if 'smoke' in add.split(','):
    unfinished.append('SMOKE: a few steps on a few pictures, which shows that it runs; no number '
                      'above says anything')
  specs = [[table_cells.spec_of(row, column) for column in table.columns] for row in table.rows]
  cells = [[table_cells.cell(row, column, row.printed[i] if row.printed else None,
                             plans.get(spec), runs.get(spec, ()), row_name, asked.get(spec), whys)
            for i, (column, spec) in enumerate(zip(table.columns, row_specs, strict=True))]
           for row, row_specs in zip(table.rows, specs, strict=True)]
  for name_of, path in (others or {}).items():
    row, found = table_cells.given(table, name_of, path)
    table = dataclasses.replace(table, rows=(*table.rows, row))
    cells.append(found)
    specs.append([''] * len(found))
  named = [[plans[spec].spec if spec else '' for spec in row_specs] for row_specs in specs]
  return table_formats.Filled(name, table, cells, named, row_name, command,
                              list(dict.fromkeys(unfinished)))


def _asked(config, table) -> dict[str, str]:
  """What rows of scores.csv must say of the settings of a table's evaluators."""
  if config is None:
    return {}
  from maskgan_jax import evaluators
  return {f'{name}_settings': evaluators.protocol(name, config) for name in table.evaluators}


def _train(plans, workdir, seeds, row_name, whys, poll, note) -> None:
  """Trains what is missing, or goes on with what is unfinished, wherever below `workdir` it is."""
  from maskgan_jax import evaluators, experiment, methods
  there = table_cells.find(workdir, plans, lambda line: None)
  planned = {}
  for own, plan in plans.items():
    if plan.config is None:
      note(f'cannot be trained: {plan.why_not}')
      continue
    for name in plan.config.evaluators:
      evaluators.make(name, plan.config)
    methods.make(plan.config)
    found = {run.seed: run.workdir for run in there[own]}
    for seed in seeds:
      folder = found.get(seed) or table_cells.folder(workdir, plan.spec, seed)
      if table_cells.furthest(folder) < plan.config.num_steps:
        planned[folder] = plan, seed
  for i, (folder, (plan, seed)) in enumerate(planned.items(), 1):
    poll()
    note(f'training {i} of {len(planned)}: {plan.spec}, seed {seed}, in {folder}')
    config = plan.config.copy_and_resolve_references()
    with config.unlocked():
      config.seed = seed
      config.command = shlex.join(['python', '-m', 'maskgan_jax.train', f'--config={plan.spec}',
                                   f'--workdir={folder}', f'--config.seed={seed}'])
    try:
      experiment.train(config, folder, poll=poll, row_name=row_name)
    except errors.NotFiniteError as error:  # what there is of it may be measured all the same
      whys[folder] = str(error)
      note(f'going on without {folder}: {error}')


def _measure(run, plan, asked, wanted, row_name, again, whys, poll, note) -> None:
  """Measures the newest and the best checkpoint of a run as the table asks, unless it was done."""
  from maskgan_jax.runs import checkpoints
  with checkpoints.Checkpoints(run.workdir, read_only=True) as saved:
    there = saved.steps()
  if not there:
    whys[run.workdir] = f'{run.workdir} has no checkpoint'
    return
  steps = {there[-1], *({table_cells.best_step(run, row_name)} & set(there))}

  def lacks(step):
    row = table_cells.row_of(run, step, row_name, asked) or {}
    return [name for name in wanted if not measures.is_number(row.get(name))]
  todo = [step for step in sorted(steps) if again or lacks(step)]
  if not todo:
    return
  from maskgan_jax import evaluators  # slow
  from maskgan_jax.data import pipeline
  from maskgan_jax.translator import Translator
  config, told = plan.config.copy_and_resolve_references(), []

  def remember(line):
    told.append(line)
    note(line)
  data = translator = None
  for step in todo:
    poll()
    note(f'measuring {run.workdir}, step {step}')
    try:
      data = data or pipeline.make(config)
      translator = Translator.from_workdir(run.workdir, step, like=translator)
    except errors.UserError as error:
      whys[run.workdir] = str(error)
      return
    try:
      evaluators.measure(translator, data, config, run.workdir, step, poll=poll, note=remember,
                         row_name=row_name)
    except errors.NotFiniteError as error:
      whys[run.workdir] = str(error)
      note(f'step {step} is left out: {error}')
  if run.workdir not in whys and (missing := lacks(todo[-1])):
    known = [line for line in told if 'measures nothing' in line]
    whys[run.workdir] = '; '.join(known) or f'{", ".join(missing)}: no evaluator of it finds any'


def define_flags() -> None:
  """The command's flags."""
  flags.DEFINE_list('table', [], "Tables, e.g. egsc_it/2, with commas between; 'all' for all.")
  flags.DEFINE_bool('list', False, 'Name the tables there are.')
  flags.DEFINE_string('workdir', 'runs', 'The folder below which runs are, and are trained.')
  flags.DEFINE_enum('format', 'markdown', FORMATS, 'How tables are printed; csv: '
                    'all cells in full, cells: those of ours, rounded, as in docs/cells.csv.')
  flags.DEFINE_string('add', '', "Arguments added to every config's, e.g. quick.")
  flags.DEFINE_multi_string('override', [], 'KEY=VALUE for the configs of all cells, e.g. '
                            'data.path=data/celeba; may be given several times.')
  flags.DEFINE_multi_string('other', [], "NAME=FILE: another program's row, FILE of "
                            'picture_benchmark --output; may be given several times.')
  flags.DEFINE_list('seeds', [], 'Seeds that count, with commas between; by default all there are, '
                    'and 0 is trained.')
  flags.DEFINE_bool('train', False, 'Train what is missing first.')
  flags.DEFINE_bool('evaluate', True, 'Measure what is there and was not measured.')
  flags.DEFINE_bool('again', False, 'Measure everything again.')


def main() -> None:
  """The command."""
  given = flags.FLAGS
  known = paper_tables.names()
  if given.list:
    for name in known:
      print(f'{name}: {paper_tables.get(name).title}')
    return
  if not given.table:
    raise errors.UserError('name a table: --table=egsc_it/2, say; --list names them all')
  names = known if 'all' in given.table else list(dict.fromkeys(filter(None, given.table)))
  for name in names:
    paper_tables.get(name)  # a misspelt one is not for the end of training to find
  if '://' in given.workdir:
    raise errors.UserError(f'--workdir={given.workdir} is not a folder of this file system; mount '
                           'the bucket and name its folder')
  if not given.workdir or os.path.exists(given.workdir) and not os.path.isdir(given.workdir):
    raise errors.UserError(f'--workdir={given.workdir} is not a folder')
  if not os.path.isdir(given.workdir) and not given.train and flags.FLAGS['workdir'].present:
    raise errors.UserError(f'there is no folder {given.workdir}; --train makes it')
  _, poll = cli.watch('told to stop; the same command goes on with what is missing')
  filled, overrides = [], _pairs(given.override)
  _check_used(names, given.add, overrides)
  for name in names:
    try:
      with contextlib.redirect_stdout(sys.stderr):  # training tells its progress
        filled.append(fill(
            name, given.workdir, add=given.add, overrides=overrides, seeds=_seeds(given.seeds),
            train=given.train, evaluate=given.evaluate, again=given.again,
            command=_command(name, given), poll=poll, strict=len(names) == 1,
            others=_named(given.other),
            note=lambda line: print(line, file=sys.stderr, flush=True)))
    except errors.UserError as error:
      if len(names) == 1:
        raise
      print(f'{name} is left out: {error}', file=sys.stderr)
  if given.format in ('csv', 'cells'):
    write = table_formats.csv_text if given.format == 'csv' else table_formats.cells
    print(write(filled), end='')
  else:
    write = table_formats.markdown if given.format == 'markdown' else table_formats.latex
    print('\n'.join(write(one) for one in filled), end='')


def _check_used(names: Sequence[str], add: str, overrides: Mapping[str, str]) -> None:
  """UserError for an argument or a key that none of the tables' configs takes."""
  refused, keys, configs = [], set(), 0
  for name in names:
    plans = table_cells.plan(paper_tables.get(name), add, strict=False, note=refused.append)
    configs += bool(plans)
    for planned in plans.values():
      if planned.config is not None:
        keys.update(key for key, _ in run_config.flatten(planned.config))
  if add and refused and len(refused) == configs:
    raise errors.UserError(refused[0].partition(': ')[2])
  for key in overrides if keys else ():
    if key not in keys:
      raise errors.UserError(f'--override={key}=...: no config has that key'
                             f'{errors.nearest(key, keys)}')


def _command(name: str, given: Any) -> str:
  """The command that trains and prints a table."""
  options = [f'--override={text}' for text in given.override]
  options += [f'--{flag}={value}' for flag, value in (('add', given.add),
                                                      ('seeds', ','.join(given.seeds))) if value]
  return shlex.join(['python', '-m', 'maskgan_jax.tables', f'--table={name}',
                     f'--workdir={given.workdir}', '--train', *options])


def _pairs(texts: Sequence[str]) -> dict[str, str]:
  """KEY=VALUE as a dict; UserError for anything else."""
  found: dict[str, str] = {}
  for text in texts:
    key, equals, value = text.partition('=')
    key = key.strip().removeprefix('config.')
    if not key or not equals:
      raise errors.UserError(f'--override={text} is not KEY=VALUE')
    if key == 'seed':
      raise errors.UserError(f'--override={text}: seeds are given with --seeds={value}')
    if found.setdefault(key, value) != value:
      raise errors.UserError(f'--override={key} is given twice, as {found[key]!r} and {value!r}')
  return found


def _named(texts: Sequence[str]) -> dict[str, str]:
  """NAME=FILE as a dict; UserError for anything else."""
  for text in texts:
    name, _, path = text.partition('=')
    if not name or not os.path.isfile(path):
      raise errors.UserError(f'--other={text} is not NAME=FILE, a file of picture_benchmark '
                             '--output')
  return dict(text.split('=', 1) for text in texts)


def _seeds(texts: Sequence[str]) -> tuple[int, ...]:
  """Whole numbers from 0 to 2**31 - 1, each once; UserError for anything else."""
  try:
    seeds = tuple(dict.fromkeys(int(text) for text in texts))
  except ValueError as error:
    raise errors.UserError(f'--seeds={",".join(texts)} are not whole numbers') from error
  if bad := [seed for seed in seeds if not 0 <= seed < 2 ** 31]:
    raise errors.UserError(f'--seeds={",".join(texts)}: {bad[0]} is not from 0 to 2147483647')
  return seeds


if __name__ == '__main__':
  define_flags()
  cli.run(main, saves_memory=cli.TRAINING_MEMORY)
