"""Several places of a picture, and faces that are aligned by their points."""

import os
import struct

import numpy as np
from PIL import Image
import pytest

from helpers import commands
from helpers.simple_method import Simple
from helpers.tiny_model import make_config, make_translator
from maskgan_jax import errors, translate
from maskgan_jax.data import photographs
from maskgan_jax.methods.base import Method, Translation
from maskgan_jax.translate import Edits, own_size
from maskgan_jax.translator import Translator

HEIGHT, WIDTH = 96, 120
TEMPLATE = '32x32: 10,14 22,14'
LEFT, RIGHT = '8,4,40,36', '8,60,40,92'
HEADER = 'file,left_eye_x,left_eye_y,right_eye_x,right_eye_y\n'
# A face that is turned by 30 degrees and twice as large as the template's.
EYES = [(50.0, 40.0), (50 + 24 * np.cos(np.pi / 6), 40 + 24 * np.sin(np.pi / 6))]


class Copies(Method):
  """Paints the picture in the exemplar's mean colour."""
  abilities = frozenset({'exemplar', 'source_mask', 'exemplar_mask'})

  def translate(self, params, model_state, source, exemplar, source_mask=None, **unused):
    colour = exemplar.mean((1, 2), keepdims=True) + 0 * source
    mask = source[..., :1] * 0 + 1 if source_mask is None else source_mask
    return Translation(mask * colour + (1 - mask) * source, mask, mask)


def copies():
  config = make_config(data__load_size=0, data__template=TEMPLATE)
  return Translator(Copies(), {}, {}, config)


def photo(seed=0):
  coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
  return np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def file(path, picture):
  Image.fromarray(picture).save(path)
  return str(path)


def flat(*colour):
  return np.full((40, 40, 3), colour, np.uint8)


def read(path):
  return np.asarray(Image.open(path))


def table(path, rows):
  lines = [f'{name},{",".join(f"{number:.3f}" for point in points for number in point)}'
           for name, points in rows]
  path.write_text(HEADER + '\n'.join(lines) + '\n')
  return str(path)


@pytest.fixture(name='me')
def _me(tmp_path):
  return file(tmp_path / 'me.png', photo())


@pytest.fixture(name='red')
def _red(tmp_path):
  return file(tmp_path / 'red.png', flat(200, 0, 0))


@pytest.fixture(name='blue')
def _blue(tmp_path):
  return file(tmp_path / 'blue.png', flat(0, 0, 200))


@pytest.fixture(name='run')
def _run(me, red, tmp_path):
  """Returns a function that translates at the own size and returns the paths."""
  def call(t=None, source=me, exemplar=red, output='o.png', size='own', **options):
    return translate.translate(t or copies(), source, exemplar, str(tmp_path / output), size=size,
                               **options)
  return call


def test_each_place_follows_its_own_exemplar(run, me, red, blue):
  notes = []
  image, mask, *of_exemplars = run(exemplar=[red, blue], save_masks=True, note=notes.append,
                                   source_edits=Edits(regions=[LEFT, RIGHT]))
  result, levels = read(image), read(mask)
  np.testing.assert_array_equal(result[20:28, 16:24], np.broadcast_to([200, 0, 0], (8, 8, 3)))
  np.testing.assert_array_equal(result[20:28, 72:80], np.broadcast_to([0, 0, 200], (8, 8, 3)))
  np.testing.assert_array_equal(result[levels == 0], read(me)[levels == 0])
  assert (levels[41:] == 0).all() and (levels[:, 37:59] == 0).all()
  names = [os.path.basename(path) for path in of_exemplars]
  assert names == ['o_exemplar_mask_1.png', 'o_exemplar_mask_2.png'] and not notes


