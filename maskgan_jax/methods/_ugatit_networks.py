"""U-GAT-IT's networks: attention by class activation maps, AdaLIN, generator, discriminator."""

from collections.abc import Callable
import functools
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

from maskgan_jax.networks import cpu_kernels, layers, normalization


class AdaLin(nn.Module):
  """Adaptive layer-instance normalisation (eqs. 1 and 2), by a share rho of each channel.

    (rho IN(x) + (1 - rho) LN(x)) * scale + shift

  IN has the statistics of a channel's pixels, LN those of all pixels and channels of the image.

  Attributes:
    rho_init: the value at which rho begins.
    smoothing: this is subtracted from rho where it is used; the difference is at least 0.
    unbiased: whether variances divide by n - 1.
  """

  rho_init: float
  smoothing: float = 0.0
  unbiased: bool = False

  @nn.compact
  def __call__(self, x, scale=None, shift=None):
    """Maps [B, H, W, C] to float32 of the same shape.

    Args:
      x: what is normalised.
      scale: [B, C]; None makes it a parameter of each channel, as in the layers after upsamplings.
      shift: [B, C], or None likewise.
    """
    channels = x.shape[-1:]
    rho = self.param('rho', nn.initializers.constant(self.rho_init), channels)
    if scale is None:
      scale = self.param('scale', nn.initializers.ones, channels)[None]
      shift = self.param('bias', nn.initializers.zeros, channels)[None]
    if self.smoothing:
      rho = jnp.maximum(rho - self.smoothing, 0)
    standardize = functools.partial(
      normalization.standardized, correction=int(self.unbiased)
    )

    def compute(x, rho, scale, shift):
      of_channels, of_layer = standardize(x, (1, 2)), standardize(x, (1, 2, 3))
      y = rho * of_channels + (1 - rho) * of_layer
      return y * scale[:, None, None] + shift[:, None, None]

    return cpu_kernels.recomputed(compute)(x, rho[None, None, None], scale, shift)


class Attention(nn.Module):
  """Attention by class activation maps (CAM), as in the generators and the discriminators.

  Auxiliary classifiers score the channels' means and maxima over pixels, and the weights by which
  they score channels also weight the maps. [B, h, w, C] -> the maps after that and a 1x1
  convolution, [B, h, w, C] in `dtype`; and float32 logits [B, 2], of the means and of the maxima.

  Attributes:
    shared: whether one classifier with a bias scores both, and adds its bias to the weights of the
      maps, as in the TensorFlow code; else each has a classifier without bias.
    activation: after the 1x1 convolution.
    spectral: whether classifiers have spectral normalisation. The weights of the maps have it only
      where the classifier is shared.
    kernel_init: of the kernels, see layers.DownConv.
  """

  shared: bool
  activation: Callable[[jax.Array], jax.Array]
  dtype: Any = jnp.float32
  spectral: bool = False
  kernel_init: Any = None

  @nn.compact
  def __call__(self, x):
    wide = x.astype(jnp.float32)
    pooled = jnp.stack([wide.mean((1, 2)), wide.max((1, 2))], axis=1)
    names = ('both',) if self.shared else ('mean', 'max')
    logits, weights = [], []
    for name, vectors in zip(names, jnp.split(pooled, len(names), axis=1), strict=True):
      classify = Classifier(self.shared, self.spectral, self.kernel_init, name=name)
      scores, weight = classify(vectors)
      logits.append(scores)
      weights.append(weight)

    # With a shared classifier the maps come twice with the same weights.
    maps = [wide * weight[None, None, None] for weight in (weights[0], weights[-1])]
    x = jnp.concatenate(maps, axis=-1)
    x = layers.Conv(wide.shape[-1], 1, self.dtype, kernel_init=self.kernel_init)(x)
    return self.activation(x), jnp.concatenate(logits, axis=1)


class Classifier(nn.Module):
  """A linear layer to one logit, which also returns its weights; attributes as of Attention.

  [B, N, C] -> logits [B, N] and weights [C], to which a bias is added.
  """

  use_bias: bool
  spectral: bool
  kernel_init: Any

  @nn.compact
  def __call__(self, x):
    channels = x.shape[-1]
    init = self.kernel_init or layers.uniform_fan_in(channels)
    kernel = self.param('kernel', init, (channels, 1))
    seen = layers.spectrally_normalized(self, kernel) if self.spectral else kernel
    logits = jnp.einsum('bnc,c->bn', x, seen[:, 0], precision=lax.Precision.HIGHEST)
    if not self.use_bias:
      return logits, kernel[:, 0]
    bias = self.param('bias', nn.initializers.zeros, (1,))
    return logits + bias[None], seen[:, 0] + bias


