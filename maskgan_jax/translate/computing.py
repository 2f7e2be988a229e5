"""Translates or removes for pairs of a user's pictures, and edits masks as the user says."""

import collections
from collections.abc import Callable, Sequence
import functools
from typing import NamedTuple

import jax
import numpy as np

from maskgan_jax import errors
from maskgan_jax.methods.base import Translation
from maskgan_jax.translate.inputs import Picture
from maskgan_jax.translator import Translator


class Style(NamedTuple):
  """A random style, which takes an exemplar's place."""

  seed: int

  @property
  def name(self) -> str:
    """Its name in those of files and columns."""
    return f'style_{self.seed}'


# A place of a source, and an exemplar or a random style if the method takes one.
Pair = tuple[Picture, Picture | Style | None]


def suffix(mask: str) -> str:
  """Returns the end of the name of a mask's file, after the name of its result."""
  return f'_{mask}'


def translated(
  translator: Translator, masks: Sequence[str], reverse: bool, pairs: Sequence[Pair]
) -> dict[str, np.ndarray]:
  """Translates pairs; returns the images and these masks by suffix."""
  translation = _translate_pairs(translator, pairs, reverse)
  batches = {'': translation.image}
  for name, mask in translator.method.saved_masks(translation).items():
    if name in masks:
      batches[suffix(name)] = mask
  return batches


def removed(
  translator: Translator, masks: Sequence[str], pairs: Sequence[Pair]
) -> dict[str, np.ndarray]:
  """Removes from the pairs' sources; returns the images and these masks by suffix."""
  # A mask that is neither given nor erased is predicted by the removal itself.
  sources = [source for source, _ in pairs]
  image = np.stack([source.image for source in sources])
  mask = _edited(sources, lambda: translator.segment(image))
  removal = translator.remove(image, mask)
  batches = {'': removal.image}
  shown = {**removal.extras, **removal.masks}
  for name in masks:
    if shown.get(name) is not None:
      batches[suffix(name)] = shown[name]
  return batches


def _translate_pairs(
  translator: Translator, pairs: Sequence[Pair], reverse: bool
) -> Translation:
  """Translates pairs with the user's edits of the masks."""
  if isinstance(pairs[0][1], Style):
    return _in_random_styles(translator, pairs, reverse)
  sources, exemplars = zip(*pairs, strict=True)
  source = np.stack([picture.image for picture in sources])
  call = functools.partial(translator, reverse=reverse)
  exemplar = exemplar_mask = None
  if exemplars[0]:
    exemplar = np.stack([picture.image for picture in exemplars])
    exemplar_mask = _edited(
      exemplars, lambda: _predicted(translator, call(source, exemplar), 'exemplar_mask')
    )
  # The source's mask is predicted from what is taken of the exemplar.
  source_mask = _edited(
    sources,
    lambda: _predicted(
      translator, call(source, exemplar, exemplar_mask=exemplar_mask), 'source_mask'
    ),
  )
  return call(source, exemplar, source_mask, exemplar_mask)


def _in_random_styles(
  translator: Translator, pairs: Sequence[Pair], reverse: bool
) -> Translation:
  """Translates sources in random styles, those of one style at once."""
  numbers_of = collections.defaultdict(list)
  for number, (_, style) in enumerate(pairs):
    numbers_of[style.seed].append(number)
  parts = []
  for seed, numbers in numbers_of.items():
    sources = [pairs[number][0] for number in numbers]
    call = functools.partial(translator, reverse=reverse, seed=seed)
    parts.append(_in_style(translator, sources, call))

  # Results go back to the places of their pairs.
  places = np.argsort(np.concatenate(list(numbers_of.values())))
  return jax.tree.map(lambda *arrays: np.concatenate(arrays)[places], *parts)


def _in_style(
  translator: Translator, sources: Sequence[Picture], call: Callable[..., Translation]
) -> Translation:
  """Translates sources in one style, with the user's edits of their masks."""
  source = np.stack([picture.image for picture in sources])
  source_mask = _edited(
    sources, lambda: _predicted(translator, call(source), 'source_mask')
  )
  return call(source, source_mask=source_mask)


def _edited(
  side: Sequence[Picture], predict: Callable[[], np.ndarray]
) -> np.ndarray | None:
  """Returns given or predicted masks without the erased parts; None leaves them to the model."""
  # All pictures of a side have a mask, or none has.
  is_given = side[0].mask is not None
  is_erased = side[0].keep is not None
  if not is_given and not is_erased:
    return None
  mask = np.stack([picture.mask for picture in side]) if is_given else predict()
  if not is_erased:
    return mask
  return mask * np.stack([picture.keep for picture in side])


def _predicted(
  translator: Translator, translation: Translation, name: str
) -> np.ndarray:
  """Returns the predicted mask; where a method predicts none, all of the picture."""
  if name not in translator.abilities:
    raise errors.UserError(f'{translator.config.method} has no {name} to erase from')
  mask = translation.masks[name]
  if mask is None:
    return np.ones((*translation.image.shape[:3], 1), np.float32)
  return mask
