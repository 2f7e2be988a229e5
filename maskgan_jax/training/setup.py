"""What a training is made of, and the state that it begins with."""

from collections.abc import Callable
import contextlib
import dataclasses
import functools
import os
import sys

import jax
import jax.numpy as jnp
import ml_collections

from maskgan_jax import config as run_config
from maskgan_jax import files, methods
from maskgan_jax.data import pipeline
from maskgan_jax.methods import base
from maskgan_jax.runs import checkpoints, resumption
from maskgan_jax.training import parallel as parallel_lib
from maskgan_jax.training import train_step, warm_start


@dataclasses.dataclass(frozen=True)
class Setup:
  """What a training is made of; `prepare` makes it.

  Attributes:
    config: of the run.
    workdir: the run's folder.
    method: made from the config.
    optimizers: player -> optimizer.
    data: pictures to train with and to look at.
    parallel: the devices.
    from_elsewhere: returns parameters of another run or of a file; reads them once.
  """

  config: ml_collections.ConfigDict
  workdir: str
  method: base.Method
  optimizers: train_step.Optimizers
  data: pipeline.Data
  parallel: parallel_lib.Parallel
  from_elsewhere: Callable[[], base.Params]

  @property
  def is_main(self) -> bool:
    """Whether this is the process that writes files and talks."""
    return jax.process_index() == 0

  @functools.cached_property
  def step(self) -> train_step.Step:
    """The iteration of the method's players."""
    return train_step.make_step(self.method, self.optimizers, self.config)

  def fresh_state(self) -> train_step.TrainState:
    """Returns the state of a run that begins, without parameters from elsewhere."""
    return train_step.init_state(self.method, self.optimizers, self.config)

  def open_checkpoints(self) -> checkpoints.Checkpoints:
    """Returns the checkpoints of the run."""
    config = self.config
    return checkpoints.Checkpoints(
      self.workdir,
      keep_last=config.keep_last,
      keep_best=config.keep_best,
      best_metric=config.best_metric,
      best_mode=config.best_mode,
      identity=resumption.Identity.of(config, self.data),
    )

  def trains_alone(self) -> contextlib.AbstractContextManager:
    """Holds the folder: a second training in it fails with UserError."""
    return (
      files.held(self.workdir, 'trains') if self.is_main else contextlib.nullcontext()
    )


def prepare(config: ml_collections.ConfigDict, workdir: str) -> Setup:
  """Builds what a training is made of; what is quick to check is checked first.

  Raises:
    UserError: config and devices, the folder's run, the method or the data do not fit.
  """
  parallel = parallel_lib.Parallel(config.parallel)
  parallel.check_batch(config.batch_size, config.accumulate)
  run_config.check_same_run(config, workdir)
  method = methods.make(config)
  optimizers = train_step.make_optimizers(method, config)
  from_elsewhere = functools.cache(lambda: warm_start.parameters(method, config))
  if not os.path.isdir(os.path.join(workdir, 'checkpoints')):
    from_elsewhere()  # for its errors, before data are drawn

  data = pipeline.make(config)
  setup = Setup(config, workdir, method, optimizers, data, parallel, from_elsewhere)
  unused = data.describe()['unused']
  if setup.is_main and unused:
    print(f'{config.data.path}: {unused}', file=sys.stderr, flush=True)
  return setup


def first_state(setup: Setup, store: checkpoints.Checkpoints) -> train_step.TrainState:
  """Returns the newest checkpoint's state, or a fresh one."""
  if store.latest() is None:
    return _initial_state(setup)

  # The checkpoint is read onto the devices, as arrays of these shapes.
  def abstract(leaf):
    return jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=setup.parallel.replicated
    )

  expected = jax.tree.map(abstract, jax.eval_shape(setup.fresh_state))
  step, model, training = store.restore(*expected.items())
  if setup.is_main:
    is_done = step >= setup.config.num_steps
    print(
      f'{step} steps are done already' if is_done else f'resuming at step {step}',
      flush=True,
    )

  # Arrays that the checkpoint reader still owns may not be donated: these are copies.
  return setup.parallel.replicate(train_step.TrainState(**model, **training))


def _initial_state(setup: Setup) -> train_step.TrainState:
  """Returns a fresh state, with what the run takes from elsewhere."""
  state = setup.parallel.initialize(setup.fresh_state)
  if not setup.from_elsewhere():
    return state

  # The average begins there too; donated arrays must not be shared, so it is a copy.
  from_elsewhere = setup.parallel.replicate(setup.from_elsewhere())
  params = {**state.params, **from_elsewhere}
  ema_params = {}
  if setup.config.ema_decay:
    ema_params = jax.tree.map(jnp.array, params)
  return state.replace(params=params, ema_params=ema_params)


def say_changed_rates(
  method: base.Method,
  before: ml_collections.ConfigDict,
  now: ml_collections.ConfigDict,
  step: int,
  say: Callable[[str], None],
) -> None:
  """Says whose learning rate at `step`, where a run resumes, another `num_steps` moves."""
  earlier = train_step.make_optimizers(method, before)
  later = train_step.make_optimizers(method, now)
  for player in method.players:
    # A schedule counts the steps since its player's start.
    count = jnp.int32(max(step - player.start, 0))
    old_rate = float(earlier[player.name].learning_rate(count))
    new_rate = float(later[player.name].learning_rate(count))
    if old_rate != new_rate:
      say(
        f'num_steps was {before.num_steps} and is {now.num_steps}: the schedule of '
        f'config.optimizers.{player.name} ends with it, so that its learning rate at step '
        f'{step} is {new_rate:.3g} instead of {old_rate:.3g}'
      )
