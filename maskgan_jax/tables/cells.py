"""The cells of a paper's table: which config is behind each, its runs, and what they measured.

A run belongs to a config if all that training depends on is equal, except for the seed: runs of
several seeds are one cell's mean and deviation. Scores of another protocol never meet in a cell:
what the table and the command line ask of the measuring is part of the name under which a row
stands in scores.csv ('test, distribution.real=source').
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import dataclasses
import glob
import math
import os
import statistics
from typing import Any

import ml_collections

from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.runs import measures, scores
from maskgan_jax.sweep import plan as sweep_plans
from maskgan_jax.tables.papers import base

_DEPTH = 4  # folders below the root in which runs are looked for
# Groups of the config that say how something is measured; what lies elsewhere is a matter of
# training, or of where things are.
_MEASURING = (*(f'{group}.' for group in run_config.evaluator_groups()), 'evaluation_pairs',
              'data.apart', 'data.erase', 'data.mask', 'data.transfer')
_WHERE = ('distribution.cache', 'data.masks_path')
NOT_TRAINED = 'not trained'
_NOT_PROVENANCE = ('split', 'time')
_TEXTS_OF = {'classifier': 'accuracy', 'embedder': 'identity', 'lpips_network': 'lpips',
             'speed_machine': 'speed', 'fid_protocol': 'distribution',
             'kid_kernel': 'distribution', 'frechet_distance_protocol': 'distribution',
             'kernel_distance_kernel': 'distribution'}  # evaluators whose texts these are


@dataclasses.dataclass(frozen=True)
class Planned:
  """A config that cells need.

  Attributes:
    spec: as the command line of `train` has it, 'configs/NAME.py:ARGUMENT'.
    config: with the table's settings and the overrides; None where there is none.
    why_not: why there is none.
  """
  spec: str
  config: ml_collections.ConfigDict | None
  why_not: str = ''


@dataclasses.dataclass(frozen=True)
class Run:
  """A run that was found.

  Attributes:
    workdir: its folder.
    seed: of its config.
    config: its own.
    planned_steps: what the table's config trains.
    planned_pairs: its `evaluation_pairs`.
  """
  workdir: str
  seed: int
  config: ml_collections.ConfigDict | None
  planned_steps: int
  planned_pairs: int


@dataclasses.dataclass(frozen=True)
class Value:
  """A measured value over runs that differ in the seed.

  Attributes:
    mean: over them, in the unit of the table.
    deviation: between them (ddof 1); None for a single one.
    spread: within a run, over pictures (of KID over subsets), as most papers print it: the mean
      over the runs of what scores.csv has as MEASURE_std; None where it has none.
    runs: their folders.
    steps: of the checkpoints.
    real: how many real pictures; None where measures know no such.
    generated: how many translations.
    provenance: texts that stand beside the numbers.
  """
  mean: float
  deviation: float | None
  spread: float | None
  runs: tuple[str, ...]
  steps: tuple[int, ...]
  real: int | None
  generated: int | None
  provenance: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Cell:
  """What a table has in one place.

  Attributes:
    printed: the paper's value.
    last: of the newest checkpoints.
    best: of those with the best `best_metric` of their config; None where it names none.
    why_not: why `last` is None; '' where nothing of ours is meant to stand here.
  """
  printed: base.Printed | None
  last: Value | None = None
  best: Value | None = None
  why_not: str = ''


def spec_of(row: base.Row, column: base.Column) -> str:
  """Returns a cell's config path; '' if we never run it or its value is a constant."""
  measured = row.ours and measure_of(row, column)
  return (row.config or column.config) if measured and not measured.startswith('=') else ''


def measure_of(row: base.Row, column: base.Column) -> str:
  """The column of scores.csv that is in this cell."""
  return row.measures.get(column.name, column.measure)


