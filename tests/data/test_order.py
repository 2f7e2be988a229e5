"""Zooms and fixed pairs: separate random streams, which do not affect the order of records."""

import itertools

import numpy as np

from helpers.numbered_records import (
  assert_same,
  make_data,
  NumberedRecords,
  numbers_of,
  take,
)
from maskgan_jax.data import order
from maskgan_jax.data.records import SPLITS


class Noise(NumberedRecords):
  """Pictures in which neighbouring pixels differ, so that any zoom changes them."""

  def image(self, index):
    return np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def _noisy(**fields):
  return make_data(400, records={split: Noise(400) for split in SPLITS}, **fields)


def test_zooms_are_drawn_beside_everything_else():
  """About the requested share is zoomed, anew each epoch; order, flips and crops stay."""
  plain = take(_noisy().train(batch_size=200), 4)
  zoomed = take(_noisy(zoom_probability=0.3).train(batch_size=200), 4)
  changed = {name: np.stack([(left[name] != right[name]).any(axis=(1, 2, 3))
                             for left, right in zip(plain, zoomed, strict=True)]) for name in 'ab'}
  for name in 'ab':
    assert (np.abs(changed[name].sum(axis=1) - 60) < 4 * np.sqrt(200 * 0.3 * 0.7)).all()
  agreement = [(left == right).mean() for left, right in
               itertools.combinations([*changed['a'], *changed['b']], 2)]
  assert max(agreement) < 0.75  # by chance 0.58
  numbered = [next(make_data(400, **fields).train(batch_size=200))
              for fields in ({}, {'zoom_probability': 1.0})]
  for name in 'ab':
    for left, right in zip(*(numbers_of(batch[name]) for batch in numbered), strict=True):
      np.testing.assert_array_equal(left, right)


def test_zooms_belong_to_seed_record_and_epoch():
  assert_same(*(next(_noisy(zoom_probability=1.0).train(batch_size=9)) for _ in range(2)))
  domain, other = (order.Order(np.arange(50), seed=seed, domain=0) for seed in (0, 1))
  once, again = np.arange(50), np.arange(50, 100)
  of_record = {int(record): zoom for record, zoom in zip(domain.take(once)[0], domain.zooms(once),
                                                         strict=True)}
  for record, zoom in zip(domain.take(once[::-1])[0], domain.zooms(once[::-1]), strict=True):
    np.testing.assert_array_equal(of_record[int(record)], zoom)
  drawn = [domain.take(once)[1].ravel(), *(x.ravel() for x in (
      domain.zooms(once), domain.zooms(again), other.zooms(once),
      order.Order(np.arange(50), seed=0, domain=1).zooms(once)))]
  assert len(np.unique(np.concatenate(drawn))) == 50 * (3 + 4 * 4)  # no two streams share a value


def _pairs_of(batch):
  return list(zip(*(numbers_of(batch[name])[0].tolist() for name in 'ab'), strict=True))


def test_fixed_pairs_meet_in_every_epoch_and_nobody_else():
  data = make_data(45, a='~Glasses', b='Glasses & ~Old', fixed_pairs=True)  # 23 and 15
  batches = take(data.train(batch_size=23), 30)
  epochs = [_pairs_of(batch) for batch in batches]
  assert len({frozenset(epoch) for epoch in epochs}) == 1  # each is a permutation of the same
  assert len(set(map(tuple, epochs))) == 30
  a, b = zip(*epochs[0], strict=True)
  assert sorted(a) == list(range(0, 45, 2))
  assert set(b) == {i for i in range(1, 45, 2) if i % 3}  # eight of them occur twice
  assert sorted(map(b.count, set(b))) == 7 * [1] + 8 * [2]
  flips = [(numbers_of(batch['a'])[1] == numbers_of(batch['b'])[1]).mean() for batch in batches]
  assert abs(np.mean(flips) - 0.5) < 4 * 0.5 / np.sqrt(690)


def test_fixed_pairs_are_those_of_the_seed():
  def pairs(**fields):
    return set(_pairs_of(next(make_data(46, fixed_pairs=True, **fields).train(batch_size=23))))
  assert pairs() == pairs(load_size=10, zoom_probability=0.5, in_memory='never')
  assert len(pairs() & pairs(seed=1)) < 6  # one is expected
  small = make_data(46, fixed_pairs=True).train(batch_size=4)
  met = {pair for batch in take(small, 60) for pair in _pairs_of(batch)}
  assert met == pairs()


def test_the_order_is_the_same_on_every_machine_and_version():
  """Golden: a change reshuffles every resumed run, so only a major version may make one."""
  records, uniforms = order.Order(np.arange(5), seed=1, domain=0).take(np.arange(10))
  assert records.tolist() == [2, 4, 0, 3, 1, 3, 1, 4, 0, 2]
  np.testing.assert_allclose(uniforms[0], [0.887658, 0.857153, 0.02212], atol=1e-6)
  zooms = order.Order(np.arange(5), seed=1, domain=0).zooms(np.arange(1))
  np.testing.assert_allclose(zooms, [[0.100524, 0.616964, 0.958231, 0.966812]], atol=1e-6)
  a, b = order.fixed_pairs(np.arange(5), np.arange(10, 14), seed=1)
  assert (a.tolist(), b.tolist()) == ([0, 2, 1, 4, 3], [11, 13, 10, 12, 11])
  paired = [order.Order(np.arange(5), seed=1, domain=domain, in_step=True) for domain in (0, 1)]
  assert [x.take(np.arange(10))[0].tolist() for x in paired] == [[3, 2, 1, 0, 4, 1, 3, 4, 2, 0]] * 2


def test_batches_of_earlier_versions_are_kept():
  """Golden, as above; the numbers date from before zooms and fixed pairs existed."""
  batch = next(make_data(23).train(batch_size=6, draws=2, start_step=1))
  numbers, flips = numbers_of(batch['a'])
  assert numbers.tolist() == [[14, 12, 8, 10, 6, 18], [2, 0, 4, 16, 20, 22]]
  assert flips.astype(int).tolist() == [[0, 0, 0, 0, 1, 0], [1, 0, 0, 1, 0, 1]]
  assert numbers_of(batch['b'])[0].tolist() == [[3, 9, 15, 13, 21, 1], [17, 19, 7, 11, 17, 7]]
