"""Digits read from IDX files, TFDS and scikit-learn, and the messages about wrong files."""

import gzip
import os
import shutil

import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds

from helpers import data_samples
from helpers.digit_samples import COUNTS, digits_of, FILES, idx, write_mnist
from maskgan_jax import errors
from maskgan_jax.data import images, sources
from maskgan_jax.data.drawn import digit_images
from maskgan_jax.data.records import SPLITS


def test_embedded_digits_are_those_of_scikit_learn():
  from sklearn import datasets
  original = datasets.load_digits()
  embedded = digit_images.load_embedded()
  assert [len(embedded[split].labels) for split in ('train', 'test')] == [1500, 297]
  pictures = np.concatenate([embedded['train'].images, embedded['test'].images])
  labels = np.concatenate([embedded['train'].labels, embedded['test'].labels])
  np.testing.assert_array_equal(labels, original.target)
  assert pictures.shape == (1797, 28, 28) and pictures.dtype == np.uint8
  assert not pictures[:, :4].any() and not pictures[:, :, 24:].any()
  for index in range(0, 1797, 60):  # shrunk again, each is closest to its original
    small = Image.fromarray(pictures[index, 4:24, 4:24]).resize((8, 8), Image.Resampling.BOX)
    distance = np.abs(original.images * (255 / 16) - np.asarray(small, np.float64)).sum(axis=(1, 2))
    assert distance.argmin() == index
  share = (pictures > 127.5).mean(axis=(1, 2))
  assert share.min() > 0.05 and share.max() < 0.3


@pytest.mark.parametrize('ending, pack', [
    ('', lambda data: data), ('.gz', gzip.compress), ('.gz', lambda data: data)])
def test_idx_files(tmp_path, ending, pack):
  folder = write_mnist(tmp_path / 'mnist', ending, pack)
  origin = digit_images.open_digits('idx', path=str(folder))
  for split, digits in origin.load().items():
    np.testing.assert_array_equal(digits.images, digits_of(split).images)
    np.testing.assert_array_equal(digits.labels, digits_of(split).labels)
  plain = digit_images.open_digits('idx', path=str(write_mnist(tmp_path / 'plain')))
  assert origin.name == plain.name


def _patched(array, **changes):
  """Returns IDX bytes with some bytes changed: {'at_3': 1}."""
  data = bytearray(idx(array))
  for place, value in changes.items():
    data[int(place[3:])] = value
  return bytes(data)


@pytest.mark.parametrize('name, make, message', [
    ('train-images-idx3-ubyte', None, 'has no train-images-idx3-ubyte and no .*gz'),
    ('train-images-idx3-ubyte', lambda d: idx(d.labels), 'begins with 00000801.*00000803'),
    ('train-labels-idx1-ubyte', lambda d: idx(d.images), 'begins with 00000803.*00000801'),
    ('t10k-labels-idx1-ubyte', lambda d: b'', 'begins with nothing'),
    ('t10k-labels-idx1-ubyte', lambda d: b'\0\0\x08\x01\0', 'is damaged: 0 bytes follow'),
    ('t10k-images-idx3-ubyte', lambda d: idx(d.images)[:-1], 'is damaged.*promises 60x28x28'),
    ('t10k-images-idx3-ubyte', lambda d: idx(d.images) + b'!', 'is damaged.*promises 60x28x28'),
    ('train-images-idx3-ubyte', lambda d: gzip.compress(idx(d.images))[:-20], 'cut short'),
    ('train-images-idx3-ubyte', lambda d: b'\x1f\x8b' + bytes(40), 'damaged'),
    ('train-images-idx3-ubyte', lambda d: gzip.compress(idx(d.images))[:99] + bytes(9),
     'damaged'),
    ('train-images-idx3-ubyte', lambda d: idx(d.images[:, :20]), 'of 28x20 pixels'),
    ('train-labels-idx1-ubyte', lambda d: idx(d.labels[1:]),
     '60 pictures in train-images-idx3-ubyte but 59 labels'),
    ('train-labels-idx1-ubyte', lambda d: _patched(d.labels, at_9=26), 'has a label 26'),
])
def test_wrong_idx_files_are_named(tmp_path, name, make, message):
  folder = write_mnist(tmp_path / 'mnist')
  os.remove(folder / name)
  if make:
    (folder / name).write_bytes(make(digits_of('train')))
  with pytest.raises(errors.UserError, match=message) as caught:
    digit_images.open_digits('idx', path=str(folder))
  assert '\n' not in str(caught.value) and name in str(caught.value)


def test_misnamed_file_is_found(tmp_path):
  folder = write_mnist(tmp_path / 'mnist')
  os.rename(folder / 'train-labels-idx1-ubyte', folder / 'train-labels.idx1-ubyte')
  with pytest.raises(errors.UserError, match="did you mean 'train-labels.idx1-ubyte'"):
    digit_images.open_digits('idx', path=str(folder))
  empty = write_mnist(tmp_path / 'empty')
  for name, shape in zip(FILES['test'], ((0, 28, 28), (0,)), strict=True):
    (empty / name).write_bytes(idx(np.zeros(shape, np.uint8)))
  with pytest.raises(errors.UserError, match='t10k-labels-idx1-ubyte has no labels'):
    digit_images.open_digits('idx', path=str(empty))


def _config(data_dir):
  return data_samples.make_config('colored_digits', name='single', digits='tfds',
                                  data_dir=str(data_dir))


@pytest.fixture(scope='module')
def tfds_mnist(tmp_path_factory):
  """Returns a data_dir in which TFDS's own `mnist` has our few digits."""
  data_dir = tmp_path_factory.mktemp('tfds')
  original = tfds.builder_cls('mnist')
  with tfds.core.registered.skip_registration():
    class Mnist(original):
      """TFDS's builder with its download replaced."""
      name = 'mnist'

      def _split_generators(self, dl_manager):
        del dl_manager
        return {split: self._generate_examples(digits_of(split)) for split in COUNTS}

      def _generate_examples(self, digits):
        for index, label in enumerate(digits.labels):
          path = data_dir / 'digit.png'
          images.save_png(path, digits.images[index])
          yield index, {'image': path.read_bytes(), 'label': int(label)}
  Mnist(data_dir=str(data_dir), file_format='array_record').download_and_prepare()
  return data_dir


def test_tfds_mnist(tfds_mnist):
  origin = digit_images.open_digits('tfds', data_dir=str(tfds_mnist))

  def contents(digits):  # TFDS shuffles on writing
    return sorted(zip(digits.labels.tolist(), map(bytes, digits.images), strict=True))

  for split, digits in origin.load().items():
    assert contents(digits) == contents(digits_of(split))
  records = sources.open_source(_config(tfds_mnist), image_size=28).records
  assert [len(records[split]) for split in SPLITS] == [120, 12, 80]
  assert (tfds_mnist / 'colored_digits' / f'single-{origin.name}' / '1.0.0').is_dir()


def test_damaged_tfds_mnist_says_so(tfds_mnist, tmp_path):
  shutil.copytree(tfds_mnist / 'mnist', tmp_path / 'mnist')
  [path] = tmp_path.glob('mnist/*/*test*array_record*')
  path.write_bytes(path.read_bytes()[:300])
  with pytest.raises(errors.UserError, match='mnist.*is damaged.*prepare it again') as caught:
    sources.open_source(_config(tmp_path), image_size=28)
  assert '\n' not in str(caught.value)
  assert not list(tmp_path.glob('colored_digits/single*/1.0.0'))
