"""Normalisation layers whose statistics mean the same on one device and on many."""

from collections.abc import Callable, Sequence
import math
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

from maskgan_jax.networks import cpu_kernels, layers, replicas


class BatchNorm(nn.Module):
  """Batch normalisation as PyTorch's: biased variance to normalise, unbiased one in the average.

  One call may hold several batches, interleaved along the first axis (streams.interleave), each
  with statistics of its own, as if they had gone through one after another.

  Attributes:
    momentum: share of the old running average that is kept at each update.
    epsilon: added to the variance.
    dtype: of the result; statistics are always float32.
  """

  momentum: float = 0.9
  epsilon: float = 1e-5
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, x, *, train: bool, groups: int = 1, order: Sequence[int] | None = None
  ):
    """Normalises [G*B, H, W, C].

    Args:
      x: G batches, interleaved.
      train: whether to use the statistics of each batch; else the running averages.
      groups: G.
      order: which groups update the running averages, one after another; None is each once.
    """
    channels = x.shape[-1]
    scale = self.param('scale', nn.initializers.ones, (channels,))
    bias = self.param('bias', nn.initializers.zeros, (channels,))
    average_mean = self.variable('batch_stats', 'mean', jnp.zeros, (channels,))
    average_var = self.variable('batch_stats', 'var', jnp.ones, (channels,))

    if not train:
      return self._by_averages(x, scale, bias, average_mean.value, average_var.value)

    # Statistics of each group, over all examples and pixels.
    grouped = x.reshape(-1, groups, *x.shape[1:]).astype(jnp.float32)
    axes = (0, *range(2, grouped.ndim - 1))
    mean = replicas.mean(grouped.mean(axes))  # [G, C]
    wide = (1, groups) + (1,) * (grouped.ndim - 3) + (channels,)
    centred = grouped - mean.reshape(wide)
    var = replicas.mean(jnp.square(centred).mean(axes))

    # Running averages, as if the groups had come one after another.
    if not self.is_initializing():
      count = x.size // (groups * channels) * replicas.count()
      unbiased = var * (count / max(count - 1, 1))
      for group in range(groups) if order is None else order:
        self._update(average_mean, mean[group])
        self._update(average_var, unbiased[group])

    factor = scale.reshape(1, channels) * lax.rsqrt(var + self.epsilon)
    y = centred * factor.reshape(wide)
    y = y + bias.reshape((1,) * (grouped.ndim - 1) + (channels,))
    return y.reshape(x.shape).astype(self.dtype)

  def _by_averages(self, x, scale, bias, mean, var):
    """Normalises by the running averages, all [C]."""
    factor = scale * lax.rsqrt(var + self.epsilon)
    shift = bias - mean * factor
    shape = (1,) * (x.ndim - 1) + x.shape[-1:]
    return (x * factor.reshape(shape) + shift.reshape(shape)).astype(self.dtype)

  def _update(self, average, value):
    """Moves a running average towards a value, without its gradient."""
    share = 1 - self.momentum
    average.value = self.momentum * average.value + share * lax.stop_gradient(value)


class InstanceNorm(nn.Module):
  """Instance normalisation of the image at hand, in training and after it.

  Attributes:
    dtype: of the result; statistics are float32.
    activation: of the result, or None.
    affine: whether it has a scale and a bias.
  """

  dtype: Any = jnp.float32
  activation: Callable[[jax.Array], jax.Array] | None = None
  affine: bool = True

  @nn.compact
  def __call__(self, x):
    return _normalize(self, x, (1, 2), self.affine)


class LayerNorm(nn.Module):
  """Normalisation over all pixels and channels of an image, with one scale and bias a channel.

  Attributes:
    dtype: of the result; statistics are float32.
    activation: of the result, or None.
    scale_init: of the scale.
    unbiased: whether it divides as `standardized_unbiased` does.
  """

  dtype: Any = jnp.float32
  activation: Callable[[jax.Array], jax.Array] | None = None
  scale_init: Callable[..., jax.Array] = nn.initializers.ones
  unbiased: bool = False

  @nn.compact
  def __call__(self, x):
    return _normalize(self, x, (1, 2, 3), True, self.scale_init, self.unbiased)


