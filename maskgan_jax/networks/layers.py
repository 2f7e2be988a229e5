"""Convolutions with PyTorch's padding and initialisation, each in the platform's fastest form.

XLA's CPU backend runs a transposed convolution and convolutions on tiny maps an order of magnitude
below the machine's matrix products, and their gradients further below. On the CPU the layers here
are therefore matrix products with shifted sums; accelerators get the plain convolution. Both forms
compute the same numbers (tests/networks/test_layers.py).
"""

import math
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

from maskgan_jax.networks import convolutions

_NHWC = ('NHWC', 'HWIO', 'NHWC')
he_normal = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')  # PyTorch's kaiming_normal_

truncated_normal = nn.initializers.truncated_normal(0.02)  # of what lies within 0.04; TensorFlow's


def uniform_fan_in(fan_in: int):
  """PyTorch's default for convolutions and Linear: U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
  bound = 1 / math.sqrt(fan_in)

  def init(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype, -bound, bound)
  return init


def conv4x4_stride2(x: jax.Array, kernel: jax.Array, padding: str = 'constant') -> jax.Array:
  """4x4 convolution, stride 2, padding 1: [B, H, W, C] -> [B, H/2, W/2, O]; H, W even.

  `padding` is a mode of jnp.pad: 'constant' (zeros) or 'reflect'.
  """
  def compute(x, kernel):
    return convolutions.by_platform(convolutions.pad(x, 1, padding), kernel,
                                  cpu=_conv4x4_as_products, default=_conv4x4_plain)
  return convolutions.recomputed(compute)(x, kernel)


def _conv4x4_plain(x, kernel):
  return lax.conv_general_dilated(x, kernel, (2, 2), 'VALID', dimension_numbers=_NHWC)


def _conv4x4_as_products(x, kernel):
  """Space to depth turns it into a 2x2 convolution; its four taps are shifted matrix products."""
  batch, height, width, channels = x.shape  # with padding
  out = kernel.shape[-1]
  h, w = height // 2 - 1, width // 2 - 1
  blocks = x.reshape(batch, h + 1, 2, w + 1, 2, channels).transpose(0, 1, 3, 2, 4, 5)
  blocks = blocks.reshape(batch, h + 1, w + 1, 4 * channels)
  taps = kernel.reshape(2, 2, 2, 2, channels, out).transpose(0, 2, 1, 3, 4, 5)
  taps = taps.reshape(2, 2, 4 * channels, out)
  shifts = [(i, j) for i in (0, 1) for j in (0, 1)]
  # Three orders of the same sums; which is fastest was measured, with gradients, on two cores.
  if channels <= 4:  # an image: the taps are too thin for products of their own
    patches = jnp.concatenate([blocks[:, i:i + h, j:j + w] for i, j in shifts], axis=-1)
    return convolutions.product(patches, taps.reshape(16 * channels, out))
  if h >= 16:
    y = convolutions.product(blocks, taps.transpose(2, 0, 1, 3).reshape(4 * channels, 4 * out))
    y = y.reshape(batch, h + 1, w + 1, 2, 2, out)
    return sum(y[:, i:i + h, j:j + w, i, j] for i, j in shifts)
  return sum(convolutions.product(blocks[:, i:i + h, j:j + w], taps[i, j]) for i, j in shifts)


def conv4x4_stride2_transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Transposed 4x4 convolution, stride 2, padding 1: [B, H, W, C] -> [B, 2H, 2W, O].

  `kernel` is [4, 4, C, O]; tap (s, t) of input pixel (i, j) lands on (2i + s - 1, 2j + t - 1), as
  in PyTorch.
  """
  return convolutions.by_platform(x, kernel, cpu=_transposed_as_product, default=_transposed_plain)


def _transposed_plain(x, kernel):
  return lax.conv_general_dilated(x, kernel[::-1, ::-1], (1, 1), ((2, 2), (2, 2)),
                                  lhs_dilation=(2, 2), dimension_numbers=_NHWC)