def plan(table: base.Table, add: str = '', overrides: Mapping[str, str] | None = None,
         strict: bool = True, note: Callable[[str], None] = print) -> dict[str, Planned]:
  """The configs of a table, by the cells' own spelling of them.

  Args:
    table: the table.
    add: arguments added to those of every config that takes them, e.g. 'quick'.
    overrides: dotted key -> text, for the configs that have the key.
    strict: whether some config must have each override's key.
    note: told in a line if no config takes `add`.
  Raises:
    UserError: if there are configs and none has a key, or if an override's text is not a value.
  """
  specs = dict.fromkeys(spec for row in table.rows for column in table.columns
                        if (spec := spec_of(row, column)))
  overrides, unknown = dict(overrides or {}), dict(overrides or {})
  found, refused, took = {}, None, not add
  for own in specs:
    try:
      try:
        spec, config = _read(own, add)
        took = True
      except errors.UserError as error:
        if not add:
          raise
        refused = error
        spec, config = _read(own, '')  # it has no such version
    except errors.UserError as error:
      found[own] = Planned(own, None, str(error).partition(';')[0])
      continue
    config.name = config.name or os.path.splitext(os.path.basename(spec.partition(':')[0]))[0]
    config.evaluators = tuple(dict.fromkeys((*config.evaluators, *table.evaluators)))
    leaves = dict(run_config.flatten(config))
    for key, value in table.settings.items():
      run_config.set_key(config, key, value)
    for key, text in overrides.items():
      if key in leaves:
        unknown.pop(key, None)
        run_config.set_key(config, key, _parsed(text, leaves[key], key))
    run_config.check_values(config)
    found[own] = Planned(spec, config)
  if found and not took:
    note(f'no config of this table takes --add={add}, so they are taken as they are: {refused}')
  if strict and unknown and found:
    leaves = {key for p in found.values() if p.config for key, _ in run_config.flatten(p.config)}
    key = next(iter(unknown))
    raise errors.UserError(f'no config of this table has a key {key!r}'
                           f'{errors.nearest(key, leaves)}')
  return found


def _parsed(text: str, like: Any, key: str) -> Any:
  """A value of the type that the config has; words with commas between where that is a tuple."""
  if isinstance(like, tuple):
    return tuple(part for part in text.split(',') if part)
  return sweep_plans.parse_value(text, like, key)


def _read(own: str, add: str) -> tuple[str, ml_collections.ConfigDict]:
  """A cell's config with `add` among its arguments, and how that is spelt; UserError as it says.

  It is read from here, or from beside the package if this is not the repository.
  """
  import maskgan_jax
  path, _, argument = own.partition(':')
  argument = ''.join(f':{text}' for text in [','.join(filter(None, (argument, add)))] if text)
  beside = os.path.join(os.path.dirname(os.path.dirname(maskgan_jax.__file__)), path)
  there = beside if not os.path.exists(path) and os.path.exists(beside) else path
  return path + argument, run_config.read_file(there + argument)


def row_name(table: base.Table, overrides: Mapping[str, str] | None = None) -> str:
  """The `split` under which scores of this table's protocol stand in scores.csv."""
  asked = {key: value for key, value in {**table.settings, **(overrides or {})}.items()
           if key.startswith(_MEASURING) and key not in _WHERE}
  asked = {key: os.path.basename(str(value)) if key.endswith('.network') else value
           for key, value in asked.items()}
  return ', '.join(['test', *(f'{key}={value}' for key, value in sorted(asked.items()))])


def folder(root: str, spec: str, seed: int) -> str:
  """Where the run of a config and seed is trained."""
  stem, _, argument = os.path.basename(spec).partition(':')
  parts = [os.path.splitext(stem)[0], *sorted(filter(None, argument.split(',')))]
  return os.path.join(root, '-'.join(parts) + (f'-seed{seed}' if seed else ''))


