"""Measures whether translations as a whole look as real pictures do: FID, KID, IS, or the like.

Translations into b (`ab_...`, for methods that go both ways also `ba_...`, into a) are held against
all the real pictures of that domain in the split, by the features that a network sees in either. So
are, for methods that remove, b's pictures without the attribute (`removal_...`) against those of a.

  ab_fid               squared Frechet distance of Gaussians with their means and covariances
  ab_kid, ab_kid_std   unbiased squared MMD with a polynomial kernel, over random subsets; no
                       deviation where the only subset is all of the pictures
  ab_is, ab_is_std     inception score of the translations alone, over ten parts
  do_nothing_ab_fid, do_nothing_ab_kid   the real pictures of one domain against the other's
  ab_translations, ab_real_pictures      how many there were of each; also do_nothing_ab_...

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
nothing but the same network's, and have no inception score.

The inception score is that of Salimans et al. (2016), at least 1. LOMIT's ICLR submission, Table 1,
has 0.14 to 0.38: it follows "the procedure in MUNIT", whose code, as far as known, gives the mean
KL divergence itself, without exp. Such numbers do not compare with ours.

FID falls with the number of pictures, and no setting can undo it: only numbers of equally many
pictures compare. KID does not depend on it.

No pictures are kept: of features, mean and covariance, and of up to 20,000 pictures a set, chosen
by lot, the features themselves, for KID. What is worked out for real pictures can stay in a folder,
`config.distribution.cache`.
"""

from collections.abc import Iterator, Mapping
import os
from typing import Any, NamedTuple

import numpy as np

from maskgan_jax import errors
from maskgan_jax.evaluators import _distances as distances
from maskgan_jax.evaluators import _features as features
from maskgan_jax.evaluators import _resizing as resizing
from maskgan_jax.evaluators import base
from maskgan_jax.evaluators._feature_sets import FeatureSet, MOST, RealPictures
from maskgan_jax.runs.measures import DO_NOTHING, Measure, Quantity, VALUE

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
_TASKS = ('ab', 'ba', 'removal')
_SPLITS = 10  # of the inception score
_AGAINST = {  # what protocols say of it
  'target': '',
  'source': ', against real pictures of the domain that translations come from',
}


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
  'removal': _Direction('b', 'a', 'remove', 'removal', 'of removals from b'),
}


class _Reference(NamedTuple):
  """Two sets of real pictures, and their distances by quantity; {} of too few pictures."""

  one: FeatureSet
  two: FeatureSet
  measures: dict[str, float]


