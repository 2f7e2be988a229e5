"""Measures results at a picture's own size against exact answers: avatars drawn at 1,024 pixels.

  python benchmarks/own_size.py --faces=50

Shows faces of the test split, drawn large, to a model of 64 pixels that puts glasses on and takes
them off. Prints tables for each of the two: the mean absolute error to the exact answer, drawn as
large (1 is half the range of the levels), inside the region that really changes and outside of it.
One table starts from the model's small result, one from an exact small answer and mask, so that it
shows the errors of enlarging alone.
`--sheet=FILE.png` also writes the first faces, to look at.
"""

import argparse
from collections.abc import Iterator
import dataclasses

import numpy as np
from PIL import Image

from maskgan_jax.data import images
from maskgan_jax.data.drawn import avatar_faces
from maskgan_jax.translator import mask_edges, own_size, pasting, Translator
from maskgan_jax.translator.fitting import Fitted

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
    of_model, of_exact = [], []
    for number, case in enumerate(cases(options.faces, options.size)):
      fitted = translator.fit(case.before)
      pictures = ways(case, fitted, *answer_of_model(translator, case, fitted))
      of_model.append(errors(case, pictures))
      of_exact.append(errors(case, ways(case, fitted, *exact_answer(translator, case))))
      if number < _SHOWN:
        rows.append([case.before, *pictures.values(), case.after])
    print_table(f'{title}, by the model', list(pictures), np.array(of_model))
    print_table(f'{title}, exact small answer', list(pictures), np.array(of_exact))
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


def answer_of_model(
  translator: Translator, case: Case, fitted: Fitted
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the model's result, uint8 [h, w, 3], and its mask, float32 [h, w, 1]."""
  if case.exemplar is None:
    removal = translator.remove(fitted)
    return removal.image, removal.extras['binary_mask']
  result = translator(fitted, translator.fit(case.exemplar))
  return result.image, result.source_mask


def exact_answer(translator: Translator, case: Case) -> tuple[np.ndarray, np.ndarray]:
  """Returns what a model without errors would return, in the same form."""
  after = translator.fit(case.after)
  return after.image, after.fit_mask(case.region, 'the region')


def ways(
  case: Case, fitted: Fitted, image: np.ndarray, mask: np.ndarray
) -> dict[str, np.ndarray]:
  """Returns the large result of each way to make one of a small result and its mask."""
  box, size = fitted.box, fitted.size
  plain = own_size.change_of(fitted.image, image, mask, box, size)
  added = own_size.change_of(fitted.image, image, None, box, size)
  edges = mask_edges.edges_of(case.before, plain.mask, box, mixed=False)
  changes = {
    'own size, as `--size=own` does it': pasting.change_of(
      fitted, case.before, image, mask
    ),
    'own size, mask by a guided filter alone': dataclasses.replace(plain, edges=edges),
    'own size, mask enlarged plainly': plain,
    'own size, difference added': added,
  }
  results = {}
  for name, change in changes.items():
    results[name], _ = own_size.paste(case.before, change)
  enlarged = Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC)
  results['small result enlarged'] = np.asarray(enlarged)
  results['nothing done'] = case.before
  return results


def errors(case: Case, pictures: dict[str, np.ndarray]) -> list[tuple[float, float]]:
  """Returns the errors of each way."""
  return [error(case, picture) for picture in pictures.values()]


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