def find(root: str, plans: Mapping[str, Planned], note=print) -> dict[str, list[Run]]:
  """The runs below `root` of each planned config, by seed; of equal ones the furthest."""
  keys = {own: _key(p.config) for own, p in plans.items() if p.config is not None}
  found: dict[str, dict[int, Run]] = {own: {} for own in plans}
  for path in _configs(root):
    workdir = os.path.dirname(path)
    try:
      config = run_config.load(workdir)
      key = _key(config)
    except errors.UserError as error:
      note(f'left out: {error}')
      continue
    except (AttributeError, KeyError, TypeError, ValueError) as error:
      reason = ' '.join(str(error).split())[:200]
      note(f'left out: {path} is damaged: {reason}; restore it or train in another folder')
      continue
    for own in (own for own, wanted in keys.items() if wanted == key):
      planned = plans[own].config
      run = Run(workdir, config.seed, config, planned.num_steps, planned.evaluation_pairs)
      other = found[own].get(run.seed)
      if other is None or furthest(workdir) > furthest(other.workdir):
        run, other = other, run
      found[own][config.seed] = other
      if run is not None:
        note(f'{run.workdir} does not count: {other.workdir} has the same config and seed')
  return {own: [runs[seed] for seed in sorted(runs)] for own, runs in found.items()}


def _configs(root: str) -> Iterable[str]:
  for depth in range(_DEPTH + 1):
    yield from sorted(glob.glob(os.path.join(glob.escape(root), *'*' * depth,
                                             run_config.FILE_NAME)))


def _key(config: ml_collections.ConfigDict) -> str:
  """Returns what training depends on, without the seed."""
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.seed = 0
  return run_config.fingerprint(config)


def furthest(workdir: str) -> int:
  """The last step that a run has a checkpoint or scores of; -1 if none."""
  steps = [int(name) for name in _listed(os.path.join(workdir, 'checkpoints')) if name.isdigit()]
  return max((*steps, *(row['step'] for row in scores.read(workdir))), default=-1)


def _listed(path: str) -> list[str]:
  return os.listdir(path) if os.path.isdir(path) else []


def best_step(run: Run, row_name: str) -> int | None:
  """The measured step with the best `best_metric`, of test pictures; None if none is named."""
  name = run.config.best_metric
  rows = [row for row in scores.read(run.workdir)
          if row['split'] in (row_name, 'test') and measures.is_number(row.get(name))]
  if not name or not rows:
    return None
  sign = 1 if run.config.best_mode == 'max' else -1
  return max(rows, key=lambda row: (sign * row[name], row['split'] == row_name))['step']


def cell(row: base.Row, column: base.Column, printed: base.Printed | None,
         planned: Planned | None, runs: Sequence[Run], row_name: str,
         asked: Mapping[str, str] | None = None, notes: Mapping[str, str] | None = None) -> Cell:
  """A cell from what runs' scores.csv have.

  Args:
    row: of the table.
    column: likewise.
    printed: the paper's value.
    planned: the cell's config, None where we never run it.
    runs: of that config.
    row_name: see `row_name`.
    asked: see `row_of`.
    notes: workdir -> why it measured nothing, if somebody knows.
  """
  measure = measure_of(row, column)
  if measure.startswith('='):  # known without measuring
    known = float(measure[1:]) * column.scale
    return Cell(printed, Value(known, None, None, (), (), None, None, ()))
  if planned is None:
    return Cell(printed, why_not=row.why_not if row.ours else '')
  if planned.config is None:
    return Cell(printed, why_not=planned.why_not)
  if not runs:
    return Cell(printed, why_not=row.why_not or NOT_TRAINED)
  last = [(run, row_of(run, None, row_name, asked)) for run in runs]
  best = [(run, row_of(run, step, row_name, asked)) for run in runs
          if (step := best_step(run, row_name)) is not None]
  known = [(run, r) for run, r in last if r and measures.is_number(r.get(measure))]
  if not known:
    told = [text for run in runs if (text := (notes or {}).get(run.workdir))]
    return Cell(printed, why_not=told[0] if told else 'trained, but not measured so')
  told = [key.removesuffix('_settings') for key in asked or ()]
  return Cell(printed, _value(known, measure, column.scale, told),
              _value([(run, r) for run, r in best if r and measures.is_number(r.get(measure))],
                     measure, column.scale, told))


