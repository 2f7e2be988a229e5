"""Evaluation's pairs: aligned, padded, divided among processes, with true masks and answers."""

import dataclasses
import itertools

import numpy as np
import pytest

from helpers import data_samples
from helpers.numbered_records import (
  assert_same,
  Gradient,
  make_data,
  NAMES,
  NumberedRecords,
  numbers_of,
)
from maskgan_jax.data import default_config, images
from maskgan_jax.data import evaluation as evaluation_lib
from maskgan_jax.data.drawn import avatar_faces
from maskgan_jax.data.records import SPLITS


def _evaluated(*, count=23, batch_size=4, split='test', process_count=1, max_pairs=None, **fields):
  records = {s: NumberedRecords(count, masks='Glasses', truths=True) for s in SPLITS}
  data = make_data(records=records, **fields)
  return data, [data.evaluation(split, batch_size=batch_size, max_pairs=max_pairs, process_index=i,
                                process_count=process_count) for i in range(process_count)]


def test_pairs_are_aligned_padded_and_unchanged():
  _, (evaluation,) = _evaluated(attributes=NAMES)
  batches = list(evaluation)
  assert evaluation.num_pairs == 11 and len(evaluation) == len(batches) == 3
  valid = np.concatenate([batch['valid'] for batch in batches])
  assert valid.tolist() == [True] * 11 + [False]
  for name, first in (('a', 0), ('b', 1)):
    stack = np.concatenate([batch[name] for batch in batches])
    numbers, mirrored = numbers_of(stack)
    assert numbers[valid].tolist() == list(range(first, 22, 2)) and not mirrored.any()
    assert numbers[11] == numbers[10]
    masks = np.concatenate([batch[f'{name}_mask'] for batch in batches])
    assert masks.shape == (12, 8, 8, 1) and masks.dtype == np.float32
    np.testing.assert_allclose(masks[:, 3, 3, 0], numbers / 23, rtol=1e-6)
    labels = np.concatenate([batch[f'{name}_attributes'] for batch in batches])
    assert labels[:, 0].tolist() == [first] * 12


def test_true_answers_belong_to_their_pair():
  _, (evaluation,) = _evaluated()
  for batch in evaluation:
    a, b = (numbers_of(batch[name])[0] for name in 'ab')
    assert batch['truth_ab'].dtype == batch['truth_ba'].dtype == np.uint8
    np.testing.assert_array_equal(batch['truth_ab'][:, 2, 2, 0], a)
    np.testing.assert_array_equal(batch['truth_ab'][:, 2, 2, 2], b)
    np.testing.assert_array_equal(batch['truth_ba'][:, 2, 2, 0], b)
    np.testing.assert_array_equal(batch['truth_ba'][:, 2, 2, 2], 7)
    np.testing.assert_array_equal(batch['truth_ab_mask'], np.full((4, 8, 8, 1), 0.25))


def test_evaluation_sees_the_centre_of_what_training_crops():
  records = {split: Gradient() for split in SPLITS}
  data = make_data(records=records, image_size=8, load_size=16)
  batch = next(iter(data.evaluation('test', batch_size=2)))
  rows, columns = np.mgrid[4:12, 4:12]
  np.testing.assert_array_equal(batch['a'][0][..., :2], np.stack([rows, columns], -1))


@pytest.mark.parametrize('max_pairs, expected', [(None, 11), (5, 5), (100, 11)])
@pytest.mark.parametrize('process_count', [1, 2, 4])
def test_processes_share_the_evaluation(max_pairs, expected, process_count):
  _, (whole,) = _evaluated(max_pairs=max_pairs)
  _, parts = _evaluated(process_count=process_count, max_pairs=max_pairs)
  assert whole.num_pairs == parts[0].num_pairs == expected
  for batch, *shares in zip(whole, *parts, strict=True):
    assert_same({name: np.concatenate([share[name] for share in shares]) for name in batch}, batch)


def test_answers_are_worked_out_once():
  data, (evaluation,) = _evaluated(in_memory='auto')
  first, second = list(evaluation), list(evaluation)
  third = list(data.evaluation('test', batch_size=4, max_pairs=8))
  for left, right in [*zip(first, second, strict=True), *zip(third, first[:2], strict=True)]:
    assert_same(left, right)
  assert data.records('test').answers == 11
  data, (evaluation,) = _evaluated(in_memory='never')
  for left, right in zip(first, itertools.chain(evaluation), strict=True):
    assert_same(left, right)
  list(evaluation)
  assert data.records('test').answers == 22


def test_shifted_domains_are_for_evaluation_only():
  _, (evaluation,) = _evaluated(test_b='Glasses & Old')
  numbers = np.concatenate([numbers_of(batch['b'])[0][batch['valid']] for batch in evaluation])
  assert numbers.tolist() == [3, 9, 15, 21]
  batch = next(make_data(23, test_b='Glasses & Old').train(batch_size=11))
  assert sorted(numbers_of(batch['b'])[0]) == list(range(1, 23, 2))


