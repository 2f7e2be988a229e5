"""A player's optimizer: an optax chain, and a learning rate that is a function of the step."""

from collections.abc import Callable
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax

from maskgan_jax import errors

OPTIMIZERS = ('adam', 'sgd')
SCHEDULES = (
  'constant',
  'halve',
  'halve_linearly',
  'inverse_time',
  'linear',
  'polynomial',
)

Schedule = Callable[[jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Optimizer:
  """An optax transformation without learning rate, and learning_rate(step)."""

  transform: optax.GradientTransformation
  learning_rate: Schedule

  def init(self, params: Any) -> Any:
    """Returns the transformation's state for these parameters."""
    return self.transform.init(params)

  def update(
    self, grads: Any, state: Any, params: Any, step: jax.Array
  ) -> tuple[Any, Any]:
    """Returns new params and state; `step` counts from the start of the player."""
    updates, state = self.transform.update(grads, state, params)
    rate = self.learning_rate(step)
    params = jax.tree.map(lambda param, update: param - rate * update, params, updates)
    return params, state


def make(
  config: ml_collections.ConfigDict, *, num_steps: int, clip_norm: float
) -> Optimizer:
  """Returns the optimizer of a player's part of the config.

  Args:
    config: `config.optimizers.<player>`.
    num_steps: steps between the player's start and end.
    clip_norm: the method's default of the largest gradient norm; 0 does not clip.
  """
  if config.name not in OPTIMIZERS:
    raise errors.UserError(
      f'unknown optimizer {config.name!r}'
      f'{errors.nearest(config.name, OPTIMIZERS)}; adam and sgd exist'
    )
  if config.clip_norm is not None:
    clip_norm = config.clip_norm

  # Checkpoints hold the state of the chain: it has a link also where nothing is clipped.
  clip = optax.identity()
  if clip_norm > 0:
    clip = optax.clip_by_global_norm(clip_norm)
  links = [clip]
  if config.weight_decay:
    # Before Adam, whose moments see it: L2 regularisation, as in PyTorch's Adam, and not AdamW.
    links.append(optax.add_decayed_weights(config.weight_decay))
  if config.name == 'adam':
    links.append(optax.scale_by_adam(config.b1, config.b2, config.eps))
  return Optimizer(optax.chain(*links), schedule(config, num_steps))


def schedule(config: ml_collections.ConfigDict, num_steps: int) -> Schedule:
  """Returns learning_rate(step), constant until `schedule_start`, then as `schedule` says.

  'halve': half as much at once and again every `schedule_every` steps (LOMIT's code).
  'halve_linearly': half as much only after `schedule_every` steps, a straight line until
  then, and so on (LOMIT, ICLR appendix 7.2). 'inverse_time': divided by
  1 + steps / `schedule_every` (AdaIN). 'linear': to 0 at `num_steps` (CycleGAN).
  'polynomial': lr * (1 - progress)**schedule_power (EGSC-IT).
  """
  # Rates are functions of the step alone, so that a resumed run continues them.
  kind, start = config.schedule, config.schedule_start
  rate = config.learning_rate
  if kind not in SCHEDULES:
    raise errors.UserError(
      f'unknown learning-rate schedule {kind!r}'
      f'{errors.nearest(kind, SCHEDULES)}; known: {", ".join(SCHEDULES)}'
    )
  if kind == 'constant':
    return lambda step: jnp.float32(rate)
  if kind in ('halve', 'halve_linearly'):
    return _halving(config)
  if kind == 'inverse_time':
    return _inverse_time(config)

  # A straight line to 0 is a polynomial of power 1.
  power = config.schedule_power if kind == 'polynomial' else 1.0
  span = max(num_steps - start, 1)

  def falling(step):
    progress = jnp.clip((step - start) / span, 0, 1)
    return rate * (1 - progress) ** power

  return falling


def _halving(config: ml_collections.ConfigDict) -> Schedule:
  """Returns the schedule 'halve' or 'halve_linearly'."""
  rate = config.learning_rate
  start = config.schedule_start
  every = _every(config, 'the steps between halvings')

  def linearly(step):
    since = jnp.maximum(step - start, 0)
    halvings, rest = jnp.divmod(since, every)
    return rate * 0.5 ** halvings.astype(jnp.float32) * (1 - rest / (2 * every))

  def at_once(step):
    since = jnp.maximum(step - start, 0)
    halvings = jnp.where(step < start, 0, 1 + since // every)
    return rate * 0.5 ** halvings.astype(jnp.float32)

  return linearly if config.schedule == 'halve_linearly' else at_once


def _inverse_time(config: ml_collections.ConfigDict) -> Schedule:
  """Returns the schedule 'inverse_time'."""
  rate = config.learning_rate
  start = config.schedule_start
  every = _every(config, 'the steps after which the rate is half as large')

  def falling(step):
    since = jnp.maximum(step - start, 0)
    return rate / (1 + since / every)

  return falling


def _every(config: ml_collections.ConfigDict, meaning: str) -> int:
  """Returns `schedule_every`; UserError, which says what it means, where it is not set."""
  if config.schedule_every < 1:
    raise errors.UserError(
      f'schedule {config.schedule!r} needs schedule_every: {meaning}'
    )
  return config.schedule_every
