"""Encoders."""

from collections.abc import Callable, Sequence
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from maskgan_jax.networks import layers, normalization, streams


class ConvEncoder(nn.Module):
  """Blocks of 4x4 stride-2 convolution, normalisation, LeakyReLU 0.2.

  Content transfer, appendix A, with batch normalisation; Press et al. with instance normalisation.
  [B, H, W, C] -> [B, H / 2**n, W / 2**n, widths[-1]] for n widths.

  Attributes:
    norm: 'batch', or 'instance': without scale and bias; the call's arguments then change nothing.
  """

  widths: Sequence[int]
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
    leak = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
    for width in self.widths:
      x = layers.DownConv(width, self.dtype)(x)
      if self.norm == 'instance':
        x = normalization.InstanceNorm(self.dtype, leak, affine=False)(x)
      else:
        norm = normalization.BatchNorm(dtype=self.dtype)
        x = leak(norm(x, train=train, groups=groups, order=order))
    return x


class ContentEncoder(nn.Module):
  """LOMIT's and MUNIT's contents: instance-normalised features at a part of an image's resolution.

  Two 4x4 stride-2 convolutions and four residual blocks, all with instance normalisation (LOMIT,
  ICLR appendix 7.1), after a 7x7 convolution, which the authors' code and MUNIT have.

  [B, H, W, 3] -> [B, H / 2**n, W / 2**n, width * 2**n].

  Attributes:
    stem: whether it begins with the 7x7 convolution.
    blocks: residual blocks.
    downsamplings: n, of the stride-2 convolutions.
    affine: whether normalisations have a scale and a bias: LOMIT's do, MUNIT's do not.
  """

  width: int = 64
  blocks: int = 4
  stem: bool = True
  dtype: Any = jnp.float32
  downsamplings: int = 2
  affine: bool = True

  @nn.compact
  def __call__(self, x):
    options = {'dtype': self.dtype, 'kernel_init': layers.he_normal}
    norm = functools.partial(normalization.InstanceNorm, affine=self.affine)
    if self.stem:
      x = layers.Conv(self.width, 7, **options)(x)
      x = norm(self.dtype, jax.nn.relu)(x)
    for i in range(self.downsamplings):
      features = self.width * 2 ** (i + 1)
      x = layers.DownConv(features, padding='reflect', **options)(x)
      x = norm(self.dtype, jax.nn.relu)(x)
    for _ in range(self.blocks):
      x = layers.Residual(norm, self.dtype)(x)
    return x


class StyleEncoder(nn.Module):
  """LOMIT's and MUNIT's style codes: strided convolutions without norms, a mean, a linear layer.

  LOMIT, ICLR appendix 7.1, with LeakyReLU 0.01 and the stem as in the authors' code. MUNIT has ReLU
  and one head.

  Attributes:
    code: numbers in a code.
    stem: whether it begins with a 7x7 convolution.
    heads: names of the heads that share the stem and the first two strided convolutions.
    leak: negative slope of LeakyReLU; 0 is ReLU.
    head_depth: strided convolutions of a head.
    kernel_init: of the kernels; biases are zero.
    odd: see layers.DownConv.
  """

  width: int = 64
  code: int = 8
  stem: bool = True
  heads: Sequence[str] = ('head',)
  dtype: Any = jnp.float32
  leak: float = 0.01
  head_depth: int = 2
  kernel_init: Any = layers.he_normal
  odd: str = 'up'

  @nn.compact
  def __call__(self, images, heads: Sequence[str]):
    """Encodes G interleaved groups of images, [B * G, H, W, 3], group g by the head heads[g].

    Returns:
      A float32 array [B, code] for each group.
    """
    options = {'dtype': self.dtype, 'kernel_init': self.kernel_init}
    x = images
    if self.stem:
      x = jax.nn.leaky_relu(layers.Conv(self.width, 7, **options)(x), self.leak)
    for factor in (2, 4):
      features = factor * self.width
      x = layers.DownConv(features, padding='reflect', odd=self.odd, **options)(x)
      x = jax.nn.leaky_relu(x, self.leak)

    # Each head sees its groups at once.
    groups = streams.deinterleave(x, len(heads))
    codes = {}
    for name in self.heads:
      members = [group for group, head in enumerate(heads) if head == name]
      if members:
        x = streams.interleave(*(groups[group] for group in members))
        head = StyleHead(
          4 * self.width,
          self.code,
          self.dtype,
          self.leak,
          self.head_depth,
          self.kernel_init,
          self.odd,
          name=name,
        )
        x = head(x)
        codes.update(zip(members, streams.deinterleave(x, len(members)), strict=True))
    return tuple(codes[group] for group in range(len(heads)))


class StyleHead(nn.Module):
  """The last two strided convolutions of a style encoder, the mean and the linear layer."""

  width: int
  code: int
  dtype: Any = jnp.float32
  leak: float = 0.01
  depth: int = 2
  kernel_init: Any = layers.he_normal
  odd: str = 'up'

  @nn.compact
  def __call__(self, x):
    init = self.kernel_init
    for _ in range(self.depth):
      x = layers.DownConv(self.width, self.dtype, 'reflect', init, odd=self.odd)(x)
      x = jax.nn.leaky_relu(x, self.leak)
    x = x.mean((1, 2), dtype=jnp.float32)
    return layers.Linear(self.code, kernel_init=init)(x)


class UnitEncoder(nn.Module):
  """One domain's part of UNIT's encoder (Liu et al. 2017).

  A 7x7 convolution, 3x3 stride-2 convolutions that double the channels, residual blocks; LeakyReLU.
  The defaults are what EGSC-IT's code makes of it. [B, H, W, 3] -> [B, H / 2**n, W / 2**n,
  width * 2**n].

  Attributes:
    downsamplings: n, of the stride-2 convolutions.
    blocks: residual blocks.
    norm: see layers.Residual.
    leak: negative slope of LeakyReLU.
    strided_norm: of the strided convolutions, with ReLU in LeakyReLU's place; None is without.
    padding: mode of jnp.pad.
    kernel_init: of the kernels; biases are zero.
  """

  width: int = 64
  downsamplings: int = 2
  blocks: int = 3
  norm: Callable[..., nn.Module] | None = None
  dtype: Any = jnp.float32
  leak: float = 0.2
  strided_norm: Callable[..., nn.Module] | None = None
  padding: str = 'reflect'
  kernel_init: Any = layers.truncated_normal

  @nn.compact
  def __call__(self, x):
    padding, init = self.padding, self.kernel_init
    x = layers.Conv(self.width, 7, self.dtype, padding, init)(x)
    x = jax.nn.leaky_relu(x, self.leak)
    for i in range(self.downsamplings):
      x = layers.DownConv(self.width * 2 ** (i + 1), self.dtype, padding, init, 3)(x)
      if self.strided_norm:
        x = self.strided_norm(self.dtype, jax.nn.relu)(x)
      else:
        x = jax.nn.leaky_relu(x, self.leak)
    for _ in range(self.blocks):
      x = layers.Residual(self.norm, self.dtype, init, padding)(x)
    return x
