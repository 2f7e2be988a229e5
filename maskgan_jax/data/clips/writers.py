"""Writes clips in parts, which are whole files, and joins them at the end.

A part that is there need not be computed again after a kill.
"""

from collections.abc import Iterable, Sequence
import io
import os
import shutil

import numpy as np
from PIL import Image
from scipy import spatial

from maskgan_jax import errors, files
from maskgan_jax.data import images, photographs
from maskgan_jax.data.clips import animations, videos
from maskgan_jax.data.clips.base import Clip, Frame

_PALETTE = 256  # colours of a frame of a GIF
_LEAST_NEW = 32  # of them for what was painted
_GIF_TICK = 10  # milliseconds
_GIF_LEAST = 20  # milliseconds; browsers show shorter frames for 100
_VIDEO_FRAMES = 48  # in a part; it begins with a whole picture, which costs bytes


class Writer:
  """Writes the frames of a result.

  Attributes:
    frames_per_part: number of frames in each part but the last.
    extension: of a part's file.
    remarks: what the form of the result loses.
  """

  frames_per_part = 1
  extension = '.png'
  remarks: tuple[str, ...] = ()

  def __init__(self, clip: Clip, path: str):
    """Takes the source, and where the result will be."""
    self._clip, self._path = clip, path

  def encode(self, pairs: Iterable[tuple[Frame, Frame]]) -> bytes:
    """Returns the file of a part.

    Args:
      pairs: frames of the result, each with the one that it was made of.
    """
    raise NotImplementedError

  def join(self, parts: Sequence[str], frames: Sequence[Frame], path: str) -> None:
    """Writes all parts as one clip; OSError where the disk refuses.

    Args:
      parts: their files, in order.
      frames: times, durations and names of all frames; their pixels are not used.
      path: the file or folder to make.
    """
    raise NotImplementedError


class Pictures(Writer):
  """Writes a folder of PNG files, named after the source's frames."""

  def encode(self, pairs: Iterable[tuple[Frame, Frame]]) -> bytes:
    """Returns a PNG."""
    [(frame, _)] = pairs
    return photographs.encode(
      photographs.Photograph(frame.pixels, frame.opacity), '.png'
    )

  def join(self, parts: Sequence[str], frames: Sequence[Frame], path: str) -> None:
    """Fills a folder."""
    os.makedirs(path)
    for number, (part, frame) in enumerate(zip(parts, frames, strict=True)):
      stem, extension = os.path.splitext(frame.name)
      name = stem if extension else f'{number + 1:06d}'
      # The parts stay: after a kill they are joined again.
      target = os.path.join(path, f'{name}.png')
      try:
        os.link(part, target)
      except OSError:
        shutil.copyfile(part, target)


class WebP(Pictures):
  """Writes an animated WebP, without loss."""

  def join(self, parts: Sequence[str], frames: Sequence[Frame], path: str) -> None:
    """Writes the file."""
    durations = _milliseconds(frames, self._clip, 1, 1)
    options = {'lossless': True, 'exact': True, 'minimize_size': False, 'quality': 50}
    _save(parts, durations, self._clip, path, 'WEBP', options)


class GIF(Writer):
  """Writes an animated GIF, of 256 colours a frame."""

  def __init__(self, clip: Clip, path: str):
    super().__init__(clip, path)
    self.remarks = (
      'a .gif has 256 colours a frame, and frames that are shown for less than 20 ms are '
      'left out; a .webp keeps every pixel and frame',
    )

  def encode(self, pairs: Iterable[tuple[Frame, Frame]]) -> bytes:
    """Returns a PNG with the frame's palette."""
    [(frame, source)] = pairs
    buffer = io.BytesIO()
    with_palette(frame, source).save(buffer, 'PNG')
    return buffer.getvalue()

  def join(self, parts: Sequence[str], frames: Sequence[Frame], path: str) -> None:
    """Writes the file."""
    durations = _milliseconds(frames, self._clip, _GIF_TICK, _GIF_LEAST)
    _save(parts, durations, self._clip, path, 'GIF', {'disposal': 2, 'optimize': False})


class Video(Writer):
  """Writes a video, with the sound of the source."""

  frames_per_part = _VIDEO_FRAMES
  extension = '.mkv'

  def __init__(self, clip: Clip, path: str):
    super().__init__(clip, path)
    self._encoder = videos.Encoder(clip, path)

  def encode(self, pairs: Iterable[tuple[Frame, Frame]]) -> bytes:
    """Returns a video of the part."""
    return self._encoder.encode(self._opaque(frame) for frame, _ in pairs)

  def _opaque(self, frame: Frame) -> np.ndarray:
    """Returns the pixels of a frame; UserError for a transparent one."""
    if frame.opacity is not None:
      raise errors.UserError(
        f'{frame.name} of {self._clip.path} is partly transparent, which a video cannot be; '
        'write a .webp'
      )
    return frame.pixels

  def join(self, parts: Sequence[str], frames: Sequence[Frame], path: str) -> None:
    """Writes the file."""
    times = [frame.time for frame in frames]
    self._encoder.join(parts, times, frames[-1].duration, path)


def check_name(path: str, inputs: Sequence[str] = ()) -> None:
  """Raises UserError if no clip can be written at a path; see `files.check_output`."""
  files.check_output(path, inputs)
  extension = videos.extension_of(path)
  possible = (*animations.EXTENSIONS, *videos.WRITTEN)
  is_other = images.is_image_name(f'x{extension}') or extension in videos.READ
  if is_other and extension not in possible and not os.path.isdir(path):
    raise errors.UserError(
      f'--output={path}: clips are written as {", ".join(possible)}, or as pictures into a folder'
    )
  if os.path.isdir(path) and os.listdir(path):
    raise errors.UserError(
      f'{path} holds files already; name another folder for the frames'
    )