def _normalize(
  module, x, axes, affine, scale_init=nn.initializers.ones, unbiased=False
):
  parameters = ()
  if affine:
    parameters = (
      module.param('scale', scale_init, x.shape[-1:]),
      module.param('bias', nn.initializers.zeros, x.shape[-1:]),
    )
  standardize = standardized_unbiased if unbiased else standardized

  def compute(x, *parameters):
    y = standardize(x, axes)
    if parameters:
      scale, bias = (p.reshape(1, 1, 1, -1) for p in parameters)
      y = y * scale + bias
    if module.activation:
      y = module.activation(y)
    return y.astype(module.dtype)

  return cpu_kernels.recomputed(compute)(x, *parameters)


def standardized(
  x: jax.Array, axes: Sequence[int], epsilon: float = 1e-5, *, correction: int = 0
) -> jax.Array:
  """Computes (x - mean) / sqrt(variance + epsilon) over `axes` in float32; constants become 0.

  The variance is the sum of n squares divided by n - `correction`.

  The statistics lose their axes at once and get them back last. With `keepdims` XLA would order
  the steps of a plain and of a differentiated forward pass differently, and compute both where a
  program needs the two.
  """
  x = x.astype(jnp.float32)
  centred = x - jnp.expand_dims(x.mean(axes), axes)
  variance = jnp.square(centred).mean(axes)
  if correction:
    count = math.prod(x.shape[axis] for axis in axes)
    variance = variance * (count / max(count - correction, 1))
  factor = lax.rsqrt(variance + epsilon)
  return centred * jnp.expand_dims(factor, axes)


def standardized_unbiased(
  x: jax.Array, axes: Sequence[int], epsilon: float = 1e-5
) -> jax.Array:
  """Computes (x - mean) / (deviation + epsilon) with the deviation of n - 1, as MUNIT's code does.

  Like `standardized` it is float32, and constants become 0, with finite gradients.
  """
  x = x.astype(jnp.float32)
  count = math.prod(x.shape[axis] for axis in axes)
  centred = x - jnp.expand_dims(x.mean(axes), axes)
  variance = jnp.square(centred).sum(axes) / max(count - 1, 1)
  return centred * jnp.expand_dims(1 / (_root(variance) + epsilon), axes)


def conditional(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
  """Computes scale (x - mu(x)) / sigma(x) + shift: AdaIN with parameters from elsewhere.

  In MUNIT (Huang et al. 2018) both are an MLP's output.

  Args:
    x: [B, H, W, C].
    scale: gamma, [B, C], as it is.
    shift: beta, [B, C].
  Returns:
    float32 [B, H, W, C].
  """

  def compute(x, scale, shift):
    return standardized(x, (1, 2)) * scale[:, None, None] + shift[:, None, None]

  return cpu_kernels.recomputed(compute)(x, scale, shift)


class HighwayAdaIN(nn.Module):
  """Highway adaptive instance normalisation (LOMIT, IJCAI section 3.2; ICLR eqs. 3 and 4).

    HAdaIN(m1, c1, s2f, s1b) = m1 * AdaIN(c1, s2f) + (1 - m1) * AdaIN(c1, s1b)
    AdaIN(c, s) = gamma(s) (c - mu(c)) / sigma(c) + beta(s),   [beta(s), gamma(s)] = MLP(s)

  with an MLP of three layers for foreground codes and another for background codes. Where the mask
  is 1 the result is AdaIN with the foreground's style. It is computed in float32.

  Attributes:
    width: of the MLPs' hidden layers.
    deviation: sigma, see `normalized`.
    scale: 'linear', gamma is the MLP's output, or 'exp_half', its exp(x / 2).
    dtype: of the result.
    kernel_init: of the MLPs' kernels; None is PyTorch's default.
  """

  width: int
  deviation: str = 'spatial'
  scale: str = 'linear'
  dtype: Any = jnp.float32
  kernel_init: Any = None

  @nn.compact
  def __call__(self, content, mask, foreground, background):
    """Maps content [B, H, W, C], mask [B, H, W, 1] and codes [B, S] to [B, H, W, C]."""
    channels = content.shape[-1]

    def affine(name, code):
      """Returns gamma(s) and beta(s)."""
      mlp = StyleMLP(self.width, 2 * channels, self.kernel_init, name=name)
      parameters = mlp(code)[:, None, None, :]
      shift, scale = jnp.split(parameters, 2, axis=-1)
      if self.scale == 'exp_half':
        scale = jnp.exp(0.5 * scale)
      return scale, shift

    foreground_scale, foreground_shift = affine('foreground', foreground)
    background_scale, background_shift = affine('background', background)

    # The blend of two affine maps of one array is the affine map of the blends.
    scale = mask * foreground_scale + (1 - mask) * background_scale
    shift = mask * foreground_shift + (1 - mask) * background_shift
    return (normalized(content, self.deviation) * scale + shift).astype(self.dtype)


class StyleMLP(nn.Module):
  """Three fully connected layers, LeakyReLU between them: [B, S] -> float32 [B, features].

  Attributes:
    leak: negative slope of LeakyReLU; 0 is ReLU.
  """

  width: int
  features: int
  kernel_init: Any = None
  leak: float = 0.01

  @nn.compact
  def __call__(self, code):
    x = code.astype(jnp.float32)
    for _ in range(2):
      x = layers.Linear(self.width, kernel_init=self.kernel_init)(x)
      x = jax.nn.leaky_relu(x, self.leak)
    return layers.Linear(self.features, kernel_init=self.kernel_init)(x)


def normalized(
  content: jax.Array, deviation: str = 'spatial', epsilon: float = 1e-5
) -> jax.Array:
  """Computes (c - mu(c)) / sigma(c) over the pixels of each channel of [B, H, W, C], in float32.

  `deviation` says what sigma is: 'spatial', the standard deviation over all pixels, its variance
  raised by `epsilon`; or 'rows', as LOMIT's authors compute it: the unbiased deviation, over rows,
  of each row's unbiased deviation, raised by `epsilon`. For 32x32 values drawn from N(0, 1) this
  sigma is about 0.12, so the authors' normalised values are eight times too large.

  A constant channel becomes zero, with finite gradients.
  """
  if deviation == 'spatial':
    return standardized(content, (1, 2), epsilon)
  content = content.astype(jnp.float32)
  centred = content - content.mean((1, 2))[:, None, None]
  deviation = _unbiased_deviation(_unbiased_deviation(content, 2), 1)
  return centred * (1 / (deviation + epsilon))[:, None, None]


def _unbiased_deviation(x, axis):
  """Returns the standard deviation with n - 1 along an axis; its gradient at 0 is 0."""
  count = x.shape[axis]
  centred = x - jnp.expand_dims(x.mean(axis), axis)
  return _root(jnp.square(centred).sum(axis) / max(count - 1, 1))


def _root(variance):
  """Returns the root of a variance; its gradient at 0 is 0."""
  positive = variance > 0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1.0)), 0.0)


