"""`report.html`: what a run is, draws and scores, on one page that needs no network."""

from collections.abc import Iterable, Mapping, Sequence
import glob
import json
import os
import re
import shlex
from typing import Any

from markupsafe import Markup

from maskgan_jax import files
import maskgan_jax.evaluators  # noqa: F401, declares what measures say
from maskgan_jax.reports import charts, pages, questions
from maskgan_jax.runs import measures, metric_writers, scores

FILE_NAME = 'report.html'
_SAMPLES = 6  # kinds of sample pictures at most
_CHARTS = 60  # at most; the page stays light
_GROUPS = (  # (heading, what a metric's name contains), the first that fits; the rest are folded
  ('Masks', ('mask',)),
  ('Losses', ('loss', 'penalty', 'adversarial')),
)
_COLUMNS = (
  "source: the picture to change. exemplar: the picture whose attribute it shall get. exemplar's "
  "mask: what is taken from the exemplar; white is certain. source's mask: where it goes in the "
  'source. translation: the source with what was taken. truth: the right answer, which training '
  'never sees. exemplar, removed: the exemplar without the attribute. truth of removal: the '
  'right answer to that.'
)


def write(workdir: str | os.PathLike, extra: Mapping[str, Any] | None = None) -> str:
  """Writes `report.html` from the files of the run, those that are there; returns its path.

  Args:
    workdir: folder of the run.
    extra: what the files do not say. `command`: how the run was started, if not as `config.json`
      says. `captions`: texts below the sample pictures by their names without step (else the PNG's
      own `Description`). `unmeasured`: why evaluators measured nothing, a sentence each. Anything
      else, such as versions, device, counts or hours, becomes a line of the table of facts.
  """
  config = _config(workdir)
  metrics = metric_writers.read(workdir)
  splits = _splits(scores.read(workdir))
  config_text = ''
  if config:
    config_text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)

  # What has a place of its own on the page is not a line of the table of facts.
  facts = dict(extra or {})
  command = facts.pop('command', config.get('command', ''))
  captions = facts.pop('captions', {})
  unmeasured = facts.pop('unmeasured', ())

  page = pages.render(
    'report.html',
    name=str(config.get('name') or os.path.basename(os.path.abspath(workdir))),
    lead=_lead(config, metrics),
    samples=_samples(workdir, captions),
    answers=questions.answers(splits[0]['newest']) if splits else [],
    splits=splits,
    no_scores=[] if splits else _no_scores(workdir, config, unmeasured),
    figures=_figures(workdir),
    curves=_curves(metrics),
    command=command,
    facts={name: _fact(value) for name, value in facts.items()},
    config=config_text,
  )
  path = os.path.join(workdir, FILE_NAME)
  files.write_atomically(path, page)
  return path


def _config(workdir: str | os.PathLike) -> dict[str, Any]:
  """Returns the config of the run; {} if it cannot be read."""
  try:
    with open(os.path.join(workdir, 'config.json'), encoding='utf-8') as file:
      config = json.load(file)
  except (OSError, ValueError):
    return {}
  return config if isinstance(config, dict) else {}


def _lead(config: dict[str, Any], metrics: list[dict[str, Any]]) -> str:
  """Returns one line that says what this run is."""
  # The line is written whatever the config lacks.
  parts = []
  if 'method' in config:
    parts.append(f'Method {config["method"]}')
  data = config.get('data')
  if isinstance(data, dict) and data.get('source'):
    a, b = data.get('a') or 'a', data.get('b') or 'b'
    negation = ' (~ is "without")' if '~' in f'{a}{b}' else ''
    parts.append(
      f'data {data.get("name") or data["source"]}: from {a} to {b}{negation}'
    )
  if 'image_size' in config:
    height = config['image_size']
    width = config.get('image_width') or height
    order = '' if height == width else ' (height x width)'
    parts.append(f'{height} x {width} pixels{order}')
  if metrics:
    steps = charts.number(max(row['step'] for row in metrics))
    if isinstance(planned := config.get('num_steps'), int):
      steps += f' of {charts.number(planned)}'
    parts.append(f'{steps} steps')
  return '; '.join(parts)


# Pictures.


