"""A paper's table with its cells: what was printed, what our runs measured, or why they did not."""

from collections.abc import Sequence
import dataclasses

from maskgan_jax.tables.measured import Run, Value
from maskgan_jax.tables.papers import base

NOT_TRAINED = 'not trained'
NOT_MEASURED = 'trained, but not measured so'


@dataclasses.dataclass(frozen=True)
class Cell:
  """What a table has in one place.

  Attributes:
    printed: the paper's value.
    config_path: of the config as the table has it; '' if we never run it.
    resolved_path: of the config that was run, with the added arguments.
    runs: of that config.
    last: the value of the newest checkpoints.
    best: of those with the best `best_metric` of their config; None where it names none.
    reason: why `last` is None; '' where nothing of ours is meant to stand here.
  """

  printed: base.Printed | None
  config_path: str = ''
  resolved_path: str = ''
  runs: tuple[Run, ...] = ()
  last: Value | None = None
  best: Value | None = None
  reason: str = ''

  @property
  def gap(self) -> float | None:
    """Returns our value less the paper's; None where there are not both."""
    if self.printed is None or self.last is None:
      return None
    return self.last.mean - self.printed.mean


@dataclasses.dataclass(frozen=True)
class Filled:
  """A table with its cells.

  Attributes:
    name: such as 'egsc_it/2'.
    table: the paper's.
    cells: by row and column.
    row_name: the `split` of its rows in scores.csv.
    command: what prints and trains it.
    notes: lines about its runs.
  """

  name: str
  table: base.Table
  cells: Sequence[Sequence[Cell]]
  row_name: str
  command: str
  notes: Sequence[str] = ()
