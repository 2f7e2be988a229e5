"""EGSC-IT against a PyTorch twin of the authors' networks, losses and updates, with the same
weights and noise."""

import functools

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import comparing_egsc_it as comparing
from helpers.twins import count
from maskgan_jax import config as run_config
from maskgan_jax import methods
from maskgan_jax.networks import normalization
from maskgan_jax.training import parallel as parallel_lib
from maskgan_jax.training import train_step

torch = pytest.importorskip('torch')
pytestmark = pytest.mark.usefixtures('one_thread')
_NHWC = ('NHWC', 'HWIO', 'NHWC')


def draw(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def close(ours, theirs, tolerance=1e-5):
  """Checks that arrays agree up to `tolerance`, relative to the largest entry."""
  np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


# The twin itself must equal TensorFlow, whose SAME padding XLA has too.


@pytest.mark.parametrize('size', [(28, 7), (6, 5), (1, 3)])
def test_the_twins_padding_is_tensorflows(size):
  twin, x, kernel = comparing.module(), draw(0, 2, *size, 3), draw(1, 4, 4, 3, 5)
  expected = lax.conv_general_dilated(x, kernel, (2, 2), 'SAME', dimension_numbers=_NHWC)
  convolved = torch.nn.functional.conv2d(
      twin.pad_same(comparing.to_torch(x), 4, 2),
      torch.tensor(kernel.transpose(3, 2, 0, 1).astype(np.float64)), stride=2)
  close(expected, comparing.from_torch(convolved))
  pooled = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), 'SAME')
  twins_pooled = torch.nn.functional.max_pool2d(comparing.to_torch(x), 2, 2, ceil_mode=True)
  close(pooled, comparing.from_torch(twins_pooled))


def test_the_twins_transposed_convolution_is_tensorflows():
  """TensorFlow defines it as the gradient of a SAME convolution of an input twice as large."""
  x, generator = draw(0, 2, 3, 5, 8), comparing.module().Generator(4, 1, 0, 'none')
  layer, last = generator.convolutions[0], generator.last
  kernel = layer.weight.detach().numpy().transpose(2, 3, 1, 0)  # of that convolution: 4 to 8
  _, backward = jax.vjp(
      lambda y: lax.conv_general_dilated(y, kernel, (2, 2), 'SAME', dimension_numbers=_NHWC),
      jnp.zeros((2, 6, 10, 4)))
  hidden = jax.nn.leaky_relu(backward(jnp.asarray(x))[0] + layer.bias.detach().numpy()[
      None, None, None], 0.2)
  expected = jnp.tanh(hidden @ last.weight.detach().numpy()[:, :, 0, 0]
                      + last.bias.detach().numpy()[None, None, None])
  close(expected, comparing.from_torch(generator.double()(comparing.to_torch(x))))


# Our code against the twin.


@pytest.mark.parametrize('shape, downsamplings, sizes', [
    ((28, 28), 0, {'shared': 73_856, 'encoder': 231_040, 'generator': 221_763}),
    ((256, 512), 2, {'shared': 1_180_160, 'encoder': 3_918_976, 'generator': 3_909_507})])
def test_networks_have_the_sizes_of_the_authors(shape, downsamplings, sizes):
  config = run_config.default('egsc_it')
  config.update(image_size=shape[0], image_width=shape[1])
  config.model.update(downsamplings=downsamplings, perceptual='a file')
  method = methods.make(config)
  image = jax.ShapeDtypeStruct((3, *shape, 3), jnp.float32)
  params, _ = jax.eval_shape(method.init, jax.random.key(0), {'a': image, 'b': image})
  frozen = params['perceptual']
  assert count([frozen.pop('input_mean'), frozen.pop('input_scale')]) == 6  # built into the twin
  ours = {name: count(tree) for name, tree in params.items()}
  twin = comparing.module()
  with torch.device('meta'):
    networks = {**twin.Pretraining(downsamplings=downsamplings).networks,
                **twin.EgscIt(downsamplings=downsamplings).networks}
  assert ours == {name: sum(p.numel() for p in network.parameters())
                  for name, network in networks.items()}
  sizes = {**sizes, 'features': sizes['encoder'], 'discriminator': 2_758_849,
           'perceptual': 12_944_960}
  assert ours == {name: next(size for part, size in sizes.items() if part in name)
                  for name in ours}
  result = jax.eval_shape(method.translate, params, {}, image, image)
  assert result.image.shape == image.shape


