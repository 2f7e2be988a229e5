"""The only door to data: training batches that are a pure function of (seed, step), and evaluation.

Batches are dicts of NumPy arrays, NHWC. Training: `a`, `b` uint8 [B, H, W, 3], and `a_attributes`,
`b_attributes` float32 [B, K] where `config.data.attributes` names any. The domains may be one set,
as where labels are what tells domains apart: a_i and b_i are then two random records of it.
"""

import hashlib

import ml_collections
import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import batches, order, pictures, predicates, sources, splits, transforms
from maskgan_jax.data import evaluation as evaluation_lib
from maskgan_jax.data.records import name_fraction, Records, Source, SPLITS


def make(config_data: ml_collections.ConfigDict, *, image_size: int, seed: int,
         image_width: int = 0) -> 'Data':
  """Opens the data that `config.data` describes; UserError says what is wrong with it.

  Args:
    config_data: config.data.
    image_size: height of every picture, pixels.
    seed: of order and augmentation.
    image_width: width of every picture, pixels; 0 = image_size.
  """
  if config_data.source in ('avatars', 'circle_square') and image_width not in (0, image_size):
    raise errors.UserError(f'config.image_width is {image_width} and image_size {image_size}, but '
                           f'{config_data.source} can only be drawn square; set '
                           'config.image_width to 0')
  source = sources.open_source(config_data, image_size=image_size)
  transform = transforms.from_config(config_data, image_size, image_width)
  return Data(config_data, source, transform, seed)


