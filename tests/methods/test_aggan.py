"""AGGAN: sizes, the squares of the authors' masks, the switch, masks in pools, bad sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import comparing_aggan as comparing
from helpers import twins
from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.recipes import aggan as recipe


@pytest.mark.parametrize('variant, attention', [('official', 104_001), ('intended', 154_689)])
def test_networks_have_the_sizes_of_the_authors(variant, attention):
  config = recipe.default()
  config.variant = variant
  image = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32)
  params, state = jax.eval_shape(
      methods.make(config).init, jax.random.key(0), {'a': image, 'b': image})
  sizes = {'generator': 2_855_811, 'attention': attention, 'discriminator': 2_766_657}
  assert {name: twins.count(tree) for name, tree in params.items()} == {
      name: sizes[name.partition('_')[0]] for name in params}
  assert state['pool_a']['images'].shape == (50, 256, 256, 4)


def test_the_authors_masks_are_constant_on_squares():
  _, method, params = comparing.small('official')
  mask = np.asarray(method.segment(params, {}, comparing.images(1)))
  blocks = mask.reshape(2, 4, 4, 4, 4)
  np.testing.assert_allclose(blocks, blocks[:, :, :1, :, :1] + 0 * blocks, atol=1e-6)
  _, method, params = comparing.small('intended')
  mask = np.asarray(method.segment(params, {}, comparing.images(1))).reshape(2, 8, 2, 8, 2)
  assert np.abs(mask - mask[:, :, :1, :, :1]).max() > 1e-3


def test_the_players_change_at_the_switch():
  _, method, _ = comparing.small('official')
  stages = [(p.name, p.start, p.end, 'attention_a' in p.owns) for p in method.players]
  assert stages == [
      ('discriminator', 0, 5, False), ('generator', 0, 5, True),
      ('discriminator_late', 5, 0, False), ('generator_late', 5, 0, False)]
  config = run_config.default('aggan')
  config.model.switch_step = 0
  assert [p.name for p in methods.make(config).players] == ['discriminator_late', 'generator_late']


def test_late_discriminators_see_the_foreground_and_are_not_normalised():
  _, method, params = comparing.small('official')
  image = jnp.asarray(comparing.images(1))
  mask = jnp.zeros((*image.shape[:3], 1)).at[:, :8].set(0.45)  # the threshold itself counts

  def score(image, late):
    return method._score('b', params, image, mask, late)
  other = image.at[:, 8:].set(0.3)
  np.testing.assert_array_equal(score(image, True), score(other, True))
  assert float(jnp.abs(score(image, False) - score(other, False)).max()) > 1e-3
  # Without normalisation twice the picture is another one.
  assert float(jnp.abs(score(2 * image, True) - score(image, True)).max()) > 1e-3


def test_pools_hold_images_with_their_masks():
  _, method, params = comparing.small('official')
  batch = comparing.batch_of()
  _, pools = method.init(jax.random.key(0), batch)
  _, (_, state) = method.players[0].loss(params, pools, batch, jax.random.key(1))
  result = method.translate(params, {}, batch['a'], None)
  stored = state['pool_b']['images'][:2]
  np.testing.assert_allclose(stored[..., :3], result.image, atol=1e-5)
  np.testing.assert_allclose(stored[..., 3:], result.source_mask, atol=1e-5)
  assert int(state['pool_b']['count']) == 2


def test_a_given_mask_replaces_the_attention():
  _, method, params = comparing.small('official')
  source = comparing.images(1)
  half = jnp.zeros((1, 16, 16, 1)).at[:, :8].set(1)
  result = method.translate(params, {}, source, None, source_mask=half)
  np.testing.assert_array_equal(result.image[:, 8:], source[:, 8:])
  assert float(jnp.abs(result.image[:, :8] - source[:, :8]).max()) > 1e-2


def test_the_exemplar_counts_where_there_is_one():
  _, method, params = comparing.small('exemplar')
  assert 'exemplar' in method.abilities
  source = comparing.images(1)
  one, other = (method.translate(params, {}, source, comparing.images(i)).image for i in (2, 3))
  assert float(jnp.abs(one - other).max()) > 1e-3
  assert 'exemplar' not in comparing.small('official')[1].abilities


def test_sides_that_do_not_fit_are_one_line():
  config = run_config.default('aggan')
  config.update(image_size=30)
  with pytest.raises(errors.UserError, match='takes sides that are multiples of 4') as caught:
    methods.make(config)
  assert '\n' not in str(caught.value)
