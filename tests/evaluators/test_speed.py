"""Images a second of a translator with a fixed speed."""

import time

import numpy as np
import pytest

from helpers.simple_method import pictures
from maskgan_jax.evaluators import base, speed

SECONDS = 0.05


class Slow:
  """Takes a fixed time, and longer on the first call, like a function that compiles."""
  abilities = frozenset()

  def __init__(self):
    self.calls = 0

  def __call__(self, source, exemplar):
    assert exemplar is None
    time.sleep(SECONDS if self.calls else 10 * SECONDS)
    self.calls += 1
    return source


def test_median_without_the_first():
  translator, evaluator = Slow(), speed.Evaluator()
  batch = {'a': pictures(4), 'b': pictures(4)}
  for _ in range(12):
    evaluator.update(batch, base.Outputs(translator, batch), np.ones(4, bool))
  results = dict(evaluator.results())
  assert translator.calls == 11  # one to warm up, ten measured
  assert results['ab_images_per_second'] == pytest.approx(4 / SECONDS, rel=0.5)
  assert results['ab_images_per_second'] <= 4 / SECONDS
  assert 'cores' in results['speed_machine']
  assert not dict(speed.Evaluator().results())
