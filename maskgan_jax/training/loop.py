"""The training loop: resume, iterate, log, save, stop on a signal."""

from collections.abc import Iterator
import contextlib
import dataclasses
import os
from typing import Any, NoReturn

import jax
import ml_collections

from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.data import pipeline
from maskgan_jax.methods import base
from maskgan_jax.runs import checkpoints, metric_writers, samples
from maskgan_jax.training import log as log_lib
from maskgan_jax.training import parallel as parallel_lib
from maskgan_jax.training import progress as progress_lib
from maskgan_jax.training import setup as setup_lib
from maskgan_jax.training import stopping, tasks, train_step


@dataclasses.dataclass(frozen=True)
class Trained:
  """What a training leaves in memory: this process' copies of the arrays that translate."""

  step: int
  method: base.Method
  params: base.Params
  model_state: base.ModelState
  data: pipeline.Data
  stop_requested: bool = False  # a signal arrived during the last step


def train(
  config: ml_collections.ConfigDict,
  workdir: str,
  *,
  make_evaluate: tasks.MakeEvaluate | None = None,
) -> Trained:
  """Trains a config in `workdir`, or resumes what is there.

  Args:
    config: see config/schema.py.
    workdir: the run's folder.
    make_evaluate: (method, data, poll) -> evaluate(step, params, model_state) -> scores;
      called every `config.evaluate_every` steps, in the first process only. It may call
      poll() often, which raises Preempted when the run is to stop.

  Raises:
    Preempted: SIGTERM or SIGINT came; the state is saved.
    UserError: a mistake in config, data or workdir, or a run that stays non-finite.
  """
  stop = stopping.StopRequest()  # before data are drawn, which may take long
  try:
    setup = setup_lib.prepare(config, workdir)
    with setup.trains_alone():
      state = _run(setup, stop, make_evaluate)
    arrays = parallel_lib.local_copy(state.model())
    return Trained(int(state.step), setup.method, *arrays, setup.data, stop.requested)
  finally:
    stop.close()


def _run(
  setup: setup_lib.Setup,
  stop: stopping.StopRequest,
  make_evaluate: tasks.MakeEvaluate | None,
) -> train_step.TrainState:
  """Resumes or begins, and iterates to the end; returns the last state."""
  store = setup.open_checkpoints()
  progress = progress_lib.Progress(setup.config.num_steps, enabled=setup.is_main)
  try:
    state = setup_lib.first_state(setup, store)
    first = int(state.step)
    _check_stride(setup.config, first)
    measure = tasks.Measure(setup, stop, make_evaluate)
    training = _Training(setup, store, stop, progress, measure)
    with training.writer:
      if setup.is_main:  # only now: a command that is refused leaves the run as it was
        _write_config(setup, first, progress)
      return training.until_done(state)
  finally:
    progress.close()
    store.close()


def _check_stride(config: ml_collections.ConfigDict, first: int) -> None:
  """Raises UserError unless all that happens at some step happens between two dispatches."""
  # Steps inside one dispatch cannot be logged, saved or measured.
  stride = config.steps_per_dispatch
  names = (
    'num_steps',
    'log_every',
    'checkpoint_every',
    'sample_every',
    'evaluate_every',
  )
  numbers = {f'config.{name}': config[name] for name in names}
  numbers['the checkpoint to resume from'] = first
  for name, number in numbers.items():
    if number % stride:
      raise errors.UserError(
        f'config.steps_per_dispatch is {stride}, which does not divide {name}, {number}'
      )


def _write_config(
  setup: setup_lib.Setup, first: int, progress: progress_lib.Progress
) -> None:
  """Writes the run's config, and says what another `num_steps` than before changes."""
  if first and os.path.exists(os.path.join(setup.workdir, run_config.FILE_NAME)):
    before = run_config.load(setup.workdir)
    setup_lib.say_changed_rates(setup.method, before, setup.config, first, progress.say)
  run_config.save(setup.config, setup.workdir)


