"""The only door to data: training batches that are a pure function of (seed, step), and evaluation.

Batches are dicts of NumPy arrays, NHWC. Training: `a`, `b` uint8 [B, H, W, 3], and `a_attributes`,
`b_attributes` float32 [B, K] where `config.data.attributes` names any. With
`config.data.masks_share` also `a_mask`, `b_mask` uint8 [B, H, W, 1] (255 is 1) and `a_mask_given`,
`b_mask_given` float32 [B], 1 where a picture has a mask and 0 where the mask is to be ignored. The
domains may be one set, if a method tells domains apart by labels: a_i and b_i are then two random
records of it.
"""

from collections.abc import Callable
import dataclasses
import functools
import hashlib
import itertools

import ml_collections
import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import (
  batches,
  landmarks,
  order,
  pictures,
  predicates,
  sources,
  splits,
  training_masks,
)
from maskgan_jax.data import evaluation as evaluation_lib
from maskgan_jax.data.records import fewest_by_hash, Records, Source, SPLITS
from maskgan_jax.data.transforms import Transform

_SQUARE = ('avatars', 'circle_square')  # sources that draw square pictures only


def make(config: ml_collections.ConfigDict) -> 'Data':
  """Opens the data that a config describes; UserError says what is wrong with it.

  Args:
    config: `data`, `image_size`, `image_width` and `seed` count.
  """
  landmarks.template_of(config)  # a wrong one is said before training, not after
  source_name = config.data.source
  if source_name in _SQUARE and config.image_width not in (0, config.image_size):
    raise errors.UserError(
      f'config.image_width is {config.image_width} and image_size '
      f'{config.image_size}, but {source_name} can only be drawn square; set '
      'config.image_width to 0'
    )
  source = sources.open_source(config.data, image_size=config.image_size)
  return Data(config.data, source, Transform.of(config), config.seed)


