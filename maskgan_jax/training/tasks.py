"""What a training does besides its steps, each at an interval: draw, measure, save.

A task has `due(step)` and `run(step, state, ...)`. They run in the order of this file: where
a step has a checkpoint, it has its pictures and scores too.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from maskgan_jax.methods import base
from maskgan_jax.runs import checkpoints, samples
from maskgan_jax.training import parallel as parallel_lib
from maskgan_jax.training import setup as setup_lib
from maskgan_jax.training import stopping, train_step

Evaluate = Callable[[int, base.Params, base.ModelState], dict[str, float]]
MakeEvaluate = Callable[..., Evaluate]  # see loop.train


def _reaches(step: int, every: int) -> bool:
  """Returns whether an interval ends with `step`; an interval of 0 never does."""
  return bool(every) and step % every == 0


class Sample:
  """Draws samples/<step>.png every `sample_every` steps and at the end."""

  def __init__(self, setup: setup_lib.Setup, stop: stopping.StopRequest):
    self._config = setup.config
    self._workdir = setup.workdir
    self._stop = stop
    self._sampler = None
    if setup.is_main:
      self._sampler = samples.Sampler(setup.method, setup.data, setup.config)

  def due(self, step: int) -> bool:
    """Returns whether the step is drawn."""
    is_last = step == self._config.num_steps
    return is_last or _reaches(step, self._config.sample_every)

  def run(self, step: int, state: train_step.TrainState) -> None:
    """Draws the step, in the first process; Preempted if the run is to stop."""
    if not self._sampler:
      return
    params, model_state = parallel_lib.local_copy(state.model())

    def draw():
      self._sampler.write(step, params, model_state, self._workdir)

    self._stop.hearing(draw)


class Measure:
  """Measures the model every `evaluate_every` steps."""

  def __init__(
    self,
    setup: setup_lib.Setup,
    stop: stopping.StopRequest,
    make_evaluate: MakeEvaluate | None,
  ):
    self._config = setup.config
    self._stop = stop
    self._evaluate = None
    if make_evaluate and setup.is_main:
      self._evaluate = make_evaluate(setup.method, setup.data, stop.poll)

  def due(self, step: int) -> bool:
    """Returns whether the step is measured."""
    return _reaches(step, self._config.evaluate_every)

  def run(self, step: int, state: train_step.TrainState) -> dict[str, float]:
    """Returns the step's scores, in the first process; Preempted if the run is to stop."""
    if not self._evaluate:
      return {}
    params, model_state = parallel_lib.local_copy(state.model())

    def measure():
      return self._evaluate(step, params, model_state)

    return self._stop.hearing(measure)


class Save:
  """Saves every `checkpoint_every` steps, where a step was measured, and at the end."""

  def __init__(self, setup: setup_lib.Setup, store: checkpoints.Checkpoints):
    self._config = setup.config
    self._store = store

  def due(self, step: int) -> bool:
    """Returns whether the step is saved."""
    config = self._config
    is_last = step == config.num_steps
    is_measured = _reaches(step, config.evaluate_every)
    return is_last or is_measured or _reaches(step, config.checkpoint_every)

  def run(
    self,
    step: int,
    state: train_step.TrainState,
    scores: dict[str, float] | None = None,
  ) -> bool:
    """Begins to save a step; returns whether it is finite, else it is not saved.

    If skipping fails, a state that is not finite must not become the newest checkpoint.
    """
    is_finite = _is_finite(state.params)
    if is_finite:
      model, training = state.items()
      self._store.save(step, model, training, scores=scores)
    return is_finite

  def run_and_wait(self, step: int, state: train_step.TrainState) -> bool:
    """Saves a step as `run`, and returns when it is on the disk."""
    is_finite = self.run(step, state)
    self._store.wait()
    return is_finite


def _is_finite(tree: Any) -> bool:
  """Returns whether all arrays of a tree are finite."""
  leaves = jax.tree.leaves(tree)
  return all(np.isfinite(jax.device_get(leaf)).all() for leaf in leaves)
