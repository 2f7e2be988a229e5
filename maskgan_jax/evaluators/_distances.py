"""Distances between sets of pictures by the features of each picture, and the inception score.

Features may come from any network. Everything is NumPy in float64; what accumulates over
batches can be merged, as over several devices or processes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import threadpoolctl  # comes with scikit-learn

from maskgan_jax import errors

# One thread needs some seconds for a distance of 2048 features. Several that share their cores with
# other programs spin while they wait for each other, which took 50 times as long.
_THREADS = 1
_WHOLE = 4096**2  # values of a kernel up to which it is computed for all pairs: 128 MB
_MOST_SUBSETS = 10_000


class Statistics:
  """Accumulates mean and covariance of features over batches, without keeping any features.

  Attributes:
    count: the number of features.
    mean: [D].
  """

  def __init__(self, dim: int):
    self.count = 0
    self.mean = np.zeros(dim)
    self._scatter = np.zeros((dim, dim))  # sum of (x - mean) (x - mean)^T

  @property
  def covariance(self) -> np.ndarray:
    """Returns the sample covariance (over count - 1), [D, D]; ValueError for fewer than two."""
    if self.count < 2:
      raise ValueError(f'{self.count} features have no covariance')
    return self._scatter / (self.count - 1)

  @property
  def constant(self) -> bool:
    """Returns whether all features are the same, up to the rounding of float32."""
    spread = np.trace(self._scatter) / max(self.count, 1)
    return bool(spread <= 1e-10 * (self.mean @ self.mean))

  def update(self, features: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Takes in features [B, D]; rows where `valid` [B] is False are padding."""
    # Features may come from a user's network, and are not trusted.
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or features.shape[1] != len(self.mean):
      raise ValueError(
        f'features are {list(features.shape)}, not [B, {len(self.mean)}]'
      )
    if valid is not None:
      features = features[valid]
    if not np.isfinite(features).all():
      raise ValueError('features are not finite')
    if not len(features):
      return

    # A batch has statistics of its own, which are merged into these.
    batch = Statistics(len(self.mean))
    batch.count, batch.mean = len(features), features.mean(axis=0)
    centred = features - batch.mean
    batch._scatter = centred.T @ centred
    self.merge(batch)

  def merge(self, other: 'Statistics') -> None:
    """Takes in what another one has seen."""
    # Chan, Golub and LeVeque (1979): no difference of large sums, as E[xx] - E[x]E[x] would be.
    count = self.count + other.count
    if not other.count:
      return
    shift = other.mean - self.mean
    self._scatter += other._scatter
    self._scatter += np.outer(shift, shift) * (self.count * other.count / count)
    self.mean = self.mean + shift * (other.count / count)
    self.count = count

  def state(self) -> dict[str, np.ndarray]:
    """Returns the whole state as arrays by name."""
    return {'count': np.int64(self.count), 'mean': self.mean, 'scatter': self._scatter}

  @classmethod
  def restored(cls, state: Mapping[str, np.ndarray]) -> 'Statistics':
    """Returns the inverse of `state`; ValueError for what cannot be a state."""
    # Shapes must agree, since a file may be cut short or of another network.
    statistics = cls(len(state['mean']))
    arrays = [np.array(state[name], np.float64) for name in ('mean', 'scatter')]
    for array, empty in zip(
      arrays, (statistics.mean, statistics._scatter), strict=True
    ):
      if array.shape != empty.shape or not np.isfinite(array).all():
        raise ValueError(
          f'expected finite {list(empty.shape)}, got {list(array.shape)}'
        )
    statistics.count = int(state['count'])
    statistics.mean, statistics._scatter = arrays
    return statistics


