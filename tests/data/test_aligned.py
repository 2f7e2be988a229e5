"""Pictures of one scene stay together in batches, splits and evaluation, or a message says why.

A source's own test pictures can be left out.
"""

import os

import numpy as np
import pytest

from helpers import data_samples
from helpers.data_samples import domains, open_source
from helpers.numbered_records import (
  assert_same,
  make_data,
  NumberedRecords,
  numbers_of,
  take,
)
from maskgan_jax import errors
from maskgan_jax.data import images, order
from maskgan_jax.data.records import name_fraction, SPLITS

_PLAIN, _FACES = data_samples.faces()


class Scenes(NumberedRecords):
  """Noise in which a_i and b_i, records 2i and 2i + 1, are a picture and its negative."""

  def image(self, index):
    noise = np.random.default_rng(index // 2).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return 255 - noise if index % 2 else noise


def _scenes(count=40, **fields):
  return make_data(records={split: Scenes(count) for split in SPLITS}, aligned=True,
                   **fields)


def _write_scenes(root, count=30, num_test=4):
  """Writes trainA and trainB with 000.png, ..., one grey level per scene; returns the root."""
  for split, number, start in (('train', count, 0), ('test', num_test, 50)):
    for domain in 'AB':
      pictures = [np.full((12, 12, 3), 2 * (start + i) + (domain == 'B'), np.uint8)
                  for i in range(number)]
      data_samples.write(root / f'{split}{domain}', pictures, start=start)
  return str(root)


# Batches.


@pytest.mark.parametrize('count, batch_size', [(24, 8), (22, 8), (6, 8)])
def test_scenes_meet_in_every_epoch_each_once(count, batch_size):
  batches = take(make_data(count, aligned=True).train(batch_size=batch_size), 24)
  a, b = (np.concatenate([numbers_of(batch[name])[0] for batch in batches]) for name in 'ab')
  np.testing.assert_array_equal(b, a + 1)
  size = count // 2
  epochs = [a[i:i + size].tolist() for i in range(0, len(a) - size + 1, size)]
  assert all(sorted(epoch) == list(range(0, count, 2)) for epoch in epochs)
  assert len(set(map(tuple, epochs))) > 3


@pytest.mark.parametrize('fields', [
    {}, {'load_size': 10}, {'zoom_probability': 0.7}, {'in_memory': 'never', 'load_size': 10}])
def test_scenes_are_augmented_alike_and_scenes_differently(fields):
  batches = take(_scenes(**fields).train(batch_size=10), 6)
  for batch in batches:
    # A resized negative equals the resized picture's negative up to rounding.
    total = batch['a'].astype(int) + batch['b']
    assert np.abs(total - 255).max() <= 2
  if not fields:
    first = np.concatenate([numbers_of(batch['a'])[1] for batch in
                            take(make_data(400, aligned=True).train(batch_size=200), 2)])
    assert 140 < first.sum() < 260
  else:  # anew in each epoch
    again = take(_scenes(**fields).train(batch_size=20), 3)
    assert len({image.tobytes() for batch in again for image in batch['a']}) > 30


def test_a_pair_is_a_function_of_seed_and_step():
  fields = {'load_size': 10, 'zoom_probability': 0.5}
  whole = take(_scenes(**fields).train(batch_size=8, draws=2), 6)
  assert_same(next(_scenes(**fields).train(batch_size=8, draws=2, start_step=4)), whole[4])
  parts = [next(_scenes(**fields).train(batch_size=8, draws=2, process_index=i, process_count=2))
           for i in range(2)]
  assert_same({name: np.concatenate([part[name] for part in parts], axis=1) for name in 'ab'},
              whole[0])
  other = next(_scenes(seed=1, **fields).train(batch_size=8, draws=2))
  assert (other['a'] != whole[0]['a']).any()


def test_aligned_orders_are_the_same_on_every_machine_and_version():
  """Golden, as in test_order.py: a change of these numbers reshuffles every resumed run."""
  a, b = (order.Order(np.arange(5), seed=1, domain=domain, aligned=True) for domain in (0, 1))
  for one, two in zip(a.take(np.arange(10)), b.take(np.arange(10)), strict=True):
    np.testing.assert_array_equal(one, two)
  np.testing.assert_array_equal(a.zooms(np.arange(9)), b.zooms(np.arange(9)))
  assert a.take(np.arange(10))[0].tolist() == [3, 2, 1, 0, 4, 1, 3, 4, 2, 0]
  np.testing.assert_allclose(a.take(np.arange(1))[1], [[0.231909, 0.361013, 0.457073]],
                             atol=1e-6)


def test_fingerprint_tells_alignment():
  assert make_data(24, aligned=True).fingerprint not in (
      make_data(24).fingerprint, make_data(24, fixed_pairs=True).fingerprint)


# Folders.


def test_folder_is_divided_by_scene_and_its_pictures_are_each_others_truth(tmp_path):
  fields = {'path': _write_scenes(tmp_path), 'aligned': True, 'own_test': False,
            'test_fraction': 0.3, 'validation_fraction': 0.2, 'num_train': 8}
  data = data_samples.open_data(data_samples.make_config('folder', **fields), image_size=12)
  all_names = []
  for split in SPLITS:
    names = [[data.records(split).name(int(i)) for i in members]
             for members in data.members(split)]
    assert [name[7:] for name in names[0]] == [name[7:] for name in names[1]]
    all_names += names[0]
    batch = next(iter(data.evaluation(split, batch_size=4)))
    np.testing.assert_array_equal(batch['b'], batch['a'] + 1)
    np.testing.assert_array_equal(batch['truth_ab'], batch['b'])
    np.testing.assert_array_equal(batch['truth_ba'], batch['a'])
    assert 'truth_ab_mask' not in batch
  assert len(set(all_names)) == len(all_names) and len(data.members('train')[0]) == 8
  for batch in take(data.train(batch_size=4), 5):
    np.testing.assert_array_equal(batch['b'], batch['a'] + 1)
  again = open_source('folder', **fields | {'aligned': False})
  names = domains(again, 'test')
  assert {name[7:] for name in names[0]} != {name[7:] for name in names[1]}  # each by its own hash


def test_truths_are_of_the_scene_whoever_is_beside_it(tmp_path):
  config = data_samples.make_config('folder', path=_write_scenes(tmp_path), aligned=True)
  data = data_samples.open_data(config, image_size=12)
  a, b = data.members('test')
  rows = data.pairs('test', a[:3], b[1:4]).get(range(3))
  for row in rows:
    assert row['b'][0, 0, 0] == row['a'][0, 0, 0] + 3
    np.testing.assert_array_equal(row['truth_ab'], row['a'] + 1)
    np.testing.assert_array_equal(row['truth_ba'], row['b'] - 1)


@pytest.mark.parametrize('fields', [{'test_first': 3}, {'own_splits': False}, {'num_test': 2},
                                    {'own_splits': False, 'own_test': False}])
def test_every_division_keeps_scenes_together(tmp_path, fields):
  opened = open_source('folder', path=_write_scenes(tmp_path, 20), aligned=True, **fields)
  for split in SPLITS:
    a, b = domains(opened, split)
    assert [name.replace('A/', 'B/') for name in a] == b and b


@pytest.mark.parametrize('name_a, name_b', [
    ('{:03d}', '{:03d}'), ('{}_A', '{}_B'), ('sketch_{:02d}', 'photo_{:02d}'),
    ('aachen_{:04d}_leftImg8bit', 'aachen_{:04d}_gtFine_color')])
def test_names_of_one_scene_may_bear_a_mark_of_the_domain(tmp_path, name_a, name_b):
  root = _write_scenes(tmp_path, 12)
  for domain, name in (('A', name_a), ('B', name_b)):
    folder = tmp_path / f'train{domain}'
    for i in range(12):
      os.rename(folder / f'{i:03d}.png', folder / (name.format(i) + '.png_'))
    for path in list(folder.iterdir()):
      os.rename(path, str(path)[:-1])
  opened = open_source('folder', path=root, aligned=True)
  a, b = (np.concatenate([domains(opened, split)[domain] for split in ('train', 'validation')])
          for domain in (0, 1))
  marks = name_a.partition('{')[0], name_a.partition('}')[2]
  numbers = [name[7:-4].removeprefix(marks[0]).removesuffix(marks[1]) for name in a]
  marks = name_b.partition('{')[0], name_b.partition('}')[2]
  assert numbers == [name[7:-4].removeprefix(marks[0]).removesuffix(marks[1]) for name in b]


def test_names_that_do_not_match_are_named(tmp_path):
  root = _write_scenes(tmp_path, 12)
  os.rename(tmp_path / 'trainB' / '004.png', tmp_path / 'trainB' / '104.png')
  with pytest.raises(errors.UserError, match='trainA/004.png and trainB/005.png are both number 5'):
    open_source('folder', path=root, aligned=True)
  for i in range(12):  # they have nothing in common, and no common mark either
    os.rename(tmp_path / 'trainB' / ('104.png' if i == 4 else f'{i:03d}.png'),
              tmp_path / 'trainB' / f'{500 - 7 * i}.png')
  with pytest.raises(errors.UserError, match='trainA/000.png and trainB/423.png') as caught:
    open_source('folder', path=root, aligned=True)
  assert '\n' not in str(caught.value)
  os.remove(tmp_path / 'trainB' / '500.png')
  with pytest.raises(errors.UserError, match='the train pictures are 12 of a and 11 of b'):
    open_source('folder', path=root, aligned=True)


def test_table_is_aligned_by_its_rows(tmp_path):
  rows = []
  for i in range(10):
    for with_hat in (0, 1):
      images.save_png(tmp_path / f'{9 - i}{"xy"[with_hat]}.png',
                      np.full((12, 12, 3), 2 * i + with_hat, np.uint8))
      rows.append(f'{9 - i}{"xy"[with_hat]}.png,{with_hat}')
  (tmp_path / 'table.csv').write_text('\n'.join(['file,Hat', *rows]) + '\n')
  config = data_samples.make_config('csv', attributes_file=str(tmp_path / 'table.csv'), a='~Hat',
                                    b='Hat', aligned=True, test_rows=4)
  data = data_samples.open_data(config, image_size=12)
  batch = next(iter(data.evaluation('test', batch_size=2)))
  assert batch['a'][:, 0, 0, 0].tolist() == [0, 2]
  np.testing.assert_array_equal(batch['truth_ab'], batch['a'] + 1)
  with pytest.raises(errors.UserError, match='10 pictures are in both domains; change'):
    open_source('csv', **{name: config[name] for name in ('attributes_file', 'aligned')}, a='Hat',
                b='Hat')


@pytest.mark.parametrize('fields, problem', [
    ({'fixed_pairs': True}, 'aligned and fixed_pairs both say who meets whom'),
    ({'a': 'Old'}, 'the train pictures are 8 of a and 12 of b'),
    ({'a': 'Glasses'}, '12 train pictures are in both domains')])
def test_domains_that_cannot_be_aligned(fields, problem):
  with pytest.raises(errors.UserError, match=problem):
    make_data(24, aligned=True, **fields)


@pytest.mark.parametrize('source, reason', [
    ('tfds', 'since TFDS shuffles the two domains apart'),
    ('avatars', 'sources that can be aligned: circle_square, folder, csv'),
    ('colored_digits', "'colored_digits' are not of one scene"), ('celeba', "of source 'celeba'")])
def test_sources_that_cannot_be_aligned_say_so(source, reason):
  with pytest.raises(errors.UserError, match=f'aligned=True.*{reason}'):
    open_source(source, aligned=True)


# Own test pictures, left out.


def test_own_test_pictures_are_left_out(tmp_path):
  root = data_samples.write_domains(tmp_path, num_train=(40, 50), num_test=(3, 4))
  fields = {'path': root, 'test_fraction': 0.2}
  kept, opened = open_source('folder', **fields), open_source('folder', own_test=False, **fields)
  names = {split: [name for part in domains(opened, split) for name in part]
           for split in SPLITS}
  assert all(name.startswith('train') for split_names in names.values() for name in split_names)
  assert len(set().union(*names.values())) == 90
  assert len(names['test']) == pytest.approx(18, abs=14) and min(map(len, names.values())) > 0
  assert opened.divided == {
      'train': 'own', 'validation': kept.divided['validation'],
      'test': '0.2 of the training pictures, by hash of the name; the 7 of the source are left out'}
  hashed = {name for name in names['train'] + names['validation'] + names['test']
            if name_fraction(name) < 0.2}
  assert set(names['test']) == hashed
  prints = [data_samples.open_data(data_samples.make_config('folder', own_test=own_test, **fields),
                          image_size=8).fingerprint for own_test in (True, False)]
  assert prints[0] != prints[1]


def test_own_test_pictures_stay_out_whatever_the_rule(tmp_path):
  root = data_samples.write_domains(tmp_path)
  for fields in ({'own_splits': False}, {'test_first': 2}, {'test_rows': 3}):
    opened = open_source('folder', path=root, own_test=False, **fields)
    names = [name for split in SPLITS for part in domains(opened, split) for name in part]
    assert len(names) == 18 and all(name.startswith('train') for name in names)
    assert 'the 7 of the source are left out' in opened.divided['test']
    if 'test_first' in fields:
      assert domains(opened, 'test') == [['trainA/000.png', 'trainA/001.png'],
                                         ['trainB/000.png', 'trainB/001.png']]


def test_left_out_pictures_are_not_the_first_of_their_domain(tmp_path):
  names = data_samples.write(tmp_path, _FACES[:12])
  rows = [f'{os.path.basename(name)},{i % 2},{"test" if i < 6 else "train"}'
          for i, name in enumerate(names)]
  (tmp_path / 'table.csv').write_text('\n'.join(['file,Hat,split', *rows]) + '\n')
  for rule, test in (({'test_first': 1}, {6, 7}), ({'test_rows': 9}, {6, 7, 8})):
    opened = open_source('csv', attributes_file=str(tmp_path / 'table.csv'), a='~Hat', b='Hat',
                         own_test=False, validation_fraction=0.0, **rule)
    indices = {split: {int(name[:3]) for part in domains(opened, split) for name in part}
               for split in SPLITS}
    assert indices == {'train': set(range(6, 12)) - test, 'validation': set(), 'test': test}


def test_without_own_test_pictures_there_is_nothing_to_leave_out(tmp_path):
  data_samples.write(tmp_path / 'A', _PLAIN[:40])
  data_samples.write(tmp_path / 'B', _FACES[:40])
  one, two = (open_source('folder', path=str(tmp_path), own_test=own_test)
              for own_test in (True, False))
  assert one.divided == two.divided
  assert [r.fingerprint for r in one.records.values()] == [
      r.fingerprint for r in two.records.values()]
