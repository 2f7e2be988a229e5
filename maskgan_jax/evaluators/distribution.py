"""Do translations as a whole look as real pictures do? FID, KID and IS, or the like of them.

Translations into b (`ab_...`, for methods that go both ways also `ba_...`, into a) are held against
all the real pictures of that domain in the split, by the features that a network sees in either. So
are, for methods that remove, b's pictures without the attribute (`removal_...`) against those of a.

  ab_fid               squared Frechet distance of Gaussians with their means and covariances
  ab_kid, ab_kid_std   unbiased squared MMD with a polynomial kernel, over random subsets; no
                       deviation where the only subset is all of the pictures
  ab_is, ab_is_std     inception score of the translations alone, over ten parts
  do_nothing_ab_fid, do_nothing_ab_kid   the real pictures of one domain against the other's
  ab_translations, ab_real_pictures      how many there were of each; do_nothing_ab_... likewise

`config.distribution.real='source'` holds translations against the real pictures of the domain that
they come from, b's removals against b's, as Table 1 of the content-transfer paper does: is all that
was not to change as it was? Distances of either kind do not compare, and the protocol says which it
is. Doing nothing would be perfect there; `do_nothing_...` is then what pictures of one kind get: a
random half of the real ones against the other half. So may the paper's row 'Real images' be read:
that fits its glasses, KID 0.1 +- 0.3, but not its facial hair, 2.5 +- 0.2, where halves would be at
0. Of half as many, its FID is too high beside that of translations; KID does not mind. The same
stands there where both domains are one set, told apart by labels.

These names mean Inception, `config.distribution.network=NAME.safetensors` of `import_weights
inception`, at its tap 2048; `fid_protocol` beside them says which weights, and how pictures got
their 299x299 pixels. By another tap or network of the user's (a jax.export blob or NAME.onnx, see
features.py) the distances are `ab_frechet_distance` and `ab_kernel_distance`, which compare with
nothing but the same network's, and there is no inception score.

The inception score is that of Salimans et al. (2016), at least 1. LOMIT's ICLR submission, Table 1,
has 0.14 to 0.38: it follows "the procedure in MUNIT", whose code, as far as known, gives the mean
KL divergence itself, without exp. Such numbers do not compare with ours.

FID falls with the number of pictures, and no setting can undo it: only numbers of equally many
compare. KID does not depend on it.

No pictures are kept: of features, mean and covariance, and of up to 20,000 pictures a set, chosen
by lot, the features themselves, for KID. What is worked out for real pictures can stay in a folder,
`config.distribution.cache`.
"""

from collections.abc import Callable, Iterator, Mapping
import io
import os
from typing import Any, NamedTuple
import zipfile
import zlib

import numpy as np

from maskgan_jax import errors, files
from maskgan_jax.data import pictures
from maskgan_jax.evaluators import _distances as distances
from maskgan_jax.evaluators import _features as features
from maskgan_jax.evaluators import _resizing as resizing

DEFAULTS = {  # config.distribution; a literal, which config/evaluation.py reads
    'network': '',  # NAME.safetensors of import_weights inception, a jax.export blob, or NAME.onnx
    'protocol': 'pytorch_fid',  # 'clean', 'tf1': how Inception gets its 299x299 pixels
    'tap': '2048',  # of Inception: '64', '192', '768'
    'real': 'target',  # what translations are held against; 'source': the domain they come from
    'kid': {
        'degree': 3,
        'gamma': 0.0,  # 0 = 1 / the number of features
        'coefficient': 1.0,
        'subsets': 100,
        'subset_size': 1000,
    },
    'cache': '',  # a folder that keeps the features of real pictures; '' = compute them each time
}

_FIELD = 'config.distribution.network'
_MOST = 20_000  # pictures of a set whose features are kept: 160 MB at 2048
_BATCH = 32  # real pictures at once
_MOST_SUBSETS = 10_000
_SPLITS = 10  # of the inception score
_FORMAT = 1  # of cached files
_AGAINST = {  # what protocols say of it
    'target': '', 'source': ', against real pictures of the domain that translations come from'}


class _Direction(NamedTuple):
  """From a domain to another; the method's ability that it needs, and its output of `Outputs`."""
  source: str
  target: str
  ability: str
  output: str
  words: str


