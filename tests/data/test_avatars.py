"""The avatars data set: reproducible, drawn once, complete or absent, without TensorFlow."""

import dataclasses
import errno
import hashlib
import io
import os
import signal
import subprocess
import sys
import time
import types

import numpy as np
from PIL import Image
import pytest

from helpers.paths import ROOT
from maskgan_jax import errors
from maskgan_jax.data.drawn import avatar_faces, avatars, preparation

SIZE = 32

PREPARE = '''
import sys, types
from maskgan_jax.data.drawn import avatars
config = types.SimpleNamespace(data_dir=sys.argv[1], num_train=int(sys.argv[2]), num_validation=1,
                               num_test=1, difficulty=())
records = avatars.AvatarRecords(config, 'train', 32)
print(len(records), records.fingerprint)
'''


def config_data(data_dir, train=24, validation=8, test=8, difficulty=()):
  return types.SimpleNamespace(data_dir=str(data_dir), num_train=train, num_validation=validation,
                               num_test=test, difficulty=difficulty)


@pytest.fixture(scope='module')
def tfds_dir(tmp_path_factory):
  return tmp_path_factory.mktemp('tfds')


@pytest.fixture(scope='module')
def train(tfds_dir):
  return avatars.AvatarRecords(config_data(tfds_dir), 'train', SIZE)


def test_first_faces_are_the_ones_of_this_version():
  # Golden. If a change of ours is meant to change pixels, or a new python-avatars or resvg-py draws
  # others: bump Avatars.VERSION with a release note, and only then write the new number here.
  assert str(avatars.Avatars.VERSION) == '1.0.0'
  images = [avatars.draw_example('train', index, SIZE)['image'] for index in range(16)]
  pixels = b''.join(np.asarray(Image.open(io.BytesIO(png))).tobytes() for png in images)
  assert hashlib.sha256(pixels).hexdigest() == (
      '0db13513c2e35c0c7fecf822b15ecbc25aff9bbfa073b51581f3fe51ee045932')


def test_records_are_the_faces_drawn_alone(train):
  assert len(train) == 24 and train.attributes.shape == (24, len(train.attribute_names))
  assert train.attributes.dtype == bool
  for index in (0, 7, 23):
    face = avatar_faces.recipe(avatars._SEED, 'train', index)
    assert train.recipe(index) == face
    np.testing.assert_array_equal(train.image(index), avatar_faces.render(face, SIZE))
    assert dict(zip(train.attribute_names, train.attributes[index], strict=True)) == (
        avatar_faces.attributes_of(face))
  assert train.image(0).dtype == np.uint8 and train.image(0).flags.writeable
  assert '7' in train.name(7)


def test_stored_masks_are_the_exact_ones(train, tfds_dir):
  del train  # has drawn them
  config = avatars._config(config_data(tfds_dir), SIZE)
  builder = avatars.Avatars(config=config, data_dir=tfds_dir, file_format='array_record')
  for index, record in enumerate(builder.as_data_source('validation')):
    face = avatar_faces.recipe(avatars._SEED, 'validation', index)
    for name, mask in record['masks'].items():
      exact = avatar_faces.attribute_mask(face, name, SIZE)
      assert ((mask[..., 0] > 0) == (exact > 0)).all()
      np.testing.assert_allclose(mask[..., 0] / 255, exact, atol=1 / 255)


def test_records_know_the_exact_answers(train):
  glasses = train.attributes[:, train.attribute_names.index('Eyeglasses')]
  a, b = np.flatnonzero(~glasses)[0], np.flatnonzero(glasses)[0]
  truth, changed = train.transfer_truth(a, b, ['Eyeglasses'])
  assert truth.shape == (SIZE, SIZE, 3) and truth.dtype == np.uint8
  assert changed.dtype == np.float32 and changed.max() > 0.8
  np.testing.assert_array_equal(truth[changed == 0], train.image(a)[changed == 0])
  assert (truth != train.image(a)).any()
  removed = train.removal_truth(b, ['Eyeglasses'])
  mask = train.mask(b, 'Eyeglasses')
  np.testing.assert_array_equal(removed[mask == 0], train.image(b)[mask == 0])
  assert (removed != train.image(b)).any()
  assert not train.mask(a, 'Eyeglasses').any()


