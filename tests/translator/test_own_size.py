"""Composing a small result with the picture that it comes from, as arrays."""

import dataclasses
import itertools

import numpy as np
from PIL import Image
import pytest

from maskgan_jax import errors
from maskgan_jax.data.transforms import Transform
from maskgan_jax.data.turned import Turned
from maskgan_jax.translator import enlarging, mask_edges, own_size
from maskgan_jax.translator.enlarging import Box

SMALL, LARGE = 16, 160
ALL = Box(0, 0, LARGE, LARGE)


def noise(*shape, seed=0, top=256, dtype=np.uint8):
  return np.random.default_rng(seed).integers(0, top, shape).astype(dtype)


def reduced(array):
  """Returns a large picture or mask at the small size."""
  image = Image.fromarray(array).resize((SMALL, SMALL), Image.Resampling.BOX)
  return np.asarray(image)


def slanted(share=0.55):
  """Returns 1 on one side of a slanted edge, float32 [LARGE, LARGE]."""
  y, x = np.mgrid[:LARGE, :LARGE] / LARGE
  return (x + 0.3 * y < share).astype(np.float32)


def change(picture, paint, mask, box=ALL, **options):
  """Returns the change of a model that paints in one colour."""
  source = np.asarray(Image.fromarray(picture).resize((SMALL, SMALL), Image.Resampling.BOX))
  image = np.rint(source + mask[..., None] * (np.array(paint) - source)).astype(np.uint8)
  return own_size.change_of(source, image, mask, box, picture.shape[:2], **options)


@pytest.mark.parametrize('dtype, top', [(np.uint8, 255), (np.uint16, 65535)])
@pytest.mark.parametrize('refine', [False, True])
def test_pixels_without_a_mask_are_untouched_and_others_painted(dtype, top, refine):
  picture = noise(LARGE, LARGE, 3, top=top + 1, dtype=dtype)
  mask = np.zeros((SMALL, SMALL), np.float32)
  mask[4:9, 3:12] = 1
  done = change((picture / (top / 255)).astype(np.uint8), (255, 0, 0), mask)
  if refine:
    done = dataclasses.replace(done, edges=mask_edges.edges_of(picture, mask, ALL))
  before = picture.copy()
  pasted, levels = own_size.paste(picture, done)
  np.testing.assert_array_equal(picture, before)
  assert pasted.dtype == dtype and levels.dtype == np.uint8
  np.testing.assert_array_equal(pasted[levels == 0], picture[levels == 0])
  assert (levels[100:] == 0).all() and (levels[:20] == 0).all() and (levels > 0).any()
  inside = pasted[55:75, 50:100].astype(float) / top
  assert np.abs(inside - [1, 0, 0]).max() < (0.35 if refine else 0.01)


def test_a_large_result_made_small_is_the_models():
  picture = np.asarray(Image.fromarray(noise(8, 8, 3)).resize((LARGE, LARGE)))
  mask = reduced(slanted()) * np.float32(0.8)
  done = change(picture, (200, 30, 90), mask)
  pasted, levels = own_size.paste(picture, done)
  want = reduced(picture) + mask[..., None] * (np.array([200, 30, 90]) - reduced(picture))
  assert np.abs(reduced(pasted) - want).mean() < 4
  assert np.abs(reduced(levels) / 255 - mask).mean() < 0.02


def test_half_a_mask_gives_the_paint_half_of_the_pixel():
  picture = np.full((LARGE, LARGE, 3), 100, np.uint8)
  pasted, levels = own_size.paste(picture, change(picture, (200, 0, 100),
                                                  np.full((SMALL, SMALL), 0.5, np.float32)))
  assert np.abs(pasted.astype(int) - [150, 50, 100]).max() <= 1
  assert np.abs(levels - 127.5).max() < 1


