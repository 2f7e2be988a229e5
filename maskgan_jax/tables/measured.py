"""The runs behind a table's cells, and what their scores.csv say.

A run belongs to a config if all that training depends on is equal, except for the seed: runs of
several seeds are one cell's mean and deviation.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from maskgan_jax.tables.plans import Plan

_DEPTH = 4  # folders below the root in which runs are looked for
_NOT_PROVENANCE = ('split', 'time')


@dataclasses.dataclass(frozen=True)
class Run:
  """A run of a table's config.

  Attributes:
    workdir: its folder.
    seed: of its config.
    config: as stored in the folder; None for a file of another program's scores.
    planned_steps: what the table's config trains.
    planned_pairs: the table's `evaluation_pairs`.
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
    mean: over the runs, in the unit of the table.
    deviation: between the runs (ddof 1); None for a single one.
    spread: within a run, over pictures (of KID over subsets), as most papers print it: the mean
      over the runs of MEASURE_std; None where scores.csv has none.
    runs: their folders.
    steps: of the checkpoints.
    real: the number of real pictures; None where the measure has no such.
    generated: the number of translations.
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


def find(
  root: str, plans: Mapping[str, Plan], note: Callable[[str], None] = print
) -> dict[str, list[Run]]:
  """Returns the runs below `root` of each planned config, by seed; of equal ones the furthest."""
  training_keys = {
    path: _training_key(plan.config)
    for path, plan in plans.items()
    if plan.config is not None
  }
  runs: dict[str, dict[int, Run]] = {path: {} for path in plans}
  # A run whose config cannot be read is left out with a note.
  for file in _config_files(root):
    workdir = os.path.dirname(file)
    try:
      config = run_config.load(workdir)
      training_key = _training_key(config)
    except errors.UserError as error:
      note(f'left out: {error}')
      continue
    except (AttributeError, KeyError, TypeError, ValueError) as error:
      reason = ' '.join(str(error).split())[:200]
      note(
        f'left out: {file} is damaged: {reason}; restore it or train in another folder'
      )
      continue

    # A run may serve several cells, which differ in how it is measured.
    for path, planned_key in training_keys.items():
      if planned_key == training_key:
        planned = plans[path].config
        run = Run(
          workdir, config.seed, config, planned.num_steps, planned.evaluation_pairs
        )
        _keep_furthest(runs[path], run, note)
  ordered = {}
  for path, by_seed in runs.items():
    ordered[path] = [by_seed[seed] for seed in sorted(by_seed)]
  return ordered


def _keep_furthest(
  by_seed: dict[int, Run], run: Run, note: Callable[[str], None]
) -> None:
  """Adds a run to those of its config, unless one of the same seed is further."""
  other = by_seed.get(run.seed)
  if other is None:
    by_seed[run.seed] = run
    return

  # Of two runs of one config and seed, the longer one counts.
  longer, shorter = other, run
  if furthest(run.workdir) > furthest(other.workdir):
    longer, shorter = run, other
  by_seed[run.seed] = longer
  note(
    f'{shorter.workdir} does not count: {longer.workdir} has the same config and seed'
  )


def _config_files(root: str) -> Iterator[str]:
  for depth in range(_DEPTH + 1):
    pattern = os.path.join(glob.escape(root), *'*' * depth, run_config.FILE_NAME)
    yield from sorted(glob.glob(pattern))


def _training_key(config: ml_collections.ConfigDict) -> str:
  """Returns what training depends on, without the seed."""
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.seed = 0
  return run_config.fingerprint(config)


def furthest(workdir: str) -> int:
  """Returns the last step that a run has a checkpoint or scores of; -1 if it has neither."""
  folder = os.path.join(workdir, 'checkpoints')
  names = os.listdir(folder) if os.path.isdir(folder) else []
  steps = [int(name) for name in names if name.isdigit()]
  steps += [row['step'] for row in scores.read(workdir)]
  return max(steps, default=-1)


def best_step(run: Run, row_name: str) -> int | None:
  """Returns the measured step with the best `best_metric`, of test pictures; None without one."""
  metric = run.config.best_metric
  rows = [
    row
    for row in scores.read(run.workdir)
    if row['split'] in (row_name, 'test') and measures.is_number(row.get(metric))
  ]
  if not metric or not rows:
    return None

  # Of equal values, a row of this protocol wins.
  sign = 1 if run.config.best_mode == 'max' else -1
  return max(rows, key=lambda row: (sign * row[metric], row['split'] == row_name))[
    'step'
  ]


