"""How alike two pictures are: PSNR and SSIM, one number an image, in float64 on the host."""

import numpy as np

# What `skimage.metrics.structural_similarity(x, y, channel_axis=-1, data_range=255)` computes.
SCIKIT_IMAGE = dict(window=7, uniform=True, sample_covariance=True)


def psnr(
  x: np.ndarray, y: np.ndarray, *, data_range: float = 255.0, cap: float = 100.0
) -> np.ndarray:
  """Returns the peak signal-to-noise ratio in dB, [B], over all pixels and channels.

  Args:
    x: [B, H, W, C].
    y: the same.
    data_range: between the least and the greatest value that a pixel can have.
    cap: the most that is returned: for equal images, and so for any mean over one of them, it would
      be infinite.
  """
  difference = x.astype(np.float64) - y.astype(np.float64)
  squared = np.square(difference).mean(axis=(1, 2, 3))
  with np.errstate(divide='ignore'):
    return np.minimum(10 * np.log10(data_range**2 / squared), cap)


def ssim(
  x: np.ndarray,
  y: np.ndarray,
  *,
  data_range: float = 255.0,
  window: int = 11,
  sigma: float = 1.5,
  uniform: bool = False,
  sample_covariance: bool = False,
  k1: float = 0.01,
  k2: float = 0.03,
) -> np.ndarray:
  """Returns structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004), [B], over channels.

  Over the positions where the whole window lies inside the image; by default with biased
  (co)variances, as in the paper. scikit-image: structural_similarity(gaussian_weights=True,
  sigma=1.5, use_sample_covariance=False). Its own defaults are `SCIKIT_IMAGE`.

  Args:
    x: [B, H, W, C].
    y: the same.
    data_range: between the least and the greatest value that a pixel can have.
    window: side of the window; the largest odd number that fits in smaller images.
    sigma: of the Gaussian, in pixels.
    uniform: a window of equal weights in place of the Gaussian.
    sample_covariance: divide (co)variances by one less than the pixels of the window.
    k1: of the constant in the luminance term.
    k2: of the constant in the contrast and structure term.
  """
  # The window is odd, and fits into the shorter side.
  shorter = min(x.shape[1:3])
  window = min(window, shorter - 1 + shorter % 2)
  blur = _window_means(x.shape[1:3], window, None if uniform else sigma)
  scale = window**2 / max(window**2 - 1, 1) if sample_covariance else 1.0
  constants = (k1 * data_range) ** 2, (k2 * data_range) ** 2
  x, y = x.astype(np.float64), y.astype(np.float64)
  return _similarity_map(x, y, blur, scale, constants).mean(axis=(1, 2, 3))


def _similarity_map(x, y, blur, scale, constants):
  """Returns the similarity at every position of the window."""
  mean_x, mean_y = blur(x), blur(y)
  var_x = scale * (blur(x * x) - mean_x**2)
  var_y = scale * (blur(y * y) - mean_y**2)
  covariance = scale * (blur(x * y) - mean_x * mean_y)

  # The constants keep the quotient finite where pictures are black or flat.
  c1, c2 = constants
  return (
    (2 * mean_x * mean_y + c1)
    * (2 * covariance + c2)
    / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
  )


def _window_means(shape: tuple[int, int], window: int, sigma: float | None):
  """Returns a function that blurs images of a shape; without `sigma`, weights are equal."""
  if sigma is None:

    def blur(image):
      return _box_sums(_box_sums(image, window, 1), window, 2) / window**2

    return blur
  rows = _gaussian_rows(shape[0], window, sigma)
  columns = _gaussian_rows(shape[1], window, sigma)

  def blur(image):
    return np.moveaxis(rows @ np.moveaxis(image, -1, 1) @ columns.T, 1, -1)

  return blur


def _box_sums(images: np.ndarray, window: int, axis: int) -> np.ndarray:
  """Returns sums over `window` neighbours along an axis, where the window fits."""
  # Shifted views are added up, which needs no loop over pixels.
  count = images.shape[axis] - window + 1
  parts = [
    images[(slice(None),) * axis + (slice(i, i + count),)] for i in range(window)
  ]
  sums = parts[0].copy()
  for part in parts[1:]:
    sums += part
  return sums


def _gaussian_rows(size: int, window: int, sigma: float) -> np.ndarray:
  """Returns [size - window + 1, size]: times a column, its Gaussian means inside the window."""
  offsets = np.arange(window) - window // 2
  weights = np.exp(-0.5 * np.square(offsets / sigma))
  matrix = np.zeros((size - window + 1, size))
  for i in range(len(matrix)):
    matrix[i, i : i + window] = weights / weights.sum()
  return matrix
