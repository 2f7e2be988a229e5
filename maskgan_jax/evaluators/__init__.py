"""Measures of a trained model: one file each; `run` finds them by the names in the config."""

from collections.abc import Callable, Iterable
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
from maskgan_jax.runs import scores
from maskgan_jax.translator import Translator

SPLIT = 'test'  # what `measure` measures
table = result_table.table


def names() -> list[str]:
  """Returns the evaluators' names: a module is one unless it is the contract or begins with `_`."""
  modules = [module.name for module in pkgutil.iter_modules(__path__)]
  return sorted(name for name in modules if name != 'base' and not name.startswith('_'))


def module(name: str):
  """The module of evaluator `name`; UserError names those there are."""
  if name not in names():
    raise errors.UserError(f'unknown evaluator {name!r}{errors.nearest(name, names())}; '
                           f'evaluators: {", ".join(names())}')
  return importlib.import_module(f'maskgan_jax.evaluators.{name}')


def make(name: str, config: ml_collections.ConfigDict) -> base.Evaluator:
  """A new evaluator with its part of the config; UserError says what is wrong with either."""
  evaluator = module(name).Evaluator
  keys = getattr(evaluator, 'settings', ())
  return evaluator(*(config[key] for key in ((keys,) if isinstance(keys, str) else keys)))


def protocol(name: str, config: ml_collections.ConfigDict) -> str:
  """What an evaluator was asked for, as text: its settings that are not the defaults, sorted.

  Of a network the file's name and the beginning of its SHA-256 count, not its folder.
  """
  keys = getattr(module(name).Evaluator, 'settings', ())
  default = run_config.default(config.method)
  parts = []
  for group in (keys,) if isinstance(keys, str) else keys:
    if group == 'data':
      continue
    usual = dict(run_config.flatten(default[group]))
    for key, value in run_config.flatten(config[group]):
      if key == 'network' and value:
        parts.append(f'{group}.network={os.path.basename(value)}@{_beginning(value)}')
      elif value != usual.get(key) and key != 'cache':
        parts.append(f'{group}.{key}={value}')
  return '; '.join(sorted(parts))


def _beginning(path: str) -> str:
  """The first 8 hexadecimal digits of a file's SHA-256; '' if it cannot be read."""
  try:
    return features.digest_of(os.path.expanduser(path))[:8]
  except errors.UserError:
    return ''


def provenance(translator: Translator) -> dict[str, str]:
  """What has to stand beside every result of a method, name -> text."""
  return dict(translator.method.provenance)


def measure(translator: Translator, data: Any, config: ml_collections.ConfigDict,
            workdir: str | os.PathLike, step: int, *, poll: Callable[[], None] | None = None,
            note: Callable[[str], None] = print, row_name: str = SPLIT) -> dict[str, float | str]:
  """Runs the evaluators of a config on the test split and writes a row of scores.csv.

  The row also has the method's provenance. What evaluators draw goes to `figures/*.png`, unless a
  later step's is there.

  Args:
    translator: with the weights of the step.
    data: see `run`.
    config: `evaluators`, their settings, `evaluation_batch_size` and `evaluation_pairs` count.
    workdir: folder of the run.
    step: the row's; what an earlier evaluation of it found and this one does not stays there.
    poll: see `run`.
    note: the same.
    row_name: the row's `split`; another than the split's for another protocol.
  Returns:
    name -> value; empty, and no row is written, where nothing can be measured.
  """
  newest = (scores.latest(workdir, split=row_name) or {'step': step})['step']

  def draw(name, image, caption):
    path = os.path.join(workdir, 'figures', f'{name}.png')
    if step >= newest or not os.path.exists(path):
      images.save_png(path, image, description=f'Step {step:,}. {caption}'.strip())
  results, names = _run(translator, data, SPLIT, config.evaluators, config.evaluation_batch_size,
                        config.evaluation_pairs, poll, note, config, draw)
  results.update((f'{name}_settings', text) for name in names if (text := protocol(name, config)))
  if results:
    if config.evaluation_pairs:  # else all: then 'pairs' says enough
      results['pairs_asked'] = float(config.evaluation_pairs)
    earlier = scores.latest(workdir, split=row_name, step=step) or {}
    if earlier.get('pairs', results['pairs']) != results['pairs']:
      note(f'step {step}: these are scores of {results["pairs"]:.0f} pairs; those of '
           f'{earlier["pairs"]:.0f} pairs that scores.csv had are replaced, all of them')
      earlier = {}
    scores.append(workdir, {**earlier, **results, **provenance(translator), 'step': step,
                            'split': row_name})
  return results


