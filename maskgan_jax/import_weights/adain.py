"""AdaIN's decoder and encoder, as github.com/naoto0804/pytorch-AdaIN has its authors' files.

Both are state dicts of torch Sequentials: `decoder.pth`, and `vgg_normalised.pth` (see vgg19.py).
"""

from collections.abc import Mapping, Sequence
import os
from typing import Any

import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax.import_weights import vgg19 as encoder
from maskgan_jax.import_weights.base import abstract, Converted
from maskgan_jax.import_weights.tensors import Tensors
from maskgan_jax.pretrained_networks import vgg19

FILES = ('decoder', 'encoder')


def convert(paths: Sequence[str], files: Sequence[Mapping[str, Any]]) -> Converted:
  """Converts `files`, read from `paths`: the decoder's and the encoder's state dict.

  UserError where a tensor is missing, unknown or of another shape.
  """
  (decoder_path, encoder_path), (decoder, network) = paths, files
  network, _ = encoder.convert(encoder_path, network)
  config = run_config.default('adain')
  config.update(variant='official', image_size=256)
  # The parameters are the run's own; the path says where they are from.
  width = network['conv1_1']['bias'].size
  source = os.path.basename(encoder_path)
  config.model.update(perceptual=source, perceptual_width=width)
  _, params, _ = abstract(config, decoder_path)

  params = {
    'perceptual': {layer: network[layer] for layer in params['perceptual']},
    'decoder': _decoder(params['decoder'], Tensors(decoder_path, decoder)),
  }
  model = {'params': params, 'model_state': {}, 'ema_params': {}}
  note = f'{decoder_path} does not say how long it was trained for'
  return Converted(config, model, 0, [note])


def _decoder(tree: Mapping[str, Any], tensors: Tensors) -> dict[str, Any]:
  """Returns the decoder's parameters in the layout of `tree`."""
  # Before a convolution there is padding, after it ReLU, and after some an upsampling.
  result = {}
  for number, position in enumerate(_positions()):
    layer = f'Conv_{number}'
    *_, inputs, features = tree[layer]['kernel'].shape
    kernel = tensors.take(f'{position}.weight', (features, inputs, 3, 3))
    result[layer] = {
      'kernel': np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)),
      'bias': tensors.take(f'{position}.bias', (features,)),
    }
  tensors.finish()
  return result


def _positions() -> list[int]:
  """Returns the places of the decoder's convolutions in their Sequential."""
  positions, position = [], 1
  for widths in vgg19.mirrored(1, 4):
    positions += [position + 3 * i for i in range(len(widths))]
    position += 3 * len(widths) + 1
  return positions
