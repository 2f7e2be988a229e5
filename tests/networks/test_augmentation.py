"""Differentiable augmentation against a plain computation with NumPy, and its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskgan_jax.networks import augmentation
from maskgan_jax.networks.augmentation import Augmentation, KINDS

_SHAPES = [(5, 16, 16, 3), (4, 9, 14, 3), (3, 8, 8, 1)]


def pictures(shape, seed=0):
  return np.random.default_rng(seed).uniform(-1, 1, shape)


def uniforms(count, seed=1):
  return np.random.default_rng(seed).uniform(0, 1, (count, augmentation.NUM_UNIFORMS))


def plain(image, u, kinds):
  """Returns a changed picture [H, W, C], float64, a pixel at a time."""
  height, width, _ = image.shape
  if 'color' in kinds:
    image = image + (u[0] - 0.5)
    grey = image.mean(axis=-1, keepdims=True)
    image = (image - grey) * (2 * u[1]) + grey
    image = (image - image.mean()) * (u[2] + 0.5) + image.mean()
  if 'translation' in kinds:
    reach_y, reach_x = (height + 4) // 8, (width + 4) // 8
    down = reach_y - int(u[3] * (2 * reach_y + 1))
    right = reach_x - int(u[4] * (2 * reach_x + 1))
    moved = np.zeros_like(image)
    for y, x in np.ndindex(height, width):
      if 0 <= y - down < height and 0 <= x - right < width:
        moved[y, x] = image[y - down, x - right]
    image = moved
  if 'cutout' in kinds:
    image = image.copy()
    tall, wide = (height + 1) // 2, (width + 1) // 2
    top = int(u[5] * (height + (tall + 1) % 2)) - tall // 2
    left = int(u[6] * (width + (wide + 1) % 2)) - wide // 2
    image[max(top, 0):max(top + tall, 0), max(left, 0):max(left + wide, 0)] = 0
  return image


@pytest.mark.parametrize('kinds', [('color',), ('translation',), ('cutout',), KINDS])
@pytest.mark.parametrize('shape', _SHAPES)
def test_equals_a_plain_computation(shape, kinds):
  for seed in range(3):
    images, draws = pictures(shape, seed), uniforms(len(pictures(shape)), seed)
    expected = [plain(*pair, kinds) for pair in zip(images, draws, strict=True)]
    changed = augmentation.augment(jnp.float32(images), jnp.float32(draws), kinds)
    np.testing.assert_allclose(changed, expected, atol=2e-6)


def test_ends_of_the_ranges():
  image = np.ones((1, 16, 16, 3), np.float32)
  for value in (0.0, np.nextafter(np.float32(1), np.float32(0))):
    draws = np.full((1, augmentation.NUM_UNIFORMS), value, np.float32)
    moved = np.asarray(augmentation.augment(image, draws, ('translation',)))[0, ..., 0]
    assert moved.sum() == 14 * 14  # by two pixels in both directions
    assert moved[-1, -1] == (value == 0) or moved[0, 0] == (value > 0)
    cut = np.asarray(augmentation.augment(image, draws, ('cutout',)))[0, ..., 0]
    assert 256 - cut.sum() in (16, 25)  # a quarter of the square, around a corner


def test_gradients_flow_through_everything():
  """The changes are linear in a picture, so that differences of values are exact gradients."""
  images = np.float32(pictures((2, 8, 8, 3)))
  draws, weights = np.float32(uniforms(2)), np.float32(pictures((2, 8, 8, 3), 5))

  def total(images):
    return (weights * augmentation.augment(images, draws, KINDS)).sum()

  gradient = np.asarray(jax.grad(total)(images))
  for seed in range(4):
    direction = pictures(images.shape, 10 + seed)
    pairs = list(zip(images + 0.0, direction, draws, weights, strict=True))
    slope = sum((w * (plain(x + d, u, KINDS) - plain(x - d, u, KINDS))).sum() / 2
                for x, d, u, w in pairs)
    np.testing.assert_allclose((gradient * direction).sum(), slope, rtol=1e-4)
  assert (gradient != 0).mean() > 0.4


def test_off_returns_pictures_and_draws_nothing():
  images = jnp.float32(pictures((2, 8, 8, 3)))
  assert Augmentation()(None, images) is images


def test_each_picture_has_changes_of_its_own_that_follow_the_key():
  images, key = jnp.ones((6, 16, 16, 3)), jax.random.key(3)
  augment = Augmentation(('translation', 'cutout'))
  changed = np.asarray(augment(key, images))
  assert len({image.tobytes() for image in changed}) > 3
  np.testing.assert_array_equal(changed, augment(key, images))
  assert (changed != np.asarray(augment(key, images, number=1))).any()
  assert (changed != np.asarray(augment(jax.random.key(4), images))).any()
