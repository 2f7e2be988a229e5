"""Translates or removes for all the pictures that a user gives, and writes the results."""

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import functools
import itertools
import os
from typing import Any

import numpy as np

from maskgan_jax import errors, files
from maskgan_jax.data import images
from maskgan_jax.methods.base import Translation
from maskgan_jax.runs import pictures
from maskgan_jax.translate import inputs, own_size
from maskgan_jax.translate.inputs import Edits, Picture
from maskgan_jax.translator import Translator

_CHUNK = 64  # pictures translated at once
_NO_EDITS = Edits()
# A source, and an exemplar if the method takes one.
_Pair = tuple[Picture, Picture | None]


def translate(
  translator: Translator,
  source: str,
  exemplar: str,
  output: str,
  *,
  source_edits: Edits = _NO_EDITS,
  exemplar_edits: Edits = _NO_EDITS,
  save_masks: bool = False,
  grid: bool = False,
  reverse: bool = False,
  size: str = 'model',
  note: Callable[[str], None] = print,
) -> list[str]:
  """Translates every source after every exemplar's example, or alone; returns the files written.

  Args:
    translator: the model.
    source, exemplar: pictures or folders of them; '' for a method without exemplars.
    output: a .png file, with size 'own' also a .jpg, or a folder.
    source_edits, exemplar_edits: regions, and masks: where to change sources, what to take.
    save_masks: whether to write the masks, and what else the method saves, as <result>_NAME.png.
    grid: whether to write one picture with a row for each source and a column for each exemplar.
    reverse: sources are of domain b and exemplars of a.
    size: 'model', the model's resolution; or 'own', that of each source, put back into it.
    note: gets lines about pictures that are left out, or that look wrong to the model.
  """
  sides = (source, source_edits), (exemplar, exemplar_edits)
  of_sources = own_size.options(size, grid)
  sources, exemplars = _load_sides(translator, *sides, output, of_sources, note)
  pairs = list(itertools.product(sources, exemplars))

  # Nothing is computed before all files are known to be free.
  several = not grid and (os.path.isdir(source) or os.path.isdir(exemplar))
  names = _result_names(pairs, grid, reverse)
  stems, extension = own_size.stems(output, names, several, size)
  masks = translator.method.saved_names() if save_masks else ()
  paths = [source, exemplar, source_edits.mask, exemplar_edits.mask]
  _check_outputs(stems, [extension, *map(_mask_ending, masks)], paths)

  if size == 'own':
    needed = dict.fromkeys(['source_mask', *masks])
    results = _each(pairs, functools.partial(translated, translator, needed, reverse))
    writer = own_size.Writer(translator, masks, note)
    return own_size.write_each(writer, pairs, (stems, extension), results)
  results = _each(pairs, functools.partial(translated, translator, masks, reverse))
  if grid:
    return _write_grids(stems[0], sources, exemplars, list(results), note)
  return _write_each(stems, results)


def remove(
  translator: Translator,
  source: str,
  output: str,
  *,
  edits: Edits = _NO_EDITS,
  save_masks: bool = False,
  grid: bool = False,
  size: str = 'model',
  note: Callable[[str], None] = print,
) -> list[str]:
  """Removes from every source what the method transfers; arguments are those of `translate`."""
  sources = inputs.load(
    translator,
    source,
    edits,
    flag='source_mask',
    note=note,
    apart=[edits.mask, output],
    **own_size.options(size, grid),
  )
  names = ['grid__removed']
  if not grid:
    names = [f'{picture.name}__removed' for picture in sources]
  several = os.path.isdir(source) and not grid
  stems, extension = own_size.stems(output, names, several, size)
  masks = ('source_mask',) if save_masks or grid else ()  # a grid has a column for it
  saved = masks if save_masks else ()
  _check_outputs(stems, [extension, *map(_mask_ending, saved)], [source, edits.mask])

  alone = [(picture, None) for picture in sources]
  if size == 'own':
    needed = ('source_mask', 'binary_mask')
    results = _each(alone, functools.partial(removed, translator, needed))
    writer = own_size.Writer(translator, saved, note)
    return own_size.write_each(writer, alone, (stems, extension), results)
  results = _each(alone, functools.partial(removed, translator, masks))
  if not grid:
    return _write_each(stems, results)
  results = list(results)
  written = _write_removal_grid(stems[0], sources, results, note)
  if save_masks:
    suffix = _suffix('source_mask')
    alone_masks = [{suffix: result[suffix]} for result in results]
    written += _write_grids(stems[0], sources, [None], alone_masks, note)
  return written


