"""Likeness of translations both ways, against scikit-image and exact answers."""

import jax.numpy as jnp
import numpy as np
import pytest
from skimage import metrics

from helpers import data_samples
from helpers.simple_method import Data, pictures, Simple, simple
from maskgan_jax import errors, evaluators
from maskgan_jax.data import default_config, evaluation, predicates, transforms
from maskgan_jax.data.records import Records
from maskgan_jax.evaluators import _image_measures as image_measures
from maskgan_jax.evaluators import similarity
from maskgan_jax.methods.base import Translation
from maskgan_jax.reports import report
from maskgan_jax.runs import scores

SIZE = 16
PARTS = {'ab': 0.3183, 'ba': 0.618}  # such that no mixture of bytes lies halfway between two


class Mixes(Simple):
  """Mixes the exemplar into the source, more of it in reverse."""
  abilities = frozenset({'exemplar', 'reverse'})
  provenance = {'perceptual_network': 'drawn by lot'}

  def translate(self, params, model_state, source, exemplar, *, reverse=False, **unused):
    part = PARTS['ba' if reverse else 'ab']
    return Translation((1 - part) * source + part * exemplar)


class Forth(Mixes):
  """The same method without the way back."""
  abilities = frozenset({'exemplar'})


class Plain(Simple):
  """Takes no exemplar; brightens."""
  abilities = frozenset({'reverse'})

  def translate(self, params, model_state, source, exemplar, *, reverse=False, **unused):
    return Translation(jnp.clip(source + (0.5 if reverse else 0.25), -1, 1))


class Grouped(Data):
  """Returns pairs in two groups."""
  apart = ('Odd', '~Odd | Late')


def mixed(source, exemplar, part):
  """Returns what `Mixes` makes of bytes."""
  source, exemplar = (x.astype(np.float32) / 127.5 - 1 for x in (source, exemplar))
  mix = (1 - np.float32(part)) * source + np.float32(part) * exemplar
  return np.clip(np.round((mix + 1) * 127.5), 0, 255).astype(np.uint8)


def skimage_ssim(x, y):
  return np.array([metrics.structural_similarity(x[i], y[i], channel_axis=-1, data_range=255)
                   for i in range(len(x))])


def skimage_psnr(x, y):
  return np.array([metrics.peak_signal_noise_ratio(y[i], x[i], data_range=255)
                   for i in range(len(x))])


def rows_of(n):
  rows = {'a': pictures(n), 'b': pictures(n, 1)}
  for truth, source, seed in (('truth_ab', 'a', 2), ('truth_ba', 'b', 3)):
    rows[truth] = (0.7 * rows[source] + 0.3 * pictures(n, seed)).astype(np.uint8)
  return rows


def measure(rows, method=None, batch_size=4, data=Data, **options):
  return evaluators.run(simple(method or Mixes()), data(test=rows), names=('similarity',),
                        batch_size=batch_size, **options)


@pytest.mark.parametrize('size', [(28, 28), (7, 30), (41, 23)])
def test_uniform_windows_are_scikit_images_default(size):
  rng = np.random.default_rng(0)
  x = rng.integers(0, 256, (3, *size, 3)).astype(np.uint8)
  x[2] = 255 * (x[2] > 127)  # binary, as coloured digits are
  y = np.clip(x + rng.normal(0, [[[[5.0]]], [[[40.0]]], [[[90.0]]]], x.shape), 0, 255)
  y = y.astype(np.uint8)
  got = image_measures.ssim(x, y, **image_measures.SCIKIT_IMAGE)
  np.testing.assert_allclose(got, skimage_ssim(x, y), rtol=1e-10)
  assert got[1] < got[0] < 1 and got[2] < got[0]
  biased = image_measures.ssim(x, y, window=5, uniform=True)
  np.testing.assert_allclose(biased, [metrics.structural_similarity(
      x[i], y[i], win_size=5, use_sample_covariance=False, channel_axis=-1, data_range=255)
      for i in range(3)], rtol=1e-10)
  assert (image_measures.ssim(x, x, **image_measures.SCIKIT_IMAGE) == 1).all()


@pytest.mark.parametrize('size', [1, 6])
def test_uniform_windows_shrink_to_small_pictures(size):
  x, y = pictures(2, 0, size), pictures(2, 1, size)
  got = image_measures.ssim(x, y, **image_measures.SCIKIT_IMAGE)
  if size == 1:  # only the luminance term is left
    a, b, c = x.astype(float), y.astype(float), 2.55 ** 2
    want = ((2 * a * b + c) / (a * a + b * b + c)).mean(axis=(1, 2, 3))
  else:
    want = [metrics.structural_similarity(x[i], y[i], win_size=5, channel_axis=-1, data_range=255)
            for i in range(2)]
  np.testing.assert_allclose(got, want)