@pytest.mark.parametrize('flat', [False, True])
def test_edges_are_nearer_to_the_true_ones_than_plainly_enlarged(flat):
  """The picture has the mask's edge, as when a thing is recoloured, or has none, as when put on."""
  true = slanted()
  picture = np.full((LARGE, LARGE, 3), 90, np.uint8)
  if not flat:
    picture[true > 0] = (40, 160, 200)
  mask = reduced(true)
  plain = enlarging.enlarged(mask, ALL, slice(0, LARGE), slice(0, LARGE))
  edges = mask_edges.edges_of(picture, mask, ALL)
  pixels = picture.astype(np.float32) / 255
  fine = mask_edges.refined(pixels, edges, ALL, slice(0, LARGE), slice(0, LARGE))
  assert fine.min() >= 0 and fine.max() <= 1
  gain = np.abs(fine - true).mean() / np.abs(plain - true).mean()
  assert gain < (0.7 if flat else 0.4)


def test_flat_masks_stay_as_they_are():
  picture, mask = noise(LARGE, LARGE, 3), np.full((SMALL, SMALL), 0.4, np.float32)
  edges = mask_edges.edges_of(picture, mask, ALL)
  rows = columns = slice(0, LARGE)
  fine = mask_edges.refined(picture / np.float32(255), edges, ALL, rows, columns)
  np.testing.assert_allclose(fine, 0.4, atol=1e-3)


def test_the_guided_filter_is_that_of_its_equations():
  rng = np.random.default_rng(0)
  picture, mask, radius, epsilon = rng.random((7, 8, 3)), rng.random((7, 8)), 1, 1e-2
  guided = mask_edges.guided_filter(picture, mask, radius, epsilon)

  def window(array, y, x):
    rows = np.clip(np.arange(y - radius, y + radius + 1), 0, 6)
    columns = np.clip(np.arange(x - radius, x + radius + 1), 0, 7)
    return array[np.ix_(rows, columns)].reshape(9, -1)

  slopes, intercept = np.zeros((7, 8, 3)), np.zeros((7, 8))
  for y, x in itertools.product(range(7), range(8)):
    pixels, levels = window(picture, y, x), window(mask, y, x)[:, 0]
    covariance = np.cov(pixels.T, bias=True) + epsilon * np.eye(3)
    centred = (pixels - pixels.mean(0)) * (levels - levels.mean())[:, None]
    slopes[y, x] = np.linalg.inv(covariance) @ centred.mean(0)
    intercept[y, x] = levels.mean() - slopes[y, x] @ pixels.mean(0)
  for y, x in itertools.product(range(7), range(8)):
    np.testing.assert_allclose(guided.slopes[y, x], window(slopes, y, x).mean(0), atol=1e-6)
    np.testing.assert_allclose(guided.intercept[y, x], window(intercept, y, x).mean(), atol=1e-6)


