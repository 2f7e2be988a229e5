"""Charts of a measure against a value that was varied, as inline SVG; colours come from the page.

`charts` draws measures against steps, many points and small; here they are few, with lines beside
them that say what the value is to be compared with.
"""

from collections.abc import Sequence
import html
import math
from typing import Any

from maskgan_jax.runs import charts

_WIDTH, _HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 10, 38  # room for the numbers at the axes
_NAMES = 104  # more on the right, for the names of levels
_INSET = 14  # from the edges to the first and the last point
_LETTERS = 18  # of a level's name; more do not fit
_LINE = 12  # pixels from one such name to the next
_TICK = 6.5  # pixels of a letter at the axis, about

STYLE = """
svg { display: block; width: 100%; height: auto; background: var(--box); border-radius: 4px; }
svg text { fill: var(--dim); font-size: 10px; } .end { text-anchor: end; }
.middle { text-anchor: middle; } .tick { stroke: var(--rule); }
.line { fill: none; stroke: var(--line); stroke-width: 2; stroke-linejoin: round; }
.dot { fill: var(--line); stroke: var(--box); stroke-width: 1.5; }
.level { stroke-width: 1.5; stroke-dasharray: 6 4; }
.nothing { stroke: var(--dim); } .truth { stroke: var(--good); }
.beside { stroke: var(--beside); stroke-dasharray: 2 3; }
svg text.nothing, svg text.truth, svg text.beside { stroke: none; }
svg text.truth { fill: var(--good); } svg text.beside { fill: var(--beside); }
"""


def chart(points: Sequence[tuple[Any, float | None]], title: str, axis: str,
          levels: Sequence[tuple[str, str, float]] = (), *, from_zero: bool = False) -> str:
  """Returns a <figure> with a line through the points and dashed lines at the levels.

  Args:
    points: (value that was varied, measure); one whose measure is None or not finite is left out
      and counted.
    title: text above the chart.
    axis: what was varied; stands below.
    levels: (kind, name, measure) of horizontal lines; kind is 'nothing', 'truth' or 'beside'.
    from_zero: the axis begins at 0, so that half of a share or error is half as high.
  """
  where, scale = places([value for value, _ in points])
  found = [(place, value, measure) for place, (value, measure) in zip(where, points, strict=True)
           if _finite(measure)]
  levels = [level for level in levels if _finite(level[2])]
  missing = len(points) - len(found)
  note = '; '.join(part for part in (scale, f'{missing} without a value' if missing else '')
                   if part)
  measures = [measure for _, _, measure in found] + [measure for *_, measure in levels]
  if not found:
    return _figure(title, 'no finite value', '')
  low, high = min(measures), max(measures)
  low = min(low, 0.0) if from_zero else low
  ticks = charts.nice_ticks(low, high)
  low, high = min(low, ticks[0]), max(high, ticks[-1])
  right = _WIDTH - _RIGHT - (_NAMES if levels else 0)

  def x(place):
    return _LEFT + _INSET + place * (right - _LEFT - 2 * _INSET)

  def y(measure):
    share = (measure - low) / (high - low) if high > low else 0.5
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

  parts = []
  for tick in ticks:
    parts.append(f'<line class="tick" x1="{_LEFT}" x2="{right}" y1="{y(tick):.1f}" '
                 f'y2="{y(tick):.1f}"/><text x="{_LEFT - 5}" y="{y(tick) + 3.5:.1f}" '
                 f'class="end">{charts.number(tick)}</text>')
  parts += _values(sorted(zip(map(x, where), (value for value, _ in points), strict=True),
                          key=lambda pair: pair[0]))
  parts.append(f'<text x="{(_LEFT + right) / 2:.1f}" y="{_HEIGHT - 6}" class="middle">'
               f'{_escape(axis)}</text>')
  names = _apart([y(measure) for *_, measure in levels])
  for (kind, name, measure), height in zip(levels, names, strict=True):
    text = name if len(name) <= _LETTERS else name[:_LETTERS - 1] + '…'
    parts.append(f'<line class="level {kind}" x1="{_LEFT}" x2="{right}" '
                 f'y1="{y(measure):.1f}" y2="{y(measure):.1f}"/><text class="{kind}" '
                 f'x="{right + 5}" y="{height + 3.5:.1f}">{_escape(text)}'
                 f'<title>{_escape(name)}: {charts.number(measure)}</title></text>')
  line = sorted((x(place), y(measure)) for place, _, measure in found)
  if len(line) > 1:
    path = ' '.join(f'{across:.1f},{height:.1f}' for across, height in line)
    parts.append(f'<polyline class="line" points="{path}"/>')
  for place, value, measure in found:
    parts.append(f'<circle class="dot" cx="{x(place):.1f}" cy="{y(measure):.1f}" r="4"><title>'
                 f'{_escape(spell(value))}: {charts.number(measure)}</title></circle>')
  said = ', '.join(f'{charts.number(m)} at {spell(v)}' for _, v, m in found)
  return _figure(title, note, f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
                 f'aria-label="{_escape(title)}: {_escape(said)}">{"".join(parts)}</svg>')


