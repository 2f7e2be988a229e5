"""Press et al. against a PyTorch twin of the authors' networks and step, with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import comparing_press as comparing
from helpers.small_content_transfer import close, CODE, images, variables_of
from maskgan_jax import methods
from maskgan_jax.training import parallel as parallel_lib
from maskgan_jax.training import train_step

torch = pytest.importorskip('torch')


def state_dicts(groups):
  return comparing.module().content_transfer.state_dicts(groups, CODE)


def assert_same_gradients(gradients, model):
  """Compares our gradients, by group, with the twin's `.grad`, for every parameter."""
  for network, tensors in state_dicts(gradients).items():
    theirs = {name: p.grad for name, p in model.networks[network].named_parameters()}
    assert tensors.keys() == theirs.keys()
    scale = max(float(g.abs().max()) for g in theirs.values())
    assert scale > 1e-4, f'{network} gets no gradient: nothing is compared'
    for name, gradient in theirs.items():  # a bias before instance norm has gradient 0
      np.testing.assert_allclose(tensors[name], gradient, rtol=2e-3, atol=2e-5 * scale,
                                 err_msg=f'{network}.{name}')


def test_the_twin_has_the_sizes_of_the_authors():
  with torch.device('meta'):
    networks = comparing.module().Press().networks
  counts = [sum(p.numel() for p in network.parameters()) for network in networks.values()]
  assert counts == [6_480_574, 741_369, 6_982_115, 998_401]


@pytest.mark.slow
def test_losses_and_gradients_equal_the_authors():
  method, params = comparing.official()
  model = comparing.make_twin(params)
  batch = comparing.batch_of()
  a, b = comparing.to_torch(batch['a']), comparing.to_torch(batch['b'])
  losses = [jax.jit(jax.value_and_grad(player.loss, has_aux=True)) for player in method.players]

  (loss, (metrics, _)), gradients = losses[0](params, {}, batch, None)
  terms = model.autoencoder_losses(a, b)
  for name, term in terms.items():
    assert float(metrics[name]) == pytest.approx(term.item(), rel=1e-4), name
  expected = sum(weight * terms[name] for name, weight in comparing.BALANCED.items())
  expected.backward()
  assert float(loss) == pytest.approx(expected.item(), rel=1e-4)
  assert_same_gradients(gradients, model)

  model.networks.zero_grad()
  (loss, _), gradients = losses[1](params, {}, batch, None)
  expected = model.discriminator_loss(a, b)
  expected.backward()
  assert float(loss) == pytest.approx(expected.item(), rel=1e-4)
  assert_same_gradients({'discriminator': gradients['discriminator']}, model)


@pytest.mark.slow
def test_training_steps_equal_the_authors():
  """Compares two whole iterations of the engine, with clipping and Adam."""
  weight = 40.0  # so that gradients are clipped
  config = comparing.make_config(weights={'domain_confusion': weight})
  config.optimizers.autoencoder.eps = config.optimizers.discriminator.eps = 1e-3
  method = methods.make(config)
  parallel = parallel_lib.Parallel('jit', jax.devices()[:1])
  optimizers = train_step.make_optimizers(method, config)
  params, model_state = jax.tree.map(jnp.asarray, variables_of(method))
  opt_state = {p.name: optimizers[p.name].init({group: params[group] for group in p.owns})
               for p in method.players}
  state = train_step.TrainState(jnp.int32(0), params, opt_state, model_state, {}, jnp.int32(0),
                                jnp.int32(0))
  model = comparing.make_twin(state.params, weight=weight)
  for optimizer in (model.autoencoder_optimizer, model.discriminator_optimizer):
    optimizer.param_groups[0]['eps'] = 1e-3  # with 1e-8, Adam turns rounding errors into steps
  step = train_step.make_step(method, optimizers, config)
  compiled = parallel.compile(step)
  norms = []
  for seed in range(2):
    batch = comparing.batch_of(seed)
    state, metrics = compiled(state, parallel.feed(batch, 1), config.seed)
    metrics = step.by_name(metrics)
    theirs = model.train_step(comparing.to_torch(batch['a']), comparing.to_torch(batch['b']))
    for player, loss in zip(('autoencoder', 'discriminator'), theirs, strict=True):
      assert metrics[f'{player}/loss'] == pytest.approx(loss, rel=1e-3)
    norms.append(metrics['autoencoder/gradient_norm'])
  assert max(norms) > 5, 'the test is to clip at least once'
  for network, tensors in state_dicts(jax.device_get(state.params)).items():
    theirs = model.networks[network].state_dict()
    for name, value in tensors.items():
      np.testing.assert_allclose(value, theirs[name], atol=1e-5, err_msg=f'{network}.{name}')


def test_inference_equals_the_authors():
  model = comparing.make_twin(comparing.official()[1])
  source, one, two = images(1), images(2), images(3)
  theirs = [comparing.to_torch(x) for x in (source, one, two)]
  close(comparing.opened('translate')(source, one).image,
        comparing.from_torch(model.translate(*theirs[:2])))
  removed = comparing.from_torch(model.remove(theirs[1]))
  close(comparing.opened('remove')(one).image, removed)
  close(comparing.opened('segment')(one), np.abs(one - removed).mean(-1, keepdims=True) / 2)
  close(comparing.opened('interpolate')(source, one, two, 0.25).image,
        comparing.from_torch(model.interpolate(*theirs, 0.25)))
