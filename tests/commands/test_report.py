"""Reports: one page that shows the files of a run, and never runs their contents as code."""

import base64
import html.parser
import io
import json
import math
import re
import shlex

import numpy as np
from PIL import Image
import pytest

from maskgan_jax.data import images
from maskgan_jax.reports import charts, questions, report
from maskgan_jax.runs import metric_writers, scores

# Tags that close themselves.
_EMPTY = ('meta', 'img', 'line', 'wbr', 'circle', 'polyline', 'polygon')


class _Page(html.parser.HTMLParser):
  """Reads a page strictly: tags must nest."""

  def __init__(self, text):
    super().__init__()
    self.open, self.tags, self.words, self.codes = [], [], [], []
    self.feed(text)
    self.close()
    assert not self.open

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in _EMPTY:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open and self.open[-1] == 'style':
      return
    if self.open and self.open[-1] == 'code':
      self.codes.append(len(self.words))
    self.words.append(data)

  @property
  def text(self):
    return ' '.join(' '.join(self.words).split())

  def all(self, tag):
    return [attributes for name, attributes in self.tags if name == tag]


def _read(workdir, extra=None):
  path = report.write(workdir, extra)
  with open(path, encoding='utf-8') as file:
    text = file.read()
  assert not re.search(r'(src|href)="(?!data:)|url\(|@import|<script|https?:', text)
  return _Page(text)


def _rows(page):
  """Returns the texts of the lines of the table of measures, (column, what follows) in order."""
  # A line ends before the title of the next one.
  ends = [code - 1 for code in page.codes[1:]] + [len(page.words)]
  rows = []
  for code, end in zip(page.codes, ends, strict=True):
    text = ' '.join(' '.join(page.words[code + 1:end]).split())
    text = re.split(' The number after ±| Doing nothing hands', text)[0]
    rows.append((page.words[code], text))
  return rows


def _row(page, measure):
  """Returns the text of the first line of a measure."""
  return next(text for column, text in _rows(page) if column == measure)


def test_an_empty_run(tmp_path):
  page = _read(tmp_path)
  for words in ('No scores yet', 'No sample pictures yet', 'No metrics yet', 'No config.json'):
    assert words in page.text
  assert 'maskgan_jax.evaluate' not in page.text  # which would find no run here


def test_a_command_that_measures_is_named_only_where_it_would_measure(tmp_path):
  workdir = tmp_path / "Anna's run"
  workdir.mkdir()
  config = workdir / 'config.json'
  config.write_text('{"evaluators": []}')
  assert 'No scores: config.evaluators is empty' in _read(workdir).text
  config.write_text('{"evaluators": ["truth"]}')
  assert 'there is no checkpoint to measure' in _read(workdir).text
  (workdir / 'checkpoints' / '4').mkdir(parents=True)
  command = f"python -m maskgan_jax.evaluate --workdir={shlex.quote(str(workdir))} --once"
  assert command in _read(workdir).text
  reason = "evaluator 'truth' measures nothing here: the data have no true answers"
  page = _read(workdir, {'unmeasured': [reason]})
  assert f'No scores: {reason}' in page.text and 'maskgan_jax.evaluate' not in page.text
  scores.append(str(workdir), {'step': 4, 'split': 'test', 'pairs': 2.0, 'mask_iou': 0.5})
  assert 'No scores' not in _read(workdir, {'unmeasured': [reason]}).text


def test_spoilt_files_are_left_out(tmp_path):
  (tmp_path / 'config.json').write_text('{"name": ')
  (tmp_path / 'metrics.jsonl').write_text('{"step": 1, "loss": 2}\n{"step": 2, "lo')
  (tmp_path / 'scores.csv').write_text('what\nis this\n')
  (tmp_path / 'samples').mkdir()
  (tmp_path / 'samples' / '00000004.png').write_bytes(b'no picture')
  (tmp_path / 'samples' / '00000005.png').write_bytes(b'\x89PNG\r\n\x1a\n broken')
  page = _read(tmp_path)
  assert 'No config.json' in page.text and '00000005.png is not a picture' in page.text
  assert len(page.all('svg')) == 1


