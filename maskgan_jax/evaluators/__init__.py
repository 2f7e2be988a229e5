"""Measures of a trained model: one file each; `run` finds them by the names in the config."""

from collections.abc import Callable, Iterable, Iterator
import dataclasses
import importlib
import os
import pkgutil
from typing import Any

import ml_collections
import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.data import images
from maskgan_jax.evaluators import _features as features
from maskgan_jax.evaluators import _result_table as result_table
from maskgan_jax.evaluators import base, masks
from maskgan_jax.runs import measures, row_names, scores
from maskgan_jax.translator import Translator

SPLIT = 'test'  # what `measure` measures
table = result_table.table
Draw = Callable[[str, np.ndarray, str], None]  # takes (name, uint8 [H, W, 3], caption)


def names() -> list[str]:
  """Returns the evaluators' names: a module is one unless it is the contract or begins with `_`."""
  modules = [module.name for module in pkgutil.iter_modules(__path__)]
  return sorted(name for name in modules if name != 'base' and not name.startswith('_'))


def module(name: str):
  """Returns the module of evaluator `name`; UserError lists those that exist."""
  if name not in names():
    raise errors.UserError(
      f'unknown evaluator {name!r}{errors.nearest(name, names())}; '
      f'evaluators: {", ".join(names())}'
    )
  return importlib.import_module(f'maskgan_jax.evaluators.{name}')


def make(name: str, config: ml_collections.ConfigDict) -> base.Evaluator:
  """Returns a new evaluator with its part of the config; UserError says what is wrong with it."""
  evaluator = module(name).Evaluator
  return evaluator(*(config[key] for key in evaluator.settings))


def protocol(name: str, config: ml_collections.ConfigDict) -> str:
  """Returns an evaluator's settings that are not the defaults, sorted, as text.

  Of a network the file's name and the beginning of its SHA-256 count, not its folder.
  """
  # Which data are measured is said by the row's name, and not by its settings.
  default = run_config.default(config.method)
  parts = []
  for group in module(name).Evaluator.settings:
    if group == 'data':
      continue
    usual = dict(run_config.flatten(default[group]))
    for key, value in run_config.flatten(config[group]):
      if key == 'network' and value:
        parts.append(
          f'{group}.network={os.path.basename(value)}@{_short_digest(value)}'
        )
      elif value != usual.get(key) and key != 'cache':
        parts.append(f'{group}.{key}={value}')
  return '; '.join(sorted(parts))


def _short_digest(path: str) -> str:
  """Returns the first 8 hexadecimal digits of a file's SHA-256; '' if it cannot be read."""
  try:
    return features.digest_of(os.path.expanduser(path))[:8]
  except errors.UserError:
    return ''


def provenance(translator: Translator) -> dict[str, str]:
  """Returns what has to stand beside every result of a method, name -> text."""
  return dict(translator.method.provenance)


def measure(
  translator: Translator,
  data: Any,
  config: ml_collections.ConfigDict,
  workdir: str | os.PathLike,
  step: int,
  *,
  poll: Callable[[], None] | None = None,
  note: Callable[[str], None] = print,
  row_name: str = SPLIT,
) -> dict[str, float | str]:
  """Runs the evaluators of a config on the test split and writes a row of scores.csv.

  The row also has the method's provenance. What evaluators draw goes to `figures/*.png`.

  Args:
    translator: the model with the weights of the step.
    data, poll, note: see `run`.
    config: `evaluators`, their settings, `evaluation_batch_size` and `evaluation_pairs` count.
    workdir: folder of the run.
    step: the row's; what only an earlier evaluation measured at it stays there.
    row_name: the row's `split`; rows of another protocol or of other data than the run's have
      another name, see `runs.row_names`.
  Returns:
    name -> value; empty, and no row is written, where nothing can be measured.
  """
  draw = _drawing_into(workdir, step, row_name, translator.config)
  size, pairs = config.evaluation_batch_size, config.evaluation_pairs
  measuring = _Pass(
    translator, data, config, _reporter(poll, note), SPLIT, size, pairs, draw
  )
  results, measured = measuring.run(config.evaluators)
  if not results:
    return {}

  results.update(_settings_columns(measured, config))
  earlier = _earlier_scores(workdir, step, row_name, results['pairs'], note)
  place = {'step': step, 'split': row_name}
  scores.append(workdir, {**earlier, **results, **provenance(translator), **place})
  return results


def _settings_columns(measured, config) -> dict[str, Any]:
  """Returns what a row says of how it was measured: by which settings, of how many pairs."""
  columns = {}
  for name in measured:
    text = protocol(name, config)
    if text:
      columns[measures.settings_column(name)] = text
  if config.evaluation_pairs:  # without it, `pairs` says enough
    columns['pairs_asked'] = float(config.evaluation_pairs)
  return columns


def _drawing_into(
  workdir: str | os.PathLike,
  step: int,
  row_name: str,
  of_run: ml_collections.ConfigDict,
) -> Draw | None:
  """Returns what writes figures/NAME.png, unless a later step's figure is there."""
  # Figures are the run's own: other data have none.
  if not row_names.has_own_data(row_name, of_run):
    return None

  newest = (scores.latest(workdir, split=row_name) or {'step': step})['step']

  def draw(name, image, caption):
    path = os.path.join(workdir, 'figures', f'{name}.png')
    if step >= newest or not os.path.exists(path):
      images.save_png(path, image, description=f'Step {step:,}. {caption}'.strip())

  return draw


