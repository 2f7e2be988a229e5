"""Why checkpoints of a run do not restore, and what the user can do."""

from collections.abc import Sequence
import dataclasses

from etils import epath

from maskgan_jax import config as run_config
from maskgan_jax import errors


@dataclasses.dataclass(frozen=True)
class Failure:
  """A step that does not restore.

  Attributes:
    step: its number.
    reason: why, in words.
    is_unfit: whether it reads well, but holds other arrays than the config describes.
  """

  step: int
  reason: str = ''
  is_unfit: bool = False


def reasons(failures: Sequence[Failure]) -> str:
  """Returns the reasons of some steps as text."""
  return '; '.join(f'step {failure.step} ({failure.reason})' for failure in failures)


def error(
  folder: epath.Path, failures: Sequence[Failure], others: Sequence[int]
) -> errors.UserError:
  """Returns the error of a run of which no step that was tried restores.

  Args:
    folder: `checkpoints/` of the run.
    failures: the steps that were tried, newest first.
    others: steps that were not tried.
  """
  place, remedy = f'no checkpoint in {folder}', 'move that folder away to begin anew'
  if others:
    place = f'the checkpoint {folder / str(failures[0].step)}'
    remedy = f'move that folder away, and the run is at step {max(others)}'

  # Whole arrays of other shapes: with the config that they were trained with, they restore.
  if any(failure.is_unfit for failure in failures):
    remedy = (
      f'{folder.parent / run_config.FILE_NAME} describes another model: put that file back as it '
      'was when the run was trained, or use the version of maskgan_jax that trained it'
    )
  verb = 'cannot' if others else 'can'
  return errors.UserError(f'{place} {verb} be restored: {reasons(failures)}; {remedy}')
