"""One iteration of the game between a method's players, as one pure function."""

from collections.abc import Callable, Mapping
import functools
import math
from typing import Any

import flax.struct
import jax
from jax import lax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from maskgan_jax import errors
from maskgan_jax.methods import base
from maskgan_jax.networks import replicas
from maskgan_jax.training import optimizers


@flax.struct.dataclass
class TrainState:
  """All that training changes: arrays only.

  Attributes:
    step: iterations done, skipped ones included.
    params: parameter group -> tree, float32.
    opt_state: player -> optax state.
    model_state: batch statistics, replay pools.
    ema_params: exponential moving average of params, or {} when off.
    skipped: non-finite iterations so far.
    skipped_in_a_row: those since the last finite one.
  """
  step: jax.Array
  params: base.Params
  opt_state: dict[str, Any]
  model_state: base.ModelState
  ema_params: base.Params
  skipped: jax.Array
  skipped_in_a_row: jax.Array


def make_optimizers(method: base.Method, config: ml_collections.ConfigDict
                    ) -> dict[str, optimizers.Optimizer]:
  """Player -> optimizer, from `config.optimizers`."""
  missing = [p.name for p in method.players if p.name not in config.optimizers]
  if missing:
    raise errors.UserError(f'config.optimizers has no entry for player {missing[0]!r}')
  return {p.name: optimizers.make(config.optimizers[p.name],
                                  num_steps=(p.end or config.num_steps) - p.start,
                                  clip_norm=method.default_clip_norm.get(p.name, 0.0))
          for p in method.players}


def say_changed_rates(method: base.Method, before: ml_collections.ConfigDict,
                      now: ml_collections.ConfigDict, step: int, say: Callable[[str], None]
                      ) -> None:
  """Says which players' learning rates another `num_steps` moves at the step to go on from."""
  earlier, later = make_optimizers(method, before), make_optimizers(method, now)
  for player in method.players:
    played = jnp.int32(max(step - player.start, 0))  # what a schedule counts
    old, new = (float(players[player.name].learning_rate(played)) for players in (earlier, later))
    if old != new:
      say(f'num_steps was {before.num_steps} and is {now.num_steps}: the schedule of '
          f'config.optimizers.{player.name} ends with it, so that its learning rate at step {step} '
          f'is {new:.3g} instead of {old:.3g}')


def draws_per_step(method: base.Method) -> int:
  """Fresh batches that a step takes: the most that any player plays."""
  return max(player.repeats for player in method.players)


def init_state(method: base.Method, players: Mapping[str, optimizers.Optimizer],
               config: ml_collections.ConfigDict) -> TrainState:
  """A fresh state; jit this with `out_shardings` so that parameters are born where they live."""
  example = {d: jnp.zeros((2, *base.image_shape(config), 3)) for d in ('a', 'b')}
  for name in ('a_attributes', 'b_attributes'):
    example[name] = jnp.zeros((2, len(config.data.attributes)))
  params, model_state = method.init(jax.random.key(config.seed), example)
  opt_state = {p.name: players[p.name].init({g: params[g] for g in p.owns})
               for p in method.players}
  ema = jax.tree.map(jnp.array, params) if config.ema_decay else {}
  return TrainState(jnp.int32(0), params, opt_state, model_state, ema, jnp.int32(0), jnp.int32(0))


def normalize(batch: base.Batch) -> dict[str, jax.Array]:
  """uint8 images become float32 in [-1, 1]; everything else stays."""
  return {name: value.astype(jnp.float32) / 127.5 - 1 if value.dtype == jnp.uint8 else value
          for name, value in batch.items()}


