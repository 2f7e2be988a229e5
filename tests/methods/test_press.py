"""Press et al.: losses by hand, switches, abilities, settings.

test_press_twin.py has the comparison with the authors' training step.
"""

import math

import jax
import numpy as np
import pytest

from helpers.comparing_press import (
  BALANCED,
  batch_of,
  make_config,
  official,
  opened,
  SIZE,
)
from helpers.small_content_transfer import close, images, variables_of
from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.networks import decoders, encoders


def count(config):
  params = methods.base.abstract_model(methods.make(config), config)['params']
  return {group: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
          for group, tree in params.items()}


def test_networks_have_the_sizes_of_the_authors():
  assert count(run_config.default('press')) == {
      'common_encoder': 6_480_574, 'separate_encoder': 741_369, 'decoder': 6_982_115,
      'discriminator': 998_401}


def test_the_quick_networks_have_the_sizes_of_the_quickstarts():
  config = make_config(width=16, depth=4, separate_channels=16, discriminator_width=128)
  config.image_size = 32
  assert count(config) == {'common_encoder': 156_640, 'separate_encoder': 58_240,
                           'decoder': 172_915, 'discriminator': 57_601}


# Every network is called once per batch, and its layers once per layer; NumPy computes the rest.

def normalized(x):
  """Returns x with mean 0 and variance 1 over each channel's pixels."""
  x = np.asarray(x, np.float64)
  centred = x - x.mean((1, 2), keepdims=True)
  return centred / np.sqrt(np.square(centred).mean((1, 2), keepdims=True) + 1e-5)


def layered(layer, params, x, leak, last=False):
  """Returns the output of an encoder or decoder whose layers are `layer_0`, `layer_1`, ..."""
  dimensions = ('NHWC', 'HWIO', 'NHWC')
  for number in range(len(params)):
    kernel, bias = (params[f'{layer}_{number}'][name] for name in ('kernel', 'bias'))
    if layer == 'DownConv':
      x = jax.lax.conv_general_dilated(x, kernel, (2, 2), [(1, 1)] * 2,
                                       dimension_numbers=dimensions)
    else:  # a transposed convolution is one of the input with zeros between its pixels
      x = jax.lax.conv_general_dilated(x, kernel[::-1, ::-1], (1, 1), [(2, 2)] * 2, (2, 2),
                                       dimension_numbers=dimensions)
    x = x + bias[None, None, None]
    if last and number == len(params) - 1:
      return np.asarray(x, np.float64)
    x = normalized(x)
    x = np.where(x > 0, x, leak * x).astype(np.float32)
  return x


def by_hand(params, a, b, minimax):
  """Returns every term by name, and the discriminator's loss."""
  def encode(name, x):
    return layered('DownConv', params[name], x, 0.2)

  def decode(common, separate):
    code = np.concatenate([common, separate], axis=-1)
    return np.tanh(layered('UpConv', params['decoder'], code, 0.0, last=True))

  def probability(code):
    first, second = (params['discriminator'][f'Linear_{i}']['Dense_0'] for i in range(2))
    x = code.reshape(len(code), -1).astype(np.float64) @ first['kernel'] + first['bias'][None]
    x = np.where(x > 0, x, 0.2 * x) @ second['kernel'] + second['bias'][None]
    return 1 / (1 + np.exp(-x))

  c_a, c_b, s_b = encode('common_encoder', a), encode('common_encoder', b), encode(
      'separate_encoder', b)
  p_a, p_b = probability(c_a), probability(c_b)
  cross_entropy = -np.log(p_b).mean() - np.log(1 - p_a).mean()
  without = -np.log(1 - p_b).mean() - np.log(1 - p_a).mean()
  terms = {'recon_b': np.square(decode(c_b, s_b) - b).mean(),
           'recon_a': np.square(decode(c_a, np.zeros_like(s_b)) - a).mean(),
           'domain_confusion': -cross_entropy if minimax else without,
           'separate_spread': s_b.std((1, 2)).mean()}
  return terms, cross_entropy


@pytest.mark.slow
@pytest.mark.parametrize('variant', ['official', 'paper'])
def test_losses_are_those_of_the_equations(variant):
  method = methods.make(make_config(variant, BALANCED))
  params, state = variables_of(method)
  batch = batch_of()
  terms, cross_entropy = by_hand(params, batch['a'], batch['b'], minimax=variant == 'paper')
  loss, (metrics, after) = jax.jit(method.autoencoder_loss)(params, state, batch, None)
  assert metrics.keys() == terms.keys() and after == {}
  for name, term in terms.items():
    assert float(metrics[name]) == pytest.approx(term, rel=1e-4), name
  expected = sum(weight * terms[name] for name, weight in BALANCED.items())
  assert float(loss) == pytest.approx(expected, rel=1e-4)
  loss, (metrics, _) = jax.jit(method.discriminator_loss)(params, state, batch, None)
  assert float(loss) == pytest.approx(cross_entropy, rel=1e-4)
  assert 0 <= float(metrics['accuracy']) <= 1


