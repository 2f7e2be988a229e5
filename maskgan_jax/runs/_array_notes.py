"""Notes on the arrays of a checkpoint: which there are, and of which shapes and dtypes."""

from typing import Any

import jax
import numpy as np


class UnfitError(Exception):
  """A checkpoint that reads well but is not the wanted one; the message is for the user."""


def describe(tree: Any) -> dict[str, list]:
  """Returns {'params/generator/kernel': [shape, dtype's name]}, as JSON gives it back."""
  described = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    # Counters may be plain numbers.
    leaf = leaf if hasattr(leaf, 'dtype') else np.asarray(leaf)
    name = jax.tree_util.keystr(path, simple=True, separator='/')
    described[name] = [list(leaf.shape), leaf.dtype.name]
    if 0 in leaf.shape:
      raise ValueError(
        f'cannot save {name}: an array of shape {leaf.shape} has no elements'
      )
  return described


def compare(saved: dict[str, list], wanted: dict[str, list]) -> None:
  """Raises UnfitError if other arrays were saved than are wanted; Orbax would cast dtypes."""
  differences = []
  for name in sorted({*wanted, *saved}):
    if wanted.get(name) != saved.get(name):
      differences.append(
        f'{name} is {_spelt(saved.get(name))}, the program wants '
        f'{_spelt(wanted.get(name))}'
      )
  if differences:
    more = f' and {len(differences) - 3} more' if len(differences) > 3 else ''
    raise UnfitError(f'it holds other arrays: {", ".join(differences[:3])}{more}')


def _spelt(entry: list | None) -> str:
  """Returns a shape and dtype as text, such as 'float32[5]'."""
  return f'{entry[1]}{entry[0]}' if entry else 'absent'
