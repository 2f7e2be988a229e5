"""torch-fidelity's Inception-v3 with random weights, as the oracle of ours."""

import importlib
import sys
import types

import numpy as np
import pytest


def torch_fidelity():
  """Returns the package (pip install --no-deps torch-fidelity), or skips the test.

  It imports torchvision for other networks; an empty module replaces it if it is not installed.
  """
  pytest.importorskip('torch')
  stubs = {}
  try:
    importlib.import_module('torchvision')
  except ImportError:
    names = ('torchvision', 'torchvision.transforms', 'torchvision.transforms.functional',
             'torchvision.datasets', 'torchvision.models')
    stubs = {name: types.ModuleType(name) for name in names}
    for name in names[1:]:
      parent, _, child = name.rpartition('.')
      setattr(stubs[parent], child, stubs[name])
    for name in ('CIFAR10', 'CIFAR100', 'STL10', 'VisionDataset'):
      setattr(stubs['torchvision.datasets'], name, type(name, (), {}))
    stubs['torchvision.transforms'].Compose = type('Compose', (), {})
  sys.modules.update(stubs)
  try:
    return pytest.importorskip('torch_fidelity')
  finally:
    for name in stubs:
      del sys.modules[name]


def random_state(torch, module):
  """Returns a state dict that looks trained: no statistic is initial, no activation vanishes."""
  rng = np.random.default_rng(0)

  def values(name, shape):
    if name.endswith('num_batches_tracked'):
      return np.int64(7)
    if len(shape) == 4:
      return rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
    if name == 'fc.weight':
      return rng.normal(0, shape[1] ** -0.5, shape)
    if name.endswith(('running_var', 'bn.weight')):
      return rng.uniform(0.5, 1.5, shape)
    return rng.normal(0, 0.3, shape)
  return {name: torch.tensor(values(name, tuple(x.shape)), dtype=x.dtype)
          for name, x in module.state_dict().items()}


def network(torch, features):
  """Returns FeatureExtractorInceptionV3 in evaluation mode, with `random_state` loaded."""
  extractor = torch_fidelity().FeatureExtractorInceptionV3

  class Unloaded(extractor):
    """Keeps the constructor from loading, or downloading, the published weights."""

    def load_state_dict(self, state_dict, *rest, **options):
      if state_dict:
        super().load_state_dict(state_dict, *rest, **options)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys.modules[extractor.__module__], 'load_state_dict_from_url',
                  lambda *_, **__: {})
    model = Unloaded('inception', list(features))
  model.load_state_dict(random_state(torch, model))
  return model


def taps_of(model, images):
  """Returns all taps of NHWC images in [-1, 1]; the model's forward would resize and round them.

  The model's parts are called in the order in which they are defined.
  """
  x, taps = images.permute(0, 3, 1, 2), {}
  for name, part in model.named_children():
    if name == 'fc':
      break
    x = part(x)
    tap = {'MaxPool_1': '64', 'MaxPool_2': '192', 'Mixed_6e': '768', 'AvgPool': '2048'}.get(name)
    if tap:
      taps[tap] = x.mean((2, 3))
  taps['logits'] = model.fc(taps['2048'])
  taps['logits_unbiased'] = taps['2048'] @ model.fc.weight.T
  return taps
