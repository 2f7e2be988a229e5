"""What changes when a step is mapped over replicas, each with its rows of the batch (`pmap`).

Under `jit` over a mesh, or on one device, the batch at hand is the whole batch.
"""

from collections.abc import Callable

import jax
from jax import lax

DATA_AXIS = 'data'  # the axis that training/parallel.py maps replicas over


def mean(x: jax.Array) -> jax.Array:
  """The mean over replicas inside a mapped step; elsewhere the batch is global already."""
  try:
    return lax.pmean(x, DATA_AXIS)
  except NameError:  # no mapped axis of that name
    return x


def count() -> int:
  """How many replicas there are."""
  try:
    return lax.axis_size(DATA_AXIS)
  except NameError:
    return 1


def draw(sample: Callable[[int], jax.Array], rows: int) -> jax.Array:
  """This replica's `rows` of sample(n), what is drawn for all n examples of the whole batch."""
  replicas = count()
  everything = sample(rows * replicas)
  if replicas == 1:
    return everything
  return lax.dynamic_slice_in_dim(everything, lax.axis_index(DATA_AXIS) * rows, rows)
