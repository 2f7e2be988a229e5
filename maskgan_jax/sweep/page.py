"""What a sweep leaves: the paper's figure, `sweep.csv`, and `sweep.html` with the curves.

A sweep is some runs of one config that differ in one value, and baselines beside them.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
import csv
import dataclasses
import html
import io
import math
import os
from typing import Any

import numpy as np
from PIL import Image

from maskgan_jax import files
from maskgan_jax.methods.base import Translation
from maskgan_jax.runs import charts, measures, pictures
from maskgan_jax.sweep import charts as value_charts

FIGURES = {'ab': 'sweep.png', 'ba': 'sweep_back.png'}
CSV, PAGE = 'sweep.csv', 'sweep.html'
TITLES = {'ab': 'From a to b', 'ba': 'From b to a'}

# Of the evaluator 'changes', after 'ab_' or 'ba_': (measure, title, heading in the terminal).
_CHANGES = (
    ('changed_share', 'Share of the pixels that are changed', 'changed share'),
    ('error', 'Error to the true answer', 'error'),
    ('changed_iou', 'IoU of the changed pixels with those that truly change', 'IoU'),
    ('error_inside', 'Error where something truly changes', 'error inside'),
    ('error_outside', 'Error elsewhere', 'error outside'),
)
_TRUTH = 'truth_'
_IN_TABLE = 3  # of them in the terminal; the rest is on the page
_OTHERS = 6  # measures that are shown where nothing measured changes
_NOT_SHOWN = ('pairs', 'mask_threshold')
_PICTURE_BYTES = 4_000_000


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


def figure(batch: Mapping[str, np.ndarray], translations: Mapping[str, Translation],
           direction: str, *, title: str = '', exemplar: bool = False, change: str = ''
           ) -> np.ndarray:
  """Returns the paper's Figures 4 and 6: a row a picture, a column for what each run makes of it.

  Columns: input, (exemplar,) the runs' masks, the runs' outputs, the truth if there is one. The
  mask is the extra `change` of the translations, e.g. what was added, where grey is no change;
  where no run has it, it is the source's mask. A run without such a mask has no such column.

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
  masks = {label: translation.extras.get(change)
           for label, translation in translations.items()}
  if all(mask is None for mask in masks.values()):
    masks = {label: translation.source_mask for label, translation in translations.items()}
  columns |= {f'mask, {label}': mask for label, mask in masks.items() if mask is not None}
  columns |= {f'output, {label}': translation.image for label, translation in translations.items()}
  if f'truth_{direction}' in batch:
    columns['truth'] = batch[f'truth_{direction}']
  return pictures.grid(list(zip(*columns.values(), strict=True)), column_names=list(columns),
                       title=title)


def write_csv(workdir: str, runs: Sequence[Run]) -> str:
  """Writes sweep.csv, a row a run: value, step, workdir, and the numbers of scores.csv."""
  names = list(dict.fromkeys(name for run in runs for name, value in run.row.items()
                             if measures.is_number(value) and name != 'step'))
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(['value', 'step', 'workdir', *names])
  for run in runs:
    value = '' if run.value is None else run.label
    writer.writerow([value, run.step, run.workdir, *(
        repr(run.row[name]) if measures.is_number(run.row.get(name)) else '' for name in names)])
  path = os.path.join(workdir, CSV)
  files.write_atomically(path, text.getvalue())
  return path


def table(runs: Sequence[Run], field: str) -> str:
  """Returns the measures of a sweep in lines for the terminal; '' if nothing was measured."""
  parts = []
  for direction, names in _shown(runs).items():
    columns = {field: [run.label for run in runs]}
    for name in names[:_IN_TABLE] if direction else names:
      columns[_heading(name)] = [_number(run.row.get(name)) for run in runs]
      for companion, heading in ((_truth, 'of the truth'), (measures.baseline, 'do nothing')):
        cells = [run.row.get(companion(run.row, name)) for run in runs]
        if any(cell is not None for cell in cells):
          heading = heading if heading not in columns else f'{heading} ({_heading(name)})'
          columns[heading] = [_number(cell) for cell in cells]
    widths = [max(map(len, (heading, *cells))) for heading, cells in columns.items()]
    lines = [columns, *zip(*columns.values(), strict=True)]
    parts.append('\n'.join([*([TITLES[direction]] if direction else []), *(
        '  '.join(f'{cell:>{width}}' for cell, width in zip(line, widths, strict=True))
        for line in lines)]))
  return '\n\n'.join(parts)


