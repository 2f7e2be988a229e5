"""A user's folders and masks: which files are read, how they are divided, what is refused."""

import os
import pickle

import numpy as np
import pytest

from helpers import data_samples
from helpers.data_samples import domains, make_config, open_source
from maskgan_jax import errors
from maskgan_jax.data import images, sources
from maskgan_jax.data import unused as unused_pictures
from maskgan_jax.data.records import SPLITS

_PLAIN, _FACES = data_samples.faces()


def _names(records):
  return [records.name(i) for i in range(len(records))]


# Folders.


def test_paired_folders(tmp_path):
  root = data_samples.write_domains(tmp_path)
  opened = open_source('folder', path=root)
  assert opened.records['train'].attribute_names == ('B',)
  a, b = domains(opened, 'test')
  assert a == [f'testA/{i:03d}.png' for i in range(3)]
  assert b == [f'testB/{i:03d}.png' for i in range(4)]
  assert opened.divided['test'] == 'own' and 'by hash' in opened.divided['validation']
  a, b = domains(opened, 'train')
  more_a, more_b = domains(opened, 'validation')
  assert sorted(a + more_a) == [f'trainA/{i:03d}.png' for i in range(8)]
  assert sorted(b + more_b) == [f'trainB/{i:03d}.png' for i in range(10)]
  assert len(more_a) >= 1 and len(more_b) >= 1
  test = opened.records['test']
  for i, name in enumerate(_names(test)):
    expected = (_PLAIN if 'A/' in name else _FACES)[50 + int(name[6:9])]
    np.testing.assert_array_equal(test.image(i), expected)
    assert test.mask(i, '') is None


def test_paired_folders_with_their_own_validation(tmp_path):
  root = data_samples.write_domains(tmp_path)
  for domain in 'AB':
    data_samples.write(tmp_path / f'val{domain}', _FACES[:2])
  opened = open_source('folder', path=root)
  assert domains(opened, 'validation') == [['valA/000.png', 'valA/001.png'],
                                            ['valB/000.png', 'valB/001.png']]
  assert len(opened.records['train']) == 18


def test_split_and_label_folders(tmp_path):
  for split in ('train', 'Val', 'test'):
    for label, pictures in (('cat', _PLAIN), ('dog house', _FACES)):
      data_samples.write(tmp_path / split / label, pictures[:3])
  opened = open_source('folder', path=str(tmp_path), a='cat', b="'dog house'")
  assert opened.records['train'].attribute_names == ('cat', 'dog house')
  assert domains(opened, 'validation')[1] == [f'Val/dog house/{i:03d}.png' for i in range(3)]
  with pytest.raises(errors.UserError, match="no attribute 'Eyeglasses'; attributes: cat, dog"):
    open_source('folder', path=str(tmp_path))


def test_label_folders_are_divided_by_fractions(tmp_path):
  data_samples.write(tmp_path / 'with', _FACES)
  data_samples.write(tmp_path / 'without', _PLAIN)
  opened = open_source('folder', path=str(tmp_path), a='without', b='with', validation_fraction=0.1,
                 test_fraction=0.2)
  counts = {split: len(opened.records[split]) for split in SPLITS}
  assert sum(counts.values()) == 200
  assert counts['validation'] == pytest.approx(20, abs=12)
  assert counts['test'] == pytest.approx(40, abs=16)


def test_other_files_and_hidden_folders_are_passed_over(tmp_path):
  root = data_samples.write_domains(tmp_path)
  (tmp_path / 'trainA' / 'notes.txt').write_text('x')
  (tmp_path / 'trainA' / '._000.png').write_text('x')
  (tmp_path / '__MACOSX' / 'trainA').mkdir(parents=True)
  (tmp_path / 'unrelated').mkdir()
  assert len(open_source('folder', path=root).records['train']) <= 18


def test_adding_pictures_moves_none_between_splits(tmp_path):
  data_samples.write(tmp_path / 'B', _FACES[:60])
  data_samples.write(tmp_path / 'A', _PLAIN[:60])
  fields = {'path': str(tmp_path), 'validation_fraction': 0.2, 'test_fraction': 0.2}
  before = {split: set(_names(r)) for split, r in open_source('folder', **fields).records.items()}
  data_samples.write(tmp_path / 'B', _FACES[60:], start=60)
  after = {split: set(_names(r)) for split, r in open_source('folder', **fields).records.items()}
  assert all(before[split] <= after[split] for split in SPLITS)


