"""Fills a paper's table: trains what is missing, measures what is not measured, reads the rest."""

from collections.abc import Mapping, Sequence
import dataclasses
import shlex

from maskgan_jax import errors, evaluators, experiment, methods
from maskgan_jax.data import pipeline
from maskgan_jax.evaluators.base import Reporter
from maskgan_jax.runs import checkpoints, measures, scores
from maskgan_jax.tables import measured, papers, plans
from maskgan_jax.tables.cells import Cell, Filled, NOT_MEASURED, NOT_TRAINED
from maskgan_jax.tables.measured import Run
from maskgan_jax.tables.papers import base
from maskgan_jax.translator import Translator


@dataclasses.dataclass(frozen=True)
class Request:
  """What is asked of a table.

  Attributes:
    add: arguments added to every config's.
    overrides: dotted key of the configs -> text.
    seeds: that count, and that are trained; () is all there are, or seed 0.
    train: train what is missing or unfinished.
    evaluate: measure what is not measured.
    again: measure what was measured, too.
    strict: raise UserError if no config of the table has an override's key.
    others: name -> scores file of picture_benchmark: rows below the table's.
    command: what stands below the table.
  """

  add: str = ''
  overrides: Mapping[str, str] = dataclasses.field(default_factory=dict)
  seeds: tuple[int, ...] = ()
  train: bool = False
  evaluate: bool = True
  again: bool = False
  strict: bool = True
  others: Mapping[str, str] = dataclasses.field(default_factory=dict)
  command: str = ''


def fill(
  name: str,
  workdir: str,
  request: Request | None = None,
  reporter: Reporter | None = None,
) -> Filled:
  """Fills the table `name` from the runs below `workdir`; see `__main__`."""
  table = FilledTable(name, workdir, request or Request(), reporter or Reporter())
  if table.request.train:
    table.train_missing()
  if table.request.evaluate:
    table.measure_missing()
  return table.filled()