def _transposed_as_product(x, kernel):
  """One product, in one of two orders; which is faster was measured as above."""
  batch, height, width, channels = x.shape
  out = kernel.shape[-1]
  if height >= 16:  # 2x2 patches to 2x2 blocks of the result, which begin one pixel outside it
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    patches = jnp.concatenate([padded[:, i:i + height + 1, j:j + width + 1]
                               for i in (0, 1) for j in (0, 1)], axis=-1)
    taps = kernel.reshape(2, 2, 2, 2, channels, out)[::-1, :, ::-1].transpose(0, 2, 4, 1, 3, 5)
    blocks = convolutions.product(patches, taps.reshape(4 * channels, 4 * out))
    blocks = blocks.reshape(batch, height + 1, width + 1, 2, 2, out)
  else:  # pixels to all sixteen taps, of which overlapping blocks are added
    y = convolutions.product(x, kernel.transpose(2, 0, 1, 3).reshape(channels, 16 * out))
    y = y.reshape(batch, height, width, 2, 2, 2, 2, out)  # a tap's block and place in it
    blocks = sum(
        jnp.pad(y[:, :, :, i, :, j], ((0, 0), (i, 1 - i), (j, 1 - j), (0, 0), (0, 0), (0, 0)))
        for i in (0, 1) for j in (0, 1))
  y = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height + 2, 2 * width + 2, out)
  return y[:, 1:-1, 1:-1]


def conv3x3_stride2(x: jax.Array, kernel: jax.Array, padding: str = 'constant') -> jax.Array:
  """3x3 convolution, stride 2, padding 1: [B, H, W, C] -> [B, H/2, W/2, O]; H, W even."""
  def compute(x, kernel):
    def as_4x4(x, kernel):  # a fourth row and column of zeros
      return _conv4x4_as_products(x, jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0))))
    return convolutions.by_platform(convolutions.pad(x, 1, padding), kernel,
                                  cpu=as_4x4, default=_conv4x4_plain)
  return convolutions.recomputed(compute)(x, kernel)


def conv3x3_stride2_transposed(x: jax.Array, kernel: jax.Array, padding: int = 0) -> jax.Array:
  """Transposed 3x3 convolution, stride 2: [B, H, W, C] -> [B, 2H, 2W, O].

  `kernel` is [3, 3, C, O]; tap (s, t) of input pixel (i, j) lands on (2i + s, 2j + t) - padding,
  and what lands outside is dropped. `padding` 0 is TensorFlow's 'SAME', 1 is PyTorch's padding=1
  with output_padding=1.
  """
  def plain(x, kernel):
    return lax.conv_general_dilated(
        x, kernel[::-1, ::-1], (1, 1), ((2 - padding, 1 + padding),) * 2, lhs_dilation=(2, 2),
        dimension_numbers=_NHWC)

  def as_product(x, kernel):
    """Pixels to all nine taps; of each phase of the result those that land there are added."""
    batch, height, width, channels = x.shape
    out = kernel.shape[-1]
    y = convolutions.product(x, kernel.transpose(2, 0, 1, 3).reshape(channels, 9 * out))
    y = y.reshape(batch, height, width, 3, 3, out)
    y = jnp.stack(_phases(y[:, :, :, 0], y[:, :, :, 1], y[:, :, :, 2], 1, padding), axis=2)
    y = y.reshape(batch, 2 * height, width, 3, out)
    y = jnp.stack(_phases(y[:, :, :, 0], y[:, :, :, 1], y[:, :, :, 2], 2, padding), axis=3)
    return y.reshape(batch, 2 * height, 2 * width, out)
  return convolutions.by_platform(x, kernel, cpu=as_product, default=plain)


def _phases(first, middle, last, axis, padding):
  """Even and odd rows (axis 1) or columns (axis 2) of what the three taps of each pixel make."""
  if padding:
    return middle, last + _shifted(first, axis, -1)
  return first + _shifted(last, axis, 1), middle


def _shifted(x, axis, by):
  """x one further along an axis, or one back; zeros come in."""
  size = x.shape[axis]
  kept = lax.slice_in_dim(x, max(-by, 0), size - max(by, 0), axis=axis)
  widths = [(0, 0)] * x.ndim
  widths[axis] = (max(by, 0), max(-by, 0))
  return jnp.pad(kept, widths)


