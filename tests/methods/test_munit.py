"""MUNIT: settings, styles, masks, directions. test_munit_twin.py checks networks and losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import models
from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.networks import normalization
from maskgan_jax.training import optimizers


@pytest.fixture(name='t', scope='module')
def _t():
  return models.drawn('munit')


def test_the_rate_is_halved_when_the_authors_scheduler_ticks():
  """It ticks before an update: the step of number 99,999 is the first with half of the rate."""
  for player in run_config.default('munit').optimizers.values():
    assert player.weight_decay == 1e-4
    rate = optimizers.schedule(player, 1_000_000)
    rates = [float(rate(jnp.int32(step))) for step in (0, 99_998, 99_999, 199_998, 199_999)]
    np.testing.assert_allclose(rates, [1e-4, 1e-4, 5e-5, 5e-5, 2.5e-5], rtol=1e-6)


@pytest.mark.parametrize('changes, message', [
    ({'image_size': 30}, 'multiples of 4'),
    ({'image_size': 32}, '64 pixels or more: lower config.model.discriminator_depth'),
    ({'model.style_downsamplings': 7, 'image_size': 64}, '128 pixels or more'),
    ({'model.style_downsamplings': 1}, 'must be at least 2'),
    ({'model.adversarial': 'hinge'}, 'one of least_squares, cross_entropy'),
    ({'model.layer_norm': 'batch'}, 'one of standard, unbiased'),
])
def test_what_makes_no_sense_is_refused(changes, message):
  config = run_config.default('munit')
  config.image_size = 256
  for key, value in changes.items():
    run_config.set_key(config, key, value)
  with pytest.raises(errors.UserError, match=message):
    methods.make(config)


def test_a_scale_that_begins_between_0_and_1():
  config = run_config.default('munit')
  run_config.smoke(config)
  image = np.zeros((2, 16, 16, 3), np.float32)
  for variant, spread in (('official', True), ('paper', False)):
    config.variant = variant
    params, _ = jax.jit(methods.make(config).init)(jax.random.key(0), {'a': image, 'b': image})
    scale = params['decoder_a']['LayerNorm_0']['scale']
    assert (scale.std() > 0) == spread and scale.min() >= 0 and scale.max() <= 1


def test_a_constant_picture_has_finite_gradients():
  """Users of the authors' code met NaN with white pictures."""
  def loss(x):
    return jnp.square(normalization.standardized_unbiased(x, (1, 2, 3)) - 1).sum()
  value, gradient = jax.value_and_grad(loss)(jnp.ones((2, 4, 4, 3)))
  assert value == 2 * 4 * 4 * 3 and np.isfinite(gradient).all()


def test_styles_of_exemplars_and_drawn_ones(t):
  source, exemplar, other = (models.picture(seed, t) for seed in range(3))
  after = t(source, exemplar).image
  assert (after != t(source, other).image).any()
  drawn = t(source, seed=3).image
  np.testing.assert_array_equal(drawn, t(source, seed=3).image)
  np.testing.assert_array_equal(t(source).image, t(source, seed=0).image)
  assert (drawn != t(source).image).any() and (drawn != after).any()
  # A style does not depend on how many sources there are.
  np.testing.assert_array_equal(drawn[1:], t(source[1:], seed=3).image)
  back = t(source, seed=3, reverse=True).image
  assert (back != drawn).any()


def test_an_interpolation_ends_at_its_exemplars(t):
  source, exemplar, other = (models.picture(seed, t) for seed in range(3))
  frames = t.interpolate(source, exemplar, other, 3).image.astype(int)
  for frame, example in ((frames[0], exemplar), (frames[-1], other)):
    np.testing.assert_allclose(frame, t(source, example).image, atol=1)


def test_pixels_outside_of_a_mask_stay(t):
  source, exemplar = models.picture(0, t), models.picture(1, t)
  mask = np.zeros(source.shape[1:3], bool)
  mask[:, 8:] = True
  image = t(source, exemplar, source_mask=mask).image
  np.testing.assert_array_equal(image[:, :, :8], source[:, :, :8])
  np.testing.assert_array_equal(image[:, :, 8:], t(source, exemplar).image[:, :, 8:])
