"""Where records come from, which split each belongs to, and which records make a domain."""

from collections.abc import Sequence
import dataclasses
import hashlib
import os
import re
from typing import Protocol

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import default_config, predicates

SPLITS = ('train', 'validation', 'test')
SOURCES = ('avatars', 'circle_square', 'colored_digits', 'folder', 'celeba', 'csv', 'tfds')
_DRAWN = ('avatars', 'circle_square', 'colored_digits')  # with splits of their own
_ALIGNED = ('circle_square', 'folder', 'csv')  # where a_i and b_i can be one scene
_LEFT_OUT = -2  # in place of a split's number: of no split


class Records(Protocol):
  """Labelled pictures, as they are stored. Must pickle, for worker processes.

  Attributes:
    attribute_names: K names.
    attributes: bool [N, K].
    fingerprint: changes when a pixel or a label does, as far as that is cheap to see.
  """
  attribute_names: tuple[str, ...]
  attributes: np.ndarray
  fingerprint: str

  def __len__(self) -> int: ...

  def name(self, index: int) -> str:
    """What messages call the record, and what its split is hashed from."""

  def image(self, index: int) -> np.ndarray:
    """Returns uint8 [H, W, 3] as stored; UserError naming the picture if it can't be read."""

  def mask(self, index: int, attribute: str) -> np.ndarray | None:
    """Returns the true mask, float32 [H, W] in [0, 1] of the picture's size, or None."""

  # Only of files: identity: changes when a name or a label does, but not with a file's content.
  # Only where exact answers exist (avatars); absent elsewhere:
  #   features: names that `mask` and the answers take too, but that are no labels;
  #   labels_of(feature) -> names of the labels that tell what it is like;
  #   transfer_truth(a_index, b_index, attributes) -> (uint8 [H, W, 3], float32 [H, W]):
  #     face a wearing b's attributes, and the region that changed;
  #   erased_truth(a_index, b_index, attributes, erased) -> (uint8 [H, W, 3], float32 [H, W]):
  #     the same but for one that stays a's own, and the region in which that shows;
  #   removal_truth(b_index, attributes) -> uint8 [H, W, 3]: face b without them;
  # or, where domains differ as a whole:
  #   translation_truths(a_index, b_index) -> (uint8 [H, W, 3], uint8 [H, W, 3]): a after b, b after
  #     a; `mask` then returns None.
  # Only where there are label maps: label(index) -> int32 [H, W] of the picture's size, or None.


@dataclasses.dataclass(frozen=True)
class Listing:
  """Everything a source holds, before it is divided.

  Attributes:
    records: all of it, in listing order.
    splits: int8 [N], an index into SPLITS, or -1 where the source does not say.
    remark: what `describe` should say about it, e.g. files that are listed but absent.
    rows: int [N], the row of each record in the source's list, from 0; None: each has the next.
    unused: pictures beside them that are not used, in words; '' where there are none.
  """
  records: Records
  splits: np.ndarray
  remark: str = ''
  rows: np.ndarray | None = None
  unused: str = ''


class Subset:
  """Some of the records of another, in the order given."""

  def __init__(self, records: Records, indices: np.ndarray):
    self._records = records
    self._indices = np.asarray(indices, np.int64)
    self.attribute_names = records.attribute_names
    self.attributes = records.attributes[self._indices]
    self.fingerprint = self._digest(records.fingerprint)
    self.identity = self._digest(getattr(records, 'identity', records.fingerprint))

  def __len__(self):
    return len(self._indices)

  def _digest(self, text):
    return hashlib.sha256(text.encode() + self._indices.tobytes()).hexdigest()[:16]

  def name(self, index):
    return self._records.name(int(self._indices[index]))

  def image(self, index):
    return self._records.image(int(self._indices[index]))

  def mask(self, index, attribute):
    return self._records.mask(int(self._indices[index]), attribute)

  def label(self, index):
    read = getattr(self._records, 'label', None)
    return read(int(self._indices[index])) if read else None


