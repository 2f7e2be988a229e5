"""`Translator.fit` turns any form of a user's picture into what the model takes."""

import io
import os

import numpy as np
from PIL import Image
import pytest

from helpers.simple_method import Simple, simple
from helpers.tiny_model import make_config, SIZE
from maskgan_jax import errors
from maskgan_jax.translator import Translator


@pytest.fixture(name='photo')
def _photo():
  """Returns a picture whose size and shape are not the model's."""
  return np.random.default_rng(0).integers(0, 256, (3 * SIZE, 5 * SIZE, 3), np.uint8)


def encoded(picture):
  buffer = io.BytesIO()
  Image.fromarray(picture).save(buffer, 'PNG')
  return buffer.getvalue()


def test_every_kind_of_picture_becomes_the_same(photo, tmp_path):
  t = simple()
  path = tmp_path / 'me.png'
  path.write_bytes(encoded(photo))
  expected = t.transform.fit(photo, 'x')
  for picture in (path, str(path), path.read_bytes(), Image.fromarray(photo), photo):
    fitted = t.fit(picture)
    np.testing.assert_array_equal(fitted.image, expected)
    assert fitted.size == photo.shape[:2] and fitted.image.shape == (SIZE, SIZE, 3)
  assert t.fit(path).name == os.fspath(path) and t.fit(photo).name == 'the picture'


def test_a_fitted_picture_goes_into_the_translator(photo):
  t = simple()
  fitted = t.fit(photo)
  result = t(fitted, fitted)
  assert result.image.dtype == np.uint8
  np.testing.assert_array_equal(result.image, t(fitted.image, fitted.image).image)
  assert np.stack([fitted, fitted]).shape == (2, SIZE, SIZE, 3)


def test_grey_and_transparent_arrays_are_pictures(photo):
  t = simple()
  grey = photo[..., 0]
  expected = t.fit(np.repeat(grey[..., None], 3, -1)).image
  np.testing.assert_array_equal(t.fit(grey).image, expected)
  np.testing.assert_array_equal(t.fit(grey[..., None]).image, expected)
  clear = np.zeros((*photo.shape[:2], 4), np.uint8)
  assert (t.fit(clear).image == 255).all()  # transparency is laid over white


def test_a_picture_of_the_models_resolution_stays(photo):
  t = Translator(Simple(), {}, {}, make_config(data__crop='center:8'))
  fitted = t.fit(photo[:SIZE, :SIZE])
  np.testing.assert_array_equal(fitted.image, photo[:SIZE, :SIZE])
  assert fitted.remarks == ('', '', '')
  assert 'center:8' in t.fit(photo, name='me').remarks[0]


@pytest.mark.parametrize('picture, message', [
    (np.zeros((4, 4, 3), np.float32), r'array of float32 \[4, 4, 3\]; a picture is a path'),
    (np.zeros((1, 4, 4, 3), np.uint8), r'array of uint8 \[1, 4, 4, 3\]'),
    (np.zeros((0, 4, 3), np.uint8), 'array of uint8'),
    (None, 'array of object'),
    ('/nowhere/me.png', '/nowhere/me.png does not exist'),
    (b'hello', 'the picture is not a picture')])
def test_what_is_not_a_picture_is_named(picture, message):
  with pytest.raises(errors.UserError, match=message):
    simple().fit(picture)


def test_large_files_are_refused(photo):
  with pytest.raises(errors.UserError, match='max_pixels=100'):
    simple().fit(encoded(photo), max_pixels=100)


def test_masks_go_the_way_of_their_picture(photo):
  t = simple()
  fitted = t.fit(photo)
  mask = (photo[..., 0] > 127).astype(np.float32)
  expected = t.transform.fit(mask, 'x')[..., None]
  np.testing.assert_array_equal(fitted.fit_mask(mask, 'm'), expected)
  small = np.ones((SIZE, SIZE), np.float32)
  np.testing.assert_array_equal(fitted.fit_mask(small, 'm'), small[..., None])
  np.testing.assert_allclose(fitted.fit_mask(mask[::2, ::2], 'm').mean(), expected.mean(), atol=.1)
  # A picture of the model's size: the mask of a part of it is the picture's.
  part = t.fit(photo[:SIZE, :SIZE], region=(0, 0, SIZE, SIZE // 2))
  right = np.zeros((SIZE, SIZE), np.float32)
  right[:, SIZE // 2:] = 1
  assert not part.fit_mask(right, 'm').any() and part.fit_mask(1 - right, 'm').all()
  with pytest.raises(errors.UserError, match='m is 9x9 .* does not fit the picture, 48x80'):
    fitted.fit_mask(np.ones((9, 9), np.float32), 'm')
