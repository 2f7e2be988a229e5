"""Videos, read and written with PyAV: the one file that knows it.

PyAV is taken for its access to packets: sound is copied as it is, frames keep their times, and a
result is encoded in parts that are joined without encoding again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
from fractions import Fraction
import heapq
import io
import os
from typing import Any

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data.clips.base import Clip, CutOff, Frame

# What is written, and what is read.
WRITTEN = ('.mp4', '.m4v', '.mov', '.mkv', '.webm')
READ = (
  *WRITTEN,
  *('.3gp', '.avi', '.flv', '.mpeg', '.mpg', '.mts', '.ogv', '.ts', '.wmv'),
)
# Without B-frames packets have the order of frames, and parts can be joined by counting.
_H264 = ('libx264', {'crf': '16', 'bf': '0', 'preset': 'medium'})
_VP9 = (
  'libvpx-vp9',
  {'crf': '20', 'b': '0', 'auto-alt-ref': '0', 'row-mt': '1', 'cpu-used': '4'},
)
_WEBM_SOUNDS = ('opus', 'vorbis')
_PART_FORMAT = 'matroska'
_SLACK = 0.5  # seconds by which what a file says of its length may be wrong
_HIGH = 720  # rows from which a video that does not say so has the colours of HDTV
# Numbers of ITU-T H.273: matrices by what swscale computes with, curves of PQ and HLG.
_BT709, _UNSPECIFIED, _BT601 = 1, 2, 5
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_HDR_CURVES = (16, 18)
_FORMATS = {
  '.mp4': 'mp4',
  '.m4v': 'mp4',
  '.mov': 'mov',
  '.mkv': 'matroska',
  '.webm': 'webm',
}


def extension_of(path: str) -> str:
  """Returns a file's extension in small letters, with its dot."""
  return os.path.splitext(path)[1].lower()


def library() -> Any:
  """Returns PyAV; UserError where it is not installed."""
  try:
    import av
    import av.error
  except ImportError as error:
    raise errors.UserError(
      "videos need PyAV: pip install 'maskgan-jax[video]'; animated .gif and .webp, and "
      'folders of numbered pictures with --clip, do not'
    ) from error
  return av


class Video(Clip):
  """A video's first stream of pictures; times are in that stream's unit.

  Attributes:
    colors: how its colours are stored.
  """

  def __init__(self, path: str, max_pixels: int):
    self.path, self._status = path, _status(path)
    with self._open() as container:
      if not container.streams.video:
        raise errors.UserError(f'{path} holds no frame: it has no pictures')
      stream = container.streams.video[0]
      self.sounds = tuple(sound.codec.name for sound in container.streams.audio)
      self.unit, self._declared = stream.time_base, stream.frames
      self.rate = stream.average_rate or Fraction(25)
      self.pixel_ratio = stream.sample_aspect_ratio or Fraction(1)
      self._length = (container.duration or 0) / 1_000_000
      self.count = self._declared or round(self._length * self.rate)
      first = self._first(container, stream)
      self.colors = Colors.of_frame(first)
      # A telephone held upright stores frames that lie on their side.
      size = (first.height, first.width)
      self.size = size[::-1] if first.rotation % 180 else size
    if self.size[0] * self.size[1] > max_pixels:
      raise errors.UserError(
        f'{path} has {self.size[1]}x{self.size[0]} pixels, more than {max_pixels}; make it smaller'
      )
    self.remarks = self._remarks(first)

  @contextlib.contextmanager
  def _open(self) -> Iterator[Any]:
    """Opens the file; what FFmpeg says against it becomes a UserError."""
    av = library()
    try:
      with av.open(self.path) as container:
        yield container
    except av.error.FFmpegError as error:
      raise errors.UserError(
        f'{self.path} is damaged or cut off: {error.strerror}'
      ) from error

  def _first(self, container: Any, stream: Any) -> Any:
    """Returns the first frame as PyAV has it."""
    for frame in container.decode(stream):
      return frame
    raise errors.UserError(f'{self.path} holds no frame that can be read')

  def _remarks(self, first: Any) -> tuple[str, ...]:
    """Returns what is lost of the pictures."""
    if first.color_trc in _HDR_CURVES:
      raise errors.UserError(
        f'{self.path} has HDR colours, which no model here has seen; convert it to SDR first'
      )
    if max(component.bits for component in first.format.components) > 8:
      return (f'{self.path} has more than 8 bits a channel; the result has 8',)
    return ()

  def frames(self) -> Iterator[Frame]:
    """Yields the frames; see `Clip`."""
    number, time, latest = 0, None, 0.0
    error_class = library().error.FFmpegError
    with self._open() as container:
      usual = max(1, round(1 / (self.rate * self.unit)))
      try:
        for frame, seconds in _decoded(container):
          latest = max(latest, seconds)
          if frame is None:
            continue
          # A time that is missing, or goes back, follows the frame before.
          is_later = frame.pts is not None and (time is None or frame.pts > time)
          time = frame.pts if is_later else (0 if time is None else time + 1)
          number += 1
          duration = frame.duration or usual
          yield Frame(self._upright(frame), time, duration, f'frame {number}')
      except error_class as error:
        if not number:
          raise
        raise self._cut_off(number) from error
    if number and (number < self._declared or latest + _SLACK < self._length):
      raise self._cut_off(number)

  def _cut_off(self, number: int) -> CutOff:
    return CutOff(f'{self.path} is cut off after {number} frames')

  def _upright(self, frame: Any) -> np.ndarray:
    """Returns uint8 [H, W, 3] of a frame."""
    pixels = self.colors.to_rgb(frame)
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels

  def signature(self) -> list:
    """Returns the file's size and time."""
    return [self._status.st_size, self._status.st_mtime_ns]


