"""EGSC-IT: variants, ablations, masks, directions. test_egsc_it_twin.py checks its losses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.comparing import close
from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.methods import egsc_it
from maskgan_jax.networks import normalization
from maskgan_jax.pretrained_networks import files as weights
from maskgan_jax.translator import Translator

SIZE, BATCH = 8, 2


def make_config(variant='official', attributes=(), **model):
  config = run_config.default('egsc_it')
  config.update(image_size=SIZE, batch_size=BATCH, variant=variant, num_steps=4)
  config.data.attributes = attributes
  config.model.update({'width': 4, 'downsamplings': 1, 'blocks': 1, 'discriminator_width': 2,
                       'discriminator_depth': 2, 'perceptual_width': 1, 'pretrain_steps': 2,
                       **model})
  return config


def images(seed, count=BATCH, shape=(SIZE, SIZE)):
  return np.random.default_rng(seed).uniform(-1, 1, (count, *shape, 3)).astype(np.float32)


@functools.cache
def opened(variant='official', **model):
  """Returns a method, parameters that look trained, and translate(source, exemplar, ...)."""
  config = make_config(variant, **model)
  method = methods.make(config)
  shapes = jax.eval_shape(method.init, jax.random.key(0), {'a': images(0), 'b': images(1)})[0]
  rng = np.random.default_rng(0)

  def draw(path, leaf):
    if path[-1].key == 'kernel':
      x = rng.normal(size=leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1]))
    else:
      x = (path[-1].key == 'scale') + 0.2 * rng.normal(size=leaf.shape)
    return x.astype(np.float32)
  params = jax.tree_util.tree_map_with_path(draw, shapes)
  return method, params, jax.jit(functools.partial(method.translate, params, {}),
                                 static_argnames='reverse')


@pytest.mark.parametrize('variant', ['official', 'paper'])
def test_the_exemplar_gives_statistics_and_nothing_else(variant):
  """AdaIN ignores where things are: the exemplar's features after a half turn give the same."""
  method, params, translate = opened(variant)
  source, exemplar = images(0), images(1)
  result = translate(source, exemplar)
  assert result.image.shape == source.shape and np.abs(result.image).max() <= 1
  assert np.abs(result.image - translate(source, images(2)).image).max() > 1e-3
  features = method._model.apply('features_b', params, exemplar)
  turned = normalization.moments(features[:, ::-1, ::-1])
  jax.tree.map(close, normalization.moments(features), turned)
  assert result.extras['feature_mask'].shape == (BATCH, SIZE, SIZE, 1)
  assert 0 < result.extras['feature_mask'].min() <= result.extras['feature_mask'].max() < 1


def test_directions_use_their_own_networks():
  method, params, translate = opened()
  a, b = images(0), images(1)
  back = translate(b, a, reverse=True).image
  assert np.abs(back - translate(b, a).image).max() > 1e-3
  swapped = dict(params)
  for name in params:
    if name.endswith(('_a', '_b')):
      swapped[name] = params[name[:-1] + {'a': 'b', 'b': 'a'}[name[-1]]]
  close(method.translate(swapped, {}, b, a).image, back, rtol=1e-4)


def test_what_the_source_mask_leaves_is_the_sources():
  _, _, translate = opened()
  a, b = images(0), images(1)
  mask = np.zeros((1, SIZE, SIZE, 1), np.float32)
  mask[:, :, 4:] = 1
  whole, half = translate(a, b).image, translate(a, b, source_mask=mask)
  np.testing.assert_array_equal(half.image[:, :, :4], a[:, :, :4])
  close(half.image[:, :, 4:], whole[:, :, 4:])


def test_an_exemplar_mask_says_whose_statistics_count():
  _, _, translate = opened()
  a, b = images(0), images(1)
  ones = np.ones((BATCH, SIZE, SIZE, 1), np.float32)
  close(translate(a, b, exemplar_mask=ones).image, translate(a, b).image, rtol=1e-4)
  half = ones.copy()
  half[:, :, 4:] = 0
  assert np.abs(translate(a, b, exemplar_mask=half).image - translate(a, b).image).max() > 1e-4
  assert np.isfinite(translate(a, b, exemplar_mask=0 * ones).image).all()


def test_interpolation_ends_in_the_translations():
  method, params, translate = opened()
  a, b, c = images(0), images(1), images(2)
  for weight, exemplar in ((0.0, b), (1.0, c)):
    frame = method.interpolate(params, {}, a, b, c, weight)
    close(frame.image, translate(a, exemplar).image, rtol=1e-4)


def test_noise_stays_on_in_the_code_and_not_in_the_paper():
  for variant, draws in (('official', 2), ('paper', 1)):
    _, _, translate = opened(variant)
    results = {translate(images(0), images(1), rng=jax.random.key(i)).image.tobytes()
               for i in range(2)}
    assert len(results) == draws


@pytest.mark.slow
@pytest.mark.parametrize('variant', ['official', 'paper'])
def test_a_translation_does_not_depend_on_its_batch(variant):
  method, params, _ = opened(variant)
  translator = Translator(method, params, {}, make_config(variant))
  a, b = images(0, 3), images(1, 3)
  together = translator(a, b).image
  for i in range(3):
    close(translator(a[i], b[i]).image, together[i], rtol=1e-4)
  close(translator(a, b, reverse=True).image[1], translator(a[1], b[1], reverse=True).image,
        rtol=1e-4)


