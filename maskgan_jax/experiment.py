"""A run from config to scores and report: what `train` does once, and `sweep` for every value."""

from collections.abc import Callable
import sys

import jax
import ml_collections

from maskgan_jax import errors, evaluators
from maskgan_jax.runs import report, scores
from maskgan_jax.training import loop, parallel, stopping
from maskgan_jax.translator import Translator


def train(config: ml_collections.ConfigDict, workdir: str, *,
          poll: Callable[[], None] | None = None,
          row_name: str = evaluators.SPLIT) -> loop.Trained:
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
    evaluators.make(name, config)  # a misspelt one is not for the end of training to find

  notes = {}  # what evaluators said, once each

  def note(line):
    if line not in notes:
      print(line)
    notes[line] = True

  def write_report():
    report.write(workdir, {'unmeasured': list(notes)})

  def make_evaluate(method, data, poll):
    translator = None

    def evaluate(step, params, model_state):
      nonlocal translator
      translator = (Translator(method, params, model_state, config, step) if translator is None
                    else translator.at(params, model_state, step))
      results = evaluators.measure(translator, data, config, workdir, step, poll=poll,
                                   note=note, row_name=row_name)
      write_report()
      return {name: value for name, value in results.items() if not isinstance(value, str)}
    return evaluate

  def make_evaluate_while_training(*arguments):
    evaluate = make_evaluate(*arguments)

    def evaluate_or_say(step, *parameters):
      try:
        return evaluate(step, *parameters)
      except errors.NotFiniteError as error:  # training may get out of it
        print(f'step {step} is not measured: {error}', file=sys.stderr, flush=True)
        return {}
    return evaluate_or_say

  trained = loop.train(config, workdir, make_evaluate=make_evaluate_while_training)
  stop = stopping.StopRequest(trained.told) if poll is None else None
  if stop:
    stop.all_is_saved(trained.step)
  try:
    if jax.process_index() == 0:
      last = {'split': row_name, 'step': trained.step}
      if config.evaluators and not scores.latest(workdir, **last):
        evaluate = make_evaluate(trained.method, trained.data, poll or stop.poll)
        parameters = trained.step, trained.params, trained.model_state
        (poll or stop.poll)()
        stop.hearing(lambda: evaluate(*parameters)) if stop else evaluate(*parameters)
      write_report()
    return trained
  finally:
    parallel.wait_for_processes('measured')
    if stop:
      stop.close()