@dataclasses.dataclass(frozen=True)
class Domains:
  """The predicates of the two domains, for training and for evaluation."""
  a: predicates.Predicate
  b: predicates.Predicate
  test_a: predicates.Predicate
  test_b: predicates.Predicate

  def of(self, split: str) -> tuple[predicates.Predicate, predicates.Predicate]:
    """Returns the predicates of a and b in one split."""
    return (self.a, self.b) if split == 'train' else (self.test_a, self.test_b)


@dataclasses.dataclass(frozen=True)
class Source:
  """A source divided: records and domains by split, and in words how it was divided."""
  records: dict[str, Records]
  domains: Domains
  divided: dict[str, str]
  remark: str = ''
  unused: str = ''


def open_source(config_data, *, image_size: int) -> Source:
  """Opens what `config_data` names; UserError if it is not there or does not make sense."""
  source = config_data.source
  if source not in SOURCES:
    raise errors.UserError(f'config.data.source={source!r} must be one of {", ".join(SOURCES)}'
                           f'{errors.nearest(source, SOURCES)}')
  if config_data.aligned:
    _check_aligned(config_data)
  if source in _DRAWN and not config_data.own_test:
    raise errors.UserError('config.data.own_test=False leaves out the test pictures of a source, '
                           f'but {source!r} draws its own; set it to True')
  if source == 'avatars':
    from maskgan_jax.data.builders import avatars  # draws faces: heavy, and not needed elsewhere
    size = config_data.load_size or image_size  # faces can be drawn in any size
    records = {split: avatars.AvatarRecords(config_data, split, size) for split in SPLITS}
    domains = domains_of(config_data, records['train'].attribute_names)
    return Source(records, domains, dict.fromkeys(SPLITS, 'drawn'))
  if source == 'colored_digits':
    from maskgan_jax.data.builders import colored_digits  # imports TFDS
    return colored_digits.open_splits(config_data)
  if source == 'circle_square':
    from maskgan_jax.data.builders import circle_square  # imports TFDS
    return circle_square.open_splits(config_data, config_data.load_size or image_size)
  listing = _open_listing(config_data)
  domains = domains_of(config_data, listing.records.attribute_names)
  parts, divided = divide(listing, config_data, domains)
  records = {split: Subset(listing.records, part) for split, part in parts.items()}
  return Source(records, domains, divided, listing.remark, listing.unused)


def open_records(config_data, split: str, *, image_size: int) -> Records:
  """Opens one split; `open_source` reads the source's listing once for all three."""
  if split not in SPLITS:
    raise errors.UserError(f'split={split!r} must be one of {", ".join(SPLITS)}')
  return open_source(config_data, image_size=image_size).records[split]


def _open_listing(config_data) -> Listing:
  if config_data.source == 'folder':
    from maskgan_jax.data import folder_source
    return folder_source.open_folder(config_data)
  if config_data.source == 'celeba':
    from maskgan_jax.data import celeba_source
    return celeba_source.open_celeba(config_data)
  if config_data.source == 'csv':
    from maskgan_jax.data import table_source
    return table_source.open_csv(config_data)
  from maskgan_jax.data import tfds_source  # imports TFDS
  return tfds_source.open_tfds(config_data)


def domains_of(config_data, names: Sequence[str]) -> Domains:
  """Parses the four predicates over the attributes that exist.

  Where the only attribute is 'B', as in trainA and trainB, untouched defaults mean '~B' and 'B';
  of colored_digits, '~Colored' and 'Colored'; of circle_square, '~Square' and 'Square'.
  """
  default = default_config.get_default()
  a, b = config_data.a, config_data.b
  tells = {'colored_digits': 'Colored', 'circle_square': 'Square'}.get(
      config_data.source, 'B' if tuple(names) == ('B',) else '')
  if tells:
    a, b = (f'~{tells}' if a == default.a else a), (tells if b == default.b else b)
  elif not names and (a, b) == (default.a, default.b):
    raise errors.UserError('these pictures have no labels, so config.data.a and config.data.b '
                           'cannot tell two domains apart; sort them into trainA/ and trainB/')
  texts = {'a': a, 'b': b, 'test_a': config_data.test_a or a, 'test_b': config_data.test_b or b}
  return Domains(**{field: predicates.parse(text, names, where=f'config.data.{field}')
                    for field, text in texts.items()})


