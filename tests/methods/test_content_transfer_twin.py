"""Content transfer against a PyTorch twin of the authors' step, with the same weights."""

import importlib
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.paths import ROOT_PATH
from helpers.small_content_transfer import (
  BALANCED,
  batch_of,
  close,
  CODE,
  images,
  make_config,
  official,
  opened,
  SIZE,
  variables_of,
)
from maskgan_jax import config as run_config
from maskgan_jax import methods
from maskgan_jax.methods import content_transfer
from maskgan_jax.training import parallel as parallel_lib
from maskgan_jax.training import train_step


@pytest.fixture(name='twin', scope='module')
def _twin():
  pytest.importorskip('torch')
  sys.path.insert(0, str(ROOT_PATH / 'benchmarks'))
  yield importlib.import_module('torch_content_transfer')
  sys.path.pop(0)


def test_networks_have_the_sizes_of_the_authors(twin):
  import torch
  method = methods.make(run_config.default('content_transfer'))
  image = jax.ShapeDtypeStruct((2, 128, 128, 3), jnp.float32)
  params, _ = jax.eval_shape(method.init, jax.random.key(0), {'a': image, 'b': image})
  ours = {group: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
          for group, tree in params.items()}
  assert ours == {'common_encoder': 6483482, 'separate_encoder': 742379, 'decoder_a': 6984099,
                  'decoder_b': 6984612, 'discriminator': 998401}
  with torch.device('meta'):
    networks = twin.ContentTransfer().networks
  theirs = [sum(p.numel() for p in network.parameters()) for network in networks.values()]
  assert sorted(theirs) == sorted(ours.values())


def make_twin(twin, params, model_state, weights):
  model = twin.ContentTransfer(image_size=SIZE, width=4, depth=3, separate_channels=2,
                               discriminator_width=8, weights=weights)
  twin.load(model, params, model_state['batch_stats'], CODE)
  model.networks.train()
  return model


def to_torch(x):
  import torch
  return torch.tensor(np.asarray(x).transpose(0, 3, 1, 2).copy())


def from_torch(x):
  return x.detach().numpy().transpose(0, 2, 3, 1)


def assert_same_gradients(twin, gradients, model):
  """Compares our gradients, by group, with the twin's `.grad`, for every parameter."""
  ours = twin.state_dicts(gradients, CODE)
  for network, tensors in ours.items():
    theirs = {name: p.grad for name, p in model.networks[network].named_parameters()}
    assert tensors.keys() == theirs.keys()
    scale = max(float(g.abs().max()) for g in theirs.values())
    assert scale > 1e-4, f'{network} gets no gradient: nothing is compared'
    for name, gradient in theirs.items():  # a bias before a batch norm has gradient 0
      np.testing.assert_allclose(tensors[name], gradient, rtol=2e-3, atol=2e-5 * scale,
                                 err_msg=f'{network}.{name}')


def assert_same_statistics(twin, model_state, model):
  for network, tensors in twin.state_dicts(model_state['batch_stats'], CODE).items():
    state = model.networks[network].state_dict()
    assert len(tensors) == sum('running' in name for name in state)
    for name, value in tensors.items():
      close(value, state[name])


@pytest.mark.slow
def test_losses_gradients_and_statistics_equal_the_authors(twin):
  method, params, model_state = official()
  model = make_twin(twin, params, model_state, BALANCED)
  batch = batch_of()
  a, b = to_torch(batch['a']), to_torch(batch['b'])
  losses = [jax.jit(jax.value_and_grad(player.loss, has_aux=True)) for player in method.players]

  (loss, (metrics, after)), gradients = losses[0](params, model_state, batch, None)
  terms = model.autoencoder_losses(a, b)
  for name, term in terms.items():
    assert float(metrics[name]) == pytest.approx(term.item(), rel=1e-4), name
  expected = sum(weight * terms[name] for name, weight in BALANCED.items())
  expected.backward()
  assert float(loss) == pytest.approx(expected.item(), rel=1e-4)
  assert_same_gradients(twin, gradients, model)
  assert_same_statistics(twin, after, model)

  model.networks.zero_grad()
  (loss, (_, after)), gradients = losses[1](params, after, batch, None)
  expected = model.discriminator_loss(a, b)
  expected.backward()
  assert float(loss) == pytest.approx(expected.item(), rel=1e-4)
  assert_same_gradients(twin, {'discriminator': gradients['discriminator']}, model)
  assert_same_statistics(twin, after, model)


@pytest.mark.slow
def test_training_steps_equal_the_authors(twin):
  """Compares two whole iterations of the engine, with clipping and Adam."""
  weights = {name: 5 * weight for name, weight in content_transfer.weights('glasses').items()}
  config = make_config(weights=weights)  # five times the authors', so that gradients are clipped
  config.optimizers.autoencoder.eps = config.optimizers.discriminator.eps = 1e-3
  method = methods.make(config)
  parallel = parallel_lib.Parallel('jit', jax.devices()[:1])
  optimizers = train_step.make_optimizers(method, config)
  params, model_state = jax.tree.map(jnp.asarray, variables_of(method))
  opt_state = {p.name: optimizers[p.name].init({group: params[group] for group in p.owns})
               for p in method.players}
  state = train_step.TrainState(jnp.int32(0), params, opt_state, model_state, {}, jnp.int32(0),
                                jnp.int32(0))
  model = make_twin(twin, state.params, state.model_state, weights)
  for optimizer in (model.autoencoder_optimizer, model.discriminator_optimizer):
    optimizer.param_groups[0]['eps'] = 1e-3  # with 1e-8, Adam turns rounding errors into steps
  step = train_step.make_step(method, optimizers, config)
  compiled = parallel.compile(step)
  norms = []
  for seed in range(2):
    batch = batch_of(seed)
    state, metrics = compiled(state, parallel.feed(batch, 1), config.seed)
    metrics = step.by_name(metrics)
    autoencoder, discriminator = model.train_step(to_torch(batch['a']), to_torch(batch['b']))
    assert metrics['autoencoder/loss'] == pytest.approx(autoencoder, rel=1e-3)
    assert metrics['discriminator/loss'] == pytest.approx(discriminator, rel=1e-3)
    norms.append(metrics['autoencoder/gradient_norm'])
  assert max(norms) > 5, 'the test is to clip at least once'
  for network, tensors in twin.state_dicts(jax.device_get(state.params), CODE).items():
    theirs = model.networks[network].state_dict()
    for name, value in tensors.items():
      np.testing.assert_allclose(value, theirs[name], atol=1e-5, err_msg=f'{network}.{name}')
  assert_same_statistics(twin, jax.device_get(state.model_state), model)


def test_inference_equals_the_authors(twin):
  _, params, model_state = official()
  model = make_twin(twin, params, model_state, None)
  source, exemplar = images(1), images(2)
  result = opened('translate')(source, exemplar)
  mask, raw, image = map(from_torch, model.translate(to_torch(source), to_torch(exemplar)))
  close(result.image, image)
  close(result.source_mask, mask)
  close(result.extras['raw'], raw)
  mask = from_torch(model.translate(to_torch(exemplar), to_torch(exemplar))[0])
  close(opened('segment')(exemplar), mask)
  close(result.exemplar_mask, mask)
  threshold = float(np.median(mask))
  assert np.abs(mask - threshold).min() > 1e-6  # no value is so close that rounding decides
  close(opened('remove')(exemplar, threshold=threshold).image,
        from_torch(model.remove(to_torch(exemplar), threshold)))
