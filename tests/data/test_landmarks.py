"""Points of faces: tables of them, templates, and the turn from one to the other."""

import numpy as np
import pytest

from helpers.tiny_model import make_config
from maskgan_jax import errors
from maskgan_jax.data import landmarks, turned
from maskgan_jax.data.landmarks import Faces, Template
from maskgan_jax.data.turned import Turned

CELEBA = Template.parse('celeba')


def moved(points, angle=0.0, scale=1.0, shift=(0, 0)):
  turn = scale * np.exp(1j * np.deg2rad(angle))
  places = turn * (np.asarray(points) @ (1, 1j)) + complex(*shift)
  return np.stack([places.real, places.imag], axis=-1)


def scene(seed=0, height=120, width=150):
  """Returns a smooth picture, which survives being resampled."""
  y, x = np.mgrid[:height, :width]
  waves = np.random.default_rng(seed).uniform(0.02, 0.09, (3, 2))
  levels = [np.sin(x * across + y * down) for across, down in waves]
  return np.rint(127 + 100 * np.stack(levels, axis=-1)).astype(np.uint8)


def test_a_template_is_its_text():
  assert CELEBA.size == (218, 178) and CELEBA.points.shape == (5, 2)
  again = Template.parse(CELEBA.text())
  np.testing.assert_array_equal(again.points, CELEBA.points)
  two = Template.parse('100x80: 30,40 70.5,40')
  assert two.size == (80, 100) and two.points.tolist() == [[30, 40], [70.5, 40]]


@pytest.mark.parametrize('text', [
    '', 'faces', '178x218', '178x218: 1,2', '0x9: 1,2 3,4', '9x9: 1,2 x,4', '9x9: 1,2 3,4 5,6',
    '9x9: 1,2  3,4', '9x9: 1,2 3,.', '9x9: 1,2 1,2'])
def test_what_is_not_a_template_is_said(text):
  with pytest.raises(errors.UserError, match='config.data.template=.* is not avatars, celeba or'):
    Template.parse(text)


def test_the_template_of_a_model_comes_from_its_config_or_source():
  template_of = landmarks.template_of
  assert template_of(make_config(data__source='folder')) is None
  assert template_of(make_config(data__source='avatars')).size == (1000, 1000)
  assert template_of(make_config(data__source='celeba')).size == (218, 178)
  assert template_of(make_config(data__source='tfds', data__name='celeb_a')).size == (218, 178)
  own = make_config(data__source='avatars', data__template='9x8: 2,3 6,3')
  assert template_of(own).size == (8, 9)


@pytest.mark.parametrize('count', [2, 5])
def test_a_similarity_is_found_from_two_or_five_points(count):
  points = moved(CELEBA.points, angle=25, scale=3, shift=(300, 40))[:count]
  a, b = landmarks.similarity(points, CELEBA, 'x')
  assert abs(a) == pytest.approx(3) and np.rad2deg(np.angle(a)) == pytest.approx(25)
  assert b == pytest.approx(300 + 40j)


def test_five_points_in_another_order_are_no_face():
  points = moved(CELEBA.points, scale=2)
  with pytest.raises(errors.UserError, match='me.png do not lie as those of a face; their order'):
    landmarks.similarity(points[[1, 0, 2, 4, 3]], CELEBA, 'me.png')


@pytest.mark.parametrize('points, message', [
    ([(10, 10), (10.5, 10)], r'the eyes of a face in me.png coincide: \(10, 10\)'),
    ([(30, 10), (12, 14)], r'the left eye \(30, 10\) of a face in me.png lies to the right of'),
    ([(10, 10), (90, 10)], r'right_eye \(90, 10\) lies outside of me.png, which is 40 high and 60'),
    ([(-1, 10), (20, 10)], 'left_eye .* lies outside'),
    ([(np.nan, 10), (20, 10)], 'left_eye .* lies outside'),
    ([(1, 2)], 'a face has two'), ([(1, 2)] * 3, 'a face has two'), ([1, 2], 'a face has two'),
    ('ab', 'a face has two'), ([(1, 2), (3,)], 'a face has two')])
def test_points_that_are_no_face_are_said(points, message):
  with pytest.raises(errors.UserError, match=message) as raised:
    landmarks.check(points, (40, 60), 'me.png')
  assert '\n' not in str(raised.value)


def written(tmp_path, text, name='p.csv'):
  (tmp_path / name).write_text(text)
  return str(tmp_path / name)


EYES = 'file,left_eye_x,left_eye_y,right_eye_x,right_eye_y'