def write_page(workdir: str, runs: Sequence[Run], *, name: str, field: str, method: str,
               command: str, notes: Sequence[str] = ()) -> str:
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
  varied = [run for run in runs if run.value is not None]
  lead = (f'Method {method}; {field} = {", ".join(run.label for run in varied)}; '
          + _steps(runs) + _pairs(runs))
  body = [f'<h1>{_escape(name)}</h1><p class="lead">{_escape(lead)}</p>',
          *(f'<p class="note">{_escape(note)}</p>' for note in notes)]
  shown = _shown(runs)
  for direction, names in shown.items():
    body += [f'<h2>{TITLES.get(direction, "Measures")}</h2>', *_picture(workdir, direction),
             '<div class="charts">', *(_chart(runs, name, field) for name in names), '</div>',
             _html_table(runs, names, field)]
  for direction in sorted(FIGURES.keys() - shown.keys()):
    if drawn := _picture(workdir, direction):
      body += [f'<h2>{TITLES[direction]}</h2>', *drawn]
  if not shown:
    body.append('<p class="note">Nothing was measured: scores.csv of the runs has no such row.</p>')
  rows = ''.join(f'<tr><th scope="row">{_escape(run.label)}</th><td>{run.step:,}</td>'
                 f'<td>{_escape(run.workdir)}</td></tr>' for run in runs)
  body += ['<h2>How to reproduce this</h2>', f'<pre>{_escape(command)}</pre>',
           f'<div class="wide"><table><thead><tr><th>{_escape(field)}</th><th>step</th>'
           f'<th>run</th></tr></thead><tbody>{rows}</tbody></table></div>']
  page = ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
          f'content="width=device-width, initial-scale=1"><title>{_escape(name)}</title>'
          f'<style>{_STYLE}{value_charts.STYLE}</style></head><body><main>\n' + '\n'.join(body)
          + '\n</main></body></html>\n')
  path = os.path.join(workdir, PAGE)
  files.write_atomically(path, page)
  return path


def _shown(runs: Sequence[Run]) -> dict[str, list[str]]:
  """Returns the columns of scores to show, by direction; by '' where none are of 'changes'."""
  there = measures.ordered({name: value for run in runs for name, value in run.row.items()})
  found = {direction: [name for measure, *_ in _CHANGES
                       if (name := f'{direction}_{measure}') in there] for direction in FIGURES}
  found = {direction: names for direction, names in found.items() if names}
  others = [name for name in there if name not in _NOT_SHOWN and not name.startswith(_TRUTH)]
  return found or ({'': others[:_OTHERS]} if others else {})


def _title(name: str) -> str:
  return next((title for measure, title, _ in _CHANGES if name[3:] == measure), name)


def _heading(name: str) -> str:
  return next((heading for measure, _, heading in _CHANGES if name[3:] == measure), name)


def _truth(row: Mapping[str, Any], name: str) -> str:
  """Returns the column that says what true translations have in a measure, or ''."""
  return _TRUTH + name if _TRUTH + name in row else ''


def _level(runs: Sequence[Run], name: str, companion: Callable[..., str]) -> float | None:
  """Returns that column of the first run that has it: it does not depend on the model."""
  return next((run.row[other] for run in runs if (other := companion(run.row, name))), None)


def _chart(runs: Sequence[Run], name: str, field: str) -> str:
  levels = [('truth', 'the truth', _level(runs, name, _truth)),
            ('nothing', 'doing nothing', _level(runs, name, measures.baseline))]
  levels += [('beside', run.label, run.row.get(name)) for run in runs if run.value is None]
  points = [(run.value, run.row.get(name)) for run in runs if run.value is not None]
  return value_charts.chart(points, _title(name), field,
                            [level for level in levels if level[2] is not None],
                            from_zero=_title(name) != name)


