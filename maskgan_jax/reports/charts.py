"""Charts as inline SVG, small enough to stand side by side; colours come from the page.

`line_chart` draws a measure over the steps of a training: many points, small. `value_chart` draws
it against a value that was varied: few points, and lines at the levels to compare them with.
"""

from collections.abc import Sequence
import math
from typing import Any

from markupsafe import Markup

# Sizes are in pixels. What is left of the plot, and below it, holds the numbers at the axes.
_LEFT, _RIGHT = 46, 8
_LINE_SIZE, _LINE_TOP, _LINE_BOTTOM = (320, 170), 8, 20
_VALUE_SIZE, _VALUE_TOP, _VALUE_BOTTOM = (420, 230), 10, 38
_POINTS = 160  # a line of more points is averaged: a pixel or two for each
_INSET = 14  # from the edges to the first and the last value
_NAMES = 104  # more on the right, for the names of levels
_LETTERS = 18  # of such a name; more do not fit
_LINE_HEIGHT = 12  # from one such name to the next
_LETTER = 6.5  # the width of a letter at the axis, about

_TICK = Markup(
  '<line class="tick" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
  '<text x="{text_x}" y="{text_y:.1f}" class="end">{number}</text>'
)
_TEXT = Markup('<text x="{:.1f}" y="{}" class="{}">{}</text>')
_POLYGON = Markup('<polygon class="band" points="{}"/>')
_POLYLINE = Markup('<polyline class="line" points="{}"/>')
_CIRCLE = Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3"/>')
_NAMED_CIRCLE = Markup(
  '<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="4"><title>{}: {}</title></circle>'
)
_LEVEL = Markup(
  '<line class="level {kind}" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
  '<text class="{kind}" x="{text_x}" y="{text_y:.1f}">{text}'
  '<title>{name}: {number}</title></text>'
)
_SVG = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
_FIGURE = Markup(
  '<figure class="chart"><figcaption>{} <small>{}</small></figcaption>{}</figure>'
)


def line_chart(
  steps: Sequence[float], values: Sequence[float | None], title: str
) -> Markup:
  """Returns a <figure> with a line through the values, and a band from lowest to highest.

  Args:
    steps: where the values belong on the horizontal axis; any order.
    values: None, or not finite, leaves a point out and is counted below the chart.
    title: text above the chart.
  """
  pairs = zip(steps, values, strict=True)
  points = sorted((step, value) for step, value in pairs if _finite(value))
  if not points:
    return _FIGURE.format(title, 'no finite value', '')
  (first, first_value), (last, last_value) = points[0], points[-1]
  heights = [value for _, value in points]
  bottom = _LINE_SIZE[1] - _LINE_BOTTOM
  y = _Heights(heights, top=_LINE_TOP, bottom=bottom, may_be_logarithmic=True)

  def x(step):
    share = (step - first) / (last - first) if last > first else 0.5
    return _LEFT + share * (_LINE_SIZE[0] - _RIGHT - _LEFT)

  # Axes first, so that the line lies on top of them.
  parts = [y.draw_ticks(_LINE_SIZE[0] - _RIGHT)]
  anchors = {first: 'start', last: 'end'} if last > first else {first: 'middle'}
  for step, anchor in anchors.items():
    parts.append(_TEXT.format(x(step), _LINE_SIZE[1] - 5, anchor, number(step)))
  parts += _draw_line(points, x, y)

  # The notes say what the line leaves out.
  notes = [f'last {number(last_value)}']
  if missing := len(values) - len(points):
    notes.append(f'{missing} not finite')
  if y.logarithmic:
    notes.append('logarithmic')
  start = f'from {number(first_value)} at step {number(first)}'
  end = f'to {number(last_value)} at step {number(last)}'
  svg = _SVG.format(*_LINE_SIZE, f'{title}: {start} {end}', Markup().join(parts))
  return _FIGURE.format(title, '; '.join(notes), svg)


def _draw_line(points, x, y) -> list[Markup]:
  """Returns a line through the points; through averages with a band if there are many."""
  line, tops, bottoms = [], [], []
  buckets = _buckets(points)
  for step, mean, lowest, highest in buckets:
    line.append((x(step), y(mean)))
    tops.append((x(step), y(highest)))
    bottoms.append((x(step), y(lowest)))

  # The band goes along the highest values and back along the lowest.
  parts = []
  if len(buckets) < len(points):
    parts.append(_POLYGON.format(_path(tops + bottoms[::-1])))
  if len(line) == 1:
    parts.append(_CIRCLE.format(*line[0]))
  else:
    parts.append(_POLYLINE.format(_path(line)))
  return parts


