"""The classifier: what it depends on, what it learns, what it reports, its file."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
from PIL import Image
import pytest
from safetensors import safe_open

from helpers import commands
from helpers.classifiers import drawn, SIZE, WIDTH
from helpers.data_samples import make_config as make_data_config
from helpers.distribution_samples import measure as measure_distribution
from helpers.distribution_samples import open_data, write_folder
from helpers.simple_method import pictures
from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.evaluators import _features as features
from maskgan_jax.pretrained_networks import classifier, classifiers
from maskgan_jax.pretrained_networks import files as weights
from maskgan_jax.train_classifier import __main__ as train_classifier
from maskgan_jax.train_classifier import subjects, testing


@pytest.mark.parametrize('size', [(16, 16), (32, 20), (9, 33), (1, 2)])
def test_pictures_of_any_size_do_not_depend_on_their_batch(size):
  params, facts = drawn()
  opened = classifiers.Classifier(params, facts)
  images = np.random.default_rng(0).integers(0, 256, (5, *size, 3), np.uint8)
  logits, seen = opened(images)
  assert logits.shape == (5, 2) and seen.shape == (5, 8 * WIDTH)
  others = np.concatenate([images[2:3], 255 - images[:1]])
  for got, want in zip(opened(others), (logits, seen), strict=True):
    np.testing.assert_allclose(got[0], want[2], rtol=1e-4, atol=1e-5)
  linear = params['Linear_0']['Dense_0']
  np.testing.assert_allclose(logits, seen @ linear['kernel'] + linear['bias'], rtol=1e-3, atol=1e-4)
  if min(size) > 1:
    assert np.ptp(logits, axis=0).min() > 1e-4


def test_in_chunks_it_says_the_same(monkeypatch):
  opened, images = classifiers.Classifier(*drawn()), pictures(7)
  want = opened(images)
  monkeypatch.setattr(classifiers, '_LARGEST_BATCH', 4)
  for got, expected in zip(opened(images), want, strict=True):
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_accelerators_get_half_precision_and_parameters_stay_whole():
  module = classifier.AttributeClassifier(3, WIDTH, jax.numpy.bfloat16)
  images = jax.ShapeDtypeStruct((2, 16, 16, 3), np.float32)
  (logits, seen), variables = jax.eval_shape(
      lambda x: module.init_with_output(jax.random.key(0), x), images)
  assert logits.dtype == seen.dtype == np.float32 and logits.shape == (2, 3)
  assert {x.dtype for x in jax.tree.leaves(variables)} == {np.dtype(np.float32)}


# Training, on a table of pictures: 'Red' ones are red below, 'Bright' ones bright above.

COUNTS = {'train': 48, 'val': 2, 'test': 21}


def draw(split):
  rng, n = np.random.default_rng(len(split)), COUNTS[split]
  red, bright = np.arange(n) % 3 > 0, np.arange(n) % 2 > 0
  images = rng.integers(0, 60, (n, SIZE, SIZE, 3))
  images[bright, :6] += 180
  images[red, 9:, :, 0] += 180
  return images.astype(np.uint8), red, bright


@pytest.fixture(name='table', scope='module')
def _table(tmp_path_factory):
  root = tmp_path_factory.mktemp('table')
  rows = ['file,split,Red,Bright,Square,Round']
  for split in COUNTS:
    for i, (image, red, bright) in enumerate(zip(*draw(split), strict=True)):
      Image.fromarray(image).save(root / f'{split}{i:03}.png')
      rows.append(f'{split}{i:03}.png,{split},{int(red)},{int(bright)},1,0')
  (root / 'table.csv').write_text('\n'.join(rows))
  return root


def make_config(table, **fields):
  config = run_config.default('content_transfer')
  config.image_size = SIZE
  fields = {'a': '~Red & Square', 'b': 'Red & Square', 'in_memory': 'never', **fields}
  config.data = make_data_config('csv', path=str(table), attributes_file=f'{table}/table.csv',
                                 **fields)
  return config


def train(config, output, **options):
  options = {'steps': 25, 'batch_size': 16, 'width': 4, 'learning_rate': 1e-2,
             'note': lambda line: None, **options}
  return train_classifier.train(config, str(output), **options)


@pytest.fixture(name='trained', scope='module')
def _trained(table, tmp_path_factory):
  path, notes = tmp_path_factory.mktemp('trained') / 'new' / 'red.safetensors', []
  train(make_config(table), path, attributes=('Red', 'Bright'), note=notes.append)
  return str(path), notes


@pytest.mark.slow
def test_it_learns_and_says_how_well(trained):
  path, notes = trained
  opened = classifiers.read(path)
  images, red, bright = draw('test')
  answers, labels = opened(images)[0] > 0, np.stack([red, bright], axis=1)
  held_out = opened.facts.held_out
  assert opened.facts.attributes == ('Red', 'Bright') and held_out.pictures == 21
  for i, name in enumerate(opened.facts.attributes):
    right = answers[:, i] == labels[:, i]
    assert held_out.accuracy[name] == pytest.approx(right.mean()) and right.mean() > 0.9
    assert held_out.positives[name] == labels[:, i].sum()
    assert held_out.commoner(name) == pytest.approx(max(labels[:, i].mean(),
                                                        1 - labels[:, i].mean()))
  assert held_out.all_accuracy == pytest.approx((answers == labels).all(axis=1).mean())
  assert held_out.all_commonest == pytest.approx(max(
      (labels == row).all(axis=1).mean() for row in labels))
  assert (opened.facts.steps, opened.facts.width, opened.facts.image_shape) == (25, 4, (SIZE, SIZE))
  table = notes[-1].splitlines()
  assert table[0].startswith('right of 21 test pictures') and len(table) == 4
  assert table[1].split() == ['Red', f'{100 * held_out.accuracy["Red"]:.2f}', '%', '(66.67', '%);',
                              '14', 'have', 'it,', '7', 'do', 'not']
  assert notes[0].startswith('step 2 of 25: loss ') and len(notes) == 14


def test_what_is_wrong_often_is_reported_so(table):
  """A classifier that always says yes must not get a good score."""
  config = make_config(table)
  config.data.attributes = ('Red', 'Bright')
  data, names = subjects.open_data(config, (), 0, lambda line: None)
  assert names == ('Red', 'Bright')

  class Yes:
    facts = drawn(names)[1]

    def __call__(self, images):
      return np.ones((len(images), 2)), None
  held_out = testing.measure(Yes(), data)
  assert held_out.accuracy['Red'] == pytest.approx(14 / 21)
  assert held_out.accuracy['Bright'] == pytest.approx(10 / 21)
  assert held_out.all_accuracy == pytest.approx(np.mean(draw('test')[1] & draw('test')[2]))


@pytest.mark.slow
def test_the_same_arguments_give_the_same_file(table, tmp_path, monkeypatch):
  contents = []
  for i, seed in enumerate((3, 3, 4)):
    monkeypatch.setattr(testing, '_BATCH', 8 + i)  # how test pictures come changes nothing
    path = tmp_path / f'{i}.safetensors'
    train(make_config(table), path, steps=3, seed=seed)
    with safe_open(path, framework='numpy') as file:  # the header has no fixed order
      metadata = file.metadata()
      contents.append({'': metadata} | {name: file.get_tensor(name).tobytes()
                                        for name in file.keys()})  # noqa: SIM118
  assert contents[0] == contents[1] != contents[2]
  metadata = contents[0]['']
  assert metadata['kind'] == 'classifier' and json.loads(metadata['facts'])['seed'] == 3


@pytest.mark.slow
def test_by_default_it_learns_what_the_config_names(table, tmp_path):
  notes = []
  opened = train(make_config(table, attributes=('Bright',)), tmp_path / 'x.safetensors', steps=1,
                 note=notes.append)
  assert opened.facts.attributes == ('Red', 'Bright')
  assert notes[0] == 'every picture has Square, so that is not learned'


@pytest.mark.slow
def test_of_two_folders_it_learns_which(tmp_path):
  folder = write_folder(tmp_path / 'folder')
  config = run_config.default('content_transfer')
  config.image_size = SIZE
  config.data.update(source='folder', path=folder)
  opened = train(config, tmp_path / 'x.safetensors', steps=1, batch_size=2)
  assert opened.facts.attributes == ('B',) and opened.facts.domains == ()  # a label like any other
  assert opened.facts.held_out.positives == {'B': 50} and opened.facts.held_out.pictures == 87
  asked = train(config, tmp_path / 'y.safetensors', steps=1, batch_size=2, attributes=('B',))
  assert asked.facts == opened.facts


@pytest.mark.slow
def test_it_learns_the_domain_itself(table, tmp_path):
  """Domain b is red or bright but not both, which no single label says."""
  texts = '(Red & Bright) | (~Red & ~Bright)', '(Red & ~Bright) | (~Red & Bright)'
  config = make_config(table, a=texts[0], b=texts[1], attributes=('Red',))
  images, red, bright = draw('test')
  opened = train(config, tmp_path / 'b.safetensors', attributes=('B',), steps=1)
  assert opened.facts.attributes == ('B',) and opened.facts.domains == texts
  held_out = opened.facts.held_out
  assert held_out.positives == {'B': (red != bright).sum()} and held_out.pictures == 21
  assert held_out.accuracy['B'] == pytest.approx(
      ((opened(images)[0][:, 0] > 0) == (red != bright)).mean())
  assert classifiers.read(str(tmp_path / 'b.safetensors')).facts == opened.facts
  opened = train(make_config(table), tmp_path / 'c.safetensors', attributes=('Bright', 'B'))
  answers = opened(images)[0] > 0
  assert (answers[:, 0] == bright).mean() > 0.9 and (answers[:, 1] == red).mean() > 0.9
  assert opened.facts.held_out.positives == {'Bright': bright.sum(), 'B': red.sum()}
  assert opened.facts.domains == ('~Red & Square', 'Red & Square')
  # It is not a label of the data: neither a default nor in a config.
  opened = train(make_config(table), tmp_path / 'd.safetensors', steps=1)
  assert opened.facts.attributes == ('Red',) and opened.facts.domains == ()


@pytest.mark.parametrize('fields, options, match', [
    ({'a': '', 'b': ''}, dict(attributes=('Red', 'B')),
     '^--attributes=B tells domain b from a, and 48 of the 48 train pictures are in both; change'),
    ({'a': 'Red', 'b': 'Bright'}, dict(attributes=('B',)), 'and 16 of the 40 train pictures are'),
    ({'test_a': 'Red'}, dict(attributes=('B',)), 'and 14 of the 14 test pictures are in both'),
    ({'attributes': ('B',)}, {}, "config.data.attributes: there is no attribute 'B'"),
    ({}, dict(attributes=('Square',)), '^every picture has Square: nothing to learn$'),
    ({}, dict(attributes=('Red', 'Round')), '^no picture has Round: nothing to learn$'),
    ({}, dict(attributes=('Brihgt',)), r"--attributes: .* 'Brihgt' \(did you mean 'Bright'\?\)"),
    ({}, dict(attributes=('Xyz',)), "no attribute 'Xyz'; attributes: Red, Bright, Square, Round"),
    ({'attributes': ('Brihgt',)}, {}, "config.data.attributes: .*did you mean 'Bright'"),
    ({'a': '', 'b': ''}, {}, 'nothing to learn: no attribute tells .* there are: Red, Bright'),
    ({'a': 'Square', 'b': 'Square'}, {}, 'every picture has Square: nothing to learn'),
    ({'test_a': 'Round', 'test_b': 'Round'}, {}, 'no test pictures'),
    ({'a': 'Round'}, {}, 'domain a is empty'),
    ({}, dict(batch_size=5), '--batch_size=5 must be even'),
    ({}, dict(learning_rate=float('inf'), steps=3), 'not finite at step 2; lower --learning_rate')])
def test_mistakes_are_one_line(table, tmp_path, fields, options, match):
  with pytest.raises(errors.UserError, match=match) as caught:
    train(make_config(table, **fields), tmp_path / 'x.safetensors', **options)
  assert '\n' not in str(caught.value) and not os.listdir(tmp_path)


def test_outputs_that_cannot_be(table, tmp_path):
  (tmp_path / 'there.safetensors').write_text('mine')
  (tmp_path / 'file').write_text('mine')
  for name, match in (('there.safetensors', 'exists; choose another --output'),
                      ('x.npz', 'ends with .safetensors'),
                      ('file/x.safetensors', 'cannot write .*file/x.safetensors')):
    with pytest.raises(errors.UserError, match=match):
      train(make_config(table), tmp_path / name)
  assert (tmp_path / 'there.safetensors').read_text() == 'mine'


def test_told_to_stop_it_writes_nothing(table, tmp_path):
  left = [5]

  def poll():
    left[0] -= 1
    if not left[0]:
      raise errors.Preempted('stop')
  with pytest.raises(errors.Preempted):
    train(make_config(table), tmp_path / 'x.safetensors', poll=poll)
  assert not os.listdir(tmp_path)


def rewritten(path, params, **changes):
  path.unlink(missing_ok=True)
  weights.write(str(path), params, changes)


def test_damaged_files_and_others(tmp_path):
  path, (params, facts) = tmp_path / 'x.safetensors', drawn()
  with pytest.raises(errors.UserError, match='no file .*train_classifier --config=FILE --output='):
    classifiers.read(str(path))
  classifiers.write(str(path), params, facts)
  assert classifiers.read(str(path)).facts == facts
  with safe_open(path, framework='numpy') as file:
    text = file.metadata()['facts']
  lacking = {name: value for name, value in params.items() if name != 'Linear_0'}
  broken = json.loads(text)
  broken['held_out']['accuracy'] = {'Red': 0.5}
  for written, metadata, match in (
      (params, {'kind': 'inception'}, r'not a classifier file of train_classifier \(its kind: inc'),
      (lacking, {'kind': 'classifier', 'facts': text}, "lacks a tensor 'Linear_0.*again"),
      (params, {'kind': 'classifier', 'facts': json.dumps(broken)}, 'does not say what it'),
      (params, {'kind': 'classifier', 'facts': '{}'}, 'does not say what it classifies'),
      (params, {'kind': 'classifier', 'facts': json.dumps(json.loads(text) | {'domains': ['a']})},
       'does not say what it classifies'),
      (params, {'kind': 'classifier'}, 'does not say what it classifies')):
    rewritten(path, written, **metadata)
    with pytest.raises(errors.UserError, match=match):
      classifiers.read(str(path))
  path.write_bytes(path.read_bytes()[:-9])
  with pytest.raises(errors.UserError, match='damaged'):
    classifiers.read(str(path))
  with pytest.raises(errors.UserError, match='damaged'):
    features.open_network(str(path), 'config.distribution.network')


def test_distances_by_its_features_are_never_called_fid(tmp_path):
  path, data = str(tmp_path / 'x.safetensors'), open_data(write_folder(tmp_path / 'folder'))
  classifiers.write(path, *drawn(('B',)))
  opened, images = features.open_network(path, 'config.distribution.network'), pictures(3)
  seen, logits = opened(images)
  np.testing.assert_array_equal(seen, classifiers.read(path)(images)[1])
  assert logits is None and not opened.inception
  got = measure_distribution(data, path, tap='no tap of Inception')
  assert got['ab_frechet_distance'] > 0 and 'ab_kernel_distance' in got
  assert not [name for name in got if 'fid' in name or 'kid' in name or '_is' in name]
  assert got['frechet_distance_protocol'].startswith('x.safetensors, a classifier of B, sha256 ')


@pytest.mark.slow
def test_the_command(table, tmp_path):
  (tmp_path / 'mine.py').write_text(
      'from maskgan_jax.runs import config as c\n\ndef get_config():\n'
      "  config = c.default('content_transfer')\n  config.image_size = 16\n"
      f"  config.data.update(source='csv', path={str(table)!r}, a='~Red', b='Red',\n"
      f"                     attributes_file={str(table) + '/table.csv'!r})\n  return config\n")
  command = [sys.executable, '-m', 'maskgan_jax.train_classifier',
             f'--config={tmp_path}/mine.py', f'--output={tmp_path}/x.safetensors', '--width=2']

  def run(*flags):
    return commands.run('train_classifier', *command[3:], *flags)
  ran = run('--steps=5', '--attributes=Red,Bright')
  assert ran.returncode == 0, ran.stderr
  assert 'Red' in ran.stdout and f'--config.accuracy.network={tmp_path}/x.safetensors' in ran.stdout
  ran = run()
  assert ran.returncode == 2 and ran.stderr.startswith('error: ') and 'exists' in ran.stderr
  os.remove(tmp_path / 'x.safetensors')
  with subprocess.Popen([*command, '--steps=1000000000'], text=True, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE) as process:
    time.sleep(15)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
  assert process.returncode == 75 and said.startswith('asked to stop; nothing is written')
  assert os.listdir(tmp_path) == ['mine.py']
  ran = commands.run('train_classifier', '--help')
  assert ran.returncode == 0 and '--attributes' in ran.stdout
