"""LOMIT against a PyTorch twin of the authors' networks, losses and updates, with equal weights."""

import functools
import os
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import comparing_lomit as comparing
from helpers import processes
from helpers.paths import ROOT
from helpers.twins import count
from maskgan_jax import config as run_config
from maskgan_jax import methods
from maskgan_jax.networks.streams import deinterleave

torch = pytest.importorskip('torch')
CRITIC, GENERATOR = 0, 1  # the players, in the order that they play in
PLAYED = (  # the metrics of their losses
    ('real', 'fake', 'classification', 'gradient_penalty', 'accuracy', 'loss'),
    (*comparing.BALANCED, 'mask_mean', 'mask_over_half', 'mask_entropy', 'loss'))


def test_networks_have_the_sizes_of_the_authors():
  config = run_config.default('lomit')
  config.data.attributes = ('Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Smiling')
  method = methods.make(config)
  image = jax.ShapeDtypeStruct((2, 128, 128, 3), jnp.float32)
  labels = jax.ShapeDtypeStruct((2, 4), jnp.float32)
  params, _ = jax.eval_shape(method.init, jax.random.key(0), {
      'a': image, 'b': image, 'a_attributes': labels, 'b_attributes': labels})
  critic = params.pop('critic')
  with torch.device('meta'):
    model = comparing.module().Lomit()
  theirs = [sum(p.numel() for p in network.parameters())  # the style heads count once
            for network in (model.generator, model.critic)]
  assert [count(params), count(critic)] == theirs == [18_120_588, 44_753_861]


def convolutions(names, shapes):
  return {f'{name}.{leaf}': shape if leaf == 'weight' else shape[:1]
          for name, shape in zip(names, shapes, strict=True) for leaf in ('weight', 'bias')}


def test_state_dicts_have_the_names_and_shapes_of_the_authors():
  """They equal a list from the authors' code; the tests of the importer rely on it."""
  with torch.device('meta'):
    model = comparing.module().Lomit()
  stem = [(64, 3, 7, 7), (128, 64, 4, 4), (256, 128, 4, 4)]
  square = (256, 256, 3, 3)
  residual = [f'{i}.main.{j}' for i in range(4) for j in (0, 1)]
  content = [f'c_encoder.main.{i}' for i in (0, 1, 2)] + [
      f'c_encoder.main.{3 + i}.main.{j}' for i in range(4) for j in (0, 1)]
  expected = convolutions([f'{name}.conv' for name in content], stem + [square] * 8)
  expected |= convolutions([f's_encoder.shared.{i}.conv' for i in range(3)], stem)
  for head in ('foreground', 'background'):
    expected |= convolutions(
        [f's_encoder.{head}.{layer}' for layer in ('0.conv', '1.conv', '3')],
        [(256, 256, 4, 4), (256, 256, 4, 4), (8, 256, 1, 1)])
  mask = [f'mask.main.{i}' for i in range(6)]
  expected |= convolutions([f'{name}.conv' for name in mask], [square] * 6)
  expected |= convolutions(['mask.main.6.conv', 'mask.co_attn.main.0.fc', 'mask.co_attn.main.1.fc'],
                           [(1, 256, 1, 1), (512, 256), (256, 512)])
  decoder = [f'decoder.main.{name}' for name in (*residual, 5, 7)]
  expected |= convolutions([f'{name}.conv' for name in (*decoder, 'decoder.main.8')],
                           [square] * 8 + [(128, 256, 5, 5), (64, 128, 5, 5), (3, 64, 7, 7)])
  for head in 'fb':
    expected |= convolutions([f'decoder.{head}_mlp.main.{i}.fc' for i in range(3)],
                             [(256, 8), (256, 256), (512, 256)])
  norms = content + mask + decoder
  widths = [64, 128, *[256] * 9, *[256] * 6, *[256] * 8, 128, 64]
  for name, width in zip(norms, widths, strict=True):
    averages = () if name.startswith('decoder') else ('running_mean', 'running_var')
    expected |= {f'{name}.norm.{leaf}': (width,) for leaf in ('weight', 'bias', *averages)}
  shapes = {name: tuple(tensor.shape) for name, tensor in model.generator.state_dict().items()
            if not name.endswith('num_batches_tracked')}
  assert shapes == expected

  widths = [3, 64, 128, 256, 512, 1024, 2048]
  expected = convolutions(
      [*(f'main.{i}.conv' for i in range(6)), 'conv1.conv', 'conv2'],
      [*((after, before, 4, 4) for before, after in zip(widths, widths[1:], strict=False)),
       (1, 2048, 3, 3), (4, 2048, 2, 2)])
  assert {name: tuple(tensor.shape)
          for name, tensor in model.critic.state_dict().items()} == expected


@functools.cache
def compiled(player):
  """Returns, for a player of the small model, a function from weights of the loss and every metric
  to loss, metrics, new state and the gradients of the weighted sum."""
  _, method, params, model_state = small()
  loss_of = method.players[player].loss

  @jax.jit
  def play(weights):
    def loss_and_metrics(params):
      loss, (metrics, after) = loss_of(params, model_state, comparing.batch_of(),
                                       jax.random.key(3))
      return {**metrics, 'loss': loss}, after
    values, pull_back, after = jax.vjp(loss_and_metrics, params, has_aux=True)
    return values, after, pull_back({name: weights[name] for name in values})[0]
  return play


def play(player, of):
  """Returns all values, new batch_stats and the gradients of one of the values."""
  weights = dict.fromkeys(PLAYED[player], jnp.float32(0))
  values, after, gradients = compiled(player)({**weights, of: jnp.float32(1)})
  return values, after['batch_stats'], gradients


