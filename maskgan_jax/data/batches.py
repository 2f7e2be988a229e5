"""Training batches by number, and Grain's threads or processes that prepare them ahead."""

import atexit
from collections.abc import Sequence
import gc
import multiprocessing
import os
import signal
import threading
import traceback
import weakref

from absl import flags
import grain
import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import order, pictures, training_masks, transforms

_ENDLESS = 2**48  # batches; Grain wants a length


class Batches:
  """Grain's random access source of whole batches: one Python call a batch, not one a record."""

  def __init__(
    self,
    stack: pictures.Pictures,
    orders: Sequence[order.Order],
    attributes: np.ndarray,
    transform: transforms.Transform,
    *,
    masks: training_masks.MaskPictures | None = None,
    batch_size: int,
    rows: np.ndarray,
    draws: int,
  ):
    """Makes the `rows` of batches of `batch_size`, `draws` times a step.

    Args:
      stack: the pictures of both domains.
      orders: those of a and b.
      attributes: float32 [N, K] of every record; K may be 0.
      transform: whose random part is applied.
      masks: those of the same records, for batches that contain them.
      batch_size: pairs, over all processes.
      rows: of 0..batch_size-1.
      draws: more than one puts an axis of draws first.
    """
    self._stack = stack
    self._orders = orders
    self._attributes = attributes
    self._transform = transform
    self._masks = masks
    self._batch_size = batch_size
    self._rows = rows
    self._draws = draws

  def __len__(self):
    return _ENDLESS

  def __getitem__(self, step: int) -> dict[str, np.ndarray]:
    # Running numbers of pairs since the first step, [draws, rows].
    draws = step * self._draws + np.arange(self._draws)
    numbers = draws[:, None] * self._batch_size + self._rows
    shape = numbers.shape if self._draws > 1 else numbers.shape[1:]
    numbers = numbers.reshape(-1)

    # Draws are decoded as one flat batch; arrays then get their axis of draws again.
    batch = {}
    for domain, order_of_domain in zip('ab', self._orders, strict=True):
      records, uniforms = order_of_domain.take(numbers)
      zooms = None
      if self._transform.zoom_probability:
        zooms = order_of_domain.zooms(numbers)
      images = self._stack.get(records)
      if self._masks:
        masks = self._masks.get(records)
        given = masks.any(axis=(1, 2, 3)).astype(np.float32)
        batch[f'{domain}_mask_given'] = given.reshape(shape)
        images = np.concatenate([images, masks], axis=-1)

      # A mask is a fourth channel here, so that it moves with its picture.
      images = self._transform.augment(images, uniforms, zooms)
      if self._masks:
        images, masks = np.split(images, [3], axis=-1)
        batch[f'{domain}_mask'] = masks.reshape(shape + masks.shape[1:])
      batch[domain] = images.reshape(shape + images.shape[1:])
      if self._attributes.shape[1]:
        batch[f'{domain}_attributes'] = self._attributes[records].reshape(*shape, -1)
    return batch


class Feed:
  """Iterator over the batches of steps start_step, start_step + 1, ..., some prepared ahead.

  `close` ends it, and so does the garbage collector, or the end of the program.
  """

  def __init__(self, source: Batches, *, start_step: int, prefetch: int, workers: int):
    """Prepares `prefetch` batches ahead in a thread, or as many in each of some processes."""
    read = grain.ReadOptions(num_threads=1, prefetch_buffer_size=prefetch)
    dataset = grain.MapDataset.source(_InWorker(source) if workers else source)
    dataset = dataset.slice(slice(start_step, None)).to_iter_dataset(read)
    if workers:
      if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # Grain reads its own flags, also in a notebook
      dataset = dataset.mp_prefetch(
        grain.MultiprocessingOptions(
          num_workers=workers, per_worker_buffer_size=prefetch
        ),
        worker_init_fn=_start_worker,
      )
    self._iterator = iter(dataset)
    _feeds.add(self)

  def __iter__(self):
    return self

  def __next__(self) -> dict[str, np.ndarray]:
    return next(self._iterator)

  def close(self) -> None:
    """Stops threads and processes; no batch can be asked for afterwards."""
    self._iterator.close()
    self._iterator = (batch for batch in ())  # a generator, which has a `close` too


class _InWorker:
  """A source whose errors can all be pickled; of another error Grain's parent never hears."""

  def __init__(self, source):
    self._source = source

  def __len__(self):
    return len(self._source)

  def __getitem__(self, step):
    # Errors are raised anew, as text alone: this is sure to reach the parent process.
    try:
      return self._source[step]
    except errors.UserError as error:
      raise errors.UserError(str(error)) from None
    except MemoryError:
      raise errors.UserError(
        'out of memory in a data worker; lower config.data.workers or '
        'config.data.prefetch, or set config.data.in_memory=never'
      ) from None
    except Exception:
      raise RuntimeError(f'in a data worker:\n{traceback.format_exc()}') from None


def _start_worker(worker: int, count: int) -> None:
  """Leaves Ctrl-C to the parent, and dies with it."""
  del worker, count
  signal.signal(signal.SIGINT, signal.SIG_IGN)

  def follow():
    multiprocessing.parent_process().join()
    os._exit(1)

  threading.Thread(target=follow, daemon=True).start()


_feeds = weakref.WeakSet()


@atexit.register
def _close_feeds():
  # Grain's iterators, which are in reference cycles, cannot stop any more once the interpreter
  # takes its modules apart.
  for feed in list(_feeds):
    feed.close()
  gc.collect()
