"""Which record comes when: a pure function of the seed and a running number, on every machine."""

import functools

import numpy as np

from maskgan_jax.data import transforms

_KEPT = 8  # epochs' tables kept, over both domains; a batch seldom touches more than two each
# What a stream of words is for. Numbers stay what they are: others would change runs in training.
_ORDER, _AUGMENTATION, _ZOOM, _PAIRS = range(4)
_BOTH = 2  # in place of a domain's number, for what is common to a (0) and b (1)


class Order:
  """The endless order of one domain: a new permutation every epoch, each record once in each.

  The streams of NumPy's bit generators are fixed by its compatibility policy, those of
  `Generator.permutation` are not; hence sorting of raw words, so that an upgrade doesn't reshuffle
  a run that is resumed.
  """

  def __init__(self, records: np.ndarray, *, seed: int, domain: int, in_step: bool = False,
               aligned: bool = False):
    """Orders the record numbers `records`.

    Args:
      records: each once, int [N].
      seed: of everything random.
      domain: 0 for a, 1 for b: makes their orders and augmentations independent.
      in_step: the i-th of either domain comes when that of the other does (see `fixed_pairs`).
      aligned: the same, and both are augmented alike: they are one scene.
    """
    self._records = np.asarray(records, np.int64)
    self._key = (int(seed) % 2 ** 64, _BOTH if aligned else domain)
    self._order_key = (self._key[0], _BOTH) if in_step else self._key

  def take(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the records at running numbers [N] >= 0, and their uniforms [N, 3] in [0, 1).

    The uniforms belong to (seed, record, epoch): they are the randomness of the augmentation.
    """
    epochs, members = self._members(numbers)
    uniforms = self._drawn(epochs, members, _AUGMENTATION, transforms.NUM_UNIFORMS)
    return self._records[members], uniforms

  def zooms(self, numbers: np.ndarray) -> np.ndarray:
    """Returns [N, 4] more uniforms of these, a stream of its own: the randomness of the zoom."""
    return self._drawn(*self._members(numbers), _ZOOM, transforms.NUM_ZOOM_UNIFORMS)

  def _members(self, numbers):
    """Returns epochs and places in `records`."""
    epochs, places = np.divmod(numbers, len(self._records))
    members = np.empty(len(numbers), np.int64)
    for epoch in np.unique(epochs):
      here = epochs == epoch
      members[here] = _permutation(self._order_key, int(epoch), len(self._records))[places[here]]
    return epochs, members

  def _drawn(self, epochs, members, purpose, each):
    """Returns `each` uniforms for every member."""
    uniforms = np.empty((len(members), each))
    for epoch in np.unique(epochs):
      here = epochs == epoch
      table = _uniforms(self._key, int(epoch), purpose, len(self._records), each)
      uniforms[here] = table[members[here]]
    return uniforms


def fixed_pairs(a: np.ndarray, b: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns a and b, each shuffled once, the shorter repeated: the i-th of one is the other's."""
  shuffled = [records[np.argsort(_words((int(seed) % 2 ** 64, domain), 0, _PAIRS, len(records)),
                                 kind='stable')]
              for domain, records in enumerate((a, b))]
  longer = max(len(a), len(b))
  return np.resize(shuffled[0], longer), np.resize(shuffled[1], longer)


def _words(key, epoch, purpose, count):
  """Returns uint64 [count] that depend on the arguments alone."""
  return np.random.PCG64(np.random.SeedSequence((*key, epoch, purpose))).random_raw(count)


@functools.lru_cache(maxsize=_KEPT)
def _permutation(key, epoch, count):
  return np.argsort(_words(key, epoch, _ORDER, count), kind='stable')


@functools.lru_cache(maxsize=_KEPT)
def _uniforms(key, epoch, purpose, count, each):
  words = _words(key, epoch, purpose, count * each)
  return ((words >> np.uint64(11)) * 2.0 ** -53).reshape(count, each)