class _Training:
  """One process' part of a training."""

  def __init__(
    self,
    setup: setup_lib.Setup,
    store: checkpoints.Checkpoints,
    stop: stopping.StopRequest,
    progress: progress_lib.Progress,
    measure: tasks.Measure,
  ):
    self.setup = setup
    self.store = store
    self.stop = stop
    self.progress = progress
    self.programs = setup.parallel.compile(setup.step, setup.config.steps_per_dispatch)
    self.writer = metric_writers.MetricWriter(
      setup.workdir, process_index=jax.process_index()
    )

    # What happens between steps, each at its interval.
    self.log = log_lib.Log(setup, self.writer, progress, store.latest)
    self.sample = tasks.Sample(setup, stop)
    self.measure = measure
    self.save = tasks.Save(setup, store)

  def until_done(self, state: train_step.TrainState) -> train_step.TrainState:
    """Iterates to `config.num_steps`; returns the last state."""
    config = self.setup.config
    step = int(state.step)
    self._begin(step, state)
    batches = self._batches(step)
    while step < config.num_steps:
      # Feed. The pipeline prepares batches in threads of its own.
      batch = self._take(batches, step, state)

      # Compile, at the first step and where a stage of the training begins.
      if self.programs.new(step):
        self._begin_stage(step, state, batch)

      # Step. This only dispatches; the device computes while the host goes on.
      state, metrics = self.programs(state, batch, config.seed, at=step)
      step += config.steps_per_dispatch
      self.stop.unsaved = True
      self.log.add(step, metrics)

      # Log: what is saved is written before, so that a resumed run continues the lines.
      stopping_here = self.stop.reached(self.setup.parallel.any)
      if stopping_here or self.save.due(step):
        self.log.flush()
      else:
        self.log.write_due(step)

      # Stop, if any process got a signal.
      if stopping_here and step < config.num_steps:
        self._leave(step, state)

      # Draw, measure and save, where the step is due for it.
      with self.log.paused():
        self._run_tasks(step, state)
    self.store.wait()
    return state

  def _begin(self, first: int, state: train_step.TrainState) -> None:
    """Prepares the run's files for what comes after step `first`."""
    if not self.setup.is_main:
      return
    # Lines that come before the first step of a run are written again.
    self.writer.truncate_after(first or -1)
    if first == 0:
      self.writer.write_hparams(dict(run_config.flatten(self.setup.config)))
      self.writer.write_texts(0, {'parameters': _overview(state.params)})
    elif self.sample.due(first) and not os.path.exists(
      samples.path(self.setup.workdir, first)
    ):
      # A stop cut this picture short, where several processes saved a few steps later.
      with contextlib.suppress(errors.Preempted):
        self.sample.run(first, state)

  def _batches(self, first: int) -> Iterator[dict[str, Any]]:
    """Returns this process' batches, from step `first` on."""
    return self.setup.data.train(
      batch_size=self.setup.config.batch_size,
      draws=self.setup.step.turns.draws,
      start_step=first,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    )

  def _take(self, batches, step, state):
    """Returns the next batch on the devices; saves before an error of the data."""
    try:
      with self.log.waiting():
        return self.programs.take(batches)
    except Exception as error:  # a picture, say, that cannot be read
      if step == 0 or jax.process_count() > 1:  # other processes do not save now
        raise
      self.log.flush()
      self._save_and_raise(error, step, state, of_feed=True)

  def _begin_stage(self, step, state, batch) -> None:
    """Compiles the programs of the stage that begins with this step; saves before."""
    # Compiling takes minutes, in which a stop must not lose steps.
    self.log.flush()
    with self.log.paused():
      if self.stop.unsaved:
        self.save.run_and_wait(step, state)
        self.stop.all_is_saved(step)
      self.progress.say(
        'compiling, once for this config, machine and stage of the training'
      )
      config = self.setup.config
      end = min(step + self.setup.step.turns.cycle, config.num_steps)

      def compile_all():
        self.programs.compile(range(step, end), state, batch, config.seed)

      # A signal does not drop it: other processes count on this one to go on.
      self.stop.hearing(compile_all, drop=False)

  def _run_tasks(self, step: int, state: train_step.TrainState) -> None:
    """Draws, measures and saves the step, each if it is due."""
    scores = {}
    try:
      if self.sample.due(step):
        self.sample.run(step, state)
      if self.measure.due(step):
        scores = self.measure.run(step, state)
    except errors.Preempted:
      # Several processes soon agree on a step to stop after: the others are ahead already.
      if jax.process_count() == 1:
        self._leave(step, state)
    except errors.UserError as error:  # data or a network that cannot be measured with
      # Where no checkpoint is due, other processes do not save now.
      if jax.process_count() == 1 or self.save.due(step):
        self._save_and_raise(error, step, state)
      raise
    if self.save.due(step):
      self.save.run(step, state, scores)

  def _leave(self, step: int, state: train_step.TrainState) -> NoReturn:
    """Saves this step and raises Preempted."""
    self.save.run_and_wait(step, state)
    raise errors.Preempted(
      f'stopped at step {step}: saved in {self.setup.workdir}; the same '
      'command goes on from there'
    )

  def _save_and_raise(self, error, step, state, *, of_feed: bool = False) -> NoReturn:
    """Saves this step and raises the error again; a UserError then says how to go on."""
    is_saved = self.save.run_and_wait(step, state)
    if not is_saved or not isinstance(error, errors.UserError):
      raise error

    remedy = 'once that is mended, the same command goes on'
    if of_feed:
      remedy += (
        '; if a picture is added or removed, with --config.accept_changed_data=True'
      )
    raise errors.UserError(
      f'{error}. All {step} steps are saved in {self.setup.workdir}: {remedy}'
    ) from error


def _overview(params: base.Params) -> str:
  """Returns a table of the parameters."""
  from clu import parameter_overview

  return parameter_overview.get_parameter_overview(params, include_stats=False)
