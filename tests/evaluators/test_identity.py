"""Likeness of embeddings: cosines by hand, with every kind of file that holds a network."""

import jax.numpy as jnp
import numpy as np
import pytest

from helpers.classifiers import drawn
from helpers.distribution_samples import export, seen
from helpers.simple_method import Data, pairs, pictures, Simple, simple
from helpers.tiny_model import SIZE
from maskgan_jax import config as run_config
from maskgan_jax import errors, evaluators
from maskgan_jax.evaluators import identity
from maskgan_jax.methods.base import Translation
from maskgan_jax.pretrained_networks import classifiers
from maskgan_jax.runs import measures


class Changes(Simple):
  """Mixes the exemplar in, and removes by darkening the upper half."""
  abilities = frozenset({'exemplar', 'reverse', 'remove'})

  def translate(self, params, model_state, source, exemplar, *, reverse=False, **unused):
    part = 0.6 if reverse else 0.3
    return Translation((1 - part) * source + part * exemplar)

  def remove(self, params, model_state, image, *, mask=None, threshold=None):
    return Translation(image.at[:, :8].set(-1.0))


class Plain(Simple):
  """Translates in one direction, without an exemplar, and changes nothing."""
  abilities = frozenset()

  def translate(self, params, model_state, source, exemplar=None, **unused):
    return Translation(source)


def look(images):
  """Returns features with different directions; `seen` is about the same for all noise."""
  return seen(images) - jnp.array([[2, 2, 2, 2, 4]])


def measure(rows, network='', method=None, batch_size=4, note=lambda line: None, accuracy='',
            **fields):
  config = run_config.default('content_transfer')
  config.data.update(**fields)
  config.identity.network, config.accuracy.network = network, accuracy
  return evaluators.run(simple(method or Changes()), Data(test=rows), names=('identity',),
                        batch_size=batch_size, note=note, config=config)


def by_hand(x, y, embed=lambda images: np.asarray(look(images))):
  """Computes the cosines picture by picture, with NumPy's norms."""
  return np.array([np.dot(u, v) / np.linalg.norm(u) / np.linalg.norm(v)
                   for u, v in zip(embed(x).astype(np.float64), embed(y).astype(np.float64),
                                   strict=True)])


def rows_of(n):
  rows = pairs(n)
  return {name: rows[name] for name in ('a', 'b', 'truth_ab', 'truth_ba')}


def wanted_of(rows, embed=lambda images: np.asarray(look(images))):
  translator, (a, b) = simple(Changes()), (rows['a'], rows['b'])
  return {name: by_hand(x, y, embed) for name, x, y in (
      ('ab_identity', a, translator(a, b).image),
      ('ba_identity', b, translator(b, a, reverse=True).image),
      ('removal_identity', b, translator.remove(b).image),
      ('truth_ab_identity', a, rows['truth_ab']), ('truth_ba_identity', b, rows['truth_ba']),
      ('truth_removal_identity', b, rows['truth_ba']))}


@pytest.mark.parametrize('batch_size', [3, 7, 64])
def test_cosines_by_hand(tmp_path, batch_size):
  rows, path = rows_of(7), export(tmp_path / 'eyes', look)
  got, want = measure(rows, path, batch_size=batch_size), wanted_of(rows)
  assert set(got) == {'pairs', 'embedder', *want, *(f'{name}_std' for name in want)}
  for name, values in want.items():
    np.testing.assert_allclose([got[name], got[f'{name}_std']], [values.mean(), values.std()],
                               rtol=1e-4, atol=1e-6, err_msg=name)
  assert got['embedder'].startswith('eyes, sha256 ') and got['ab_identity'] < 0.99
  assert got['ab_identity'] != pytest.approx(got['ba_identity'], abs=1e-4)


def test_methods_that_do_less_are_measured_less(tmp_path):
  rows = {name: pictures(5, i) for i, name in enumerate('ab')}
  got = measure(rows, export(tmp_path / 'eyes'), Plain())
  assert set(got) == {'pairs', 'embedder', 'ab_identity', 'ab_identity_std'}
  assert got['ab_identity'] == pytest.approx(1, abs=1e-12)


def test_our_classifier_is_the_embedder_where_no_other_is_named(tmp_path):
  rows, path, notes = rows_of(5), str(tmp_path / 'x.safetensors'), []
  classifiers.write(path, *drawn())
  opened = classifiers.read(path)
  got = measure(rows, accuracy=path)
  for name, values in wanted_of(rows, lambda images: opened(images)[1]).items():
    assert got[name] == pytest.approx(values.mean(), rel=1e-4), name
  assert got['embedder'].startswith('x.safetensors, a classifier of Red, Wide, sha256 ')
  other = measure(rows, export(tmp_path / 'eyes'), accuracy=path)
  assert other['embedder'].startswith('eyes, ')
  assert measure(rows, note=notes.append) == {}
  assert notes == ["evaluator 'identity' measures nothing here: no embedder is named "
                   '(config.identity.network, or config.accuracy.network for that classifier)']
  with pytest.raises(errors.UserError, match='config.identity.network=.*cannot be read'):
    measure(rows, str(tmp_path / 'nothing'))