def test_the_variants_clip_as_they_say():
  for variant, clip in (('official', 5.0), ('paper', 0.0)):
    method = methods.make(make_config(variant))
    assert method.default_clip_norm == {'autoencoder': clip, 'discriminator': 0.0}


def test_a_layers_bias_before_instance_normalisation_changes_nothing():
  x = images(0)
  for network in (encoders.ConvEncoder((4, 8), norm='instance'),
                  decoders.ConvDecoder((8, 4), 3, 0.0, norm='instance')):
    params = network.init(jax.random.key(0), x)['params']
    first = next(layer for layer in sorted(params) if layer.endswith('_0'))
    moved = {**params, first: {**params[first], 'bias': params[first]['bias'] + 3.0}}
    close(network.apply({'params': moved}, x), network.apply({'params': params}, x))


# Inference.

@pytest.mark.slow
def test_translation_removal_and_interpolation_are_the_decoders():
  source, one, two = images(1), images(2), images(3)
  method, params = official()
  common, separate_1 = method.encode(params, source, one)
  separate_2 = method.encode(params, source, two)[1]
  result = opened('translate')(source, one)
  close(result.image, method.decode(params, common, separate_1))
  assert result.source_mask is None and result.exemplar_mask is None
  for weight, separate in ((0.0, separate_1), (1.0, separate_2),
                           (0.25, 0.75 * separate_1 + 0.25 * separate_2)):
    between = opened('interpolate')(source, one, two, weight).image
    close(between, method.decode(params, common, separate))
  close(opened('remove')(source).image, method.decode(params, common, 0 * separate_1))


def test_a_mask_limits_a_removal():
  image, mask = images(1), np.zeros((4, SIZE, SIZE, 1), np.float32)
  mask[:, 4:] = 0.6
  whole = opened('remove')(image)
  np.testing.assert_array_equal(whole.source_mask, 1)
  part = opened('remove')(image, mask=mask)
  np.testing.assert_array_equal(part.image[:, :4], image[:, :4])
  np.testing.assert_array_equal(part.image[:, 4:], whole.image[:, 4:])
  np.testing.assert_array_equal(opened('remove')(image, mask=mask, threshold=0.7).image, image)


@pytest.mark.parametrize('against', ['source', 'reconstruction'])
def test_a_mask_is_what_a_removal_changes(against):
  _, params = official()
  method = methods.make(make_config(segmentation=against))
  image = images(1)
  whole = image
  if against == 'reconstruction':
    whole = np.asarray(method.translate(params, {}, image, image).image)
  removed = np.asarray(method.remove(params, {}, image).image)
  mask = np.asarray(method.segment(params, {}, image))
  assert mask.shape == (4, SIZE, SIZE, 1) and mask.min() >= 0 and mask.max() <= 1
  close(mask, np.abs(whole - removed).mean(-1, keepdims=True) / 2)


def test_an_image_stands_alone():
  source, exemplar = images(1), images(2)
  close(opened('translate')(source[:1], exemplar[:1]).image,
        opened('translate')(source, exemplar).image[:1])


@pytest.mark.parametrize('changes, words', [
    ({'image_size': 12}, ('image_size is 12', 'multiple of 8')),
    ({'image_size': 8}, ('image_size is 8', '2x2 pixels')),  # instance norm of 1x1 is 0
    ({'image_width': 32}, ('square',)),
    ({'variant': 'tuned'}, ("variant='tuned'", 'official, paper')),
    ({'model.confusion': 'with'}, ('model.confusion', 'without, minimax')),
    ({'model.segmentation': 'sauce'}, ('model.segmentation', "'source'")),
    ({'model.separate_channels': 16}, ('leaves Ec no channels',)),
    ({'weights.domain_confusion': -1.0}, ('domain_confusion', 'at least 0')),
])
def test_a_config_that_makes_no_sense_says_so(changes, words):
  config = make_config()
  for key, value in changes.items():
    run_config.set_key(config, key, value)
  with pytest.raises(errors.UserError) as caught:
    methods.make(config)
  message = str(caught.value)
  assert all(word in message for word in words) and '\n' not in message
