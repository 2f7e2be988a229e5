"""Animated pictures and folders of numbered ones, read and written."""

from fractions import Fraction
import os
import pathlib

import numpy as np
from PIL import Image
import pytest

from helpers.animated import (
  animated,
  drawn_frame,
  frames_of,
  HEIGHT,
  numbered,
  read_all,
  WIDTH,
)
from maskgan_jax import errors
from maskgan_jax.data import clips
from maskgan_jax.data.clips import Drawn, Frame, writers


def written(clip, path, change=lambda picture: picture):
  """Writes a clip, frame by frame, and returns its path."""
  path = str(path)
  writer = writers.writer(clip, path)
  parts, frames = [], list(clip.checked_frames())
  for number, frame in enumerate(frames):
    parts.append(f'{path}.{number}.png')
    with open(parts[-1], 'wb') as file:
      file.write(writer.encode([(frame.with_pixels(change(frame.pixels)), frame)]))
  writer.join(parts, frames, path)
  return path


@pytest.mark.parametrize('name', ['a.gif', 'a.webp'])
def test_animated_pictures_keep_pixels_times_and_loops(tmp_path, name):
  durations = [40, 90, 40, 200]
  path = animated(tmp_path / name, frames_of(4), durations, loop=3)
  clip = clips.open_clip(path)
  assert (clip.size, clip.count, clip.unit, clip.loops) == (
      (HEIGHT, WIDTH), 4, Fraction(1, 1000), 3)
  frames = list(clip.checked_frames())
  assert [frame.duration for frame in frames] == durations
  assert [frame.time for frame in frames] == [0, 40, 130, 170]
  for number, frame in enumerate(frames):
    np.testing.assert_array_equal(frame.pixels, drawn_frame(number))

  # And the way back.
  again = written(clip, tmp_path / f'b{os.path.splitext(name)[1]}')
  pictures, shown = read_all(again)
  assert shown == durations and clips.open_clip(again).loops == 3
  np.testing.assert_array_equal(pictures, frames_of(4))


def test_a_gif_that_runs_once_does_so_as_webp(tmp_path):
  clip = clips.open_clip(animated(tmp_path / 'a.gif', frames_of(2)))
  assert clip.loops is None
  assert clips.open_clip(written(clip, tmp_path / 'b.webp')).loops == 1
  assert clips.open_clip(written(clip, tmp_path / 'b.gif')).loops is None


@pytest.mark.parametrize('name', ['b.gif', 'b.webp'])
def test_transparency_survives(tmp_path, name):
  layers = []
  for picture in frames_of(3):
    opacity = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    opacity[:10] = 0
    layers.append(np.concatenate([picture, opacity], axis=-1))
  clip = clips.open_clip(animated(tmp_path / 'a.webp', layers, exact=True))
  again = clips.open_clip(written(clip, tmp_path / name))
  for frame, layer in zip(again.checked_frames(), layers, strict=True):
    np.testing.assert_array_equal(frame.opacity, layer[..., 3])
    np.testing.assert_array_equal(frame.pixels[10:], layer[10:, :, :3])


def test_pixels_of_a_gif_that_did_not_change_keep_their_colour():
  source = Frame(drawn_frame(0), 0, 1, 'frame 1')
  assert len(np.unique(source.pixels.reshape(-1, 3), axis=0)) < 200
  painted = source.pixels.copy()
  painted[:24] = np.random.default_rng(0).integers(0, 256, (24, WIDTH, 3))
  image = writers.with_palette(source.with_pixels(painted), source)
  result = np.asarray(image.convert('RGB'))
  np.testing.assert_array_equal(result[24:], painted[24:])
  assert np.abs(result[:24].astype(int) - painted[:24]).mean() < 25
  # Where all is of too many colours, each gets a near one.
  source = source.with_pixels(np.roll(painted, 1))
  painted = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
  result = np.asarray(writers.with_palette(source.with_pixels(painted), source).convert('RGB'))
  assert np.abs(result.astype(int) - painted).mean() < 25


def test_a_folder_of_numbered_pictures(tmp_path):
  folder = numbered(tmp_path / 'in', frames_of(12))
  clip = clips.open_clip(folder, rate=12.5)
  assert (clip.count, clip.unit, clip.remarks) == (12, Fraction(2, 25), ())
  frames = list(clip.checked_frames())
  assert [frame.name for frame in frames][:3] == ['shot_08.png', 'shot_09.png', 'shot_10.png']
  np.testing.assert_array_equal(frames[11].pixels, drawn_frame(11))
  path = written(clip, tmp_path / 'out')
  assert sorted(os.listdir(path)) == sorted(os.listdir(folder))
  np.testing.assert_array_equal(np.asarray(Image.open(f'{path}/shot_19.png')), drawn_frame(11))
  assert read_all(written(clip, tmp_path / 'o.gif'))[1] == [80] * 12


def test_numbers_decide_and_gaps_are_said(tmp_path):
  folder = numbered(tmp_path / 'in', frames_of(3))
  os.rename(f'{folder}/shot_09.png', f'{folder}/shot_100.png')
  clip = clips.open_clip(folder)
  assert [frame.name for frame in clip.frames()] == ['shot_08.png', 'shot_10.png', 'shot_100.png']
  [remark] = clip.remarks
  assert 'lacks 90 of the numbers 8 to 100, the first is 9' in remark


