"""A visitor's photograph on the page: its place, and the result in its own size."""

import io

import numpy as np
from PIL import Image
import pytest

from helpers.simple_method import Simple
from helpers.tiny_model import make_config
from maskgan_jax import errors
from maskgan_jax.demo.models import Model
from maskgan_jax.demo.session import Demo
from maskgan_jax.translator import Translator

HEIGHT, WIDTH = 300, 400


def demo_of(*names):
  config = make_config(data__load_size=0, data__keep_aspect=True)
  return Demo({name: Model(Translator(Simple(), {}, {}, config)) for name in names or ('it',)})


def photograph(form='PNG', size=(HEIGHT, WIDTH), mode='RGB'):
  """Returns the bytes of a smooth picture."""
  down, right = np.mgrid[:size[0], :size[1]]
  pixels = np.stack([down // 4, right // 4, (down + right) // 8], -1).clip(0, 255).astype(np.uint8)
  file = io.BytesIO()
  Image.fromarray(pixels).convert(mode).save(file, form)
  return file.getvalue()


def pixels_of(data):
  return np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))


def test_the_result_has_the_photographs_size_and_touches_nothing_else():
  demo, data = demo_of(), photograph()
  session = demo.upload(demo.start('it'), data, pytest.fail)
  assert session.pictures['source'].shape == (16, 16, 3)
  (before, after), extension, file = demo.own_size(session)
  assert before.shape == after.shape == (HEIGHT, WIDTH, 3) and extension == '.png'
  result, source = pixels_of(file), pixels_of(data)
  assert result.shape == source.shape
  # The model paints the left half of the middle square white, with a mask of 0.7.
  np.testing.assert_array_equal(result[:, :25], source[:, :25])
  np.testing.assert_array_equal(result[:, 225:], source[:, 225:])
  assert result[100:200, 80:170].min() > 140


def test_two_clicks_choose_the_place():
  demo = demo_of()
  session = demo.upload(demo.start('it'), photograph(), pytest.fail)
  first = demo.mark(session, (0.9, 0.75))
  assert first.photograph.mark == (0.9, 0.75) and first.result is session.result
  assert (first.photograph.shown() != session.photograph.preview).any()
  second = demo.mark(first, (0.5, 0.5))
  box = second.photograph.fitted.box
  # 120 high and 100 wide: a square of 120 around the same middle.
  assert (box.top, box.left, box.bottom, box.right) == (150, 190, 270, 310)
  result = pixels_of(demo.own_size(second)[2])
  outside = np.ones((HEIGHT, WIDTH), bool)
  outside[150:270, 190:310] = False
  np.testing.assert_array_equal(result[outside], pixels_of(photograph())[outside])
  assert result[180:240, 200:240].min() > 120
  whole = demo.whole(second).photograph.fitted.box
  assert (whole.bottom - whole.top, round(whole.right - whole.left, -1)) == (HEIGHT, HEIGHT)


@pytest.mark.parametrize('corners, box', [
    (((0.0, 0.0), (1.0, 1.0)), (0, 0, 300, 400)),  # more than a square of the picture: all of it
    (((0.0, 0.9), (0.1, 1.0)), (0, 360, 40, 400)),
    (((1.0, 1.0), (0.9, 0.95)), (270, 370, 300, 400))])
def test_places_stay_within_the_photograph(corners, box):
  demo = demo_of()
  session = demo.upload(demo.start('it'), photograph(), pytest.fail)
  for corner in corners:
    session = demo.mark(session, corner)
  top, left, bottom, right = session.photograph.fitted.region
  assert abs(np.array([top, left, bottom, right]) - box).max() <= 5
  assert 0 <= top < bottom <= HEIGHT and 0 <= left < right <= WIDTH
  demo.own_size(session)


def test_the_same_corner_twice_is_a_first_one():
  demo = demo_of()
  session = demo.upload(demo.start('it'), photograph(), pytest.fail)
  session = demo.mark(demo.mark(session, (0.5, 0.5)), (0.505, 0.505))
  assert session.photograph.mark == (0.505, 0.505)


def test_jpegs_stay_jpegs_and_transparency_stays():
  demo = demo_of()
  session = demo.upload(demo.start('it'), photograph('JPEG'), pytest.fail)
  _, extension, file = demo.own_size(session)
  assert extension == '.jpg' and file[:2] == b'\xff\xd8'
  session = demo.upload(demo.start('it'), photograph(mode='RGBA'), pytest.fail)
  assert demo.own_size(session)[1] == '.png'


def test_what_cannot_be_written_back_is_a_source_all_the_same():
  notes, demo = [], demo_of()
  session = demo.upload(demo.start('it'), photograph('JPEG', mode='CMYK'), notes.append)
  assert session.photograph is None and session.pictures['source'].shape == (16, 16, 3)
  assert any('only at the size of the model' in note for note in notes)


def test_photographs_too_thin_for_the_model_are_said():
  demo = demo_of()
  session = demo.upload(demo.start('it'), photograph(size=(2, 400)), lambda line: None)
  with pytest.raises(errors.UserError, match='too thin for a model'):
    demo.own_size(session)


def test_large_photographs_are_shown_small():
  demo = demo_of()
  session = demo.upload(demo.start('it'), photograph('JPEG', (1000, 2000)), lambda line: None)
  assert session.photograph.preview.shape == (450, 900, 3)
  (before, after), _, file = demo.own_size(session)
  assert before.shape == after.shape and pixels_of(file).shape == (1000, 2000, 3)


def test_a_photograph_stays_when_the_model_changes_and_goes_with_another_source():
  demo = demo_of('it', 'other')
  session = demo.upload(demo.start('it'), photograph(), pytest.fail)
  other = demo.start('other', before=session)
  assert other.photograph.fitted.size == (HEIGHT, WIDTH)
  changed = demo.choose(other, 'source', np.zeros((16, 16, 3), np.uint8))
  for call in (demo.own_size, demo.whole, lambda s: demo.mark(s, (0, 0))):
    with pytest.raises(errors.UserError, match='upload a source first'):
      call(changed)
