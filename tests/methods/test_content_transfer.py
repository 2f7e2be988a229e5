"""Content transfer against its paper: equations by hand, switches, masks, configs.

test_content_transfer_twin.py has the comparison with the authors' training step.
"""

import functools

import jax
import ml_collections
import numpy as np
import pytest

from helpers.small_content_transfer import (
  BALANCED,
  BATCH,
  batch_of,
  close,
  images,
  make_config,
  official,
  opened,
  SIZE,
  variables_of,
)
from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.methods import content_transfer
from maskgan_jax.networks import decoders, discriminators, encoders

# Every network is called once per batch; NumPy computes the equations.

OFFICIAL = {'common': (4, 8, 14), 'leak': 0.2, 'zeros': True, 'label': 0, 'cycle_common': False}
PAPER = {'common': (4, 6, 12), 'leak': 0.0, 'zeros': False, 'label': 1, 'cycle_common': True}


@functools.partial(jax.jit, static_argnums=0)
def apply_in_training(network, variables, x):
  return network.apply(variables, x, train=True, mutable=['batch_stats'])


def by_hand(params, model_state, a, b, *, common, leak, zeros, label, cycle_common,
            recon1=np.abs, recon2=np.abs):
  """Returns every term by name, and the running averages afterwards."""
  networks = {'common_encoder': encoders.ConvEncoder(common),
              'separate_encoder': encoders.ConvEncoder((4, 8, 2)),
              'decoder_a': decoders.ConvDecoder((8, 4), 3, leak),
              'decoder_b': decoders.ConvDecoder((8, 4), 4, leak)}
  stats = dict(model_state['batch_stats'])

  def call(name, *parts):
    x = np.concatenate(parts, axis=-1)
    y, updates = apply_in_training(
        networks[name], {'params': params[name], 'batch_stats': stats[name]}, x)
    stats[name] = updates['batch_stats']
    return np.asarray(y, np.float64)

  def z(common_code, separate_code, background):  # eqs. 1, 2, 7
    y = call('decoder_b', common_code, separate_code)
    m, raw = 1 / (1 + np.exp(-y[..., :1])), np.tanh(y[..., 1:])
    return m * raw + (1 - m) * background, m

  def bce(code, label):
    classifier = discriminators.CodeDiscriminator(8)
    logits = np.asarray(classifier.apply({'params': params['discriminator']}, code), np.float64)
    p = 1 / (1 + np.exp(-logits))
    return np.mean(-(label * np.log(p) + (1 - label) * np.log(1 - p)))

  c_b, c_a = call('common_encoder', b), call('common_encoder', a)
  s_b = call('separate_encoder', b)
  none = np.zeros_like(s_b)
  s_a = none if zeros else call('separate_encoder', a)
  without_b = np.tanh(call('decoder_a', c_b, none))
  without_a = np.tanh(call('decoder_a', c_a, none))
  z_bb_on_removal, m_bb = z(c_b, s_b, without_b)
  z_ab, _ = z(c_a, s_b, a)
  z_aa, m_aa = z(c_a, s_a, a)
  z_bb, _ = z(c_b, s_b, b)
  cycle = np.mean(np.square(call('separate_encoder', z_ab) - s_b))
  cycle_of_common = np.mean(np.square(call('common_encoder', z_ab) - c_a))
  return {'recon1_a': np.mean(recon1(without_a - a)),
          'recon1_b': np.mean(recon1(z_bb_on_removal - b)),
          'recon2_a': np.mean(recon2(z_aa - a)), 'recon2_b': np.mean(recon2(z_bb - b)),
          'cycle': cycle + cycle_common * cycle_of_common, 'cycle_common': cycle_of_common,
          'domain_confusion': bce(c_a, label) + bce(c_b, label),
          'mask_l2': np.mean(np.square(m_aa)) + np.mean(np.square(m_bb))}, stats


