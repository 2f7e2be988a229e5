"""Which record comes when: a pure function of the seed and a running number, on every machine."""

import functools

import numpy as np

from maskgan_jax.data import transforms

_KEPT = 8  # epochs' tables kept, over both domains; a batch seldom touches more than two each


class Order:
  """The endless order of one domain: a new permutation every epoch, each record once in each.

  The streams of NumPy's bit generators are fixed by its compatibility policy, those of
  `Generator.permutation` are not; hence sorting of raw words, so that an upgrade doesn't reshuffle
  a run that is resumed.
  """

  def __init__(self, records: np.ndarray, *, seed: int, domain: int):
    """Orders the record numbers `records`; `domain` makes a's and b's orders independent."""
    self._records = np.asarray(records, np.int64)
    self._key = (int(seed) % 2 ** 64, domain)

  def take(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the records at running numbers [N] >= 0, and their uniforms [N, 3] in [0, 1).

    The uniforms belong to (seed, record, epoch): they are the randomness of the augmentation.
    """
    epochs, places = np.divmod(numbers, len(self._records))
    members = np.empty(len(numbers), np.int64)
    uniforms = np.empty((len(numbers), transforms.NUM_UNIFORMS))
    for epoch in np.unique(epochs):
      here = epochs == epoch
      members[here] = _permutation(self._key, int(epoch), len(self._records))[places[here]]
      uniforms[here] = _uniforms(self._key, int(epoch), len(self._records))[members[here]]
    return self._records[members], uniforms


def _words(key, epoch, purpose, count):
  """Returns uint64 [count] that depend on the arguments alone."""
  return np.random.PCG64(np.random.SeedSequence((*key, epoch, purpose))).random_raw(count)


@functools.lru_cache(maxsize=_KEPT)
def _permutation(key, epoch, count):
  return np.argsort(_words(key, epoch, 0, count), kind='stable')


@functools.lru_cache(maxsize=_KEPT)
def _uniforms(key, epoch, count):
  words = _words(key, epoch, 1, count * transforms.NUM_UNIFORMS)
  return ((words >> np.uint64(11)) * 2.0 ** -53).reshape(count, transforms.NUM_UNIFORMS)
