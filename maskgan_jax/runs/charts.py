"""Line charts as inline SVG, small enough to stand side by side; colours come from the page."""

from collections.abc import Sequence
import html
import math

_WIDTH, _HEIGHT = 320, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 8, 20  # room for the numbers at the axes
_POINTS = 160  # more are averaged: a pixel or two for each


def line_chart(steps: Sequence[float], values: Sequence[float | None], title: str) -> str:
  """Returns a <figure> with a line through the values, and a band from lowest to highest.

  Args:
    steps: where the values belong on the horizontal axis; any order.
    values: None, or not finite, leaves a point out and is counted below the chart.
    title: text above the chart.
  """
  points = sorted((step, value) for step, value in zip(steps, values, strict=True)
                  if value is not None and math.isfinite(value))
  missing = len(values) - len(points)
  if not points:
    return _figure(title, 'no finite value', '')
  last = f'last {number(points[-1][1])}'
  note = f'{last}; {missing} not finite' if missing else last
  left, right = points[0][0], points[-1][0]
  low, high = min(value for _, value in points), max(value for _, value in points)
  logarithmic = low > 0 and high / low > 300
  ticks = _powers(low, high) if logarithmic else nice_ticks(low, high)
  low, high = min(low, ticks[0]), max(high, ticks[-1])

  def x(step):
    share = (step - left) / (right - left) if right > left else 0.5
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

  def y(value):
    if logarithmic:
      share = math.log(value / low) / math.log(high / low)
    else:
      share = (value - low) / (high - low) if high > low else 0.5
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

  parts = []
  for tick in ticks:
    parts.append(f'<line class="tick" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" '
                 f'y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
                 f'<text x="{_LEFT - 5}" y="{y(tick) + 3.5:.1f}" class="end">{number(tick)}</text>')
  for step, anchor in ((left, 'start'), (right, 'end')) if right > left else ((left, 'middle'),):
    parts.append(f'<text x="{x(step):.1f}" y="{_HEIGHT - 5}" class="{anchor}">'
                 f'{number(step)}</text>')
  buckets = _buckets(points)
  if len(buckets) < len(points):
    edge = [f'{x(step):.1f},{y(top):.1f}' for step, _, _, top in buckets]
    edge += [f'{x(step):.1f},{y(bottom):.1f}' for step, _, bottom, _ in reversed(buckets)]
    parts.append(f'<polygon class="band" points="{" ".join(edge)}"/>')
  line = ' '.join(f'{x(step):.1f},{y(mean):.1f}' for step, mean, _, _ in buckets)
  if len(buckets) == 1:
    step, mean, _, _ = buckets[0]
    parts.append(f'<circle class="dot" cx="{x(step):.1f}" cy="{y(mean):.1f}" r="3"/>')
  else:
    parts.append(f'<polyline class="line" points="{line}"/>')
  label = html.escape(f'{title}: from {number(points[0][1])} at step {number(left)} to '
                      f'{number(points[-1][1])} at step {number(right)}', quote=True)
  return _figure(title, f'{note}; logarithmic' if logarithmic else note,
                 f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
                 f'{"".join(parts)}</svg>')


def number(value: float) -> str:
  """Returns a number for people: four digits that matter, thousands apart."""
  if not math.isfinite(value):
    return 'not finite'
  if value == int(value) and abs(value) < 1e15:
    return f'{int(value):,}'
  if abs(value) >= 1e4:
    return f'{value:,.0f}' if abs(value) < 1e9 else f'{value:.2e}'
  return f'{value:.4g}'


def nice_ticks(low: float, high: float) -> list[float]:
  """Returns two to five round numbers, the first not above `low`, the last not below `high`."""
  if not high > low:
    return [low]
  rough = (high - low) / 3
  unit = 10.0 ** math.floor(math.log10(rough))
  step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough)
  first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
  return [float(f'{i * step:.12g}') for i in range(first, last + 1)]


def _powers(low: float, high: float) -> list[float]:
  """Returns powers of ten around the values, three at most between the ends."""
  first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
  every = max(1, math.ceil((last - first) / 4))
  return [10.0 ** i for i in range(first, last + every, every)]


def _buckets(points: list[tuple[float, float]]) -> list[tuple[float, float, float, float]]:
  """Returns (step, mean, lowest, highest) of up to `_POINTS` runs of neighbouring points."""
  size = math.ceil(len(points) / _POINTS)
  buckets = []
  for start in range(0, len(points), size):
    steps, values = zip(*points[start:start + size], strict=True)
    mean = math.fsum(values) / len(values)
    buckets.append((sum(steps) / len(steps), mean, min(values), max(values)))
  return buckets


def _figure(title: str, note: str, svg: str) -> str:
  return (f'<figure class="chart"><figcaption>{html.escape(title)} '
          f'<small>{html.escape(note)}</small></figcaption>{svg}</figure>')