def row_of(
  run: Run, step: int | None, row_name: str, settings: Mapping[str, str] | None = None
) -> scores.Row | None:
  """Returns a run's row of scores.csv; None if there is none, or it was measured otherwise.

  Args:
    run: whose row.
    step: of the checkpoint; None for the newest.
    row_name: the row's `split`, see `plans.row_name`.
    settings: what the row must say, such as {'distribution_settings': 'distribution.real=source'}.
      What an evaluator did not measure at all does not count, nor which network, if `settings` name
      none.
  """
  row = scores.latest(run.workdir, split=row_name, step=step)
  if not row or row.get('pairs_asked', run.planned_pairs) != run.planned_pairs:
    return None

  # A row counts only if each evaluator had the settings that the table asks for.
  for column, text in (settings or {}).items():
    if column in row:
      required = set(filter(None, text.split('; ')))
      parts = set(row[column].split('; '))
      if '.network=' not in text:
        parts = {part for part in parts if '.network=' not in part}
      if parts != required:
        return None
  return row


def value(
  rows: Sequence[tuple[Run, scores.Row]],
  column: str,
  scale: float,
  evaluators: Sequence[str],
) -> Value | None:
  """Returns the value of a column over the rows that have it; None if none has.

  Args:
    rows: runs and their rows of scores.csv.
    column: of scores.csv.
    scale: what the numbers are multiplied with.
    evaluators: whose texts have to agree; () is all.
  Raises:
    UserError: if the rows were not measured alike.
  """
  rows = [pair for pair in rows if pair[1] and measures.is_number(pair[1].get(column))]
  if not rows:
    return None
  texts = [_texts(row, evaluators) for _, row in rows]
  _check_alike(rows, texts)

  # The mean is over seeds, and the spread over pictures.
  measure = measures.Measure.parse(column)
  numbers = [row[column] * scale for _, row in rows]
  deviation = statistics.stdev(numbers) if len(numbers) > 1 else None
  spread = _spread(rows, measure.deviation.column, scale)
  first_row = rows[0][1]
  translations = measures.Measure('translations', measure.task).column
  real = measures.Measure('real_pictures', measure.task).column
  return Value(
    statistics.fmean(numbers),
    deviation,
    spread,
    runs=tuple(run.workdir for run, _ in rows),
    steps=tuple(row['step'] for _, row in rows),
    real=_count(first_row.get(real)),
    generated=_count(first_row.get(translations, first_row.get('pairs'))),
    provenance=texts[0],
  )


def _spread(
  rows: Sequence[tuple[Run, scores.Row]], column: str, scale: float
) -> float | None:
  """Returns the mean of the deviations over pictures; None unless every row has one."""
  spreads = [row.get(column) for _, row in rows]
  if not all(map(measures.is_number, spreads)):
    return None
  return statistics.fmean(spread * scale for spread in spreads)


def _texts(row: scores.Row, evaluators: Sequence[str]) -> tuple[str, ...]:
  """Returns 'column: text' of what stands beside the numbers of these evaluators."""
  texts = []
  for column, text in row.items():
    if isinstance(text, str) and column not in _NOT_PROVENANCE:
      writer = measures.writer(column)
      if not evaluators or not writer or writer in evaluators:
        texts.append(f'{column}: {text}')
  return tuple(texts)


def _check_alike(
  rows: Sequence[tuple[Run, scores.Row]], texts: Sequence[tuple[str, ...]]
) -> None:
  """Raises UserError if rows were measured by different networks, settings or pairs."""
  protocols = []
  for (_, row), row_texts in zip(rows, texts, strict=True):
    protocol = {text for text in row_texts if not text.startswith('speed_machine')}
    if 'pairs' in row:
      protocol.add(f'{row["pairs"]:.0f} pairs')
    protocols.append(protocol)
  for (run, _), protocol in zip(rows, protocols, strict=True):
    if protocol != protocols[0]:
      difference = sorted(protocols[0] ^ protocol)[0]
      raise errors.UserError(
        f'{rows[0][0].workdir} and {run.workdir} were not measured alike ({difference}), so they '
        'have no mean; measure both again: add --again'
      )


def _count(number: Any) -> int | None:
  return int(number) if measures.is_number(number) and math.isfinite(number) else None
