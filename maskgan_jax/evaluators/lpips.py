"""How different do translations look, from the truth and from each other? By LPIPS (Zhang et al.).

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

from collections.abc import Callable, Iterator, Mapping
import itertools
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maskgan_jax import errors
from maskgan_jax.evaluators import base, similarity
from maskgan_jax.pretrained_networks import files as weights
from maskgan_jax.pretrained_networks import lpips

DEFAULTS = {  # config.lpips; a literal, which config/evaluation.py reads
    'network': '',  # NAME.safetensors of import_weights lpips
    'exemplars': 4,  # diversity is over this number of exemplars of each source
}

_FIELD = 'config.lpips.network'
_LARGEST_BATCH = 16  # pictures at once; fewer are padded to 1, 2, 4, ...


class Evaluator:
  """See the module's docstring and `base.Evaluator`."""
  settings = 'lpips'

  def __init__(self, settings: Mapping[str, Any]):
    """Opens the network, if one is named."""
    self._exemplars = settings['exemplars']
    if self._exemplars < 2:
      raise errors.UserError(f'config.lpips.exemplars={self._exemplars} must be at least 2: '
                             'diversity is over pairs of translations')
    self._network = Network(settings['network']) if settings['network'] else None
    self._values = base.PerImage()
    self._nearby: dict[str, _Nearby] = {}  # by direction
    self._checked = False  # the network, on pictures that differ

  def begin(self, data: Any, split: str, poll: Callable[[], None],
            note: Callable[[str], None]) -> None:
    """See `base.Evaluator`."""
    self._poll, self._note = poll, note

  def missing(self, batch, abilities):
    if not self._network:
      return (f'no network is named ({_FIELD}); python -m maskgan_jax.import_weights lpips '
              'BACKBONE LINEAR --output=NAME.safetensors makes one')
    try:
      lpips.require_size(self._network.net, *batch['a'].shape[1:3])
    except errors.UserError as error:
      return str(error)
    if 'exemplar' in abilities or any(f'truth_{d}' in batch
                                      for d in similarity.directions(abilities)):
      return ''
    return 'the method takes no exemplar, and the data have no true translations'

  def update(self, batch, outputs, valid):
    if not valid.any():
      return
    for direction in similarity.directions(outputs.abilities):
      source, exemplar = (batch[name][valid] for name in direction)
      self._check_network(source, exemplar)
      if (truth := batch.get(f'truth_{direction}')) is not None:
        image = (outputs.translation if direction == 'ab' else outputs.back).image[valid]
        for prefix, picture in (('', image), ('do_nothing_', source)):
          distances = self._network(picture, truth[valid])
          self._values.add(f'{prefix}{direction}_lpips', distances, np.ones(len(source), bool))
      if 'exemplar' in outputs.abilities:
        nearby = self._nearby.setdefault(direction, _Nearby(self._exemplars))
        sources, exemplars = nearby.take(source, exemplar)
        if len(sources):
          made = []
          for each in exemplars:
            self._poll()
            made.append(outputs.translate_pictures(sources, each, reverse=direction == 'ba').image)
          self._values.add(f'{direction}_lpips_diversity', self._network.spread(np.stack(made)),
                           np.ones(len(sources), bool))

  def _check_network(self, source, exemplar):
    """UserError if LPIPS of the first pairs is 0 or not finite, though their pictures differ."""
    if self._checked or np.array_equal(source, exemplar):
      return
    self._checked, distances = True, self._network(source, exemplar)
    if not np.isfinite(distances).all() or not distances.any():
      raise errors.UserError(f'{_FIELD} gives {distances.max():g} for pictures that differ; its '
                             'weights are damaged: import them again')

  def results(self) -> Iterator[tuple[str, float | str]]:
    means = dict(self._values.means())
    for name, mean in means.items():
      yield name, mean
      yield f'{name}_std', self._values.summary(name)[1]
    for direction in self._nearby:
      if f'{direction}_lpips_diversity' not in means:
        self._note(f"'lpips' measures no diversity from {direction[0]} to {direction[1]}: no "
                   f'picture has {self._exemplars} exemplars (config.lpips.exemplars) other than '
                   'itself')
    if means:
      yield 'lpips_network', self._network.provenance


class Network:
  """LPIPS of bytes, from what `import_weights lpips` wrote.

  Attributes:
    net: of pretrained_networks.lpips.NETS.
    provenance: names the weights.
  """

  def __init__(self, path: str):
    """UserError says what is wrong with the file."""
    params, self.provenance = weights.read_lpips(os.path.expanduser(path))
    module, self._params = lpips.of(params), jax.device_put(params)
    self.net = module.net

    def compute(method):
      return jax.jit(lambda params, *images: module.apply(
          {'params': params}, *(x.astype(jnp.float32) / 127.5 - 1 for x in images), method=method))
    self._distance, self._spread = compute('__call__'), compute('spread')

  def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of uint8 [B, H, W, 3] each, [B]."""
    return self._chunks(self._distance, len(x), _LARGEST_BATCH, lambda rows: (x[rows], y[rows]))

  def spread(self, images: np.ndarray) -> np.ndarray:
    """The mean over all pairs of the E pictures uint8 [E, B, H, W, 3] of each example, [B]."""
    most = max(1, 2 * _LARGEST_BATCH // len(images))
    return self._chunks(self._spread, images.shape[1], most, lambda rows: (images[:, rows],))

  def _chunks(self, compute, count, most, images):
    size = min(most, 1 << (count - 1).bit_length())
    chunks = [compute(self._params, *images(np.minimum(np.arange(start, start + size), count - 1)))
              for start in range(0, count, size)]
    return np.concatenate(jax.device_get(chunks))[:count]


class _Nearby:
  """Finds `count` exemplars for each source: its own and those nearest before it, else after."""

  def __init__(self, count: int):
    self._count = count
    self._first = 0  # number of the oldest exemplar that is kept
    self._exemplars: list[np.ndarray] = []
    self._waiting: list[tuple[int, np.ndarray]] = []  # sources with too few as yet, by number

  def take(self, sources: np.ndarray, exemplars: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Takes pairs in, [N, H, W, 3] each; returns sources [M, ...] and exemplars [count, M, ...]."""
    number = self._first + len(self._exemplars)
    self._exemplars += list(exemplars)
    self._waiting += enumerate(sources, number)
    end, ready, waiting = number + len(exemplars), [], []
    for i, source in self._waiting:
      around = [*range(i, self._first - 1, -1), *range(i + 1, end)][:self._count + 1]
      others = (self._exemplars[j - self._first] for j in around)
      chosen = list(itertools.islice(
          (x for x in others if not np.array_equal(x, source)), self._count))
      if len(chosen) == self._count:
        ready.append((source, chosen))
      elif len(around) <= self._count:
        waiting.append((i, source))
    self._waiting = waiting
    gone = max(0, len(self._exemplars) - self._count)  # no source, now or later, asks for these
    del self._exemplars[:gone]
    self._first += gone
    if not ready:
      return sources[:0], exemplars[None, :0]
    return (np.stack([source for source, _ in ready]),
            np.stack([chosen for _, chosen in ready], axis=1))
