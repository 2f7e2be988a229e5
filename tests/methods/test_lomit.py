"""LOMIT: variants, switches, users' masks. Its losses are checked in test_lomit_twin.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.comparing import close
from helpers.small_lomit import (
  BATCH,
  batch_of,
  images,
  loss_of,
  make_config,
  SIZE,
  variables_of,
)
from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.losses import mask_regularizers
from maskgan_jax.networks import masks, streams
from maskgan_jax.recipes import lomit as lomit_settings


@functools.cache
def opened(variant='ijcai', **model):
  """Returns (method, jitted functions by name with its variables bound)."""
  config = make_config(variant, **model)
  method = methods.make(config)
  variables = variables_of(method, config)
  return method, {name: functools.partial(jax.jit(getattr(method, name)), *variables)
                  for name in ('translate', 'segment', 'interpolate')}


@pytest.mark.slow
@pytest.mark.parametrize('variant', ['ijcai', 'iclr', 'official'])
def test_translations_and_masks_have_their_shapes_and_ranges(variant):
  method, functions = opened(variant)
  result = functions['translate'](images(0), images(1))
  assert result.image.shape == (BATCH, SIZE, SIZE, 3) and np.abs(result.image).max() <= 1
  for mask in (result.source_mask, result.exemplar_mask, functions['segment'](images(0))):
    assert mask.shape == (BATCH, SIZE, SIZE, 1)
    assert np.asarray(mask).min() >= 0 and np.asarray(mask).max() <= 1
    assert np.asarray(mask).std() > 0.01
  # The domains differ (with labels in one set there is no reverse), and one network does both ways.
  assert method.abilities == {'exemplar', 'source_mask', 'exemplar_mask', 'segment', 'interpolate',
                              'reverse'}
  back = method.translate(*variables_of(method, make_config(variant)), images(0), images(1),
                          reverse=True)
  np.testing.assert_allclose(back.image, result.image, atol=1e-5)
  config = make_config(variant, attributes=('Smiling',))
  config.data.update(a='', b='')
  assert methods.make(config).abilities == method.abilities - {'reverse'}


@pytest.mark.slow
@pytest.mark.parametrize('variant', ['ijcai', 'iclr', 'official'])
def test_predicted_masks_given_back_change_nothing(variant):
  translate = opened(variant)[1]['translate']
  first = translate(images(0), images(1))
  again = translate(images(0), images(1), source_mask=first.source_mask,
                    exemplar_mask=first.exemplar_mask)
  close(again.image, first.image, 1e-4)
  close(again.source_mask, first.source_mask, 1e-6)


def test_an_image_s_mask_is_its_own_without_cosegmentation_and_the_pair_s_with_it():
  one, other = (opened('ijcai')[1]['translate'](images(0), images(seed)) for seed in (1, 2))
  close(one.source_mask, other.source_mask, 1e-6)
  close(one.source_mask, opened('ijcai')[1]['segment'](images(0)), 1e-6)
  one, other = (opened('iclr')[1]['translate'](images(0), images(seed)) for seed in (1, 2))
  assert np.abs(one.source_mask - other.source_mask).max() > 1e-4


def test_what_the_exemplar_mask_leaves_out_has_no_influence():
  translate = opened()[1]['translate']
  keep = np.zeros((BATCH, SIZE, SIZE, 1), np.float32)
  keep[:, :6, 3:] = 1
  exemplar, painted = images(1), images(1)
  painted[:, 6:] = 0.9
  one, other = (translate(images(0), e, exemplar_mask=keep) for e in (exemplar, painted))
  np.testing.assert_array_equal(one.image, other.image)
  painted[:, 2, 5] = 0.9  # inside
  assert np.abs(translate(images(0), painted, exemplar_mask=keep).image - one.image).max() > 1e-4


def test_where_the_source_mask_is_zero_everywhere_the_exemplar_has_no_influence():
  translate = opened()[1]['translate']
  nowhere, everywhere = (np.full((BATCH, SIZE, SIZE, 1), v, np.float32) for v in (0, 1))
  for mask, same in ((nowhere, True), (everywhere, False)):
    one, other = (translate(images(0), images(seed), source_mask=mask) for seed in (1, 2))
    assert (np.abs(one.image - other.image).max() < 1e-6) == same


def test_a_source_mask_brings_style_where_it_is_and_takes_it_where_it_is_not():
  """The foreground style enters HAdaIN only inside the mask; elsewhere the blend is the same."""
  method, functions = opened(mask_depth=1)
  mask = np.zeros((BATCH, SIZE, SIZE, 1), np.float32)
  mask[:, :8] = 1
  small = np.asarray(masks.downsample(mask, 4))
  assert small[:, 0].min() > 0.9 and small[:, 3].max() < 0.1
  close(functions['translate'](images(0), images(1), source_mask=mask).source_mask, mask, 1e-6)


@pytest.mark.slow
def test_without_the_exemplar_s_mask_styles_are_of_whole_images():
  method, functions = opened(exemplar_mask=False)
  assert 'exemplar_mask' not in method.abilities and 'source_mask' in method.abilities
  result = functions['translate'](images(0), images(1))
  assert result.exemplar_mask is None
  config = make_config(exemplar_mask=False)
  _, metrics, _ = loss_of('generator', config)
  whole, masked = metrics, loss_of('generator', make_config())[1]
  assert float(whole['foreground_style']) != float(masked['foreground_style'])
  nothing = np.zeros((BATCH, SIZE, SIZE, 1), np.float32)
  one, other = (functions['translate'](images(0), images(1), source_mask=m)
                for m in (nothing, nothing + 1))
  assert np.abs(one.image - other.image).max() > 1e-4


@pytest.mark.slow
def test_interpolation_runs_from_one_exemplar_to_the_other():
  for variant in ('ijcai', 'iclr'):
    functions = opened(variant)[1]
    ends = [functions['interpolate'](images(0), images(1), images(2), np.float32(w))
            for w in (0, 1)]
    for end, seed in zip(ends, (1, 2), strict=True):
      whole = functions['translate'](images(0), images(seed))
      close(end.image, whole.image, 1e-4)
      close(end.source_mask, whole.source_mask, 1e-5)


@pytest.mark.slow
def test_batch_statistics_mix_examples_and_running_ones_do_not():
  for statistics, alone in (('running', True), ('batch', False)):
    method, functions = opened('official', inference_statistics=statistics)
    assert method.mixes_examples != alone
    together = functions['translate'](images(0), images(1))
    first = functions['translate'](images(0)[:1], images(1)[:1])
    assert (np.abs(together.image[:1] - first.image).max() < 1e-4) == alone


@pytest.mark.slow
def test_sums_over_pixels_are_means_times_their_number():
  pixels = (SIZE // 4) ** 2
  mean = loss_of('generator', make_config(similarity_reduction='mean', size_reduction='mean'))[1]
  summed = loss_of('generator', make_config())[1]
  assert float(summed['similarity']) == pytest.approx(float(mean['similarity']) * pixels ** 2)
  assert float(summed['size']) == pytest.approx(float(mean['size']) * pixels)


@pytest.mark.slow
def test_more_masks_are_regularized_in_the_code_than_in_the_papers():
  config = make_config(cosegmentation=True, size_reduction='mean')
  few = loss_of('generator', config)[1]
  config.model.regularized_masks = 'all'
  many = loss_of('generator', config)[1]
  assert float(few['size']) == pytest.approx(2 * float(few['mask_mean']), rel=1e-5)
  assert 2 * float(few['size']) < float(many['size']) < 6


@pytest.mark.slow
def test_similarity_can_be_taken_at_the_image_s_resolution():
  config = make_config(similarity_size=SIZE, similarity_reduction='mean')
  method = methods.make(config)
  params, state = variables_of(method, config)
  batch = batch_of(config)
  value = loss_of('generator', config)[1]['similarity']
  expected = 0
  for domain in 'ab':
    content = method.networks['content_encoder'].apply({'params': params['content_encoder']},
                                                       batch[domain])
    both = np.concatenate([batch['a'], batch['b']])
    del both
    mask, _ = method.networks['mask'].apply(
        {'params': params['mask'], 'batch_stats': state['batch_stats']['mask']}, content,
        train=True, mutable=['batch_stats'])
    content, mask = (masks.upsample(x, 4).reshape(BATCH, SIZE ** 2, -1) for x in (content, mask))
    expected += np.mean([mask_regularizers.similarity_pairwise(m[:, 0], c)
                         for m, c in zip(mask, content, strict=True)]) / SIZE ** 4
  assert float(value) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.slow
def test_terms_are_weighted_and_the_style_difference_is_maximised():
  config = make_config('iclr', weights={'similarity': 0.3, 'size': 0.2}, style_difference=0.7)
  loss, metrics, _ = loss_of('generator', config)
  terms = ('adversarial', 'classification', 'reconstruction', 'cycle', 'foreground_style',
           'background_style', 'content', 'similarity', 'size')
  expected = sum(config.weights[t] * metrics[t] for t in terms) - 0.7 * metrics['style_difference']
  assert float(loss) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.slow
def test_without_attributes_the_critic_tells_the_domains_apart():
  """There is one class, 0 for a and 1 for b; translations should be of the exemplar's domain."""
  config = make_config()
  method = methods.make(config)
  params, state = variables_of(method, config)
  batch = batch_of(config)
  _, (metrics, _) = method.critic_loss(params, state, batch, jax.random.key(0))
  logits = [method.networks['critic'].apply({'params': params['critic']}, batch[d])[1]
            for d in 'ab']
  assert logits[0].shape == (BATCH, 1)
  expected = np.mean(jax.nn.softplus(logits[0])) + np.mean(jax.nn.softplus(-logits[1]))
  assert float(metrics['classification']) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.slow