@pytest.mark.parametrize('batch_size', [3, 7, 64])
def test_both_directions_against_scikit_image(batch_size):
  rows = rows_of(7)
  got = measure(rows, batch_size=batch_size)
  want = {}
  for direction, part in PARTS.items():
    source, exemplar = (rows[name] for name in direction)
    truth, image = rows[f'truth_{direction}'], mixed(source, exemplar, part)
    blank = np.zeros_like(exemplar)
    blank[:] = np.round(np.median(exemplar, axis=(1, 2), keepdims=True))
    for prefix, picture in (('', image), ('do_nothing_', source), ('blank_', blank)):
      want[f'{prefix}{direction}_ssim'] = skimage_ssim(picture, truth)
      want[f'{prefix}{direction}_psnr'] = skimage_psnr(picture, truth)
      want[f'{prefix}{direction}_exemplar_ssim'] = skimage_ssim(picture, exemplar)
    want[f'truth_{direction}_exemplar_ssim'] = skimage_ssim(truth, exemplar)
  assert set(got) == {'pairs', *want, *(f'{name}_std' for name in want)}
  for name, values in want.items():
    np.testing.assert_allclose([got[name], got[f'{name}_std']], [values.mean(), values.std()],
                               rtol=1e-9, err_msg=name)
  assert got['ab_exemplar_ssim'] < got['ba_exemplar_ssim'] - 0.1


def test_a_blank_picture_beats_a_digit_that_is_somewhere_else():
  rows = {name: np.zeros((2, SIZE, SIZE, 3), np.uint8)
          for name in ('a', 'b', 'truth_ab', 'truth_ba')}
  rows['truth_ab'][:, 3:13, 3:5] = 255
  rows['b'][:, 3:13, 11:13] = 255
  got = measure(rows)
  assert got['blank_ab_exemplar_ssim'] > got['truth_ab_exemplar_ssim']


def test_perfect_translations_reach_the_ceiling():
  rows = rows_of(5)
  rows['truth_ab'] = mixed(rows['a'], rows['b'], PARTS['ab'])
  got = measure(rows)
  assert got['ab_ssim'] == 1 and got['ab_psnr'] == 100 and got['ab_ssim_std'] == 0
  assert got['ab_exemplar_ssim'] == got['truth_ab_exemplar_ssim'] < 0.9
  assert got['ba_ssim'] < 1


def test_groups_are_measured_apart():
  rows = rows_of(6)
  odd = np.arange(6) % 2 == 1
  rows['a_apart'] = np.stack([odd, ~odd | (np.arange(6) > 4)], axis=-1)
  rows['b_apart'] = np.zeros((6, 2), bool)
  rows['b_apart'][2, 1] = True
  got = measure(rows, data=Grouped)
  want = {direction: skimage_ssim(mixed(*(rows[name] for name in direction), part),
                                  rows[f'truth_{direction}'])
          for direction, part in PARTS.items()}
  for name, value in (('ab_ssim[Odd]', want['ab'][odd].mean()),
                      ('ab_ssim[~Odd | Late]', want['ab'][[0, 2, 4, 5]].mean()),
                      ('ba_ssim[~Odd | Late]', want['ba'][2])):
    np.testing.assert_allclose(got[name], value, rtol=1e-9)
  for measure_ in ('ab_exemplar_ssim', 'truth_ab_exemplar_ssim', 'ba_exemplar_ssim'):
    assert got[f'{measure_}[~Odd | Late]'] != got[measure_]
  assert 'ba_ssim[Odd]' not in got  # the group is empty
  lines = evaluators.table(got).splitlines()
  assert f'a to b    SSIM to the truth: Odd        {got["ab_ssim[Odd]"]:8.4f}' in lines
  assert (f'a to b    SSIM with the exemplar: Odd   {got["ab_exemplar_ssim[Odd]"]:8.4f}'
          f'               perfect {got["truth_ab_exemplar_ssim[Odd]"]:.4f}') in lines
  assert sum(': ~Odd | Late ' in line for line in lines) == 4  # two of each direction


def test_methods_without_a_way_back_or_exemplars():
  rows = rows_of(4)
  assert {name[:2] for name in measure(rows, Forth()) if name[:2] in ('ab', 'ba')} == {'ab'}
  got = measure(rows, Plain())
  # For a method without an exemplar it is the picture after which the truth was made.
  lighter = np.clip(np.round((np.clip(rows['a'] / 127.5 - 1 + 0.25, -1, 1) + 1) * 127.5), 0, 255)
  assert got['ab_exemplar_ssim'] == pytest.approx(
      skimage_ssim(lighter.astype(np.uint8), rows['b']).mean(), abs=1e-3)
  assert 'truth_ba_exemplar_ssim' in got
  bare = {name: rows[name] for name in 'ab'}
  assert set(measure(bare)) == {
      f'{name}{suffix}' for suffix in ('', '_std') for name in (
          f'{prefix}{direction}_exemplar_ssim' for prefix in ('', 'do_nothing_', 'blank_')
          for direction in ('ab', 'ba'))} | {'pairs'}
  said = []
  assert measure(bare, Plain(), note=said.append) == {} and 'no exemplar' in said[0]
  assert similarity.Evaluator().missing({'truth_ba': 0}, frozenset({'reverse'})) == ''
  assert similarity.Evaluator().missing({'truth_ba': 0}, frozenset({'remove'}))


