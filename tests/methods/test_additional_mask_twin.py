"""The additional-mask method against a PyTorch twin of the paper's equations and of CycleGAN's
networks, with the same weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import comparing_additional_mask as comparing
from helpers.twins import count
from maskgan_jax import config as run_config
from maskgan_jax import methods
from maskgan_jax.training import parallel as parallel_lib
from maskgan_jax.training import train_step

torch = pytest.importorskip('torch')
pytestmark = pytest.mark.usefixtures('one_thread')
KEY = 3
UNSUPERVISED = [case for case in comparing.CASES if case != 'supervised']
DISCRIMINATORS = ('discriminator_a', 'discriminator_b')


@pytest.mark.parametrize('size, blocks, discriminator, sizes', [
    (256, 9, 'patch', (11_378_179, 2_764_737)), (128, 6, 'patch', (7_837_699, 2_764_737)),
    (64, 6, 'dcgan', (7_837_699, 2_766_529))])
def test_networks_have_the_sizes_of_cyclegans(size, blocks, discriminator, sizes):
  """CycleGAN's sizes are published. DCGAN's: 2_763_776 in kernels, 1_792 in norms, 961 biases."""
  config = run_config.default('additional_mask')
  config.image_size = size
  config.model.update(blocks=blocks, discriminator=discriminator)
  image = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
  params, _ = jax.eval_shape(methods.make(config).init, jax.random.key(0), {'a': image, 'b': image})
  ours = {name: count(tree) for name, tree in params.items()}
  with torch.device('meta'):
    networks = comparing.module().AdditionalMask(
        blocks=blocks, discriminator=discriminator,
        discriminator_layers=3 if discriminator == 'patch' else 4).networks
    scores = networks.discriminator_a(torch.empty(2, 3, size, size))
  assert scores.shape[2:] == {256: (30, 30), 128: (14, 14), 64: (1, 1)}[size]
  theirs = {name: sum(p.numel() for p in network.parameters())
            for name, network in networks.items()}
  assert ours == theirs == {
      name: sizes[name.startswith('discriminator')] for name in
      ('generator_ab', 'generator_ba', *DISCRIMINATORS)}


def test_a_score_of_the_twins_patchgan_sees_70_pixels():
  """Only convolutions count: through instance norm every score sees everything a little."""
  network = comparing.module().Patch(1)
  x = image = torch.ones(1, 3, 256, 256, requires_grad=True)
  for convolution in (*network.convolutions, network.dense, network.last):
    torch.nn.init.ones_(convolution.weight)
    x = convolution(x)
  x[0, 0, 15, 15].backward()
  seen = image.grad[0, 0] != 0
  assert [int(seen.any(axis).sum()) for axis in (0, 1)] == [70, 70]


@pytest.mark.parametrize('case', UNSUPERVISED)
def test_discriminators_equal_the_twins(case):
  config, method, params, model_state = comparing.small(case)
  model = comparing.make_twin(config, params, model_state)
  image = comparing.batch_of(config)['a']
  for name in DISCRIMINATORS:
    expected = comparing.from_torch(model.networks[name](comparing.to_torch(image)))
    scores = jax.jit(functools.partial(method.networks[name].apply, mutable=['batch_stats']))(
        {'params': params[name]}, image)[0]
    np.testing.assert_allclose(scores, expected.reshape(scores.shape), rtol=0,
                               atol=1e-5 * np.abs(expected).max())
    assert expected.std() > 0.1


@pytest.mark.parametrize('case', comparing.CASES)
def test_translations_equal_the_twins(case):
  """Compares the image, clipped to [-1, 1], and the added mask, in every direction there is."""
  config, method, params, model_state = comparing.small(case)
  model = comparing.make_twin(config, params, model_state)
  source = comparing.batch_of(config, 5)['a']
  translate = jax.jit(method.translate, static_argnames='reverse')
  for reverse in (False, True) if 'reverse' in method.abilities else (False,):
    image, mask = model.translate('ba' if reverse else 'ab', comparing.to_torch(source))
    assert mask.std() > 0.1
    result = translate(params, model_state, source, reverse=reverse)
    np.testing.assert_allclose(result.image, comparing.from_torch(image.clamp(-1, 1)), atol=2e-5)
    if case == 'cyclegan':
      assert 'added_mask' not in result.extras
    else:
      np.testing.assert_allclose(result.extras['added_mask'], comparing.from_torch(mask), atol=2e-5)
      assert (image.abs().max() > 1.1) == (case != 'switched'), 'which is clipped'


@functools.cache
def compiled(case, player):
  """Returns, for a player of a small model, a function from weights of the loss and every metric to
  their values, the new state and the gradients of the weighted sum; and the names of the values."""
  config, method, params, model_state = comparing.small(case)
  loss_of = {p.name: p.loss for p in method.players}[player]

  def loss_and_metrics(params):
    loss, (metrics, after) = loss_of(params, model_state, comparing.batch_of(config),
                                     jax.random.key(KEY))
    return {**metrics, 'loss': loss}, after

  @jax.jit
  def play(weights):
    values, backward, after = jax.vjp(loss_and_metrics, params, has_aux=True)
    return values, after, backward(weights)[0]
  return play, tuple(jax.eval_shape(loss_and_metrics, params)[0])


def play(case, player, of):
  """Returns all values of a player, the new state, and the gradients of one of the values."""
  function, names = compiled(case, player)
  return function({name: jnp.float32(name == of) for name in names})


def assert_same_gradients(gradients, loss, networks, tolerance):
  """Compares our gradients of these networks with the twin's; `tolerance` is relative to the
  largest entry of each tensor. Returns the networks that get any gradient."""
  parameters = {name: p for name, p in networks.named_parameters()
                if name.split('.')[0] in gradients}
  ours = comparing.state_dict(gradients)
  assert parameters and ours.keys() == parameters.keys()
  theirs = dict(zip(parameters, torch.autograd.grad(
      loss, parameters.values(), retain_graph=True, allow_unused=True), strict=True))
  scales = {network: max((float(g.abs().max()) for name, g in theirs.items()
                          if g is not None and name.split('.')[0] == network), default=0)
            for network in gradients}
  for name, expected in theirs.items():
    if expected is None:
      assert not ours[name].any(), name
    else:  # a bias before a normalisation has gradient 0: sums of what cancels
      scale = float(expected.abs().max())
      np.testing.assert_allclose(
          ours[name], expected, rtol=0, err_msg=name,
          atol=tolerance * scale + 1e-5 * scales[name.split('.')[0]])
  return {network for network, scale in scales.items() if scale > 1e-6}


def assert_terms_equal(case, player, terms, owns, networks, reached, tolerance=5e-5):
  """Compares every term of a player and its gradients; returns the last new state."""
  for name, term in terms.items():
    values, after, gradients = play(case, player, name)
    assert float(values[name]) == pytest.approx(term.item(), rel=2e-5), name
    owned = {network: gradients[network] for network in owns}
    networks_reached = assert_same_gradients(owned, term, networks, tolerance)
    assert networks_reached == reached.get(name, set(owns)), name
    if player == 'discriminator':
      assert not any(x.any() for network in gradients.keys() - owns
                     for x in jax.tree.leaves(gradients[network])), 'generators are at rest'
  return after


def assert_same_pools(model_state, model):
  """Returns the pictures in the pools, one by one."""
  for domain, pool in model.pools.items():
    assert len(pool.images) == int(model_state['pools'][domain]['count']) == comparing.POOL
    np.testing.assert_allclose(model_state['pools'][domain]['images'],
                               comparing.from_torch(torch.stack(pool.images)), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize('case', UNSUPERVISED)
def test_the_discriminators_losses_equal_the_twins(case):
  """Covers translations and the pictures that the pools return in their place."""
  config, _, params, model_state = comparing.small(case)
  model = comparing.make_twin(config, params, model_state)
  a, b = comparing.of_batch(comparing.batch_of(config))
  slots = comparing.slots(jax.random.key(KEY))
  assert {type(slot) for slot in sum(slots, [])} == {int, type(None)}, 'some of both'
  with torch.no_grad():
    (b_hat, _), (a_hat, _) = model.fakes(a, b)
    a_hat = model.pools['a'].query(a_hat, slots[0])
    b_hat = model.pools['b'].query(b_hat, slots[1])
  terms = model.discriminator_losses(a, b, a_hat, b_hat)
  terms['loss'] = model.discriminator_loss(terms)
  after = assert_terms_equal(case, 'discriminator', terms, DISCRIMINATORS, model.networks,
                             {'a': {'discriminator_a'}, 'b': {'discriminator_b'}})
  assert_same_pools(after, model)


@pytest.mark.slow
@pytest.mark.parametrize('case', comparing.CASES)
def test_the_generators_losses_equal_the_twins(case):
  """Compares every term, so that none hides behind a larger one."""
  config, _, params, model_state = comparing.small(case)
  model = comparing.make_twin(config, params, model_state)
  terms = model.generator_losses(*comparing.of_batch(comparing.batch_of(config)))
  expected = {'paper': {'adversarial', 'cycle', 'mask'}, 'supervised': {'supervised'},
              'cyclegan': {'adversarial', 'cycle', 'identity'}}
  assert terms.keys() == expected.get(case, {'adversarial', 'cycle', 'mask', 'identity'})
  metric_names = set(compiled(case, 'generator')[1])
  assert metric_names - {'loss'} == terms.keys() | ({'mask'} if case == 'supervised' else set())
  terms['loss'] = model.generator_loss(terms)
  generators = ('generator_ab',) if case == 'supervised' else ('generator_ab', 'generator_ba')
  assert_terms_equal(case, 'generator', terms, generators, model.networks, {})


@pytest.mark.slow
@pytest.mark.parametrize('case', comparing.CASES)
def test_training_steps_equal_the_twins(case):
  """Compares the engine's whole iterations with Adam, from empty pools."""
  config = comparing.make_config(case)
  method = methods.make(config)
  for player in method.players:
    # With an epsilon of 1e-8, Adam would turn rounding errors into steps.
    config.optimizers[player.name].update(eps=0.1, learning_rate=1e-2)
  optimizers = train_step.make_optimizers(method, config)
  params, _ = jax.tree.map(jnp.asarray, comparing.variables_of(method, config))
  model_state = method.init(jax.random.key(0), comparing.batch_of(config))[1]
  opt_state = {p.name: optimizers[p.name].init({group: params[group] for group in p.owns})
               for p in method.players}
  model = comparing.make_twin(config, params, learning_rate=1e-2)
  for name in ('discriminator', 'generator'):
    if hasattr(model, f'{name}_optimizer'):
      getattr(model, f'{name}_optimizer').param_groups[0]['eps'] = 0.1
  before = jax.device_get(params)
  state = train_step.TrainState(jnp.int32(0), params, opt_state, model_state, {}, jnp.int32(0),
                                jnp.int32(0))
  step = train_step.make_step(method, optimizers, config)
  parallel = parallel_lib.Parallel('jit', jax.devices()[:1])
  run = parallel.compile(step)
  for i in range(2):
    batch = comparing.batch_of(config, i)
    key = jax.random.fold_in(jax.random.key(config.seed), i)
    key = jax.random.fold_in(jax.random.fold_in(key, 0), 0)  # the discriminators', in the engine
    state, metrics = run(state, parallel.feed(batch, 1), config.seed)
    metrics = step.by_name(metrics)
    losses = model.train_step(*comparing.of_batch(batch), comparing.slots(key))
    for player, loss in zip(method.players, losses, strict=True):
      assert metrics[f'{player.name}/loss'] == pytest.approx(loss, rel=1e-4)
    after = jax.device_get(state.params)
    theirs = model.networks.state_dict()
    for name, value in comparing.state_dict(after).items():
      np.testing.assert_allclose(value, theirs[name], atol=1e-5, err_msg=name)
    for network, tree in after.items():
      assert max(float(np.abs(x - y).max()) for x, y in zip(
          jax.tree.leaves(tree), jax.tree.leaves(before[network]), strict=True)) > 1e-3, network
    assert_same_pools(jax.device_get(state.model_state), model)
    before = after