def given(table: base.Table, name: str, path: str) -> tuple[base.Row, list[Cell]]:
  """A row of a table and its cells from a scores file that is not a run's, as picture_benchmark's.

  UserError if it has none of the table's measures.
  """
  rows = scores.read_file(path)
  row = base.Row(name, ours=True, config=base.OTHER)
  known = [(Run(path, 0, None, 0, 0), rows[-1])] if rows else []
  cells = [Cell(None, _value(known, column.measure, column.scale, table.evaluators))
           if rows and measures.is_number(rows[-1].get(column.measure)) else Cell(None)
           for column in table.columns]
  if not any(cell.last for cell in cells):
    raise errors.UserError(f'{path} has no measure of this table; make it with python -m '
                           f'maskgan_jax.picture_benchmark --output={path}')
  return row, cells


def row_of(run: Run, step: int | None, name: str, asked: Mapping[str, str] | None = None
           ) -> scores.Row | None:
  """A run's row of scores.csv, at `step` or the newest; None if it was measured otherwise.

  Args:
    run: whose.
    step: of the checkpoint; None for the newest.
    name: of the row, see `row_name`.
    asked: what the row must say, such as {'distribution_settings': 'distribution.real=source'}.
      What an evaluator did not measure at all does not count, nor which network, if none is asked
      for.
  """
  row = scores.latest(run.workdir, split=name, step=step)
  if row and row.get('pairs_asked', run.planned_pairs) != run.planned_pairs:
    return None
  for key, text in (asked or {}).items():
    if row and key in row:
      parts = set(row[key].split('; '))
      if '.network=' not in text:
        parts = {part for part in parts if '.network=' not in part}
      if parts != set(filter(None, text.split('; '))):
        return None
  return row


def _value(known, measure, scale, evaluators) -> Value | None:
  """The value of (run, row of scores.csv)s; UserError if they were not measured alike."""
  if not known:
    return None

  def counts(key):
    whose = _TEXTS_OF.get(key, key.removesuffix('_settings') if key.endswith('_settings') else '')
    return key not in _NOT_PROVENANCE and (not evaluators or not whose or whose in evaluators)
  texts = [tuple(f'{key}: {text}' for key, text in row.items()
                 if isinstance(text, str) and counts(key)) for _, row in known]
  alike = [{text for text in of_run if not text.startswith('speed_machine')}
           | ({f'{row["pairs"]:.0f} pairs'} if 'pairs' in row else set())
           for of_run, (_, row) in zip(texts, known, strict=True)]
  if odd := next((i for i, of_run in enumerate(alike) if of_run != alike[0]), 0):
    parts = sorted(alike[0] ^ alike[odd])
    raise errors.UserError(
        f'{known[0][0].workdir} and {known[odd][0].workdir} were not measured alike ({parts[0]}), '
        'so they have no mean; measure both again: add --again')
  values = [row[measure] * scale for _, row in known]
  spreads = [row[f'{measure}_std'] * scale for _, row in known
             if measures.is_number(row.get(f'{measure}_std'))]
  direction = measure.removeprefix('do_nothing_').partition('_')[0]
  first = known[0][1]
  generated = first.get(f'{direction}_translations', first.get('pairs'))
  real = first.get(f'{direction}_real_pictures')
  return Value(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None,
               statistics.fmean(spreads) if len(spreads) == len(values) else None,
               tuple(run.workdir for run, _ in known), tuple(row['step'] for _, row in known),
               _count(real), _count(generated), texts[0])


def _count(number: Any) -> int | None:
  return int(number) if measures.is_number(number) and math.isfinite(number) else None
