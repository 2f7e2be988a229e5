"""A method's functions as compiled programs on pictures of bytes or floats."""

from collections.abc import Callable
import functools
from typing import Any

import jax
import jax.numpy as jnp

from maskgan_jax.methods import base


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

  def finish(image, result):
    converted = _like(image.dtype, result)
    return (converted, _finite(result)) if checked else converted

  def translate(
    variables, source, exemplar=None, source_mask=None, exemplar_mask=None, **options
  ):
    # One key for ever: a method that draws noise gives the same translation each time.
    with jax.ensure_compile_time_eval():
      key = jax.random.key(0)
    result = method.translate(
      *variables,
      _to_float(source),
      _to_float(exemplar),
      source_mask=source_mask,
      exemplar_mask=exemplar_mask,
      rng=key,
      **options,
    )
    return finish(source, result)

  def translate_back(
    variables, source, exemplar=None, source_mask=None, exemplar_mask=None
  ):
    return translate(
      variables, source, exemplar, source_mask, exemplar_mask, reverse=True
    )

  def remove(variables, image, mask=None, *, threshold):
    result = method.remove(*variables, _to_float(image), mask=mask, threshold=threshold)
    return finish(image, result)

  def segment(variables, image):
    return finish(image, method.segment(*variables, _to_float(image)))

  def interpolate(variables, source, exemplar_1, exemplar_2, *, weight):
    pictures = map(_to_float, (source, exemplar_1, exemplar_2))
    return finish(source, method.interpolate(*variables, *pictures, weight))

  calls = (translate, translate_back, remove, segment, interpolate)
  return {call.__name__: jax.jit(call) for call in calls}


def _to_float(image):
  if image is None or image.dtype != jnp.uint8:
    return image
  return image.astype(jnp.float32) / 127.5 - 1


def _finite(result: Any) -> jax.Array:
  """Returns bool [B]: all values of an example are finite."""
  examples = [
    jnp.isfinite(x).reshape(len(x), -1).all(axis=1) for x in jax.tree.leaves(result)
  ]
  return functools.reduce(jnp.logical_and, examples)


def _like(dtype, result: Any) -> Any:
  """Converts a result: arrays of three channels are pictures of this type, all else is float32."""

  def convert(x):
    if x.ndim == 4 and x.shape[-1] == 3 and dtype == jnp.uint8:
      levels = jnp.round((x.astype(jnp.float32) + 1) * 127.5)
      return jnp.clip(levels, 0, 255).astype(jnp.uint8)
    return x.astype(jnp.float32)

  return jax.tree.map(convert, result)
