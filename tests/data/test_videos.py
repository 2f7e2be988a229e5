"""Videos, read and written with PyAV; without it only what is said then."""

from fractions import Fraction
import pathlib
import sys

import numpy as np
import pytest

from helpers.animated import drawn_frame, frames_of, HEIGHT, WIDTH
from maskgan_jax import errors
from maskgan_jax.data import clips
from maskgan_jax.data.clips import Drawn, videos, writers

TIMES = [0, 40, 80, 127, 160, 200, 240, 290, 320, 360]  # milliseconds, of a variable rate


def test_without_pyav_a_line_says_what_to_install(monkeypatch, tmp_path):
  (tmp_path / 'a.mp4').write_bytes(b'x')
  monkeypatch.setitem(sys.modules, 'av', None)
  with pytest.raises(errors.UserError, match=r"pip install 'maskgan-jax\[video\]'"):
    clips.open_clip(str(tmp_path / 'a.mp4'))
  with pytest.raises(errors.UserError, match='animated .gif and .webp'):
    writers.writer(Drawn(frames_of(2), 25), str(tmp_path / 'o.mp4'))


@pytest.fixture(name='av')
def _av():
  return pytest.importorskip('av')


def add_sound(av, stream, container, seconds):
  """Writes a tone."""
  for start in range(0, int(44100 * seconds), 1024):
    tone = (8000 * np.sin(np.arange(start, start + 1024) / 16)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(tone[None], 's16', layout='mono')
    frame.sample_rate, frame.pts = 44100, start
    container.mux(stream.encode(frame))
  container.mux(stream.encode(None))


def video(av, path, pictures, times, sound=True, codec='libx264'):
  """Writes a video with times in milliseconds; returns its path."""
  with av.open(str(path), 'w') as container:
    stream = container.add_stream(codec, rate=25, options={'crf': '4'})
    stream.height, stream.width = pictures[0].shape[:2]
    stream.pix_fmt = 'yuv420p'
    stream.codec_context.time_base = Fraction(1, 1000)
    tone = container.add_stream('aac', rate=44100, layout='mono') if sound else None
    for picture, time in zip(pictures, times, strict=True):
      frame = av.VideoFrame.from_ndarray(picture, 'rgb24')
      frame.pts, frame.time_base = time, Fraction(1, 1000)
      container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
    if sound:
      add_sound(av, tone, container, times[-1] / 1000)
  return str(path)


def sound_of(av, path):
  """Returns the decoded sound of a file."""
  with av.open(path) as container:
    return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


def written(clip, path, tmp_path, per_part=4):
  """Writes a clip in parts; returns its path."""
  writer = writers.writer(clip, str(path))
  frames, parts = list(clip.checked_frames()), []
  for start in range(0, len(frames), per_part):
    part = frames[start:start + per_part]
    parts.append(tmp_path / f'part_{start}.mkv')
    parts[-1].write_bytes(writer.encode(zip(part, part, strict=True)))
  writer.join([str(part) for part in parts], frames, str(path))
  return str(path)


@pytest.mark.parametrize('name, other', [
    ('a.mp4', 'o.mp4'), ('a.mkv', 'o.mkv'), ('a.mov', 'o.mkv'), ('a.mkv', 'o.mp4')])
def test_size_times_sound_and_colours_survive(av, tmp_path, name, other):
  pictures = frames_of(10)
  clip = clips.open_clip(video(av, tmp_path / name, pictures, TIMES))
  assert clip.size == (HEIGHT, WIDTH) and clip.sounds == ('aac',)
  again = clips.open_clip(written(clip, tmp_path / other, tmp_path))
  assert again.size == clip.size and again.sounds == clip.sounds
  frames = list(again.checked_frames())
  # Sound that begins before the pictures moves both in a format without negative times.
  times = [round(1000 * (frame.time - frames[0].time) * again.unit) for frame in frames]
  assert times == TIMES and frames[0].time * again.unit < 0.03
  for frame, picture in zip(frames, pictures, strict=True):
    assert np.abs(frame.pixels.astype(int) - picture).mean() < 4  # half of the chroma is lost
  before = list(clip.checked_frames())
  for frame, picture in zip(frames, before, strict=True):
    assert np.abs(frame.pixels.astype(int) - picture.pixels).mean() < 3
  assert again.colors == clip.colors
  # Not every format says that the coder's first samples are not to be heard.
  sound = sound_of(av, clip.path)
  np.testing.assert_array_equal(sound_of(av, again.path)[:, -sound.shape[1]:], sound)


def test_large_videos_have_the_colours_of_hdtv(av, tmp_path):
  assert videos.Colors.of_height(1080).matrix == 1 and videos.Colors.of_height(480).matrix == 5
  pixels = np.random.default_rng(0).integers(0, 4, (32, 32, 3), np.uint8) * 80
  for colors in (videos.Colors(1), videos.Colors(5, 2), videos.Colors(9)):
    frame = colors.from_rgb(pixels, 'yuv444p')
    assert np.abs(colors.to_rgb(frame).astype(int) - pixels).mean() < 1


def test_odd_sizes_and_webm(av, tmp_path):
  pictures = [drawn_frame(number, 47, 63) for number in range(3)]
  clip = Drawn(pictures, 25)
  for name in ('o.mp4', 'o.webm'):
    frames = list(clips.open_clip(written(clip, tmp_path / name, tmp_path)).checked_frames())
    assert frames[0].size == (47, 63) and len(frames) == 3
    assert np.abs(frames[2].pixels.astype(int) - pictures[2]).mean() < 4


def test_videos_become_animations_and_back(av, tmp_path):
  clip = clips.open_clip(video(av, tmp_path / 'a.mp4', frames_of(5), range(0, 200, 40)))
  writer = writers.writer(clip, 'o.gif')
  assert writer.remarks[-1] == 'the sound is left out: a .gif has none'
  assert 'a folder of pictures has none' in writers.writer(clip, 'out').remarks[-1]


def turned(data, matrix):
  """Returns an MP4 whose first track has another matrix, of nine numbers of four bytes."""
  place = data.index(b'tkhd') + 4 + 40
  return data[:place] + b''.join(n.to_bytes(4, 'big') for n in matrix) + data[place + 36:]


def test_a_telephone_held_upright(av, tmp_path):
  """The matrix says to turn the stored picture by 90 degrees clockwise."""
  path = video(av, tmp_path / 'a.mp4', frames_of(2), [0, 40], sound=False)
  one = 1 << 16
  matrix = [0, one, 0, 2**32 - one, 0, 0, HEIGHT * one, 0, 1 << 30]
  (tmp_path / 'b.mp4').write_bytes(turned(pathlib.Path(path).read_bytes(), matrix))
  clip = clips.open_clip(str(tmp_path / 'b.mp4'))
  assert clip.size == (WIDTH, HEIGHT)
  [first, _] = clip.checked_frames()
  want = np.rot90(drawn_frame(0), -1)
  assert np.abs(first.pixels.astype(int) - want).mean() < 4
  again = clips.open_clip(written(clip, tmp_path / 'o.mp4', tmp_path))
  assert np.abs(next(again.frames()).pixels.astype(int) - want).mean() < 4


def bad_videos(av, folder):
  """Yields files and what is said of them."""
  data = pathlib.Path(video(av, folder / 'a.mp4', frames_of(10), TIMES)).read_bytes()
  (folder / 'cut.mp4').write_bytes(data[:len(data) // 2])
  yield 'cut.mp4', 'damaged or cut off'  # its index is at the end
  (folder / 'empty.mkv').write_bytes(b'')
  yield 'empty.mkv', 'damaged or cut off|holds no frame'
  (folder / 'text.mp4').write_text('hello')
  yield 'text.mp4', 'damaged or cut off'
  yield 'absent.mp4', 'cannot be read: No such file'
  with av.open(str(folder / 'sound.mp4'), 'w') as container:
    add_sound(av, container.add_stream('aac', rate=44100, layout='mono'), container, 0.2)
  yield 'sound.mp4', 'holds no frame: it has no pictures'


def test_bad_videos_are_one_line(av, tmp_path):
  for name, message in bad_videos(av, tmp_path):
    with pytest.raises(errors.UserError, match=message) as raised:
      list(clips.open_clip(str(tmp_path / name)).checked_frames())
    assert '\n' not in str(raised.value) and name in str(raised.value)


def test_a_video_that_is_cut_off(av, tmp_path):
  rng = np.random.default_rng(0)
  noise = [rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(50)]
  data = pathlib.Path(video(av, tmp_path / 'a.mkv', noise, range(0, 2000, 40))).read_bytes()
  (tmp_path / 'cut.mkv').write_bytes(data[:len(data) // 2])
  count = 0
  with pytest.raises(clips.CutOff, match=r'cut.mkv is cut off after \d+ frames'):
    for _ in clips.open_clip(str(tmp_path / 'cut.mkv')).checked_frames():
      count += 1
  assert 10 < count < 40


def test_a_video_whose_size_changes(av, tmp_path):
  """Two streams of other sizes, one after the other, as some recorders leave them."""
  data = b''
  for height in (48, 64):
    pictures = [drawn_frame(number, height, 64) for number in range(3)]
    path = video(av, tmp_path / f'{height}.ts', pictures, range(0, 120, 40), sound=False)
    data += pathlib.Path(path).read_bytes()
  (tmp_path / 'a.ts').write_bytes(data)
  with pytest.raises(errors.UserError, match='has 64x64 pixels, and the first frame 64x48'):
    list(clips.open_clip(str(tmp_path / 'a.ts')).checked_frames())


def test_sound_that_does_not_fit(av, tmp_path):
  clip = clips.open_clip(video(av, tmp_path / 'a.mp4', frames_of(2), [0, 40]))
  with pytest.raises(errors.UserError, match=r'a .webm cannot hold the sound .* \(aac\)'):
    writers.writer(clip, 'o.webm')


def test_transparent_frames_do_not_become_a_video(av):
  clip = Drawn(frames_of(1), 25)
  [frame] = clip.frames()
  clear = np.zeros((HEIGHT, WIDTH), np.uint8)
  with pytest.raises(errors.UserError, match='partly transparent, which a video cannot be'):
    writers.writer(clip, 'o.mp4').encode(
        [(type(frame)(frame.pixels, 0, 1, 'f', clear), frame)])
