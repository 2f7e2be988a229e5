"""Batches are a pure function of (seed, step), for any processes, memory and history."""

import contextlib
import itertools
import os
import subprocess
import sys
import time

import ml_collections
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
  take,
)
from maskgan_jax import errors
from maskgan_jax.data import default_config, images
from maskgan_jax.data.records import SPLITS


@pytest.mark.parametrize('count, batch_size', [(23, 4), (23, 8), (9, 16), (3, 8), (40, 10)])
def test_every_record_once_an_epoch_in_an_order_of_its_own(count, batch_size):
  batches = take(make_data(count).train(batch_size=batch_size), 24)
  for name, members in (('a', range(0, count, 2)), ('b', range(1, count, 2))):
    numbers = np.concatenate([numbers_of(batch[name])[0] for batch in batches])
    size = len(members)
    epochs = [numbers[i:i + size].tolist() for i in range(0, len(numbers) - size + 1, size)]
    assert len(epochs) >= 3 and all(sorted(epoch) == list(members) for epoch in epochs)
    assert len(set(map(tuple, epochs))) > 1 or size == 1


def test_domains_have_orders_of_their_own():
  batch = next(make_data(200, a='', b='').train(batch_size=200))
  a, b = (numbers_of(batch[name])[0] for name in 'ab')
  assert sorted(a) == sorted(b) == list(range(200)) and (a != b).mean() > 0.9


def test_one_set_for_both_domains_is_paired_at_random():
  """LOMIT's batches: pictures are paired independently, and anew every epoch."""
  count, epochs = 12, 600
  iterator = make_data(count, a='', b='').train(batch_size=count)
  met = np.zeros((count, count), int)
  for batch in take(iterator, epochs):
    np.add.at(met, tuple(numbers_of(batch[name])[0] for name in 'ab'), 1)
  assert (met.sum(axis=0) == epochs).all() and (met.sum(axis=1) == epochs).all()
  expected = epochs / count
  # Chi-square of such a table has (n - 1)^2 degrees of freedom; allow five deviations.
  statistic = ((met - expected) ** 2 / expected).sum()
  assert abs(statistic - (count - 1) ** 2) < 5 * np.sqrt(2) * (count - 1)
  assert abs(np.trace(met) - epochs) < 5 * np.sqrt(epochs)


@pytest.mark.parametrize('fields', [{}, {'load_size': 10, 'attributes': NAMES},
                                    {'zoom_probability': 0.5, 'fixed_pairs': True}])
def test_processes_share_the_batch_of_one(fields):
  whole = take(make_data(**fields).train(batch_size=8), 5)
  for count in (1, 2, 4):
    parts = [take(make_data(**fields).train(batch_size=8, process_index=i, process_count=count), 5)
             for i in range(count)]
    for step in range(5):
      joined = {name: np.concatenate([part[step][name] for part in parts]) for name in whole[step]}
      assert_same(joined, whole[step])


def test_a_resumed_run_gets_what_an_uninterrupted_one_does():
  for fields in ({}, {'zoom_probability': 0.5, 'fixed_pairs': True}):
    data = make_data(load_size=10, attributes=('Old',), **fields)
    whole = take(data.train(batch_size=6, draws=2), 12)
    for start in (1, 5, 11):
      resumed = next(data.train(batch_size=6, draws=2, start_step=start))
      assert_same(resumed, whole[start])


def test_seeds_decide_and_nothing_else_does():
  first, again, other = (next(make_data(200, seed=seed).train(batch_size=64)) for seed in (3, 3, 4))
  assert_same(first, again)
  for name in 'ab':
    assert (numbers_of(first[name])[0] != numbers_of(other[name])[0]).mean() > 0.8
  next(make_data(200, seed=-1).train(batch_size=2))  # any integer is accepted


def test_draws_are_the_next_records_not_the_same():
  single = take(make_data(load_size=10).train(batch_size=4), 6)
  double = take(make_data(load_size=10).train(batch_size=4, draws=3), 2)
  for step, batch in enumerate(double):
    assert batch['a'].shape == (3, 4, 8, 8, 3)
    for draw in range(3):
      assert_same({name: batch[name][draw] for name in batch}, single[3 * step + draw])


