"""Measures flicker on clips whose exact answers are known: avatars that move, turn and blink.

  python benchmarks/flicker.py --clips=6

Each clip is a face of the test split, drawn frame by frame, with the noise of a camera. In half of
the clips it sits still and blinks. In the others it also sways, tilts its head and turns away a
little. The same face with the glasses of another, moved alike and with the same noise, is the exact
answer. `content_transfer_avatars` puts the glasses on, and takes them off faces that wear some.
Prints a table for each kind of clips and each of the two:

- error: mean absolute distance to the answer, 1 is half of the range of the levels;
- variation: mean absolute change from a frame to the next of the result, and of the answer;
- flicker: the same of the result less the answer, which is 0 for a result that is wrong but steady.

All are means over the glasses and the pixels near them. `--strip=FILE.png` writes frames of the
first clip of each kind, a row each for source, results and answer.
"""

import argparse
from collections.abc import Iterator
import dataclasses
import itertools

import numpy as np
from PIL import Image
from scipy import ndimage

from maskgan_jax.data import images
from maskgan_jax.data.drawn import avatar_faces
from maskgan_jax.translate import Pace
from maskgan_jax.translator import (
  following,
  mask_edges,
  over_time,
  own_size,
  Translator,
)
from maskgan_jax.translator.enlarging import Box
from maskgan_jax.translator.over_time import Moment

ATTRIBUTES = ('Eyeglasses',)
_SEED = 1  # the faces of the data set `avatars`
_FACE = 192  # pixels of a face
_MARGIN = 48  # pixels around it in a frame
_SIDE = _FACE + 2 * _MARGIN
_REGION = Box(_MARGIN, _MARGIN, _MARGIN + _FACE, _MARGIN + _FACE)  # in the first frame
_NOISE = 4.0  # levels
_NEAR = 7  # pixels around the glasses that count too
_SHOWN = 8  # frames of a strip
_WAYS = {
  'fixed region, each frame alone': Pace(deviation=0),
  'fixed region, `--smooth=2`': Pace(deviation=2),
  '`--follow`, each frame alone': Pace(deviation=0, follows=True),
  '`--follow --smooth=1`': Pace(deviation=1, follows=True),
  '`--follow --smooth=2`': Pace(deviation=2, follows=True),
}


@dataclasses.dataclass(frozen=True)
class Drawn:
  """A clip with its answer.

  Attributes:
    sources: uint8 [N, S, S, 3].
    answers: uint8 [N, S, S, 3].
    near: the pixels that count, bool [N, S, S].
    exemplar: whose glasses are put on, uint8 [T, T, 3]; None where they are taken off.
  """

  sources: np.ndarray
  answers: np.ndarray
  near: np.ndarray
  exemplar: np.ndarray | None


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--pretrained', default='content_transfer_avatars')
  parser.add_argument('--clips', type=int, default=6)
  parser.add_argument('--frames', type=int, default=48)
  parser.add_argument(
    '--strip', default='', help='a .png for frames of the first clips'
  )
  options = parser.parse_args()
  translator = Translator.from_pretrained(options.pretrained)
  rows = []
  kinds = (('sits still', 0.0), ('moves', 1.0))
  for (kind, size), removes in itertools.product(kinds, (False, True)):
    figures = {name: [] for name in _WAYS}
    clips = drawn_clips(options.clips, options.frames, size, removes)
    for number, clip in enumerate(clips):
      results = all_results(translator, clip)
      for name, frames in results.items():
        figures[name].append(measured(clip, frames))
      if not number:
        rows += [clip.sources, *results.values(), clip.answers]
    verb = 'taken off' if removes else 'put on'
    print_table(f'glasses {verb}, the face {kind}', figures)
  if options.strip:
    images.save_png(options.strip, strip(rows))


def all_results(translator: Translator, clip: Drawn) -> dict[str, np.ndarray]:
  """Returns the frames of each way to translate a clip."""
  moments = {follows: seen(translator, clip, follows) for follows in (False, True)}
  results = {}
  for name, pace in _WAYS.items():
    results[name] = translated(clip, moments[pace.follows], pace.deviation)
  return results


def pairs(count: int) -> Iterator[tuple[avatar_faces.Recipe, avatar_faces.Recipe]]:
  """Yields faces without glasses, each with another that wears some."""
  index = 0
  while count:
    face, other = (avatar_faces.recipe(_SEED, 'test', index + k) for k in (0, 1))
    index += 2
    if other.glasses and not face.glasses:
      count -= 1
      yield face, other


