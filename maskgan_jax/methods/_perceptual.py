"""The perceptual network of a method: ImageNet's from a file, or one that learns the data's labels.

`config.model.perceptual` is 'labels' or the path of a file that `import_weights vgg19` wrote.
"""

from collections.abc import Callable
import os
from typing import Any

import jax
import jax.numpy as jnp

from maskgan_jax import errors
from maskgan_jax.losses import adversarial
from maskgan_jax.methods import base
from maskgan_jax.networks.streams import interleave
from maskgan_jax.pretrained_networks import files as weights_lib
from maskgan_jax.pretrained_networks import vgg19

LABELS = 'labels'


def classes(labels: int) -> int:
  """Returns how many yes-no questions a network learns: the labels, or else which domain it is."""
  return max(labels, 1)


def describe(perceptual: str, width: int, labels: int) -> str:
  """Returns the text that stands beside results, on what the network is and has seen.

  Args:
    perceptual: `config.model.perceptual`.
    width: channels of its first layer.
    labels: number of the data's labels.
  """
  if perceptual == LABELS:
    subject = 'which domain a picture is of'
    if labels:
      subject = f"this data's {labels} labels"
    return f"of VGG-19's shape, width {width}, trained on {subject} (no ImageNet)"
  try:
    return weights_lib.read_vgg19(perceptual)[1]
  except errors.UserError:
    # Training had it; to translate and to measure it is not needed.
    file = os.path.basename(perceptual)
    return f'VGG-19 from {file}, which is not here any more'


def read(perceptual: str, last: str = vgg19.TAPS[-1]) -> dict[str, Any]:
  """Returns the parameters of a network in a file, up to the map `last`, such as 'relu4_1'.

  UserError for a file that is absent, damaged, or something else.
  """
  params, _ = weights_lib.read_vgg19(perceptual)
  kept = ('input_mean', 'input_scale', *vgg19.channels(last=last))
  return {layer: params[layer] for layer in kept}


def label_loss(
  apply: Callable[..., jax.Array],
  params: base.Params,
  model_state: base.ModelState,
  batch: base.Batch,
  rng: jax.Array,
) -> tuple[jax.Array, tuple[base.Metrics, Any]]:
  """Returns the loss of labels, as independent yes-no questions; or of which domain it is.

  Args:
    apply: (network, params, *inputs, **options) -> output; the network is 'perceptual'.
    params: see `base.Player`.
    model_state: the same.
    batch: with 'a_attributes' and 'b_attributes', or without.
    rng: not used.
  """
  del rng
  # Both domains at once; where the data has no labels, the question is which domain it is.
  images = interleave(batch['a'], batch['b'])
  logits = apply('perceptual', params, images, method='classify')
  if 'a_attributes' in batch:
    labels = interleave(batch['a_attributes'], batch['b_attributes'])
  else:
    ones = jnp.ones((len(batch['a']), 1))
    labels = interleave(0 * ones, ones)
  loss = adversarial.multi_label_cross_entropy(logits, labels)
  accuracy = ((logits > 0) == (labels > 0.5)).mean()
  return loss, ({'accuracy': accuracy}, model_state)