@pytest.mark.parametrize('fields', [{}, {'load_size': 11}, {'flip': False},
                                    {'zoom_probability': 0.5}, {'fixed_pairs': True}])
def test_memory_changes_no_batch(fields):
  kept = take(make_data(in_memory='always', **fields).train(batch_size=8), 9)
  fresh = take(make_data(in_memory='never', **fields).train(batch_size=8), 9)
  for left, right in zip(kept, fresh, strict=True):
    assert_same(left, right)


def test_kept_pictures_are_read_once():
  data = make_data(23, in_memory='always')
  take(data.train(batch_size=8), 20)
  assert sorted(data.records('train').reads) == list(range(23))
  data = make_data(23, in_memory='always', a='~Glasses & Old')
  take(data.train(batch_size=8), 20)
  assert sorted(data.records('train').reads) == [i for i in range(23) if i % 2 or i % 3 == 0]


def test_a_closed_feed_has_ended_and_closes_again():
  feed = make_data().train(batch_size=2)
  next(feed)
  feed.close()
  feed.close()
  assert list(feed) == []


def test_auto_keeps_what_is_small(monkeypatch):
  assert make_data(23).describe()['in_memory']
  assert not make_data(23, workers=2).describe()['in_memory']
  monkeypatch.setattr('maskgan_jax.data.pictures.IN_MEMORY_BYTES', 23 * 8 * 8 * 3 - 1)
  assert not make_data(23).describe()['in_memory']


def test_half_are_mirrored_anew_each_epoch():
  data = make_data(400)
  epochs = [next(data.train(batch_size=200, start_step=epoch)) for epoch in range(4)]
  mirrored = []
  for epoch in epochs:
    numbers, flips = numbers_of(epoch['a'])
    mirrored.append(flips[np.argsort(numbers)])
    assert 60 < flips.sum() < 140
    assert (numbers_of(epoch['a'])[1] != numbers_of(epoch['b'])[1]).any()
  agreement = [(left == right).mean() for left, right in itertools.combinations(mirrored, 2)]
  assert max(agreement) < 0.7  # the chance of one record's flips agreeing is a half
  assert not numbers_of(next(make_data(400, flip=False).train(batch_size=200))['a'])[1].any()


def test_random_squares_differ_between_records_and_epochs():
  data = make_data(20, records={split: Gradient() for split in SPLITS}, image_size=8,
               load_size=16, flip=False)
  corners = [next(data.train(batch_size=10, start_step=s))['a'][:, 0, 0, :2] for s in range(6)]
  corners = np.concatenate(corners)
  assert len(np.unique(corners, axis=0)) > 20
  assert corners.min() == 0 and corners.max() == 8  # every offset from 0 to load_size - image_size


def test_attributes_belong_to_their_pictures():
  data = make_data(attributes=('Old', 'Glasses'))
  for batch in take(data.train(batch_size=8, draws=2), 3):
    for name in 'ab':
      numbers = numbers_of(batch[name])[0]
      assert batch[f'{name}_attributes'].dtype == np.float32
      expected = np.stack([numbers % 3 == 0, numbers % 2 == 1], axis=-1)
      np.testing.assert_array_equal(batch[f'{name}_attributes'], expected)


# Real pictures, opened as commands open them.


