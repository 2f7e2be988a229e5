"""Harder faces: each difficulty does what it says, and the answers stay exact."""

import itertools

import numpy as np
import pytest

from helpers.data_samples import make_config
from maskgan_jax import errors
from maskgan_jax.data import landmarks, sources
from maskgan_jax.data.drawn import avatar_faces, avatar_scenes, avatars

SIZE = 32
FACES = [avatar_faces.recipe(1, 'test', index) for index in range(24)]
GOLDEN = [114.82, 154.24, 133.37, 137.66, 124.84, 106.74]  # levels of 255


def scene(index, *difficulties, split='test'):
  return avatar_scenes.Scene(1, split, index, difficulties)


def changed_pixels(one, other):
  return (one != other).any(axis=-1)


def test_scenes_are_the_ones_of_this_version():
  # Golden, up to rounding: see test_avatars.py; the number to bump is avatar_scenes.VERSION.
  assert avatar_scenes.VERSION == 1
  means = [scene(index, *avatar_scenes.DIFFICULTIES).render(FACES[index], SIZE).mean()
           for index in range(6)]
  np.testing.assert_allclose(means, GOLDEN, atol=0.3)


def test_without_difficulties_a_scene_is_the_plain_face():
  for index, face in enumerate(FACES[:4]):
    plain = scene(index)
    np.testing.assert_array_equal(plain.render(face, SIZE), avatar_faces.render(face, SIZE))
    np.testing.assert_array_equal(
        plain.changed(face, FACES[5], SIZE), avatar_faces.changed(face, FACES[5], SIZE))


@pytest.mark.parametrize('kind', avatar_scenes.DIFFICULTIES)
def test_a_difficulty_is_drawn_the_same_beside_others(kind):
  def drawn(*kinds):
    one = scene(3, *kinds)
    return getattr(one, {'background': '_background', 'placement': '_placement',
                         'lighting': '_lighting', 'occlusion': '_occluder',
                         'corruption': '_corruption'}[kind])
  alone, beside = drawn(kind), drawn(*reversed(avatar_scenes.DIFFICULTIES))
  for one, other in zip(alone, beside, strict=True):
    np.testing.assert_array_equal(one, other)
  assert drawn() is None
  difference = scene(3, kind).render(FACES[3], SIZE).astype(int) - scene(3).render(FACES[3], SIZE)
  assert abs(difference).mean() > 1


@pytest.mark.parametrize('kinds', [(k,) for k in avatar_scenes.DIFFICULTIES] + [
    avatar_scenes.DIFFICULTIES[:-1]], ids='+'.join)
