"""Discriminators."""

import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from maskgan_jax.networks import layers, normalization


class CodeDiscriminator(nn.Module):
  """Two fully connected layers that tell which domain a code is from.

  Content transfer, appendix A, whose C is the sigmoid of a logit. [B, ...] -> float32 logits [B].
  """

  width: int = 512
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, code):
    x = code.reshape(code.shape[0], -1)
    x = jax.nn.leaky_relu(layers.Linear(self.width, self.dtype)(x), 0.2)
    return layers.Linear(1, self.dtype)(x)[:, 0].astype(jnp.float32)


class PatchCritic(nn.Module):
  """StarGAN's discriminator: stride-2 convolutions, then a map of scores, and class logits.

  LOMIT, ICLR appendix 7.1 and the authors' code: 4x4 with reflection padding (StarGAN pads with
  zeros), LeakyReLU 0.01, no normalisation, so that the gradient penalty is one example's.
  [B, H, W, 3] -> scores [B, H / 2**depth, W / 2**depth, 1], 2x2 of them at 128x128 and depth 6, and
  logits [B, classes], float32.

  Attributes:
    padding: mode of jnp.pad.
    kernel_init: of the kernels, with biases zero; None is PyTorch's default for both.
    head_bias: whether scores and logits have a bias; StarGAN's have none.
  """

  width: int = 64
  depth: int = 6
  classes: int = 1
  dtype: Any = jnp.float32
  padding: str = 'reflect'
  kernel_init: Any = nn.initializers.normal(0.02)
  head_bias: bool = True

  @nn.compact
  def __call__(self, x):
    init, padding = self.kernel_init, self.padding
    for i in range(self.depth):
      x = layers.DownConv(self.width * 2**i, self.dtype, padding, init)(x)
      x = jax.nn.leaky_relu(x, 0.01)
    head = {'use_bias': self.head_bias, 'kernel_init': init}
    score = layers.Conv(1, 3, self.dtype, padding, **head, name='scores')
    scores = score(x)

    # A linear layer on the whole map is a convolution as large as the map.
    classify = layers.Linear(self.classes, self.dtype, **head, name='classes')
    logits = classify(x.reshape(x.shape[0], -1))
    return scores.astype(jnp.float32), logits.astype(jnp.float32)


class PatchDiscriminator(nn.Module):
  """4x4 stride-2 convolutions with instance normalisation, then a map of scores (EGSC-IT's code).

  [B, H, W, 3] -> float32 [B, h, w, 1], one score for each patch; h = H / 2**depth, rounded up at
  each convolution.

  Attributes:
    depth: of the convolutions; the first has no normalisation.
    twice: whether LeakyReLU 0.2 comes both before and after the normalisation (after the first
      convolution: twice), as in the code; else only after it.
    bounded: whether the scores also go through LeakyReLU 0.2, as in the code.
  """

  width: int = 64
  depth: int = 4
  twice: bool = True
  bounded: bool = True
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    init = nn.initializers.glorot_uniform()  # TF-slim's default
    leak = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
    for i in range(self.depth):
      x = layers.DownConv(self.width * 2**i, self.dtype, kernel_init=init)(x)
      if self.twice:
        x = leak(x)
      x = normalization.InstanceNorm(self.dtype, leak)(x) if i else leak(x)
    x = layers.Conv(1, 1, self.dtype, kernel_init=init, name='scores')(x)
    x = x.astype(jnp.float32)
    return leak(x) if self.bounded else x


class PatchGan(nn.Module):
  """CycleGAN's and pix2pix' discriminator: a map of scores, each of 70x70 pixels with 3 `layers`.

  4x4 convolutions with padding 1: `layers` of stride 2, one of stride 1, all with LeakyReLU 0.2 and
  all except the first with instance normalisation (no scale, no bias), then one that makes the
  scores. [B, H, W, 3] -> float32 [B, h, w, 1], 30x30 scores at 256x256. Where a stride-2
  convolution meets an odd side, DownConv rounds up and PyTorch down.
  """

  width: int = 64
  layers: int = 3
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    init = nn.initializers.normal(0.02)
    leak = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
    # The last of these layers has stride 1; the first has no normalisation.
    for i in range(self.layers + 1):
      features = self.width * min(2**i, 8)
      if i < self.layers:
        x = layers.DownConv(features, self.dtype, kernel_init=init)(x)
      else:
        x = layers.Conv(features, 4, self.dtype, 'constant', init)(x)
      if i:
        x = normalization.InstanceNorm(self.dtype, leak, affine=False)(x)
      else:
        x = leak(x)
    scores = layers.Conv(1, 4, self.dtype, 'constant', init, name='scores')(x)
    return scores.astype(jnp.float32)