def test_a_folder_of_photographs_end_to_end(tmp_path):
  root = data_samples.write_domains(tmp_path / 'p', num_train=(20, 30), num_test=(5, 7))
  for i in range(7):
    mask = np.full((50, 50), 40 * i, np.uint8)
    images.save_png(tmp_path / 'masks' / 'testB' / f'{i:03d}.png', mask)
  config = data_samples.make_config('folder', path=root, masks_path=str(tmp_path / 'masks'))
  data = data_samples.open_data(config, image_size=25)
  plain, faces = data_samples.faces()
  for batch in take(data.train(batch_size=16), 4):
    for name, originals in (('a', plain), ('b', faces)):
      originals = np.concatenate([originals[:30], originals[:30, :, ::-1]])
      assert all((originals == image).all(axis=(1, 2, 3)).any() for image in batch[name])
  batch = next(iter(data.evaluation('test', batch_size=8)))
  assert batch['valid'].sum() == 5 and 'a_mask' not in batch
  np.testing.assert_array_equal(batch['b'][:5], faces[50:55])
  np.testing.assert_allclose(batch['b_mask'][:5, 0, 0, 0], np.arange(5) * 40 / 255, rtol=1e-6)
  counts = data.describe()['counts']
  assert counts['test'] == {'a': 5, 'b': 7, 'pictures': 12}
  assert counts['train']['a'] + counts['validation']['a'] == 20


def test_caps_take_some_of_each_domain_and_always_the_same(tmp_path):
  root = data_samples.write_domains(tmp_path, num_train=(20, 30), num_test=(8, 9))
  config = data_samples.make_config('folder', path=root, num_train=6, num_test=3)
  data = data_samples.open_data(config, image_size=8)
  counts = data.describe()['counts']
  assert (counts['train']['a'], counts['train']['b'], counts['test']['b']) == (6, 6, 3)
  chosen = data.members('train')[1]
  again = data_samples.open_data(config, image_size=8, seed=1).members('train')[1]
  np.testing.assert_array_equal(chosen, again)
  assert (np.diff(chosen) > 0).all() and np.diff(chosen).max() > 1  # in order, but not the first


def test_fingerprints_tell_data_apart():
  base = make_data().fingerprint
  assert base == make_data(seed=5, in_memory='never', workers=3, prefetch=9).fingerprint
  others = [make_data(24), make_data(image_size=7), make_data(flip=False),
            make_data(crop='center:7'), make_data(attributes=('Old',)),
            make_data(a='~Glasses & Old'), make_data(image_width=9), make_data(test_whole=True),
            make_data(zoom_probability=0.5), make_data(zoom_probability=0.5, zoom_least=0.7),
            make_data(fixed_pairs=True)]
  assert len({base, *(data.fingerprint for data in others)}) == 12
  assert base == make_data(image_width=8).fingerprint  # the same shape


def test_fingerprints_are_kept():
  """Golden: with another fingerprint no run could resume from its checkpoints."""
  assert make_data().fingerprint == '5f28fe7d003194f8'
  assert make_data(load_size=11, attributes=('Old',)).fingerprint == '93050c21e36c95ab'


@pytest.mark.parametrize('in_memory', ['always', 'never'])
@pytest.mark.parametrize('workers', [0, pytest.param(2, marks=pytest.mark.slow)])
def test_an_unreadable_picture_is_named(tmp_path, in_memory, workers):
  root = data_samples.write_domains(tmp_path)
  (tmp_path / 'trainA' / '003.png').write_bytes(b'\x89PNG broken')
  config = data_samples.make_config('folder', path=root, in_memory=in_memory, workers=workers,
                                    validation_fraction=0.0)
  iterator = data_samples.open_data(config, image_size=8).train(batch_size=8)
  with pytest.raises(errors.UserError, match='003.png is not a picture'):
    take(iterator, 3)


@pytest.mark.slow
def test_workers_change_no_batch(tmp_path):
  root = data_samples.write_domains(tmp_path)
  batches = {}
  for workers in (0, 2):
    config = data_samples.make_config('folder', path=root, in_memory='auto', workers=workers,
                                      load_size=14, attributes=('B',))
    data = data_samples.open_data(config, image_size=12)
    iterator = data.train(batch_size=4, start_step=3, draws=2)
    batches[workers] = take(iterator, 6)
  for left, right in zip(batches[0], batches[2], strict=True):
    assert_same(left, right)


_SCRIPT = '''
import sys, time
from maskgan_jax import config as run_config
from maskgan_jax.data import pipeline

if __name__ == '__main__':
  config = run_config.default('lomit')
  config.image_size = 8
  config.data.update(source='folder', path=sys.argv[1], workers=2)
  feed = pipeline.make(config).train(batch_size=4)
  next(feed)
  print('ready', flush=True)
  time.sleep(float(sys.argv[2]))
'''