@pytest.mark.parametrize('fields, transfer', [
    ({'a': '~Glasses', 'b': 'Glasses & Old'}, ('Glasses',)),
    ({'a': '~Glasses & ~Old', 'b': 'Glasses & Old'}, ('Glasses', 'Old')),
    ({'a': 'Old', 'b': 'Glasses'}, ('Glasses',)),
    ({'a': 'Old', 'b': 'Glasses', 'transfer': ('Old',)}, ('Old',)),
    ({'a': '', 'b': ''}, ()),
])
def test_what_is_transferred_follows_from_the_domains(fields, transfer):
  assert make_data(**fields)._transfer() == transfer


def test_no_masks_and_no_truths_where_nothing_is_asked_for():
  _, (evaluation,) = _evaluated(a='', b='')
  assert set(next(iter(evaluation))) == {'a', 'b', 'valid'}


def test_a_picture_without_a_mask_beside_some_that_have_one_is_nan(tmp_path):
  root = data_samples.write_domains(tmp_path / 'p')
  for present in ('001', '000'):
    folder = tmp_path / present
    images.save_png(folder / 'testB' / f'{present}.png', np.zeros((25, 25), np.uint8))
    config = data_samples.make_config('folder', path=root, masks_path=str(folder))
    evaluation = data_samples.open_data(config, image_size=8).evaluation('test', batch_size=4)
    batch = next(iter(evaluation))
    missing = np.isnan(batch['b_mask']).all(axis=(1, 2, 3))
    assert missing[batch['valid']].sum() == len(missing[batch['valid']]) - 1
    assert not missing[int(present)] and not batch['b_mask'][int(present)].any()
    assert 'a_mask' not in batch


@pytest.mark.parametrize('seed', range(60))
def test_turned_by_the_least_that_parts_every_pair(seed):
  rng = np.random.default_rng(seed)
  pool = rng.integers(2, 9)
  a, b = (np.sort(rng.permutation(pool)[:rng.integers(1, pool + 1)]) for _ in range(2))

  def meets_itself(n):
    return any(a[i] == b[(i + n) % len(b)] for i in range(min(len(a), len(b))))

  n = next((n for n in range(len(b)) if not meets_itself(n)), None)
  if n is None:
    assert len(b) == 1 and a[0] == b[0]
  np.testing.assert_array_equal(evaluation_lib.turned(a, b), [*b[n or 0:], *b[:n or 0]])


def test_turned_knows_the_common_cases():
  a = np.arange(5)
  assert evaluation_lib.turned(a, a).tolist() == [1, 2, 3, 4, 0]
  assert evaluation_lib.turned(a, a + 5).tolist() == (a + 5).tolist()
  assert evaluation_lib.turned(a[:2], np.array([1, 2, 4])).tolist() == [1, 2, 4]  # already apart
  assert evaluation_lib.turned(a, a[:0]).size == evaluation_lib.turned(a[:0], a[:0]).size == 0


def test_one_set_for_both_domains_is_measured_on_different_pictures():
  _, (evaluation,) = _evaluated(a='', b='', transfer=('Glasses',), attributes=NAMES, max_pairs=6)
  assert evaluation.num_pairs == 6
  for batch in evaluation:
    a, b = (numbers_of(batch[name])[0] for name in 'ab')
    np.testing.assert_array_equal(b, a + 1)
    np.testing.assert_array_equal(batch['b_attributes'], np.stack([b % 2 == 1, b % 3 == 0], -1))
    np.testing.assert_array_equal(batch['truth_ab'][:, 2, 2, 2], b)
    np.testing.assert_allclose(batch['b_mask'][:, 3, 4, 0], b / 23, rtol=1e-6)
  _, (evaluation,) = _evaluated(a='', b='')
  assert evaluation.num_pairs == 23
  assert numbers_of(list(evaluation)[-1]['b'])[0][2] == 0  # the last with the first


@pytest.mark.parametrize('fields, names', [
    ({'transfer': NAMES}, NAMES), ({'transfer': NAMES, 'mask': 'Old'}, ('Old',)),
    ({'transfer': ('Glasses',), 'mask': 'Old | Glasses'}, NAMES), ({}, ('Glasses',))])
def test_masks_of_several_attributes_are_laid_over_each_other(fields, names):
  data, (evaluation,) = _evaluated(**fields)
  records = data.records('test')
  for batch in evaluation:
    for name in 'ab':
      for number, mask in zip(numbers_of(batch[name])[0].tolist(), batch[f'{name}_mask'],
                              strict=True):
        each = [records.mask(number, attribute) for attribute in names]
        np.testing.assert_array_equal(mask[..., 0], np.where(each[0] > each[-1], each[0], each[-1]))


def test_a_file_has_one_mask_whatever_is_asked_for(tmp_path):
  root = data_samples.write_domains(tmp_path / 'p')
  for i in range(3):
    images.save_png(tmp_path / 'm' / 'testB' / f'{i:03d}.png', np.full((25, 25), 90, np.uint8))
  config = data_samples.make_config('folder', path=root, masks_path=str(tmp_path / 'm'), mask='B|B')
  batch = next(iter(data_samples.open_data(config, image_size=8).evaluation('test', batch_size=3)))
  np.testing.assert_allclose(batch['b_mask'], 90 / 255, rtol=1e-6)


