"""Picture grids: every image is where its row and column say, pixel for pixel."""

import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from maskgan_jax import errors
from maskgan_jax.data import images as images_lib
from maskgan_jax.runs import pictures


def _images(rows, columns, size=8):
  """Returns images that all differ, and never contain the page's white."""
  rng = np.random.default_rng(0)
  return rng.integers(0, 200, (rows, columns, size, size, 3), np.uint8)


def _find(picture, image, scale):
  """Returns (y, x) of the only place where the enlarged image occurs in the picture."""
  block = np.kron(image, np.ones((scale, scale, 1), np.uint8))
  height, width = block.shape[:2]
  corner = np.argwhere(np.all(picture == block[0, 0], -1))
  places = [(y, x) for y, x in corner.tolist()
            if np.array_equal(picture[y:y + height, x:x + width], block)]
  assert len(places) == 1
  return places[0]


def test_every_image_is_in_its_row_and_column():
  images = _images(3, 4)
  picture = pictures.grid(images, column_names=['a', 'b', 'a long heading that wraps', ''],
                          row_names=['first', 'second row', ''], title='Title', scale=5)
  assert picture.dtype == np.uint8 and picture.shape[-1] == 3
  places = np.array([[_find(picture, image, 5) for image in row] for row in images])
  assert (places[:, :, 0] == places[:, :1, 0]).all()  # rows are level
  assert (places[:, :, 1] == places[:1, :, 1]).all()  # columns are plumb
  assert (np.diff(places[:, 0, 0]) > 40).all() and (np.diff(places[0, :, 1]) > 40).all()
  assert (picture[[0, -1]] == 255).all() and (picture[:, [0, -1]] == 255).all()  # a white margin


def test_names_are_drawn_where_they_belong():
  images = _images(2, 2)
  plain = pictures.grid(images, column_names=['', ''], row_names=['', ''], scale=8)
  (top, left), (bottom, right) = (_find(plain, images[i, i], 8) for i in (0, 1))
  assert (plain[:top - 1] == 255).all() and (plain[:, :left - 1] == 255).all()
  picture = pictures.grid(images, column_names=['', 'heading'], row_names=['', 'name'], scale=8)
  (top, left), (bottom, right) = (_find(picture, images[i, i], 8) for i in (0, 1))
  ink = np.argwhere((picture < 128).all(-1) & (np.indices(picture.shape[:2])[0] < top - 1))
  assert len(ink) > 50  # the heading: above the second column, centred
  assert ink[:, 1].min() >= right and ink[:, 1].max() < right + 64
  assert abs(ink[:, 1].mean() - (right + 32)) < 4
  ink = np.argwhere((picture < 128).all(-1) & (np.indices(picture.shape[:2])[1] < left - 1))
  assert len(ink) > 30  # the name: beside the second row, at half its height
  assert ink[:, 0].min() > bottom and abs(ink[:, 0].mean() - (bottom + 32)) < 6


@pytest.mark.parametrize('name', ['several words that need a few lines',
                                  'onewordthatismuchwiderthanthecellitself', 'with_under_scores'])
def test_long_headings_stay_over_their_column(name):
  images = _images(1, 3)
  picture = pictures.grid(images, column_names=['', name, ''], scale=8)
  top, left = _find(picture, images[0, 1], 8)
  ink = np.argwhere((picture < 200).all(-1) & (np.indices(picture.shape[:2])[0] < top - 1))
  assert len(ink) > 100 and ink[:, 0].min() > 0
  assert ink[:, 1].min() >= left - 1 and ink[:, 1].max() <= left + 64


