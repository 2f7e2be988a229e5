"""CelebA's lists and tables of attributes: every edition is read, errors name line and column."""

import os

import numpy as np
import pytest

from helpers import data_samples
from helpers.data_samples import domains, make_config, open_source
from maskgan_jax import errors
from maskgan_jax.data import images
from maskgan_jax.data.sources import celeba as celeba_source
from maskgan_jax.data.sources import table as table_source

_PLAIN, _FACES = data_samples.faces()


def _names(records):
  return [records.name(i) for i in range(len(records))]


_ATTRIBUTES = ('Eyeglasses', 'Male', 'Smiling')


def _celeba(root, count=12, folder='img_align_celeba', suffix='.jpg', partition=True):
  """Writes a small CelebA: the labels of picture i are the bits of i."""
  os.makedirs(root, exist_ok=True)
  for i in range(count):
    data_samples.write(os.path.join(root, folder), [_FACES[i]], suffix, start=i)
  rows = [f'{i:03d}.jpg ' + ' '.join('1' if i >> k & 1 else '-1' for k in range(3))
          for i in range(count)]
  with open(os.path.join(root, 'list_attr_celeba.txt'), 'w') as file:
    file.write('\n'.join([str(count), ' '.join(_ATTRIBUTES) + ' ', *rows]) + '\n')
  if partition:
    with open(os.path.join(root, 'list_eval_partition.txt'), 'w') as file:
      file.writelines(f'{i:03d}.jpg {0 if i < 6 else 1 if i < 9 else 2}\n' for i in range(count))
  return str(root)


@pytest.mark.parametrize('folder', ['img_align_celeba', 'Img/img_align_celeba',
                                    'img_align_celeba/img_align_celeba'])
def test_celeba_wherever_its_pictures_are(tmp_path, folder):
  root = _celeba(tmp_path, folder=folder)
  data_samples.write(tmp_path / 'thumbnails', _PLAIN[:1])  # pictures that the list does not name
  opened = open_source('celeba', path=root)
  assert {split: len(records) for split, records in opened.records.items()} == {
      'train': 6, 'validation': 3, 'test': 3}
  a, b = domains(opened, 'test')
  assert (a, b) == (['010.jpg'], ['009.jpg', '011.jpg'])
  records = opened.records['train']
  expected = [[bool(i >> k & 1) for k in range(3)] for i in range(6)]
  np.testing.assert_array_equal(records.attributes, expected)
  # JPEG files are only similar to what was written.
  assert np.abs(records.image(4).astype(int) - _FACES[4]).mean() < 6


def test_celeba_as_png_and_without_a_partition(tmp_path):
  root = _celeba(tmp_path, count=40, suffix='.png', partition=False)
  opened = open_source('celeba', path=root, a='~Eyeglasses & ~Smiling', b='Eyeglasses')
  assert 'by hash' in opened.divided['test']
  assert sum(map(len, opened.records.values())) == 40
  np.testing.assert_array_equal(opened.records['train'].image(0), _FACES[int(
      opened.records['train'].name(0)[:3])])


def test_celeba_as_kaggle_gives_it(tmp_path):
  root = _celeba(tmp_path, folder='img_align_celeba/img_align_celeba')
  for name in ('list_attr_celeba', 'list_eval_partition'):
    lines = (tmp_path / f'{name}.txt').read_text().splitlines()
    os.remove(tmp_path / f'{name}.txt')
    header = 'image_id,partition' if 'partition' in name else 'image_id,' + ','.join(_ATTRIBUTES)
    rows = [line.replace(' ', ',') for line in lines[0 if 'partition' in name else 2:]]
    (tmp_path / f'{name}.csv').write_text('\n'.join([header, *rows]))
  opened = open_source('celeba', path=root)
  assert domains(opened, 'test') == [['010.jpg'], ['009.jpg', '011.jpg']]


def test_celeba_with_some_pictures_absent(tmp_path):
  root = _celeba(tmp_path)
  os.remove(tmp_path / 'img_align_celeba' / '010.jpg')
  opened = open_source('celeba', path=root)
  assert domains(opened, 'test')[0] == []
  assert '1 of 12 listed pictures are not in' in opened.remark


def test_celeba_from_the_level_above_or_below(tmp_path):
  root = _celeba(tmp_path / 'celeba')
  assert len(open_source('celeba', path=str(tmp_path)).records['train']) == 6
  with pytest.raises(errors.UserError, match=f"is one level too low; name '{root}'"):
    open_source('celeba', path=os.path.join(root, 'img_align_celeba'))
  with pytest.raises(errors.UserError, match='has no list_attr_celeba.txt; found: none'):
    (tmp_path / 'x' / 'empty').mkdir(parents=True)
    open_source('celeba', path=str(tmp_path / 'x' / 'empty'))
  for i in range(12):
    os.remove(os.path.join(root, 'img_align_celeba', f'{i:03d}.jpg'))
  with pytest.raises(errors.UserError, match='no folder with the pictures it names such as 000'):
    open_source('celeba', path=root)


