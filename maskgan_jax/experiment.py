"""A run from config to scores and report: what `train` does once, and `sweep` for every value."""

from collections.abc import Callable
import sys
from typing import Any

import jax
import ml_collections

from maskgan_jax import errors, evaluators
from maskgan_jax.data import pipeline
from maskgan_jax.methods import base
from maskgan_jax.reports import report
from maskgan_jax.runs import scores
from maskgan_jax.training import loop, parallel, stopping, tasks
from maskgan_jax.translator import Translator

Poll = Callable[[], None]  # raises to stop


def train(
  config: ml_collections.ConfigDict,
  workdir: str,
  *,
  poll: Poll | None = None,
  row_name: str = evaluators.SPLIT,
) -> loop.Trained:
  """Trains a config in `workdir`, or resumes what is there; measures it and writes report.html.

  Args:
    config: see config/schema.py.
    workdir: the run's folder.
    poll: called often while the last step is measured; may raise to stop.
    row_name: see `evaluators.measure`.

  Raises:
    Preempted, UserError: as `loop.train`.
  """
  for name in config.evaluators:
    # A misspelt name should not wait for the end of training.
    evaluators.make(name, config)

  measurements = _Measurements(config, workdir, row_name)
  trained = loop.train(config, workdir, make_evaluate=measurements.while_training)

  # Signals are the loop's no longer; a caller with a `poll` handles them itself.
  stop = None
  if poll is None:
    stop = stopping.StopRequest(trained.stop_requested)
    stop.all_is_saved(trained.step)
  try:
    if jax.process_index() == 0:
      measurements.finish(trained, poll, stop)
    return trained
  finally:
    parallel.wait_for_processes('measured')
    if stop:
      stop.close()


class _Measurements:
  """The scores and the report of a run."""

  def __init__(self, config: ml_collections.ConfigDict, workdir: str, row_name: str):
    self._config, self._workdir, self._row_name = config, workdir, row_name
    self._notes: list[str] = []  # what evaluators say, once each

  def _note(self, line: str) -> None:
    if line not in self._notes:
      print(line)
      self._notes.append(line)

  def _write_report(self) -> None:
    report.write(self._workdir, {'unmeasured': self._notes})

  def make(
    self, method: base.Method, data: pipeline.Data, poll: Poll
  ) -> tasks.Evaluate:
    """Returns evaluate(step, params, model_state) -> scores, which also writes the report."""
    translator = None

    def evaluate(
      step: int, params: base.Params, model_state: base.ModelState
    ) -> dict[str, Any]:
      nonlocal translator
      # The compiled programs stay from step to step; only the weights change.
      if translator is None:
        translator = Translator(method, params, model_state, self._config, step)
      else:
        translator = translator.at(params, model_state, step)
      row = evaluators.measure(
        translator,
        data,
        self._config,
        self._workdir,
        step,
        poll=poll,
        note=self._note,
        row_name=self._row_name,
      )
      self._write_report()
      return {name: value for name, value in row.items() if not isinstance(value, str)}

    return evaluate

  def while_training(
    self, method: base.Method, data: pipeline.Data, poll: Poll
  ) -> tasks.Evaluate:
    """Returns the same, for steps that training may recover from if they are not finite."""
    evaluate = self.make(method, data, poll)

    def evaluate_or_say(step, params, model_state):
      try:
        return evaluate(step, params, model_state)
      except errors.NotFiniteError as error:
        print(f'step {step} is not measured: {error}', file=sys.stderr, flush=True)
        return {}

    return evaluate_or_say

  def finish(
    self, trained: loop.Trained, poll: Poll | None, stop: stopping.StopRequest | None
  ) -> None:
    """Measures the last step, unless it has scores, and writes the report.

    Args:
      trained: the run.
      poll: of the caller, if it has one.
      stop: takes the place of `poll`.
    """
    row = scores.latest(self._workdir, split=self._row_name, step=trained.step)
    if self._config.evaluators and not row:
      poll = poll or stop.poll
      evaluate = self.make(trained.method, trained.data, poll)
      arrays = trained.step, trained.params, trained.model_state
      poll()
      if stop:
        stop.hearing(lambda: evaluate(*arrays))
      else:
        evaluate(*arrays)
    self._write_report()
