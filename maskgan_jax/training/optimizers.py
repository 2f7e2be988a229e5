"""A player's optimizer: an optax chain, and a learning rate that is a function of the step."""

from collections.abc import Callable
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax

from maskgan_jax import errors

SCHEDULES = ('constant', 'halve', 'halve_linearly', 'linear', 'polynomial')


@dataclasses.dataclass(frozen=True)
class Optimizer:
  """An optax transformation without learning rate, and learning_rate(step)."""
  transform: optax.GradientTransformation
  learning_rate: Callable[[jax.Array], jax.Array]

  def init(self, params: Any) -> Any:
    return self.transform.init(params)

  def update(self, grads: Any, state: Any, params: Any, step: jax.Array) -> tuple[Any, Any]:
    """(new params, new state) for gradients at `step`, the global one."""
    updates, state = self.transform.update(grads, state, params)
    rate = self.learning_rate(step)
    return jax.tree.map(lambda p, u: p - rate * u, params, updates), state


def make(config: ml_collections.ConfigDict, *, num_steps: int, clip_norm: float) -> Optimizer:
  """An optimizer from a player's part of the config; `clip_norm` is the method's default."""
  if config.name not in ('adam', 'sgd'):
    raise errors.UserError(f'unknown optimizer {config.name!r}'
                           f'{errors.nearest(config.name, ("adam", "sgd"))}; adam and sgd exist')
  clip_norm = clip_norm if config.clip_norm is None else config.clip_norm
  links = [optax.clip_by_global_norm(clip_norm) if clip_norm > 0 else optax.identity()]
  if config.name == 'adam':
    links.append(optax.scale_by_adam(config.b1, config.b2, config.eps))
  return Optimizer(optax.chain(*links), schedule(config, num_steps))


def schedule(config: ml_collections.ConfigDict, num_steps: int) -> Callable[[jax.Array], jax.Array]:
  """learning_rate(step), constant until `schedule_start`, then as `schedule` says.

  'halve': half as much at once and again every `schedule_every` steps (LOMIT's code).
  'halve_linearly': half as much only after `schedule_every` steps, a straight line until then, and
  so on (LOMIT, ICLR appendix 7.2). 'linear': to 0 at `num_steps` (CycleGAN). 'polynomial':
  lr * (1 - progress)**schedule_power (EGSC-IT).
  """
  kind, base, start = config.schedule, config.learning_rate, config.schedule_start
  if kind not in SCHEDULES:
    raise errors.UserError(f'unknown learning-rate schedule {kind!r}'
                           f'{errors.nearest(kind, SCHEDULES)}; known: {", ".join(SCHEDULES)}')
  if kind == 'constant':
    return lambda step: jnp.float32(base)
  if kind in ('halve', 'halve_linearly'):
    every = config.schedule_every
    if every < 1:
      raise errors.UserError(f'schedule {kind!r} needs schedule_every: the steps between halvings')

    def halved(step):
      halvings, rest = jnp.divmod(jnp.maximum(step - start, 0), every)
      if kind == 'halve_linearly':
        return base * 0.5 ** halvings.astype(jnp.float32) * (1 - rest / (2 * every))
      return base * 0.5 ** jnp.where(step < start, 0, 1 + halvings).astype(jnp.float32)
    return halved
  power = config.schedule_power if kind == 'polynomial' else 1.0
  span = max(num_steps - start, 1)
  return lambda step: base * (1 - jnp.clip((step - start) / span, 0, 1)) ** power