def test_scores_against_doing_nothing(tmp_path):
  scores.append(tmp_path, {'step': 500, 'split': 'test', 'mask_iou': 0.1})
  scores.append(tmp_path, {
      'step': 1000, 'split': 'test', 'invented': 12345.678, 'transfer_ssim': 0.5,
      'do_nothing_ssim': 0.5, 'transfer_psnr': 21.5, 'do_nothing_psnr': 18.25,
      'transfer_error_inside': 0.0812345, 'transfer_error_inside_std': 0.0312,
      'do_nothing_error_inside': 0.35, 'removal_error_inside': 0.4,
      'do_nothing_removal_error_inside': 0.3, 'mask_iou@0.5': 0.6, 'mask_iou': 0.75,
      'fid': math.nan, 'do_nothing_fid': 3})
  scores.append(tmp_path, {'step': 1000, 'split': 'validation', 'mask_iou': 0.7})
  page = _read(tmp_path)
  assert 'test pictures, step 1,000' in page.text
  assert page.text.index('test pictures') < page.text.index('validation pictures')
  expected = {
      'transfer_error_inside': r'Lower is better\. 0\.08123 ± 0\.031 better 0\.35$',
      'removal_error_inside': r'Lower is better\. 0\.4 worse 0\.3$',
      'transfer_psnr': r'Higher is better\. 21\.5 better 18\.25$',
      'transfer_ssim': r'Higher is better\. 0\.5 the same 0\.5$',
      'mask_iou': r'covers the true region.*Higher is better\. 0\.75$',
      'mask_iou@0.5': r'The same with the mask cut at this value\. Higher is better\. 0\.6$',
      'fid': r'Lower is better\. not finite 3$',  # nothing is better or worse than NaN
      'invented': r'12,346$',
  }
  for measure, pattern in expected.items():
    assert re.match(rf'.*?{pattern}', _row(page, measure)), _row(page, measure)
  names = [words for words in page.words if words.startswith('do_')]
  assert 'The number after ± is a standard deviation' in page.text
  assert not names  # baselines stand beside what they are a baseline of
  assert 'test scores over training' in page.text
  assert 'validation scores over training' not in page.text  # one step does not make a curve


def test_pictures_and_three_answers_come_first(tmp_path):
  images.save_png(tmp_path / 'samples' / '00000003.png', np.zeros((2, 2, 3), np.uint8))
  with metric_writers.MetricWriter(tmp_path) as writer:
    writer.write_scalars(3, {'generator/loss': 1.0})
  scores.append(tmp_path, {
      'step': 3, 'split': 'test', 'pairs': 20.0, 'mask_iou': 0.514, 'transfer_error_inside': 0.0812,
      'do_nothing_error_inside': 0.35, 'transfer_error_outside': 0.0274,
      'do_nothing_error_outside': 0.004, 'transfer_ssim': 0.5})
  page = _read(tmp_path)
  for words in ('Is it the right place? 51 % overlap doing nothing: 0 % The ',
                'Is it the right thing? 8.1 % off doing nothing: 35 %; this run is better Where',
                'Is the rest untouched? 2.7 % off doing nothing: 0.4 % Everywhere else, ',
                'share 51 % of the area', 'the colours are 8.1 % of the way from black to white',
                'on 20 pairs of test pictures, which training never saw, after step 3.'):
    assert words in page.text, page.text
  order = [page.text.index(words) for words in (
      'Step 3.', 'Is it the right place?', 'generator/loss', 'All measures', 'reproduce')]
  assert order == sorted(order)
  assert [attributes for attributes in page.all('details') if 'open' in attributes] == []