@pytest.mark.parametrize('spread', ['variance', 'deviation'])
@pytest.mark.parametrize('roles', ['written', 'swapped'])
def test_adain_equals_the_twins_and_leaves_constant_channels_finite(roles, spread):
  content, features = draw(0, 2, 3, 5, 4), draw(1, 2, 4, 2, 4)
  content[:, :, :, 0], features[:, :, :, 1] = 0.3, -0.7

  def ours(content, features):
    return normalization.adain(content, normalization.moments(features), spread=spread,
                               swapped=roles == 'swapped', epsilon=1e-3)
  arguments = [comparing.to_torch(x).requires_grad_() for x in (content, features)]
  expected = comparing.module().restyle(*arguments, roles, spread, 1e-3)
  cotangent = draw(2, *content.shape)
  expected.backward(comparing.to_torch(cotangent))
  restyled, backward = jax.vjp(ours, content, features)
  close(restyled, comparing.from_torch(expected))
  for gradient, argument in zip(backward(jnp.asarray(cotangent)), arguments, strict=True):
    close(gradient, comparing.from_torch(argument.grad), 1e-4)
  # A constant channel becomes the shift.
  shift = features.var((1, 2)) if roles == 'swapped' else features.mean((1, 2))
  if roles == 'swapped' and spread == 'deviation':
    shift = np.sqrt(shift + 1e-3)
  np.testing.assert_allclose(restyled[..., 0], np.broadcast_to(
      shift[:, None, None, 0], restyled.shape[:3]), rtol=1e-4)
  bare = functools.partial(normalization.adain, style=normalization.moments(features),
                           spread=spread)
  assert all(np.isfinite(x).all() for x in jax.vjp(bare, content)[1](jnp.asarray(cotangent)))


@functools.cache
def compiled(case, stage, player):
  """Returns, for a player of a small model, a function from weights of the loss and every metric to
  their values and the gradients of the weighted sum; and the names of the values."""
  _, method, params = comparing.small(case, 4 if stage == 1 else 0)
  loss_of = {p.name: p.loss for p in method.players}[player]

  def loss_and_metrics(params, batch, rng):
    loss, (metrics, _) = loss_of(params, {}, batch, rng)
    return {**metrics, 'loss': loss}

  @jax.jit
  def play(weights, batch, rng):
    values, backward = jax.vjp(lambda params: loss_and_metrics(params, batch, rng), params)
    return values, backward(weights)[0]
  arguments = comparing.batch_of(comparing.make_config(case)), jax.random.key(3)
  return play, jax.eval_shape(loss_and_metrics, params, *arguments), params


def play(case, stage, player, of, batch=None):
  """Returns all values of a player, the gradients of one of them, and the parameters."""
  function, names, params = compiled(case, stage, player)
  weights = {name: jnp.float32(name == of) for name in names}
  batch = comparing.batch_of(comparing.make_config(case)) if batch is None else batch
  return *function(weights, batch, jax.random.key(3)), params


def twins_terms(model, player, config):
  """Returns every term of the twin's loss for the player of `play`, and the loss."""
  images = comparing.of_batch(comparing.batch_of(config))
  noise = comparing.noise_of(player, config, jax.random.key(3))
  if 'discriminator' in player:
    terms = model.discriminator_losses(*images, noise)
    return {**terms, 'loss': model.discriminator_loss(terms)}
  terms = model.generator_losses(*images, noise)
  return {**terms, 'loss': model.generator_loss(terms)}