class Sample:
  """Keeps rows, float32 [N, D], in their order; of more than `most` rows, a random choice.

  Every row draws a lot, and the lowest lots stay: the choice does not depend on batches, and
  samples with different seeds can be merged.
  """

  def __init__(self, most: int, seed: int = 0):
    self.most = most
    self._rng = np.random.default_rng(seed)
    self._rows, self._lots = [], []
    self._held = self.count = 0

  def update(self, rows: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Takes in rows [B, D]; those where `valid` [B] is False are padding."""
    rows = np.asarray(rows, np.float32)
    rows = rows if valid is None else rows[valid]
    self._take(rows, self._rng.random(len(rows)), len(rows))

  def merge(self, other: 'Sample') -> None:
    """Takes in what a sample of another seed has seen."""
    if other.count:
      self._take(other.rows, np.concatenate(other._lots), other.count)

  @property
  def rows(self) -> np.ndarray:
    """Returns the rows, float32 [N, D]; ValueError if there are none."""
    self._shrink()
    return np.concatenate(self._rows)

  def _take(self, rows, lots, count):
    if len(rows):
      self._rows.append(rows)
      self._lots.append(lots)
      self._held += len(rows)
      self.count += count
      if (
        self._held > self.most + self.most // 4 + 64
      ):  # not a copy of all for every batch
        self._shrink()

  def _shrink(self):
    if self._held > self.most or len(self._rows) > 1:
      rows, lots = np.concatenate(self._rows), np.concatenate(self._lots)
      if len(rows) > self.most:
        kept = np.sort(np.argpartition(lots, self.most - 1)[: self.most])
        rows, lots = rows[kept], lots[kept]
      self._rows, self._lots, self._held = [rows], [lots], len(rows)

  def state(self) -> dict[str, np.ndarray]:
    """Returns what `restored` needs, as arrays by name."""
    return {
      'rows': self.rows,
      'lots': np.concatenate(self._lots),
      'seen': np.int64(self.count),
    }

  @classmethod
  def restored(cls, state: Mapping[str, np.ndarray], most: int) -> 'Sample':
    """Returns the inverse of `state`, to read and to merge; ValueError for what cannot be one."""
    rows, lots = (
      np.asarray(state['rows'], np.float32),
      np.asarray(state['lots'], np.float64),
    )
    if rows.ndim != 2 or lots.shape != rows.shape[:1] or not np.isfinite(rows).all():
      raise ValueError(
        f'rows are {list(rows.shape)} with {list(lots.shape)} lots, or not finite'
      )
    sample = cls(most)
    sample._take(rows, lots, int(state['seen']))
    return sample


def frechet_distance(one: Statistics, two: Statistics) -> float:
  """Returns the squared Frechet distance of two Gaussians.

  It is |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)):
  Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (2017), equation 6. It is also right
  for covariances without full rank, as of fewer pictures than features.
  """
  shift = one.mean - two.mean
  covariances = one.covariance, two.covariance
  # tr((C1 C2)^(1/2)) is the sum of the square roots of the eigenvalues of R1 C2 R1, where R is the
  # symmetric root of C. They are the singular values of R2 R1, which come without their squares:
  # the root of an eigenvalue that should be 0 would be 1e-8, and there may be thousands.
  with threadpoolctl.threadpool_limits(_THREADS):
    roots = [_factor(covariance) for covariance in covariances]
    overlap = (
      np.linalg.svd(roots[0].T @ roots[1], compute_uv=False).sum()
      if all(root.size for root in roots)
      else 0.0
    )
  distance = shift @ shift + sum(map(np.trace, covariances)) - 2 * overlap
  return max(float(distance), 0.0)


def _factor(covariance):
  """Returns F [D, R] with F F^T = covariance, of rank R; rounding's eigenvalues are left out."""
  values, vectors = np.linalg.eigh(covariance)
  rounding = len(values) * np.finfo(np.float64).eps * max(values[-1], 0)
  kept = values > rounding
  return vectors[:, kept] * np.sqrt(values[kept])


def check_kernel(settings: Mapping[str, Any], group: str) -> None:
  """Raises UserError for options of `kernel_distance`, of `group` in the config, that cannot be."""
  least_by_name = {'degree': 1, 'subsets': 1, 'subset_size': 2, 'gamma': 0}
  for name, least in least_by_name.items():
    if not settings[name] >= least:
      raise errors.UserError(
        f'{group}.{name}={settings[name]} must be at least {least}'
      )
  if settings['subsets'] > _MOST_SUBSETS:
    raise errors.UserError(
      f'{group}.subsets={settings["subsets"]} must be at most {_MOST_SUBSETS}'
    )


