"""Losses of given masks against their equations, pixel by pixel in float64, with gradients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskgan_jax.losses import mask_supervision

_SHAPE = (3, 4, 5, 1)


def uniform(seed, *shape, low=0.02, high=0.98):
  return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def entropy_by_hand(mask, truth, weight):
  """Returns the loss and its gradient for the mask, one pixel after another."""
  total, gradient = 0.0, np.zeros(mask.shape)
  for i, *place in np.ndindex(mask.shape):
    m, t = float(mask[(i, *place)]), float(truth[(i, *place)])
    scale = float(weight[i]) / mask.size
    total -= scale * (t * math.log(m) + (1 - t) * math.log(1 - m))
    gradient[(i, *place)] = -scale * (t / m - (1 - t) / (1 - m))
  return total, gradient


@pytest.mark.parametrize('weight', [(1, 1, 1), (0, 3, 0), (1.5, 0, 1.5), (0, 0, 0)])
def test_agreement_equals_its_equation_with_gradient(weight):
  mask, truth = uniform(0, *_SHAPE), uniform(1, *_SHAPE, low=0, high=1)
  value, gradient = jax.value_and_grad(mask_supervision.agreement)(
      mask, truth, np.float32(weight))
  expected, expected_gradient = entropy_by_hand(mask, truth, weight)
  assert float(value) == pytest.approx(expected, rel=1e-5, abs=1e-9)
  np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-8)


def test_agreement_of_masks_that_are_right_and_wrong_through_and_through():
  truth = np.float32([0, 1, 0, 1]).reshape(1, 2, 2, 1)
  weight = np.ones(1, np.float32)
  assert float(mask_supervision.agreement(truth, truth, weight)) == pytest.approx(1e-6, rel=0.1)
  wrong, gradient = jax.value_and_grad(mask_supervision.agreement)(1 - truth, truth, weight)
  assert float(wrong) == pytest.approx(-math.log(1e-6), rel=0.01)
  assert np.isfinite(gradient).all()


def test_outside_equals_its_equation_with_gradient():
  source, image = (uniform(seed, 3, 4, 5, 2, low=-1, high=1) for seed in (2, 3))
  image[0, 0, 0] = source[0, 0, 0]  # nothing has changed there
  truth, weight = uniform(4, *_SHAPE, low=0, high=1), np.float32([2, 0, 1])
  truth[2] = 1  # everything may change there
  total, expected = 0.0, np.zeros(image.shape)
  for i, y, x, c in np.ndindex(image.shape):
    change = float(image[i, y, x, c]) - float(source[i, y, x, c])
    scale = float(weight[i]) * (1 - float(truth[i, y, x, 0])) / image.size
    total += scale * abs(change)
    expected[i, y, x, c] = scale * np.sign(change)
  value, gradient = jax.value_and_grad(mask_supervision.outside)(image, source, truth, weight)
  assert float(value) == pytest.approx(total, rel=1e-5)
  np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-9)
  assert not gradient[1].any() and not gradient[2].any() and not gradient[0, 0, 0].any()


def test_bfloat16_is_computed_in_float32():
  mask = jnp.asarray(uniform(5, *_SHAPE), jnp.bfloat16)
  image = jnp.asarray(uniform(6, 3, 4, 5, 3), jnp.bfloat16)
  truth, weight = uniform(7, *_SHAPE), np.ones(3, np.float32)
  assert mask_supervision.agreement(mask, truth, weight).dtype == jnp.float32
  value = mask_supervision.outside(image, 0 * image, truth, weight)
  exact = mask_supervision.outside(image.astype(jnp.float32), jnp.zeros(image.shape), truth, weight)
  assert float(value) == float(exact)