@pytest.mark.parametrize('partition', [True, False])
def test_lomit_authors_test_on_what_the_first_rows_hold(tmp_path, partition):
  """Rows are counted in the whole file; labels select among them afterwards."""
  root = _celeba(tmp_path, count=20, partition=partition)
  fields = dict(path=root, a='Eyeglasses | Male', b='Eyeglasses | Male', test_rows=7,
                validation_fraction=0.0)
  wanted = [i for i in range(20) if i & 0b11]
  opened = open_source('celeba', **fields)
  expected = [f'{i:03d}.jpg' for i in wanted if i < 7]
  assert expected == [f'00{i}.jpg' for i in (1, 2, 3, 5, 6)]
  assert domains(opened, 'test') == [expected, expected]
  expected = [f'{i:03d}.jpg' for i in wanted if i >= 7]
  assert domains(opened, 'train') == [expected, expected]
  assert opened.divided['test'] == 'what the first 7 rows of the list hold'
  # A missing picture still counts as a row.
  os.remove(tmp_path / 'img_align_celeba' / '002.jpg')
  assert domains(open_source('celeba', **fields), 'test')[0] == [
      f'00{i}.jpg' for i in (1, 3, 5, 6)]


def test_rules_for_the_test_set(tmp_path):
  root = _celeba(tmp_path)
  for fields, problem in [({'test_rows': -1}, 'test_rows=-1 must be at least 0'),
                          ({'test_first': -2}, 'test_first=-2 must be at least 0'),
                          ({'test_rows': 3, 'test_first': 2}, 'two rules for one test set')]:
    with pytest.raises(errors.UserError, match=problem):
      open_source('celeba', path=root, **fields)
  assert len(open_source('celeba', path=root, test_rows=5).records['test']) == 5


@pytest.mark.parametrize('line, text, problem', [
    (1, 'Eyeglasses Male Smiling', "line 1: expected the number of pictures, found 'Eyeglasses"),
    (1, '13', 'line 1: promises 13 pictures, but 12 follow'),
    (2, '', 'line 2: expected the attribute names'),
    (2, 'Eyeglasses Male Male', 'line 2: expected the attribute names, each once'),
    (5, '002.jpg 1 -1', 'line 5: expected a file name and 3 values.*found 3 words'),
    (7, '004.jpg 1 -1 x', "line 7: 'x' is not 1 or -1"),
    (9, '001.jpg 1 -1 1', 'line 9: 001.jpg is already on line 4'),
    (3, '\xff', 'not UTF-8'),
])
def test_malformed_attribute_lists_name_the_line(tmp_path, line, text, problem):
  path = tmp_path / 'list_attr_celeba.txt'
  _celeba(tmp_path, partition=False)
  lines = path.read_text().splitlines()
  lines[line - 1] = text
  path.write_text('\n'.join(lines), encoding='latin-1')
  with pytest.raises(errors.UserError, match=problem):
    celeba_source.read_attributes(str(path))


def test_malformed_partition_names_the_line(tmp_path):
  root = _celeba(tmp_path)
  with open(tmp_path / 'list_eval_partition.txt', 'a') as file:
    file.write('011.jpg 3\n')
  with pytest.raises(errors.UserError, match="line 13: expected a file name and 0, 1 or 2"):
    open_source('celeba', path=root)


def test_a_partition_with_quotes_divides_and_one_of_other_names_is_said(tmp_path):
  root = _celeba(tmp_path)
  whole = domains(open_source('celeba', path=root), 'test')
  path = tmp_path / 'list_eval_partition.txt'
  lines = [line.split() for line in path.read_text().splitlines()]
  path.write_text(''.join(f'"{name}",{split}\n' for name, split in lines))
  assert domains(open_source('celeba', path=root), 'test') == whole
  path.write_text(''.join(f'celeba/{name} {split}\n' for name, split in lines))
  with pytest.raises(errors.UserError, match="names none of the pictures of .*, such as '"):
    open_source('celeba', path=root)


# Tables.


def _table(tmp_path, text, encoding='utf-8'):
  path = tmp_path / 'table.csv'
  path.write_text(text, encoding=encoding)
  return str(path)


@pytest.mark.parametrize('separator', [',', ';', '\t'])
@pytest.mark.parametrize('true, false', [('1', '0'), ('1', '-1'), ('True', 'false'),
                                         ('1.0', '0.0')])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig'])
