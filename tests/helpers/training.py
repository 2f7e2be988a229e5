"""Tiny configs, batches and runs of the engine, and how their results are compared."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax import methods
from maskgan_jax.methods import base
from maskgan_jax.runs import checkpoints
from maskgan_jax.training import parallel as parallel_lib
from maskgan_jax.training import train_step


def smoke_config(data_dir, **changes):
  config = run_config.default('content_transfer')
  run_config.smoke(config)
  config.data.data_dir = data_dir
  config.update(evaluators=(), **changes)
  return config


def newest(workdir):
  """Returns every array of the newest checkpoint, on the host."""
  config = run_config.load(workdir)
  method = methods.make(config)
  optimizers = train_step.make_optimizers(method, config)
  sharding = parallel_lib.Parallel('jit').replicated
  abstract = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
      jax.eval_shape(lambda: train_step.init_state(method, optimizers, config)))
  with checkpoints.Checkpoints(workdir, read_only=True) as saved:
    return jax.device_get(saved.restore(*abstract.items()))


def assert_same(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def small_config(method='content_transfer', **changes):
  config = run_config.default(method)
  run_config.smoke(config)
  with config.unlocked():
    config.update(changes)
  return config


def sgd_config(**changes):
  """Returns a config with plain gradient steps. Adam would magnify rounding to its step size where
  the true gradient is zero, as it is for a bias before batch normalisation."""
  config = small_config(**changes)
  for player in config.optimizers.values():
    player.update(name='sgd', learning_rate=0.01)
  return config


def random_batch(config, seed=0, draws=1):
  rng = np.random.default_rng(seed)
  shape = (config.batch_size, config.image_size, config.image_size, 3)
  shape = shape if draws == 1 else (draws, *shape)
  return {name: rng.integers(0, 256, shape, np.uint8) for name in ('a', 'b')}


def _assemble(method, config, devices):
  """Returns what `run` needs: devices, the first state on the host, the step, its programs."""
  parallel = parallel_lib.Parallel(config.parallel, devices)
  optimizers = train_step.make_optimizers(method, config)
  state = parallel.initialize(lambda: train_step.init_state(method, optimizers, config))
  step = train_step.make_step(method, optimizers, config)
  return parallel, jax.device_get(state), step, parallel.compile(step)


@functools.lru_cache(maxsize=8)
def _assembled(text, devices):
  """Does the same for a config as JSON text; tests in one process share the programs."""
  config = run_config.from_json(text)
  return _assemble(methods.make(config), config, devices)


def run(config, *, devices=None, steps=3, method=None, batches=None):
  """Returns the state on the host after some steps, and for each step the metrics by name."""
  devices = tuple(devices or jax.devices())
  if method is None:
    assembled = _assembled(run_config.to_json(config), devices)
  else:
    assembled = _assemble(method, config, devices)
  parallel, first_state, step, programs = assembled
  draws = step.turns.draws
  state, history = parallel.replicate(first_state), []
  for i in range(steps):
    batch = batches[i] if batches else random_batch(config, i, draws)
    state, metrics = programs(state, parallel.feed(batch, draws), config.seed, at=i)
    history.append(step.by_name(metrics))
  return jax.device_get(state), history


def assert_close(one, other, rtol=1e-4, atol=1e-5):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=atol), one, other)


class TwoPlayers(base.Method):
  """Two players who move a number each: the engine's arithmetic by hand."""

  def __init__(self, **second):
    def loss(group):
      def fn(params, model_state, batch, rng):
        value = params[group] * batch['a'].mean()
        count = {**model_state, group: model_state[group] + 1}
        return value, ({'noise': jax.random.uniform(rng)}, count)
      return fn
    self.players = (base.Player('first', ('p',), loss('p')),
                    base.Player('second', ('q',), loss('q'), **second))

  def init(self, rng, batch):
    del rng, batch
    return {'p': jnp.float32(1), 'q': jnp.float32(1)}, {'p': jnp.int32(0), 'q': jnp.int32(0)}


def two_players_config(**changes):
  config = small_config(**changes)
  with config.unlocked():
    sgd = dict(base.adam(1.0), name='sgd')
    config.optimizers = {'first': sgd, 'second': dict(base.adam(1.0), name='sgd')}
  return config
