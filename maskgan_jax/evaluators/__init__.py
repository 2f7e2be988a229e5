"""Measures of a trained model: one file each; `run` finds them by the names in the config."""

from collections.abc import Callable, Iterable, Mapping
import importlib
import os
import pkgutil
import re
from typing import Any

import ml_collections
import numpy as np

from maskgan_jax import errors
from maskgan_jax.evaluators import base, masks
from maskgan_jax.runs import pictures, scores
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


def make(name: str, config: ml_collections.ConfigDict) -> base.Evaluator:
  """A new evaluator with its part of the config; UserError says what is wrong with either."""
  evaluator = module(name).Evaluator
  settings = getattr(evaluator, 'settings', '')
  return evaluator(config[settings]) if settings else evaluator()


def provenance(translator: Translator) -> dict[str, str]:
  """What has to stand beside every result of a method, name -> text."""
  return dict(getattr(translator.method, 'provenance', {}))


def measure(translator: Translator, data: Any, config: ml_collections.ConfigDict,
            workdir: str | os.PathLike, step: int, *, poll: Callable[[], None] | None = None,
            note: Callable[[str], None] = print) -> dict[str, float]:
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
  Returns:
    name -> value; empty, and no row is written, where nothing can be measured.
  """
  newest = (scores.latest(workdir, split=SPLIT) or {'step': step})['step']

  def draw(name, image, caption):
    path = os.path.join(workdir, 'figures', f'{name}.png')
    if step >= newest or not os.path.exists(path):
      pictures.save(path, image, description=f'Step {step:,}. {caption}'.strip())
  results = run(translator, data, split=SPLIT, names=config.evaluators,
                batch_size=config.evaluation_batch_size, max_pairs=config.evaluation_pairs,
                poll=poll, note=note, config=config, draw=draw)
  if results:
    earlier = scores.latest(workdir, split=SPLIT, step=step) or {}
    if earlier.get('pairs', results['pairs']) != results['pairs']:
      note(f'step {step}: these are scores of {results["pairs"]:.0f} pairs; those of '
           f'{earlier["pairs"]:.0f} pairs that scores.csv had are replaced, all of them')
      earlier = {}
    scores.append(workdir, {**earlier, **results, **provenance(translator), 'step': step,
                            'split': SPLIT})
  return results


def run(translator: Translator, data: Any, *, split: str = 'test', names: Iterable[str],
        batch_size: int, max_pairs: int | None = None, poll: Callable[[], None] | None = None,
        note: Callable[[str], None] = print, config: ml_collections.ConfigDict | None = None,
        draw: Callable[[str, np.ndarray, str], None] | None = None) -> dict[str, float]:
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
    how many were measured. Empty without evaluators or where none has anything to measure.
  """
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
        return {}
      if 'b_mask' in batch and 'segment' in translator.abilities:
        threshold = _search_threshold(translator, batches('validation'))
    outputs = base.Outputs(translator, batch, threshold, getattr(data, 'apart', ()))
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
    if draw and hasattr(evaluator, 'figures'):
      for name, image in evaluator.figures():
        draw(name, image, getattr(evaluator, 'caption', ''))
  return results


def _search_threshold(translator, batches) -> float | None:
  search = masks.ThresholdSearch()
  for batch, valid in batches:
    if 'b_mask' not in batch:
      return None
    search.update(base.Outputs(translator, batch).mask, batch['b_mask'], valid)
  return search.best()


_DIRECTIONS = {'ab': 'a to b', 'ba': 'b to a'}


def table(results: Mapping[str, float | str]) -> str:
  """The results in a few lines, beside what doing nothing would get; '' if there are none.

  Texts among the results, provenance, come last.
  """
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
  lines += _translation_lines(results)
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
  for direction, title in _DIRECTIONS.items():
    if (name := f'{direction}_neighbours_same') in results:
      lines.append(f'{title}: {100 * results[name]:.1f} % of nearest neighbours are of the same '
                   'set, real or translated (50 is best)')
  if 'segmentation_miou' in results:
    lines.append(f'mean IoU of the segmentation: {results["segmentation_miou"]:.3f} '
                 f'(untranslated {results["segmentation_source_miou"]:.3f})')
  if lines and 'pairs' in results:
    lines.append(f'{results["pairs"]:.0f} pairs')
  if lines:
    lines += [f'{name.replace("_", " ")}: {value}' for name, value in results.items()
              if isinstance(value, str)]
  return '\n'.join(lines)


def _translation_lines(results: Mapping[str, float | str]) -> list[str]:
  """What the evaluator `similarity` found, in the columns of `table`."""
  lines = []
  for direction, title in _DIRECTIONS.items():
    for measure, what, digits in (('ssim', 'SSIM to the truth', 4),
                                  ('psnr', 'PSNR to the truth (dB)', 2),
                                  ('exemplar_ssim', 'SSIM with the exemplar', 4)):
      name = f'{direction}_{measure}'
      if name in results:
        cells = [f'{results[key]:.{digits}f}' if key in results else ''
                 for key in (name, f'do_nothing_{name}')]
        line = f'{title:<9} {what:<29} {cells[0]:>8} {cells[1]:>11}'
        if f'{name}_std' in results:
          line += f'   +- {results[f"{name}_std"]:.{digits}f}'
        if f'truth_{name}' in results:
          line += f'; perfect {results[f"truth_{name}"]:.{digits}f}'
          line += f' +- {results[f"truth_{name}_std"]:.{digits}f}'
        lines.append(line.rstrip())
    found = (re.fullmatch(rf'{direction}_(?:exemplar_)?ssim\[(.*)\]', name) for name in results)
    for group in dict.fromkeys(match[1] for match in found if match):
      parts = [f'{before} {results[key]:.4f}' for before, key in (
          ('to the truth', f'{direction}_ssim[{group}]'),
          ('with the exemplar', f'{direction}_exemplar_ssim[{group}]'),
          ('perfect', f'truth_{direction}_exemplar_ssim[{group}]')) if key in results]
      lines.append(f'{title:<9} SSIM {"; ".join(parts)}: {group}')
  return lines