@pytest.mark.parametrize('row, answered', [
    ({'mask_iou': 0.5}, {'place': 'mask_iou'}), ({'speed': 3.0}, {}), ({'mask_iou': 'text'}, {}),
    ({'ab_changed_iou': 0.1, 'ab_error_inside': 0.4, 'do_nothing_ab_error_inside': 0.3},
     {'place': 'ab_changed_iou', 'thing': 'ab_error_inside'}),
    ({'ab_ssim': 0.8, 'do_nothing_ab_ssim': 0.9}, {'thing': 'ab_ssim'}),
    ({'transfer_error_outside': 0.2, 'mask_iou': 0.1, 'ab_changed_iou': 0.2},
     {'place': 'mask_iou', 'untouched': 'transfer_error_outside'})])
def test_only_what_was_measured_is_answered(row, answered):
  answers = questions.answers({'step': 1, 'split': 'test', **row})
  assert [answer.column for answer in answers] == list(answered.values())
  for answer, word in zip(answers, answered, strict=True):
    assert word in answer.question
  verdicts = {answer.column: answer.verdict for answer in answers}
  assert verdicts.get('ab_error_inside', 'worse') == verdicts.get('ab_ssim', 'worse') == 'worse'


def test_changes_and_groups_are_explained(tmp_path):
  group = 'Thing_at_the_left & ~Other_thing | <Neither>'
  scores.append(tmp_path, {
      'step': 1, 'split': 'test', 'ab_changed_share': 0.25, 'ab_change_mean': 0.125,
      'truth_ab_changed_share': 0.5, 'ba_changed_iou': 0.75, 'ba_changed_iou_std': 0.0625,
      'ab_error': 0.3, 'do_nothing_ab_error': 0.2, 'ba_error_inside': 0.1,
      'do_nothing_ba_error_inside': 0.4, 'ba_error_outside': 0.01, 'ab_ssim': 0.9,
      f'ab_ssim[{group}]': 0.8})
  page = _read(tmp_path)
  expected = {
      'ab_error': r'How far the colours.*Lower is better\. 0\.3 worse 0\.2$',
      'ba_error_inside': r'The same only where.*Lower is better\. 0\.1 better 0\.4$',
      'ba_error_outside': r'The same everywhere else.*Lower is better\. 0\.01$',
      'ba_changed_iou': r'How well the pixels.*Higher is better\. 0\.75 ± 0\.062$',
      'ab_changed_share': r'Share of the pixels.*white\. 0\.25$',
      'truth_ab_changed_share': r'The same for true .*changes\. 0\.5$',
      'ab_change_mean': r'How far the translation .*white\. 0\.125$',
      'ab_ssim': r'Structural.*is better\. 0\.9$',
  }
  for measure, pattern in expected.items():
    assert re.match(pattern, _row(page, measure)), _row(page, measure)
  whole, of_group = (text for column, text in _rows(page) if column == 'ab_ssim')
  assert re.match(r'Only over the pictures in the group ' + re.escape(group)
                  + r'\. Structural .*Higher is better\. 0\.8$', of_group), of_group
  assert group not in page.words and f'[{group}]' not in page.text
  # In the order in which they explain each other.
  columns = [column for column, _ in _rows(page)]
  order = [columns.index(name) for name in (
      'ab_ssim', 'ab_error', 'ba_error_inside', 'ba_error_outside', 'ab_changed_share')]
  assert order == sorted(order)


