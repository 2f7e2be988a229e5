"""Measures how different translations look from the truth and from each other, by LPIPS.

  ab_lpips              the translation and the true one, where the data know it; 0 is the same
  do_nothing_ab_lpips   the untranslated picture and the true translation
  ab_lpips_diversity    translations of one source after `config.lpips.exemplars` different
                        exemplars: the mean over all pairs of them; 0 where the exemplar does not
                        matter, for methods that take one
  lpips_network         the network, and the checksums of its weights

`ba` is the other direction, for methods that translate both ways. All are means over the pairs,
`..._std` their standard deviations.

A source's exemplars are its own and those of the pairs just before it (of the first pairs, also
just after), but never the source itself. Which ones does not depend on batches.

`config.lpips.network` is what `import_weights lpips` wrote. It gets pictures as they are, bytes
become [-1, 1], nothing is resized: numbers of other sizes of pictures do not compare.
"""

from collections.abc import Iterator, Mapping
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maskgan_jax import errors
from maskgan_jax.evaluators import base, similarity
from maskgan_jax.pretrained_networks import files as weights
from maskgan_jax.pretrained_networks import lpips
from maskgan_jax.runs.measures import DIRECTIONS, DO_NOTHING, Measure, Quantity

DEFAULTS = {  # config.lpips; a literal, which config/evaluation.py reads
  'network': '',  # NAME.safetensors of import_weights lpips
  'exemplars': 4,  # diversity is over this number of exemplars of each source
}

_FIELD = 'config.lpips.network'
_LARGEST_BATCH = 16  # pictures at once; fewer are padded to 1, 2, 4, ...


class Evaluator(base.Evaluator):
  """See the module's docstring and `base.Evaluator`."""

  order = 80
  texts = ('lpips_network',)
  quantities = (
    Quantity(
      'lpips',
      DIRECTIONS,
      title='LPIPS to the truth',
      better=-1,
      digits=4,
      meaning='How different the translation and the true one look to people, '
      'by LPIPS: 0 is the same.',
    ),
    Quantity(
      'lpips_diversity',
      DIRECTIONS,
      title='LPIPS over exemplars',
      better=1,
      digits=4,
      meaning='How different translations of one picture after several '
      'exemplars look from each other, by LPIPS: 0 if the exemplar does '
      'not matter.',
    ),
  )
  settings = ('lpips',)

  def __init__(self, settings: Mapping[str, Any]):
    """Opens the network, if one is named."""
    self._exemplars = settings['exemplars']
    if self._exemplars < 2:
      raise errors.UserError(
        f'config.lpips.exemplars={self._exemplars} must be at least 2: '
        'diversity is over pairs of translations'
      )
    self._network = Network(settings['network']) if settings['network'] else None
    self._values = base.PerImage()
    self._nearby: dict[str, _Nearby] = {}  # by direction
    self._checked = False  # the network, on pictures that differ

  def begin(self, data, split, reporter):
    self._poll, self._note = reporter.poll, reporter.note

  def missing(self, batch, abilities):
    if not self._network:
      return (
        f'no network is named ({_FIELD}); python -m maskgan_jax.import_weights lpips '
        'BACKBONE LINEAR --output=NAME.safetensors makes one'
      )
    try:
      lpips.require_size(self._network.net, *batch['a'].shape[1:3])
    except errors.UserError as error:
      return str(error)

    # Without an exemplar, only true answers are left to compare with.
    truths = [
      f'truth_{direction}' in batch for direction in similarity.directions(abilities)
    ]
    if 'exemplar' in abilities or any(truths):
      return ''
    return 'the method takes no exemplar, and the data have no true translations'

  def update(self, batch, outputs, valid):
    if not valid.any():
      return

    # Distances need true answers, and diversity needs exemplars.
    for direction in similarity.directions(outputs.abilities):
      source, exemplar = (batch[name][valid] for name in direction)
      self._check_network(source, exemplar)
      truth = batch.get(f'truth_{direction}')
      if truth is not None:
        pictures = {'': outputs.translated(direction)[valid], DO_NOTHING: source}
        for reference, picture in pictures.items():
          distances = self._network(picture, truth[valid])
          column = Measure('lpips', direction, reference).column
          self._values.add(column, distances, np.ones(len(source), bool))
      if 'exemplar' in outputs.abilities:
        self._add_diversity(direction, source, exemplar, outputs)

  def _add_diversity(self, direction, source, exemplar, outputs):
    """Adds how much translations differ, of the sources that now have enough exemplars."""
    # Each source is translated by several exemplars, and the results are compared.
    nearby = self._nearby.setdefault(direction, _Nearby(self._exemplars))
    sources, exemplars = nearby.take(source, exemplar)
    if not len(sources):
      return
    translations = []
    for each in exemplars:
      self._poll()
      translation = outputs.translate_pictures(sources, each, reverse=direction == 'ba')
      translations.append(translation.image)
    spread = self._network.spread(np.stack(translations))
    self._values.add(
      f'{direction}_lpips_diversity', spread, np.ones(len(sources), bool)
    )

  def _check_network(self, source, exemplar):
    """Raises UserError if LPIPS is 0 or not finite for the first pairs that differ."""
    if self._checked or np.array_equal(source, exemplar):
      return
    self._checked, distances = True, self._network(source, exemplar)
    if not np.isfinite(distances).all() or not distances.any():
      raise errors.UserError(
        f'{_FIELD} gives {distances.max():g} for pictures that differ; its '
        'weights are damaged: import them again'
      )

  def results(self) -> Iterator[tuple[str, float | str]]:
    means = dict(self._values.means())
    for name, mean in means.items():
      yield name, mean
      yield self._values.deviation(name)
    for direction in self._nearby:
      if f'{direction}_lpips_diversity' not in means:
        self._note(
          f"'lpips' measures no diversity from {direction[0]} to {direction[1]}: no "
          f'picture has {self._exemplars} exemplars (config.lpips.exemplars) other than '
          'itself'
        )
    if means:
      yield 'lpips_network', self._network.provenance


