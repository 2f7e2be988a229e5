"""Sample grids: the same few pairs at every step, with named columns, as PNG files of a run."""

import os
from typing import Any

import jax
import ml_collections
import numpy as np

from maskgan_jax.methods import base
from maskgan_jax.runs import pictures

_MEANINGS = {
    'source': 'the picture to change',
    'exemplar': 'the picture to take from',
    "exemplar's mask": 'what is taken from the exemplar; white is certain',
    "source's mask": 'where it goes in the source',
    "source's feature mask": 'what the masks of the features let through, the mean over channels',
    'translation': 'the source after the exemplar',
    'truth': 'the right answer, which training never sees',
    'exemplar, removed': 'the exemplar without what is transferred',
    'truth of removal': 'the right answer to that',
    'the other way': 'the exemplar after the source',
    'its truth': 'the right answer to that',
}
_MEANINGS_ALONE = _MEANINGS | {  # of methods without exemplars
    "source's mask": 'where it changes; white is most',
    'added mask': 'what is added to the source; grey is nothing',
    'attention': 'how much each place lets through, which is in the added mask already',
    'translation': 'the source as the model would have it in the other domain',
    'source, the other way': 'a picture of the other domain',
    'its added mask': 'what is added to that',
    'the other way': 'that picture as the model would have it in the domain of the source',
}


def path(workdir: str, step: int) -> str:
  """Of the grid of a step."""
  return os.path.join(workdir, 'samples', f'{step:08d}.png')


class Sampler:
  """Translates a fixed batch of validation pairs and draws what came of it.

  Columns, as far as the method's abilities and the data go: source, exemplar, the exemplar's mask
  (what is taken), the source's mask (where it goes) or what feature masks let through of it on the
  mean, translation, its truth, the exemplar without its content, its truth; the exemplar after the
  source's example, its truth. Without exemplars: source, where and by what it is changed,
  translation, its truth; and the same the other way.
  """

  def __init__(self, method: base.Method, data: Any, config: ml_collections.ConfigDict):
    self.name = config.name
    self.batch = next(iter(data.evaluation('validation', batch_size=config.sample_pairs,
                                           max_pairs=config.sample_pairs)), None)
    guided = 'exemplar' in method.abilities
    self._columns = _with_exemplar if guided else _alone

    def compute(params, model_state, a, b, rng):
      a, b = (x.astype(np.float32) / 127.5 - 1 for x in (a, b))
      translation = method.translate(params, model_state, a, b if guided else None, rng=rng)
      # The middle threshold: masks are still soft where a run is young, and none is searched yet.
      removal = (method.remove(params, model_state, b, threshold=0.5).image
                 if guided and 'remove' in method.abilities else None)
      back = (method.translate(params, model_state, b, a if guided else None, rng=rng, reverse=True)
              if 'reverse' in method.abilities else None)
      return translation, removal, back
    self._compute = jax.jit(compute)

  def write(self, step: int, params: base.Params, model_state: base.ModelState,
            workdir: str) -> None:
    """Writes samples/<step>.png, if there are validation pairs."""
    if self.batch is None:
      return
    batch = {name: np.asarray(value)[self.batch['valid']] for name, value in self.batch.items()}
    translation, removal, back = self._compute(params, model_state, batch['a'], batch['b'],
                                               jax.random.key(0))
    columns, meanings = self._columns(batch, translation, removal, back)
    columns = {name: np.asarray(value) for name, value in columns.items() if value is not None}
    rows = [list(images) for images in zip(*columns.values(), strict=True)]
    finite = all(np.isfinite(value).all() for value in columns.values())
    title = f'{self.name}, step {step:,}, validation pairs'
    picture = pictures.grid(rows, column_names=list(columns), title=title if finite else (
        f'{title}; black stands for NaN and infinite values'))
    pictures.save(path(workdir, step), picture,
                  description=' '.join(f'{name}: {meanings[name]}.' for name in columns))


def _with_exemplar(batch, translation, removal, back):
  """Columns, None where there is nothing to show, and what they mean."""
  return {
      'source': batch['a'],
      'exemplar': batch['b'],
      "exemplar's mask": translation.exemplar_mask,
      "source's mask": translation.source_mask,
      "source's feature mask": translation.extras.get('feature_mask'),
      'translation': translation.image,
      'truth': batch.get('truth_ab'),
      'exemplar, removed': removal,
      'truth of removal': batch.get('truth_ba') if removal is not None else None,
      'the other way': back.image if back is not None else None,
      'its truth': batch.get('truth_ba') if back is not None else None,
  }, _MEANINGS


def _alone(batch, translation, removal, back):
  """The same for methods that use no exemplar, so that none is shown."""
  del removal
  columns = {
      'source': batch['a'],
      "source's mask": translation.source_mask,
      'added mask': translation.extras.get('added_mask'),
      'attention': translation.extras.get('attention'),
      'translation': translation.image,
      'truth': batch.get('truth_ab'),
  }
  if back is not None:
    columns |= {
        'source, the other way': batch['b'],
        'its added mask': back.extras.get('added_mask'),
        'the other way': back.image,
        'its truth': batch.get('truth_ba'),
    }
  return columns, _MEANINGS_ALONE
