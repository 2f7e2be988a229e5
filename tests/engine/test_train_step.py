"""The iteration: ownership, devices, schedules, skipping, accumulation, golden numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from helpers import method_checks
from helpers.training import (
  assert_close,
  random_batch,
  run,
  sgd_config,
  small_config,
  two_players_config,
  TwoPlayers,
)
from maskgan_jax import errors, methods
from maskgan_jax.methods import base
from maskgan_jax.networks import replicas
from maskgan_jax.training import gradients, optimizers, train_step
from maskgan_jax.training import parallel as parallel_lib


@pytest.fixture(scope='module')
def reference():
  """Returns the state after three plain gradient steps on one device."""
  return run(sgd_config(), devices=jax.devices()[:1])


@pytest.mark.slow
@pytest.mark.parametrize('name', methods.names())
def test_a_loss_has_no_gradient_for_groups_that_its_player_does_not_own(name):
  method_checks.check_gradients_by_owner(name)


@pytest.mark.slow
def test_eight_devices_compute_what_one_does(reference):
  state, history = run(sgd_config())
  assert_close(state.params, reference[0].params)
  assert_close(state.model_state, reference[0].model_state)
  assert_close(history, reference[1], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_pmap_computes_what_jit_does(reference):
  state, history = run(sgd_config(parallel='pmap'))
  assert_close(state.params, reference[0].params)
  assert_close(state.model_state, reference[0].model_state)
  assert_close(history, reference[1], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_rematerialisation_changes_nothing(reference):
  state, _ = run(sgd_config(remat=True), devices=jax.devices()[:1])
  assert_close(state.params, reference[0].params)


@pytest.mark.slow
def test_bfloat16_keeps_float32_state_and_stays_near(reference):
  state, history = run(sgd_config(compute_dtype='bfloat16'), devices=jax.devices()[:1])
  for leaf in jax.tree.leaves((state.params, state.model_state, state.opt_state)):
    assert leaf.dtype in (np.float32, np.int32)
  assert history[0]['autoencoder/loss'] == pytest.approx(
      reference[1][0]['autoencoder/loss'], rel=0.02)


@pytest.mark.slow
def test_golden_numbers(reference):
  """Loss of the first three steps. Change them only with a change that is meant to change
  training: initialisation, a loss, the order of players, an optimizer."""
  history = reference[1]
  golden = {'autoencoder/loss': GOLDEN_AUTOENCODER, 'discriminator/loss': GOLDEN_DISCRIMINATOR}
  for name, values in golden.items():
    np.testing.assert_allclose([h[name] for h in history], values, rtol=2e-4)


GOLDEN_AUTOENCODER = [6.673703, 6.606270, 6.582997]
GOLDEN_DISCRIMINATOR = [1.390512, 1.363231, 1.457243]


@pytest.mark.slow
def test_no_retrace_and_donation(monkeypatch):
  config = small_config()
  method = methods.make(config)
  parallel = parallel_lib.Parallel('jit')
  optimizers = train_step.make_optimizers(method, config)
  state = parallel.initialize(lambda: train_step.init_state(method, optimizers, config))
  step = train_step.make_step(method, optimizers, config)
  call, traces = train_step.Step.__call__, []

  def counted(*arguments):
    traces.append(1)
    return call(*arguments)
  monkeypatch.setattr(train_step.Step, '__call__', counted)
  compiled = parallel.compile(step)
  for i in range(3):
    old = state
    state, _ = compiled(state, parallel.feed(random_batch(config, i)), config.seed)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(old.params))
  assert len(traces) == 1


def test_a_step_knows_its_metrics_before_it_runs():
  config = two_players_config()
  method = TwoPlayers()
  step = train_step.make_step(method, train_step.make_optimizers(method, config), config)
  names = ('gradient_norm', 'learning_rate', 'loss', 'noise')
  assert step.metric_names == (*(f'first/{name}' for name in names),
                               *(f'second/{name}' for name in names),
                               'skipped', 'skipped_in_a_row')


def test_every_and_phase_and_repeats():
  draws = 2
  xs = [np.full((draws, 8), value, np.float32) * np.array([[1], [10]], np.float32)
        for value in (1, 2, 3, 4, 5)]
  state, history = run(two_players_config(), devices=jax.devices()[:1], steps=5,
                       method=TwoPlayers(every=2, phase=1, repeats=2),
                       batches=[{'a': x} for x in xs])
  assert state.params['p'] == 1 - (1 + 2 + 3 + 4 + 5)  # its own draw is the first one
  assert state.params['q'] == 1 - (2 + 20 + 4 + 40)  # plays at steps 1 and 3, twice
  assert state.model_state == {'p': 5, 'q': 4}
  assert 'second/loss' not in history[0] and 'second/loss' in history[1]
  noise = [h['first/noise'] for h in history] + [history[1]['second/noise']]
  assert len(set(noise)) == len(noise), 'players and steps draw different noise'


def test_what_a_player_owns_is_projected_after_each_update():
  def project(owned):
    assert set(owned) == {'q'}
    return {'q': jnp.maximum(owned['q'], 0)}
  xs = np.array([[3] * 8, [-2] * 8], np.float32)  # the draws of a step
  state, _ = run(two_players_config(), devices=jax.devices()[:1], steps=1,
                 method=TwoPlayers(repeats=2, project=project), batches=[{'a': xs}])
  assert state.params == {'p': 1 - 3, 'q': max(1 - 3, 0) + 2}


def test_a_projection_does_not_hide_what_is_not_finite():
  config = two_players_config()
  config.optimizers.second.learning_rate = float('inf')
  method = TwoPlayers(project=lambda owned: {'q': jnp.clip(owned['q'], 0, 1)})
  state, _ = run(config, devices=jax.devices()[:1], steps=1, method=method,
                 batches=[{'a': np.ones(8, np.float32)}])
  assert state.params == {'p': 1, 'q': 1} and state.skipped == 1


def test_a_non_finite_iteration_is_undone_as_a_whole_and_counted():
  good, bad = np.ones(8, np.float32), np.full(8, np.nan, np.float32)
  batches = [{'a': x} for x in (good, bad, bad, good)]
  state, history = run(two_players_config(), devices=jax.devices()[:1], steps=4,
                       method=TwoPlayers(), batches=batches)
  assert state.params['p'] == 1 - 2 and state.params['q'] == 1 - 2
  assert state.model_state == {'p': 2, 'q': 2}
  assert state.skipped == 2 and state.skipped_in_a_row == 0 and state.step == 4
  assert [h['skipped_in_a_row'] for h in history] == [0, 1, 2, 0]
  assert [np.isnan(h['first/loss']) for h in history] == [False, True, True, False]


def test_a_learning_rate_that_makes_parameters_infinite_is_undone():
  config = two_players_config()
  config.optimizers.second.learning_rate = float('inf')
  state, _ = run(config, devices=jax.devices()[:1], steps=1, method=TwoPlayers(),
                 batches=[{'a': np.ones(8, np.float32)}])
  assert state.params == {'p': 1, 'q': 1} and state.skipped == 1


def test_one_player_gone_wrong_undoes_the_others_too():
  method = TwoPlayers()
  first, second = method.players
  broken = base.Player('second', ('q',), lambda *args: (jnp.nan * second.loss(*args)[0],
                                                        second.loss(*args)[1]))
  method.players = (first, broken)
  state, _ = run(two_players_config(), devices=jax.devices()[:1], steps=2, method=method,
                 batches=[{'a': np.ones(8, np.float32)}] * 2)
  assert state.params['p'] == 1 and state.model_state == {'p': 0, 'q': 0}


def test_accumulation_gives_the_large_batch_where_examples_do_not_meet():
  x = np.arange(8, dtype=np.float32)
  for devices in (jax.devices()[:1], jax.devices()[:4]):
    state, _ = run(two_players_config(accumulate=2), devices=devices, steps=1, method=TwoPlayers(),
                   batches=[{'a': x}])
    assert state.params['p'] == 1 - 3.5
    assert state.model_state == {'p': 2, 'q': 2}


@pytest.mark.slow
@pytest.mark.parametrize('name', ['additional_mask', 'egsc_it'])
def test_accumulation_gives_the_large_batch_where_statistics_are_an_examples(name):
  """Compares every player's gradients in a whole method without batch normalisation."""
  config = small_config(name)
  if name == 'additional_mask':
    config.model.pool_size = 0  # which sees the examples in another order
  method = methods.make(config)
  optimizers = train_step.make_optimizers(method, config)
  state = jax.jit(lambda: train_step.init_state(method, optimizers, config))()
  batch = train_step.normalize({k: jnp.asarray(v) for k, v in random_batch(config).items()})
  for player in method.players:
    whole, parts = (jax.device_get(jax.jit(gradients.compute, static_argnums=(0, 5))(
        player, state.params, state.model_state, batch, jax.random.key(1), n))
        for n in (1, 4))
    assert float(optax.tree.norm(whole[3])) > 1e-3
    assert whole[0] == pytest.approx(parts[0], rel=1e-5)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5), whole[3],
                 parts[3])