def run(translator: Translator, data: Any, *, split: str = 'test', names: Iterable[str],
        batch_size: int, max_pairs: int | None = None, poll: Callable[[], None] | None = None,
        note: Callable[[str], None] = print, config: ml_collections.ConfigDict | None = None,
        draw: Callable[[str, np.ndarray, str], None] | None = None) -> dict[str, float | str]:
  """Measures a model on pairs of a split, after a pass over 'validation' for the threshold.

  Args:
    translator: the model.
    data: `data.pipeline.Data`.
    split: 'test' or 'validation'.
    names: of the evaluators.
    batch_size: of evaluation; changes no result.
    max_pairs: of each split; None or 0 is all.
    poll: called before each batch; may raise to stop, e.g. when the machine is about to go.
    note: told in one line what cannot be measured, and why.
    config: where evaluators find their settings; None is the translator's.
    draw: given the figures of those that have any, as (name, uint8 [H, W, 3], caption); without
      it, none are made.
  Returns:
    name -> value: what the evaluators yield, `mask_threshold` if it could be searched, and `pairs`,
    how many were measured. Texts among the values are provenance. Empty without evaluators or where
    none has anything to measure.
  """
  return _run(translator, data, split, names, batch_size, max_pairs, poll, note, config, draw)[0]


def _run(translator, data, split, names, batch_size, max_pairs, poll, note, config, draw):
  """Returns what `run` does, and the names of the evaluators that had something to measure."""
  evaluators = {name: make(name, config or translator.config) for name in names}
  poll = poll or (lambda: None)

  def batches(split):
    try:
      found = data.evaluation(split, batch_size=batch_size, max_pairs=max_pairs or None)
    except errors.UserError as error:  # a split without pictures must not end a training run
      note(f'nothing to measure in the {split} split: {error}')
      return
    for batch in found:
      poll()
      yield batch, np.asarray(batch.get('valid', np.ones(len(batch['a']), bool)), bool)

  threshold, pairs, checked = None, 0, False
  for batch, valid in batches(split) if evaluators else ():
    if not checked:
      checked = True
      for name in list(evaluators):
        if reason := evaluators[name].missing(batch, translator.abilities):
          note(f'evaluator {name!r} measures nothing here: {reason}')
          del evaluators[name]
      if not evaluators:
        return {}, ()
      for evaluator in evaluators.values():
        if hasattr(evaluator, 'begin'):
          evaluator.begin(data, split, poll, note)
      if 'b_mask' in batch and 'segment' in translator.abilities:
        threshold = _search_threshold(translator, batches('validation'), note)
    outputs = base.Outputs(translator, batch, threshold, getattr(data, 'apart', ()))
    for evaluator in evaluators.values():
      evaluator.update(batch, outputs, valid)
    pairs += int(valid.sum())
  if not pairs:
    return {}, ()
  results = {'pairs': float(pairs)}
  if threshold is not None:
    results['mask_threshold'] = threshold
  for evaluator in evaluators.values():
    results.update(evaluator.results())
    if draw and hasattr(evaluator, 'figures'):
      for figure, image in evaluator.figures():
        draw(figure, image, getattr(evaluator, 'caption', ''))
  return results, tuple(evaluators)


def _search_threshold(translator, batches, note) -> float | None:
  search = masks.ThresholdSearch()
  for batch, valid in batches:
    if 'b_mask' not in batch:
      return None
    search.update(base.Outputs(translator, batch).mask, batch['b_mask'], valid)
  if problem := search.problem():
    note(f'mask_threshold says nothing: in the validation split {problem}')
  return search.best()
