"""StarGAN: sizes, labels, targets, the mask of AttentionGAN-v1-multi, its schedule, bad sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import comparing_stargan as comparing
from helpers import twins
from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.networks import resnet
from maskgan_jax.recipes import stargan as recipe
from maskgan_jax.training import optimizers

FIVE = ('Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Male', 'Young')


@pytest.mark.parametrize('outputs, size, generator, critic', [
    (3, 128, 8_430_528, 44_762_048), (4, 128, 8_433_664, 44_762_048),
    (3, 256, 8_430_528, 44_884_928)])
def test_networks_have_the_sizes_of_the_authors(outputs, size, generator, critic):
  config = recipe.default()
  config.image_size, config.model.outputs, config.data.attributes = size, outputs, FIVE
  image = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
  params, _ = jax.eval_shape(methods.make(config).init, jax.random.key(0), {'a': image, 'b': image})
  assert twins.count(params['generator']) == generator
  assert twins.count(params['critic']) == critic


@pytest.mark.parametrize('padding', ['constant', 'reflect'])
def test_labels_count_with_zero_padding_only(padding):
  network = resnet.StarGenerator(4, 1, padding=padding)
  image, labels = comparing.images(0, batch=1), np.eye(3, dtype='f4')
  variables = network.init(jax.random.key(0), image, labels[:1])
  out = network.apply(variables, np.repeat(image, 3, 0), labels)
  difference = float(jnp.abs(out - out[:1]).max())
  assert difference > 1e-2 if padding == 'constant' else difference < 1e-4


def test_labels_come_from_the_argument_the_exemplar_or_the_domain():
  _, method, params = comparing.small(3)
  source, exemplar = comparing.images(1), comparing.images(2)
  read = method.read_labels(params, {}, exemplar)
  assert read.shape == (len(source), 3) and ((read > 0) & (read < 1)).all()
  by_exemplar = method.translate(params, {}, source, exemplar).image
  by_labels = method.translate(params, {}, source, None, labels=jnp.round(read)).image
  np.testing.assert_array_equal(by_exemplar, by_labels)
  other = method.translate(params, {}, source, None, labels=1 - jnp.round(read)).image
  assert float(jnp.abs(other - by_labels).max()) > 1e-3
  assert method.abilities >= {'exemplar', 'labels', 'read_labels', 'reverse'}

  # Without attributes the domain is the label.
  config = run_config.default('stargan')
  run_config.smoke(config)
  method = methods.make(config)
  assert method.label_names == ('b',) and 'exemplar' not in method.abilities
  batch = {d: comparing.images(i, config.image_size)
           for i, d in enumerate('ab')}
  params, _ = method.init(jax.random.key(0), batch)
  for reverse, label in ((False, 1.0), (True, 0.0)):
    image = method.translate(params, {}, batch['a'], None, reverse=reverse).image
    labels = jnp.full((1, 1), label)
    expected = method.translate(params, {}, batch['a'], None, labels=labels).image
    np.testing.assert_array_equal(image, expected)


def test_targets_are_exchanged_in_half_of_the_pairs():
  config = comparing.small(3)[0].copy_and_resolve_references()
  config.model.targets = 'drawn'
  method, n = methods.make(config), 400
  labels = {'a_attributes': jnp.zeros((n, 3)), 'b_attributes': jnp.ones((n, 3))}
  batch = {'a': jnp.zeros((n, 2, 2, 3)), 'b': jnp.ones((n, 2, 2, 3)), **labels}
  _, own, targets = method._batch(batch, jax.random.key(0))
  changed = np.asarray((own != targets).all(1)).reshape(n, 2)
  assert (changed[:, 0] == changed[:, 1]).all() and 0.4 < changed.mean() < 0.6


def test_the_mask_says_where_the_source_changes():
  _, method, params = comparing.small(4)
  source = comparing.images(1)
  labels = jnp.ones((len(source), 3))
  result = method.translate(params, {}, source, None, labels=labels)
  assert result.source_mask.shape == (*source.shape[:3], 1) and 'source_mask' in method.abilities
  half = jnp.zeros_like(result.source_mask).at[:, :8].set(1)
  edited = method.translate(params, {}, source, None, labels=labels, source_mask=half)
  np.testing.assert_array_equal(edited.image[:, 8:], source[:, 8:])
  assert float(jnp.abs(edited.image[:, :8] - source[:, :8]).max()) > 1e-3
  assert comparing.small(3)[1].translate(params={**comparing.small(3)[2]}, model_state={},
                                         source=source, exemplar=None,
                                         labels=labels).source_mask is None


def test_the_authors_rate_hardly_falls():
  config = recipe.default()
  rate = optimizers.schedule(config.optimizers.critic, config.num_steps)
  assert float(rate(100_000)) == pytest.approx(1e-4)
  assert float(rate(200_000)) == pytest.approx(9.99e-5, rel=1e-4)


def test_sides_that_do_not_fit_are_one_line():
  config = recipe.default()
  config.image_size = 96
  with pytest.raises(errors.UserError, match='takes sides that are multiples of 64') as caught:
    methods.make(config)
  assert '\n' not in str(caught.value)
