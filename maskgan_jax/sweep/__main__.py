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
import math
import os
import shlex
import sys
from typing import Any

from absl import flags
import ml_collections

from maskgan_jax import cli, errors
from maskgan_jax import config as run_config
from maskgan_jax.runs import measures
from maskgan_jax.sweep import plan as sweep_plans

_MEANINGS = (
    'mask: what is added to the input, grey is no change; or, for a method that adds nothing, '
    'where it is changed. output: the translation. truth: the right answer, which training never '
    'sees.')


def sweep(config: ml_collections.ConfigDict, workdir: str, *, field: str,
          values: Sequence[Any] = (), runs: Sequence[str] = (), baselines: Sequence[str] = (),
          train: bool = True, pairs: int = 6, distributed: bool = False,
          poll: Callable[[], None] = lambda: None,
          note: Callable[[str], None] = print) -> list[Any]:
  """Trains what is missing, measures what is not measured, and draws; see the module's docstring.

  Args:
    config: of the values' runs.
    workdir: folder of the sweep.
    field: dotted key of the config.
    values: of the field, or texts of them: a run each.
    runs: folders of runs to take as they are, beside those of the values.
    baselines: folders of runs that have no value of the field, to stand beside.
    train: False only takes what is there.
    pairs: rows of the figure.
    distributed: as the train command's flag.
    poll: called often between trainings; may raise to stop.
    note: told what is done.
  Returns:
    The `sweeps.Run`s that were drawn; empty in any process but the first.
  """
  from maskgan_jax.training import parallel
  parallel.initialize_processes(distributed)
  import jax
  planned = sweep_plans.plan(config, workdir, field, values, runs, baselines)

  from maskgan_jax import experiment
  own = [run for run in planned if run.own] if train else []
  for run in own:
    _check(run)
  checked = False
  for i, run in enumerate(own, 1):
    poll()
    if _is_done(run):
      note(f'{field}={run.label} ({i} of {len(own)}): {run.config.num_steps} steps are done '
           'already')
      continue
    if not checked and _weighs_nothing(own, field):
      note(f'warning: {field} does nothing here: the losses are the same with {own[0].label} and '
           f'with {own[1].label}; see config.variant and the switches of config.model')
    checked = True
    note(f'{field}={run.label} ({i} of {len(own)}): training in {run.workdir}')
    try:
      experiment.train(run.config, run.workdir, poll=poll)
    except errors.NotFiniteError as error:  # `_draw` takes what there is of it
      note(f'going on without {run.label}: {error}')
  if jax.process_index():
    return []
  return _draw(_in_order(planned), workdir, field, config, pairs, poll, note)


def _check(run: sweep_plans.Planned) -> None:
  """UserError for what training would only find when the runs before this one are trained."""
  from maskgan_jax import evaluators, methods
  from maskgan_jax.training import parallel, train_step
  config = run.config
  parallel.Parallel(config.parallel).check_batch(config.batch_size, config.accumulate)
  train_step.make_optimizers(methods.make(config), config)
  for name in config.evaluators:
    evaluators.make(name, config)
  if os.path.exists(run.workdir) and not os.path.isdir(run.workdir):
    raise errors.UserError(f'{run.workdir} is a file, where a run is to be trained; move it away')


def _weighs_nothing(runs: Sequence[sweep_plans.Planned], field: str) -> bool:
  """Returns whether a weight is of a term that is switched off: two values, the same losses."""
  if not field.startswith('weights.') or len(runs) < 2:
    return False
  from maskgan_jax.training import train_step
  one, other = (train_step.losses_text(run.config) for run in runs[:2])
  return one == other


def _is_done(run: sweep_plans.Planned) -> bool:
  """Whether a run has its last checkpoint, one that can be read, and its report."""
  from maskgan_jax.runs import report
  from maskgan_jax.translator import Translator
  newest = _newest(run.workdir)
  if newest is None or newest < run.config.num_steps or not os.path.exists(
      os.path.join(run.workdir, report.FILE_NAME)):
    return False
  try:
    return Translator.from_workdir(run.workdir).step >= run.config.num_steps
  except errors.UserError:  # training says what is wrong, and mends what can be mended
    return False


def _newest(workdir: str) -> int | None:
  """The newest checkpoint's step, or None."""
  from maskgan_jax.runs import checkpoints
  if not os.path.isdir(workdir):
    return None
  with checkpoints.Checkpoints(workdir, read_only=True) as saved:
    return saved.latest()


