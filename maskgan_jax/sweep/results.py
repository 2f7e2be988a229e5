"""Opens the runs of a sweep: what was measured of each, and what it makes of the same pictures."""

from collections.abc import Callable, Mapping, Sequence
import math
import os
from typing import Any

import ml_collections
import numpy as np

from maskgan_jax import errors, evaluators
from maskgan_jax.data import images, pipeline
from maskgan_jax.reports import report
from maskgan_jax.runs import checkpoints, measures, scores
from maskgan_jax.sweep import page, plan
from maskgan_jax.translator import Translator

# Beginnings of columns in which no model has a part.
_OF_THE_DATA = ('pairs', 'truth_', 'do_nothing_')


class Results:
  """What the runs of a sweep have come to.

  Attributes:
    runs: those that have a checkpoint.
    batch: uint8 a, b, and perhaps truth_ab, truth_ba, which all runs translate; None without any.
    split: of these pictures; ''.
    translations: of the batch, by direction and label.
    guided: whether any run takes exemplars.
    change: name of the extra of translations that shows the change, or ''.
    notes: what a reader has to know, a sentence each.
    say: shows a line to the user.
  """

  def __init__(self, note: Callable[[str], None]):
    self.say = note
    self.runs: list[page.Run] = []
    self.batch: dict[str, np.ndarray] | None = None
    self.split = ''
    self.translations: dict[str, dict[str, Any]] = {
      direction: {} for direction in page.FIGURES
    }
    self.guided = False
    self.change = ''
    self.notes: list[str] = []
    self._labels_by_parameters: dict[Any, list[str]] = {}

  def remark(self, line: str) -> None:
    """Says something to the user, and to the readers of the page."""
    self.notes.append(line)
    self.say(line)

  def add(
    self,
    planned: plan.Planned,
    translator: Translator,
    row: Mapping[str, Any],
    translations: Mapping[str, Any],
  ) -> None:
    """Takes in a run, its scores, and its translations of the batch by direction."""
    if translator.step < planned.config.num_steps:
      self.remark(
        f'{planned.label} is at step {translator.step} of {planned.config.num_steps}'
      )
    run = page.Run(planned.label, planned.value, planned.workdir, translator.step, row)
    self.runs.append(run)

    # Two values with the same parameters show that the field does nothing.
    if planned.value is not None:
      parameters = translator.step, translator.digest()
      self._labels_by_parameters.setdefault(parameters, []).append(planned.label)
    self.guided |= 'exemplar' in translator.abilities
    self.change = translator.method.change_extra or self.change
    for direction, translation in translations.items():
      self.translations[direction][planned.label] = translation

  def compare(self, planned: Sequence[plan.Planned], field: str) -> None:
    """Says what makes a curve through these runs say less than it seems to."""
    workdirs = {run.workdir for run in self.runs}
    opened = [run for run in planned if run.workdir in workdirs]
    for line in (
      *plan.differences(opened, field),
      *self._alike(field),
      *_unmeasured(self.runs),
      *other_pictures(self.runs),
    ):
      self.remark(line)

  def _alike(self, field: str) -> list[str]:
    """Returns a sentence for values whose runs have come to the very same parameters."""
    lines = []
    for labels in self._labels_by_parameters.values():
      if len(labels) > 1:
        lines.append(
          f'{field} had no effect on training: the runs of {", ".join(labels)} have '
          'the same parameters, bit for bit'
        )
    return lines

  def write(self, workdir: str, field: str, config: ml_collections.ConfigDict) -> None:
    """Writes the files of the sweep, and shows its table."""
    for direction, translations in self.translations.items():
      path = os.path.join(workdir, page.FIGURES[direction])
      if translations:
        figure = page.figure(
          self.batch,
          translations,
          direction,
          exemplar=self.guided,
          change=self.change,
          title=f'{config.name}: {field}, {self.split} pictures',
        )
        images.save_png(
          path, figure, description=f'Columns by {field}. {page.MEANINGS}'
        )
      elif os.path.exists(path):
        os.remove(path)  # of an earlier sweep; the page would show it

    # The page comes last: it shows the figures.
    csv_path = page.write_csv(workdir, self.runs)
    page_path = page.write_page(
      workdir,
      self.runs,
      name=config.name,
      field=field,
      method=config.method,
      command=config.command,
      notes=self.notes,
    )
    figure_path = os.path.join(workdir, page.FIGURES['ab'])
    files_line = f'Figure: {figure_path}. Numbers: {csv_path}. Page: {page_path}'
    table = page.table(self.runs, field)
    self.say('\n' + (f'{table}\n\n{files_line}' if table else files_line))


def collect(
  planned: Sequence[plan.Planned],
  field: str,
  *,
  pairs: int,
  poll: Callable[[], None],
  note: Callable[[str], None],
) -> Results:
  """Opens every run that has a checkpoint, and measures it if need be.

  Args:
    planned: the runs, in the order of the figure.
    field: that is varied.
    pairs: of pictures that each run translates.
    poll: called before each run; may raise to stop.
    note: takes a line on what is done.
  """
  results, data, failures = Results(note), _Data(), []
  for run in planned:
    poll()
    if newest_step(run.workdir) is None:
      results.remark(f'{run.label} is missing: {run.workdir} has no checkpoint')
      continue
    try:
      _take_in(results, run, data, pairs=pairs, poll=poll)
    except errors.NotFiniteError as error:
      failures.append(error)
      results.remark(f'{run.label} is left out: {error}')

  # A run that computes NaN is an error only where no other one is left.
  if not results.runs and failures:
    raise failures[0]
  if not results.runs:
    raise errors.UserError(
      'no run of this sweep has a checkpoint: there is nothing to draw'
    )
  results.compare(planned, field)
  return results


