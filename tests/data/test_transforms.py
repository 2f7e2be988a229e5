"""Crop, resize, flip and zoom, pixel by pixel, against Pillow's steps and block means."""

import itertools
import math

import numpy as np
from PIL import Image
import pytest
import skimage.data

from helpers import data_samples
from maskgan_jax import errors
from maskgan_jax.data import transforms

# CelebA's shape, 218 high and 178 wide, from a portrait.
_PORTRAIT = np.ascontiguousarray(skimage.data.astronaut()[:218, 140:318])
_BILINEAR = Image.Resampling.BILINEAR


def test_content_transfer_authors_distort_the_whole_picture():
  ours = transforms.Transform(128).fixed(_PORTRAIT, 'x')
  expected = Image.fromarray(_PORTRAIT).resize((128, 128), _BILINEAR)
  np.testing.assert_array_equal(ours, np.asarray(expected))


@pytest.mark.parametrize('flipped', [False, True])
def test_lomit_authors_flip_crop_the_centre_and_resize(flipped):
  transform = transforms.Transform(128, crop='center:178')
  uniforms = np.array([[0.1 if flipped else 0.9, 0, 0]])
  ours = transform.augment(np.stack([transform.fixed(_PORTRAIT, 'x')]), uniforms)[0]
  image = Image.fromarray(_PORTRAIT)
  if flipped:
    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
  expected = image.crop((0, 20, 178, 198)).resize((128, 128), _BILINEAR)
  # A resize of the mirrored picture rounds some levels the other way.
  np.testing.assert_allclose(ours.astype(int), np.asarray(expected, int), atol=1)


def test_box_crop_is_that_of_its_rows_and_columns():
  transform = transforms.Transform(178, crop='box:20,0,198,178')
  np.testing.assert_array_equal(transform.fixed(_PORTRAIT, 'x'), _PORTRAIT[20:198])


def test_area_is_the_mean_of_blocks():
  transform = transforms.Transform(32, crop='center:128', resize='area')
  blocks = _PORTRAIT[45:173, 25:153].reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
  # Pillow rounds after each of its two passes.
  np.testing.assert_allclose(transform.fixed(_PORTRAIT, 'x'), blocks, atol=1.01)


def test_keep_aspect_makes_the_shorter_side_the_size():
  wide = data_samples.photos()['rocket']  # 107 x 160
  ours = transforms.Transform(64, keep_aspect=True).fixed(wide, 'x')
  left = (round(160 * 64 / 107) - 64) // 2
  expected = np.asarray(Image.fromarray(wide).resize((round(160 * 64 / 107), 64), _BILINEAR))
  np.testing.assert_array_equal(ours, expected[:, left:left + 64])
  tall = np.ascontiguousarray(wide.swapaxes(0, 1))
  ours_tall = transforms.Transform(64, keep_aspect=True).fixed(tall, 'x')
  np.testing.assert_allclose(ours_tall.swapaxes(0, 1).astype(int), ours, atol=1)


@pytest.mark.parametrize('height, width', [(64, 40), (40, 64), (64, 160), (107, 160)])
def test_keep_aspect_covers_the_shape_and_takes_its_centre(height, width):
  wide = data_samples.photos()['rocket']  # 107 x 160
  ours = transforms.Transform(height, image_width=width, keep_aspect=True).fixed(wide, 'x')
  factor = max(height / 107, width / 160)
  tall, long = round(107 * factor), round(160 * factor)
  top, left = (tall - height) // 2, (long - width) // 2
  assert 0 in (top, left)  # no more than necessary is cut off
  expected = np.asarray(Image.fromarray(wide).resize((long, tall), _BILINEAR))
  np.testing.assert_array_equal(ours, expected[top:top + height, left:left + width])


def test_without_keep_aspect_the_whole_picture_takes_the_shape():
  ours = transforms.Transform(30, image_width=70).fixed(_PORTRAIT, 'x')
  expected = Image.fromarray(_PORTRAIT).resize((70, 30), _BILINEAR)
  np.testing.assert_array_equal(ours, np.asarray(expected))


@pytest.mark.parametrize('shape', [(1, 1), (1, 50), (64, 64), (63, 65)])
@pytest.mark.parametrize('keep_aspect', [False, True])
@pytest.mark.parametrize('width', [0, 1, 30, 200])
def test_any_shape_becomes_the_one_wanted(shape, keep_aspect, width):
  transform = transforms.Transform(64, keep_aspect=keep_aspect, image_width=width)
  image = np.full((*shape, 3), 77, np.uint8)
  np.testing.assert_array_equal(transform.fixed(image, 'x'), np.full((64, width or 64, 3), 77))


@pytest.mark.parametrize('crop', ['', 'center:150', 'center:90,170', 'box:3,5,131,160'])
@pytest.mark.parametrize('keep_aspect', [False, True])
@pytest.mark.parametrize('load_size', [0, 50])
@pytest.mark.parametrize('resize, width', [*((name, 40) for name in transforms.RESIZE),
                                           ('bilinear', 61)])
