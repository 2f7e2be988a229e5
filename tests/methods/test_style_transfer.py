"""AdaIN, WCT, Gatys et al.: sizes, WCT's algebra, masks, mixtures, runs without a player, settings.

test_style_transfer_twin.py compares losses, gradients and translations with PyTorch.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import comparing_style as comparing
from helpers.comparing import close, normal
from helpers.comparing_style import images
from helpers.training import run, small_config
from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.losses import reconstruction
from maskgan_jax.methods import _style_transfer, wct
from maskgan_jax.pretrained_networks import files

NAMES = ('adain', 'gatys', 'wct')


def count(name):
  config = run_config.default(name)
  config.model.perceptual = 'a file'
  params = methods.base.abstract_model(methods.make(config), config)['params']
  return {group: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
          for group, tree in params.items()}


def test_networks_have_the_sizes_of_the_authors():
  inputs = 6  # mean and scale of the input, where theirs has a convolution with 12 numbers
  assert count('adain') == {'perceptual': 3_505_728 + inputs, 'decoder': 3_505_219}
  assert count('wct') == {
      'perceptual': 12_944_960 + inputs, 'decoder_1': 1_731, 'decoder_2': 112_451,
      'decoder_3': 555_075, 'decoder_4': 3_505_219, 'decoder_5': 12_944_451}
  assert count('gatys') == {'perceptual': 12_944_960 + inputs}


# WCT's algebra.

def test_coloured_features_have_the_styles_mean_and_covariance():
  """Also where pixels are weighted; NumPy computes the covariances in float64."""
  content, style = normal(0, 2, 5, 6, 4) @ normal(1, 4, 4), 3 * normal(2, 2, 7, 4, 4) + 1
  weight = (np.random.default_rng(0).random((2, 7, 4, 1)) > 0.3).astype(np.float32)
  for mask in (None, weight):
    mean, matrix = wct.covariance(style, mask)
    ours = wct.recolour(content, wct.Colour(mean, wct.power(matrix, 0.5, 1e-5)), 1e-5)
    for i in range(2):
      chosen = style[i].reshape(-1, 4).astype(np.float64)
      if mask is not None:
        chosen = chosen[mask[i].reshape(-1) > 0]
      coloured = np.asarray(ours[i], np.float64).reshape(-1, 4)
      np.testing.assert_allclose(coloured.mean(0), chosen.mean(0), atol=1e-4)
      np.testing.assert_allclose(np.cov(coloured.T), np.cov(chosen.T), rtol=2e-3, atol=1e-3)


def test_powers_leave_out_what_has_no_variance():
  """With fewer pixels than channels; the root and its inverse give the projection."""
  code = normal(0, 1, 2, 2, 6)
  _, matrix = wct.covariance(code)
  root, inverse = (np.asarray(wct.power(matrix, exponent, 1e-5))[0] for exponent in (0.5, -0.5))
  projection = root @ inverse
  np.testing.assert_allclose(projection @ projection, projection, atol=1e-4)
  assert np.trace(projection) == pytest.approx(3, abs=1e-3)  # 4 pixels less their mean
  np.testing.assert_allclose(root @ root, matrix[0], atol=1e-4)
  flat = jnp.zeros((1, 2, 2, 6))
  mean, matrix = wct.covariance(flat)
  coloured = wct.recolour(flat, wct.Colour(mean + 1, wct.power(matrix, 0.5, 1e-5)), 1e-5)
  np.testing.assert_array_equal(coloured, 1)


# Masks and mixtures.

def test_a_weighted_gram_matrix_is_that_of_the_pixels():
  x = normal(0, 2, 3, 4, 5)
  weight = np.zeros((2, 3, 4, 1), np.float32)
  weight[:, :, :2] = 1
  close(reconstruction.gram(x, weight), reconstruction.gram(x[:, :, :2]))
  np.testing.assert_array_equal(reconstruction.gram(x, 0 * weight), 0)


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_masks_limit_the_change_and_the_style(name):
  options = {'levels': 2} if name == 'wct' else {}
  if name == 'gatys':
    options = {'optimizer': 'adam', 'steps': 2, 'rate': 5.0}
  method, params = comparing.make(name, **options)
  translate = jax.jit(method.translate)
  source, exemplar = images(1), images(2)
  mask = np.zeros((1, comparing.SIZE, comparing.SIZE, 1), np.float32)
  mask[:, :8] = 1
  whole = translate(params, {}, source, exemplar)
  part = translate(params, {}, source, exemplar, source_mask=mask)
  np.testing.assert_array_equal(part.image[:, 8:], source[:, 8:])
  close(part.image[:, :8], whole.image[:, :8])
  assert whole.source_mask is None and part.source_mask.shape == (3, 16, 16, 1)

  # A mask of everything is none, and what is outside of a mask does not count.
  close(translate(params, {}, source, exemplar, exemplar_mask=mask * 0 + 1).image, whole.image,
        rtol=1e-3)
  limited = translate(params, {}, source, exemplar, exemplar_mask=mask).image
  assert np.abs(limited - whole.image).max() > 3e-5

  # Between an exemplar and itself lies the exemplar.
  between = jax.jit(method.interpolate)(params, {}, source, exemplar, exemplar, 0.3)
  close(between.image, whole.image, rtol=1e-3)


def test_a_mask_is_as_large_as_the_features():
  mask = np.zeros((1, 8, 8, 1), np.float32)
  mask[0, :3, :4] = 1
  small = _style_transfer.mask_of(mask, jnp.zeros((1, 2, 2, 5)))
  np.testing.assert_allclose(small[0, :, :, 0], [[0.75, 0], [0, 0]])


@pytest.mark.parametrize('name', ['adain', 'gatys'])
def test_enlarged_pictures_come_back_as_small(name):
  method, _ = comparing.make(name, enlarge=2)
  image = images(0)
  large = method.enlarged(image)
  assert large.shape == (3, 32, 32, 3)
  np.testing.assert_array_equal(method._reduced(large), image)


# Networks from files, and labels.

def test_a_method_without_players_trains_nothing():
  config = small_config('gatys')
  config.model.perceptual = 'a file'
  assert methods.make(config).players == ()
  state, history = run(config, steps=1, devices=jax.devices()[:1])
  assert state.step == 1 and state.skipped == 0
  assert history == [{'skipped': 0.0, 'skipped_in_a_row': 0.0}]


def test_a_file_gives_the_layers_that_are_used(tmp_path):
  _, params = comparing.make('gatys')
  path = str(tmp_path / 'vgg19.safetensors')
  files.write(path, params['perceptual'], {'kind': 'vgg19', 'source': 'x.pth', 'layout': 'Keras'})
  for name in NAMES:
    config = comparing.make_config(name)
    config.image_size, config.model.perceptual = 32, path
    method = methods.make(config)
    network = method.pretrained()['perceptual']
    wanted = methods.base.abstract_model(method, config)['params']['perceptual']
    jax.tree.map(lambda x, y: np.testing.assert_equal(x.shape, y.shape), network, wanted)
    assert 'x.pth' in method.provenance['perceptual_network']
    assert [player.name for player in method.players] != ['perceptual']


def test_labels_come_before_the_decoder():
  config = comparing.make_config('adain', pretrain_steps=7)
  config.model.perceptual = 'labels'
  first, second = methods.make(config).players
  assert (first.name, first.end, second.name, second.start) == ('perceptual', 7, 'decoder', 7)
  config.model.pretrain_steps = 0
  with pytest.raises(errors.UserError, match='stay untrained'):
    methods.make(config).pretrained()
  config.init_from = 'runs/other'
  assert methods.make(config).pretrained() == {}


@pytest.mark.parametrize('name, changes, words', [
    ('adain', {'image_size': 20}, ('20x20', 'relu4_1', 'multiples of 8')),
    ('adain', {'model.alpha': 1.5}, ('model.alpha', 'between 0 and 1')),
    ('wct', {'image_size': 24}, ('relu5_1', 'multiples of 16')),
    ('wct', {'model.levels': 6}, ('model.levels', 'at most 5')),
    ('gatys', {'image_size': 14}, ('14 pixels', '16 are needed')),
    ('gatys', {'model.content_layer': 'relu7_1'}, ("no map 'relu7_1'",)),
    ('gatys', {'model.optimizer': 'sgd'}, ('model.optimizer', 'lbfgs, adam')),
])
def test_a_config_that_makes_no_sense_says_so(name, changes, words):
  config = run_config.default(name)
  config.image_size = 32
  for key, value in changes.items():
    run_config.set_key(config, key, value)
  with pytest.raises(errors.UserError) as caught:
    methods.make(config)
  message = str(caught.value)
  assert all(word in message for word in words), message
