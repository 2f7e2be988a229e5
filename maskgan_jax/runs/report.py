"""`report.html`: what a run is, scored and draws, on one page that needs no network."""

import base64
from collections.abc import Iterable, Mapping
import glob
import html
import io
import json
import os
import re
import shlex
from typing import Any

from PIL import Image

from maskgan_jax import files
from maskgan_jax.runs import charts, measures, metric_writers, scores

FILE_NAME = 'report.html'
_SAMPLES = 6  # pictures at most, and bytes of one
_PICTURE_BYTES = 4_000_000
_CHARTS = 60  # at most; the page stays light
_GROUPS = (  # (heading, what a metric's name contains), the first that fits; the rest are folded
    ('Masks', ('mask',)),
    ('Losses', ('loss', 'penalty', 'generator', 'critic', 'discriminator')),
)
_COLUMNS = (
    "source: the picture to change. exemplar: the picture whose attribute it shall get. exemplar's "
    "mask: what is taken from the exemplar; white is certain. source's mask: where it goes in the "
    'source. translation: the source with what was taken. truth: the right answer, which training '
    'never sees. exemplar, removed: the exemplar without the attribute. truth of removal: the '
    'right answer to that.')


def write(workdir: str | os.PathLike, extra: Mapping[str, Any] | None = None) -> str:
  """Writes `report.html` from the files of the run, those that are there; returns its path.

  Args:
    workdir: folder of the run.
    extra: what else to tell. `command`: how the run was started, if not as
      `config.json` says. `captions`: texts below the sample
      pictures by their names without step (else the PNG's own `Description`). `unmeasured`: why
      evaluators measured nothing, a sentence each. Anything else, such
      as versions, device, counts or hours, becomes a line of the table of facts.
  """
  extra = dict(extra or {})
  config = _config(workdir)
  rows, metrics = scores.read(workdir), metric_writers.read(workdir)
  command = extra.pop('command', config.get('command', ''))
  captions, unmeasured = extra.pop('captions', {}), extra.pop('unmeasured', ())
  name = str(config.get('name') or os.path.basename(os.path.abspath(workdir)))
  body = [
      f'<h1>{_escape(name)}</h1><p class="lead">{_escape(_lead(config, metrics))}</p>',
      '<h2>Scores</h2>', *(_scores(rows) or _no_scores(workdir, config, unmeasured)),
      '<h2>Pictures</h2>', *(_pictures(workdir, captions) or [_absent('No sample pictures yet.')]),
      *_figures(workdir),
      '<h2>Curves</h2>', *(_curves(metrics) or [_absent('No metrics yet.')]),
      '<h2>How to reproduce this</h2>', *_reproduce(command, extra),
      *([f'<details><summary>Config</summary><pre>{_escape(_json(config))}</pre></details>']
        if config else [_absent('No config.json.')]),
  ]
  page = (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
          f'content="width=device-width, initial-scale=1"><title>{_escape(name)}</title>'
          f'<style>{_STYLE}</style></head><body><main>\n' + '\n'.join(body)
          + '\n</main></body></html>\n')
  path = os.path.join(workdir, FILE_NAME)
  files.write_atomically(path, page)
  return path


def _config(workdir: str | os.PathLike) -> dict[str, Any]:
  try:
    with open(os.path.join(workdir, 'config.json'), encoding='utf-8') as file:
      config = json.load(file)
  except (OSError, ValueError):
    return {}
  return config if isinstance(config, dict) else {}


def _lead(config: dict[str, Any], metrics: list[dict[str, Any]]) -> str:
  """Returns one line that says what this run is."""
  data = config.get('data') if isinstance(config.get('data'), dict) else {}
  facts = [f'Method {config["method"]}'] if 'method' in config else []
  if data.get('source'):
    facts.append(f'data {data.get("name") or data["source"]}: from {data.get("a") or "a"} to '
                 f'{data.get("b") or "b"}')
  if 'image_size' in config:
    height, width = config['image_size'], config.get('image_width') or config['image_size']
    order = '' if height == width else ' (height x width)'
    facts.append(f'{height} x {width} pixels{order}')
  if metrics:
    steps = charts.number(max(row['step'] for row in metrics))
    planned = config.get('num_steps')
    facts.append(f'{steps} of {charts.number(planned)} steps' if isinstance(planned, int)
                 else f'{steps} steps')
  return '; '.join(facts)


