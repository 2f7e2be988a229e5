"""Measures whether it is still the same person, or picture: cosine of an embedder's features.

  ab_identity         the mean cosine of the features of a source and of its translation: 1 is the
                      same direction. Leaving the picture as it is gets 1, so it must be read beside
                      a measure of what should change (`accuracy`)
  truth_ab_identity   of a source and its true translation, where the data know it: what a perfect
                      one gets. More than that has changed too little
  embedder            the network, and its checksum

`ba` is the other direction, for methods that translate both ways, and `removal` is b and what is
left without the attribute, for methods that remove. `..._std` are standard deviations over pairs.

Content transfer's Table 3 and the column "Sim." of its Tables 6 and 7 have the features of VGGFace2
(Cao et al., 2017). Here they are those of `config.identity.network`, any file that _features.py
opens, or else of `config.accuracy.network`, our classifier: what comes just before its logits; a
note says so where that has learnt what is to change. Numbers of different embedders do not compare.
One that was trained to see nothing but what is to change is not a judge of identity: to a
classifier of glasses alone, a face with them is another face. One of what should stay is made by
`train_classifier --attributes=Smiling,Facial_Hair,...` (docs/avatars.md). A vector of zeros is like
no other: 0.
"""

from collections.abc import Callable, Iterator, Mapping
import os
from typing import Any

import numpy as np

from maskgan_jax.evaluators import _features as features
from maskgan_jax.evaluators import base, similarity
from maskgan_jax.evaluators._changing import to_change
from maskgan_jax.pretrained_networks import classifiers
from maskgan_jax.pretrained_networks import files as weights
from maskgan_jax.runs.measures import DIRECTIONS, Measure, Quantity, TRUTH

DEFAULTS = {  # config.identity; a literal, which config/evaluation.py reads
  'network': '',  # a file that _features.py opens; '' = accuracy.network
}

_PERFECT = 0.5  # true answers should be at least so much like their sources


class Evaluator(base.Evaluator):
  """See the module's docstring and `base.Evaluator`."""

  order = 100
  texts = ('embedder',)
  quantities = (
    Quantity(
      'identity',
      DIRECTIONS,
      title='likeness of the embedding',
      better=1,
      digits=4,
      nothing=1,
      meaning='How alike an embedder finds a picture and its translation, as a '
      'cosine: 1 is the same, which a translation that changes nothing '
      'gets too.',
      truth='The same for true translations: what a perfect one gets.',
    ),
    Quantity(
      'identity',
      ('removal',),
      title='likeness of the embedding',
      better=1,
      digits=4,
      nothing=1,
      meaning='How alike an embedder finds a picture with the attribute and '
      'what is left without it.',
      truth='The same for true pictures without it.',
    ),
  )
  settings = ('identity', 'accuracy', 'data')

  def __init__(
    self,
    settings: Mapping[str, Any],
    accuracy: Mapping[str, Any],
    data: Mapping[str, Any],
  ):
    """Opens the embedder, if one is named.

    Args:
      settings: config.identity.
      accuracy: config.accuracy.
      data: config.data.
    """
    group, path = 'identity', settings['network']
    if not path:
      group, path = 'accuracy', accuracy['network']
    self._embedder, self._learnt = None, ()
    if path:
      self._embedder = features.open_network(path, f'config.{group}.network')
      self._learnt = _learnt(path, accuracy) if group == 'accuracy' else ()
    self._data = data
    self._changing: tuple[str, ...] = ()  # what is to change, of the learnt attributes
    self._values = base.PerImage()
    # A picture and its features.
    self._first: tuple[np.ndarray, np.ndarray] | None = None
    self._pictures_differ = self._features_differ = False
    self._note: Callable[[str], None] = lambda line: None

  def begin(self, data, split, reporter):
    """See `base.Evaluator`; finds out what is to change."""
    self._note = reporter.note
    if self._learnt:
      records = data.records(split) if hasattr(data, 'records') else None
      changing = (*to_change(self._data, self._learnt, records), 'B')
      self._changing = tuple(name for name in self._learnt if name in changing)

  def missing(self, batch, abilities):
    if not self._embedder:
      return (
        'no embedder is named (config.identity.network, or config.accuracy.network for that '
        'classifier)'
      )
    return ''

  def update(self, batch, outputs, valid):
    if not valid.any():
      return
    # Sources are embedded once for all that is made of them.
    domains = 'ab' if outputs.abilities & {'reverse', 'remove'} else 'a'
    sources = {domain: self._embed(batch[domain][valid]) for domain in domains}
    for direction in similarity.directions(outputs.abilities):
      images = {
        '': outputs.translated(direction),
        TRUTH: batch.get(f'truth_{direction}'),
      }
      self._compare(direction, sources[direction[0]], images, valid)
    if 'remove' in outputs.abilities:
      images = {'': outputs.removal.image, TRUTH: batch.get('truth_ba')}
      self._compare('removal', sources['b'], images, valid)

  def _compare(self, task, source, images, valid):
    """Compares the features [N, D] of sources with those of images, by reference."""
    for reference, image in images.items():
      if image is not None:
        likeness = cosine(source, self._embed(image[valid]))
        column = Measure('identity', task, reference).column
        self._values.add(column, likeness, np.ones(len(source), bool))

  def _embed(self, images):
    embedded = self._embedder(images)[0]
    if self._first is None:
      self._first = images[0], embedded[0]

    # An embedder that says the same of all pictures is not a judge of likeness.
    picture, features_of_picture = self._first
    difference = np.abs(embedded - features_of_picture).max()
    self._pictures_differ |= bool((images != picture).any())
    self._features_differ |= bool(difference > 1e-5 * np.abs(features_of_picture).max())
    return embedded

  def results(self) -> Iterator[tuple[str, float | str]]:
    # An embedder that tells no two pictures apart would find all translations perfect.
    means = dict(self._values.means())
    if self._pictures_differ and not self._features_differ:
      self._note(
        "'identity' measures nothing: the embedder gives the same features for all "
        'pictures, so that any two would be the same; name another in '
        'config.identity.network'
      )
      return
    for name, mean in means.items():
      yield name, mean
      yield self._values.deviation(name)

    # The likeness of true answers is the limit that a translation can reach.
    limits = [
      mean for name, mean in means.items() if Measure.parse(name).reference == TRUTH
    ]
    if means and self._changing:
      limit = f', even of true answers only {min(limits):.2f}' if limits else ''
      self._note(
        f"'identity' is by config.accuracy.network, which has learnt what is to change, "
        f'{", ".join(self._changing)}{limit}: name an embedder of what should stay in '
        'config.identity.network'
      )
    elif limits and min(limits) < _PERFECT:
      self._note(
        f"'identity' is by an embedder that finds even true answers unlike their sources "
        f'({min(limits):.2f}): it looks at what is to change; name another in '
        'config.identity.network'
      )
    if means:
      yield 'embedder', self._embedder.provenance


def _learnt(path, accuracy):
  """Returns the attributes of the classifier in a file, as far as anything says which."""
  path = os.path.expanduser(path)
  if weights.kind(path) == classifiers.KIND:
    return classifiers.read(path).facts.attributes
  return tuple(accuracy['attributes'])


def cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Returns the cosines of rows of [N, D], float64 [N]; 0 where either is zero throughout."""
  x, y = (_unit(np.asarray(z, np.float64)) for z in (x, y))
  return np.clip((x * y).sum(axis=1), -1, 1)


def _unit(x):
  """Returns rows of length 1; a row of zeros stays one."""
  length = np.sqrt((x**2).sum(axis=1, keepdims=True))
  return x / np.where(length > 0, length, 1)
