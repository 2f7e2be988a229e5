"""Means and random draws of the whole batch, where a step sees only a part of it.

The part is a replica's (`pmap`) or a micro-batch (`config.accumulate`). Under `jit` over a mesh, or
on one device, and without accumulation, a step sees the whole batch.
"""

from collections.abc import Callable, Iterator
import contextlib
import contextvars

import jax
from jax import lax

DATA_AXIS = 'data'  # the axis that training/parallel.py maps replicas over
# Of the micro-batch that is being traced: its index, their number, examples in one.
_MICRO_BATCH = contextvars.ContextVar('micro_batch', default=(0, 1, 0))


def mean(x: jax.Array) -> jax.Array:
  """Returns the mean over replicas inside a mapped step, else x: the batch is global already."""
  try:
    return lax.pmean(x, DATA_AXIS)
  except NameError:  # no mapped axis of that name
    return x


def count() -> int:
  """Returns the number of replicas."""
  try:
    return lax.axis_size(DATA_AXIS)
  except NameError:
    return 1


@contextlib.contextmanager
def micro_batch(index: jax.Array, number: int, examples: int) -> Iterator[None]:
  """Declares that what is traced inside sees examples index, index + number, ... of its batch."""
  token = _MICRO_BATCH.set((index, number, examples))
  try:
    yield
  finally:
    _MICRO_BATCH.reset(token)


def draw(sample: Callable[[int], jax.Array], rows: int) -> jax.Array:
  """Draws sample(n) for all n rows of the whole batch and returns the `rows` of this part.

  An example may have several rows, one behind the other.
  """
  index, number, examples = _MICRO_BATCH.get()
  replicas = count()
  replica_rows = rows * number
  drawn = sample(replica_rows * replicas)

  # This replica's rows of the batch, then this micro-batch's rows of each example.
  if replicas > 1:
    start = lax.axis_index(DATA_AXIS) * replica_rows
    drawn = lax.dynamic_slice_in_dim(drawn, start, replica_rows)
  if number > 1:
    shape = drawn.shape[1:]
    drawn = drawn.reshape(examples, number, rows // examples, *shape)
    drawn = lax.dynamic_index_in_dim(drawn, index, 1, keepdims=False).reshape(
      rows, *shape
    )
  return drawn


def own_key(rng: jax.Array) -> jax.Array:
  """Returns a key that differs between micro-batches, for what is not drawn by `draw`."""
  index, number, _ = _MICRO_BATCH.get()
  return rng if number == 1 else jax.random.fold_in(rng, index)
