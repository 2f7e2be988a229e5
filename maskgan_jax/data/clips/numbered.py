"""Folders of numbered pictures, such as an editor exports them."""

from collections.abc import Iterator
import os
import re

from maskgan_jax import errors
from maskgan_jax.data import images, photographs
from maskgan_jax.data.clips.base import Clip, Frame, unit_of


class Numbered(Clip):
  """A folder of numbered pictures; a frame lasts one unit."""

  def __init__(self, path: str, rate: float, max_pixels: int):
    self.path, self._max_pixels = path, max_pixels
    self.unit = unit_of(rate)
    self._files, self.remarks = _in_order(path)
    self.count = len(self._files)
    self.size = self._load(self._files[0]).pixels.shape[:2]

  def _load(self, file: str) -> photographs.Photograph:
    return photographs.load(os.path.join(self.path, file), max_pixels=self._max_pixels)

  def frames(self) -> Iterator[Frame]:
    """Yields the frames; see `Clip`."""
    for number, file in enumerate(self._files):
      photograph = self._load(file)
      pixels, opacity = photograph.pixels, photograph.opacity
      # A clip has 8 bits.
      if pixels.dtype != 'uint8':
        pixels = (pixels >> 8).astype('uint8')
        opacity = None if opacity is None else (opacity >> 8).astype('uint8')
      yield Frame(pixels, number, 1, file, opacity)

  def signature(self) -> list:
    """Returns names, sizes and times of the files."""
    files = []
    for file in self._files:
      status = os.stat(os.path.join(self.path, file))
      files.append([file, status.st_size, status.st_mtime_ns])
    return files


def _in_order(path: str) -> tuple[list[str], tuple[str, ...]]:
  """Returns a folder's pictures by their numbers, and remarks on numbers that are missing."""
  file_by_number = {}
  for file in filter(images.is_image_name, sorted(os.listdir(path))):
    numbers = re.findall(r'\d+', os.path.splitext(file)[0])
    if not numbers:
      raise errors.UserError(
        f'{os.path.join(path, file)} has no number in its name; the frames of a clip are '
        'numbered pictures'
      )
    number = int(numbers[-1])
    if number in file_by_number:
      raise errors.UserError(
        f'{path}: {file_by_number[number]} and {file} have the same number'
      )
    file_by_number[number] = file
  if not file_by_number:
    raise errors.UserError(f'{path} holds no frame: no numbered picture is in it')

  # A missing number is more often a lost file than a wish.
  first, last = min(file_by_number), max(file_by_number)
  missing = last - first + 1 - len(file_by_number)
  remarks = ()
  if missing:
    gap = next(number for number in range(first, last) if number not in file_by_number)
    remarks = (
      f'{path} lacks {missing} of the numbers {first} to {last}, the first is {gap}; '
      'the frames beside a gap follow each other',
    )
  return [file_by_number[number] for number in sorted(file_by_number)], remarks
