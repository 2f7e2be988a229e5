"""What a sweep leaves: the paper's figure, `sweep.csv`, and `sweep.html` with the curves.

A sweep is some runs of one config that differ in one value, and baselines beside them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import csv
import dataclasses
import io
import math
import os
from typing import Any

from markupsafe import Markup
import numpy as np

from maskgan_jax import files
from maskgan_jax.methods.base import Translation
from maskgan_jax.reports import charts, pages
from maskgan_jax.runs import measures, pictures

FIGURES = {'ab': 'sweep.png', 'ba': 'sweep_back.png'}
CSV, PAGE = 'sweep.csv', 'sweep.html'
TITLES = {'ab': 'From a to b', 'ba': 'From b to a', '': 'Measures'}

# Of the evaluator 'changes', after 'ab_' or 'ba_': measure -> (title, heading in the terminal).
_CHANGES = {
  'changed_share': ('Share of the pixels that are changed', 'changed share'),
  'error': ('Error to the true answer', 'error'),
  'changed_iou': ('IoU of the changed pixels with those that truly change', 'IoU'),
  'error_inside': ('Error where something truly changes', 'error inside'),
  'error_outside': ('Error elsewhere', 'error outside'),
}
MEANINGS = (  # of the figure's columns
  'mask: what is added to the input, grey means no change; or, for a method that adds nothing, '
  'where it is changed. output: the translation. truth: the right answer, which training never '
  'sees.'
)
_TRUTH = 'truth_'
_IN_TABLE = 3  # of them in the terminal; the rest is on the page
_OTHERS = 6  # measures that are shown where nothing measured changes
_NOT_SHOWN = ('pairs', 'mask_threshold')


@dataclasses.dataclass(frozen=True)
class Run:
  """One run of a sweep.

  Attributes:
    label: its value as in headings; a baseline's name.
    value: that was varied; None for a baseline.
    workdir: its folder.
    step: of the checkpoint.
    row: what scores.csv has for the step; {} if nothing.
  """

  label: str
  value: Any
  workdir: str
  step: int
  row: Mapping[str, Any]


def figure(
  batch: Mapping[str, np.ndarray],
  translations: Mapping[str, Translation],
  direction: str,
  *,
  title: str = '',
  exemplar: bool = False,
  change: str = '',
) -> np.ndarray:
  """Returns the paper's Figures 4 and 6: a row a picture, a column for what each run makes of it.

  Columns: input, (exemplar,) the runs' masks, the runs' outputs, the truth if there is one. The
  mask is the extra `change` of the translations, such as what was added, where grey means no
  change; where no run has it, the mask is the source's. A run without one has no such column.

  Args:
    batch: uint8 a, b, and perhaps truth_ab, truth_ba, all [B, H, W, 3].
    translations: by label; of a, or of b for the direction 'ba'.
    direction: 'ab' or 'ba'.
    title: a line above everything.
    exemplar: whether translations follow the pictures of the other domain.
    change: name of the extra that shows the change; '' if the method has none.
  """
  columns = {'input': batch[direction[0]]}
  if exemplar:
    columns['exemplar'] = batch[direction[1]]
  columns |= _masks(translations, change)
  for label, translation in translations.items():
    columns[f'output, {label}'] = translation.image
  if f'truth_{direction}' in batch:
    columns['truth'] = batch[f'truth_{direction}']
  rows = list(zip(*columns.values(), strict=True))
  return pictures.grid(rows, column_names=list(columns), title=title)


def _masks(
  translations: Mapping[str, Translation], change: str
) -> dict[str, np.ndarray]:
  """Returns the columns of masks: what is added where any run adds something, else where."""
  changes = {}
  for label, translation in translations.items():
    changes[label] = translation.extras.get(change)
  adds = any(mask is not None for mask in changes.values())
  columns = {}
  for label, translation in translations.items():
    mask = changes[label] if adds else translation.source_mask
    if mask is not None:
      columns[f'mask, {label}'] = mask
  return columns


def write_csv(workdir: str, runs: Sequence[Run]) -> str:
  """Writes sweep.csv, a row a run: value, step, workdir, and the numbers of scores.csv."""
  # Columns in the order in which they come; texts are left out.
  names: dict[str, None] = {}
  for run in runs:
    for name, value in run.row.items():
      if measures.is_number(value) and name != 'step':
        names[name] = None

  # Baselines have no value, and what a run did not measure is an empty cell.
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(['value', 'step', 'workdir', *names])
  for run in runs:
    value = '' if run.value is None else run.label
    numbers = []
    for name in names:
      number = run.row.get(name)
      numbers.append(repr(number) if measures.is_number(number) else '')
    writer.writerow([value, run.step, run.workdir, *numbers])
  path = os.path.join(workdir, CSV)
  files.write_atomically(path, text.getvalue())
  return path


def table(runs: Sequence[Run], field: str) -> str:
  """Returns the measures of a sweep in lines for the terminal; '' if nothing was measured."""
  # A direction's table has room for its first measures only.
  parts = []
  for direction, names in _shown(runs).items():
    shown = names[:_IN_TABLE] if direction else names
    lines = _aligned(_columns(runs, field, shown))
    if direction:
      lines.insert(0, TITLES[direction])
    parts.append('\n'.join(lines))
  return '\n\n'.join(parts)


def _columns(
  runs: Sequence[Run], field: str, names: Iterable[str]
) -> dict[str, list[str]]:
  """Returns the cells of a table by their heading, each measure with what it is compared with."""
  columns = {field: [run.label for run in runs]}
  companions = ((_truth, 'of the truth'), (measures.baseline, 'do nothing'))
  for name in names:
    columns[_heading(name)] = [_number(run.row.get(name)) for run in runs]
    # Two measures may have companions of the same heading.
    for companion, heading in companions:
      cells = [run.row.get(companion(run.row, name)) for run in runs]
      if any(cell is not None for cell in cells):
        if heading in columns:
          heading = f'{heading} ({_heading(name)})'
        columns[heading] = [_number(cell) for cell in cells]
  return columns


def _aligned(columns: Mapping[str, Sequence[str]]) -> list[str]:
  """Returns the lines of a table, columns as wide as they need to be."""
  padded = []
  for heading, cells in columns.items():
    width = max(map(len, (heading, *cells)))
    padded.append([f'{cell:>{width}}' for cell in (heading, *cells)])
  return ['  '.join(line) for line in zip(*padded, strict=True)]


def write_page(
  workdir: str,
  runs: Sequence[Run],
  *,
  name: str,
  field: str,
  method: str,
  command: str,
  notes: Sequence[str] = (),
) -> str:
  """Writes sweep.html, one page that needs no network: curves, table, the figures of `workdir`.

  Args:
    workdir: folder of the sweep.
    runs: with baselines last.
    name: heading.
    field: what was varied.
    method: of the runs.
    command: what made all this.
    notes: what a reader has to know, a sentence each.
  """
  page = pages.render(
    'sweep.html',
    pages.templates_of(__file__),
    name=name,
    lead=_lead(runs, field, method),
    notes=notes,
    sections=_sections(workdir, runs, field),
    measured=bool(_shown(runs)),
    field=field,
    command=command,
    runs=runs,
  )
  path = os.path.join(workdir, PAGE)
  files.write_atomically(path, page)
  return path


def _sections(workdir: str, runs: Sequence[Run], field: str) -> list[dict[str, Any]]:
  """Returns what the page shows of each direction that was measured, or has a figure."""
  shown = _shown(runs)
  sections = []
  for direction in (*shown, *sorted(FIGURES.keys() - shown.keys())):
    names = shown.get(direction, [])
    picture = _picture(workdir, direction)
    if names or picture:
      sections.append(
        {
          'title': TITLES[direction],
          'picture': picture,
          'charts': [_chart(runs, name, field) for name in names],
          'headings': [_title(name) for name in names],
          'lines': _lines(runs, names),
        }
      )
  return sections


def _picture(workdir: str, direction: str) -> pages.Picture | None:
  """Returns the figure of a direction, or None if there is none to show."""
  path = os.path.join(workdir, FIGURES.get(direction, ''))
  if not os.path.isfile(path):
    return None
  try:
    return pages.picture(path)
  except ValueError:  # it is too large; the file is beside the page
    return None


def _lead(runs: Sequence[Run], field: str, method: str) -> str:
  """Returns one line that says what was varied, how long was trained, and on what was measured."""
  values = ', '.join(run.label for run in runs if run.value is not None)
  steps = _either({run.step for run in runs})  # notes say which run is not at its end
  lead = f'Method {method}; {field} = {values}; {steps} steps'
  pairs = {int(run.row['pairs']) for run in runs if 'pairs' in run.row}
  return f'{lead}; measured on {_either(pairs)} pairs' if pairs else lead


def _either(counts: Iterable[int]) -> str:
  """Returns numbers in a phrase, such as '10 or 20'."""
  return ' or '.join(f'{count:,}' for count in sorted(counts))


def _shown(runs: Sequence[Run]) -> dict[str, list[str]]:
  """Returns the columns of scores to show, by direction; by '' where none are of 'changes'."""
  values: dict[str, Any] = {}
  for run in runs:
    values |= run.row
  columns = measures.ordered(values)

  # Measures of changes by direction.
  shown: dict[str, list[str]] = {}
  for direction in FIGURES:
    for measure in _CHANGES:
      if f'{direction}_{measure}' in columns:
        shown.setdefault(direction, []).append(f'{direction}_{measure}')
  if shown:
    return shown

  # Without them the first ones of the others.
  others = []
  for name in columns:
    if name not in _NOT_SHOWN and not name.startswith(_TRUTH):
      others.append(name)
  return {'': others[:_OTHERS]} if others else {}


def _title(name: str) -> str:
  """Returns the title of a column of scores on the page."""
  title, _ = _CHANGES.get(name[3:], (name, name))
  return title


def _heading(name: str) -> str:
  """Returns the heading of a column of scores in the terminal."""
  _, heading = _CHANGES.get(name[3:], (name, name))
  return heading


def _truth(row: Mapping[str, Any], name: str) -> str:
  """Returns the column that says what true translations have in a measure, or ''."""
  return _TRUTH + name if _TRUTH + name in row else ''


def _level(
  runs: Sequence[Run], name: str, companion: Callable[..., str]
) -> float | None:
  """Returns that column of the first run that has it: it does not depend on the model."""
  for run in runs:
    if column := companion(run.row, name):
      return run.row[column]
  return None


def _chart(runs: Sequence[Run], name: str, field: str) -> Markup:
  """Returns the curve of a measure, with the levels to compare it with."""
  levels = [
    ('truth', 'the truth', _level(runs, name, _truth)),
    ('nothing', 'doing nothing', _level(runs, name, measures.baseline)),
  ]

  # Baselines have no value to stand at, and so are levels.
  points = []
  for run in runs:
    if run.value is None:
      levels.append(('beside', run.label, run.row.get(name)))
    else:
      points.append((run.value, run.row.get(name)))
  levels = [level for level in levels if level[2] is not None]
  return charts.value_chart(
    points, _title(name), field, levels, from_zero=name[3:] in _CHANGES
  )


def _lines(runs: Sequence[Run], names: Sequence[str]) -> list[dict[str, Any]]:
  """Returns the lines of the page's table: the runs, then what to compare them with."""
  # A baseline's line is marked: it stands beside the values.
  lines = []
  for run in runs:
    row = run.row
    cells = [_cell(row.get(name), row.get(f'{name}_std')) for name in names]
    kind = 'beside' if run.value is None else ''
    lines.append({'label': run.label, 'kind': kind, 'cells': cells})
  for label, companion in (('doing nothing', measures.baseline), ('the truth', _truth)):
    cells = [_cell(_level(runs, name, companion)) for name in names]
    if any(value for value, _ in cells):
      lines.append({'label': label, 'kind': 'level', 'cells': cells})
  return lines


def _cell(value: Any, deviation: Any = None) -> tuple[str, str]:
  """Returns a number and its deviation as text, '' for what is not there."""
  if not measures.is_number(value):
    return '', ''
  if measures.is_number(deviation) and math.isfinite(deviation):
    return charts.number(value), f'± {float(f"{deviation:.2g}"):g}'
  return charts.number(value), ''


def _number(value: Any) -> str:
  """Returns a number for the terminal: with four decimals unless it is large; '' for None."""
  if value is None:
    return ''
  if isinstance(value, float) and abs(value) < 100:
    return f'{value:.4f}'
  return charts.number(value)
