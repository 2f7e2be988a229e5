"""A small Press et al., its PyTorch twin with the same numbers, and batches for both."""

import functools

import jax
import numpy as np

from helpers import comparing
from helpers.small_content_transfer import BATCH, CODE, images, SIZE, variables_of
from maskgan_jax import config as run_config
from maskgan_jax import methods

# None of them is small, so that no term's gradient hides behind another's.
BALANCED = {'recon_a': 1.1, 'recon_b': 0.9, 'domain_confusion': 0.7}
SIZES = {'width': 4, 'depth': 3, 'separate_channels': 2, 'discriminator_width': 8}


def module():
  """Imports benchmarks/torch_press.py."""
  return comparing.benchmark('torch_press')


def make_config(variant='official', weights=None, **model):
  config = run_config.default('press')
  config.update(image_size=SIZE, batch_size=BATCH, variant=variant)
  config.model.update({**SIZES, **model})
  config.weights.update(weights or {})
  return config


@functools.cache
def official():
  """Returns (method, parameters) of the official variant, with similar loss weights."""
  method = methods.make(make_config(weights=BALANCED))
  params, state = variables_of(method)
  assert state == {}
  return method, params


@functools.cache
def _compiled(name):
  return jax.jit(getattr(official()[0], name))


def opened(name):
  """Returns a function of `official()` with its variables bound: opened('translate')(a, b)."""
  return functools.partial(_compiled(name), official()[1], {})


def make_twin(params, **options):
  """Returns the twin with these numbers."""
  model = module().Press(image_size=SIZE, **SIZES, **options)
  module().load(model, params, CODE)
  return model


def batch_of(seed=0):
  return {'a': images(seed), 'b': images(seed + 100)}


def to_torch(x):
  """Returns NHWC images as a tensor NCHW."""
  import torch
  return torch.tensor(np.asarray(x).transpose(0, 3, 1, 2).copy())


def from_torch(x):
  return x.detach().numpy().transpose(0, 2, 3, 1)
