"""Masks that come with training pictures, and augmented critics, in the methods that know them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import small_content_transfer, small_lomit
from helpers.training import small_config
from maskgan_jax import errors, methods
from maskgan_jax.losses import mask_supervision
from maskgan_jax.methods import base
from maskgan_jax.networks import masks as masks_lib
from maskgan_jax.networks import streams
from maskgan_jax.training import train_step

LEARNERS = ('additional_mask', 'content_transfer', 'lomit')
_ON = {'mask_agreement': 0.7, 'outside': 0.3}


def learner(name, **changes):
  """Returns a tiny config that learns from masks."""
  config = small_config(name, **changes)
  config.data.masks_share = 0.5
  config.weights.update(_ON)
  if name == 'additional_mask':
    config.model.attention = True
  return config


def masked(batch, given_a=(1, 0, 1), given_b=(0, 0, 1), seed=0):
  """Returns a batch with masks, of which some are given."""
  batch, rng = dict(batch), np.random.default_rng(seed)
  count = len(batch['a'])
  for domain, given in (('a', given_a), ('b', given_b)):
    batch[f'{domain}_mask'] = rng.uniform(size=(*batch['a'].shape[:3], 1)).astype(np.float32)
    batch[f'{domain}_mask_given'] = np.resize(np.float32(given), count)
  return batch


def metrics_of(config):
  """Returns the names of each player's metrics, from shapes alone."""
  method = methods.make(config)
  model = base.abstract_model(method, config)
  batch = jax.eval_shape(train_step.normalize, train_step.abstract_batch(config, 1))
  rng = jax.eval_shape(lambda: jax.random.key(0))
  names = []
  for player in method.players:
    _, (metrics, _) = jax.eval_shape(
        player.loss, model['params'], model['model_state'], batch, rng)
    names.append(set(metrics))
  return names


def weight_of(given):
  return given / max(given.mean(), 1e-9)


def test_content_transfer_adds_the_losses_of_both_domains():
  config = small_content_transfer.make_config(weights=_ON)
  config.data.masks_share = 1.0
  method = methods.make(config)
  params, state = small_content_transfer.variables_of(method)
  batch = masked(small_content_transfer.batch_of())
  _, (metrics, _) = jax.jit(method.autoencoder_loss)(params, state, batch, jax.random.key(0))
  a, b = batch['a'], batch['b']

  def exchange(params, state):
    parts, _ = method._exchange(params, state['batch_stats'], a, b)
    return parts.mask.ab, parts.raw.ab, parts.mask.bb, parts.without.b

  mask_ab, raw_ab, mask_bb, without_b = jax.jit(exchange)(params, state)
  weight_a, weight_b = (weight_of(batch[f'{domain}_mask_given']) for domain in 'ab')
  agreement = mask_supervision.agreement(mask_bb, batch['b_mask'], weight_b)
  z_ab = masks_lib.composite(mask_ab, raw_ab, a)
  removed = masks_lib.composite(mask_bb, without_b, b)
  outside = (mask_supervision.outside(z_ab, a, batch['a_mask'], weight_a)
             + mask_supervision.outside(removed, b, batch['b_mask'], weight_b))
  np.testing.assert_allclose(metrics['mask_agreement'], agreement, rtol=1e-5)
  np.testing.assert_allclose(metrics['outside'], outside, rtol=1e-5)


