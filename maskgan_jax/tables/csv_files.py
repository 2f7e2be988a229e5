"""Filled tables as CSV: all cells in full, or the cells of this project as tables print them."""

from collections.abc import Iterator, Sequence
import csv
import io
from typing import Any

from maskgan_jax.tables import plans
from maskgan_jax.tables.cells import Cell, Filled, NOT_TRAINED
from maskgan_jax.tables.formats import one_line
from maskgan_jax.tables.papers import base

FULL_COLUMNS = (
  'table',
  'row',
  'column',
  'measure',
  'paper',
  'paper_deviation',
  'last',
  'last_spread',
  'last_deviation',
  'last_steps',
  'best',
  'best_spread',
  'best_deviation',
  'best_steps',
  'seeds',
  'n_real',
  'n_generated',
  'provenance',
  'scores',
  'config',
  'runs',
  'not_run',
)
CELL_COLUMNS = (
  'table',
  'row',
  'column',
  'paper',
  'paper_std',
  'ours',
  'ours_std',
  'seeds',
  'seeds_std',
  'gap',
  'reason',
  'config',
)


def full(tables: Sequence[Filled]) -> str:
  """Returns all cells of some tables, a line each, with unrounded numbers: `FULL_COLUMNS`."""
  records = [_full_record(*place) for place in _places(tables)]
  return _text(FULL_COLUMNS, records)


def cells(tables: Sequence[Filled]) -> str:
  """Returns the cells that this project runs, a line each, rounded as tables print them.

  The columns are `CELL_COLUMNS`: `ours_std` is the deviation over pictures and `seeds_std` the one
  over seeds; `reason` says why a number is missing, or what the gap to the paper may come from.
  """
  records = []
  for filled, row, column, cell in _places(tables):
    if row.ours and (cell.config_path or cell.reason):
      records.append(_cell_record(filled, row, column, cell))
  return _text(CELL_COLUMNS, records)


def _places(tables) -> Iterator[tuple[Filled, base.Row, base.Column, Cell]]:
  for filled in tables:
    for row, row_cells in zip(filled.table.rows, filled.cells, strict=True):
      for column, cell in zip(filled.table.columns, row_cells, strict=True):
        yield filled, row, column, cell


def _text(columns: Sequence[str], records: Sequence[dict[str, Any]]) -> str:
  text = io.StringIO()
  writer = csv.DictWriter(text, columns, lineterminator='\n')
  writer.writeheader()
  writer.writerows(records)
  return text.getvalue()


def _place(
  filled: Filled, row: base.Row, column: base.Column, cell: Cell
) -> dict[str, Any]:
  """Returns where a cell stands, and of which config it is."""
  return {
    'table': filled.name,
    'row': row.name,
    'column': column.name,
    'config': cell.resolved_path,
  }


def _full_record(
  filled: Filled, row: base.Row, column: base.Column, cell: Cell
) -> dict[str, Any]:
  record = {
    **_place(filled, row, column, cell),
    'measure': plans.measure_of(row, column) if row.ours else '',
    'scores': filled.row_name if cell.config_path else '',
    'not_run': cell.reason,
  }
  if cell.reason == NOT_TRAINED and filled.table.needs:
    record['not_run'] += f'; needs {filled.table.needs}'
  if cell.printed:
    record['paper'] = cell.printed.mean
    record['paper_deviation'] = cell.printed.deviation

  for kind, value in (('last', cell.last), ('best', cell.best)):
    if value is not None:
      record[kind] = value.mean
      record[f'{kind}_spread'] = value.spread
      record[f'{kind}_deviation'] = value.deviation
      record[f'{kind}_steps'] = ' '.join(map(str, value.steps))
  if cell.last is not None:
    record['seeds'] = len(cell.last.runs)
    record['n_real'] = cell.last.real
    record['n_generated'] = cell.last.generated
    record['runs'] = ' '.join(cell.last.runs)
    record['provenance'] = '; '.join(cell.last.provenance)
  return record


def _cell_record(
  filled: Filled, row: base.Row, column: base.Column, cell: Cell
) -> dict[str, Any]:
  record = {
    **_place(filled, row, column, cell),
    'reason': _reason(filled, cell),
  }

  def rounded(value):
    return value if isinstance(value, str) else f'{value:.{column.digits}f}'

  # Numbers have as many digits as the paper's.
  if cell.printed:
    record['paper'] = rounded(cell.printed.mean)
    if cell.printed.deviation is not None:
      record['paper_std'] = rounded(cell.printed.deviation)
  if cell.last:
    record['ours'] = rounded(cell.last.mean)
    record['seeds'] = len(cell.last.runs)
    if cell.last.spread is not None:
      record['ours_std'] = rounded(cell.last.spread)
    if cell.last.deviation is not None:
      record['seeds_std'] = rounded(cell.last.deviation)
  if cell.gap is not None:
    record['gap'] = f'{cell.gap:+.{column.digits}f}'
  return record


def _reason(filled: Filled, cell: Cell) -> str:
  """Returns why a cell has no number; of one that has, what its gap to the paper may come from."""
  if cell.gap is not None:
    return one_line(filled.table.gap)
  if cell.reason == NOT_TRAINED and filled.table.needs:
    return one_line(f'{cell.reason}; needs {filled.table.needs}')
  return one_line(cell.reason)
