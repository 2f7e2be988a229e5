"""What evaluators share: the model's outputs for a batch, and exact means over images."""

from collections.abc import Iterator, Mapping, Sequence
import functools
from typing import Protocol

import numpy as np

from maskgan_jax.methods.base import Translation
from maskgan_jax.translator import Translator


class Outputs:
  """What a model makes of one batch: each computed when first asked for, then kept.

  Attributes:
    abilities: the method's.
    threshold: of masks, found on the validation split; None if there were no true masks.
    apart: names of the groups in `a_apart` and `b_apart` of the batch.
  """

  def __init__(self, translator: Translator, batch: Mapping[str, np.ndarray],
               threshold: float | None = None, apart: Sequence[str] = ()):
    self.abilities = translator.abilities
    self.threshold = threshold
    self.apart = tuple(apart)
    self._translator = translator
    self._batch = batch

  @functools.cached_property
  def translation(self) -> Translation:
    """z(a, b)."""
    return self.translate_again()

  def translate_again(self) -> Translation:
    """z(a, b), computed anew."""
    exemplar = self._batch['b'] if 'exemplar' in self.abilities else None
    return self._translator(self._batch['a'], exemplar)

  @functools.cached_property
  def back(self) -> Translation:
    """z(b, a), the other way round; only where 'reverse' is among the abilities."""
    exemplar = self._batch['a'] if 'exemplar' in self.abilities else None
    return self._translator(self._batch['b'], exemplar, reverse=True)

  def translate_with(self, exemplar_mask: np.ndarray) -> Translation:
    """z(a, b) with this mask of b in place of the predicted one; not kept."""
    return self._translator(self._batch['a'], self._batch['b'], exemplar_mask=exemplar_mask)

  def translate_pictures(self, source: np.ndarray, exemplar: np.ndarray, *, reverse: bool = False
                         ) -> Translation:
    """z(source, exemplar) of other pairs than the batch's, reverse from b to a; not kept."""
    return self._translator(source, exemplar, reverse=reverse)

  @functools.cached_property
  def mask(self) -> np.ndarray:
    """The soft mask of b."""
    return self._translator.segment(self._batch['b'])

  @functools.cached_property
  def removal(self) -> Translation:
    """b without the attribute."""
    return self._translator.remove(self._batch['b'], threshold=self.threshold)


class Evaluator(Protocol):
  """A measure over batches: class `Evaluator` of a module here, built anew for every pass.

  It is built without arguments, or with `config[Evaluator.settings]` where it has `settings`, a key
  or several. One that draws has `caption`, a line about its pictures, and `figures()`, which yields
  (name, uint8 [H, W, 3]) after `results`. One that needs more than batches has `begin(data, split,
  poll, note)`, called before the first `update` with what evaluators.run was given.
  """

  def missing(self, batch: Mapping[str, np.ndarray], abilities: frozenset[str]) -> str:
    """Why this batch and these abilities give nothing to measure; '' if they do."""

  def update(self, batch: Mapping[str, np.ndarray], outputs: Outputs, valid: np.ndarray) -> None:
    """Takes a batch in; rows where `valid` [B] is False are padding."""

  def results(self) -> Iterator[tuple[str, float | str]]:
    """Yields (name, value); a text is what has to stand beside the numbers."""


class PerImage:
  """Values by name, one an image, so that means do not depend on how images were batched."""

  def __init__(self):
    self._values: dict[str, list[np.ndarray]] = {}

  def add(self, name: str, values: np.ndarray, where: np.ndarray) -> None:
    """Appends the values [B] of the images for which `where` [B] holds."""
    self._values.setdefault(name, []).append(np.asarray(values, np.float64)[where])

  def summary(self, name: str) -> tuple[float, float] | None:
    """Mean and standard deviation (of these images: ddof 0); None if no image has the value."""
    values = np.concatenate(self._values.get(name, [np.zeros(0)]))
    return (float(values.mean()), float(values.std())) if values.size else None

  def means(self) -> Iterator[tuple[str, float]]:
    """Yields (name, mean) for every name that has values."""
    for name in self._values:
      if (summary := self.summary(name)) is not None:
        yield name, summary[0]