class Data:
  """Two domains, a without the attribute and b with it, divided into splits.

  Attributes:
    attribute_names: what the K columns of `a_attributes` and `b_attributes` mean.
    apart: what the G columns of `a_apart` and `b_apart` mean: predicates, as written.
    image_shape: height and width of every picture.
    fingerprint: changes with whatever was read: pictures, labels, division, transform.
    identity: the same, but of files only names and labels count; what a run goes on with.
  """

  def __init__(self, config_data, source: Source, transform: transforms.Transform,
               seed: int):
    """Use `make`; this takes an opened source."""
    self._config = ml_collections.FrozenConfigDict(config_data)
    self._source = source
    self._transform = transform
    self._seed = seed
    self._check_config()
    self.image_shape = transform.shape
    self.attribute_names = tuple(config_data.attributes)
    known = source.records['train'].attribute_names
    self._columns = [known.index(name) for name in self.attribute_names]
    self._domains = {split: self._select(split) for split in SPLITS}
    self._stack, self._evaluations = None, {}  # what was decoded, for the next who asks
    self.fingerprint = self._digest(lambda records: records.fingerprint)
    self.identity = self._digest(lambda records: getattr(records, 'identity', records.fingerprint))

  def _check_config(self):
    config = self._config
    if config.in_memory not in ('auto', 'always', 'never'):
      raise errors.UserError(f"config.data.in_memory={config.in_memory!r} must be 'auto', 'always' "
                             "or 'never'")
    if config.workers < 0 or config.prefetch < 1:
      raise errors.UserError(f'config.data.workers={config.workers} must be at least 0 and '
                             f'prefetch={config.prefetch} at least 1')
    if config.aligned and config.fixed_pairs:
      raise errors.UserError('config.data.aligned and fixed_pairs both say who meets whom; set one '
                             'of them to False')
    for field in map('num_{}'.format, SPLITS):
      if config[field] < 0:
        raise errors.UserError(f'config.data.{field}={config[field]} must be at least 0')
    records = self._source.records['train']
    labels = tuple(records.attribute_names)
    known = labels + tuple(getattr(records, 'features', ()))
    for field, names in (('attributes', labels), ('transfer', known)):
      for name in config[field]:
        if name not in names:
          hint = errors.nearest(name, names) or f'; attributes: {predicates.shortlist(names)}'
          raise errors.UserError(f'config.data.{field}: there is no attribute {name!r}{hint}')
    transfer = self._transfer()
    if config.erase and config.erase not in transfer:
      raise errors.UserError(f'config.data.erase={config.erase!r} must be one of what is '
                             f'transferred: {predicates.shortlist(transfer)}')
    self._masks = predicates.parse_union(config.mask, known, where='config.data.mask') or transfer
    self._apart = [predicates.parse(text, labels, where='config.data.apart')
                   for text in config.apart]
    self.apart = tuple(config.apart)
    if not all(text.strip() for text in self.apart):
      raise errors.UserError(f'config.data.apart={self.apart!r} has an empty group; leave it out')

  def _select(self, split):
    """Returns the record numbers of a and b in one split."""
    records, limit = self._source.records[split], self._config[f'num_{split}']
    members = [np.flatnonzero(predicate.select(records.attributes))
               for predicate in self._source.domains.of(split)]
    if self._config.aligned:
      splits.check_scenes(*members, f'{split} pictures')
    if limit and self._config.aligned:
      chosen = np.isin(members[0], _fewer(records, members[0], limit))
      members = [indices[chosen] for indices in members]
    elif limit and self._config.source != 'avatars':  # which already drew that many
      members = [_fewer(records, indices, limit) for indices in members]
    return tuple(members)

  def _digest(self, of_records):
    digest = hashlib.sha256(f'{self._transform} {self.attribute_names}'.encode())
    digest.update(self._newer_options().encode())
    for split in SPLITS:
      digest.update(of_records(self._source.records[split]).encode())
      for indices in self._domains[split]:
        digest.update(f'{len(indices)} '.encode() + indices.tobytes())
    return digest.hexdigest()[:16]

  def _newer_options(self):
    """Returns what is on of the options that a fingerprint had once nothing to say about."""
    transform, options = self._transform, []
    if transform.shape[0] != transform.shape[1]:
      options.append(f'image_width={transform.image_width}')
    if transform.zoom_probability:
      options.append(f'zoom={transform.zoom_probability},{transform.zoom_least}')
    if self._config.fixed_pairs:
      options.append('fixed_pairs')
    if self._config.aligned:
      options.append('aligned')
    return ' '.join(options)

  def describe(self) -> dict:
    """Returns counts by split and domain, how they came about, and the fingerprint; JSON-able."""
    domains = self._source.domains
    counts = {}
    for split in SPLITS:
      a, b = self._domains[split]
      counts[split] = {'a': len(a), 'b': len(b), 'pictures': len(self._source.records[split])}
    return {
        'source': self._config.source,
        'place': self._config.path or self._config.name,
        'a': domains.a.text, 'b': domains.b.text,
        'test_a': domains.test_a.text, 'test_b': domains.test_b.text,
        'counts': counts,
        'divided': dict(self._source.divided),
        'remark': self._source.remark,
        'unused': self._source.unused,
        'in_memory': self._keeps_train(),
        'fingerprint': self.fingerprint,
    }

  def records(self, split: str) -> Records:
    """Returns all the records of a split, whatever their domain."""
    return self._source.records[split]

  def members(self, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the record numbers of a and of b in a split."""
    return self._domains[split]

  def pairs(self, split: str, a: np.ndarray, b: np.ndarray) -> evaluation_lib.Pairs:
    """Returns pairs of record numbers as evaluation sees them, with masks and true answers."""
    return evaluation_lib.Pairs(
        self.records(split), a, b, self._transform, columns=self._columns,
        transfer=self._transfer(), masks=self._masks, erase=self._config.erase, apart=self._apart,
        in_memory=self._config.in_memory,
        aligned=self._domains[split] if self._config.aligned else None)

  def _keeps_train(self):
    if self._config.workers and self._config.in_memory == 'auto':
      return False  # each worker would keep a copy
    used = len(np.union1d(*self._trained()))
    height, width = self._transform.stored_shape
    return pictures.keeps(self._config.in_memory, used * height * width * 3)

  def _trained(self):
    """Returns the record numbers of a and b that training takes."""
    domains = self._domains['train']
    return order.fixed_pairs(*domains, seed=self._seed) if self._config.fixed_pairs else domains

  def _require(self, split):
    """Raises UserError for a split in which a domain has no pictures."""
    records = self._source.records[split]
    if not len(records):
      raise errors.UserError(f'there are no {split} pictures; {_remedy(split)}')
    domains = zip('ab', self._source.domains.of(split), self._domains[split], strict=True)
    for domain, predicate, indices in domains:
      if not len(indices):
        totals = dict(zip(records.attribute_names, records.attributes.sum(axis=0), strict=True))
        with_each = ', '.join(f'{totals[name]} with {name}' for name in
                              dict.fromkeys(predicate.positive + predicate.negative))
        field = f'config.data.{"" if split == "train" else "test_"}{domain}'
        raise errors.UserError(
            f'domain {domain} is empty: {predicate.text!r} selects none of the {len(records)} '
            f'{split} pictures ({with_each}); change {field}, or {_remedy(split)}')

  def train(self, *, batch_size: int, draws: int = 1, start_step: int = 0, process_index: int = 0,
            process_count: int = 1) -> batches.Feed:
    """Returns the endless batches of steps start_step, start_step + 1, ...

    Args:
      batch_size: pairs a step, over all processes; a process yields its rows of it.
      draws: fresh batches a step; if more than one, leaves are [draws, B, ...].
      start_step: where a resumed run goes on; the batch of a step does not depend on it.
      process_index: which of `process_count` equal parts of each batch to yield.

    Raises:
      UserError: an empty domain, or a batch that can't be divided; on reading, a bad picture.
    """
    rows = evaluation_lib.local_rows(batch_size, process_index, process_count)
    self._require('train')
    domains = self._trained()
    records = self._source.records['train']
    if not self._stack:
      self._stack = pictures.Pictures(records, self._transform, np.union1d(*domains),
                                      keep=self._keeps_train())
    source = batches.Batches(
        self._stack,
        [order.Order(indices, seed=self._seed, domain=number, in_step=self._config.fixed_pairs,
                     aligned=self._config.aligned)
         for number, indices in enumerate(domains)],
        records.attributes[:, self._columns].astype(np.float32), self._transform,
        batch_size=batch_size, rows=rows, draws=draws)
    workers = 0 if self._keeps_train() else self._config.workers
    return batches.Feed(source, start_step=start_step, prefetch=self._config.prefetch,
                        workers=workers)

  def evaluation(self, split: str, *, batch_size: int, max_pairs: int | None = None,
                 process_index: int = 0, process_count: int = 1) -> evaluation_lib.Evaluation:
    """Returns the re-iterable batches of index-aligned pairs (a_i, b_i) of a split.

    Nothing is random. What was drawn or decoded once is kept for the next time. Where a picture
    would be paired with itself, b is turned against a (`evaluation.turned`).

    Args:
      split: 'validation' or 'test' ('train' too, without augmentation).
      batch_size: pairs a batch over all processes; the last is padded, `valid` False there.
      max_pairs: at most this many; there are min(len(a), len(b)).
      process_index: which of `process_count` equal parts of each batch to yield.

    Raises:
      UserError: an empty domain, or a batch that can't be divided; on reading, a bad picture.
    """
    if split not in SPLITS:
      raise errors.UserError(f'split={split!r} must be one of {", ".join(SPLITS)}'
                             f'{errors.nearest(split, SPLITS)}')
    rows = evaluation_lib.local_rows(batch_size, process_index, process_count)
    self._require(split)
    if split not in self._evaluations:
      a, b = self._domains[split]
      self._evaluations[split] = self.pairs(split, a, evaluation_lib.turned(a, b))
    return evaluation_lib.Evaluation(self._evaluations[split], batch_size, rows, max_pairs)

  def _transfer(self):
    """Names of the attributes that b has to offer: given, or asked for in b and not in a."""
    domains = self._source.domains
    if self._config.transfer:
      return tuple(self._config.transfer)
    derived = [name for name in domains.test_b.positive if name in domains.test_a.negative]
    return tuple(derived) or tuple(name for name in domains.test_b.positive
                                   if name not in domains.test_a.positive)


def _fewer(records, indices, limit):
  """Returns `limit` of the record numbers, by hash of the name, in their order."""
  if len(indices) <= limit:
    return indices
  places = [name_fraction(records.name(int(index))) for index in indices]
  return indices[np.sort(np.argsort(places, kind='stable')[:limit])]


def _remedy(split):
  if split == 'train':
    return 'add pictures'
  return f'add pictures, or raise config.data.{split}_fraction'
