"""The settings that evaluators bring: `config.<evaluator>` has the DEFAULTS of its file."""

import ast
import functools
import pathlib
from typing import Any

from maskgan_jax import errors

_FOLDER = pathlib.Path(__file__).parent.parent / 'evaluators'


def evaluator_groups() -> tuple[str, ...]:
  """Returns the groups of the config that belong to an evaluator, such as 'lpips'."""
  return tuple(evaluator_defaults())


@functools.cache
def evaluator_defaults() -> dict[str, dict[str, Any]]:
  """Returns the settings of each evaluator that has some, by its name.

  The files are parsed and not imported, since evaluators stand above this room and load JAX. So
  DEFAULTS has to be a literal.
  """
  defaults = {}
  for path in sorted(_FOLDER.glob('[!_]*.py')):
    text = path.read_text(encoding='utf-8')
    if '\nDEFAULTS = {' in text:
      defaults[path.stem] = _literal(text, path)
  return defaults


def _literal(text: str, path: pathlib.Path) -> dict[str, Any]:
  """Returns the value of DEFAULTS in the source of a module."""
  # The source is read, as importing an evaluator would import JAX.
  for statement in ast.parse(text).body:
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if any(
      isinstance(target, ast.Name) and target.id == 'DEFAULTS' for target in targets
    ):
      try:
        return ast.literal_eval(statement.value)
      except ValueError as error:
        raise errors.UserError(
          f'{path}: DEFAULTS must be a literal: {error}'
        ) from error
  raise errors.UserError(f'{path} assigns no DEFAULTS')
