"""Distances of sets: closed forms, SciPy, torch-fidelity, loops, and merging in any order."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg

from helpers.comparing_inception import torch_fidelity
from maskgan_jax.evaluators import _distances as distances
from maskgan_jax.evaluators._distances import Sample, Statistics


def statistics_of(features, batch=7):
  statistics = Statistics(features.shape[1])
  for start in range(0, len(features), batch):
    statistics.update(features[start:start + batch])
  return statistics


def gaussian(mean, covariance, count=1000):
  """Returns statistics with exactly this mean and covariance."""
  return Statistics.restored({'count': count, 'mean': np.asarray(mean, float),
                              'scatter': np.asarray(covariance, float) * (count - 1)})


def random(n, dim, seed=0, rank=None):
  """Returns correlated features of a certain rank, with means far from 0."""
  rng = np.random.default_rng(seed)
  return rng.normal(size=(n, rank or dim)) @ rng.normal(size=(rank or dim, dim)) + 100


def orthogonal(dim, seed=0):
  return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0]


@pytest.mark.parametrize('batch', [1, 7, 64])
def test_statistics_are_those_of_numpy(batch):
  x = random(50, 6) * 1e-3 + 1e4  # E[xx] - E[x]E[x] would keep three digits
  got = statistics_of(x, batch)
  assert got.count == 50
  np.testing.assert_allclose(got.mean, x.mean(0), rtol=1e-14)
  covariance = np.cov(x, rowvar=False)
  assert np.abs(got.covariance - covariance).max() < 1e-7 * np.abs(covariance).max()


def test_padded_rows_do_not_count():
  x = random(9, 4)
  valid = np.arange(9) % 3 > 0
  padded, plain = Statistics(4), Statistics(4)
  with_nan = x.copy()
  with_nan[~valid] = np.nan
  padded.update(with_nan, valid)
  padded.update(with_nan, np.zeros(9, bool))
  plain.update(x[valid])
  assert padded.count == 6
  np.testing.assert_array_equal(padded.covariance, plain.covariance)
  sample, rows = Sample(100), x.astype(np.float32)
  sample.update(with_nan, valid)
  np.testing.assert_array_equal(sample.rows, rows[valid])


def test_merged_over_devices_as_if_by_one():
  x = random(64, 5)
  # Each part is one shard of a batch: what one device or process would have seen.
  mesh = jax.make_mesh((8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
  sharded = jax.device_put(jnp.asarray(x, jnp.float32), jax.NamedSharding(
      mesh, jax.sharding.PartitionSpec('data')))
  whole = Statistics(5)
  assert len(sharded.addressable_shards) == 8
  for shard in sharded.addressable_shards:
    part = Statistics(5)
    part.update(np.asarray(shard.data))
    whole.merge(part)
  alone = statistics_of(x.astype(np.float32), 64)
  assert whole.count == 64
  np.testing.assert_allclose(whole.mean, alone.mean, rtol=1e-14)
  np.testing.assert_allclose(whole.covariance, alone.covariance, rtol=1e-12)
  whole.merge(Statistics(5))
  assert whole.count == 64
  empty = Statistics(5)
  empty.merge(alone)
  np.testing.assert_array_equal(empty.covariance, alone.covariance)


def test_statistics_refuse_what_is_none():
  statistics = Statistics(3)
  for wrong, match in ((np.full((2, 3), np.nan), 'not finite'),
                       (np.full((2, 3), np.inf), 'not finite'),
                       (np.zeros((2, 4)), r'\[2, 4\], not \[B, 3\]'),
                       (np.zeros(3), r'\[3\], not \[B, 3\]')):
    with pytest.raises(ValueError, match=match):
      statistics.update(wrong)
  assert statistics.count == 0
  statistics.update(np.zeros((1, 3)))
  with pytest.raises(ValueError, match='1 features have no covariance'):
    statistics.covariance  # noqa: B018
  for name, wrong in (('mean', np.full(3, np.nan)), ('scatter', np.zeros((3, 2)))):
    with pytest.raises(ValueError, match='expected finite'):
      Statistics.restored(statistics.state() | {name: wrong})


def test_diagonal_gaussians_have_a_closed_form():
  rng = np.random.default_rng(0)
  m1, m2 = rng.normal(size=(2, 30))
  v1, v2 = rng.uniform(0, 5, (2, 30))
  want = ((m1 - m2) ** 2).sum() + ((np.sqrt(v1) - np.sqrt(v2)) ** 2).sum()
  got = distances.frechet_distance(gaussian(m1, np.diag(v1)), gaussian(m2, np.diag(v2)))
  assert got == pytest.approx(want, rel=1e-12)
  # The same after a rotation, where neither covariance is diagonal.
  q = orthogonal(30)
  got = distances.frechet_distance(gaussian(q @ m1, q * v1 @ q.T), gaussian(q @ m2, q * v2 @ q.T))
  assert got == pytest.approx(want, rel=1e-12)


def test_equal_sets_have_no_distance_whatever_their_rank():
  for n, dim, rank in ((200, 40, None), (10, 40, None), (200, 40, 1), (2, 40, None)):
    x = random(n, dim, rank=rank)
    statistics = statistics_of(x)
    size = np.trace(statistics.covariance)
    assert distances.frechet_distance(statistics, statistics_of(x)) <= 1e-12 * size
  still = gaussian(np.ones(4), np.zeros((4, 4)))
  assert distances.frechet_distance(still, gaussian(np.zeros(4), np.zeros((4, 4)))) == 4
  assert distances.frechet_distance(still, still) == 0


def test_covariances_of_rank_one():
  """(u u^T v v^T)^(1/2) has the trace |u.v|."""
  rng = np.random.default_rng(0)
  u, v = rng.normal(size=(2, 500))
  mean = np.zeros(500)
  want = u @ u + v @ v - 2 * abs(u @ v)
  got = distances.frechet_distance(gaussian(mean, np.outer(u, u)), gaussian(mean, np.outer(v, v)))
  assert got == pytest.approx(want, rel=1e-9)
  v -= u * (u @ v) / (u @ u)  # orthogonal: nothing in common
  got = distances.frechet_distance(gaussian(mean, np.outer(u, u)), gaussian(mean, np.outer(v, v)))
  assert got == pytest.approx(u @ u + v @ v, rel=1e-9)


def test_fewer_pictures_than_features():
  """Dimensions in which neither set extends do not change the distance."""
  x, y = random(30, 8), random(40, 8, seed=1)
  want = distances.frechet_distance(statistics_of(x), statistics_of(y))
  wide = orthogonal(300)[:8]
  got = distances.frechet_distance(statistics_of(x @ wide), statistics_of(y @ wide))
  assert got == pytest.approx(want, rel=1e-9)
  # 12 and 9 pictures of 50 features: the trace by the kernel's side, tr((X X^T)^(1/2)) of their
  # centred products, which has no covariance in it at all.
  x, y = random(12, 50), random(9, 50, seed=1)
  parts = [(z - z.mean(0)) / math.sqrt(len(z) - 1) for z in (x, y)]
  overlap = linalg.svdvals(parts[0] @ parts[1].T).sum()
  want = (((x.mean(0) - y.mean(0)) ** 2).sum() + sum((part ** 2).sum() for part in parts)
          - 2 * overlap)
  got = distances.frechet_distance(statistics_of(x), statistics_of(y))
  assert got == pytest.approx(want, rel=1e-9)


def test_against_scipy_where_it_is_well_conditioned():
  x, y = random(300, 20), random(250, 20, seed=1) * 1.3
  one, two = statistics_of(x), statistics_of(y)
  root = linalg.sqrtm(one.covariance @ two.covariance)
  want = ((one.mean - two.mean) ** 2).sum() + np.trace(one.covariance + two.covariance
                                                       - 2 * root.real)
  got = distances.frechet_distance(one, two)
  assert got == pytest.approx(want, rel=1e-9)
  assert distances.frechet_distance(two, one) == pytest.approx(got, rel=1e-12)
  # The form of the definition, with the eigenvalues of R1 C2 R1.
  half = linalg.sqrtm(one.covariance).real
  overlap = np.sqrt(np.linalg.eigvalsh(half @ two.covariance @ half)).sum()
  want = ((one.mean - two.mean) ** 2).sum() + np.trace(one.covariance + two.covariance)
  assert got == pytest.approx(want - 2 * overlap, rel=1e-9)


def test_frechet_distance_is_torch_fidelitys(torch):
  torch_fidelity()
  from torch_fidelity import metric_fid
  x, y = random(300, 20), random(250, 20, seed=1)
  theirs = [metric_fid.fid_features_to_statistics(torch.from_numpy(z)) for z in (x, y)]
  want = metric_fid.fid_statistics_to_metric(*theirs, verbose=False)
  got = distances.frechet_distance(statistics_of(x), statistics_of(y))
  assert got == pytest.approx(want['frechet_inception_distance'], rel=1e-9)


def squared_mmd(x, y, degree, gamma, coefficient):
  """The unbiased estimate, one pair at a time."""
  def kernel(u, v):
    return (gamma * sum(a * b for a, b in zip(u, v, strict=True)) + coefficient) ** degree

  m, n = len(x), len(y)
  xx = sum(kernel(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
  yy = sum(kernel(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
  return xx + yy - 2 * sum(kernel(u, v) for u in x for v in y) / (m * n)


@pytest.mark.parametrize(('degree', 'gamma', 'coefficient'), [
    (3, 0.0, 1.0), (2, 0.01, 0.5), (1, 0.3, 0.0)])
def test_kernel_distance_by_a_loop(degree, gamma, coefficient):
  rng = np.random.default_rng(0)
  x, y = rng.normal(size=(9, 5)), rng.normal(0.3, 1.2, (9, 5))
  want = squared_mmd(x, y, degree, gamma or 1 / 5, coefficient)
  got = distances.kernel_distance(x, y, degree=degree, gamma=gamma, coefficient=coefficient,
                                  subsets=1, subset_size=9)
  np.testing.assert_allclose(got, [want, 0], rtol=1e-9, atol=1e-12)


def test_kernel_distance_over_subsets():
  rng = np.random.default_rng(0)
  x, y = rng.normal(size=(7, 3)), rng.normal(0.5, 1, (8, 3))
  options = dict(degree=3, gamma=0.1, coefficient=1.0)
  mean, deviation = distances.kernel_distance(x, y, subsets=4000, subset_size=3, seed=1, **options)
  # Every subset is equally likely, so their mean converges to the estimate from all.
  whole = squared_mmd(x, y, *options.values())
  assert deviation > 0
  assert abs(mean - whole) < 5 * deviation / math.sqrt(4000)
  again = distances.kernel_distance(x, y, subsets=4000, subset_size=3, seed=1, **options)
  assert again == (mean, deviation)
  other = distances.kernel_distance(x, y, subsets=4000, subset_size=3, seed=2, **options)
  assert other != (mean, deviation)
  for size, subsets in ((1, 5), (8, 5), (3, 0)):
    with pytest.raises(ValueError, match='cannot be taken from 7 and 8 rows'):
      distances.kernel_distance(x, y, subsets=subsets, subset_size=size)


def test_kernel_distance_of_large_sets_is_that_of_small_ones(monkeypatch):
  x, y = random(30, 6) - 99, random(40, 6, seed=1) - 99
  want = distances.kernel_distance(x, y, subsets=20, subset_size=9)  # the kernel of all pairs once
  monkeypatch.setattr(distances, '_WHOLE', 0)  # or for each subset
  np.testing.assert_allclose(distances.kernel_distance(x, y, subsets=20, subset_size=9), want,
                             rtol=1e-12)


def test_kernel_distance_is_unbiased():
  rng = np.random.default_rng(0)
  draws = [distances.kernel_distance(*rng.normal(size=(2, 20, 4)), subsets=1, subset_size=20)[0]
           for _ in range(400)]
  assert abs(np.mean(draws)) < 3.5 * np.std(draws) / 20
  assert min(draws) < 0


@pytest.mark.parametrize('gamma', [0.0, 0.01])
def test_kernel_distance_is_torch_fidelitys(torch, gamma):
  torch_fidelity()
  from torch_fidelity import metric_kid
  x, y = random(40, 16) - 99, random(40, 16, seed=1) - 99
  want = metric_kid.kid_features_to_metric(
      torch.from_numpy(x), torch.from_numpy(y), kid_subsets=1, kid_subset_size=40, verbose=False,
      kid_kernel_poly_gamma=gamma or None, kid_kernel_poly_degree=3, kid_kernel_poly_coef0=1)
  got, _ = distances.kernel_distance(x, y, gamma=gamma, subsets=1, subset_size=40)
  assert got == pytest.approx(want['kernel_inception_distance_mean'], rel=1e-9)


def score_by_loop(logits):
  p = [[math.exp(v) for v in row] for row in logits]
  p = [[v / sum(row) for v in row] for row in p]
  marginal = [sum(column) / len(p) for column in zip(*p, strict=True)]
  divergences = [sum(v * math.log(v / m) for v, m in zip(row, marginal, strict=True) if v)
                 for row in p]
  return math.exp(sum(divergences) / len(divergences))


@pytest.mark.parametrize('splits', [1, 3, 11])
def test_inception_score_by_a_loop(splits):
  logits = np.random.default_rng(0).normal(0, 3, (11, 6))
  ends = [i * 11 // splits for i in range(splits + 1)]
  want = [score_by_loop(logits[i:j].tolist()) for i, j in zip(ends, ends[1:], strict=False)]
  got = distances.inception_score(logits, splits, seed=None)
  np.testing.assert_allclose(got, [np.mean(want), np.std(want)], rtol=1e-9, atol=1e-12)


def test_inception_score_of_certain_classes():
  """Certain answers, all classes equally often: the number of classes. All the same: 1."""
  certain = 2000.0 * np.eye(4)[np.arange(40) % 4] + 5000  # exp of these would overflow
  assert distances.inception_score(certain, 1)[0] == pytest.approx(4, rel=1e-12)
  # Sorted by class, each part has one class only, which scores 1; shuffled, parts have several.
  by_class = certain[np.argsort(np.arange(40) % 4, kind='stable')]
  assert distances.inception_score(by_class, 4, seed=None) == pytest.approx((1, 0))
  shuffled = distances.inception_score(by_class, 4, seed=3)
  assert shuffled[0] > 2 and shuffled == distances.inception_score(by_class, 4, seed=3)
  with pytest.raises(ValueError, match='3 pictures cannot be divided into 4'):
    distances.inception_score(certain[:3], 4)


def test_inception_score_is_torch_fidelitys(torch):
  torch_fidelity()
  from torch_fidelity import metric_isc
  logits = np.random.default_rng(0).normal(0, 3, (53, 20))
  want = metric_isc.isc_features_to_metric(torch.from_numpy(logits), splits=10, shuffle=False)
  got = distances.inception_score(logits, 10, seed=None)
  np.testing.assert_allclose(got, [want['inception_score_mean'], want['inception_score_std']],
                             rtol=1e-9)


def test_a_sample_does_not_depend_on_batches():
  rows = np.arange(1000, dtype=np.float32)[:, None]
  samples = []
  for batch in (1, 30, 1000):
    sample = Sample(100)
    for start in range(0, 1000, batch):
      sample.update(rows[start:start + batch])
    assert sample.count == 1000
    samples.append(sample.rows[:, 0])
    assert len(samples[0]) == 100 and (np.diff(samples[-1]) > 0).all()
    np.testing.assert_array_equal(samples[0], samples[-1])
  few = Sample(100)
  few.update(rows[:60])
  few.update(rows[60:100])
  np.testing.assert_array_equal(few.rows, rows[:100])


def test_every_row_is_as_likely_in_a_merged_sample():
  counts = np.zeros(60)
  for seed in range(400):
    one, two = Sample(12, 2 * seed), Sample(12, 2 * seed + 1)
    one.update(np.arange(10)[:, None])
    two.update(np.arange(10, 60)[:, None])
    one.merge(Sample.restored(two.state(), 12))
    one.merge(Sample(12))
    assert one.count == 60 and len(one.rows) == 12
    counts[one.rows[:, 0].astype(int)] += 1
  # 80 of each are expected; 400 draws with a chance of 1/5 deviate by 8.
  assert counts.sum() == 4800 and np.abs(counts - 80).max() < 4 * 8
  assert abs(counts[:10].mean() - 80) < 4 * 8 / math.sqrt(10)


def test_states_give_back_what_they_were():
  x = random(30, 4)
  statistics, sample = statistics_of(x), Sample(20)
  sample.update(x)
  for copy in (Statistics.restored(statistics.state()),):
    np.testing.assert_array_equal(copy.covariance, statistics.covariance)
    copy.update(x)
    assert copy.count == 60 and statistics.count == 30
  copy = Sample.restored(sample.state(), 20)
  np.testing.assert_array_equal(copy.rows, sample.rows)
  assert copy.count == 30
  with pytest.raises(ValueError, match='lots'):
    Sample.restored(sample.state() | {'lots': np.zeros(3)}, 20)