def drawn_clips(count: int, frames: int, size: float, removes: bool) -> Iterator[Drawn]:
  """Yields clips of faces that get the glasses of others, or lose their own.

  Args:
    count: number of clips.
    frames: of each.
    size: of the movement.
    removes: whether glasses are taken off.
  """
  for number, (face, other) in enumerate(pairs(count)):
    rng = np.random.default_rng(number)
    sources, answers, near = [], [], []
    for time in range(frames):
      phase = 2 * np.pi * time / frames
      before = blinking(other if removes else face, time)
      if removes:
        after = avatar_faces.without(before, ATTRIBUTES)
      else:
        after = avatar_faces.with_attributes_of(before, other, ATTRIBUTES)
      grain = _NOISE * rng.normal(size=(_SIDE, _SIDE, 3))
      for recipe, side in ((before, sources), (after, answers)):
        picture = moved(avatar_faces.render(recipe, _FACE), phase, size)
        side.append(np.clip(np.rint(picture + grain), 0, 255).astype(np.uint8))
      changed = avatar_faces.changed(before, after, _FACE)[..., None]
      region = moved(np.repeat(np.uint8(255 * changed), 3, axis=-1), phase, size)
      near.append(ndimage.binary_dilation(region[..., 0] > 8, iterations=_NEAR))
    exemplar = None if removes else avatar_faces.render(other, _FACE)
    yield Drawn(np.stack(sources), np.stack(answers), np.stack(near), exemplar)


def blinking(face: avatar_faces.Recipe, time: int) -> avatar_faces.Recipe:
  """Returns the face at a time: its eyes are closed for three frames of twenty."""
  return dataclasses.replace(face, eyes='CLOSED') if time % 20 in (9, 10, 11) else face


def moved(picture: np.ndarray, phase: float, size: float) -> np.ndarray:
  """Returns a drawn face at its place in a frame, which begins and ends in the middle."""
  across, down = 28 * size * np.sin(phase), 8 * size * np.sin(2 * phase)
  tilt = np.deg2rad(4 * size * np.sin(phase))
  narrow = 1 - 0.1 * size * np.sin(phase / 2) ** 2  # the head turns away, and back

  # Each pixel of the frame is taken from where it was before it moved.
  wide = 2 * _MARGIN
  padded = np.pad(picture, ((wide, wide), (wide, wide), (0, 0)), mode='edge')
  centre, cosine, sine = _SIDE / 2, np.cos(tilt), np.sin(tilt)
  places = []
  for x, y in ((cosine / narrow, sine / narrow), (-sine, cosine)):
    offset = centre + _MARGIN - (x * (centre + across) + y * (centre + down))
    places += [x, y, offset]
  image = Image.fromarray(padded).transform(
    (_SIDE, _SIDE), Image.Transform.AFFINE, places, Image.Resampling.BICUBIC
  )
  return np.asarray(image)


def seen(translator: Translator, clip: Drawn, follows: bool) -> list[Moment]:
  """Returns what the model does to each frame."""
  follow = following.Follower(clip.sources[0], _REGION)
  fitted = []
  for source in clip.sources:
    region = follow(source) if follows else _REGION
    fitted.append(translator.fit(source, region=region))
  small = np.stack([picture.image for picture in fitted])
  if clip.exemplar is None:
    result = translator.remove(small)
    masks = result.extras['binary_mask']
  else:
    result = translator(small, translator.fit(clip.exemplar).image)
    masks = result.source_mask
  moments = []
  for picture, image, mask in zip(fitted, result.image, masks, strict=True):
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


def print_table(kind: str, figures: dict[str, list[tuple[float, ...]]]) -> None:
  """Prints the means over clips as a Markdown table."""
  count = len(next(iter(figures.values())))
  print(f'\n| {kind}, {count} clips | error | variation | of the answer | flicker |')
  print('|---|---:|---:|---:|---:|')
  for name, rows in figures.items():
    numbers = ' | '.join(f'{number:.4f}' for number in np.mean(rows, axis=0))
    print(f'| {name} | {numbers} |', flush=True)


def strip(rows: list[np.ndarray]) -> np.ndarray:
  """Returns frames in a row for each clip, at a part of their size."""
  lines = []
  for row in rows:
    chosen = row[:: max(1, len(row) // _SHOWN)][:_SHOWN, ::2, ::2]
    lines.append(np.concatenate(list(chosen), axis=1))
  return np.concatenate(lines)


if __name__ == '__main__':
  main()