@functools.cache
def small():
  return comparing.small(comparing.BALANCED)


def make_twin():
  config, _, params, state = small()
  return comparing.make_twin(config, params, state['batch_stats'], comparing.BALANCED)


def alphas(rng, batch_size=comparing.BATCH):
  """Returns what the penalty draws from this key, for directions ab and ba."""
  drawn = jax.random.uniform(rng, (2 * batch_size, 1, 1, 1))
  return [torch.tensor(np.array(alpha, np.float64)) for alpha in deinterleave(drawn, 2)]


def assert_same_terms(metrics, terms):
  for name, term in terms.items():
    assert float(metrics[name]) == pytest.approx(term.item(), rel=2e-5), name


def assert_same_gradients(gradients, loss, network, tolerance):
  """Compares our gradients, by group, with the twin's, for every parameter of the network.

  `tolerance` is relative to the largest entry of each tensor. Returns the groups with any gradient.
  """
  parameters = dict(network.named_parameters())
  theirs = dict(zip(parameters, torch.autograd.grad(
      loss, parameters.values(), retain_graph=True, allow_unused=True), strict=True))
  some = set()
  for group in gradients:
    ours = comparing.state_dict(small()[0], {group: gradients[group]})
    scale = max((float(g.abs().max()) for g in map(theirs.get, ours) if g is not None), default=0)
    some |= {group} if scale > 1e-6 else set()
    for name, gradient in ours.items():
      expected = theirs.pop(name)
      if expected is None:
        assert not gradient.any(), name
      else:  # a bias before a normalisation has gradient 0
        np.testing.assert_allclose(
            gradient, expected, rtol=0, atol=tolerance * float(expected.abs().max()) + 1e-6 * scale,
            err_msg=name)
  assert not theirs
  return some


def assert_same_averages(batch_stats, model):
  """Compares the running averages of the mask network's batch norms."""
  tensors = comparing.state_dict(small()[0], batch_stats)
  state = model.generator.state_dict()
  assert tensors.keys() == {name for name in state if 'mask' in name and 'running' in name}
  for name, value in tensors.items():
    np.testing.assert_allclose(value, state[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_critic_equals_the_authors():
  """Compares every term, its gradients, the weighted sum, and the mask network's averages."""
  model = make_twin()
  a, b, labels_a, labels_b = comparing.of_batch(comparing.batch_of())
  alpha_ab, alpha_ba = alphas(jax.random.key(3))
  directions = [model.critic_losses(a, b, labels_a, alpha_ab),
                model.critic_losses(b, a, labels_b, alpha_ba)]
  terms = {name: directions[0][name] + directions[1][name] for name in directions[0]}
  terms['loss'] = model.critic_loss(terms)
  for name, term in terms.items():
    metrics, batch_stats, gradients = play(CRITIC, name)
    critic = {'critic': gradients.pop('critic')}
    assert assert_same_gradients(critic, term, model.critic, 1e-5) == {'critic'}
    assert not any(x.any() for x in jax.tree.leaves(gradients)), 'the generator is at rest'
  assert_same_terms(metrics, terms)
  assert_same_averages(batch_stats, model)


@pytest.mark.slow
def test_generator_equals_the_authors():
  """Compares the same for the generator; no term hides behind a larger one."""
  everything = set(small()[1].players[GENERATOR].owns)
  reached = {'similarity': everything, 'size': everything, 'total_variation': everything,
             'style_difference': everything - {'decoder'}}  # it contains no image
  model = make_twin()
  terms = model.generator_losses(*comparing.of_batch(comparing.batch_of()))
  terms['loss'] = model.generator_loss(terms)
  for name, term in terms.items():
    metrics, batch_stats, gradients = play(GENERATOR, name)
    del gradients['critic']  # it belongs to the other player
    # PyTorch's float32 differs from its float64 by as much.
    tolerance = 1e-3 if name in ('cycle', 'loss') else 3e-4
    assert assert_same_gradients(gradients, term, model.generator, tolerance) == reached.get(
        name, everything), name
  assert_same_terms(metrics, terms)
  assert_same_averages(batch_stats, model)


@pytest.mark.slow
def test_training_steps_equal_the_authors():
  """Compares the engine's whole iterations with Adam, both in float64: weights agree to 1e-9."""
  process = processes.start([sys.executable, '-m', 'helpers.lomit_training_steps'],
                            PYTHONPATH=os.pathsep.join([f'{ROOT}/tests', ROOT]))
  output, errors = process.communicate(timeout=900)
  assert process.returncode == 0, errors[-3000:]
  assert output.splitlines()[-1] == 'the same'


@pytest.mark.slow
def test_inference_equals_the_authors():
  """Compares masks and codes with batch statistics; a user's mask replaces the predicted one."""
  config, method, params, model_state = small()
  model = comparing.make_twin(config, params, model_state['batch_stats'])
  source, exemplar = comparing.images(1), comparing.images(2)
  result = jax.jit(method.translate)(params, model_state, source, exemplar)
  image, mask, exemplar_mask = model.translate(
      comparing.to_torch(source), comparing.to_torch(exemplar))
  for ours, theirs in ((result.image, image), (result.source_mask, mask),
                       (result.exemplar_mask, exemplar_mask)):
    assert theirs.std() > 0.01
    np.testing.assert_allclose(ours, comparing.from_torch(theirs), atol=1e-5)
  again = jax.jit(method.translate)(params, model_state, source, exemplar,
                                    source_mask=result.source_mask,
                                    exemplar_mask=result.exemplar_mask)
  np.testing.assert_allclose(again.image, result.image, atol=1e-4)