def test_nothing_changes_outside_the_mask(kinds):
  seen = 0
  for index, face in enumerate(FACES):
    bare = avatar_faces.without(face, ['Eyeglasses', 'Facial_Hair'])
    one = scene(index, *kinds)
    mask = one.changed(face, bare, SIZE)
    assert mask.shape == (SIZE, SIZE) and mask.min() >= 0 and mask.max() <= 1
    differ = changed_pixels(one.render(face, SIZE), one.render(bare, SIZE))
    if 'corruption' in kinds:
      # JPEG spreads a difference within its blocks.
      blocks = (mask > 0).reshape(SIZE // 8, 8, SIZE // 8, 8).any((1, 3))
      mask = blocks.repeat(8, 0).repeat(8, 1)
    assert not differ[mask == 0].any()
    seen += differ.any()
  assert seen > 15


def test_the_background_alone_changes_no_pixel_of_the_face():
  for index, face in enumerate(FACES[:8]):
    _, through = avatar_faces.without_background(face, SIZE)
    plain, other = scene(index).render(face, SIZE), scene(index, 'background').render(face, SIZE)
    inside = through[..., 0] == 0
    assert inside.mean() > 0.3
    # Two orders of the same sums may round to neighbouring levels.
    assert abs(plain[inside].astype(int) - other[inside]).max() <= 1
    assert changed_pixels(plain, other)[through[..., 0] > 0.9].mean() > 0.9


def test_training_and_tests_show_other_parts_of_photographs(monkeypatch):
  # Pictures of columns: the piece says from where it was cut.
  columns = np.broadcast_to((np.arange(640) * 255 / 639)[None, :, None], (427, 640, 3))
  monkeypatch.setattr(avatar_scenes, '_photographs', lambda: [columns.astype(np.uint8)])
  def pieces(training):
    return np.stack([avatar_scenes._piece_of_a_photograph(np.random.default_rng(i), training)
                     for i in range(50)])
  border = 255 * 384 / 639
  assert pieces(True).max() <= border + 1 and pieces(False).min() >= border - 1
  assert pieces(True).min() < 10 and pieces(False).max() > 245


def test_noise_has_the_spectrum_it_should(monkeypatch):
  rng = np.random.default_rng(0)
  pictures = [avatar_scenes._noise_like_a_photograph(rng).mean(-1) for _ in range(8)]
  spectrum = np.mean([abs(np.fft.fft2(p - p.mean())) ** 2 for p in pictures], axis=0)
  low, high = spectrum[0, 2:8].mean(), spectrum[0, 64:100].mean()
  slope = np.log(low / high) / np.log(np.mean(range(64, 100)) / np.mean(range(2, 8)))
  assert 1.8 < slope < 3.4  # power falls as f^-2 to f^-3.2


def test_a_placed_face_is_the_plain_one_moved():
  # The centre of mass of the glasses goes where the similarity takes it.
  for index, face in enumerate(FACES):
    bare = avatar_faces.without(face, ['Eyeglasses'])
    if bare == face:
      continue
    placed = scene(index, 'placement')
    how, size = placed._placement, 64
    before = _centre(avatar_faces.changed(face, bare, size))
    after = _centre(placed.changed(face, bare, size))
    cos, sin = np.cos(how.angle), np.sin(how.angle)
    moved = how.scale * np.array([[cos, sin], [-sin, cos]]) @ before + how.shift
    np.testing.assert_allclose(after, moved, atol=0.02)


def _centre(mask):
  middle = (np.arange(len(mask)) + 0.5) / len(mask) - 0.5
  return np.array([(mask.sum(1) @ middle), (mask.sum(0) @ middle)]) / mask.sum()


def test_what_is_covered_does_not_count():
  one = scene(0, 'occlusion')
  covered = one._occluder.coverage(SIZE)[..., 0]
  assert 0.01 < covered.mean() < 0.2
  everything = one.changed(FACES[0], FACES[1], SIZE)
  assert not everything[covered == 1].any()


def test_records_have_scenes_and_exact_answers(tmp_path):
  kinds = ('placement', 'background')
  data = make_config('avatars', data_dir=str(tmp_path), num_train=12, num_validation=2, num_test=8,
                     difficulty=kinds)
  records = sources.open_source(data, image_size=SIZE).records['test']
  assert [p.name for p in (tmp_path / 'avatars').iterdir() if p.name.startswith('32_')
          and p.is_dir()] == ['32_12_2_8_background-placement_1']
  glasses = records.attributes[:, records.attribute_names.index('Eyeglasses')]
  for a, b in itertools.product(np.flatnonzero(~glasses)[:2], np.flatnonzero(glasses)[:2]):
    np.testing.assert_array_equal(
        records.image(b), scene(b, *kinds).render(records.recipe(b), SIZE))
    truth, mask = records.transfer_truth(a, b, ['Eyeglasses'])
    assert not changed_pixels(truth, records.image(a))[mask == 0].any() and mask.max() > 0.5
    removed = records.removal_truth(b, ['Eyeglasses'])
    assert not changed_pixels(removed, records.image(b))[records.mask(b, 'Eyeglasses') == 0].any()
    kept, region = records.erased_truth(a, b, ['Eyeglasses', 'mouth'], 'mouth')
    both, _ = records.transfer_truth(a, b, ['Eyeglasses', 'mouth'])
    assert not changed_pixels(kept, both)[region == 0].any()
  plain = avatars.AvatarRecords(make_config('avatars', data_dir=str(tmp_path), num_train=12,
                                            num_validation=2, num_test=8), 'test', SIZE)
  np.testing.assert_array_equal(plain.attributes, records.attributes)
  assert plain.fingerprint != records.fingerprint


@pytest.mark.parametrize('fields, message', [
    (dict(source='avatars', difficulty=('lightning',)),
     r"no 'lightning' \(did you mean 'lighting'\?\)"),
    (dict(source='avatars', difficulty=('lighting', 'lighting')), 'names one twice'),
    (dict(source='circle_square', difficulty=('lighting',)), 'is for drawn avatars')])
def test_wrong_difficulties_are_one_clear_line(tmp_path, fields, message):
  with pytest.raises(errors.UserError, match=message) as caught:
    sources.open_source(make_config(data_dir=str(tmp_path), **fields), image_size=SIZE)
  assert '\n' not in str(caught.value)


def test_placed_faces_have_no_template():
  def template(*kinds):
    from maskgan_jax import config as run_config
    config = run_config.default('content_transfer')
    config.data.difficulty = kinds
    return landmarks.template_of(config)
  assert template('lighting') is not None and template('placement') is None
