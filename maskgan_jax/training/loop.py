"""The training loop: resume, iterate, log, save, stop when told to."""

from collections import deque
from collections.abc import Callable
import contextlib
import dataclasses
import functools
import json
import math
import os
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import tqdm

from maskgan_jax import config as run_config
from maskgan_jax import errors, files, methods
from maskgan_jax.data import pipeline
from maskgan_jax.methods import base
from maskgan_jax.runs import checkpoints, metric_writers, resumption, samples, warm_start
from maskgan_jax.training import parallel as parallel_lib
from maskgan_jax.training import stopping, train_step

_IN_FLIGHT = 4  # steps dispatched ahead of the device; more would only hold memory

Evaluate = Callable[[int, base.Params, base.ModelState], dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Trained:
  """What training leaves in memory: this process' copies of the arrays that translate."""
  step: int
  method: base.Method
  params: base.Params
  model_state: base.ModelState
  data: pipeline.Data
  told: bool = False  # to stop, during the last step


def train(config: ml_collections.ConfigDict, workdir: str, *,
          make_evaluate: Callable[..., Evaluate] | None = None) -> Trained:
  """Trains a config in `workdir`, or resumes what is there.

  Args:
    config: see config/schema.py.
    workdir: the run's folder.
    make_evaluate: (method, data, poll) -> evaluate(step, params, model_state) -> scores; called
      every `config.evaluate_every` steps, in the first process only. It may call poll() often,
      which raises Preempted when the run is to stop.

  Raises:
    Preempted: SIGTERM or SIGINT came; the state is saved.
    UserError: a mistake in config, data or workdir, or a run that stays non-finite.
  """
  stop = stopping.StopRequest()  # before data are drawn, which may take long
  try:
    return _train(config, workdir, make_evaluate, stop)
  finally:
    stop.close()


def _train(config, workdir, make_evaluate, stop):
  parallel = parallel_lib.Parallel(config.parallel)
  parallel.check_batch(config.batch_size, config.accumulate)
  main = jax.process_index() == 0
  run_config.check_same_run(config, workdir)
  method = methods.make(config)
  players = train_step.make_optimizers(method, config)
  given = functools.cache(lambda: warm_start.parameters(method, config))
  if not os.path.isdir(os.path.join(workdir, 'checkpoints')):
    given()  # what is wrong with them is said before data are made
  data = pipeline.make(config)
  if main and (unused := data.describe()['unused']):
    print(f'{config.data.path}: {unused}', file=sys.stderr, flush=True)
  with files.held(workdir, 'trains') if main else contextlib.nullcontext():
    state = _run(config, workdir, method, players, data, parallel, given, make_evaluate, stop)
  local = parallel_lib.local_copy((state.ema_params or state.params, state.model_state))
  return Trained(int(state.step), method, *local, data, stop.told)


def _run(config, workdir, method, players, data, parallel, given, make_evaluate, stop):
  """Resumes or begins, and iterates to the end; returns the state."""
  main = jax.process_index() == 0
  store = checkpoints.Checkpoints(
      workdir, keep_last=config.keep_last, keep_best=config.keep_best,
      best_metric=config.best_metric, best_mode=config.best_mode,
      identity=resumption.Identity.of(config, data))
  progress = _Progress(config.num_steps, enabled=main)
  try:
    state = _first_state(method, players, config, parallel, given, store)
    evaluate = make_evaluate(method, data, stop.poll) if make_evaluate and main else None
    run = _Run(config, workdir, method, data, parallel, players, store, stop, progress, evaluate)
    run.check_stride(int(state.step))
    if main:  # not before all is known to fit: a command that is refused leaves the run as it was
      if state.step and os.path.exists(os.path.join(workdir, run_config.FILE_NAME)):
        before = run_config.load(workdir)
        train_step.say_changed_rates(method, before, config, int(state.step), progress.say)
      run_config.save(config, workdir)
    return run.until_done(state)
  finally:
    progress.close()
    store.close()


def _first_state(method, players, config, parallel, given, store) -> train_step.TrainState:
  """The newest checkpoint's state, or a fresh one."""
  def init():
    return train_step.init_state(method, players, config)
  if store.latest() is None:
    state = parallel.initialize(init)
    if given():
      params = {**state.params, **parallel.replicate(given())}
      ema = jax.tree.map(jnp.array, params) if config.ema_decay else {}
      state = state.replace(params=params, ema_params=ema)
    return state
  abstract = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=parallel.replicated),
      jax.eval_shape(init))
  step, model, training = store.restore(*_split(abstract))
  if jax.process_index() == 0:
    done = step >= config.num_steps
    print(f'{step} steps are done already' if done else f'resuming at step {step}', flush=True)
  # A copy of its own: donating arrays that the checkpoint reader still owns is not safe.
  return parallel.replicate(train_step.TrainState(**model, **training))