def test_labels_tell_what_features_are_like(train):
  assert set(train.features) == set(avatar_faces.FEATURE_LABELS)
  for feature in train.features:
    labels = train.labels_of(feature)
    assert labels and set(labels) <= set(train.attribute_names)
    columns = [train.attribute_names.index(name) for name in labels]
    seen = {}  # faces with the same feature have the same labels of it
    for index in range(len(train)):
      if (train.mask(index, feature) > 0).any():
        value = getattr(train.recipe(index), feature)
        labels = tuple(train.attributes[index, columns])
        assert seen.setdefault(value, labels) == labels
    assert len(set(seen.values())) == (6 if feature == 'hair_color' else 2)
  assert train.labels_of('Eyeglasses') == ()


@pytest.mark.parametrize('attributes, erased', [
    (('hair_color', 'mouth'), 'mouth'), (('hair_color', 'mouth'), 'hair_color'),
    (('Black_Hair', 'Smiling'), 'Smiling'), (('Black_Hair', 'Red_Hair', 'mouth'), 'Black_Hair')])
def test_what_is_erased_stays_the_faces_own(train, attributes, erased):
  field, other_field = (('mouth', 'hair_color') if erased in ('mouth', 'Smiling') else
                        ('hair_color', 'mouth'))
  regions = 0
  for a, b in zip(range(23), range(1, 24), strict=True):
    face, other = train.recipe(a), train.recipe(b)
    truth, region = train.erased_truth(a, b, attributes, erased)
    expected = dataclasses.replace(face, **{other_field: getattr(other, other_field)})
    np.testing.assert_array_equal(truth, avatar_faces.render(expected, SIZE))
    moved, _ = train.transfer_truth(a, b, attributes)
    differs = (truth != moved).any(axis=-1)
    assert region.dtype == np.float32 and not differs[region == 0].any()
    assert (getattr(face, field) != getattr(other, field)) or not region.any()
    regions += region.any()
  assert regions > 10


def test_second_opening_draws_nothing(train, tfds_dir, monkeypatch):
  def fail(*args, **kwargs):
    raise AssertionError('drawn again')

  monkeypatch.setattr(avatars, 'draw_example', fail)
  again = avatars.AvatarRecords(config_data(tfds_dir), 'train', SIZE)
  assert again.fingerprint == train.fingerprint
  other = avatars.AvatarRecords(config_data(tfds_dir), 'validation', SIZE)
  assert other.fingerprint != train.fingerprint


def test_size_and_counts_have_their_own_folder_but_the_same_faces(train, tfds_dir):
  other = avatars.AvatarRecords(config_data(tfds_dir, train=3), 'train', 40)
  assert len(other) == 3 and other.image(0).shape == (40, 40, 3)
  assert [other.recipe(i) for i in range(3)] == [train.recipe(i) for i in range(3)]
  assert other.fingerprint != train.fingerprint
  assert sorted(path.name for path in (tfds_dir / 'avatars').iterdir() if path.is_dir()
                and path.name != '.config') == ['32_24_8_8', '40_3_8_8']


def test_default_counts_are_the_named_dataset():
  config = avatars._config(config_data('', 0, 0, 0), 64)
  assert config is avatars.Avatars.BUILDER_CONFIGS[1] and config.name == '64'


def test_wrong_requests_are_one_clear_line(tmp_path):
  for request, split, size, message in [
      (config_data(tmp_path), 'train', 4, '4 pixels'),
      (config_data(tmp_path), 'valid', 32, "no split 'valid'")]:
    with pytest.raises(errors.UserError, match=message) as caught:
      avatars.AvatarRecords(request, split, size)
    assert '\n' not in str(caught.value)


def test_folder_that_cannot_be_written(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match='cannot draw.*data_dir') as caught:
    avatars.AvatarRecords(config_data(tmp_path / 'file'), 'train', SIZE)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('error', [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    RuntimeError(f'write() failed: {os.strerror(errno.ENOSPC)}; writing x')])  # array_record's
def test_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, error):
  def fail(split, index, size, difficulties):
    raise error

  monkeypatch.setattr(avatars, 'draw_example', fail)
  with pytest.raises(errors.UserError, match='No space left on device; set config.data.data_dir'):
    avatars.AvatarRecords(config_data(tmp_path), 'train', SIZE)
  assert not list((tmp_path / 'avatars' / '32_24_8_8').iterdir())
  monkeypatch.undo()
  assert len(avatars.AvatarRecords(config_data(tmp_path), 'train', SIZE)) == 24


def test_bug_in_drawing_is_not_called_a_users_mistake(tmp_path, monkeypatch):
  monkeypatch.setattr(avatars, 'draw_example', lambda *args, **kwargs: {}['bug'])
  with pytest.raises(KeyError, match='bug'):
    avatars.AvatarRecords(config_data(tmp_path), 'train', SIZE)