@pytest.mark.parametrize('count', [1, 2])
def test_micro_batches_draw_what_the_whole_batch_does(count):
  """Two rows for each of 12 examples, in 3 micro-batches on each replica."""
  key, number = jax.random.key(0), 3
  examples = 12 // count // number
  whole = jax.random.bits(key, (24, 5))  # integers are equal to the last bit in any two programs

  def parts(_):
    def one(index):
      with replicas.micro_batch(index, number, examples):
        drawn = replicas.draw(lambda n: jax.random.bits(key, (n, 5)), 2 * examples)
        return drawn, jax.random.key_data(replicas.own_key(key))
    return jax.lax.map(one, jnp.arange(number))
  drawn, keys = jax.pmap(parts, replicas.DATA_AXIS, devices=jax.devices()[:count])(
      jnp.arange(count))
  drawn = drawn.reshape(count, number, examples, 2, 5).swapaxes(1, 2).reshape(24, 5)
  np.testing.assert_array_equal(drawn, whole)
  assert len(np.unique(keys[0], axis=0)) == number


@pytest.mark.slow
def test_accumulation_trains_content_transfer():
  state, history = run(small_config(accumulate=2), devices=jax.devices()[:2])
  assert all(np.isfinite(h['autoencoder/loss']) for h in history) and state.skipped == 0