@pytest.mark.slow
@pytest.mark.parametrize('variant, model, norms, expected', [
    ('official', {}, {}, OFFICIAL),
    ('paper', {}, {}, PAPER),
    ('official', {'common_widths': 'minus_one_and_two_separate'}, {},
     {**OFFICIAL, 'common': PAPER['common']}),
    ('official', {'decoder_leak': 0.0}, {}, {**OFFICIAL, 'leak': 0.0}),
    ('official', {'recon2_a_code': 'separate'}, {}, {**OFFICIAL, 'zeros': False}),
    ('official', {'confusion_target': 'with'}, {}, {**OFFICIAL, 'label': 1}),
    ('official', {'cycle_common': True}, {}, {**OFFICIAL, 'cycle_common': True}),
    ('official', {'detach_background': True}, {}, OFFICIAL),
    ('paper', {'cycle_common': False, 'confusion_target': 'without'}, {},
     {**PAPER, 'cycle_common': False, 'label': 0}),
    ('paper', {}, {'recon1': 'l2'}, {**PAPER, 'recon1': np.square}),
    ('paper', {}, {'recon2': 'l2'}, {**PAPER, 'recon2': np.square}),
], ids=lambda value: '-'.join(f'{k}={v}' for k, v in value.items()) if isinstance(value, dict)
    and 'label' not in value else '' if isinstance(value, dict) else value)
def test_terms_equal_their_equations(variant, model, norms, expected):
  weights = {**BALANCED, 'mask_l2': 0.6}
  config = make_config(variant, weights, **model)
  config.norms.update(norms)
  method = methods.make(config)
  params, model_state = variables_of(method)
  batch = batch_of()
  loss, (metrics, after) = jax.jit(method.autoencoder_loss)(params, model_state, batch, None)
  terms, stats = by_hand(params, model_state, batch['a'], batch['b'], **expected)
  for name, value in terms.items():
    assert float(metrics[name]) == pytest.approx(value, rel=1e-4), name
  total = sum(weights[name] * terms[name] for name in weights)
  assert float(loss) == pytest.approx(total, rel=1e-4)
  jax.tree.map(close, after['batch_stats'], stats)


@pytest.mark.slow
def test_a_term_of_weight_zero_is_reported_but_not_trained():
  method, params, model_state = official()
  off = methods.make(make_config(weights={**BALANCED, 'recon1_b': 0.0, 'domain_confusion': 0.0}))
  batch = batch_of()
  with_it, (metrics, _) = jax.jit(method.autoencoder_loss)(params, model_state, batch, None)
  without, (same, _) = jax.jit(off.autoencoder_loss)(params, model_state, batch, None)
  assert float(same['recon1_b']) == pytest.approx(float(metrics['recon1_b']))
  assert float(with_it - without) == pytest.approx(
      1.3 * float(metrics['recon1_b']) + 0.8 * float(metrics['domain_confusion']), rel=1e-4)


def gradient_sizes(config, name):
  """Returns the largest entry of the gradient of this term alone, by group."""
  with config.unlocked():
    config.weights.update(dict.fromkeys(config.weights, 0.0) | {name: 1.0})
  method = methods.make(config)
  params, model_state = variables_of(method)
  gradient = jax.jit(jax.grad(method.autoencoder_loss, has_aux=True))(
      params, model_state, batch_of(), None)[0]
  return {group: max(np.abs(leaf).max() for leaf in jax.tree.leaves(tree))
          for group, tree in gradient.items()}


@pytest.mark.slow
def test_detached_background_trains_no_decoder_a():
  attached = gradient_sizes(make_config(), 'recon1_b')
  detached = gradient_sizes(make_config(detach_background=True), 'recon1_b')
  assert attached['decoder_a'] > 1e-4
  assert detached['decoder_a'] == 0
  assert detached['decoder_b'] > 1e-4 and detached['separate_encoder'] > 1e-4


def test_clipping_follows_the_variant():
  assert methods.make(make_config()).default_clip_norm == {'autoencoder': 5, 'discriminator': 0}
  for config in (make_config('paper'), make_config(clip_gradients=False)):
    assert set(methods.make(config).default_clip_norm.values()) == {0}


def test_discriminator_loss_equals_its_equation():
  method, params, model_state = official()
  batch = batch_of(3)
  encoder = encoders.ConvEncoder((4, 8, 14))
  loss, (metrics, _) = jax.jit(method.discriminator_loss)(params, model_state, batch, None)
  probability, right = {}, []
  variables = {'params': params['common_encoder'],
               'batch_stats': model_state['batch_stats']['common_encoder']}
  classifier = discriminators.CodeDiscriminator(8)
  for domain, label in (('b', 1), ('a', 0)):
    code, _ = apply_in_training(encoder, variables, batch[domain])
    logits = classifier.apply({'params': params['discriminator']}, code)
    probability[domain] = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    right += list((probability[domain] > 0.5) == label)
  expected = np.mean(-np.log(probability['b'])) + np.mean(-np.log(1 - probability['a']))  # eq. 4
  assert float(loss) == pytest.approx(expected, rel=1e-4)
  assert float(metrics['accuracy']) == pytest.approx(np.mean(right))


