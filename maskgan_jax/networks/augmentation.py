"""Differentiable augmentation of what critics see (Zhao et al. 2020, arXiv:2006.10738).

A critic of few pictures learns them by heart. It is kept from that by seeing real and generated
pictures through random changes T only, in its own loss and in the generator's:

  L_D = E_x[f(D(T(x)))] + E_z[g(D(T(G(z))))],   L_G = E_z[h(D(T(G(z))))]

T is differentiable in the picture, so that the generator learns through it. Generated pictures are
compared with real ones under the same T, so they do not look changed themselves.

A penalty on a critic's slope is taken at the pictures that the critic has seen: at T(x), or between
T(x) and T(G(z)) with the draws of its loss, and with respect to T(x). So the slope is the
critic's own, without that of T.
"""

from collections.abc import Sequence
import dataclasses

import jax
from jax import lax
import jax.numpy as jnp

from maskgan_jax.networks import replicas

KINDS = ('color', 'translation', 'cutout')  # in the order in which they are applied
NUM_UNIFORMS = (
  7  # that a picture needs: three of colour, two each of translation and cutout
)
_STREAM = 0xD1FF  # folded into a player's key, apart from what else the player draws


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """T, of some KINDS; of none it returns pictures as they are, and draws nothing."""

  kinds: Sequence[str] = ()

  def __call__(self, rng: jax.Array, images: jax.Array, number: int = 0) -> jax.Array:
    """Returns T(images), with changes of its own for each picture.

    Args:
      rng: the key of a player's loss.
      images: [B, H, W, C] in [-1, 1]; of several streams that are interleaved, each has its own.
      number: tells draws with one key apart.
    """
    if not self.kinds:
      return images
    key = jax.random.fold_in(jax.random.fold_in(rng, _STREAM), number)
    uniforms = replicas.draw(
      lambda count: jax.random.uniform(key, (count, NUM_UNIFORMS)), len(images)
    )
    return augment(images, uniforms, self.kinds)


def augment(images: jax.Array, uniforms: jax.Array, kinds: Sequence[str]) -> jax.Array:
  """Returns changed pictures; 0, mid-grey, is what comes in from beyond the edges, and cutouts.

  With uniforms u_0 ... u_6 of a picture x, of means over its channels and over all of it:

    color        x + u_0 - 1/2;  mean_c(x) + 2 u_1 (x - mean_c(x));
                 mean(x) + (u_2 + 1/2) (x - mean(x)), one after another
    translation  by up to 1/8 of the side down or up (u_3), right or left (u_4), in whole pixels
    cutout       a square of half the sides, its centre anywhere in the picture (u_5, u_6), is 0

  Args:
    images: [B, H, W, C].
    uniforms: [B, 7] in [0, 1).
    kinds: of KINDS.
  """
  if 'color' in kinds:
    images = _color(images, uniforms[:, :3, None, None, None])
  if 'translation' in kinds:
    images = jax.vmap(_translated)(images, uniforms[:, 3:5])
  if 'cutout' in kinds:
    images = images * jax.vmap(_kept, (0, None))(uniforms[:, 5:], images.shape[1:3])
  return images


def _color(images, uniforms):
  """Returns pictures of another brightness, saturation and contrast; uniforms [B, 3, 1, 1, 1]."""
  images = images + uniforms[:, 0] - 0.5
  grey = images.mean(-1, keepdims=True)
  images = grey + 2 * uniforms[:, 1] * (images - grey)
  level = images.mean((1, 2, 3), keepdims=True)
  return level + (uniforms[:, 2] + 0.5) * (images - level)


def _translated(image, uniforms):
  """Returns a picture [H, W, C] moved by uniforms [2]."""
  height, width, channels = image.shape
  reach = jnp.array([_eighth(height), _eighth(width)])
  # From 0, furthest down or right, to twice the reach.
  start = jnp.floor(uniforms * (2 * reach + 1)).astype(jnp.int32)
  rows, columns = _eighth(height), _eighth(width)
  padded = jnp.pad(image, ((rows, rows), (columns, columns), (0, 0)))
  return lax.dynamic_slice(padded, (start[0], start[1], 0), (height, width, channels))


def _eighth(side: int) -> int:
  """Returns an eighth of a side, rounded half up."""
  return (side + 4) // 8


def _kept(uniforms, shape):
  """Returns [H, W, 1]: 0 in a square of half the sides of a picture [H, W], 1 elsewhere."""
  kept = []
  for uniform, side in zip(uniforms, shape, strict=True):
    length = (side + 1) // 2
    # The centre is at one of the places from edge to edge, so a square may reach over it.
    places = side + (1 - length % 2)
    first = jnp.floor(uniform * places).astype(jnp.int32) - length // 2
    distance = jnp.arange(side) - first
    kept.append((distance < 0) | (distance >= length))
  rows, columns = kept
  return (rows[:, None] | columns[None, :]).astype(jnp.float32)[..., None]
