"""DRIT: settings, players, losses of codes. test_drit_twin.py checks networks and losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.training import small_config
from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.losses import codes
from maskgan_jax.training import turns


@pytest.mark.parametrize('changes, message', [
    ({'image_size': 218}, 'multiples of 4'),
    ({'image_size': 208, 'model.content_kernel': '7x7'},
     'contents 52x52: too small for 3 convolutions of 7x7'),
    ({'image_size': 64}, "contents 16x16: .* lower config.model.content_depth"),
    ({'image_size': 32}, '64 pixels or more: lower config.model.discriminator_depth'),
    ({'image_size': 64, 'model.attribute_downsamplings': 7}, '128 pixels or more'),
    ({'model.generator': 'adain'}, 'one of concat, feature_wise'),
    ({'model.content_kernel': '5x5'}, 'one of 4x4, 7x7'),
    ({'model.random_step': 'both'}, 'one of joint, own'),
])
def test_what_makes_no_sense_is_refused(changes, message):
  config = run_config.default('drit')
  config.image_size = 216
  for key, value in changes.items():
    run_config.set_key(config, key, value)
  with pytest.raises(errors.UserError, match=message):
    methods.make(config)


def test_the_content_discriminator_plays_at_every_step_and_the_others_at_every_third():
  config = small_config('drit')
  players = methods.make(config).players
  names = [[players[i].name for i in turns.Turns(players, 9).at(step)] for step in range(4)]
  everyone = ['discriminator', 'content_discriminator', 'generator', 'random']
  assert names == [['content_discriminator'], ['content_discriminator'], everyone,
                   ['content_discriminator']]
  config.variant = 'paper'
  assert [player.name for player in methods.make(config).players] == everyone[:3]


def test_the_step_of_drawn_attributes_leaves_attribute_encoders_as_they_are():
  *_, generator, random = methods.make(small_config('drit')).players
  assert set(generator.owns) - set(random.owns) == {'attribute_encoder_a', 'attribute_encoder_b'}
  assert set(random.owns) < set(generator.owns)


def test_mode_seeking_is_a_switch():
  config = small_config('drit')
  config.model.mode_seeking = False
  method = methods.make(config)
  image = jax.ShapeDtypeStruct((2, 16, 16, 3), jnp.float32)
  batch = {'a': image, 'b': image}
  params, _ = jax.eval_shape(method.init, jax.random.key(0), batch)
  _, (metrics, _) = jax.eval_shape(method.players[-1].loss, params, {}, batch, jax.random.key(0))
  assert set(metrics) == {'random_adversarial', 'latent'}


def test_the_kl_of_codes_is_that_of_their_distributions():
  mean, log_variance = np.array([[0.5, -1.0], [0.0, 0.0]]), np.array([[0.3, -0.2], [0.0, 0.0]])
  variance = np.exp(log_variance)
  expected = 0.5 * (variance + mean ** 2 - 1 - np.log(variance)).sum() / 2
  assert float(codes.normal_kl(mean, log_variance)) == pytest.approx(expected, rel=1e-6)


def test_mode_seeking_is_bounded_and_falls_as_images_come_apart():
  image, code = jnp.zeros((2, 4, 4, 3)), jnp.ones((2, 3))

  def loss(distance):
    return codes.mode_seeking((image, image + distance), (code, 3 * code))
  value, gradient = jax.value_and_grad(loss)(0.0)
  assert float(value) == pytest.approx(1e5) and np.isfinite(gradient)
  assert float(loss(0.5)) == pytest.approx(1 / (0.25 + 1e-5), rel=1e-5)
  assert loss(1.0) < loss(0.5)