def test_lomit_adds_the_losses_of_both_directions():
  config = small_lomit.make_config(weights=_ON)
  config.data.masks_share = 1.0
  method = methods.make(config)
  params, state = small_lomit.variables_of(method, config)
  batch = masked(small_lomit.batch_of(config))
  _, (metrics, _) = jax.jit(method.generator_loss)(params, state, batch, jax.random.key(0))

  def exchange(params, state):
    parts, _ = method._model.exchange(params, state['batch_stats'], batch, ('a', 'b'))
    image, mask = streams.cut(parts.image), streams.cut(parts.mask)
    return vars(image), vars(mask)

  image, mask = jax.jit(exchange)(params, state)
  expected = {'mask_agreement': 0.0, 'outside': 0.0}
  for domain, translation in (('a', 'ab'), ('b', 'ba')):
    truth, weight = batch[f'{domain}_mask'], weight_of(batch[f'{domain}_mask_given'])
    large = masks_lib.upsample(mask[domain], 4)
    expected['mask_agreement'] += mask_supervision.agreement(large, truth, weight)
    expected['outside'] += mask_supervision.outside(
        image[translation], batch[domain], truth, weight)
  for name, value in expected.items():
    np.testing.assert_allclose(metrics[name], value, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('name', LEARNERS)
def test_what_a_mask_that_is_not_given_says_is_ignored(name):
  config = learner(name)
  method = methods.make(config)
  shapes = jax.eval_shape(train_step.normalize, train_step.abstract_batch(config, 1))
  rng = np.random.default_rng(0)
  batch = {key: rng.uniform(size=value.shape).astype(np.float32) for key, value in shapes.items()}
  params, state = jax.jit(method.init)(jax.random.key(0), batch)
  player = method.players[-1] if name != 'content_transfer' else method.players[0]

  @jax.jit
  def compute(params, batch):
    def loss_of(params):
      return player.loss(params, state, batch, jax.random.key(1))
    (_, (metrics, _)), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
    return metrics, gradient

  results = []
  for given in (0, 0, 1):
    for domain in 'ab':
      batch[f'{domain}_mask_given'] = np.full(config.batch_size, given, np.float32)
      batch[f'{domain}_mask'] = rng.uniform(size=batch['a_mask'].shape).astype(np.float32)
    results.append(compute(params, dict(batch)))
  without, without_too, with_masks = results
  jax.tree.map(np.testing.assert_array_equal, without, without_too)
  for term in _ON:
    assert float(without[0][term]) == 0 < float(with_masks[0][term])
  differs = jax.tree.map(lambda x, y: bool((x != y).any()), without[1], with_masks[1])
  assert any(jax.tree.leaves(differs))


@pytest.mark.parametrize('name', methods.names())
def test_off_nothing_of_it_is_in_batches_or_metrics(name):
  config = small_config(name)
  assert config.data.masks_share == 0 and config.critic_augmentation == ()
  assert set(train_step.abstract_batch(config, 1)) == {'a', 'b'}
  assert not any(term in metrics for term in _ON for metrics in metrics_of(config))


@pytest.mark.parametrize('name', LEARNERS)
def test_one_player_has_the_metrics_of_both_losses(name):
  names = metrics_of(learner(name))
  for term in _ON:
    assert sum(term in metrics for metrics in names) == 1


@pytest.mark.parametrize('name', methods.names())
def test_masks_and_weights_go_together(name):
  config = small_config(name)
  config.data.masks_share = 0.5
  message = 'nothing learns from masks' if name in LEARNERS else 'does not learn from masks'
  with pytest.raises(errors.UserError, match=message):
    methods.make(config)
  if name in LEARNERS:
    config.data.masks_share = 0.0
    config.weights.outside = 1.0
    with pytest.raises(errors.UserError, match='need masks: set config.data.masks_share'):
      methods.make(config)


def test_an_additional_mask_agrees_by_its_attention():
  config = learner('additional_mask')
  config.model.attention = False
  with pytest.raises(errors.UserError, match='model.attention is off'):
    methods.make(config)


# Augmented critics.


@pytest.mark.parametrize('name', methods.names())
def test_augmentation_is_for_critics_of_pictures(name):
  config = small_config(name, critic_augmentation=('color',))
  if methods.make(small_config(name)).augments_critics:
    methods.make(config)
  else:
    with pytest.raises(errors.UserError, match='has no critic that sees pictures'):
      methods.make(config)


def test_lomits_penalty_is_taken_between_the_pictures_that_the_critic_has_seen(monkeypatch):
  """With a critic that is recorded: what it scores is what the penalty is computed from."""
  config = small_lomit.make_config()
  config.critic_augmentation = ('color', 'translation', 'cutout')
  method = methods.make(config)
  params, state = small_lomit.variables_of(method, config)
  seen = {}

  def together(name, params, **images):
    seen['scored'] = streams.interleave(*images.values())
    return original(name, params, **images)

  def penalty(params, rng):
    def of_pair(real, fake):
      seen['penalised'] = real, fake
      return jnp.zeros(())
    return of_pair

  original = method._model.together
  monkeypatch.setattr(method, '_gradient_penalty', penalty)

  def watch(params, state, batch):
    monkeypatch.setattr(
        method._model, 'together',
        lambda name, *rest, **images: (together if name == 'critic' else original)(
            name, *rest, **images))
    method.critic_loss(params, state, batch, jax.random.key(2))
    return seen['scored'], seen['penalised']

  batch = small_lomit.batch_of(config)
  scored, (real, fake) = jax.jit(watch)(params, state, batch)
  a, ab, b, ba = streams.deinterleave(scored, 4)
  np.testing.assert_array_equal(real, streams.interleave(a, b))
  np.testing.assert_array_equal(fake, streams.interleave(ab, ba))
  assert (np.asarray(a) != batch['a']).any()
