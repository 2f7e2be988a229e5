"""Additional mask: schemes, switches, pools, masks as inputs, CycleGAN's networks.

test_additional_mask_twin.py checks networks, losses and gradients against PyTorch.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.comparing import both_forms, close
from helpers.training import random_batch, run
from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.losses import adversarial
from maskgan_jax.methods import additional_mask
from maskgan_jax.networks import (
  discriminators,
  layers,
  normalization,
  resnet,
  strided_kernels,
)

SIZE, BATCH = 8, 2


def make_config(size=SIZE, **model):
  config = run_config.default('additional_mask')
  config.update(image_size=size, batch_size=BATCH, num_steps=4)
  config.model.update({'width': 4, 'blocks': 1, 'discriminator_width': 2,
                       'discriminator_layers': 1, 'pool_size': 3, **model})
  return config


def images(seed, count=BATCH, size=SIZE):
  return np.random.default_rng(seed).uniform(-1, 1, (count, size, size, 3)).astype(np.float32)


@functools.cache
def opened(**model):
  """Returns a method, parameters that look trained, and translate(source, ...)."""
  method = methods.make(make_config(**model))
  params, state = method.init(jax.random.key(0), {'a': images(0), 'b': images(1)})
  params = jax.tree.map(lambda x: 5 * x, params)
  translate = jax.jit(functools.partial(method.translate, params, state),
                      static_argnames='reverse')
  return method, params, state, translate


@pytest.mark.slow
@pytest.mark.parametrize('mask_range', [1.0, 2.0, 0.5])
def test_a_translation_is_the_source_and_the_mask(mask_range):
  _, _, _, translate = opened(mask_range=mask_range)
  source = images(0)
  result = translate(source)
  mask = result.extras['added_mask']
  assert np.abs(mask).max() <= 1 < 3 * np.abs(mask).max()
  expected = np.clip(source + mask_range * mask, -1, 1)
  close(result.image, expected)
  close(result.source_mask, np.abs(expected - source).max(-1, keepdims=True) / mask_range)
  assert result.exemplar_mask is None


@pytest.mark.slow
def test_directions_use_their_own_generators():
  method, params, state, translate = opened()
  swapped = {**params, 'generator_ab': params['generator_ba'],
             'generator_ba': params['generator_ab']}
  back = translate(images(0), reverse=True).image
  assert np.abs(back - translate(images(0)).image).max() > 1e-2
  close(method.translate(swapped, state, images(0)).image, back)


@pytest.mark.slow
@pytest.mark.parametrize('model', [{}, {'attention': True}, {'addition': False}], ids=str)
def test_a_given_mask_limits_the_change(model):
  _, _, _, translate = opened(**model)
  source = images(0)
  whole = translate(source)
  same = translate(source, source_mask=whole.source_mask)
  close(same.image, whole.image)
  np.testing.assert_array_equal(translate(source, source_mask=np.zeros((1, SIZE, SIZE, 1))).image,
                                source)
  close(translate(source, source_mask=np.ones((1, SIZE, SIZE, 1))).image, whole.image)
  limit = np.full((1, SIZE, SIZE, 1), 0.1, np.float32)
  limit[:, :, 4:] = 1
  limited = translate(source, source_mask=limit).image
  most = 2 if model == {'addition': False} else 1
  change, wanted = np.asarray(limited - source), np.asarray(whole.image - source)
  assert np.abs(change[:, :, :4]).max() <= 0.1 * most + 1e-6 < np.abs(wanted[:, :, :4]).max()
  close(limited[:, :, 4:], whole.image[:, :, 4:])
  result = translate(source, source_mask=limit)
  assert (result.source_mask <= np.minimum(limit, whole.source_mask)).all()
  if 'added_mask' in result.extras:  # what was really added
    assert np.abs(result.extras['added_mask'])[:, :, :4].max() < np.abs(
        whole.extras['added_mask'])[:, :, :4].max()
    np.testing.assert_array_equal(translate(source, source_mask=0 * limit).extras['added_mask'], 0)
  # A smaller change of the same colour.
  np.testing.assert_allclose(np.cross(change.reshape(-1, 3), wanted.reshape(-1, 3)), 0, atol=1e-5)


@pytest.mark.slow
def test_an_attention_takes_its_share_of_what_is_added():
  method, params, _, translate = opened(attention=True)
  output = method._apply('generator_ab', params, images(0))
  result = translate(images(0))
  close(result.extras['attention'], jax.nn.sigmoid(output[..., 3:]))
  close(result.extras['added_mask'], jnp.tanh(output[..., :3]) * result.extras['attention'])


def test_without_addition_the_generator_paints_the_image():
  method, params, _, translate = opened(addition=False)
  result = translate(images(0))
  close(result.image, jnp.tanh(method._apply('generator_ab', params, images(0))))
  assert result.extras == {}


def test_clipping_stops_gradients_where_it_cuts():
  for clipped in (False, True):
    method, params, _, _ = opened(clipped=clipped)
    bright = jnp.ones((1, SIZE, SIZE, 3))

    def total(params, method=method, bright=bright):
      return method._generate('ab', params, bright)[0].sum()
    image = method._generate('ab', params, bright)[0]
    assert (image.max() <= 1) == clipped
    cut = method._generate('ab', params, bright)[1] > 0
    assert bool(cut.any()) and bool((~cut).any())
    if clipped:
      np.testing.assert_array_equal(np.asarray(image)[np.asarray(cut)], 1)


def test_a_sum_over_pixels_is_as_many_times_the_mean():
  losses = {}
  for norm in ('mean', 'sum'):
    method, params, state, _ = opened(l1_norm=norm)
    losses[norm] = method.generator_loss(
        params, state, {'a': images(0), 'b': images(1)}, None)[1][0]['mask']
  close(losses['sum'], losses['mean'] * SIZE * SIZE * 3, rtol=1e-5)


def test_the_cycles_second_masks_are_not_measured():
  """Eq. 4 has only the masks of x and y."""
  method, params, state, translate = opened()
  a, b = images(0), images(1)
  mask_loss = method.generator_loss(params, state, {'a': a, 'b': b}, None)[1][0]['mask']
  masks = translate(a).extras['added_mask'], translate(b, reverse=True).extras['added_mask']
  close(mask_loss, sum(np.abs(mask).mean() for mask in masks))


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['patch', 'dcgan'])
def test_pools_fill_and_discriminators_see_them(kind):
  config = make_config(size=16, discriminator=kind)
  batches = [random_batch(config, i) for i in range(3)]
  state, _ = run(config, steps=1, batches=batches, devices=jax.devices()[:1])
  pools = jax.device_get(state.model_state['pools'])
  assert {d: int(pool['count']) for d, pool in pools.items()} == {'a': BATCH, 'b': BATCH}
  state, history = run(config, steps=3, batches=batches, devices=jax.devices()[:1])
  later = jax.device_get(state.model_state['pools'])
  assert all(int(pool['count']) == 3 for pool in later.values())
  assert np.abs(later['b']['images']).max() > 0
  assert state.skipped == 0 and all(np.isfinite(list(row.values())).all() for row in history)


def test_without_a_pool_there_is_nothing_to_save():
  method, params, state, _ = opened(pool_size=0)
  assert state == {}
  batch = {'a': images(0), 'b': images(1)}
  loss, (_, after) = method.discriminator_loss(params, state, batch, jax.random.key(0))
  assert after == {}
  filling, _, pools, _ = opened()  # returns what comes, too
  close(filling.discriminator_loss(params, pools, batch, jax.random.key(0))[0], loss)


def test_the_supervised_scheme_learns_the_true_answer_alone():
  config = make_config(scheme='supervised')
  with pytest.raises(errors.UserError, match=r'config\.data\.aligned'):
    methods.make(config)
  config.data.aligned = True
  method = methods.make(config)
  assert method.abilities == {'source_mask'}
  params, state = method.init(jax.random.key(0), {'a': images(0), 'b': images(1)})
  assert set(params) == {'generator_ab'} and state == {}
  (player,) = method.players
  loss, _ = player.loss(params, state, {'a': images(0), 'b': images(1)}, None)
  mask = method._generate('ab', params, images(0))[1]
  close(loss, np.abs(images(0) + np.asarray(mask) - images(1)).mean())


@pytest.mark.parametrize('change, message', [
    ({'model.discriminator': 'patchgan'}, "model.discriminator='patchgan' must be"),
    ({'model.scheme': 'self'}, 'unsupervised, supervised'),
    ({'model.l1_norm': 'max'}, 'mean, sum'),
    ({'model.lambda_g': 'none'}, 'both, discriminator'),
    ({'model.mask_range': 0.0}, 'mask_range=0.0 must be more than 0'),
    ({'model.width': 0}, 'model.width=0 must be at least 1'),
    ({'model.pool_size': -1}, 'pool_size=-1'),
    ({'model.mask_floor': 1.0}, 'mask_floor=1.0 must be less than 1'),
    ({'model.slope_penalty': -1.0}, 'slope_penalty=-1.0 must be at least 0'),
    ({'model.slope_penalty': 1.0, 'model.discriminator': 'dcgan'}, 'needs scores of single images'),
    ({'weights.mask': -1.0}, r'weights.mask=-1.0 must be at least 0'),
    ({'model.attention': True, 'model.addition': False}, 'set one or the other'),
    ({'image_size': 30}, '30x30, but the generator halves'),
    ({'image_size': 4}, 'at least 8 pixels'),
    ({'image_size': 24, 'model.discriminator': 'dcgan'}, 'squares of 8, 16, 32'),
    ({'image_width': 16, 'model.discriminator': 'dcgan'}, 'squares of 8, 16, 32'),
    ({'image_size': 16, 'model.discriminator_layers': 3}, 'needs 24 pixels or more'),
    ({'variant': 'official'}, 'must be one of cyclegan, paper'),
])
def test_what_makes_no_sense_is_said(change, message):
  config = make_config()
  for key, value in change.items():
    run_config.set_key(config, key, value)
  with pytest.raises(errors.UserError, match=message):
    methods.make(config)


# The networks.


def test_grain_is_not_added_and_can_still_learn():
  mask = jnp.array([[-0.5, 0.01, 0.0], [-0.05, 0.09, 0.0], [0.0, 0.0, 0.1]])
  kept = additional_mask._without_grain(mask, 0.1)
  close(kept, [[-0.5, 0.01, 0.0], [0, 0, 0], [0, 0, 0.1]])
  assert not np.array(kept[1]).any()
  slope = jax.grad(lambda m: additional_mask._without_grain(m, 0.1).sum())(mask)
  close(slope, np.ones((3, 3)))


def test_the_mask_loss_reaches_pixels_below_the_floor(monkeypatch):
  config = make_config()
  config.model.mask_floor = 0.2
  method = methods.make(config)
  monkeypatch.setattr(method, '_apply', lambda name, params, image: params)  # a generator's output
  output, source = 0.01 * images(1), images(0)
  close(method._generate('ab', output, source)[0], source)

  def mask_loss(output):
    return method._losses_of('a', output, {'a': source, 'b': source}, None)['mask']
  close(jax.grad(mask_loss)(output) * output.size, np.sign(output), rtol=1e-2)


def test_the_slope_penalty_is_the_squared_slope_at_real_images():
  weight = np.linspace(-1, 1, 12, dtype=np.float32).reshape(1, 2, 2, 3)

  def critic(images):
    return (images * weight).sum(axis=(1, 2, 3))

  penalty = adversarial.zero_slope(critic, images(0, 3, 2))
  close(penalty, np.square(weight).sum())


def test_without_normalization_a_score_does_not_depend_on_the_batch():
  network = discriminators.Dcgan(4, normalized=False)
  pictures = images(0, 3, 16)
  variables = network.init(jax.random.key(0), pictures)
  assert 'batch_stats' not in variables
  close(network.apply(variables, pictures)[:1], network.apply(variables, pictures[:1]))


def test_transposed_3x3_convolution_with_pytorchs_padding(torch):
  x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
  kernel = np.random.default_rng(1).normal(size=(3, 3, 5, 2)).astype(np.float32)
  expected = torch.nn.functional.conv_transpose2d(
      torch.tensor(x).permute(0, 3, 1, 2), torch.tensor(kernel).permute(2, 3, 0, 1), stride=2,
      padding=1, output_padding=1).permute(0, 2, 3, 1).numpy()
  (one, slopes), (other, other_slopes) = both_forms(
      lambda x, kernel: strided_kernels.conv3x3_stride2_transposed(x, kernel, 1), x, kernel)
  close(one, expected)
  close(other, one)
  jax.tree.map(lambda a, b: close(a, b, rtol=1e-4), slopes, other_slopes)


def test_an_even_kernel_takes_one_row_and_column(torch):
  x = np.random.default_rng(0).normal(size=(2, 5, 6, 40)).astype(np.float32)
  layer = layers.Conv(8, 4, padding='constant')
  params = layer.init(jax.random.key(0), x)['params']
  y = layer.apply({'params': params}, x)
  twin = torch.nn.functional.conv2d(
      torch.tensor(x).permute(0, 3, 1, 2), torch.tensor(np.array(params['kernel'])).permute(
          3, 2, 0, 1), torch.tensor(np.array(params['bias'])), padding=1)
  assert y.shape == (2, 4, 5, 8)
  close(y, twin.permute(0, 2, 3, 1).numpy())


def test_instance_norm_without_scale_and_bias(torch):
  x = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype(np.float32)
  layer = normalization.InstanceNorm(affine=False)
  assert not jax.tree.leaves(layer.init(jax.random.key(0), x))
  twin = torch.nn.InstanceNorm2d(3)(torch.tensor(x).permute(0, 3, 1, 2))
  close(layer.apply({}, x), twin.permute(0, 2, 3, 1).numpy())


@pytest.mark.slow
def test_a_score_sees_70_pixels():
  """Leaves out the normalisation, which sees everything, and counts the pixels behind a score."""
  network = discriminators.PatchGan(width=1)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(discriminators.normalization, 'InstanceNorm',
                  lambda dtype, activation, affine: activation)
    x = jnp.ones((1, 128, 128, 3))
    params = network.init(jax.random.key(0), x)
    slopes = jax.grad(lambda x: network.apply(params, x)[0, 6, 6, 0])(x)
  seen = np.flatnonzero(np.abs(slopes[0]).sum((1, 2)))
  assert len(seen) == 70 and seen[-1] - seen[0] == 69


@pytest.mark.slow
def test_sizes_and_parameters_of_the_networks():
  def shapes(network, size):
    output, variables = jax.eval_shape(
        lambda x: network.init_with_output(jax.random.key(0), x), jnp.zeros((2, size, size, 3)))
    return output.shape, sum(int(np.prod(x.shape)) for x in jax.tree.leaves(variables['params']))
  assert shapes(discriminators.PatchGan(), 256) == ((2, 30, 30, 1), 2_764_737)
  assert shapes(resnet.ResnetGenerator(blocks=9), 256) == ((2, 256, 256, 3), 11_378_179)
  assert shapes(resnet.ResnetGenerator(blocks=6), 64) == ((2, 64, 64, 3), 7_837_699)
  convolutions = sum(16 * a * b + b for a, b in ((3, 64), (64, 128), (128, 256), (256, 512)))
  assert shapes(discriminators.Dcgan(), 64) == (
      (2, 1), convolutions + 2 * (128 + 256 + 512) + 16 * 512 + 1)
