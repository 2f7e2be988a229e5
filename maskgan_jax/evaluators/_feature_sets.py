"""The features of sets of pictures, and those of a split's real pictures, kept in a folder."""

from collections.abc import Callable, Iterable, Mapping
import io
import os
from typing import Any
import zipfile
import zlib

import numpy as np

from maskgan_jax import errors, files
from maskgan_jax.data import pictures
from maskgan_jax.evaluators import _distances as distances
from maskgan_jax.evaluators._features import Features
from maskgan_jax.evaluators.base import Reporter

MOST = 20_000  # pictures of a set whose features are kept: 160 MB at 2048
_BATCH = 32  # real pictures at once
_FORMAT = 1  # of cached files
_DAMAGE = (
  OSError,
  ValueError,
  KeyError,
  IndexError,
  TypeError,
  EOFError,
  zipfile.BadZipFile,
  zlib.error,
)  # what NumPy raises on damaged files


class FeatureSet:
  """The features of a set of pictures: mean, covariance, and up to `MOST` of them."""

  def __init__(self, dim: int):
    self.statistics, self.sample = distances.Statistics(dim), distances.Sample(MOST)

  def update(self, features: np.ndarray) -> None:
    """Takes in features [B, D]."""
    self.statistics.update(features)
    self.sample.update(features)

  def halves(self) -> tuple['FeatureSet', 'FeatureSet']:
    """Returns two random halves of (at most `MOST` of) the stored features."""
    rows = self.sample.rows
    order = np.random.default_rng(0).permutation(len(rows))
    halves = FeatureSet(rows.shape[1]), FeatureSet(rows.shape[1])
    for half, indices in zip(halves, np.array_split(order, 2), strict=True):
      half.update(rows[indices])
    return halves

  def state(self) -> dict[str, np.ndarray]:
    """Returns arrays by name, for `restored`."""
    return self.statistics.state() | self.sample.state()

  @classmethod
  def restored(cls, state: Mapping[str, np.ndarray]) -> 'FeatureSet':
    """Returns the inverse of `state`; ValueError or KeyError for what cannot be one."""
    # The sample must have as many rows as the statistics count, up to its limit.
    feature_set = cls(0)
    feature_set.statistics = distances.Statistics.restored(state)
    feature_set.sample = distances.Sample.restored(state, MOST)
    count, dim = feature_set.statistics.count, len(feature_set.statistics.mean)
    shape = feature_set.sample.rows.shape
    if shape != (min(count, MOST), dim):
      raise ValueError(f'its features are {list(shape)}, not of {count} pictures')
    return feature_set


class RealPictures:
  """The features of the real pictures of a split, by domain; a folder may keep them."""

  def __init__(
    self, data: Any, split: str, network: Features, folder: str, reporter: Reporter
  ):
    self._data, self._split = data, split
    self._network, self._folder, self._reporter = network, folder, reporter

  def of(self, domains: Iterable[str]) -> dict[str, FeatureSet]:
    """Returns the sets of the domains; one set where both have the same pictures."""
    members = dict(zip('ab', self._data.members(self._split), strict=True))
    sets: dict[str, FeatureSet] = {}
    for domain in sorted(domains, reverse=True):
      if domain == 'a' and 'b' in sets and np.array_equal(*members.values()):
        sets['a'] = sets['b']  # labels tell these domains apart
        continue
      indices = members[domain]
      name = f'{self._data.fingerprint}-{domain}-{self._split}-{self._network.key}'
      feature_set = self._kept(name, len(indices))
      if feature_set is None:
        feature_set = look(
          self._data, self._split, indices, self._network, self._reporter.poll
        )
        self._keep(name, feature_set)
      sets[domain] = feature_set
    return sets

  def _path(self, name):
    return os.path.join(self._folder, f'{name}.npz')

  def _kept(self, name, count):
    """Returns the kept set of this name and count, or None."""
    path = self._path(name)
    if not self._folder or not os.path.exists(path):
      return None
    try:
      with open(path, 'rb') as file, np.load(file, allow_pickle=False) as arrays:
        key = str(arrays['key'])
        if key != f'{_FORMAT} {name}':
          raise ValueError(f'it is of {key[:80]!r}')
        feature_set = FeatureSet.restored(arrays)
      if feature_set.statistics.count != count:
        raise ValueError(
          f'it is of {feature_set.statistics.count} pictures, not {count}'
        )
    except _DAMAGE as error:
      self._reporter.note(
        f'{path} is damaged or of something else, and is made again: {error}'
      )
      return None
    return feature_set

  def _keep(self, name, feature_set):
    # A cache that cannot be written costs time, and is not an error.
    if not self._folder:
      return
    buffer = io.BytesIO()
    np.savez(buffer, key=np.array(f'{_FORMAT} {name}'), **feature_set.state())
    try:
      files.write_atomically(self._path(name), buffer.getvalue())
    except errors.UserError as error:
      self._reporter.note(f'real pictures will have to be looked at again: {error}')


def look(
  data: Any,
  split: str,
  indices: np.ndarray,
  network: Features,
  poll: Callable[[], None],
) -> FeatureSet:
  """Returns the features of real pictures, which are read a few at a time."""
  records, pairs = data.records(split), data.pairs(split, indices, indices)

  def read(index):
    return pairs.prepare(records.image(int(index)), int(index))

  # Pictures are decoded in threads, and only features are kept.
  feature_set = None
  for start in range(0, len(indices), _BATCH):
    poll()
    images = pictures.parallel_map(read, indices[start : start + _BATCH])
    features, _ = network(np.stack(images))
    feature_set = feature_set or FeatureSet(features.shape[1])
    feature_set.update(features)
  return feature_set
