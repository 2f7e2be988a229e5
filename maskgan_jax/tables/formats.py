"""A filled table as Markdown, CSV and LaTeX, and tables as a list of their cells.

Under each of the paper's rows that this project runs stand two of ours, the newest checkpoints and,
where a config names what it ranks them by (of test pictures), the best ones. What follows ± is the
deviation over pictures (of KID over subsets, of IS over parts); of several seeds the number is the
mean, and their deviation and count stand in parentheses.
"""

from collections.abc import Iterator, Sequence
import csv
import dataclasses
import io

from maskgan_jax.tables import cells as table_cells
from maskgan_jax.tables.papers import base

NOT_RUN = 'not run'


@dataclasses.dataclass(frozen=True)
class Filled:
  """A table with its cells.

  Attributes:
    name: such as 'egsc_it/2'.
    table: the paper's.
    cells: by row and column.
    specs: config of each cell, likewise; '' where we never run it.
    row_name: the `split` of its rows in scores.csv.
    command: that prints and trains it.
    notes: lines about its runs.
  """
  name: str
  table: base.Table
  cells: Sequence[Sequence[table_cells.Cell]]
  specs: Sequence[Sequence[str]]
  row_name: str
  command: str
  notes: Sequence[str] = ()


def markdown(filled: Filled) -> str:
  """The table with its protocol, what was not run and why, and where the numbers are from."""
  columns = filled.table.columns
  lines = [f'### {filled.name}: {filled.table.title}', '',
           f'| | | {" | ".join(_escape_markdown(column.name) for column in columns)} |',
           f'|---|---|{"---|" * len(columns)}']
  for row, whose, texts in _lines(filled):
    lines.append(f'| {_escape_markdown(row)} | {whose} | {" | ".join(texts)} |')
  lines += ['', *(f'- {line}' for line in _remarks(filled))]
  return '\n'.join(lines).rstrip() + '\n'


def latex(filled: Filled) -> str:
  """The table as a LaTeX `tabular` for the package booktabs; remarks are comments above it."""
  columns = filled.table.columns
  lines = [f'% {filled.name}: {_one_line(filled.table.title)}',
           *(f'% {_one_line(line)}' for line in _remarks(filled)),
           f'\\begin{{tabular}}{{ll{"r" * len(columns)}}}', '\\toprule',
           f' & & {" & ".join(_escape_latex(column.name) for column in columns)} \\\\', '\\midrule']
  for row, whose, texts in _lines(filled):
    cells = ' & '.join(_escape_latex(text) for text in texts)
    lines.append(f'{_escape_latex(row)} & {whose} & {cells} \\\\')
  return '\n'.join([*lines, '\\bottomrule', '\\end{tabular}']) + '\n'


CELL_COLUMNS = ('table', 'row', 'column', 'paper', 'paper_std', 'ours', 'ours_std', 'seeds',
                'seeds_std', 'gap', 'reason', 'config')


def cells(tables: Sequence[Filled]) -> str:
  """Returns every cell that this project runs as a line of CSV, rounded as its table prints it.

  The columns are `CELL_COLUMNS`: `ours_std` is the deviation over pictures and `seeds_std` the one
  over seeds; `reason` says why there is no number, or what the gap to the paper may come from.
  """
  text = io.StringIO()
  writer = csv.DictWriter(text, CELL_COLUMNS, lineterminator='\n')
  writer.writeheader()
  for filled in tables:
    rows = zip(filled.table.rows, filled.cells, filled.specs, strict=True)
    for row, row_cells, specs in rows:
      places = zip(filled.table.columns, row_cells, specs, strict=True)
      for column, cell, spec in places:
        if row.ours and (spec or cell.why_not):
          writer.writerow(_cell_record(filled, row, column, cell, spec))
  return text.getvalue()


def _cell_record(filled, row, column, cell, spec):
  record = {'table': filled.name, 'row': row.name, 'column': column.name, 'config': spec,
            'reason': _reason(filled, cell)}

  def rounded(value):
    return value if isinstance(value, str) else f'{value:.{column.digits}f}'
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
  if cell.printed and cell.last:
    record['gap'] = f'{cell.last.mean - cell.printed.mean:+.{column.digits}f}'
  return record


def _reason(filled, cell):
  """Returns why a cell has no number; of one that has, what its gap to the paper may come from."""
  if cell.last and cell.printed:
    return _one_line(filled.table.gap)
  if cell.why_not == table_cells.NOT_TRAINED and filled.table.needs:
    return _one_line(f'{cell.why_not}; needs {filled.table.needs}')
  return _one_line(cell.why_not)


CSV_COLUMNS = (
    'table', 'row', 'column', 'measure', 'paper', 'paper_deviation', 'last', 'last_spread',
    'last_deviation', 'last_steps', 'best', 'best_spread', 'best_deviation', 'best_steps', 'seeds',
    'n_real', 'n_generated', 'provenance', 'scores', 'config', 'runs', 'not_run')


def csv_text(filled: Sequence[Filled]) -> str:
  """All cells of some tables, a line each, numbers in full."""
  text = io.StringIO()
  writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator='\n')
  writer.writeheader()
  for one in filled:
    for row, cells, specs in zip(one.table.rows, one.cells, one.specs, strict=True):
      for column, cell, spec in zip(one.table.columns, cells, specs, strict=True):
        writer.writerow(_record(one, row, column, cell, spec))
  return text.getvalue()