def test_exponential_moving_average():
  batches = [{'a': np.full(8, x, np.float32)} for x in (1, 2)]
  state, _ = run(two_players_config(ema_decay=0.75), devices=jax.devices()[:1], steps=2,
                 method=TwoPlayers(), batches=batches)
  assert state.params['p'] == -2
  assert state.ema_params['p'] == pytest.approx(0.75 * (0.75 * 1 + 0.25 * 0) + 0.25 * -2)


@pytest.mark.parametrize('changes, step, expected', [
    (dict(schedule='constant'), 10, 1.0),
    (dict(schedule='halve', schedule_start=10, schedule_every=5), 9, 1.0),
    (dict(schedule='halve', schedule_start=10, schedule_every=5), 10, 0.5),
    (dict(schedule='halve', schedule_start=10, schedule_every=5), 15, 0.25),
    (dict(schedule='halve_linearly', schedule_start=10, schedule_every=5), 7, 1.0),
    (dict(schedule='halve_linearly', schedule_start=10, schedule_every=5), 10, 1.0),
    (dict(schedule='halve_linearly', schedule_start=10, schedule_every=5), 12, 0.8),
    (dict(schedule='halve_linearly', schedule_start=10, schedule_every=5), 15, 0.5),
    (dict(schedule='halve_linearly', schedule_start=10, schedule_every=5), 17, 0.4),
    (dict(schedule='halve_linearly', schedule_start=10, schedule_every=5), 20, 0.25),
    (dict(schedule='linear', schedule_start=50), 50, 1.0),
    (dict(schedule='linear', schedule_start=50), 75, 0.5),
    (dict(schedule='linear', schedule_start=50), 100, 0.0),
    (dict(schedule='polynomial', schedule_power=0.9), 50, 0.5 ** 0.9),
])
def test_schedules(changes, step, expected):
  config = small_config().optimizers.autoencoder
  config.update(learning_rate=1.0, **changes)
  rate = optimizers.schedule(config, num_steps=100)
  assert float(rate(jnp.int32(step))) == pytest.approx(expected)


def test_clipping_is_by_each_players_global_norm():
  config = small_config().optimizers.autoencoder
  config.update(name='sgd', learning_rate=1.0)
  grads = {'a': jnp.array([3.0, 0.0]), 'y': jnp.array([4.0])}
  params = jax.tree.map(jnp.zeros_like, grads)
  for clip_norm, methods_default, scale in ((None, 2.5, 0.5), (None, 0.0, 1.0), (1.0, 2.5, 0.2)):
    config.clip_norm = clip_norm
    optimizer = optimizers.make(config, num_steps=10, clip_norm=methods_default)
    new, _ = optimizer.update(grads, optimizer.init(params), params, jnp.int32(0))
    assert_close(new, jax.tree.map(lambda g, s=scale: -g * s, grads))


def test_adam_is_torchs():
  torch = pytest.importorskip('torch')
  config = small_config().optimizers.autoencoder
  optimizer = optimizers.make(config, num_steps=10, clip_norm=0.0)
  rng = np.random.default_rng(0)
  start = rng.normal(size=5).astype(np.float32)
  theirs = torch.nn.Parameter(torch.tensor(start))
  adam = torch.optim.Adam([theirs], lr=2e-4, betas=(0.5, 0.999))
  ours, state = {'w': jnp.array(start)}, optimizer.init({'w': jnp.array(start)})
  for step in range(5):
    grad = rng.normal(size=5).astype(np.float32)
    theirs.grad = torch.tensor(grad)
    adam.step()
    ours, state = optimizer.update({'w': jnp.array(grad)}, state, ours, jnp.int32(step))
  np.testing.assert_allclose(ours['w'], theirs.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize('change, message', [
    (lambda c: c.optimizers.autoencoder.update(name='adamm'), "did you mean 'adam'"),
    (lambda c: c.optimizers.autoencoder.update(schedule='halv'), "did you mean 'halve'"),
    (lambda c: c.optimizers.autoencoder.update(schedule='halve'), 'schedule_every'),
])
def test_bad_optimizers_are_named(change, message):
  config = small_config()
  change(config)
  with pytest.raises(errors.UserError, match=message):
    train_step.make_optimizers(methods.make(config), config)


@pytest.mark.slow
def test_a_batch_that_the_devices_do_not_divide():
  with pytest.raises(errors.UserError, match='multiple of 8'):
    parallel_lib.Parallel('jit').check_batch(12)
  with pytest.raises(errors.UserError, match='multiple of 16'):
    parallel_lib.Parallel('jit').check_batch(24, accumulate=2)
  with pytest.raises(errors.UserError, match='jit or pmap'):
    parallel_lib.Parallel('pmapp')
