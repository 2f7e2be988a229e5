"""Translates or removes for all the pictures that a user gives, and writes the results."""

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import functools
import itertools
import os

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import images
from maskgan_jax.methods.base import Translation
from maskgan_jax.runs import pictures
from maskgan_jax.translate import inputs
from maskgan_jax.translate.inputs import Edits, Picture
from maskgan_jax.translator import Translator

_CHUNK = 64  # pictures translated at once


def translate(translator: Translator, source: str, exemplar: str, output: str, *,
              source_edits: Edits | None = None, exemplar_edits: Edits | None = None,
              save_masks: bool = False, grid: bool = False, reverse: bool = False,
              note: Callable[[str], None] = print) -> list[str]:
  """Translates every source after every exemplar's example, or alone, and writes the results.

  Args:
    translator: the model.
    source: a picture or a folder of them.
    exemplar: the same; '' for a method without exemplars.
    output: a .png file or a folder.
    source_edits: masks of the sources: where to change them.
    exemplar_edits: masks of the exemplars: what to take from them.
    save_masks: whether to write <result>_source_mask.png, <result>_exemplar_mask.png and the
      method's extras, if it has them.
    grid: whether to write one picture with a row for each source and a column for each exemplar.
    reverse: sources are of domain b and exemplars of a.
    note: gets lines about pictures that are left out, or that look wrong to the model.
  Returns:
    The files written.
  """
  source_edits = source_edits or Edits()
  exemplar_edits = exemplar_edits or Edits()
  _check_exemplar(translator, exemplar, exemplar_edits)
  given = [source, exemplar, source_edits.mask, exemplar_edits.mask]
  load = functools.partial(inputs.load, translator, note=note, apart=[*given, output])
  sources = load(source, source_edits, flag='source_mask')
  exemplars = [None]
  if exemplar:
    exemplars = load(exemplar, exemplar_edits, flag='exemplar_mask')
  pairs = list(itertools.product(sources, exemplars))

  # Nothing is computed before all names are known to be free.
  names = ['grid'] if grid else [_pair_name(*pair) for pair in pairs]
  if reverse:  # domains often number their pictures alike
    names = [f'{name}__reverse' for name in names]
  several = not grid and (os.path.isdir(source) or os.path.isdir(exemplar))
  stems = images.png_stems(output, names, several)
  suffixes = ['']
  if save_masks:
    suffixes += [f'_{name}' for name in translator.method.saved_names()]
  _check_outputs(stems, suffixes, given)

  def translated(chunk):
    result = _translate_pairs(translator, chunk, reverse)
    return _by_suffix(translator, result) if save_masks else {'': result.image}
  results = _each(pairs, translated)
  if grid:
    return _write_grids(stems[0], sources, exemplars, list(results), note)
  return _write_each(stems, results)


def remove(translator: Translator, source: str, output: str, *, edits: Edits | None = None,
           save_masks: bool = False, grid: bool = False,
           note: Callable[[str], None] = print) -> list[str]:
  """Removes from every source what the method transfers; arguments are those of `translate`."""
  edits = edits or Edits()
  sources = inputs.load(translator, source, edits, flag='source_mask', note=note,
                        apart=[edits.mask, output])
  names = ['grid__removed'] if grid else [f'{picture.name}__removed' for picture in sources]
  stems = images.png_stems(output, names, os.path.isdir(source) and not grid)
  suffixes = ['', '_source_mask'] if save_masks and not grid else ['']
  _check_outputs(stems, suffixes, [source, edits.mask])

  def removed(chunk):
    image = np.stack([picture.image for picture, in chunk])
    mask = _edited([picture for picture, in chunk], lambda: translator.segment(image))
    result = translator.remove(image, mask)
    return {'': result.image, '_source_mask': result.source_mask}
  results = _each([(picture,) for picture in sources], removed)
  if not grid:
    return _write_each(stems, ({suffix: result[suffix] for suffix in suffixes}
                               for result in results))
  rows = []
  for picture, result in zip(sources, results, strict=True):
    rows.append([picture.image, result['_source_mask'], result['']])
  drawn = pictures.grid(rows, column_names=['source', 'mask', 'removed'],
                        row_names=_labels(sources, 'row', note))
  images.save_png(f'{stems[0]}.png', drawn)
  return [f'{stems[0]}.png']


def _check_exemplar(translator: Translator, exemplar: str, edits: Edits) -> None:
  """Raises UserError unless there is an exemplar exactly if the method takes one."""
  if 'exemplar' in translator.abilities:
    if not exemplar:
      raise errors.UserError(f'{translator.config.method} needs an exemplar; add --exemplar')
    return
  for flag, value in (('exemplar', exemplar), ('exemplar_mask', edits.mask),
                      ('erase_exemplar', edits.erase)):
    if value:
      raise errors.UserError(f'{translator.config.method} takes no exemplar; leave out --{flag}')


def _check_outputs(stems: Sequence[str], suffixes: Sequence[str], given: Sequence[str]) -> None:
  """Raises UserError if a result would replace another result, or a picture that was given."""
  paths = [f'{stem}{suffix}.png' for stem in stems for suffix in suffixes]
  counts = collections.Counter(paths)
  for path in paths:
    if counts[path] > 1:
      raise errors.UserError(f'two results would be called {path}; rename the inputs')
  existing = [path for path in paths if os.path.exists(path)]
  if not existing:
    return
  given_files = set()
  for path in filter(None, given):
    given_files.update(os.path.realpath(file) for _, file in inputs.listed(path))
  for path in existing:
    if os.path.realpath(path) in given_files:
      raise errors.UserError(f'{path} is one of the inputs; choose another --output')


