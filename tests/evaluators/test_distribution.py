"""Distances of translations to real pictures: by hand, cached, damaged, too few."""

import glob
import os

import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from helpers.distribution_samples import (
  COUNTS,
  draw,
  export,
  frechet,
  make_config,
  measure,
  open_data,
  seen,
  write_folder,
)
from helpers.simple_method import Adds, Data, pictures, simple
from maskgan_jax import config as run_config
from maskgan_jax import errors, evaluators, experiment
from maskgan_jax.evaluators import _distances as distances
from maskgan_jax.evaluators import _feature_sets
from maskgan_jax.evaluators import _features as features
from maskgan_jax.runs import measures, scores
from maskgan_jax.training import loop


@pytest.fixture(name='network')
def _network(tmp_path):
  return export(tmp_path / 'eyes')


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  return write_folder(tmp_path_factory.mktemp('pictures'))


@pytest.fixture(name='wanted', scope='module')
def _wanted(folder):
  """Returns features of real pictures and translations: {direction or domain: [N, D]}."""
  a, b = draw('A'), draw('B')
  translator, pairs = simple(Adds()), COUNTS['A']
  return {'a': np.asarray(seen(a)), 'b': np.asarray(seen(b)),
          'ab': np.asarray(seen(translator(a).image)),
          'ba': np.asarray(seen(translator(b[:pairs], reverse=True).image))}


@pytest.mark.parametrize('batch_size', [3, 16, 64])
def test_by_hand_with_a_network_of_the_users(folder, network, wanted, batch_size):
  notes = []
  got = measure(open_data(folder), network, batch_size=batch_size, note=notes.append,
                kid=dict(gamma=0.01, degree=2, coefficient=0.5))
  for direction in ('ab', 'ba'):
    real, made = wanted[direction[1]], wanted[direction]
    assert got[f'{direction}_frechet_distance'] == pytest.approx(frechet(made, real), rel=1e-5)
    kernel = distances.kernel_distance(made, real, gamma=0.01, degree=2, coefficient=0.5,
                                       subsets=20, subset_size=25)
    assert [got[f'{direction}_kernel_distance'], got[f'{direction}_kernel_distance_std']] == (
        pytest.approx(kernel, rel=1e-5))
    nothing = frechet(wanted['a'], wanted['b'])
    assert got[f'do_nothing_{direction}_frechet_distance'] == pytest.approx(nothing, rel=1e-5)
    assert got[f'{direction}_translations'] == 37
    assert got[f'{direction}_real_pictures'] == COUNTS[direction[1].upper()]
    for domain, name in zip(direction, ('translations', 'real_pictures'), strict=True):
      assert got[f'do_nothing_{direction}_{name}'] == COUNTS[domain.upper()]
  assert got['ab_frechet_distance'] != pytest.approx(got['ba_frechet_distance'], rel=0.01)
  assert not [name for name in got if 'fid' in name or 'kid' in name or '_is' in name]
  digest = features.digest_of(network)
  assert got['frechet_distance_protocol'] == f'eyes, sha256 {digest}' and len(digest) == 64
  assert got['kernel_distance_kernel'] == (
      'degree 2, gamma 0.01, coefficient 0.5, 20 subsets of at most 25')
  # b has 50 real pictures and 37 translations; a has 37 of each.
  assert notes == ['frechet_distance from a to b is of 37 translations and 50 real pictures: '
                   'compare it only with results of as many']


def test_methods_of_one_direction_and_fewer_pairs(folder, network, wanted):
  class OneWay(Adds):
    abilities = frozenset()

  got = measure(open_data(folder), network, method=OneWay(), max_pairs=30)
  assert got['ab_translations'] == 30 and got['ab_real_pictures'] == 50
  assert got['ab_frechet_distance'] == pytest.approx(frechet(wanted['ab'][:30], wanted['b']),
                                                     rel=1e-5)
  assert not [name for name in got if 'ba_' in name]


