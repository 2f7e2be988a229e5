"""Which record comes when: a pure function of the seed and a running number, on every machine."""

import functools

import numpy as np

from maskgan_jax.data import transforms

Key = tuple[int, int]  # of a stream of words: the seed, and a domain's number
# Tables of epochs in memory, over both domains; a batch mostly needs two of each.
_KEPT = 8
# Purposes of a stream of words. The numbers must stay: others would change runs in training.
_ORDER, _AUGMENTATION, _ZOOM, _PAIRS = range(4)
_BOTH = 2  # in place of a domain's number, where a (0) and b (1) have one stream


class Order:
  """The endless order of one domain: a new permutation every epoch, each record once in each.

  Permutations come from sorting raw words, because NumPy's compatibility policy fixes the streams
  of its bit generators and not those of `Generator.permutation`: an upgrade must not reshuffle a
  run that is resumed.
  """

  def __init__(
    self,
    records: np.ndarray,
    *,
    seed: int,
    domain: int,
    in_step: bool = False,
    aligned: bool = False,
  ):
    """Orders the record numbers `records`.

    Args:
      records: each once, int [N].
      seed: of everything random.
      domain: 0 for a, 1 for b: makes their orders and augmentations independent.
      in_step: the i-th of each domain comes when the i-th of the other does (see `fixed_pairs`).
      aligned: as `in_step`, and both are augmented alike: they are one scene.
    """
    self._records = np.asarray(records, np.int64)
    seed = int(seed) % 2**64
    self._key = seed, _BOTH if aligned else domain
    self._order_key = self._key
    if in_step:
      self._order_key = seed, _BOTH

  def take(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the records at running numbers [N] >= 0, and their uniforms [N, 3] in [0, 1).

    The uniforms belong to (seed, record, epoch): they are the randomness of the augmentation.
    """
    epochs, members = self._members(numbers)
    uniforms = self._drawn(epochs, members, _AUGMENTATION, transforms.NUM_UNIFORMS)
    return self._records[members], uniforms

  def zooms(self, numbers: np.ndarray) -> np.ndarray:
    """Returns [N, 4] more uniforms of these, from a stream apart: the randomness of the zoom."""
    epochs, members = self._members(numbers)
    return self._drawn(epochs, members, _ZOOM, transforms.NUM_ZOOM_UNIFORMS)

  def _members(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns epochs and indices into `records` of running numbers [N]."""
    # A batch may reach into the next epoch, which has an order of its own.
    epochs, places = np.divmod(numbers, len(self._records))
    members = np.empty(len(numbers), np.int64)
    for epoch in np.unique(epochs):
      in_epoch = epochs == epoch
      permutation = _permutation(self._order_key, int(epoch), len(self._records))
      members[in_epoch] = permutation[places[in_epoch]]
    return epochs, members

  def _drawn(
    self, epochs: np.ndarray, members: np.ndarray, purpose: int, each: int
  ) -> np.ndarray:
    """Returns `each` uniforms for every member, [N, each]."""
    uniforms = np.empty((len(members), each))
    for epoch in np.unique(epochs):
      in_epoch = epochs == epoch
      table = _uniforms(self._key, int(epoch), purpose, len(self._records), each)
      uniforms[in_epoch] = table[members[in_epoch]]
    return uniforms


def fixed_pairs(
  a: np.ndarray, b: np.ndarray, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns a and b, each shuffled once, the shorter repeated; the i-th of both make a pair."""
  longer = max(len(a), len(b))
  shuffled_a = _shuffled(a, seed, domain=0)
  shuffled_b = _shuffled(b, seed, domain=1)
  return np.resize(shuffled_a, longer), np.resize(shuffled_b, longer)


def _shuffled(records: np.ndarray, seed: int, domain: int) -> np.ndarray:
  words = _words((int(seed) % 2**64, domain), 0, _PAIRS, len(records))
  return records[np.argsort(words, kind='stable')]


def _words(key: Key, epoch: int, purpose: int, count: int) -> np.ndarray:
  """Returns uint64 [count] that depend on the arguments alone."""
  sequence = np.random.SeedSequence((*key, epoch, purpose))
  return np.random.PCG64(sequence).random_raw(count)


@functools.lru_cache(maxsize=_KEPT)
def _permutation(key: Key, epoch: int, count: int) -> np.ndarray:
  return np.argsort(_words(key, epoch, _ORDER, count), kind='stable')


@functools.lru_cache(maxsize=_KEPT)
def _uniforms(key: Key, epoch: int, purpose: int, count: int, each: int) -> np.ndarray:
  """Returns [count, each] in [0, 1): the upper 53 bits of words, as many as a float64 holds."""
  words = _words(key, epoch, purpose, count * each)
  return ((words >> np.uint64(11)) * 2.0**-53).reshape(count, each)
