"""Measures results at a picture's own size against exact answers: avatars drawn at 1,024 pixels.

  python benchmarks/own_size.py --faces=50

Shows faces of the test split, drawn large, to a model of 64 pixels that puts glasses on and takes
them off. Prints a table for each of the two: the mean absolute error to the exact answer, drawn as
large (1 is half the range of the levels), inside the region that really changes and outside of it.
`--sheet=FILE.png` also writes the first faces, to look at.
"""

import argparse
from collections.abc import Iterator
import dataclasses

import numpy as np
from PIL import Image

from maskgan_jax.data import images
from maskgan_jax.data.drawn import avatar_faces
from maskgan_jax.translator import own_size, pasting, Translator

ATTRIBUTES = ('Eyeglasses',)
_SEED = 1  # the faces of the data set `avatars`
_SHOWN = 4  # faces on the sheet
_SHOWN_SIDE = 400  # pixels of a picture there


@dataclasses.dataclass(frozen=True)
class Case:
  """A picture, what it should become, and where they differ.

  Attributes:
    before: uint8 [S, S, 3].
    after: uint8 [S, S, 3].
    region: share of each pixel that changes, float32 [S, S].
    exemplar: whose glasses are put on, uint8 [S, S, 3]; None where they are taken off.
  """

  before: np.ndarray
  after: np.ndarray
  region: np.ndarray
  exemplar: np.ndarray | None = None


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--pretrained', default='content_transfer_avatars')
  parser.add_argument('--faces', type=int, default=50)
  parser.add_argument('--size', type=int, default=1024, help='of the large pictures')
  parser.add_argument('--sheet', default='', help='a .png for the first faces')
  options = parser.parse_args()
  translator = Translator.from_pretrained(options.pretrained)
  rows = []
  for title, cases in (('put on', puttings_on), ('taken off', takings_off)):
    errors = []
    for number, case in enumerate(cases(options.faces, options.size)):
      results = ways(translator, case)
      errors.append([error(case, picture) for picture in results.values()])
      if number < _SHOWN:
        rows.append([case.before, *results.values(), case.after])
    print_table(title, list(results), np.array(errors))
  if options.sheet:
    images.save_png(options.sheet, sheet(rows))


def pairs(count: int) -> Iterator[tuple[avatar_faces.Recipe, avatar_faces.Recipe]]:
  """Yields faces without glasses, each with another that wears some."""
  index = 0
  while count:
    face, other = (avatar_faces.recipe(_SEED, 'test', index + k) for k in (0, 1))
    index += 2
    if other.glasses and not face.glasses:
      count -= 1
      yield face, other


def puttings_on(count: int, size: int) -> Iterator[Case]:
  """Yields faces that get the glasses of others."""
  for face, other in pairs(count):
    wearing = avatar_faces.with_attributes_of(face, other, ATTRIBUTES)
    exemplar = avatar_faces.render(other, size)
    yield Case(*_drawn(face, wearing, size), exemplar)


def takings_off(count: int, size: int) -> Iterator[Case]:
  """Yields faces whose glasses come off."""
  for _, other in pairs(count):
    yield Case(*_drawn(other, avatar_faces.without(other, ATTRIBUTES), size))


def _drawn(before, after, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns two faces and where they differ."""
  return (
    avatar_faces.render(before, size),
    avatar_faces.render(after, size),
    avatar_faces.changed(before, after, size),
  )


def ways(translator: Translator, case: Case) -> dict[str, np.ndarray]:
  """Returns the large result of each way to make one."""
  fitted = translator.fit(case.before)
  if case.exemplar is None:
    result = translator.remove(fitted)
    mask = result.extras['binary_mask']
  else:
    result = translator(fitted, translator.fit(case.exemplar))
    mask = result.source_mask
  box, size = fitted.box, fitted.size
  plain = own_size.change_of(fitted.image, result.image, mask, box, size)
  added = own_size.change_of(fitted.image, result.image, None, box, size)
  refined = pasting.change_of(fitted, case.before, result.image, mask)
  enlarged = Image.fromarray(result.image).resize(size[::-1], Image.Resampling.BICUBIC)
  return {
    'own size, mask with the edges of the picture': own_size.paste(
      case.before, refined
    )[0],
    'own size, mask enlarged plainly': own_size.paste(case.before, plain)[0],
    'own size, difference added': own_size.paste(case.before, added)[0],
    'small result enlarged': np.asarray(enlarged),
    'nothing done': case.before,
  }


def error(case: Case, picture: np.ndarray) -> tuple[float, float]:
  """Returns the mean absolute error inside and outside of the region, 1 is 127.5 levels."""
  distance = np.abs(picture.astype(np.float32) - case.after).mean(axis=-1) / 127.5
  inside, outside = case.region, 1 - case.region
  return (
    float((distance * inside).sum() / inside.sum()),
    float((distance * outside).sum() / outside.sum()),
  )


def print_table(title: str, names: list[str], errors: np.ndarray) -> None:
  """Prints the mean errors [faces, ways, 2] as a Markdown table."""
  print(
    f'\n| glasses {title}, {len(errors)} faces | inside | outside |\n|---|---:|---:|'
  )
  for name, (inside, outside) in zip(names, errors.mean(axis=0), strict=True):
    print(f'| {name} | {inside:.3f} | {outside:.4f} |')


def sheet(rows: list[list[np.ndarray]]) -> np.ndarray:
  """Returns rows of pictures as one picture."""
  small = []
  for row in rows:
    shown = [_shrunk(picture) for picture in row]
    small.append(np.concatenate(shown, axis=1))
  return np.concatenate(small)


def _shrunk(picture: np.ndarray) -> np.ndarray:
  image = Image.fromarray(picture)
  return np.asarray(image.resize((_SHOWN_SIDE,) * 2, Image.Resampling.LANCZOS))


if __name__ == '__main__':
  main()
