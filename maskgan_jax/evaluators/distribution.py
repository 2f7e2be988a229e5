"""Do translations as a whole look as real pictures do? FID, KID and IS, or the like of them.

Translations into b (`ab_...`, for methods that go both ways also `ba_...`, into a) are held against
all the real pictures of that domain in the split, by the features that a network sees in either.

  ab_fid               squared Frechet distance of Gaussians with their means and covariances
  ab_kid, ab_kid_std   unbiased squared MMD with a polynomial kernel, over random subsets
  ab_is, ab_is_std     inception score of the translations alone, over ten parts
  do_nothing_ab_fid, do_nothing_ab_kid   the real pictures of one domain against the other's
  ab_translations, ab_real_pictures      how many there were of each

These names mean Inception, `config.distribution.network=NAME.safetensors` of `import_weights
inception`, at its tap 2048; `fid_protocol` beside them says which weights, and how pictures got
their 299x299 pixels. By another tap or network of the user's (a jax.export blob or NAME.onnx, see
features.py) the distances are `ab_frechet_distance` and `ab_kernel_distance`, which compare with
nothing but the same network's, and there is no inception score.

FID falls with the number of pictures, and no setting can undo it: only numbers of equally many
compare. KID does not depend on it.

No pictures are kept: of features, mean and covariance, and of up to 20,000 pictures a set, chosen
by lot, the features themselves, for KID. What is worked out for real pictures can stay in a folder,
`config.distribution.cache`.
"""

from collections.abc import Callable, Iterator, Mapping
import io
import os
from typing import Any
import zipfile
import zlib

import numpy as np

from maskgan_jax import errors, files
from maskgan_jax.data import pictures
from maskgan_jax.evaluators import distances, features, resizing, similarity

_FIELD = 'config.distribution.network'
_MOST = 20_000  # pictures of a set whose features are kept: 160 MB at 2048
_BATCH = 32  # real pictures at once
_SPLITS = 10  # of the inception score
_FORMAT = 1  # of cached files


