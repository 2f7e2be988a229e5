"""Accuracy of translations by a classifier with predictable answers: it looks at mean colours."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from helpers import data_samples
from helpers.classifiers import drawn
from helpers.data_samples import make_config as make_data_config
from helpers.distribution_samples import export
from helpers.simple_method import Data, pictures, Simple, simple
from helpers.tiny_model import SIZE
from maskgan_jax import config as run_config
from maskgan_jax import errors, evaluators
from maskgan_jax.data import predicates
from maskgan_jax.data.domains import domains_of
from maskgan_jax.evaluators import _changing as changing
from maskgan_jax.evaluators import accuracy
from maskgan_jax.methods.base import Translation
from maskgan_jax.pretrained_networks import classifiers
from maskgan_jax.runs import measures

NAMES = ('Blue', 'Red', 'Green')  # names of the classifier's outputs
LEVEL = 100


def look(images):
  """Returns logits for uint8 images: positive where a channel's mean is above LEVEL."""
  means = images.astype(jnp.float32).mean((1, 2)) - LEVEL
  return means[:, jnp.array([2, 0, 1])]


def finds(images, *names):
  """Returns what `look` finds, bool [N, K], computed with NumPy."""
  means = np.asarray(images, np.float64).mean((1, 2))
  return np.stack([means[:, 'RGB'.index(name[0])] > LEVEL for name in names], axis=1)