def value_chart(
  points: Sequence[tuple[Any, float | None]],
  title: str,
  axis: str,
  levels: Sequence[tuple[str, str, float]] = (),
  *,
  from_zero: bool = False,
) -> Markup:
  """Returns a <figure> with a line through the points and dashed lines at the levels.

  Args:
    points: (value that was varied, measure); one whose measure is None or not finite is left out
      and counted.
    title: text above the chart.
    axis: what was varied; stands below.
    levels: (kind, name, measure) of horizontal lines; kind is 'nothing', 'truth' or 'beside'.
    from_zero: the axis begins at 0, so that half of a share or error is half as high.
  """
  shares, scale = places([value for value, _ in points])
  levels = [level for level in levels if _finite(level[2])]
  right = _VALUE_SIZE[0] - _RIGHT - (_NAMES if levels else 0)
  left, room = _LEFT + _INSET, right - _LEFT - 2 * _INSET
  across = [left + share * room for share in shares]
  if not (dots := _dots(across, points)):
    return _FIGURE.format(title, 'no finite value', '')

  # Axes first, so that lines and dots lie on top of them.
  measures = [measure for *_, measure in (*dots, *levels)]
  bottom = _VALUE_SIZE[1] - _VALUE_BOTTOM
  y = _Heights(measures, top=_VALUE_TOP, bottom=bottom, from_zero=from_zero)
  parts = [y.draw_ticks(right)]
  parts += _draw_values(across, [value for value, _ in points])
  parts.append(_TEXT.format((_LEFT + right) / 2, _VALUE_SIZE[1] - 6, 'middle', axis))
  parts += [*_draw_levels(levels, y, right), *_draw_dots(dots, y)]

  notes = [scale] if scale else []
  if missing := len(points) - len(dots):
    notes.append(f'{missing} without a value')
  svg = _SVG.format(*_VALUE_SIZE, f'{title}: {_read(dots)}', Markup().join(parts))
  return _FIGURE.format(title, '; '.join(notes), svg)


def _draw_dots(dots, y) -> list[Markup]:
  """Returns a dot for each measure, and a line through them."""
  parts = []
  if len(dots) > 1:
    line = [(x, y(measure)) for x, _, measure in dots]
    parts.append(_POLYLINE.format(_path(line)))
  for x, value, measure in dots:
    parts.append(_NAMED_CIRCLE.format(x, y(measure), spell(value), number(measure)))
  return parts


def _read(dots) -> str:
  """Returns the measures and their values in words, for those who cannot see the chart."""
  return ', '.join(f'{number(measure)} at {spell(value)}' for _, value, measure in dots)


def _dots(
  across: Sequence[float], points: Sequence[tuple[Any, float | None]]
) -> list[tuple[float, Any, float]]:
  """Returns (pixels across, value, measure) of points that have a measure, from the left."""
  dots = []
  for x, (value, measure) in zip(across, points, strict=True):
    if _finite(measure):
      dots.append((x, value, measure))
  return sorted(dots, key=lambda dot: dot[0])


def _draw_values(across: Sequence[float], values: Sequence[Any]) -> list[Markup]:
  """Returns the values' names at the axis, without those that would touch the one before."""
  baseline = _VALUE_SIZE[1] - _VALUE_BOTTOM + 14
  parts, right = [], -math.inf
  for x, value in sorted(zip(across, values, strict=True), key=lambda place: place[0]):
    text = spell(value)
    half = len(text) * _LETTER / 2
    if x - half > right:
      parts.append(_TEXT.format(x, baseline, 'middle', text))
      right = x + half + 4
  return parts


def _draw_levels(levels, y, right) -> list[Markup]:
  """Returns a line for each level, and its name on the right."""
  parts, names_y = [], _apart([y(measure) for *_, measure in levels])
  for (kind, name, measure), text_y in zip(levels, names_y, strict=True):
    # Long names are cut; the whole name is in the title.
    text = name if len(name) <= _LETTERS else name[: _LETTERS - 1] + '…'
    parts.append(
      _LEVEL.format(
        kind=kind,
        left=_LEFT,
        right=right,
        y=y(measure),
        text_x=right + 5,
        text_y=text_y + 3.5,
        text=text,
        name=name,
        number=number(measure),
      )
    )
  return parts


def _apart(heights: Sequence[float]) -> list[float]:
  """Returns heights near these, each at least a line from the next, within the chart."""
  order = sorted(range(len(heights)), key=heights.__getitem__)
  apart = list(heights)
  # From the top downwards each name makes room for the next; then upwards from the bottom.
  least = float(_VALUE_TOP)
  for i in order:
    apart[i] = max(heights[i], least)
    least = apart[i] + _LINE_HEIGHT
  most = float(_VALUE_SIZE[1] - _VALUE_BOTTOM)
  for i in reversed(order):
    apart[i] = min(apart[i], most)
    most = apart[i] - _LINE_HEIGHT
  return apart


