"""One iteration of a method's players, as one pure function."""

from collections.abc import Mapping
import dataclasses
import functools
from typing import Any, NamedTuple

import flax.struct
import jax
from jax import lax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from maskgan_jax import errors, methods
from maskgan_jax.methods import base
from maskgan_jax.networks import cpu_kernels
from maskgan_jax.training import gradients
from maskgan_jax.training import optimizers as optimizers_lib
from maskgan_jax.training.turns import Turn, Turns

Optimizers = Mapping[str, optimizers_lib.Optimizer]  # by player


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

  def model(self) -> tuple[base.Params, base.ModelState]:
    """Returns the arrays that translate: parameters, the averaged ones if any, and state."""
    return self.ema_params or self.params, self.model_state

  def items(self) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns a checkpoint's two items: what translates, and what only training needs."""
    model = {
      'params': self.params,
      'model_state': self.model_state,
      'ema_params': self.ema_params,
    }
    training = {
      'step': self.step,
      'opt_state': self.opt_state,
      'skipped': self.skipped,
      'skipped_in_a_row': self.skipped_in_a_row,
    }
    return model, training


class Metrics(NamedTuple):
  """The metrics of a step, in the order of `Step.metric_names`.

  Where one dispatch takes several steps, both arrays have an axis of steps first.

  Attributes:
    values: float32, 0 where the metric's player did not play.
    played: bool, whether the metric's player played.
  """

  values: jax.Array
  played: jax.Array


class _Learned(NamedTuple):
  """What players change when they play."""

  params: base.Params
  opt_state: dict[str, Any]
  model_state: base.ModelState


def make_optimizers(
  method: base.Method, config: ml_collections.ConfigDict
) -> dict[str, optimizers_lib.Optimizer]:
  """Returns each player's optimizer, from `config.optimizers`."""
  # A player's schedule spans the steps from its start to its end.
  optimizers = {}
  for player in method.players:
    if player.name not in config.optimizers:
      raise errors.UserError(
        f'config.optimizers has no entry for player {player.name!r}'
      )
    optimizers[player.name] = optimizers_lib.make(
      config.optimizers[player.name],
      num_steps=(player.end or config.num_steps) - player.start,
      clip_norm=method.default_clip_norm.get(player.name, 0.0),
    )
  return optimizers


def init_state(
  method: base.Method, optimizers: Optimizers, config: ml_collections.ConfigDict
) -> TrainState:
  """Returns a fresh state; jit this with `out_shardings` to create it on its devices."""
  # Networks take their shapes from an example.
  image = jnp.zeros((2, *base.image_shape(config), 3))
  labels = jnp.zeros((2, len(config.data.attributes)))
  example = {
    'a': image,
    'b': image,
    'a_attributes': labels,
    'b_attributes': labels,
  }
  rng = jax.random.key(config.seed)
  params, model_state = method.init(rng, example)

  # Each optimizer holds the state of its player's groups only.
  opt_state = {}
  for player in method.players:
    owned = {group: params[group] for group in player.owns}
    opt_state[player.name] = optimizers[player.name].init(owned)
  ema_params = {}
  if config.ema_decay:
    ema_params = jax.tree.map(jnp.array, params)
  return TrainState(
    step=jnp.int32(0),
    params=params,
    opt_state=opt_state,
    model_state=model_state,
    ema_params=ema_params,
    skipped=jnp.int32(0),
    skipped_in_a_row=jnp.int32(0),
  )


def abstract_batch(
  config: ml_collections.ConfigDict, draws: int
) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns the shapes that the data pipeline gives to a step."""
  # Draws are the leading axis, where players need several batches a step.
  leading = [config.batch_size]
  if draws > 1:
    leading = [draws, config.batch_size]
  shape = (*leading, *base.image_shape(config), 3)
  image = jax.ShapeDtypeStruct(shape, jnp.uint8)
  batch = {'a': image, 'b': image}
  if config.data.attributes:
    shape = (*leading, len(config.data.attributes))
    labels = jax.ShapeDtypeStruct(shape, jnp.float32)
    batch.update(a_attributes=labels, b_attributes=labels)
  if config.data.masks_share:
    mask = jax.ShapeDtypeStruct((*image.shape[:-1], 1), jnp.uint8)
    given = jax.ShapeDtypeStruct(tuple(leading), jnp.float32)
    batch.update(a_mask=mask, b_mask=mask, a_mask_given=given, b_mask_given=given)
  return batch


def normalize(batch: base.Batch) -> dict[str, jax.Array]:
  """Maps uint8 images to float32 in [-1, 1], uint8 masks to [0, 1], and keeps everything else."""
  normalized = {}
  for name, value in batch.items():
    if value.dtype == jnp.uint8:
      value = value.astype(jnp.float32)
      value = value / 255 if name.endswith('_mask') else value / 127.5 - 1
    normalized[name] = value
  return normalized


def losses_text(config: ml_collections.ConfigDict) -> str:
  """Returns the text of a config's losses as programs for one device, not compiled."""
  # Abstract arrays trace the losses without memory for the networks.
  method = methods.make(config)
  model = base.abstract_model(method, config)
  batch = jax.eval_shape(normalize, abstract_batch(config, draws=1))
  rng = jax.eval_shape(lambda: jax.random.key(0))
  texts = []
  for player in method.players:
    loss = jax.jit(player.loss)
    lowered = loss.lower(model['params'], model['model_state'], batch, rng)
    texts.append(lowered.as_text())
  return '\n'.join(texts)


