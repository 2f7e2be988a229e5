"""Trains a config at several values of one of its keys, or takes such runs; draws them together.

  python -m maskgan_jax.sweep --config=configs/circle_square.py --workdir=runs/circle_square
  python -m maskgan_jax.sweep --config=configs/quickstart.py --workdir=runs/cycle \\
      --field=weights.cycle --values=0.1,1,10
  python -m maskgan_jax.sweep --workdir=runs/both --field=weights.mask --runs=runs/one,runs/two

Each value has a run of its own, WORKDIR/FIELD=VALUE. The same command started again goes on where
the last one stopped and leaves alone what is done; SIGTERM and Ctrl-C exit with code 75. A run
that computes NaN is left out and named. WORKDIR then holds sweep.png (inputs, masks and outputs of
each value, as in the additional-mask paper's Figures 4 and 6; sweep_back.png from b to a),
sweep.csv, and sweep.html with the curves.
"""

from collections.abc import Callable, Sequence
import os
import shlex
import sys
from typing import Any

from absl import flags
import ml_collections

from maskgan_jax import cli, errors
from maskgan_jax import config as run_config
from maskgan_jax.sweep import plan


def sweep(
  config: ml_collections.ConfigDict,
  workdir: str,
  *,
  field: str,
  values: Sequence[Any] = (),
  runs: Sequence[str] = (),
  baselines: Sequence[str] = (),
  train: bool = True,
  pairs: int = 6,
  distributed: bool = False,
  poll: Callable[[], None] = lambda: None,
  note: Callable[[str], None] = print,
) -> list[Any]:
  """Trains what is missing, measures what is not measured, and draws; see the module's docstring.

  Arguments are those of the command, `values` also as texts. `poll` is called often between
  trainings and may raise to stop; `note` takes a line on what is done.

  Returns the `page.Run`s that were drawn; none in any process except the first.
  """
  from maskgan_jax.training import parallel

  parallel.initialize_processes(distributed)
  import jax

  from maskgan_jax.sweep import results

  # Whatever can be wrong with any of the runs is found before the first is trained.
  planned = plan.plan(config, workdir, field, values, runs, baselines)
  if train:
    _train([run for run in planned if run.own], field, poll, note)
  if jax.process_index():
    return []
  drawn = _in_order(planned)
  collected = results.collect(drawn, field, pairs=pairs, poll=poll, note=note)
  collected.write(workdir, field, config)
  return collected.runs


def _train(
  planned: Sequence[plan.Planned],
  field: str,
  poll: Callable[[], None],
  note: Callable[[str], None],
) -> None:
  """Trains the runs that are not done; goes on without one that computes NaN."""
  from maskgan_jax import experiment

  for run in planned:
    _check(run)

  # Two values with the same losses are compiled and compared once, before anything is trained.
  checked_weight = False
  for number, run in enumerate(planned, 1):
    poll()
    heading = f'{field}={run.label} ({number} of {len(planned)})'
    if _is_done(run):
      note(f'{heading}: {run.config.num_steps} steps are done already')
      continue
    if not checked_weight and _weighs_nothing(planned, field):
      one, other, *_ = planned
      note(
        f'warning: {field} does nothing here: the losses are the same with {one.label} and '
        f'with {other.label}; see config.variant and the switches of config.model'
      )
    checked_weight = True
    note(f'{heading}: training in {run.workdir}')
    try:
      experiment.train(run.config, run.workdir, poll=poll)
    except errors.NotFiniteError as error:  # a checkpoint before that is drawn
      note(f'going on without {run.label}: {error}')


def _check(run: plan.Planned) -> None:
  """Raises UserError for what training would only find when the runs before this one are done."""
  from maskgan_jax import evaluators, methods
  from maskgan_jax.training import parallel, train_step

  # What a step and its evaluators refuse shows without training.
  config = run.config
  parallel.Parallel(config.parallel).check_batch(config.batch_size, config.accumulate)
  train_step.make_optimizers(methods.make(config), config)
  for name in config.evaluators:
    evaluators.make(name, config)
  if os.path.exists(run.workdir) and not os.path.isdir(run.workdir):
    raise errors.UserError(
      f'{run.workdir} is a file, where a run is to be trained; move it away'
    )


def _weighs_nothing(runs: Sequence[plan.Planned], field: str) -> bool:
  """Returns whether a weight is of a term that is switched off: two values, the same losses."""
  if not field.startswith('weights.') or len(runs) < 2:
    return False
  from maskgan_jax.training import train_step

  one, other = (train_step.losses_text(run.config) for run in runs[:2])
  return one == other