def _pair_name(source: Picture, exemplar: Picture | None) -> str:
  return f'{source.name}__{exemplar.name if exemplar else "translated"}'


def _each(items: Sequence[tuple[Picture, ...]],
          compute: Callable[[Sequence[tuple[Picture, ...]]], Mapping[str, np.ndarray]]
          ) -> Iterator[dict[str, np.ndarray]]:
  """Computes in chunks; yields the arrays of each item by suffix."""
  for start in range(0, len(items), _CHUNK):
    chunk = items[start:start + _CHUNK]
    try:
      batches = compute(chunk)
    except errors.NotFiniteError as error:
      raise error.naming([item[0].path for item in chunk]) from error
    for number in range(len(chunk)):
      yield {suffix: batch[number] for suffix, batch in batches.items()}


def _by_suffix(translator: Translator, translation: Translation) -> dict[str, np.ndarray]:
  """Returns the image and the masks to save by the ends of their files' names."""
  masks = translator.method.saved_masks(translation)
  return {'': translation.image} | {f'_{name}': mask for name, mask in masks.items()}


def _translate_pairs(translator: Translator, pairs: Sequence[tuple[Picture, Picture | None]],
                     reverse: bool) -> Translation:
  """Translates (source, exemplar) pairs with the user's edits of the masks."""
  sources, exemplars = zip(*pairs, strict=True)
  source = np.stack([picture.image for picture in sources])
  call = functools.partial(translator, reverse=reverse)
  exemplar = exemplar_mask = None
  if exemplars[0]:
    exemplar = np.stack([picture.image for picture in exemplars])
    exemplar_mask = _edited(exemplars, lambda: _predicted(
        translator, call(source, exemplar), 'exemplar_mask'))
  # The source's mask is predicted from what is taken of the exemplar.
  source_mask = _edited(sources, lambda: _predicted(
      translator, call(source, exemplar, exemplar_mask=exemplar_mask), 'source_mask'))
  return call(source, exemplar, source_mask, exemplar_mask)


def _edited(side: Sequence[Picture], predict: Callable[[], np.ndarray]) -> np.ndarray | None:
  """Returns given or predicted masks without the erased parts; None leaves them to the model."""
  is_given = side[0].mask is not None
  is_erased = side[0].keep is not None
  if not is_given and not is_erased:
    return None
  mask = np.stack([picture.mask for picture in side]) if is_given else predict()
  if not is_erased:
    return mask
  return mask * np.stack([picture.keep for picture in side])


def _predicted(translator: Translator, translation: Translation, name: str) -> np.ndarray:
  """Returns the predicted mask; where a method predicts none, all of the picture."""
  if name not in translator.abilities:
    raise errors.UserError(f'{translator.config.method} has no {name} to erase from')
  mask = translation.masks[name]
  if mask is None:
    return np.ones((*translation.image.shape[:3], 1), np.float32)
  return mask


def _write_each(stems: Sequence[str], results: Iterable[Mapping[str, np.ndarray]]) -> list[str]:
  """Writes each result's pictures as they come; returns their paths."""
  written = []
  for stem, result in zip(stems, results, strict=True):
    for suffix, picture in result.items():
      written.append(f'{stem}{suffix}.png')
      images.save_png(written[-1], picture)
  return written


def _write_grids(stem: str, sources: Sequence[Picture], exemplars: Sequence[Picture | None],
                 results: Sequence[Mapping[str, np.ndarray]], note: Callable[[str], None]
                 ) -> list[str]:
  """Writes a grid for each suffix; returns their paths."""
  written = []
  for suffix in results[0]:
    pictures_of_pairs = [result[suffix] for result in results]
    title = suffix.strip('_').replace('_', ' ') or 'translation'
    explain = _ignore if suffix else note  # the names are the same in every grid
    drawn = _drawn(sources, exemplars, pictures_of_pairs, title, explain)
    written.append(f'{stem}{suffix}.png')
    images.save_png(written[-1], drawn)
  return written


def _ignore(line: str) -> None:
  """Drops a note."""


def _drawn(sources: Sequence[Picture], exemplars: Sequence[Picture | None],
           results: Sequence[np.ndarray], title: str, note: Callable[[str], None]) -> np.ndarray:
  """Returns a grid: sources on the left, exemplars on top, results row by row."""
  count = len(exemplars)
  rows = []
  for number, source in enumerate(sources):
    rows.append([source.image, *results[number * count:(number + 1) * count]])
  names = _labels(sources, 'row', note)
  if exemplars == [None]:
    return pictures.grid(rows, column_names=['source', title], row_names=names)
  rows.insert(0, [None, *(exemplar.image for exemplar in exemplars)])
  return pictures.grid(rows, row_names=['', *names],
                       column_names=['', *_labels(exemplars, 'column', note)])


def _labels(side: Sequence[Picture], kind: str, note: Callable[[str], None]) -> list[str]:
  """Returns names that a grid can write, and notes what replaced ones stand for."""
  labels, legend = pictures.labels([picture.name for picture in side], kind)
  if legend:
    note(legend)
  return labels
