"""Coloured digits: the authors' pictures, exact answers, drawn once, complete or refused."""

import pickle
import subprocess
import sys

import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds

from helpers import data_samples
from helpers.digit_samples import Authors, digits_of, FILES, idx, write_mnist
from helpers.paths import ROOT
from maskgan_jax import check_data, errors
from maskgan_jax.data import sources
from maskgan_jax.data.drawn import digit_drawing, digit_images, preparation
from maskgan_jax.data.records import SPLITS


def _config(tmp_path, name='single', digits='embedded', **fields):
  return data_samples.make_config('colored_digits', name=name, digits=digits,
                                  data_dir=str(tmp_path), **fields)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Returns a folder that has MNIST's four files in mnist/, and takes the drawn sets."""
  root = tmp_path_factory.mktemp('digits')
  write_mnist(root / 'mnist')
  return root


@pytest.fixture(scope='module')
def opened(folder):
  """Returns both kinds, drawn from the small set: {kind: {split: records}}."""
  return {kind: sources.open_source(
      _config(folder, kind, 'idx', path=str(folder / 'mnist')), image_size=28).records
      for kind in digit_drawing.KINDS}


def _authors(kind, split):
  digits = digits_of('test' if split == 'test' else 'train')
  if split == 'validation':
    digits = digit_images.Digits(digits.images[-6:], digits.labels[-6:])
  return Authors(kind, digits, seed=int(split == 'validation'), training=split == 'train')


def _names(records, index):
  """Returns the attributes that a record has."""
  return {name for name, value in zip(records.attribute_names, records.attributes[index],
                                      strict=True) if value}


@pytest.mark.parametrize('kind', digit_drawing.KINDS)
@pytest.mark.parametrize('split, count', [('train', 60), ('validation', 6), ('test', 40)])
def test_pictures_are_the_authors(opened, kind, split, count):
  records, authors = opened[kind][split], _authors(kind, split)
  assert len(records) == 2 * count and len(records.attributes) == 2 * count
  for i in range(count):
    np.testing.assert_array_equal(records.image(i), authors.draw(('a', i), ('a', i)))
    np.testing.assert_array_equal(records.image(count + i), authors.draw(('b', i), ('b', i)))


@pytest.mark.parametrize('kind', digit_drawing.KINDS)
def test_translations_are_the_authors(opened, kind):
  records, authors = opened[kind]['test'], _authors(kind, 'test')
  for i, j in [(k, k) for k in range(12)] + [(3, 30), (39, 0)]:
    truth_ab, truth_ba = records.translation_truths(i, 40 + j)
    np.testing.assert_array_equal(truth_ab, authors.draw(('a', i), ('b', j)))
    np.testing.assert_array_equal(truth_ba, authors.draw(('b', j), ('a', i)))
    assert truth_ab.dtype == truth_ba.dtype == np.uint8
  # Two of one domain, as when predicates choose other domains.
  truth, back = records.translation_truths(41, 47)
  np.testing.assert_array_equal(truth, authors.draw(('b', 1), ('b', 7)))
  np.testing.assert_array_equal(back, authors.draw(('b', 7), ('b', 1)))
  np.testing.assert_array_equal(records.translation_truths(2, 2)[0], records.image(2))


def test_training_colours_depend_on_the_digit(opened):
  train, test = opened['single']['train'], opened['single']['test']
  for records, varied in ((train, False), (test, True)):
    column = records.attribute_names.index
    large = records.attributes[:, 0] & records.attributes[:, column('Digit_5'):
                                                          column('Digit_9') + 1].any(axis=1)
    assert large.sum() > 5
    red_on_green = records.attributes[:, [column('Foreground_red'), column('Background_green')]]
    assert red_on_green[large].all() != varied
    small = records.attributes[:, 0] & ~large
    assert not red_on_green[small].all()


def test_attributes_of_single_tell_digit_and_colours(opened):
  records = opened['single']['test']
  values = {'black': (0, 0, 0), 'white': (255, 255, 255), 'red': (255, 0, 0),
            'green': (0, 255, 0), 'blue': (0, 0, 255)}
  order = _authors('single', 'test')
  for index in range(80):
    image = records.image(index)
    label = order.labels[np.r_[order.digits_a, order.digits_b][index]]
    background = next(n for n, value in values.items() if value == tuple(image[0, 0]))
    ink = image[(image != image[0, 0]).any(axis=-1)][0]
    foreground = next(n for n, value in values.items() if value == tuple(ink))
    assert _names(records, index) == {
        f'Digit_{label}', f'Foreground_{foreground}', f'Background_{background}',
        *(['Colored'] if index >= 40 else [])}