def test_tables_of_faces(tmp_path):
  faces = Faces.read(written(tmp_path, f'{EYES},note\na.png,1,2,3,4,x\n\nin/a.png,5,6,7,8,\n'
                                       'b.png,1,1,2,2,\nb.png,3,3,4,4,\n'))
  assert faces.of('a.png') == [[(1, 2), (3, 4)]]
  assert faces.of('/some/in/a.png') == [[(5, 6), (7, 8)]]
  assert len(faces.named('x/b.png')) == 2 and faces.of('c.png') == []
  with pytest.raises(errors.UserError, match=r"p.csv has no row for in/aa.png \(did you mean"):
    faces.named('in/aa.png')


def test_celebas_own_lists(tmp_path):
  names = 'lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y ' \
          'rightmouth_x rightmouth_y'
  cells = '69 109 106 113 77 142 73 152 108 154'
  text = Faces.read(written(tmp_path, f'1\n{names}\n000001.jpg  {cells}\n', 'list.txt'))
  kaggle = Faces.read(written(tmp_path, 'image_id,' + names.replace(' ', ',') + '\n000001.jpg,'
                              + cells.replace(' ', ',') + '\n'))
  for faces in (text, kaggle):
    [points] = faces.of('img_align_celeba/000001.jpg')
    assert points[0] == (69, 109) and len(points) == 5
    landmarks.similarity(landmarks.check(points, (218, 178), 'x'), CELEBA, 'x')


@pytest.mark.parametrize('text, message', [
    ('', 'has the columns ; it needs a file name and then left_eye_x'),
    ('file,x,y\na,1,2\n', 'has the columns file, x, y; it needs'),
    (f'{EYES},nose_x\na,1,2,3,4,5\n', 'it needs a file name'),
    (f'{EYES}\na,1,2,3\n', 'line 2: 4 cells, but the header has 5'),
    (f'{EYES}\na,1,2,3,4\nb,1,2,3,x\n', "line 3: 'x' is not a number")])
def test_tables_that_cannot_be_read(text, message, tmp_path):
  with pytest.raises(errors.UserError, match=message):
    Faces.read(written(tmp_path, text))


# Parts that are turned.


def test_a_face_lies_where_the_template_has_it():
  """Each point is marked by a bright spot, which is found again in the aligned picture."""
  points = moved(CELEBA.points, angle=-35, scale=1.7, shift=(40, 260))
  picture = np.zeros((700, 640, 3), np.uint8)
  y, x = np.mgrid[:700, :640] + 0.5
  spots = sum(np.exp(-((x - px)**2 + (y - py)**2) / 30) for px, py in points)
  picture[:] = np.rint(255 * np.minimum(spots, 1))[..., None]
  aligned = turned.align(picture, points, CELEBA)
  assert aligned.shape == (218, 178, 3)
  for px, py in CELEBA.points:
    top, left = int(py) - 6, int(px) - 6
    window = aligned[top:top + 12, left:left + 12, 0].astype(float)
    rows, columns = np.mgrid[:12, :12] + 0.5
    assert (window * rows).sum() / window.sum() + top == pytest.approx(py, abs=0.3)
    assert (window * columns).sum() / window.sum() + left == pytest.approx(px, abs=0.3)


@pytest.mark.parametrize('scale', [1.0, 2.0, 7.0])
def test_an_upright_part_is_what_resizing_makes(scale):
  picture = scene()
  picture = picture.repeat(6, axis=0).repeat(6, axis=1)
  side = round(16 * scale * 5)
  part = Turned(complex(30, 20), complex(side), 1j * side)
  expected = picture[20:20 + side, 30:30 + side].astype(float)
  expected = expected.reshape(16, side // 16, 16, side // 16, 3).mean(axis=(1, 3))
  cut = turned.upright(picture, part, (16, 16))
  assert np.abs(cut - expected).mean() < 1.5


def test_nothing_aliases():
  """Fine stripes become grey in a small cut-out."""
  picture = np.zeros((600, 600, 3), np.uint8)
  picture[::2] = 255
  angle = np.exp(1j * np.deg2rad(20))
  part = Turned(complex(250, 40), 320 * angle, 320j * angle)
  assert np.abs(turned.upright(picture, part, (16, 16)).astype(int) - 127).max() < 12


def test_what_lies_outside_repeats_the_edge():
  picture = np.full((40, 60, 3), 90, np.uint8)
  part = Turned(complex(-10, -5), complex(50), 50j)
  assert (turned.upright(picture, part, (16, 16)) == 90).all()
  assert part.inside((40, 60)) == pytest.approx(40 * 40 / 50**2, abs=0.05)
  mask = np.ones((40, 60), np.float32)
  assert turned.upright(mask, part, (16, 16)).dtype == np.float32


def test_a_face_at_the_edge_is_refused():
  with pytest.raises(errors.UserError, match='a face in me.png is too near to the edge: .* %'):
    turned.align(scene(), [(2, 3), (40, 3)], Template.parse('100x100: 40,90 60,90'), 'me.png')
