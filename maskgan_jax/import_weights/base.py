"""The run that a method's checkpoint is turned into."""

import dataclasses
from typing import Any

import ml_collections

from maskgan_jax import errors, methods


@dataclasses.dataclass(frozen=True)
class Converted:
  """The contents of a run directory.

  Attributes:
    config: of the run, as if it had been trained here.
    model: `model` item of its checkpoint.
    step: iterations that it was trained for, 0 if the file does not say.
    notes: lines for the user.
  """

  config: ml_collections.ConfigDict
  model: dict[str, Any]
  step: int
  notes: list[str]


def abstract(
  config: ml_collections.ConfigDict, where: str
) -> tuple[methods.base.Method, dict[str, Any], dict[str, Any]]:
  """Returns the method of `config`, and the shapes of its parameters and state.

  UserError, naming the files `where` the sizes are from, if they make no model.
  """
  try:
    method = methods.make(config)
  except errors.UserError as error:
    raise errors.UserError(
      f'the sizes of the tensors in {where} make no model: {error}'
    ) from error
  model = methods.base.abstract_model(method, config)
  return method, model['params'], model['model_state']
