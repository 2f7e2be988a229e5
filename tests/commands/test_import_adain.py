"""Importing AdaIN's published decoder and encoder: the same translation, foreign files refused."""

import jax
import numpy as np
import pytest

from helpers import comparing_style as comparing
from maskgan_jax import errors, methods
from maskgan_jax.import_weights import adain

torch = pytest.importorskip('torch')

ENCODER = (2, 5, 9, 12, 16, 19, 22, 25, 29)
DECODER = (1, 5, 8, 11, 14, 18, 21, 25, 28)


def theirs(layers, places):
  """Returns layers with kernels in PyTorch's axes, named by their places."""
  result = {}
  for place, layer in zip(places, layers, strict=True):
    result[f'{place}.weight'] = np.ascontiguousarray(layer['kernel'].transpose(3, 2, 0, 1))
    result[f'{place}.bias'] = layer['bias']
  return result


@pytest.fixture(name='files', scope='module')
def _files():
  """Returns parameters, and the two state dicts that the authors' files would hold."""
  _, params = comparing.make('adain')
  encoder = [params['perceptual'][f'conv{name}'] for name in
             ('1_1', '1_2', '2_1', '2_2', '3_1', '3_2', '3_3', '3_4', '4_1')]
  encoder[0] = {**encoder[0], 'kernel': encoder[0]['kernel'][:, :, ::-1]}  # BGR
  wide = 8 * comparing.WIDTH
  encoder += [{'kernel': np.ones((3, 3, wide, wide), np.float32),
               'bias': np.ones(wide, np.float32)}] * 4  # relu4_2 to relu5_1, not used
  first = {'0.weight': 255 * np.eye(3, dtype=np.float32)[::-1].reshape(3, 3, 1, 1),
           '0.bias': -np.float32([103.939, 116.779, 123.68])}
  decoder = [params['decoder'][f'Conv_{i}'] for i in range(9)]
  return params, theirs(decoder, DECODER), {**first, **theirs(encoder, (*ENCODER, 32, 35, 38, 42))}


def test_every_number_is_the_authors(files):
  params, decoder, encoder = files
  converted = adain.convert(['d.pth', 'vgg_normalised.pth'], [decoder, encoder])
  config, model = converted.config, converted.model['params']
  assert (config.method, config.model.perceptual_width) == ('adain', comparing.WIDTH)
  text = methods.make(config).provenance['perceptual_network']
  assert 'vgg_normalised.pth' in text
  jax.tree.map(np.testing.assert_array_equal, model['decoder'], params['decoder'])
  for layer, leaves in model['perceptual'].items():
    if layer.startswith('conv'):
      jax.tree.map(np.testing.assert_array_equal, leaves, params['perceptual'][layer])
  np.testing.assert_allclose(model['perceptual']['input_scale'], 1 / 255, rtol=1e-6)


def test_foreign_files_are_refused(files):
  _, decoder, encoder = files
  with pytest.raises(errors.UserError, match='nothing of that name'):
    adain.convert(['d', 'e'], [{**decoder, '31.weight': np.ones(3, np.float32)}, encoder])
  with pytest.raises(errors.UserError, match='no 28.bias'):
    adain.convert(['d', 'e'], [{n: x for n, x in decoder.items() if n != '28.bias'}, encoder])
  with pytest.raises(errors.UserError, match='not a VGG-19'):
    adain.convert(['d', 'e'], [decoder, decoder])
