"""A method's functions as compiled programs on pictures of bytes or floats."""

from collections.abc import Callable, Collection, Mapping, Sequence
import functools
from typing import Any

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np

from maskgan_jax.methods import base

_LARGEST_BATCH = 64  # examples computed at once; more are taken in chunks
_NAMES = (
  'translate',
  'translate_back',
  'remove',
  'segment',
  'read_labels',
  'interpolate',
)


def functions(
  method: base.Method, *, checked: bool = False
) -> dict[str, Callable[..., Any]]:
  """Returns the method's functions by name, jitted.

  They are called as `translate((params, model_state), source, exemplar)`. Images are uint8 or
  float; results come back in the form of the first image.

  Args:
    method: whose functions.
    checked: whether each returns its result and bool [B]: all values of an example are finite.
  """
  uncompiled = _Functions(method, checked)
  return {name: jax.jit(getattr(uncompiled, name)) for name in _NAMES}


class _Functions:
  """A method's functions on pictures of bytes or floats, not compiled; see `functions`."""

  def __init__(self, method: base.Method, checked: bool):
    self._method, self._checked = method, checked

  def translate(
    self,
    variables,
    source,
    exemplar=None,
    source_mask=None,
    exemplar_mask=None,
    *,
    labels=None,
    seed=None,
    **options,
  ):
    """Translates; see `Method.translate`. Without an exemplar the seed chooses a style."""
    if labels is not None:
      options = {**options, 'labels': labels}
    if seed is None:
      # One key for ever: a method that draws noise gives the same translation each time.
      with jax.ensure_compile_time_eval():
        key = jax.random.key(0)
    else:
      key = jax.random.key(seed)
    result = self._method.translate(
      *variables,
      _to_float(source),
      _to_float(exemplar),
      source_mask=source_mask,
      exemplar_mask=exemplar_mask,
      rng=key,
      **options,
    )
    return self._finish(source, result)

  def translate_back(self, variables, source, exemplar=None, **options):
    """Translates from domain b to a."""
    return self.translate(variables, source, exemplar, **options, reverse=True)

  def remove(self, variables, image, mask=None, *, threshold):
    """Removes what the method transfers."""
    picture = _to_float(image)
    result = self._method.remove(*variables, picture, mask=mask, threshold=threshold)
    return self._finish(image, result)

  def segment(self, variables, image):
    """Returns the soft mask."""
    return self._finish(image, self._method.segment(*variables, _to_float(image)))

  def read_labels(self, variables, image):
    """Returns how sure the method's classifier is of each label."""
    return self._finish(image, self._method.read_labels(*variables, _to_float(image)))

  def interpolate(self, variables, source, exemplar_1, exemplar_2, *, weight):
    """Translates between two exemplars."""
    pictures = map(_to_float, (source, exemplar_1, exemplar_2))
    result = self._method.interpolate(*variables, *pictures, weight)
    return self._finish(source, result)

  def _finish(self, image, result):
    """Returns the result in the form of an image, and whether it is finite if that is asked."""
    converted = _like(image.dtype, result)
    return (converted, _finite(result)) if self._checked else converted


def missing_weight(
  calls: Mapping[str, Callable[..., Any]],
  variables: Any,
  abilities: Collection[str],
  shape: Sequence[int],
  *,
  labels: int = 0,
) -> str:
  """Traces all functions of a method; returns the error of a missing weight, or ''.

  Args:
    calls: from `functions`.
    variables: (params, model_state).
    abilities: the method's.
    labels: how many labels a translation needs; 0 if it needs none.
    shape: (height, width) of its images.
  """
  # Tracing uses the weights' names and shapes, and computes nothing.
  image = jax.ShapeDtypeStruct((1, *shape, 3), jnp.uint8)
  pair = [image] * (2 if 'exemplar' in abilities else 1)
  options = {}
  if labels:
    options['labels'] = jnp.zeros((1, labels))
  traced = [('translate', pair, options)]
  if 'reverse' in abilities:
    traced.append(('translate_back', pair, options))
  if 'read_labels' in abilities:
    traced.append(('read_labels', [image], {}))
  if 'segment' in abilities:
    traced.append(('segment', [image], {}))
  if 'remove' in abilities:
    traced.append(('remove', [image], {'threshold': 0.5}))
  if 'interpolate' in abilities:
    traced.append(('interpolate', [image] * 3, {'weight': 0.5}))
  try:
    for name, images, numbers in traced:
      jax.eval_shape(functools.partial(calls[name], **numbers), variables, *images)
  except (KeyError, flax.errors.FlaxError) as error:
    return str(error).splitlines()[0][:100]
  return ''


def in_chunks(
  call: Callable[..., Any], arrays: Mapping[str, np.ndarray], count: int, *, pad: bool
) -> Any:
  """Computes `count` examples, at most 64 at once; returns a tree of NumPy arrays.

  Args:
    call: takes arrays of several examples by name; returns a tree of arrays.
    arrays: of `count` examples, or of one that goes with each.
    count: of the examples.
    pad: whether fewer examples are filled up to 1, 2, 4, ... so that few sizes are compiled.
  """
  size = 1 << (count - 1).bit_length() if pad else count
  size = min(size, _LARGEST_BATCH)
  chunks, running = [], None
  for start in range(0, count, size):
    rows = np.minimum(np.arange(start, start + size), count - 1)
    chunk = {}
    for name, array in arrays.items():
      chunk[name] = array[np.minimum(rows, len(array) - 1)]
    started = call(**chunk)
    # The device works on this chunk while the one before it travels.
    if running is not None:
      chunks.append(jax.device_get(running))
    running = started
  chunks.append(jax.device_get(running))
  return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *chunks)


def _to_float(image):
  """Returns bytes as float32 in [-1, 1]; anything else as it is."""
  if image is None or image.dtype != jnp.uint8:
    return image
  return image.astype(jnp.float32) / 127.5 - 1


def _finite(result: Any) -> jax.Array:
  """Returns bool [B]: all values of an example are finite."""
  finite = []
  for leaf in jax.tree.leaves(result):
    by_example = jnp.isfinite(leaf).reshape(len(leaf), -1)
    finite.append(by_example.all(axis=1))
  return functools.reduce(jnp.logical_and, finite)


def _like(dtype, result: Any) -> Any:
  """Converts a result: arrays of three channels are pictures of this type, all else is float32."""

  def convert(x):
    if x.ndim == 4 and x.shape[-1] == 3 and dtype == jnp.uint8:
      levels = jnp.round((x.astype(jnp.float32) + 1) * 127.5)
      return jnp.clip(levels, 0, 255).astype(jnp.uint8)
    return x.astype(jnp.float32)

  return jax.tree.map(convert, result)
