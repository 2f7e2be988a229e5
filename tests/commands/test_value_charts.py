"""Charts of a measure against a varied value: dots, levels and names are in the right places."""

import re

import numpy as np
import pytest

from helpers.pages import Page
from maskgan_jax.reports import charts

FIELD = 'weights.mask'


def read(figure):
  """Returns (dots [N, 2], heights of ticks, their numbers, page) of a chart."""
  page = Page(figure)
  dots = np.array([(float(dot['cx']), float(dot['cy'])) for dot in page.all('circle')])
  heights = [float(line['y1']) for line in page.all('line') if line['class'] == 'tick']
  numbers = [float(number) for number in re.findall('class="end">([^<]*)<', figure)]
  return dots, np.array(heights), np.array(numbers), page


@pytest.mark.parametrize('values, places', [
    ([0.01, 1, 10], [0, 2 / 3, 1]), ([1.0, 2.0, 8.0], [0, 1 / 3, 1]), ([-1, 0, 3], [0, 0.25, 1]),
    ([0, 0.1, 1, 10], [0, 0.25, 0.625, 1]), ([0, 5], [0, 1]), ([False, True], [0, 1]),
    (['mean', 'sum', 'x'], [0, 0.5, 1])])
def test_dots_are_where_the_axes_say(values, places):
  measures = [0.42, 0.17, 0.05, 0.09][:len(values)]
  figure = charts.value_chart(list(zip(values, measures, strict=True)), 'share', FIELD,
                              [('truth', 'the truth', 0.08), ('beside', 'plain', 0.63)])
  dots, heights, numbers, page = read(figure)
  assert (np.diff(numbers) > 0).all() and numbers[0] <= 0.05 and numbers[-1] >= 0.63
  np.testing.assert_allclose(np.interp(-dots[:, 1], -heights, numbers), measures, atol=2e-3)
  np.testing.assert_allclose((dots[:, 0] - dots[0, 0]) / (dots[-1, 0] - dots[0, 0]), places,
                             atol=2e-3)
  (line,) = page.all('polyline')
  np.testing.assert_array_equal(
      [[float(v) for v in point.split(',')] for point in line['points'].split()], dots)
  levels = {attributes['class']: attributes for attributes in page.all('line')}
  for kind, level in (('level truth', 0.08), ('level beside', 0.63)):
    height = float(levels[kind]['y1'])
    assert float(levels[kind]['y2']) == height
    assert np.interp(-height, -heights, numbers) == pytest.approx(level, abs=2e-3)
  assert ('logarithmic' in page.text) == (min(values) in (0.01, 1.0) or len(values) == 4)
  width, height = map(float, page.all('svg')[0]['viewbox'].split()[2:])
  assert (dots > 0).all() and (dots < [width, height]).all()


def test_axes_from_zero():
  for from_zero in (True, False):
    dots, heights, numbers, _ = read(charts.value_chart([(1, 30.5), (2, 31.5)], 'x', 'v',
                                                        from_zero=from_zero))
    assert (numbers[0] == 0) == from_zero and numbers[0] <= 30.5
    np.testing.assert_allclose(np.interp(-dots[:, 1], -heights, numbers), [30.5, 31.5], atol=0.05)


def test_charts_of_little():
  dots, *_, page = read(charts.value_chart([(1, 0.5)], 'x', 'v'))
  assert len(dots) == 1 and not page.all('polyline')
  page = Page(charts.value_chart([(1, None), (2, float('nan'))], 'x', 'v'))
  assert 'no finite value' in page.text
  dots, *_, page = read(charts.value_chart([(1, 0.5), (2, None), (4, 0.7)], 'x', 'v'))
  assert len(dots) == 2 and '1 without a value' in page.text
  names = [('beside', f'plain {i}', 0.5) for i in range(4)]
  page = Page(charts.value_chart([(1, 0.5), (2, 0.6)], '<b>', 'v', names))
  heights = sorted(float(text['y']) for text in page.all('text')
                   if text.get('class') == 'beside')
  assert len(heights) == 4 and (np.diff(heights) > 10).all() and not page.all('b')
