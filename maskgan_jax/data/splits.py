"""Which split each record of a source belongs to."""

import os
import re

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data.domains import Domains
from maskgan_jax.data.records import Listing, name_fraction, SPLITS

ALIGNED = ('circle_square', 'folder', 'csv')  # where a_i and b_i can be one scene
_LEFT_OUT = -2  # in place of a split's number: of no split


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


def check_aligned(config_data):
  """Raises UserError where a_i and b_i would not be one scene, or would not stay together."""
  if config_data.source not in ALIGNED:
    reason = ', since TFDS shuffles the two domains apart' if config_data.source == 'tfds' else ''
    raise errors.UserError(f'config.data.aligned=True: the i-th pictures of a and b of source '
                           f'{config_data.source!r} are not of one scene{reason}; sources that can '
                           f'be aligned: {", ".join(ALIGNED)}')
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
