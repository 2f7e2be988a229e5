"""Regularisers of the local masks of one image; jax.vmap them over several.

`similarity` is LOMIT's R1 (ICLR eq. 13, unnumbered in IJCAI), as the papers have it: the sum over
all pairs of pixels. The authors' code takes the mean, which is the sum divided by N * N; their
weight of 0.1 belongs to the mean. Several masks of one image share the work on its content with
`jax.vmap(similarity, in_axes=(0, None))`.
"""

import jax
from jax import lax
import jax.numpy as jnp

_BLOCK = 64  # neighbours in sorted order that are compared pair by pair
_CHUNK = 32  # blocks at a time: memory above the inputs does not grow with the image
_EPSILON = 1e-8  # least norm of a content vector
_EXACT = lax.Precision.HIGHEST  # TPUs and recent GPUs would round products of float32


def similarity_pairwise(mask: jax.Array, content: jax.Array) -> jax.Array:
  """Computes `similarity` by its definition, in O(N^2) memory and O(N^2 C) time."""
  mask, content = _flat(mask, content)
  unit = content.astype(jnp.float32) * _inverse_norm(content)[:, None]
  products = jnp.matmul(unit, unit.T, precision=_EXACT)
  return (_absolute(mask[:, None] - mask[None, :]) * products).sum()


def similarity(mask: jax.Array, content: jax.Array) -> jax.Array:
  """Sums |m_i - m_j| <c_i, c_j> over i and j with unit content vectors, in O(N log N + N C).

  Pixels with equal mask values contribute nothing to the gradient. The content gets no gradient.

  Args:
    mask: N values in [0, 1], of any shape.
    content: the N pixels' content vectors in the same order, [..., C]; zero vectors stay zero.

  Returns:
    A float32 scalar: the sum; divided by N * N it is the mean.
  """
  mask, content = _flat(mask, content)
  gradient = _gradient(lax.stop_gradient(mask), content)
  # The sum is linear in the mask as long as the order of its values stays: mask . gradient. The
  # gradient adds up to zero, so the mask's mean may go, and with it most of the rounding.
  return jnp.sum((mask - lax.stop_gradient(mask.mean())) * gradient)


def size(mask: jax.Array) -> jax.Array:
  """Returns the mean of the mask: LOMIT's R2 (IJCAI), R3 (ICLR eq. 15) over the pixels' number."""
  return mask.astype(jnp.float32).mean()


def total_variation(mask: jax.Array) -> jax.Array:
  """Sums absolute differences of neighbours in [..., H, W, 1]; ties have zero gradient."""
  mask = mask.astype(jnp.float32)
  return sum(_absolute(jnp.diff(mask, axis=axis)).sum() for axis in (-3, -2))


def _absolute(x):
  return x * jnp.sign(x)  # unlike that of jnp.abs, its gradient at zero is zero


def _flat(mask, content):
  """Returns the mask as float32 [N], and the content as [N, C] without gradient."""
  mask, content = jnp.asarray(mask, jnp.float32), jnp.asarray(content)
  content = content.reshape(mask.size, content.shape[-1])
  return mask.reshape(-1), lax.stop_gradient(content)


def _inverse_norm(content):
  norm = jnp.linalg.norm(content.astype(jnp.float32), axis=-1)
  return 1 / jnp.maximum(norm, _EPSILON)