def test_tables_in_every_notation(tmp_path, separator, true, false, encoding):
  rows = [['file', 'Glasses', 'Dark Hair'], ['a, b.png', true, false], ['c.png', false, true]]
  text = '\r\n'.join(separator.join(f'"{cell}"' if ' ' in cell else cell for cell in row)
                     for row in rows)
  table = table_source.read_csv(_table(tmp_path, text + '\r\n\r\n', encoding))
  assert table.names == ['a, b.png', 'c.png']
  assert table.attribute_names == ('Glasses', 'Dark Hair')
  assert table.attributes.tolist() == [[True, False], [False, True]]
  assert table.splits.tolist() == [-1, -1]


def test_a_table_of_pictures_with_splits_and_a_shifted_test(tmp_path):
  data_samples.write(tmp_path / 'faces', _FACES[:6])
  text = 'file,Glasses,split,Old\n' + ''.join(
      f'{i:03d}.png,{i % 2},{"train" if i < 4 else "test"},{int(i == 4)}\n' for i in range(6))
  opened = open_source('csv', path=str(tmp_path / 'faces'), attributes_file=_table(tmp_path, text),
                 a='~Glasses', b='Glasses', test_a='Old', validation_fraction=0.0)
  assert opened.records['train'].attribute_names == ('Glasses', 'Old')
  assert domains(opened, 'train') == [['000.png', '002.png'], ['001.png', '003.png']]
  assert domains(opened, 'test') == [['004.png'], ['005.png']]


def test_a_table_beside_its_pictures_needs_no_path(tmp_path):
  data_samples.write(tmp_path, _FACES[:3])
  table = _table(tmp_path, 'file,X\n000.png,1\n001.png,0\n002.png,1\n')
  opened = open_source('csv', attributes_file=table, a='~X', b='X', test_fraction=0.0)
  assert _names(opened.records['train'])


@pytest.mark.parametrize('text, problem', [
    ('', 'line 1: expected a header'),
    ('file\n', 'line 1: expected a header with two or more columns'),
    ('000.png,1,0\n001.png,0,1\n', 'line 1: the header is missing'),
    ('file,X,X\n', "line 1: 'X' is there twice"),
    ('file,X,\n', 'line 1: column 3 has no name'),
    ('file,X\n000.png,1\n001.png\n', 'line 3: 1 columns, but the header has 2'),
    ('file,X\n000.png,1\n\n000.png,1\n', "line 4: '000.png' is already on line 2"),
    ('file,X\n000.png,maybe\n', "line 2, column 'X': 'maybe' is not 0, 1"),
    ('file,X,split\n000.png,1,tran\n', "column 'split': 'tran' is not train.*did you mean 'train'"),
    ('file,X\n', 'has a header but no rows'),
    ('file,X\n"000.png,1\n001.png,0\n', 'line 2: a quote .* that this line opens is not closed'),
    ('file,X\n000.png,1\n"001.png,1\n' + 12_000 * 'name.png,1\n', 'line 3: a quote .* is not'),
    ('file,"X\n000.png,1\n', 'line 1: a quote .* that this line opens is not closed'),
    ('file,"X\n' + 20_000 * 'name.png,1\n', 'line 1: a quote .* that this line opens'),
    ('file,X\n000.png,1\nzzz.png,1\n', "1 of the 2 pictures in .* are not in .*first 'zzz.png'"),
])
def test_tables_that_cannot_be_used(tmp_path, text, problem):
  data_samples.write(tmp_path, _FACES[:2])
  with pytest.raises(errors.UserError, match=problem):
    open_source('csv', attributes_file=_table(tmp_path, text), a='X', b='~X')


_ACTION_UNITS = (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43)


def _emotionet(tmp_path, changes=(), header='AU{}', count=8):
  """Writes EmotioNet's table in our form: a file and 12 action units a row, some cells replaced."""
  cells = np.random.default_rng(0).integers(0, 2, (count, 12)).astype(object)
  for place, cell in changes:
    cells[place] = cell
  rows = [f'N_{i:010d}_00001.png,' + ','.join(map(str, row)) for i, row in enumerate(cells)]
  header = 'URL,' + ','.join(header.format(number) for number in _ACTION_UNITS)
  os.makedirs(tmp_path / 'faces', exist_ok=True)
  for i, row in enumerate(rows):
    images.save_png(tmp_path / 'faces' / row.partition(',')[0], _FACES[i])
  return _table(tmp_path, '\n'.join([header, *rows]) + '\n'), cells


