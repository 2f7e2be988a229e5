"""Real photographs (of scikit-image and scikit-learn), folders of them, and opened sources."""

import functools
import os

import ml_collections
import numpy as np
from PIL import Image
import skimage.data
import sklearn.datasets

from maskgan_jax.data import default_config, pipeline, sources
from maskgan_jax.data.records import Source


@functools.cache
def photos() -> dict[str, np.ndarray]:
  """Returns colour photographs, uint8 [H, W, 3], of different shapes, a quarter of their size."""
  flower = sklearn.datasets.load_sample_images().images[1]
  full = {'astronaut': skimage.data.astronaut(), 'chelsea': skimage.data.chelsea(),
          'coffee': skimage.data.coffee(), 'rocket': skimage.data.rocket(), 'flower': flower}
  return {name: np.ascontiguousarray(image[::4, ::4]) for name, image in full.items()}


@functools.cache
def faces() -> tuple[np.ndarray, np.ndarray]:
  """Returns a hundred patches without a face and a hundred LFW faces, uint8 [100, 25, 25, 3] each.

  Patch 99 has one colour only.
  """
  patches = np.rint(skimage.data.lfw_subset() * 255).astype(np.uint8)
  patches = np.repeat(patches[..., None], 3, axis=-1)
  plain = patches[100:]
  plain[[52, 99]] = plain[[99, 52]]
  return plain, patches[:100]


def write(folder, images, suffix='.png', start=0) -> list[str]:
  """Writes pictures 000.png, 001.png, ... into a folder; returns their paths."""
  os.makedirs(folder, exist_ok=True)
  paths = [os.path.join(folder, f'{start + i:03d}{suffix}') for i in range(len(images))]
  for path, image in zip(paths, images, strict=True):
    Image.fromarray(image).save(path)
  return paths


def write_domains(root, num_train=(8, 10), num_test=(3, 4)) -> str:
  """Writes trainA, trainB (faces), testA and testB under a root; returns the root."""
  for split, counts, start in (('train', num_train, 0), ('test', num_test, 50)):
    for domain, images, count in zip('AB', faces(), counts, strict=True):
      write(os.path.join(root, split + domain), images[start:start + count])
  return str(root)


def make_config(source, **fields):
  """Returns config.data with these fields."""
  made = default_config.get_default()
  made.update(source=source, **fields)
  return made


def open_data(config_data, *, image_size, image_width=0, seed=0) -> pipeline.Data:
  """Opens the data of a config.data."""
  return pipeline.make(with_data(
      config_data, image_size=image_size, image_width=image_width, seed=seed))


def with_data(config_data, *, image_size, image_width=0, seed=0):
  """Returns a config with what opening data needs."""
  config = ml_collections.ConfigDict(
      dict(image_size=image_size, image_width=image_width, seed=seed))
  config.data = config_data
  return config


def open_source(source, **fields) -> Source:
  """Opens a source for pictures of 16 pixels."""
  return sources.open_source(make_config(source, **fields), image_size=16)


def domains(opened, split) -> list[list[str]]:
  """Returns the names in a and in b of a split."""
  records = opened.records[split]
  return [[records.name(int(i)) for i in np.flatnonzero(p.select(records.attributes))]
          for p in opened.domains.of(split)]
