"""LOMIT's `tuned` variant: what its switches do, computed another way."""

import jax
import numpy as np
import optax
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
from maskgan_jax import methods
from maskgan_jax.networks import masks, streams

LABELS = ('Black_Hair', 'Smiling')


def half():
  """Returns masks that are 1 in the left half of a picture and 0 in the right one."""
  mask = np.zeros((BATCH, SIZE, SIZE, 1), np.float32)
  mask[:, :, :SIZE // 2] = 1
  return mask


def test_a_composed_translation_is_the_source_outside_its_mask():
  config = make_config('tuned')
  method = methods.make(config)
  variables = variables_of(method, config)
  translate = jax.jit(method.translate)
  result = translate(*variables, images(0), images(1), source_mask=half())
  plain = methods.make(make_config('tuned', composed=False))
  decoded = jax.jit(plain.translate)(*variables, images(0), images(1), source_mask=half())
  np.testing.assert_array_equal(result.image[:, :, SIZE // 2:], images(0)[:, :, SIZE // 2:])
  close(result.image[:, :, :SIZE // 2], decoded.image[:, :, :SIZE // 2], 1e-6)
  assert np.abs(result.image - images(0))[:, :, :SIZE // 2].mean() > 0.1

  # A predicted mask blends softly.
  result = translate(*variables, images(0), images(1))
  decoded = jax.jit(plain.translate)(*variables, images(0), images(1))
  mask = result.source_mask
  close(result.image, mask * decoded.image + (1 - mask) * images(0), 1e-5)


@pytest.mark.slow
def test_training_composes_translations_and_not_reconstructions():
  config = make_config('tuned', erasing=0.0)
  metrics = loss_of('generator', config)[1]
  plain = loss_of('generator', make_config('tuned', composed=False, erasing=0.0))[1]
  close(metrics['reconstruction'], plain['reconstruction'], 1e-6)
  for name in ('cycle', 'adversarial'):
    assert abs(metrics[name] - plain[name]) > 1e-4, name


@pytest.mark.slow
def test_the_classifier_reads_pictures_whose_masks_are_cut_out():
  config = make_config('tuned', attributes=LABELS)
  method = methods.make(config)
  params, model_state = variables_of(method, config)
  batch = batch_of(config)

  # In training a and b have batch statistics of their own, so translation cannot tell these masks.

  def masks_of_both(stats):
    parts, _ = method._model.exchange(params, stats, batch, ('a', 'b'))
    return {'a': streams.interleave(parts.mask.a), 'b': streams.interleave(parts.mask.b)}

  left = {}
  for name, mask in jax.jit(masks_of_both)(model_state['batch_stats']).items():
    left[name] = batch[name] * np.maximum(1 - 2 * np.asarray(masks.upsample(mask, 4)), 0)
  critic = jax.jit(method.networks['critic'].apply)
  logits = {name: critic({'params': params['critic']}, x)[1] for name, x in left.items()}

  def cross_entropy(target):
    rows = [optax.sigmoid_binary_cross_entropy(logits[name], target[name]).sum(-1).mean()
            for name in 'ab']
    return sum(rows)

  # The critic learns the labels; the generator wants what says nothing of them: their means.
  labels = {name: batch[f'{name}_attributes'] for name in 'ab'}
  close(loss_of('critic', config)[1]['erased'], cross_entropy(labels), 1e-5)
  mean = np.concatenate(list(labels.values())).mean(0)
  unseen = {name: np.broadcast_to(mean, labels[name].shape) for name in 'ab'}
  loss, metrics, _ = loss_of('generator', config)
  close(metrics['erased'], cross_entropy(unseen), 1e-5)
  without = loss_of('generator', make_config('tuned', attributes=LABELS, erasing=0.0))[0]
  close(loss - without, metrics['erased'], 1e-4)


def test_what_is_erased_from_the_exemplar_keeps_the_sources_style():
  config = make_config('tuned', composed=False)
  method = methods.make(config)
  variables = variables_of(method, config)
  translate = jax.jit(method.translate)
  nothing = np.zeros((BATCH, SIZE, SIZE, 1), np.float32)
  source, exemplar = images(0), images(1)
  whole = translate(*variables, source, exemplar)

  # With all of it erased, the style is that of the source within the exemplar's predicted mask.
  erased = translate(*variables, source, exemplar, exemplar_mask=nothing)
  plain = methods.make(make_config('tuned', composed=False, erased_style='nothing'))
  in_its_place = jax.jit(plain.translate)(*variables, source, source,
                                          exemplar_mask=whole.exemplar_mask)
  close(erased.image, in_its_place.image, 1e-5)
  again = translate(*variables, source, exemplar, exemplar_mask=whole.exemplar_mask)
  close(again.image, whole.image, 1e-5)
  assert np.abs(erased.image - whole.image).max() > 1e-3