def divide(listing: Listing, config_data, domains: Domains) -> tuple[dict, dict]:
  """Divides a listing into splits.

  The source's own splits are kept; one it lacks is taken from its training pictures by a hash of
  the name, so that adding pictures moves none of the others. With `test_first` or `test_rows`, the
  authors' rules, own splits are ignored; so are they without `own_splits`. Without `own_test` the
  source's own test pictures are in no split. Where a and b are `aligned`, b_i goes where a_i does.

  Returns:
    int indices in listing order by split; by split, in words, where they came from.
  """
  _check_division(config_data)
  splits = np.array(listing.splits)
  divided = dict.fromkeys(SPLITS, 'own')
  if not config_data.own_test:
    splits[splits == SPLITS.index('test')] = _LEFT_OUT
  left_out = splits == _LEFT_OUT
  if config_data.test_first or config_data.test_rows or not config_data.own_splits:
    splits[~left_out] = -1
  aligned = _scenes(listing.records, splits, config_data, domains) if config_data.aligned else None
  if config_data.test_first:
    for predicate in domains.of('test'):
      members = np.flatnonzero(predicate.select(listing.records.attributes) & ~left_out)
      splits[members[:config_data.test_first]] = SPLITS.index('test')
    divided['test'] = f'the first {config_data.test_first} of each domain'
  if config_data.test_rows:
    rows = np.arange(len(splits)) if listing.rows is None else listing.rows
    splits[(rows < config_data.test_rows) & ~left_out] = SPLITS.index('test')
    divided['test'] = f'what the first {config_data.test_rows} rows of the list hold'
  divided['train'] = 'own' if (splits == 0).any() else 'the rest'
  splits[splits == -1] = 0
  lacking = [split for split in ('test', 'validation') if not (splits == SPLITS.index(split)).any()]
  if lacking:
    _take_by_hash(listing.records, splits, lacking, config_data, domains)
    for split in lacking:
      fraction = config_data[f'{split}_fraction']
      divided[split] = f'{fraction:g} of the training pictures, by hash of the name'
  if left_out.any():
    divided['test'] += f'; the {left_out.sum()} of the source are left out'
  if aligned:
    splits[aligned[1]] = splits[aligned[0]]
  return {split: np.flatnonzero(splits == code) for code, split in enumerate(SPLITS)}, divided


def _check_division(config_data):
  fractions = config_data.validation_fraction, config_data.test_fraction
  if min(fractions) < 0 or sum(fractions) >= 1:
    raise errors.UserError('config.data.validation_fraction and test_fraction must be at least 0 '
                           'and leave something to train on, '
                           f'not {fractions[0]:g} and {fractions[1]:g}')
  for field in ('test_first', 'test_rows'):
    if config_data[field] < 0:
      raise errors.UserError(f'config.data.{field}={config_data[field]} must be at least 0')
  if config_data.test_first and config_data.test_rows:
    raise errors.UserError(f'config.data.test_first={config_data.test_first} and test_rows='
                           f'{config_data.test_rows} are two rules for one test set; set one to 0')


def _check_aligned(config_data):
  """Raises UserError where a_i and b_i would not be one scene, or would not stay together."""
  if config_data.source not in _ALIGNED:
    reason = ', since TFDS shuffles the two domains apart' if config_data.source == 'tfds' else ''
    raise errors.UserError(f'config.data.aligned=True: the i-th pictures of a and b of source '
                           f'{config_data.source!r} are not of one scene{reason}; sources that can '
                           f'be aligned: {", ".join(_ALIGNED)}')
  for domain in 'ab':
    if config_data[f'test_{domain}'] not in ('', config_data[domain]):
      raise errors.UserError(
          f'config.data.test_{domain}={config_data[f"test_{domain}"]!r}: with config.data.aligned '
          "validation and test take the domains of training; set it to ''")


