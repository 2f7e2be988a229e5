"""Translates clips at their own size and rate: steadied over time, and resumable."""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import functools
import hashlib
import itertools
import os
import time
from typing import Any

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import clips, photographs
from maskgan_jax.data.clips import writers
from maskgan_jax.training.progress import Progress
from maskgan_jax.translate import computing, inputs, tasks
from maskgan_jax.translate import own_size as own_size_files
from maskgan_jax.translate.inputs import Edits, Picture
from maskgan_jax.translate.unfinished import Unfinished
from maskgan_jax.translator import (
  enlarging,
  following,
  mask_edges,
  over_time,
  own_size,
  Translator,
)
from maskgan_jax.translator.over_time import Moment

_BATCH = 16  # frames that a model sees at once
_BATCH_BYTES = 2**28  # of the frames in memory for that
_SECONDS = 10  # between two lines of progress
_NO_EDITS = Edits()


@dataclasses.dataclass(frozen=True)
class Pace:
  """How a clip is read and steadied.

  Attributes:
    deviation: of the mean of masks and paint over time, in frames; 0 leaves each frame alone.
    rate: frames per second of a folder of pictures.
    follows: whether the region follows what it shows in the first frame.
  """

  deviation: float = 2.0
  rate: float = 25.0
  follows: bool = False


def is_clip(source: str, output: str, asked: bool) -> bool:
  """Returns whether a source is translated as a clip.

  Args:
    source: a video always is.
    output: a clip's name makes the source one too.
    asked: whether the user says so, for a folder in or out.
  """
  return asked or clips.is_video_name(source) or clips.is_clip_name(output)


def translate_clip(
  translator: Translator,
  source: str,
  exemplar: str,
  output: str,
  *,
  source_edits: Edits = _NO_EDITS,
  exemplar_edits: Edits = _NO_EDITS,
  reverse: bool = False,
  removes: bool = False,
  pace: Pace = Pace(),
  note: Callable[[str], None] = print,
  poll: Callable[[], None] = lambda: None,
) -> list[str]:
  """Translates a clip, or removes from it what the method transfers; returns the file written.

  Args:
    translator: the model.
    source: a video, an animated picture, or a folder of numbered pictures.
    exemplar: a picture to take from, for all frames; '' to remove, or for a method without.
    output: a video, a .gif, a .webp, or a folder for numbered pictures.
    source_edits: region and masks, the same for all frames.
    exemplar_edits: region and masks of the exemplar.
    reverse: the source is of domain b and the exemplar, if any, of a.
    removes: whether to remove.
    pace: how the clip is read and steadied.
    note: gets lines about what is lost, or looks wrong to the model.
    poll: called for each frame; what it raises ends the work, which the same call resumes.
  """
  clip = clips.open_clip(source, rate=pace.rate)
  _check(output, [source, exemplar, source_edits.mask, exemplar_edits.mask], pace)
  writer = writers.writer(clip, output)
  taken = None
  if not removes:
    taken = _exemplar(translator, exemplar, exemplar_edits, note)
  change = _change(translator, reverse, removes)
  maker = _Maker(translator, change, clip, source_edits, taken, pace)
  maker.poll = poll
  for remark in (*clip.remarks, *writer.remarks, *maker.remarks):
    note(remark)

  # The parts of the same call are taken over.
  unfinished = Unfinished(output, writer.extension)
  settings = maker.settings(reverse=reverse, removes=removes)
  with unfinished.opened(settings, note):
    _fill(unfinished, maker, writer, note)
    unfinished.finish(
      functools.partial(writer.join, unfinished.parts, maker.frames_seen)
    )
  return [output]


def _check(output: str, paths: Sequence[str], pace: Pace) -> None:
  """Raises UserError for an output that cannot be made, or an option that makes no sense."""
  writers.check_name(output, paths)
  if not 0 <= pace.deviation <= 50:
    raise errors.UserError(
      f'--smooth={pace.deviation:g} is the deviation of a mean over time, in frames from 0 to 50'
    )


def _exemplar(
  translator: Translator, path: str, edits: Edits, note: Callable[[str], None]
) -> Picture | None:
  """Returns the one exemplar of all frames, None for a method without."""
  tasks.check_exemplar(translator, path, edits)
  if os.path.isdir(path):
    raise errors.UserError(
      f'--exemplar={path} is a folder; a clip takes one picture for all frames'
    )
  if not path:
    return None
  places = inputs.load(translator, path, edits, flag='exemplar_mask', note=note)
  return inputs.only_place(places, 'a clip')


