"""Measures flicker on clips whose exact answers are known: avatars that move, turn and blink.

  python benchmarks/flicker.py --clips=6

Each clip is a face of the test split, drawn frame by frame. It sways from side to side, tilts its
head, turns away a little, and blinks; the same face with the glasses of another moves alike and is
the exact answer. A second kind of clips has the noise of a camera, which the answer has too.

`content_transfer_avatars` puts the glasses on. Prints a table with, for each deviation of the mean
over time (0 is without):

- error: mean absolute distance to the answer, 1 is half of the range of the levels;
- variation: mean absolute change from a frame to the next of the result, and of the answer;
- flicker: the same of the result less the answer, which is 0 for a result that is wrong but steady.

All are means over the glasses and the pixels near them. `--strip=FILE.png` writes frames of the
first clip, a row each for source, results and answer.
"""

import argparse
from collections.abc import Iterator
import dataclasses

import numpy as np
from PIL import Image
from scipy import ndimage

from maskgan_jax.data import images
from maskgan_jax.data.drawn import avatar_faces
from maskgan_jax.translator import mask_edges, over_time, own_size, Translator
from maskgan_jax.translator.over_time import Moment

ATTRIBUTES = ('Eyeglasses',)
_SEED = 1  # the faces of the data set `avatars`
_SIDE = 256  # pixels of a frame
_MARGIN = 64  # pixels around a face that is drawn, which movements bring in
_NOISE = 4.0  # levels
_NEAR = 9  # pixels around the glasses that count too
_SHOWN = 8  # frames of a strip


@dataclasses.dataclass(frozen=True)
class Drawn:
  """A clip with its answer.

  Attributes:
    sources: uint8 [N, S, S, 3].
    answers: uint8 [N, S, S, 3].
    near: the pixels that count, bool [N, S, S].
    exemplar: whose glasses are put on, uint8 [S, S, 3].
  """

  sources: np.ndarray
  answers: np.ndarray
  near: np.ndarray
  exemplar: np.ndarray


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--pretrained', default='content_transfer_avatars')
  parser.add_argument('--clips', type=int, default=6)
  parser.add_argument('--frames', type=int, default=48)
  parser.add_argument('--deviations', default='0,1,2,3')
  parser.add_argument('--strip', default='', help='a .png for frames of the first clip')
  options = parser.parse_args()
  translator = Translator.from_pretrained(options.pretrained)
  deviations = [float(text) for text in options.deviations.split(',')]
  for noise in (0.0, _NOISE):
    figures = {deviation: [] for deviation in deviations}
    for number, clip in enumerate(drawn_clips(options.clips, options.frames, noise)):
      moments = seen(translator, clip)
      rows = [clip.sources]
      for deviation in deviations:
        results = translated(clip, moments, deviation)
        figures[deviation].append(measured(clip, results))
        rows.append(results)
      if options.strip and not number and not noise:
        images.save_png(options.strip, strip([*rows, clip.answers]))
    print_table(noise, figures)


def pairs(count: int) -> Iterator[tuple[avatar_faces.Recipe, avatar_faces.Recipe]]:
  """Yields faces without glasses, each with another that wears some."""
  index = 0
  while count:
    face, other = (avatar_faces.recipe(_SEED, 'test', index + k) for k in (0, 1))
    index += 2
    if other.glasses and not face.glasses:
      count -= 1
      yield face, other


def drawn_clips(count: int, frames: int, noise: float) -> Iterator[Drawn]:
  """Yields clips of faces that get the glasses of others."""
  for number, (face, other) in enumerate(pairs(count)):
    rng = np.random.default_rng(number)
    sources, answers, near = [], [], []
    for time in range(frames):
      now = blinking(face, time)
      wearing = avatar_faces.with_attributes_of(now, other, ATTRIBUTES)
      changed = avatar_faces.changed(now, wearing, _SIDE)[..., None]
      grain = noise * rng.normal(size=(_SIDE, _SIDE, 3))
      for recipe, side in ((now, sources), (wearing, answers)):
        picture = moved(avatar_faces.render(recipe, _SIDE), time, frames)
        side.append(np.clip(np.rint(picture + grain), 0, 255).astype(np.uint8))
      region = moved(np.repeat(np.uint8(255 * changed), 3, axis=-1), time, frames)
      near.append(ndimage.binary_dilation(region[..., 0] > 8, iterations=_NEAR))
    exemplar = avatar_faces.render(other, _SIDE)
    yield Drawn(np.stack(sources), np.stack(answers), np.stack(near), exemplar)