def _split(state: train_step.TrainState) -> tuple[dict[str, Any], dict[str, Any]]:
  """The state as a checkpoint's two items: what translates, and what only training needs."""
  model = {name: getattr(state, name) for name in ('params', 'model_state', 'ema_params')}
  training = {name: getattr(state, name)
              for name in ('step', 'opt_state', 'skipped', 'skipped_in_a_row')}
  return model, training


class _Run:
  """One process' part of a run."""

  def __init__(self, config, workdir, method, data, parallel, players, store, stop, progress,
               evaluate):
    self.config, self.workdir, self.data = config, workdir, data
    self.parallel, self.store, self.stop, self.progress = parallel, store, stop, progress
    self.evaluate = evaluate
    self.draws = train_step.draws_per_step(method)
    self.stride = config.steps_per_dispatch
    step, self.names = train_step.make_step(method, players, config)
    self.cycle = step.cycle
    self.step_fn = parallel.compile(step, self.draws, self.stride)
    self.main = jax.process_index() == 0
    self.writer = metric_writers.MetricWriter(workdir, process_index=jax.process_index())
    self.sampler = samples.Sampler(method, data, config) if self.main else None
    self.warned_of_mask = False

  def until_done(self, state: train_step.TrainState) -> train_step.TrainState:
    """Iterates to `config.num_steps`."""
    config = self.config
    first = step = int(state.step)
    if self.main:
      self.writer.truncate_after(first or -1)  # what comes before the first step is written again
      if first == 0:
        self.writer.write_hparams(dict(run_config.flatten(config)))
        self.writer.write_texts(0, {'parameters': _overview(state.params)})
      elif self._draws(first) and not os.path.exists(samples.path(self.workdir, first)):
        with contextlib.suppress(errors.Preempted):  # by several processes a few steps later
          self._sample(first, state)  # which a stop cut short
    batches = self.data.train(
        batch_size=config.batch_size, draws=self.draws, start_step=first,
        process_index=jax.process_index(), process_count=jax.process_count())
    in_flight: deque[jax.Array] = deque()
    unread: list[tuple[int, jax.Array]] = []
    started, waited = time.monotonic(), 0.0
    while step < config.num_steps:
      before = time.monotonic()
      try:
        batch = self.parallel.take(batches, self.draws, self.stride)
      except Exception as error:  # a picture, say, that cannot be read
        if not step or jax.process_count() > 1:  # the others do not save now
          raise
        if unread:
          self._log(unread, before - started, waited)
        self._save_and_raise(error, step, state, of_feed=True)
      waited += time.monotonic() - before
      if self.step_fn.new(step):  # the first step, or one that begins a stage of the training
        before = time.monotonic()
        if step > first:
          if unread:
            self._log(unread, before - started, waited)
          unread, waited = [], 0.0
          self._save(step, state, wait=True)
          self.stop.all_is_saved(step)
        self._compile(step, state, batch)
        started += time.monotonic() - before  # which is not part of the pace
      state, metrics = self.step_fn(state, batch, config.seed, at=step)
      step += self.stride
      self.stop.unsaved = True
      if step == first + self.stride:
        self.progress.start(step)
        started, waited = time.monotonic(), 0.0
      in_flight.append(metrics)
      unread.append((step, metrics))
      if len(in_flight) > _IN_FLIGHT:
        in_flight.popleft().block_until_ready()
      self.progress.update(step)
      last = step == config.num_steps
      # Lines are due one dispatch late, when the next is on the device already.
      due = (step - self.stride) % config.log_every == 0 and len(unread) > 1
      saves = last or step % config.checkpoint_every == 0
      stopping = self.stop.reached(self.parallel.any)
      if due or saves or stopping:
        ready = unread if saves or stopping else unread[:-1]
        seconds = time.monotonic() - started
        self._log(ready, seconds, waited)
        unread = [] if ready is unread else unread[-1:]
        started, waited = time.monotonic(), 0.0
      evaluates = config.evaluate_every and step % config.evaluate_every == 0
      if stopping and not last:
        self._stop(step, state)
      # The checkpoint comes last: where it is, the step's pictures and scores are too.
      scores = None
      try:
        if self._draws(step) and self.main:
          self._sample(step, state)
        if evaluates:
          scores = self._evaluate(step, state)
      except errors.Preempted:
        if jax.process_count() == 1:
          self._stop(step, state)
        # Else the others are steps ahead already; soon all agree on one to stop after.
      except errors.UserError as error:  # data or a network that cannot be measured with
        if jax.process_count() == 1 or saves or evaluates:  # else the others do not save now
          self._save_and_raise(error, step, state)
        raise
      if saves or evaluates:
        self._save(step, state, scores)
      if saves or evaluates or self._draws(step):
        started = time.monotonic()
    self.store.wait()
    return state

  def _draws(self, step):
    every = self.config.sample_every
    return step == self.config.num_steps or (every and step % every == 0)

  def check_stride(self, first: int) -> None:
    """UserError unless everything that is to happen at some step happens between two dispatches."""
    config = self.config
    numbers = {f'config.{name}': config[name] for name in (
        'num_steps', 'log_every', 'checkpoint_every', 'sample_every', 'evaluate_every')}
    for name, number in {**numbers, 'the checkpoint to resume from': first}.items():
      if number % self.stride:
        raise errors.UserError(f'config.steps_per_dispatch is {self.stride}, which does not divide '
                               f'{name}, {number}')

  def _stop(self, step, state):
    self._save(step, state, wait=True)
    raise errors.Preempted(
        f'stopped at step {step}: saved in {self.workdir}; the same command goes on from there')

  def _save_and_raise(self, error, step, state, *, of_feed=False):
    """Saves this step and raises the error again; a user's error then says how to go on."""
    if not self._save(step, state, wait=True) or not isinstance(error, errors.UserError):
      raise error
    changed = '; if a picture is added or removed, with --config.accept_changed_data=True'
    raise errors.UserError(
        f'{error}. All {step} steps are saved in {self.workdir}: once that is mended, the same '
        f'command goes on{changed if of_feed else ""}') from error

  def _translating(self, state):
    return parallel_lib.local_copy((state.ema_params or state.params, state.model_state))

  def _compile(self, step, state, batch):
    """All programs of the stage that begins with this step."""
    self.progress.say('compiling, once for this config, machine and stage of the training')
    steps = range(step, min(step + self.cycle, self.config.num_steps))
    self.stop.hearing(lambda: self.step_fn.compile(steps, state, batch, self.config.seed),
                      drop=False)  # what is not saved yet may not be dropped

  def _sample(self, step, state):
    parameters = self._translating(state)
    self.stop.hearing(lambda: self.sampler.write(step, *parameters, self.workdir))

  def _evaluate(self, step, state):
    if not self.evaluate:
      return None
    parameters = self._translating(state)
    return self.stop.hearing(lambda: self.evaluate(step, *parameters))

  def _save(self, step, state, scores=None, *, wait=False) -> bool:
    """Returns whether the state is finite: another, if skipping fails, must never be the newest."""
    if finite := _finite(state.params):
      self.store.save(step, *_split(state), scores=scores)
    if wait:
      self.store.wait()
    return finite

  def _log(self, rows, seconds, waited):
    """Writes the means of some steps' metrics as one line."""
    values = jax.device_get([row for _, row in rows])
    values = np.concatenate([row.reshape(self.stride, -1) for row in values])
    step = rows[-1][0]
    scalars = {}
    for name, column in zip(self.names, values.T, strict=True):
      if name.startswith('skipped'):
        scalars[name] = float(column.sum() if name == 'skipped' else column.max())
      elif not np.isnan(column).all():
        scalars[name] = float(np.nanmean(column))
    scalars['steps_per_second'] = len(values) / max(seconds, 1e-9)
    scalars['images_per_second'] = scalars['steps_per_second'] * self.config.batch_size
    scalars['input_wait_share'] = waited / max(seconds, 1e-9)
    if self.main:
      self.writer.write_scalars(step, scalars)
      self.progress.line(step, scalars)
      self._check_mask(step, scalars)
    if scalars['skipped_in_a_row'] >= self.config.max_skipped:
      self._give_up(step, scalars)

  def _check_mask(self, step, scalars):
    for name, value in scalars.items():
      if name.endswith('mask_mean') and not 1e-3 < value < 1 - 1e-3 and not self.warned_of_mask:
        self.warned_of_mask = True
        self.progress.say(
            f'warning: step {step}: {name} is {value:.2g}: the mask has collapsed to all '
            f'{round(value)}; look at the samples, and at the weights of the losses that size it')

  def _give_up(self, step, scalars):
    path = os.path.join(self.workdir, 'nonfinite.json')
    if self.main:
      dump = {k: v if math.isfinite(v) else repr(v) for k, v in scalars.items()}
      files.write_atomically(path, json.dumps(
          {'step': step, 'seed': self.config.seed, 'metrics': dump}, indent=2) + '\n')
    raise errors.NotFiniteError(
        f'losses or gradients were not finite {int(scalars["skipped_in_a_row"])} times in a row up '
        f'to step {step}; the newest checkpoint is {self.store.latest() or "none"}. In another '
        '--workdir, lower config.optimizers.*.learning_rate or use compute_dtype=float32; details '
        f'in {path}', ())