def test_16_bits_become_8(tmp_path):
  os.makedirs(tmp_path / 'in')
  deep = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 20
  for number in range(2):
    Image.fromarray(deep).save(tmp_path / 'in' / f'{number}.png')
  [frame, _] = clips.open_clip(str(tmp_path / 'in')).checked_frames()
  np.testing.assert_array_equal(frame.pixels[..., 0], deep >> 8)


@pytest.mark.parametrize('rate', [50, 60, 90, 240])
def test_a_gif_of_a_fast_clip_is_as_fast_and_has_fewer_frames(tmp_path, rate):
  clip = Drawn(frames_of(24), rate=rate)
  pictures, durations = read_all(written(clip, tmp_path / 'a.gif'))
  assert min(durations) >= 20 and abs(sum(durations) - 24_000 / rate) <= 20
  assert (len(pictures) == 24) == (rate == 50)
  assert len(read_all(written(clip, tmp_path / 'a.webp'))[0]) == 24


def test_rounding_times_does_not_add_up(tmp_path):
  clip = Drawn(frames_of(30), rate=30)
  assert sum(read_all(written(clip, tmp_path / 'a.webp'))[1]) == 1000
  assert sum(read_all(written(clip, tmp_path / 'a.gif'))[1]) == 1000
  assert clips.open_clip(f'{tmp_path}/a.gif').loops == 0


def test_what_is_a_clip():
  assert clips.is_video_name('a.MP4') and clips.is_video_name('x/a.avi')
  assert not clips.is_video_name('a.gif')
  assert clips.is_clip_name('o.gif') and clips.is_clip_name('o.mkv')
  assert not clips.is_clip_name('o.avi') and not clips.is_clip_name('o.png')


def bad_clips(folder):
  """Yields paths, and what is said of them."""
  path = animated(folder / 'whole.gif', frames_of(3))
  data = pathlib.Path(path).read_bytes()
  (folder / 'empty.gif').write_bytes(b'')
  yield 'empty.gif', 'is empty'
  (folder / 'header.gif').write_bytes(data[:20])
  yield 'header.gif', 'damaged or truncated|not a picture'
  yield 'absent.gif', 'does not exist'
  (folder / 'text.webp').write_text('hello')
  yield 'text.webp', 'is not a picture'
  Image.fromarray(drawn_frame(0)).save(folder / 'still.png')
  yield 'still.png', 'is one picture and not a clip; write its result as .png'
  webp = pathlib.Path(animated(folder / 'whole.webp', frames_of(3))).read_bytes()
  (folder / 'cut.webp').write_bytes(webp[:len(webp) // 2])
  yield 'cut.webp', 'damaged or truncated|not a picture|cut off'
  (folder / 'nothing').mkdir()
  yield 'nothing', 'holds no frame: no numbered picture'
  numbered(folder / 'sizes', [drawn_frame(0), drawn_frame(1, 40, 64)])
  yield 'sizes', 'shot_09.png has 64x40 pixels, and the first frame 64x48; .* one size'
  numbered(folder / 'names', frames_of(2))
  os.rename(folder / 'names' / 'shot_08.png', folder / 'names' / 'shot.png')
  yield 'names', 'shot.png has no number'
  numbered(folder / 'twice', frames_of(2))
  os.rename(folder / 'twice' / 'shot_08.png', folder / 'twice' / 'shot_9.png')
  yield 'twice', 'have the same number'


def test_bad_clips_are_one_line(tmp_path):
  for name, message in bad_clips(tmp_path):
    with pytest.raises(errors.UserError, match=message) as raised:
      list(clips.open_clip(str(tmp_path / name)).checked_frames())
    assert '\n' not in str(raised.value) and name in str(raised.value)
  with pytest.raises(errors.UserError, match='more than max_pixels=100'):
    clips.open_clip(f'{tmp_path}/whole.gif', max_pixels=100)
  with pytest.raises(errors.UserError, match='--rate=0 is not a number of frames'):
    clips.open_clip(f'{tmp_path}/sizes', rate=0)


def test_frames_before_a_cut_are_read(tmp_path):
  data = pathlib.Path(animated(tmp_path / 'whole.gif', frames_of(6))).read_bytes()
  for cut in (len(data) * 2 // 3, len(data) - 1):
    (tmp_path / 'cut.gif').write_bytes(data[:cut])
    read = []
    with pytest.raises(clips.CutOff, match=r'cut.gif is cut off after \d frames'):
      for frame in clips.open_clip(str(tmp_path / 'cut.gif')).checked_frames():
        read.append(frame.pixels)
    assert 1 < len(read) <= 6
    np.testing.assert_array_equal(read, frames_of(len(read)))


def test_results_that_cannot_be_clips(tmp_path):
  for name in ('o.png', 'o.jpg', 'o.avi'):
    with pytest.raises(errors.UserError, match='clips are written as .gif, .webp, .mp4'):
      writers.check_name(str(tmp_path / name))
  folder = numbered(tmp_path / 'full', frames_of(1))
  with pytest.raises(errors.UserError, match='holds files already'):
    writers.check_name(folder)
  writers.check_name(str(tmp_path / 'new'))