def _children(process):
  """Returns the ids of the processes that a process started (Linux)."""
  children = []
  for number in filter(str.isdigit, os.listdir('/proc')):
    with contextlib.suppress(OSError), open(f'/proc/{number}/stat') as file:
      if int(file.read().rpartition(')')[2].split()[1]) == process:
        children.append(int(number))
  return children


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir('/proc'), reason='looks for processes in /proc')
def test_workers_end_with_their_program(tmp_path):
  root = data_samples.write_domains(tmp_path)
  command = [sys.executable, '-W', 'error', '-c', _SCRIPT, root]
  done = subprocess.run([*command, '0'], capture_output=True, text=True, check=False)
  assert (done.returncode, done.stdout, done.stderr) == (0, 'ready\n', '')
  with subprocess.Popen([*command, '60'], stdout=subprocess.PIPE, text=True) as program:
    assert program.stdout.readline() == 'ready\n'
    workers = _children(program.pid)
    assert len(workers) >= 2
    program.kill()
  deadline = time.monotonic() + 20
  while any(os.path.exists(f'/proc/{worker}') for worker in workers):
    assert time.monotonic() < deadline, 'workers outlive a killed program'
    time.sleep(0.1)


# Mistakes.


def test_batches_that_cannot_be_divided():
  for batch_size, count in ((6, 4), (0, 1), (-2, 1)):
    with pytest.raises(errors.UserError, match=f'batch_size={batch_size} must be a positive'):
      make_data().train(batch_size=batch_size, process_count=count)
    with pytest.raises(errors.UserError, match=f'batch_size={batch_size} must be a positive'):
      make_data().evaluation('test', batch_size=batch_size, process_count=count)


def test_empty_domains_say_what_there_is():
  problem = r"b is empty: 'Glasses & ~Glasses' selects none of the 23 train pictures \(11 with Gl"
  with pytest.raises(errors.UserError, match=problem):
    make_data(b='Glasses & ~Glasses').train(batch_size=2)
  data = make_data(records={'train': NumberedRecords(9), 'validation': NumberedRecords(0),
                        'test': NumberedRecords(1)})
  with pytest.raises(errors.UserError, match='no validation pictures; .*validation_fraction'):
    data.evaluation('validation', batch_size=2)
  with pytest.raises(errors.UserError, match='change config.data.test_b, or add'):
    data.evaluation('test', batch_size=2)
  with pytest.raises(errors.UserError, match='tset.*did you mean .test'):
    data.evaluation('tset', batch_size=2)


@pytest.mark.parametrize('fields, problem', [
    ({'attributes': ('Glases',)}, "data.attributes: .*'Glases'.*did you mean 'Glasses'"),
    ({'transfer': ('Hat',)}, "transfer: there is no attribute 'Hat'; attributes: Glasses, Old"),
    ({'mask': 'Olt'}, "data.mask='Olt': .*did you mean 'Old'"),
    ({'mask': 'Old | Glasses | Hat'}, "there is no attribute 'Hat'.* at character 17"),
    ({'mask': 'Old & ~Glasses'}, "data.mask='Old & ~Glasses': expected names with '|' between"),
    ({'erase': 'Old'}, "data.erase='Old' must be one of what is transferred: Glasses"),
    ({'mask': 'mouth'}, "no attribute 'mouth'"),  # a feature that only avatars have
    ({'in_memory': 'yes'}, "in_memory='yes' must be one of auto, always, never"),
    ({'workers': -1}, 'workers=-1'),
    ({'prefetch': 0}, 'prefetch=0'),
    ({'num_test': -1}, 'num_test=-1'),
])
def test_fields_that_make_no_sense(fields, problem):
  with pytest.raises(errors.UserError, match=problem):
    make_data(**fields)


def test_defaults_are_plain_and_complete():
  config = default_config.get_default()
  assert isinstance(config, ml_collections.ConfigDict)
  assert all(isinstance(value, (str, bool, int, float, tuple)) for value in config.values())