def test_a_difference_is_added_where_the_mask_is_no_opacity():
  picture = noise(LARGE, LARGE, 3, top=200)
  mask = np.zeros((SMALL, SMALL), np.float32)
  mask[:8] = 0.2
  source = reduced(picture)
  image = (source + 50 * (mask[..., None] > 0)).astype(np.uint8)
  size = picture.shape[:2]
  done = own_size.change_of(source, image, mask, ALL, size, is_opacity=False)
  pasted, levels = own_size.paste(picture, done)
  np.testing.assert_array_equal(pasted[:70], picture[:70] + 50)
  np.testing.assert_array_equal(pasted[levels == 0], picture[levels == 0])
  assert (levels[90:] == 0).all()
  without, _ = own_size.paste(picture, own_size.change_of(source, image, None, ALL, size))
  np.testing.assert_array_equal(without[:70], picture[:70] + 50)
  np.testing.assert_array_equal(without[90:], picture[90:])
  assert not own_size.repaints(source, image)
  assert own_size.repaints(source, 255 - source // 2)


def test_masks_and_limits_of_the_own_size():
  picture = noise(LARGE, LARGE, 3)
  done = change(picture, (0, 255, 0), np.ones((SMALL, SMALL), np.float32))
  given = slanted()
  keep = np.ones((LARGE, LARGE), bool)
  keep[:50] = False
  pasted, levels = own_size.paste(picture, done, given=given, keep=keep)
  changed = (given > 0) & keep
  np.testing.assert_array_equal(levels, 255 * changed)
  np.testing.assert_array_equal(pasted[~changed], picture[~changed])
  assert np.abs(pasted[changed].astype(int) - [0, 255, 0]).max() <= 1


def test_a_region_fades_out_inside_the_picture_only():
  picture, box = noise(LARGE, LARGE, 3), Box(40, 0, 160, 120)
  source = noise(SMALL, SMALL, 3)
  done = own_size.change_of(source, 255 - source, np.ones((SMALL, SMALL), np.float32), box,
                            (LARGE, LARGE))
  pasted, levels = own_size.paste(picture, done)
  assert (levels[:40] == 0).all() and (levels[:, 120:] == 0).all()
  np.testing.assert_array_equal(pasted[:40], picture[:40])
  assert levels[40, 20] < 20 and levels[100, 118] < 40
  assert levels[-1, 20] == 255 and levels[100, 0] == 255 and levels[100, 50] == 255


def test_strips_give_the_same_picture(monkeypatch):
  picture = noise(LARGE, LARGE, 3)
  mask = reduced(slanted(0.4))
  done = dataclasses.replace(change(picture, (9, 9, 9), mask),
                             edges=mask_edges.edges_of(picture, mask, ALL))
  whole = own_size.paste(picture, done)
  monkeypatch.setattr(enlarging, '_STRIP', 7 * LARGE)
  for one, other in zip(own_size.paste(picture, done), whole, strict=True):
    np.testing.assert_array_equal(one, other)
  places = np.zeros((LARGE, LARGE), int)
  for rows, columns in own_size.touched_strips(done, whole=True):
    places[rows, columns] += 1
  assert (places == 1).all()


def test_an_empty_mask_changes_nothing():
  picture = noise(LARGE, LARGE, 3)
  pasted, levels = own_size.paste(picture, change(picture, (9, 9, 9),
                                                  np.zeros((SMALL, SMALL), np.float32)))
  np.testing.assert_array_equal(pasted, picture)
  assert not levels.any()


def test_masks_are_spread_over_their_part():
  mask = np.ones((SMALL, SMALL, 1), np.float32)
  large = enlarging.spread(mask, Box(10, 20, 90, 100), (LARGE, 200))
  assert large.shape == (LARGE, 200, 1) and large.sum() == 80 * 80 * 255
  assert (large[10:90, 20:100] == 255).all()
  grey = enlarging.spread(noise(SMALL, SMALL, 3), Box(0, 0, 9, 9), (20, 20), outside=128)
  assert (grey[9:] == 128).all()


@pytest.mark.parametrize('options', [
    {}, {'crop': 'center:60,50'}, {'crop': 'box:10,20,80,60', 'keep_aspect': True},
    {'keep_aspect': True}, {'load_size': 20}, {'load_size': 20, 'keep_aspect': True},
    {'load_size': 20, 'test_whole': True}, {'image_width': 24, 'keep_aspect': True}])
def test_the_part_that_the_model_sees(options):
  """Ramps show where in the picture each pixel of the model comes from."""
  transform = Transform(image_size=16, resize='area', **options)
  height, width = 96, 120
  y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
  box = Box(*transform.seen(height, width, 'x'))
  rows, columns = transform.shape
  for ramp, first, last, count, axis in ((y / height, box.top, box.bottom, rows, 0),
                                         (x / width, box.left, box.right, columns, 1)):
    fitted = transform.fit(ramp, 'x').mean(axis=1 - axis) * (height, width)[axis]
    centres = first + (np.arange(count) + 0.5) * (last - first) / count
    np.testing.assert_allclose(fitted, centres, atol=0.55)


def test_a_thin_picture_and_one_of_the_models_size():
  transform = Transform(image_size=16, keep_aspect=True)
  top, left, bottom, right = transform.seen(1, 10_000, 'x')
  assert (top, bottom) == (0, 1) and (left + right) / 2 == pytest.approx(5000, abs=1)
  assert right - left == pytest.approx(1)
  assert Transform(image_size=16, crop='center:8').seen(16, 16, 'x') == (0, 0, 16, 16)


def test_regions():
  assert enlarging.region_box((10, 20, 30, 40), (50, 60), 'x') == (10, 20, 30, 40)
  assert enlarging.region_box((0.1, 0, 0.5, 1), (50, 60), 'x') == (5, 0, 25, 60)
  assert enlarging.region_box((0, 0, 1, 1), (50, 60), 'x') == (0, 0, 50, 60)
  for region, message in (((10, 20, 10, 40), 'has no area'), ((0.5, 0.5, 0.5, 1), 'has no area'),
                          ((0, 0, 0.001, 1), 'has no area'), ((5, 5, 51, 50), 'leaves me.png'),
                          ((-1, 0, 5, 5), 'leaves me.png, which is 50 high and 60 wide'),
                          ((0, 0, 5, 61), 'leaves'), ((0, 0, np.nan, 5), 'is not top,left')):
    with pytest.raises(errors.UserError, match=message):
      enlarging.region_box(region, (50, 60), 'me.png')


def test_thin_parts_are_refused():
  enlarging.check_proportions((100, 900), (16, 16), 'x')
  for size in ((1, 10_000), (10_000, 1)):
    with pytest.raises(errors.UserError, match='are too thin for a model of 16x16'):
      enlarging.check_proportions(size, (16, 16), 'x')


@pytest.mark.parametrize('region, message', [
    ((-0.1, 0, 1, 1), 'from 0 to 1'), ((0.1, 0.1, 1.2, 0.9), 'all shares'),
    ((0.4, 0.4, 100, 200), 'all whole pixels')])
def test_a_region_in_two_units_is_said(region, message):
  with pytest.raises(errors.UserError, match=message):
    enlarging.region_box(region, (300, 300), 'me.png')


# Parts that are turned, and several parts.

TURN = np.exp(1j * np.deg2rad(30))
TILTED = Turned(60 + 20j, 80 * TURN, 80j * TURN)


def tilted_levels():
  """Returns 1 inside of TILTED, by its definition, bool [LARGE, LARGE]."""
  y, x = np.mgrid[:LARGE, :LARGE] + 0.5
  place = (x + 1j * y - TILTED.corner) / TURN
  return (place.real > 0) & (place.real < 80) & (place.imag > 0) & (place.imag < 80)


def test_without_a_turn_a_part_is_a_box():
  picture, mask = noise(LARGE, LARGE, 3), reduced(slanted())
  box, part = Box(30, 40, 110, 120), Turned(40 + 30j, 80 + 0j, 80j)
  source = noise(SMALL, SMALL, 3, seed=1)
  results = []
  for place in (box, part):
    done = own_size.change_of(source, 255 - source, mask, place, (LARGE, LARGE))
    done = dataclasses.replace(done, edges=mask_edges.edges_of(picture, mask, place))
    results.append(own_size.paste(picture, done))
  (one, mask_one), (other, mask_other) = results
  assert np.abs(mask_one.astype(int) - mask_other).max() <= 3
  assert np.abs(one.astype(int) - other).mean() < 1


@pytest.mark.parametrize('refine', [False, True])
def test_a_turned_part_is_painted_and_nothing_else(refine):
  picture = noise(LARGE, LARGE, 3)
  mask = np.ones((SMALL, SMALL), np.float32)
  source = np.zeros((SMALL, SMALL, 3), np.uint8)
  done = own_size.change_of(source, source + 200, mask, TILTED, (LARGE, LARGE))
  if refine:
    done = dataclasses.replace(done, edges=mask_edges.edges_of(picture, mask, TILTED))
  pasted, levels = own_size.paste(picture, done)
  inside = tilted_levels()
  assert not levels[~inside].any()
  np.testing.assert_array_equal(pasted[levels == 0], picture[levels == 0])
  middle = enlarging.fade(TILTED, slice(0, LARGE), slice(0, LARGE), (LARGE, LARGE), (8, 8)) == 1
  assert middle.sum() > 3000 and (levels[middle] == 255).all()
  np.testing.assert_array_equal(pasted[middle], 200)


def test_a_turn_is_undone():
  """What the model paints upright stands in the picture as the part is turned."""
  picture = np.full((LARGE, LARGE, 3), 50, np.uint8)
  mask = np.zeros((SMALL, SMALL), np.float32)
  mask[4:6, 2:14] = 1  # a bar from left to right
  source = np.full((SMALL, SMALL, 3), 50, np.uint8)
  image = np.where(mask[..., None] > 0, 250, source).astype(np.uint8)
  done = own_size.change_of(source, image, mask, TILTED, (LARGE, LARGE))
  pasted, _ = own_size.paste(picture, done)
  y, x = np.nonzero(pasted[..., 0] > 150)
  (along, across), axes = np.linalg.eigh(np.cov(x, y))[0][::-1], np.linalg.eigh(np.cov(x, y))[1]
  angle = np.degrees(np.arctan2(*axes[::-1, 1])) % 180
  assert angle == pytest.approx(30, abs=2) and along > 10 * across
  centre = TILTED.corner + 40 * TURN + 25j * TURN
  assert x.mean() + 0.5 == pytest.approx(centre.real, abs=1)
  assert y.mean() + 0.5 == pytest.approx(centre.imag, abs=1)


def test_masks_are_spread_over_a_turned_part():
  mask = np.ones((SMALL, SMALL, 1), np.float32)
  large = enlarging.spread(mask, TILTED, (LARGE, LARGE))[..., 0]
  inside = tilted_levels()
  assert (large[~inside] == 0).all() and (large[inside] > 0).mean() > 0.99
  grey = enlarging.spread(noise(SMALL, SMALL, 3), TILTED, (LARGE, LARGE), outside=128)
  assert (grey[~inside] == 128).all()


def test_strips_of_a_turned_part_give_the_same_picture(monkeypatch):
  picture, mask = noise(LARGE, LARGE, 3), reduced(slanted())
  source = reduced(picture)
  done = own_size.change_of(source, 255 - source, mask, TILTED, (LARGE, LARGE))
  done = dataclasses.replace(done, edges=mask_edges.edges_of(picture, mask, TILTED))
  whole = own_size.paste(picture, done)
  monkeypatch.setattr(enlarging, '_STRIP', 7 * LARGE)
  for one, other in zip(own_size.paste(picture, done), whole, strict=True):
    assert np.abs(one.astype(int) - other).max() <= 1


def test_several_changes_and_where_they_meet():
  picture = np.zeros((LARGE, LARGE, 3), np.uint8)
  source = np.zeros((SMALL, SMALL, 3), np.uint8)
  half = np.full((SMALL, SMALL), 0.5, np.float32)
  changes = []
  for box, level in ((Box(0, 0, 100, 100), 200), (Box(60, 60, 160, 160), 100)):
    image = np.rint(source + 0.5 * level).astype(np.uint8)
    changes.append(own_size.change_of(source, image, half, box, (LARGE, LARGE)))
  pasted, levels = own_size.paste_all(picture, changes)
  assert abs(int(pasted[20, 20, 0]) - 100) <= 1 and abs(int(pasted[140, 140, 0]) - 50) <= 1
  # In the middle of both the second lies on top of the first.
  assert abs(int(pasted[79, 79, 0]) - (0.5 * 100 + 0.5 * 100)) <= 3
  assert abs(int(levels[79, 79]) - 0.75 * 255) <= 3
  assert (levels[20, 130], levels[130, 20]) == (0, 0)
  share = enlarging.overlap(Box(0, 0, 100, 100), Box(60, 60, 160, 160))
  assert share == pytest.approx(0.16, abs=0.02)
  assert enlarging.overlap(Box(0, 0, 10, 10), TILTED) == 0
