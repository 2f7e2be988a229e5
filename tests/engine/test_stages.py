"""Trainings in stages, several steps in one dispatch, parameters from an earlier run."""

import jax
import numpy as np
import pytest

from helpers.training import run, two_players_config, TwoPlayers
from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.methods import base
from maskgan_jax.runs import checkpoints
from maskgan_jax.training import loop, train_step, warm_start
from maskgan_jax.training import parallel as parallel_lib

ONE = jax.devices()[:1]
XS = [{'a': np.full(8, value, np.float32)} for value in (1, 2, 4, 8, 16, 32)]


def staged():
  """'first' plays before step 2; 'second' from then on, at every other step."""
  method = TwoPlayers()
  first, second = method.players
  method.players = (base.Player('first', ('p',), first.loss, end=2),
                  base.Player('second', ('q',), second.loss, every=2, phase=1, start=2))
  return method


def test_players_play_between_their_start_and_end():
  state, history = run(two_players_config(num_steps=6), devices=ONE, steps=6, method=staged(),
                       batches=XS)
  assert state.params['p'] == 1 - (1 + 2)
  assert state.params['q'] == 1 - (8 + 32)
  assert state.model_state == {'p': 2, 'q': 2}
  played = [[f'{name}/loss' in metrics for metrics in history] for name in ('first', 'second')]
  assert played == [[True, True] + 4 * [False], 3 * [False] + [True, False, True]]


def test_a_players_schedule_runs_from_its_start_to_its_end():
  config = two_players_config(num_steps=6)
  for player in config.optimizers.values():
    player.schedule = 'linear'
  _, history = run(config, devices=ONE, steps=6, method=staged(), batches=XS)
  rates = [metrics['first/learning_rate'] for metrics in history[:2]]
  np.testing.assert_allclose(rates, [1, 0.5])
  rates = [metrics['second/learning_rate'] for metrics in (history[3], history[5])]
  np.testing.assert_allclose(rates, [1 - 1 / 4, 1 - 3 / 4])


@pytest.mark.parametrize('parallel', ['jit', 'pmap'])
def test_several_steps_in_one_dispatch_are_the_same_steps(parallel):
  config = two_players_config(num_steps=6, parallel=parallel)
  method = staged()
  expected, history = run(config, devices=ONE, steps=6, method=method, batches=XS)
  engine = parallel_lib.Parallel(parallel, ONE)
  optimizers = train_step.make_optimizers(method, config)
  state = jax.jit(lambda: train_step.init_state(method, optimizers, config),
                  out_shardings=engine.replicated)()
  step = train_step.make_step(method, optimizers, config)
  programs, batches, together = engine.compile(step, steps=3), iter(XS), []
  for at in (0, 3):
    state, metrics = programs(state, programs.take(batches), config.seed, at=at)
    assert metrics.values.shape == metrics.played.shape == (3, len(step.metric_names))
    for row in range(3):
      together.append(step.by_name(jax.tree.map(lambda x, row=row: x[row], metrics)))
  jax.tree.map(np.testing.assert_array_equal, jax.device_get(state), expected)
  for one, other in zip(history, together, strict=True):
    assert other == pytest.approx(one, rel=1e-6)


def smoke(method='content_transfer', **changes):
  config = run_config.default(method)
  run_config.smoke(config)
  config.update({'evaluators': (), **changes})
  return config


def trained(config, workdir, data_dir):
  config.data.data_dir = data_dir
  loop.train(config, str(workdir))
  other = run_config.load(str(workdir))
  with checkpoints.Checkpoints(str(workdir), read_only=True) as saved:
    return saved.restore_model(base.abstract_model(methods.make(other), other))[1]


@pytest.mark.slow
def test_a_run_of_dispatches_resumes_and_is_the_run_of_steps(tmp_path, data_dir):
  apart = trained(smoke(), tmp_path / 'apart', data_dir)
  trained(smoke(steps_per_dispatch=2, num_steps=2), tmp_path / 'together', data_dir)
  together = trained(smoke(steps_per_dispatch=2), tmp_path / 'together', data_dir)
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4), apart, together)