def places(values: Sequence[Any]) -> tuple[list[float], str]:
  """Returns where values stand on an axis from 0 to 1, and what is to be said about the axis.

  Positive numbers stand by their logarithm, and a 0 among them to their left; other numbers by
  themselves; everything else in its order.
  """
  if len(values) < 2:
    return [0.5] * len(values), ''
  if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
    return [i / (len(values) - 1) for i in range(len(values))], ''
  positive = [value for value in values if value > 0]
  zero = len(positive) < len(values)
  if min(values) < 0 or zero and len(positive) < 2:
    return _spread(values), ''
  by_value = dict(zip(positive, _spread([math.log(value) for value in positive],
                                        1 / len(values) if zero else 0.0), strict=True))
  return ([by_value.get(value, 0.0) for value in values],
          'x logarithmic' + (', 0 apart' if zero else ''))


def spell(value: Any) -> str:
  """Returns a value as people and folders' names have it; different ones differ."""
  if isinstance(value, bool):
    return str(value).lower()
  if isinstance(value, float):
    short = f'{value:g}'
    return short if float(short) == value else repr(value)
  return str(value)


def _spread(numbers: Sequence[float], first: float = 0.0) -> list[float]:
  """Returns where different numbers stand on a line from `first` to 1."""
  low, high = min(numbers), max(numbers)
  return [first + (1 - first) * (number - low) / (high - low) for number in numbers]


def _values(places_and_values):
  """Returns the values' names at the axis, without those that would touch the one before."""
  parts, right = [], -math.inf
  for across, value in places_and_values:
    text = spell(value)
    half = len(text) * _TICK / 2
    if across - half > right:
      parts.append(f'<text x="{across:.1f}" y="{_HEIGHT - _BOTTOM + 14}" class="middle">'
                   f'{_escape(text)}</text>')
      right = across + half + 4
  return parts


def _apart(heights: Sequence[float]) -> list[float]:
  """Returns heights near these, each at least a line from the next, within the chart."""
  order = sorted(range(len(heights)), key=heights.__getitem__)
  apart, least = list(heights), float(_TOP)
  for i in order:
    apart[i] = least = max(heights[i], least)
    least += _LINE
  most = float(_HEIGHT - _BOTTOM)
  for i in reversed(order):
    apart[i] = most = min(apart[i], most)
    most -= _LINE
  return apart


def _finite(measure) -> bool:
  return measure is not None and math.isfinite(measure)


def _figure(title: str, note: str, svg: str) -> str:
  return (f'<figure class="chart"><figcaption>{_escape(title)} <small>{_escape(note)}</small>'
          f'</figcaption>{svg}</figure>')


def _escape(text: str) -> str:
  return html.escape(text, quote=True)
