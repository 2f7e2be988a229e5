"""DRIT against a PyTorch twin of the authors' networks, losses and updates, with the same weights
and random numbers; and the import of their checkpoints."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import comparing_drit as comparing
from helpers import twins
from maskgan_jax import errors, methods
from maskgan_jax.import_weights import __main__ as import_weights
from maskgan_jax.import_weights import drit as converter
from maskgan_jax.recipes import drit as recipe
from maskgan_jax.training import parallel as parallel_lib
from maskgan_jax.training import train_step

torch = pytest.importorskip('torch')
pytestmark = pytest.mark.usefixtures('one_thread')
KEY = 3


@pytest.mark.parametrize('generator, sizes, total', [
    ('concat', {'attribute_encoder': 1_344_080, 'generator': 4_192_275,
                'shared_generator': 1_180_160}, 21_270_982),
    ('feature_wise', {'attribute_encoder': 2_764_936, 'generator': 8_241_923 + 331_264},
     31_694_358)])
def test_networks_have_the_sizes_of_the_authors(generator, sizes, total):
  sizes |= {'content_encoder': 3_918_976, 'shared_encoder': 1_180_160, 'discriminator': 8_271_171,
            'random_discriminator': 8_271_171, 'content_discriminator': 10_683_649}
  config = recipe.photographs('official', generator=generator)
  method = methods.make(config)
  image = jax.ShapeDtypeStruct((2, 216, 216, 3), jnp.float32)
  params, _ = jax.eval_shape(method.init, jax.random.key(0), {'a': image, 'b': image})
  ours = {name: twins.count(tree) for name, tree in params.items()}
  assert ours == {name: sizes[name.removesuffix('_a').removesuffix('_b')] for name in ours}
  of_discriminators = sum(value for name, value in ours.items() if 'discriminator' in name)
  assert (sum(ours.values()) - of_discriminators, of_discriminators) == (total, 43_768_333)
  with torch.device('meta'):
    twin = comparing.module().Drit(feature_wise=generator == 'feature_wise')
    maps = twin.networks['disA'](torch.empty(1, 3, 216, 216))
    scores = twin.networks['disContent'](torch.empty(1, 256, 54, 54))
  assert sum(p.numel() for p in twin.networks.parameters()) == total + 43_768_333

  # Odd sides are halved as PyTorch does.
  def shape(name, x):
    apply = method.networks[name].apply
    return jax.tree.map(lambda y: y.shape[1:3],
                        jax.eval_shape(apply, {'params': params[name]}, x))
  assert shape('discriminator_a', image) == tuple(x.shape[2:] for x in maps)
  content = jax.ShapeDtypeStruct((2, 54, 54, 256), jnp.float32)
  assert shape('content_discriminator', content) == scores.shape[2:] == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize('case', comparing.CASES)
def test_translations_equal_the_twins(case):
  """Compares both directions, after exemplars and with an attribute that is drawn."""
  config, method, params = comparing.small(case)
  model = comparing.make_twin(config, params)
  batch = comparing.batch_of(config, 5)
  translate = jax.jit(method.translate, static_argnames='reverse')
  for direction in ('ab', 'ba'):
    source, exemplar = (batch[domain] for domain in direction)
    mean, _ = model.networks['enc_a'](direction[1].upper(), comparing.to_torch(exemplar))
    drawn = jax.random.normal(jax.random.key(7), (1, config.model.attribute_size))
    for example, code in ((exemplar, mean),
                          (None, comparing.to_torch(jnp.repeat(drawn, len(source), 0)))):
      expected = model.translate(direction.upper(), comparing.to_torch(source), code)
      assert expected.std() > 0.1
      result = translate(params, {}, source, example, rng=jax.random.key(7),
                         reverse=direction == 'ba')
      np.testing.assert_allclose(result.image, comparing.from_torch(expected), atol=2e-5)


@functools.cache
def compiled(case, player):
  """Returns `twins.compiled` of a player's loss and of what it owns."""
  config, method, params = comparing.small(case)
  playing = {p.name: p for p in method.players}[player]
  owned = {group: params[group] for group in playing.owns}
  batch, key = comparing.batch_of(config), jax.random.key(KEY)
  return twins.compiled(lambda owned: playing.loss({**params, **owned}, {}, batch, key), owned)


PLAYERS = [(case, player) for case in comparing.CASES
           for player in ('content_discriminator', 'discriminator', 'generator', 'random')
           if (case, player) != ('paper', 'random')]


@pytest.mark.slow
@pytest.mark.parametrize('case, player', PLAYERS)
def test_losses_and_gradients_equal_the_twins(case, player):
  """Compares every term, so that none hides behind a larger one."""
  config, _, params = comparing.small(case)
  model = comparing.make_twin(config, params)
  images = comparing.pictures(comparing.batch_of(config))
  draws = comparing.draws_of(config, player, jax.random.key(KEY))
  terms = getattr(model, f'{player}_losses')(images, draws)
  terms['loss'] = model.loss(terms)
  play, names = compiled(case, player)
  assert set(names) == set(terms)
  for name, term in terms.items():
    values, gradients = play({other: jnp.float32(other == name) for other in names})
    assert float(values[name]) == pytest.approx(term.item(), rel=2e-5), name
    assert_same_gradients(model, player, term, comparing.state_dicts(config, gradients))


