"""What every kind of checkpoint is turned into."""

import dataclasses
from typing import Any

import ml_collections

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
  model = methods.base.abstract_model(method, config)
  return method, model['params'], model['model_state']