_DIRECTIONS = {
    'ab': _Direction('a', 'b', '', 'translation', 'from a to b'),
    'ba': _Direction('b', 'a', 'reverse', 'back', 'from b to a'),
    'removal': _Direction('b', 'a', 'remove', 'removal', 'of removals from b')}


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
    if self._kid['subsets'] > _MOST_SUBSETS:
      raise errors.UserError(f'config.distribution.kid.subsets={self._kid["subsets"]} must be at '
                             f'most {_MOST_SUBSETS}')
    resizing.require(settings['protocol'])
    self._against = settings['real']
    if self._against not in _AGAINST:
      raise errors.UserError(f'config.distribution.real={self._against!r} is unknown'
                             f'{errors.nearest(self._against, _AGAINST)}; translations can be held '
                             f'against real pictures of: {", ".join(_AGAINST)}')
    self._network = None
    if settings['network']:
      self._network = features.open_network(settings['network'], _FIELD, tap=settings['tap'],
                                            protocol=settings['protocol'])
      self._is_fid = self._network.inception and settings['tap'] == '2048'
      self._frechet, self._kernel = (('fid', 'kid') if self._is_fid else
                                     ('frechet_distance', 'kernel_distance'))
    self._real: dict[str, _Set] = {}  # by domain
    self._translated: dict[str, _Set] = {}  # by direction
    self._logits: dict[str, distances.Sample] = {}  # likewise

  def missing(self, batch, abilities):
    return '' if self._network else (
        f'no network is named ({_FIELD}); python -m maskgan_jax.import_weights inception FILE '
        '--output=NAME.safetensors makes the one of FID, and any that gives features will do')

  def begin(self, data: Any, split: str, poll: Callable[[], None],
            note: Callable[[str], None]) -> None:
    """Takes what is needed to look at the real pictures of the split.

    Args:
      data: `data.pipeline.Data`.
      split: that is measured.
      poll: called often; may raise to stop.
      note: told in one line what makes results worth less.
    """
    self._data, self._split, self._poll, self._note = data, split, poll, note

  def _look_at_real(self, domains):
    """Works out, or reads, what there is to know of the real pictures of the domains."""
    members = dict(zip('ab', self._data.members(self._split), strict=True))
    for domain in sorted(domains, reverse=True):
      if domain == 'a' and 'b' in self._real and np.array_equal(*members.values()):
        self._real['a'] = self._real['b']  # labels tell these domains apart: one set
        continue
      indices = members[domain]
      name = f'{self._data.fingerprint}-{domain}-{self._split}-{self._network.key}'
      found = self._cached(name, len(indices))
      if found is None:
        found = self._look(self._data, self._split, indices, self._poll)
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
    directions = [name for name, direction in _DIRECTIONS.items() if direction.source in batch
                  and (not direction.ability or direction.ability in outputs.abilities)]
    if not self._real:
      self._look_at_real({domain for name in directions for domain in self._domains(name)})
    for name in directions:
      seen, logits = self._network(getattr(outputs, _DIRECTIONS[name].output).image[valid])
      if name not in self._translated:
        self._translated[name] = _Set(seen.shape[1])
        self._logits[name] = distances.Sample(_MOST)
      self._translated[name].update(seen)
      if self._is_fid:  # else its inception score would stand beside another protocol than its own
        self._logits[name].update(logits)

  def _domains(self, name):
    """Returns the domain that a direction starts from, and that of the real pictures it meets."""
    direction = _DIRECTIONS[name]
    return direction.source, getattr(direction, self._against)

  def results(self) -> Iterator[tuple[str, float | str]]:
    nothing = {}
    for direction, translated in self._translated.items():
      source, real = (self._real[domain] for domain in self._domains(direction))
      counts = translated.statistics.count, real.statistics.count
      if min(counts) < 2:
        self._note(f"'distribution' measures nothing {_DIRECTIONS[direction].words}: {counts[0]} "
                   f'translations and {counts[1]} real pictures; two of each are the least')
        continue
      if self._sees_nothing(direction, translated, real):
        continue
      self._warn(direction, counts, len(translated.statistics.mean))
      yield from self._compare(direction, translated, real)
      pair = frozenset(map(id, (source, real)))  # the same in either direction
      if pair not in nothing:
        one, two = real.halves() if source is real else (source, real)
        enough = min(one.statistics.count, two.statistics.count) > 1
        found = dict(self._compare('', one, two)) if enough else {}
        nothing[pair] = (one, two), {name: value for name, value in found.items()
                                     if not name.endswith('_std')}
      parts, found = nothing[pair]
      yield from ((f'do_nothing_{direction}{name}', value) for name, value in found.items())
      if found:
        one, two = parts if source is real else (source, real)
        yield f'do_nothing_{direction}_translations', float(one.statistics.count)
        yield f'do_nothing_{direction}_real_pictures', float(two.statistics.count)
      if self._logits[direction].count:
        logits = self._logits[direction].rows
        if len(logits) < 100 * _SPLITS:
          self._note(f'{direction}_is is of {len(logits):,} pictures in {_SPLITS} parts: it cannot '
                     'be above the number in a part')
        mean, deviation = distances.inception_score(logits, min(_SPLITS, len(logits)))
        yield f'{direction}_is', mean
        yield f'{direction}_is_std', deviation
      yield f'{direction}_translations', float(counts[0])
      yield f'{direction}_real_pictures', float(counts[1])
    if nothing:
      yield f'{self._frechet}_protocol', self._network.provenance + _AGAINST[self._against]
      yield f'{self._kernel}_kernel', self._described()

  def _sees_nothing(self, direction, translated, real):
    """Returns whether all features are the same, of either set; notes sets of which they are."""
    together = distances.Statistics(len(real.statistics.mean))
    together.merge(translated.statistics)
    together.merge(real.statistics)
    words = _DIRECTIONS[direction].words
    if together.constant:
      self._note(f"'distribution' measures nothing {words}: {_FIELD} gives the same features for "
                 'all pictures, translated and real; a distance of such is 0 whatever they show')
      return True
    for name, members in (('translations', translated), ('real pictures', real)):
      if members.statistics.constant:
        self._note(f'{self._frechet} {words} is of {name} that all have the same features: they '
                   f'are one picture, or {_FIELD} does not see what differs')
    return False

  def _compare(self, direction, one, two):
    """Yields both distances of two sets."""
    prefix = f'{direction}_'
    frechet = distances.frechet_distance(one.statistics, two.statistics)
    rows = one.sample.rows, two.sample.rows
    options = dict(self._kid)
    fewest, most = sorted(map(len, rows))
    options['subset_size'] = min(fewest, options['subset_size'])
    if options['subset_size'] == most:
      options['subsets'] = 1  # each would be all of both
    with np.errstate(over='ignore', invalid='ignore'):
      mean, deviation = distances.kernel_distance(*rows, **options)
    if not np.isfinite([frechet, mean, deviation]).all():
      raise errors.UserError(
          f'{self._frechet} is {frechet:g} and {self._kernel} {mean:g}: the features of {_FIELD} '
          f'are too large for config.distribution.kid.degree={options["degree"]}; lower it or '
          'gamma, or scale the features')
    yield prefix + self._frechet, frechet
    yield prefix + self._kernel, mean
    if options['subsets'] > 1:
      yield f'{prefix}{self._kernel}_std', deviation

  def _warn(self, direction, counts, dim):
    """Notes what makes results of few pictures less reliable."""
    where = _DIRECTIONS[direction].words
    of = f'{counts[0]:,} translations and {counts[1]:,} real pictures'
    if min(counts) <= dim:
      self._note(f'{self._frechet} {where} is of {of}, and covariances of {dim:,} features have no '
                 f'full rank with fewer than {dim + 1:,}: compare it only with results of as many')
    elif counts[0] != counts[1]:
      self._note(f'{self._frechet} {where} is of {of}: compare it only with results of as many')
    if min(counts) < self._kid['subset_size']:
      alone = counts[0] == counts[1]
      self._note(f'{self._kernel} {where} has {"a subset" if alone else "subsets"} of '
                 f'{min(counts):,} pictures, as there are no more, not '
                 f'config.distribution.kid.subset_size={self._kid["subset_size"]}; '
                 + ('it has no deviation' if alone else 'its deviation then says little'))

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

  def halves(self):
    """Returns two random halves of (at most `_MOST` of) the stored features, as `_Set`s.
    """
    rows = self.sample.rows
    order = np.random.default_rng(0).permutation(len(rows))
    parts = _Set(rows.shape[1]), _Set(rows.shape[1])
    for part, chosen in zip(parts, np.array_split(order, 2), strict=True):
      part.update(rows[chosen])
    return parts

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
