"""`translate` takes folders and pictures as people have them: large, mixed, oddly named."""

import os
import time

import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from helpers.tiny_model import make_config, SIZE
from maskgan_jax import errors, translate
from maskgan_jax.data.sources import files as file_records
from maskgan_jax.methods.base import Method, Translation
from maskgan_jax.runs import pictures
from maskgan_jax.translate import Edits, inputs, results
from maskgan_jax.translator import Translator


class Inverts(Method):
  """Inverts colours; the model itself does not matter here."""
  abilities = frozenset({'exemplar', 'source_mask', 'remove', 'segment'})

  def translate(self, params, model_state, source, exemplar, **unused):
    return Translation(-source, jnp.ones((*source.shape[:3], 1)))

  def segment(self, params, model_state, image):
    return jnp.ones((*image.shape[:3], 1))

  def remove(self, params, model_state, image, **unused):
    return self.translate(params, model_state, image, None)


def inverting(**fields):
  return Translator(Inverts(), {}, {}, make_config(data__load_size=0, **fields))


@pytest.fixture
def t():
  return inverting()


def _save(path, height=SIZE, width=SIZE, most=256):
  picture = np.random.default_rng(0).integers(0, most, (height, width, 3), np.uint8)
  os.makedirs(path.parent, exist_ok=True)
  Image.fromarray(picture).save(path)
  return str(path)


def test_a_folder_of_forty_thousand_is_listed_in_a_moment(monkeypatch):
  names = sorted(f'{i}.png' for i in range(40_000)) + ['7.bmp']
  monkeypatch.setattr(file_records, 'list_images', lambda folder: sorted(names))
  monkeypatch.setattr(os.path, 'isdir', lambda path: True)
  began = time.process_time()
  listed = inputs.listed('many')
  assert len(listed) == 40_001 and listed[0] == ('0', 'many/0.png')
  assert [name for name, file in listed if '/7.' in file] == ['7.bmp', '7.png']
  stems = [f'out/{name}' for name, _ in listed]
  results._check_outputs(stems, ['.png'], ['many'])
  with pytest.raises(errors.UserError, match='two results would be called out/99.png'):
    results._check_outputs([*stems, 'out/99'], ['.png'], ['many'])
  assert time.process_time() - began < 5  # 22 s and more if each name were searched among all


def test_a_folder_of_masks_is_listed_once(monkeypatch, t, tmp_path):
  for i in range(20):
    _save(tmp_path / 'in' / f'{i}.png')
    _save(tmp_path / 'masks' / f'{i}.png')
  listed = []
  list_images = file_records.list_images
  monkeypatch.setattr(file_records, 'list_images', lambda folder: (
      listed.append(os.path.basename(folder)), list_images(folder))[1])
  loaded = inputs.load(t, str(tmp_path / 'in'), Edits(str(tmp_path / 'masks')),
                       flag='source_mask', note=print)
  assert len(loaded) == 20 and all(picture.mask is not None for picture in loaded)
  assert listed.count('masks') == 1 and listed.count('in') == 1


def test_what_is_not_used_of_a_folder_is_told(t, tmp_path):
  source = tmp_path / 's'
  _save(source / 'a.png')
  _save(source / 'more' / 'b.png')
  _save(source / 'masks' / 'a.png')
  _save(source / 'out' / 'before.png')
  (source / 'IMG_1.HEIC').write_bytes(b'x')
  os.symlink('/nowhere/c.png', source / 'c.png')
  os.mkfifo(source / 'd.png')  # opening it would block forever
  notes = []
  translate.translate(t, str(source), str(source / 'a.png'), str(source / 'out'),
                      source_edits=Edits(str(source / 'masks')), note=notes.append)
  assert sorted(os.listdir(source / 'out')) == ['a__a.png', 'before.png']
  assert notes == [
      f'{source}: not used: 1 pictures in folders that are not looked into (more); 1 links to '
      'files that are not there (c.png); 1 pipes or devices (d.png); 1 files of formats to be '
      'converted to PNG or JPEG (IMG_1.HEIC)']


def test_a_crop_of_little_of_a_picture_is_told(tmp_path):
  t = inverting(data__crop='center:20,18')
  exemplar = _save(tmp_path / 'e.png')
  for name in 'xyz':
    _save(tmp_path / 'in' / f'{name}.png', 200, 180)
  _save(tmp_path / 'in' / 'as_trained.png', 24, 20)
  notes = []
  translate.translate(t, str(tmp_path / 'in'), exemplar, str(tmp_path / 'out'), note=notes.append)
  assert notes == [
      f"config.data.crop='center:20,18' leaves 1 % of {tmp_path / 'in' / 'x.png'}, which is 200 "
      'high and 180 wide: it is in pixels of the training pictures; resize this one to their size '
      'first (and 2 more are alike)']


def test_a_picture_of_too_few_bits_is_told(t, tmp_path):
  levels = np.arange(SIZE * SIZE, dtype=np.uint16).reshape(SIZE, SIZE) * 15  # of 12 bits
  Image.fromarray(levels).save(tmp_path / 'deep.png')
  notes = []
  translate.translate(t, str(tmp_path / 'deep.png'), _save(tmp_path / 'e.png'),
                      str(tmp_path / 'o.png'), note=notes.append)
  assert len(notes) == 1 and 'deep.png is nearly black' in notes[0] and 'of 12 by 16' in notes[0]


def test_names_that_a_grid_cannot_write_are_numbers_with_a_legend(monkeypatch, t, tmp_path):
  for name in ('plain', 'имя', '照片'):
    _save(tmp_path / 'in' / f'{name}.png')
  drawn, notes, grid = [], [], pictures.grid
  monkeypatch.setattr(pictures, 'grid', lambda rows, **names: (
      drawn.append(names), grid(rows, **names))[1])
  folder = str(tmp_path / 'in')
  translate.translate(t, folder, folder, str(tmp_path / 'g.png'), grid=True, save_masks=True,
                      note=notes.append)
  assert drawn[0] == {'row_names': ['', 'plain', 'row 2', 'row 3'],
                      'column_names': ['', 'plain', 'column 2', 'column 3']}
  assert notes == ['in the grid row 2 is имя, row 3 is 照片',
                   'in the grid column 2 is имя, column 3 is 照片']
  translate.remove(t, folder, str(tmp_path / 'r.png'), grid=True, note=notes.append)
  assert drawn[-1]['row_names'] == ['plain', 'row 2', 'row 3'] and notes[2:] == notes[:1]
