"""The translate command: pictures in, pictures out, and clear messages where that fails."""

import os

import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from helpers import commands
from helpers.tiny_model import make_config, make_model, SIZE
from maskgan_jax import config as run_config
from maskgan_jax import errors, translate
from maskgan_jax.data import images
from maskgan_jax.methods.base import Method, Translation
from maskgan_jax.runs import checkpoints
from maskgan_jax.translate import Edits
from maskgan_jax.translator import Translator


def smooth(n, seed=0, size=SIZE):
  """Returns pictures that survive resizing: random colours, four by four."""
  coarse = np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)
  return np.stack([np.asarray(Image.fromarray(x).resize((size, size), Image.Resampling.BICUBIC))
                   for x in coarse])


def folder(path, pictures, names=None):
  os.makedirs(path)
  for i, picture in enumerate(pictures):
    Image.fromarray(picture).save(path / (names[i] if names else f'{"abcdefghijklmnop"[i]}.png'))
  return str(path)


def file(path, picture):
  Image.fromarray(picture).save(path)
  return str(path)


def read(path):
  return np.asarray(Image.open(path))


@pytest.fixture(scope='module')
def model():
  return make_model(make_config(data__load_size=0))


@pytest.fixture(scope='module')
def t(model):
  return Translator(*model, make_config(data__load_size=0))


@pytest.fixture
def a(tmp_path):
  return file(tmp_path / 'a.png', smooth(1)[0])


@pytest.fixture
def b(tmp_path):
  return file(tmp_path / 'b.png', smooth(1, seed=1)[0])


def close(x, y):
  """Returns whether pictures agree up to the rounding between different batches."""
  return np.abs(x.astype(int) - y.astype(int)).max() <= 1


def test_a_file_and_a_file_make_a_file(t, a, b, tmp_path):
  written = translate.translate(t, a, b, str(tmp_path / 'deep' / 'out.png'))
  assert written == [str(tmp_path / 'deep' / 'out.png')]
  assert close(read(written[0]), t(read(a), read(b)).image)


def test_folders_make_a_folder_with_every_pair(t, tmp_path):
  sources, exemplars = smooth(9), smooth(8, seed=1)  # 72 pairs: more than a chunk
  paths = folder(tmp_path / 'a', sources), folder(tmp_path / 'b', exemplars)
  written = translate.translate(t, *paths, str(tmp_path / 'out'))
  names = [f'{s}__{e}.png' for s in 'abcdefghi' for e in 'abcdefgh']
  assert [os.path.basename(path) for path in written] == names
  assert sorted(os.listdir(tmp_path / 'out')) == sorted(names)
  want = t(sources.repeat(8, 0), np.tile(exemplars, (9, 1, 1, 1))).image
  assert all(close(read(path), image) for path, image in zip(written, want, strict=True))


def test_a_file_with_a_folder_and_equal_stems(t, a, tmp_path):
  exemplars = folder(tmp_path / 'b', smooth(3), ['x.png', 'x.bmp', 'y.png'])
  (tmp_path / 'b' / 'notes.txt').write_text('no picture')
  written = translate.translate(t, a, exemplars, str(tmp_path / 'out'))
  assert {os.path.basename(p) for p in written} == {'a__x.bmp.png', 'a__x.png.png', 'a__y.png'}


