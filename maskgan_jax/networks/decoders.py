"""Decoders."""

from collections.abc import Callable, Sequence
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from maskgan_jax.networks import layers, normalization


class ConvDecoder(nn.Module):
  """Blocks of transposed 4x4 stride-2 convolution, normalisation, activation, then a bare one.

  Content transfer, appendix A. [B, h, w, C] -> [B, h * 2**(n+1), w * 2**(n+1), features] for n
  widths, float32, before any output activation.

  Attributes:
    leak: negative slope of the activation; 0 is ReLU.
    norm: see encoders.ConvEncoder.
  """

  widths: Sequence[int]
  features: int
  leak: float = 0.2
  dtype: Any = jnp.float32
  norm: str = 'batch'

  @nn.compact
  def __call__(
    self,
    x,
    *,
    train: bool = False,
    groups: int = 1,
    order: Sequence[int] | None = None,
  ):
    leak = functools.partial(jax.nn.leaky_relu, negative_slope=self.leak)
    for width in self.widths:
      x = layers.UpConv(width, self.dtype)(x)
      if self.norm == 'instance':
        x = normalization.InstanceNorm(self.dtype, leak, affine=False)(x)
      else:
        norm = normalization.BatchNorm(dtype=self.dtype)
        x = leak(norm(x, train=train, groups=groups, order=order))
    return layers.UpConv(self.features, self.dtype)(x).astype(jnp.float32)