def _scores(rows: list[scores.Row]) -> list[str]:
  """Returns a table of the newest scores of every split, test first, and their course."""
  parts = []
  splits = sorted({str(row['split']) for row in rows}, key=lambda name: (name != 'test', name))
  for split in splits:
    own = [row for row in rows if str(row['split']) == split]
    newest = max(own, key=lambda row: row['step'])
    heading = f'{_escape(split)} pictures, step {charts.number(newest["step"])}'
    told = ''.join(f'<p>{_escape(name.replace("_", " "))}: {_escape(value)}</p>'
                   for name, value in newest.items()
                   if name not in measures.NOT_MEASURES and not measures.is_number(value))
    parts.append(f'<h3>{heading}</h3>{told}{_table(newest)}' if split == splits[0] else
                 f'<details><summary>{heading}</summary>{told}{_table(newest)}</details>')
  for split in splits:
    own = sorted((row for row in rows if str(row['split']) == split), key=lambda row: row['step'])
    drawn = [m for m in measures.ordered(own[-1]) if m != 'mask_threshold' and measures.better(m)]
    if len(own) > 1 and drawn:
      parts.append(f'<details><summary>{_escape(split)} scores over training</summary>'
                   '<div class="charts">' + ''.join(
                       _chart(own, measure) for measure in drawn[:_CHARTS]) + '</div></details>')
  return parts


def _no_scores(workdir: str | os.PathLike, config: Mapping[str, Any],
               unmeasured: Iterable[str]) -> list[str]:
  """Returns why there are no scores, and the command that makes some where one would."""
  if unmeasured:
    return [_absent(f'No scores: {reason}') for reason in unmeasured]
  if config and not config.get('evaluators'):
    return [_absent('No scores: config.evaluators is empty, so that nothing is measured.')]
  if not glob.glob(os.path.join(glob.escape(os.fspath(workdir)), 'checkpoints', '[0-9]*')):
    return [_absent('No scores yet: there is no checkpoint to measure.')]
  folder = shlex.quote(os.fspath(workdir))
  return [_absent('No scores yet.', f'python -m maskgan_jax.evaluate --workdir={folder} --once')]


def _table(row: scores.Row) -> str:
  lines = []
  names = measures.ordered(row)
  compared = any(measures.baseline(row, name) for name in names)
  for name in names:
    baseline, better = measures.baseline(row, name), measures.better(name)
    told = measures.meaning(name)
    told += {1: ' Higher is better.', -1: ' Lower is better.', 0: ''}[better]
    verdict = ''
    if baseline and better and all(measures.is_number(row[n]) for n in (name, baseline)):
      gain = (row[name] - row[baseline]) * better
      verdict = ('<span class="good">better</span>' if gain > 0 else
                 '<span class="bad">worse</span>' if gain < 0 else
                 'the same' if gain == 0 else '')
    cells = f'<td><b>{_value(row, name)}</b> {verdict}</td>'
    if compared:
      cells += f'<td>{_value(row, baseline) if baseline else ""}</td>'
    lines.append(f'<tr><th scope="row">{_escape(measures.label(name)).replace("_", "_<wbr>")}'
                 f'<small>{_escape(told.strip())}</small>'
                 f'</th>{cells}</tr>')
  head = '<th>this run</th>' + ('<th>doing nothing</th>' if compared else '')
  note = ('<p><small>Doing nothing hands the source back unchanged. "Better" and "worse" compare '
          'this run with that.</small></p>' if compared else '')
  return (f'<div class="wide"><table class="scores"><thead><tr><th>measure</th>{head}</tr></thead>'
          f'<tbody>{"".join(lines)}</tbody></table></div>{note}')


