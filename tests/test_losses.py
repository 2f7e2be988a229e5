"""Losses and mask statistics against their equations, computed another way."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskgan_jax.losses import adversarial, reconstruction
from maskgan_jax.networks import masks


def normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('target', [0.0, 1.0, 0.3])
def test_binary_cross_entropy_equals_its_equation(target):
  logits = 3 * normal(0, 7)
  expected = []
  for logit in logits.astype(np.float64):
    p = 1 / (1 + math.exp(-logit))
    expected.append(-(target * math.log(p) + (1 - target) * math.log(1 - p)))
  assert float(adversarial.binary_cross_entropy(logits, target)) == pytest.approx(
      sum(expected) / 7, rel=1e-5)


@pytest.mark.parametrize('target', [0.0, 1.0])
def test_binary_cross_entropy_equals_pytorch_with_gradient(target):
  torch = pytest.importorskip('torch')
  logits = 5 * normal(1, 9)
  value, gradient = jax.value_and_grad(adversarial.binary_cross_entropy)(logits, target)
  leaf = torch.tensor(logits, requires_grad=True)
  p = torch.sigmoid(leaf)
  expected = torch.nn.functional.binary_cross_entropy(p, torch.full_like(p, target))
  expected.backward()
  assert float(value) == pytest.approx(expected.item(), rel=1e-5)
  np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('logit, target, loss, slope', [
    (100.0, 1.0, 0.0, 0.0), (100.0, 0.0, 100.0, 1.0), (-100.0, 0.0, 0.0, 0.0),
    (-100.0, 1.0, 100.0, -1.0), (0.0, 1.0, math.log(2), -0.5)])
def test_binary_cross_entropy_of_extreme_logits(logit, target, loss, slope):
  value, gradient = jax.value_and_grad(adversarial.binary_cross_entropy)(
      jnp.full(3, logit), target)
  assert float(value) == pytest.approx(loss, abs=1e-6)
  np.testing.assert_allclose(gradient, slope / 3, atol=1e-6)


def test_binary_cross_entropy_of_bfloat16_is_computed_in_float32():
  logits = jnp.asarray(normal(2, 64), jnp.bfloat16)
  value = adversarial.binary_cross_entropy(logits, 1.0)
  assert value.dtype == jnp.float32
  exact = adversarial.binary_cross_entropy(logits.astype(jnp.float32), 1.0)
  assert float(value) == float(exact)


@pytest.mark.parametrize('norm, distance', [(reconstruction.l1, abs),
                                            (reconstruction.l2, lambda x: x * x)])
def test_reconstruction_equals_its_equation(norm, distance):
  x, y = normal(0, 2, 3, 4, 3), normal(1, 2, 3, 4, 3)
  expected = math.fsum(distance(float(p) - float(q)) for p, q in zip(x.flat, y.flat, strict=True))
  assert float(norm(x, y)) == pytest.approx(expected / x.size, rel=1e-5)
  assert float(norm(y, x)) == pytest.approx(expected / x.size, rel=1e-5)
  assert float(norm(x, x)) == 0


@pytest.mark.parametrize('norm', [reconstruction.l1, reconstruction.l2])
def test_reconstruction_equals_pytorch_with_gradients(norm):
  torch = pytest.importorskip('torch')
  x, y = normal(0, 2, 3, 4, 3), normal(1, 2, 3, 4, 3)
  leaves = [torch.tensor(v, requires_grad=True) for v in (x, y)]
  theirs = {'l1': torch.nn.functional.l1_loss, 'l2': torch.nn.functional.mse_loss}[norm.__name__]
  expected = theirs(*leaves)
  expected.backward()
  value, gradients = jax.value_and_grad(norm, argnums=(0, 1))(x, y)
  assert float(value) == pytest.approx(expected.item(), rel=1e-5)
  for ours, leaf in zip(gradients, leaves, strict=True):
    np.testing.assert_allclose(ours, leaf.grad.numpy(), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize('norm', [reconstruction.l1, reconstruction.l2])
def test_reconstruction_of_bfloat16_is_computed_in_float32(norm):
  x, y = (jnp.asarray(normal(seed, 8, 16, 16, 3), jnp.bfloat16) for seed in (0, 1))
  value = norm(x, y)
  assert value.dtype == jnp.float32
  exact = norm(x.astype(jnp.float32), y.astype(jnp.float32))
  assert float(value) == pytest.approx(float(exact), rel=1e-6)


@pytest.mark.parametrize('norm', [reconstruction.l1, reconstruction.l2])
def test_reconstruction_has_finite_gradient_at_zero_distance(norm):
  x = jnp.asarray(normal(0, 2, 3, 3, 3))
  assert np.array_equal(jax.grad(norm)(x, x), np.zeros_like(x))


def test_composite_equals_its_equation():
  mask = np.random.default_rng(0).uniform(size=(2, 3, 4, 1)).astype(np.float32)
  foreground, background = normal(1, 2, 3, 4, 3), normal(2, 2, 3, 4, 3)
  ours = masks.composite(mask, foreground, background)
  for i in np.ndindex(2, 3, 4, 3):
    m = mask[i[:3]][0]
    assert float(ours[i]) == pytest.approx(m * foreground[i] + (1 - m) * background[i], abs=1e-6)
  assert np.array_equal(masks.composite(np.ones_like(mask), foreground, background), foreground)
  assert np.array_equal(masks.composite(np.zeros_like(mask), foreground, background), background)


def test_mask_statistics_equal_their_definitions():
  mask = np.random.default_rng(0).uniform(size=(2, 3, 4, 1)).astype(np.float32)
  entropy = [-(p * math.log2(p) + (1 - p) * math.log2(1 - p)) for p in map(float, mask.flat)]
  statistics = masks.statistics(mask)
  assert float(statistics['mask_mean']) == pytest.approx(mask.mean(), rel=1e-5)
  assert float(statistics['mask_over_half']) == pytest.approx(
      sum(p > 0.5 for p in mask.flat) / mask.size)
  assert float(statistics['mask_entropy']) == pytest.approx(sum(entropy) / mask.size, rel=1e-4)


@pytest.mark.parametrize('value, mean, over_half, entropy', [
    (0.0, 0, 0, 0), (1.0, 1, 1, 0), (0.5, 0.5, 0, 1)])
def test_mask_statistics_of_collapsed_masks(value, mean, over_half, entropy):
  for dtype in (jnp.float32, jnp.bfloat16):
    statistics = masks.statistics(jnp.full((2, 4, 4, 1), value, dtype))
    assert {v.dtype for v in statistics.values()} == {jnp.dtype(jnp.float32)}
    assert float(statistics['mask_mean']) == pytest.approx(mean, abs=1e-6)
    assert float(statistics['mask_over_half']) == over_half
    assert float(statistics['mask_entropy']) == pytest.approx(entropy, abs=1e-4)