@pytest.mark.parametrize('harm', ['truncate', 'delete', 'information'])
def test_damaged_folder_says_so(tmp_path, harm):
  avatars.AvatarRecords(config_data(tmp_path, 2, 1, 1), 'train', SIZE)
  folder = tmp_path / 'avatars' / '32_2_1_1' / '1.0.0'
  [records] = folder.glob('*train*')
  if harm == 'truncate':
    records.write_bytes(records.read_bytes()[:5000])
  elif harm == 'delete':
    records.unlink()
  else:
    (folder / 'dataset_info.json').write_text('{')
  with pytest.raises(errors.UserError, match='is damaged.*delete it') as caught:
    avatars.AvatarRecords(config_data(tmp_path, 2, 1, 1), 'train', SIZE)
  assert '\n' not in str(caught.value)


def test_pictures_of_another_drawing_are_refused(train, tfds_dir, monkeypatch):
  del train
  render = avatar_faces.render
  monkeypatch.setattr(avatar_faces, 'render', lambda face, size: 255 - render(face, size))
  with pytest.raises(errors.UserError, match='another version of python-avatars'):
    avatars.AvatarRecords(config_data(tfds_dir), 'train', SIZE)


# Processes.


def run(program, *arguments):
  return subprocess.Popen([sys.executable, '-W', 'error', '-c', program, *map(str, arguments)],
                          stdout=subprocess.PIPE, text=True,
                          cwd=ROOT)


def test_no_tensorflow_and_no_chatter(tmp_path):
  program = PREPARE + '''
assert not {'tensorflow', 'jax'} & set(sys.modules)
'''
  process = run(program, tmp_path, 2)
  output, _ = process.communicate()
  assert process.returncode == 0
  assert output.startswith('2 ') and output.count('\n') == 1


def test_faces_need_no_tfds():
  process = run('''
import sys
import maskgan_jax.data.drawn.avatar_faces
assert not {'tensorflow_datasets', 'tensorflow', 'jax'} & set(sys.modules)
''')
  process.communicate()
  assert process.returncode == 0


@pytest.mark.slow
def test_processes_draw_what_one_draws(monkeypatch):
  monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {0, 1}, raising=False)
  alone = list(avatars._draw_all('train', 150, SIZE, ()))
  monkeypatch.setattr(avatars, '_PIXELS_WORTH_A_POOL', 0)
  assert list(avatars._draw_all('train', 150, SIZE, ())) == alone


def test_slower_of_two_without_locks_takes_what_the_faster_drew(tmp_path, monkeypatch):
  monkeypatch.setattr(preparation, 'fcntl', None)
  draw, other = avatars.draw_example, []

  def meanwhile(split, index, size, difficulties):
    if not other:
      other.append(True)
      other.append(avatars.AvatarRecords(config_data(tmp_path, 2, 1, 1), 'train', SIZE))
    return draw(split, index, size)

  monkeypatch.setattr(avatars, 'draw_example', meanwhile)
  slower = avatars.AvatarRecords(config_data(tmp_path, 2, 1, 1), 'train', SIZE)
  assert slower.fingerprint == other[1].fingerprint
  assert [path.name for path in (tmp_path / 'avatars' / '32_2_1_1').iterdir()] == ['1.0.0']


@pytest.mark.slow
def test_two_preparations_at_once_agree(tmp_path):
  processes = [run(PREPARE, tmp_path, 300) for _ in range(2)]
  outputs = [process.communicate()[0] for process in processes]
  assert [process.returncode for process in processes] == [0, 0]
  assert outputs[0] == outputs[1] and outputs[0].startswith('300 ')
  assert [path.name for path in (tmp_path / 'avatars' / '32_300_1_1').iterdir()] == ['1.0.0']


@pytest.mark.slow
def test_killed_preparation_leaves_no_dataset(tmp_path):
  process = run(PREPARE, tmp_path, 2000)
  folder = tmp_path / 'avatars' / '32_2000_1_1'
  while not list(folder.glob('incomplete*')):
    assert process.poll() is None
    time.sleep(0.05)
  process.send_signal(signal.SIGKILL)
  process.communicate()
  assert not (folder / '1.0.0').exists()
  assert len(avatars.AvatarRecords(config_data(tmp_path, 2000, 1, 1), 'train', SIZE)) == 2000
  assert [path.name for path in folder.iterdir()] == ['1.0.0']
