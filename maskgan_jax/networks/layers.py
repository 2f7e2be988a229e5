"""Layers that networks are built of, with PyTorch's padding and initialisation.

How their convolutions are computed fastest is in cpu_kernels.py and strided_kernels.py.
"""

from collections.abc import Callable
import math
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from maskgan_jax.networks import cpu_kernels, strided_kernels

# PyTorch's kaiming_normal_.
he_normal = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')
# Of what lies within 0.04; TensorFlow's.
truncated_normal = nn.initializers.truncated_normal(0.02)


def uniform_fan_in(fan_in: int):
  """Returns PyTorch's default for convolutions and Linear: U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
  bound = 1 / math.sqrt(fan_in)

  def init(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return init


class DownConv(nn.Module):
  """4x4 convolution, stride 2, padding 1, with bias; computes in `dtype`, parameters are float32.

  Attributes:
    padding: mode of jnp.pad.
    kernel_init: of the kernel, with biases zero; None is PyTorch's default for both.
    size: of the kernel, 4 or 3.
    odd: how the half of an odd height or width is rounded. 'up' adds one more row or column of
      zeros at its end, as TensorFlow's 'SAME' has it; 'down' is PyTorch's 4x4 convolution.
    use_bias: whether there is a bias.
  """

  features: int
  dtype: Any = jnp.float32
  padding: str = 'constant'
  kernel_init: Any = None
  size: int = 4
  odd: str = 'up'
  use_bias: bool = True

  @nn.compact
  def __call__(self, x):
    kernel, bias = _kernel_and_bias(
      self, (self.size, self.size, x.shape[-1], self.features)
    )
    row, column = x.shape[1] % 2, x.shape[2] % 2
    if self.odd == 'up' and (row or column):
      x = jnp.pad(x, ((0, 0), (0, row), (0, column), (0, 0)))
    if self.size == 4:
      convolve = strided_kernels.conv4x4_stride2
    else:
      convolve = strided_kernels.conv3x3_stride2
    x = convolve(x.astype(self.dtype), kernel.astype(self.dtype), self.padding)
    return _plus(x, bias)


class Conv(nn.Module):
  """Convolution with stride 1, padding (size - 1) // 2 and bias; attributes as of DownConv.

  It keeps height and width where the kernel is odd; an even kernel makes them smaller by one.
  """

  features: int
  size: int = 3
  dtype: Any = jnp.float32
  padding: str = 'reflect'
  kernel_init: Any = None
  use_bias: bool = True

  @nn.compact
  def __call__(self, x):
    kernel, bias = _kernel_and_bias(
      self, (self.size, self.size, x.shape[-1], self.features)
    )
    x = cpu_kernels.padded_convolution(
      x.astype(self.dtype), kernel.astype(self.dtype), self.padding
    )
    return _plus(x, bias)


class UpsampledConv(nn.Module):
  """Nearest-neighbour upsampling by 2, then a 5x5 convolution with reflection padding and bias."""

  features: int
  dtype: Any = jnp.float32
  kernel_init: Any = None

  @nn.compact
  def __call__(self, x):
    kernel, bias = _kernel_and_bias(self, (5, 5, x.shape[-1], self.features))
    x = cpu_kernels.upsampled_convolution(
      x.astype(self.dtype), kernel.astype(self.dtype)
    )
    return _plus(x, bias)


class UpConv(nn.Module):
  """Transposed 4x4 convolution, stride 2, padding 1, with bias: doubles height and width.

  PyTorch takes the number of *output* channels as this layer's fan in; so does this.

  Attributes:
    use_bias: whether there is a bias.
  """

  features: int
  dtype: Any = jnp.float32
  use_bias: bool = True

  @nn.compact
  def __call__(self, x):
    init = uniform_fan_in(16 * self.features)
    kernel = self.param('kernel', init, (4, 4, x.shape[-1], self.features))
    bias = self.param('bias', init, (self.features,)) if self.use_bias else None
    y = strided_kernels.conv4x4_stride2_transposed(
      x.astype(self.dtype), kernel.astype(self.dtype)
    )
    return _plus(y, bias)


class UpConv3x3(nn.Module):
  """Transposed 3x3 convolution, stride 2, with bias: doubles height and width.

  Attributes as of DownConv, except for `padding`: see strided_kernels.conv3x3_stride2_transposed.
  """

  features: int
  dtype: Any = jnp.float32
  kernel_init: Any = None
  padding: int = 0

  @nn.compact
  def __call__(self, x):
    kernel, bias = _kernel_and_bias(self, (3, 3, x.shape[-1], self.features))
    x = strided_kernels.conv3x3_stride2_transposed(
      x.astype(self.dtype), kernel.astype(self.dtype), self.padding
    )
    return _plus(x, bias)


class Linear(nn.Module):
  """Fully connected layer; `kernel_init` and `use_bias` as in DownConv."""

  features: int
  dtype: Any = jnp.float32
  kernel_init: Any = None
  use_bias: bool = True

  @nn.compact
  def __call__(self, x):
    default = uniform_fan_in(x.shape[-1])
    bias_init = nn.initializers.zeros if self.kernel_init else default
    return nn.Dense(
      self.features,
      use_bias=self.use_bias,
      dtype=self.dtype,
      kernel_init=self.kernel_init or default,
      bias_init=bias_init,
    )(x)


class Residual(nn.Module):
  """x + norm(conv(relu(norm(conv(x))))), two 3x3 convolutions.

  Attributes:
    norm: makes a normalisation layer from a dtype and an activation; None is without.
    kernel_init: of the kernels; biases are zero.
    padding: mode of jnp.pad.
    use_bias: whether the convolutions have biases.
  """

  norm: Callable[..., nn.Module] | None
  dtype: Any = jnp.float32
  kernel_init: Any = he_normal
  padding: str = 'reflect'
  use_bias: bool = True

  @nn.compact
  def __call__(self, x):
    options = (x.shape[-1], 3, self.dtype, self.padding, self.kernel_init)
    y = Conv(*options, use_bias=self.use_bias)(x)
    y = self.norm(self.dtype, jax.nn.relu)(y) if self.norm else jax.nn.relu(y)
    y = Conv(*options, use_bias=self.use_bias)(y)
    return x + (self.norm(self.dtype)(y) if self.norm else y)


class StyledResidual(nn.Module):
  """`Residual` whose two normalisations take their scale and shift from outside.

  Attributes:
    norm: (x, scale, shift) -> x normalised, with scale and shift [B, C] for each channel of each
      example.
  """

  norm: Callable[..., jax.Array]
  dtype: Any = jnp.float32
  kernel_init: Any = he_normal

  @nn.compact
  def __call__(self, x, scales, shifts):
    """Maps x [B, H, W, C] with scales and shifts [B, 2, C], the first norm's first."""
    y = Conv(x.shape[-1], 3, self.dtype, kernel_init=self.kernel_init)(x)
    y = jax.nn.relu(self.norm(y, scales[:, 0], shifts[:, 0]))
    y = Conv(x.shape[-1], 3, self.dtype, kernel_init=self.kernel_init)(y)
    return x + self.norm(y, scales[:, 1], shifts[:, 1]).astype(self.dtype)


def _kernel_and_bias(module, shape):
  default = uniform_fan_in(math.prod(shape[:-1]))
  bias_init = nn.initializers.zeros if module.kernel_init else default
  kernel = module.param('kernel', module.kernel_init or default, shape)
  if not getattr(module, 'use_bias', True):
    return kernel, None
  return kernel, module.param('bias', bias_init, shape[-1:])


def _plus(x, bias):
  """Returns x [B, H, W, C] with the bias [C], if there is one, on each pixel."""
  if bias is None:
    return x
  return x + bias.astype(x.dtype).reshape(1, 1, 1, -1)
