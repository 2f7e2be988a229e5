"""A filled table as Markdown and LaTeX.

Under each of the paper's rows that this project runs stand two of ours, the newest checkpoints and,
where a config names what it ranks them by (of test pictures), the best ones. What follows ± is the
deviation over pictures (of KID over subsets, of IS over parts); of several seeds the number is the
mean, and their deviation and count stand in parentheses.
"""

from collections.abc import Iterator

from maskgan_jax.tables.cells import Cell, Filled
from maskgan_jax.tables.measured import Value
from maskgan_jax.tables.papers import base

NOT_RUN = 'not run'


def markdown(filled: Filled) -> str:
  """Returns the table with its protocol, what was not run and why, and where numbers are from."""
  columns = filled.table.columns
  lines = [
    f'### {filled.name}: {filled.table.title}',
    '',
    f'| | | {" | ".join(_escape_markdown(column.name) for column in columns)} |',
    f'|---|---|{"---|" * len(columns)}',
  ]
  for row, whose, texts in _lines(filled):
    lines.append(f'| {_escape_markdown(row)} | {whose} | {" | ".join(texts)} |')
  lines += ['', *(f'- {line}' for line in _remarks(filled))]
  return '\n'.join(lines).rstrip() + '\n'


def latex(filled: Filled) -> str:
  """Returns a LaTeX `tabular` for the package booktabs; remarks are comments above it."""
  columns = filled.table.columns
  lines = [f'% {filled.name}: {one_line(filled.table.title)}']
  lines += [f'% {one_line(line)}' for line in _remarks(filled)]
  heads = ' & '.join(_escape_latex(column.name) for column in columns)
  lines += [
    f'\\begin{{tabular}}{{ll{"r" * len(columns)}}}',
    '\\toprule',
    f' & & {heads} \\\\',
    '\\midrule',
  ]
  for row, whose, texts in _lines(filled):
    cells = ' & '.join(_escape_latex(text) for text in texts)
    lines.append(f'{_escape_latex(row)} & {whose} & {cells} \\\\')
  return '\n'.join([*lines, '\\bottomrule', '\\end{tabular}']) + '\n'


def _lines(filled: Filled) -> Iterator[tuple[str, str, list[str]]]:
  """Yields (row, whose numbers, texts of its cells), top to bottom."""
  columns = filled.table.columns
  for row, cells in zip(filled.table.rows, filled.cells, strict=True):
    places = list(zip(cells, columns, strict=True))

    # The paper's numbers stand above ours.
    name = row.name
    if not row.ours or any(cell.printed for cell in cells):
      yield name, 'paper', [_printed(cell.printed, column) for cell, column in places]
      name = ''
    if row.ours:
      whose = 'theirs' if row.config == base.OTHER else 'ours'
      yield name, whose, [_last(cell, column) for cell, column in places]
    if row.ours and any(cell.best for cell in cells):
      yield '', 'ours, best', [_measured(cell.best, column) for cell, column in places]


def _printed(printed: base.Printed | None, column: base.Column) -> str:
  if printed is None:
    return ''
  if isinstance(printed.mean, str):
    return printed.mean
  text = f'{printed.mean:.{column.digits}f}'
  if printed.deviation is not None:
    text += f' ± {printed.deviation:.{column.digits}f}'
  return text


def _last(cell: Cell, column: base.Column) -> str:
  if cell.last is None and cell.reason:
    return NOT_RUN
  return _measured(cell.last, column)


def _measured(value: Value | None, column: base.Column) -> str:
  if value is None:
    return ''
  text = f'{value.mean:.{column.digits}f}'
  if value.spread is not None:
    text += f' ± {value.spread:.{column.digits}f}'
  if value.deviation:
    text += f' (seeds ± {value.deviation:.{column.digits}f}, {len(value.runs)})'
  return text


def _remarks(filled: Filled) -> Iterator[str]:
  """Yields the lines below the table."""
  table = filled.table
  if table.protocol:
    yield table.protocol
  missing = _missing(filled)
  for reason, places in missing.items():
    shown = '; '.join(places[:4])
    if len(places) > 4:
      shown += f' and {len(places) - 4} more'
    yield f'{NOT_RUN} ({shown}): {reason}'
  if missing and table.needs:
    yield f'it needs {table.needs}'
  configs = list(_configs(filled))
  if configs:
    yield 'configs: ' + '; '.join(configs)

  # Where the numbers are from: runs, steps, pictures, and the texts of their evaluators.
  origins = _origins(filled)
  for origin, rows in origins.items():
    yield f'{", ".join(rows)}: {origin}'
  texts = {}
  for cells in filled.cells:
    for cell in cells:
      if cell.last:
        texts.update(dict.fromkeys(cell.last.provenance))
  yield from texts
  if table.gap and origins:
    yield f'suspected reason for what differs from the paper: {table.gap}'
  yield from filled.notes
  if filled.command:
    yield f'`{filled.command}`'


def _missing(filled: Filled) -> dict[str, list[str]]:
  """Returns the cells without a number, 'ROW, COLUMN', by the reason."""
  missing: dict[str, list[str]] = {}
  for row, cells in zip(filled.table.rows, filled.cells, strict=True):
    for column, cell in zip(filled.table.columns, cells, strict=True):
      if cell.reason:
        missing.setdefault(cell.reason, []).append(f'{row.name}, {column.name}')
  return missing


def _configs(filled: Filled) -> Iterator[str]:
  """Yields 'ROW `CONFIG`, `CONFIG`' of the rows that this project runs."""
  for row, cells in zip(filled.table.rows, filled.cells, strict=True):
    paths = dict.fromkeys(
      f'`{cell.resolved_path}`' for cell in cells if cell.resolved_path
    )
    if paths:
      yield f'{row.name} {", ".join(paths)}'


def _origins(filled: Filled) -> dict[str, dict[str, None]]:
  """Returns the names of the rows that were measured on a checkpoint, by its description."""
  origins: dict[str, dict[str, None]] = {}
  for row, cells in zip(filled.table.rows, filled.cells, strict=True):
    for cell in cells:
      for value in filter(None, (cell.last, cell.best)):
        counts = []
        if value.real is not None:
          counts.append(f'{value.real:,} real pictures')
        if value.generated is not None:
          counts.append(f'{value.generated:,} translations')
        for run, step in zip(value.runs, value.steps, strict=True):
          origin = f'{run}, step {step:,}, {" and ".join(counts)}'
          origins.setdefault(origin, {})[row.name] = None
  return origins


def _escape_markdown(text):
  return one_line(text).replace('|', '\\|')


_LATEX = {
  '\\': r'\textbackslash{}',
  '^': r'\^{}',
  '~': r'\textasciitilde{}',
  '±': r'$\pm$',
  '→': r'$\to$',
  'λ': r'$\lambda$',
  **{character: f'\\{character}' for character in '&%$#_{}'},
}


def _escape_latex(text):
  return ''.join(_LATEX.get(character, character) for character in one_line(text))


def one_line(text: str) -> str:
  """Returns a text without line breaks."""
  return ' '.join(str(text).split())