@pytest.mark.parametrize('task, expected', [  # l1, l2, beta2, alpha2, alpha1, discweight
    ('glasses', (5, 7, 0.001, 0.7, 0.7, 0.005)), ('facial_hair', (5, 7, 0.001, 0.7, 0.7, 0.005)),
    ('smile', (5, 7, 0.0001, 1, 1, 0.005)), ('womens_hair', (1, 1, 0.04, 0.1, 0.1, 1)),
    ('mens_hair', (5, 5, 0.5, 0.5, 0.5, 1))])
def test_weights_are_the_authors(task, expected):
  names = ('recon1_a', 'recon1_b', 'cycle', 'recon2_a', 'recon2_b', 'domain_confusion')
  assert content_transfer.weights(task) == dict(zip(names, expected, strict=True))
  assert set(names) < set(make_config().weights)


def test_defaults_are_the_authors():
  config = run_config.default('content_transfer')
  assert {k: v for k, v in config.weights.items() if v} == content_transfer.weights('glasses')
  assert (config.batch_size, config.num_steps, config.image_size) == (32, 150_000, 128)
  for optimizer in config.optimizers.values():
    assert (optimizer.name, optimizer.learning_rate) == ('adam', 2e-4)
    assert (optimizer.b1, optimizer.b2, optimizer.eps) == (0.5, 0.999, 1e-8)


# Inference.

def test_masks_lie_in_0_1_and_everything_is_finite():
  for source, exemplar in ((images(1), images(2)), (-np.ones_like(images(0)), images(2)),
                           (np.ones_like(images(0)), np.zeros_like(images(0)))):
    result = opened('translate')(source, exemplar)
    removed = opened('remove')(exemplar)
    for mask in (result.source_mask, result.exemplar_mask, removed.source_mask,
                 opened('segment')(exemplar)):
      assert mask.shape == (BATCH, SIZE, SIZE, 1)
      assert mask.min() >= 0 and mask.max() <= 1
    for image in (result.image, result.extras['raw'], removed.image):
      assert image.shape == (BATCH, SIZE, SIZE, 3)
      assert np.isfinite(image).all() and np.abs(image).max() <= 1


def test_inference_leaves_examples_alone():
  whole = opened('translate')(images(1), images(2))
  half = opened('translate')(images(1)[:2], images(2)[:2])
  close(half.image, whole.image[:2], 1e-5)


def test_source_mask_decides_what_changes():
  source, exemplar = images(1), images(2)
  free = opened('translate')(source, exemplar)
  assert np.abs(free.image - source).max() > 0.01
  none = opened('translate')(source, exemplar, source_mask=np.zeros_like(free.source_mask))
  assert np.array_equal(none.image, source)
  everything = opened('translate')(source, exemplar, source_mask=np.ones_like(free.source_mask))
  close(everything.image, free.extras['raw'], 1e-6)
  masked = opened('translate')(source, exemplar, source_mask=free.source_mask)
  close(masked.image, free.image, 1e-6)
  one = opened('translate')(source, exemplar, source_mask=free.source_mask[:1])  # for all
  assert one.source_mask.shape == free.source_mask.shape
  close(one.source_mask[3], free.source_mask[0], 1e-6)


def test_exemplar_mask_that_keeps_everything_changes_nothing():
  source, exemplar = images(1), images(2)
  free = opened('translate')(source, exemplar)
  for kept in (np.ones_like(free.exemplar_mask), free.exemplar_mask):
    result = opened('translate')(source, exemplar, exemplar_mask=kept)
    close(result.image, free.image, 1e-6)
    assert np.array_equal(result.exemplar_mask, kept)