def test_first_of_each_domain_as_test_set(tmp_path):
  data_samples.write_domains(tmp_path)
  opened = open_source('folder', path=str(tmp_path), test_first=2, validation_fraction=0.0)
  assert domains(opened, 'test') == [['trainA/000.png', 'trainA/001.png'],
                                      ['trainB/000.png', 'trainB/001.png']]
  assert len(opened.records['train']) == 25 - 4 and len(opened.records['validation']) == 0


def test_wrong_levels_and_empty_folders_say_what_to_name(tmp_path):
  root = tmp_path / 'data' / 'horses'
  data_samples.write_domains(root)
  empty = tmp_path / 'empty'
  empty.mkdir()
  nested = tmp_path / 'nested' / 'one' / 'two'
  nested.mkdir(parents=True)
  flat = tmp_path / 'flat'
  data_samples.write(flat, _FACES[:2])
  labels = tmp_path / 'labels' / 'cat'
  data_samples.write(labels, _FACES[:2])
  data_samples.write(tmp_path / 'labels' / 'dog', _FACES[:2])
  data_samples.write(tmp_path / 'split' / 'train' / 'cat', _FACES[:2])
  for path, problem in [
      ('', 'config.data.path is empty'),
      (root / 'trainA', f"is one part of a data set; name the folder above it, '{root}'"),
      (tmp_path / 'split' / 'train', 'is one part of a data set; name the folder above'),
      (tmp_path / 'data', f"is one level too high; name '{root}'"),
      (empty, 'is empty; expected trainA/ and trainB/'),
      (tmp_path / 'nested', 'has the folders one, but no pictures in them'),
      (root / 'trainA' / '000.png', 'is a file; name the folder'),
      (tmp_path / 'data' / 'horsse', r"does not exist (did you mean 'horses'?)"),
      (labels, f"is one level too low: it holds the pictures of one label; name '{labels.parent}'"),
  ]:
    with pytest.raises(errors.UserError) as caught:
      open_source('folder', path=str(path))
    assert problem in str(caught.value)
  with pytest.raises(errors.UserError, match='2 pictures that nothing tells apart'):
    open_source('folder', path=str(_moved(flat, tmp_path / 'alone' / 'deep' / 'flat')))


def _moved(old, new):
  os.makedirs(new.parent)
  os.rename(old, new)
  return new


@pytest.mark.parametrize('present, absent', ['AB', 'BA'])
def test_one_training_domain_is_not_enough(tmp_path, present, absent):
  data_samples.write(tmp_path / f'train{present}', _FACES[:2])
  (tmp_path / f'train{absent}').mkdir()
  with pytest.raises(errors.UserError, match=f'train{present}, but no pictures in train{absent}'):
    open_source('folder', path=str(tmp_path))


# Masks.


def _with_masks(tmp_path, scale=1):
  root = data_samples.write_domains(tmp_path / 'pictures', num_test=(2, 2))
  for i, face in enumerate(_FACES[50:52]):
    mask = np.kron(face[..., 0] > 128, np.ones((scale, scale), bool)).astype(np.uint8) * 255
    images.save_png(tmp_path / 'masks' / 'testB' / f'{i:03d}.png', mask)
  return root, str(tmp_path / 'masks')


def test_masks_are_found_by_their_relative_stem_and_resized(tmp_path):
  for scale in (1, 2):
    root, masks = _with_masks(tmp_path / str(scale), scale)
    records = open_source('folder', path=root, masks_path=masks).records['test']
    assert [records.mask(i, '') is None for i in range(4)] == [True, True, False, False]
    mask = records.mask(3, '')
    assert mask.shape == (25, 25) and mask.dtype == np.float32
    np.testing.assert_array_equal(mask > 0.5, _FACES[51][..., 0] > 128)


def test_masks_are_found_by_stem_where_that_is_unambiguous(tmp_path):
  data_samples.write(tmp_path / 'p' / 'trainA', _PLAIN[:2])
  data_samples.write(tmp_path / 'p' / 'trainB', _FACES[:2], start=10)
  data_samples.write(tmp_path / 'masks', _FACES[:2], suffix='.bmp', start=10)
  config = make_config('folder', path=str(tmp_path / 'p'), masks_path=str(tmp_path / 'masks'))
  records = sources._open_listing(config).records
  assert [records.mask(i, '') is None for i in range(4)] == [True, True, False, False]
  data_samples.write(tmp_path / 'p' / 'trainA', _PLAIN[:1], start=10)
  with pytest.raises(errors.UserError, match='could be that of trainA/010.png or of trainB/010'):
    sources._open_listing(config)


