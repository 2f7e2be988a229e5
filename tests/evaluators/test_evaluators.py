"""Measures against scikit-image, brute force and exact answers."""

import numpy as np
import pytest
from skimage import metrics

from helpers.simple_method import Data, pairs, Simple, simple
from helpers.tiny_model import SIZE
from maskgan_jax import errors, evaluators
from maskgan_jax.evaluators import base, masks, truth
from maskgan_jax.methods.base import Translation
from maskgan_jax.runs import scores
from maskgan_jax.translator import Translator


def test_iou_by_hand():
  predicted = np.zeros((4, 2, 2, 1), bool)
  true = predicted.copy()
  predicted[0, 0], true[0, :, 0] = True, True  # 1 of 3
  predicted[1] = true[1] = True
  predicted[2, 0, 0] = True  # nothing to find
  np.testing.assert_allclose(masks.iou(predicted, true), [1 / 3, 1, 0, 1])


def test_threshold_search_is_brute_force():
  rng = np.random.default_rng(0)
  true = rng.random((12, 9, 9, 1)) < rng.random((12, 1, 1, 1))
  soft = (0.35 * true + rng.random(true.shape) * 0.6).astype(np.float32)
  search = masks.ThresholdSearch()
  valid = np.ones(6, bool)
  search.update(soft[:6], true[:6].astype(np.float32), valid)
  search.update(np.concatenate([soft[6:], soft[:1] * 0]),
                np.concatenate([true[6:], ~true[:1]]).astype(np.float32), np.arange(7) < 6)
  best = {}
  for t in range(2, 99, 2):
    values = []
    for i in range(12):
      over = set(zip(*np.where(soft[i, ..., 0] > np.float32(t / 100)), strict=True))
      should = set(zip(*np.where(true[i, ..., 0]), strict=True))
      values.append(len(over & should) / len(over | should) if over | should else 1)
    best[t / 100] = np.mean(values)
  assert search.best() == max(best, key=best.get)
  assert 0.3 < search.best() < 0.6 and max(best.values()) > best[0.2] + 0.02


def test_of_equal_thresholds_the_middle_one():
  search = masks.ThresholdSearch()
  assert search.best() is None
  true = np.zeros((1, 4, 4, 1), np.float32)
  true[:, :2] = 1
  search.update(np.where(true, np.float32(0.9), np.float32(0.1)), true, np.ones(1, bool))
  assert search.best() == 0.5


def results_of(rows, validation, batch_size, **options):
  data = Data(test=rows, validation=validation)
  return evaluators.run(simple(), data, names=('masks', 'truth'), batch_size=batch_size,
                        **options)


