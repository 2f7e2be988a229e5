"""Measures what aligning faces is worth: a drawn scene of two tilted faces, with exact answers.

  python benchmarks/two_faces.py --scenes=6 --sheet=two_faces.png

Two avatars without glasses are drawn into a scene of 1,536 x 1,024 pixels, turned by up to 30
degrees and of different sizes. A model of 64 pixels puts glasses on each, each after its own
exemplar: once in upright regions around the faces, once aligned by the two eyes. Prints the mean
absolute error to the exact answer, which is drawn in the same way (1 is half of the range of the
levels), inside of what truly changes and outside of it.
"""

import argparse
import time

import numpy as np
from PIL import Image

from maskgan_jax.data import images, landmarks
from maskgan_jax.data.drawn import avatar_faces
from maskgan_jax.translator import Translator

HEIGHT, WIDTH = 1024, 1536
ATTRIBUTES = ('Eyeglasses',)
_SEED = 1  # the faces of the data set `avatars`
_DRAWN = 640  # pixels of a face before it is laid into the scene
_CHANGED = 0.02  # of the range, that counts as changed
_SHOWN = 3  # scenes on the sheet
_ZOOM = 320  # pixels of a detail there


class Face:
  """A face in the scene: what it is and becomes, and where it lies."""

  def __init__(self, index: int, centre: complex, side: float, angle: float):
    """Takes a pair of faces, and the centre, side and turn (degrees) of the square it fills."""
    self.before, self.other = pair(index)
    self.after = avatar_faces.with_attributes_of(self.before, self.other, ATTRIBUTES)
    self.side = side
    self.turn = side * np.exp(1j * np.deg2rad(angle))  # of a square of width 1
    self.corner = centre - self.turn * (0.5 + 0.5j)

  @property
  def eyes(self) -> list[tuple[float, float]]:
    """The eyes in the scene, (x, y)."""
    template = landmarks.Template.parse('avatars')
    places = self.corner + self.turn * (template.points @ (1, 1j)) / template.size[0]
    return [(place.real, place.imag) for place in places]

  @property
  def region(self) -> tuple[int, int, int, int]:
    """An upright square around the head, as someone would draw it."""
    centre = self.corner + self.turn * (0.5 + 0.5j)
    top, left = round(centre.imag - self.side / 2), round(centre.real - self.side / 2)
    side = round(self.side)
    return top, left, top + side, left + side

  def draw(self, scene: np.ndarray, face: avatar_faces.Recipe) -> None:
    """Lays a drawing of it into the scene."""
    drawing = Image.fromarray(avatar_faces.render(face, _DRAWN)).convert('RGBA')
    # Pillow asks where a pixel of the scene comes from.
    inverse = _DRAWN / self.turn
    start = -self.corner * inverse
    matrix = (
      inverse.real,
      -inverse.imag,
      start.real,
      inverse.imag,
      inverse.real,
      start.imag,
    )
    layer = drawing.transform(
      (WIDTH, HEIGHT), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
    )
    laid = Image.alpha_composite(Image.fromarray(scene).convert('RGBA'), layer)
    scene[:] = np.asarray(laid.convert('RGB'))


def pair(number: int) -> tuple[avatar_faces.Recipe, avatar_faces.Recipe]:
  """Returns a face of the test split without glasses, and one with some."""
  index = 0
  while True:
    face, other = (avatar_faces.recipe(_SEED, 'test', index + k) for k in (0, 1))
    index += 2
    if other.glasses and not face.glasses:
      if not number:
        return face, other
      number -= 1


def scene_of(faces: list[Face], kind: str) -> np.ndarray:
  """Draws a scene with what the faces are 'before' or 'after', uint8 [HEIGHT, WIDTH, 3]."""
  scene = np.empty((HEIGHT, WIDTH, 3), np.uint8)
  scene[:] = np.linspace(110, 190, HEIGHT, dtype=np.uint8)[:, None, None]
  for face in faces:
    face.draw(scene, getattr(face, kind))
  return scene


def faces_of(number: int) -> list[Face]:
  """Returns the two faces of a scene."""
  rng = np.random.default_rng(number)
  faces = []
  for k, x in enumerate((420, 1110)):
    angle = rng.uniform(12, 30) * rng.choice((-1, 1))
    side = rng.uniform(430, 580)
    centre = complex(x, 512 + rng.uniform(-60, 60))
    faces.append(Face(2 * number + k, centre, side, angle))
  return faces


def errors_of(
  result: np.ndarray, after: np.ndarray, before: np.ndarray
) -> tuple[float, float]:
  """Returns the mean absolute error inside of what changes and outside of it."""
  change = np.abs(after.astype(float) - before).max(axis=-1) / 255
  distance = np.abs(result.astype(float) - after).mean(axis=-1) / 127.5
  inside = change > _CHANGED
  return float(distance[inside].mean()), float(distance[~inside].mean())


def details(faces: list[Face], pictures: list[np.ndarray]) -> np.ndarray:
  """Returns both faces of each picture side by side, reduced."""
  rows = []
  for face in faces:
    top, left, bottom, right = face.region
    cut = [Image.fromarray(picture[top:bottom, left:right]) for picture in pictures]
    row = [
      np.asarray(part.resize((_ZOOM, _ZOOM), Image.Resampling.LANCZOS)) for part in cut
    ]
    rows.append(np.concatenate(row, axis=1))
  return np.concatenate(rows)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--pretrained', default='content_transfer_avatars')
  parser.add_argument('--scenes', type=int, default=6)
  parser.add_argument(
    '--sheet', default='', help='a .png of details of the first scenes'
  )
  parser.add_argument('--scene', default='', help='a .png of the first scene, aligned')
  options = parser.parse_args()
  t = Translator.from_pretrained(options.pretrained)
  rows, sheets, seconds = {}, [], []
  for number in range(options.scenes):
    faces = faces_of(number)
    before, after = (scene_of(faces, kind) for kind in ('before', 'after'))
    exemplars = [t.fit(avatar_faces.render(face.other, _DRAWN)) for face in faces]
    start = time.monotonic()
    aligned = t.fit_all(before, points=[face.eyes for face in faces])
    results = {
      'aligned by the eyes': t(aligned, exemplars, size='own').image,
    }
    seconds.append(time.monotonic() - start)
    upright = t.fit_all(before, regions=[face.region for face in faces])
    results['upright regions'] = t(upright, exemplars, size='own').image
    results['nothing done'] = before
    for name, result in results.items():
      rows.setdefault(name, []).append(errors_of(result, after, before))
    if number < _SHOWN:
      shown = [
        before,
        results['upright regions'],
        results['aligned by the eyes'],
        after,
      ]
      sheets.append(details(faces, shown))
    if not number and options.scene:
      images.save_png(options.scene, results['aligned by the eyes'])
  print(f'| glasses put on, {2 * options.scenes} tilted faces | inside | outside |')
  print('|---|---:|---:|')
  for name, errors in rows.items():
    inside, outside = np.mean(errors, axis=0)
    print(f'| {name} | {inside:.3f} | {outside:.4f} |')
  print(f'{min(seconds):.2f} s a scene, aligned, once compiled')
  if options.sheet:
    images.save_png(options.sheet, np.concatenate(sheets))


if __name__ == '__main__':
  main()
