"""LPIPS, version 0.1: how different two pictures look to AlexNet or VGG-16.

Its weights were learnt from people's judgements (Zhang et al., "The Unreasonable Effectiveness of
Deep Features as a Perceptual Metric", 2018).
"""

from collections.abc import Mapping
import itertools
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

from maskgan_jax import errors
from maskgan_jax.networks import layers
from maskgan_jax.pretrained_networks import vgg19

NETS = {'alex': 'AlexNet', 'vgg': 'VGG-16'}
SMALLEST = {'alex': 31, 'vgg': 16}  # pixels of a side; the last layer then has one
EPSILON = 1e-10  # added to the length of the channels' vector

# Red, green and blue in [-1, 1] become (x - SHIFT) / SCALE.
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)

_LAYERS = {  # of each: convolutions, rows of their kernels, channels over `width`
  'alex': ((1, 11, 1), (1, 5, 3), (1, 3, 6), (1, 3, 4), (1, 3, 4)),
  'vgg': ((2, 3, 1), (2, 3, 2), (3, 3, 4), (3, 3, 8), (3, 3, 8)),
}
# GPUs and TPUs would otherwise round to ten bits or fewer.
_EXACT = lax.Precision.HIGHEST


def convolutions(
  net: str, width: int = 64
) -> list[dict[str, tuple[int, int, int, int]]]:
  """Returns, for each layer, shapes [rows, columns, in, out] of the kernels before it, by name."""
  result, inputs = [], 3
  for layer, (count, size, factor) in enumerate(_LAYERS[net], 1):
    shapes = {}
    for i in range(1, count + 1):
      shapes[f'conv{layer}_{i}'] = size, size, inputs, factor * width
      inputs = factor * width
    result.append(shapes)
  return result


def of(params: Mapping[str, Any], dtype: Any = jnp.float32) -> 'LPIPS':
  """Returns the network that has these parameters."""
  net = 'vgg' if 'conv1_2' in params else 'alex'
  return LPIPS(net, len(params['linear1']), dtype)


def require_size(net: str, height: int, width: int) -> None:
  """Raises UserError for images that are too small for a network."""
  smallest = min(height, width)
  if smallest < SMALLEST[net]:
    able = [name for name, least in SMALLEST.items() if least <= smallest]
    hint = ''
    if able:
      hint = f'; {SMALLEST[able[0]]} are enough for {NETS[able[0]]}'
    raise errors.UserError(
      f'LPIPS by {NETS[net]} takes images of at least {SMALLEST[net]} pixels '
      f'on either side, not {height}x{width}{hint}'
    )


class LPIPS(nn.Module):
  """Compares images [B, H, W, 3] in [-1, 1]; nothing is resized.

  It is a measure and not a loss: where all channels are 0, their length has no gradient.

  Attributes:
    net: of `NETS`.
    width: channels of the first layer.
    dtype: of the computation and of the result; parameters are float32.
  """

  net: str
  width: int = 64
  dtype: Any = jnp.float32

  def setup(self):
    if self.net not in NETS:
      raise errors.UserError(
        f'LPIPS has no network {self.net!r}; networks: {", ".join(NETS)}'
      )
    self._convolutions = convolutions(self.net, self.width)
    for i, shapes in enumerate(self._convolutions, 1):
      for name, shape in shapes.items():
        setattr(self, name, _Convolution(shape, self.dtype))
      features = list(shapes.values())[-1][-1]
      setattr(
        self,
        f'linear{i}',
        self.param(
          f'linear{i}', nn.initializers.constant(1 / features), (features,), jnp.float32
        ),
      )

  def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns LPIPS of x and y, each [B, H, W, 3]: [B], 0 for the same picture."""
    maps = zip(self.maps(x), self.maps(y), strict=True)
    return self._sum((of_x - of_y) ** 2 for of_x, of_y in maps)

  def spread(self, images: jax.Array) -> jax.Array:
    """Returns each example's mean LPIPS over pairs of its images [E, B, H, W, 3], E >= 2: [B]."""
    count = len(images)
    maps = self.maps(images.reshape(-1, *images.shape[2:]))
    maps = [unit.reshape(count, -1, *unit.shape[1:]) for unit in maps]
    # Over pairs, sum |u - v|^2 = E sum |u - mean|^2, and there are E (E - 1) / 2 of them.
    return (
      2
      / (count - 1)
      * self._sum(((unit - unit.mean(0, keepdims=True)) ** 2).sum(0) for unit in maps)
    )

  def maps(self, images: jax.Array) -> list[jax.Array]:
    """Returns the layers' maps after their ReLU, each pixel's channels divided by their length."""
    require_size(self.net, *images.shape[1:3])
    shift, scale = (
      jnp.array(v, self.dtype).reshape(1, 1, 1, 3) for v in (SHIFT, SCALE)
    )
    x = (images.astype(self.dtype) - shift) / scale
    units = []
    for layer, shapes in enumerate(self._convolutions):
      if self.net == 'vgg' and layer:
        x = vgg19.max_pool(x, 'VALID')
      elif layer in (1, 2):
        x = _max_pool3(x)
      for name in shapes:
        stride = 4 if self.net == 'alex' and not layer else 1
        x = jax.nn.relu(getattr(self, name)(x, stride))

      length = jnp.sqrt((x**2).sum(-1, keepdims=True))
      units.append(x / (length + EPSILON))
    return units

  def _sum(self, layers):
    """Weights each layer's channels [B, h, w, C], averages over pixels and adds the layers."""
    total = 0.0
    for i, squares in zip(itertools.count(1), layers, strict=False):
      weights = getattr(self, f'linear{i}').astype(self.dtype)
      total += jnp.matmul(squares.mean((1, 2)), weights, precision=_EXACT)
    return total


class _Convolution(nn.Module):
  """Convolution with a bias, and padding that keeps the size where the stride is 1.

  Attributes:
    shape: of the kernel.
  """

  shape: tuple[int, int, int, int]
  dtype: Any

  @nn.compact
  def __call__(self, x, stride):
    kernel = self.param('kernel', layers.he_normal, self.shape).astype(self.dtype)
    bias = self.param('bias', nn.initializers.zeros, self.shape[-1:]).astype(self.dtype)
    size = self.shape[0]
    padding = 2 if stride > 1 else size // 2  # AlexNet's first has 2, not 5
    x = lax.conv_general_dilated(
      x,
      kernel,
      (stride, stride),
      [(padding, padding)] * 2,
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      precision=_EXACT,
    )
    return x + bias.reshape(1, 1, 1, -1)


def _max_pool3(x):
  """Returns 3x3 maxima, stride 2, of whole windows; lax.reduce_window is slow on CPUs."""
  height, width = (size - 2 for size in x.shape[1:3])
  first, second, third = x[:, :height:2], x[:, 1 : height + 1 : 2], x[:, 2::2]
  x = jnp.maximum(jnp.maximum(first, second), third)

  # The columns of these maxima.
  first, second = x[:, :, :width:2], x[:, :, 1 : width + 1 : 2]
  return jnp.maximum(jnp.maximum(first, second), x[:, :, 2::2])