def test_one_exemplar_of_which_two_parts_are_taken(run, red, tmp_path):
  options = {'save_masks': True, 'source_edits': Edits(regions=[LEFT, RIGHT]),
             'exemplar_edits': Edits(regions=['0,0,0.5,0.5', '0.5,0.5,1,1'])}
  _, _, *of_exemplars = run(exemplar=[red, red], **options)
  first, second = map(read, of_exemplars)
  height, width = first.shape
  assert first[:height // 2, :width // 2].any() and not first[height // 2:].any()
  assert second[height // 2:, width // 2:].any() and not second[:height // 2].any()

  # A numbered mask replaces no input either.
  mine = file(tmp_path / 'p_exemplar_mask_2.png', read(red))
  before = (tmp_path / 'p_exemplar_mask_2.png').read_bytes()
  with pytest.raises(errors.UserError, match='p_exemplar_mask_2.png is one of the inputs'):
    run(exemplar=[red, mine], output='p.png', **options)
  assert (tmp_path / 'p_exemplar_mask_2.png').read_bytes() == before


def test_several_places_after_one_exemplar(run, red):
  [image] = run(source_edits=Edits(regions=[LEFT, RIGHT]))
  for left in (16, 72):
    np.testing.assert_array_equal(read(image)[24, left], [200, 0, 0])


def test_results_in_a_folder_are_named_after_all_exemplars(run, red, blue, me, tmp_path):
  os.makedirs(tmp_path / 'in')
  file(tmp_path / 'in' / 'x.png', photo())
  edits = Edits(regions=[LEFT, RIGHT])
  [path] = run(source=str(tmp_path / 'in'), exemplar=[red, blue], output='out', source_edits=edits)
  assert os.path.basename(path) == 'x__red+blue.png'


def test_places_that_overlap_are_said(run, red, blue):
  notes = []
  [image] = run(exemplar=[red, blue], note=notes.append,
                source_edits=Edits(regions=[LEFT, '20,20,80,80']))
  assert len(notes) == 1 and 'me.png: places 1 and 2 overlap, in 3' in notes[0]
  assert 'is first 1 and then 2' in notes[0]
  np.testing.assert_array_equal(read(image)[34, 32], [0, 0, 200])


def test_places_in_python(me):
  t = copies()
  faces = t.fit_all(me, regions=[(8, 4, 40, 36), (8, 60, 40, 92)])
  red, blue = t.fit(flat(200, 0, 0)), t.fit(flat(0, 0, 200))
  result = t(faces, [red, blue], size='own')
  assert result.image.shape == (HEIGHT, WIDTH, 3)
  assert result.source_mask.shape == (HEIGHT, WIDTH, 1)
  assert result.image[24, 20].tolist() == [200, 0, 0]
  assert result.image[24, 76].tolist() == [0, 0, 200]
  untouched = result.source_mask[..., 0] == 0
  np.testing.assert_array_equal(result.image[untouched], photo()[untouched])
  alone = t(faces[:1], red, size='own')
  assert alone.image[24, 76].tolist() == photo()[24, 76].tolist()
  with pytest.raises(errors.UserError, match='2 exemplars for 1 places of .*me.png'):
    t(faces[0], [red, blue], size='own')
  with pytest.raises(errors.UserError, match='these places are of several'):
    t([faces[0], t.fit(photo(1))], red, size='own')
  with pytest.raises(errors.UserError, match='needs the picture itself'):
    t([faces[0].image], red, size='own')


def test_a_face_is_seen_as_the_template_has_it(me):
  """Turned back and made twice as small, the face is that of the upright cut."""
  t = copies()
  turn = np.exp(1j * np.pi / 6)
  face = t.fit(photo(), points=EYES)
  # The template is 32 pixels wide, and the face 24 pixels between the eyes, not 12.
  assert abs(face.box.across) == pytest.approx(64) and face.image.shape == (16, 16, 3)
  assert np.angle(face.box.across) == pytest.approx(np.pi / 6)
  corner = complex(*EYES[0]) - 2 * turn * (10 + 14j)
  assert face.box.corner == pytest.approx(corner)


def test_the_turn_is_undone_and_the_rest_stays(run, me, tmp_path):
  points = table(tmp_path / 'p.csv', [('me.png', EYES)])
  notes = []
  image, mask = run(source_edits=Edits(points=points), save_masks=True, note=notes.append)[:2]
  levels = read(mask)
  np.testing.assert_array_equal(read(image)[levels == 0], read(me)[levels == 0])
  between = np.mean(EYES, axis=0).round().astype(int)
  np.testing.assert_array_equal(read(image)[between[1], between[0]], [200, 0, 0])
  # The part is a square of 64 pixels less what lies outside, and stands on a corner.
  assert 2000 < (levels > 0).sum() < 64 * 64
  assert levels[-1, -1] == 0 and levels[0, 0] == 0


def test_two_faces_of_a_table(run, red, blue, tmp_path):
  other = [(90.0, 20.0), (98.0, 20.0)]
  points = table(tmp_path / 'p.csv', [('me.png', [(20, 20), (28, 20)]), ('me.png', other)])
  [image] = run(exemplar=[red, blue], source_edits=Edits(points=points))
  assert read(image)[22, 24].tolist() == [200, 0, 0]
  assert read(image)[22, 94].tolist() == [0, 0, 200]


def test_exemplars_are_aligned_if_the_table_names_them(run, red, tmp_path):
  rows = [('me.png', EYES), ('red.png', [(10, 20), (30, 20)])]
  notes = []
  points = table(tmp_path / 'p.csv', rows)
  edits = {'source_edits': Edits(points=points), 'exemplar_edits': Edits(points=points)}
  run(**edits, note=notes.append)
  assert not notes
  table(tmp_path / 'p.csv', rows[:1])
  run(**edits, note=notes.append)
  assert notes == [f'{red} has no row in {points}, and is not aligned']
  table(tmp_path / 'p.csv', [*rows, rows[1]])
  with pytest.raises(errors.UserError, match='the exemplar .*red.png has 2 faces in .*p.csv'):
    run(**edits)


def test_masks_go_the_way_of_a_turned_face(run, me, tmp_path):
  """A given mask is of the picture's size, and so is what is erased."""
  points = table(tmp_path / 'p.csv', [('me.png', EYES)])
  given = np.zeros((HEIGHT, WIDTH), np.uint8)
  given[30:60, 40:70] = 255
  edits = Edits(file(tmp_path / 'm.png', given), ['0,0,50,50'], points=points)
  image, mask, _ = run(source_edits=edits, save_masks=True)
  given[:50, :50] = 0
  np.testing.assert_array_equal(read(mask) > 0, given > 0)
  np.testing.assert_array_equal(read(image)[given == 0], read(me)[given == 0])


def test_removal_at_several_places(me, tmp_path):
  config = make_config(data__load_size=0, data__template=TEMPLATE)
  t = make_translator(config)
  edits = Edits(regions=[LEFT, RIGHT])
  path, mask = translate.remove(t, me, str(tmp_path / 'o.png'), edits=edits, size='own',
                                save_masks=True)
  levels = read(mask)
  assert levels[:, :40].any() and levels[:, 60:].any() and not levels[:, 37:59].any()
  np.testing.assert_array_equal(read(path)[levels == 0], read(me)[levels == 0])


def test_a_face_at_the_models_size(run, tmp_path):
  points = table(tmp_path / 'p.csv', [('me.png', EYES)])
  [path] = run(size='model', source_edits=Edits(points=points))
  assert read(path).shape == (16, 16, 3)


def test_a_model_that_sees_less_than_the_region_says_so(run):
  config = make_config(data__load_size=0, data__keep_aspect=True)
  notes = []
  run(Translator(Copies(), {}, {}, config), source_edits=Edits(regions=['0,0,40,80']),
      note=notes.append)
  assert notes == [notes[0]] and notes[0].endswith(
      'me.png: the model keeps proportions and sees the middle 40x40 pixels (height x width) '
      'of the region, 40x80; nothing else changes')


def test_small_exemplars_are_said(run, tmp_path):
  notes = []
  run(exemplar=file(tmp_path / 'tiny.png', flat(1, 99, 3)[:7, :7]), note=notes.append)
  assert len(notes) == 1 and 'tiny.png: what the model sees has 7x7 pixels' in notes[0]
  assert 'less than half of the 16x16 of the model, and is enlarged' in notes[0]


def test_large_pictures_are_announced(run, monkeypatch):
  monkeypatch.setattr(own_size, '_MANY_PIXELS', 10_000)
  notes = []
  run(note=notes.append)
  assert len(notes) == 1 and notes[0].endswith('me.png has 0 megapixels, which take a while')


@pytest.mark.slow
def test_the_command(me, red, blue, tmp_path):
  config = make_config(data__load_size=0, data__template=TEMPLATE)
  make_translator(config).save(tmp_path / 'model')
  points = table(tmp_path / 'p.csv', [('me.png', EYES), ('me.png', [(96, 16), (101, 16)])])
  flags = [f'--pretrained={tmp_path}/model', '--size=own', f'--exemplar={red}',
           f'--exemplar={blue}', f'--points={points}', f'--output={tmp_path}/o.png']
  done = commands.run('translate', f'--source={me}', *flags)
  assert done.returncode == 0 and read(tmp_path / 'o.png').shape == (HEIGHT, WIDTH, 3)
  assert done.stderr.splitlines() == [
      f'{exemplar} has no row in {points}, and is not aligned' for exemplar in (red, blue)]

  # Pillow would warn of this many pixels; of a picture only the header is read.
  huge = tmp_path / 'huge.png'
  header = photographs._chunk(b'IHDR', struct.pack('>IIBBBBB', 12_000, 12_000, 8, 2, 0, 0, 0))
  huge.write_bytes(photographs._PNG + header + photographs._chunk(b'IDAT', b''))
  table(tmp_path / 'p.csv', [('huge.png', EYES)])
  commands.fails(commands.run('translate', f'--source={huge}', *flags[:3], *flags[4:]),
                 'huge.png has 12000x12000 pixels, more than max_pixels=80000000; make it smaller')


def bad_inputs(tmp_path, me, red, blue):
  """Yields options of `run` and the message that they get."""
  both = Edits(regions=[LEFT, RIGHT])
  yield {'source_edits': both, 'size': 'model'}, 'me.png has 2 places .* needs --size=own'
  yield {'exemplar': [red, blue]}, 'there are 2 --exemplar for 1 places of .*me.png'
  yield ({'exemplar': [red, blue, me], 'source_edits': both},
         'there are 3 --exemplar for 2 places .*; give one, or one for each --region or row')
  yield {'exemplar': [red, str(tmp_path)], 'source_edits': both}, 'is a folder; several exemplars'
  yield ({'exemplar': [red, blue], 'source_edits': both,
          'exemplar_edits': Edits(regions=['0,0,9,9'] * 3)},
         '--exemplar_region is given 3 times for 2 --exemplar')
  yield ({'exemplar_edits': Edits(regions=['3,3,4,4'])},
         'the region of .*red.png has 1x1 pixels .*, far too few for a model of 16x16')
  yield {'source_edits': Edits(regions=['0,0,0,9'])}, 'has no area'
  points = table(tmp_path / 'p.csv', [('me.png', EYES)])
  yield {'source_edits': Edits(regions=[LEFT], points=points)}, '--points and --region both say'
  yield {'source': blue, 'source_edits': Edits(points=points)}, 'p.csv has no row for .*blue.png'
  unknown = Translator(Simple(), {}, {}, make_config(data__source='folder'))
  yield {'t': unknown, 'source_edits': Edits(points=points)}, 'set config.data.template'
  for number, (points, message) in enumerate([
      ([(9, 9), (9.2, 9)], 'the eyes of a face in .*me.png coincide'),
      ([(9, 9), (999, 9)], r'right_eye \(999, 9\) lies outside of .*me.png'),
      ([(2, 2), (118, 2)], 'too near to the edge')]):
    path = table(tmp_path / f'{number}.csv', [('me.png', points)])
    yield {'source_edits': Edits(points=path)}, message
  thin = file(tmp_path / 'thin.png', np.zeros((1, 10_000, 3), np.uint8))
  kept = Translator(Copies(), {}, {}, make_config(data__load_size=0, data__keep_aspect=True))
  yield {'t': kept, 'source': thin}, 'thin.png: 1x10000 pixels .* are too thin'
  wide = file(tmp_path / 'wide.png', np.zeros((30, 80, 3), np.uint8)[..., 0])
  yield {'source_edits': Edits(mask=wide)}, 'wide.png is 30x80 .*, which does not fit .*me.png'
  os.makedirs(tmp_path / 'in')
  file(tmp_path / 'in' / 'x.png', photo())
  yield ({'source': str(tmp_path / 'in')},
         'is one picture, but a folder makes several; name a folder$')


def test_bad_input_is_one_line(run, tmp_path, me, red, blue):
  for options, message in bad_inputs(tmp_path, me, red, blue):
    with pytest.raises(errors.UserError, match=message) as raised:
      run(**options)
    assert '\n' not in str(raised.value)
  assert not (tmp_path / 'o.png').exists()


def test_a_place_is_a_region_or_points(me):
  with pytest.raises(errors.UserError, match='a region or the points of a face, not both'):
    copies().fit(me, region=(0, 0, 1, 1), points=EYES)
  with pytest.raises(errors.UserError, match='points of faces say nothing to this model'):
    Translator(Simple(), {}, {}, make_config(data__source='folder')).fit(me, points=EYES)