def test_masks_of_the_wrong_shape_or_name(tmp_path):
  root, masks = _with_masks(tmp_path)
  images.save_png(os.path.join(masks, 'testB', '000.png'), np.zeros((25, 30), np.uint8))
  records = open_source('folder', path=root, masks_path=masks).records['test']
  with pytest.raises(errors.UserError, match='is 30x25, of another shape than its picture testB'):
    records.mask(2, '')
  images.save_png(os.path.join(masks, 'testB', '000.bmp'), np.zeros((25, 25), np.uint8))
  with pytest.raises(errors.UserError, match='are masks of one picture'):
    open_source('folder', path=root, masks_path=masks)
  images.save_png(tmp_path / 'other' / 'zzz.png', np.zeros((25, 25), np.uint8))
  with pytest.raises(errors.UserError, match="has 1 masks, none with the name.*'zzz'"):
    open_source('folder', path=root, masks_path=str(tmp_path / 'other'))
  with pytest.raises(errors.UserError, match='masks_path=.* does not exist'):
    open_source('folder', path=root, masks_path=str(tmp_path / 'absent'))


def test_records_survive_pickling_for_workers(tmp_path):
  root, masks = _with_masks(tmp_path)
  records = open_source('folder', path=root, masks_path=masks).records['test']
  copy = pickle.loads(pickle.dumps(records))  # noqa: S301
  np.testing.assert_array_equal(copy.image(3), records.image(3))
  np.testing.assert_array_equal(copy.mask(3, ''), records.mask(3, ''))


# Files that are not used.


def test_pictures_that_are_not_used_are_named(tmp_path):
  root = tmp_path / 'p'
  data_samples.write_domains(root)
  assert open_source('folder', path=str(root)).unused == ''
  data_samples.write(root / 'trainA' / 'more' / 'deeper', _PLAIN[:3])
  data_samples.write(root / 'trainC', _PLAIN[:2])
  data_samples.write(root / 'masks', _PLAIN[:1, ..., 0], start=8)
  data_samples.write(root, _PLAIN[:1])
  data_samples.write(root / '.hidden', _PLAIN[:1])
  for name in ('IMG_1.HEIC', 'b.dng', '.c.heic', 'notes.txt'):
    (root / 'trainA' / name).write_bytes(b'x')
  os.symlink('/nowhere/1.png', root / 'testB' / 'l.png')
  os.symlink('circle.png', root / 'testB' / 'circle.png')
  images.save_png(root / 'check_data.png', _PLAIN[0])
  os.mkfifo(root / 'testB' / 'p.png')
  unused = open_source('folder', path=str(root), masks_path=str(root / 'masks')).unused
  assert unused == (
      'not used: 6 pictures in folders that are not looked into (., trainC, trainA/more/deeper); '
      '2 links to files that are not there (testB/circle.png, testB/l.png); '
      '1 pipes or devices (testB/p.png); 2 files of formats to be converted to PNG or JPEG '
      '(trainA/IMG_1.HEIC, trainA/b.dng)')
  assert 'masks' in open_source('folder', path=str(root)).unused


def test_pictures_beside_folders_of_labels_are_named(tmp_path):
  for label in ('cat', 'dog'):
    data_samples.write(tmp_path / 'train' / label, _PLAIN[:4])
  data_samples.write(tmp_path / 'train', _PLAIN[:1])
  data_samples.write(tmp_path / 'train' / 'cat' / 'thumbs', _PLAIN[:2])
  opened = open_source('folder', path=str(tmp_path), a='cat', b='dog')
  assert '3 pictures in folders that are not looked into (train, train/cat/thumbs)' in opened.unused
  labels = ['train/cat', *(f'train/label{i}' for i in range(unused_pictures._MOST_FOLDERS))]
  for label in labels[1:]:
    (tmp_path / label).mkdir()
  assert 'train/cat/thumbs)' in unused_pictures.describe(str(tmp_path), labels)
