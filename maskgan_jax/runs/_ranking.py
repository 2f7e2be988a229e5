"""The ranking of checkpoints by their scores: which step is best, and which steps stay."""

from collections.abc import Callable, Iterable, Mapping
import math

from maskgan_jax import errors

Scores = dict[str, float | None]  # by name; None where it is not finite


class Ranking:
  """Ranks the steps of a run by one of their scores, and tells Orbax which of them stay.

  Args:
    keep_last: how many of the newest steps stay.
    keep_best: how many steps with the best scores stay besides.
    best_metric: the score that ranks steps; '' ranks none.
    best_mode: 'max' or 'min'.
    read: returns the scores that are on disk with a step.
    remembers: whether scores are read once; those of another process' run may change.
  """

  def __init__(
    self,
    *,
    keep_last: int,
    keep_best: int,
    best_metric: str,
    best_mode: str,
    read: Callable[[int], Scores],
    remembers: bool,
  ):
    if keep_last < 1 or keep_best < 0 or best_mode not in ('max', 'min'):
      raise errors.UserError(
        f'keep_last={keep_last} must be at least 1, keep_best={keep_best} at '
        f"least 0, best_mode={best_mode!r} 'max' or 'min'"
      )
    self._keep_last = keep_last
    self._keep_best = keep_best
    self._best_metric = best_metric
    self._sign = 1 if best_mode == 'max' else -1
    self._read = read
    self._remembers = remembers
    self._scores_by_step: dict[int, Scores] = {}  # also of steps not yet on disk

  def add(self, step: int, scores: Scores) -> None:
    """Takes the scores of a step that is going to be written."""
    self._scores_by_step[step] = scores

  def forget(self, steps: Iterable[int]) -> None:
    """Drops the scores of steps that are gone."""
    for step in steps:
      self._scores_by_step.pop(step, None)

  def ranked(self, steps: Iterable[int]) -> list[int]:
    """Returns the steps that have a score, the best last."""
    ranked = []
    for step in steps:
      rank = self._rank(step)
      if rank is not None:
        ranked.append((rank, step))
    return [step for _, step in sorted(ranked)]

  def should_preserve(self, checkpoints, *, context) -> list[bool]:
    """Returns whether each checkpoint stays: the last few do, and the few best (Orbax's policy)."""
    del context
    steps = sorted(info.step for info in checkpoints)
    ranked = self.ranked(steps)
    best = ranked[max(0, len(ranked) - self._keep_best) :]
    kept = {*steps[-self._keep_last :], *best}
    return [info.step in kept for info in checkpoints]

  def _rank(self, step: int) -> float | None:
    """Returns a number that is larger for better steps, or None for a step without score."""
    if not self._best_metric:
      return None
    scores = self._scores_by_step.get(step)
    if scores is None:
      try:
        scores = self._read(step)
      except Exception:
        scores = {}  # of a broken step; restoring it will say what is wrong
      if self._remembers:
        self._scores_by_step[step] = scores
    score = scores.get(self._best_metric)
    return None if score is None else self._sign * score


def finite(scores: Mapping[str, float]) -> Scores:
  """Returns scores as JSON can hold them: None where one is not finite."""
  return {
    name: float(score) if math.isfinite(score) else None
    for name, score in scores.items()
  }
