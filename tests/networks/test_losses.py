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


@pytest.mark.parametrize('spread', [2, 200])
def test_multi_label_cross_entropy_equals_pytorch_with_gradient(torch, spread):
  logits = spread * normal(3, 5, 4)
  labels = (normal(4, 5, 4) > 0).astype(np.float32)
  value, gradient = jax.value_and_grad(adversarial.multi_label_cross_entropy)(logits, labels)
  leaf = torch.tensor(logits, requires_grad=True)
  expected = torch.nn.functional.binary_cross_entropy_with_logits(
      leaf, torch.tensor(labels), reduction='sum') / 5
  expected.backward()
  assert float(value) == pytest.approx(expected.item(), rel=1e-5)
  np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-5, atol=1e-7)


def test_multi_label_cross_entropy_of_bfloat16_is_computed_in_float32():
  logits = jnp.asarray(normal(5, 64, 3), jnp.bfloat16)
  labels = jnp.asarray(normal(6, 64, 3) > 0)
  value = adversarial.multi_label_cross_entropy(logits, labels)
  assert value.dtype == jnp.float32
  exact = adversarial.multi_label_cross_entropy(logits.astype(jnp.float32), labels)
  assert float(value) == float(exact)


def patch_critic(weights, images):
  """Two convolutions that map images of 8x8 to [B, 2, 2, 1]."""
  for i, w in enumerate(weights):
    images = jax.lax.conv_general_dilated(images, w, (2, 2), 'VALID' if i else [(1, 1), (1, 1)],
                                          dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
    images = images if i else jax.nn.leaky_relu(images, 0.01)
  return images


def patch_critic_weights():
  return [normal(7, 4, 4, 3, 5) / 3, normal(8, 2, 2, 5, 1) / 2]


def test_gradient_penalty_equals_pytorchs_double_backward(torch):
  weights, images = patch_critic_weights(), normal(9, 3, 8, 8, 3)
  value, gradients = jax.jit(jax.value_and_grad(
      lambda weights, x: adversarial.unit_slope(lambda x: patch_critic(weights, x), x)))(
          weights, images)
  leaves = [torch.tensor(w.transpose(3, 2, 0, 1).copy(), requires_grad=True) for w in weights]
  x = torch.tensor(images.transpose(0, 3, 1, 2).copy(), requires_grad=True)
  hidden = torch.nn.functional.leaky_relu(
      torch.nn.functional.conv2d(x, leaves[0], stride=2, padding=1), 0.01)
  scores = torch.nn.functional.conv2d(hidden, leaves[1], stride=2)
  assert scores.shape == (3, 1, 2, 2)
  slope, = torch.autograd.grad(scores.sum(), x, create_graph=True)
  expected = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
  expected.backward()
  assert float(value) == pytest.approx(expected.item(), rel=1e-5)
  for ours, leaf in zip(gradients, leaves, strict=True):
    theirs = leaf.grad.numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


def test_gradient_penalty_of_a_linear_critic_is_that_of_its_weights():
  w = jnp.asarray(normal(10, 4, 4, 3)) / 4

  def penalty(w, outputs):
    def critic(images):
      return jnp.einsum('bhwc,hwc,k->bk', images, w, jnp.ones(outputs))
    return adversarial.gradient_penalty(critic, normal(11, 2, 4, 4, 3), normal(12, 2, 4, 4, 3),
                                      np.array([0.2, 0.9], np.float32).reshape(2, 1, 1, 1))

  norm = float(jnp.sqrt(jnp.square(w).sum()))
  for outputs in (1, 4):  # an example's scores are added up
    value, gradient = jax.value_and_grad(penalty)(w, outputs)
    assert float(value) == pytest.approx((outputs * norm - 1) ** 2, rel=1e-5)
    np.testing.assert_allclose(gradient, 2 * (outputs * norm - 1) * outputs * w / norm, rtol=1e-4)


def test_gradient_penalty_is_taken_between_each_pair():
  real, fake = normal(13, 3, 2, 2, 3), normal(14, 3, 2, 2, 3)
  alpha = np.array([0.0, 0.3, 1.0], np.float32).reshape(3, 1, 1, 1)

  def critic(images):  # its slope is the image itself
    return jnp.square(images).sum((1, 2, 3)) / 2
  points = np.stack([fake[0], 0.3 * real[1] + 0.7 * fake[1], real[2]])
  expected = np.square(np.sqrt(np.square(points).sum((1, 2, 3))) - 1).mean()
  value = adversarial.gradient_penalty(critic, real, fake, alpha)
  assert float(value) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('scale', [0.0, 1e-30])
def test_gradient_penalty_of_a_flat_critic_is_finite(scale):
  weights = [scale * w for w in patch_critic_weights()]
  images = normal(9, 2, 8, 8, 3)
  value, gradients = jax.value_and_grad(
      lambda w: adversarial.unit_slope(lambda x: patch_critic(w, x), images))(weights)
  assert float(value) == pytest.approx(1)
  assert all(np.isfinite(g).all() for g in gradients)


def test_gradient_penalty_of_bfloat16_images_is_computed_in_float32():
  images = jnp.asarray(normal(9, 2, 8, 8, 3), jnp.bfloat16)
  weights = patch_critic_weights()
  value = adversarial.unit_slope(lambda x: patch_critic(weights, x), images)
  assert value.dtype == jnp.float32
  exact = adversarial.unit_slope(lambda x: patch_critic(weights, x), images.astype(jnp.float32))
  assert float(value) == float(exact)


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