def _earlier_scores(workdir, step, row_name, pairs, note) -> dict[str, Any]:
  """Returns what scores.csv has of a step; nothing where that was of other pairs, with a note."""
  # Means over different pairs must not stand in one row.
  earlier = scores.latest(workdir, split=row_name, step=step) or {}
  if earlier.get('pairs', pairs) == pairs:
    return earlier
  note(
    f'step {step}: these are scores of {pairs:.0f} pairs; those of '
    f'{earlier["pairs"]:.0f} pairs that scores.csv had are replaced, all of them'
  )
  return {}


def run(
  translator: Translator,
  data: Any,
  *,
  split: str = 'test',
  names: Iterable[str],
  batch_size: int,
  max_pairs: int | None = None,
  poll: Callable[[], None] | None = None,
  note: Callable[[str], None] = print,
  config: ml_collections.ConfigDict | None = None,
  draw: Draw | None = None,
) -> dict[str, float | str]:
  """Measures a model on pairs of a split, after a pass over 'validation' for the threshold.

  Args:
    translator: the model.
    data: `data.pipeline.Data`.
    split: 'test' or 'validation'.
    names: of the evaluators.
    batch_size: of evaluation; changes no result.
    max_pairs: of each split; None or 0 is all.
    poll: is called before each batch; may raise to stop.
    note: takes a line on what cannot be measured, and why.
    config: where evaluators find their settings; None is the translator's.
    draw: takes the evaluators' figures; without it, none are made.
  Returns:
    name -> value: what the evaluators yield, `mask_threshold` if it could be searched, and `pairs`,
    how many were measured. Texts among the values are provenance. Empty without evaluators or where
    none has anything to measure.
  """
  config, reporter = config or translator.config, _reporter(poll, note)
  measuring = _Pass(
    translator, data, config, reporter, split, batch_size, max_pairs, draw
  )
  return measuring.run(names)[0]


def _reporter(poll, note) -> base.Reporter:
  return base.Reporter(poll or (lambda: None), note)


@dataclasses.dataclass(frozen=True)
class _Pass:
  """A pass of evaluators over a split; see `run` for the attributes."""

  translator: Translator
  data: Any
  config: ml_collections.ConfigDict
  reporter: base.Reporter
  split: str
  batch_size: int
  max_pairs: int | None
  draw: Draw | None

  def run(self, names: Iterable[str]) -> tuple[dict[str, float | str], tuple[str, ...]]:
    """Returns what `run` does, and the names of the evaluators that had something to measure."""
    evaluators = {name: make(name, self.config) for name in names}
    if not evaluators:
      return {}, ()
    threshold, pairs = None, 0
    for number, (batch, valid) in enumerate(self._batches(self.split)):
      # The first batch shows what can be measured at all.
      if number == 0:
        evaluators = self._able(evaluators, batch)
        if not evaluators:
          return {}, ()
        for evaluator in evaluators.values():
          evaluator.begin(self.data, self.split, self.reporter)
        threshold = self._threshold(batch)
      apart = getattr(self.data, 'apart', ())
      outputs = base.Outputs(self.translator, batch, threshold, apart)
      for evaluator in evaluators.values():
        evaluator.update(batch, outputs, valid)
      pairs += int(valid.sum())
    if not pairs:
      return {}, ()
    return self._results(evaluators, pairs, threshold), tuple(evaluators)

  def _batches(self, split: str) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Yields batches and which of their rows are valid, bool [B]."""
    try:
      batches = self.data.evaluation(
        split, batch_size=self.batch_size, max_pairs=self.max_pairs or None
      )
    except (
      errors.UserError
    ) as error:  # a split without pictures must not end a training run
      self.reporter.note(f'nothing to measure in the {split} split: {error}')
      return
    for batch in batches:
      self.reporter.poll()
      everything = np.ones(len(batch['a']), bool)
      yield batch, np.asarray(batch.get('valid', everything), bool)

  def _able(self, evaluators, batch):
    """Returns the evaluators that can measure such batches; notes why the others cannot."""
    able = {}
    for name, evaluator in evaluators.items():
      reason = evaluator.missing(batch, self.translator.abilities)
      if reason:
        self.reporter.note(f'evaluator {name!r} measures nothing here: {reason}')
      else:
        able[name] = evaluator
    return able

  def _threshold(self, batch) -> float | None:
    """Searches where masks are cut on the validation split; None without true masks."""
    if 'b_mask' not in batch or 'segment' not in self.translator.abilities:
      return None

    # The test split must not choose the threshold that it is measured with.
    search = masks.ThresholdSearch()
    for validation_batch, valid in self._batches('validation'):
      if 'b_mask' not in validation_batch:
        return None
      predicted = base.Outputs(self.translator, validation_batch).mask
      search.update(predicted, validation_batch['b_mask'], valid)
    problem = search.problem()
    if problem:
      self.reporter.note(
        f'mask_threshold says nothing: in the validation split {problem}'
      )
    return search.best()

  def _results(self, evaluators, pairs, threshold) -> dict[str, float | str]:
    results = {measures.PAIRS.name: float(pairs)}
    if threshold is not None:
      results['mask_threshold'] = threshold
    for evaluator in evaluators.values():
      results.update(evaluator.results())
      if self.draw:
        for figure, image in evaluator.figures():
          self.draw(figure, image, evaluator.caption)
    return results


for _name in names():  # reports can explain whatever stands in scores.csv
  module(_name)