class Mixes(Simple):
  """Mixes the exemplar in; removes by making half of the picture black."""
  abilities = frozenset({'exemplar', 'reverse', 'remove'})

  def translate(self, params, model_state, source, exemplar, *, reverse=False, **unused):
    part = 0.7 if reverse else 0.45
    return Translation((1 - part) * source + part * exemplar)

  def remove(self, params, model_state, image, *, mask=None, threshold=None):
    return Translation(image.at[:, :SIZE // 2].set(-1.0))


class Forth(Mixes):
  """The same method in one direction only."""
  abilities = frozenset({'exemplar'})


@pytest.fixture(name='network', scope='module')
def _network(tmp_path_factory):
  return export(tmp_path_factory.mktemp('classifier') / 'colors', look)


def make_config(network, attributes=NAMES, **fields):
  config = run_config.default('content_transfer')
  config.accuracy.update(network=network, attributes=attributes)
  config.data.update(**fields)
  return config


def measure(rows, config, method=None, batch_size=4, note=lambda line: None, **options):
  data = rows if hasattr(rows, 'records') else Data(test=rows)
  return evaluators.run(simple(method or Mixes()), data, names=('accuracy',),
                        batch_size=batch_size, note=note, config=config, **options)


def colored(n, seed):
  """Pictures of many mean colours."""
  rng = np.random.default_rng(seed)
  return (rng.random((n, SIZE, SIZE, 3)) * rng.integers(60, 256, (n, 1, 1, 3))).astype(np.uint8)


def labelled(n):
  """Pairs with labels Red and Green, some of which are not what the classifier finds."""
  rng = np.random.default_rng(5)
  rows = {'a': colored(n, 0), 'b': colored(n, 1), 'truth_ab': colored(n, 2),
          'truth_ba': colored(n, 3)}
  for domain in 'ab':
    labels = finds(rows[domain], 'Red', 'Green') ^ (rng.random((n, 2)) < 0.2)
    rows[f'{domain}_attributes'] = labels.astype(np.float32)
  return rows


def check(got, task, images, wanted, names):
  right = finds(images, *names) == wanted
  assert got[f'{task}_accuracy'] == pytest.approx(right.all(axis=1).mean()), task
  for i, name in enumerate(names):
    assert got[f'{task}_accuracy[{name}]'] == pytest.approx(right[:, i].mean()), (task, name)


@pytest.mark.parametrize('batch_size', [3, 11, 64])
def test_sets_and_single_attributes_by_hand(network, batch_size):
  """LOMIT's setting: only labels tell the domains apart, and all of them should change."""
  rows, names = labelled(11), ('Red', 'Green')
  config = make_config(network, a='', b='', attributes=NAMES)
  config.data.attributes = names
  got = measure(rows, config, batch_size=batch_size)
  translator = simple(Mixes())
  a, b = (rows[f'{domain}_attributes'] > 0.5 for domain in 'ab')
  check(got, 'ab', translator(rows['a'], rows['b']).image, b, names)
  check(got, 'ba', translator(rows['b'], rows['a'], reverse=True).image, a, names)
  check(got, 'do_nothing_ab', rows['a'], b, names)
  check(got, 'do_nothing_ba', rows['b'], a, names)
  check(got, 'truth_ab', rows['truth_ab'], b, names)
  check(got, 'truth_ba', rows['truth_ba'], a, names)
  check(got, 'a', rows['a'], a, names)
  check(got, 'b', rows['b'], b, names)
  changed = (a != b).any(axis=1)
  forth = finds(translator(rows['a'], rows['b']).image, *names) == b
  assert 2 < changed.sum() < 11
  assert got['ab_accuracy_changed'] == pytest.approx(forth.all(axis=1)[changed].mean())
  back = finds(translator(rows['b'], rows['a'], reverse=True).image, *names) == a
  assert got['ba_accuracy_changed'] == pytest.approx(back.all(axis=1)[changed].mean())
  assert len(got) == 8 * 3 + 2 + 2 and 'removal_accuracy' not in got  # there is no value of a alone
  assert len({got[name] for name in got if 'accuracy' in name}) > 5


def test_without_labels_the_domain_decides(network):
  rows = {'a': colored(9, 0), 'b': colored(9, 1), 'truth_ba': colored(9, 2)}
  got = measure(rows, make_config(network, a='~Green & Tall', b='Green & Tall'))
  translator, one, zero = simple(Mixes()), np.ones((9, 1)), np.zeros((9, 1))
  check(got, 'ab', translator(rows['a'], rows['b']).image, one, ['Green'])
  check(got, 'ba', translator(rows['b'], rows['a'], reverse=True).image, zero, ['Green'])
  check(got, 'removal', translator.remove(rows['b']).image, zero, ['Green'])
  check(got, 'do_nothing_removal', rows['b'], zero, ['Green'])
  check(got, 'truth_removal', rows['truth_ba'], zero, ['Green'])
  check(got, 'a', rows['a'], zero, ['Green'])
  check(got, 'b', rows['b'], one, ['Green'])
  assert got['ab_accuracy_changed'] == got['ab_accuracy']  # all of them have to change
  assert 'truth_ab_accuracy' not in got and got['removal_accuracy'] > got['b_accuracy']
  turned = measure(rows, make_config(network, a='Green', b='~Green'))
  assert turned['ab_accuracy'] == pytest.approx(1 - got['ab_accuracy'])
  assert turned['removal_accuracy'] == pytest.approx(1 - got['removal_accuracy'])


@pytest.fixture(name='table', scope='module')
def _table(tmp_path_factory):
  """Writes test pictures of three kinds: neither red nor green (7), red (5), green (4); training
  has one of each."""
  root, rows = tmp_path_factory.mktemp('table'), ['file,split,Red,Green,Old']
  rng = np.random.default_rng(3)
  kinds = [(0, 0)] * 7 + [(1, 0), (0, 1)] * 4 + [(1, 0)]
  for i, (red, green) in enumerate([(0, 0), (1, 0), (0, 1)] * 2 + kinds):
    split = ('train', 'val', 'test')[min(i // 3, 2)]
    Image.fromarray(colored(1, 50 + i)[0]).save(root / f'{i:02}.png')
    rows.append(f'{i:02}.png,{split},{red},{green},{rng.integers(2)}')
  (root / 'table.csv').write_text('\n'.join(rows))
  return root


def open_table(table, config, **fields):
  config.data = make_data_config('csv', path=str(table), attributes_file=f'{table}/table.csv',
                                 **fields)
  return data_samples.open_data(config.data, image_size=SIZE)


@pytest.mark.parametrize('batch_size', [3, 64])
def test_labels_are_those_of_the_records(network, table, batch_size):
  """Batches have no labels; b is red or green, and the exemplar's label is the right answer."""
  config = make_config(network)
  data = open_table(table, config, a='~Red & ~Green', b='Red | Green')
  got = measure(data, config, batch_size=batch_size)
  records, (a, b) = data.records('test'), data.members('test')
  assert got['pairs'] == 7 and len(b) == 9
  images = {index: records.image(int(index)) for index in (*a, *b)}
  before, exemplars = (np.stack([images[i] for i in members[:7]]) for members in (a, b))
  wanted = records.attributes[b[:7]][:, :2]
  assert {tuple(row) for row in wanted.tolist()} == {(True, False), (False, True)}
  translator, names = simple(Mixes()), ('Red', 'Green')
  check(got, 'ab', translator(before, exemplars).image, wanted, names)
  check(got, 'do_nothing_ab', before, wanted, names)
  check(got, 'b', exemplars, wanted, names)
  check(got, 'removal', translator.remove(exemplars).image, np.zeros((7, 2)), names)
  with_labels = make_config(network)
  data = open_table(table, with_labels, a='~Red & ~Green', b='Red | Green',
                    attributes=('Old', 'Green', 'Red'))
  assert measure(data, with_labels, batch_size=batch_size) == got  # labels of the batches agree


def test_pairs_of_one_set_are_turned(network, table):
  config = make_config(network)
  data = open_table(table, config, a='', b='', attributes=('Red',))
  got = measure(data, config, Forth())
  records = data.records('test')
  images = np.stack([records.image(i) for i in range(16)])
  wanted = np.roll(records.attributes[:, :1], -1, axis=0)
  check(got, 'do_nothing_ab', images, wanted, ['Red'])
  del data.attribute_names  # the names of the batches' labels are not needed

  class Bare:  # batches without labels
    records, members = data.records, data.members

    def evaluation(self, split, **options):
      for batch in data.evaluation(split, **options):
        yield {name: value for name, value in batch.items() if 'attributes' not in name}
  assert measure(Bare(), config, Forth()) == got


@pytest.mark.parametrize('a, b, plain', [
    ('~G', 'G', True), ('~Male & ~G', 'Male & G', True), ('Red | Green', 'Red | Green', True),
    ('(Young | Male) & ~G', 'G & (Young|Male)', True), ('~"A | B"', '"A | B"', True),
    ("('A B' | C) & G", "('A D' | C) & G", False), ('~Red & ~Green', 'Red | Green', False),
    ('Bald', '~Bald & (Black | Brown)', False), ('Red & Green', '~(Red & Green)', False),
    ('Tall & Red | Old', 'Tall & Green | Old', False)])
def test_what_differs_is_single_labels_or_not(a, b, plain):
  assert changing.told_apart_by_labels(a, b) == plain


def test_compound_predicates_are_judged_by_the_domain(network, table):
  """Content transfer asks about the domain, whatever the exemplars' labels are."""
  config = make_config(network, ('B', 'Red', 'Green'))
  for fields in (dict(a='~Red', b='Red'), dict(a='', b='', attributes=('Red',))):
    assert 'ab_accuracy[Red]' in measure(open_table(table, config, **fields), config)
  data = open_table(table, config, a='~Red & ~Green', b='Red | Green')
  got = measure(data, config)
  records, (a, b) = data.records('test'), data.members('test')
  before, exemplars = (np.stack([records.image(int(i)) for i in members[:7]]) for members in (a, b))
  translator, one, zero = simple(Mixes()), np.ones((7, 1)), np.zeros((7, 1))
  for task, images, wanted in (
      ('ab', translator(before, exemplars).image, one), ('do_nothing_ab', before, one),
      ('ba', translator(exemplars, before, reverse=True).image, zero), ('a', before, zero),
      ('removal', translator.remove(exemplars).image, zero), ('b', exemplars, one)):
    check(got, task, images, wanted, ['B'])  # this network answers B where blue is above LEVEL
  assert got['ab_accuracy_changed'] == got['ab_accuracy'] and 'ab_accuracy[Red]' not in got
  assert measure({'a': before, 'b': exemplars}, config) == got  # there are no labels at all


def test_a_classifier_of_the_domain_alone_and_of_other_domains(table, tmp_path):
  path, notes = str(tmp_path / 'x.safetensors'), []
  params, facts = drawn(('B',), image_shape=(SIZE, SIZE))
  classifiers.write(path, params, dataclasses.replace(facts, domains=('~Red', 'Red')))
  config = make_config(path, ())
  got = measure(open_table(table, config, a='~Red', b='Red'), config, note=notes.append)
  assert 'ab_accuracy[B]' in got and not notes
  measure(open_table(table, config, a='~Green', b='Green'), config, note=notes.append)
  assert notes == ["'accuracy' is by a classifier of other domains than these: a='~Red', b='Red'"]
  data = open_table(table, config, a='', b='', attributes=('Red',))
  assert measure(data, config, note=notes.append) == {}
  assert 'knows B, and what is to change is Red; train_classifier --attributes=Red' in notes[-1]
  config = make_config(export(tmp_path / 'one', lambda x: look(x)[:, :1]), ('Blue',))
  data = open_table(table, config, a='~Red & ~Green', b='Red | Green')
  assert measure(data, config, note=notes.append) == {}
  assert 'what is to change is Red, Green; train_classifier --attributes=B makes' in notes[-1]


def names_of(labels=(), features=None, attributes=(), transfer=(), **domains):
  config = run_config.default('content_transfer').data
  config.update(source='csv', attributes=attributes, transfer=transfer, **domains)

  class Records:
    def labels_of(self, name):
      return features[name]
  return changing.changing(config, domains_of(config, labels), labels,
                             Records() if features else None)


@pytest.mark.parametrize('labels, fields, names', [
    ('Eyeglasses Male', dict(), 'Eyeglasses'),
    ('G Male', dict(a='~Male & ~G', b='~Male & G', test_a='Male & ~G', test_b='Male & G'), 'G'),
    ('No_Beard Mustache Goatee', dict(a='No_Beard & ~Mustache & ~Goatee',
                                      b='Mustache | Goatee | ~No_Beard'), 'Mustache Goatee'),
    ('Male', dict(a='Male', b='~Male', attributes=('Smiling',)), 'Male'),
    ('Bald Black Brown', dict(a='Bald', b='~Bald & (Black | Brown)'), 'Bald'),
    ('Dog Cat', dict(a='Dog', b='Cat'), 'Cat'),
    ('B', dict(), 'B'),
    ('x y z', dict(a='~z', b='~z', attributes=('y', 'x')), 'y x'),
    ('G H', dict(a='~G', b='G', transfer=('H',), attributes=('G', 'H')), 'H'),
    ('Black Blond G', dict(a='Black', b='~Black', transfer=('hair',), attributes=('G',)), 'Black')])
def test_what_is_to_change(labels, fields, names):
  assert names_of(tuple(labels.split()), **fields) == tuple(names.split())


def test_a_feature_that_is_no_label_goes_by_its_labels():
  assert names_of(('Black', 'Blond', 'G'), {'hair': ('Black', 'Blond')}, a='Black', b='~Black',
                  transfer=('hair',)) == ('Black', 'Blond')


def test_our_own_classifier_brings_its_facts(tmp_path):
  path, notes = str(tmp_path / 'x.safetensors'), []
  params, facts = drawn(('Tall', 'Green'), image_shape=(32, 24), accuracy=0.75)
  classifiers.write(path, params, facts)
  rows = {'a': colored(5, 0), 'b': colored(5, 1)}
  got = measure(rows, make_config(path, (), a='~Green', b='Green'), note=notes.append)
  opened = classifiers.read(path)
  translated = simple(Mixes())(rows['a'], rows['b']).image
  assert got['ab_accuracy'] == pytest.approx((opened(translated)[0][:, 1] > 0).mean())
  assert got['classifier'].startswith('x.safetensors, sha256 ')
  assert got['classifier'].endswith('; of its own 10 test pictures right: Tall 75.0 % (always the '
                                    'commoner value 60.0 %), Green 75.0 % (always the commoner '
                                    'value 60.0 %)')
  assert len(got['classifier'].split('sha256 ')[1].split(';')[0]) == 16
  assert notes == [
      "'accuracy' is by a classifier that was right about Green in only 75.0 % of its test "
      'pictures',
      "'accuracy' is by a classifier of pictures of 32x24 pixels, and these have another size"]
  assert isinstance(evaluators.make('accuracy', make_config(path, ('Tall', 'Green'))),
                    accuracy.Evaluator)
  with pytest.raises(errors.UserError, match="attributes=.'Green',., but .* knows Tall, Green"):
    measure(rows, make_config(path, ('Green',)))


def test_a_single_value_is_told(network, table):
  notes, rows = [], labelled(6)
  for domain in 'ab':
    rows[f'{domain}_attributes'][:, 0] = 1
  config = make_config(network, a='', b='')
  config.data.attributes = ('Red', 'Green')
  measure(rows, config, Forth(), note=notes.append)
  assert notes == ["every picture measured, of a and of b, has Red: 'accuracy' of it says nothing "
                   'of translation']
  notes.clear()
  config = make_config(network)
  data = open_table(table, config, a='~Red & ~Green', b='Green', transfer=('Red', 'Green'))
  measure(data, config, Forth(), note=notes.append)
  assert [note.split(',')[0] for note in notes] == ['no picture measured']


def test_what_cannot_be_measured_is_one_line(network, table, tmp_path):
  rows, notes = {'a': pictures(2), 'b': pictures(2, 1)}, []
  start = "evaluator 'accuracy' measures nothing here: "
  assert measure(rows, make_config('', ()), note=notes.append) == {}
  assert notes.pop().startswith(f'{start}no classifier is named (config.accuracy.network); python')
  assert measure(rows, make_config(network, a='~Hat', b='Hat'), note=notes.append) == {}
  assert notes.pop() == (
      f'{start}config.accuracy.network knows Blue, Red, Green, and what is to change is Hat; '
      'train_classifier --attributes=Hat makes one that fits')
  assert measure(rows, make_config(network, a='Red', b='Red'), note=notes.append) == {}
  assert 'nothing says which attributes are to change' in notes.pop()
  # Only the data can say that what looks like 'Eyeglasses', a default, is 'B' here.
  for domain in 'AB':
    for split in ('train', 'test'):
      (tmp_path / f'{split}{domain}').mkdir()
      for i in range(2):
        Image.fromarray(colored(1, i)[0]).save(tmp_path / f'{split}{domain}' / f'{i}.png')
  config = make_config(network, ('Eyeglasses', 'Red', 'Green'))
  config.data.update(source='folder', path=str(tmp_path))
  data = data_samples.open_data(config.data, image_size=SIZE)
  assert measure(data, config, note=notes.append) == {'pairs': 2.0}
  assert notes[0].startswith(f'{start}config.accuracy.network knows Eyeglasses, Red, Green, and')
  one = export(tmp_path / 'one', lambda x: look(x)[:, 1:2])
  config.accuracy.update(network=one, attributes=('B',))
  assert measure(data, config)['b_accuracy'] == finds(
      np.stack([data.records('test').image(int(i)) for i in data.members('test')[1]]), 'Red').mean()


@pytest.mark.parametrize('function, attributes, match', [
    (look, (), 'does not say what its outputs mean.*config.accuracy.attributes'),
    (look, ('Red', 'Green'), r'gives float32 \[4, 3\]; expected logits \[B, 2\], for Red, Green'),
    (lambda x: look(x)[:, :, None], NAMES, r'gives float32 \[4, 3, 1\]; expected logits'),
    (lambda x: look(x) / 0, NAMES, 'logits that are not finite')])
def test_networks_that_do_not_fit(tmp_path, function, attributes, match):
  path = export(tmp_path / 'net', function)
  rows = {'a': colored(4, 0), 'b': colored(4, 1)}
  with pytest.raises(errors.UserError, match=match):
    measure(rows, make_config(path, attributes, a='~Red', b='Red'))
  with pytest.raises(errors.UserError, match='config.accuracy.network=.*cannot be read'):
    measure(rows, make_config(str(tmp_path / 'absent'), NAMES))


def test_table_and_meanings(network):
  rows, config = labelled(8), make_config(network, a='~Red & ~Green', b='Red | Green')
  config.data.attributes = ('Red', 'Green')
  got = measure(rows, config)
  lines = evaluators.table(got).splitlines()
  assert max(map(len, lines)) <= 100 and lines[-1].startswith('classifier: colors, sha256 ')
  [first] = [line for line in lines if line.startswith('a to b    as it should be (%)   ')]
  assert first.split()[-4:] == [f'{100 * got[f"{name}ab_accuracy"]:.1f}'
                                for name in ('', 'do_nothing_')] + [
      'perfect', f'{100 * got["truth_ab_accuracy"]:.1f}']
  for name in ('Red', 'Green'):
    assert sum(f'as it should be (%): {name} ' in line for line in lines) == 3
  assert sum(line.startswith('removal ') for line in lines) == 3
  for domain in 'ab':
    [line] = [line for line in lines if line.startswith(f'real {domain}    the classifier is right')
              and ':' not in line]
    assert line.split()[-1] == f'{100 * got[f"{domain}_accuracy"]:.1f}'
  for name in got.keys() - {'pairs', 'classifier'}:
    if not name.startswith('do_nothing'):
      assert measures.meaning(name), name
      limit = name.startswith(('truth', 'a_', 'b_'))
      assert measures.better(name) == (0 if limit else 1), name
  assert measures.baseline(got, 'ab_accuracy[Red]') == 'do_nothing_ab_accuracy[Red]'
  assert measures.meaning('ab_accuracy[Red]').startswith('Of Red alone. ')
  assert 'Only over the pictures in' in measures.meaning('ab_ssim[Smiling]')


def test_predicates_without_the_data_name_the_same_labels():
  """`missing` has only the config; it must read names as the parser does."""
  text = "~'Wears a Hat' & (Red|~\"Old\") & AU_12"
  names = ('Wears a Hat', 'Red', 'Old', 'AU_12')
  data = run_config.default('content_transfer').data
  data.update(source='csv', a=text, b=text)
  mentioned = changing.names_in(data, ())
  parsed = predicates.parse(text, names)
  assert mentioned[:4] == names and set(names) == {*parsed.positive, *parsed.negative}
