"""Writes results at the size of the pictures that they come from; see docs/photographs.md."""

from collections.abc import Callable, Iterable, Mapping, Sequence
import itertools
import os
import sys
from typing import Any

import numpy as np
import tqdm

from maskgan_jax import errors, files
from maskgan_jax.data import images, photographs
from maskgan_jax.translate import inputs
from maskgan_jax.translate.computing import Pair
from maskgan_jax.translate.inputs import Picture
from maskgan_jax.translator import enlarging, own_size, pasting, Translator

# The results of a model that this needs, by suffix.
SUFFIX_OF_MASK = '_source_mask'
SUFFIX_OF_BINARY = '_binary_mask'  # of a removal: what was really removed
_SUFFIX_OF_EXEMPLARS = '_exemplar_mask'
_GREY = 128  # an added mask's nothing
_MANY_PIXELS = 30_000_000  # of a picture; more are announced
_PATIENCE = 2.0  # seconds after which a bar shows how long the rest takes
_MOST_NOTED = 5  # lines about places
_LEAST_OVERLAP = 0.005  # of the smaller of two places; less is rounding

# The places of a picture, each with its exemplar if there are any.
Task = Sequence[Pair]
Results = Sequence[Mapping[str, np.ndarray]]


class Writer:
  """Writes results one after another; notes once that a method repaints everything."""

  def __init__(
    self, translator: Translator, saved: Sequence[str], note: Callable[[str], None]
  ):
    """Takes the model, the names of masks to save, and what gets lines for the user."""
    self._method = translator.method
    self._name = translator.config.method
    self._suffixes = [f'_{name}' for name in saved]
    self._note = note
    self._has_warned = False

  def write(self, path: str, task: Task, results: Results) -> list[str]:
    """Writes a picture and its masks; returns their paths.

    Args:
      path: of the picture, .png or .jpg.
      task: its places.
      results: the model's arrays of each by suffix; '' is the image.
    """
    source = task[0][0]
    photograph = pasting.photograph(source.fitted)
    stem, extension = os.path.splitext(path)
    pixels, opacity = self._pasted(photograph.pixels, task, results)
    changed = photograph.with_pixels(pixels)
    encoded = photographs.encode(changed, extension.lower(), source.path)
    files.write_atomically(path, encoded)
    written = [path]
    for suffix in self._suffixes:
      if suffix == SUFFIX_OF_MASK:
        masks = {suffix: opacity[..., None]}
      elif suffix in results[0]:
        masks = _spread_all(suffix, task, results)
      else:
        continue
      for name, mask in masks.items():
        written.append(f'{stem}{name}.png')
        images.save_png(written[-1], mask)
    return written

  def _pasted(
    self, pixels: np.ndarray, task: Task, results: Results
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns the picture with the changes, and where it changed."""
    changes = []
    for (place, _), result in zip(task, results, strict=True):
      changes.append(self._change(pixels, place, result))
    source = task[0][0]
    given = inputs.own_mask(source, photographs.MAX_PIXELS)
    keep = None
    if source.rectangles:
      keep = inputs.unerased(source.fitted, source.rectangles)
    return own_size.paste_all(pixels, changes, given=given, keep=keep)

  def _change(
    self, pixels: np.ndarray, source: Picture, result: Mapping[str, np.ndarray]
  ) -> own_size.Change:
    """Returns what changes at a place."""
    mask = result.get(SUFFIX_OF_BINARY, result.get(SUFFIX_OF_MASK))
    is_opacity = self._method.mask_is_opacity
    if mask is None or not is_opacity:
      self._warn_of_repainting(source, result[''])
    return pasting.change_of(
      source.fitted, pixels, result[''], mask, is_opacity=is_opacity
    )

  def _warn_of_repainting(self, source: Picture, image: np.ndarray) -> None:
    """Notes, once, that all of a picture was repainted."""
    if not self._has_warned and own_size.repaints(source.image, image):
      self._has_warned = True
      self._note(
        f'{self._name} repaints all of {source.path}, and has no mask that says what to '
        'keep: its change is enlarged and added, and the details of the picture show through; '
        '--size=model has what the model painted'
      )


def write_each(
  writer: Writer,
  tasks: Sequence[Task],
  outputs: tuple[Sequence[str], str],
  results: Iterable[Mapping[str, np.ndarray]],
) -> list[str]:
  """Writes the results of tasks as they come, to what `stems` returned; returns all paths.

  On terminals a bar says how long the rest will take, if it takes long.
  """
  written = []
  paths = [stem + outputs[1] for stem in outputs[0]]
  results = iter(results)
  bar = tqdm.tqdm(
    zip(tasks, paths, strict=True),
    desc='writing',
    total=len(tasks),
    unit=' pictures',
    delay=_PATIENCE,
    disable=not sys.stderr.isatty(),
    leave=False,
  )
  for task, path in bar:
    written += writer.write(path, task, list(itertools.islice(results, len(task))))
  return written


def note_places(
  sources: Sequence[Sequence[Picture]], note: Callable[[str], None]
) -> None:
  """Notes what a model does not see, places that overlap, and pictures that take long."""
  remarks = []
  for places in sources:
    height, width = places[0].fitted.size
    if height * width > _MANY_PIXELS:
      remarks.append(
        f'{places[0].path} has {height * width / 1e6:.0f} megapixels, which take a while'
      )
    remarks += filter(None, (place.fitted.seen_remark() for place in places))
    for (i, one), (j, other) in itertools.combinations(enumerate(places, 1), 2):
      share = enlarging.overlap(one.fitted.box, other.fitted.box)
      if share > _LEAST_OVERLAP:
        remarks.append(
          f'{one.path}: places {i} and {j} overlap, in {100 * share:.0f} % of the smaller one; '
          f'what both change is first {i} and then {j}'
        )
  for remark in remarks[:_MOST_NOTED]:
    note(remark)
  if len(remarks) > _MOST_NOTED:
    note(f'and {len(remarks) - _MOST_NOTED} more lines of this kind')


def check(picture: Picture) -> None:
  """Raises UserError for a source that cannot be edited at its own size."""
  fitted = picture.fitted
  shape = fitted.image.shape[:2]
  enlarging.check_proportions(fitted.region_size, shape, picture.path)
  photographs.check(picture.path)


def options(size: str, grid: bool) -> dict[str, Any]:
  """Returns what `inputs.load` takes for sources; UserError for an unknown size, and for a grid."""
  if size not in pasting.SIZES:
    raise errors.UserError(f"--size={size} must be 'model' or 'own'")
  if grid and size == 'own':
    raise errors.UserError(
      "--grid shows pictures at the model's size; leave it out, or --size=own"
    )
  if size == 'model':
    return {}
  return {'max_pixels': photographs.MAX_PIXELS, 'check': check}


def stems(
  output: str, names: Sequence[str], several: bool, size: str
) -> tuple[list[str], str]:
  """Returns the paths of results without their extension, and that; see `images.result_stems`."""
  extensions, remedy = ('.png',), 'name a folder, or add --grid'
  if size == 'own':
    extensions, remedy = photographs.EXTENSIONS, 'name a folder'
  paths = images.result_stems(output, names, several, extensions, remedy)
  is_file = len(paths) == 1 and output.startswith(paths[0])
  return paths, output.removeprefix(paths[0]) if is_file else '.png'


def suffixes_of(suffix: str, exemplars: int) -> list[str]:
  """Returns the suffixes of a mask's files where a picture has so many exemplars."""
  if suffix != _SUFFIX_OF_EXEMPLARS or exemplars < 2:
    return [suffix]
  return [f'{suffix}_{number + 1}' for number in range(exemplars)]


def _spread_all(suffix: str, task: Task, results: Results) -> dict[str, np.ndarray]:
  """Returns masks or extras of all places at the own size, by suffix.

  Those of several exemplars are numbered; those of a picture's places come into one.
  """
  if suffix == _SUFFIX_OF_EXEMPLARS:
    # The same file may be given twice, with two regions.
    numbers = {}
    for _, exemplar in task:
      numbers.setdefault(id(exemplar), len(numbers))
    suffixes = suffixes_of(suffix, len(numbers))
    masks = {}
    for (_, exemplar), result in zip(task, results, strict=True):
      masks[suffixes[numbers[id(exemplar)]]] = _spread(result[suffix], exemplar)
    return masks
  whole = None
  for (place, _), result in zip(task, results, strict=True):
    part = _spread(result[suffix], place)
    outside = _GREY if part.shape[-1] == 3 else 0
    whole = part if whole is None else np.where(part != outside, part, whole)
  return {suffix: whole}


def _spread(small: np.ndarray, picture: Picture) -> np.ndarray:
  """Returns a mask or extra of a model in its place at the picture's size."""
  outside = _GREY if small.shape[-1] == 3 else 0
  fitted = picture.fitted
  return enlarging.spread(small, fitted.box, fitted.size, outside)