def test_run_against_one_picture_at_a_time():
  """Computes every number again with loops, on unpadded images."""
  rows, validation = pairs(11), pairs(7, seed=50)
  got = results_of(rows, validation, batch_size=4)

  def mean_iou(rows, t):
    return np.array([metrics_iou(rows['b'][i, ..., :1] / np.float32(255) > np.float32(t),
                                 rows['b_mask'][i] > 0.5) for i in range(len(rows['b']))])
  threshold = max(np.arange(2, 99, 2) / 100, key=lambda t: mean_iou(validation, t).mean())
  assert got['mask_threshold'] == threshold != 0.5
  ious = mean_iou(rows, threshold)
  np.testing.assert_allclose([got['mask_iou'], got['mask_iou_std']], [ious.mean(), ious.std()])
  half = mean_iou(rows, 0.5)
  np.testing.assert_allclose([got['mask_iou@0.5'], got['mask_iou@0.5_std']],
                             [half.mean(), half.std()])
  np.testing.assert_allclose(got['mask_mean'], rows['b'][..., 0].mean() / 255, rtol=1e-6)

  want = {name: [] for name in got}
  for i in range(11):
    a, b = rows['a'][i], rows['b'][i]
    painted = a.copy()
    painted[:, :8] = 255
    predicted = np.zeros((SIZE, SIZE, 1), bool)
    predicted[:, :8] = threshold < 0.7
    region = rows['truth_ab_mask'][i] > 0.5
    want['transfer_mask_iou'].append(metrics_iou(predicted, region))
    removed = np.where(b[..., :1] / np.float32(255) > np.float32(threshold), 0, b).astype(np.uint8)
    for task, nothing, image, before, true, where in (
        ('transfer', 'do_nothing', painted, a, rows['truth_ab'][i], region),
        ('removal', 'do_nothing_removal', removed, b, rows['truth_ba'][i],
         rows['b_mask'][i] > 0.5)):
      for name, picture in ((task, image), (nothing, before)):
        error = np.abs(picture / 255 - true / 255).mean(-1)
        want[f'{name}_error_inside'].append(error[where[..., 0]].mean())
        want[f'{name}_error_outside'].append(error[~where[..., 0]].mean())
        want[f'{name}_psnr'].append(
            metrics.peak_signal_noise_ratio(true, picture, data_range=255))
        want[f'{name}_ssim'].append(metrics.structural_similarity(
            true, picture, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
            channel_axis=-1, data_range=255))
  want = {name: np.mean(values) for name, values in want.items() if values}
  for task, nothing in (('transfer', 'do_nothing'), ('removal', 'do_nothing_removal')):
    want[f'{task}_error_ratio'] = want[f'{task}_error_inside'] / want[f'{nothing}_error_inside']
  mask = rows['b'][..., :1] / np.float32(255) > np.float32(threshold)
  true = rows['b_mask'] > 0.5
  want['mask_share'] = mask.mean()
  want['object_mask_share'] = np.mean([mask[i][true[i]].mean() for i in range(11)])
  assert len(want) == 21 and got['pairs'] == 11
  for name, value in want.items():
    np.testing.assert_allclose(got[name], value, rtol=1e-6, err_msg=name)
  assert set(got) == set(want) | {'pairs', 'mask_threshold', 'mask_mean', 'mask_iou',
                                  'mask_iou_std', 'mask_iou@0.5', 'mask_iou@0.5_std'}


def metrics_iou(x, y):
  return (x & y).sum() / (x | y).sum()


def test_batching_and_padding_change_nothing():
  rows, validation = pairs(9), pairs(5, seed=50)
  once = results_of(rows, validation, batch_size=9)
  for batch_size in (1, 4, 64):
    again = results_of(rows, validation, batch_size=batch_size)
    assert again.keys() == once.keys()
    for name in once:
      np.testing.assert_allclose(again[name], once[name], rtol=1e-9, err_msg=name)


def test_max_pairs_counts_pairs():
  rows, validation = pairs(9), pairs(5, seed=50)
  few = {name: values[:5] for name, values in rows.items()}
  got = results_of(rows, validation, batch_size=4, max_pairs=5)
  want = results_of(few, validation, batch_size=4)
  assert got == want and got['pairs'] == 5
  assert results_of(rows, validation, batch_size=4, max_pairs=0)['pairs'] == 9


def test_the_test_split_does_not_choose_its_threshold():
  rows, validation = pairs(6), pairs(6, seed=50)
  threshold = results_of(rows, validation, batch_size=4)['mask_threshold']
  tampered = dict(rows, b_mask=1 - rows['b_mask'])
  assert results_of(tampered, validation, batch_size=4)['mask_threshold'] == threshold
  tampered = dict(validation, b_mask=1 - validation['b_mask'])
  assert results_of(rows, tampered, batch_size=4)['mask_threshold'] != threshold


def test_perfect_answers_are_perfect():
  rows = pairs(4)
  rows['b_mask'] = (rows['b'][..., :1] > 127).astype(np.float32)
  rows['truth_ba'] = np.where(rows['b_mask'] > 0, 0, rows['b']).astype(np.uint8)
  rows['truth_ab_mask'][:] = 0
  rows['truth_ab_mask'][:, :, :8] = 1
  rows['truth_ab'] = np.where(rows['truth_ab_mask'] > 0, 255, rows['a']).astype(np.uint8)
  got = results_of(rows, rows, batch_size=4)
  for name in ('mask_iou', 'mask_iou@0.5', 'transfer_mask_iou', 'transfer_ssim', 'removal_ssim'):
    np.testing.assert_allclose(got[name], 1)
  for name in ('transfer_error_inside', 'transfer_error_outside', 'transfer_error_ratio',
               'removal_error_inside', 'removal_error_outside', 'removal_error_ratio'):
    assert got[name] == 0
  assert got['transfer_psnr'] == got['removal_psnr'] == 100


