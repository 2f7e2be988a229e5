"""Measures of a trained model: one file each; `run` finds them by the names in the config."""

from collections.abc import Callable, Iterable, Mapping
import importlib
import os
import pkgutil
from typing import Any

import ml_collections
import numpy as np

from maskgan_jax import errors
from maskgan_jax.evaluators import base, masks
from maskgan_jax.runs import scores
from maskgan_jax.translator import Translator

SPLIT = 'test'  # what `measure` measures


def names() -> list[str]:
  """Evaluators there are: every module here that has an `Evaluator`, but the contract."""
  return sorted(m.name for m in pkgutil.iter_modules(__path__)
                if m.name not in ('base', 'image_measures'))


def module(name: str):
  """The module of evaluator `name`; UserError names those there are."""
  if name not in names():
    raise errors.UserError(f'unknown evaluator {name!r}{errors.nearest(name, names())}; '
                           f'evaluators: {", ".join(names())}')
  return importlib.import_module(f'maskgan_jax.evaluators.{name}')


def measure(translator: Translator, data: Any, config: ml_collections.ConfigDict,
            workdir: str | os.PathLike, step: int, *, poll: Callable[[], None] | None = None,
            note: Callable[[str], None] = print) -> dict[str, float]:
  """Runs the evaluators of a config on the test split and writes a row of scores.csv.

  Args:
    translator: with the weights of the step.
    data: see `run`.
    config: `evaluators`, `evaluation_batch_size` and `evaluation_pairs` count.
    workdir: folder of the run.
    step: the row's; what an earlier evaluation of it found and this one does not stays there.
    poll: see `run`.
    note: the same.
  Returns:
    name -> value; empty, and no row is written, where nothing can be measured.
  """
  results = run(translator, data, split=SPLIT, names=config.evaluators,
                batch_size=config.evaluation_batch_size, max_pairs=config.evaluation_pairs,
                poll=poll, note=note)
  if results:
    earlier = scores.latest(workdir, split=SPLIT, step=step) or {}
    scores.append(workdir, {**earlier, **results, 'step': step, 'split': SPLIT})
  return results


def run(translator: Translator, data: Any, *, split: str = 'test', names: Iterable[str],
        batch_size: int, max_pairs: int | None = None, poll: Callable[[], None] | None = None,
        note: Callable[[str], None] = print) -> dict[str, float]:
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
  Returns:
    name -> value: what the evaluators yield, `mask_threshold` if it could be searched, and `pairs`,
    how many were measured. Empty without evaluators or where none has anything to measure.
  """
  evaluators = {name: module(name).Evaluator() for name in names}
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
        return {}
      if 'b_mask' in batch and 'segment' in translator.abilities:
        threshold = _search_threshold(translator, batches('validation'))
    outputs = base.Outputs(translator, batch, threshold)
    for evaluator in evaluators.values():
      evaluator.update(batch, outputs, valid)
    pairs += int(valid.sum())
  if not pairs:
    return {}
  results = {'pairs': float(pairs)}
  if threshold is not None:
    results['mask_threshold'] = threshold
  for evaluator in evaluators.values():
    results.update(evaluator.results())
  return results


def _search_threshold(translator, batches) -> float | None:
  search = masks.ThresholdSearch()
  for batch, valid in batches:
    if 'b_mask' not in batch:
      return None
    search.update(base.Outputs(translator, batch).mask, batch['b_mask'], valid)
  return search.best()


def table(results: Mapping[str, float]) -> str:
  """The results in a few lines, beside what doing nothing would get; '' if there are none."""
  lines = []
  for task, nothing in (('transfer', 'do_nothing'), ('removal', 'do_nothing_removal')):
    for measure, title, digits in (('error_inside', 'error where it should change', 4),
                                   ('error_outside', 'error elsewhere', 4),
                                   ('psnr', 'PSNR (dB)', 2), ('ssim', 'SSIM', 4)):
      if f'{task}_{measure}' in results:
        cells = [f'{results[key]:.{digits}f}' if key in results else ''
                 for key in (f'{task}_{measure}', f'{nothing}_{measure}')]
        line = f'{task:<9} {title:<29} {cells[0]:>8} {cells[1]:>11}'
        if measure == 'error_inside' and f'{task}_error_ratio' in results:
          line += f'   ratio {results[f"{task}_error_ratio"]:.3f} (0 is perfect, 1 useless)'
        lines.append(line.rstrip())
  if lines:
    lines.insert(0, f'{"":<39} {"model":>8} {"do nothing":>11}')
  for kind, whose in (('mask_iou', 'mask'), ('source_mask_iou', "source's mask")):
    for name, title in ((kind, f'at {results.get("mask_threshold", 0.5):g}'),
                        (f'{kind}@0.5', 'at 0.5')):
      if name in results:
        lines.append(f'{whose} IoU {title}: {results[name]:.3f} +- {results[f"{name}_std"]:.3f}')
  if 'transfer_mask_iou' in results:
    lines.append(f'IoU of the transferred mask: {results["transfer_mask_iou"]:.3f}')
  for name, where in (('erased_error', ''), ('erased_error_inside', ' where it would show')):
    if name in results:
      lines.append(f'error with a region of the exemplar erased{where}: {results[name]:.4f} '
                   f'(before {results[f"{name}_before"]:.4f})')
  if lines and 'pairs' in results:
    lines.append(f'{results["pairs"]:.0f} pairs')
  return '\n'.join(lines)
