"""Records as stacks of equally sized pictures, decoded once where memory allows."""

from collections.abc import Callable, Sequence
import concurrent.futures
import functools
import itertools
import os
import threading

import numpy as np

from maskgan_jax.data import transforms
from maskgan_jax.data.records import Records

IN_MEMORY_BYTES = 2**30  # what 'auto' keeps at most
_THREADS = min(8, os.cpu_count() or 1)


class Pictures:
  """The fixed part of the transform applied to records, as uint8 [N, H, W, 3]."""

  channels = 3

  def __init__(
    self,
    records: Records,
    transform: transforms.Transform,
    used: np.ndarray,
    *,
    keep: bool,
  ):
    """Serves the record numbers `used`; with `keep` each is decoded once, when first asked for."""
    self._records = records
    self._transform = transform
    self._used = np.unique(used)
    self._keep = keep
    self._allocate()

  def _allocate(self):
    count = len(self._used) if self._keep else 0
    # The system takes pages when they are written.
    shape = (count, *self._transform.stored_shape, self.channels)
    self._store = np.empty(shape, np.uint8)
    self._filled = np.zeros(count, bool)
    self._full = False

  def __getstate__(self):
    # A worker process fills its own store.
    return self.__dict__ | {'_store': None, '_filled': None}

  def __setstate__(self, state):
    self.__dict__.update(state)
    self._allocate()

  def get(self, indices: np.ndarray) -> np.ndarray:
    """Returns a new uint8 [N, H, W, C] of these records; UserError names one that can't be read."""
    if not self._keep:
      return np.stack(parallel_map(self._prepare, indices))
    rows = np.searchsorted(self._used, indices)
    if not self._full:
      # Two threads may both decode a picture; they write the same bytes.
      missing = np.unique(rows[~self._filled[rows]])
      if missing.size:
        self._store[missing] = parallel_map(self._prepare, self._used[missing])
        self._filled[missing] = True
        self._full = bool(self._filled.all())
    return self._store[rows]

  def _prepare(self, index):
    index = int(index)
    return self._transform.fixed(self._records.image(index), self._records.name(index))


def keeps(in_memory: str, num_bytes: int) -> bool:
  """Returns whether config.data.in_memory ('auto' | 'always' | 'never') keeps this many bytes."""
  return in_memory == 'always' or (in_memory == 'auto' and num_bytes <= IN_MEMORY_BYTES)


def parallel_map(function: Callable, items: Sequence) -> list:
  """Maps over threads (Pillow decodes and resizes without the interpreter's lock), in order."""
  if len(items) < 2:
    return [function(item) for item in items]

  # One task a thread: handing over single small pictures would cost more than decoding them.
  parts = np.array_split(np.asarray(items), min(_THREADS, len(items)))
  pool = _pool(os.getpid())
  mapped = pool.map(lambda part: list(map(function, part)), parts)
  return list(itertools.chain.from_iterable(mapped))


_pool_lock = threading.Lock()


@functools.lru_cache(maxsize=1)
def _make_pool(process: int) -> concurrent.futures.Executor:
  del process  # part of the cache's key: a forked child needs other threads
  return concurrent.futures.ThreadPoolExecutor(_THREADS, 'maskgan-decode')


def _pool(process: int) -> concurrent.futures.Executor:
  """Returns the threads of a process."""
  with _pool_lock:  # without it lru_cache may call twice
    return _make_pool(process)