def test_images_without_a_region_do_not_count_in_its_error():
  error = truth.mean_error(np.full((2, 2, 2, 3), 51, np.uint8), np.zeros((2, 2, 2, 3), np.uint8),
                           np.array([[[1, 0], [0, 0]], [[0, 0], [0, 0]]], bool)[..., None])
  np.testing.assert_allclose(error, [0.2, np.nan])
  rows, validation = pairs(4), pairs(3)
  few = {name: values[:3] for name, values in rows.items()}
  rows['truth_ab_mask'][3] = 0
  got, want = (results_of(r, validation, batch_size=4) for r in (rows, few))
  np.testing.assert_allclose(got['transfer_error_inside'], want['transfer_error_inside'])
  assert got['transfer_error_outside'] != want['transfer_error_outside']


def columns(n, width):
  """Returns masks [n, SIZE, SIZE, 1] that are 1 in the left `width[i]` columns."""
  mask = np.zeros((n, SIZE, SIZE, 1), np.float32)
  for i in range(n):
    mask[i, :, :width[i]] = 1
  return mask


def test_source_masks_are_measured_where_there_is_something_to_find():
  """The method's mask is 0.7 in the left 8 columns."""
  rows, validation = pairs(6), pairs(5, seed=50)
  rows['a_mask'] = columns(6, [4, 8, 16, 0, 2, 5])
  rows['a_mask'][5] = np.nan  # a picture without a true mask, beside others that have one
  validation['b_mask'] = (validation['b'][..., :1] > 255 * 0.6).astype(np.float32)
  got = results_of(rows, validation, batch_size=4)
  assert 0.55 < got['mask_threshold'] < 0.65  # below 0.7
  ious = np.array([4 / 8, 1, 8 / 16, 2 / 8])
  for name in ('source_mask_iou', 'source_mask_iou@0.5'):
    np.testing.assert_allclose([got[name], got[f'{name}_std']], [ious.mean(), ious.std()])
  validation['b_mask'] = (validation['b'][..., :1] > 255 * 0.8).astype(np.float32)
  got = results_of(rows, validation, batch_size=4)
  assert got['mask_threshold'] > 0.7
  assert got['source_mask_iou'] == 0 and got['source_mask_iou@0.5'] == ious.mean()
  lines = evaluators.table(got).splitlines()
  line = next(line for line in lines if "IoU of the source's mask at 0.5" in line)
  assert line.split()[-3:] == [f'{ious.mean():.3f}', '+-', f'{ious.std():.3f}']


def test_shares_are_of_the_translations_mask_where_the_method_does_not_segment():
  """The mask is 0.7 in the left 8 of 16 columns; true regions are 4, 16, 0 and 10 columns wide."""
  class Translates(Simple):
    abilities = frozenset({'exemplar', 'source_mask'})

  rows = pairs(4)
  rows['truth_ab_mask'] = columns(4, [4, 16, 0, 10])
  got = evaluators.run(simple(method=Translates()), Data(test=rows), names=('masks',), batch_size=4)
  assert got['mask_share'] == 0.5
  assert got['object_mask_share'] == pytest.approx((1 + 0.5 + 0.8) / 3)
  assert 'share of the true region (%)      76.7' in evaluators.table(got)
  few = {name: rows[name] for name in 'ab'}
  got = evaluators.run(simple(method=Translates()), Data(test=few), names=('masks',), batch_size=3)
  assert got == {'pairs': 4, 'mask_share': 0.5}
  Translates.abilities, notes = frozenset({'exemplar'}), []
  assert evaluators.run(simple(method=Translates()), Data(test=few), names=('masks',), batch_size=3,
                        note=notes.append) == {}
  assert 'has no mask of where it changes pictures' in notes[0]

  class MakesNone(Translates):
    abilities = frozenset({'exemplar', 'source_mask'})

    def translate(self, params, model_state, source, exemplar, **unused):
      return Translation(source)
  assert evaluators.run(simple(method=MakesNone()), Data(test=few), names=('masks',), batch_size=3,
                        note=notes.append) == {'pairs': 4}
  assert notes[1:] == notes[:1]