@pytest.mark.parametrize('size, by', [(8, 1), (31, 1), (64, 2), (128, 4)])
def test_what_is_erased_is_erased_generously(size, by):
  records = {s: NumberedRecords(9, side=size, masks='Glasses', truths=True) for s in SPLITS}
  data = make_data(records=records, image_size=size, transfer=NAMES, erase='Old')
  batch = next(iter(data.evaluation('test', batch_size=4)))
  a, b = (numbers_of(batch[name])[0] for name in 'ab')
  np.testing.assert_array_equal(batch['truth_ab_erased'][:, 2, 2, 2], b + 100)
  np.testing.assert_array_equal(batch['truth_ab_erased'][:, 2, 2, 0], a)
  np.testing.assert_array_equal(batch['a_erase'], np.full((4, size, size, 1), 0.75, np.float32))
  rows, columns = np.mgrid[:size, :size]
  for number, erase in zip(b.tolist(), batch['b_erase'][..., 0], strict=True):
    near = (abs(rows - number % size) <= by) & (abs(columns - 3) <= by)
    assert erase.dtype == np.float32
    np.testing.assert_array_equal(erase, near)


def test_nothing_is_erased_unless_asked_for():
  _, (evaluation,) = _evaluated()
  assert not {'a_erase', 'b_erase', 'truth_ab_erased'} & set(next(iter(evaluation)))


@pytest.mark.slow
def test_avatars_through_the_door(data_dir):
  config = default_config.get_default()
  config.update(data_dir=data_dir, num_train=40, num_validation=24, num_test=24,
                attributes=('Smiling',))
  data = data_samples.open_data(config, image_size=32)
  assert next(data.train(batch_size=8))['a'].shape == (8, 32, 32, 3)
  batch = next(iter(data.evaluation('test', batch_size=4)))
  # Outside the true region the true answer equals the picture; inside, something changed.
  for answer, picture, mask in (('truth_ab', 'a', 'truth_ab_mask'), ('truth_ba', 'b', 'b_mask')):
    changed = (batch[answer] != batch[picture]).any(axis=-1, keepdims=True)
    assert changed.any(axis=(1, 2, 3)).all()
    assert (batch[mask][changed] > 0).all() and (batch[mask] == 0).mean() > 0.5
  assert not batch['a_mask'].any()


@pytest.mark.slow
def test_avatars_of_several_attributes_through_the_door(data_dir):
  """LOMIT's setting: one set of faces for both domains, labels, hair and mouth transferred."""
  labels = (*(f'{name}_Hair' for name in avatar_faces.HAIR_COLORS), 'Smiling')
  visible = '~Bald & ~Wearing_Hat'
  config = default_config.get_default()
  config.update(data_dir=data_dir, num_train=40, num_validation=24, num_test=24, attributes=labels,
                a=visible, b=visible, transfer=('hair_color', 'mouth'), erase='mouth')
  data = data_samples.open_data(config, image_size=32)
  batch = next(data.train(batch_size=8))
  np.testing.assert_array_equal(batch['a_attributes'][:, :-1].sum(axis=1), np.ones(8))
  records, (a, b) = data.records('test'), data.members('test')
  assert len(a) > 12 and (a == b).all()
  [batch] = data.evaluation('test', batch_size=len(a))
  for i, face in enumerate(map(records.recipe, a)):
    other = records.recipe(b[(i + 1) % len(a)])
    assert face != other
    # Every face has a hair colour and a mouth: where b loses its own, it gets a's.
    back = dataclasses.replace(other, hair_color=face.hair_color, mouth=face.mouth)
    np.testing.assert_array_equal(batch['truth_ba'][i], avatar_faces.render(back, 32))
    wearing, keeping = face, face
    for field in ('hair_color', 'mouth'):
      wearing = dataclasses.replace(wearing, **{field: getattr(other, field)})
    keeping = dataclasses.replace(face, hair_color=other.hair_color)
    for name, expected in (('a', face), ('b', other), ('truth_ab', wearing),
                           ('truth_ab_erased', keeping)):
      np.testing.assert_array_equal(batch[name][i], avatar_faces.render(expected, 32))
    for name, one, two in (('truth_ab_mask', face, wearing), ('a_erase', wearing, keeping)):
      np.testing.assert_allclose(batch[name][i, ..., 0], avatar_faces.changed(one, two, 32))
    for name, one in (('a_mask', face), ('b_mask', other)):
      hair = max((avatar_faces.attribute_mask(one, label, 32) for label in labels[:-1]),
                 key=np.sum)
      mouth = avatar_faces.attribute_mask(one, 'mouth', 32)
      np.testing.assert_array_equal(batch[name][i, ..., 0], np.maximum(hair, mouth))
      assert hair.any() and mouth.any()
    mouth = avatar_faces.attribute_mask(other, 'mouth', 32) > 0
    assert batch['b_erase'][i, mouth].all() and batch['b_erase'][i].mean() < 0.3
