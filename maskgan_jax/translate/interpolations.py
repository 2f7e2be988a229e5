"""Walks from one exemplar to another, as a clip that runs there and back for ever."""

from collections.abc import Callable
import functools
import os

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import clips
from maskgan_jax.data.clips import writers
from maskgan_jax.translate import inputs, own_size
from maskgan_jax.translate.inputs import Edits, Picture
from maskgan_jax.translate.unfinished import Unfinished
from maskgan_jax.translator import own_size as composing
from maskgan_jax.translator import pasting, Translation, Translator

_NO_EDITS = Edits()


def interpolate(
  translator: Translator,
  source: str,
  exemplars: tuple[str, str],
  output: str,
  *,
  count: int = 24,
  rate: float = 25.0,
  size: str = 'model',
  source_edits: Edits = _NO_EDITS,
  exemplar_edits: Edits = _NO_EDITS,
  note: Callable[[str], None] = print,
) -> list[str]:
  """Translates a picture along the line between two exemplars; returns the file written.

  Args:
    translator: the model.
    source: a picture.
    exemplars: the pictures at the two ends.
    output: a .gif, a .webp, a video, or a folder for numbered pictures.
    count: number of frames from one end to the other.
    rate: frames per second.
    size: 'model', or 'own', that of the source.
    source_edits: its region.
    exemplar_edits: the region of both exemplars.
    note: gets lines about what is lost, or looks wrong to the model.
  """
  writers.check_name(output, [source, *exemplars])
  for flag, edits in (('source', source_edits), ('exemplar', exemplar_edits)):
    if edits.mask or edits.erase:
      raise errors.UserError(
        f'an interpolation predicts its masks; leave out --{flag}_mask and --erase_{flag}'
      )
  options = own_size.options(size, grid=False)
  load = functools.partial(inputs.load, translator, note=note)
  source = _only(load(source, source_edits, flag='source_mask', **options), source)
  ends = []
  for path in exemplars:
    ends.append(_only(load(path, exemplar_edits, flag='exemplar_mask'), path).image)
  frames = translator.interpolate(source.image, *ends, count)
  pictures, opacity = list(frames.image), None
  if size == 'own':
    pictures, opacity = _own(translator, source, frames)

  # Back again, without showing an end twice.
  clip = clips.Drawn([*pictures, *pictures[-2:0:-1]], rate, opacity)
  _write(clip, output, note)
  return [output]


def _only(pictures: list[Picture], path: str) -> Picture:
  """Returns the one place of a path."""
  if len(pictures) > 1 and os.path.isdir(path):
    raise errors.UserError(f'{path} is a folder; an interpolation takes one picture')
  return inputs.only_place(pictures, 'an interpolation')


def _own(
  translator: Translator, source: Picture, frames: Translation
) -> tuple[list[np.ndarray], np.ndarray | None]:
  """Returns the frames at the size of the source, uint8 [H, W, 3], and its opacity [H, W]."""
  photograph = pasting.photograph(source.fitted)
  pixels, opacity = photograph.pixels, photograph.opacity
  if pixels.dtype == np.uint16:
    pixels = (pixels >> 8).astype(np.uint8)
  if opacity is not None and opacity.dtype == np.uint16:
    opacity = (opacity >> 8).astype(np.uint8)
  is_opacity = translator.method.mask_is_opacity
  pictures = []
  for number, image in enumerate(frames.image):
    mask = None if frames.source_mask is None else frames.source_mask[number]
    change = pasting.change_of(
      source.fitted, pixels, image, mask, is_opacity=is_opacity
    )
    pictures.append(composing.paste(pixels, change)[0])
  return pictures, opacity


def _write(clip: clips.Clip, output: str, note: Callable[[str], None]) -> None:
  """Writes a clip that is in memory."""
  writer = writers.writer(clip, output)
  for remark in writer.remarks:
    note(remark)
  unfinished = Unfinished(output, writer.extension)
  frames = list(clip.frames())
  with unfinished.opened({'clip': clip.signature(), 'unit': str(clip.unit)}, note):
    per_part = writer.frames_per_part
    for start in range(len(unfinished.parts) * per_part, len(frames), per_part):
      part = frames[start : start + per_part]
      unfinished.add(writer.encode(zip(part, part, strict=True)))
    unfinished.finish(functools.partial(writer.join, unfinished.parts, frames))
