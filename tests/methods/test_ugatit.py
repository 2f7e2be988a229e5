"""U-GAT-IT: settings, rho, attention, masks, directions. test_ugatit_twin.py checks networks and
losses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import models
from helpers.training import random_batch, run, small_config
from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.methods import _ugatit_networks as networks
from maskgan_jax.methods import ugatit
from maskgan_jax.networks import layers
from maskgan_jax.training import optimizers


@pytest.fixture(name='t', scope='module')
def _t():
  return models.drawn('ugatit')


def test_the_rate_falls_over_the_second_half():
  for player in run_config.default('ugatit').optimizers.values():
    assert (player.weight_decay, player.b1) == (1e-4, 0.5)
    rate = optimizers.schedule(player, 1_000_000)
    rates = [float(rate(jnp.int32(step))) for step in (0, 500_000, 750_000, 1_000_000)]
    np.testing.assert_allclose(rates, [1e-4, 1e-4, 5e-5, 0], rtol=1e-6)


@pytest.mark.parametrize('changes, message', [
    ({'image_size': 98}, 'multiples of 4'),
    ({'image_size': 92}, '96 pixels or more: lower config.model.global_strides'),
    ({'image_size': 20, 'model.global_strides': 1}, '24 pixels or more: lower.*local_strides'),
    ({'model.rho': 'free'}, 'one of smoothed, plain'),
    ({'model.classifiers': 'none'}, 'one of shared, separate'),
    ({'weights.cam': -1.0}, 'must be at least 0'),
])
def test_what_makes_no_sense_is_refused(changes, message):
  config = run_config.default('ugatit')
  config.image_size = 256
  for key, value in changes.items():
    run_config.set_key(config, key, value)
  with pytest.raises(errors.UserError, match=message):
    methods.make(config)


def test_the_smallest_images_have_one_score():
  """Of the local discriminator, at 24 pixels."""
  network = networks.Discriminator(2, 3, True, True)
  (scores, logits), _ = jax.eval_shape(
      functools.partial(network.init_with_output, jax.random.key(0)), jnp.zeros((1, 24, 24, 3)))
  assert scores.shape == (1, 1, 1, 1) and logits.shape == (1, 2)


def rhos(params):
  """Returns the arrays of all rho, by the path to them."""
  leaves = jax.tree_util.tree_leaves_with_path(params)
  return {jax.tree_util.keystr(path): leaf for path, leaf in leaves if path[-1].key == 'rho'}


@pytest.mark.parametrize('variant, adaptive', [('paper', 1.0), ('pytorch', np.float32(0.9))])
def test_where_rho_begins(variant, adaptive):
  config = small_config('ugatit', variant=variant)
  image = np.zeros((2, config.image_size, config.image_size, 3), np.float32)
  method = methods.make(config)

  @jax.jit
  def init():  # of which nothing but rho is computed
    params, _ = method.init(jax.random.key(0), {'a': image, 'b': image})
    return rhos(params['generator_ab'])
  found = init()
  assert len(found) == 3
  for path, rho in found.items():
    np.testing.assert_array_equal(rho, adaptive if 'StyledResidual' in path else 0.0)


def test_rho_is_clipped_and_nothing_else():
  params = {'generator_ab': {'AdaLin_0': {'rho': jnp.array([-0.5, 0.3, 1.5]),
                                          'scale': jnp.array([-2.0, 0.0, 2.0])}}}
  layer = ugatit.with_clipped_rho(params)['generator_ab']['AdaLin_0']
  np.testing.assert_array_equal(layer['rho'], np.float32([0, 0.3, 1]))
  np.testing.assert_array_equal(layer['scale'], params['generator_ab']['AdaLin_0']['scale'])


@pytest.mark.slow
def test_training_keeps_rho_from_0_to_1():
  """At a rate with which it would leave at the first step."""
  config = small_config('ugatit')
  config.optimizers.generator.learning_rate = 0.3
  state, _ = run(config, devices=jax.devices()[:1], steps=2,
                 batches=[random_batch(config, step) for step in range(2)])
  assert state.skipped == 0
  values = np.concatenate([rho.ravel() for rho in rhos(state.params).values()])
  assert values.min() == 0 and values.max() <= 1 and ((values > 0) & (values < 1)).any()


def adalin(x, **options):
  """Returns what an AdaLIN with rho of 1 makes of x, with scale 2 and shift 3."""
  scale, shift = jnp.full((len(x), x.shape[-1]), 2.0), jnp.full((len(x), x.shape[-1]), 3.0)
  network = networks.AdaLin(1.0, **options)
  return network.apply(network.init(jax.random.key(0), x, scale, shift), x, scale, shift)


def test_smoothing_takes_a_tenth_of_the_channels_statistics_away():
  x = jax.random.normal(jax.random.key(1), (2, 4, 4, 3)) * jnp.array([1.0, 5, 9])[None, None, None]
  ours = (adalin(x) - 3) / 2
  np.testing.assert_allclose(ours.std((1, 2)), 1, atol=1e-4)
  whole = (x - x.mean((1, 2, 3), keepdims=True)) / x.std((1, 2, 3), keepdims=True)
  expected = 2 * (0.9 * ours + 0.1 * whole) + 3
  np.testing.assert_allclose(adalin(x, smoothing=0.1), expected, atol=1e-4)
  unbiased = (adalin(x, unbiased=True) - 3) / 2
  np.testing.assert_allclose(unbiased, ours * np.sqrt(15 / 16), atol=1e-4)


def test_the_vectors_of_spectral_normalisation_find_the_largest_singular_value():
  conv = layers.Conv(6, 3, spectral=True)
  x = jnp.ones((1, 8, 8, 5))
  variables = conv.init(jax.random.key(0), x)
  kernel = variables['params']['kernel']
  largest = np.linalg.norm(np.asarray(kernel).reshape(-1, 6), 2)

  @jax.jit
  def iterate(stats):
    return conv.apply({**variables, 'batch_stats': stats}, x, mutable=['batch_stats'])
  stats = variables['batch_stats']
  for _ in range(100):
    output, updates = iterate(stats)
    stats = updates['batch_stats']
  plain = layers.Conv(6, 3)
  params = {'kernel': kernel / largest, 'bias': variables['params']['bias']}
  np.testing.assert_allclose(output, plain.apply({'params': params}, x), rtol=1e-4, atol=1e-5)
  # Where nothing may change, it is normalised all the same.
  np.testing.assert_allclose(conv.apply({**variables, 'batch_stats': stats}, x), output, rtol=1e-5)


def test_the_bias_of_a_shared_classifier_weights_maps():
  network = networks.Attention(True, jax.nn.relu)
  x = jax.random.normal(jax.random.key(1), (2, 4, 4, 3))
  params = network.init(jax.random.key(0), x)['params']
  assert set(params) == {'both', 'Conv_0'}
  nothing = {**params, 'both': {'kernel': jnp.zeros((3, 1)), 'bias': jnp.ones(1)}}
  maps, logits = network.apply({'params': nothing}, x)
  twice = jnp.concatenate([x, x], -1)
  conv = layers.Conv(3, 1)
  np.testing.assert_allclose(logits, 1)
  np.testing.assert_allclose(
      maps, jax.nn.relu(conv.apply({'params': params['Conv_0']}, twice)), atol=1e-6)


def test_only_the_full_form_is_for_one_size():
  config = small_config('ugatit')
  image = jnp.zeros((1, 32, 32, 3))
  for light in (True, False):
    config.model.light = light
    method = methods.make(config)
    batch = {'a': jnp.zeros((1, config.image_size, config.image_size, 3))}
    params, _ = jax.eval_shape(method.init, jax.random.key(0), batch)
    translate = functools.partial(jax.eval_shape, method.translate, params, {}, image)
    if light:
      assert translate().image.shape == image.shape
    else:
      with pytest.raises(Exception, match='shape'):
        translate()


def test_attention_reaches_from_0_to_1_and_is_0_where_it_is_flat(t):
  heat = jax.random.normal(jax.random.key(0), (2, 8, 8, 1)) * 7 + 3
  attention = t.method._attention(heat.at[1].set(5.0))
  assert attention.shape == (2, 16, 16, 1)
  assert attention.min() >= 0 and attention.max() <= 1
  # Bilinear weights keep three quarters of an extreme's row and column at its own pixels.
  assert attention[0].max() > 0.5 and not attention[1].any()


def test_directions_attention_and_masks(t):
  source = models.picture(0, t)
  there, back = t(source), t(source, reverse=True)
  assert (there.image != back.image).any()
  attention = back.extras['attention']
  assert attention.shape == (*source.shape[:3], 1)
  assert (there.extras['attention'] != attention).any() and there.source_mask is None
  # Segmentation is for pictures of b: it is what the generator from b to a attends to.
  np.testing.assert_allclose(t.segment(source), attention, atol=1e-6)

  mask = np.zeros(source.shape[1:3], bool)
  mask[:, 8:] = True
  image = t(source, source_mask=mask).image
  np.testing.assert_array_equal(image[:, :, :8], source[:, :, :8])
  np.testing.assert_array_equal(image[:, :, 8:], there.image[:, :, 8:])