def moments(
  x: jax.Array, weight: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
  """Returns mean and biased variance of each channel over its pixels: float32 [B, C] each.

  Args:
    x: feature maps [B, H, W, C].
    weight: of the pixels, [B, H, W, 1] >= 0; where all are zero, mean and variance are zero.
  """
  x = x.astype(jnp.float32)
  if weight is None:
    mean = x.mean((1, 2))
    return mean, jnp.square(x - mean[:, None, None]).mean((1, 2))
  # Weights of all pixels add up to 1, or to 0 for an empty mask.
  total = jnp.maximum(weight.sum((1, 2)), 1e-6)
  weight = weight / total[:, None, None]
  mean = (weight * x).sum((1, 2))
  squared = jnp.square(x - mean[:, None, None])
  return mean, (weight * squared).sum((1, 2))


def adain(
  content: jax.Array,
  style: tuple[jax.Array, jax.Array],
  *,
  swapped: bool = False,
  spread: str = 'deviation',
  epsilon: float = 1e-5,
) -> jax.Array:
  """Gives each channel the mean and the spread of the style's: adaptive instance normalisation.

    AdaIN(c, gamma, beta) = gamma (c - mu(c)) / delta(c) + beta,  gamma = delta(f), beta = mu(f)

  EGSC-IT eqs. 1 and 2, after Huang and Belongie (2017), whose delta is the standard deviation.

  Args:
    content: c, [B, H, W, C].
    style: `moments` of f, [B, C] each.
    swapped: gamma = mu(f) and beta = delta(f), as EGSC-IT's code has it.
    spread: delta, 'deviation' or 'variance' (EGSC-IT's text and code).
    epsilon: added to the variance of the content, so that a constant channel becomes beta.
  Returns:
    float32 [B, H, W, C].
  """
  # The content loses its moments and takes the style's.
  mean, var = moments(content)
  centred = content.astype(jnp.float32) - mean[:, None, None]
  shift, scale = style
  if spread == 'deviation':
    scale = jnp.sqrt(scale + epsilon)
    factor = lax.rsqrt(var + epsilon)
  else:
    factor = 1 / (var + epsilon)
  if swapped:
    scale, shift = shift, scale
  return centred * (factor * scale)[:, None, None] + shift[:, None, None]