def test_translations_are_asked_for_the_exemplar_s_labels():
  config = make_config(attributes=('x', 'y'))
  method = methods.make(config)
  params, state = variables_of(method, config)
  batch = batch_of(config)
  _, (metrics, _) = method.generator_loss(params, state, batch, None)
  parts, _ = method._model.exchange(params, state['batch_stats'], batch, ('a', 'b'))
  fakes = streams.interleave(parts.image.ab, parts.image.ba)
  _, logits = method.networks['critic'].apply({'params': params['critic']}, fakes)
  labels = jnp.stack([batch['b_attributes'], batch['a_attributes']], 1).reshape(-1, 2)
  p = jax.nn.sigmoid(logits)
  expected = -2 * (labels * jnp.log(p) + (1 - labels) * jnp.log(1 - p)).sum(1).mean()
  assert float(metrics['classification']) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize('variant', ['ijcai', 'iclr', 'official'])
def test_defaults_are_the_authors(variant):
  config = run_config.default('lomit')
  config.variant = variant
  method = methods.make(config)
  assert config.batch_size == 32 and config.image_size == 128  # configs set the papers' batch of 8
  critic, generator = method.players
  assert (critic.every, generator.every, generator.phase) == (1, 5, 0)
  assert ('gate' in generator.owns) == (variant != 'ijcai')
  assert method.switches.deviation == ('rows' if variant == 'official' else 'spatial')
  assert method.switches.style_difference == (0.01 if variant == 'iclr' else 0)
  assert config.weights.gradient_penalty == 10 and config.weights.size == 1e-4