def test_pairs_in_which_nothing_changes_have_no_transferred_mask():
  rows, validation = pairs(4), pairs(3)
  rows['truth_ab_mask'] = columns(4, [4, 0, 8, 0])
  validation['b_mask'] = (validation['b'][..., :1] > 127).astype(np.float32)
  assert results_of(rows, validation, batch_size=4)['transfer_mask_iou'] == 0.75
  rows['truth_ab_mask'][:] = 0
  got = results_of(rows, validation, batch_size=4)
  assert 'transfer_mask_iou' not in got and 'source_mask_iou@0.5' not in got


def test_true_masks_of_sources_alone_are_enough():
  rows = {name: pairs(4)[name] for name in 'ab'} | {'a_mask': columns(4, [4, 8, 16, 2])}
  got = results_of(rows, rows, batch_size=4, note=lambda line: None)
  assert set(got) == {'pairs', 'source_mask_iou@0.5', 'source_mask_iou@0.5_std', 'mask_mean',
                      'mask_share'}


def test_data_without_truths_give_a_note_and_shares_of_masks(capsys):
  rows = {name: pairs(4)[name] for name in 'ab'}
  got = results_of(rows, rows, batch_size=4)
  red = rows['b'][..., 0] / np.float32(255)
  assert got == {'pairs': 4, 'mask_mean': pytest.approx(red.mean(), rel=1e-6),
                 'mask_share': (red > 0.5).mean()}
  said = capsys.readouterr().out.splitlines()
  assert len(said) == 1 and 'true translations' in said[0]
  data = Data(test=rows)
  assert evaluators.run(simple(), data, names=(), batch_size=4) == {} and not data.served


def test_masks_alone_are_enough_for_the_masks():
  rows = {name: pairs(4)[name] for name in ('a', 'b', 'b_mask')}
  notes = []
  got = results_of(rows, rows, batch_size=4, note=notes.append)
  assert set(got) == {'pairs', 'mask_threshold', 'mask_iou', 'mask_iou_std', 'mask_iou@0.5',
                      'mask_iou@0.5_std', 'mask_mean', 'mask_share', 'object_mask_share'}
  assert len(notes) == 1 and "'truth'" in notes[0]


def test_methods_that_neither_segment_nor_remove():
  class Translates(Simple):
    abilities = frozenset({'exemplar'})

  data = Data(test=pairs(4), validation=pairs(4))
  got = evaluators.run(simple(method=Translates()), data, names=('masks', 'truth'), batch_size=4)
  assert 'transfer_psnr' in got and 'transfer_mask_iou' in got
  assert not [name for name in got if name.startswith(('removal', 'mask_iou', 'mask_mean'))]
  assert got['mask_share'] == 0.5  # the translation's mask, the left 8 of 16 columns
  assert data.served == ['test']


def test_methods_that_do_not_remove_but_translate_back():
  """A method that removes by translating back is measured by the same rule."""
  class Returns(Simple):
    abilities = frozenset({'exemplar', 'reverse'})

    def translate(self, params, model_state, source, exemplar, *, reverse=False, **unused):
      if not reverse:
        return super().translate(params, model_state, source, exemplar)
      return Simple.remove(self, params, model_state, source)

  data = Data(test=pairs(5), validation=pairs(4))
  one, other = (evaluators.run(simple(method=method), data, names=('truth',), batch_size=4)
                for method in (Returns(), Simple()))
  names = [name for name in one if name.startswith(('removal', 'do_nothing_removal'))]
  assert len(names) > 6
  removes = evaluators.run(simple(method=Removes()), data, names=('truth',), batch_size=4)
  assert {name: one[name] for name in names} == {name: removes[name] for name in names}
  assert one['do_nothing_removal_ssim'] == other['do_nothing_removal_ssim']


class Removes(Simple):
  """The same method with a fixed threshold."""

  def remove(self, params, model_state, image, *, mask=None, threshold=None):
    return super().remove(params, model_state, image)


