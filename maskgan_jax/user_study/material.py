"""The material of a study: the runs that take part, and the pictures that they translate."""

from collections.abc import Callable, Sequence
import dataclasses
import os
import re
from typing import Any

import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.data import pipeline
from maskgan_jax.translator import Translator
from maskgan_jax.user_study import plan

_NAME = re.compile(r'[\w.+() =-]{1,40}')
_BATCH = 64
_NOT_PICTURES = (
  'data_dir',
  'num_train',
  'flip',
  'in_memory',
  'prefetch',
  'workers',
  'zoom_probability',
  'zoom_least',
  'attributes',
  'mask',
  'erase',
  'apart',
  'masks_path',
  'mask_column',
  'masks_share',
  'labels_path',
  'template',
)  # keys of config.data that change no picture


@dataclasses.dataclass(frozen=True)
class Run:
  """A run that takes part: its name in the results, its folder, and its model."""

  name: str
  workdir: str
  translator: Translator

  @property
  def guided(self) -> bool:
    """Returns whether its translations follow exemplars."""
    return 'exemplar' in self.translator.abilities


def run_names(workdirs: Sequence[str], names: Sequence[str]) -> list[str]:
  """Returns a name for each run; raises UserError unless names tell the runs apart."""
  if names and len(names) != len(workdirs):
    raise errors.UserError(
      f'{len(names)} --names for {len(workdirs)} --workdirs; give as many'
    )
  names = list(names) or [os.path.basename(os.path.abspath(path)) for path in workdirs]
  for name in names:
    if names.count(name) > 1:
      raise errors.UserError(
        f'two methods are called {name!r}; tell them apart with --names'
      )
    if not _NAME.fullmatch(name) or name in (plan.REAL, plan.TRUTH):
      raise errors.UserError(
        f'a method cannot be called {name!r}; give --names of letters, '
        f'digits and . + - = ( ), not {plan.REAL} or {plan.TRUTH}'
      )
  return names


def open_runs(
  workdirs: Sequence[str], names: Sequence[str], reverse: bool
) -> list[Run]:
  """Opens the runs; UserError if their sizes differ, or one cannot translate in `reverse`."""
  # Sizes are compared by the configs, before any model is opened.
  sizes = []
  for workdir in workdirs:
    config = run_config.load(workdir)
    sizes.append((config.image_size, config.image_width or config.image_size))
    if sizes[-1] != sizes[0]:
      (height, width), (other_height, other_width) = sizes[0], sizes[-1]
      raise errors.UserError(
        f'{workdirs[0]} is of {height}x{width} pixels and {workdir} of '
        f'{other_height}x{other_width}; only runs of one size are compared'
      )
  runs = []
  for name, workdir in zip(names, workdirs, strict=True):
    translator = Translator.from_workdir(workdir)
    if reverse and 'reverse' not in translator.abilities:
      raise errors.UserError(f'{workdir}: {translator.config.method} has no --reverse')
    runs.append(Run(name, workdir, translator))
  return runs


def other_data(runs: Sequence[Run]) -> list[str]:
  """Returns a sentence for each run that may know test pictures of the first one."""
  lines, first = [], runs[0].translator.config.data
  for run in runs[1:]:
    other = run.translator.config.data
    keys = []
    for key in first:
      if key not in _NOT_PICTURES and key in other and first[key] != other[key]:
        keys.append(key)
    if keys:
      lines.append(
        f'{run.workdir} has another config.data.{", ".join(keys)} than '
        f'{runs[0].workdir}, whose test pictures are shown; make sure that it does the '
        'same and was not trained on them'
      )
  return lines


@dataclasses.dataclass(frozen=True)
class Pictures:
  """The pictures of a study.

  Attributes:
    source: uint8 [N, H, W, 3], to translate.
    target: uint8 [M, H, W, 3] of the other domain, the N exemplars first; M is 2 N if there
      are enough, since real pictures beside the answers should not be exemplars.
    truth: the true answers, uint8 [N, H, W, 3], or None.
    split: 'test', or 'validation' where that is empty.
    direction: 'ab' or 'ba'.
  """

  source: np.ndarray
  target: np.ndarray
  truth: np.ndarray | None
  split: str
  direction: str


def pictures(
  run: Run, pairs: int, direction: str, note: Callable[[str], None]
) -> Pictures:
  """Returns the pictures of the first pairs of a run's data."""
  # The test split is shown, or validation where there is none.
  data = pipeline.make(run.translator.config)
  split, sizes = 'test', {'batch_size': _BATCH, 'max_pairs': 2 * pairs}
  try:
    batches = data.evaluation(split, **sizes)
  except errors.UserError as error:
    note(f'{error}; validation pictures are shown')
    split = 'validation'
    batches = data.evaluation(split, **sizes)
  if batches.num_pairs < pairs:
    note(f'there are only {batches.num_pairs} {split} pairs; all of them are shown')

  # Batches end with padding, which is not valid.
  parts: dict[str, list[np.ndarray]] = {}
  for batch in batches:
    for name in (*direction, f'truth_{direction}'):
      if name in batch:
        parts.setdefault(name, []).append(batch[name][batch['valid']])
  arrays = {name: np.concatenate(batch) for name, batch in parts.items()}

  # All targets are kept: those beyond the exemplars are shown as real pictures.
  count = min(pairs, batches.num_pairs)
  source, target = (arrays[domain] for domain in direction)
  true_answers = arrays.get(f'truth_{direction}')
  if true_answers is not None:
    true_answers = true_answers[:count]
  return Pictures(source[:count], target, true_answers, split, direction)


def truth(run: Run, pictures: Pictures) -> np.ndarray:
  """Returns the true answers; raises UserError if the data have none."""
  if pictures.truth is None:
    raise errors.UserError(
      f'--with_truth: the data of {run.workdir} has no true answers'
    )
  return pictures.truth


def translations(runs: Sequence[Run], pictures: Pictures) -> dict[str, np.ndarray]:
  """Returns what each run makes of the pairs, by its name."""
  exemplars = pictures.target[: len(pictures.source)]
  translations = {}
  for run in runs:
    result = run.translator(
      pictures.source,
      exemplars if run.guided else None,
      reverse=pictures.direction == 'ba',
    )
    translations[run.name] = result.image
  return translations


def made(runs: Sequence[Run], pictures: Pictures) -> dict[str, Any]:
  """Returns how a study was made, for its key."""
  described = []
  for run in runs:
    described.append(
      {
        'name': run.name,
        'workdir': run.workdir,
        'method': run.translator.config.method,
        'step': run.translator.step,
      }
    )
  data = runs[0].translator.config.data
  source = ' '.join(filter(None, (data.source, data.name, data.path)))
  return {
    'split': pictures.split,
    'direction': pictures.direction,
    'data': f'{source}, a: {data.a or "all"}, b: {data.b or "all"}',
    'runs': described,
  }