class FilledTable:
  """A paper's table and the runs that fill it.

  Attributes:
    table: the paper's.
    plans: the configs of its cells, by their path in the table.
    row_name: the `split` under which its scores stand in scores.csv.
  """

  def __init__(self, name: str, workdir: str, request: Request, reporter: Reporter):
    self.name, self.workdir, self.request = name, workdir, request
    self.table = papers.get(name)
    self.plans = plans.plan(
      self.table, request.add, request.overrides, request.strict, reporter.note
    )
    self.row_name = plans.row_name(self.table, request.overrides)
    self._reporter = reporter
    self._runs: dict[str, list[Run]] | None = None
    self._settings = {
      path: self._settings_of(plan) for path, plan in self.plans.items()
    }
    self._reasons: dict[str, str] = {}  # folder of a run -> why it measured nothing

  def _settings_of(self, plan: plans.Plan) -> dict[str, str]:
    """Returns what rows of scores.csv must say of the settings of the table's evaluators."""
    if plan.config is None:
      return {}
    return {
      measures.settings_column(name): evaluators.protocol(name, plan.config)
      for name in self.table.evaluators
    }

  @property
  def runs(self) -> dict[str, list[Run]]:
    """Returns the runs that count, by the config path of the table."""
    if self._runs is None:
      seeds = self.request.seeds
      self._runs = {}
      for path, runs in measured.find(
        self.workdir, self.plans, self._reporter.note
      ).items():
        self._runs[path] = [run for run in runs if not seeds or run.seed in seeds]
    return self._runs

  def train_missing(self) -> None:
    """Trains what is missing, or goes on with what is unfinished, wherever below the folder."""
    unfinished = self._unfinished()
    for number, (folder, (plan, seed)) in enumerate(unfinished.items(), 1):
      self._reporter.poll()
      self._reporter.note(
        f'training {number} of {len(unfinished)}: {plan.resolved_path}, seed '
        f'{seed}, in {folder}'
      )
      config = plan.config.copy_and_resolve_references()
      with config.unlocked():
        config.seed = seed
        config.command = shlex.join(
          [
            'python',
            '-m',
            'maskgan_jax.train',
            f'--config={plan.resolved_path}',
            f'--workdir={folder}',
            f'--config.seed={seed}',
          ]
        )
      try:
        experiment.train(
          config, folder, poll=self._reporter.poll, row_name=self.row_name
        )
      except (
        errors.NotFiniteError
      ) as error:  # earlier checkpoints may be measured all the same
        self._reasons[folder] = str(error)
        self._reporter.note(f'going on without {folder}: {error}')
    self._runs = None

  def _unfinished(self) -> dict[str, tuple[plans.Plan, int]]:
    """Returns (plan, seed) of what has to be trained, by folder."""
    runs = measured.find(self.workdir, self.plans, lambda line: None)
    unfinished = {}
    for path, plan in self.plans.items():
      if plan.config is None:
        self._reporter.note(f'cannot be trained: {plan.reason}')
        continue
      # What is wrong with a config is reported before anything is trained.
      for name in plan.config.evaluators:
        evaluators.make(name, plan.config)
      methods.make(plan.config)
      folders = {run.seed: run.workdir for run in runs[path]}
      for seed in self.request.seeds or (0,):
        folder = folders.get(seed) or plans.folder(
          self.workdir, plan.resolved_path, seed
        )
        if measured.furthest(folder) < plan.config.num_steps:
          unfinished[folder] = plan, seed
    return unfinished

  def measure_missing(self) -> None:
    """Measures the newest and the best checkpoint of each run, unless that was done."""
    for path, runs in self.runs.items():
      for run in runs:
        self._measure(run, path)

  def _measure(self, run: Run, path: str) -> None:
    with checkpoints.Checkpoints(run.workdir, read_only=True) as saved:
      steps = saved.steps()
    if not steps:
      self._reasons[run.workdir] = f'{run.workdir} has no checkpoint'
      return

    # The newest checkpoint is measured, and the one that ranks best.
    wanted_steps = {steps[-1]}
    best = measured.best_step(run, self.row_name)
    if best in steps:
      wanted_steps.add(best)
    todo = [
      step
      for step in sorted(wanted_steps)
      if self.request.again or self._lacking(run, path, step)
    ]
    if not todo:
      return

    # What evaluators say while measuring is the reason for what they do not measure.
    lines = []

    def remember(line):
      lines.append(line)
      self._reporter.note(line)

    self._measure_steps(
      run, path, todo, dataclasses.replace(self._reporter, note=remember)
    )

    # The reason stands in place of the number.
    lacking = self._lacking(run, path, todo[-1])
    if lacking and run.workdir not in self._reasons:
      reasons = [line for line in lines if 'measures nothing' in line]
      self._reasons[run.workdir] = '; '.join(reasons) or (
        f'{", ".join(lacking)}: none of its evaluators measures it'
      )

  def _measure_steps(
    self, run: Run, path: str, steps: Sequence[int], reporter: Reporter
  ) -> None:
    config = self.plans[path].config.copy_and_resolve_references()
    # Data and compiled programs serve all steps.
    data = translator = None
    for step in steps:
      reporter.poll()
      self._reporter.note(f'measuring {run.workdir}, step {step}')
      try:
        data = data or pipeline.make(config)
        translator = Translator.from_workdir(run.workdir, step, like=translator)
      except errors.UserError as error:
        self._reasons[run.workdir] = str(error)
        return
      try:
        evaluators.measure(
          translator,
          data,
          config,
          run.workdir,
          step,
          poll=reporter.poll,
          note=reporter.note,
          row_name=self.row_name,
        )
      except errors.NotFiniteError as error:
        self._reasons[run.workdir] = str(error)
        self._reporter.note(f'step {step} is left out: {error}')

  def _lacking(self, run: Run, path: str, step: int) -> list[str]:
    """Returns the columns that the table needs and a run's row does not have."""
    row = measured.row_of(run, step, self.row_name, self._settings[path]) or {}
    columns = {}
    for table_row in self.table.rows:
      for column in self.table.columns:
        if plans.config_path(table_row, column) == path:
          columns[plans.measure_of(table_row, column)] = None
    return [column for column in columns if not measures.is_number(row.get(column))]

  def filled(self) -> Filled:
    """Returns the table with its cells."""
    table, cells = self.table, self.cells()
    for name, file in self.request.others.items():
      row, row_cells = row_of_others(table, name, file)
      table = dataclasses.replace(table, rows=(*table.rows, row))
      cells.append(row_cells)
    return Filled(
      self.name, table, cells, self.row_name, self.request.command, self._notes()
    )

  def cells(self) -> list[list[Cell]]:
    """Returns the cells by row and column."""
    rows = []
    for row in self.table.rows:
      printed = row.printed or (None,) * len(self.table.columns)
      columns = zip(self.table.columns, printed, strict=True)
      rows.append([self._cell(row, column, value) for column, value in columns])
    return rows

  def _cell(
    self, row: base.Row, column: base.Column, printed: base.Printed | None
  ) -> Cell:
    measure = plans.measure_of(row, column)
    if plans.is_constant(measure):
      constant = float(measure[1:]) * column.scale
      return Cell(
        printed, last=measured.Value(constant, None, None, (), (), None, None, ())
      )
    path = plans.config_path(row, column)
    if path not in self.plans:
      return Cell(printed, reason=row.why_not if row.ours else '')

    # A cell without a number says why: the config, the training or the measuring.
    plan, runs = self.plans[path], tuple(self.runs[path])
    cell = Cell(printed, path, plan.resolved_path, runs)
    if plan.config is None:
      return dataclasses.replace(cell, reason=plan.reason)
    if not runs:
      return dataclasses.replace(cell, reason=row.why_not or NOT_TRAINED)
    # The newest checkpoints, and those that their configs rank highest.
    newest = [(run, None) for run in runs]
    best_steps = [(run, measured.best_step(run, self.row_name)) for run in runs]
    best_steps = [(run, step) for run, step in best_steps if step is not None]
    last = self._value(newest, cell, measure, column.scale)
    best = self._value(best_steps, cell, measure, column.scale)
    if last is None:
      reasons = [
        self._reasons[run.workdir] for run in runs if run.workdir in self._reasons
      ]
      return dataclasses.replace(cell, reason=reasons[0] if reasons else NOT_MEASURED)
    return dataclasses.replace(cell, last=last, best=best)

  def _value(
    self,
    checkpoints_of_runs: Sequence[tuple[Run, int | None]],
    cell: Cell,
    measure: str,
    scale: float,
  ) -> measured.Value | None:
    """Returns a measure's value over (run, step)s; None is the newest step."""
    settings = self._settings[cell.config_path]
    rows = [
      (run, measured.row_of(run, step, self.row_name, settings))
      for run, step in checkpoints_of_runs
    ]
    return measured.value(rows, measure, scale, self.table.evaluators)

  def _notes(self) -> list[str]:
    """Returns what a reader has to know of the runs: which are unfinished, and which lacking."""
    notes = []

    # Runs that stopped early are named.
    for runs in self.runs.values():
      for run in runs:
        step = measured.furthest(run.workdir)
        if step not in (-1, run.planned_steps):
          notes.append(f'{run.workdir} is at step {step:,} of {run.planned_steps:,}')

    # Seeds that were asked for and have no run are named, too.
    for path, runs in self.runs.items():
      lacking = sorted(set(self.request.seeds) - {run.seed for run in runs})
      if runs and lacking:
        notes.append(
          f'{self.plans[path].resolved_path}: there is no run of seed '
          f'{", ".join(map(str, lacking))}'
        )
    if 'smoke' in self.request.add.split(','):
      notes.append(
        'SMOKE: a few steps on a few pictures, which shows that it runs; no number '
        'above says anything'
      )
    return list(dict.fromkeys(notes))


def row_of_others(
  table: base.Table, name: str, path: str
) -> tuple[base.Row, list[Cell]]:
  """Returns a row and its cells from another program's scores, written by picture_benchmark.

  Raises:
    UserError: if the file has none of the table's measures.
  """
  # The newest row of the file counts.
  rows = scores.read_file(path)
  run = Run(path, 0, None, 0, 0)
  cells = []
  for column in table.columns:
    value = measured.value(
      [(run, row) for row in rows[-1:]], column.measure, column.scale, table.evaluators
    )
    cells.append(Cell(None, last=value))
  if not any(cell.last for cell in cells):
    raise errors.UserError(
      f'{path} has no measure of this table; make it with python -m '
      f'maskgan_jax.picture_benchmark --output={path}'
    )
  return base.Row(name, ours=True, config=base.OTHER), cells
