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
of 64) of where it shows; `truth_ab_erased` uint8 (a wearing b's others, but a's of this one);
and `a_erase` float32 [B, H, W, 1] (where that differs from `truth_ab`).
"""

from collections.abc import Callable, Iterator, Sequence
import functools

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import pictures, predicates
from maskgan_jax.data.records import Records
from maskgan_jax.data.transforms import Transform

Row = dict[str, np.ndarray]  # of one pair


class Pairs:
  """Pair i is a's i-th record with b's i-th, computed once if memory allows."""

  def __init__(
    self,
    records: Records,
    a: np.ndarray,
    b: np.ndarray,
    transform: Transform,
    *,
    columns: Sequence[int],
    transfer: Sequence[str],
    masks: Sequence[str],
    erase: str,
    apart: Sequence[predicates.Predicate],
    in_memory: str,
    aligned: tuple[np.ndarray, np.ndarray] | None = None,
  ):
    """Pairs the record numbers of `a` and `b`.

    Args:
      records: all of the split.
      a: their numbers, int [N].
      b: int [M]; min(N, M) pairs.
      transform: its fixed and central part is applied.
      columns: of the attributes that batches contain.
      transfer: names that true answers move.
      masks: names whose masks are laid over each other.
      erase: one of `transfer`, or ''.
      apart: the groups that batches tell apart.
      in_memory: config.data.in_memory.
      aligned: all record numbers of a and b, int [K] each, whose i-th are one scene; or None.
    """
    self._records = records
    self._a, self._b = a, b
    self._transform = transform
    self._attributes = records.attributes[:, list(columns)].astype(np.float32)
    self._groups = [predicate.select(records.attributes) for predicate in apart]
    self._transfer, self._masks, self._erase = tuple(transfer), tuple(masks), erase
    self._in_memory = in_memory
    self._same_scene = _others_of_scenes(*aligned) if aligned else {}
    self._rows: dict[int, Row] = {}
    self._any_masks: dict[str, bool] = {}  # by domain

  def __len__(self):
    return min(len(self._a), len(self._b))

  def get(self, indices: Sequence[int]) -> list[Row]:
    """Returns one dict a pair, without `valid`; callers must not write into the arrays."""
    missing = [index for index in dict.fromkeys(indices) if index not in self._rows]
    decoded = pictures.parallel_map(self._decode, missing)
    # One thread alone draws true answers: records need not be safe for several.
    new_rows = {}
    for index, row in zip(missing, decoded, strict=True):
      new_rows[index] = self._with_truths(index, row)

    # All rows are kept or none: they are of one size, so the first tells what all take.
    if new_rows:
      some_row = new_rows[missing[0]]
      size = sum(array.nbytes for array in some_row.values())
      if pictures.keeps(self._in_memory, size * len(self)):
        self._rows.update(new_rows)
    rows = self._rows | new_rows
    return [rows[index] for index in indices]

  def prepare(self, array: np.ndarray, index: int) -> np.ndarray:
    """Crops and resizes a picture or mask of a record; UserError if the crop does not fit."""
    return self._transform.unaugmented(array, self._records.name(index))

  def true_mask(self, index: int) -> np.ndarray | None:
    """Returns the mask of a record of the split, float32 [H, W] as stored, or None."""
    return self._records.mask_of(index, self._masks)

  def _decode(self, pair: int) -> Row:
    """Returns the two pictures and what labels say of them."""
    # `apart` says to which groups, measured apart from the others, a picture belongs.
    row = {}
    for domain, indices in (('a', self._a), ('b', self._b)):
      index = int(indices[pair])
      row[domain] = self.prepare(self._records.image(index), index)
      if self._attributes.shape[1]:
        row[f'{domain}_attributes'] = self._attributes[index]
      if self._groups:
        row[f'{domain}_apart'] = np.array(
          [group[index] for group in self._groups], bool
        )
    return row

  def _with_truths(self, pair: int, row: Row) -> Row:
    """Returns a row with the masks and true answers that the records know."""
    # The true masks of both pictures and a's label map, if the records have them.
    a, b = int(self._a[pair]), int(self._b[pair])
    row = dict(row)
    for domain, index in (('a', a), ('b', b)):
      if self._has_masks(domain):
        row[f'{domain}_mask'] = self._mask(index)
    if self._has_labels:
      row['a_labels'] = self._class_ids(a)

    # The right answers: as they were drawn, as the other picture of a scene, or by attributes.
    if truths := self._records.translation_truths(a, b):
      truth_ab, truth_ba = truths
      row['truth_ab'] = self.prepare(truth_ab, a)
      row['truth_ba'] = self.prepare(truth_ba, b)
    elif self._same_scene:
      row['truth_ab'] = self._other_of_scene(a, b, row['b'])
      row['truth_ba'] = self._other_of_scene(b, a, row['a'])
    if self._transfer and self._records.knows_transfers:
      row |= self._transfer_truths(a, b)
    return row

  def _mask(self, index: int) -> np.ndarray:
    """Returns the mask of a record, float32 [H, W, 1]; NaN throughout where it has none."""
    mask = self.true_mask(index)
    if mask is None:
      return np.full((*self._transform.shape, 1), np.nan, np.float32)
    return self.prepare(mask, index)[..., None]

  def _class_ids(self, index: int) -> np.ndarray:
    """Returns the class ids of a record, int32 [H, W]; -1 throughout where it has none."""
    label = self._records.label(index)
    if label is None:
      return np.full(self._transform.shape, -1, np.int32)
    return self.prepare(label, index)

  def _other_of_scene(
    self, index: int, partner: int, partner_image: np.ndarray
  ) -> np.ndarray:
    """Returns the other picture of a record's scene, which is mostly its partner in the pair."""
    other = self._same_scene[index]
    if other == partner and self._same_scene[partner] == index:
      return partner_image
    return self.prepare(self._records.image(other), other)

  def _transfer_truths(self, a: int, b: int) -> Row:
    """Returns what moving, removing and erasing attributes would make of a pair."""
    # What moving and removing attributes makes, and where moving them shows.
    truth, region = self._records.transfer_truth(a, b, self._transfer)
    row = {
      'truth_ab': self.prepare(truth, a),
      'truth_ab_mask': self.prepare(region, a)[..., None],
      'truth_ba': self.prepare(self._without_transferred(b, a), b),
    }

    # The mask that erases reaches a little beyond what is to be erased.
    if self._erase:
      shown = self.prepare(self._records.mask(b, self._erase), b) > 0
      truth, region = self._records.erased_truth(a, b, self._transfer, self._erase)
      reach = max(1, len(shown) // 32)
      row['b_erase'] = _grown(shown, reach)[..., None]
      row['truth_ab_erased'] = self.prepare(truth, a)
      row['a_erase'] = self.prepare(region, a)[..., None]
    return row

  def _without_transferred(self, b: int, a: int) -> np.ndarray:
    """Returns b without what is transferred, uint8 as stored; a feature of all faces is a's."""
    if set(self._transfer) <= set(self._records.features):
      return self._records.transfer_truth(b, a, self._transfer)[0]
    return self._records.removal_truth(b, self._transfer)

  def _has_masks(self, domain: str) -> bool:
    """Returns whether any record of a domain has a mask."""
    if domain not in self._any_masks:
      indices = self._a if domain == 'a' else self._b
      self._any_masks[domain] = _any_known(self.true_mask, indices[: len(self)])
    return self._any_masks[domain]

  @functools.cached_property
  def _has_labels(self) -> bool:
    """Whether any record of a has class ids."""
    return _any_known(self._records.label, self._a[: len(self)])


def _others_of_scenes(a: np.ndarray, b: np.ndarray) -> dict[int, int]:
  """Returns the other picture of each record's scene, where a_i and b_i show one scene."""
  other_of = {}
  for one, other in zip(a.tolist(), b.tolist(), strict=True):
    other_of[one] = other
    other_of[other] = one
  return other_of


def _any_known(read: Callable[[int], np.ndarray | None], indices: np.ndarray) -> bool:
  """Returns whether a function returns something for any record number."""
  return any(read(int(index)) is not None for index in indices)


def turned(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Returns b rotated, b_i = b_{i + n mod M}, so that no pair (a_i, b_i) is a record with itself.

  n is the least such number: 0 where the domains have nothing in common, 1 where they are one set.
  Only a single b that is also the first a must stay with itself.

  Args:
    a: record numbers, each once, int [N].
    b: the same, int [M]; min(N, M) pairs.
  """
  _, of_a, of_b = np.intersect1d(
    a[: len(b)], b, assume_unique=True, return_indices=True
  )
  # Rotating by the distance between a record's two places pairs it with itself.
  distances = set(((of_b - of_a) % max(len(b), 1)).tolist())
  for turn in range(len(b)):
    if turn not in distances:
      return np.roll(b, -turn)
  return b


def _grown(region: np.ndarray, by: int) -> np.ndarray:
  """Returns float32 [H, W]: 1 where bool [H, W] holds within `by` rows and columns, else 0."""
  side = 2 * by + 1
  windows = np.lib.stride_tricks.sliding_window_view(np.pad(region, by), (side, side))
  return windows.any(axis=(-2, -1)).astype(np.float32)


class Evaluation:
  """Re-iterable batches of pairs; `len` counts batches, `num_pairs` the pairs in them."""

  def __init__(
    self, pairs: Pairs, batch_size: int, rows: np.ndarray, max_pairs: int | None
  ):
    """Yields the `rows` (of 0..batch_size-1) of every batch of at most `max_pairs` pairs."""
    self._pairs = pairs
    self._batch_size = batch_size
    self._rows = rows
    self.num_pairs = len(pairs) if max_pairs is None else min(len(pairs), max_pairs)

  def __len__(self):
    return -(-self.num_pairs // self._batch_size)

  def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
    # The last batch repeats its last pair; `valid` is False there.
    for batch in range(len(self)):
      indices = batch * self._batch_size + self._rows
      valid = indices < self.num_pairs
      rows = self._pairs.get(np.minimum(indices, self.num_pairs - 1).tolist())
      batch = {}
      for name in rows[0]:
        batch[name] = np.stack([row[name] for row in rows])
      batch['valid'] = valid
      yield batch


def local_rows(batch_size: int, process_index: int, process_count: int) -> np.ndarray:
  """Returns the rows [p*B/P, (p+1)*B/P) of a batch that process p of P holds."""
  if batch_size < 1 or batch_size % process_count:
    raise errors.UserError(
      f'batch_size={batch_size} must be a positive multiple of the number of '
      f'processes ({process_count})'
    )
  local = batch_size // process_count
  return np.arange(process_index * local, (process_index + 1) * local)