def kernel_distance(
  x: np.ndarray,
  y: np.ndarray,
  *,
  degree: int = 3,
  gamma: float = 0.0,
  coefficient: float = 1.0,
  subsets: int = 100,
  subset_size: int = 1000,
  seed: int = 0,
) -> tuple[float, float]:
  """Returns the unbiased squared MMD over random subsets.

  The kernel is (gamma x.y + coefficient)^degree. This is the KID of Binkowski et al., "Demystifying
  MMD GANs" (2018), section 4; it may be below 0.

  Args:
    x: features [N, D].
    y: the same [M, D].
    degree: of the polynomial.
    gamma: 0 is 1 / D.
    coefficient: of the kernel.
    subsets: their number.
    subset_size: rows of x and of y in each, without repetition; 2 to min(N, M).
    seed: of the choice.
  Returns:
    Mean and standard deviation (ddof 0) over subsets.
  """
  if not 2 <= subset_size <= min(len(x), len(y)) or subsets < 1:
    rows = f'{len(x)} and {len(y)} rows'
    raise ValueError(f'{subsets} subsets of {subset_size} cannot be taken from {rows}')
  gamma = gamma or 1 / x.shape[1]

  def kernel(u, v):
    products = u.astype(np.float64) @ v.astype(np.float64).T
    return (gamma * products + coefficient) ** degree

  of_x, of_y = _subsets(len(x), len(y), subsets, subset_size, seed)
  values = _discrepancies(kernel, x, y, of_x, of_y)
  return float(values.mean()), float(values.std())


def _discrepancies(kernel, x, y, of_x, of_y):
  """Returns the unbiased squared MMD of each subset."""
  with threadpoolctl.threadpool_limits(_THREADS):
    within_x = _kernel_means(kernel, x, x, of_x, of_x, diagonal=False)
    within_y = _kernel_means(kernel, y, y, of_y, of_y, diagonal=False)
    between = _kernel_means(kernel, x, y, of_x, of_y, diagonal=True)
  return within_x + within_y - 2 * between


def _subsets(num_x, num_y, subsets, subset_size, seed):
  """Returns the rows of x and those of y in each subset, drawn in turn."""
  rng = np.random.default_rng(seed)
  of_x, of_y = [], []
  for _ in range(subsets):
    of_x.append(rng.permutation(num_x)[:subset_size])
    of_y.append(rng.permutation(num_y)[:subset_size])
  return of_x, of_y


def _kernel_means(
  kernel: Callable[[np.ndarray, np.ndarray], np.ndarray],
  u: np.ndarray,
  v: np.ndarray,
  of_u: Sequence[np.ndarray],
  of_v: Sequence[np.ndarray],
  *,
  diagonal: bool,
) -> np.ndarray:
  """Returns the mean of the kernel over each subset, with or without its diagonal, [subsets]."""
  size = len(of_u[0])
  # Subsets overlap: the kernel of what they have in common is computed once, if that is less work.
  at_once = len(u) * len(v) <= min(_WHOLE, len(of_u) * size**2)
  whole = kernel(u, v) if at_once else None
  means = []
  for i, j in zip(of_u, of_v, strict=True):
    part = whole[np.ix_(i, j)] if at_once else kernel(u[i], v[j])
    if diagonal:
      means.append(part.mean())
    else:
      off_diagonal = part.sum() - np.trace(part)
      means.append(off_diagonal / (size * (size - 1)))
  return np.array(means, float)


def inception_score(
  logits: np.ndarray, splits: int = 10, seed: int | None = 0
) -> tuple[float, float]:
  """Returns exp of the mean KL divergence of a picture's classes from the set's, over its parts.

  Salimans et al., "Improved Techniques for Training GANs" (2016), section 4.

  Args:
    logits: [N, classes].
    splits: the number of parts, of nearly N / splits pictures each; 1 to N.
    seed: of the order in which pictures are dealt out; None is the order of the rows.
  Returns:
    Mean and standard deviation (ddof 0) over the parts.
  """
  if not 1 <= splits <= len(logits):
    raise ValueError(f'{len(logits)} pictures cannot be divided into {splits} parts')
  logits = np.asarray(logits, np.float64)
  # Pictures are dealt out at random, since data sets are often sorted by class.
  if seed is not None:
    logits = logits[np.random.default_rng(seed).permutation(len(logits))]
  ends = len(logits) * np.arange(splits + 1) // splits

  # The score of a part is exp(H(marginal) - mean H(class | picture)).
  values = []
  for start, end in zip(ends[:-1], ends[1:], strict=True):
    log_p = _log_softmax(logits[start:end])
    p = np.exp(log_p)
    marginal = p.mean(axis=0)
    entropy = -(
      marginal * np.log(marginal, where=marginal > 0, out=np.zeros_like(marginal))
    ).sum()
    negative_entropies = (p * log_p).sum(axis=1)
    values.append(np.exp(negative_entropies.mean() + entropy))
  return float(np.mean(values)), float(np.std(values))


def _log_softmax(logits):
  shifted = logits - logits.max(axis=1, keepdims=True)
  return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