@pytest.mark.parametrize('name', ['num_steps', 'log_every', 'checkpoint_every', 'sample_every'])
def test_dispatches_must_fit_into_what_happens_between(tmp_path, data_dir, name):
  config = smoke(steps_per_dispatch=2, **{name: 3})
  with pytest.raises(errors.UserError, match=f'does not divide config.{name}, 3'):
    trained(config, tmp_path / 'run', data_dir)


@pytest.mark.slow
def test_a_refused_resume_leaves_the_runs_config_as_it_was(tmp_path, data_dir):
  trained(smoke(num_steps=1), tmp_path / 'run', data_dir)
  before = (tmp_path / 'run' / 'config.json').read_bytes()
  with pytest.raises(errors.UserError, match='the checkpoint to resume from, 1'):
    trained(smoke(steps_per_dispatch=2), tmp_path / 'run', data_dir)
  with pytest.raises(errors.UserError, match="init_from was '', is 'elsewhere'"):
    trained(smoke(init_from='elsewhere'), tmp_path / 'run', data_dir)
  assert (tmp_path / 'run' / 'config.json').read_bytes() == before


@pytest.mark.slow
def test_an_evaluation_that_fails_loses_no_step(tmp_path, data_dir):
  def make_evaluate(method, data, poll):
    def evaluate(step, params, model_state):
      raise errors.UserError('a label map is damaged')
    return evaluate
  config = smoke(evaluate_every=3)
  config.data.data_dir = data_dir
  with pytest.raises(errors.UserError, match='label map'):
    loop.train(config, str(tmp_path / 'run'), make_evaluate=make_evaluate)
  with checkpoints.Checkpoints(str(tmp_path / 'run'), read_only=True) as saved:
    assert saved.latest() == 3
  loop.train(config, str(tmp_path / 'run'), make_evaluate=make_evaluate)


@pytest.mark.slow
def test_the_second_stage_begins_with_what_the_first_trained(tmp_path, data_dir):
  config = smoke('egsc_it', num_steps=2)
  config.model.pretrain_steps = 2
  first = trained(config, tmp_path / 'first', data_dir)['params']
  config = smoke('egsc_it', num_steps=2, init_from=str(tmp_path / 'first'))
  config.model.pretrain_steps = 0
  second = trained(config, tmp_path / 'second', data_dir)['params']
  assert 'pretrain_generator_a' in first and 'pretrain_generator_a' not in second
  for group in ('features_a', 'features_b', 'perceptual'):
    jax.tree.map(np.testing.assert_array_equal, first[group], second[group])
  moved = jax.tree.map(lambda x, y: np.abs(x - y).max(), first['encoder_a'], second['encoder_a'])
  assert max(jax.tree.leaves(moved)) > 0


@pytest.mark.slow
def test_what_a_run_begins_with_is_said_in_one_line_if_it_cannot_be(tmp_path, data_dir):
  config = smoke('egsc_it')
  config.model.pretrain_steps = 0
  with pytest.raises(errors.UserError, match='pretrain_steps is 0'):
    warm_start.parameters(methods.make(config), config)
  config.init_from = str(tmp_path / 'nothing')
  with pytest.raises(errors.UserError, match='nothing is not a run'):
    warm_start.parameters(methods.make(config), config)

  trained(smoke(num_steps=1), tmp_path / 'other', data_dir)
  config.init_from = str(tmp_path / 'other')
  with pytest.raises(errors.UserError, match="no parameter group 'features_a'"):
    warm_start.parameters(methods.make(config), config)
  config.init_groups = ('common_encoder',)
  with pytest.raises(errors.UserError, match="this model has no parameter group 'common_encoder'"):
    warm_start.parameters(methods.make(config), config)
  config = smoke(init_groups=('x',))
  with pytest.raises(errors.UserError, match='init_from names no run'):
    warm_start.parameters(methods.make(config), config)
  config = smoke(init_from=str(tmp_path / 'other'))
  with pytest.raises(errors.UserError, match='has no earlier stages'):
    warm_start.parameters(methods.make(config), config)
  wider = smoke(init_from=str(tmp_path / 'other'), init_groups=tuple(
      g for g in base.abstract_model(methods.make(config), config)['params']))
  wider.model.width *= 2
  with pytest.raises(errors.UserError, match='config.model must be the same'):
    warm_start.parameters(methods.make(wider), wider)