def test_newest_pictures_with_captions(tmp_path):
  sheets = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
  for image, name in zip(sheets, ('00000010', '00000900', '00001000', 'faces_00000002',
                                  'faces_00000001', 'test'), strict=True):
    images.save_png(tmp_path / 'samples' / f'{name}.png', image,
                    description='<what> it shows' if name == '00001000' else '')
  page = _read(tmp_path, {'captions': {'faces': 'Faces & more'}})
  shown = {}
  for image in page.all('img'):
    data = base64.b64decode(image['src'].removeprefix('data:image/png;base64,'))
    with Image.open(io.BytesIO(data)) as picture:
      shown[image['alt']] = np.asarray(picture)
      assert (int(image['width']), int(image['height'])) == picture.size
  expected = {'Step 1,000': 2, 'Step 10': 0, 'Step 900': 1, 'Faces, step 2': 3,
              'Faces, step 1': 4, 'Test, step 0': 5}
  assert list(shown) == ['Step 1,000', 'Step 10', 'Step 900', 'Faces, step 2', 'Faces, step 1',
                         'Test, step 0']
  for name, index in expected.items():
    assert np.array_equal(shown[name], sheets[index])
  assert 'Step 1,000. <what> it shows' in page.text and 'Faces, step 2. Faces & more' in page.text
  assert 'Test, step 0. source: the picture to change' in page.text


def test_nothing_in_a_file_becomes_markup(tmp_path):
  evil = '"><script>alert(1)</script><b attr=\'x\'>&amp;'
  (tmp_path / 'config.json').write_text(json.dumps({'name': evil, 'method': evil, evil: evil,
                                                    'data': {'source': evil}}))
  with metric_writers.MetricWriter(tmp_path) as writer:
    writer.write_scalars(1, {evil: 1, f'mask{evil}': 2})
  scores.append(tmp_path, {'step': 1, 'split': evil, evil: evil, 'n': 1})
  scores.append(tmp_path, {'step': 2, 'split': evil, evil: 1.5})
  images.save_png(tmp_path / 'samples' / '3.png', np.zeros((2, 2, 3), np.uint8), description=evil)
  page = _read(tmp_path, {'command': evil, evil: evil, 'versions': {evil: evil}})
  assert page.all('script') == [] and page.all('b') == [{}] * len(page.all('b'))
  assert page.text.count('alert(1)') >= 10


def test_facts_and_command(tmp_path):
  (tmp_path / 'config.json').write_text(json.dumps({
      'name': 'quick', 'method': 'lomit', 'num_steps': 20000, 'image_size': 32, 'lr': 1e-4,
      'data': {'source': 'avatars', 'a': '~Eyeglasses', 'b': 'Eyeglasses'}}))
  with metric_writers.MetricWriter(tmp_path) as writer:
    writer.write_scalars(12000, {'generator/loss': 1.0, 'note_mask': 2, 'images_per_second': 3})
    writer.write_texts(12000, {'words': 'hello'})
  page = _read(tmp_path, {'command': 'python -m x --y', 'device': 'cpu', 'images': 4800,
                          'versions': {'jax': '0.10.2', 'python': '3.11'}})
  assert ('Method lomit; data avatars: from ~Eyeglasses to Eyeglasses (~ is "without"); '
          '32 x 32 pixels; 12,000 of 20,000 steps') in page.text
  for words in ('python -m x --y', 'jax 0.10.2, python 3.11', 'device cpu', 'images 4,800',
                '"lr": 0.0001'):
    assert words in page.text
  assert len(page.all('svg')) == 3
  order = [page.text.index(name) for name in ('note_mask', 'generator/loss', 'images_per_second')]
  assert order == sorted(order)


def _svg(figure):
  """Returns the points of the line, the values at the ticks' heights, and the page."""
  page = _Page(figure)
  line = page.all('polyline')[0]['points']
  points = np.array([[float(v) for v in point.split(',')] for point in line.split()])
  heights = [float(tick['y1']) for tick in page.all('line')]
  labels = [float(words.replace(',', '')) for words in page.words
            if re.fullmatch(r'-?[\d.,]+(e-?\d+)?', words)][:len(heights)]
  return points, np.array(heights), np.array(labels), page


@pytest.mark.parametrize('values', [
    [1.5, -2.25, 7.75, 3.0], [0.001, 0.0012, 0.0011, 0.00105], [10, 20, 30, 25.5],
    [123456, 234567, 345678, 200000]])
