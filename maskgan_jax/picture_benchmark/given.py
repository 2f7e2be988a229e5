"""Translations of another program, as files, in the place of a model.

Evaluators use `Given` as they use a Translator, and its `data` as they use data. It knows the
pictures of one split of pairs only: any other request raises UserError.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
import dataclasses
import io
import os
from typing import Any

import ml_collections
import numpy as np
from PIL import Image

from maskgan_jax import errors
from maskgan_jax.data import evaluation, images
from maskgan_jax.methods.base import Translation

_PICTURE, _MASK = ('RGB',), ('L', '1')  # modes


@dataclasses.dataclass(frozen=True)
class Folders:
  """Folders of what another program has made; '' where there is none.

  Attributes:
    pictures: of the translations of a, one a test pair.
    back: of b without the attribute, or translated after a.
    masks: where the method says that b has the attribute.
    validation_masks: the same of each validation picture of b.
    source_masks: where the method says that it changes a.
  """

  pictures: str
  back: str = ''
  masks: str = ''
  validation_masks: str = ''
  source_masks: str = ''

  def __post_init__(self):
    if self.validation_masks and not self.masks:
      raise errors.UserError(
        '--validation_masks only serve to cut --masks, which is missing'
      )
    for field in dataclasses.fields(self):
      folder = getattr(self, field.name)
      if folder and not os.path.isdir(folder):
        raise errors.UserError(
          f'--{field.name}={folder} is not a folder{images.nearest_path(folder)}'
        )


class Given:
  """Hands out files of `Folders` where a model would translate.

  Attributes:
    config: of the measuring.
    data: serves the same pairs as the data it was made of; evaluators must use it.
    abilities: 'reverse', 'segment' and 'source_mask', where there are files.
  """

  threshold = None
  step = None

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    data: Any,
    folders: Folders,
    names: Callable[[int], Sequence[str]],
    poll: Callable[[], None] = lambda: None,
  ):
    """Reads every file once; UserError names the first wrong one.

    Args:
      config: `evaluation_pairs` counts.
      data: `data.pipeline.Data`.
      folders: of the files.
      names: returns the files' names, in order, of a number of pictures.
      poll: is called before each file; may raise to stop.
    """
    self.config = config
    most = config.evaluation_pairs or None
    pairs = data.evaluation('test', batch_size=1, max_pairs=most)
    self._turned = _turned_places(*data.members('validation'))

    def opened(field, modes, count, subjects):
      folder = getattr(folders, field)
      if not folder:
        return None
      return _Files(folder, names(count), subjects, data.image_shape, modes, poll)

    tests = pairs.num_pairs, 'test pairs'
    self._pictures = opened('pictures', _PICTURE, *tests)
    self._back = opened('back', _PICTURE, *tests)
    validation = len(data.members('validation')[1]), 'validation pictures of b'
    self._masks = {
      'test': opened('masks', _MASK, *tests),
      'validation': opened('validation_masks', _MASK, *validation),
    }
    self._source_masks = opened('source_masks', _MASK, *tests)
    self.abilities = _abilities(folders)
    splits = {'test', 'validation'} if folders.validation_masks else {'test'}
    self.data = _Watched(data, splits)

  def __call__(
    self,
    source: Any,
    exemplar: Any = None,
    source_mask: Any = None,
    exemplar_mask: Any = None,
    *,
    reverse: bool = False,
  ) -> Translation:
    """Returns what was made of the a of a batch, or, `reverse`, of its b."""
    # Files are found again by the batch that they belong to.
    split, numbers = self.data.whereabouts('b' if reverse else 'a', source)
    files = self._back if reverse else self._pictures
    if (
      split != 'test'
      or files is None
      or not (exemplar is None and source_mask is None and exemplar_mask is None)
    ):
      raise errors.UserError(
        'only the translations in these folders can be measured, not others'
      )
    mask = (
      self._source_masks.masks(numbers) if self._source_masks and not reverse else None
    )
    return Translation(files.images(numbers), mask)

  def segment(self, image: Any) -> np.ndarray:
    """Returns the soft mask that was made of the b of a batch, float32 [B, H, W, 1]."""
    split, numbers = self.data.whereabouts('b', image)
    if split == 'validation':
      numbers = [self._turned[number] for number in numbers]
    return self._masks[split].masks(numbers)


def _turned_places(a: np.ndarray, b: np.ndarray) -> list[int]:
  """Returns the places among b's pictures of those that validation takes, in its order."""
  place = {int(index): number for number, index in enumerate(b)}
  return [place[int(index)] for index in evaluation.turned(a, b)]


def _abilities(folders: Folders) -> frozenset[str]:
  """Returns what a method can do whose files are in these folders."""
  folder_by_ability = {
    'reverse': folders.back,
    'segment': folders.masks,
    'source_mask': folders.source_masks,
  }
  return frozenset(name for name, folder in folder_by_ability.items() if folder)