def halves(x):
  """Returns two random halves of features, as the evaluator takes them."""
  order = np.random.default_rng(0).permutation(len(x))
  return x[order[:(len(x) + 1) // 2]], x[order[(len(x) + 1) // 2:]]


def test_against_the_domain_that_translations_come_from(folder, network, wanted, tmp_path):
  data, cache = open_data(folder), str(tmp_path / 'cache')
  target = measure(data, network, cache=cache)
  got = measure(data, network, cache=cache, real='source')
  for direction in ('ab', 'ba'):
    real = wanted[direction[0]]
    assert got[f'{direction}_frechet_distance'] == pytest.approx(
        frechet(wanted[direction], real), rel=1e-5)
    assert got[f'{direction}_real_pictures'] == len(real)
    one, two = halves(real)
    assert [got[f'do_nothing_{direction}_{name}'] for name in ('translations', 'real_pictures')] \
        == [len(one), len(two)]
    assert got[f'do_nothing_{direction}_frechet_distance'] == pytest.approx(
        frechet(one, two), rel=1e-5)
    kernel = distances.kernel_distance(one, two, subsets=20, subset_size=len(two))
    assert got[f'do_nothing_{direction}_kernel_distance'] == pytest.approx(kernel[0], rel=1e-4)
  text = ', against real pictures of the domain that translations come from'
  assert got['frechet_distance_protocol'] == target['frechet_distance_protocol'] + text
  assert 'against' not in target['frechet_distance_protocol']
  assert len(os.listdir(cache)) == 2  # the statistics of real pictures serve both
  with pytest.raises(errors.UserError, match=r"real='sources' is unknown \(did you mean 'source'\?"
                                             r"\); .* of: target, source"):
    evaluators.make('distribution', make_config('nowhere', real='sources'))


def test_only_the_real_pictures_that_count_are_looked_at(folder, network, tmp_path):
  class OneWay(Adds):
    abilities = frozenset()

  cache = str(tmp_path / 'cache')
  measure(open_data(folder), network, method=OneWay(), cache=cache, real='source')
  [name] = os.listdir(cache)
  assert '-a-test-' in name


class Removes(Adds):
  """Makes b lighter."""
  abilities = frozenset({'remove'})

  def remove(self, params, model_state, image, *, mask=None, threshold=None):
    return self.translate(params, model_state, image)


@pytest.mark.parametrize('real', ['target', 'source'])
def test_removals(folder, network, wanted, real):
  """b without the attribute is compared with real pictures of a, or of b."""
  notes = []
  got = measure(open_data(folder), network, method=Removes(), real=real, note=notes.append,
                max_pairs=30)
  removed = np.asarray(seen(simple(Removes()).remove(draw('B')[:30]).image))
  against = wanted['a' if real == 'target' else 'b']
  assert got['removal_frechet_distance'] == pytest.approx(frechet(removed, against), rel=1e-5)
  assert got['removal_translations'] == 30 and got['removal_real_pictures'] == len(against)
  nothing = (wanted['a'], wanted['b']) if real == 'target' else halves(wanted['b'])
  assert got['do_nothing_removal_frechet_distance'] == pytest.approx(frechet(*nothing), rel=1e-5)
  assert f'of removals from b is of 30 translations and {len(against)} real' in notes[-1]
  assert 'ab_frechet_distance' in got and not [name for name in got if name.startswith('ba_')]
  line = next(line for line in evaluators.table(got).splitlines() if line.startswith('removal   F'))
  assert line.split()[-2:] == [f'{got[name]:.4f}' for name in (
      'removal_frechet_distance', 'do_nothing_removal_frechet_distance')]


def test_one_set_of_pictures_for_both_domains(folder, network, wanted):
  """Where only labels tell domains apart, doing nothing compares one half with the other."""
  data = open_data(folder)
  everything = np.arange(len(data.records('test')))
  data.members = lambda split: (everything, everything)
  got = measure(data, network)
  assert got['ab_real_pictures'] == got['ba_real_pictures'] == 87
  one, two = halves(np.concatenate([wanted['a'], wanted['b']]))
  assert got['do_nothing_ab_frechet_distance'] == pytest.approx(frechet(one, two), rel=1e-5)


def test_pictures_are_looked_at_a_few_at_a_time(folder, network, monkeypatch):
  sizes, polled = [], []
  real = features.Features.__call__

  def call(self, images):
    sizes.append(len(images))
    return real(self, images)
  monkeypatch.setattr(features.Features, '__call__', call)
  measure(open_data(folder, in_memory='never'), network, batch_size=8,
          poll=lambda: polled.append(len(sizes)))
  assert max(sizes) <= 32 and sum(sizes) == 37 + 50 + 2 * 37
  assert {1, 2, 3} <= set(polled)  # also while real pictures are looked at


def test_real_pictures_are_looked_at_once(folder, network, tmp_path, monkeypatch):
  cache, notes = str(tmp_path / 'cache'), []
  plain = measure(open_data(folder), network)
  assert measure(open_data(folder), network, cache=cache) == plain
  assert len(os.listdir(cache)) == 2
  looked = []
  monkeypatch.setattr(_feature_sets, 'look', lambda *args: looked.append(args))
  assert measure(open_data(folder), network, cache=cache, note=notes.append) == plain
  assert not looked and len(notes) == 1  # about 37 and 50 pictures


def test_other_pictures_and_networks_have_files_of_their_own(folder, network, tmp_path):
  cache = str(tmp_path / 'cache')
  results = [measure(open_data(folder, **fields), eyes, cache=cache) for fields, eyes in (
      ({}, network), ({'crop': 'center:12'}, network),
      ({}, export(tmp_path / 'others', lambda x: seen(x) * 2)))]
  assert len(os.listdir(cache)) == 6
  values = [result['ab_frechet_distance'] for result in results]
  assert values[2] == pytest.approx(4 * values[0], rel=1e-5)
  assert values[1] != pytest.approx(values[0], rel=1e-3)
  names = os.listdir(cache)
  fingerprint, digest = open_data(folder).fingerprint, features.digest_of(network)[:16]
  for domain in 'ab':
    assert f'{fingerprint}-{domain}-test-own-features-{digest}.npz' in names


@pytest.mark.parametrize('damage', ['cut', 'flipped', 'foreign', 'empty', 'fewer', 'text'])
def test_a_damaged_cache_is_made_again(folder, network, tmp_path, damage):
  cache = str(tmp_path / 'cache')
  want = measure(open_data(folder), network, cache=cache)
  paths = sorted(glob.glob(f'{cache}/*.npz'))
  assert '-a-' in paths[0]
  with open(paths[0], 'rb') as file:
    data = good = file.read()
  if damage == 'cut':
    data = data[:len(data) // 2]
  elif damage == 'flipped':
    middle = data.index(np.load(paths[0])['mean'].tobytes())
    data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:]
  elif damage == 'foreign':
    with open(paths[1], 'rb') as file:
      data = file.read()
  elif damage == 'fewer':
    with np.load(paths[0]) as arrays:
      arrays = dict(arrays)
    np.savez(paths[0], **arrays | {'count': np.int64(36), 'rows': arrays['rows'][:36],
                                   'lots': arrays['lots'][:36]})
    with open(paths[0], 'rb') as file:
      data = file.read()
  else:
    data = b'' if damage == 'empty' else b'no archive'
  assert data != good
  with open(paths[0], 'wb') as file:
    file.write(data)
  notes = []
  assert measure(open_data(folder), network, cache=cache, note=notes.append) == want
  assert paths[0] in notes[0] and 'damaged or of something else, and is made again' in notes[0]
  assert len(notes) == 2 and '\n' not in notes[0]
  with open(paths[0], 'rb') as file:
    assert file.read() == good


def test_a_cache_that_cannot_be_written_is_said(folder, network, tmp_path):
  (tmp_path / 'file').write_text('')
  notes = []
  got = measure(open_data(folder), network, cache=str(tmp_path / 'file'), note=notes.append)
  assert 'ab_frechet_distance' in got
  assert 'will have to be looked at again: cannot write' in notes[0]


def test_one_subset_of_all_pictures_has_no_deviation(folder, network):
  notes, config = [], make_config(network)

  def run():
    return evaluators.run(simple(Adds()), open_data(folder), names=('distribution',), batch_size=16,
                          note=notes.append, config=config)
  assert {'ab_kernel_distance_std', 'ba_kernel_distance_std'} < run().keys()
  config.distribution.kid.subset_size = 40
  got = run()  # from b to a both sets have 37: every subset of 37 would be the whole set
  assert 'ba_kernel_distance' in got and 'ba_kernel_distance_std' not in got
  assert got['ab_kernel_distance_std'] > 0
  assert [note.split('; ')[1] for note in notes if 'kid.subset_size=40' in note] == [
      'its deviation then says little', 'it has no deviation']
  assert 'b to a has a subset of 37 pictures' in notes[-1]
  config.distribution.kid.subsets = 1
  assert not [name for name in run() if name.endswith('_std')]


def test_too_few_pictures_are_said(folder, network):
  notes = []
  got = measure(open_data(folder), network, max_pairs=5, note=notes.append)
  assert 'from a to b is of 5 translations and 50 real pictures' in notes[0]
  assert 'covariances of 5 features have no full rank with fewer than 6' in notes[0]
  assert 'kernel_distance from a to b has subsets of 5 pictures' in notes[1]
  assert 'kid.subset_size=25' in notes[1]
  assert got['ab_frechet_distance'] > 0 and got['ab_translations'] == 5
  notes.clear()
  got = measure(open_data(folder), network, max_pairs=1, note=notes.append)
  assert got == {'pairs': 1}
  assert notes[0] == ("'distribution' measures nothing from a to b: 1 translations and 50 real "
                      'pictures; two of each are the least')


def test_what_is_wrong_with_a_network_is_said(folder, network, tmp_path):
  (tmp_path / 'junk').write_bytes(b'junk')
  (tmp_path / 'junk.safetensors').write_bytes(b'junk')

  def bad(x):
    return jnp.where(jnp.arange(3).reshape(1, 3) < 2, 1.0, jnp.nan) * x[:, 0, 0].astype(jnp.float32)

  cases = {
      str(tmp_path / 'absent'): 'config.distribution.network=.*absent.* cannot be read: No such',
      str(tmp_path / 'junk'): 'neither a function serialized by jax.export nor NAME.onnx',
      str(tmp_path / 'absent.safetensors'): 'no file .*import_weights inception FILE',
      str(tmp_path / 'junk.safetensors'): 'not a safetensors file, or a damaged one',
      export(tmp_path / 'flat', lambda x: x.mean((1, 2, 3))): r'gives float32 \[8\]; expected feat',
      export(tmp_path / 'map', lambda x: x * 1.0): r'gives float32 \[8, 16, 16, 3\]; expected feat',
      export(tmp_path / 'bytes', lambda x: x[:, 0, 0]): r'gives uint8 \[8, 3\]; expected features',
      export(tmp_path / 'pair', lambda x: (x, x)): r'returns 2 arrays; expected features \[B, D\] ',
      export(tmp_path / 'nan', bad): 'features that are not finite for 32 of 32 pictures',
  }
  for path, match in cases.items():
    with pytest.raises(errors.UserError, match=match) as error:
      measure(open_data(folder), path)
    assert '\n' not in str(error.value)
  kept = export(tmp_path / 'kept', lambda x: seen(x)[:, None, None])
  assert measure(open_data(folder), kept)['ab_frechet_distance'] == (
      measure(open_data(folder), network)['ab_frechet_distance'])


def test_wrong_settings_are_said_before_anything_is_opened():
  for settings, match in ((dict(protocol='tf2'), "protocol='tf2' is unknown.*pytorch_fid, clean"),
                          (dict(kid=dict(degree=0)), 'kid.degree=0 must be at least 1'),
                          (dict(kid=dict(gamma=-1.0)), r'kid.gamma=-1.0 must be at least 0')):
    with pytest.raises(errors.UserError, match=match):
      evaluators.make('distribution', make_config('nowhere', **settings))
  config = make_config()
  config.distribution.kid.subset_size = 1
  with pytest.raises(errors.UserError, match='kid.subset_size=1 must be at least 2'):
    evaluators.make('distribution', config)


def test_without_a_network_nothing_is_measured():
  said = []
  rows = {'a': pictures(2), 'b': pictures(2, 1)}
  assert measure(Data(test=rows), '', note=said.append) == {}
  assert len(said) == 1 and said[0].startswith(
      "evaluator 'distribution' measures nothing here: no network is named "
      '(config.distribution.network); python -m maskgan_jax.import_weights inception ')
  assert {'distances', 'resizing', 'networks', 'features'}.isdisjoint(evaluators.names())
  assert 'distribution' in evaluators.names()


def test_what_the_measures_mean():
  for name, sign in (('ab_fid', -1), ('ba_kid', -1), ('ab_is', 1), ('ba_frechet_distance', -1),
                     ('ab_kernel_distance', -1), ('ab_translations', 0), ('ab_real_pictures', 0),
                     ('removal_fid', -1), ('removal_is', 1), ('removal_translations', 0)):
    assert measures.better(name) == sign and measures.meaning(name), name
  row = {'ab_fid': 1.0, 'do_nothing_ab_fid': 2.0, 'ab_kid': 1.0, 'ab_kid_std': 1.0}
  assert measures.ordered(row) == ['ab_fid', 'ab_kid']
  assert measures.baseline(row, 'ab_fid') == 'do_nothing_ab_fid'


def test_training_is_handed_numbers_alone(folder, network, tmp_path, monkeypatch):
  """Training ranks checkpoints by these numbers."""
  data, got = open_data(folder), []

  def train(config, workdir, make_evaluate):
    evaluate = make_evaluate(Adds(), data, None)
    got.append(evaluate(7, {}, {}))
    return loop.Trained(7, None, None, None, data)
  monkeypatch.setattr(loop, 'train', train)
  config = make_config(network)
  run_config.smoke(config)
  experiment.train(config, str(tmp_path / 'run'))
  assert got[0]['ab_frechet_distance'] > 0
  assert all(isinstance(value, float) for value in got[0].values())
  assert 'sha256' in scores.latest(tmp_path / 'run')['frechet_distance_protocol']


def test_settings_may_change_on_resuming(tmp_path):
  run_config.save(run_config.default('content_transfer'), str(tmp_path))
  now = make_config('elsewhere', protocol='clean', tap='64', cache='there', real='source',
                    kid=dict(gamma=0.01, degree=2, coefficient=2.0))
  for key, value in run_config.flatten(now):
    if key.startswith('distribution.'):
      assert value != dict(run_config.flatten(run_config.default('content_transfer')))[key], key
  now.evaluators = ()
  run_config.check_same_run(now, str(tmp_path))
  assert run_config.fingerprint(now) == run_config.fingerprint(
      run_config.default('content_transfer'))
  assert isinstance(now.distribution, ml_collections.ConfigDict)
