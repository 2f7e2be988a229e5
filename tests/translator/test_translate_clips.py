"""Clips through `translate_clip` and the command: GIF, WebP and numbered pictures."""

import contextlib
import errno
import os
import pathlib
import re
import resource
import signal
import time

import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from helpers import commands, processes
from helpers.animated import (
  animated,
  drawn_frame,
  frames_of,
  HEIGHT,
  numbered,
  read_all,
  WIDTH,
)
from helpers.models import drawn
from helpers.simple_method import Adds, simple
from helpers.tiny_model import make_config, make_translator
from maskgan_jax import errors, files, translate
from maskgan_jax.data import clips as data_clips
from maskgan_jax.data.clips import writers
from maskgan_jax.methods.base import Method, Translation
from maskgan_jax.translate import clips, Edits, Pace
from maskgan_jax.translator import Translator

REGION = '8,8,40,40'


@pytest.fixture(name='run')
def _run(tmp_path):
  """Returns a function that translates a clip and returns the result's path and the notes."""
  Image.fromarray(drawn_frame(20)).save(tmp_path / 'b.png')

  def call(source, output='o.webp', t=None, **options):
    t, notes = t or simple(), []
    exemplar = str(tmp_path / 'b.png') if 'exemplar' in t.abilities else ''
    exemplar = options.pop('exemplar', exemplar)
    [path] = translate.translate_clip(t, source, exemplar, str(tmp_path / output),
                                      note=notes.append, **options)
    assert not os.path.exists(f'{path}.part')
    return path, notes
  return call


def clip_of(tmp_path, count=6, name='a.webp', **options):
  return animated(tmp_path / name, frames_of(count), **options)


def test_a_clip_comes_back_at_its_size_and_rate(run, tmp_path):
  """`Simple` paints 8 of 16 columns white, with a mask of 0.7."""
  durations = [40, 70, 40, 40, 100, 40]
  path, notes = run(clip_of(tmp_path, duration=durations))
  pictures, shown = read_all(path)
  assert shown == durations and not notes
  for number, picture in enumerate(pictures):
    assert picture.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(picture[:, 48:], drawn_frame(number)[:, 48:])
    assert picture[:, :20].min() > 176


@pytest.mark.parametrize('deviation', [0.0, 1.0])
def test_a_region_is_fixed(run, tmp_path, deviation):
  path, _ = run(clip_of(tmp_path), source_edits=Edits(regions=[REGION]), pace=Pace(deviation))
  for number, picture in enumerate(read_all(path)[0]):
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[8:40, 8:32] = False
    np.testing.assert_array_equal(picture[outside], drawn_frame(number)[outside])
    assert picture[20:30, 14:20].min() > 176


def test_a_region_that_follows(run, tmp_path):
  """The square moves by two pixels a frame; the left half of the region is painted."""
  pace, edits = Pace(deviation=1, follows=True), Edits(regions=['14,4,38,28'])
  path, notes = run(clip_of(tmp_path, 12), source_edits=edits, pace=pace)
  for number, picture in enumerate(read_all(path)[0]):
    changed = (picture != drawn_frame(number)).any(axis=(0, 2)).nonzero()[0]
    assert abs(changed[0] - (4 + 2 * number)) <= 4 and changed[-1] < 22 + 2 * number
  assert not notes
  for wrong in (Edits(), Edits(regions=['14,4,38,28'], erase=['0,0,9,9'])):
    with pytest.raises(errors.UserError, match='--follow needs --region, and goes without'):
      run(clip_of(tmp_path), source_edits=wrong, pace=pace)


def test_frames_alone_are_the_same_as_pictures(run, tmp_path):
  t = make_translator(make_config(data__load_size=0))
  path, _ = run(clip_of(tmp_path, 3), t=t, pace=Pace(deviation=0))
  for number, picture in enumerate(read_all(path)[0]):
    alone = t(t.fit(drawn_frame(number)), t.fit(drawn_frame(20)), size='own')
    assert np.abs(picture.astype(int) - alone.image).max() <= 1


class Trembles(Method):
  """Paints everything white with an opacity that the least noise changes."""
  abilities = frozenset({'source_mask'})

  def translate(self, params, model_state, source, exemplar=None, **unused):
    total = jnp.abs(source).sum(axis=(1, 2, 3), keepdims=True)
    mask = (10 * total) % 1 + 0 * source[..., :1]
    return Translation(mask + (1 - mask) * source, mask)