def test_masks_go_where_their_pictures_go(crop, keep_aspect, load_size, resize, width):
  transform = transforms.Transform(40, crop=crop, keep_aspect=keep_aspect, load_size=load_size,
                                   resize=resize, image_width=width)
  picture = _PORTRAIT // 2 + 64  # far from black and white, where pictures are cut off
  mask = picture[..., 0].astype(np.float32) / 255  # a picture that is its own mask
  image = transform.unaugmented(picture, 'x')
  mask = transform.unaugmented(mask, 'x')
  assert mask.shape == (40, width) and mask.dtype == np.float32
  assert mask.min() >= 0 and mask.max() <= 1
  # Pictures are rounded to whole levels after each of the two passes of a resize.
  np.testing.assert_allclose(mask * 255, image[..., 0], atol=1.6)


def test_random_squares_reach_every_corner():
  transform = transforms.Transform(4, load_size=6, flip=False)
  image = np.arange(6 * 6 * 3, dtype=np.uint8).reshape(6, 6, 3)
  grid = np.array([[0.9, y, x] for y in (0, 0.34, 0.999) for x in (0, 0.34, 0.999)])
  squares = transform.augment(image[None].repeat(9, 0), grid)
  expected = [image[y:y + 4, x:x + 4] for y in range(3) for x in range(3)]
  np.testing.assert_array_equal(squares, expected)
  np.testing.assert_array_equal(transform.unaugmented(image, 'x'), image[1:5, 1:5])


def test_random_crops_of_other_shapes_reach_every_corner():
  transform = transforms.Transform(4, load_size=6, flip=False, image_width=7)
  assert transform.stored_shape == (6, 10)  # 10.5, rounded to even
  image = np.arange(6 * 10 * 3, dtype=np.uint8).reshape(6, 10, 3)
  steps = (np.arange(3) + 0.5) / 3, (np.arange(4) + 0.5) / 4
  grid = np.array([[0.9, y, x] for y in steps[0] for x in steps[1]])
  crops = transform.augment(image[None].repeat(12, 0), grid)
  expected = [image[y:y + 4, x:x + 7] for y in range(3) for x in range(4)]
  np.testing.assert_array_equal(crops, expected)
  np.testing.assert_array_equal(transform.unaugmented(image, 'x'), image[1:5, 1:8])


def test_evaluation_may_see_all_of_a_picture():
  """CycleGAN trains on parts of 256 of 286 pixels and tests on the whole."""
  whole = transforms.Transform(64, load_size=72, resize='bicubic', test_whole=True)
  np.testing.assert_array_equal(whole.unaugmented(_PORTRAIT, 'x'),
                                transforms.Transform(64, resize='bicubic').fixed(_PORTRAIT, 'x'))
  assert whole.stored_shape == (72, 72)  # training still crops


def _zoomed_pixel_by_pixel(image, scale, top, left):
  """Interpolates at (scale * y + top, scale * x + left), in float64, and repeats the last pixel."""
  height, width = image.shape[:2]
  result = np.zeros(image.shape)
  for y in range(height):
    for x in range(width):
      row, column = min(scale * y + top, height - 1), min(scale * x + left, width - 1)
      y0, x0 = math.floor(row), math.floor(column)
      for y1, x1 in itertools.product((y0, y0 + 1), (x0, x0 + 1)):
        share = (1 - abs(row - y1)) * (1 - abs(column - x1))
        if share:
          result[y, x] += share * image[y1, x1]
  return result


@pytest.mark.parametrize('height, width', [(28, 28), (12, 31), (31, 12), (1, 9), (1, 1)])
@pytest.mark.parametrize('least', [0.8, 0.3])
def test_zoom_is_bilinear_at_the_authors_places(height, width, least):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (9, height, width, 3), dtype=np.uint8)
  transform = transforms.Transform(height, image_width=width, flip=False, zoom_probability=0.5,
                                   zoom_least=least)
  zooms = rng.random((9, 4))
  zooms[:3, 0], zooms[:3, 1:] = 0.4999, [[0, 0, 0], [0, 0.999999, 0.999999], [0.999999, 0.5, 0.5]]
  zooms[3, 0] = 0.5
  ours = transform.augment(images.copy(), np.zeros((9, 3)), zooms)
  assert ours.dtype == np.uint8
  for image, result, (whether, size, top, left) in zip(images, ours, zooms, strict=True):
    scale = 1 - (1 - least) * size
    expected = image if whether >= 0.5 else _zoomed_pixel_by_pixel(
        image, scale, top * (1 - scale) * height, left * (1 - scale) * width)
    assert np.abs(result - expected).max() < 0.501
  if height > 1:  # some pictures were zoomed, some were not
    assert (ours != images).any() and (ours[3] == images[3]).all()


def test_zooms_of_everything_change_nothing():
  images = np.random.default_rng(0).integers(0, 256, (4, 9, 7, 3), dtype=np.uint8)
  zooms = np.random.default_rng(1).random((4, 4))
  for options in ({'zoom_probability': 1.0, 'zoom_least': 1.0}, {}):
    transform = transforms.Transform(9, image_width=7, flip=False, **options)
    np.testing.assert_array_equal(transform.augment(images.copy(), np.zeros((4, 3)), zooms), images)