def writer(clip: Clip, path: str) -> Writer:
  """Returns what writes a result: by the extension of its path, or else a folder."""
  extension = videos.extension_of(path)
  if extension in videos.WRITTEN:
    return Video(clip, path)
  by_extension = dict(zip(animations.EXTENSIONS, (GIF, WebP), strict=True))
  made = by_extension.get(extension, Pictures)(clip, path)
  if clip.sounds:
    kind = extension if extension in by_extension else 'folder of pictures'
    made.remarks = (*made.remarks, f'the sound is left out: a {kind} has none')
  return made


def with_palette(frame: Frame, source: Frame) -> Image.Image:
  """Returns a frame with a palette in which pixels that did not change keep their colours.

  That is so where the unchanged pixels have at most 224 colours, as those of a GIF that was
  changed in part mostly have.
  """
  colors = _packed(frame.pixels)
  is_clear = np.zeros(colors.shape, bool)
  if frame.opacity is not None:
    is_clear = frame.opacity < 128
  most = _PALETTE - int(is_clear.any())
  is_kept = (frame.pixels == source.pixels).all(axis=-1)
  kept = np.unique(colors[is_kept & ~is_clear])
  rest = frame.pixels[~is_kept & ~is_clear]
  if len(kept) > most - (_LEAST_NEW if rest.size else 0):
    kept, rest = kept[:0], frame.pixels[~is_clear]
    is_kept[:] = False

  # Each colour of the palette goes to the pixels nearest to it.
  palette = np.concatenate([kept, _chosen(rest, most - len(kept))])
  indices = np.zeros(colors.shape, np.uint8)
  indices[is_kept] = np.searchsorted(kept, colors[is_kept]).clip(0, 255)
  indices[~is_kept] = _nearest(frame.pixels[~is_kept], palette)
  return _with_colors(indices, palette, is_clear)


def _with_colors(
  indices: np.ndarray, palette: np.ndarray, is_clear: np.ndarray
) -> Image.Image:
  """Returns a picture with a palette of packed colours; the last entry may be transparent."""
  table = np.stack([palette >> 16, (palette >> 8) & 255, palette & 255], axis=-1)
  if is_clear.any():
    indices = np.where(is_clear, len(palette), indices).astype(np.uint8)
    table = np.concatenate([table, [[0, 0, 0]]])
  image = Image.fromarray(indices, 'P')
  image.putpalette(table.astype(np.uint8).tobytes(), 'RGB')
  if is_clear.any():
    image.info['transparency'] = len(palette)
  return image


def _packed(pixels: np.ndarray) -> np.ndarray:
  """Returns colours as one number each."""
  wide = pixels.astype(np.int64)
  return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


def _chosen(pixels: np.ndarray, most: int) -> np.ndarray:
  """Returns at most `most` packed colours for pixels [N, 3]: theirs, or by median cut."""
  unique = np.unique(_packed(pixels))
  if len(unique) <= most:
    return unique
  quantized = Image.fromarray(pixels[None]).quantize(
    most, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
  )
  table = np.array(quantized.getpalette(), np.uint8).reshape(-1, 3)[:most]
  return np.unique(_packed(table))


def _nearest(pixels: np.ndarray, palette: np.ndarray) -> np.ndarray:
  """Returns the index of the nearest packed colour for pixels [N, 3]."""
  unique, inverse = np.unique(_packed(pixels), return_inverse=True)
  table = np.stack([palette >> 16, (palette >> 8) & 255, palette & 255], axis=-1)
  tree = spatial.cKDTree(table)
  wanted = np.stack([unique >> 16, (unique >> 8) & 255, unique & 255], axis=-1)
  return tree.query(wanted)[1].astype(np.uint8)[inverse.reshape(-1)]


def _milliseconds(
  frames: Sequence[Frame], clip: Clip, tick: int, least: int
) -> list[int]:
  """Returns how long frames are shown, in milliseconds.

  They are multiples of `tick`, so that rounding does not add up. A frame for which less than
  `least` is left gets 0, and its time goes to the next one; the last is always shown.
  """
  ends = [frame.time for frame in frames[1:]]
  ends.append(frames[-1].time + frames[-1].duration)
  durations, shown = [], 0
  for end in ends:
    wanted = float((end - frames[0].time) * clip.unit * 1000)
    duration = round((wanted - shown) / tick) * tick
    if duration < least:
      duration = 0
    durations.append(duration)
    shown += duration
  durations[-1] = max(least, durations[-1])
  return durations


def _save(
  parts: Sequence[str],
  durations: list[int],
  clip: Clip,
  path: str,
  form: str,
  options: dict,
) -> None:
  """Writes an animated picture of PNG files."""
  kept = [number for number, duration in enumerate(durations) if duration]
  parts = [parts[number] for number in kept]
  durations = [durations[number] for number in kept]
  loops = clip.loops
  if not isinstance(clip, animations.Animation):
    loops = 0
  elif loops is None and form == 'WEBP':
    loops = 1
  if loops is not None:
    options = {**options, 'loop': loops}
  with Image.open(parts[0]) as first:
    others = (_opened(part) for part in parts[1:])
    first.save(
      path, form, save_all=True, append_images=others, duration=durations, **options
    )


def _opened(path: str) -> Image.Image:
  with Image.open(path) as image:
    image.load()
    return image
