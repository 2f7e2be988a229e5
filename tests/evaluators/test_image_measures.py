"""SSIM and PSNR against scikit-image."""

import numpy as np
import pytest
from skimage import metrics

from helpers.simple_method import pictures
from maskgan_jax.evaluators import _image_measures as image_measures


@pytest.mark.parametrize(('size', 'window'), [((32, 32), 11), ((24, 37), 11), ((11, 11), 11)])
def test_ssim_is_scikit_images(size, window):
  rng = np.random.default_rng(0)
  x = rng.integers(0, 256, (3, *size, 3)).astype(np.uint8)
  y = np.clip(x + rng.normal(0, [[[[5.0]]], [[[40.0]]], [[[0.0]]]], x.shape), 0, 255)
  y = y.astype(np.uint8)
  want = [metrics.structural_similarity(
      x[i], y[i], gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=-1,
      data_range=255) for i in range(3)]
  got = image_measures.ssim(x, y)
  np.testing.assert_allclose(got, want, rtol=1e-7)
  assert got[2] == 1 and got[1] < got[0] < 1


def test_ssim_honours_its_parameters():
  x, y = (pictures(1, seed, 20) / 255 for seed in (0, 1))
  y = 0.7 * x + 0.3 * y
  got = image_measures.ssim(x, y, data_range=1.0, window=7, sigma=0.8, k1=0.02, k2=0.05)
  # truncate: scikit-image makes the window 2 * int(truncate * sigma + 0.5) + 1 wide; here 7
  want = metrics.structural_similarity(
      x[0], y[0], gaussian_weights=True, sigma=0.8, use_sample_covariance=False, channel_axis=-1,
      data_range=1.0, K1=0.02, K2=0.05)
  np.testing.assert_allclose(got, [want], rtol=1e-7)


@pytest.mark.parametrize('size', [1, 2, 8, 9, 10])
def test_ssim_of_images_smaller_than_the_window(size):
  x, y = pictures(2, 0, size), pictures(2, 1, size)
  np.testing.assert_allclose(image_measures.ssim(x, x), 1)
  different = image_measures.ssim(x, y)
  assert (np.abs(different) < 1).all()
  if size == 1:  # one pixel: only the luminance term is left
    a, b = x.astype(float), y.astype(float)
    c = 2.55 ** 2
    np.testing.assert_allclose(
        different, ((2 * a * b + c) / (a * a + b * b + c)).mean(axis=(1, 2, 3)))


def test_psnr_is_scikit_images_and_capped():
  x, y = pictures(3), pictures(3, 1)
  y[1] = x[1]
  y[1, 0, 0, 0] ^= 1  # the least that two pictures can differ
  want = [metrics.peak_signal_noise_ratio(x[i], y[i], data_range=255) for i in range(3)]
  np.testing.assert_allclose(image_measures.psnr(x, y), want, rtol=1e-12)
  np.testing.assert_array_equal(image_measures.psnr(x, x), 100)
  np.testing.assert_allclose(image_measures.psnr(x / 255, y / 255, data_range=1.0), want)