def _load_sides(
  translator: Translator,
  source_side: tuple[str, Edits],
  exemplar_side: tuple[str, Edits],
  output: str,
  of_sources: Mapping[str, Any],
  note: Callable[[str], None],
) -> tuple[list[Picture], list[Picture | None]]:
  """Returns the sources and the exemplars, [None] for a method without.

  A side is (path, edits); `of_sources` are options of `inputs.load` for the sources.
  """
  (source, source_edits), (exemplar, exemplar_edits) = source_side, exemplar_side
  check_exemplar(translator, exemplar, exemplar_edits)
  apart = [source, exemplar, source_edits.mask, exemplar_edits.mask, output]
  load = functools.partial(inputs.load, translator, note=note, apart=apart)
  sources = load(source, source_edits, flag='source_mask', **of_sources)
  if not exemplar:
    return sources, [None]
  return sources, load(exemplar, exemplar_edits, flag='exemplar_mask')


def check_exemplar(translator: Translator, exemplar: str, edits: Edits) -> None:
  """Raises UserError unless there is an exemplar exactly if the method takes one."""
  if 'exemplar' in translator.abilities:
    if not exemplar:
      raise errors.UserError(
        f'{translator.config.method} needs an exemplar; add --exemplar'
      )
    return
  for flag, value in (
    ('exemplar', exemplar),
    ('exemplar_mask', edits.mask),
    ('erase_exemplar', edits.erase),
    ('exemplar_region', edits.region),
  ):
    if value:
      raise errors.UserError(
        f'{translator.config.method} takes no exemplar; leave out --{flag}'
      )


def _check_outputs(
  stems: Sequence[str], endings: Sequence[str], input_paths: Sequence[str]
) -> None:
  """Raises UserError if a result cannot be made, or would replace another or one of the inputs."""
  outputs = []
  for stem, ending in itertools.product(stems, endings):
    outputs.append(stem + ending)
  counts = collections.Counter(outputs)
  for path in outputs:
    if counts[path] > 1:
      raise errors.UserError(f'two results would be called {path}; rename the inputs')
  # All are in one folder.
  files.check_name(max(outputs, key=lambda path: len(os.fsencode(path))))

  # A result may replace one of an earlier command, but not what is translated now.
  existing = list(filter(os.path.exists, outputs))
  if not existing:
    return
  input_files = set()
  for path in filter(None, input_paths):
    for _, file in inputs.listed(path):
      input_files.add(os.path.realpath(file))
  for path in existing:
    if os.path.realpath(path) in input_files:
      raise errors.UserError(f'{path} is one of the inputs; choose another --output')


def _suffix(mask: str) -> str:
  """Returns the end of the name of a mask's file, after the name of its result."""
  return f'_{mask}'


def _mask_ending(mask: str) -> str:
  """Returns the end of the name of a mask's file, with its extension."""
  return f'{_suffix(mask)}.png'


def _result_names(pairs: Sequence[_Pair], grid: bool, reverse: bool) -> list[str]:
  """Returns the name of the grid, or of each pair's result."""
  if grid:
    names = ['grid']
  else:
    names = list(itertools.starmap(_pair_name, pairs))
  # Domains often number their pictures alike.
  return [f'{name}__reverse' for name in names] if reverse else names


def _pair_name(source: Picture, exemplar: Picture | None) -> str:
  """Returns the name of a pair's result."""
  return f'{source.name}__{exemplar.name if exemplar else "translated"}'


def _each(
  pairs: Sequence[_Pair], compute: Callable[[Sequence[_Pair]], Mapping[str, np.ndarray]]
) -> Iterator[dict[str, np.ndarray]]:
  """Computes in chunks; yields the arrays of each pair by suffix."""
  for start in range(0, len(pairs), _CHUNK):
    # Chunks keep memory bounded, however many pairs there are.
    chunk = pairs[start : start + _CHUNK]
    try:
      batches = compute(chunk)
    except errors.NotFiniteError as error:
      raise error.naming([source.path for source, _ in chunk]) from error
    for number in range(len(chunk)):
      yield {suffix: batch[number] for suffix, batch in batches.items()}


def translated(
  translator: Translator, masks: Sequence[str], reverse: bool, pairs: Sequence[_Pair]
) -> dict[str, np.ndarray]:
  """Translates pairs; returns the images and these masks by suffix."""
  translation = _translate_pairs(translator, pairs, reverse)
  batches = {'': translation.image}
  for name, mask in translator.method.saved_masks(translation).items():
    if name in masks:
      batches[_suffix(name)] = mask
  return batches