def make_step(method: base.Method, players: Mapping[str, optimizers.Optimizer],
              config: ml_collections.ConfigDict) -> tuple[Callable[..., Any], list[str]]:
  """The iteration of all players, in order, and the names of its metrics.

  Returns:
    step(state, batch, seed, game=None) -> (state, metrics): metrics is one float32 vector, NaN
    where a player did not play, whose names appear in the returned list once step has been traced.
    If any loss or gradient is not finite the whole iteration is undone, except the counters. With
    `game`, which must be step.game_of(state.step), nothing is compiled but who plays then. Within a
    stage of the training who plays repeats after `step.cycle` steps.
  """
  draws = draws_per_step(method)
  names: list[str] = []

  def play(index, carry, batch, key, now):
    """One player's turn: (params, opt_state, model_state), metrics, whether all was finite."""
    params, opt_state, model_state = carry
    player, optimizer = method.players[index], players[method.players[index].name]
    finite, state = jnp.bool_(True), opt_state[player.name]
    now = now - player.start
    for repeat in range(player.repeats):
      fresh = batch if draws == 1 else {k: v[repeat] for k, v in batch.items()}
      rng = jax.random.fold_in(jax.random.fold_in(key, index), repeat)
      owned = {group: params[group] for group in player.owns}
      loss, metrics, model_state, grads = gradients(
          player, params, owned, model_state, fresh, rng, config.accumulate)
      norm = optax.tree.norm(grads)
      finite &= jnp.isfinite(loss) & jnp.isfinite(norm)
      owned, state = optimizer.update(grads, state, owned, now)
      # Finite gradients do not make finite parameters: a learning rate may be too large.
      finite &= jnp.isfinite(optax.tree.norm(owned))
      params = {**params, **owned}
    metrics = {**metrics, 'loss': loss, 'gradient_norm': norm,
               'learning_rate': optimizer.learning_rate(now)}
    metrics = {f'{player.name}/{name}': value for name, value in metrics.items()}
    return (params, {**opt_state, player.name: state}, model_state), metrics, finite

  def play_all(indices, carry, batch, key, now):
    metrics, finite = {}, jnp.bool_(True)
    for index in indices:
      carry, played, ok = play(index, carry, batch, key, now)
      metrics.update(played)
      finite &= ok
    return carry, metrics, finite

  game_of, games = _games(method.players, config.num_steps)
  branches = [functools.partial(play_all, game) for game in games]

  def step(state: TrainState, batch: base.Batch, seed: jax.Array, game: int | None = None):
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    carry = state.params, state.opt_state, state.model_state
    arguments = carry, normalize(batch), key, state.step
    shapes = {}
    for branch in branches:
      shapes.update(jax.eval_shape(branch, *arguments)[1])

    def padded(branch):
      def run(*arguments):
        carry, metrics, finite = branch(*arguments)
        absent = {name: jnp.full(value.shape, jnp.nan, value.dtype)
                  for name, value in shapes.items() if name not in metrics}
        return carry, {**metrics, **absent}, finite
      return run
    if game is None:
      game = 0 if len(games) == 1 else game_of(state.step)
    if isinstance(game, int):
      played = padded(branches[game])(*arguments)
    else:
      played = lax.switch(game, [padded(branch) for branch in branches], *arguments)
    (params, opt_state, model_state), metrics, finite = played

    ema = state.ema_params
    if config.ema_decay:
      ema = optax.incremental_update(params, ema, 1 - config.ema_decay)
    new = (params, opt_state, model_state, ema)
    old = (state.params, state.opt_state, state.model_state, state.ema_params)
    new = jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, old)
    bad = 1 - finite.astype(jnp.int32)
    in_a_row = jnp.where(finite, 0, state.skipped_in_a_row + 1)
    metrics.update(skipped=bad, skipped_in_a_row=in_a_row)
    names[:] = sorted(metrics)
    vector = jnp.stack([metrics[name].astype(jnp.float32) for name in names])
    return TrainState(state.step + 1, *new, state.skipped + bad, in_a_row), vector

  step.game_of = game_of
  step.cycle = math.lcm(*(player.every for player in method.players))
  return step, names


def _games(players, num_steps):
  """Who plays together, and which of these a step is: (game_of(step), indices of players).

  Those who play together are one program, so that XLA computes once what they have in common. A
  stage of the training is what lies between two steps at which some player begins or ends; within
  one, who plays is the same every `cycle` steps. Stages after `num_steps` are left out.
  """
  cycle = math.lcm(*(player.every for player in players))
  starts = sorted({0, *(step for p in players for step in (p.start, p.end) if step < num_steps)})
  stages = [[tuple(i for i, p in enumerate(players)
                   if p.start <= start < (p.end or start + 1) and place % p.every == p.phase)
             for place in range(cycle)] for start in starts]
  games = sorted({game for stage in stages for game in stage})
  table = np.array([[games.index(game) for game in stage] for stage in stages])

  def game_of(step):
    if isinstance(step, int):
      return int(table[sum(step >= start for start in starts[1:]), step % cycle])
    stage = sum((step >= start).astype(jnp.int32) for start in starts[1:])
    return jnp.asarray(table)[stage, step % cycle]
  return game_of, games


def gradients(player, params, owned, model_state, batch, rng, accumulate):
  """(loss, metrics, model state, gradients of the owned groups), over micro-batches if asked.

  Micro-batch k holds examples k, k + n, k + 2n, ...: each device's share of it lies on the device.
  """
  def loss_fn(owned, model_state, batch, rng):
    return player.loss({**params, **owned}, model_state, batch, rng)
  grad_fn = jax.value_and_grad(loss_fn, has_aux=True)

  if accumulate == 1:
    (loss, (metrics, model_state)), grads = grad_fn(owned, model_state, batch, rng)
  else:
    micro = {k: jnp.moveaxis(v.reshape(-1, accumulate, *v.shape[1:]), 1, 0)
             for k, v in batch.items()}

    def body(model_state, inputs):
      batch, index = inputs
      examples = len(jax.tree.leaves(batch)[0])
      with replicas.micro_batch(index, accumulate, examples):
        (loss, (metrics, model_state)), grads = grad_fn(owned, model_state, batch, rng)
      return model_state, (loss, metrics, grads)
    inputs = (micro, jnp.arange(accumulate))
    one = jax.eval_shape(body, model_state, jax.tree.map(lambda x: x[0], inputs))[1]
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), one)

    def add(carry, inputs):
      model_state, total = carry
      model_state, one = body(model_state, inputs)
      return (model_state, jax.tree.map(jnp.add, total, one)), None
    (model_state, total), _ = lax.scan(add, (model_state, zeros), inputs)
    loss, metrics, grads = jax.tree.map(lambda x: x / accumulate, total)
  loss, metrics, grads = jax.tree.map(replicas.mean, (loss, metrics, grads))
  return loss, metrics, model_state, grads
