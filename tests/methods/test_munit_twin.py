"""MUNIT against a PyTorch twin of the authors' networks, losses and updates, with the same weights
and styles."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import comparing_munit as comparing
from helpers import twins
from maskgan_jax import config as run_config
from maskgan_jax import methods
from maskgan_jax.training import parallel as parallel_lib
from maskgan_jax.training import train_step

torch = pytest.importorskip('torch')
pytestmark = pytest.mark.usefixtures('one_thread')
KEY = 3


def test_networks_have_the_sizes_of_the_authors():
  config = run_config.default('munit')
  config.image_size = 256
  image = jax.ShapeDtypeStruct((2, 256, 256, 3), jnp.float32)
  init = methods.make(config).init
  params, _ = jax.eval_shape(init, jax.random.key(0), {'a': image, 'b': image})
  style = twins.count(params['decoder_a']['style'])
  ours = {name: twins.count(tree) for name, tree in params.items()}
  sizes = {'content_encoder': 5_385_856, 'style_encoder': 2_764_936, 'decoder': 6_875_395,
           'discriminator': 8_271_171}
  assert ours == {f'{name}_{domain}': size for name, size in sizes.items() for domain in 'ab'}
  assert (style, sizes['decoder'] - style) == (1_120_768, 5_754_627)
  with torch.device('meta'):
    twin = comparing.module().Munit()
    maps = twin.discriminators['a'](torch.empty(1, 3, 256, 256))
  parameters = [sum(p.numel() for p in networks.parameters())
                for networks in (twin.generators, twin.discriminators)]
  assert parameters == [30_052_374, 16_542_342]
  assert sum(ours.values()) == sum(parameters)
  network = methods.make(config).networks['discriminator_a']
  scores = jax.eval_shape(network.apply, {'params': params['discriminator_a']}, image)
  assert [x.shape[1:3] for x in scores] == [x.shape[2:] for x in maps] == [(16, 16), (8, 8), (4, 4)]


@pytest.mark.parametrize('case', ['cycle', 'paper'])
def test_translations_equal_the_twins(case):
  """Compares both directions, after exemplars and in a style that is drawn."""
  config, method, params = comparing.small(case)
  model = comparing.make_twin(config, params)
  batch = comparing.batch_of(config, 5)
  translate = jax.jit(method.translate, static_argnames='reverse')
  for direction in ('ab', 'ba'):
    source, exemplar = (batch[domain] for domain in direction)
    encoder = model.generators[direction[1]].enc_style
    drawn = jax.random.normal(jax.random.key(7), (1, config.model.style_size))
    for example, style in ((exemplar, encoder(comparing.to_torch(exemplar))),
                           (None, comparing.to_torch(jnp.repeat(drawn, len(source), 0)))):
      expected = model.translate(direction, comparing.to_torch(source), style)
      assert expected.std() > 0.1
      result = translate(params, {}, source, example, rng=jax.random.key(7),
                         reverse=direction == 'ba')
      np.testing.assert_allclose(result.image, comparing.from_torch(expected), atol=2e-5)


@functools.cache
def compiled(case, player):
  """Returns `twins.compiled` of a player's loss."""
  config, method, params = comparing.small(case)
  loss_of = {p.name: p.loss for p in method.players}[player]
  batch, key = comparing.batch_of(config), jax.random.key(KEY)
  return twins.compiled(lambda params: loss_of(params, {}, batch, key), params)


def styles_of(config, key):
  """Returns the styles that a player draws from its key, s_a and s_b."""
  shape = comparing.BATCH, config.model.style_size
  return [comparing.to_torch(jax.random.normal(each, shape)) for each in jax.random.split(key)]


