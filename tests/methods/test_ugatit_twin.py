"""U-GAT-IT against a PyTorch twin of both codes' networks and losses, with the same weights and the
same vectors of spectral normalisation; and the import of a checkpoint."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import comparing_ugatit as comparing
from helpers import twins
from maskgan_jax import errors, methods
from maskgan_jax.import_weights import __main__ as import_weights
from maskgan_jax.import_weights import ugatit as converter
from maskgan_jax.recipes import ugatit as recipe

torch = pytest.importorskip('torch')
pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.mark.parametrize('chosen, size, generator, total', [
    (('pytorch',), 256, 278_959_808, 112_841_472), (('pytorch',), 128, 77_633_216, 112_841_472),
    (('pytorch', 'light'), 256, 10_589_888, 112_841_472),
    (('paper',), 256, 278_970_308, 112_836_360),
    (('paper', 'light'), 256, 10_600_388, 112_836_360)])
def test_networks_have_the_sizes_of_the_authors(chosen, size, generator, total):
  """The sizes of the paper's discriminators are the twin's: no list of the authors' has them."""
  config = recipe.photographs(chosen)
  config.image_size = size
  image = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
  init = methods.make(config).init
  params, _ = jax.eval_shape(init, jax.random.key(0), {'a': image, 'b': image})
  ours = {name: twins.count(tree) for name, tree in params.items()}
  of_discriminators = [count for name, count in ours.items() if 'discriminator' in name]
  assert ours['generator_ab'] == ours['generator_ba'] == generator
  assert sum(of_discriminators) == total and len(of_discriminators) == 4
  if 'pytorch' in chosen:
    assert ours['global_discriminator_a'] == 53_130_176
    assert ours['local_discriminator_b'] == 3_290_560
  with torch.device('meta'):
    twin = comparing.module().Ugatit(
        sides=(size, size), **{name: config.model[name] for name in comparing.SMALL},
        tensorflow='paper' in chosen)
  for networks, expected in ((twin.generators, 2 * generator), (twin.discriminators, total)):
    assert sum(p.numel() for p in networks.parameters()) == expected


@pytest.mark.parametrize('case', ['pytorch', 'paper', 'deep'])
def test_translations_and_attention_equal_the_twins(case):
  config, method, params, state = comparing.small(case)
  model = comparing.make_twin(config, params, state)
  source = comparing.batch_of(config, 5)['a']
  translate = jax.jit(method.translate, static_argnames='reverse')
  for direction in ('ab', 'ba'):
    image, heat = model.translate(direction, comparing.to_torch(source))
    assert image.std() > 0.1
    result = translate(params, state, source, reverse=direction == 'ba')
    np.testing.assert_allclose(result.image, comparing.from_torch(image), atol=2e-5)

    # As the authors show it: from its least value to its largest, enlarged bilinearly.
    heat = heat - heat.amin((1, 2, 3), keepdim=True)
    heat = heat / heat.amax((1, 2, 3), keepdim=True)
    large = torch.nn.functional.interpolate(heat, source.shape[1:3], mode='bilinear')
    expected = comparing.from_torch(large)
    np.testing.assert_allclose(result.extras['attention'], expected, atol=2e-5)


@functools.cache
def compiled(case, player):
  """Returns `twins.compiled` of a player's loss, and the state that it leaves."""
  config, method, params, state = comparing.small(case)
  loss_of = {p.name: p.loss for p in method.players}[player]
  batch, key = comparing.batch_of(config), jax.random.key(0)

  def loss(params):
    return loss_of(params, state, batch, key)
  after = jax.jit(lambda params: loss(params)[1][1])(params)
  return *twins.compiled(loss, params), after


@pytest.mark.slow
@pytest.mark.parametrize('player', ['discriminator', 'generator'])
@pytest.mark.parametrize('case', comparing.CASES)
def test_losses_gradients_and_power_iterations_equal_the_twins(case, player):
  """Compares every term, so that none hides behind a larger one."""
  config, method, params, state = comparing.small(case)
  model = comparing.make_twin(config, params, state)
  a, b = (comparing.to_torch(comparing.batch_of(config)[domain]) for domain in 'ab')
  if player == 'discriminator':
    networks, terms = model.discriminators, model.discriminator_losses(a, b)
  else:
    networks, terms = model.generators, model.generator_losses(a, b)
  terms['loss'] = model.loss(terms)
  play, names, after = compiled(case, player)
  assert set(names) == set(terms)
  for name, term in terms.items():
    values, gradients = play({other: jnp.float32(other == name) for other in names})
    assert float(values[name]) == pytest.approx(term.item(), rel=2e-5), name
    assert_same_gradients(networks, term, comparing.state_dicts(config, gradients))

  # Discriminators iterate in both players' turns: once for each batch that they see.
  ours = comparing.state_dicts(config, after['batch_stats'])
  before = comparing.state_dicts(config, state['batch_stats'])
  for entry, network in model.discriminators.items():
    buffers = dict(network.named_buffers())
    assert ours[entry].keys() == buffers.keys()
    for name, vector in buffers.items():
      np.testing.assert_allclose(ours[entry][name], vector, atol=1e-5, err_msg=name)
      assert len(vector) == 1 or not np.allclose(before[entry][name], vector, atol=1e-3), name


def assert_same_gradients(networks, term, states):
  """Compares gradients; tolerances are relative to a tensor's largest entry and the network's."""
  parameters = dict(networks.named_parameters())
  found = torch.autograd.grad(term, parameters.values(), retain_graph=True, allow_unused=True)
  theirs = dict(zip(parameters, found, strict=True))
  largest = max(float(g.abs().max()) for g in theirs.values() if g is not None)
  ours = {f'{entry}.{name}': value for entry, state in states.items()
          for name, value in state.items()}
  assert ours.keys() >= theirs.keys()
  for name, expected in theirs.items():
    if expected is None:
      assert not ours[name].any(), name
    else:  # a bias before a normalisation has gradient 0: sums of what cancels
      atol = 2e-4 * float(expected.abs().max()) + 1e-5 * largest
      np.testing.assert_allclose(ours[name], expected, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize('case', ['pytorch', 'deep'])
def test_every_imported_number_is_the_authors(case, tmp_path):
  config, _, params, state = comparing.small(case)
  states = comparing.state_dicts(config, params, state['batch_stats'])
  for name in ('disGA', 'disLB'):  # newer versions of PyTorch store this too
    states[name]['model.1.weight_v'] = torch.ones(48)
  path = str(tmp_path / 'selfie2anime_params_0000070.pt')
  torch.save(states, path)
  converted = converter.convert([path], [import_weights.read(path)])
  assert converted.config.model == config.model
  assert (converted.config.variant, converted.step) == ('pytorch', 70)
  assert converted.config.image_size == (256 if case == 'deep' else config.image_size)
  model = converted.model
  stored = comparing.state_dicts(converted.config, model['params'],
                                 model['model_state']['batch_stats'])
  for entry, theirs in states.items():
    theirs.pop('model.1.weight_v', None)
    assert stored[entry].keys() == theirs.keys()
    assert all(torch.equal(stored[entry][name], value) for name, value in theirs.items())

  del states['disLA']
  with pytest.raises(errors.UserError, match="not a checkpoint of U-GAT-IT's PyTorch code"):
    torch.save(states, path)
    converter.convert([path], [import_weights.read(path)])
