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
from maskgan_jax.translate import computing, inputs, own_size, tasks
from maskgan_jax.translate.computing import Pair, Style
from maskgan_jax.translate.inputs import Edits, Picture
from maskgan_jax.translator import Translator

_CHUNK = 64  # pictures translated at once
_NO_EDITS = Edits()


def translate(
  translator: Translator,
  source: str,
  exemplar: str | Sequence[str],
  output: str,
  *,
  source_edits: Edits = _NO_EDITS,
  exemplar_edits: Edits = _NO_EDITS,
  save_masks: bool = False,
  grid: bool = False,
  reverse: bool = False,
  size: str = 'model',
  styles: int = 1,
  note: Callable[[str], None] = print,
) -> list[str]:
  """Translates every source after every exemplar's example, or alone; returns the files written.

  Args:
    translator: the model.
    source, exemplar: pictures or folders of them; '' is none, or a random style. Several
      exemplars are pictures, one for each place of a source.
    output: a .png file, with size 'own' also a .jpg, or a folder.
    source_edits, exemplar_edits: places, and masks: where to change sources, what to take.
    save_masks: whether to write the masks, and what else the method saves, as <result>_NAME.png.
    grid: whether to write one picture with a row for each source and a column for each exemplar.
    reverse: sources are of domain b and exemplars of a.
    size: 'model', the model's resolution; or 'own', that of each source, put back into it.
    styles: random styles for each source, without an exemplar.
    note: gets lines about pictures that are left out, or that look wrong to the model.
  """
  exemplar_paths = [exemplar] if isinstance(exemplar, str) else list(exemplar)
  sides = (source, source_edits), (exemplar_paths, exemplar_edits)
  of_sources = own_size.options(size, grid)
  sources, exemplars = tasks.load(
    translator, *sides, output, of_sources, styles=styles, note=note
  )
  tasks.check_places(sources, size)
  of_pictures = list(
    itertools.starmap(tasks.task, itertools.product(sources, exemplars))
  )
  pairs = list(itertools.chain(*of_pictures))

  # Nothing is computed before all files are known to be free.
  is_folder = any(map(os.path.isdir, [source, *exemplar_paths]))
  several = not grid and (is_folder or styles > 1)
  names = _result_names(of_pictures, grid, reverse)
  stems, extension = own_size.stems(output, names, several, size)
  masks = translator.method.saved_names() if save_masks else ()
  paths = [source, *exemplar_paths, source_edits.mask, exemplar_edits.mask]
  endings = [extension]
  for mask in masks:
    suffixes = own_size.suffixes_of(computing.suffix(mask), len(exemplar_paths))
    endings += [f'{suffix}.png' for suffix in suffixes]
  _check_outputs(stems, endings, paths)

  if size == 'own':
    own_size.note_places(sources, note)
    needed = dict.fromkeys(['source_mask', *masks])
    results = _each(
      pairs, functools.partial(computing.translated, translator, needed, reverse)
    )
    writer = own_size.Writer(translator, masks, note)
    return own_size.write_each(writer, of_pictures, (stems, extension), results)
  results = _each(
    pairs, functools.partial(computing.translated, translator, masks, reverse)
  )
  if grid:
    rows, columns = [places[0] for places in sources], [one[0] for one in exemplars]
    return _write_grids(stems[0], rows, columns, list(results), note)
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
  places = inputs.load(
    translator,
    source,
    edits,
    flag='source_mask',
    note=note,
    apart=[edits.mask, output],
    **own_size.options(size, grid),
  )
  groups = inputs.by_file(places)
  tasks.check_places(groups, size)
  sources = [group[0] for group in groups]
  names = ['grid__removed']
  if not grid:
    names = [f'{picture.name}__removed' for picture in sources]
  several = os.path.isdir(source) and not grid
  stems, extension = own_size.stems(output, names, several, size)
  masks = ('source_mask',) if save_masks or grid else ()  # a grid has a column for it
  saved = masks if save_masks else ()
  endings = [extension, *(f'{computing.suffix(mask)}.png' for mask in saved)]
  _check_outputs(stems, endings, [source, edits.mask])

  alone = [(place, None) for place in places]
  if size == 'own':
    own_size.note_places(groups, note)
    of_pictures = [[(place, None) for place in group] for group in groups]
    needed = ('source_mask', 'binary_mask')
    results = _each(alone, functools.partial(computing.removed, translator, needed))
    writer = own_size.Writer(translator, saved, note)
    return own_size.write_each(writer, of_pictures, (stems, extension), results)
  results = _each(alone, functools.partial(computing.removed, translator, masks))
  if not grid:
    return _write_each(stems, results)
  results = list(results)
  written = _write_removal_grid(stems[0], sources, results, note)
  if save_masks:
    suffix = computing.suffix('source_mask')
    alone_masks = [{suffix: result[suffix]} for result in results]
    written += _write_grids(stems[0], sources, [None], alone_masks, note)
  return written


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


def _result_names(
  of_pictures: Sequence[Sequence[Pair]], grid: bool, reverse: bool
) -> list[str]:
  """Returns the name of the grid, or of each picture's result."""
  names = ['grid'] if grid else list(map(_task_name, of_pictures))
  # Domains often number their pictures alike.
  return [f'{name}__reverse' for name in names] if reverse else names


def _task_name(task: Sequence[Pair]) -> str:
  """Returns the name of a picture's result."""
  exemplars = dict.fromkeys(one.name if one else 'translated' for _, one in task)
  return f'{task[0][0].name}__{"+".join(exemplars)}'


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