class Data:
  """Two domains, a without the attribute and b with it, divided into splits.

  Attributes:
    attribute_names: what the K columns of `a_attributes` and `b_attributes` mean.
    apart: what the G columns of `a_apart` and `b_apart` mean: predicates, as written.
    training_masks: those that training sees; None if it sees none.
    image_shape: height and width of every picture.
    fingerprint: changes with whatever was read: pictures, labels, division, transform.
    identity: the same, but of files only names and labels count; what a run goes on with.
  """

  def __init__(
    self,
    config_data: ml_collections.ConfigDict,
    source: Source,
    transform: Transform,
    seed: int,
  ):
    """Use `make`; this takes an opened source."""
    self._config = ml_collections.FrozenConfigDict(config_data)
    self._source = source
    self._transform = transform
    self._seed = seed
    self.image_shape = transform.shape
    self.attribute_names = tuple(config_data.attributes)
    self.apart = tuple(config_data.apart)
    self._check_config()

    # What the config says in words, as columns, predicates and record numbers.
    records = source.records['train']
    labels = tuple(records.attribute_names)
    self._columns = [labels.index(name) for name in self.attribute_names]
    self._masks = (
      predicates.parse_union(
        config_data.mask, labels + records.features, where='config.data.mask'
      )
      or self._transfer()
    )
    self._apart = [
      predicates.parse(text, labels, where='config.data.apart') for text in self.apart
    ]
    self._domains = {split: self._select(split) for split in SPLITS}

    self.training_masks = self._given_masks()

    # What was decoded stays, for whoever asks next.
    self._stack: pictures.Pictures | None = None
    self._evaluations: dict[str, evaluation_lib.Pairs] = {}
    self.fingerprint = self._digest(lambda records: records.fingerprint)
    self.identity = self._digest(lambda records: records.identity)

  def _given_masks(self) -> training_masks.TrainingMasks | None:
    """Returns the masks that training sees, or None."""
    share = self._config.masks_share
    if not share:
      return None
    return training_masks.TrainingMasks(
      self._source.records['train'], self._domains['train'], self._masks, share
    )

  def _check_config(self) -> None:
    """Raises a UserError for names that these records do not have, and fields at odds."""
    config = self._config
    if config.aligned and config.fixed_pairs:
      raise errors.UserError(
        'config.data.aligned and fixed_pairs both say who meets whom; set one '
        'of them to False'
      )

    # Attributes and features must be those of the records.
    records = self._source.records['train']
    labels = tuple(records.attribute_names)
    _check_names('attributes', config.attributes, labels)
    _check_names('transfer', config.transfer, labels + records.features)
    transfer = self._transfer()
    if config.erase and config.erase not in transfer:
      raise errors.UserError(
        f'config.data.erase={config.erase!r} must be one of what is '
        f'transferred: {predicates.shortlist(transfer)}'
      )
    if not all(text.strip() for text in self.apart):
      raise errors.UserError(
        f'config.data.apart={self.apart!r} has an empty group; leave it out'
      )

  def _select(self, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the record numbers of a and b in one split."""
    records = self._source.records[split]
    limit = self._config[f'num_{split}']
    predicate_a, predicate_b = self._source.domains.of(split)
    a = np.flatnonzero(predicate_a.select(records.attributes))
    b = np.flatnonzero(predicate_b.select(records.attributes))
    if self._config.aligned:
      splits.check_scenes(a, b, f'{split} pictures')
      if limit:
        kept = np.isin(a, fewest_by_hash(records, a, limit))
        a, b = a[kept], b[kept]
    elif limit and self._config.source != 'avatars':
      # Of avatars only that many were drawn.
      a, b = fewest_by_hash(records, a, limit), fewest_by_hash(records, b, limit)
    return a, b

  def _digest(self, of_records: Callable[[Records], str]) -> str:
    """Returns a hash of transform, columns and members, and of what each split's records say."""
    facts = dataclasses.asdict(self._transform)
    facts.update(
      image_width=self.image_shape[1],  # 0 may stand for it in the config
      attributes=self.attribute_names,
      fixed_pairs=self._config.fixed_pairs,
      aligned=self._config.aligned,
    )
    if self.training_masks:
      facts.update(self.training_masks.facts())
    digest = hashlib.sha256(repr(sorted(facts.items())).encode())
    for split in SPLITS:
      digest.update(of_records(self._source.records[split]).encode())
      for indices in self._domains[split]:
        digest.update(f'{len(indices)} '.encode() + indices.tobytes())
    return digest.hexdigest()[:16]

  def describe(self) -> dict:
    """Returns counts by split and domain, how they came about, and the fingerprint; JSON-able."""
    # The counts need not add up: a picture may be in both domains or in neither.
    domains = self._source.domains
    counts = {}
    for split in SPLITS:
      a, b = self._domains[split]
      pictures_of_split = len(self._source.records[split])
      counts[split] = {'a': len(a), 'b': len(b), 'pictures': pictures_of_split}
    described = {
      'source': self._config.source,
      'place': self._config.path or self._config.name,
      'a': domains.a.text,
      'b': domains.b.text,
      'test_a': domains.test_a.text,
      'test_b': domains.test_b.text,
      'counts': counts,
      'divided': dict(self._source.divided),
      'remark': self._source.remark,
      'unused': self._source.unused,
      'in_memory': self._keeps_train(),
      'fingerprint': self.fingerprint,
    }
    if self.training_masks:
      described['training_masks'] = self.training_masks.counts()
    return described

  def records(self, split: str) -> Records:
    """Returns all the records of a split, whatever their domain."""
    return self._source.records[split]

  def members(self, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the record numbers of a and of b in a split."""
    return self._domains[split]

  def pairs(self, split: str, a: np.ndarray, b: np.ndarray) -> evaluation_lib.Pairs:
    """Returns pairs of record numbers as evaluation sees them, with masks and true answers."""
    return evaluation_lib.Pairs(
      self.records(split),
      a,
      b,
      self._transform,
      columns=self._columns,
      transfer=self._transfer(),
      masks=self._masks,
      erase=self._config.erase,
      apart=self._apart,
      in_memory=self._config.in_memory,
      aligned=self._domains[split] if self._config.aligned else None,
    )

  def _keeps_train(self) -> bool:
    """Returns whether training keeps its pictures in memory."""
    if self._config.workers and self._config.in_memory == 'auto':
      return False  # each worker would keep a copy
    used = len(np.union1d(*self._trained()))
    height, width = self._transform.stored_shape
    channels = 4 if self.training_masks else 3
    return pictures.keeps(self._config.in_memory, used * height * width * channels)

  def _trained(self) -> tuple[np.ndarray, np.ndarray]:
    """Returns the record numbers of a and b that training takes."""
    a, b = self._domains['train']
    if self._config.fixed_pairs:
      return order.fixed_pairs(a, b, seed=self._seed)
    return a, b

  def _require(self, split: str) -> None:
    """Raises a UserError for a split in which a domain has no pictures."""
    # An empty domain is an error, which says how often its attributes occur.
    records = self._source.records[split]
    if not len(records):
      raise errors.UserError(f'there are no {split} pictures; {_remedy(split)}')
    domains = zip(
      'ab', self._source.domains.of(split), self._domains[split], strict=True
    )
    for domain, predicate, indices in domains:
      if not len(indices):
        prefix = '' if split == 'train' else 'test_'
        raise errors.UserError(
          f'domain {domain} is empty: {predicate.text!r} selects none of the {len(records)} '
          f'{split} pictures ({_totals(records, predicate)}); change '
          f'config.data.{prefix}{domain}, or {_remedy(split)}'
        )

  def train(
    self,
    *,
    batch_size: int,
    draws: int = 1,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
  ) -> batches.Feed:
    """Returns the endless batches of steps start_step, start_step + 1, ...

    Args:
      batch_size: pairs a step, over all processes; a process yields its rows of it.
      draws: fresh batches a step; if more than one, leaves are [draws, B, ...].
      start_step: where a resumed run goes on; the batch of a step does not depend on it.
      process_index: which of `process_count` equal parts of each batch to yield.

    Raises:
      UserError: an empty domain, or a batch that can't be divided; on reading, a bad picture.
    """
    # Batches do not depend on the number of processes: each yields its rows of them.
    rows = evaluation_lib.local_rows(batch_size, process_index, process_count)
    self._require('train')
    records = self._source.records['train']
    attributes = records.attributes[:, self._columns].astype(np.float32)
    orders = itertools.starmap(self._order, enumerate(self._trained()))
    source = batches.Batches(
      self._train_pictures(),
      list(orders),
      attributes,
      self._transform,
      masks=self._train_masks,
      batch_size=batch_size,
      rows=rows,
      draws=draws,
    )

    # Pictures in memory need no workers to decode them.
    workers = 0 if self._keeps_train() else self._config.workers
    return batches.Feed(
      source, start_step=start_step, prefetch=self._config.prefetch, workers=workers
    )

  def _train_pictures(self) -> pictures.Pictures:
    """Returns the pictures to train with; those decoded once stay, if memory allows."""
    if not self._stack:
      records = self._source.records['train']
      used = np.union1d(*self._trained())
      keep = self._keeps_train()
      self._stack = pictures.Pictures(records, self._transform, used, keep=keep)
    return self._stack

  @functools.cached_property
  def _train_masks(self) -> training_masks.MaskPictures | None:
    """The masks to train with; None where training sees none."""
    if not self.training_masks:
      return None
    used = np.union1d(*self._trained())
    return self.training_masks.stack(self._transform, used, keep=self._keeps_train())

  def _order(self, domain: int, indices: np.ndarray) -> order.Order:
    """Returns the order in which training takes the record numbers of domain 0 or 1."""
    return order.Order(
      indices,
      seed=self._seed,
      domain=domain,
      in_step=self._config.fixed_pairs,
      aligned=self._config.aligned,
    )

  def evaluation(
    self,
    split: str,
    *,
    batch_size: int,
    max_pairs: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
  ) -> evaluation_lib.Evaluation:
    """Returns the re-iterable batches of index-aligned pairs (a_i, b_i) of a split.

    Nothing is random. Pictures that were decoded once stay for the next time. Where a picture
    would be paired with itself, b is rotated (`evaluation.turned`).

    Args:
      split: 'validation' or 'test' ('train' too, without augmentation).
      batch_size: pairs a batch over all processes; the last is padded, `valid` False there.
      max_pairs: at most this many; there are min(len(a), len(b)).
      process_index: which of `process_count` equal parts of each batch to yield.

    Raises:
      UserError: an empty domain, or a batch that can't be divided; on reading, a bad picture.
    """
    if split not in SPLITS:
      raise errors.UserError(
        f'split={split!r} must be one of {", ".join(SPLITS)}'
        f'{errors.nearest(split, SPLITS)}'
      )
    rows = evaluation_lib.local_rows(batch_size, process_index, process_count)
    self._require(split)

    # Pairs are made once a split, and keep what they have decoded.
    if split not in self._evaluations:
      a, b = self._domains[split]
      self._evaluations[split] = self.pairs(split, a, evaluation_lib.turned(a, b))
    return evaluation_lib.Evaluation(
      self._evaluations[split], batch_size, rows, max_pairs
    )

  def _transfer(self) -> tuple[str, ...]:
    """Returns the attributes that b has to offer: the config's, or asked for in b and not in a."""
    if self._config.transfer:
      return tuple(self._config.transfer)

    # What b asks for and a denies comes before what a says nothing of.
    of_a, of_b = self._source.domains.of('test')
    denied_in_a = tuple(name for name in of_b.positive if name in of_a.negative)
    return denied_in_a or tuple(
      name for name in of_b.positive if name not in of_a.positive
    )


def _check_names(field: str, names: tuple[str, ...], choices: tuple[str, ...]) -> None:
  """Raises a UserError for a name in a field of config.data that is not an attribute."""
  for name in names:
    if name not in choices:
      hint = (
        errors.nearest(name, choices)
        or f'; attributes: {predicates.shortlist(choices)}'
      )
      raise errors.UserError(
        f'config.data.{field}: there is no attribute {name!r}{hint}'
      )


def _totals(records: Records, predicate: predicates.Predicate) -> str:
  """Says how many records have each of the attributes that a predicate names."""
  names = tuple(records.attribute_names)
  texts = []
  for name in dict.fromkeys(predicate.positive + predicate.negative):
    total = records.attributes[:, names.index(name)].sum()
    texts.append(f'{total} with {name}')
  return ', '.join(texts)


def _remedy(split: str) -> str:
  """Returns what can be done about a split without pictures."""
  if split == 'train':
    return 'add pictures'
  return f'add pictures, or raise config.data.{split}_fraction'
