"""Layers that networks are built of, with PyTorch's padding and initialisation.

How their convolutions are computed fastest is in cpu_kernels.py and strided_kernels.py.
"""

from collections.abc import Callable
import math
from typing import Any

from flax import linen as nn
import jax
from jax import lax
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
    spectral: whether the kernel is divided by its largest singular value, see
      `spectrally_normalized`.
  """

  features: int
  dtype: Any = jnp.float32
  padding: str = 'constant'
  kernel_init: Any = None
  size: int = 4
  odd: str = 'up'
  use_bias: bool = True
  spectral: bool = False

  @nn.compact
  def __call__(self, x):
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel, bias = _kernel_and_bias(self, shape, self.use_bias)
    if self.spectral:
      kernel = spectrally_normalized(self, kernel)
    row, column = x.shape[1] % 2, x.shape[2] % 2
    if self.odd == 'up' and (row or column):
      x = jnp.pad(x, ((0, 0), (0, row), (0, column), (0, 0)))
    if self.size == 4:
      convolve = strided_kernels.conv4x4_stride2
    else:
      convolve = strided_kernels.conv3x3_stride2
    x = convolve(x.astype(self.dtype), kernel.astype(self.dtype), self.padding)
    return _shifted(x, bias, self.dtype)


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
  spectral: bool = False

  @nn.compact
  def __call__(self, x):
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel, bias = _kernel_and_bias(self, shape, self.use_bias)
    if self.spectral:
      kernel = spectrally_normalized(self, kernel)
    x = cpu_kernels.padded_convolution(
      x.astype(self.dtype), kernel.astype(self.dtype), self.padding
    )
    return _shifted(x, bias, self.dtype)


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
    return x + _row(bias, self.dtype)


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
    return _shifted(y, bias, self.dtype)


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
    return x + _row(bias, self.dtype)


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
      dtype=self.dtype,
      use_bias=self.use_bias,
      kernel_init=self.kernel_init or default,
      bias_init=bias_init,
    )(x)


class Residual(nn.Module):
  """x + norm(conv(relu(norm(conv(x))))), two 3x3 convolutions.

  Attributes:
    norm: makes a normalisation layer from a dtype and an activation; None is without.
    kernel_init: of the kernels, see DownConv.
    padding: mode of jnp.pad.
    use_bias: whether convolutions have a bias.
  """

  norm: Callable[..., nn.Module] | None
  dtype: Any = jnp.float32
  kernel_init: Any = he_normal
  padding: str = 'reflect'
  use_bias: bool = True

  @nn.compact
  def __call__(self, x):
    options = self.dtype, self.padding, self.kernel_init, self.use_bias
    y = Conv(x.shape[-1], 3, *options)(x)
    y = self.norm(self.dtype, jax.nn.relu)(y) if self.norm else jax.nn.relu(y)
    y = Conv(x.shape[-1], 3, *options)(y)
    return x + (self.norm(self.dtype)(y) if self.norm else y)


class StyledResidual(nn.Module):
  """`Residual` whose two normalisations take their scale and shift from outside.

  Attributes:
    norm: (x, scale, shift) -> x normalised, with scale and shift [B, C] for each channel of each
      example. It may make a module, whose parameters are then the block's.
    kernel_init: of the kernels, see DownConv.
    use_bias: whether convolutions have a bias.
  """

  norm: Callable[..., jax.Array]
  dtype: Any = jnp.float32
  kernel_init: Any = he_normal
  use_bias: bool = True

  @nn.compact
  def __call__(self, x, scales, shifts):
    """Maps x [B, H, W, C] with scales and shifts [B, 2, C], the first norm's first."""
    options = {'kernel_init': self.kernel_init, 'use_bias': self.use_bias}
    y = Conv(x.shape[-1], 3, self.dtype, **options)(x)
    y = jax.nn.relu(self.norm(y, scales[:, 0], shifts[:, 0]))
    y = Conv(x.shape[-1], 3, self.dtype, **options)(y)
    return x + self.norm(y, scales[:, 1], shifts[:, 1]).astype(self.dtype)


def spectrally_normalized(module: nn.Module, kernel: jax.Array) -> jax.Array:
  """Returns a kernel [..., C] divided by its largest singular value (Miyato et al. 2018).

  One step of power iteration estimates the value. The step begins at `u` of the module's
  `batch_stats`, [C], and leaves it closer to the singular vector where that collection is mutable.
  Gradients go through the value, but not through the vectors.
  """
  matrix = kernel.reshape(-1, kernel.shape[-1])

  def drawn():
    return jax.random.normal(module.make_rng('params'), matrix.shape[-1:])

  u = module.variable('batch_stats', 'u', drawn)
  exact = lax.Precision.HIGHEST
  constant = lax.stop_gradient(matrix)
  v = _unit(jnp.matmul(constant, u.value, precision=exact))
  after = _unit(jnp.matmul(v, constant, precision=exact))
  if module.is_mutable_collection('batch_stats') and not module.is_initializing():
    u.value = after
  largest = jnp.matmul(v, jnp.matmul(matrix, after, precision=exact), precision=exact)
  return kernel / largest


def _unit(vector):
  """Returns a vector of length 1 in this direction."""
  return vector / jnp.maximum(jnp.sqrt(jnp.square(vector).sum()), 1e-12)


def _kernel_and_bias(module, shape, use_bias=True):
  """Returns a layer's parameters; None in place of a bias that it does not have."""
  default = uniform_fan_in(math.prod(shape[:-1]))
  kernel = module.param('kernel', module.kernel_init or default, shape)
  if not use_bias:
    return kernel, None
  bias_init = nn.initializers.zeros if module.kernel_init else default
  return kernel, module.param('bias', bias_init, shape[-1:])


def _shifted(x, bias, dtype):
  """Returns x + bias, or x where there is no bias."""
  return x if bias is None else x + _row(bias, dtype)


def _row(bias, dtype):
  return bias.astype(dtype).reshape(1, 1, 1, -1)