def _samples(
  workdir: str | os.PathLike, captions: Mapping[str, str]
) -> list[dict[str, Any]]:
  """Returns the sample pictures by kind (names differ in the step): the newest and some earlier."""
  # The longest number in a file's name is the step; the rest of the name is the kind.
  kinds: dict[str, list[tuple[int, str]]] = {}
  for path in _pngs(workdir, 'samples'):
    stem = os.path.splitext(os.path.basename(path))[0]
    step = max(re.findall(r'\d+', stem), key=len, default='')
    kind = re.sub(r'^[\W_]+|[\W_]+$', '', stem.replace(step, '', 1))
    kinds.setdefault(kind, []).append((int(step or 0), path))
  samples = []
  for kind, drawn in sorted(kinds.items())[:_SAMPLES]:
    *earlier, newest = sorted(drawn)
    if earlier:  # the first one and the one in the middle show the course
      earlier = sorted({earlier[0], earlier[len(earlier) // 2]})
    samples.append(
      {
        'newest': _picture(kind, *newest, captions),
        'earlier': [_picture(kind, *sample, captions) for sample in earlier],
      }
    )
  return samples


def _figures(workdir: str | os.PathLike) -> list[dict[str, Any]]:
  """Returns what evaluators drew."""
  drawn = []
  for path in _pngs(workdir, 'figures'):
    kind = os.path.splitext(os.path.basename(path))[0]
    drawn.append(_picture(kind, None, path, {}))
  return drawn


def _pngs(workdir: str | os.PathLike, folder: str) -> list[str]:
  """Returns the paths of the pictures of a folder of the run."""
  pattern = os.path.join(glob.escape(os.fspath(workdir)), folder, '*.png')
  return sorted(filter(os.path.isfile, glob.glob(pattern)))


def _picture(
  kind: str, step: int | None, path: str, captions: Mapping[str, str]
) -> dict[str, Any]:
  """Returns what the page shows of a picture: `title`, `caption`, `picture`, or why it cannot."""
  try:
    picture = pages.picture(path)
  except ValueError as error:
    return {'problem': str(error)}
  title = kind.replace('_', ' ')
  if step is not None:
    title = f'{title}, step {charts.number(step)}'.removeprefix(', ')
  title = title[:1].upper() + title[1:]
  caption = captions.get(kind) or picture.description or _COLUMNS
  return {'title': title, 'caption': caption, 'picture': picture}


# Scores.


def _splits(rows: list[scores.Row]) -> list[dict[str, Any]]:
  """Returns what there is to say of each split, test first."""
  rows_of: dict[str, list[scores.Row]] = {}
  for row in sorted(rows, key=lambda row: row['step']):
    rows_of.setdefault(str(row['split']), []).append(row)

  # The test split comes first, and the others by name.
  splits = []
  for name in sorted(rows_of, key=lambda name: (name != 'test', name)):
    newest = rows_of[name][-1]
    pairs = newest.get('pairs')
    lines = [_line(newest, measure) for measure in measures.ordered(newest)]
    splits.append(
      {
        'name': name,
        'step': charts.number(newest['step']),
        'pairs': charts.number(pairs) if measures.is_number(pairs) else '',
        'newest': newest,
        'notes': _notes(newest),
        'lines': lines,
        'compared': any(line['nothing'] for line in lines),
        'deviations': any('±' in line['value'] for line in lines),
        'course': _course(rows_of[name]),
      }
    )
  return splits


def _notes(row: scores.Row) -> dict[str, str]:
  """Returns the texts of a row: its protocols and settings."""
  notes = {}
  for name, value in row.items():
    if name not in measures.NOT_MEASURES and not measures.is_number(value):
      notes[name.replace('_', ' ')] = str(value)
  return notes


def _line(row: scores.Row, name: str) -> dict[str, str]:
  """Returns the line of a measure in the table of all measures."""
  # Better or worse than doing nothing, where both were measured.
  meaning = measures.meaning(name)
  if better := measures.better(name):
    meaning += ' Higher is better.' if better > 0 else ' Lower is better.'
  baseline = measures.baseline(row, name)
  verdict = ''
  if baseline and measures.is_number(row[name]) and measures.is_number(row[baseline]):
    verdict = questions.comparison(name, row[name], row[baseline])
  return {
    'title': _title(name),
    'column': measures.label(name),
    'meaning': meaning.strip(),
    'value': _value(row, name),
    'verdict': verdict,
    'nothing': _value(row, baseline) if baseline else '',
  }


def _title(name: str) -> str:
  """Returns what is measured in words, such as 'transfer: error elsewhere'."""
  measure = measures.Measure.parse(name)
  entry = measures.quantity(measure)
  if entry is None:
    return name
  # Without the unit: values are as in scores.csv.
  words = entry.title or entry.name.replace('_', ' ')
  if measure.threshold:
    words += f' cut at {measure.threshold}'
  if measure.reference == measures.TRUTH:
    words += ' of the truth'
  task = measures.TASKS.get(measure.task, '')
  return f'{task}: {words}' if task else words


def _value(row: scores.Row, name: str) -> str:
  """Returns a number with its deviation, as the table shows it."""
  value, deviation = row[name], row.get(f'{name}_std')
  text = charts.number(value) if measures.is_number(value) else str(value)
  if measures.is_number(deviation):
    text += f' ± {float(f"{deviation:.2g}"):g}'
  return text


def _course(rows: Sequence[scores.Row]) -> list[Markup]:
  """Returns charts of measures over training; none of a single row, which is not a course."""
  if len(rows) < 2:
    return []
  drawn = [
    name
    for name in measures.ordered(rows[-1])
    if name != 'mask_threshold' and measures.better(name)
  ]
  return [_chart(rows, name, _title(name)) for name in drawn[:_CHARTS]]


def _no_scores(
  workdir: str | os.PathLike, config: Mapping[str, Any], unmeasured: Iterable[str]
) -> list[tuple[str, str]]:
  """Returns why there are no scores: (sentence, command that makes some, or '')."""
  if unmeasured:
    return [(f'No scores: {reason}', '') for reason in unmeasured]
  if config and not config.get('evaluators'):
    return [('No scores: config.evaluators is empty, so that nothing is measured.', '')]
  checkpoints = os.path.join(glob.escape(os.fspath(workdir)), 'checkpoints', '[0-9]*')
  if not glob.glob(checkpoints):
    return [('No scores yet: there is no checkpoint to measure.', '')]
  folder = shlex.quote(os.fspath(workdir))
  return [
    ('No scores yet.', f'python -m maskgan_jax.evaluate --workdir={folder} --once')
  ]


# Curves.


def _curves(metrics: list[dict[str, Any]]) -> dict[str, Any]:
  """Returns charts of the numbers in metrics.jsonl: by heading, those folded, how many are left."""
  names: dict[str, None] = {}  # in the order in which they come
  for row in metrics:
    for name, value in row.items():
      if name != 'step' and (value is None or measures.is_number(value)):
        names[name] = None
  groups: dict[str, list[Markup]] = {heading: [] for heading, _ in _GROUPS}
  folded = []
  for name in list(names)[:_CHARTS]:
    groups.get(_group(name), folded).append(_chart(metrics, name))
  return {
    'groups': {heading: drawn for heading, drawn in groups.items() if drawn},
    'folded': folded,
    'left': max(0, len(names) - _CHARTS),
  }


def _group(metric: str) -> str:
  """Returns the heading of a metric, PLAYER/NAME or NAME; '' if its chart is folded."""
  name = metric.lower().rpartition('/')[2]
  for heading, words in _GROUPS:
    if any(word in name for word in words):
      return heading
  return ''


def _chart(rows: Iterable[Mapping[str, Any]], name: str, title: str = '') -> Markup:
  """Returns the curve of a column."""
  steps, values = [], []
  for row in rows:
    # None stands for a number that is not finite; a text is not a point.
    if name in row and (row[name] is None or measures.is_number(row[name])):
      steps.append(row['step'])
      values.append(row[name])
  return charts.line_chart(steps, values, title or name)


def _fact(value: Any) -> str:
  """Returns a value as the table of facts shows it."""
  if isinstance(value, Mapping):
    return ', '.join(f'{key} {item}' for key, item in value.items())
  return charts.number(value) if measures.is_number(value) else str(value)