def make_step(
  method: base.Method, optimizers: Optimizers, config: ml_collections.ConfigDict
) -> 'Step':
  """Returns the iteration of a method's players.

  Nothing is computed; each player's turn is traced once, for the names of its metrics.
  """
  turns = Turns(method.players, config.num_steps)
  step = Step(
    players=method.players,
    optimizers=optimizers,
    turns=turns,
    accumulate=config.accumulate,
    ema_decay=config.ema_decay,
    metric_names=(),
  )

  # Shapes are enough to find out which metrics there are.
  batch = jax.eval_shape(normalize, abstract_batch(config, turns.draws))
  names = {'skipped', 'skipped_in_a_row'}
  with cpu_kernels.portable():  # the quickest to trace
    state = jax.eval_shape(lambda: init_state(method, optimizers, config))
    for turn in turns.distinct:
      names.update(step.trace(turn, state, batch))
  return dataclasses.replace(step, metric_names=tuple(sorted(names)))


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
  """One iteration of all players whose turn it is, in their order; `make_step` makes one.

  Attributes:
    players: of the method.
    optimizers: player -> optimizer.
    turns: who plays when.
    accumulate: micro-batches that a batch is split into.
    ema_decay: of the moving average of parameters; 0 is off.
    metric_names: names of the metrics, in their order.
  """

  players: tuple[base.Player, ...]
  optimizers: Optimizers
  turns: Turns
  accumulate: int
  ema_decay: float
  metric_names: tuple[str, ...]

  def __call__(
    self,
    state: TrainState,
    batch: base.Batch,
    seed: jax.Array,
    turn: Turn | None = None,
  ) -> tuple[TrainState, Metrics]:
    """Returns the next state and the metrics of the step.

    If a loss, gradient or parameter is not finite, the whole iteration is undone, except
    for the counters.

    Args:
      state: the state before the step.
      batch: uint8 images and labels, with an axis of draws first if there are several.
      seed: of the run.
      turn: `turns.at(state.step)`; then only that turn is compiled. Without it, the
        program itself looks up who plays.
    """
    # Everything random follows from seed, step and player: a resumed run draws the same.
    key = jax.random.key(seed)
    key = jax.random.fold_in(key, state.step)
    learned = _Learned(state.params, state.opt_state, state.model_state)
    arguments = learned, normalize(batch), key, state.step

    # Where the same players play at each step, the program needs no switch.
    distinct = self.turns.distinct
    if turn is None and len(distinct) == 1:
      turn = distinct[0]
    if turn is None:
      branches = [functools.partial(self._play_padded, turn) for turn in distinct]
      index = self._turn_index(state.step)
      learned, metrics, finite = lax.switch(index, branches, *arguments)
    else:
      learned, metrics, finite = self._play_padded(turn, *arguments)
    return self._finish(state, learned, metrics, finite)

  def by_name(self, metrics: Metrics) -> dict[str, float]:
    """Returns the metrics of the players who played, of a single step."""
    values = np.asarray(metrics.values).tolist()
    played = np.asarray(metrics.played).tolist()
    values_by_name = {}
    for name, value, has_played in zip(self.metric_names, values, played, strict=True):
      if has_played:
        values_by_name[name] = value
    return values_by_name

  def trace(self, turn: Turn, state: TrainState, batch: base.Batch) -> tuple[str, ...]:
    """Returns the names of a turn's metrics, from shapes of a state and a normalized batch."""
    learned = _Learned(state.params, state.opt_state, state.model_state)
    key = jax.eval_shape(lambda: jax.random.key(0))
    play = functools.partial(self._play_turn, turn)
    _, metrics, _ = jax.eval_shape(play, learned, batch, key, state.step)
    return tuple(metrics)

  def _turn_index(self, step: jax.Array) -> jax.Array:
    """Returns the index of a step's turn, where the number of the step is an array."""
    stage = 0
    for start in self.turns.starts[1:]:
      stage += (step >= start).astype(jnp.int32)
    place = step % self.turns.cycle
    table = jnp.asarray(np.array(self.turns.table))
    return table[stage, place]

  def _play_padded(self, turn, learned, batch, key, step):
    """Plays a turn; its metrics are padded to those of all players, which all turns share."""
    # All branches of a switch must return the same shapes.
    learned, metrics, finite = self._play_turn(turn, learned, batch, key, step)
    values = {}
    played = {}
    for name in self.metric_names:
      value = jnp.asarray(metrics.get(name, 0.0))
      values[name] = value.astype(jnp.float32)
      played[name] = jnp.bool_(name in metrics)
    return learned, (values, played), finite

  def _play_turn(self, turn, learned, batch, key, step):
    """Lets the players of a turn play, one after another."""
    # A later player sees what the earlier ones learned in this step.
    metrics = {}
    finite = jnp.bool_(True)
    for index in turn:
      learned, player_metrics, is_finite = self._play(index, learned, batch, key, step)
      metrics.update(player_metrics)
      finite &= is_finite
    return learned, metrics, finite

  def _play(self, index, learned, batch, key, step):
    """Lets one player play; returns what it learned, its metrics, whether all is finite."""
    player = self.players[index]
    optimizer = self.optimizers[player.name]
    params, opt_states, model_state = learned
    opt_state = opt_states[player.name]
    finite = jnp.bool_(True)
    step = step - player.start  # schedules count from there

    for repeat in range(player.repeats):
      # A batch and noise that no other update sees.
      fresh = batch
      if self.turns.draws > 1:
        fresh = {name: value[repeat] for name, value in batch.items()}
      rng = jax.random.fold_in(key, index)
      rng = jax.random.fold_in(rng, repeat)
      loss, metrics, model_state, grads = gradients.compute(
        player, params, model_state, fresh, rng, self.accumulate
      )
      norm = optax.tree.norm(grads)
      finite &= jnp.isfinite(loss) & jnp.isfinite(norm)

      # Only the player's groups move.
      owned = {group: params[group] for group in player.owns}
      owned, opt_state = optimizer.update(grads, opt_state, owned, step)
      # Finite gradients do not make finite parameters: a learning rate may be too large.
      finite &= jnp.isfinite(optax.tree.norm(owned))
      if player.project:
        owned = player.project(owned)
      params = {**params, **owned}

    # Metrics are those of the last repeat.
    metrics = {
      **metrics,
      'loss': loss,
      'gradient_norm': norm,
      'learning_rate': optimizer.learning_rate(step),
    }
    metrics = {f'{player.name}/{name}': value for name, value in metrics.items()}
    opt_states = {**opt_states, player.name: opt_state}
    return _Learned(params, opt_states, model_state), metrics, finite

  def _finish(self, state, learned, metrics, finite):
    """Returns the next state and all metrics; a step that is not finite changes nothing."""
    ema_params = state.ema_params
    if self.ema_decay:
      weight = 1 - self.ema_decay
      ema_params = optax.incremental_update(learned.params, ema_params, weight)

    # Undo the iteration as a whole: players must not get out of step with each other.
    new = (*learned, ema_params)
    old = (state.params, state.opt_state, state.model_state, state.ema_params)
    kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, old)

    # Count, also where nothing else changes.
    bad = 1 - finite.astype(jnp.int32)
    in_a_row = jnp.where(finite, 0, state.skipped_in_a_row + 1)
    values, played = metrics
    values['skipped'] = bad.astype(jnp.float32)
    values['skipped_in_a_row'] = in_a_row.astype(jnp.float32)
    played['skipped'] = jnp.bool_(True)
    played['skipped_in_a_row'] = jnp.bool_(True)
    values = jnp.stack([values[name] for name in self.metric_names])
    played = jnp.stack([played[name] for name in self.metric_names])

    # The step counts on even if it was undone, so that the next one draws other noise.
    params, opt_state, model_state, ema_params = kept
    next_state = TrainState(
      step=state.step + 1,
      params=params,
      opt_state=opt_state,
      model_state=model_state,
      ema_params=ema_params,
      skipped=state.skipped + bad,
      skipped_in_a_row=in_a_row,
    )
    return next_state, Metrics(values, played)