def _gradient(mask, content):
  """Returns [N]: 2 c_k . (sum of c_j with m_j < m_k - sum of c_j with m_j > m_k), c of length 1.

  Pixels are sorted by mask value and cut into blocks. Within a block all pairs are compared. Other
  blocks enter by running sums: of all their pixels and, for the values at a block's ends, of the
  pixels that differ from these.
  """
  order, rows, scale, values = _sorted_blocks(mask, content)
  before, after = _sums_around(content, rows, scale, values)

  def differentiate(block):
    rows, scale, values, before, after = block
    c = _unit(content, rows, scale)

    # Pairs within the block, then pixels of blocks below and above.
    sign = jnp.sign(values[:, None] - values[None, :])
    inside = (sign * jnp.matmul(c, c.T, precision=_EXACT)).sum(-1)
    less, less_low, more, more_high = jnp.matmul(
      jnp.concatenate([before, after]), c.T, precision=_EXACT
    )
    less = jnp.where(values == values[0], less_low, less)
    more = jnp.where(values == values[-1], more_high, more)
    return 2 * (inside + less - more)

  gradient = _over_blocks(differentiate, (rows, scale, values, before, after))
  gradient = gradient.reshape(-1)[: mask.size]
  _, by_pixel = lax.sort((order, gradient), num_keys=1)
  return by_pixel


def _sums_around(content, rows, scale, values):
  """Returns, for each block, sums of content before and after it, [K, 2, C] each.

  Of both, see `_sums_before`. Arguments are as of `_sorted_blocks`.
  """
  low, high = values[:, 0], values[:, -1]
  previous_high = jnp.append(-jnp.inf, high[:-1])
  next_low = jnp.append(low[1:], jnp.inf)

  def add(block):
    rows, scale, values, previous_high, next_low = block
    weight = jnp.stack(
      [jnp.ones_like(values), values < next_low, values > previous_high]
    )
    return jnp.matmul(weight, _unit(content, rows, scale), precision=_EXACT)

  # Sums of each block, and from them of all blocks before and after it.
  blocks = _over_blocks(add, (rows, scale, values, previous_high, next_low))
  sums, smaller, larger = jnp.moveaxis(blocks, 1, 0)
  before = _sums_before(sums, smaller, low)
  after = _sums_before(sums[::-1], larger[::-1], high[::-1])
  after = after[:, ::-1]
  return jnp.moveaxis(before, 0, 1), jnp.moveaxis(after, 0, 1)


def _sorted_blocks(mask, content):
  """Sorts pixels by mask value and cuts them into K blocks of N.

  The last block is padded with pixels of weight 0.

  Returns:
    The pixels in order; and of each block [K, N] the pixels, one over their content vectors'
    lengths, and their mask values.
  """
  pixels = mask.size
  values, order = lax.sort((mask, lax.iota(jnp.int32, pixels)), num_keys=1)
  block = min(_BLOCK, pixels)
  count = -(-pixels // block)

  # The scale of padded pixels is 0, and so is their weight.
  pad = (0, count * block - pixels)
  values = jnp.pad(values, pad, mode='edge').reshape(count, block)
  rows = jnp.pad(order, pad).reshape(count, block)
  scale = jnp.pad(_inverse_norm(content)[order], pad).reshape(count, block)
  return order, rows, scale, values


def _unit(content, rows, scale):
  """Returns the content vectors of these pixels, divided by their lengths."""
  return content[rows].astype(jnp.float32) * scale[:, None]


def _sums_before(sums, different, edges):
  """Returns sums over the blocks before each of K blocks, [2, K, C].

  Args:
    sums: [K, C], of each block's content.
    different: [K, C], the same of its pixels whose value differs from the next block's edge.
    edges: [K], the values of the blocks' edges towards the blocks before; sorted up or down.

  Returns:
    The sums of all pixels before a block, and of those that differ from the value of its edge.
  """

  def shift(x):
    return jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]])

  everything = shift(jnp.cumsum(sums, axis=0))
  # Of several blocks with one value at their edges, the first comes right after what differs.
  begins = jnp.append(True, edges[1:] != edges[:-1])
  places = lax.iota(jnp.int32, edges.size)
  first = lax.cummax(jnp.where(begins, places, 0))
  return jnp.stack([everything, shift(everything + different)[first]])


def _over_blocks(function, blocks):
  if len(blocks[0]) <= _CHUNK:
    return jax.vmap(function)(blocks)
  return lax.map(function, blocks, batch_size=_CHUNK)
