"""Which split each record of a source belongs to."""

from collections.abc import Sequence
import os
import re

import ml_collections
import numpy as np

from maskgan_jax import errors
from maskgan_jax.data.domains import Domains
from maskgan_jax.data.records import Listing, name_fraction, Records, SPLITS

ALIGNED = ('circle_square', 'folder', 'csv')  # where a_i and b_i can be one scene

# Codes of splits are indices into SPLITS; these two stand in their place.
_OPEN = -1  # not decided yet
_LEFT_OUT = -2  # of no split

_TRAIN, _TEST = SPLITS.index('train'), SPLITS.index('test')


def divide(
  listing: Listing, config_data: ml_collections.ConfigDict, domains: Domains
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Divides a listing into splits.

  The source's own splits are kept; one it lacks is taken from its training pictures by a hash of
  the name, so that adding pictures moves none of the others. With `test_first` or `test_rows`, the
  authors' rules, or without `own_splits`, own splits are ignored. Without `own_test` the source's
  own test pictures are in no split. Where a and b are `aligned`, b_i goes where a_i does.

  Returns:
    int indices in listing order by split; by split, in words, where they came from.
  """
  _check_division(config_data)
  codes = np.array(listing.splits)
  divided = dict.fromkeys(SPLITS, 'own')

  # What the source says of itself.
  if not config_data.own_test:
    codes[codes == _TEST] = _LEFT_OUT
  left_out = codes == _LEFT_OUT
  if config_data.test_first or config_data.test_rows or not config_data.own_splits:
    codes[~left_out] = _OPEN
  of_a, of_b = _scenes(listing.records, codes, config_data, domains)

  # What it does not say: test pictures by a rule, others by hash of the name.
  rule = _test_by_rule(listing, codes, config_data, domains)
  divided['test'] = rule or 'own'
  divided['train'] = 'own' if (codes == _TRAIN).any() else 'the rest'
  codes[codes == _OPEN] = _TRAIN
  for split in _take_by_hash(listing.records, codes, config_data, domains):
    fraction = config_data[f'{split}_fraction']
    divided[split] = f'{fraction:g} of the training pictures, by hash of the name'
  if left_out.any():
    divided['test'] += f'; the {left_out.sum()} of the source are left out'
  codes[of_b] = codes[of_a]
  return {
    split: np.flatnonzero(codes == code) for code, split in enumerate(SPLITS)
  }, divided


def _test_by_rule(
  listing: Listing,
  codes: np.ndarray,
  config_data: ml_collections.ConfigDict,
  domains: Domains,
) -> str:
  """Takes the test pictures of the authors' rules, in place; returns the rule in words, or ''."""
  # First pictures are counted by domain, first rows over the whole list.
  usable = codes != _LEFT_OUT
  if config_data.test_first:
    for predicate in domains.of('test'):
      members = np.flatnonzero(predicate.select(listing.records.attributes) & usable)
      codes[members[: config_data.test_first]] = _TEST
    return f'the first {config_data.test_first} of each domain'
  if config_data.test_rows:
    rows = np.arange(len(codes)) if listing.rows is None else listing.rows
    codes[(rows < config_data.test_rows) & usable] = _TEST
    return f'what the first {config_data.test_rows} rows of the list hold'
  return ''


def _check_division(config_data: ml_collections.ConfigDict) -> None:
  """Raises a UserError for fields that do not divide anything, or do so in two ways."""
  fractions = config_data.validation_fraction, config_data.test_fraction
  if min(fractions) < 0 or sum(fractions) >= 1:
    raise errors.UserError(
      'config.data.validation_fraction and test_fraction must be at least 0 '
      'and leave something to train on, '
      f'not {fractions[0]:g} and {fractions[1]:g}'
    )
  if config_data.test_first and config_data.test_rows:
    raise errors.UserError(
      f'config.data.test_first={config_data.test_first} and test_rows='
      f'{config_data.test_rows} are two rules for one test set; set one to 0'
    )


def check_aligned(config_data: ml_collections.ConfigDict) -> None:
  """Raises a UserError where a_i and b_i would not be one scene, or would not stay together."""
  if config_data.source not in ALIGNED:
    reason = ''
    if config_data.source == 'tfds':
      reason = ', since TFDS shuffles the two domains apart'
    raise errors.UserError(
      f'config.data.aligned=True: the i-th pictures of a and b of source '
      f'{config_data.source!r} are not of one scene{reason}; sources that can '
      f'be aligned: {", ".join(ALIGNED)}'
    )

  # Scenes are those of training's domains.
  for domain in 'ab':
    field = f'test_{domain}'
    if config_data[field] not in ('', config_data[domain]):
      raise errors.UserError(
        f'config.data.{field}={config_data[field]!r}: with config.data.aligned '
        "validation and test take the domains of training; set it to ''"
      )


def _scenes(
  records: Records,
  codes: np.ndarray,
  config_data: ml_collections.ConfigDict,
  domains: Domains,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the record numbers of a and b, the i-th of which are one scene; of none unless aligned.

  Within each split the i-th record of a belongs to the i-th of b.

  Raises:
    UserError: domains of different sizes or with common pictures, or file names that do not match.
  """
  if not config_data.aligned:
    return np.zeros(0, int), np.zeros(0, int)
  of_a, of_b = domains.of('train')
  in_a = of_a.select(records.attributes)
  in_b = of_b.select(records.attributes)

  # Scenes are counted within each split.
  all_a, all_b = [], []
  for code in range(_OPEN, len(SPLITS)):
    a = np.flatnonzero(in_a & (codes == code))
    b = np.flatnonzero(in_b & (codes == code))
    check_scenes(a, b, 'pictures' if code == _OPEN else f'{SPLITS[code]} pictures')
    if config_data.source == 'folder':
      names_of_a = [records.name(index) for index in a.tolist()]
      names_of_b = [records.name(index) for index in b.tolist()]
      _check_stems(names_of_a, names_of_b)
    all_a.append(a)
    all_b.append(b)
  return np.concatenate(all_a), np.concatenate(all_b)


def check_scenes(a: np.ndarray, b: np.ndarray, pictures: str) -> None:
  """Raises a UserError where the i-th of a and of b, record numbers, cannot be one scene.

  Args:
    a: int [N].
    b: int [M].
    pictures: what messages call them, such as 'test pictures'.
  """
  if len(a) != len(b):
    raise errors.UserError(
      f'config.data.aligned=True pairs the i-th picture of a with the i-th of '
      f'b, but the {pictures} are {len(a)} of a and {len(b)} of b'
    )
  if common := len(np.intersect1d(a, b)):
    raise errors.UserError(
      f'config.data.aligned=True, but {common} {pictures} are '
      'in both domains; change config.data.a or config.data.b'
    )


def _check_stems(names_a: Sequence[str], names_b: Sequence[str]) -> None:
  """Raises a UserError where file names of pairs differ by more than their domain's mark."""
  stems_a, stems_b = _stems(names_a), _stems(names_b)
  equal = np.array(stems_a) == np.array(stems_b)
  if not equal.any():  # 1_A and 1_B, sketch_07 and photo_07
    equal = np.array(_unmarked(stems_a)) == np.array(_unmarked(stems_b))
  if not equal.all():
    first = int(np.argmin(equal))
    raise errors.UserError(
      f'config.data.aligned=True, but {names_a[first]} and {names_b[first]} are both number '
      f'{first + 1} of their domain and have different names; give the two pictures of a scene '
      'one name, and remove those without a partner'
    )


def _stems(names: Sequence[str]) -> list[str]:
  """Returns file names without folders and extensions."""
  return [os.path.splitext(os.path.basename(name))[0] for name in names]


def _unmarked(stems: Sequence[str]) -> list[str]:
  """Takes away what all stems begin and end with, except digits."""
  start = len(_without_last_digits(os.path.commonprefix(stems)))
  stems = [stem[start:] for stem in stems]
  reversed_stems = [stem[::-1] for stem in stems]
  end = len(_without_last_digits(os.path.commonprefix(reversed_stems)))
  return [stem[: len(stem) - end] for stem in stems]


def _without_last_digits(text: str) -> str:
  return re.sub(r'\d+$', '', text)


def _take_by_hash(
  records: Records,
  codes: np.ndarray,
  config_data: ml_collections.ConfigDict,
  domains: Domains,
) -> list[str]:
  """Moves training records to the splits that lack any, in place, and returns these splits.

  A domain with 3 training records or more gives at least one.
  """
  lacking = [
    split for split in ('test', 'validation') if SPLITS.index(split) not in codes
  ]
  if not lacking:
    return []
  # A hash of the name decides, so that added pictures leave others in their splits.
  train = np.flatnonzero(codes == _TRAIN)
  fractions = np.array([name_fraction(records.name(int(index))) for index in train])

  # Each lacking split takes an interval of the hashes.
  start = 0.0
  for split in lacking:
    end = start + config_data[f'{split}_fraction']
    codes[train[(fractions >= start) & (fractions < end)]] = SPLITS.index(split)
    start = end

  # Of few pictures the interval may contain none; a split without any would be useless.
  for split in lacking:
    if not config_data[f'{split}_fraction']:
      continue
    code = SPLITS.index(split)
    for predicate in domains.of(split):
      members = predicate.select(records.attributes)
      if (members & (codes == code)).any():
        continue
      in_training = (codes[train] == _TRAIN) & members[train]
      if in_training.sum() >= 3:
        lowest = np.argmin(np.where(in_training, fractions, np.inf))
        codes[train[lowest]] = code
  return lacking