def test_splits_without_pictures_are_noted():
  class Empty(Data):
    def evaluation(self, split, **options):
      if split not in self.splits:
        raise errors.UserError(f'there are no {split} pictures')
      return super().evaluation(split, **options)

  notes = []
  options = dict(names=('masks',), batch_size=4, note=notes.append)
  assert evaluators.run(simple(), Empty(), **options) == {}
  got = evaluators.run(simple(), Empty(test=pairs(4)), **options)
  assert 'mask_iou@0.5' in got and 'mask_iou' not in got
  assert 'test' in notes[0] and 'validation' in notes[1]


def test_poll_can_stop_in_the_middle():
  calls = []

  def poll():
    calls.append(1)
    if len(calls) == 3:
      raise errors.Preempted('now')
  with pytest.raises(errors.Preempted):
    results_of(pairs(8), pairs(8), batch_size=4, poll=poll)


def test_unknown_evaluators_are_named_with_the_nearest():
  with pytest.raises(errors.UserError, match=r"'mask' \(did you mean 'masks'\?\).*masks.*truth"):
    evaluators.run(simple(), Data(), names=('mask',), batch_size=4)
  for name in evaluators.names():
    assert hasattr(evaluators.module(name), 'Evaluator')


def test_outputs_are_computed_once_and_only_when_asked():
  class Counting(Translator):
    calls = []

    def __call__(self, *args):
      self.calls.append('translate')
      return super().__call__(*args)

    def remove(self, image, mask=None, threshold=None):
      self.calls.append(('remove', threshold))
      return super().remove(image, mask, threshold)

  plain = simple()
  t = Counting(plain.method, {}, {}, plain.config)
  outputs = base.Outputs(t, pairs(4), threshold=0.3)
  assert outputs.removal is outputs.removal and outputs.removal.image.shape[0] == 4
  assert t.calls == [('remove', 0.3)]
  assert outputs.translation is outputs.translation
  assert t.calls == [('remove', 0.3), 'translate']


def test_measure_writes_a_row_and_keeps_what_it_does_not_measure(tmp_path):
  t = simple()
  config = t.config
  config.update(evaluation_batch_size=4, evaluation_pairs=6)
  data = Data(test=pairs(8), validation=pairs(8, seed=50))
  first = evaluators.measure(t, data, config, tmp_path, 30)
  assert first['pairs'] == 6
  [row] = scores.read(tmp_path)
  assert row == {'step': 30, 'split': 'test', **first}
  config.evaluators, notes = ('masks',), []
  second = evaluators.measure(t, data, config, tmp_path, 30, note=notes.append)
  [row] = scores.read(tmp_path)
  assert row['transfer_psnr'] == first['transfer_psnr'] and 'transfer_psnr' not in second
  assert not notes
  # Scores over another number of pairs belong in another row.
  config.evaluation_pairs = 0
  third = evaluators.measure(t, data, config, tmp_path, 30, note=notes.append)
  [row] = scores.read(tmp_path)
  assert row == {'step': 30, 'split': 'test', **third} and third['mask_iou'] != first['mask_iou']
  assert notes == ['step 30: these are scores of 8 pairs; those of 6 pairs that scores.csv had are '
                   'replaced, all of them']
  config.evaluators = ('truth',)
  blind = Data(test={name: pairs(3)[name] for name in 'ab'})
  assert evaluators.measure(t, blind, config, tmp_path, 31) == {}
  assert len(scores.read(tmp_path)) == 1


def test_table_shows_model_and_doing_nothing_side_by_side():
  results = results_of(pairs(4), pairs(4), batch_size=4)
  lines = evaluators.table(results).splitlines()
  assert lines[0].split() == ['model', 'do', 'nothing']
  inside = next(line for line in lines if line.startswith('removal   error where'))
  assert (f"{results['removal_error_inside']:.4f}" in inside
          and f"{results['do_nothing_removal_error_inside']:.4f}" in inside
          and not any('do_nothing' in line for line in lines))
  assert [line.split()[:3] for line in lines if line.startswith(' ' * 10 + 'mask IoU')] == [
      ['mask', 'IoU', f"{results['mask_iou']:.3f}"], ['mask', 'IoU', 'at']]
  assert lines[-1] == '4 pairs' and max(map(len, lines)) <= 100
  assert evaluators.table({}) == ''
  some = {name: results[name] for name in ('pairs', 'mask_iou@0.5', 'mask_iou@0.5_std')}
  assert evaluators.table(some).count('\n') == 2