@pytest.mark.parametrize('rows', [slice(None), slice(0, 8)])
def test_what_the_exemplar_mask_leaves_out_is_removed_from_the_exemplar(rows):
  source, exemplar = images(1), images(2)
  free = opened('translate')(source, exemplar)
  kept = np.array(free.exemplar_mask)
  kept[:, rows] = 0
  erased = np.array(free.exemplar_mask)
  erased[:, rows] *= -1
  erased = np.maximum(-erased, 0)  # the predicted mask in those rows, nothing elsewhere
  painted = erased * np.asarray(opened('unmasked_removal')(exemplar)) + (1 - erased) * exemplar
  expected = opened('translate')(source, painted)
  result = opened('translate')(source, exemplar, exemplar_mask=kept)
  close(result.image, expected.image, 1e-5)
  close(result.source_mask, expected.source_mask, 1e-5)
  assert np.abs(result.image - free.image).max() > 1e-4


@pytest.mark.parametrize('threshold', [None, 0.55])
def test_removal_changes_nothing_outside_the_binarised_mask(threshold):
  image = images(2)
  options = {} if threshold is None else {'threshold': threshold}
  mask = np.array(opened('segment')(image))
  mask[:, :5] = 0.05  # below the authors' threshold, 0.1; above it
  mask[:, 5] = 0.2
  for mask_argument in (None, mask):
    result = opened('remove')(image, mask=mask_argument, **options)
    used = opened('segment')(image) if mask_argument is None else mask_argument
    inside = np.asarray(used)[..., 0] > (0.1 if threshold is None else threshold)
    assert np.array_equal(result.extras['binary_mask'][..., 0], inside)
    assert np.array_equal(result.image[~inside], image[~inside])
    close(result.image[inside], opened('unmasked_removal')(image)[inside], 1e-6)
    close(result.source_mask, used, 1e-6)


def test_interpolation_runs_from_one_exemplar_to_the_other():
  source, first, second = images(1), images(2), images(3)
  ends = [opened('translate')(source, exemplar) for exemplar in (first, second)]
  frames = [opened('interpolate')(source, first, second, np.float32(w)) for w in (0, 0.5, 1)]
  for frame, end in zip((frames[0], frames[2]), ends, strict=True):
    close(frame.image, end.image, 1e-5)
    close(frame.source_mask, end.source_mask, 1e-5)
  assert min(np.abs(frames[1].image - end.image).max() for end in ends) > 1e-4
  swapped = opened('interpolate')(source, second, first, np.float32(0.5))
  close(frames[1].image, swapped.image, 1e-5)


# Configs that make no sense.

@pytest.mark.parametrize('changes, words', [
    ({'image_size': 20}, ('image_size', '20', 'multiple of 8')),
    ({'image_size': 4}, ('image_size', '4', 'multiple of 8')),
    ({'image_size': 0}, ('image_size', '0')),
    ({'model.depth': 0}, ('model.depth', '0')),
    ({'model.width': 0}, ('model.width', '0')),
    ({'model.separate_channels': 16}, ('separate_channels', '16')),
    ({'model.separate_channels': 0}, ('separate_channels', '0')),
    ({'model.discriminator_width': -1}, ('discriminator_width', '-1')),
    ({'model.separate_channels': 8, 'variant': 'paper'}, ('separate_channels', '8')),
    ({'model.depth': 1, 'variant': 'paper'}, ('model.depth', '1')),
    ({'variant': 'oficial'}, ('variant', "'official'")),
    ({'compute_dtype': 'bfloat17'}, ('compute_dtype', "'bfloat16'")),
    ({'model.common_widths': 'minus_seperate'}, ('common_widths', "'minus_separate'")),
    ({'model.recon2_a_code': 'zero'}, ('recon2_a_code', "'zeros'")),
    ({'model.confusion_target': 'wihtout'}, ('confusion_target', "'without'")),
    ({'norms.recon1': 'L1'}, ('norms.recon1', 'l1, l2')),
    ({'norms.recon2': 'l3'}, ('norms.recon2', 'l1, l2')),
])
def test_a_config_that_makes_no_sense_says_so(changes, words):
  config = make_config()
  for key, value in changes.items():
    run_config.set_key(config, key, value)
  with pytest.raises(errors.UserError) as caught:
    methods.make(config)
  message = str(caught.value)
  assert all(word in message for word in words) and '\n' not in message


def test_an_unknown_method_is_named_with_the_nearest():
  with pytest.raises(errors.UserError, match="did you mean 'content_transfer'"):
    methods.make(ml_collections.ConfigDict({'method': 'content_transfr'}))