def test_a_crop_is_drawn_first_then_its_zoom_and_then_its_mirror_image():
  image = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
  transform = transforms.Transform(5, image_width=6, load_size=10, zoom_probability=1.0)
  result = transform.augment(image[None], np.array([[0.1, 0.6, 0.3]]), np.array([[0, 1, 0.5, 0.2]]))
  cropped = image[3:8, 2:8]  # int(0.6 * 6), int(0.3 * 7)
  zoomed = _zoomed_pixel_by_pixel(cropped, 0.8, 0.5 * 0.2 * 5, 0.2 * 0.2 * 6)
  assert np.abs(result[0] - zoomed[:, ::-1]).max() < 0.501


def test_flip_mirrors_below_one_half_and_only_columns():
  image = np.arange(3 * 3 * 3, dtype=np.uint8).reshape(3, 3, 3)
  uniforms = np.array([[0, 0, 0], [0.499, 0, 0], [0.5, 0, 0], [0.999, 0, 0]])
  stack = image[None].repeat(4, 0)
  flipped = transforms.Transform(3).augment(stack.copy(), uniforms)
  np.testing.assert_array_equal(flipped, [np.fliplr(image)] * 2 + [image] * 2)
  kept = transforms.Transform(3, flip=False).augment(stack.copy(), uniforms)
  np.testing.assert_array_equal(kept, stack)


@pytest.mark.parametrize('crop', ['center', 'center:', 'center:0', 'center:1,2,3', 'box:1,2,3',
                                  'box:5,0,5,9', 'box:-1,0,5,9', 'middle:5', '178'])
def test_crops_that_mean_nothing(crop):
  with pytest.raises(errors.UserError, match="config.data.crop=.*must be '', 'center:SIDE'"):
    transforms.Transform(8, crop=crop)


def test_crops_that_do_not_fit_name_the_picture():
  for crop in ('center:179', 'box:0,0,219,10'):
    with pytest.raises(errors.UserError, match='does not fit into x.png, which is 218 high'):
      transforms.Transform(8, crop=crop).fixed(_PORTRAIT, 'x.png')


def test_sizes_and_names_are_checked():
  with pytest.raises(errors.UserError, match="lanczos.*did you mean 'bicubic'"):
    transforms.Transform(8, resize='bicubik')
  with pytest.raises(errors.UserError, match='load_size=7 is smaller than image_size=8'):
    transforms.Transform(8, load_size=7)
  with pytest.raises(errors.UserError, match='load_size=129 is more than 16 times image_size=8'):
    transforms.Transform(8, load_size=129)
  with pytest.raises(errors.UserError, match='image_size=0'):
    transforms.Transform(0)
  with pytest.raises(errors.UserError, match='image_width=-1 must be at least 0'):
    transforms.Transform(8, image_width=-1)
  for value in (-0.1, 1.1, float('nan')):
    with pytest.raises(errors.UserError, match='data.zoom_probability=.* must be between 0 and 1'):
      transforms.Transform(8, zoom_probability=value)
  for value in (0.0, 1.1, float('nan')):
    with pytest.raises(errors.UserError, match='zoom_least=.* must be (more than 0|at most 1)'):
      transforms.Transform(8, zoom_least=value)


@pytest.mark.parametrize('size', [(1, 200_000), (200_000, 1), (3, 5_000)])
def test_a_thread_of_a_picture_does_not_become_huge(size):
  picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
  result = transforms.Transform(64, keep_aspect=True).fixed(picture, 'x')
  assert result.shape == (64, 64, 3)
  # The cut-off part is far from the middle, so the middle alone gives the same result.
  middle = tuple(slice((side - min(side, 400)) // 2, (side + min(side, 400)) // 2) for side in size)
  expected = transforms.Transform(64, keep_aspect=True).fixed(picture[middle], 'x')
  assert np.abs(result.astype(int) - expected).max() <= 1


def test_remarks_on_pictures_that_a_crop_leaves_little_of():
  transform = transforms.Transform(16, crop='center:178')
  grey = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)

  def remarks(height, width):
    return transform.remarks(np.resize(grey, (height, width, 3)), 'x.png')
  assert remarks(218, 178) == remarks(16, 16) == ('', '')
  crop, levels = remarks(3560, 1780)
  assert "config.data.crop='center:178' leaves 0.5 % of x.png" in crop and not levels
  assert transforms.Transform(16).remarks(np.resize(grey, (900, 900, 3)), 'x') == ('', '')


@pytest.mark.parametrize(('lowest', 'highest', 'remark'), [
    (0, 4, 'nearly black'), (0, 16, 'nearly black'), (0, 17, ''), (3, 250, ''), (238, 255, ''),
    (239, 255, 'nearly white')])
def test_remarks_on_levels(lowest, highest, remark):
  image = np.full((4, 4, 3), lowest, np.uint8)
  image[2, 2, 1] = highest
  assert transforms.levels_remark(image).startswith(remark)
  assert bool(transforms.levels_remark(image)) == bool(remark)