class Evaluator(base.Evaluator):
  """See the module's docstring and `base.Evaluator`."""

  order = 70
  texts = (
    'fid_protocol',
    'kid_kernel',
    'frechet_distance_protocol',
    'kernel_distance_kernel',
  )
  quantities = (
    Quantity(
      'fid',
      _TASKS,
      title='FID',
      better=-1,
      meaning='Distance between the translations as a whole and real pictures, '
      'by what the Inception network sees in them: 0 is the same. It '
      'falls with the number of pictures.',
    ),
    Quantity(
      'kid',
      _TASKS,
      title='KID',
      better=-1,
      digits=5,
      meaning='Like FID, and reliable for fewer pictures; 0 on the mean for '
      'pictures of one kind, so it can be below.',
    ),
    Quantity(
      'is',
      _TASKS,
      title='inception score',
      better=1,
      meaning='Inception score: how certain its classes of single translations '
      'are, and how many there are of all; 1 is the worst.',
    ),
    Quantity(
      'frechet_distance',
      _TASKS,
      title='Frechet distance',
      better=-1,
      digits=4,
      meaning='As FID, by what another network sees: comparable with results by '
      'the same network only.',
    ),
    Quantity(
      'kernel_distance',
      _TASKS,
      title='kernel distance',
      better=-1,
      digits=5,
      meaning='As KID, by what another network sees: comparable with results by '
      'the same network only.',
    ),
    Quantity(
      'translations',
      _TASKS,
      digits=0,
      meaning='How many translations these distances are of.',
    ),
    Quantity(
      'real_pictures',
      _TASKS,
      digits=0,
      meaning='How many real pictures they are held against.',
    ),
  )
  settings = ('distribution',)

  def __init__(self, settings: Mapping[str, Any]):
    """Opens the network, if one is named."""
    _check(settings)
    self._cache = os.path.expanduser(settings['cache'])
    self._kid = dict(settings['kid'])
    self._against = settings['real']
    self._network = None
    if settings['network']:
      self._network = features.open_network(
        settings['network'], _FIELD, tap=settings['tap'], protocol=settings['protocol']
      )
      self._is_fid = self._network.inception and settings['tap'] == '2048'
      self._frechet, self._kernel = 'frechet_distance', 'kernel_distance'
      if self._is_fid:
        self._frechet, self._kernel = 'fid', 'kid'
    self._real: dict[str, FeatureSet] = {}  # by domain
    self._translated: dict[str, FeatureSet] = {}  # by direction
    self._logits: dict[str, distances.Sample] = {}  # by direction

  def missing(self, batch, abilities):
    if self._network:
      return ''
    return (
      f'no network is named ({_FIELD}); python -m maskgan_jax.import_weights inception FILE '
      '--output=NAME.safetensors makes the one of FID, and any that gives features will do'
    )

  def begin(self, data, split, reporter):
    self._note = reporter.note
    self._real_pictures = RealPictures(
      data, split, self._network, self._cache, reporter
    )

  def update(self, batch, outputs, valid):
    if not valid.any():
      return
    directions = []
    for name, direction in _DIRECTIONS.items():
      able = not direction.ability or direction.ability in outputs.abilities
      if able and direction.source in batch:
        directions.append(name)
    if not self._real:
      domains = set()
      for name in directions:
        domains.update(self._domains(name))
      self._real = self._real_pictures.of(domains)
    for name in directions:
      images = getattr(outputs, _DIRECTIONS[name].output).image[valid]
      embedded, logits = self._network(images)
      if name not in self._translated:
        self._translated[name] = FeatureSet(embedded.shape[1])
        self._logits[name] = distances.Sample(MOST)
      self._translated[name].update(embedded)
      # Otherwise its inception score would stand beside another protocol than its own.
      if self._is_fid:
        self._logits[name].update(logits)

  def _domains(self, name):
    """Returns the domain that a direction starts from, and that of the real pictures it meets."""
    direction = _DIRECTIONS[name]
    return direction.source, getattr(direction, self._against)

  def results(self) -> Iterator[tuple[str, float | str]]:
    measured = False
    # Both directions between two sets have the same reference.
    references: dict[frozenset[int], _Reference] = {}
    for direction, translated in self._translated.items():
      source, real = (self._real[domain] for domain in self._domains(direction))
      if not self._measurable(direction, translated, real):
        continue
      measured = True
      yield from self._compare(direction, translated, real)
      pair = frozenset((id(source), id(real)))
      if pair not in references:
        references[pair] = self._reference(source, real)
      yield from self._do_nothing(direction, references[pair], source, real)
      if self._logits[direction].count:
        yield from self._inception_score(direction)
      yield (
        Measure('translations', direction).column,
        float(translated.statistics.count),
      )
      yield Measure('real_pictures', direction).column, float(real.statistics.count)
    if measured:
      yield (
        f'{self._frechet}_protocol',
        self._network.provenance + _AGAINST[self._against],
      )
      yield f'{self._kernel}_kernel', self._described()

  def _measurable(self, direction, translated, real):
    """Returns whether two sets can be compared; notes why not, or what makes it say less."""
    # A distance needs two pictures in each set, and features that differ.
    counts = translated.statistics.count, real.statistics.count
    if min(counts) < 2:
      self._note(
        f"'distribution' measures nothing {_DIRECTIONS[direction].words}: {counts[0]} "
        f'translations and {counts[1]} real pictures; two of each are the least'
      )
      return False
    if self._sees_nothing(direction, translated, real):
      return False
    self._warn(direction, counts, len(translated.statistics.mean))
    return True

  def _reference(self, source, real):
    """Returns what pictures get that are not translated; of one set, its halves."""
    # Halves of one set are as far apart as two samples of one distribution are.
    one, two = real.halves() if source is real else (source, real)
    if min(one.statistics.count, two.statistics.count) < 2:
      return _Reference(one, two, {})
    measures = {}
    for column, value in self._compare('', one, two):
      measure = Measure.parse(column)
      if measure.part == VALUE:
        measures[measure.quantity] = value
    return _Reference(one, two, measures)

  def _do_nothing(self, direction, reference, source, real):
    if not reference.measures:
      return
    one, two = source, real
    if source is real:
      one, two = reference.one, reference.two
    counts = {
      'translations': one.statistics.count,
      'real_pictures': two.statistics.count,
    }
    for quantity, value in {**reference.measures, **counts}.items():
      yield Measure(quantity, direction, DO_NOTHING).column, float(value)

  def _inception_score(self, direction):
    # With few pictures in a part, the score is limited by their number.
    logits = self._logits[direction].rows
    measure = Measure('is', direction)
    if len(logits) < 100 * _SPLITS:
      self._note(
        f'{measure.column} is of {len(logits):,} pictures in {_SPLITS} parts: it cannot '
        'be above the number in a part'
      )
    mean, deviation = distances.inception_score(logits, min(_SPLITS, len(logits)))
    yield measure.column, mean
    yield measure.deviation.column, deviation

  def _sees_nothing(self, direction, translated, real):
    """Returns whether all features of both sets are the same; notes a set of which they are."""
    # Features of a broken network may all be the same, and distances are then 0.
    together = distances.Statistics(len(real.statistics.mean))
    together.merge(translated.statistics)
    together.merge(real.statistics)
    words = _DIRECTIONS[direction].words
    if together.constant:
      self._note(
        f"'distribution' measures nothing {words}: {_FIELD} gives the same features for "
        'all pictures, translated and real; a distance of such is 0 whatever they show'
      )
      return True
    for name, members in (('translations', translated), ('real pictures', real)):
      if members.statistics.constant:
        self._note(
          f'{self._frechet} {words} is of {name} that all have the same features: they '
          f'are one picture, or {_FIELD} does not see what differs'
        )
    return False

  def _compare(self, direction, one, two):
    """Yields both distances of two sets."""
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
        'gamma, or scale the features'
      )
    kernel = Measure(self._kernel, direction)
    yield Measure(self._frechet, direction).column, frechet
    yield kernel.column, mean
    if options['subsets'] > 1:
      yield kernel.deviation.column, deviation

  def _warn(self, direction, counts, dim):
    """Notes what makes results of few pictures less reliable."""
    # Fréchet distances depend on the number of pictures.
    words = _DIRECTIONS[direction].words
    counted = f'{counts[0]:,} translations and {counts[1]:,} real pictures'
    if min(counts) <= dim:
      self._note(
        f'{self._frechet} {words} is of {counted}, and covariances of {dim:,} features have no '
        f'full rank with fewer than {dim + 1:,}: compare it only with results of as many'
      )
    elif counts[0] != counts[1]:
      self._note(
        f'{self._frechet} {words} is of {counted}: compare it only with results of as many'
      )

    # Kernel distances take subsets, which need enough pictures in each set.
    if min(counts) < self._kid['subset_size']:
      alone = counts[0] == counts[1]
      self._note(
        f'{self._kernel} {words} has {"a subset" if alone else "subsets"} of '
        f'{min(counts):,} pictures, as there are no more, not '
        f'config.distribution.kid.subset_size={self._kid["subset_size"]}; '
        + ('it has no deviation' if alone else 'its deviation then says little')
      )

  def _described(self):
    gamma = f'{self._kid["gamma"]:g}' if self._kid['gamma'] else '1/dim'
    return (
      f'degree {self._kid["degree"]}, gamma {gamma}, coefficient '
      f'{self._kid["coefficient"]:g}, {self._kid["subsets"]} subsets of at most '
      f'{self._kid["subset_size"]}'
    )


def _check(settings: Mapping[str, Any]) -> None:
  """Raises UserError for settings that cannot be."""
  distances.check_kernel(settings['kid'], 'config.distribution.kid')
  resizing.require(settings['protocol'])
  against = settings['real']
  if against not in _AGAINST:
    raise errors.UserError(
      f'config.distribution.real={against!r} is unknown'
      f'{errors.nearest(against, _AGAINST)}; translations can be held against '
      f'real pictures of: {", ".join(_AGAINST)}'
    )