class HighwayDecoder(nn.Module):
  """LOMIT's decoder: HAdaIN once, residual blocks, two convolutions after an upsampling each.

  ICLR appendix 7.1; the authors' code also has layer normalisation outside the residual blocks and
  a 7x7 convolution at the end. [B, h, w, C], mask [B, h, w, 1], two codes [B, S] -> [B, 4h, 4w, 3]
  in [-1, 1], float32.

  Attributes:
    mlp: width of the MLPs (see normalization.HighwayAdaIN).
    blocks: residual blocks.
    deviation: see normalization.HighwayAdaIN.
    scale: see normalization.HighwayAdaIN.
    output: whether it ends with the 7x7 convolution; else the second of the two makes the image.
  """

  mlp: int = 256
  blocks: int = 4
  deviation: str = 'spatial'
  scale: str = 'linear'
  output: bool = True
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, content, mask, foreground, background):
    highway = normalization.HighwayAdaIN(
      self.mlp, self.deviation, self.scale, self.dtype, layers.he_normal
    )
    x = highway(content, mask, foreground, background)
    for _ in range(self.blocks):
      x = layers.Residual(normalization.LayerNorm, self.dtype)(x)

    # Each upsampling halves the channels.
    width = x.shape[-1]
    widths = (width // 2, width // 4) if self.output else (width // 2,)
    for features in widths:
      x = layers.UpsampledConv(features, self.dtype, layers.he_normal)(x)
      x = normalization.LayerNorm(self.dtype, jax.nn.relu)(x)
    if self.output:
      x = layers.Conv(3, 7, self.dtype, kernel_init=layers.he_normal)(x)
    else:
      x = layers.UpsampledConv(3, self.dtype, layers.he_normal)(x)
    return jnp.tanh(x.astype(jnp.float32))


class MunitDecoder(nn.Module):
  """MUNIT's decoder: residual blocks with AdaIN, convolutions after upsamplings, a 7x7 one, tanh.

  [B, h, w, C] and codes [B, S] -> [B, h * 2**n, w * 2**n, 3] in [-1, 1], float32. An MLP turns the
  code into all scales and shifts of the blocks. Without a code the blocks have plain instance
  normalisation, as in the re-release of UNIT.

  Attributes:
    mlp: width of the MLP.
    blocks: residual blocks.
    upsamplings: n; each halves the channels.
    norm: makes the normalisation after an upsampling from a dtype and an activation.
  """

  mlp: int = 256
  blocks: int = 4
  upsamplings: int = 2
  norm: Callable[..., nn.Module] = normalization.LayerNorm
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, content, code=None):
    init = layers.he_normal
    x = content
    if code is None:
      norm = functools.partial(normalization.InstanceNorm, affine=False)
      for _ in range(self.blocks):
        x = layers.Residual(norm, self.dtype)(x)
    else:
      # The shift comes first, as in the authors' code.
      channels = x.shape[-1]
      count = self.blocks * 2 * 2 * channels
      mlp = normalization.StyleMLP(self.mlp, count, init, leak=0.0, name='style')
      parameters = mlp(code).reshape(-1, self.blocks, 2, 2, channels)
      shifts, scales = parameters[..., 0, :], parameters[..., 1, :]
      for i in range(self.blocks):
        block = layers.StyledResidual(normalization.conditional, self.dtype)
        x = block(x, scales[:, i], shifts[:, i])

    for _ in range(self.upsamplings):
      x = layers.UpsampledConv(x.shape[-1] // 2, self.dtype, init)(x)
      x = self.norm(self.dtype, jax.nn.relu)(x)
    x = layers.Conv(3, 7, self.dtype, kernel_init=init)(x)
    return jnp.tanh(x.astype(jnp.float32))


class UnitGenerator(nn.Module):
  """One domain's part of UNIT's generator: UnitEncoder backwards.

  Residual blocks, transposed 3x3 stride-2 convolutions that halve the channels, LeakyReLU, a 1x1
  convolution and tanh. The defaults are what EGSC-IT's code makes of it. [B, h, w, C] ->
  [B, h * 2**n, w * 2**n, 3] in [-1, 1], float32.

  Attributes:
    upsamplings: n.
    blocks: residual blocks.
    norm: see layers.Residual.
    leak: negative slope of LeakyReLU.
    strided_norm: of the transposed convolutions, with ReLU in LeakyReLU's place; None is without.
    padding: mode of jnp.pad, in residual blocks.
    transposed_padding: of the transposed convolutions, see layers.UpConv3x3.
    kernel_init: of the kernels; biases are zero.
  """

  upsamplings: int = 2
  blocks: int = 3
  norm: Callable[..., nn.Module] | None = None
  dtype: Any = jnp.float32
  leak: float = 0.2
  strided_norm: Callable[..., nn.Module] | None = None
  padding: str = 'reflect'
  transposed_padding: int = 0
  kernel_init: Any = layers.truncated_normal

  @nn.compact
  def __call__(self, x):
    init = self.kernel_init
    for _ in range(self.blocks):
      x = layers.Residual(self.norm, self.dtype, init, self.padding)(x)
    for _ in range(self.upsamplings):
      features, padding = x.shape[-1] // 2, self.transposed_padding
      x = layers.UpConv3x3(features, self.dtype, init, padding)(x)
      if self.strided_norm:
        x = self.strided_norm(self.dtype, jax.nn.relu)(x)
      else:
        x = jax.nn.leaky_relu(x, self.leak)
    x = layers.Conv(3, 1, self.dtype, kernel_init=init)(x)
    return jnp.tanh(x.astype(jnp.float32))


class VggDecoder(nn.Module):
  """Paints an image of a map of VGG-19: its convolutions backwards, as AdaIN and WCT have it.

  3x3 convolutions with reflection padding, ReLU after all but the last, nearest-neighbour
  upsampling where VGG-19 pools, no normalisation. [B, h, w, C] -> [B, h * 2**n, w * 2**n, 3],
  float32, for n + 1 sizes. The levels of the image lie around [0, 1], and nothing bounds them.

  Attributes:
    channels: output channels of the convolutions, a tuple for each size of the maps, the smallest
      first (`vgg19.mirrored`).
  """

  channels: Sequence[Sequence[int]]
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    count = sum(map(len, self.channels))
    done = 0
    for size, widths in enumerate(self.channels):
      if size:
        x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
      for width in widths:
        x = layers.Conv(width, 3, self.dtype)(x)
        done += 1
        if done < count:
          x = jax.nn.relu(x)
    return x.astype(jnp.float32)