@pytest.mark.parametrize('variant, labels, expected', [
    ('official', 'hair_smile', (0.1, 1e-4, 0.0)), ('official', 'makeup', (0.1, 1e-4, 0.01)),
    ('official', 'facial_hair_gender', (0.0, 1e-4, 0.0)),
    ('ijcai', 'makeup', (0.1, 1e-4, 0.0)), ('iclr', 'facial_hair_gender', (0.1, 1e-4, 0.01))])
def test_weights_are_the_authors_and_the_paper_s(variant, labels, expected):
  config = run_config.default('lomit')
  lomit_settings.apply(config, variant, labels)
  method = methods.make(config)
  assert (config.weights.similarity, config.weights.size,
          method.switches.style_difference) == expected
  assert method.switches.similarity_reduction == 'mean' and config.batch_size == 8


@pytest.mark.parametrize('changes, words', [
    (dict(variant='ijcay'), "did you mean 'ijcai'"),
    (dict(deviation='row'), "did you mean 'rows'"),
    (dict(style_heads='tied'), 'shared, separate'),
    (dict(critic_every=0), 'at least 1'),
    (dict(critic_depth=5), 'critic_depth'),
    (dict(similarity_size=10), 'multiple of the masks'),
    (dict(width=0), 'config.model.width=0 must be at least 1'),
])
def test_a_config_that_makes_no_sense_says_so(changes, words):
  variant = changes.pop('variant', 'ijcai')
  with pytest.raises(errors.UserError, match=words):
    methods.make(make_config(variant, **changes))


@pytest.mark.slow
@pytest.mark.parametrize('remat', [False, True])
def test_bfloat16_and_rematerialisation_stay_near(remat):
  config = make_config()
  exact, _, _ = loss_of('generator', config)
  config.update(compute_dtype='bfloat16', remat=remat)
  loss, metrics, _ = loss_of('generator', config)
  assert loss.dtype == jnp.float32
  assert float(loss) == pytest.approx(float(exact), rel=0.05)


def test_two_equal_domains_without_labels_teach_nothing():
  config = make_config()
  config.data.update(a='Smiling', b='Smiling')
  with pytest.raises(errors.UserError, match='nothing to tell apart'):
    methods.make(config)
  config.data.attributes = ('Black_Hair',)
  methods.make(config)


def test_another_method_s_config_is_refused_in_one_line():
  config = run_config.default('content_transfer')
  config.method = 'lomit'
  with pytest.raises(errors.UserError, match="config.model has no 'blocks'.*config file of lomit"):
    methods.make(config)