def removed(
  translator: Translator, masks: Sequence[str], pairs: Sequence[_Pair]
) -> dict[str, np.ndarray]:
  """Removes from the pairs' sources; returns the images and these masks by suffix."""
  # A mask that is neither given nor erased is predicted by the removal itself.
  sources = [source for source, _ in pairs]
  image = np.stack([source.image for source in sources])
  mask = _edited(sources, lambda: translator.segment(image))
  removal = translator.remove(image, mask)
  batches = {'': removal.image}
  shown = {**removal.extras, **removal.masks}
  for name in masks:
    if shown.get(name) is not None:
      batches[_suffix(name)] = shown[name]
  return batches


def _translate_pairs(
  translator: Translator, pairs: Sequence[_Pair], reverse: bool
) -> Translation:
  """Translates pairs with the user's edits of the masks."""
  sources, exemplars = zip(*pairs, strict=True)
  source = np.stack([picture.image for picture in sources])
  call = functools.partial(translator, reverse=reverse)
  exemplar = exemplar_mask = None
  if exemplars[0]:
    exemplar = np.stack([picture.image for picture in exemplars])
    exemplar_mask = _edited(
      exemplars, lambda: _predicted(translator, call(source, exemplar), 'exemplar_mask')
    )
  # The source's mask is predicted from what is taken of the exemplar.
  source_mask = _edited(
    sources,
    lambda: _predicted(
      translator, call(source, exemplar, exemplar_mask=exemplar_mask), 'source_mask'
    ),
  )
  return call(source, exemplar, source_mask, exemplar_mask)


def _edited(
  side: Sequence[Picture], predict: Callable[[], np.ndarray]
) -> np.ndarray | None:
  """Returns given or predicted masks without the erased parts; None leaves them to the model."""
  # All pictures of a side have a mask, or none has.
  is_given = side[0].mask is not None
  is_erased = side[0].keep is not None
  if not is_given and not is_erased:
    return None
  mask = np.stack([picture.mask for picture in side]) if is_given else predict()
  if not is_erased:
    return mask
  return mask * np.stack([picture.keep for picture in side])


def _predicted(
  translator: Translator, translation: Translation, name: str
) -> np.ndarray:
  """Returns the predicted mask; where a method predicts none, all of the picture."""
  if name not in translator.abilities:
    raise errors.UserError(f'{translator.config.method} has no {name} to erase from')
  mask = translation.masks[name]
  if mask is None:
    return np.ones((*translation.image.shape[:3], 1), np.float32)
  return mask


def _write_each(
  stems: Sequence[str], results: Iterable[Mapping[str, np.ndarray]]
) -> list[str]:
  """Writes each result's pictures as they come; returns their paths."""
  written = []
  for stem, result in zip(stems, results, strict=True):
    for suffix, picture in result.items():
      written.append(f'{stem}{suffix}.png')
      images.save_png(written[-1], picture)
  return written


def _write_grids(
  stem: str,
  sources: Sequence[Picture],
  exemplars: Sequence[Picture | None],
  results: Sequence[Mapping[str, np.ndarray]],
  note: Callable[[str], None],
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


def _write_removal_grid(
  stem: str,
  sources: Sequence[Picture],
  results: Sequence[Mapping[str, np.ndarray]],
  note: Callable[[str], None],
) -> list[str]:
  """Writes the grid of a removal, a row for each source with its mask; returns its path."""
  rows = []
  for picture, result in zip(sources, results, strict=True):
    rows.append([picture.image, result[_suffix('source_mask')], result['']])
  drawn = pictures.grid(
    rows,
    column_names=['source', 'mask', 'removed'],
    row_names=_labels(sources, 'row', note),
  )
  images.save_png(f'{stem}.png', drawn)
  return [f'{stem}.png']


def _ignore(line: str) -> None:
  """Drops a note."""


def _drawn(
  sources: Sequence[Picture],
  exemplars: Sequence[Picture | None],
  results: Sequence[np.ndarray],
  title: str,
  note: Callable[[str], None],
) -> np.ndarray:
  """Returns a grid: sources on the left, exemplars on top, results row by row."""
  # Results come row by row, `count` for each source.
  count = len(exemplars)
  rows = []
  for number, source in enumerate(sources):
    rows.append([source.image, *results[number * count : (number + 1) * count]])
  names = _labels(sources, 'row', note)
  if exemplars == [None]:
    return pictures.grid(rows, column_names=['source', title], row_names=names)
  rows.insert(0, [None, *(exemplar.image for exemplar in exemplars)])
  return pictures.grid(
    rows, row_names=['', *names], column_names=['', *_labels(exemplars, 'column', note)]
  )


def _labels(
  side: Sequence[Picture], kind: str, note: Callable[[str], None]
) -> list[str]:
  """Returns names that a grid can write, and notes what replaced ones stand for."""
  labels, legend = pictures.labels([picture.name for picture in side], kind)
  if legend:
    note(legend)
  return labels