def _in_order(planned: Sequence[sweep_plans.Planned]) -> list[sweep_plans.Planned]:
  """Numbers by their size, others as they come; baselines last."""
  varied = [run for run in planned if run.value is not None]
  if all(isinstance(run.value, (int, float)) for run in varied):
    varied.sort(key=lambda run: run.value)
  return varied + [run for run in planned if run.value is None]


def _draw(planned, workdir, field, config, pairs, poll, note):
  """Opens every run, measures it if need be, and writes the files of the sweep."""
  from maskgan_jax.runs import pictures
  from maskgan_jax.sweep import page as sweeps
  notes, data = [], _Data()

  def remark(line):
    notes.append(line)
    note(line)

  batch = split = None
  found, exemplar, digests, failed = [], False, {}, []
  translations = {direction: {} for direction in sweeps.FIGURES}
  for run in planned:
    poll()
    if _newest(run.workdir) is None:
      remark(f'{run.label} is missing: {run.workdir} has no checkpoint')
      continue
    try:
      translator, row = _opened(run, data, poll, note)
      if not split:
        batch, split = _pictures(data.of(run.config), pairs)
      drawn = _translations(translator, batch) if batch else {}
    except errors.NotFiniteError as error:
      failed.append(error)
      remark(f'{run.label} is left out: {error}')
      continue
    if translator.step < run.config.num_steps:
      remark(f'{run.label} is at step {translator.step} of {run.config.num_steps}')
    found.append(sweeps.Run(run.label, run.value, run.workdir, translator.step, row))
    if run.value is not None:
      digests.setdefault((translator.step, translator.digest()), []).append(run.label)
    exemplar = exemplar or 'exemplar' in translator.abilities
    for direction, translation in drawn.items():
      translations[direction][run.label] = translation
  if not found and failed:
    raise failed[0]
  if not found:
    raise errors.UserError('no run of this sweep has a checkpoint: there is nothing to draw')
  there = {run.workdir for run in found}
  for line in (*sweep_plans.differences([run for run in planned if run.workdir in there], field),
               *_alike(digests.values(), field), *_unmeasured(found), *_other_pictures(found)):
    remark(line)

  for direction, results in translations.items():
    path = os.path.join(workdir, sweeps.FIGURES[direction])
    if results:
      title = f'{config.name}: {field}, {split} pictures'
      pictures.save(path, sweeps.figure(batch, results, direction, title=title, exemplar=exemplar),
                    description=f'Columns by {field}. {_MEANINGS}')
    elif os.path.exists(path):
      os.remove(path)  # of an earlier sweep; the page would show it
  numbers = sweeps.write_csv(workdir, found)
  page = sweeps.write_page(workdir, found, name=config.name, field=field, method=config.method,
                           command=config.command, notes=notes)
  figure = os.path.join(workdir, sweeps.FIGURES['ab'])
  parts = [sweeps.table(found, field), f'Figure: {figure}. Numbers: {numbers}. Page: {page}']
  note('\n' + '\n\n'.join(part for part in parts if part))
  return found


def _translations(translator: Any, batch: dict[str, Any]) -> dict[str, Any]:
  """What a model makes of the pictures in each direction that it goes."""
  guided = 'exemplar' in translator.abilities
  return {direction: translator(batch[direction[0]], batch[direction[1]] if guided else None,
                                reverse=direction == 'ba')
          for direction in ('ab', 'ba')[:1 + ('reverse' in translator.abilities)]}


def _opened(run: sweep_plans.Planned, data: '_Data', poll, note) -> tuple[Any, dict[str, Any]]:
  """(translator, row of scores.csv) of the newest checkpoint, measured unless it was."""
  from maskgan_jax import evaluators
  from maskgan_jax.runs import report, scores
  from maskgan_jax.translator import Translator
  translator = Translator.from_workdir(run.workdir)
  last = {'split': evaluators.SPLIT, 'step': translator.step}
  if run.config.evaluators and not scores.latest(run.workdir, **last):
    note(f'measuring {run.workdir}, step {translator.step}')
    reasons = []

    def remember(line):
      reasons.append(line)
      note(line)
    evaluators.measure(translator, data.of(run.config), run.config, run.workdir, translator.step,
                       poll=poll, note=remember)
    report.write(run.workdir, {'unmeasured': reasons})
  return translator, scores.latest(run.workdir, **last) or {}


class _Data:
  """The data of configs, opened once where several runs have the same."""

  def __init__(self):
    self._found = {}

  def of(self, config: ml_collections.ConfigDict) -> Any:
    from maskgan_jax.data import pipeline
    key = (config.data.to_json(sort_keys=True), config.image_size, config.image_width, config.seed)
    if key not in self._found:
      self._found[key] = pipeline.make(config)
    return self._found[key]