def test_attributes_of_multiple_tell_where_digits_lie(opened):
  records, authors = opened['multiple']['test'], _authors('multiple', 'test')
  for index, placed in enumerate(authors.placed_a + authors.placed_b):
    expected = {'Background_white'} if (records.image(index)[0, 0] == 255).all() else set()
    expected |= {'Colored'} if index >= 40 else set()
    for digit, cell in placed:
      expected |= {f'Digit_{authors.labels[digit]}_top'} if cell < 8 else set()
      expected |= {f'Digit_{authors.labels[digit]}_left'} if cell % 4 < 2 else set()
    assert _names(records, index) == expected


def test_digit_that_no_candidate_had_is_left_out():
  labels = np.array([3, 3, 7, 3], np.uint8)
  *first, last = digit_drawing.recipes('multiple', labels, seed=0, training=True, count=4)
  for recipe in (*first, last):
    assert sorted(recipe.labels) == [-1] * 14 + [3, 7]
  attributes = digit_drawing.attributes('multiple', last)
  assert len(attributes) == len(digit_drawing.attribute_names('multiple')) == 22
  assert attributes[0] and not attributes[2:8].any()  # digits 0 to 2 are not in it
  full = next(digit_drawing.recipes('multiple', digits_of('test').labels, seed=0, training=False,
                                    count=1))
  where = digit_drawing.foreground(full, digits_of('test').images)
  painted = digit_drawing.paint(full, where, last)  # which drew no colour for eight of the digits
  assert len(np.unique(painted[where], axis=0)) == 10
  np.testing.assert_array_equal(digit_drawing.foreground_in(last, painted), where)


def test_fewer_are_the_first_of_each_domain(opened, folder):
  path = str(folder / 'mnist')
  for kind in digit_drawing.KINDS:
    fewer = sources.open_source(_config(folder, kind, 'idx', path=path, num_train=5, num_test=1000),
                                image_size=28).records
    full = opened[kind]
    assert [len(fewer[split]) for split in SPLITS] == [10, 12, 80]
    for i in range(5):
      np.testing.assert_array_equal(fewer['train'].image(i), full['train'].image(i))
      np.testing.assert_array_equal(fewer['train'].image(5 + i), full['train'].image(60 + i))
      np.testing.assert_array_equal(fewer['train'].attributes[5 + i],
                                    full['train'].attributes[60 + i])
    assert fewer['train'].fingerprint != full['train'].fingerprint


def test_names_and_records_pickle(opened):
  records = opened['single']['test']
  order = _authors('single', 'test')
  label = order.labels[order.digits_b[17]]
  assert records.name(57) == f'colored_digits/test[B 17, {"an" if label == 8 else "a"} {label}]'
  assert opened['multiple']['validation'].name(3) == 'colored_digits/validation[A 3]'
  assert len({records.name(index) for index in range(80)}) == 80
  copy = pickle.loads(pickle.dumps(records))  # noqa: S301
  np.testing.assert_array_equal(copy.image(57), records.image(57))
  for mine, theirs in zip(copy.translation_truths(1, 57), records.translation_truths(1, 57),
                          strict=True):
    np.testing.assert_array_equal(mine, theirs)
  assert records.mask(57, 'Colored') is None


def test_prepared_sets_are_read_not_drawn(opened, folder, monkeypatch):
  def fail(*args, **kwargs):
    raise AssertionError('drawn again')

  monkeypatch.setattr(digit_drawing, 'recipes', fail)
  again = sources.open_source(_config(folder, 'single', 'idx', path=str(folder / 'mnist')),
                              image_size=28).records
  fingerprints = {split: records.fingerprint for split, records in again.items()}
  assert fingerprints == {split: r.fingerprint for split, r in opened['single'].items()}
  assert len(set(fingerprints.values())) == 3


def test_other_digits_have_their_own_folder(opened, tmp_path, folder):
  other = write_mnist(tmp_path / 'other')
  digits = digits_of('train')
  (other / FILES['train'][0]).write_bytes(idx(digits.images[::-1]))
  source = sources.open_source(_config(folder, 'single', 'idx', path=str(other), num_train=3),
                               image_size=28)
  assert not np.array_equal(source.records['train'].image(0), opened['single']['train'].image(0))
  names = {path.name for path in (folder / 'colored_digits').iterdir()
           if path.name.startswith('single-idx') and path.is_dir()}
  assert len({name.partition('_')[0] for name in names}) == 2


def test_recipe_of_the_set_can_be_read_by_tfds_alone(opened, folder):
  [path] = (folder / 'colored_digits').glob('multiple-idx-????????')
  builder = tfds.builder_from_directory(str(path / '1.0.0'))
  with preparation.quiet():
    record = builder.as_data_source('test')[40]
  np.testing.assert_array_equal(record['image'], opened['multiple']['test'].image(40))
  assert digit_drawing.Recipe.from_json(record['recipe']).colored


# Through the pipeline.


