"""How much translations change and what they should: by hand, by loops, and by perfect ones."""

import types

import numpy as np
import pytest

from helpers.simple_method import Adds, Data, pictures, Simple, simple
from maskgan_jax import errors, evaluators
from maskgan_jax.evaluators import changes
from maskgan_jax.methods.base import Translation

SIZE = 16


class Forth(Adds):
  """The same method without the way back."""
  abilities = frozenset({'source_mask'})


class Nothing(Adds):
  """Leaves everything as it is."""

  def translate(self, params, model_state, source, *unused, **options):
    return Translation(source)


class Guided(Simple):
  """Returns the exemplar."""
  abilities = frozenset({'exemplar', 'reverse'})

  def translate(self, params, model_state, source, exemplar, **unused):
    return Translation(exemplar)


def added(source, sign):
  """Returns what `Adds` makes of bytes."""
  source = source.astype(np.float32) / 127.5 - 1
  mask = np.zeros_like(source)
  mask[:, :, :SIZE // 2] = sign * np.array([0.5, 0.25, 0.125])
  image = np.clip(source + mask, -1, 1)
  return np.clip(np.round((image + 1) * 127.5), 0, 255).astype(np.uint8)


def rows_of(n):
  """Returns pairs whose truths change some columns; in the second picture, none."""
  rows = {'a': pictures(n), 'b': pictures(n, 1)}
  for truth, source in (('truth_ab', 'a'), ('truth_ba', 'b')):
    rows[truth] = rows[source].copy()
    for i in range(n):
      if i != 1:
        rows[truth][i, :, :2 + 2 * i] = pictures(1, 10 + i)[0][:, :2 + 2 * i]
  return rows


def measure(rows, method=None, batch_size=4, **options):
  return evaluators.run(simple(method or Adds()), Data(test=rows), names=('changes',),
                        batch_size=batch_size, **options)


def test_by_hand():
  before = np.full((1, 4, 4, 3), 100, np.uint8)
  after, truth = before.copy(), before.copy()
  after[0, 0] = 151  # a fifth of the way from black to white
  after[0, 1, 0, 0], after[0, 1, 1, 0] = 177, 176  # of a channel: just above a tenth and just below
  truth[0, :2, :2] = 202  # two fifths
  outputs = types.SimpleNamespace(abilities=frozenset(), translated=lambda direction: after)
  evaluator = changes.Evaluator()
  evaluator.update({'a': before, 'truth_ab': truth}, outputs, np.ones(1, bool))
  want = {'ab_changed_share': 5 / 16, 'ab_change_mean': 0.0625, 'truth_ab_changed_share': 4 / 16,
          'ab_changed_iou': 3 / 6, 'ab_changed_iou_std': 0, 'ab_error': 0.0875, 'ab_error_std': 0,
          'ab_error_inside': 0.25, 'ab_error_outside': 0.4 / 12, 'do_nothing_ab_error': 0.1,
          'do_nothing_ab_error_std': 0, 'do_nothing_ab_error_inside': 0.4}
  assert dict(evaluator.results()) == pytest.approx(want)


def by_loops(before, after, truth):
  """Returns every measure of one picture, pixel by pixel; None where there is nothing to count."""
  count = dict.fromkeys(('changed', 'true', 'both', 'either'), 0)
  sums = dict.fromkeys(('change', 'error', 'inside', 'outside', 'nothing', 'nothing_inside'), 0)
  for old, new, right in zip(*(x.reshape(-1, 3).tolist() for x in (before, after, truth)),
                             strict=True):
    change, error, nothing = (sum(abs(p - q) for p, q in zip(x, y, strict=True)) / 3 / 255
                              for x, y in ((new, old), (new, right), (old, right)))
    count['changed'] += change > 0.1
    count['true'] += nothing > 0.1
    count['both'] += change > 0.1 and nothing > 0.1
    count['either'] += change > 0.1 or nothing > 0.1
    sums['change'] += change
    sums['error'] += error
    sums['nothing'] += nothing
    sums['inside' if nothing > 0.1 else 'outside'] += error
    if nothing > 0.1:
      sums['nothing_inside'] += nothing
  pixels, true = len(before.reshape(-1, 3)), count['true']
  return {
      '{}_changed_share': count['changed'] / pixels, '{}_change_mean': sums['change'] / pixels,
      'truth_{}_changed_share': true / pixels,
      '{}_changed_iou': count['both'] / count['either'] if true else None,
      '{}_error': sums['error'] / pixels, 'do_nothing_{}_error': sums['nothing'] / pixels,
      '{}_error_inside': sums['inside'] / true if true else None,
      'do_nothing_{}_error_inside': sums['nothing_inside'] / true if true else None,
      '{}_error_outside': sums['outside'] / (pixels - true) if pixels - true else None}


@pytest.mark.parametrize('batch_size', [3, 64])
def test_both_directions_by_loops(batch_size):
  rows = rows_of(5)
  rows['truth_ba'][0] = 255 - rows['b'][0]
  rows['truth_ba'][0][np.abs(rows['b'][0] - 127.5) < 20] = 255  # all of it changes
  got = measure(rows, batch_size=batch_size)
  want = {}
  for direction, sign in (('ab', 1), ('ba', -1)):
    before, truth = rows[direction[0]], rows[f'truth_{direction}']
    each = [by_loops(*x) for x in zip(before, added(before, sign), truth, strict=True)]
    assert each[1]['{}_changed_iou'] is None  # where nothing truly changes
    for name in each[0]:
      values = [scores[name] for scores in each if scores[name] is not None]
      want[name.format(direction)] = np.mean(values)
      if name.endswith(('iou', '_error')):
        want[f'{name}_std'.format(direction)] = np.std(values)
  assert by_loops(rows['b'][0], rows['b'][0], rows['truth_ba'][0])['{}_error_outside'] is None
  assert got.pop('pairs') == 5
  assert got == pytest.approx(want)
  assert 0.1 < got['ab_changed_iou'] < 0.9 and got['ab_error'] != got['ba_error']


def test_perfect_translations_and_none():
  rows = rows_of(4)
  perfect = measure(rows | {'truth_ab': added(rows['a'], 1), 'truth_ba': added(rows['b'], -1)})
  for direction in ('ab', 'ba'):
    assert perfect[f'{direction}_changed_iou'] == 1
    assert perfect[f'{direction}_error'] == perfect[f'{direction}_error_outside'] == 0
    assert 0.4 < perfect[f'{direction}_changed_share'] <= 0.5
    assert perfect[f'truth_{direction}_changed_share'] == perfect[f'{direction}_changed_share']
    assert perfect[f'do_nothing_{direction}_error'] == perfect[f'{direction}_change_mean'] > 0.05
  nothing = measure(rows, Nothing())
  assert nothing['ab_changed_share'] == nothing['ba_change_mean'] == nothing['ab_changed_iou'] == 0
  for name in ('ab_error', 'ab_error_std', 'ba_error_inside'):
    assert nothing[name] == nothing[f'do_nothing_{name}'] > 0


def test_every_method_and_any_data_have_changes():
  rows = {name: pictures(3, seed) for seed, name in enumerate('ab')}
  got = measure(rows, Forth())
  assert set(got) == {'pairs', 'ab_changed_share', 'ab_change_mean'}
  got = measure(rows, Guided())
  difference = np.abs(rows['a'].astype(float) - rows['b']).mean() / 255
  assert got['ab_change_mean'] == got['ba_change_mean'] == pytest.approx(difference)
  assert changes.Evaluator().missing(rows, frozenset()) == ''
  same = measure(rows | {'truth_ab': rows['a']}, Forth())
  assert 'ab_changed_iou' not in same and 'ab_error_inside' not in same
  assert same['ab_error'] == same['ab_error_outside'] == pytest.approx(same['ab_change_mean'])


def test_the_table_has_shares_side_by_side():
  got = measure(rows_of(4))
  lines = evaluators.table(got).splitlines()
  assert max(map(len, lines)) <= 100 and lines[-1] == '4 pairs'
  assert lines[0].split() == ['model', 'do', 'nothing']
  assert lines[1] == (f'a to b    {"error to the truth":<29} {got["ab_error"]:8.4f} '
                      f'{got["do_nothing_ab_error"]:11.4f}   +- {got["ab_error_std"]:.4f}')
  assert lines[2].split()[-2:] == [f'{got["ab_error_inside"]:.4f}',
                                   f'{got["do_nothing_ab_error_inside"]:.4f}']
  assert lines[3].split()[-2:] == ['elsewhere', f'{got["ab_error_outside"]:.4f}']
  assert lines[4] == (
      f'a to b    {"changed pixels (%)":<29} {100 * got["ab_changed_share"]:8.2f}        0.00   '
      f'perfect {100 * got["truth_ab_changed_share"]:.2f}')
  assert lines[5].split()[-3:] == [
      f'{got["ab_changed_iou"]:.3f}', '+-', f'{got["ab_changed_iou_std"]:.3f}']
  assert [line[:6] for line in lines[7:13]] == ['b to a'] * 6
  bare = evaluators.table({'ab_changed_share': 0.25, 'ab_change_mean': 0.1}).splitlines()
  assert bare[1].split() == ['a', 'to', 'b', 'changed', 'pixels', '(%)', '25.00', '0.00']


def test_what_is_listed_as_an_evaluator_is_one():
  assert 'changes' in evaluators.names()
  for name in evaluators.names():
    assert hasattr(evaluators.module(name), 'Evaluator')
  with pytest.raises(errors.UserError, match="unknown evaluator 'result_table'"):
    evaluators.module('result_table')