def _record(one, row, column, cell, spec):
  record = {'table': one.name, 'row': row.name, 'column': column.name,
            'measure': table_cells.measure_of(row, column) if row.ours else '',
            'scores': one.row_name if spec else '', 'config': spec, 'not_run': cell.why_not}
  if cell.why_not == table_cells.NOT_TRAINED and one.table.needs:
    record['not_run'] += f'; needs {one.table.needs}'
  if cell.printed:
    record |= {'paper': cell.printed.mean, 'paper_deviation': cell.printed.deviation}
  for kind in ('last', 'best'):
    if (value := getattr(cell, kind)) is not None:
      record |= {kind: value.mean, f'{kind}_spread': value.spread,
                 f'{kind}_deviation': value.deviation,
                 f'{kind}_steps': ' '.join(map(str, value.steps))}
  if cell.last is not None:
    record |= {'seeds': len(cell.last.runs), 'n_real': cell.last.real,
               'n_generated': cell.last.generated, 'runs': ' '.join(cell.last.runs),
               'provenance': '; '.join(cell.last.provenance)}
  return record


def _lines(filled: Filled) -> Iterator[tuple[str, str, list[str]]]:
  """(row, whose numbers, texts of its cells), top to bottom."""
  for row, cells in zip(filled.table.rows, filled.cells, strict=True):
    name = row.name
    if any(cell.printed for cell in cells) or not row.ours:
      yield name, 'paper', [_printed(cell.printed, column)
                            for cell, column in zip(cells, filled.table.columns, strict=True)]
      name = ''
    if row.ours:
      whose = 'theirs' if row.config == base.OTHER else 'ours'
      yield name, whose, [_ours(cell.last, cell.why_not, column)
                          for cell, column in zip(cells, filled.table.columns, strict=True)]
      if any(cell.best for cell in cells):
        yield '', 'ours, best', [_ours(cell.best, '', column)
                                 for cell, column in zip(cells, filled.table.columns, strict=True)]


def _printed(value, column):
  if value is None:
    return ''
  if isinstance(value.mean, str):
    return value.mean
  text = f'{value.mean:.{column.digits}f}'
  return text if value.deviation is None else f'{text} ± {value.deviation:.{column.digits}f}'


def _ours(value, why_not, column):
  if value is None:
    return NOT_RUN if why_not else ''
  text = f'{value.mean:.{column.digits}f}'
  if value.spread is not None:
    text += f' ± {value.spread:.{column.digits}f}'
  return f'{text} (seeds ± {value.deviation:.{column.digits}f}, {len(value.runs)})' if (
      value.deviation) else text


def _remarks(filled: Filled) -> Iterator[str]:
  """Lines below the table."""
  table = filled.table
  if table.protocol:
    yield table.protocol
  missing: dict[str, list[str]] = {}
  for row, cells in zip(table.rows, filled.cells, strict=True):
    for column, cell in zip(table.columns, cells, strict=True):
      if cell.why_not:
        missing.setdefault(cell.why_not, []).append(f'{row.name}, {column.name}')
  for why, where in missing.items():
    shown = '; '.join(where[:4]) + (f' and {len(where) - 4} more' if len(where) > 4 else '')
    yield f'{NOT_RUN} ({shown}): {why}'
  if missing and table.needs:
    yield f'it needs {table.needs}'
  configs = {row.name: dict.fromkeys(filter(None, specs))
             for row, specs in zip(table.rows, filled.specs, strict=True)}
  if any(configs.values()):
    yield 'configs: ' + '; '.join(f'{name} {", ".join(f"`{spec}`" for spec in specs)}'
                                  for name, specs in configs.items() if specs)
  told: dict[str, dict[str, None]] = {}  # what was measured -> the rows that it is in
  for row, cells in zip(table.rows, filled.cells, strict=True):
    for value in (value for cell in cells for value in (cell.last, cell.best) if value):
      for run, step in zip(value.runs, value.steps, strict=True):
        counts = [f'{count:,} {what}' for count, what in (
            (value.real, 'real pictures'), (value.generated, 'translations')) if count is not None]
        told.setdefault(f'{run}, step {step:,}, {" and ".join(counts)}', {})[row.name] = None
  for what, rows in told.items():
    yield f'{", ".join(rows)}: {what}'
  texts = dict.fromkeys(text for cells in filled.cells for cell in cells if cell.last
                        for text in cell.last.provenance)
  yield from texts
  if table.gap and told:
    yield f'suspected reason for what differs from the paper: {table.gap}'
  yield from filled.notes
  if filled.command:
    yield f'`{filled.command}`'


def _escape_markdown(text):
  return _one_line(text).replace('|', '\\|')


_LATEX = {'\\': r'\textbackslash{}', '^': r'\^{}', '~': r'\textasciitilde{}', '±': r'$\pm$',
          '→': r'$\to$', 'λ': r'$\lambda$',
          **{character: f'\\{character}' for character in '&%$#_{}'}}


def _escape_latex(text):
  return ''.join(_LATEX.get(character, character) for character in _one_line(text))


def _one_line(text):
  return ' '.join(str(text).split())