@pytest.mark.parametrize('kind, size', [('single', 28), ('single', 32), ('multiple', 56)])
def test_pipeline(opened, folder, kind, size):
  config = _config(folder, kind, 'idx', path=str(folder / 'mnist'), flip=False)
  data = data_samples.open_data(config, image_size=size)
  described = data.describe()
  assert (described['a'], described['b']) == ('~Colored', 'Colored')
  assert described['counts']['test'] == {'a': 40, 'b': 40, 'pictures': 80}
  feed = data.train(batch_size=4)
  batch = next(feed)
  feed.close()
  assert batch['a'].shape == batch['b'].shape == (4, size, size, 3)
  assert np.ptp(batch['a'], axis=-1).max() == 0 < np.ptp(batch['b'], axis=-1).max()
  pairs = next(iter(data.evaluation('test', batch_size=8)))
  full = digit_drawing.side(kind)
  for i in range(8):
    expected = Image.fromarray(opened[kind]['test'].image(40 + i))
    if size != full:
      expected = expected.resize((size, size), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(pairs['b'][i], np.asarray(expected))


def test_domains_of_ones_own(folder):
  config = _config(folder, 'single', 'idx', path=str(folder / 'mnist'), test_a='~Colored & Digit_3',
                   test_b='Colored & Foreground_red')
  a, b = data_samples.domains(sources.open_source(config, image_size=28), 'test')
  assert a and all('[A' in name and name.endswith('a 3]') for name in a)
  assert b and all('[B' in name for name in b) and len(b) < 40


def test_check_data(folder, tmp_path):
  config = _config(folder, 'single', 'idx', path=str(folder / 'mnist'))
  report = check_data.check(data_samples.with_data(config, image_size=28),
                            str(tmp_path / 'sheet.png'))
  assert report['usable'] and (tmp_path / 'sheet.png').exists()
  assert report['splits']['test']['b']['sizes'] == {'28x28': 40}
  assert report['labels']['Colored'] == [0.0, 1.0]


def test_no_tensorflow_and_no_chatter(folder):
  program = '''
import sys, types
from maskgan_jax.data import default_config, sources
config = default_config.get_default()
config.update(source='colored_digits', name='single', data_dir=sys.argv[1], num_train=3,
              num_validation=3, num_test=3)
print(len(sources.open_source(config, image_size=28).records['train']))
assert not {'tensorflow', 'jax', 'python_avatars'} & set(sys.modules)
'''
  result = subprocess.run([sys.executable, '-W', 'error', '-c', program, str(folder)],
                          capture_output=True, text=True, cwd=ROOT)
  assert (result.returncode, result.stdout) == (0, '6\n'), result.stderr
  assert result.stderr.startswith('drawing the coloured digits, once') and (
      result.stderr.count('\n') == 1)


# Messages about mistakes.


def test_wrong_settings_are_one_clear_line(tmp_path):
  for fields, message in [
      ({'name': 'singel'}, "name='singel' must be one of single, multiple.*did you mean 'single'"),
      ({'name': ''}, "name='' must be one of"),
      ({'digits': 'mnist'}, "digits='mnist' must be one of embedded, idx, tfds"),
      ({'num_test': -1}, 'num_test=-1'),
      ({'digits': 'idx'}, 'config.data.path is empty'),
      ({'digits': 'idx', 'path': str(tmp_path / 'nowhere')}, 'nowhere.*does not exist'),
      ({'digits': 'tfds'}, 'TFDS has not prepared mnist'),
  ]:
    with pytest.raises(errors.UserError, match=message) as caught:
      sources.open_source(_config(tmp_path, **fields), image_size=28)
    assert '\n' not in str(caught.value)
  assert not (tmp_path / 'colored_digits').exists()


def test_folder_that_cannot_be_written(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match='cannot draw the coloured digits.*data_dir') as caught:
    sources.open_source(_config(tmp_path / 'file'), image_size=28)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('harm', ['truncate', 'delete', 'recipes'])
def test_damaged_set_says_so(tmp_path, harm):
  config = _config(tmp_path, num_train=3, num_validation=1, num_test=1)
  sources.open_source(config, image_size=28)
  folder = tmp_path / 'colored_digits' / 'single-embedded_3_1_1' / '1.0.0'
  [records] = folder.glob('*train*')
  if harm == 'truncate':
    records.write_bytes(records.read_bytes()[:500])
  elif harm == 'delete':
    records.unlink()
  else:
    other = sources.open_source(_config(tmp_path, 'multiple', num_train=3, num_validation=1,
                                        num_test=1), image_size=28)
    assert len(other.records['train']) == 6
    [stolen] = (tmp_path / 'colored_digits' / 'multiple-embedded_3_1_1' / '1.0.0').glob('*train*')
    records.write_bytes(stolen.read_bytes())
  with pytest.raises(errors.UserError, match='is damaged.*delete it') as caught:
    sources.open_source(config, image_size=28)
  assert '\n' not in str(caught.value)