def test_the_table_has_truth_and_ceiling_side_by_side():
  got = measure(rows_of(4))
  lines = evaluators.table(got | {'perceptual_network': 'drawn by lot'}).splitlines()
  assert lines[0].split() == ['model', 'do', 'nothing'] and max(map(len, lines)) <= 100
  assert [line.split()[:3] for line in lines[1:4]] == [['a', 'to', 'b']] * 3
  assert lines[1].split()[-4:] == [f'{got["ab_ssim"]:.4f}', f'{got["do_nothing_ab_ssim"]:.4f}',
                                   '+-', f'{got["ab_ssim_std"]:.4f}']
  assert lines[3].endswith(f'   perfect {got["truth_ab_exemplar_ssim"]:.4f} +- '
                           f'{got["truth_ab_exemplar_ssim_std"]:.4f}')
  assert lines[-2:] == ['4 pairs', 'perceptual network: drawn by lot']
  assert evaluators.table({'perceptual_network': 'drawn by lot'}) == ''


def test_provenance_stands_beside_every_result(tmp_path):
  translator = simple(Mixes())
  config = translator.config
  config.update(evaluators=('similarity',), evaluation_batch_size=4)
  got = evaluators.measure(translator, Data(test=rows_of(3)), config, tmp_path, 7)
  assert all(isinstance(value, float) for value in got.values())
  [row] = scores.read(tmp_path)
  assert row == {'step': 7, 'split': 'test', 'perceptual_network': 'drawn by lot', **got}
  assert evaluators.provenance(simple()) == {}
  with open(report.write(tmp_path), encoding='utf-8') as file:
    page = file.read()
  assert '<p>perceptual network: drawn by lot</p>' in page and 'what a perfect one gets' in page


class Digits(Records):
  """Records of two domains with true translations, as `colored_digits` has them."""
  attribute_names = ('Coloured', 'Odd')
  attributes = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [1, 1]], bool)
  fingerprint = ''

  def __init__(self):
    self.stored = pictures(5, size=8)

  def __len__(self):
    return 5

  def name(self, index):
    return f'digit {index}'

  def image(self, index):
    return self.stored[index]

  def mask(self, index, attribute):
    return None

  def translation_truths(self, a, b):
    return self.stored[a] // 2 + self.stored[b] // 4, 255 - self.stored[b]


def test_pairs_tell_truths_and_groups():
  records = Digits()
  groups = [predicates.parse(text, records.attribute_names) for text in ('Odd', '~Odd')]
  rows = evaluation.Pairs(
      records, np.array([0, 1]), np.array([3, 2]), transforms.Transform(image_size=8), columns=(),
      transfer=(), masks=(), erase='', apart=groups, in_memory='always').get([0, 1])
  for row, a, b in zip(rows, (0, 1), (3, 2), strict=True):
    np.testing.assert_array_equal(row['truth_ab'], records.stored[a] // 2 + records.stored[b] // 4)
    np.testing.assert_array_equal(row['truth_ba'], 255 - records.stored[b])
    for name, index in (('a_apart', a), ('b_apart', b)):
      odd = records.attributes[index, 1]
      assert row[name].tolist() == [odd, not odd] and row[name].dtype == bool
    assert not {'truth_ab_mask', 'b_mask', 'a_labels'} & row.keys()


def test_groups_come_from_the_config(data_dir):
  config = default_config.get_default()
  config.update(data_dir=data_dir, num_train=4, num_validation=4, num_test=8,
                apart=('Smiling', '~Smiling'))
  data = data_samples.open_data(config, image_size=SIZE)
  assert data.apart == ('Smiling', '~Smiling')
  [batch] = data.evaluation('test', batch_size=8)
  column = data.records('test').attribute_names.index('Smiling')
  for name, members in zip(('a_apart', 'b_apart'), data.members('test'), strict=True):
    smiles = data.records('test').attributes[members, column][:batch['valid'].sum()]
    np.testing.assert_array_equal(batch[name][batch['valid']],
                                  np.stack([smiles, ~smiles], axis=-1))
  assert 0 < batch['a_apart'][:, 0].mean() < 1
  for wrong, match in ((('Smilling',), "apart='Smilling'.*did you mean 'Smiling'"),
                       (('Smiling', ' '), 'has an empty group')):
    config.apart = wrong
    with pytest.raises(errors.UserError, match=match):
      data_samples.open_data(config, image_size=SIZE)