def test_smoothing_steadies_a_model_that_trembles(run, tmp_path):
  t = Translator(Trembles(), {}, {}, make_config(data__load_size=0))
  rng = np.random.default_rng(0)
  still = []
  for _ in range(10):
    noisy = drawn_frame(3) + rng.normal(size=(HEIGHT, WIDTH, 3)) * 3
    still.append(np.clip(noisy, 0, 255).astype(np.uint8))
  source = animated(tmp_path / 'a.webp', still)
  variation = {}
  for deviation in (0.0, 2.0):
    pictures = read_all(run(source, t=t, pace=Pace(deviation))[0])[0]
    variation[deviation] = np.abs(np.diff(np.asarray(pictures, float), axis=0)).mean()
  assert variation[2.0] < 0.3 * variation[0.0]


def test_numbered_pictures_in_and_out(run, tmp_path):
  folder = numbered(tmp_path / 'in', frames_of(4))
  path, notes = run(folder, 'out')
  assert sorted(os.listdir(path)) == sorted(os.listdir(folder)) and not notes
  picture = np.asarray(Image.open(f'{path}/shot_09.png'))
  np.testing.assert_array_equal(picture[:, 48:], drawn_frame(1)[:, 48:])
  gif, notes = run(folder, 'o.gif', pace=Pace(rate=10))
  assert read_all(gif)[1] == [100] * 4 and notes == [
      'a .gif has 256 colours a frame, and frames that are shown for less than 20 ms are left out; '
      'a .webp keeps every pixel and frame']


def test_masks_rectangles_and_removal(run, tmp_path):
  mask = np.zeros((HEIGHT, WIDTH), np.uint8)
  mask[10:30, 4:44] = 255
  Image.fromarray(mask).save(tmp_path / 'm.png')
  t = make_translator(make_config(data__load_size=0))
  path, _ = run(clip_of(tmp_path), t=t,
                source_edits=Edits(str(tmp_path / 'm.png'), ['0,0,48,20']))
  inside = np.zeros((HEIGHT, WIDTH), bool)
  inside[10:30, 20:44] = True
  for number, picture in enumerate(read_all(path)[0]):
    np.testing.assert_array_equal(picture[~inside], drawn_frame(number)[~inside])
    assert (picture[inside] != drawn_frame(number)[inside]).mean() > 0.8
  path, _ = run(clip_of(tmp_path), exemplar='', removes=True)
  assert read_all(path)[0][0].shape == (HEIGHT, WIDTH, 3)


def test_changes_that_are_added(run, tmp_path):
  t = Translator(Adds(), {}, {}, make_config(data__load_size=0))
  path, _ = run(clip_of(tmp_path), t=t)
  change = np.asarray(read_all(path)[0], int) - frames_of(6)
  assert not change[:, :, 48:].any()
  np.testing.assert_allclose(np.median(change[:, 40:, :20], axis=(0, 1, 2)), [64, 32, 16], atol=2)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['lomit', 'egsc_it', 'additional_mask'])
def test_every_method_takes_clips(run, tmp_path, name):
  path, _ = run(clip_of(tmp_path, 3), t=drawn(name), source_edits=Edits(regions=['.1,.1,.9,.9']))
  for number, picture in enumerate(read_all(path)[0]):
    np.testing.assert_array_equal(picture[:4], drawn_frame(number)[:4])


