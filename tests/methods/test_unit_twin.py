"""UNIT against a PyTorch twin of both releases' networks and losses, with the same weights and
noise; and the import of their checkpoints."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import comparing_unit as comparing
from helpers import twins
from maskgan_jax import errors, methods
from maskgan_jax.import_weights import __main__ as import_weights
from maskgan_jax.import_weights import unit as converter
from maskgan_jax.recipes import unit as recipe

torch = pytest.importorskip('torch')
pytestmark = pytest.mark.usefixtures('one_thread')
KEY = 3


@pytest.mark.parametrize('variant, sizes, totals', [
    ('paper', {'encoder': 3_918_976, 'decoder': 3_909_507, 'shared': 1_180_160,
               'discriminator': 25_149_057}, (18_017_286, 50_298_114)),
    ('rerelease', {'encoder': 5_385_856, 'decoder': 5_754_627, 'discriminator': 8_271_171},
     (22_280_966, 16_542_342))])
def test_networks_have_the_sizes_of_the_authors(variant, sizes, totals):
  config = recipe.photographs(variant)
  image = jax.ShapeDtypeStruct((2, 256, 256, 3), jnp.float32)
  init = methods.make(config).init
  params, _ = jax.eval_shape(init, jax.random.key(0), {'a': image, 'b': image})
  ours = {name: twins.count(tree) for name, tree in params.items()}
  assert ours == {name: sizes[name.partition('_')[0]] for name in ours}
  names = ('width', 'downsamplings', 'blocks', 'discriminator_width', 'discriminator_depth',
           'discriminator_scales')
  with torch.device('meta'):
    twin = comparing.module().Unit(**{name: config.model[name] for name in names},
                                   rerelease=variant == 'rerelease')
  parameters = [sum(p.numel() for p in networks.parameters())
                for networks in (twin.generator, twin.discriminators)]
  assert tuple(parameters) == totals and sum(ours.values()) == sum(totals)


@pytest.mark.parametrize('case', comparing.CASES)
def test_translations_equal_the_twins(case):
  config, method, params = comparing.small(case)
  model = comparing.make_twin(config, params)
  source = comparing.batch_of(config, 5)['a']
  translate = jax.jit(method.translate, static_argnames='reverse')
  for direction in ('ab', 'ba'):
    expected = model.translate(direction, comparing.to_torch(source))
    assert expected.std() > 0.1
    result = translate(params, {}, source, reverse=direction == 'ba')
    np.testing.assert_allclose(result.image, comparing.from_torch(expected), atol=2e-5)


@functools.cache
def compiled(case, player):
  """Returns `twins.compiled` of a player's loss."""
  config, method, params = comparing.small(case)
  loss_of = {p.name: p.loss for p in method.players}[player]
  batch, key = comparing.batch_of(config), jax.random.key(KEY)
  return twins.compiled(lambda params: loss_of(params, {}, batch, key), params)


@pytest.mark.slow
@pytest.mark.parametrize('player', ['discriminator', 'generator'])
@pytest.mark.parametrize('case', comparing.CASES)
def test_losses_and_gradients_equal_the_twins(case, player):
  """Compares every term, so that none hides behind a larger one."""
  config, method, params = comparing.small(case)
  model = comparing.make_twin(config, params)
  batch = comparing.batch_of(config)
  a, b = (comparing.to_torch(batch[domain]) for domain in 'ab')
  key = jax.random.key(KEY)
  if player == 'discriminator':
    networks = model.discriminators
    terms = model.discriminator_losses(a, b, comparing.noise(config, key))
  else:
    networks = model.generator
    keys = jax.random.split(key)
    terms = model.generator_losses(a, b, *(comparing.noise(config, k) for k in keys))
  terms['loss'] = model.loss(terms)
  play, names = compiled(case, player)
  assert set(names) == set(terms)
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
  ours = {comparing.twin_name(name): value for name, value in ours.items()}
  assert ours.keys() == theirs.keys()
  for name, expected in theirs.items():
    if expected is None:
      assert not ours[name].any(), name
    else:  # a bias before a normalisation has gradient 0: sums of what cancels
      atol = 1e-4 * float(expected.abs().max()) + 1e-5 * largest
      np.testing.assert_allclose(ours[name], expected, rtol=0, atol=atol, err_msg=name)


def files_of(case, folder):
  """Writes the authors' two files with small random numbers; returns their paths and states."""
  config, _, params = comparing.small(case)
  states, paths = comparing.state_dicts(config, params), []
  for state, kind in zip(states, ('gen', 'dis'), strict=True):
    stored, name = state, f'cat_{kind}_00000070.pkl'
    if case == 'rerelease':
      stored, name = {'a': {}, 'b': {}}, f'{kind}_00000070.pt'
      for key, value in state.items():
        stored[key[0]][key[2:]] = value
    paths.append(str(folder / name))
    torch.save(stored, paths[-1])
  return config, paths, states


@pytest.mark.parametrize('case', ['paper', 'rerelease'])
def test_every_imported_number_is_the_authors(case, tmp_path):
  config, paths, states = files_of(case, tmp_path)
  converted = converter.convert(paths, [import_weights.read(path) for path in paths])
  assert converted.config.model == config.model
  assert (converted.config.variant, converted.step) == (case, 70)
  stored = comparing.state_dicts(converted.config, converted.model['params'])
  for ours, theirs in zip(stored, states, strict=True):
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())
  with pytest.raises(errors.UserError, match='order of the files is generators, discriminators'):
    converter.convert(paths[::-1], [import_weights.read(path) for path in paths[::-1]])