def _html_table(runs: Sequence[Run], names: Sequence[str], field: str) -> str:
  head = ''.join(f'<th>{_escape(_title(name))}</th>' for name in names)
  lines = [(run.label, 'beside' if run.value is None else '', [
      _cell(run.row.get(name), run.row.get(f'{name}_std')) for name in names]) for run in runs]
  for label, companion in (('doing nothing', measures.baseline), ('the truth', _truth)):
    levels = [_level(runs, name, companion) for name in names]
    if any(level is not None for level in levels):
      lines.append((label, 'level', [_cell(level) for level in levels]))
  rows = ''.join(f'<tr class="{kind}"><th scope="row">{_escape(label)}</th>{"".join(cells)}</tr>'
                 for label, kind, cells in lines)
  return (f'<div class="wide"><table><thead><tr><th>{_escape(field)}</th>{head}</tr></thead>'
          f'<tbody>{rows}</tbody></table></div>')


def _cell(value: Any, deviation: Any = None) -> str:
  text = charts.number(value) if measures.is_number(value) else ''
  if text and measures.is_number(deviation) and math.isfinite(deviation):
    text += f' <small>± {float(f"{deviation:.2g}"):g}</small>'
  return f'<td>{text}</td>'


def _steps(runs: Sequence[Run]) -> str:
  """Returns how long was trained; those that are not at their end are named in the notes."""
  steps = sorted({run.step for run in runs})
  return f'{" or ".join(f"{step:,}" for step in steps)} steps'


def _pairs(runs: Sequence[Run]) -> str:
  pairs = sorted({int(run.row['pairs']) for run in runs if 'pairs' in run.row})
  return f'; measured on {" or ".join(f"{count:,}" for count in pairs)} pairs' if pairs else ''


def _picture(workdir: str, direction: str) -> list[str]:
  """Returns the figure as a part of the page, or nothing."""
  path = os.path.join(workdir, FIGURES.get(direction, ''))
  if not os.path.isfile(path):
    return []
  with Image.open(path) as image:
    (width, height), caption = image.size, image.info.get('Description', '')
    with open(path, 'rb') as file:
      data, form = file.read(), 'png'
    if len(data) > _PICTURE_BYTES:  # many runs at 256x256; the file itself stays exact
      smaller = io.BytesIO()
      image.convert('RGB').save(smaller, 'JPEG', quality=88)
      data, form = smaller.getvalue(), 'jpeg'
  encoded = base64.b64encode(data).decode()
  return [f'<figure><div class="wide"><img width="{width}" height="{height}" alt="figure of the '
          f'sweep, {TITLES[direction]}" src="data:image/{form};base64,{encoded}"></div>'
          f'<figcaption>{_escape(caption)}</figcaption></figure>']


def _number(value: Any) -> str:
  return f'{value:.4f}' if isinstance(value, float) and abs(value) < 100 else (
      '' if value is None else charts.number(value))


def _escape(text: Any) -> str:
  return html.escape(str(text), quote=True)


_STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --dim: #5c6470; --paper: #fff; --rule: #dde1e7;
  --box: #f4f6f8; --line: #2563c9; --good: #14713a; --beside: #a34a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --dim: #a0a8b4; --paper: #15181d;
  --rule: #343a44; --box: #1f242b; --line: #7fb0ff; --good: #6fd08c; --beside: #ffb070; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.3rem; }
.lead, small, figcaption { color: var(--dim); } .lead { margin: .4rem 0 0; }
.note { margin: 1rem 0 0; padding: .5rem .8rem; border-left: 3px solid var(--beside);
  background: var(--box); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin-top: 1rem; }
th, td { padding: .45rem 1.2rem .45rem 0; border-bottom: 1px solid var(--rule); text-align: left;
  vertical-align: top; }
thead th { color: var(--dim); font-weight: 500; font-size: .85rem; max-width: 11rem; }
td { font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.level th, tr.level td { color: var(--dim); font-weight: 400; }
figure { margin: 0 0 1.5rem; }
figure img { display: block; height: auto; max-width: 100%; border: 1px solid var(--rule);
  border-radius: 4px; }
@media (max-width: 45rem) { figure img { max-width: 60rem; } }
figcaption { margin-top: .4rem; font-size: .9rem; }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr));
  align-items: end; }
.chart { margin: 0; min-width: 0; } .chart figcaption { margin: 0 0 .2rem; color: var(--ink); }
pre { margin: .5rem 0 1rem; padding: .8rem; background: var(--box); border-radius: 4px;
  overflow-x: auto; font-size: .85rem; white-space: pre-wrap; overflow-wrap: anywhere; }
"""
