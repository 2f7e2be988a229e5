"""Masks in training batches: of which pictures, moved as their pictures, and what is refused."""

import numpy as np
import pytest

from helpers import data_samples
from helpers.numbered_records import (
  assert_same,
  make_data,
  NumberedRecords,
  numbers_of,
  take,
)
from maskgan_jax import errors
from maskgan_jax.data import images
from maskgan_jax.data.records import SPLITS
from maskgan_jax.data.sources import table


class Marked(NumberedRecords):
  """The mask is 1 in the half of the picture that is blue, if the number is not a multiple of 4."""

  def mask(self, index, attribute):
    if index % 4 == 0:
      return None
    return self.image(index)[..., 2].astype(np.float32) / 255

  def has_mask(self, index, names):
    return index % 4 != 0


def marked(count=40, **fields):
  records = {split: Marked(count) for split in SPLITS}
  return make_data(count, records=records, **{'masks_share': 1.0, **fields})


def test_without_a_share_there_are_no_masks_in_batches():
  records = {split: Marked(8) for split in SPLITS}
  data = make_data(8, records=records)
  assert set(next(data.train(batch_size=4))) == {'a', 'b'} and data.training_masks is None
  assert 'training_masks' not in data.describe()


@pytest.mark.parametrize('fields', [{}, {'in_memory': 'never'}, {'load_size': 12},
                                    {'fixed_pairs': True}])
def test_masks_move_with_their_pictures(fields):
  for batch in take(marked(**fields).train(batch_size=8), 6):
    for domain in 'ab':
      mask, given = batch[f'{domain}_mask'], batch[f'{domain}_mask_given']
      assert mask.shape == (8, 8, 8, 1) and mask.dtype == np.uint8
      assert given.shape == (8,) and given.dtype == np.float32
      numbers, _ = numbers_of(batch[domain])
      if not fields.get('load_size'):
        np.testing.assert_array_equal(given, numbers % 4 != 0)
      expected = batch[domain][..., 2:] * given[:, None, None, None].astype(np.uint8)
      assert np.abs(mask.astype(int) - expected).max() <= 1  # both are resized
    assert batch['a_mask_given'].sum() < 8 == batch['b_mask_given'].sum()


def test_pictures_are_the_same_with_and_without_masks():
  for fields in ({}, {'load_size': 12, 'zoom_probability': 0.5}):
    with_masks = take(marked(**fields).train(batch_size=8), 4)
    without = take(marked(masks_share=0.0, **fields).train(batch_size=8), 4)
    for left, right in zip(with_masks, without, strict=True):
      assert_same({name: left[name] for name in 'ab'}, right)


def test_resumed_and_divided_runs_get_the_same_masks():
  data = marked(zoom_probability=0.5)
  whole = take(data.train(batch_size=8, draws=2), 5)
  assert whole[0]['a_mask'].shape == (2, 8, 8, 8, 1) and whole[0]['a_mask_given'].shape == (2, 8)
  assert_same(next(marked(zoom_probability=0.5).train(batch_size=8, draws=2, start_step=4)),
              whole[4])
  halves = [next(data.train(batch_size=8, draws=2, process_index=i, process_count=2))
            for i in range(2)]
  joined = {name: np.concatenate([half[name] for half in halves], axis=1) for name in whole[0]}
  assert_same(joined, whole[0])


def test_a_smaller_share_is_part_of_a_larger_one_and_never_empty():
  chosen = {}
  for share in (0.001, 0.1, 0.5, 1.0):
    data = marked(400, masks_share=share)
    counts = data.describe()['training_masks']
    assert counts == {'a': max(1, round(100 * share)), 'b': max(1, round(200 * share))}
    chosen[share] = [set(members) for members in data.training_masks.facts()['masks_given']]
  for smaller, larger in ((0.001, 0.1), (0.1, 0.5), (0.5, 1.0)):
    for few, many in zip(chosen[smaller], chosen[larger], strict=True):
      assert few < many


def test_a_run_depends_on_the_share_and_not_where_it_is_off():
  assert marked().identity != marked(masks_share=0.5).identity
  assert marked(masks_share=0.0).identity == make_data(
      40, records={split: NumberedRecords(40) for split in SPLITS}).identity


def test_a_share_of_no_masks_is_refused():
  with pytest.raises(errors.UserError, match='masks_share is 0.5, but no training picture has a'):
    make_data(8, masks_share=0.5).train(batch_size=2)


def test_drawn_pictures_that_show_nothing_count_as_without_mask():
  records = {split: NumberedRecords(8, masks='Glasses', truths=True) for split in SPLITS}
  batch = next(make_data(8, records=records, masks_share=1.0).train(batch_size=4))
  numbers, _ = numbers_of(batch['a'])
  np.testing.assert_array_equal(batch['a_mask_given'], numbers > 0)  # picture 0 has a mask of 0