class Dcgan(nn.Module):
  """DCGAN's discriminator (Radford et al. 2015), without its sigmoid: one score for the image.

  As its PyTorch port has it: 4x4 stride-2 convolutions down to 4x4 pixels, LeakyReLU 0.2, batch
  normalisation after all but the first, and one convolution as large as the map; with biases, and
  with scales that begin at 1. [B, H, H, 3], H = 4 * 2**n -> float32 [B, 1].

  Batch statistics are those of the call: real and translated images go through it apart. A
  discriminator is not used after training, so the caller may throw the running averages away.

  Attributes:
    width: channels of the first convolution; each further one doubles them.
    normalized: whether there is batch normalisation. Without it weights begin as He et al.'s, so
      that scores are neither all 0 nor large.
  """

  width: int = 64
  dtype: Any = jnp.float32
  normalized: bool = True

  @nn.compact
  def __call__(self, x):
    init = nn.initializers.normal(0.02) if self.normalized else layers.he_normal
    features = self.width
    # Images are halved down to 4x4 pixels, which one linear layer scores.
    while x.shape[1] > 4:
      x = layers.DownConv(features, self.dtype, kernel_init=init)(x)
      if self.normalized and features > self.width:
        x = normalization.BatchNorm(dtype=self.dtype)(x, train=True)
      x = jax.nn.leaky_relu(x, 0.2)
      features *= 2
    x = x.reshape(x.shape[0], -1)
    scores = layers.Linear(1, self.dtype, init, name='scores')(x)
    return scores.astype(jnp.float32)


class MultiScale(nn.Module):
  """Patch discriminators of an image and of smaller ones: MUNIT's, UNIT's, DRIT's.

  [B, H, W, 3] -> a tuple of float32 maps of scores, [B, h, w, 1] each, the image's own first. The
  next scale is an average over 3x3 pixels, two apart, of those that lie in the image.

  Attributes:
    width: channels after the first convolution of a scale; each further one doubles them.
    depth: stride-2 convolutions of a scale.
    scales: number of scales, each with a network of its own.
    leak: negative slope of LeakyReLU.
    size: of the strided convolutions' kernels, 4 or 3.
    padding: mode of jnp.pad.
    odd: see layers.DownConv.
  """

  width: int = 64
  depth: int = 4
  scales: int = 3
  leak: float = 0.2
  size: int = 4
  padding: str = 'reflect'
  dtype: Any = jnp.float32
  odd: str = 'up'

  @nn.compact
  def __call__(self, x):
    maps = []
    for scale in range(self.scales):
      if scale:
        x = nn.avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)), count_include_pad=False)
      patches = _Patches(
        self.width,
        self.depth,
        self.leak,
        self.size,
        self.padding,
        self.dtype,
        self.odd,
        name=f'scale_{scale}',
      )
      maps.append(patches(x))
    return tuple(maps)


class _Patches(nn.Module):
  """One scale: stride-2 convolutions with LeakyReLU, no normalisation, a 1x1 convolution."""

  width: int
  depth: int
  leak: float
  size: int
  padding: str
  dtype: Any
  odd: str

  @nn.compact
  def __call__(self, x):
    init = nn.initializers.normal(0.02)
    options = self.dtype, self.padding, init, self.size, self.odd
    for i in range(self.depth):
      x = layers.DownConv(self.width * 2**i, *options)(x)
      x = jax.nn.leaky_relu(x, self.leak)
    scores = layers.Conv(1, 1, self.dtype, kernel_init=init, name='scores')(x)
    return scores.astype(jnp.float32)
