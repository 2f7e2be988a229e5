"""Pictures as the FID Inception network gets them, by the protocols of papers.

Numbers of different protocols do not compare. What differs is the way to 299x299 pixels, and which
grey is 0:

  pytorch_fid   bilinear between the centres of pixels, nothing averaged where it shrinks;
                x / 127.5 - 1. The package of that name, and most papers since 2018.
  tf1           bilinear between the corners of pixels, as TensorFlow 1 had it, nothing averaged
                where it shrinks; (x - 128) / 128. Heusel et al. (2017), and torch-fidelity.
  clean         bicubic and averaged where it shrinks, as Pillow does for floats, cut to [0, 255]
                but not rounded; (x - 128) / 128. Parmar et al., "On Aliased Resizing" (2022).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from maskgan_jax import errors

SIDE = 299  # pixels
PROTOCOLS = ('pytorch_fid', 'clean', 'tf1')


def prepare(images: jax.Array, protocol: str) -> jax.Array:
  """Returns float32 [B, 299, 299, 3], of about [-1, 1], of uint8 [B, H, W, 3]; may be jitted."""
  require(protocol)
  rows, columns = (jnp.asarray(weights(size, protocol)) for size in images.shape[1:3])
  # Resizing is linear in either direction: two matrices, the same for every picture.
  resized = jnp.einsum(
    'yh,bhwc,xw->byxc',
    rows,
    jnp.asarray(images).astype(jnp.float32),
    columns,
    precision=jax.lax.Precision.HIGHEST,
  )
  if protocol == 'pytorch_fid':
    return resized / 127.5 - 1
  if protocol == 'clean':
    resized = jnp.clip(resized, 0, 255)
  return (resized - 128) / 128


def require(protocol: str) -> None:
  """Raises UserError for an unknown protocol."""
  if protocol not in PROTOCOLS:
    raise errors.UserError(
      f'config.distribution.protocol={protocol!r} is unknown'
      f'{errors.nearest(protocol, PROTOCOLS)}; protocols: '
      f'{", ".join(PROTOCOLS)}'
    )


@functools.lru_cache(maxsize=16)
def weights(size: int, protocol: str) -> np.ndarray:
  """Returns what each pixel of a line contributes to the resized line, float32 [299, size]."""
  scale = size / SIDE
  pixels = np.arange(size)
  if protocol == 'tf1':
    return _bilinear(np.arange(SIDE) * scale, size)
  centres = (np.arange(SIDE) + 0.5) * scale
  if protocol == 'pytorch_fid':
    return _bilinear(np.maximum(centres - 0.5, 0), size)
  stretch = max(scale, 1)  # a wider kernel where it shrinks: this is the averaging
  reach = 2 * stretch
  matrix = _cubic((pixels + 0.5 - centres[:, None]) / stretch)
  # Pillow takes the pixels whose centres, to the nearest, are within reach.
  first = (centres - reach + 0.5).astype(int)
  last = (centres + reach + 0.5).astype(int)
  out_of_reach = (pixels < first[:, None]) | (pixels >= last[:, None])
  matrix[out_of_reach] = 0
  return (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)


def _bilinear(places, size):
  """Returns the weights of the pixels before and after each place."""
  # A place between two pixels is divided between them by its distances.
  before = np.minimum(np.floor(places).astype(int), size - 1)
  after = np.minimum(before + 1, size - 1)
  share = places - before
  matrix = np.zeros((len(places), size))
  lines = np.arange(len(places))
  np.add.at(matrix, (lines, before), 1 - share)
  np.add.at(matrix, (lines, after), share)
  return matrix.astype(np.float32)


def _cubic(x):
  """Computes Keys' kernel with a = -0.5, float64."""
  x = np.abs(x)
  near = (1.5 * x - 2.5) * x**2 + 1
  far = ((-0.5 * x + 2.5) * x - 4) * x + 2
  return np.where(x < 1, near, np.where(x < 2, far, 0.0))
