"""A visitor's photograph on the page: what the model sees of it, and the result in its own size."""

import dataclasses

import numpy as np
from PIL import Image

from maskgan_jax.data import photographs
from maskgan_jax.demo.models import Model
from maskgan_jax.methods.base import Translation
from maskgan_jax.translator import Fitted, pasting

_SHOWN = 900  # pixels of the longer side on the page
_LINE = (255, 32, 96)
_LEAST = 8  # pixels by which two corners of a place differ

Point = tuple[
  float, float
]  # down and right, in shares of the picture's height and width


@dataclasses.dataclass(frozen=True)
class OwnPhotograph:
  """A visitor's file and the place in it that is the source.

  Attributes:
    fitted: the place as the model sees it, with the file.
    preview: the picture for the page, uint8 [h, w, 3], at most 900 pixels long.
    mark: the first of two corners that choose another place; None before it is clicked.
  """

  fitted: Fitted
  preview: np.ndarray
  mark: Point | None = None

  @classmethod
  def of(cls, fitted: Fitted) -> 'OwnPhotograph':
    """Returns the photograph of which a model sees a place."""
    return cls(fitted, preview_of(pasting.photograph(fitted).pixels))

  def marked(self, point: Point) -> 'OwnPhotograph':
    """Returns the photograph with the first corner of another place."""
    return dataclasses.replace(self, mark=point)

  def place(
    self, point: Point, shape: tuple[int, int]
  ) -> tuple[int, int, int, int] | None:
    """Returns top, left, bottom, right of the place between the mark and another corner, pixels.

    It is the smallest that holds both corners and has the proportions of `shape`, the model's
    height and width; where the picture is too small for that, as much of it as there is. None if
    the corners are the same.
    """
    size = np.array(self.fitted.size, float)
    corners = np.sort(np.array([self.mark, point]) * size, axis=0)
    middle, extent = corners.mean(0), np.diff(corners, axis=0)[0]
    if extent.max() < _LEAST:
      return None
    unit = (extent / shape).max()
    extent = np.minimum(unit * np.array(shape), size)
    start = np.clip(middle - extent / 2, 0, size - extent)
    top, left = np.floor(start).astype(int)
    height, width = np.floor(extent).astype(int)
    return top, left, top + height, left + width

  def moved(self, fitted: Fitted) -> 'OwnPhotograph':
    """Returns the photograph with another place."""
    return dataclasses.replace(self, fitted=fitted, mark=None)

  def shown(self) -> np.ndarray:
    """Returns the preview with a frame around the place, or with the first corner."""
    picture = self.preview.copy()
    height, width = picture.shape[:2]
    scale = np.array([height, width]) / self.fitted.size
    if self.mark is not None:
      down, right = (np.array(self.mark) * (height, width)).astype(int)
      picture[max(down - 1, 0) : down + 2, max(right - 12, 0) : right + 13] = _LINE
      picture[max(down - 12, 0) : down + 13, max(right - 1, 0) : right + 2] = _LINE
      return picture
    box = self.fitted.box
    top, left = (np.array([box.top, box.left]) * scale).astype(int)
    bottom, right = (np.array([box.bottom, box.right]) * scale).astype(int)
    inner = picture[top + 3 : bottom - 3, left + 3 : right - 3].copy()
    picture[top:bottom, left:right] = _LINE
    picture[top + 3 : bottom - 3, left + 3 : right - 3] = inner
    return picture

  def result(self, model: Model, translation: Translation) -> photographs.Photograph:
    """Returns the whole photograph with the translation of its place, in its own size."""
    pasting.check('own', self.fitted)
    is_opacity = model.translator.method.mask_is_opacity
    pasted = pasting.at_own_size(self.fitted, translation, is_opacity=is_opacity)
    return pasting.photograph(self.fitted).with_pixels(pasted.image)


def file_of(photograph: photographs.Photograph) -> tuple[str, bytes]:
  """Returns the extension and the bytes of a file: a JPEG if it was one, else a PNG."""
  extension = '.jpg' if photograph.jpeg else '.png'
  return extension, photographs.encode(photograph, extension)


def preview_of(pixels: np.ndarray) -> np.ndarray:
  """Returns a picture, uint8 or uint16, for the page: uint8, at most 900 pixels long."""
  if pixels.dtype == np.uint16:
    pixels = (pixels >> 8).astype(np.uint8)
  picture = Image.fromarray(pixels)
  picture.thumbnail((_SHOWN, _SHOWN), Image.Resampling.BOX)
  return np.array(picture)