def blinking(face: avatar_faces.Recipe, time: int) -> avatar_faces.Recipe:
  """Returns the face at a time: its eyes are closed for three frames of twenty."""
  return dataclasses.replace(face, eyes='CLOSED') if time % 20 in (9, 10, 11) else face


def moved(picture: np.ndarray, time: int, frames: int) -> np.ndarray:
  """Returns a drawn face at its place at a time, which begins and ends alike."""
  phase = 2 * np.pi * time / frames
  across, down = 14 * np.sin(phase), 5 * np.sin(2 * phase)
  tilt = np.deg2rad(7 * np.sin(phase + 1))
  narrow = 1 - 0.12 * np.sin(phase / 2) ** 2  # the head turns away, and back

  # Each pixel of the frame is taken from where it was before it moved.
  padded = np.pad(picture, ((_MARGIN,) * 2, (_MARGIN,) * 2, (0, 0)), mode='edge')
  centre = _SIDE / 2
  cosine, sine = np.cos(tilt), np.sin(tilt)
  rows = ((cosine / narrow, sine / narrow), (-sine, cosine))
  places = []
  for x, y in rows:
    offset = centre + _MARGIN - (x * (centre + across) + y * (centre + down))
    places += [x, y, offset]
  image = Image.fromarray(padded).transform(
    (_SIDE, _SIDE), Image.Transform.AFFINE, places, Image.Resampling.BICUBIC
  )
  return np.asarray(image)


def seen(translator: Translator, clip: Drawn) -> list[Moment]:
  """Returns what the model does to each frame."""
  fitted = [translator.fit(source) for source in clip.sources]
  small = np.stack([picture.image for picture in fitted])
  result = translator(small, translator.fit(clip.exemplar).image)
  moments = []
  for picture, image, mask in zip(
    fitted, result.image, result.source_mask, strict=True
  ):
    change = own_size.change_of(picture.image, image, mask, picture.box, picture.size)
    moments.append(Moment(picture.image, change))
  return moments


def translated(clip: Drawn, moments: list[Moment], deviation: float) -> np.ndarray:
  """Returns the frames of a result, uint8 [N, S, S, 3], as `translate` makes them."""
  results = []
  reach = over_time.reach(deviation)
  for number, (window, centre) in enumerate(over_time.windows(moments, reach)):
    change, source = moments[number].change, clip.sources[number]
    if deviation:
      change = over_time.steadied(window, centre, deviation)
    edges = mask_edges.edges_of(source, change.mask, change.box)
    change = dataclasses.replace(change, edges=edges)
    results.append(own_size.paste(source, change)[0])
  return np.stack(results)


def measured(clip: Drawn, results: np.ndarray) -> tuple[float, ...]:
  """Returns the error, the variations of result and answer, and the flicker."""
  results, answers = results.astype(np.float32), clip.answers.astype(np.float32)
  both = clip.near[1:] | clip.near[:-1]

  def mean(array, where):
    return float(np.abs(array).mean(axis=-1)[where].mean() / 127.5)

  return (
    mean(results - answers, clip.near),
    mean(np.diff(results, axis=0), both),
    mean(np.diff(answers, axis=0), both),
    mean(np.diff(results - answers, axis=0), both),
  )


def print_table(noise: float, figures: dict[float, list[tuple[float, ...]]]) -> None:
  """Prints the means over clips as a Markdown table."""
  count = len(next(iter(figures.values())))
  kind = f'noise of {noise:g} levels' if noise else 'no noise'
  print(f'\n| {count} clips, {kind} | error | variation | of the answer | flicker |')
  print('|---|---:|---:|---:|---:|')
  for deviation, rows in figures.items():
    name = (
      f'mean over time, deviation {deviation:g}' if deviation else 'each frame alone'
    )
    numbers = ' | '.join(f'{number:.4f}' for number in np.mean(rows, axis=0))
    print(f'| {name} | {numbers} |')


def strip(rows: list[np.ndarray]) -> np.ndarray:
  """Returns frames in a row for each clip, at a part of their size."""
  lines = []
  for row in rows:
    chosen = row[:: max(1, len(row) // _SHOWN)][:_SHOWN, ::2, ::2]
    lines.append(np.concatenate(list(chosen), axis=1))
  return np.concatenate(lines)


if __name__ == '__main__':
  main()
