"""Clips, that is, pictures in time: animated GIF and WebP, folders of numbered pictures, videos.

`open_clip` reads them frame by frame, `writers` writes them. Videos need the extra `video`.
"""

import os

from maskgan_jax.data import photographs
from maskgan_jax.data.clips import animations, numbered, videos
from maskgan_jax.data.clips.base import Clip, CutOff, Drawn, Frame

__all__ = [
  'Clip',
  'CutOff',
  'Drawn',
  'Frame',
  'is_clip_name',
  'is_video_name',
  'open_clip',
]


def is_video_name(path: str) -> bool:
  """Returns whether a file is taken for a video, by its extension."""
  return videos.extension_of(path) in videos.READ


def is_clip_name(path: str) -> bool:
  """Returns whether a result of this name is a clip, by its extension."""
  return videos.extension_of(path) in (*animations.EXTENSIONS, *videos.WRITTEN)


def open_clip(
  path: str, *, rate: float = 25.0, max_pixels: int = photographs.MAX_PIXELS
) -> Clip:
  """Opens a clip.

  Args:
    path: a video, an animated picture, or a folder of numbered pictures.
    rate: frames per second of a folder.
    max_pixels: larger frames are refused.
  Raises:
    UserError: it cannot be read, or holds no frame.
  """
  if os.path.isdir(path):
    return numbered.Numbered(path, rate, max_pixels)
  if is_video_name(path):
    return videos.Video(path, max_pixels)
  return animations.Animation(path, max_pixels)