def test_pictures_are_cropped_and_resized_as_the_runs_own(model, b, tmp_path):
  picture = np.asarray(Image.fromarray(smooth(1, size=60)[0]).resize((70, 60)))
  config = make_config(data__load_size=0, data__crop='center:50,40', data__resize='bicubic')
  t = Translator(*model, config)
  [path] = translate.translate(t, file(tmp_path / 'wide.png', picture), b, str(tmp_path / 'o.png'))
  cropped = Image.fromarray(picture[5:55, 15:55])
  seen = np.asarray(cropped.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
  assert close(read(path), t(seen, read(b)).image)


def test_pictures_of_the_models_size_are_taken_as_they_are(model, a, b, tmp_path):
  t = Translator(*model, make_config(data__crop='center:64', data__load_size=18))
  [path] = translate.translate(t, a, b, str(tmp_path / 'o.png'))
  assert close(read(path), t(read(a), read(b)).image)


def find(grid, picture, scale):
  """Returns where an enlarged picture lies in a grid."""
  block = picture.repeat(scale, 0).repeat(scale, 1)
  height, width = block.shape[:2]
  corners = np.argwhere((grid[:-height + 1, :-width + 1] == block[0, 0]).all(-1))
  return [(y, x) for y, x in corners if (grid[y:y + height, x:x + width] == block).all()]


def test_the_grid_has_sources_in_rows_and_exemplars_in_columns(t, tmp_path):
  sources, exemplars = smooth(2), smooth(3, seed=1)
  paths = folder(tmp_path / 'a', sources), folder(tmp_path / 'b', exemplars)
  [path] = translate.translate(t, *paths, str(tmp_path / 'g.png'), grid=True)
  translate.translate(t, *paths, str(tmp_path / 'single'))
  grid = read(path)
  cells = [[read(tmp_path / 'single' / f'{s}__{e}.png') for e in 'abc'] for s in 'ab']
  rows = [[None, *exemplars]] + [[s, *row] for s, row in zip(sources, cells, strict=True)]
  places = {(i, j): find(grid, cell, 7) for i, row in enumerate(rows)
            for j, cell in enumerate(row) if cell is not None}
  assert all(len(positions) == 1 for positions in places.values())
  ys = [{places[i, j][0][0] for j in range(4) if (i, j) in places} for i in range(3)]
  xs = [{places[i, j][0][1] for i in range(3) if (i, j) in places} for j in range(4)]
  assert all(len(s) == 1 for s in ys + xs)
  assert sorted(ys, key=min) == ys and sorted(xs, key=min) == xs

  written = translate.translate(t, *paths, str(tmp_path / 'grids'), grid=True, save_masks=True)
  assert [os.path.basename(p) for p in written] == [
      'grid.png', 'grid_source_mask.png', 'grid_exemplar_mask.png']
  mask = images.load_mask(str(tmp_path / 'grids' / 'grid_source_mask.png'))
  assert mask.shape == grid.shape[:2]


def test_masks_are_saved_beside_the_result(t, a, b, tmp_path):
  written = translate.translate(t, a, b, str(tmp_path / 'o.png'), save_masks=True)
  assert [os.path.basename(p) for p in written] == [
      'o.png', 'o_source_mask.png', 'o_exemplar_mask.png']
  result = t(read(a), read(b))
  for path, mask in zip(written[1:], (result.source_mask, result.exemplar_mask), strict=True):
    assert np.abs(read(path) / 255 - mask[..., 0]).max() < 0.51 / 255


def test_a_saved_mask_given_back_gives_the_same_picture(t, a, b, tmp_path):
  first = translate.translate(t, a, b, str(tmp_path / 'o.png'), save_masks=True)
  again = translate.translate(t, a, b, str(tmp_path / 'p.png'), source_edits=Edits(first[1]),
                              exemplar_edits=Edits(first[2]))
  assert np.abs(read(first[0]).astype(int) - read(again[0])).max() <= 2


def test_erasing_leaves_the_source_as_it_is(t, b, tmp_path):
  picture = smooth(1, size=2 * SIZE)[0]
  path = file(tmp_path / 'large.png', picture)
  [plain] = translate.translate(t, path, b, str(tmp_path / 'plain.png'))
  [erased] = translate.translate(t, path, b, str(tmp_path / 'erased.png'),
                                 source_edits=Edits(erase=['8,4,20,12', '24,24,40,40']))
  source = np.asarray(Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
  plain, erased = read(plain), read(erased)
  for rows, columns in ((slice(5, 9), slice(3, 5)), (slice(13, 16), slice(13, 16))):
    np.testing.assert_array_equal(erased[rows, columns], source[rows, columns])
    assert np.abs(plain[rows, columns].astype(int) - source[rows, columns]).max() > 10
  far = np.ones((SIZE, SIZE), bool)
  far[3:11, 1:7] = far[11:, 11:] = False
  assert close(erased[far], plain[far])


def test_erasing_from_the_exemplar_is_an_exemplar_mask(t, a, b, tmp_path):
  written = translate.translate(t, a, b, str(tmp_path / 'o.png'), save_masks=True,
                                exemplar_edits=Edits(erase=['0,0,8,16']),
                                source_edits=Edits(erase=['0,0,16,4']))
  mask = t.segment(read(b))
  mask[:8] = 0
  want = t(read(a), read(b), exemplar_mask=mask)
  assert np.abs(read(written[2]) / 255 - mask[..., 0]).max() < 0.51 / 255
  assert close(read(written[0])[:, 4:], want.image[:, 4:])
  np.testing.assert_array_equal(read(written[0])[:, :4], read(a)[:, :4])
  assert not close(want.image, t(read(a), read(b)).image)


def test_given_masks_at_either_resolution(t, b, tmp_path):
  picture = smooth(1, size=32)[0]
  path = file(tmp_path / 'large.png', picture)
  mask = np.zeros((SIZE, SIZE), np.uint8)
  mask[4:12, 6:] = 255
  results = []
  for name, resized in (('model', mask), ('picture', mask.repeat(2, 0).repeat(2, 1)),
                        ('other', mask.repeat(4, 0).repeat(4, 1))):
    written = translate.translate(t, path, b, str(tmp_path / f'{name}.png'),
                                  source_edits=Edits(file(tmp_path / f'm_{name}.png', resized)))
    results.append(read(written[0]))
  source = np.asarray(Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
  want = t(source, read(b), source_mask=mask).image
  assert close(results[0], want)
  inside = np.zeros((SIZE, SIZE), bool)
  inside[6:10, 8:] = inside[:2] = inside[14:] = inside[:, :4] = True  # not where resizing blurs it
  assert all(close(result[inside], want[inside]) for result in results)
  assert np.abs(want[6:10, 8:].astype(int) - source[6:10, 8:]).max() > 10
  np.testing.assert_array_equal(results[0][mask == 0], source[mask == 0])
  wide = file(tmp_path / 'm_wide.png', np.zeros((32, 48), np.uint8))
  with pytest.raises(errors.UserError, match='m_wide.png is 32x48 .* does not fit .*large.png'):
    translate.translate(t, path, b, str(tmp_path / 'o.png'), source_edits=Edits(wide))


def test_masks_are_cropped_with_their_pictures(model, b, tmp_path):
  t = Translator(*model, make_config(data__load_size=0, data__crop='box:8,0,40,32'))
  path = file(tmp_path / 'a.png', smooth(1, size=48)[0])
  mask = np.zeros((48, 48), np.uint8)
  mask[8:24, :32] = 255
  written = translate.translate(t, path, b, str(tmp_path / 'o.png'), save_masks=True,
                                source_edits=Edits(file(tmp_path / 'm.png', mask)))
  seen = read(written[1])
  assert (seen[:7] == 255).all() and (seen[9:] == 0).all()


def test_a_folder_of_masks_goes_by_name(t, b, tmp_path):
  sources = smooth(2)
  stripes = np.zeros((2, SIZE, SIZE), np.uint8)
  stripes[0, :8], stripes[1, 8:] = 255, 255
  masks = folder(tmp_path / 'masks', stripes, ['b.bmp', 'a.png'])
  edits = Edits(masks)
  paths = translate.translate(t, folder(tmp_path / 'in', sources), b, str(tmp_path / 'out'),
                              source_edits=edits)
  np.testing.assert_array_equal(read(paths[0])[:8], sources[0][:8])
  np.testing.assert_array_equal(read(paths[1])[8:], sources[1][8:])
  os.remove(tmp_path / 'masks' / 'a.png')
  with pytest.raises(errors.UserError, match='holds no masks for .*a.png; it needs one called a.'):
    translate.translate(t, str(tmp_path / 'in'), b, str(tmp_path / 'out'), source_edits=edits)


def test_methods_without_exemplars(tmp_path):
  class Inverts(Method):
    abilities = frozenset({'source_mask'})

    def translate(self, params, model_state, source, exemplar, *, source_mask=None, **unused):
      assert exemplar is None
      mask = jnp.ones((*source.shape[:-1], 1)) if source_mask is None else source_mask
      return Translation(mask * -source + (1 - mask) * source, mask)

  t = Translator(Inverts(), {}, {}, make_config(data__load_size=0))
  sources = smooth(2)
  source_folder = folder(tmp_path / 'in', sources)
  written = translate.translate(t, source_folder, '', str(tmp_path / 'out'),
                                source_edits=Edits(erase=['0,0,8,16']))
  assert [os.path.basename(p) for p in written] == ['a__translated.png', 'b__translated.png']
  for path, source in zip(written, sources, strict=True):
    np.testing.assert_array_equal(read(path)[:8], source[:8])
    np.testing.assert_array_equal(read(path)[8:], 255 - source[8:])
  [grid] = translate.translate(t, source_folder, '', str(tmp_path / 'grid.png'), grid=True)
  assert len(find(read(grid), 255 - sources[1], 7)) == len(find(read(grid), sources[1], 7)) == 1


def test_removal(t, tmp_path):
  sources = smooth(3)
  source_folder = folder(tmp_path / 'in', sources)
  written = translate.remove(t, source_folder, str(tmp_path / 'out'), save_masks=True)
  assert [os.path.basename(p) for p in written[:2]] == ['a__removed.png',
                                                       'a__removed_source_mask.png']
  want = t.remove(sources)
  for i in range(3):
    assert close(read(written[2 * i]), want.image[i])
    assert np.abs(read(written[2 * i + 1]) / 255 - want.source_mask[i, ..., 0]).max() < 0.51 / 255
  erased = translate.remove(t, source_folder, str(tmp_path / 'erased'),
                            edits=Edits(erase=['0,0,16,8']))
  for i in range(3):
    np.testing.assert_array_equal(read(erased[i])[:, :8], sources[i][:, :8])
    assert close(read(erased[i])[:, 8:], want.image[i][:, 8:])
    assert not close(sources[i][:, :8], want.image[i][:, :8])
  [grid] = translate.remove(t, source_folder, str(tmp_path / 'grid.png'), grid=True)
  for i in range(3):
    removed = read(written[2 * i])
    [(y, x)], [(y2, x2)] = find(read(grid), sources[i], 7), find(read(grid), removed, 7)
    assert y == y2 and x < x2
  same, mask = translate.remove(t, source_folder, str(tmp_path / 'm.png'), grid=True,
                                save_masks=True)
  assert (read(same) == read(grid)).all() and mask == str(tmp_path / 'm_source_mask.png')
  assert len(find(read(mask), sources[2], 7)) == 1
  assert images.load_mask(mask).shape[0] == read(grid).shape[0]
  one = translate.remove(t, str(tmp_path / 'in' / 'a.png'), str(tmp_path / 'one.png'))
  assert close(read(one[0]), want.image[0])


def test_unreadable_pictures_in_a_folder_are_left_out_aloud(t, a, b, tmp_path):
  sources = folder(tmp_path / 'in', smooth(2))
  (tmp_path / 'in' / 'broken.png').write_bytes(b'\x89PNG nothing')
  notes = []
  written = translate.translate(t, sources, b, str(tmp_path / 'out'), note=notes.append)
  assert len(written) == 2
  assert len(notes) == 1 and 'broken.png' in notes[0] and '\n' not in notes[0]
  with pytest.raises(errors.UserError, match='broken.png'):
    translate.translate(t, str(tmp_path / 'in' / 'broken.png'), b, str(tmp_path / 'o.png'))
  for name in 'ab':
    os.remove(tmp_path / 'in' / f'{name}.png')
  with pytest.raises(errors.UserError, match='holds no picture that can be read'):
    translate.translate(t, a, sources, str(tmp_path / 'out'), note=notes.append)
  with pytest.raises(errors.UserError, match='absent.png does not exist'):
    translate.translate(t, str(tmp_path / 'absent.png'), b, str(tmp_path / 'o.png'))


def test_inputs_are_never_overwritten(t, a, b, tmp_path):
  before = (tmp_path / 'a.png').read_bytes()
  os.symlink(a, tmp_path / 'link.png')
  for output in (a, b, str(tmp_path / 'link.png'), os.path.join(str(tmp_path), '.', 'a.png')):
    with pytest.raises(errors.UserError, match='is one of the inputs'):
      translate.translate(t, a, b, output)
  sources = folder(tmp_path / 'in', smooth(2), ['x.png', 'x__b.png'])
  with pytest.raises(errors.UserError, match='x__b.png is one of the inputs'):
    translate.translate(t, sources, b, sources)
  mask = file(tmp_path / 'o_source_mask.png', np.zeros((SIZE, SIZE), np.uint8))
  with pytest.raises(errors.UserError, match='o_source_mask.png is one of the inputs'):
    translate.translate(t, a, b, str(tmp_path / 'o.png'), source_edits=Edits(mask), save_masks=True)
  with pytest.raises(errors.UserError, match='is one of the inputs'):
    translate.remove(t, a, a)
  assert (tmp_path / 'a.png').read_bytes() == before
  assert sorted(os.listdir(sources)) == ['x.png', 'x__b.png']


def test_outputs_that_cannot_hold_the_results(t, a, b, tmp_path):
  sources = folder(tmp_path / 'in', smooth(2), ['x.png', 'x__y.png'])
  with pytest.raises(errors.UserError, match='written as .png'):
    translate.translate(t, a, b, str(tmp_path / 'o.jpg'))
  with pytest.raises(errors.UserError, match='name a folder, or add --grid'):
    translate.translate(t, sources, b, str(tmp_path / 'o.png'))
  exemplars = folder(tmp_path / 'e', smooth(2), ['y__z.png', 'z.png'])
  with pytest.raises(errors.UserError, match='two results would be called .*x__y__z.png'):
    translate.translate(t, sources, exemplars, str(tmp_path / 'out'))
  for output, message in ((os.path.join(a, 'out'), 'a.png is a file, not a folder'),
                          ('/dev/null', '/dev/null is a device, not a folder')):
    with pytest.raises(errors.UserError, match=f'cannot write .*: .*{message}'):
      translate.translate(t, a, b, output)
  assert not (tmp_path / 'out').exists() and not (tmp_path / 'o.png').exists()


def test_names_that_are_too_long_are_found_before_anything_is_written(t, b, tmp_path):
  sources = folder(tmp_path / 'in', smooth(2), ['a.png', 'n' * 250 + '.png'])
  for output in (tmp_path / 'new' / 'out', tmp_path / ('o' * 256)):
    for run in (translate.remove, lambda *paths: translate.translate(*paths[:2], b, paths[2])):
      with pytest.raises(errors.UserError, match='cannot write .*: File name too long; shorten it'):
        run(t, sources, str(output))
  assert sorted(os.listdir(tmp_path)) == ['b.png', 'in']
  longest = str(tmp_path / ('n' * 251 + '.png'))
  assert translate.remove(t, b, longest) == [longest]


@pytest.mark.parametrize(('rectangle', 'message'), [
    ('1,2,3', 'not y0,x0,y1,x1'), ('a,b,c,d', 'not y0,x0,y1,x1'), ('5,5,5,9', 'has nothing of'),
    ('-3,0,4,4', 'has nothing of'), ('16,0,20,4', 'has nothing of .*a.png, which is 16 high')])
def test_rectangles_that_are_none(t, a, b, tmp_path, rectangle, message):
  with pytest.raises(errors.UserError, match=message):
    translate.translate(t, a, b, str(tmp_path / 'o.png'), source_edits=Edits(erase=[rectangle]))


def command(*arguments):
  return commands.run('translate', *arguments)


def test_the_command(model, a, b, tmp_path):
  _, params, model_state = model
  workdir = str(tmp_path / 'run')
  run_config.save(make_config(data__load_size=0), workdir)
  with checkpoints.Checkpoints(workdir) as saved:
    saved.save(3, {'params': params, 'model_state': model_state, 'ema_params': {}},
               {'step': jnp.int32(3)})
  t = Translator.from_workdir(workdir)
  assert t.step == 3
  one = command(f'--workdir={workdir}', f'--source={a}', f'--exemplar={b}', '--save_masks',
                f'--output={tmp_path}/one.png', '--erase_source=0,0,4,16',
                '--erase_source=8,0,9,16', '--erase_exemplar=0,0,16,3')
  assert (one.returncode, one.stderr) == (0, '')
  assert one.stdout == f'wrote {tmp_path}/one.png and 2 more\n'
  source, exemplar = read(a), read(b)
  mask = t.segment(exemplar)
  mask[:, :3] = 0
  source_mask = t(source, exemplar, exemplar_mask=mask).source_mask
  source_mask[:4], source_mask[8] = 0, 0
  assert close(read(tmp_path / 'one.png'), t(source, exemplar, source_mask, mask).image)

  t.save(tmp_path / 'taken')
  two = command(f'--pretrained={tmp_path}/taken', f'--source={a}', f'--exemplar={b}',
                f'--output={tmp_path}/two.png')
  assert two.returncode == 0
  assert close(read(tmp_path / 'two.png'), t(source, exemplar).image)

  bad = {
      '--source, --output must be given': (f'--workdir={workdir}',),
      '--workdir or --pretrained must be given, see --help': (f'--source={a}', '--output=x.png'),
      'must be given, not both': (f'--source={a}', '--output=x.png', f'--workdir={workdir}',
                                  '--pretrained=lomit_avatars'),
      '--step is of a run': (f'--source={a}', '--output=x.png', '--step=3',
                             '--pretrained=lomit_avatars'),
      'needs an exemplar; add --exemplar': (f'--workdir={workdir}', f'--source={a}',
                                            '--output=x.png'),
      'no checkpoint of step 8': (f'--workdir={workdir}', f'--source={a}', f'--exemplar={b}',
                                  '--output=x.png', '--step=8'),
      'is not a run': (f'--workdir={tmp_path}/nothing', f'--source={a}', f'--exemplar={b}',
                       '--output=x.png'),
      'leave out --exemplar': (f'--workdir={workdir}', f'--source={a}', f'--exemplar={b}',
                               '--output=x.png', '--remove'),
      'sauce': ('--sauce=1',),
  }
  for message, arguments in bad.items():
    done = command(*arguments)
    commands.fails(done, message)
    assert done.stdout == '' and done.stderr.count('\n') == 1
  done = command('--help')
  assert done.returncode == 0 and '--erase_exemplar' in done.stdout
  assert 'y0,x0,y1,x1' in done.stdout