class _Watched:
  """Data that know which pair each picture of the batches now in use is of."""

  def __init__(self, data: Any, splits: Collection[str]):
    self._data, self._splits = data, splits
    self._in_use: dict[str, tuple[dict[str, np.ndarray], np.ndarray]] = {}

  def __getattr__(self, name):
    return getattr(self._data, name)

  def evaluation(
    self, split: str, *, batch_size: int, max_pairs: int | None = None
  ) -> Iterator[dict[str, np.ndarray]]:
    """Serves batches as `data.pipeline.Data`; UserError for a split without files."""
    if split not in self._splits:
      raise errors.UserError('there are no --validation_masks, so masks are cut at 0.5')
    batches = self._data.evaluation(split, batch_size=batch_size, max_pairs=max_pairs)

    def watched():
      for number, batch in enumerate(batches):
        rows = number * batch_size + np.arange(batch_size)
        self._in_use[split] = batch, np.minimum(rows, batches.num_pairs - 1)
        yield batch
      self._in_use.pop(split, None)

    return watched()

  def whereabouts(self, role: str, images: np.ndarray) -> tuple[str, np.ndarray]:
    """Returns the split and the numbers of the pairs whose 'a' or 'b' these very pictures are."""
    for split, (batch, numbers) in self._in_use.items():
      if batch[role] is images:
        return split, numbers
    raise errors.UserError(
      'only the test pairs of these folders can be measured, not others'
    )


class _Files:
  """The pictures of a folder, by number."""

  def __init__(
    self,
    folder: str,
    names: Sequence[str],
    subjects: str,
    shape: tuple[int, int],
    modes: Sequence[str],
    poll: Callable[[], None],
  ):
    """Reads each file once, so that a wrong file is reported before anything is measured.

    Args:
      folder: of the files.
      names: of the files.
      subjects: what the files are of, in the plural.
      shape: height and width, pixels.
      modes: Pillow's, of which a file must have one.
      poll: is called before each; may raise to stop.
    """
    self._paths = [os.path.join(folder, name) for name in names]
    self._shape, self._modes = shape, modes
    self._check_names(folder, names, subjects)

    # One message counts all wrong files.
    problems = []
    for path in self._paths:
      poll()
      try:
        self._read(path)
      except errors.UserError as error:
        problems.append(str(error))
    if problems:
      raise errors.UserError(
        problems[0] + _others(len(problems), 'file is', 'files are', 'wrong')
      )

  def _check_names(self, folder, names, subjects):
    try:
      present = {name for name in os.listdir(folder) if not name.startswith('.')}
    except OSError as error:
      raise errors.UserError(
        f'{folder} cannot be read: {error.strerror or error}'
      ) from error

    # All names are fixed beforehand, so that a missing picture is seen at once.
    missing = [name for name in names if name not in present]
    extra = sorted(present - set(names))
    rule = f'there is one file for each of the {len(names):,} {subjects}'
    rule += f', {names[0]} to {names[-1]}' if len(names) else ''
    if missing:
      raise errors.UserError(
        f'{os.path.join(folder, missing[0])} is missing'
        f'{_others(len(missing), "file is", "files are", "missing")}; {rule}'
        + (f'; {extra[0]} is none of them' if extra else '')
      )
    if extra:
      raise errors.UserError(
        f'{os.path.join(folder, extra[0])} should not be there'
        f'{_others(len(extra), "file is", "files are", "too many")}; {rule}'
      )

  def _read(self, path):
    """Returns uint8 [H, W, 3] or [H, W]; UserError for a file of another size or kind."""
    height, width = self._shape
    data = images.read(path)
    # Of 16 bits a channel Pillow drops half without a word.
    deep = data[24:25] == b'\x10'
    try:
      with Image.open(io.BytesIO(data), formats=['PNG']) as image:
        if image.size != (width, height):
          raise errors.UserError(
            f'{path} is {image.size[0]} wide and {image.size[1]} high, not '
            f'{width} and {height}'
          )
        if image.mode not in self._modes or deep:
          want = (
            'RGB with 8 bits a channel'
            if self._modes == _PICTURE
            else 'grey with 8 bits, or black and white'
          )
          raise errors.UserError(f'{path} is of mode {image.mode}; save it as {want}')
        return np.array(image.convert('RGB' if self._modes == _PICTURE else 'L'))
    except errors.UserError:
      raise
    except Image.UnidentifiedImageError as error:
      raise errors.UserError(f'{path} is not a PNG that can be read') from error
    # Pillow's readers raise anything at all on damaged files.
    except Exception as error:
      raise errors.UserError(f'{path} is damaged or truncated: {error}') from error

  def images(self, numbers: Sequence[int]) -> np.ndarray:
    """Returns uint8 [B, H, W, 3] or [B, H, W]."""
    return np.stack([self._read(self._paths[number]) for number in numbers])

  def masks(self, numbers: Sequence[int]) -> np.ndarray:
    """Returns float32 [B, H, W, 1] in [0, 1]."""
    return self.images(numbers)[..., None].astype(np.float32) / 255


def _others(count: int, one: str, several: str, what: str) -> str:
  """Returns ' (and 3 other files are ...)', or ''."""
  if count < 2:
    return ''
  return f' (and {count - 1:,} other {one if count == 2 else several} {what})'
