"""Means over time of what a model does to the frames of a clip."""

import numpy as np
import pytest

from maskgan_jax.translator import over_time, own_size
from maskgan_jax.translator.enlarging import Box
from maskgan_jax.translator.over_time import Moment

SIDE = 12


def moment(level, mask, paint=0.5, source=None):
  """Returns a moment of one level, with a mask and paint that are flat or arrays."""
  flat = np.full((SIDE, SIDE, 3), level, np.uint8)
  mask = np.full((SIDE, SIDE), mask, np.float32) if np.isscalar(mask) else mask
  change = own_size.Change(Box(0, 0, SIDE, SIDE), (SIDE, SIDE), mask,
                           paint=np.full((SIDE, SIDE, 3), paint, np.float32))
  return Moment(flat if source is None else source, change)


def test_windows_hold_each_item_and_its_neighbours():
  for count in range(6):
    for reach in range(4):
      seen = list(over_time.windows(range(count), reach))
      assert [window[centre] for window, centre in seen] == list(range(count))
      for number, (window, _) in enumerate(seen):
        assert window == list(range(max(0, number - reach), min(count, number + reach + 1)))


def test_windows_ask_for_no_more_than_they_need():
  taken = []

  def items():
    for number in range(100):
      taken.append(number)
      yield number
  windows = over_time.windows(items(), 3)
  next(windows)
  assert taken == [0, 1, 2, 3]


def test_a_still_picture_gets_the_gaussian_mean():
  rng = np.random.default_rng(0)
  masks = rng.random((5, SIDE, SIDE)).astype(np.float32)
  moments = [moment(90, mask) for mask in masks]
  weights = np.exp(-0.5 * ((np.arange(5) - 2) / 1.5) ** 2)
  want = np.tensordot(weights / weights.sum(), masks, 1)
  result = over_time.steadied(moments, 2, 1.5)
  np.testing.assert_allclose(result.mask, want, rtol=1e-5)
  np.testing.assert_allclose(result.paint, 0.5, rtol=1e-5)


def test_paint_counts_as_far_as_there_is_some():
  moments = [moment(90, 0.0, paint=1.0), moment(90, 0.9, paint=0.2)]
  result = over_time.steadied(moments, 0, 1.0)
  np.testing.assert_allclose(result.paint, 0.2, atol=0.01)
  assert 0.2 < result.mask[0, 0] < 0.5


def test_what_shows_something_else_does_not_count():
  moments = [moment(30, 1.0), moment(200, 0.0), moment(30, 1.0)]
  np.testing.assert_allclose(over_time.steadied(moments, 1, 2.0).mask, 0, atol=1e-6)
  # Where one half stays, only that is averaged.
  half = np.full((SIDE, SIDE, 3), 200, np.uint8)
  half[:, :6] = 30
  mixed = [moment(30, 1.0), moment(0, 0.0, source=half), moment(30, 1.0)]
  mask = over_time.steadied(mixed, 1, 2.0).mask
  assert mask[:, :4].min() > 0.5 and mask[:, 8:].max() < 1e-3


def test_noise_is_not_taken_for_something_else():
  rng = np.random.default_rng(0)
  moments = []
  for number in range(9):
    noisy = np.clip(128 + rng.normal(size=(SIDE, SIDE, 3)) * 4, 0, 255).astype(np.uint8)
    moments.append(moment(0, number % 2, source=noisy))
  mask = over_time.steadied(moments, 4, 2.0).mask
  assert np.abs(mask - 0.5).max() < 0.1


def test_differences_are_means_too():
  changes = []
  for value in (0.0, 0.5):
    source = np.full((SIDE, SIDE, 3), 100, np.uint8)
    image = source + np.uint8(100 * value)
    changes.append(Moment(source, own_size.change_of(
        source, image, None, Box(0, 0, SIDE, SIDE), (SIDE, SIDE))))
  result = over_time.steadied(changes, 0, 100.0)
  assert result.paint is None
  np.testing.assert_allclose(result.difference, 25 / 255, atol=1e-3)
  np.testing.assert_allclose(result.mask, 25 / 255, atol=1e-3)


@pytest.mark.parametrize('deviation, reach', [(0, 0), (1, 2), (1.2, 3), (2, 4)])
def test_reach(deviation, reach):
  assert over_time.reach(deviation) == reach