def _take_in(
  results: Results,
  run: plan.Planned,
  data: '_Data',
  *,
  pairs: int,
  poll: Callable[[], None],
) -> None:
  """Opens a run, measures it if need be, and adds it and its translations to the results."""
  translator, row = _open(run, data, poll, results.say)
  # All runs translate the pictures of the first one.
  if not results.split:
    results.batch, results.split = first_pictures(data.of(run.config), pairs)
  translations = {}
  if results.batch:
    translations = _translate(translator, results.batch)
  results.add(run, translator, row, translations)


def newest_step(workdir: str) -> int | None:
  """Returns the newest checkpoint's step, or None."""
  if not os.path.isdir(workdir):
    return None
  with checkpoints.Checkpoints(workdir, read_only=True) as saved:
    return saved.latest()


def _open(
  run: plan.Planned, data: '_Data', poll, note
) -> tuple[Translator, dict[str, Any]]:
  """Returns the newest model and its row of scores.csv, which is measured unless it is there."""
  translator = Translator.from_workdir(run.workdir)
  last = {'split': evaluators.SPLIT, 'step': translator.step}
  if run.config.evaluators and not scores.latest(run.workdir, **last):
    note(f'measuring {run.workdir}, step {translator.step}')
    reasons = []  # why an evaluator measures nothing; the run's report says it too

    def remember(line):
      reasons.append(line)
      note(line)

    evaluators.measure(
      translator,
      data.of(run.config),
      run.config,
      run.workdir,
      translator.step,
      poll=poll,
      note=remember,
    )
    report.write(run.workdir, {'unmeasured': reasons})
  return translator, scores.latest(run.workdir, **last) or {}


def _translate(
  translator: Translator, batch: Mapping[str, np.ndarray]
) -> dict[str, Any]:
  """Returns what a model makes of the pictures in each direction that it can translate in."""
  # Every method translates from a to b.
  directions = ['ab']
  if 'reverse' in translator.abilities:
    directions.append('ba')
  translations = {}
  for direction in directions:
    source, target = batch[direction[0]], batch[direction[1]]
    exemplar = target if 'exemplar' in translator.abilities else None
    translations[direction] = translator(source, exemplar, reverse=direction == 'ba')
  return translations


class _Data:
  """The data of configs, opened once where several runs have the same."""

  def __init__(self):
    self._opened: dict[Any, pipeline.Data] = {}

  def of(self, config: ml_collections.ConfigDict) -> pipeline.Data:
    """Returns the data of a config."""
    # Runs of a sweep mostly share their data, which are opened once.
    key = (
      config.data.to_json(sort_keys=True),
      config.image_size,
      config.image_width,
      config.seed,
    )
    if key not in self._opened:
      self._opened[key] = pipeline.make(config)
    return self._opened[key]


def first_pictures(
  data: pipeline.Data, pairs: int
) -> tuple[dict[str, np.ndarray] | None, str]:
  """Returns the first pairs of the test split, else of validation, and the name of the split.

  (None, '') if both are empty.
  """
  for split in ('test', 'validation'):
    try:
      batches = data.evaluation(split, batch_size=pairs, max_pairs=pairs)
      batch = next(iter(batches), None)
    except errors.UserError:  # the split is empty
      continue
    if batch is not None:
      names = [name for name in ('a', 'b', 'truth_ab', 'truth_ba') if name in batch]
      return {name: batch[name][batch['valid']] for name in names}, split
  return None, ''


def _unmeasured(runs: Sequence[page.Run]) -> list[str]:
  """Returns a sentence for each run that lacks a measure of changes that another one has."""
  measured = {name for run in runs for name in run.row}
  lines = []
  for run in runs:
    missing = []
    for name in ('ab_changed_share', 'ab_error'):
      if name in measured and name not in run.row:
        missing.append(name)
    if missing:
      lines.append(
        f'{run.workdir} has no {" and no ".join(missing)}; python -m '
        f'maskgan_jax.evaluate --workdir={run.workdir} --once --again '
        '--config.evaluators=changes measures it'
      )
  return lines


def other_pictures(runs: Sequence[page.Run]) -> list[str]:
  """Returns a sentence for each run that was measured on other pictures than the first one.

  Such a run differs even in the columns in which no model has a part.
  """
  lines, first = [], runs[0]
  for run in runs[1:]:
    for name in first.row:
      is_of_data = name.startswith(_OF_THE_DATA)
      if is_of_data and _differ(first.row[name], run.row.get(name)):
        lines.append(
          f'{run.workdir} was measured on other pictures than {first.workdir}: its '
          f'{name} is {run.row[name]:.4g}, not {first.row[name]:.4g}'
        )
        break
  return lines


def _differ(one: Any, other: Any) -> bool:
  """Returns whether two numbers of scores differ by more than rounding."""
  if not measures.is_number(one) or not measures.is_number(other):
    return False
  if math.isnan(one) and math.isnan(other):
    return False
  return not math.isclose(one, other, rel_tol=1e-3)