def _status(path: str) -> os.stat_result:
  try:
    return os.stat(path)
  except OSError as error:
    raise errors.UserError(f'{path} cannot be read: {error.strerror}') from error


def _decoded(container: Any) -> Iterator[tuple[Any, float]]:
  """Yields frames, or None for a packet of sound, and the seconds that the file has reached."""
  pictures = container.streams.video[0]
  pictures.thread_type = 'AUTO'
  start = (container.start_time or 0) / 1_000_000
  for packet in container.demux(pictures, *container.streams.audio):
    seconds = 0.0
    if packet.pts is not None:
      end = packet.pts + (packet.duration or 0)
      seconds = float(end * packet.time_base) - start
    if packet.stream is not pictures:
      yield None, seconds
      continue
    for frame in packet.decode():
      yield frame, seconds


@dataclasses.dataclass(frozen=True)
class Colors:
  """How a video stores colours, by the numbers of ITU-T H.273.

  Attributes:
    matrix: from RGB to luma and chroma.
    range: 1 for 16 to 235, 2 for 0 to 255.
    primaries, curve: 2 where the video does not say them.
  """

  matrix: int
  range: int = 1
  primaries: int = _UNSPECIFIED
  curve: int = _UNSPECIFIED

  @classmethod
  def of_height(cls, height: int) -> 'Colors':
    """Returns what players assume of a video of that height that says nothing."""
    return cls(_BT709 if height >= _HIGH else _BT601)

  @classmethod
  def of_frame(cls, frame: Any) -> 'Colors':
    """Returns what a frame says."""
    matrix = _MATRICES.get(frame.colorspace) or cls.of_height(frame.height).matrix
    return cls(matrix, frame.color_range or 1, frame.color_primaries, frame.color_trc)

  def to_rgb(self, frame: Any) -> np.ndarray:
    """Returns uint8 [H, W, 3] of a frame."""
    converted = frame.reformat(
      format='rgb24', src_colorspace=self.matrix, src_color_range=self.range
    )
    return converted.to_ndarray()

  def from_rgb(self, pixels: np.ndarray, pixel_format: str) -> Any:
    """Returns a frame of uint8 [H, W, 3]."""
    frame = library().VideoFrame.from_ndarray(pixels, 'rgb24')
    return frame.reformat(
      format=pixel_format, dst_colorspace=self.matrix, dst_color_range=self.range
    )