def assert_same_gradients(gradients, loss, networks, tolerance):
  """Compares our gradients of these networks with the twin's; `tolerance` is relative to the
  largest entry of each tensor. Returns the networks that get any gradient."""
  parameters = {name: p.requires_grad_() for name, p in networks.named_parameters()
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
    else:  # a bias before a normalisation has gradient 0
      scale = float(expected.abs().max())
      np.testing.assert_allclose(
          ours[name], expected, rtol=0, err_msg=name,
          atol=tolerance * scale + 1e-6 * scales[name.split('.')[0]])
  return {network for network, scale in scales.items() if scale > 1e-6}


def assert_player_equals(case, stage, player, owns, reached, tolerance=2e-4):
  """Compares every term and its gradients in what the player owns; all else must be at rest.

  `reached` has parts of the names of the networks that a term's gradient reaches, if not all.
  """
  config = comparing.make_config(case, 4 if stage == 1 else 0)
  model = comparing.make_twin(config, compiled(case, stage, player)[-1], stage)
  for name, term in twins_terms(model, player, config).items():
    metrics, gradients, _ = play(case, stage, player, name)
    owned = {network: gradients.pop(network) for network in owns}
    networks_reached = assert_same_gradients(owned, term, model.networks, tolerance)
    assert networks_reached == {network for network in owns if any(
        part in network for part in reached.get(name, ('',)))}, name
    assert float(metrics[name]) == pytest.approx(term.item(), rel=2e-5), name
    others = [tree for network, tree in gradients.items()
              if 'discriminator' in player or 'discriminator' not in network]
    assert others and not any(x.any() for x in jax.tree.leaves(others)), 'they are at rest'


@pytest.mark.slow
@pytest.mark.parametrize('case', comparing.CASES)
def test_the_discriminators_equal_the_authors(case):
  owns = ('discriminator_a', 'discriminator_b')
  assert_player_equals(case, 2, 'discriminator', owns, {})


OWNS = ('encoder_a', 'encoder_b', 'generator_a', 'generator_b', 'shared_encoder',
        'shared_generator')


@pytest.mark.slow
@pytest.mark.parametrize('case', comparing.CASES)
def test_the_generators_equal_the_authors(case):
  """The perceptual and feature networks are at rest; no term hides behind a larger one."""
  assert_player_equals(case, 2, 'generator', OWNS, {'kl': ('encoder',)})


PRETRAINED = tuple(f'{part}_{x}' for x in 'ab' for part in (
    'features', 'pretrain_shared_encoder', 'pretrain_shared_generator', 'pretrain_generator'))


@pytest.mark.slow
@pytest.mark.parametrize('case', ['digits', 'paper'])
def test_pretraining_equals_the_authors(case):
  owns = ('pretrain_discriminator_a', 'pretrain_discriminator_b')
  assert_player_equals(case, 1, 'pretrain_discriminator', owns, {})
  assert_player_equals(case, 1, 'pretrain_generator', PRETRAINED,
                       {'kl': ('features', 'encoder')})


@pytest.mark.slow
@pytest.mark.parametrize('case', ['scenes', 'paper'])
def test_translations_equal_the_authors(case):
  """Compares both directions; the paper's variant draws no noise when it translates."""
  config, method, params = comparing.small(case)
  model = comparing.make_twin(config, params, 2)
  source, exemplar = comparing.batch_of(config, 5).values()
  rng = jax.random.key(8)
  latent = (config.model.width * 2 ** config.model.downsamplings, *(
      side // 2 ** config.model.downsamplings for side in source.shape[1:3]))
  noise = torch.zeros(latent)
  if case != 'paper':  # the same for every image
    drawn = jax.random.normal(rng, (*latent[1:], latent[0]))
    noise = comparing.to_torch(drawn[None])[0]
  translate = jax.jit(method.translate, static_argnames='reverse')
  for reverse in (False, True):
    expected = model.translate(comparing.to_torch(source), comparing.to_torch(exemplar), noise,
                               reverse=reverse)
    assert expected.std() > 0.1
    translated = translate(params, {}, source, exemplar, rng=rng, reverse=reverse).image
    np.testing.assert_allclose(translated, comparing.from_torch(expected), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize('player', ['discriminator', 'generator'])
def test_images_of_one_colour_have_finite_losses_and_gradients(player):
  """Features and perceptual maps of such images are constant or zero."""
  for value in (-1, 0):
    batch = dict.fromkeys('ab', np.full((comparing.BATCH, 28, 28, 3), value, np.float32))
    values, gradients, _ = play('digits', 2, player, 'loss', batch)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((values, gradients)))
    assert any(x.any() for x in jax.tree.leaves(gradients))


@pytest.mark.slow
def test_training_steps_equal_the_authors():
  """Compares whole iterations of the engine: two of the first stage, then two of the second, in
  which the discriminators play once, with Adam, each stage's own decay, and frozen features."""
  config = comparing.make_config('scenes', pretrain_steps=2)
  for player in ('discriminator', 'generator'):
    for name in (player, f'pretrain_{player}'):
      config.optimizers[name].update(eps=0.1, learning_rate=1e-2)  # see test_lomit_twin.py
  method = methods.make(config)
  order = [player.name for player in method.players]
  optimizers = train_step.make_optimizers(method, config)
  params = jax.tree.map(jnp.asarray, comparing.variables_of(method, config))
  opt_state = {p.name: optimizers[p.name].init({group: params[group] for group in p.owns})
               for p in method.players}
  state = train_step.TrainState(jnp.int32(0), params, opt_state, {'batch_stats': {}}, {},
                                jnp.int32(0), jnp.int32(0))
  before = jax.device_get(params)
  models = [comparing.make_twin(config, params, stage, learning_rate=1e-2) for stage in (1, 2)]
  for model in models:
    for optimizer in (model.discriminator_optimizer, model.generator_optimizer):
      optimizer.param_groups[0]['eps'] = 0.1
  step = train_step.make_step(method, optimizers, config)
  parallel = parallel_lib.Parallel('jit', jax.devices()[:1])
  run = parallel.compile(step)
  for i in range(4):
    stage, place = divmod(i, 2)
    if i == 2:
      pretrained = models[0].networks.state_dict()
      models[1].networks.load_state_dict(
          {name: pretrained[name] if name.startswith('features') else value
           for name, value in models[1].networks.state_dict().items()})
    batch, model = comparing.batch_of(config, i), models[stage]
    players = [('', 'pretrain_')[stage == 0] + name for name in ('discriminator', 'generator')]
    key = jax.random.fold_in(jax.random.key(config.seed), i)
    noises = [comparing.noise_of(name, config, jax.random.fold_in(
        jax.random.fold_in(key, order.index(name)), 0)) for name in players]
    state, metrics = run(state, parallel.feed(batch, 1), config.seed, at=i)
    metrics = step.by_name(metrics)
    losses = model.train_step(place, *comparing.of_batch(batch), noises, progress=place / 2)
    played = players if len(losses) == 2 else players[1:]
    assert len(played) == (2, 2, 2, 1)[i]
    for name, loss in zip(played, losses, strict=True):
      assert metrics[f'{name}/loss'] == pytest.approx(loss, rel=1e-4)
    assert all((f'{name}/loss' in metrics) == (name in played) for name in order)
    after = jax.device_get(state.params)
    moved = {group for group in after if max(float(np.abs(x - y).max()) for x, y in zip(
        jax.tree.leaves(after[group]), jax.tree.leaves(before[group]), strict=True)) > 1e-4}
    assert moved == {group for p in method.players if p.name in played for group in p.owns}
    before = after
    theirs = model.networks.state_dict()
    for name, value in comparing.state_dict({n: after[n] for n in model.networks}).items():
      np.testing.assert_allclose(value, theirs[name], atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_the_authors_digits_at_full_size():
  """Widths, depths and weights are the authors' for MNIST-Single, except for the batch."""
  config = run_config.default('egsc_it')
  config.update(image_size=28, batch_size=comparing.BATCH)
  config.model.update(downsamplings=0, pretrain_steps=0, perceptual='a file')
  method = methods.make(config)
  params, batch = comparing.variables_of(method, config), comparing.batch_of(config)
  model = comparing.make_twin(config, params, 2)
  model.weights = comparing.module().MNIST_SINGLE
  assert config.weights.to_dict() == model.weights
  for player in method.players:
    play = jax.jit(jax.value_and_grad(player.loss, has_aux=True))
    (loss, (metrics, _)), gradients = play(params, {}, batch, jax.random.key(3))
    terms = twins_terms(model, player.name, config)
    for name, term in terms.items():
      value = loss if name == 'loss' else metrics[name]
      assert float(value) == pytest.approx(term.item(), rel=1e-4), name
    owned = {network: gradients[network] for network in player.owns}
    # With this many units, some are so near to zero that float32 decides their sign.
    assert assert_same_gradients(owned, terms['loss'], model.networks, 5e-3) == set(player.owns)


@pytest.mark.slow
def test_what_is_at_rest_is_not_differentiated():
  """Counts floating-point operations: a backward pass costs at most twice its forward pass, or at
  most once if only to the inputs. A few hundredths are for everything but convolutions.

  The discriminators' step differentiates discriminators, on 4 B images, and no generator. The
  generators' step does not differentiate the features and perceptual maps of 2 B images each, and
  differentiates the maps and scores of 2 B translations by no parameters.
  """
  config = comparing.make_config('scenes')
  config.model.update(width=8, discriminator_width=8, blocks=3)
  method = methods.make(config)
  params, batch = comparing.variables_of(method, config), comparing.batch_of(config)

  def flops(function, *arguments):
    return jax.jit(function).lower(*arguments).cost_analysis()['flops']

  def image(name):
    return flops(lambda params, x: method.networks[name].apply({'params': params}, x),
                 params[name], batch['a'][:1])

  def step_and_forward(player):
    def loss(owned, params):
      return player.loss({**params, **owned}, {}, batch, jax.random.key(0))[0]
    owned = {network: params[network] for network in player.owns}
    return flops(jax.grad(loss), owned, params), flops(loss, owned, params)
  pairs = 2 * comparing.BATCH
  critic, features, maps = map(image, ('discriminator_a', 'features_a', 'perceptual'))
  players = {player.name: player for player in method.players}
  step, forward = step_and_forward(players['discriminator'])
  assert step < 1.02 * forward + 2 * 2 * pairs * critic
  step, forward = step_and_forward(players['generator'])
  assert step < 1.08 * (3 * forward - pairs * (2 * features + 2 * maps + maps + critic))