def test_is_deterministic_and_large_enough_to_see():
  for size, side in (16, 112), (32, 128), (64, 128), (96, 96), (128, 128), (256, 256):
    images = _images(1, 2, size)
    grids = [pictures.grid(images, column_names=['a', 'b']) for _ in range(2)]
    assert np.array_equal(*grids)
    _find(grids[0], images[0, 0], side // size)


def test_empty_cells_and_smaller_images():
  image = _images(1, 1)[0, 0]
  mask = np.array([[0., 1.], [0.25, 0.5]])
  picture = pictures.grid([[image, mask, None], [None, image, image[:4, :4]]],
                          column_names=['image', 'mask', ''], scale=2)
  enlarged = np.repeat(np.array([[0, 255], [64, 128]], np.uint8)[..., None], 3, -1)
  _find(picture, enlarged, 8)
  _find(picture, image[:4, :4], 4)
  with pytest.raises(ValueError, match='5x5 does not divide a cell 16x16'):
    pictures.grid([[image, image[:5, :5]]], column_names=['', ''], scale=2)


def test_wrong_names_are_refused():
  images = _images(2, 2)
  with pytest.raises(ValueError, match='3 column names'):
    pictures.grid(images, column_names=['a', 'b', 'c'])
  with pytest.raises(ValueError, match='1 row names for 2 rows'):
    pictures.grid(images, column_names=['a', 'b'], row_names=['a'])
  with pytest.raises(ValueError, match='needs an image'):
    pictures.grid([[None]], column_names=['a'])
  with pytest.raises(ValueError, match=r'not \[2, 2, 8, 8, 3\]'):
    pictures.to_uint8(images)


def test_to_uint8():
  exact = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
  assert np.array_equal(pictures.to_uint8(exact), exact)
  # This inverts what a step does to images, for every value.
  assert np.array_equal(pictures.to_uint8(jnp.asarray(exact) / 127.5 - 1), exact)
  odd = np.array([[[np.nan, np.inf, -np.inf], [2, -2, 0]]], np.float32)
  assert pictures.to_uint8(odd, broken_as_black=True).tolist() == [[[0, 255, 0], [255, 0, 128]]]
  mask = np.array([[0, 0.5, 1, 1.5, -1, np.nan]])
  broken = pictures.to_uint8(mask, broken_as_black=True)
  assert broken[0, :, 0].tolist() == [0, 128, 255, 255, 0, 0]
  mask = mask[:, :5]
  assert pictures.to_uint8(mask[..., None]).shape == (1, 5, 3)
  assert pictures.to_uint8(mask > 0.6)[0, :, 1].tolist() == [0, 0, 255, 255, 0]


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_a_broken_picture_is_drawn_only_where_that_is_asked_for(value):
  image = np.zeros((8, 8, 3), np.float32)
  image[3, 4] = value
  with pytest.raises(ValueError, match='NaN or infinite'):
    pictures.grid([[image]], column_names=['translation'])
  with pytest.raises(ValueError, match='NaN or infinite'):
    pictures.transfer_grid([np.zeros_like(image)], [np.zeros_like(image)], [[image]])
  with pytest.raises(ValueError, match='NaN or infinite'):
    pictures.overlay(image, np.zeros((8, 8)))
  pictures.grid([[image]], column_names=['translation'], broken_as_black=True)


def test_transfer_grid():
  images = _images(3, 4)
  sources, exemplars, results = images[0, 1:], images[1:, 0], images[1:, 1:]
  picture = pictures.transfer_grid(sources, exemplars, results, scale=6)
  columns = [_find(picture, source, 6)[1] for source in sources]
  rows = [_find(picture, exemplar, 6)[0] for exemplar in exemplars]
  assert columns == sorted(columns) and rows == sorted(rows)
  assert all(_find(picture, exemplar, 6)[1] < columns[0] for exemplar in exemplars)
  assert all(_find(picture, source, 6)[0] < rows[0] for source in sources)
  for i, row in enumerate(rows):
    for j, column in enumerate(columns):
      assert _find(picture, results[i, j], 6) == (row, column)
  with pytest.raises(ValueError, match='2 rows of results for 1 exemplars'):
    pictures.transfer_grid(sources, exemplars[:1], results)


def test_overlay():
  image = np.full((1, 3, 3), 100, np.uint8)
  mask = np.array([[[0.], [0.5], [1.]]])
  tinted = pictures.overlay(image, mask, colour=(200, 100, 0), strength=0.8)
  assert tinted.tolist() == [[[100, 100, 100], [140, 100, 60], [180, 100, 20]]]
  assert np.array_equal(pictures.overlay(image, np.zeros((1, 3))), image)
  assert np.array_equal(pictures.overlay(image, np.uint8([[0, 255, 255]])),
                        pictures.overlay(image, np.array([[False, True, True]])))
  with pytest.raises(ValueError, match='does not fit'):
    pictures.overlay(image, np.zeros((3, 1)))


def test_save(tmp_path):
  image = _images(1, 1)[0, 0]
  path = tmp_path / 'samples' / 'a.png'
  images_lib.save_png(path, image, description='Quelle → Ziel')
  with Image.open(path) as saved:
    assert np.array_equal(np.asarray(saved), image)
    assert saved.text['Description'] == 'Quelle → Ziel'
  assert [p.name for p in path.parent.iterdir()] == ['a.png']
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match='cannot write'):
    images_lib.save_png(tmp_path / 'file' / 'a.png', image)


def test_letters_that_the_font_lacks_are_no_empty_boxes():
  images = _images(1, 2)

  def drawn(name):
    return pictures.grid(images, column_names=['', name], row_names=[name], title=name)
  np.testing.assert_array_equal(drawn('José'), drawn('Jose'))
  np.testing.assert_array_equal(drawn('照 a'), drawn('\\u7167 a'))
  np.testing.assert_array_equal(drawn('имя'), drawn('\\u0438\\u043c\\u044f'))
  assert pictures.labels(['a_b-c (1)', 'Ж', '\udcff'], 'row') == (
      ['a_b-c (1)', 'row 2', 'row 3'], 'in the grid row 2 is Ж, row 3 is \udcff')
  assert pictures.labels(['a', 'b'], 'column') == (['a', 'b'], '')