@pytest.mark.slow
@pytest.mark.parametrize('player', ['discriminator', 'generator'])
@pytest.mark.parametrize('case', comparing.CASES)
def test_losses_and_gradients_equal_the_twins(case, player):
  """Compares every term, so that none hides behind a larger one."""
  config, _, params = comparing.small(case)
  model = comparing.make_twin(config, params)
  batch = comparing.batch_of(config)
  a, b = (comparing.to_torch(batch[domain]) for domain in 'ab')
  terms = getattr(model, f'{player}_losses')(a, b, *styles_of(config, jax.random.key(KEY)))
  terms['loss'] = model.loss(terms)
  play, names = compiled(case, player)
  assert set(names) == set(terms)
  networks = model.discriminators if player == 'discriminator' else model.generators
  for name, term in terms.items():
    values, gradients = play({other: jnp.float32(other == name) for other in names})
    assert float(values[name]) == pytest.approx(term.item(), rel=2e-5), name
    ours = comparing.state_dicts(config, gradients)[player == 'discriminator']
    assert_same_gradients(networks, term, ours)


def assert_same_gradients(networks, term, ours):
  """Compares gradients; tolerances are relative to a tensor's largest entry and the network's."""
  parameters = dict(networks.named_parameters())
  found = torch.autograd.grad(term, parameters.values(), retain_graph=True, allow_unused=True)
  theirs = dict(zip(parameters, found, strict=True))
  largest = max(float(g.abs().max()) for g in theirs.values() if g is not None)
  assert {f'{domain}.{name}' for domain in ours for name in ours[domain]} == set(theirs)
  for name, expected in theirs.items():
    domain, _, rest = name.partition('.')
    if expected is None:
      assert not ours[domain][rest].any(), name
    else:  # a bias before a normalisation has gradient 0: sums of what cancels
      atol = 1e-4 * float(expected.abs().max()) + 1e-5 * largest
      np.testing.assert_allclose(ours[domain][rest], expected, rtol=0, atol=atol, err_msg=name)


@pytest.mark.slow
def test_training_steps_equal_the_twins():
  """Compares the engine's whole iterations, with Adam and its weight decay."""
  config, method, params = comparing.small('cycle')
  for player in config.optimizers.values():
    # With an epsilon of 1e-8, Adam would turn rounding errors into steps.
    player.update(eps=0.1, learning_rate=1e-2, weight_decay=0.3)
  optimizers = train_step.make_optimizers(method, config)
  params = jax.tree.map(jnp.asarray, params)
  opt_state = {}
  for player in method.players:
    owned = {group: params[group] for group in player.owns}
    opt_state[player.name] = optimizers[player.name].init(owned)
  model = comparing.make_twin(config, params, learning_rate=1e-2)
  for optimizer in (model.discriminator_optimizer, model.generator_optimizer):
    optimizer.param_groups[0].update(eps=0.1, weight_decay=0.3)
  state = train_step.TrainState(jnp.int32(0), params, opt_state, {}, {}, jnp.int32(0),
                                jnp.int32(0))
  step = train_step.make_step(method, optimizers, config)
  parallel = parallel_lib.Parallel('jit', jax.devices()[:1])
  run = parallel.compile(step)
  for i in range(2):
    batch = comparing.batch_of(config, i)
    key = jax.random.fold_in(jax.random.key(config.seed), i)
    keys = [jax.random.fold_in(jax.random.fold_in(key, player), 0) for player in range(2)]
    state, metrics = run(state, parallel.feed(batch, 1), config.seed)
    metrics = step.by_name(metrics)
    losses = model.train_step(*(comparing.to_torch(batch[domain]) for domain in 'ab'),
                              *(styles_of(config, each) for each in keys))
    for player, loss in zip(method.players, losses, strict=True):
      assert metrics[f'{player.name}/loss'] == pytest.approx(loss, rel=1e-4)
    ours = comparing.state_dicts(config, jax.device_get(state.params))
    for states, networks in zip(ours, (model.generators, model.discriminators), strict=True):
      for domain, values in states.items():
        theirs = networks[domain].state_dict()
        for name, value in values.items():
          np.testing.assert_allclose(value, theirs[name], atol=2e-5, err_msg=name)