def _finite(tree) -> bool:
  return all(bool(np.isfinite(jax.device_get(leaf)).all()) for leaf in jax.tree.leaves(tree))


def _overview(params) -> str:
  from clu import parameter_overview
  return parameter_overview.get_parameter_overview(params, include_stats=False)


class _Progress:
  """A bar on a terminal, plain lines elsewhere."""

  def __init__(self, total: int, *, enabled: bool):
    self.enabled, self.total = enabled, total
    self.terminal = sys.stderr.isatty()
    self.bar = None

  def start(self, step: int) -> None:
    """Begins (or goes on) at `step`."""
    self.began, self.first = time.monotonic(), step
    if self.enabled and self.terminal:
      self.bar = tqdm.tqdm(total=self.total, initial=step, unit='step', desc='training',
                           dynamic_ncols=True)

  def update(self, step: int) -> None:
    if self.bar is not None:
      self.bar.update(step - self.bar.n)

  def line(self, step: int, scalars: dict[str, float]) -> None:
    """Tells where training is."""
    losses = {name: value for name, value in scalars.items() if name.endswith('/loss')}
    shown = {**losses, **{n: v for n, v in scalars.items() if n.endswith('mask_mean')}}
    text = '  '.join(f'{name} {value:.3g}' for name, value in shown.items())
    if self.bar is not None:
      self.bar.set_postfix_str(text)
    elif self.enabled:
      rate = (step - self.first) / max(time.monotonic() - self.began, 1e-9)
      left = (self.total - step) / max(rate, 1e-9)
      print(f'step {step}/{self.total}  {rate:.1f} steps/s  {_clock(left)} left  {text}',
            flush=True)

  def say(self, text: str) -> None:
    """One line that does not break the bar."""
    if self.bar is not None:
      self.bar.write(text)
    elif self.enabled:
      print(text, flush=True)

  def close(self) -> None:
    if self.bar is not None:
      self.bar.close()


def _clock(seconds: float) -> str:
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02d}:{seconds:02d}' if hours else f'{minutes}:{seconds:02d}'