class DownConv(nn.Module):
  """4x4 convolution, stride 2, padding 1, with bias; compute in `dtype`, parameters in float32.

  An odd height or width gets a row or column of zeros more at its end, as TensorFlow's 'SAME' has
  it.

  Attributes:
    padding: mode of jnp.pad.
    kernel_init: of the kernel, with biases zero; None is PyTorch's default for both.
    size: of the kernel, 4 or 3.
  """
  features: int
  dtype: Any = jnp.float32
  padding: str = 'constant'
  kernel_init: Any = None
  size: int = 4

  @nn.compact
  def __call__(self, x):
    kernel, bias = _kernel_and_bias(self, (self.size, self.size, x.shape[-1], self.features))
    if x.shape[1] % 2 or x.shape[2] % 2:
      x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
    compute = conv4x4_stride2 if self.size == 4 else conv3x3_stride2
    x = compute(x.astype(self.dtype), kernel.astype(self.dtype), self.padding)
    return x + _row(bias, self.dtype)


class Conv(nn.Module):
  """Convolution with stride 1, padding (size - 1) // 2 and bias; otherwise as DownConv.

  It keeps height and width where the kernel is odd; an even one makes them smaller by one.
  """
  features: int
  size: int = 3
  dtype: Any = jnp.float32
  padding: str = 'reflect'
  kernel_init: Any = None

  @nn.compact
  def __call__(self, x):
    kernel, bias = _kernel_and_bias(self, (self.size, self.size, x.shape[-1], self.features))
    x = convolutions.padded_convolution(x.astype(self.dtype), kernel.astype(self.dtype),
                                        self.padding)
    return x + _row(bias, self.dtype)


class UpsampledConv(nn.Module):
  """Nearest-neighbour upsampling by 2, then a 5x5 convolution with reflection padding and bias."""
  features: int
  dtype: Any = jnp.float32
  kernel_init: Any = None

  @nn.compact
  def __call__(self, x):
    kernel, bias = _kernel_and_bias(self, (5, 5, x.shape[-1], self.features))
    x = convolutions.upsampled_convolution(x.astype(self.dtype), kernel.astype(self.dtype))
    return x + _row(bias, self.dtype)


class UpConv(nn.Module):
  """Transposed 4x4 convolution, stride 2, padding 1, with bias: doubles height and width.

  PyTorch takes the number of *output* channels as this layer's fan in; so does this.
  """
  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    init = uniform_fan_in(16 * self.features)
    kernel = self.param('kernel', init, (4, 4, x.shape[-1], self.features))
    bias = self.param('bias', init, (self.features,))
    y = conv4x4_stride2_transposed(x.astype(self.dtype), kernel.astype(self.dtype))
    return y + _row(bias, self.dtype)


class UpConv3x3(nn.Module):
  """Transposed 3x3 convolution, stride 2, with bias: doubles height and width.

  Attributes as of DownConv, except for `padding`: see conv3x3_stride2_transposed.
  """
  features: int
  dtype: Any = jnp.float32
  kernel_init: Any = None
  padding: int = 0

  @nn.compact
  def __call__(self, x):
    kernel, bias = _kernel_and_bias(self, (3, 3, x.shape[-1], self.features))
    x = conv3x3_stride2_transposed(x.astype(self.dtype), kernel.astype(self.dtype), self.padding)
    return x + _row(bias, self.dtype)


class Linear(nn.Module):
  """Fully connected layer; `kernel_init` as in DownConv."""
  features: int
  dtype: Any = jnp.float32
  kernel_init: Any = None

  @nn.compact
  def __call__(self, x):
    default = uniform_fan_in(x.shape[-1])
    return nn.Dense(self.features, dtype=self.dtype, kernel_init=self.kernel_init or default,
                    bias_init=nn.initializers.zeros if self.kernel_init else default)(x)


def _kernel_and_bias(module, shape):
  default = uniform_fan_in(math.prod(shape[:-1]))
  bias_init = nn.initializers.zeros if module.kernel_init else default
  return (module.param('kernel', module.kernel_init or default, shape),
          module.param('bias', bias_init, shape[-1:]))


def _row(bias, dtype):
  return bias.astype(dtype).reshape(1, 1, 1, -1)
