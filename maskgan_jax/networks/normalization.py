"""Normalisation layers whose statistics mean the same on one device and on many."""

from collections.abc import Sequence
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

DATA_AXIS = 'data'  # the axis that training/parallel.py maps replicas over


def mean_over_replicas(x: jax.Array) -> jax.Array:
  """The mean over replicas inside a mapped step; elsewhere the batch is global already."""
  try:
    return lax.pmean(x, DATA_AXIS)
  except NameError:  # no mapped axis of that name: jit over a mesh, or a single device
    return x


class BatchNorm(nn.Module):
  """Batch normalisation as PyTorch's: biased variance to normalise, unbiased one in the average.

  One call may hold several batches, interleaved along the first axis (`interleave`), each with
  statistics of its own, as if they had gone through one after another.

  Attributes:
    momentum: share of the old running average that is kept at each update.
    epsilon: added to the variance.
    dtype: of the result; statistics are always float32.
  """
  momentum: float = 0.9
  epsilon: float = 1e-5
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, *, train: bool, groups: int = 1, order: Sequence[int] | None = None):
    """[G*B, H, W, C] -> the same. `order`: which groups update the running averages, in turn."""
    channels = x.shape[-1]
    scale = self.param('scale', nn.initializers.ones, (channels,))
    bias = self.param('bias', nn.initializers.zeros, (channels,))
    average_mean = self.variable('batch_stats', 'mean', jnp.zeros, (channels,))
    average_var = self.variable('batch_stats', 'var', jnp.ones, (channels,))
    if not train:
      factor = scale * lax.rsqrt(average_var.value + self.epsilon)
      shift = bias - average_mean.value * factor
      shape = (1,) * (x.ndim - 1) + (channels,)
      return (x * factor.reshape(shape) + shift.reshape(shape)).astype(self.dtype)

    grouped = x.reshape(-1, groups, *x.shape[1:]).astype(jnp.float32)
    axes = (0, *range(2, grouped.ndim - 1))
    mean = mean_over_replicas(grouped.mean(axes))  # [G, C]
    wide = (1, groups) + (1,) * (grouped.ndim - 3) + (channels,)
    centred = grouped - mean.reshape(wide)
    var = mean_over_replicas(jnp.square(centred).mean(axes))
    if not self.is_initializing():
      count = x.size // (groups * channels) * _replicas()
      unbiased = var * (count / max(count - 1, 1))
      for group in range(groups) if order is None else order:
        for average, value in ((average_mean, mean), (average_var, unbiased)):
          average.value = (self.momentum * average.value
                           + (1 - self.momentum) * lax.stop_gradient(value[group]))
    factor = scale.reshape(1, channels) * lax.rsqrt(var + self.epsilon)
    y = centred * factor.reshape(wide) + bias.reshape((1,) * (grouped.ndim - 1) + (channels,))
    return y.reshape(x.shape).astype(self.dtype)


def _replicas() -> int:
  try:
    return lax.axis_size(DATA_AXIS)
  except NameError:
    return 1


def interleave(*batches: jax.Array) -> jax.Array:
  """G batches [B, ...] as one [B*G, ...], example by example.

  Interleaved, not concatenated: a batch that is split over devices stays where it is.
  """
  return jnp.stack(batches, axis=1).reshape(-1, *batches[0].shape[1:])


def deinterleave(x: jax.Array, groups: int) -> tuple[jax.Array, ...]:
  """The inverse of `interleave`."""
  grouped = x.reshape(-1, groups, *x.shape[1:])
  return tuple(grouped[:, i] for i in range(groups))
