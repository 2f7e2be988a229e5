"""TFDS's own celeb_a and cycle_gan, written and read as array_record without TensorFlow."""

import io
import os
import pickle
import subprocess
import sys

import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds

from helpers import data_samples
from helpers.data_samples import domains, open_source
from maskgan_jax import errors

_PLAIN, _FACES = data_samples.faces()


def _encoded(image):
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, 'PNG')
  buffer.seek(0)
  return buffer


def _prepare(name, data_dir, examples, **kwargs):
  """Writes a real TFDS data set whose examples, {split: [features]}, are ours."""
  with tfds.core.registered.skip_registration():
    class Builder(tfds.builder_cls(name.split('/')[0])):
      """TFDS's builder with its download replaced."""
      name = 'unregistered'

      def _split_generators(self, dl_manager):
        del dl_manager
        return {split: enumerate(rows) for split, rows in examples.items()}

      def _generate_examples(self):
        raise NotImplementedError
  Builder.name = name.split('/')[0]
  Builder(config=name.partition('/')[2] or None, data_dir=data_dir, **kwargs).download_and_prepare()


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """Returns a data_dir with celeb_a, labelled by the bits of a number, and cycle_gan."""
  data_dir = str(tmp_path_factory.mktemp('tfds'))
  features = tfds.builder_cls('celeb_a')(data_dir=data_dir).info.features
  names = sorted(features['attributes'])
  portrait = np.pad(_FACES, ((0, 0), (0, 193), (0, 153), (0, 0)))

  def celeba(number):
    example = {'image': _encoded(portrait[number]),
               'attributes': {name: bool(number >> k & 1) for k, name in enumerate(names)},
               'landmarks': dict.fromkeys(features['landmarks'], 0)}
    return example | ({'identity': {'Identity_No': 0}} if 'identity' in features else {})

  _prepare('celeb_a', data_dir, {
      'train': map(celeba, range(8)), 'validation': map(celeba, range(8, 12)),
      'test': map(celeba, range(12, 16))}, file_format='array_record')
  _prepare('cycle_gan/horse2zebra', data_dir, {
      f'{split}{label}': [{'image': _encoded(image), 'label': label} for image in pictures[:count]]
      for split, count in (('train', 5), ('test', 2))
      for label, pictures in (('A', _PLAIN), ('B', _FACES))}, file_format='array_record')
  return data_dir


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_celeb_a(prepared):
  names = sorted(tfds.builder_cls('celeb_a')(data_dir=prepared).info.features['attributes'])
  low, second = names[0], names[1]
  opened = open_source('tfds', name='celeb_a', data_dir=prepared, a=f"~'{low}'",
                       b=f"'{low}' & '{second}'")
  records = opened.records['train']
  assert sorted(records.attribute_names) == names
  assert {split: len(r) for split, r in opened.records.items()} == {
      'train': 8, 'validation': 4, 'test': 4}
  # TFDS shuffles on writing, but each picture shows which of ours it is, and so its labels.
  columns = [records.attribute_names.index(name) for name in names]
  seen = set()
  for i in range(8):
    image = records.image(i)
    assert image.shape == (218, 178, 3)
    number = next(n for n in range(8) if np.array_equal(_FACES[n], image[:25, :25]))
    seen.add(number)
    assert records.attributes[i, columns].tolist() == [bool(number >> k & 1) for k in range(40)]
  assert len(seen) == 8
  a, b = domains(opened, 'train')
  assert len(a) == 4 and len(b) == 2
  copy = pickle.loads(pickle.dumps(records))  # noqa: S301
  np.testing.assert_array_equal(copy.image(5), records.image(5))


def test_cycle_gan(prepared):
  opened = open_source('tfds', name='cycle_gan/horse2zebra', data_dir=prepared)
  assert opened.records['test'].attribute_names == ('B',)
  a, b = domains(opened, 'test')
  assert [name[-8:] for name in a + b] == ['testA[0]', 'testA[1]', 'testB[0]', 'testB[1]']
  records = opened.records['test']
  contents = {records.image(i)[..., 0].tobytes() for i in (2, 3)}
  assert contents == {face[..., 0].tobytes() for face in _FACES[:2]}
  parts = [domains(opened, split) for split in ('train', 'validation')]
  for train, validation in zip(*parts, strict=True):
    assert train and validation  # although 5 % of 5 is none
    assert len(set(train + validation)) == 5


def test_tensorflow_is_not_imported(prepared):
  code = f'''
import sys
from maskgan_jax import config as run_config
from maskgan_jax.data import pipeline
config = run_config.default('lomit')
config.image_size = 16
config.data.update(source='tfds', name='cycle_gan/horse2zebra', data_dir={prepared!r})
data = pipeline.make(config)
next(data.train(batch_size=2))
next(iter(data.evaluation('test', batch_size=2)))
assert 'tensorflow' not in sys.modules
'''
  subprocess.run([sys.executable, '-W', 'error', '-c', code], check=True,
                 env=os.environ | {'JAX_PLATFORMS': 'cpu'})


def test_what_is_not_there_is_named(prepared, tmp_path):
  for fields, problem in [
      ({}, 'config.data.name is empty'),
      ({'name': 'celeb'}, "'celeb' is not a TFDS data set .*did you mean 'celeb_a'"),
      ({'name': 'cycle_gan/horse2zebr'}, 'horse2zebr'),
      ({'name': 'celeb_a'}, 'TFDS has not prepared celeb_a in .*download_and_prepare'),
  ]:
    with pytest.raises(errors.UserError, match=problem) as caught:
      open_source('tfds', data_dir=str(tmp_path), **fields)
    assert '\n' not in str(caught.value)
  with pytest.raises(errors.UserError, match="no attribute 'Eyeglases'"):
    open_source('tfds', name='celeb_a', data_dir=prepared, a='Eyeglases')