def _is_done(run: plan.Planned) -> bool:
  """Returns whether a run has its report, and its last checkpoint can be read."""
  from maskgan_jax.reports import report
  from maskgan_jax.sweep import results
  from maskgan_jax.translator import Translator

  newest = results.newest_step(run.workdir)
  if newest is None or newest < run.config.num_steps:
    return False
  if not os.path.exists(os.path.join(run.workdir, report.FILE_NAME)):
    return False
  try:
    return Translator.from_workdir(run.workdir).step >= run.config.num_steps
  except errors.UserError:  # training says what is wrong, and mends what can be mended
    return False


def _in_order(planned: Sequence[plan.Planned]) -> list[plan.Planned]:
  """Returns runs with numbers by their size, others as they come; baselines last."""
  varied = [run for run in planned if run.value is not None]
  if all(isinstance(run.value, (int, float)) for run in varied):
    varied.sort(key=lambda run: run.value)
  return varied + [run for run in planned if run.value is None]


def define_flags() -> None:
  """Defines the command's flags; --config and --config.key=value come from maskgan_jax/config."""
  flags.DEFINE_string(
    'workdir', '', 'Folder of the sweep, which holds the runs of its values.'
  )
  flags.DEFINE_string(
    'field',
    '',
    'Key of the config that is varied, e.g. weights.mask; by '
    'default config.sweep.field.',
  )
  flags.DEFINE_string(
    'values',
    None,
    'Its values with commas between; by default '
    'config.sweep.over, or none where there are --runs.',
  )
  flags.DEFINE_list(
    'runs',
    [],
    'Folders of runs to take as they are, with commas between; each '
    'has a value of the field in its config.',
  )
  flags.DEFINE_list(
    'baseline', [], 'Folders of other runs that are to stand beside, by name.'
  )
  flags.DEFINE_bool(
    'train', True, 'Train what is missing; --notrain takes what is there.'
  )
  flags.DEFINE_integer('pairs', 6, 'Rows of the figure.', lower_bound=1)
  flags.DEFINE_bool('distributed', False, "As the train command's.")


def main() -> None:
  """Runs the command."""
  arguments = flags.FLAGS
  cli.require('workdir')
  if '://' in arguments.workdir:
    raise errors.UserError(
      f'--workdir={arguments.workdir} is not a folder of this file system; '
      'mount the bucket and name its folder'
    )

  # The flags of the command come before the keys of the config.
  config = _config(arguments)
  field = (arguments.field or config.sweep.field).removeprefix('config.')
  if not field:
    raise errors.UserError(
      'no key to vary: add --field=weights.mask, say, or set config.sweep.field'
    )
  values = _values(arguments, config)
  if not values and not arguments.runs:
    raise errors.UserError(
      f'no values for {field}: add --values=0.01,1,10, say, or set config.sweep.over'
    )

  _, poll = cli.watch('stopped; the same command goes on with what is missing')
  sweep(
    config,
    arguments.workdir,
    field=field,
    values=values,
    runs=arguments.runs,
    baselines=arguments.baseline,
    train=arguments.train,
    pairs=arguments.pairs,
    distributed=arguments.distributed,
    poll=poll,
    note=lambda line: print(line, flush=True),
  )


def _config(arguments: flags.FlagValues) -> ml_collections.ConfigDict:
  """Returns the config of the command line; where runs alone are taken, that of the first."""
  if not arguments.runs or arguments.config is not None:
    return run_config.from_flags()
  config = run_config.load(arguments.runs[0])
  config.name = os.path.basename(os.path.abspath(arguments.workdir))
  config.command = shlex.join(['python', '-m', 'maskgan_jax.sweep', *sys.argv[1:]])
  if arguments.values is not None:
    raise errors.UserError(
      '--values are trained, which needs a --config; --runs alone does not'
    )
  return config


def _values(
  arguments: flags.FlagValues, config: ml_collections.ConfigDict
) -> Sequence[Any]:
  """Returns the values to train, none where only runs are taken."""
  if arguments.values is not None:
    return arguments.values.split(',') if arguments.values.strip() else ()
  return () if arguments.runs else config.sweep.over


if __name__ == '__main__':
  define_flags()
  run_config.define_flags()
  cli.run(main, saves_memory=cli.TRAINING_MEMORY)
