"""Two domains of a few pictures in a folder, and the evaluator 'distribution' on them."""

import os

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from scipy import linalg

from helpers import data_samples
from helpers.simple_method import Adds, simple
from helpers.tiny_model import SIZE
from maskgan_jax import config as run_config
from maskgan_jax import evaluators
from maskgan_jax.data import default_config

COUNTS = {'A': 37, 'B': 50}


def seen(x):
  """Returns five features of bytes: three means, the mean of a corner, and a product."""
  x = x.astype(jnp.float32) / 64
  means = x.mean((1, 2))
  corner = x[:, :SIZE // 2, :SIZE // 2, 1].mean((1, 2))
  return jnp.stack([*means.T, corner, means[:, 0] * corner], axis=1)


def export(path, function=seen, shape=f'b, {SIZE}, {SIZE}, 3'):
  spec = jax.ShapeDtypeStruct(jax.export.symbolic_shape(shape), np.uint8)
  path.write_bytes(jax.export.export(jax.jit(function))(spec).serialize())
  return str(path)


def draw(domain):
  """Returns the test pictures of a domain; those of b are darker."""
  rng, n = np.random.default_rng(ord(domain)), COUNTS[domain]
  darkest, lightest = (60, 256) if domain == 'A' else (0, 200)
  light = rng.integers(darkest, lightest, (n, 1, 1, 3))
  return (rng.random((n, SIZE, SIZE, 3)) * light).astype(np.uint8)


def write_folder(root):
  """Writes trainA, ..., testB, with test pictures of `draw`."""
  for split in ('train', 'val', 'test'):
    for domain in 'AB':
      os.makedirs(root / f'{split}{domain}')
      for i, picture in enumerate(draw(domain)[:None if split == 'test' else 3]):
        Image.fromarray(picture).save(root / f'{split}{domain}' / f'{i:03}.png')
  return str(root)


def open_data(folder, **fields):
  config = default_config.get_default()
  config.update(source='folder', path=folder, **fields)
  return data_samples.open_data(config, image_size=SIZE)


def make_config(network='', kid=None, **settings):
  config = run_config.default('content_transfer')
  config.distribution.update(network=network, **settings)
  config.distribution.kid.update(subsets=20, subset_size=25, **(kid or {}))
  config.evaluators, config.evaluation_batch_size = ('distribution',), 16
  return config


def measure(data, network, *, method=None, batch_size=16, max_pairs=None, note=lambda line: None,
            poll=None, **settings):
  return evaluators.run(simple(method or Adds()), data, names=('distribution',), note=note,
                        batch_size=batch_size, max_pairs=max_pairs, poll=poll,
                        config=make_config(network, **settings))


def frechet(x, y):
  """Returns the distance of features [N, D], computed with SciPy."""
  x, y = x.astype(np.float64), y.astype(np.float64)
  c1, c2 = (np.cov(z, rowvar=False) for z in (x, y))
  root = linalg.sqrtm(c1 @ c2).real
  return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * root)