def test_ablations_leave_out_what_they_say():
  a, b = images(0), images(1)
  _, _, unguided = opened(adain=False)
  close(unguided(a, b).image, unguided(a, images(2)).image)
  method, params, translate = opened(feature_mask=False)
  assert 'feature_mask' not in translate(a, b).extras and 'features_a' in params
  bare, params, _ = opened(feature_mask=False, adain=False)
  assert not any(name.startswith(('features', 'pretrain')) for name in params)
  assert [p.name for p in bare.players] == ['perceptual', 'discriminator', 'generator']

  config = make_config()
  config.weights.update(content=0.0, style=0.0)
  plain = methods.make(config)
  assert 'perceptual' not in plain.networks and plain.provenance == {'perceptual_network': 'none'}
  assert 'perceptual' not in [p.name for p in plain.players]


def test_colors_are_compared_wherever_they_are():
  picture, other = images(0), images(1)
  distance = egsc_it._color_distance
  moved = picture[:, ::-1, ::-1]
  assert distance(picture, moved) < 1e-5
  assert distance(picture, other) > 0.01
  # A flat picture in the exemplar's mean colour has the right mean and the wrong deviation.
  flat = np.broadcast_to(picture.mean((1, 2), keepdims=True), picture.shape)
  deviation = np.sqrt(picture.var((1, 2)) + 1e-4) - 1e-2
  close(distance(picture, flat), deviation.mean(), rtol=1e-3)
  slope = jax.grad(distance)(jnp.array(flat), picture)
  assert np.isfinite(slope).all()


def test_feature_masks_let_through_at_least_their_threshold():
  for threshold in (0.0, 0.5, 1.0):
    method = methods.make(make_config(mask_threshold=threshold))
    mask = np.array(method._model.mask(np.array([-1e3, 0, 1e3], np.float32)))
    close(mask, [threshold, (1 + threshold) / 2, 1])


@pytest.mark.slow
def test_a_flat_picture_and_its_features_are_finite():
  """A constant channel has variance 0, which the authors' code divides by."""
  method, params, translate = opened()
  zeros = {**jax.tree.map(np.zeros_like, params), 'perceptual': params['perceptual']}
  flat = np.zeros((BATCH, SIZE, SIZE, 3), np.float32)
  assert np.isfinite(translate(flat, flat).image).all()
  assert np.isfinite(method.translate(zeros, {}, flat, flat).image).all()
  player = method.players[-1]
  owned = {name: zeros[name] for name in player.owns}

  def loss(owned):
    return player.loss({**zeros, **owned}, {}, {'a': flat, 'b': flat}, jax.random.key(0))[0]
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.jit(jax.grad(loss))(owned)))


@pytest.mark.slow
def test_pictures_need_not_be_square():
  config = make_config()
  config.image_width = 12
  method = methods.make(config)
  batch = {'a': images(0, shape=(SIZE, 12)), 'b': images(1, shape=(SIZE, 12))}
  params, _ = jax.jit(method.init)(jax.random.key(0), batch)
  result = jax.jit(functools.partial(method.translate, params, {}))(batch['a'], batch['b'])
  assert result.image.shape == (BATCH, SIZE, 12, 3)


@pytest.mark.parametrize('change, message', [
    (dict(downsamplings=2), 'at least 16 pixels, in multiples of 4'),
    (dict(width=0), 'config.model.width=0 must be at least 1'),
    (dict(mask_threshold=1.5), 'mask_threshold=1.5 must be between 0 and 1'),
    (dict(adain_roles='swaped'), "did you mean 'swapped'"),
    (dict(pretrain_steps=-1), 'pretrain_steps=-1'),
    (dict(color_moments=-1.0), 'color_moments=-1.0 must be at least 0'),
])
def test_bad_values_are_said_in_one_line(change, message):
  with pytest.raises(errors.UserError, match=message):
    methods.make(make_config(**change))


@pytest.mark.slow
def test_the_perceptual_network_is_named(tmp_path):
  assert 'which domain' in methods.make(make_config()).provenance['perceptual_network']
  named = methods.make(make_config(attributes=('x', 'y'))).provenance['perceptual_network']
  assert '2 labels' in named and 'no ImageNet' in named

  path = str(tmp_path / 'vgg19.safetensors')
  config = make_config(perceptual=path)
  method = methods.make(config)
  assert 'not here' in method.provenance['perceptual_network']
  with pytest.raises(errors.UserError, match='import_weights vgg19'):
    method.pretrained()
  batch = {'a': images(0), 'b': images(1)}
  params = jax.tree.map(np.array, jax.jit(method.init)(jax.random.key(0), batch)[0]['perceptual'])
  weights.write(path, params, {'kind': 'vgg19', 'source': 'mine.pth', 'layout': 'torchvision',
                               'sha256': 'ab' * 32})
  assert 'mine.pth' in method.provenance['perceptual_network']
  jax.tree.map(np.testing.assert_array_equal, method.pretrained()['perceptual'], params)
  assert 'perceptual' not in [p.name for p in method.players]


def test_the_frozen_networks_get_no_gradient():
  method, params, _ = opened()
  frozen = {name: params[name] for name in ('features_a', 'features_b', 'perceptual')}

  def loss(frozen):
    batch = {'a': jnp.asarray(images(0)), 'b': jnp.asarray(images(1))}
    return method.generator_loss({**params, **frozen}, {}, batch, jax.random.key(0))[0]
  for leaf in jax.tree.leaves(jax.jit(jax.grad(loss))(frozen)):
    assert not np.any(leaf)