class Encoder:
  """Encodes a result in parts, and joins these with the sound of the source."""

  def __init__(self, clip: Clip, path: str):
    """Takes the source, and the file to be written, whose extension says the format."""
    self._clip, self._path = clip, path
    is_webm = extension_of(path) == '.webm'
    self._codec, self._options = _VP9 if is_webm else _H264
    height, width = clip.size
    self._colors = Colors.of_height(height)
    self._pixel_ratio = Fraction(1)
    self._sound_path = ''
    self._rate = Fraction(
      25
    )  # what the encoder spends its bits by; times are the clip's
    if isinstance(clip, Video):
      self._colors, self._pixel_ratio = clip.colors, clip.pixel_ratio
      self._rate = clip.rate
      self._sound_path = clip.path if clip.sounds else ''
      self._check_sounds(clip, is_webm)
    # H.264 has half of the chroma in even sizes only.
    self._pixel_format = 'yuv420p'
    if not is_webm and (height % 2 or width % 2):
      self._pixel_format = 'yuv444p'
    library()

  def _check_sounds(self, clip: Video, is_webm: bool) -> None:
    """Raises UserError for sound that the result cannot hold."""
    av = library()
    extension = extension_of(self._path)
    if is_webm:
      possible = _WEBM_SOUNDS
    else:
      format_name = _FORMATS[extension]
      possible = av.open(io.BytesIO(), 'w', format=format_name).supported_codecs
    lacking = [name for name in clip.sounds if name not in possible]
    if lacking:
      raise errors.UserError(
        f'a {extension} cannot hold the sound of {clip.path} ({lacking[0]}); write a .mkv'
      )

  def encode(self, pixels: Iterable[np.ndarray]) -> bytes:
    """Returns a part of the result: frames uint8 [H, W, 3], as a file of its own."""
    av = library()
    buffer = io.BytesIO()
    with av.open(buffer, 'w', format=_PART_FORMAT) as container:
      stream = self._stream(container)
      for number, picture in enumerate(pixels):
        frame = self._colors.from_rgb(picture, self._pixel_format)
        frame.pts, frame.time_base = number, 1 / self._rate
        container.mux(stream.encode(frame))
      container.mux(stream.encode(None))
    return buffer.getvalue()

  def _stream(self, container: Any) -> Any:
    """Adds the stream of pictures to a part."""
    stream = container.add_stream(
      self._codec, rate=self._rate, options=dict(self._options)
    )
    stream.height, stream.width = self._clip.size
    stream.pix_fmt = self._pixel_format
    context = stream.codec_context
    context.time_base = 1 / self._rate
    context.sample_aspect_ratio = self._pixel_ratio
    context.colorspace, context.color_range = self._colors.matrix, self._colors.range
    context.color_primaries = self._colors.primaries
    context.color_trc = self._colors.curve
    return stream

  def join(
    self, parts: Sequence[str], times: Sequence[int], last: int, path: str
  ) -> None:
    """Writes a video of parts, with sound; OSError where the disk refuses.

    Args:
      parts: the files of parts, in order.
      times: of all frames, in the clip's unit.
      last: duration of the last frame.
      path: the file to write.
    """
    try:
      self._join(parts, [*times, times[-1] + last], path)
    except library().error.FFmpegError as error:
      raise OSError(error.errno, error.strerror) from error

  def _join(self, parts: Sequence[str], ends: Sequence[int], path: str) -> None:
    """Writes a video; `ends` are the times of all frames, and when the last ends."""
    av = library()
    with contextlib.ExitStack() as stack:
      format_name = _FORMATS[extension_of(self._path)]
      result = stack.enter_context(av.open(path, 'w', format=format_name))
      first = stack.enter_context(av.open(parts[0]))
      pictures = result.add_stream_from_template(first.streams.video[0])
      pictures.time_base = self._clip.unit
      queues = [self._pictures(parts, ends, pictures)]
      if self._sound_path:
        source = stack.enter_context(av.open(self._sound_path))
        result.metadata.update(_about_content(source.metadata))
        queues.append(_sounds(source, result))
      # A player needs what belongs together close together.
      for _, _, packet in heapq.merge(*queues, key=lambda entry: entry[:2]):
        result.mux_one(packet)

  def _pictures(
    self, parts: Sequence[str], times: Sequence[int], stream: Any
  ) -> Iterator[tuple[float, int, Any]]:
    """Yields the seconds, 0, and the packet of each frame."""
    av = library()
    number = 0
    for part in parts:
      with av.open(part) as container:
        for packet in container.demux(video=0):
          if not packet.size:
            continue
          packet.time_base = self._clip.unit
          packet.pts = packet.dts = times[number]
          packet.duration = times[number + 1] - times[number]
          packet.stream = stream
          yield float(times[number] * self._clip.unit), 0, packet
          number += 1


def _sounds(source: Any, result: Any) -> Iterator[tuple[float, int, Any]]:
  """Returns the seconds, 1, and the packet of each piece of sound."""
  stream_by_index = {}
  for stream in source.streams.audio:
    stream_by_index[stream.index] = result.add_stream_from_template(stream)

  def packets():
    for packet in source.demux(*source.streams.audio):
      if packet.dts is None:
        continue
      seconds = float(packet.dts * packet.time_base)
      packet.stream = stream_by_index[packet.stream_index]
      yield seconds, 1, packet

  return packets()


def _about_content(metadata: Mapping[str, str]) -> dict[str, str]:
  """Returns what a file says about its content, and not about itself."""
  of_the_file = ('brand', 'encoder', 'minor_version', 'handler', 'duration')
  return {
    key: text
    for key, text in metadata.items()
    if not any(word in key.lower() for word in of_the_file)
  }
