"""Pairs for measuring: no randomness, true masks and true answers where the source knows them.

Batches hold `a`, `b` uint8 [B, H, W, 3] and `valid` bool [B]; where they exist also `a_mask`,
`b_mask` float32 [B, H, W, 1] in [0, 1] (NaN throughout where a picture has none and others do), and
the true answers: `truth_ab` uint8 (a wearing b's attribute), `truth_ab_mask` float32 [B, H, W, 1]
(where it differs from a), `truth_ba` uint8 (b without it; with a's, of what every face has, such as
a hair colour). Where domains differ as a whole and not by an attribute, `truth_ab` is a as it
should look after b and `truth_ba` b after a, without a mask; of `config.data.aligned` pictures
these are the other picture of a's scene, and of b's.

`a_labels` int32 [B, H, W] are the class ids of `config.data.labels_path`, -1 throughout where a
picture has none and others do. `a_apart`, `b_apart` bool [B, G] say which groups of
`config.data.apart` a picture belongs to.

With `config.data.erase`, an attribute that is transferred among others, also: `b_erase` float32
[B, H, W, 1], 1 where someone would erase it from b, generously: within a 32nd of the side (2 pixels
of 64) of where it shows; `truth_ab_erased` uint8 (a wearing b's others, but its own of this one);
and `a_erase` float32 [B, H, W, 1] (where that differs from `truth_ab`).
"""

from collections.abc import Iterator, Sequence

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import pictures, predicates, transforms
from maskgan_jax.data.records import Records


