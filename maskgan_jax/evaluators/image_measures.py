"""How alike two pictures are: PSNR and SSIM, one number an image, in float64 on the host."""

import numpy as np


def psnr(x: np.ndarray, y: np.ndarray, *, data_range: float = 255.0,
         cap: float = 100.0) -> np.ndarray:
  """Peak signal-to-noise ratio in dB, [B]; over all pixels and channels of each image.

  Args:
    x: [B, H, W, C].
    y: the same.
    data_range: between the least and the greatest value that a pixel can have.
    cap: the most that is returned; equal images would be infinitely alike, and so would any mean
      with one of them in it.
  """
  squared = np.square(x.astype(np.float64) - y.astype(np.float64)).mean(axis=(1, 2, 3))
  with np.errstate(divide='ignore'):
    return np.minimum(10 * np.log10(data_range ** 2 / squared), cap)


def ssim(x: np.ndarray, y: np.ndarray, *, data_range: float = 255.0, window: int = 11,
         sigma: float = 1.5, k1: float = 0.01, k2: float = 0.03) -> np.ndarray:
  """Structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004), [B]; the mean over channels.

  Over the positions where the whole window lies inside the image; biased (co)variances, as in the
  paper. scikit-image: structural_similarity(gaussian_weights=True, sigma=1.5,
  use_sample_covariance=False).

  Args:
    x: [B, H, W, C].
    y: the same.
    data_range: between the least and the greatest value that a pixel can have.
    window: side of the Gaussian window; the largest odd number that fits in smaller images.
    sigma: of the Gaussian, in pixels.
    k1: of the constant in the luminance term.
    k2: of the constant in the contrast and structure term.
  """
  height, width = x.shape[1:3]
  shorter = min(height, width)
  window = min(window, shorter - 1 + shorter % 2)
  rows, columns = (_gaussian_rows(n, window, sigma) for n in (height, width))

  def blur(image):
    return rows @ image @ columns.T

  x, y = (np.moveaxis(image, -1, 1).astype(np.float64) for image in (x, y))
  mean_x, mean_y = blur(x), blur(y)
  var_x = blur(x * x) - mean_x ** 2
  var_y = blur(y * y) - mean_y ** 2
  covariance = blur(x * y) - mean_x * mean_y
  c1, c2 = (k1 * data_range) ** 2, (k2 * data_range) ** 2
  similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)
                / ((mean_x ** 2 + mean_y ** 2 + c1) * (var_x + var_y + c2)))
  return similarity.mean(axis=(1, 2, 3))


def _gaussian_rows(size: int, window: int, sigma: float) -> np.ndarray:
  """[size - window + 1, size]: times a column, its Gaussian means where the window fits."""
  offsets = np.arange(window) - window // 2
  weights = np.exp(-0.5 * np.square(offsets / sigma))
  matrix = np.zeros((size - window + 1, size))
  for i in range(len(matrix)):
    matrix[i, i:i + window] = weights / weights.sum()
  return matrix