class Evaluator:
  """See the module's docstring and `base.Evaluator`."""
  settings = 'distribution'

  def __init__(self, settings: Mapping[str, Any]):
    """Opens the network, if one is named."""
    self._cache = os.path.expanduser(settings['cache'])
    self._kid = dict(settings['kid'])
    for name, least in (('degree', 1), ('subsets', 1), ('subset_size', 2), ('gamma', 0)):
      if not self._kid[name] >= least:
        raise errors.UserError(f'config.distribution.kid.{name}={self._kid[name]} must be at least '
                               f'{least}')
    resizing.require(settings['protocol'])
    self._network = None
    if settings['network']:
      self._network = features.open_network(settings['network'], _FIELD, tap=settings['tap'],
                                            protocol=settings['protocol'])
      inception = self._network.inception and settings['tap'] == '2048'
      self._frechet, self._kernel = (('fid', 'kid') if inception else
                                     ('frechet_distance', 'kernel_distance'))
    self._real: dict[str, _Set] = {}  # by domain
    self._translated: dict[str, _Set] = {}  # by direction
    self._logits: dict[str, distances.Sample] = {}  # likewise

  def missing(self, batch, abilities):
    return '' if self._network else f'no network is named ({_FIELD})'

  def begin(self, data: Any, split: str, poll: Callable[[], None],
            note: Callable[[str], None]) -> None:
    """Works out, or reads, what there is to know of the real pictures of the split.

    Args:
      data: `data.pipeline.Data`.
      split: that is measured.
      poll: called often; may raise to stop.
      note: told in one line what makes results worth less.
    """
    self._note = note
    members = data.members(split)
    for domain, indices in zip('ba', members[::-1], strict=True):
      if domain == 'a' and np.array_equal(*members):
        self._real['a'] = self._real['b']  # labels tell these domains apart: one set
        continue
      name = f'{data.fingerprint}-{domain}-{split}-{self._network.key}'
      found = self._cached(name, len(indices))
      if found is None:
        found = self._look(data, split, indices, poll)
        self._keep(name, found)
      self._real[domain] = found

  def _look(self, data, split, indices, poll):
    """Returns the `_Set` of real pictures, which are read a few at a time."""
    records, pairs = data.records(split), data.pairs(split, indices, indices)
    found = None

    def read(index):
      return pairs.prepare(records.image(int(index)), int(index))
    for start in range(0, len(indices), _BATCH):
      poll()
      images = pictures.parallel_map(read, indices[start:start + _BATCH])
      seen, _ = self._network(np.stack(images))
      found = found or _Set(seen.shape[1])
      found.update(seen)
    return found

  def _path(self, name):
    return os.path.join(self._cache, f'{name}.npz')

  def _cached(self, name, count):
    """Returns the `_Set` of that name and count, if there is a good one."""
    if not self._cache or not os.path.exists(self._path(name)):
      return None
    try:
      with (open(self._path(name), 'rb') as file,
            np.load(file, allow_pickle=False) as arrays):
        if str(arrays['key']) != f'{_FORMAT} {name}':
          raise ValueError(f'it is of {str(arrays["key"])[:80]!r}')
        found = _Set.restored(arrays)
      if found.statistics.count != count:
        raise ValueError(f'it is of {found.statistics.count} pictures, not {count}')
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile,
            zlib.error) as error:
      self._note(f'{self._path(name)} is damaged or of something else, and is made again: {error}')
      return None
    return found

  def _keep(self, name, found):
    if not self._cache:
      return
    buffer = io.BytesIO()
    np.savez(buffer, key=np.array(f'{_FORMAT} {name}'), **found.state())
    try:
      files.write_atomically(self._path(name), buffer.getvalue())
    except errors.UserError as error:
      self._note(f'real pictures will have to be looked at again: {error}')

  def update(self, batch, outputs, valid):
    if not valid.any():
      return
    for direction in similarity.directions(outputs.abilities):
      image = (outputs.translation if direction == 'ab' else outputs.back).image
      seen, logits = self._network(image[valid])
      if direction not in self._translated:
        self._translated[direction] = _Set(seen.shape[1])
        self._logits[direction] = distances.Sample(_MOST)
      self._translated[direction].update(seen)
      if logits is not None:
        self._logits[direction].update(logits)

  def results(self) -> Iterator[tuple[str, float | str]]:
    nothing = None
    for direction, translated in self._translated.items():
      source, target = (self._real[domain] for domain in direction)
      counts = translated.statistics.count, target.statistics.count
      if min(counts) < 2:
        self._note(f"'distribution' measures nothing from {direction[0]} to {direction[1]}: "
                   f'{counts[0]} translations and {counts[1]} real pictures; two of each are the '
                   'least')
        continue
      self._warn(direction, counts, len(translated.statistics.mean))
      yield from self._compare(direction, translated, target)
      if source is not target and source.statistics.count > 1:
        nothing = nothing or dict(self._compare('', source, target))  # the same in either direction
        yield from ((f'do_nothing_{direction}{name}', value) for name, value in nothing.items()
                    if not name.endswith('_std'))
      if self._logits[direction].count:
        logits = self._logits[direction].rows
        mean, deviation = distances.inception_score(logits, min(_SPLITS, len(logits)))
        yield f'{direction}_is', mean
        yield f'{direction}_is_std', deviation
      yield f'{direction}_translations', float(counts[0])
      yield f'{direction}_real_pictures', float(counts[1])
    if self._translated:
      yield f'{self._frechet}_protocol', self._network.provenance
      yield f'{self._kernel}_kernel', self._described()

  def _compare(self, direction, one, two):
    """Yields both distances of two sets."""
    prefix = f'{direction}_'
    yield prefix + self._frechet, distances.frechet_distance(one.statistics, two.statistics)
    rows = one.sample.rows, two.sample.rows
    options = dict(self._kid)
    fewest, most = sorted(map(len, rows))
    options['subset_size'] = min(fewest, options['subset_size'])
    if options['subset_size'] == most:
      options['subsets'] = 1  # each would be all of both
    mean, deviation = distances.kernel_distance(*rows, **options)
    yield prefix + self._kernel, mean
    yield f'{prefix}{self._kernel}_std', deviation

  def _warn(self, direction, counts, dim):
    """Notes what makes the results of so many pictures worth less."""
    where = f'from {direction[0]} to {direction[1]}'
    of = f'{counts[0]:,} translations and {counts[1]:,} real pictures'
    if min(counts) <= dim:
      self._note(f'{self._frechet} {where} is of {of}, and covariances of {dim:,} features have no '
                 f'full rank with fewer than {dim + 1:,}: compare it only with results of as many')
    elif counts[0] != counts[1]:
      self._note(f'{self._frechet} {where} is of {of}: compare it only with results of as many')
    if min(counts) < self._kid['subset_size']:
      self._note(f'{self._kernel} {where} has subsets of {min(counts):,} pictures, as there are no '
                 f'more, not config.distribution.kid.subset_size={self._kid["subset_size"]}; its '
                 'deviation then says little')

  def _described(self):
    gamma = f'{self._kid["gamma"]:g}' if self._kid['gamma'] else '1/dim'
    return (f'degree {self._kid["degree"]}, gamma {gamma}, coefficient '
            f'{self._kid["coefficient"]:g}, {self._kid["subsets"]} subsets of at most '
            f'{self._kid["subset_size"]}')


class _Set:
  """What is known of the features of a set of pictures."""

  def __init__(self, dim: int):
    self.statistics, self.sample = distances.Statistics(dim), distances.Sample(_MOST)

  def update(self, seen):
    """Takes features [B, D] in."""
    self.statistics.update(seen)
    self.sample.update(seen)

  def state(self):
    """Arrays by name."""
    return self.statistics.state() | self.sample.state()

  @classmethod
  def restored(cls, state):
    """The inverse of `state`; ValueError or KeyError for what cannot be one."""
    found = cls(0)
    found.statistics = distances.Statistics.restored(state)
    found.sample = distances.Sample.restored(state, _MOST)
    count, dim = found.statistics.count, len(found.statistics.mean)
    if found.sample.rows.shape != (min(count, _MOST), dim):
      raise ValueError(f'its features are {list(found.sample.rows.shape)}, not of {count} pictures')
    return found