class Pairs:
  """Pair i is a's i-th record with b's i-th, worked out once if memory allows."""

  def __init__(self, records: Records, a: np.ndarray, b: np.ndarray,
               transform: transforms.Transform, *, columns: Sequence[int],
               transfer: Sequence[str], masks: Sequence[str], erase: str,
               apart: Sequence[predicates.Predicate], in_memory: str,
               aligned: tuple[np.ndarray, np.ndarray] | None = None):
    """Pairs the record numbers of `a` and `b`.

    Args:
      records: of the split.
      a: their numbers, int [N].
      b: int [M]; min(N, M) pairs.
      transform: its fixed and central part is applied.
      columns: of the attributes that pairs tell.
      transfer: names that true answers move.
      masks: names whose masks are laid over each other.
      erase: one of `transfer`, or ''.
      apart: groups that pairs tell.
      in_memory: config.data.in_memory.
      aligned: all record numbers of a and b, int [K] each, whose i-th are one scene; or None.
    """
    self._records, self._a, self._b, self._transform = records, a, b, transform
    self._attributes = records.attributes[:, list(columns)].astype(np.float32)
    self._apart = [predicate.select(records.attributes) for predicate in apart]
    self._transfer, self._masks, self._erase = tuple(transfer), tuple(masks), erase
    self._in_memory = in_memory
    self._scenes = {}  # the other picture of a record's scene
    for one, other in zip(*aligned, strict=True) if aligned else ():
      self._scenes |= {int(one): int(other), int(other): int(one)}
    self._rows = {}
    self._masked = {}  # domain: whether any of its records has a mask
    self._labelled = None  # whether any of a's records has class ids

  def __len__(self):
    return min(len(self._a), len(self._b))

  def get(self, indices: Sequence[int]) -> list[dict[str, np.ndarray]]:
    """Returns one dict a pair, without `valid`; callers must not write into the arrays."""
    missing = [index for index in dict.fromkeys(indices) if index not in self._rows]
    decoded = pictures.parallel_map(self._decode, missing)
    # Drawing true answers is left to one thread: the records need not be safe for several.
    rows = {index: self._truths(index, dict(row))
            for index, row in zip(missing, decoded, strict=True)}
    if rows:
      size = sum(array.nbytes for array in next(iter(rows.values())).values())
      if pictures.keeps(self._in_memory, size * len(self)):
        self._rows.update(rows)
    return [self._rows[index] if index in self._rows else rows[index] for index in indices]

  def prepare(self, array: np.ndarray, index: int) -> np.ndarray:
    """Crops and resizes a picture or mask of a record; UserError if the crop does not fit."""
    return self._transform.unaugmented(array, self._records.name(index))

  def _decode(self, pair):
    row = {}
    for name, indices in (('a', self._a), ('b', self._b)):
      index = int(indices[pair])
      row[name] = self.prepare(self._records.image(index), index)
      if self._attributes.shape[1]:
        row[f'{name}_attributes'] = self._attributes[index]
      if self._apart:
        row[f'{name}_apart'] = np.array([group[index] for group in self._apart], bool)
    return row

  def _truths(self, pair, row):
    """Adds masks and true answers to a row."""
    a, b = int(self._a[pair]), int(self._b[pair])
    for name, index in (('a', a), ('b', b)):
      if not self._has_masks(name):
        continue
      mask = self.true_mask(index)
      if mask is None:
        row[f'{name}_mask'] = np.full((*row[name].shape[:2], 1), np.nan, np.float32)
      else:
        row[f'{name}_mask'] = self.prepare(mask, index)[..., None]
    if self._has_labels():
      label = self._records.label(a)
      row['a_labels'] = (np.full(row['a'].shape[:2], -1, np.int32) if label is None
                         else self.prepare(label, a))
    if hasattr(self._records, 'translation_truths'):
      truth_ab, truth_ba = self._records.translation_truths(a, b)
      row['truth_ab'], row['truth_ba'] = self.prepare(truth_ab, a), self.prepare(truth_ba, b)
    elif self._scenes:
      beside = self._scenes[a], self._scenes[b]
      row['truth_ab'], row['truth_ba'] = (row['b'], row['a']) if beside == (b, a) else (
          self.prepare(self._records.image(index), index) for index in beside)
    if self._transfer and hasattr(self._records, 'transfer_truth'):
      truth, region = self._records.transfer_truth(a, b, self._transfer)
      row['truth_ab'] = self.prepare(truth, a)
      row['truth_ab_mask'] = self.prepare(region, a)[..., None]
      row['truth_ba'] = self.prepare(self._without(b, a), b)
      if self._erase:
        shown = self.prepare(self._records.mask(b, self._erase), b) > 0
        truth, region = self._records.erased_truth(a, b, self._transfer, self._erase)
        row['b_erase'] = _grown(shown, max(1, len(shown) // 32))[..., None]
        row['truth_ab_erased'] = self.prepare(truth, a)
        row['a_erase'] = self.prepare(region, a)[..., None]
    return row

  def _without(self, b, a):
    """Returns b without what is transferred, uint8 as stored; what every face has is a's."""
    if set(self._transfer) <= set(getattr(self._records, 'features', ())):
      return self._records.transfer_truth(b, a, self._transfer)[0]
    return self._records.removal_truth(b, self._transfer)

  def true_mask(self, index: int) -> np.ndarray | None:
    """Returns the mask of a record of the split, float32 [H, W] as stored, or None."""
    if not hasattr(self._records, 'transfer_truth'):
      return self._records.mask(index, self._masks[0] if self._masks else '')  # it has only one
    if not self._masks:
      return None  # these have a mask for each attribute, and none was asked for
    return np.maximum.reduce([self._records.mask(index, name) for name in self._masks])

  def _has_masks(self, name):
    if name not in self._masked:
      indices = (self._a if name == 'a' else self._b)[:len(self)]
      self._masked[name] = any(self.true_mask(int(index)) is not None for index in indices)
    return self._masked[name]

  def _has_labels(self):
    if self._labelled is None:
      self._labelled = hasattr(self._records, 'label') and any(
          self._records.label(int(index)) is not None for index in self._a[:len(self)])
    return self._labelled


def turned(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Returns b turned, b_i = b_{i + n mod M}, so that no pair (a_i, b_i) is a record with itself.

  The least such n: 0 where the domains have nothing in common, 1 where they are one set. Only a
  single b that is also the first a must stay with itself.

  Args:
    a: record numbers, each once, int [N].
    b: the same, int [M]; min(N, M) pairs.
  """
  _, of_a, of_b = np.intersect1d(a[:len(b)], b, assume_unique=True, return_indices=True)
  bad = {int(n) for n in (of_b - of_a) % max(len(b), 1)}
  return np.roll(b, -next((n for n in range(len(b)) if n not in bad), 0))


def _grown(region, by):
  """Returns float32 [H, W]: 1 where bool [H, W] holds within `by` rows and columns, else 0."""
  windows = np.lib.stride_tricks.sliding_window_view(np.pad(region, by), (2 * by + 1,) * 2)
  return windows.any(axis=(-2, -1)).astype(np.float32)


class Evaluation:
  """Re-iterable batches of pairs; `len` counts batches, `num_pairs` the pairs in them."""

  def __init__(self, pairs: Pairs, batch_size: int, rows: np.ndarray, max_pairs: int | None):
    """Yields the `rows` (of 0..batch_size-1) of every batch of at most `max_pairs` pairs."""
    self._pairs, self._batch_size, self._rows = pairs, batch_size, rows
    self.num_pairs = len(pairs) if max_pairs is None else min(len(pairs), max_pairs)

  def __len__(self):
    return -(-self.num_pairs // self._batch_size)

  def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
    for batch in range(len(self)):
      indices = batch * self._batch_size + self._rows
      valid = indices < self.num_pairs
      found = self._pairs.get([int(index) for index in np.minimum(indices, self.num_pairs - 1)])
      yield {name: np.stack([row[name] for row in found]) for name in found[0]} | {'valid': valid}


def local_rows(batch_size: int, process_index: int, process_count: int) -> np.ndarray:
  """Returns the rows [p*B/P, (p+1)*B/P) of a batch that process p of P holds."""
  if batch_size < 1 or batch_size % process_count:
    raise errors.UserError(f'batch_size={batch_size} must be a positive multiple of the number of '
                           f'processes ({process_count})')
  local = batch_size // process_count
  return np.arange(process_index * local, (process_index + 1) * local)
