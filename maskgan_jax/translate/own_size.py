"""Writes results at the size of the pictures that they come from; see docs/photographs.md."""

from collections.abc import Callable, Iterable, Mapping, Sequence
import os
from typing import Any

import numpy as np

from maskgan_jax import errors, files
from maskgan_jax.data import images, photographs
from maskgan_jax.translate import inputs
from maskgan_jax.translate.inputs import Picture
from maskgan_jax.translator import enlarging, own_size, pasting, Translator

# The results of a model that this needs, by suffix.
SUFFIX_OF_MASK = '_source_mask'
SUFFIX_OF_BINARY = '_binary_mask'  # of a removal: what was really removed
_GREY = 128  # an added mask's nothing


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

  def write(
    self,
    path: str,
    source: Picture,
    exemplar: Picture | None,
    result: Mapping[str, np.ndarray],
  ) -> list[str]:
    """Writes a result and its masks; returns their paths.

    Args:
      path: of the picture, .png or .jpg.
      source: what was translated.
      exemplar: after which example.
      result: the model's arrays by suffix; '' is the image.
    """
    photograph = pasting.photograph(source.fitted)
    stem, extension = os.path.splitext(path)
    pixels, opacity = self._pasted(photograph.pixels, source, result)
    changed = photograph.with_pixels(pixels)
    encoded = photographs.encode(changed, extension.lower(), source.path)
    files.write_atomically(path, encoded)
    written = [path]
    for suffix in self._suffixes:
      if suffix == SUFFIX_OF_MASK:
        mask = opacity[..., None]
      elif suffix in result:
        picture = exemplar if suffix == '_exemplar_mask' else source
        mask = _spread(result[suffix], picture)
      else:
        continue
      written.append(f'{stem}{suffix}.png')
      images.save_png(written[-1], mask)
    return written

  def _pasted(
    self, pixels: np.ndarray, source: Picture, result: Mapping[str, np.ndarray]
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns the picture with the change, and where it changed."""
    mask = result.get(SUFFIX_OF_BINARY, result.get(SUFFIX_OF_MASK))
    is_opacity = self._method.mask_is_opacity
    if mask is None or not is_opacity:
      self._warn_of_repainting(source, result[''])
    change = pasting.change_of(
      source.fitted, pixels, result[''], mask, is_opacity=is_opacity
    )
    given = inputs.own_mask(source, photographs.MAX_PIXELS)
    keep = None
    if source.rectangles:
      keep = inputs.unerased(source.fitted, source.rectangles)
    return own_size.paste(pixels, change, given=given, keep=keep)

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
  pairs: Sequence[tuple[Picture, Picture | None]],
  outputs: tuple[Sequence[str], str],
  results: Iterable[Mapping[str, np.ndarray]],
) -> list[str]:
  """Writes the results of pairs as they come, to what `stems` returned; returns all paths."""
  written = []
  paths = [stem + outputs[1] for stem in outputs[0]]
  for (source, exemplar), path, result in zip(pairs, paths, results, strict=True):
    written += writer.write(path, source, exemplar, result)
  return written


def check(picture: Picture) -> None:
  """Raises UserError for a source that cannot be edited at its own size."""
  fitted = picture.fitted
  shape = fitted.image.shape[:2]
  enlarging.check_proportions(fitted.box, shape, picture.path)
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
  extensions = photographs.EXTENSIONS if size == 'own' else ('.png',)
  paths = images.result_stems(output, names, several, extensions)
  is_file = len(paths) == 1 and output.startswith(paths[0])
  return paths, output.removeprefix(paths[0]) if is_file else '.png'


def _spread(small: np.ndarray, picture: Picture) -> np.ndarray:
  """Returns a mask or extra of a model in its place at the picture's size."""
  outside = _GREY if small.shape[-1] == 3 else 0
  fitted = picture.fitted
  return enlarging.spread(small, fitted.box, fitted.size, outside)
