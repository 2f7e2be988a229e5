"""What every kind of checkpoint is turned into."""

import dataclasses
from typing import Any

import jax
import ml_collections
import numpy as np

from maskgan_jax import errors, methods


@dataclasses.dataclass(frozen=True)
class Converted:
  """What a run directory is made of.

  Attributes:
    config: of the run, as if it had been trained here.
    model: `model` item of its checkpoint.
    step: iterations that it was trained for, 0 if the file does not say.
    notes: what the user should know, a line each.
  """
  config: ml_collections.ConfigDict
  model: dict[str, Any]
  step: int
  notes: list[str]


def abstract(config: ml_collections.ConfigDict, where: str
             ) -> tuple[methods.base.Method, dict[str, Any], dict[str, Any]]:
  """The method of `config`, and the shapes of its parameters and state.

  UserError, naming the files `where` the sizes are from, if they make no model.
  """
  try:
    method = methods.make(config)
  except errors.UserError as error:
    raise errors.UserError(f'the sizes of the tensors in {where} make no model: {error}') from error
  image = jax.ShapeDtypeStruct((1, config.image_size, config.image_size, 3), np.float32)
  labels = jax.ShapeDtypeStruct((1, len(config.data.attributes)), np.float32)
  batch = {'a': image, 'b': image, 'a_attributes': labels, 'b_attributes': labels}
  params, state = jax.eval_shape(method.init, jax.random.key(0), batch)
  return method, params, state
