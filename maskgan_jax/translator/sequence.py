"""Several models one after another: the glasses of one picture, then the smile of the next."""

from collections.abc import Callable, Sequence
from typing import Any

from maskgan_jax import errors
from maskgan_jax.methods.base import Translation


def in_sequence(
  translators: Sequence[Callable[..., Translation]],
  source: Any,
  exemplars: Sequence[Any],
) -> list[Translation]:
  """Applies several models one after another, each with its exemplar.

  Returns each step's translation; the last image has everything.
  """
  if not translators or len(translators) != len(exemplars):
    raise errors.UserError(
      f'{len(translators)} translators and {len(exemplars)} exemplars; give '
      'one exemplar for each translator'
    )

  # Each result is the next model's source.
  results = []
  for translator, exemplar in zip(translators, exemplars, strict=True):
    results.append(translator(source, exemplar))
    source = results[-1].image
  return results
