"""The parts of EGSC-IT: TensorFlow's convolutions, AdaIN, perceptual losses, least squares."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.comparing import both_forms, close
from maskgan_jax.losses import adversarial, reconstruction
from maskgan_jax.networks import discriminators, layers, normalization, strided_kernels


def normal(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('padding', ['constant', 'reflect'])
def test_3x3_convolution_with_stride_2(torch, padding):
  x, kernel = normal(2, 6, 8, 3), normal(3, 3, 3, 5, seed=1)
  images = torch.nn.functional.pad(torch.tensor(x).permute(0, 3, 1, 2), (1, 1, 1, 1), mode=padding)
  expected = torch.nn.functional.conv2d(images, torch.tensor(kernel).permute(3, 2, 0, 1), stride=2)
  (one, slopes), (other, other_slopes) = both_forms(
      lambda x, kernel: strided_kernels.conv3x3_stride2(x, kernel, padding), x, kernel)
  close(one, expected.permute(0, 2, 3, 1).numpy())
  close(other, one)
  jax.tree.map(lambda a, b: close(a, b, rtol=1e-4), slopes, other_slopes)


def test_transposed_3x3_convolution_with_stride_2(torch):
  x, kernel = normal(2, 3, 4, 5), normal(3, 3, 5, 2, seed=1)
  whole = torch.nn.functional.conv_transpose2d(
      torch.tensor(x).permute(0, 3, 1, 2), torch.tensor(kernel).permute(2, 3, 0, 1), stride=2)
  expected = whole[:, :, :-1, :-1].permute(0, 2, 3, 1).numpy()  # TensorFlow's SAME drops the last
  (one, slopes), (other, other_slopes) = both_forms(
      strided_kernels.conv3x3_stride2_transposed, x, kernel)
  assert one.shape == (2, 6, 8, 2)
  close(one, expected)
  close(other, one)
  jax.tree.map(lambda a, b: close(a, b, rtol=1e-4), slopes, other_slopes)


@pytest.mark.parametrize('height, width', [(7, 8), (5, 3), (1, 1)])
def test_an_odd_side_is_padded_at_its_end(torch, height, width):
  x = normal(2, height, width, 3)
  layer = layers.DownConv(4)
  params = layer.init(jax.random.key(0), x)
  kernel, bias = (np.array(params['params'][name]) for name in ('kernel', 'bias'))
  images = torch.nn.functional.pad(torch.tensor(x).permute(0, 3, 1, 2),
                                   (1, 1 + width % 2, 1, 1 + height % 2))
  expected = torch.nn.functional.conv2d(images, torch.tensor(kernel).permute(3, 2, 0, 1),
                                        torch.tensor(bias), stride=2)
  close(layer.apply(params, x), expected.permute(0, 2, 3, 1).numpy())


@pytest.mark.slow
def test_the_discriminators_scores_of_28x28_are_2x2():
  network = discriminators.PatchDiscriminator(2, 4)
  scores, _ = network.init_with_output(jax.random.key(0), normal(3, 28, 28, 3))
  assert scores.shape == (3, 2, 2, 1)


def test_moments_of_a_region_are_those_of_its_pixels():
  x = normal(2, 4, 6, 3)
  weight = np.zeros((2, 4, 6, 1), np.float32)
  weight[0, :2], weight[1, :, 3:] = 1, 0.5
  mean, var = normalization.moments(x, weight)
  for i, region in enumerate((x[0, :2], x[1, :, 3:])):
    close(mean[i], region.mean((0, 1)))
    close(var[i], region.var((0, 1)))
  whole = normalization.moments(x)
  jax.tree.map(close, normalization.moments(x, np.ones_like(weight)), whole)
  mean, var = normalization.moments(x, np.zeros_like(weight))
  assert not mean.any() and not var.any()


def test_adain_gives_the_styles_moments(torch):
  content, style = normal(2, 5, 7, 3), 2 + 3 * normal(2, 4, 4, 3, seed=1)
  result = normalization.adain(content, normalization.moments(style), epsilon=0.0)
  mean, var = normalization.moments(result)
  close(mean, style.mean((1, 2)))
  close(var, style.var((1, 2)), rtol=1e-4)
  normed = torch.nn.functional.instance_norm(torch.tensor(content).permute(0, 3, 1, 2), eps=1e-5)
  mean, deviation = style.mean((1, 2)), np.sqrt(style.var((1, 2)) + 1e-5)
  expected = (normed.permute(0, 2, 3, 1).numpy() * deviation[:, None, None] + mean[:, None, None])
  close(normalization.adain(content, normalization.moments(style)), expected, rtol=1e-4)


@pytest.mark.parametrize('swapped', [False, True])
def test_adain_with_variances_is_the_equation(swapped):
  content, style = normal(2, 5, 7, 3), 2 + 3 * normal(2, 4, 4, 3, seed=1)
  gamma, beta = style.var((1, 2)), style.mean((1, 2))  # eq. 1
  if swapped:
    gamma, beta = beta, gamma
  expected = np.stack([
      gamma[i] * (content[i] - content[i].mean((0, 1))) / (content[i].var((0, 1)) + 0.25) + beta[i]
      for i in range(2)])  # eq. 2
  result = normalization.adain(content, normalization.moments(style), swapped=swapped,
                               spread='variance', epsilon=0.25)
  close(result, expected, rtol=1e-4)


@pytest.mark.parametrize('spread', ['variance', 'deviation'])
def test_adain_of_what_is_constant_is_finite(spread):
  constant, style = np.full((1, 4, 4, 2), 3, np.float32), np.ones((1, 4, 4, 2), np.float32)

  def loss(content, style):
    return normalization.adain(content, normalization.moments(style), spread=spread).sum()
  close(loss(constant, style), 32.0)  # beta
  for gradient in jax.grad(loss, (0, 1))(constant, style):
    assert np.isfinite(gradient).all()


def test_normalized_features_have_length_one():
  x = normal(2, 3, 4, 5)
  x[1, :, :, 2] = 0
  result = np.array(reconstruction.unit_length(x))
  lengths = np.sqrt((result ** 2).sum((1, 2)))
  expected = np.ones((2, 5))
  expected[1, 2] = 0
  close(lengths, expected)
  assert np.isfinite(jax.grad(lambda x: reconstruction.unit_length(x).sum())(x)).all()


def test_perceptual_losses_are_their_equations():
  features = [normal(2, 4, 4, 3), normal(2, 2, 2, 5, seed=1)]
  targets = [normal(2, 4, 4, 3, seed=2), normal(2, 2, 2, 5, seed=3)]
  pairs = list(zip(features, targets, strict=True))
  content = 0.5 * np.abs(features[0] - targets[0]).mean() + np.abs(features[1] - targets[1]).mean()
  close(reconstruction.content(features, targets), content)

  def gram(x):
    result = np.zeros((len(x), x.shape[-1], x.shape[-1]))
    for b, image in enumerate(x):
      for pixel in image.reshape(-1, x.shape[-1]):
        result[b] += np.outer(pixel, pixel)
    return result / (x.shape[1] * x.shape[2])
  close(reconstruction.style(features, targets),
        sum(np.abs(gram(x) - gram(y)).mean() for x, y in pairs))
  close(reconstruction.gram(features[0]), gram(features[0]))


def test_least_squares():
  close(adversarial.least_squares(jnp.array([[0.0], [3.0]]), 1), (1 + 4) / 2)