def test_a_line_is_where_the_axis_says(values):
  steps = [100, 200, 400, 1100]
  points, heights, labels, page = _svg(charts.line_chart(steps, values, 'x'))
  assert len(labels) == len(heights) >= 2 and (np.diff(labels) > 0).all()
  assert labels[0] <= min(values) and labels[-1] >= max(values)
  read = np.interp(-points[:, 1], -heights, labels)
  np.testing.assert_allclose(read, values, atol=0.002 * (labels[-1] - labels[0]))
  across = (points[:, 0] - points[0, 0]) / (points[-1, 0] - points[0, 0])
  np.testing.assert_allclose(across, [0, 0.1, 0.3, 1], atol=0.002)
  width, height = map(float, page.all('svg')[0]['viewbox'].split()[2:])
  assert (points > 0).all() and (points < [width, height]).all()


def test_wide_ranges_are_logarithmic():
  values = [1e-4, 1e-2, 1, 100]
  points, heights, labels, page = _svg(charts.line_chart([1, 2, 3, 4], values, 'x'))
  assert 'logarithmic' in page.text
  np.testing.assert_allclose(np.diff(points[:, 1]), np.diff(points[:, 1])[0], atol=0.2)
  read = 10 ** np.interp(-points[:, 1], -heights, np.log10(labels))
  np.testing.assert_allclose(read, values, rtol=0.05)


def test_many_points_become_a_line_and_a_band():
  rng = np.random.default_rng(0)
  values = rng.normal(size=10_000)
  values[17] = 9
  points, heights, labels, page = _svg(charts.line_chart(range(10_000), values, 'x'))
  assert len(points) <= 160
  read = np.interp(-points[:, 1], -heights, labels)
  expected = [values[i:i + 63].mean() for i in range(0, 10_000, 63)]
  np.testing.assert_allclose(read, expected, atol=0.02)
  band = np.array([[float(v) for v in point.split(',')]
                   for point in page.all('polygon')[0]['points'].split()])
  assert np.interp(-band[:, 1].min(), -heights, labels) == pytest.approx(9, abs=0.05)


def test_what_is_not_finite_is_counted():
  figure = charts.line_chart([1, 2, 3, 4, 5], [1, None, math.nan, math.inf, 2], 'x')
  points, *_, page = _svg(figure)
  assert len(points) == 2 and '3 not finite' in page.text
  assert 'no finite value' in _Page(charts.line_chart([1], [None], 'x')).text
  assert len(_Page(charts.line_chart([7], [3.5], 'x')).all('circle')) == 1


@pytest.mark.parametrize('value,text', [
    (0, '0'), (3.0, '3'), (1234567, '1,234,567'), (0.123456, '0.1235'), (-12345.6, '-12,346'),
    (1e-9, '1e-09'), (2.5e12 + 0.5, '2.50e+12'), (math.inf, 'not finite'),
    (math.nan, 'not finite')])
def test_numbers(value, text):
  assert charts.number(value) == text


def test_ticks_are_round_and_few():
  rng = np.random.default_rng(0)
  for _ in range(300):
    low = rng.normal() * 10.0 ** rng.integers(-6, 6)
    high = low + abs(rng.normal()) * 10.0 ** rng.integers(-6, 6)
    if not high - low > 1e-6 * abs(low):
      continue
    ticks = charts.nice_ticks(low, high)
    step = ticks[1] - ticks[0]
    assert 2 <= len(ticks) <= 6
    assert ticks[0] <= low + 1e-6 * step and ticks[-1] >= high - 1e-6 * step
    assert any(abs(step / 10.0 ** math.floor(math.log10(step) + 1e-6) - n) < 1e-3
               for n in (1, 2, 2.5, 5))
  assert charts.nice_ticks(3, 3) == [3]
