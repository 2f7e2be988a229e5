"""Records whose pictures show their number, and the pipeline over them."""

import itertools

import ml_collections
import numpy as np

from helpers import data_samples
from maskgan_jax import fields as fields_lib
from maskgan_jax.data import default_config, pipeline, transforms
from maskgan_jax.data.domains import domains_of
from maskgan_jax.data.records import Records, Source, SPLITS

NAMES = ('Glasses', 'Old')


class NumberedRecords(Records):
  """Pictures that show their number (red + 256 green) and which half is the left one (blue).

  Even records are without glasses; every third is old. True answers are as easy to recognise. The
  mask of `masks` shows the number too; with `truths` the other attribute's mask is one pixel.
  """

  attribute_names = NAMES

  def __init__(self, count, *, side=8, masks='', truths=False):
    numbers = np.arange(count)
    self.attributes = np.stack([numbers % 2 == 1, numbers % 3 == 0], axis=1)
    self.fingerprint = f'{count} {side}'
    self._side, self._masks = side, masks
    self.reads = []
    if truths:
      self.answers = 0
      self.knows_transfers = True
      self.transfer_truth, self.removal_truth = self._transfer_truth, self._removal_truth
      self.erased_truth = self._erased_truth

  def __len__(self):
    return len(self.attributes)

  def name(self, index):
    return f'picture {index}'

  def image(self, index):
    assert isinstance(index, int)
    self.reads.append(index)
    image = np.zeros((self._side, self._side, 3), np.uint8)
    image[..., 0], image[..., 1] = index % 256, index // 256
    image[:, self._side // 2:, 2] = 255
    return image

  def mask(self, index, attribute):
    if not self._masks:
      return None
    if attribute == self._masks:
      return np.full((self._side, self._side), index / len(self), np.float32)
    assert attribute in NAMES
    mask = np.zeros((self._side, self._side), np.float32)
    mask[index % self._side, 3] = 0.5
    return mask

  def _transfer_truth(self, a_index, b_index, attributes):
    assert attributes in (('Glasses',), NAMES)
    self.answers += 1
    image = self.image(a_index)
    image[..., 2] = b_index
    return image, np.full((self._side, self._side), 0.25, np.float32)

  def _erased_truth(self, a_index, b_index, attributes, erased):
    assert (attributes, erased) == (NAMES, 'Old')
    image = self.image(a_index)
    image[..., 2] = b_index + 100
    return image, np.full((self._side, self._side), 0.75, np.float32)

  def _removal_truth(self, b_index, attributes):
    image = self.image(b_index)
    image[..., 2] = 7
    return image


class Gradient(NumberedRecords):
  """Pictures whose pixels hold their row and column."""

  def __init__(self):
    super().__init__(20)

  def image(self, index):
    rows, columns = np.mgrid[:16, :16].astype(np.uint8)
    return np.stack([rows, columns, rows * 0], axis=-1)


def make_data(count=23, *, seed=0, image_size=8, image_width=0, records=None, **fields
              ) -> pipeline.Data:
  """Returns data over these records, or `count` numbered ones, with fields of config.data."""
  config = data_samples.make_config('folder', **{'a': '~Glasses', 'b': 'Glasses', **fields})
  records = records or {split: NumberedRecords(count) for split in SPLITS}
  source = Source(records, domains_of(config, NAMES), dict.fromkeys(SPLITS, 'own'))
  fields_lib.check(config, default_config.FIELDS, 'config.data.')
  shape = ml_collections.ConfigDict(dict(image_size=image_size, image_width=image_width))
  shape.data = config
  transform = transforms.Transform.of(shape)
  return pipeline.Data(config, source, transform, seed)


def numbers_of(images_):
  """Returns which records a stack shows, and which of them are mirrored."""
  levels = images_[..., 0, 0, :].astype(int)
  numbers = levels[..., 0] + 256 * levels[..., 1]
  return numbers, levels[..., 2] > 0


def take(iterator, count) -> list:
  """Returns the next `count` items of an iterator."""
  return list(itertools.islice(iterator, count))


def assert_same(left, right):
  """Checks that two batches have the same arrays, bit for bit."""
  assert left.keys() == right.keys()
  for name in left:
    assert left[name].dtype == right[name].dtype
    np.testing.assert_array_equal(left[name], right[name])
