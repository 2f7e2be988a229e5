"""Translates or removes for all the pictures that a user gives, and writes the results."""

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import functools
import itertools
import os

import numpy as np

from maskgan_jax import errors, files
from maskgan_jax.data import images
from maskgan_jax.runs import pictures
from maskgan_jax.translate import computing, inputs
from maskgan_jax.translate.computing import Pair, Style
from maskgan_jax.translate.inputs import Edits, Picture
from maskgan_jax.translator import Translator

_CHUNK = 64  # pictures translated at once
_NO_EDITS = Edits()


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
  styles: int = 1,
  note: Callable[[str], None] = print,
) -> list[str]:
  """Translates every source after every exemplar's example, or alone; returns the files written.

  Args:
    translator: the model.
    source, exemplar: pictures or folders of them; '' is none, or a random style.
    output: a .png file or a folder.
    source_edits, exemplar_edits: masks: where to change sources, what to take from exemplars.
    save_masks: whether to write the masks, and what else the method saves, as <result>_NAME.png.
    grid: whether to write one picture with a row for each source and a column for each exemplar.
    reverse: sources are of domain b and exemplars of a.
    styles: random styles for each source, where there is no exemplar.
    note: gets lines about pictures that are left out, or that look wrong to the model.
  """
  sides = (source, source_edits), (exemplar, exemplar_edits)
  sources, exemplars = _load_sides(
    translator, *sides, styles=styles, output=output, note=note
  )
  pairs = list(itertools.product(sources, exemplars))

  # Nothing is computed before all files are known to be free.
  several = not grid and (styles > 1 or any(map(os.path.isdir, (source, exemplar))))
  stems = images.png_stems(output, _result_names(pairs, grid, reverse), several)
  masks = translator.method.saved_names() if save_masks else ()
  paths = [source, exemplar, source_edits.mask, exemplar_edits.mask]
  _check_outputs(stems, ['', *map(computing.suffix, masks)], paths)

  compute = functools.partial(computing.translated, translator, masks, reverse)
  results = _each(pairs, compute)
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
  note: Callable[[str], None] = print,
) -> list[str]:
  """Removes from every source what the method transfers; arguments are those of `translate`."""
  sources = inputs.load(
    translator, source, edits, flag='source_mask', note=note, apart=[edits.mask, output]
  )
  names = ['grid__removed']
  if not grid:
    names = [f'{picture.name}__removed' for picture in sources]
  several = os.path.isdir(source) and not grid
  stems = images.png_stems(output, names, several)
  masks = ('source_mask',) if save_masks or grid else ()  # a grid has a column for it
  suffixes = ['', *map(computing.suffix, masks)] if save_masks else ['']
  _check_outputs(stems, suffixes, [source, edits.mask])

  alone = [(picture, None) for picture in sources]
  results = _each(alone, functools.partial(computing.removed, translator, masks))
  if not grid:
    return _write_each(stems, results)
  results = list(results)
  written = _write_removal_grid(stems[0], sources, results, note)
  if save_masks:
    alone_masks = [
      {suffix: result[suffix] for suffix in suffixes[1:]} for result in results
    ]
    written += _write_grids(stems[0], sources, [None], alone_masks, note)
  return written


def _load_sides(
  translator: Translator,
  source_side: tuple[str, Edits],
  exemplar_side: tuple[str, Edits],
  *,
  styles: int,
  output: str,
  note: Callable[[str], None],
) -> tuple[list[Picture], list[Picture | Style | None]]:
  """Returns the sources, and the exemplars, the random styles, or [None] for a method without.

  A side is (path, edits).
  """
  (source, source_edits), (exemplar, exemplar_edits) = source_side, exemplar_side
  _check_exemplar(translator, exemplar, exemplar_edits, styles)
  apart = [source, exemplar, source_edits.mask, exemplar_edits.mask, output]
  load = functools.partial(inputs.load, translator, note=note, apart=apart)
  sources = load(source, source_edits, flag='source_mask')
  if not exemplar and 'random_style' in translator.abilities:
    return sources, list(map(Style, range(styles)))
  if not exemplar:
    return sources, [None]
  return sources, load(exemplar, exemplar_edits, flag='exemplar_mask')


def _check_exemplar(
  translator: Translator, exemplar: str, edits: Edits, styles: int
) -> None:
  """Raises UserError unless there is an exemplar, or a random style, if the method takes one."""
  method, abilities = translator.config.method, translator.abilities
  if styles > 1 and 'random_style' not in abilities:
    raise errors.UserError(f'{method} draws no styles; leave out --styles')
  if exemplar and styles > 1:
    raise errors.UserError('an exemplar has a style already; leave out --styles')
  if exemplar and 'exemplar' in abilities:
    return
  if 'exemplar' in abilities and 'random_style' not in abilities:
    raise errors.UserError(f'{method} needs an exemplar; add --exemplar')
  for flag, value in (
    ('exemplar', exemplar),
    ('exemplar_mask', edits.mask),
    ('erase_exemplar', edits.erase),
  ):
    if value and 'exemplar' in abilities:
      raise errors.UserError(f'--{flag} needs an exemplar; add --exemplar')
    if value:
      raise errors.UserError(f'{method} takes no exemplar; leave out --{flag}')


def _check_outputs(
  stems: Sequence[str], suffixes: Sequence[str], input_paths: Sequence[str]
) -> None:
  """Raises UserError if a result cannot be made, or would replace another or one of the inputs."""
  outputs = []
  for stem, suffix in itertools.product(stems, suffixes):
    outputs.append(f'{stem}{suffix}.png')
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


def _result_names(pairs: Sequence[Pair], grid: bool, reverse: bool) -> list[str]:
  """Returns the name of the grid, or of each pair's result."""
  if grid:
    names = ['grid']
  else:
    names = list(itertools.starmap(_pair_name, pairs))
  # Domains often number their pictures alike.
  return [f'{name}__reverse' for name in names] if reverse else names


def _pair_name(source: Picture, exemplar: Picture | Style | None) -> str:
  """Returns the name of a pair's result."""
  return f'{source.name}__{exemplar.name if exemplar else "translated"}'


def _each(
  pairs: Sequence[Pair], compute: Callable[[Sequence[Pair]], Mapping[str, np.ndarray]]
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
  exemplars: Sequence[Picture | Style | None],
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
    rows.append([picture.image, result[computing.suffix('source_mask')], result['']])
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
  exemplars: Sequence[Picture | Style | None],
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
  columns = _labels(exemplars, 'column', note)
  if isinstance(exemplars[0], Style):
    return pictures.grid(rows, column_names=['source', *columns], row_names=names)
  rows.insert(0, [None, *(exemplar.image for exemplar in exemplars)])
  return pictures.grid(rows, row_names=['', *names], column_names=['', *columns])


def _labels(
  side: Sequence[Picture | Style], kind: str, note: Callable[[str], None]
) -> list[str]:
  """Returns names that a grid can write, and notes what replaced ones stand for."""
  labels, legend = pictures.labels([picture.name for picture in side], kind)
  if legend:
    note(legend)
  return labels
