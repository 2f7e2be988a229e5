"""What a user gives to `translate`: pictures or folders of them, masks, rectangles to erase."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
import itertools
import os
import pathlib

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import images, landmarks, unused
from maskgan_jax.data.sources import files as file_records
from maskgan_jax.translator import Translator
from maskgan_jax.translator.fitting import Fitted

_DARK = 0.1  # a given mask with less than this everywhere is probably a label map, or 12-bit data


@dataclasses.dataclass(frozen=True)
class Edits:
  """Says what a user changes about the sources or the exemplars: their places, their masks.

  Attributes:
    mask: a picture for all, or a folder with one of the same name for each; '' leaves the masks
      to the model.
    erase: rectangles 'y0,x0,y1,x1' that are cut out of the mask, in pixels of the given picture.
    regions: 'top,left,bottom,right' of what the model sees of each picture, in pixels or as shares
      in [0, 1]; several are several places of each. Without any it is all that the run's crop
      leaves.
    points: a table of the points of faces, which are aligned; see `landmarks.Faces.read`. Several
      rows of a picture are several places.
  """

  mask: str = ''
  erase: Sequence[str] = ()
  regions: Sequence[str] = ()
  points: str = ''


@dataclasses.dataclass(frozen=True)
class Picture:
  """A place of a picture at the model's resolution, with the user's edits of its mask.

  Attributes:
    name: what its results are named after.
    path: the file.
    fitted: the place, or all of the picture.
    mask: given mask, float32 [H, W, 1], or None.
    keep: 0 in erased rectangles, 1 elsewhere, float32 [H, W, 1]; None without rectangles.
    mask_file: the file of the given mask, or ''.
    rectangles: the erased ones, as given.
  """

  name: str
  path: str
  fitted: Fitted
  mask: np.ndarray | None = None
  keep: np.ndarray | None = None
  mask_file: str = ''
  rectangles: Sequence[str] = ()

  @property
  def image(self) -> np.ndarray:
    """uint8 [H, W, 3]."""
    return self.fitted.image


def load(
  translator: Translator,
  path: str,
  edits: Edits,
  *,
  flag: str,
  note: Callable[[str], None],
  apart: Sequence[str] = (),
  max_pixels: int | None = None,
  check: Callable[[Picture], None] | None = None,
) -> list[Picture]:
  """Loads a picture, or the pictures of a folder, with their masks: each place of each picture.

  Args:
    translator: the model.
    path: a picture or a folder.
    edits: the masks.
    flag: the command's flag that gives the masks, for messages.
    note: gets lines about pictures that are left out or that look wrong to the model.
    apart: other paths of the command, which are not reported as unused files of the folder.
    max_pixels: of a picture; None is `config.data.max_pixels`.
    check: raises UserError for a picture that cannot be translated.
  Raises:
    UserError: no picture can be read, or a mask does not fit.
  """
  if os.path.isdir(path) and (remark := unused.describe(path, [''], apart)):
    note(f'{path}: {remark}')
  fit = _fitter(translator, edits, flag, max_pixels, note)
  loaded = _fitted(fit, path, check or _accept, note)
  _note_remarks(loaded, note)

  # The user's masks replace those of the model, then rectangles are cut out of either.
  if edits.mask:
    loaded = _with_masks(loaded, edits.mask, flag, translator.config.data.max_pixels)
    _note_dark_masks(loaded, flag, note)
  if edits.erase:
    loaded = [with_rectangles(picture, edits.erase) for picture in loaded]
  return loaded


def by_file(pictures: Sequence[Picture]) -> list[list[Picture]]:
  """Returns the places of each picture, in their order."""
  places = itertools.groupby(pictures, key=lambda picture: picture.path)
  return [list(group) for _, group in places]


def only_place(places: Sequence[Picture], what: str) -> Picture:
  """Returns the one place of a picture; UserError, which names `what` takes it, for several."""
  if len(places) > 1:
    raise errors.UserError(
      f'{what} takes one place of {places[0].path}, not {len(places)}: leave one region, or one '
      'row of --points'
    )
  return places[0]


def with_rectangles(picture: Picture, rectangles: Sequence[str]) -> Picture:
  """Returns a place with these rectangles erased."""
  whole = unerased(picture.fitted, rectangles).astype(np.float32)
  keep = picture.fitted.seen(whole, picture.path)[..., None]
  return dataclasses.replace(picture, keep=keep, rectangles=rectangles)


def _accept(picture: Picture) -> None:
  """Takes every picture."""


def _fitter(
  translator: Translator,
  edits: Edits,
  mask_flag: str,
  max_pixels: int | None,
  note: Callable[[str], None],
) -> Callable[[str], list[Fitted]]:
  """Returns a function that makes the places of a file ready for the model."""
  is_source = mask_flag == 'source_mask'
  flag = 'region' if is_source else 'exemplar_region'
  regions = [parse_region(text, flag) for text in edits.regions]
  if not edits.points:
    return functools.partial(translator.fit_all, regions=regions, max_pixels=max_pixels)
  if regions:
    raise errors.UserError(f'--points and --{flag} both say where to look; give one')
  faces = landmarks.Faces.read(edits.points)

  def fit(file):
    points = faces.named(file) if is_source else faces.of(file)
    if not points:
      note(f'{file} has no row in {edits.points}, and is not aligned')
    return translator.fit_all(file, points=points, max_pixels=max_pixels)

  return fit


def parse_region(text: str, flag: str) -> tuple[float, ...]:
  """Returns the four numbers of a region."""
  try:
    top, left, bottom, right = map(float, text.split(','))
  except ValueError as error:
    raise errors.UserError(
      f'--{flag}={text} is not top,left,bottom,right, in pixels or as shares of height '
      'and width'
    ) from error
  return top, left, bottom, right


def _fitted(
  fit: Callable[[str], list[Fitted]],
  path: str,
  check: Callable[[Picture], None],
  note: Callable[[str], None],
) -> list[Picture]:
  """Returns the pictures of a path as the model takes them; notes which cannot be read."""
  fitted = []
  for name, file in listed(path):
    try:
      places = [Picture(name, file, place) for place in fit(file)]
      for place in places:
        check(place)
      fitted += places
    except errors.UserError as error:
      # Of a folder, the other pictures are translated all the same.
      if not os.path.isdir(path):
        raise
      note(f'left out: {error}')
  if not fitted:
    raise errors.UserError(f'{path} holds no picture that can be read')
  return fitted


def listed(path: str) -> list[tuple[str, str]]:
  """Returns (name, file) of each picture: its stem, or its file name where stems are the same."""
  if not os.path.isdir(path):
    # A hidden source has visible results.
    return [(pathlib.PurePath(path).stem.lstrip('.') or 'picture', path)]
  pairs = []
  for stem, paths in file_records.list_by_stem(path).items():
    for file in paths:
      pairs.append((stem if len(paths) == 1 else os.path.basename(file), file))
  return sorted(pairs, key=lambda pair: pair[1])


def _note_remarks(pictures: Sequence[Picture], note: Callable[[str], None]) -> None:
  """Notes the first remark of each kind, and how many pictures are alike."""
  for kind in zip(*(picture.fitted.remarks for picture in pictures), strict=True):
    remarks = list(filter(None, kind))
    if len(remarks) > 1:
      note(f'{remarks[0]} (and {len(remarks) - 1} more are alike)')
    elif remarks:
      note(remarks[0])


def _with_masks(
  pictures: Sequence[Picture], path: str, flag: str, max_pixels: int
) -> list[Picture]:
  """Returns the pictures with their masks: one file for all, or files of a folder by name."""
  masks_by_stem = file_records.list_by_stem(path) if os.path.isdir(path) else {}
  masked = []
  for picture in pictures:
    file = _mask_file(picture, path, masks_by_stem, flag)
    masked.append(with_mask(picture, file, max_pixels))
  return masked


def with_mask(picture: Picture, file: str, max_pixels: int) -> Picture:
  """Returns a picture with the mask of a file."""
  mask = picture.fitted.fit_mask(images.load_mask(file, max_pixels=max_pixels), file)
  return dataclasses.replace(picture, mask=mask, mask_file=file)


def own_mask(picture: Picture, max_pixels: int) -> np.ndarray | None:
  """Returns the given mask at the picture's size, or None where it has only the model's."""
  if not picture.mask_file:
    return None
  mask = images.load_mask(picture.mask_file, max_pixels=max_pixels)
  if picture.fitted.is_of_model(mask):
    return None
  return picture.fitted.enlarge_mask(mask, picture.mask_file)


def _note_dark_masks(
  pictures: Sequence[Picture], flag: str, note: Callable[[str], None]
) -> None:
  """Notes given masks that are not empty, but nearly black."""
  dark = [picture for picture in pictures if 0 < picture.mask.max() < _DARK]
  if dark:
    others = f' and {len(dark) - 1} more' if len(dark) > 1 else ''
    note(
      f'--{flag}: the mask of {dark[0].path}{others} is nearly black, at most '
      f'{255 * dark[0].mask.max():.0f} of 255, and will do almost nothing; white is 1'
    )


def _mask_file(
  picture: Picture, path: str, masks_by_stem: Mapping[str, Sequence[str]], flag: str
) -> str:
  """Returns the file of a picture's mask."""
  if not os.path.isdir(path):
    return path

  # The mask may have another extension than the picture.
  stem = pathlib.PurePath(picture.path).stem
  candidates = masks_by_stem.get(stem, ())
  if len(candidates) != 1:
    raise errors.UserError(
      f'--{flag}={path} holds {len(candidates) or "no"} masks for '
      f'{picture.path}; it needs one called {stem}.png'
    )
  return candidates[0]


def unerased(fitted: Fitted, rectangles: Sequence[str]) -> np.ndarray:
  """Returns bool of the given picture's size, False in rectangles 'y0,x0,y1,x1'."""
  # Rectangles are of the user's picture, before it is fitted to the model.
  height, width = fitted.size
  keep = np.ones((height, width), bool)
  for text in rectangles:
    try:
      top, left, bottom, right = map(int, text.split(','))
    except ValueError as error:
      raise errors.UserError(
        f'rectangle {text!r} is not y0,x0,y1,x1 in whole pixels'
      ) from error
    if not (0 <= top < bottom and 0 <= left < right and top < height and left < width):
      raise errors.UserError(
        f'rectangle {text} (y0,x0,y1,x1) has nothing of {fitted.name}, which '
        f'is {height} high and {width} wide'
      )
    keep[top:bottom, left:right] = False
  return keep
