"""What changes where a step sees a part of the batch: its replica's (`pmap`), or a micro-batch.

Under `jit` over a mesh, or on one device, and without accumulation, it sees all of it.
"""

from collections.abc import Callable, Iterator
import contextlib
import contextvars

import jax
from jax import lax

DATA_AXIS = 'data'  # the axis that training/parallel.py maps replicas over
# Of the micro-batch that is being traced: index, how many there are, examples in one.
_MICRO_BATCH = contextvars.ContextVar('micro_batch', default=(0, 1, 0))


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


@contextlib.contextmanager
def micro_batch(index: jax.Array, number: int, examples: int) -> Iterator[None]:
  """What is traced inside sees examples index, index + number, ... of its replica's batch."""
  token = _MICRO_BATCH.set((index, number, examples))
  try:
    yield
  finally:
    _MICRO_BATCH.reset(token)


def draw(sample: Callable[[int], jax.Array], rows: int) -> jax.Array:
  """The `rows` at hand of sample(n), what is drawn for all n rows of the whole batch.

  There may be several rows for each example, one behind the other.
  """
  index, number, examples = _MICRO_BATCH.get()
  replicas, own = count(), rows * number
  drawn = sample(own * replicas)
  if replicas > 1:
    drawn = lax.dynamic_slice_in_dim(drawn, lax.axis_index(DATA_AXIS) * own, own)
  if number > 1:
    shape = drawn.shape[1:]
    drawn = drawn.reshape(examples, number, rows // examples, *shape)
    drawn = lax.dynamic_index_in_dim(drawn, index, 1, keepdims=False).reshape(rows, *shape)
  return drawn


def own_key(rng: jax.Array) -> jax.Array:
  """A key of the micro-batch's own, for what is not drawn by `draw`."""
  index, number, _ = _MICRO_BATCH.get()
  return rng if number == 1 else jax.random.fold_in(rng, index)
