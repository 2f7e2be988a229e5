"""Sample grids: the same few pairs at every step, with named columns, as PNG files of a run."""

from collections.abc import Iterator
import os
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from maskgan_jax.data import images
from maskgan_jax.methods import base
from maskgan_jax.runs import pictures


class _Column(NamedTuple):
  """A column of the grid: its heading, what it shows, and its pictures or None."""

  name: str
  meaning: str
  pictures: Any


class _Results(NamedTuple):
  """What a method makes of a batch; None for what it cannot do."""

  translation: base.Translation
  removed: Any  # the exemplars without what is transferred
  back: base.Translation | None


def path(workdir: str, step: int) -> str:
  """Returns the path of a step's grid."""
  return os.path.join(workdir, 'samples', f'{step:08d}.png')


class Sampler:
  """Translates a fixed batch of validation pairs and draws the results.

  The columns depend on the method's abilities and extras, and on the true answers in the data: see
  `_guided_columns` and `_lone_columns`.
  """

  def __init__(self, method: base.Method, data: Any, config: ml_collections.ConfigDict):
    # The same validation pairs are drawn each time, so that steps can be compared.
    self._method = method
    self._name = config.name
    batches = data.evaluation(
      'validation', batch_size=config.sample_pairs, max_pairs=config.sample_pairs
    )
    self.batch = next(iter(batches), None)
    self._compute = jax.jit(self._results)

  def _results(self, params, model_state, batch, rng) -> _Results:
    """Translates the uint8 images 'a' and 'b' of a batch."""
    method, abilities = self._method, self._method.abilities
    guided = 'exemplar' in abilities
    a, b = (batch[domain].astype(np.float32) / 127.5 - 1 for domain in 'ab')

    # A method that cannot read labels off exemplars gets the true ones.
    to_a, to_b = {'rng': rng}, {'rng': rng}
    if method.needs_labels:
      to_a['labels'], to_b['labels'] = batch['a_attributes'], batch['b_attributes']
    translation = method.translate(
      params, model_state, a, b if guided else None, **to_b
    )
    removed = back = None
    if guided and 'remove' in abilities:
      # Masks of a young run are soft, and no threshold was searched yet: take the middle.
      removed = method.remove(params, model_state, b, threshold=0.5).image
    if 'reverse' in abilities:
      exemplar = a if guided else None
      back = method.translate(params, model_state, b, exemplar, **to_a, reverse=True)
    return _Results(translation, removed, back)

  def write(
    self, step: int, params: base.Params, model_state: base.ModelState, workdir: str
  ) -> None:
    """Writes samples/<step>.png, if there are validation pairs."""
    if self.batch is None:
      return

    # Padded rows are not drawn.
    valid = self.batch['valid']
    batch = {name: np.asarray(value)[valid] for name, value in self.batch.items()}
    used = {'a', 'b', 'a_attributes', 'b_attributes'} & set(batch)
    results = self._compute(
      params,
      model_state,
      {name: batch[name] for name in used},
      jax.random.key(0),
    )
    guided = 'exemplar' in self._method.abilities
    make_columns = _guided_columns if guided else _lone_columns

    # Not every method has every mask, and not every data set true answers.
    columns = []
    for column in make_columns(self._method.extras, batch, results):
      if column.pictures is not None:
        columns.append(column._replace(pictures=np.asarray(column.pictures)))

    title = f'{self._name}, step {step:,}, validation pairs'
    if not all(np.isfinite(column.pictures).all() for column in columns):
      title += '; black stands for NaN and infinite values'
    pictures_by_column = [column.pictures for column in columns]
    rows = list(zip(*pictures_by_column, strict=True))
    drawn = pictures.grid(
      rows,
      column_names=[column.name for column in columns],
      title=title,
      broken_as_black=True,  # the grid of a run that diverged is worth a look
    )
    description = ' '.join(f'{column.name}: {column.meaning}.' for column in columns)
    images.save_png(path(workdir, step), drawn, description=description)


def _guided_columns(
  extras: tuple[base.Extra, ...], batch: dict[str, np.ndarray], results: _Results
) -> Iterator[_Column]:
  """Yields the columns of a method that exemplars guide."""
  translation, removed, back = results
  yield _Column('source', 'the picture to change', batch['a'])
  yield _Column('exemplar', 'the picture to take from', batch['b'])
  yield _Column(
    "exemplar's mask",
    'what is taken from the exemplar; white is certain',
    translation.exemplar_mask,
  )
  yield _Column("source's mask", 'where it goes in the source', translation.source_mask)
  yield from _extra_columns(extras, translation)
  yield _Column('translation', 'the source after the exemplar', translation.image)
  yield _Column(
    'truth', 'the right answer, which training never sees', batch.get('truth_ab')
  )
  if removed is not None:
    yield _Column(
      'exemplar, removed', 'the exemplar without what is transferred', removed
    )
    yield _Column('truth of removal', 'the right answer to that', batch.get('truth_ba'))
  if back is not None:
    yield _Column('the other way', 'the exemplar after the source', back.image)
    yield _Column('its truth', 'the right answer to that', batch.get('truth_ba'))


def _lone_columns(
  extras: tuple[base.Extra, ...], batch: dict[str, np.ndarray], results: _Results
) -> Iterator[_Column]:
  """Yields the columns of a method without exemplars, so that none is shown."""
  translation, _, back = results
  yield _Column('source', 'the picture to change', batch['a'])
  yield _Column(
    "source's mask", 'where it changes; white is most', translation.source_mask
  )
  yield from _extra_columns(extras, translation)
  yield _Column(
    'translation',
    'the source as the model would have it in the other domain',
    translation.image,
  )
  yield _Column(
    'truth', 'the right answer, which training never sees', batch.get('truth_ab')
  )
  if back is not None:
    yield _Column('source, the other way', 'a picture of the other domain', batch['b'])
    for extra in extras:
      if extra.shows_change:
        yield _Column(
          f'its {extra.title}', 'the same for that picture', back.extras.get(extra.name)
        )
    yield _Column(
      'the other way',
      'that picture as the model would have it in the domain of the source',
      back.image,
    )
    yield _Column('its truth', 'the right answer to that', batch.get('truth_ba'))


def _extra_columns(
  extras: tuple[base.Extra, ...], translation: base.Translation
) -> Iterator[_Column]:
  for extra in extras:
    yield _Column(extra.title, extra.meaning, translation.extras.get(extra.name))