def _change(translator: Translator, reverse: bool, removes: bool) -> Callable[..., Any]:
  """Returns the function of pairs that translates or removes."""
  if removes:
    return functools.partial(
      computing.removed, translator, ('source_mask', 'binary_mask')
    )
  return functools.partial(computing.translated, translator, ('source_mask',), reverse)


def _region(edits: Edits) -> tuple[float, ...] | None:
  """Returns the one region of a clip, or None where none is given."""
  if edits.points or len(edits.regions) > 1:
    raise errors.UserError(
      'a clip has one --region, which is not aligned; leave out --points and other regions'
    )
  if not edits.regions:
    return None
  return inputs.parse_region(edits.regions[0], 'region')


class _Maker:
  """Makes the frames of a result from any of them on.

  Attributes:
    frames_seen: times, durations and names of all frames so far.
    count: number of frames, as far as the clip says it.
    lost: number of frames in which what the region followed was not seen.
    poll: called for each frame that is read; may raise.
    cut_off: what to say where the clip ends early, or ''.
    remarks: what may surprise about the clip as the model sees it.
  """

  def __init__(
    self,
    translator: Translator,
    change: Callable[..., Any],
    clip: clips.Clip,
    edits: Edits,
    exemplar: Picture | None,
    pace: Pace,
  ):
    """Takes what `translate_clip` does; `change` computes the results of pairs."""
    self._translator, self._change, self._clip = translator, change, clip
    self._edits, self._exemplar, self._pace = edits, exemplar, pace
    self._reach = over_time.reach(pace.deviation)
    height, width = clip.size
    self._batch = min(_BATCH, max(1, _BATCH_BYTES // (3 * height * width)))
    self.frames_seen: list[clips.Frame] = []
    self.cut_off, self.count, self.lost = '', clip.count, 0
    self.poll: Callable[[], None] = lambda: None
    self._look()

  def _look(self) -> None:
    """Looks at the first frame, and fits the user's masks to it."""
    first = next(self._clip.checked_frames())
    region = _region(self._edits)
    fitted = self._translator.fit(first.pixels, name=self._clip.path, region=region)
    self._region, self._first = region, first
    shape = fitted.image.shape[:2]
    enlarging.check_proportions(fitted.region_size, shape, self._clip.path)
    self.remarks = tuple(filter(None, fitted.remarks))

    if self._pace.follows:
      if not region or self._edits.mask or self._edits.erase:
        raise errors.UserError(
          '--follow needs --region, and goes without --source_mask and --erase_source'
        )
      self._region = fitted.region

    # A clip has one mask, and one set of rectangles, for all frames.
    picture = Picture(self._clip.path, self._clip.path, fitted)
    if self._edits.mask:
      if os.path.isdir(self._edits.mask):
        raise errors.UserError(
          f'--source_mask={self._edits.mask} is a folder; a clip takes one picture for all frames'
        )
      picture = inputs.with_mask(picture, self._edits.mask, photographs.MAX_PIXELS)
    if self._edits.erase:
      picture = inputs.with_rectangles(picture, self._edits.erase)
    self._model = picture
    self._given = inputs.own_mask(picture, photographs.MAX_PIXELS)
    self._keep = None
    if self._edits.erase:
      self._keep = inputs.unerased(fitted, self._edits.erase).astype(np.float32)

  def settings(self, **options: Any) -> dict[str, Any]:
    """Returns all that the result depends on, for JSON."""
    exemplar = self._exemplar
    digest = hashlib.sha256()
    pictures = [self._model.mask, self._given]
    if exemplar:
      pictures += [exemplar.image, exemplar.mask, exemplar.keep]
    for array in pictures:
      digest.update(b'-' if array is None else np.ascontiguousarray(array).tobytes())
    return {
      'clip': self._clip.signature(),
      'path': os.path.abspath(self._clip.path),
      'model': self._translator.digest(),
      'threshold': self._translator.threshold,
      'pictures': digest.hexdigest(),
      'region': list(self._edits.regions),
      'erase': list(self._edits.erase),
      **dataclasses.asdict(self._pace),
      **options,
    }

  def frames(self, start: int) -> Iterator[tuple[clips.Frame, clips.Frame]]:
    """Yields the frames of the result from number `start` on, each with its source."""
    # What a frame is made of is the same wherever the work begins: batches have fixed places.
    first = max(0, start - self._reach) // self._batch * self._batch
    seen = over_time.windows(self._seen(first), self._reach)
    for number, (window, centre) in enumerate(seen, start=first):
      if number < start:
        continue
      frame, moment = window[centre]
      change = moment.change
      if self._pace.deviation:
        moments = [moment for _, moment in window]
        change = over_time.steadied(moments, centre, self._pace.deviation)
      yield self._composed(frame, change), frame

  def _seen(self, first: int) -> Iterator[tuple[clips.Frame, Moment]]:
    """Yields the clip's frames from number `first` on, with what the model does to them."""
    self.frames_seen, batch, region = [], [], self._region
    follow = None
    if self._pace.follows:
      follow = following.Follower(self._first.pixels, self._region)
    for number, frame in enumerate(self._readable_frames()):
      self.poll()
      if follow:
        region = follow(frame.pixels)
      nothing = frame.pixels[:0]
      self.frames_seen.append(dataclasses.replace(frame, pixels=nothing, opacity=None))
      if number >= first:
        batch.append((frame, region))
      if len(batch) == self._batch:
        yield from self._moments(batch)
        batch = []
    if batch:
      yield from self._moments(batch)
    if follow:
      self.lost = follow.lost

  def _readable_frames(self) -> Iterator[clips.Frame]:
    """Yields the frames up to where the clip is cut off, and notes that."""
    try:
      yield from self._clip.checked_frames()
    except clips.CutOff as end:
      self.cut_off = str(end)

  def _moments(
    self, batch: Sequence[tuple[clips.Frame, Sequence[float] | None]]
  ) -> Iterator[tuple[clips.Frame, Moment]]:
    """Yields frames, given with their regions, with what the model does to them."""
    pairs = []
    for frame, region in batch:
      name = f'{frame.name} of {self._clip.path}'
      fitted = self._translator.fit(_layers(frame), name=name, region=region)
      picture = dataclasses.replace(self._model, fitted=fitted, path=name)
      pairs.append((picture, self._exemplar))
    try:
      arrays = self._change(pairs)
    except errors.NotFiniteError as error:
      raise error.naming([picture.path for picture, _ in pairs]) from error
    masks = arrays.get(own_size_files.SUFFIX_OF_BINARY)
    if masks is None:
      masks = arrays.get(own_size_files.SUFFIX_OF_MASK, [None] * len(pairs))
    for number, (picture, _) in enumerate(pairs):
      change = own_size.change_of(
        picture.image,
        arrays[''][number],
        masks[number],
        picture.fitted.box,
        picture.fitted.size,
        is_opacity=self._translator.method.mask_is_opacity,
      )
      yield batch[number][0], Moment(picture.image, change)

  def _composed(self, frame: clips.Frame, change: own_size.Change) -> clips.Frame:
    """Returns a frame at its own size after a change."""
    if change.paint is not None and change.mask.any():
      edges = mask_edges.edges_of(frame.pixels, change.mask, change.box)
      change = dataclasses.replace(change, edges=edges)
    pixels, _ = own_size.paste(frame.pixels, change, given=self._given, keep=self._keep)
    return frame.with_pixels(pixels)


def _layers(frame: clips.Frame) -> np.ndarray:
  """Returns a frame as the model takes it, uint8 [H, W, 3 or 4]."""
  if frame.opacity is None:
    return frame.pixels
  return np.concatenate([frame.pixels, frame.opacity[..., None]], axis=-1)


def _fill(
  unfinished: Unfinished,
  maker: _Maker,
  writer: writers.Writer,
  note: Callable[[str], None],
) -> None:
  """Makes the parts that are missing."""
  start = len(unfinished.parts) * writer.frames_per_part
  progress = Progress(maker.count, enabled=True, unit='frame', activity='translating')
  progress.start(start)
  pairs = _counted(maker.frames(start), progress, start)
  # Frames are encoded as they come: a part of large ones would fill the memory.
  for pair in pairs:
    rest = itertools.islice(pairs, writer.frames_per_part - 1)
    unfinished.add(writer.encode(itertools.chain([pair], rest)))
  progress.close()
  if maker.cut_off:
    note(f'{maker.cut_off}; the result ends there')
  if maker.lost:
    note(
      f'what the region shows at first was not found in {maker.lost} frames, where it stayed'
    )


def _counted(
  pairs: Iterator[tuple[clips.Frame, clips.Frame]], progress: Progress, start: int
) -> Iterator[tuple[clips.Frame, clips.Frame]]:
  """Yields the pairs and shows how far the work is."""
  said = time.monotonic()
  for number, pair in enumerate(pairs, start=start + 1):
    yield pair
    progress.update(number)
    if time.monotonic() - said > _SECONDS:
      progress.line(number, {})
      said = time.monotonic()