class _Heights:
  """The vertical axis of a chart: gives the pixel of a value.

  Args:
    values: that the axis has to hold.
    top: pixel of its upper end.
    bottom: pixel of its lower end.
    from_zero: it holds 0 too.
    may_be_logarithmic: it is if the values span a wide range.

  Attributes:
    logarithmic: whether it is.
  """

  def __init__(
    self,
    values: Sequence[float],
    *,
    top: float,
    bottom: float,
    from_zero: bool = False,
    may_be_logarithmic: bool = False,
  ):
    low, high = min(values), max(values)
    if from_zero:
      low = min(low, 0.0)
    self.logarithmic = may_be_logarithmic and low > 0 and high / low > 300
    self._ticks = _powers(low, high) if self.logarithmic else nice_ticks(low, high)
    self._top, self._bottom = top, bottom

    # The ends are ticks wherever these lie outside the values.
    self._low = min(low, self._ticks[0])
    self._high = max(high, self._ticks[-1])

  def __call__(self, value: float) -> float:
    # A flat line stands in the middle.
    if self._low == self._high:
      share = 0.5
    elif self.logarithmic:
      share = math.log(value / self._low) / math.log(self._high / self._low)
    else:
      share = (value - self._low) / (self._high - self._low)
    return self._bottom - share * (self._bottom - self._top)

  def draw_ticks(self, right: float) -> Markup:
    """Returns a line across the plot and a number for each tick."""
    parts = []
    for tick in self._ticks:
      y = self(tick)
      parts.append(
        _TICK.format(
          left=_LEFT,
          right=right,
          y=y,
          text_x=_LEFT - 5,
          text_y=y + 3.5,
          number=number(tick),
        )
      )
    return Markup().join(parts)


def places(values: Sequence[Any]) -> tuple[list[float], str]:
  """Returns where values stand on an axis from 0 to 1, and a note about the axis.

  Positive numbers stand by their logarithm, and a 0 among them to their left; other numbers by
  themselves; everything else in its order.
  """
  if len(values) < 2:
    return [0.5] * len(values), ''
  if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
    last = len(values) - 1
    return [i / last for i in range(len(values))], ''
  positive = [value for value in values if value > 0]
  zero = len(positive) < len(values)
  if min(values) < 0 or zero and len(positive) < 2:
    return _spread(values), ''

  # A 0 has no logarithm: it stands a step to the left of the others.
  first = 1 / len(values) if zero else 0.0
  logarithms = [math.log(value) for value in positive]
  by_value = dict(zip(positive, _spread(logarithms, first), strict=True))
  note = 'x logarithmic, 0 apart' if zero else 'x logarithmic'
  return [by_value.get(value, 0.0) for value in values], note


def _spread(numbers: Sequence[float], first: float = 0.0) -> list[float]:
  """Returns where different numbers stand on a line from `first` to 1."""
  low = min(numbers)
  scale = (1 - first) / (max(numbers) - low)
  return [first + scale * (value - low) for value in numbers]


def spell(value: Any) -> str:
  """Returns a value as people and the names of folders write it; different ones differ."""
  if isinstance(value, bool):
    return str(value).lower()
  if isinstance(value, float):
    short = f'{value:g}'
    return short if float(short) == value else repr(value)
  return str(value)


def number(value: float) -> str:
  """Returns a number for people: four digits that matter, thousands apart."""
  if not math.isfinite(value):
    return 'not finite'
  if value == int(value) and abs(value) < 1e15:
    return f'{int(value):,}'
  if abs(value) >= 1e9:
    return f'{value:.2e}'
  return f'{value:,.0f}' if abs(value) >= 1e4 else f'{value:.4g}'


def nice_ticks(low: float, high: float) -> list[float]:
  """Returns two to five round numbers, the first not above `low`, the last not below `high`."""
  if not high > low:
    return [low]
  # Steps are round numbers, the first that leaves at most four of them.
  rough = (high - low) / 3
  unit = 10.0 ** math.floor(math.log10(rough))
  steps = [unit * factor for factor in (1, 2, 2.5, 5, 10)]
  step = next(step for step in steps if step >= rough)
  first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
  return [float(f'{i * step:.12g}') for i in range(first, last + 1)]


def _powers(low: float, high: float) -> list[float]:
  """Returns powers of ten around the values, three at most between the ends."""
  first = math.floor(math.log10(low))
  last = math.ceil(math.log10(high))
  every = max(1, math.ceil((last - first) / 4))
  return [10.0**i for i in range(first, last + every, every)]


def _buckets(
  points: list[tuple[float, float]],
) -> list[tuple[float, float, float, float]]:
  """Returns (step, mean, lowest, highest) of up to `_POINTS` runs of neighbouring points."""
  size = math.ceil(len(points) / _POINTS)
  buckets = []
  for start in range(0, len(points), size):
    steps, values = zip(*points[start : start + size], strict=True)
    step = sum(steps) / len(steps)
    mean = math.fsum(values) / len(values)
    buckets.append((step, mean, min(values), max(values)))
  return buckets


def _path(points: Sequence[tuple[float, float]]) -> str:
  """Returns points as SVG writes them."""
  return ' '.join(f'{x:.1f},{y:.1f}' for x, y in points)


def _finite(value: float | None) -> bool:
  """Returns whether there is a value, and it is finite."""
  return value is not None and math.isfinite(value)
