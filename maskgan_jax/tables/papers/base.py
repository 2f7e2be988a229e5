"""What a paper's table is made of: columns, rows, what was printed, and the run behind a cell."""

from collections.abc import Mapping
import dataclasses
from typing import Any

OTHER = 'other'  # the `config` of a row that another program made


@dataclasses.dataclass(frozen=True)
class Column:
  """A column of a table.

  Attributes:
    name: as printed; of grouped columns 'Glasses, FID'.
    measure: the column of scores.csv that measures the same; '' if none does.
    config: the config of its cells, 'configs/NAME.py' or 'configs/NAME.py:ARGUMENT', where the row
      has none; '' if we never run it.
    scale: what the measure is multiplied with to be in the paper's unit; 100 makes percent.
    digits: after the point.
    higher: whether more is better; None if neither is.
  """

  name: str
  measure: str = ''
  config: str = ''
  scale: float = 1.0
  digits: int = 2
  higher: bool | None = None


@dataclasses.dataclass(frozen=True)
class Printed:
  """A printed value with its deviation, if it has one."""

  mean: float
  deviation: float | None = None


def printed(*values: float | tuple[float, float] | None) -> tuple[Printed | None, ...]:
  """Returns a row of printed values, of numbers, (mean, deviation)s, and None for empty cells."""
  row = []
  for value in values:
    if isinstance(value, tuple):
      row.append(Printed(*value))
    else:
      row.append(None if value is None else Printed(value))
  return tuple(row)


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of a table.

  Attributes:
    name: as printed.
    printed: the paper's value for each column; None where there is none.
    ours: whether this project runs it: True for the paper's own method, its ablations and CycleGAN.
    config: of its cells, instead of the column's.
    measures: column's name -> the column of scores.csv that counts in this row instead, for rows
      such as 'Real images' whose values are in another run's scores; '' if none counts.
    why_not: why we have no figure, in a few words, where that is known beforehand.
  """

  name: str
  printed: tuple[Printed | None, ...] = ()
  ours: bool = False
  config: str = ''
  measures: Mapping[str, str] = dataclasses.field(default_factory=dict)
  why_not: str = ''


@dataclasses.dataclass(frozen=True)
class Table:
  """A table.

  Attributes:
    title: which one it is, and what it shows.
    columns: left to right.
    rows: top to bottom.
    evaluators: that measure its columns; they run beside those of a config.
    settings: dotted keys of the config that its protocol needs, such as 'distribution.real'; only
      keys that may change when a run is resumed.
    needs: data and weights without which it cannot be run.
    protocol: what a reader must know to compare with the paper's numbers.
    gap: the suspected reason where what was measured differs from the paper.
  """

  title: str
  columns: tuple[Column, ...]
  rows: tuple[Row, ...]
  evaluators: tuple[str, ...] = ()
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  needs: str = ''
  protocol: str = ''
  gap: str = ''