def _pictures(data: Any, pairs: int) -> tuple[dict[str, Any] | None, str]:
  """The first pairs of the test split, or of the validation split; None if both are empty."""
  for split in ('test', 'validation'):
    try:
      batch = next(iter(data.evaluation(split, batch_size=pairs, max_pairs=pairs)), None)
    except errors.UserError:
      continue
    if batch is not None:
      return {name: value[batch['valid']] for name, value in batch.items()
              if name in ('a', 'b', 'truth_ab', 'truth_ba')}, split
  return None, ''


def _alike(groups, field) -> list[str]:
  """Returns a sentence for the values whose runs have come to the very same parameters."""
  return [f'{field} had no effect on training: the runs of {", ".join(labels)} have the same '
          'parameters, bit for bit' for labels in groups if len(labels) > 1]


def _unmeasured(found) -> list[str]:
  """A sentence for each run that lacks a measure of changes that another one has."""
  lines = []
  for run in found:
    missing = [name for name in ('ab_changed_share', 'ab_error')
               if name not in run.row and any(name in other.row for other in found)]
    if missing:
      lines.append(f'{run.workdir} has no {" and no ".join(missing)}; python -m '
                   f'maskgan_jax.evaluate --workdir={run.workdir} --once --again '
                   '--config.evaluators=changes measures it')
  return lines


def _other_pictures(found) -> list[str]:
  """A sentence for each run of which even what no model has a part in was measured otherwise."""
  lines = []
  for run in found[1:]:
    names = [name for name, value in found[0].row.items()
             if name.startswith(('pairs', 'truth_', 'do_nothing_'))
             and measures.is_number(value) and measures.is_number(run.row.get(name))
             and not math.isclose(value, run.row[name], rel_tol=1e-3)
             and not (math.isnan(value) and math.isnan(run.row[name]))]
    if names:
      now, before = (f'{row[names[0]]:.4g}' for row in (run.row, found[0].row))
      lines.append(f'{run.workdir} was measured on other pictures than {found[0].workdir}: its '
                   f'{names[0]} is {now}, not {before}')
  return lines


def define_flags() -> None:
  """The command's flags; --config and --config.key=value come from maskgan_jax/config."""
  flags.DEFINE_string('workdir', '', 'Folder of the sweep, which holds the runs of its values.')
  flags.DEFINE_string('field', '', 'Key of the config that is varied, e.g. weights.mask; by '
                      'default config.sweep.field.')
  flags.DEFINE_string('values', None, 'Its values with commas between; by default '
                      'config.sweep.over, or none where there are --runs.')
  flags.DEFINE_list('runs', [], 'Folders of runs to take as they are, with commas between; each '
                    'has a value of the field in its config.')
  flags.DEFINE_list('baseline', [], 'Folders of other runs that are to stand beside, by name.')
  flags.DEFINE_bool('train', True, 'Train what is missing; --notrain takes what is there.')
  flags.DEFINE_integer('pairs', 6, 'Rows of the figure.', lower_bound=1)
  flags.DEFINE_bool('distributed', False, "As the train command's.")


def main() -> None:
  """The command."""
  given = flags.FLAGS
  cli.require('workdir')
  if '://' in given.workdir:
    raise errors.UserError(f'--workdir={given.workdir} is not a folder of this file system; mount '
                           'the bucket and name its folder')
  if given.runs and given.config is None:
    config = run_config.load(given.runs[0])
    config.name = os.path.basename(os.path.abspath(given.workdir))
    config.command = shlex.join(['python', '-m', 'maskgan_jax.sweep', *sys.argv[1:]])
    if given.values is not None:
      raise errors.UserError('--values are trained, which needs a --config; --runs alone does not')
  else:
    config = run_config.from_flags()
  field = (given.field or config.sweep.field).removeprefix('config.')
  if not field:
    raise errors.UserError('no key to vary: add --field=weights.mask, say, or set '
                           'config.sweep.field')
  values = () if given.runs else config.sweep.over
  if given.values is not None:
    values = given.values.split(',') if given.values.strip() else ()
  if not values and not given.runs:
    raise errors.UserError(f'no values for {field}: add --values=0.01,1,10, say, or set '
                           'config.sweep.over')
  _, poll = cli.watch('told to stop; the same command goes on with what is missing')
  sweep(config, given.workdir, field=field, values=values, runs=given.runs,
        baselines=given.baseline, train=given.train, pairs=given.pairs,
        distributed=given.distributed, poll=poll, note=lambda line: print(line, flush=True))


if __name__ == '__main__':
  define_flags()
  run_config.define_flags()
  cli.run(main, saves_memory=cli.TRAINING_MEMORY)
