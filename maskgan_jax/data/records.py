"""Labelled pictures as they are stored, and a source of them, whole or divided into splits."""

from collections.abc import Sequence
import dataclasses
import functools
import hashlib

import numpy as np

from maskgan_jax.data.domains import Domains

SPLITS = ('train', 'validation', 'test')


class Records:
  """Labelled pictures, as they are stored; a source subclasses this. Must pickle, for workers.

  Attributes:
    attribute_names: K names.
    attributes: bool [N, K].
    fingerprint: changes when a pixel or a label does, as far as that is cheap to see.
    identity: changes when a name or a label does; by default the fingerprint.
    features: names of what every picture shows, such as a hair colour, and can be transferred.
    knows_transfers: whether the records know what moving, removing and erasing attributes makes of
      a picture, and have a mask for each attribute; otherwise a picture has one mask at most.
  """

  attribute_names: tuple[str, ...]
  attributes: np.ndarray
  fingerprint: str
  features: tuple[str, ...] = ()
  knows_transfers = False

  @functools.cached_property
  def identity(self) -> str:
    return self.fingerprint

  def __len__(self) -> int:
    raise NotImplementedError

  def name(self, index: int) -> str:
    """Returns what messages call the record; its split is a hash of this."""
    raise NotImplementedError

  def image(self, index: int) -> np.ndarray:
    """Returns uint8 [H, W, 3] as stored; UserError naming the picture if it can't be read."""
    raise NotImplementedError

  def mask(self, index: int, attribute: str) -> np.ndarray | None:
    """Returns the true mask, float32 [H, W] in [0, 1] of the picture's size, or None."""

  def mask_of(self, index: int, names: Sequence[str]) -> np.ndarray | None:
    """Returns the masks of some attributes laid over each other, or the only mask; or None."""
    if not self.knows_transfers:  # records with one mask
      return self.mask(index, names[0] if names else '')
    if not names:  # records with a mask for each attribute
      return None
    return np.maximum.reduce([self.mask(index, name) for name in names])

  def has_mask(self, index: int, names: Sequence[str]) -> bool:
    """Returns whether `mask_of` has a mask; a source overrides this where that is cheaper."""
    return self.mask_of(index, names) is not None

  def label(self, index: int) -> np.ndarray | None:
    """Returns class ids, int32 [H, W] of the picture's size, or None."""

  def labels_of(self, feature: str) -> tuple[str, ...]:
    """Returns the attributes that tell what a feature is like."""
    return ()

  def translation_truths(self, a: int, b: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns a as it should look after b, and b after a, uint8 as stored; None if not known."""

  def transfer_truth(
    self, a: int, b: int, attributes: Sequence[str]
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns a wearing b's attributes, uint8, and the share of each pixel that changed."""
    raise NotImplementedError

  def erased_truth(
    self, a: int, b: int, attributes: Sequence[str], erased: str
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns a wearing b's attributes except one, and where that differs from wearing all."""
    raise NotImplementedError

  def removal_truth(self, b: int, attributes: Sequence[str]) -> np.ndarray:
    """Returns b without the attributes, uint8."""
    raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Listing:
  """All records of a source, before it is divided.

  Attributes:
    records: all of it, in listing order.
    splits: int8 [N], an index into SPLITS, or -1 where the source does not say.
    remark: a sentence for `describe`, e.g. about files that are listed but absent.
    rows: int [N], the row of each record in the source's list, from 0; None: each has the next.
    unused: names pictures beside them that are not used; '' where there are none.
  """

  records: Records
  splits: np.ndarray
  remark: str = ''
  rows: np.ndarray | None = None
  unused: str = ''


class Subset(Records):
  """Some of the records of another, in the order of `indices`."""

  def __init__(self, records: Records, indices: np.ndarray):
    self._records = records
    self._indices = np.asarray(indices, np.int64)
    self.attribute_names = records.attribute_names
    self.attributes = records.attributes[self._indices]
    self.fingerprint = self._digest(records.fingerprint)
    self.identity = self._digest(records.identity)

  def __len__(self):
    return len(self._indices)

  def _digest(self, text: str) -> str:
    """Returns a hash of a text and of the indices."""
    content = text.encode() + self._indices.tobytes()
    return hashlib.sha256(content).hexdigest()[:16]

  def name(self, index):
    return self._records.name(int(self._indices[index]))

  def image(self, index):
    return self._records.image(int(self._indices[index]))

  def mask(self, index, attribute):
    return self._records.mask(int(self._indices[index]), attribute)

  def has_mask(self, index, names):
    return self._records.has_mask(int(self._indices[index]), names)

  def label(self, index):
    return self._records.label(int(self._indices[index]))


@dataclasses.dataclass(frozen=True)
class Source:
  """A source divided: records and domains by split, and in words how it was divided."""

  records: dict[str, Records]
  domains: Domains
  divided: dict[str, str]
  remark: str = ''
  unused: str = ''


def name_fraction(name: str) -> float:
  """Returns a number in [0, 1) that depends on the name alone, the same on every machine."""
  digest = hashlib.blake2b(
    name.encode('utf-8', 'surrogateescape'), digest_size=8
  ).digest()
  return int.from_bytes(digest, 'big') / 2**64


def fewest_by_hash(records: Records, indices: np.ndarray, limit: int) -> np.ndarray:
  """Returns `limit` of the record numbers, by hash of the name, in their order."""
  if len(indices) <= limit:
    return indices
  fractions = [name_fraction(records.name(int(index))) for index in indices]
  return indices[np.sort(np.argsort(fractions, kind='stable')[:limit])]