class Generator(nn.Module):
  """Encoder, attention, decoder: an image of the other domain.

  [B, H, W, 3] -> the image, [B, H, W, 3] in [-1, 1]; the attention's logits [B, 2], by which images
  of the source's domain differ from those of the other; and its heat map [B, h, w, 1], the sum of
  the maps' channels, h = H / 2**downsamplings. All are float32.

  Attributes:
    width: channels at full resolution; each downsampling doubles them.
    downsamplings: 3x3 stride-2 convolutions.
    blocks: residual blocks in the encoder, and in the decoder.
    light: whether scale and shift of the decoder's blocks come from the maps' means; else from all
      of the maps, so that the size of images is part of the network.
    biases: whether layers have biases, and instance normalisation has scale and bias.
    shared: see Attention.
    adaptive_norm: makes a normalisation of the decoder's blocks.
    norm: makes a normalisation after an upsampling.
    kernel_init: of the kernels, see layers.DownConv.
  """

  width: int
  downsamplings: int
  blocks: int
  light: bool
  biases: bool
  shared: bool
  adaptive_norm: Callable[..., AdaLin]
  norm: Callable[..., AdaLin]
  dtype: Any = jnp.float32
  kernel_init: Any = None

  @nn.compact
  def __call__(self, x):
    x = self._encode(x)
    attend = Attention(
      self.shared, jax.nn.relu, self.dtype, kernel_init=self.kernel_init, name='cam'
    )
    x, logits = attend(x)
    heat = x.astype(jnp.float32).sum(-1, keepdims=True)

    # One scale and one shift for all normalisations of the blocks.
    scale, shift = self._style(x)
    scales, shifts = (jnp.stack([row, row], axis=1) for row in (scale, shift))
    options = {'kernel_init': self.kernel_init, 'use_bias': self.biases}

    def adapt(x, scale, shift):
      return self.adaptive_norm()(x, scale, shift)

    for _ in range(self.blocks):
      x = layers.StyledResidual(adapt, self.dtype, **options)(x, scales, shifts)
    for _ in range(self.downsamplings):
      x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
      x = layers.Conv(x.shape[-1] // 2, 3, self.dtype, **options)(x)
      x = jax.nn.relu(self.norm()(x)).astype(self.dtype)
    x = layers.Conv(3, 7, self.dtype, **options)(x)
    return jnp.tanh(x.astype(jnp.float32)), logits, heat

  def _encode(self, x):
    """Returns maps of images: 7x7, strided convolutions, residual blocks, all with IN."""
    options = {'kernel_init': self.kernel_init, 'use_bias': self.biases}
    norm = functools.partial(normalization.InstanceNorm, affine=self.biases)
    x = layers.Conv(self.width, 7, self.dtype, **options)(x)
    x = norm(self.dtype, jax.nn.relu)(x)
    for i in range(self.downsamplings):
      features = self.width * 2 ** (i + 1)
      x = layers.DownConv(features, self.dtype, 'reflect', size=3, **options)(x)
      x = norm(self.dtype, jax.nn.relu)(x)
    for _ in range(self.blocks):
      x = layers.Residual(norm, self.dtype, **options)(x)
    return x

  def _style(self, x):
    """Returns scale and shift of the decoder's blocks, [B, C] each."""
    channels = x.shape[-1]
    x = x.astype(jnp.float32)
    x = x.mean((1, 2)) if self.light else x.reshape(x.shape[0], -1)
    options = {'kernel_init': self.kernel_init, 'use_bias': self.biases}
    for _ in range(2):
      x = jax.nn.relu(layers.Linear(channels, **options)(x))
    scale = layers.Linear(channels, name='scale', **options)(x)
    return scale, layers.Linear(channels, name='shift', **options)(x)


class Discriminator(nn.Module):
  """Strided convolutions with spectral normalisation, attention, a map of scores.

  [B, H, W, 3] -> scores [B, h, w, 1] and the attention's logits [B, 2], float32. Stride-2
  convolutions halve H and W, rounded down, and two more make them smaller by one each.

  Attributes:
    width: channels after the first convolution; each further one doubles them.
    strides: of the 4x4 stride-2 convolutions; one of stride 1 follows.
    biases: whether the last convolution has a bias.
    shared: see Attention.
    kernel_init: of the kernels, see layers.DownConv.
  """

  width: int
  strides: int
  biases: bool
  shared: bool
  dtype: Any = jnp.float32
  kernel_init: Any = None

  @nn.compact
  def __call__(self, x):
    leak = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
    options = {'kernel_init': self.kernel_init, 'spectral': True}
    for i in range(self.strides):
      conv = layers.DownConv(
        self.width * 2**i, self.dtype, 'reflect', odd='down', **options
      )
      x = leak(conv(x))
    x = leak(layers.Conv(self.width * 2**self.strides, 4, self.dtype, **options)(x))
    x, logits = Attention(self.shared, leak, self.dtype, name='cam', **options)(x)
    scores = layers.Conv(
      1, 4, self.dtype, use_bias=self.biases, name='scores', **options
    )(x)
    return scores.astype(jnp.float32), logits