def _value(row: scores.Row, name: str) -> str:
  value, deviation = row[name], row.get(f'{name}_std')
  text = charts.number(value) if measures.is_number(value) else str(value)
  if measures.is_number(deviation):
    text += f' ± {float(f"{deviation:.2g}"):g}'
  return f'<span>{_escape(text)}</span>'


def _pictures(workdir: str | os.PathLike, captions: Mapping[str, str]) -> list[str]:
  """Returns the newest sample picture of every kind (names differ in the step), older ones folded.
  """
  kinds: dict[str, list[tuple[int, str]]] = {}
  folder = os.path.join(glob.escape(os.fspath(workdir)), 'samples')
  for path in filter(os.path.isfile, glob.glob(os.path.join(folder, '*.png'))):
    stem = os.path.splitext(os.path.basename(path))[0]
    step = max(re.findall(r'\d+', stem), key=len, default='')
    kind = re.sub(r'^[\W_]+|[\W_]+$', '', stem.replace(step, '', 1))
    kinds.setdefault(kind, []).append((int(step or 0), path))
  parts = []
  for kind, found in sorted(kinds.items())[:_SAMPLES]:
    *older, newest = sorted(found)
    parts.append(_picture(kind, *newest, captions))
    if older:
      chosen = {older[0], older[len(older) // 2]}
      parts.append('<details><summary>Earlier in training</summary>' + ''.join(
          _picture(kind, *sample, captions) for sample in sorted(chosen)) + '</details>')
  return parts


def _figures(workdir: str | os.PathLike) -> list[str]:
  """Returns what evaluators drew."""
  folder = os.path.join(glob.escape(os.fspath(workdir)), 'figures')
  return [_picture(os.path.splitext(os.path.basename(path))[0], None, path, {})
          for path in sorted(filter(os.path.isfile, glob.glob(os.path.join(folder, '*.png'))))]


def _picture(kind: str, step: int | None, path: str, captions: Mapping[str, str]) -> str:
  try:
    with Image.open(path) as image:
      width, height = image.size
      caption = captions.get(kind) or image.info.get('Description') or _COLUMNS
      with open(path, 'rb') as file:
        data, form = file.read(), 'png'
      if len(data) > _PICTURE_BYTES:  # rows of street scenes, say; the file itself stays exact
        smaller = io.BytesIO()
        image.convert('RGB').save(smaller, 'JPEG', quality=85)
        data, form = smaller.getvalue(), 'jpeg'
  except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
    return _absent(f'{os.path.basename(path)} is not a picture.')
  if len(data) > _PICTURE_BYTES:
    return _absent(f'{os.path.basename(path)} is too large to show here.')
  title = kind.replace('_', ' ')
  if step is not None:
    title = f'{title}, step {charts.number(step)}'.removeprefix(', ')
  encoded = base64.b64encode(data).decode()
  return (f'<figure><div class="wide"><img width="{width}" height="{height}" '
          f'alt="{_escape(title)}" src="data:image/{form};base64,{encoded}"></div>'
          f'<figcaption><b>{_escape(title)}.</b> {_escape(caption)}</figcaption></figure>')


def _curves(metrics: list[dict[str, Any]]) -> list[str]:
  """Returns a chart of every number that metrics.jsonl has, in groups."""
  names = list(dict.fromkeys(name for row in metrics for name, value in row.items()
                             if name != 'step' and (value is None or measures.is_number(value))))
  groups: dict[str, list[str]] = {heading: [] for heading, _ in _GROUPS} | {'': []}
  for name in names[:_CHARTS]:
    fitting = (heading for heading, words in _GROUPS if any(w in name.lower() for w in words))
    groups[next(fitting, '')].append(name)
  parts = []
  for heading, members in groups.items():
    drawn = '<div class="charts">' + ''.join(_chart(metrics, name) for name in members) + '</div>'
    if members and heading:
      parts.append(f'<h3>{heading}</h3>{drawn}')
    elif members:
      parts.append(f'<details><summary>Everything else</summary>{drawn}</details>')
  if len(names) > _CHARTS:
    parts.append(_absent(f'{len(names) - _CHARTS} more are in metrics.jsonl.'))
  return parts


def _chart(rows: Iterable[Mapping[str, Any]], name: str) -> str:
  points = [(row['step'], row[name]) for row in rows
            if name in row and (row[name] is None or measures.is_number(row[name]))]
  return charts.line_chart([step for step, _ in points], [value for _, value in points], name)


def _reproduce(command: str, facts: Mapping[str, Any]) -> list[str]:
  parts = [f'<pre>{_escape(command)}</pre>'] if command else []
  lines = []
  for name, value in facts.items():
    if isinstance(value, Mapping):
      value = ', '.join(f'{key} {item}' for key, item in value.items())
    elif measures.is_number(value):
      value = charts.number(value)
    lines.append(f'<tr><th scope="row">{_escape(name)}</th><td>{_escape(value)}</td></tr>')
  if lines:
    parts.append(f'<div class="wide"><table class="facts">{"".join(lines)}</table></div>')
  return parts


def _absent(text: str, command: str = '') -> str:
  text = f'<p class="absent">{_escape(text)}</p>'
  return f'{text}<pre>{_escape(command)}</pre>' if command else text


def _json(value: Any) -> str:
  return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def _escape(text: Any) -> str:
  return html.escape(str(text), quote=True)


_STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --dim: #5c6470; --paper: #fff; --rule: #dde1e7;
  --box: #f4f6f8; --line: #2563c9; --good: #14713a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --dim: #a0a8b4; --paper: #15181d;
  --rule: #343a44; --box: #1f242b; --line: #7fb0ff; --good: #6fd08c; --bad: #ff8f85; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.3rem; }
h3 { margin: 1.5rem 0 .5rem; font-size: 1rem; }
.lead, small, figcaption, .absent { color: var(--dim); }
.lead { margin: .4rem 0 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: .45rem 1.2rem .45rem 0; border-bottom: 1px solid var(--rule); text-align: left;
  vertical-align: top; }
thead th { color: var(--dim); font-weight: 500; }
tbody th { font-weight: 600; overflow-wrap: anywhere; }
th small { display: block; max-width: 34rem; font-weight: 400; }
td { font-variant-numeric: tabular-nums; }
td span { white-space: nowrap; }
.facts th { font-weight: 500; color: var(--dim); }
.good { color: var(--good); } .bad { color: var(--bad); }
figure { margin: 0 0 1.5rem; }
figure img { display: block; height: auto; max-width: 100%; border: 1px solid var(--rule);
  border-radius: 4px; }
@media (max-width: 45rem) { figure img { max-width: 44rem; } }
figcaption { margin-top: .4rem; font-size: .9rem; max-width: 52rem; }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); }
.chart { margin: 0; min-width: 0; }
.chart figcaption { margin: 0 0 .2rem; color: var(--ink); overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; background: var(--box); border-radius: 4px; }
svg text { fill: var(--dim); font-size: 10px; } .end { text-anchor: end; }
.middle { text-anchor: middle; } .tick { stroke: var(--rule); }
.line { fill: none; stroke: var(--line); stroke-width: 1.5; stroke-linejoin: round; }
.band { fill: var(--line); opacity: .18; } .dot { fill: var(--line); }
details { margin: 1rem 0; } summary { cursor: pointer; padding: .3rem 0; }
pre { margin: .5rem 0 1rem; padding: .8rem; background: var(--box); border-radius: 4px;
  overflow-x: auto; font-size: .85rem; white-space: pre-wrap; overflow-wrap: anywhere; }
"""