def _scenes(records, splits, config_data, domains):
  """Returns the record numbers of a and b that are one scene each: the i-th of either in a split.

  Raises:
    UserError: domains of different sizes or with common pictures, or file names that do not match.
  """
  pairs = []
  for code in range(-1, len(SPLITS)):
    a, b = (np.flatnonzero(predicate.select(records.attributes) & (splits == code))
            for predicate in domains.of('train'))
    check_scenes(a, b, SPLITS[code] + ' pictures' if code >= 0 else 'pictures')
    if config_data.source == 'folder':
      _check_stems(*([records.name(int(index)) for index in indices] for indices in (a, b)))
    pairs.append((a, b))
  return tuple(map(np.concatenate, zip(*pairs, strict=True)))


def check_scenes(a: np.ndarray, b: np.ndarray, what: str) -> None:
  """Raises UserError where the i-th of a and of b, record numbers, cannot be one scene."""
  if len(a) != len(b):
    raise errors.UserError(f'config.data.aligned=True pairs the i-th picture of a with the i-th of '
                           f'b, but the {what} are {len(a)} of a and {len(b)} of b')
  if len(np.intersect1d(a, b)):
    raise errors.UserError(f'config.data.aligned=True, but {len(np.intersect1d(a, b))} {what} are '
                           'in both domains; change config.data.a or config.data.b')


def _check_stems(names_a, names_b):
  """Raises UserError where file names of pairs differ by more than what marks all of a domain."""
  stems = [[os.path.splitext(os.path.basename(name))[0] for name in names]
           for names in (names_a, names_b)]
  equal = [a == b for a, b in zip(*stems, strict=True)]
  if not any(equal):  # 1_A and 1_B, sketch_07 and photo_07
    stems = [_unmarked(names) for names in stems]
    equal = [a == b for a, b in zip(*stems, strict=True)]
  if not all(equal):
    first = equal.index(False)
    raise errors.UserError(
        f'config.data.aligned=True, but {names_a[first]} and {names_b[first]} are both number '
        f'{first + 1} of their domain and have different names; give the two pictures of a scene '
        'one name, and remove those without a partner')


def _unmarked(stems):
  """Takes away what all stems begin and end with, but no digits."""
  start = len(re.sub(r'\d+$', '', os.path.commonprefix(stems)))
  stems = [stem[start:] for stem in stems]
  end = len(re.sub(r'\d+$', '', os.path.commonprefix([stem[::-1] for stem in stems])))
  return [stem[:len(stem) - end] for stem in stems]


def _take_by_hash(records, splits, lacking, config_data, domains):
  """Moves training records to the lacking splits, in place, at least one a domain if it has 3."""
  train = np.flatnonzero(splits == 0)
  places = np.array([name_fraction(records.name(int(index))) for index in train])
  start = 0.0
  for split in lacking:
    code, fraction = SPLITS.index(split), config_data[f'{split}_fraction']
    splits[train[(places >= start) & (places < start + fraction)]] = code
    start += fraction
  for split in lacking:
    if not config_data[f'{split}_fraction']:
      continue
    for predicate in domains.of(split):
      members = predicate.select(records.attributes)
      rest = train[(splits[train] == 0) & members[train]]
      if len(rest) >= 3 and not (members & (splits == SPLITS.index(split))).any():
        # Few pictures: the threshold chose none of them, and a split without any is of no use.
        order = np.argsort([name_fraction(records.name(int(index))) for index in rest])
        splits[rest[order[0]]] = SPLITS.index(split)


def name_fraction(name: str) -> float:
  """Returns a number in [0, 1) that depends on the name alone, the same on every machine."""
  digest = hashlib.blake2b(name.encode('utf-8', 'surrogateescape'), digest_size=8).digest()
  return int.from_bytes(digest, 'big') / 2 ** 64
