"""Labels that a translation is asked for: given by name and strength, or read off a picture."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maskgan_jax import errors

# A strength beyond this is a slip of the pen: methods are used with 2, rarely with 10.
_MOST = 20.0


def parse(text: str) -> dict[str, float]:
  """Returns 'Eyeglasses=1,Blond_Hair=0.5' as strengths by name; UserError for anything else."""
  strengths = {}
  for part in filter(None, text.split(',')):
    name, _, value = (piece.strip() for piece in part.partition('='))
    try:
      strength = float(value)
    except ValueError:
      raise errors.UserError(
        f'--labels has {part.strip()!r}; write NAME=STRENGTH, such as Eyeglasses=1'
      ) from None
    if name in strengths:
      raise errors.UserError(f'--labels names {name} twice')
    strengths[name] = strength
  if not strengths:
    raise errors.UserError(
      '--labels names none; write NAME=STRENGTH with commas between'
    )
  return strengths


def check_names(strengths: Mapping[str, float], names: Sequence[str]) -> None:
  """Raises UserError for a name that the model does not know, or a strength that is not finite."""
  for name, strength in strengths.items():
    if name not in names:
      raise errors.UserError(
        f'the model has no label {name!r}{errors.nearest(name, names)}; '
        f'it has {", ".join(names)}'
      )
    _check_values(np.asarray(strength), name)


def complete(
  strengths: Mapping[str, float], names: Sequence[str], base: np.ndarray | None
) -> np.ndarray:
  """Returns labels float32 [B, K]: the strengths by name, and the others as a picture has them.

  Args:
    strengths: see `check_names`.
    names: of all labels.
    base: what the method's classifier reads off the pictures, [B, K]; None if it has none.
  """
  check_names(strengths, names)
  missing = [name for name in names if name not in strengths]
  if base is None and missing:
    raise errors.UserError(
      'this method reads no labels off pictures: give all of them, also '
      f'{", ".join(missing)}'
    )
  labels = np.zeros((1, len(names)), np.float32) if base is None else np.rint(base)
  for name, strength in strengths.items():
    labels[:, names.index(name)] = strength
  return labels.astype(np.float32)


def check_array(value: Any, names: Sequence[str]) -> np.ndarray:
  """Returns labels as float32 [B, K]; raises UserError for another shape, or for NaN."""
  labels = np.asarray(value)
  if labels.ndim == 1:
    labels = labels[None]
  if labels.ndim != 2 or labels.shape[1] != len(names) or not len(labels):
    raise errors.UserError(
      f'labels have shape {list(np.shape(value))}; give a number for each of '
      f'{", ".join(names)}: [{len(names)}] or [batch, {len(names)}]'
    )
  _check_values(labels, 'labels')
  return labels.astype(np.float32)


def _check_values(values: np.ndarray, what: str) -> None:
  """Raises UserError unless the values are numbers, and not beyond all use."""
  if values.dtype.kind not in 'biuf' or not np.isfinite(values).all():
    raise errors.UserError(f'{what}: the strength of a label is a number, not {values}')
  if np.abs(values).max() > _MOST:
    raise errors.UserError(
      f'{what}: {np.abs(values).max():g} is beyond use; 1 is as strong as in training, '
      f'and {_MOST:g} the most'
    )