@pytest.mark.parametrize('header, name', [('AU{}', 'AU{}'), ("'AU {}'", 'AU {}'), ('{}', '{}')])
def test_action_units_of_emotionet(tmp_path, header, name):
  table, cells = _emotionet(tmp_path, header=header)
  names = tuple(name.format(number) for number in _ACTION_UNITS)
  config = make_config('csv', path=str(tmp_path / 'faces'), attributes_file=table, a='', b='',
                       attributes=names, own_splits=False, validation_fraction=0.0,
                       test_fraction=0.0, flip=False)
  data = data_samples.open_data(config, image_size=25)
  assert data.attribute_names == names
  batch = next(data.train(batch_size=8))
  for domain in 'ab':
    for image, labels in zip(batch[domain], batch[f'{domain}_attributes'], strict=True):
      [number] = np.flatnonzero((_FACES[:8] == image).all(axis=(1, 2, 3)))
      np.testing.assert_array_equal(labels, cells[number].astype(np.float32))


@pytest.mark.parametrize('cell', ['999', '', 'nan', ' 999.0'])
def test_labels_that_nobody_knows_are_all_reported_at_once(tmp_path, cell):
  table, _ = _emotionet(tmp_path, [((2, 7), cell), ((2, 8), cell), ((5, 7), cell)])
  with pytest.raises(errors.UserError) as caught:
    open_source('csv', attributes_file=table, path=str(tmp_path / 'faces'), a='', b='')
  assert str(caught.value) == (
      f"{table} line 4, column 'AU17': empty, nan or 999 is a label that is not known; write 0 or "
      '1, or remove the rows with such labels (2 of 8), or the columns with them: AU17, AU20')


def test_minus_one_is_no_beside_one_and_unknown_beside_zero(tmp_path):
  table, _ = _emotionet(tmp_path, [((3, 2), -1), ((4, 2), 0)])
  with pytest.raises(errors.UserError, match="line 5, column 'AU4': -1 in a column of 0 and 1 is a "
                                             'label that is not known; .*1 of 8.* AU4$'):
    table_source.read_csv(table)
  signs = [((i, 2), 1 if i % 3 else -1) for i in range(8)]
  table, _ = _emotionet(tmp_path, signs)
  assert table_source.read_csv(table).attributes[:, 2].tolist() == [i % 3 > 0 for i in range(8)]


def test_emotionets_own_table_says_what_is_left_to_do(tmp_path):
  address = 'http://host/N_0000000001_00001.jpg'
  table = _table(tmp_path, f"URL,URL orig,'AU 1','AU 2'\n{address},http://a.org/b.jpg,0,1\n")
  with pytest.raises(errors.UserError, match="line 2, column 'URL orig': .*b.jpg' is not 0, 1, -1,"
                                             ' true or false; remove a column that is not an att'):
    open_source('csv', attributes_file=table)
  table = _table(tmp_path, f"URL,'AU 1','AU 2'\n{address},0,1\n")
  with pytest.raises(errors.UserError, match='first .*N_0000000001_00001.jpg.* Put file names in '
                                             'place of the addresses, or remove the rows'):
    open_source('csv', attributes_file=table)


def test_tables_that_are_not_there(tmp_path):
  _table(tmp_path, 'x')
  with pytest.raises(errors.UserError, match="does not exist .*did you mean 'table.csv'"):
    open_source('csv', attributes_file=str(tmp_path / 'tabel.csv'))
  with pytest.raises(errors.UserError, match='attributes_file is empty'):
    open_source('csv')


def test_names_that_do_not_exist(tmp_path):
  with pytest.raises(errors.UserError, match="'foldr' must be one of .*did you mean 'folder'"):
    open_source('foldr')
  root = _celeba(tmp_path)
  with pytest.raises(errors.UserError, match="config.data.b=.*did you mean 'Smiling'"):
    open_source('celeba', path=root, b='Smilling')
  with pytest.raises(errors.UserError, match='must be at least 0 and leave something'):
    open_source('celeba', path=root, test_fraction=0.97)


def test_fingerprints_change_with_what_is_read(tmp_path):
  root = _celeba(tmp_path)

  def fingerprint():
    return open_source('celeba', path=root).records['train'].fingerprint

  before = fingerprint()
  assert before == fingerprint()
  moved = tmp_path.parent / (tmp_path.name + '_moved')
  os.rename(tmp_path, moved)
  root = str(moved)
  assert before == fingerprint()
  listing = moved / 'list_attr_celeba.txt'
  lines = listing.read_text().splitlines()
  listing.write_text('\n'.join([*lines[:4], lines[4].replace('-1', '1'), *lines[5:]]))
  relabelled = fingerprint()
  data_samples.write(moved / 'img_align_celeba', [_PLAIN[0]], '.jpg')
  assert len({before, relabelled, fingerprint()}) == 3