def assert_same_gradients(model, player, term, ours):
  """Compares gradients; tolerances are relative to a tensor's largest entry and the player's."""
  parameters = {}
  for network in model.owners()[player]:
    for name, parameter in model.networks[network].named_parameters():
      parameters[network, name] = parameter
  assert set(parameters) == {(network, name) for network in ours for name in ours[network]}
  found = torch.autograd.grad(term, parameters.values(), retain_graph=True, allow_unused=True)
  largest = max(float(g.abs().max()) for g in found if g is not None)
  for (network, name), expected in zip(parameters, found, strict=True):
    gradient = ours[network][name]
    if expected is None:
      assert not gradient.any(), name
    else:  # a bias before a normalisation has gradient 0: sums of what cancels
      atol = 1e-4 * float(expected.abs().max()) + 1e-5 * largest
      np.testing.assert_allclose(gradient, expected, rtol=0, atol=atol, err_msg=name)


@pytest.mark.slow
def test_training_steps_equal_the_twins():
  """Compares the engine's iterations, one of the content discriminator alone and one of all, with
  Adam, weight decay and the norm that gradients are clipped to."""
  config, method, params = comparing.small('concat')
  config.model.others_every = 2
  method = methods.make(config)
  for player in config.optimizers.values():
    # With an epsilon of 1e-8, Adam would turn rounding errors into steps.
    player.update(eps=0.1, learning_rate=1e-2, weight_decay=0.3)
  config.optimizers.content_discriminator.update(learning_rate=4e-3, clip_norm=0.05)
  optimizers = train_step.make_optimizers(method, config)
  params = jax.tree.map(jnp.asarray, params)
  opt_state = {}
  for player in method.players:
    owned = {group: params[group] for group in player.owns}
    opt_state[player.name] = optimizers[player.name].init(owned)
  model = comparing.make_twin(config, params, learning_rate=1e-2, clip_norm=0.05)
  for optimizer in model.optimizers.values():
    optimizer.param_groups[0].update(eps=0.1, weight_decay=0.3)
  state = train_step.TrainState(jnp.int32(0), params, opt_state, {}, {}, jnp.int32(0),
                                jnp.int32(0))
  step = train_step.make_step(method, optimizers, config)
  parallel = parallel_lib.Parallel('jit', jax.devices()[:1])
  run = parallel.compile(step)
  for i in range(2):
    batch = comparing.batch_of(config, i)
    key = jax.random.fold_in(jax.random.key(config.seed), i)
    state, metrics = run(state, parallel.feed(batch, 1), config.seed)
    metrics = step.by_name(metrics)
    for index, player in enumerate(method.players):
      if i % player.every != player.phase:
        assert f'{player.name}/loss' not in metrics
        continue
      rng = jax.random.fold_in(jax.random.fold_in(key, index), 0)
      draws = comparing.draws_of(config, player.name, rng)
      loss = model.play(player.name, comparing.pictures(batch), draws)
      assert metrics[f'{player.name}/loss'] == pytest.approx(loss, rel=1e-4)
  ours = comparing.state_dicts(config, jax.device_get(state.params))
  for network, values in ours.items():
    theirs = model.networks[network].state_dict()
    for name, value in values.items():
      np.testing.assert_allclose(value, theirs[name], atol=2e-5, err_msg=name)


def checkpoint_of(case, folder):
  """Writes a checkpoint as the authors' training script does; returns its path and its numbers."""
  config, _, params = comparing.small(case)
  states = comparing.state_dicts(config, params)
  stored = {**states, 'gen_opt': {'state': {}, 'param_groups': [{'lr': 1e-4}]}, 'ep': 3,
            'total_it': 70}
  path = str(folder / '00003.pth')
  torch.save(stored, path)
  return config, path, states


@pytest.mark.parametrize('case', comparing.CASES)
def test_every_imported_number_is_the_authors(case, tmp_path):
  config, path, states = checkpoint_of(case, tmp_path)
  converted = converter.convert([path], [import_weights.read(path)])
  for name in (*comparing.SMALL, 'generator', 'content_kernel'):
    if name != 'mlp' or case == 'feature_wise':
      assert converted.config.model[name] == config.model[name], name
  assert (converted.config.variant, converted.step) == ('official', 70)
  stored = comparing.state_dicts(converted.config, converted.model['params'])
  assert stored.keys() == states.keys()
  for network, values in stored.items():
    assert values.keys() == states[network].keys()
    assert all(torch.equal(states[network][name], value) for name, value in values.items())


def test_what_is_refused(tmp_path):
  _, path, _ = checkpoint_of('concat', tmp_path)
  checkpoint = import_weights.read(path)

  def refused(message, **changes):
    with pytest.raises(errors.UserError, match=message):
      converter.convert([path], [{**checkpoint, **changes}])
  refused('enc_a is not a state dict of tensors', enc_a=None)
  spectral = {**checkpoint['disB'], 'Diss.0.0.model.1.weight_u': np.ones(3, np.float32)}
  refused(r'\(disB\): Diss.0.0.model.1.weight_u: nothing of that name', disB=spectral)
  fewer = {name: x for name, x in checkpoint['gen'].items() if name != 'decB3.0.bias'}
  refused(r'\(gen\) has no decB3.0.bias', gen=fewer)