def test_avatars_give_exact_masks(data_dir):
  config = data_samples.make_config(
      'avatars', data_dir=data_dir, num_train=32, num_validation=16, num_test=16, masks_share=1.0,
      flip=False)
  data = data_samples.open_data(config, image_size=16)
  members, counts = data.members('train'), data.describe()['training_masks']
  assert counts == {'a': 0, 'b': len(members[1])}
  batch = next(data.train(batch_size=8))
  assert not batch['a_mask_given'].any() and not batch['a_mask'].any()
  assert batch['b_mask_given'].all()
  records = data.records('train')
  exact = {records.image(int(i)).tobytes(): records.mask(int(i), 'Eyeglasses') for i in members[1]}
  for image, mask in zip(batch['b'], batch['b_mask'], strict=True):
    np.testing.assert_allclose(mask[..., 0] / 255, exact[image.tobytes()], atol=0.5 / 255 + 1e-6)


# Files.


def folder(tmp_path, masks, shape=(25, 25)):
  """Returns config.data of a folder whose trainB has masks; `masks` maps numbers to a level."""
  root = data_samples.write_domains(tmp_path / 'p')
  for number, level in masks.items():
    mask = np.zeros(shape, np.uint8)
    mask[3:9, 4:8] = level
    images.save_png(tmp_path / 'm' / 'trainB' / f'{number:03d}.png', mask)
  return data_samples.make_config('folder', path=root, masks_path=str(tmp_path / 'm'),
                                  masks_share=1.0, validation_fraction=0.0, flip=False)


def test_masks_of_a_folder(tmp_path):
  data = data_samples.open_data(folder(tmp_path, {0: 255, 3: 255}), image_size=25)
  assert data.describe()['training_masks'] == {'a': 0, 'b': 2}
  batch = next(data.train(batch_size=10))
  assert batch['b_mask_given'].sum() == 2
  given = batch['b_mask'][batch['b_mask_given'] > 0]
  assert (given[:, 3:9, 4:8] == 255).all() and given.sum() == 2 * 24 * 255


@pytest.mark.parametrize(('masks', 'shape', 'message'), [
    ({0: 0}, (25, 25), r'the mask of trainB/000\.png marks no pixel'),
    ({0: 255}, (25, 40), r'the mask .*000\.png is 40x25, of another shape than its picture'),
])
def test_masks_that_cannot_be_used_are_refused_in_one_line(tmp_path, masks, shape, message):
  data = data_samples.open_data(folder(tmp_path, masks, shape), image_size=25)
  with pytest.raises(errors.UserError, match=message) as caught:
    next(data.train(batch_size=10))
  assert '\n' not in str(caught.value)


def tabled(tmp_path, cells, **fields):
  """Returns config.data of a table with a column of masks."""
  data_samples.write(tmp_path / 'p', data_samples.faces()[1][:6])
  mask = np.zeros((25, 25), np.uint8)
  mask[:5] = 255
  images.save_png(tmp_path / 'p' / 'masks' / 'some.png', mask)
  rows = [f'{i:03d}.png,{i % 2},{cell},train' for i, cell in enumerate(cells)]
  path = tmp_path / 'labels.csv'
  path.write_text('\n'.join(['file,Glasses,outline,split', *rows]) + '\n', encoding='utf-8')
  return data_samples.make_config(
      'csv', path=str(tmp_path / 'p'), attributes_file=str(path), a='~Glasses', b='Glasses',
      **{'mask_column': 'outline', 'masks_share': 1.0, 'flip': False, 'validation_fraction': 0.0,
         'test_fraction': 0.0, **fields})


def test_masks_of_a_column(tmp_path):
  cells = ['', 'masks/some.png', '', '', '', 'masks/some.png']
  data = data_samples.open_data(tabled(tmp_path, cells), image_size=25)
  assert data.records('train').attribute_names == ('Glasses',)
  assert data.describe()['training_masks'] == {'a': 0, 'b': 2}
  batch = next(data.train(batch_size=3))
  assert sorted(batch['b_mask_given'].tolist()) == [0, 1, 1]
  below = tabled(tmp_path, [cell.removeprefix('masks/') for cell in cells],
                 masks_path=str(tmp_path / 'p' / 'masks'))
  assert_same(next(data_samples.open_data(below, image_size=25).train(batch_size=3)), batch)


def test_a_column_that_is_not_there_and_files_that_are_not(tmp_path):
  config = tabled(tmp_path, ['', 'masks/none.png', '', 'masks/some.png', '', ''])
  with pytest.raises(errors.UserError, match=r"1 of the 2 masks in column 'outline' of .*first "
                     r"'.*masks/none\.png' of '001\.png'"):
    data_samples.open_data(config, image_size=25)
  config.mask_column = 'outlines'
  with pytest.raises(errors.UserError, match="mask_column='outlines' is not a column of .*outline"):
    data_samples.open_data(config, image_size=25)
  with pytest.raises(errors.UserError, match='is not 0, 1, -1, true or false'):
    table.read_csv(config.attributes_file)