def test_a_line_says_how_long_it_takes(run, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(clips, '_SECONDS', 0)
  run(clip_of(tmp_path))
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == 6
  assert re.match(r'frame 3/6  [0-9.]+ frames/s  0:0\d left', lines[2])


# Stopping and going on.


class Stopped(Exception):
  """Raised in place of a signal."""


def stops_after(count):
  """Returns a `poll` that stops at its call number `count`."""
  calls = [0]

  def poll():
    calls[0] += 1
    if calls[0] > count:
      raise Stopped
  return poll


@pytest.mark.parametrize('deviation', [0.0, 1.0])
def test_a_stopped_clip_goes_on_and_is_the_same(run, tmp_path, monkeypatch, deviation):
  monkeypatch.setattr(clips, '_BATCH', 2)
  t = make_translator(make_config(data__load_size=0))
  source, pace = clip_of(tmp_path, 9), Pace(deviation)
  whole, _ = run(source, 'whole.webp', t=t, pace=pace)
  with pytest.raises(Stopped):
    run(source, t=t, pace=pace, poll=stops_after(6))
  assert not (tmp_path / 'o.webp').exists()
  present = sorted((tmp_path / 'o.webp.part').glob('*.png'))
  assert 1 < len(present) <= 6
  times = [path.stat().st_mtime_ns for path in present]

  # Parts are not made again, and the result has all bytes of an uninterrupted one.
  made = []
  encode = writers.WebP.encode
  monkeypatch.setattr(writers.WebP, 'encode',
                      lambda self, pairs: made.append(0) or encode(self, pairs))
  with pytest.raises(Stopped):
    run(source, t=t, pace=pace, poll=stops_after(0))
  assert [path.stat().st_mtime_ns for path in present] == times
  path, _ = run(source, t=t, pace=pace)
  assert len(made) == 9 - len(present)
  assert pathlib.Path(path).read_bytes() == pathlib.Path(whole).read_bytes()


def test_other_settings_begin_anew(run, tmp_path):
  source = clip_of(tmp_path, 20)
  with pytest.raises(Stopped):
    run(source, pace=Pace(0), poll=stops_after(18))
  assert len(list((tmp_path / 'o.webp.part').glob('*.png'))) == 16
  path, notes = run(clip_of(tmp_path, 6, 'b.webp'), pace=Pace(0))
  assert 'o.webp.part holds parts of a result with other settings' in notes[0]
  assert len(read_all(path)[0]) == 6


def test_parts_that_are_being_written_are_left_alone(run, tmp_path):
  with files.held(tmp_path / 'o.webp.part', 'writes'):
    (tmp_path / 'o.webp.part' / 'settings.json').write_text('{}')
    with pytest.raises(errors.UserError, match='another process writes the same result'):
      run(clip_of(tmp_path))
  os.makedirs(tmp_path / 'p.webp.part' / 'mine')
  with pytest.raises(errors.UserError, match='p.webp.part is where parts .* other files'):
    run(clip_of(tmp_path), 'p.webp')
  assert (tmp_path / 'p.webp.part' / 'mine').exists()


@contextlib.contextmanager
def largest_file(size):
  """Makes the system refuse to write files beyond `size` bytes, as a full disk would."""
  handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize('output', ['o.webp', 'o.gif'])
def test_a_full_disk_at_the_end_loses_nothing(run, tmp_path, output):
  source = clip_of(tmp_path)
  largest = max(path.stat().st_size for path in made_parts(run, source, tmp_path, output))
  with largest_file(largest + 10), pytest.raises(
      errors.UserError, match=f'cannot write .*{output}: File too large'):
    run(source, output)
  assert not (tmp_path / output).exists()
  assert len(list((tmp_path / f'{output}.part').glob('*.png'))) == 6
  assert len(read_all(run(source, output)[0])[0]) == 6


def test_a_full_disk_at_the_end_of_a_video(run, tmp_path):
  pytest.importorskip('av')
  source = animated(tmp_path / 'a.webp', np.random.default_rng(0).integers(
      0, 256, (6, HEIGHT, WIDTH, 3), np.uint8))
  with pytest.raises(Stopped), pytest.MonkeyPatch.context() as patch:
    def stop(*args):
      raise Stopped
    patch.setattr(writers.Video, 'join', stop)
    run(source, 'o.mp4')
  with largest_file(3000), pytest.raises(
      errors.UserError, match='cannot write .*o.mp4: File too large'):
    run(source, 'o.mp4')
  assert not (tmp_path / 'o.mp4').exists()
  assert len(list(data_clips.open_clip(run(source, 'o.mp4')[0]).checked_frames())) == 6


def made_parts(run, source, tmp_path, output):
  """Makes all parts but the last, and returns them."""
  with pytest.raises(Stopped), pytest.MonkeyPatch.context() as patch:
    def stop(*args):
      raise Stopped
    patch.setattr(writers.WebP if output.endswith('webp') else writers.GIF, 'join', stop)
    run(source, output)
  return list((tmp_path / f'{output}.part').glob('*.png'))


def test_a_full_disk_in_the_middle(run, tmp_path, monkeypatch):
  source, write = clip_of(tmp_path), files.write_atomically

  def full(path, data):
    if str(path).endswith('000003.png'):
      error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
      raise errors.UserError(f'cannot write {path}: {error.strerror}') from error
    write(path, data)
  with monkeypatch.context() as patch:
    patch.setattr(files, 'write_atomically', full)
    with pytest.raises(errors.UserError, match='o.webp.part/000003.png: No space left'):
      run(source)
  assert not (tmp_path / 'o.webp').exists()
  assert len(list((tmp_path / 'o.webp.part').glob('*.png'))) == 3
  assert len(read_all(run(source)[0])[0]) == 6


# Bad input.


def test_a_clip_that_is_cut_off_gives_what_is_there(run, tmp_path):
  data = pathlib.Path(clip_of(tmp_path, name='a.gif')).read_bytes()
  (tmp_path / 'cut.gif').write_bytes(data[:len(data) * 2 // 3])
  path, notes = run(str(tmp_path / 'cut.gif'))
  count = len(read_all(path)[0])
  assert 1 < count < 6
  assert notes == [f'{tmp_path}/cut.gif is cut off after {count} frames; the result ends there']


def bad_calls(tmp_path):
  """Yields arguments of `run` and the message that they get."""
  source = clip_of(tmp_path)
  yield {'source': source, 'output': 'o.png'}, 'clips are written as .gif, .webp, .mp4'
  yield {'source': source, 'output': 'a.webp'}, 'is one of the inputs'
  yield {'source': source, 'exemplar': ''}, 'needs an exemplar'
  yield {'source': source, 'exemplar': str(tmp_path)}, 'takes one picture for all frames'
  halves = Edits(regions=['0,0,1,0.5', '0,0.5,1,1'])
  yield {'source': source, 'exemplar_edits': halves}, 'a clip takes one place of .*, not 2'
  yield {'source': source, 'pace': Pace(-1)}, '--smooth=-1 is the deviation'
  yield {'source': source, 'source_edits': Edits(regions=['0,0,90,20'])}, 'leaves .*a.webp, which'
  yield {'source': source, 'source_edits': Edits(str(tmp_path))}, 'is a folder; a clip takes one'
  thin = animated(tmp_path / 'thin.webp', [np.zeros((2, 400, 3), np.uint8)] * 2)
  yield {'source': thin}, 'too thin'
  (tmp_path / 'empty.gif').write_bytes(b'')
  yield {'source': str(tmp_path / 'empty.gif')}, 'is empty'
  os.makedirs(tmp_path / 'nothing')
  yield {'source': str(tmp_path / 'nothing')}, 'holds no frame'
  sizes = numbered(tmp_path / 'sizes', [drawn_frame(0), drawn_frame(1, 40, 64)])
  yield {'source': sizes}, 'shot_09.png has 64x40 pixels'


def test_bad_input_is_one_line(run, tmp_path):
  for options, message in bad_calls(tmp_path):
    with pytest.raises(errors.UserError, match=message) as raised:
      run(**options)
    assert '\n' not in str(raised.value)
    assert not (tmp_path / 'o.webp').exists()


def test_which_sources_are_clips():
  assert clips.is_clip('a.mp4', 'o.png', False)
  assert clips.is_clip('a.gif', 'o.gif', False) and not clips.is_clip('a.gif', 'o.png', False)
  assert clips.is_clip('folder', 'out', True) and not clips.is_clip('folder', 'out', False)


# Interpolations.


@pytest.mark.parametrize('size', ['model', 'own'])
@pytest.mark.parametrize('output', ['o.gif', 'o.webp'])
def test_interpolations(tmp_path, output, size):
  paths = []
  for number in (0, 4, 9):
    paths.append(str(tmp_path / f'{number}.png'))
    Image.fromarray(drawn_frame(number)).save(paths[-1])
  t = make_translator(make_config(data__load_size=0))
  [path] = translate.interpolate(t, paths[0], (paths[1], paths[2]), str(tmp_path / output),
                                 count=4, rate=20, size=size, note=lambda line: None)
  pictures, durations = read_all(path)
  with Image.open(path) as image:
    assert image.info['loop'] == 0
  assert sum(durations) == 6 * 50 and len(pictures) == 6
  assert pictures[0].shape == ((HEIGHT, WIDTH, 3) if size == 'own' else (16, 16, 3))
  if size == 'model' and output == 'o.webp':
    images = [t.fit(file) for file in paths]
    np.testing.assert_array_equal(pictures[:4], t.interpolate(*images, 4).image)
    np.testing.assert_array_equal(pictures[4:], pictures[2:0:-1])
  halves = Edits(regions=['0,0,1,0.5', '0,0.5,1,1'])
  for options, message in (({'exemplar_edits': Edits(mask='m.png')}, 'leave out --exemplar_mask'),
                           ({'exemplar_edits': halves}, 'an interpolation takes one place'),
                           ({'source_edits': halves}, 'an interpolation takes one place'),
                           ({'rate': 0}, '--rate=0 is not a number of frames per second'),
                           ({'rate': float('nan')}, '--rate=nan is not a number')):
    with pytest.raises(errors.UserError, match=message):
      translate.interpolate(t, paths[0], (paths[1], paths[2]), str(tmp_path / output), **options)


@pytest.mark.parametrize('mode', ['RGBA', 'LA'])
def test_an_interpolation_at_own_size_stays_transparent(tmp_path, mode):
  opacity = np.zeros((HEIGHT, WIDTH), np.uint8)
  opacity[:, 20:] = np.arange(WIDTH - 20) + 100
  source = Image.fromarray(drawn_frame(0)).convert(mode)
  source.putalpha(Image.fromarray(opacity))
  source.save(tmp_path / 'a.png')
  for number in (1, 2):
    Image.fromarray(drawn_frame(number)).save(tmp_path / f'{number}.png')
  [path] = translate.interpolate(
    make_translator(make_config(data__load_size=0)), str(tmp_path / 'a.png'),
    (str(tmp_path / '1.png'), str(tmp_path / '2.png')), str(tmp_path / 'o.webp'),
    count=2, size='own', note=lambda line: None)
  with Image.open(path) as image:
    for number in range(image.n_frames):
      image.seek(number)
      np.testing.assert_array_equal(np.asarray(image.convert('RGBA'))[..., 3], opacity)


def test_a_folder_behind_a_link_gets_the_result(run, tmp_path):
  (tmp_path / 'real').mkdir()
  (tmp_path / 'o').symlink_to(tmp_path / 'real')
  run(numbered(tmp_path / 'in', frames_of(2)), 'o')
  assert (tmp_path / 'o').is_symlink() and len(os.listdir(tmp_path / 'real')) == 2
  assert not (tmp_path / 'real.part').exists()


# The command.


@pytest.mark.parametrize('flags, message', [
  (['--follow'], '--follow does nothing for a picture'),
  (['--smooth=2'], '--smooth does nothing for a picture'),
  (['--rate=10'], '--rate does nothing for a picture'),
  (['--frames=3'], '--frames does nothing for a picture'),
  (['--interpolate=b.png', '--follow'], '--follow does nothing for an interpolation'),
  (['--clip', '--frames=3'], '--frames does nothing for a clip'),
  (['--remove', '--styles=2'], '--remove has no styles; leave out --styles')])
def test_flags_that_would_do_nothing_are_refused(tmp_path, flags, message):
  result = commands.run(
    'translate', '--pretrained=content_transfer_avatars', f'--source={tmp_path}',
    f'--output={tmp_path}/o', *flags)
  commands.fails(result, message)



@pytest.mark.slow
def test_the_command_goes_on_after_a_kill(tmp_path):
  make_translator(make_config(data__load_size=0)).save(tmp_path / 'model')
  Image.fromarray(drawn_frame(20)).save(tmp_path / 'b.png')
  source = animated(tmp_path / 'a.webp', [drawn_frame(n % 18, 120, 160) for n in range(200)])
  flags = [f'--pretrained={tmp_path}/model', f'--source={source}', f'--exemplar={tmp_path}/b.png']
  parts = tmp_path / 'o.webp.part'
  for signal_number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
    number = len(list(parts.glob('*.png'))) + 2
    args = processes.command('', '', verb='translate')[:3]
    process = processes.start([*args, *flags, f'--output={tmp_path}/o.webp'])
    while process.poll() is None and len(list(parts.glob('*.png'))) < number:
      time.sleep(0.01)
    process.send_signal(signal_number)
    _, error = process.communicate()
    code = -9 if signal_number == signal.SIGKILL else 75
    assert process.returncode == code, error
    assert not (tmp_path / 'o.webp').exists()
  assert error.startswith('stopped; the same command goes on from the parts in')
  done = commands.run('translate', *flags, f'--output={tmp_path}/o.webp')
  assert done.returncode == 0 and done.stdout.endswith(f'wrote {tmp_path}/o.webp\n'), done.stderr
  assert len(read_all(f'{tmp_path}/o.webp')[0]) == 200 and not parts.exists()
  flags = [*flags, f'--output={tmp_path}/p.webp']
  commands.fails(commands.run('translate', *flags, '--grid'), 'a clip has no --grid')
  commands.fails(commands.run('translate', *flags, '--styles=2'), 'a clip has one style')
  commands.fails(commands.run('translate', *flags, '--size=model'), 'leave out --size=model')
