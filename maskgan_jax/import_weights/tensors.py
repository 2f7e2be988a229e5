"""Named tensors of a foreign checkpoint, each to be used exactly once."""

from collections.abc import Mapping

import numpy as np

from maskgan_jax import errors


class Tensors:
  """The tensors of one network; what is missing, misshapen or left over is a UserError.

  Args:
    where: file and network, for messages.
    arrays: name -> array.
  """

  def __init__(self, where: str, arrays: Mapping[str, np.ndarray]):
    self.where = where
    self._arrays = dict(arrays)
    self._taken: set[str] = set()

  def names(self, axes: int) -> list[str]:
    """Returns the names of the tensors with this number of axes."""
    return [name for name, array in self._arrays.items() if array.ndim == axes]

  def shape(self, name: str, axes: int) -> tuple[int, ...]:
    """Returns the shape of the tensor `name`, which must have this number of axes; leaves it."""
    shape = self._look(name).shape
    if len(shape) != axes:
      raise errors.UserError(
        f'{self.where}: {name} has shape {list(shape)}, expected {axes} axes'
      )
    return shape

  def take(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the tensor `name` as float32; it must be finite and of that shape."""
    array = self._look(name)
    if name in self._taken:
      raise ValueError(f'{self.where}: {name} is used twice')
    if array.shape != tuple(shape):
      raise errors.UserError(
        f'{self.where}: {name} has shape {list(array.shape)}, expected {list(shape)}'
      )
    if array.dtype.kind != 'f':
      raise errors.UserError(
        f'{self.where}: {name} is of type {array.dtype}, expected floats'
      )
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
      raise errors.UserError(f'{self.where}: {name} has values that are not finite')
    self._taken.add(name)
    return array

  def finish(self, ignored: tuple[str, ...] = ()) -> None:
    """Raises UserError if a tensor was not taken, unless its name ends with one of `ignored`."""
    left = [
      name
      for name in self._arrays
      if name not in self._taken and not name.endswith(ignored)
    ]
    if left:
      more = f' and {len(left) - 1} more' if len(left) > 1 else ''
      raise errors.UserError(
        f'{self.where}: {left[0]}{more}: nothing of that name in this architecture'
      )

  def _look(self, name: str) -> np.ndarray:
    if name not in self._arrays:
      raise errors.UserError(
        f'{self.where} has no {name}'
        f'{errors.nearest(name, set(self._arrays) - self._taken)}'
      )
    return self._arrays[name]


def without_classifier(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns the arrays of a network of torchvision's without those of its classifier."""
  return {
    name: array for name, array in arrays.items() if not name.startswith('classifier.')
  }
