"""Several batches through one network at once, by name: `image.ab` is what equations call x_ab.

A network runs once for all batches ("streams") that it is applied to in a step. They lie in one
array example by example, (a0, b0, a1, b1, ...): interleaved and not one behind the other, so that
a batch that is split over devices stays where it is.
"""

from collections.abc import Callable, Mapping, Sequence
import types
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Stream(NamedTuple):
  """One of several batches that lie in one array. It is cut out only where it must be.

  Attributes:
    joined: the array of all, [B * count, ...].
    place: of this batch among them.
    count: of the batches.
  """

  joined: jax.Array
  place: int
  count: int


class Streams(types.SimpleNamespace):
  """Batches by name; each is a Stream, or an array [B, ...]. `|` puts two sets together."""

  def __or__(self, other: 'Streams') -> 'Streams':
    return Streams(**vars(self), **vars(other))

  def only(self, *names: str) -> 'Streams':
    """Returns the streams of these names."""
    return self.renamed(**{name: name for name in names})

  def renamed(self, **names: str) -> 'Streams':
    """Returns the streams old under the names new, given as new='old'."""
    return Streams(**{new: getattr(self, old) for new, old in names.items()})


def apart(output: Any, names: Sequence[str]) -> Any:
  """Returns the streams of an array [B * G, ...] by name; of a tuple of arrays, a tuple of them."""
  if isinstance(output, tuple):
    return tuple(apart(array, names) for array in output)
  count = len(names)
  return Streams(
    **{name: Stream(output, place, count) for place, name in enumerate(names)}
  )


def cut(streams: Any) -> Any:
  """Returns the same streams as arrays of their own, [B, ...] each; of a tuple, a tuple of them."""
  if isinstance(streams, tuple):
    return tuple(map(cut, streams))
  return Streams(**{name: _alone(stream) for name, stream in vars(streams).items()})


def interleave(*streams: Stream | jax.Array) -> jax.Array:
  """Returns G streams of B examples as one array [B * G, ...], example by example.

  Streams that lie in one array already are taken from it in one piece where a slice can do that:
  neighbours, every second one, or the same in the opposite order.
  """
  runs = _runs(streams)
  if len(runs) == 1 and _is_whole(runs[0]):
    return runs[0][0].joined
  if len(runs) == 1 and len(streams) > 1:
    first, second, *_ = streams
    step = second.place - first.place
    if step > 1 and len(streams) * step == first.count:  # every second one, say
      in_steps = first.joined.reshape(-1, step, *first.joined.shape[1:])
      return in_steps[:, first.place]
  if len(runs) == len(streams):
    grouped = jnp.stack([_alone(stream) for (stream,) in runs], axis=1)
  elif len(runs) == 1:
    grouped = _piece(runs[0])
  else:
    grouped = jnp.concatenate([_piece(run) for run in runs], axis=1)
  return grouped.reshape(-1, *grouped.shape[2:])


def _runs(streams):
  """Returns lists of successive streams that lie in one array, in steps of one length."""
  runs = []
  step = 0
  for stream in streams:
    if not isinstance(stream, Stream):
      stream = Stream(stream, 0, 1)

    # A stream continues the run if it is in the same array, a step further.
    run = runs[-1] if runs else []
    if run and run[-1].joined is stream.joined:
      change = stream.place - run[-1].place
      if change and (len(run) == 1 or change == step):
        run.append(stream)
        step = change
        continue
    runs.append([stream])
  return runs


def _is_whole(run):
  # In order, since no place comes twice.
  return len(run) == run[0].count and run[0].place == 0


def _grouped(stream):
  """Returns the array that a stream lies in as [B, count, ...]."""
  return stream.joined.reshape(-1, stream.count, *stream.joined.shape[1:])


def _alone(stream):
  """Returns a stream as an array of its own, [B, ...]."""
  return stream.joined if stream.count == 1 else _grouped(stream)[:, stream.place]


def _piece(run):
  """Returns the streams of a run as [B, len(run), ...]."""
  # A run that goes backwards is taken forwards and turned round.
  grouped = _grouped(run[0])
  if _is_whole(run):
    return grouped
  first, last = run[0].place, run[-1].place
  step = max(abs(last - first) // max(len(run) - 1, 1), 1)
  if first <= last:
    return grouped[:, first : last + 1 : step]
  return grouped[:, last : first + 1 : step][:, ::-1]


def apply(function: Callable[..., Any], streams: Mapping[str, Any]) -> Any:
  """Applies a function once to all streams.

  Args:
    function: of arrays [B * G, ...].
    streams: by name, the function's argument, or a tuple of its arguments.

  Returns:
    Streams of the same names; a tuple of them where the function returns a tuple.
  """
  rows = []
  for row in streams.values():
    several = isinstance(row, tuple) and not isinstance(row, Stream)
    rows.append(row if several else (row,))
  arguments = [interleave(*column) for column in zip(*rows, strict=True)]
  return apart(function(*arguments), tuple(streams))


def statistics(
  names: Sequence[str], order: Sequence[str] | None = None
) -> dict[str, Any]:
  """Returns the arguments by which normalization.BatchNorm keeps streams apart.

  Args:
    names: of the streams, as they are interleaved.
    order: names of the streams whose statistics go into the running averages, one after another;
      None is each once.
  """
  places = [tuple(names).index(name) for name in order or names]
  return {'groups': len(names), 'order': tuple(places)}


def summed(
  loss: Callable[..., jax.Array], *pairs: tuple[Stream | jax.Array, ...]
) -> jax.Array:
  """Returns the sum of a loss over streams.

  Args:
    loss: a mean over examples, so that the sum is its value for all examples times the number of
      streams.
    pairs: the arguments of the loss, for one stream after another.
  """
  columns = zip(*pairs, strict=True)
  return len(pairs) * loss(*(interleave(*column) for column in columns))


def deinterleave(x: jax.Array, groups: int) -> tuple[jax.Array, ...]:
  """Returns the batches that `interleave` joined."""
  grouped = x.reshape(-1, groups, *x.shape[1:])
  return tuple(grouped[:, i] for i in range(groups))


def swap(x: jax.Array) -> jax.Array:
  """Returns interleaved (a0, b0, a1, b1, ...) as (b0, a0, b1, a1, ...)."""
  pairs = x.reshape(-1, 2, *x.shape[1:])
  return pairs[:, ::-1].reshape(x.shape)