def test_embedders_of_what_changes_are_no_judges(tmp_path):
  path, notes = export(tmp_path / 'eyes', look), []
  rows = {'a': pictures(3), 'b': pictures(3, 1)}
  measure(rows | {'truth_ab': 255 - rows['a']}, path, Plain(), note=notes.append)
  limit = by_hand(rows['a'], 255 - rows['a']).mean()
  assert limit < 0 and len(notes) == 1
  assert notes[0].startswith("'identity' is by an embedder that finds even true answers unlike "
                             f'their sources ({limit:.2f}): ')
  notes.clear()
  measure(rows | {'truth_ab': rows['a']}, path, Plain(), note=notes.append)
  measure(rows, path, Plain(), note=notes.append)
  assert not notes


@pytest.mark.parametrize('learnt, fields, named', [
    (('Eyeglasses', 'Wide'), {}, 'Eyeglasses'),
    (('Wide', 'B'), {}, 'B'),
    (('Wide', 'Red'), {}, ''),
    (('Wide', 'Red'), dict(a='~Red & Tall', b='Red & Tall'), 'Red'),
    (('Wide', 'Red'), dict(transfer=('Red',)), 'Red')])
def test_a_classifier_of_what_changes_is_said_to_be_one(tmp_path, learnt, fields, named):
  """The measure works with and without true answers."""
  path, notes = str(tmp_path / 'x.safetensors'), []
  classifiers.write(path, *drawn(learnt))
  rows = {'a': pictures(3), 'b': pictures(3, 1)}
  measure(rows, accuracy=path, method=Plain(), note=notes.append, **fields)
  assert len(notes) == bool(named)
  if named:
    assert notes == ["'identity' is by config.accuracy.network, which has learnt what is to "
                     f'change, {named}: name an embedder of what should stay in '
                     'config.identity.network']
    notes.clear()
    measure(rows | {'truth_ab': rows['a']}, accuracy=path, method=Plain(), note=notes.append,
            **fields)
    assert len(notes) == 1 and f'{named}, even of true answers only 1.00: ' in notes[0]
  notes.clear()
  measure(rows, path, Plain(), note=notes.append, accuracy=path, **fields)
  assert not notes  # it was chosen


def test_vectors_of_zeros_are_like_nothing(tmp_path):
  """A black picture has zero features; warnings are errors here."""
  path = export(tmp_path / 'eyes', lambda x: x.astype(jnp.float32).mean((1, 2)))
  rows = {'a': np.concatenate([np.zeros((1, SIZE, SIZE, 3), np.uint8), pictures(1)])}
  rows['b'] = rows['a']
  got = measure(rows, path, Plain())
  assert got['ab_identity'] == pytest.approx(0.5) and got['ab_identity_std'] == pytest.approx(0.5)


def test_cosines_of_known_angles():
  angle = np.linspace(0, np.pi, 7)
  x = np.tile([3.0, 0, 4], (7, 1))
  y = 1e-3 * (np.cos(angle)[:, None] * x + np.sin(angle)[:, None] * [[0.0, 5, 0]])
  np.testing.assert_allclose(identity.cosine(x, y), np.cos(angle), atol=1e-12)
  # In float32, squares of such numbers would be infinite, or zero.
  for size in (1e30, 1e-30):
    np.testing.assert_allclose(identity.cosine(np.float32(size) * np.float32(x), y), np.cos(angle),
                               atol=1e-6)
  assert identity.cosine(np.zeros((2, 3)), np.ones((2, 3))).tolist() == [0, 0]


def test_table_and_meanings(tmp_path):
  got = measure(rows_of(4), export(tmp_path / 'eyes'))
  lines = evaluators.table(got).splitlines()
  identity_lines = [line for line in lines if 'likeness of the embedding' in line]
  assert [line.split('  ')[0] for line in identity_lines] == ['removal', 'a to b', 'b to a']
  for line, task in zip(identity_lines, ('removal', 'ab', 'ba'), strict=True):
    assert f' {got[f"{task}_identity"]:.4f}      1.0000 ' in line
    assert f'perfect {got[f"truth_{task}_identity"]:.4f} +- ' in line
  assert max(map(len, lines[:-2])) <= 100 and lines[-1].startswith('embedder: eyes, sha256')
  for name in got.keys() - {'pairs', 'embedder'}:
    if not name.endswith('_std'):
      assert measures.meaning(name), name
      assert measures.better(name) == (0 if name.startswith('truth') else 1), name
