"""The contract of evaluators, the model's outputs for a batch, and exact means over images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import dataclasses
import functools
from typing import Any

import numpy as np

from maskgan_jax.methods.base import Translation
from maskgan_jax.runs import measures
from maskgan_jax.translator import Translator


class Outputs:
  """Holds what a model makes of one batch: each output is computed once, when it is needed.

  Attributes:
    abilities: the method's.
    threshold: of masks, found on the validation split; None if there were no true masks.
    apart: names of the groups in `a_apart` and `b_apart` of the batch.
  """

  def __init__(
    self,
    translator: Translator,
    batch: Mapping[str, np.ndarray],
    threshold: float | None = None,
    apart: Sequence[str] = (),
  ):
    self.abilities = translator.abilities
    self.threshold = threshold
    self.apart = tuple(apart)
    self._translator = translator
    self._batch = batch

  @functools.cached_property
  def translation(self) -> Translation:
    """Returns z(a, b)."""
    return self.translate_again()

  def translated(self, direction: str) -> np.ndarray:
    """Returns the translations, uint8 [B, H, W, 3], in the direction 'ab' or 'ba'."""
    return (self.translation if direction == 'ab' else self.back).image

  def translate_again(self) -> Translation:
    """Computes z(a, b) anew."""
    exemplar = self._batch['b'] if 'exemplar' in self.abilities else None
    return self._translator(self._batch['a'], exemplar, **self._labels('b'))

  def _labels(self, domain: str) -> dict[str, np.ndarray]:
    """Returns the labels of a domain's pictures, by name, for methods that need them."""
    if 'labels' not in self.abilities or 'exemplar' in self.abilities:
      return {}
    labels = self._batch[f'{domain}_attributes']
    return {'labels': labels} if labels.shape[1] > 1 else {}

  @functools.cached_property
  def back(self) -> Translation:
    """Returns z(b, a), the other way round; only where 'reverse' is among the abilities."""
    exemplar = self._batch['a'] if 'exemplar' in self.abilities else None
    return self._translator(
      self._batch['b'], exemplar, **self._labels('a'), reverse=True
    )

  def translate_with(self, exemplar_mask: np.ndarray) -> Translation:
    """Computes z(a, b) with this mask of b in place of the predicted one."""
    return self._translator(
      self._batch['a'], self._batch['b'], exemplar_mask=exemplar_mask
    )

  def translate_pictures(
    self, source: np.ndarray, exemplar: np.ndarray, *, reverse: bool = False
  ) -> Translation:
    """Computes z(source, exemplar) of other pairs than the batch's, `reverse` from b to a."""
    return self._translator(source, exemplar, reverse=reverse)

  @functools.cached_property
  def mask(self) -> np.ndarray:
    """Returns the soft mask of b."""
    return self._translator.segment(self._batch['b'])

  @functools.cached_property
  def removal(self) -> Translation:
    """Returns b without the attribute."""
    return self._translator.remove(self._batch['b'], threshold=self.threshold)


@dataclasses.dataclass(frozen=True)
class Reporter:
  """How a long measurement talks to whoever waits for it.

  Attributes:
    poll: is called often; may raise to stop, e.g. when the machine is about to go.
    note: takes a line on what is done, what cannot be measured, and why.
  """

  poll: Callable[[], None] = lambda: None
  note: Callable[[str], None] = print


class Evaluator:
  """A measure over batches: class `Evaluator` of a module here, built anew for every pass.

  A subclass overrides `update` and `results`, and what else it needs. It is built with one argument
  for each key of `settings`, in that order: the group of the config with this key.

  Attributes:
    settings: keys of the config that it is built with.
    quantities: what it measures, in the order of reports.
    texts: columns in which it says what has to stand beside the numbers.
    order: its place in reports; evaluators with lower numbers come first.
    caption: a line about its figures.
  """

  settings: tuple[str, ...] = ()
  quantities: tuple[measures.Quantity, ...] = ()
  texts: tuple[str, ...] = ()
  order: float = 500
  caption: str = ''

  def __init_subclass__(cls, **keywords):
    """Makes the measures known to all that read scores.csv."""
    super().__init_subclass__(**keywords)
    name = cls.__module__.rpartition('.')[2]
    measures.declare(name, cls.quantities, cls.texts, cls.order)

  def missing(self, batch: Mapping[str, np.ndarray], abilities: frozenset[str]) -> str:
    """Returns why this batch and these abilities give nothing to measure; '' if they do."""
    return ''

  def begin(self, data: Any, split: str, reporter: Reporter) -> None:
    """Prepares a pass over a split; is called before the first `update`.

    Args:
      data: `data.pipeline.Data`.
      split: the split that is measured.
      reporter: what the evaluator reports to.
    """

  def update(
    self, batch: Mapping[str, np.ndarray], outputs: Outputs, valid: np.ndarray
  ) -> None:
    """Takes in a batch; rows where `valid` [B] is False are padding."""
    raise NotImplementedError

  def results(self) -> Iterator[tuple[str, float | str]]:
    """Yields (column, value); a text is what has to stand beside the numbers."""
    raise NotImplementedError

  def figures(self) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (name, uint8 [H, W, 3]) of what the evaluator draws; is called after `results`."""
    return iter(())


class PerImage:
  """Collects values by name, one an image: means do not depend on how images are batched."""

  def __init__(self):
    self._values: dict[str, list[np.ndarray]] = {}

  def add(self, name: str, values: np.ndarray, where: np.ndarray) -> None:
    """Appends the values [B] of the images for which `where` [B] holds."""
    counted = np.asarray(values, np.float64)[where]
    self._values.setdefault(name, []).append(counted)

  def summary(self, name: str) -> tuple[float, float] | None:
    """Returns mean and standard deviation (ddof 0); None if no image has the value."""
    values = np.concatenate(self._values.get(name, [np.zeros(0)]))
    return (float(values.mean()), float(values.std())) if values.size else None

  def means(self) -> Iterator[tuple[str, float]]:
    """Yields (name, mean) for every name that has values."""
    for name in self._values:
      summary = self.summary(name)
      if summary is not None:
        yield name, summary[0]

  def deviation(self, name: str) -> tuple[str, float]:
    """Returns the column of a name's standard deviation, and the deviation itself."""
    return measures.Measure.parse(name).deviation.column, self.summary(name)[1]