class Network:
  """Computes LPIPS of bytes, by what `import_weights lpips` wrote.

  Attributes:
    net: of pretrained_networks.lpips.NETS.
    provenance: names the weights.
  """

  def __init__(self, path: str):
    """Opens a file; UserError says what is wrong with it."""
    params, self.provenance = weights.read_lpips(os.path.expanduser(path))
    module, self._params = lpips.of(params), jax.device_put(params)
    self.net = module.net

    def compute(method):
      def apply(params, *images):
        scaled = [x.astype(jnp.float32) / 127.5 - 1 for x in images]
        return module.apply({'params': params}, *scaled, method=method)

      return jax.jit(apply)

    self._distance, self._spread = compute('__call__'), compute('spread')

  def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the distances [B] of uint8 [B, H, W, 3]."""
    return self._chunks(
      self._distance, len(x), _LARGEST_BATCH, lambda rows: (x[rows], y[rows])
    )

  def spread(self, images: np.ndarray) -> np.ndarray:
    """Returns the mean distance [B] over all pairs of the E pictures, uint8 [E, B, H, W, 3]."""
    most = max(1, 2 * _LARGEST_BATCH // len(images))
    return self._chunks(
      self._spread, images.shape[1], most, lambda rows: (images[:, rows],)
    )

  def _chunks(self, compute, count, most, images):
    """Computes a few pictures at a time; the last chunk repeats the last picture."""
    size = min(most, 1 << (count - 1).bit_length())
    chunks = []
    for start in range(0, count, size):
      rows = np.minimum(np.arange(start, start + size), count - 1)
      chunks.append(compute(self._params, *images(rows)))
    return np.concatenate(jax.device_get(chunks))[:count]


class _Nearby:
  """Chooses `count` exemplars for each source: its own and those nearest before it, else after."""

  def __init__(self, count: int):
    self._count = count
    self._first = 0  # number of the oldest exemplar that is kept
    self._exemplars: list[np.ndarray] = []
    self._waiting: list[
      tuple[int, np.ndarray]
    ] = []  # sources with too few as yet, by number

  def take(
    self, sources: np.ndarray, exemplars: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Takes in pairs, [N, H, W, 3] each; returns sources [M, ...] and exemplars [count, M, ...]."""
    number = self._first + len(self._exemplars)
    self._exemplars += list(exemplars)
    self._waiting += enumerate(sources, number)
    end, ready, waiting = number + len(exemplars), [], []
    # The nearest exemplars before a source come first, then those after it.
    for i, source in self._waiting:
      candidates = [*range(i, self._first - 1, -1), *range(i + 1, end)][
        : self._count + 1
      ]
      chosen = self._others(source, candidates)
      if len(chosen) == self._count:
        ready.append((source, chosen))
      elif len(candidates) <= self._count:
        waiting.append((i, source))
    self._waiting = waiting

    # No source, now or later, asks for older exemplars.
    gone = max(0, len(self._exemplars) - self._count)
    del self._exemplars[:gone]
    self._first += gone

    if not ready:
      return sources[:0], exemplars[None, :0]

    # Exemplars become [count, M, ...]: a batch for each that translates all sources.
    chosen_sources, chosen_exemplars = zip(*ready, strict=True)
    return np.stack(chosen_sources), np.stack(
      [np.stack(each) for each in chosen_exemplars], axis=1
    )

  def _others(self, source, numbers) -> list[np.ndarray]:
    """Returns up to `count` exemplars of these numbers that are not the source itself."""
    others = []
    for number in numbers:
      exemplar = self._exemplars[number - self._first]
      if len(others) < self._count and not np.array_equal(exemplar, source):
        others.append(exemplar)
    return others
