"""Networks and masks that see nothing, or are too old, never give perfect scores silently."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.distribution_samples import export, measure, open_data, write_folder
from helpers.simple_method import Data, pairs, Simple, simple
from helpers.tiny_model import SIZE
from maskgan_jax import config as run_config
from maskgan_jax import errors, evaluators
from maskgan_jax.evaluators import _distances as distances
from maskgan_jax.evaluators import _networks as networks
from maskgan_jax.evaluators import base, lpips, masks, segmentation
from maskgan_jax.methods.base import Translation


def _blind(images):
  """Returns the same five features for every picture."""
  return jnp.ones((images.shape[0], 1)) * jnp.arange(5.0)[None]


def test_statistics_of_the_same_features_are_constant():
  for rows, constant in ((np.ones((9, 3)) * [1, 0, 5], True), (np.zeros((9, 3)), True),
                         (np.ones((9, 3)) + np.eye(9, 3) * 1e-8, True),
                         (np.ones((9, 3)) + np.eye(9, 3) * 1e-2, False)):
    statistics = distances.Statistics(3)
    for batch in np.array_split(rows, 4):
      statistics.update(batch)
    assert statistics.constant == constant


def test_no_distance_of_features_that_are_all_the_same(tmp_path):
  notes = []
  got = measure(open_data(write_folder(tmp_path / 'in')), export(tmp_path / 'eyes', _blind),
                note=notes.append)
  assert not [name for name in got if 'distance' in name]
  assert notes == [
      f"'distribution' measures nothing {words}: config.distribution.network gives the same "
      'features for all pictures, translated and real; a distance of such is 0 whatever they show'
      for words in ('from a to b', 'from b to a')]


class _Collapsed(Simple):
  """Returns the same picture for every input."""
  abilities = frozenset()

  def translate(self, params, model_state, source, exemplar=None, **unused):
    return Translation(jnp.zeros_like(source))


def test_translations_that_are_one_picture_are_said(tmp_path):
  notes = []
  got = measure(open_data(write_folder(tmp_path / 'in')), export(tmp_path / 'eyes'),
                method=_Collapsed(), note=notes.append)
  assert got['ab_frechet_distance'] > 0
  assert notes[0] == ('frechet_distance from a to b is of translations that all have the same '
                      'features: they are one picture, or config.distribution.network does not see '
                      'what differs')


def _identity(network, rows, notes):
  config = run_config.default('content_transfer')
  config.identity.network = network
  return evaluators.run(simple(_Collapsed()), Data(test=rows), names=('identity',), batch_size=4,
                        note=notes.append, config=config)


def test_no_likeness_by_an_embedder_that_sees_nothing(tmp_path):
  rows, notes = pairs(6), []
  rows = {name: rows[name] for name in 'ab'}
  got = _identity(export(tmp_path / 'blind', _blind), rows, notes)
  assert got == {'pairs': 6.0}
  assert notes == ["'identity' measures nothing: the embedder gives the same features for all "
                   'pictures, so that any two would be the same; name another in '
                   'config.identity.network']
  notes.clear()
  same = {name: np.full_like(value, 128) for name, value in rows.items()}
  assert _identity(export(tmp_path / 'eyes'), same, notes)['ab_identity'] == pytest.approx(
      1) and not notes  # all pictures are the same one


@pytest.mark.parametrize('value', [0.0, np.nan])
def test_lpips_that_sees_no_difference_is_refused(value):
  evaluator = lpips.Evaluator({'network': '', 'exemplars': 2})
  evaluator._network = lambda x, y: np.full(len(x), value)
  rows = pairs(2)
  evaluator._check_network(rows['a'], rows['a'])  # these are equal
  with pytest.raises(errors.UserError, match=f'config.lpips.network gives {value:g} for pictures '
                                             'that differ'):
    evaluator._check_network(rows['a'], rows['b'])


@pytest.mark.parametrize('matrix, said', [
    ([[0, 0, 0], [0, 9, 1], [0, 0, 0]], 'all label maps measured are of class 1 alone'),
    ([[0, 5, 0], [0, 9, 0], [0, 0, 0]], 'finds class 1 alone in all untranslated pictures, whose '
                                        'label maps have 2'),
    ([[4, 5, 0], [0, 9, 0], [0, 0, 0]], None)])
def test_segmentation_of_one_class_is_said(matrix, said):
  evaluator = segmentation.Evaluator({'network': '', 'classes': 3, 'ids': (), 'ignore': 255})
  notes = []
  evaluator.begin(None, 'test', base.Reporter(note=notes.append))
  evaluator._confusion = {name: np.array(matrix) for name in evaluator._confusion}
  assert dict(evaluator.results())['segmentation_miou'] > 0
  assert len(notes) == (said is not None) and (not said or said in notes[0])


@pytest.mark.parametrize('soft, true, said', [
    (0.3, 1, 'has one value throughout'), (None, 0, 'every true mask is empty'), (None, 1, '')])
def test_thresholds_that_say_nothing_are_said(soft, true, said):
  predicted = np.random.default_rng(0).random((2, 4, 4, 1)).astype(np.float32)
  truth = np.zeros((2, 4, 4, 1))
  truth[:, :2] = true
  search = masks.ThresholdSearch()
  search.update(predicted if soft is None else np.full_like(predicted, soft), truth,
                np.ones(2, bool))
  assert said in search.problem() and bool(said) == bool(search.problem())
  assert not masks.ThresholdSearch().problem()


def _blob(path, **changes):
  """Writes a network whose blob describes itself differently than this version of JAX would."""
  spec = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8)
  exported = jax.export.export(jax.jit(_blind))(spec)
  path.write_bytes(dataclasses.replace(exported, **changes).serialize())
  return str(path)


def test_blobs_of_another_version_of_jax_are_not_called_damaged(tmp_path, monkeypatch):
  def said_of(path):
    with pytest.raises(errors.UserError) as caught:
      networks.open_network(path, 'config.x', 'features')
    assert '\n' not in str(caught.value)
    return str(caught.value)
  networks.open_network(_blob(tmp_path / 'good'), 'config.x', 'features')
  old = said_of(_blob(tmp_path / 'old', calling_convention_version=1))
  assert f'was written by a version of JAX that {jax.__version__} does not read' in old
  assert 'calling convention version 1, not' in old and 'six months back' in old

  (tmp_path / 'damaged').write_bytes(b'nothing of the kind')
  assert 'is neither a function serialized by jax.export' in said_of(str(tmp_path / 'damaged'))

  def expired(data):
    raise ValueError('Unsupported serialization version 3: expired on 2026-07-15')
  monkeypatch.setattr(jax.export, 'deserialize', expired)
  assert 'does not read (Unsupported serialization version 3: expired' in said_of(str(
      tmp_path / 'good'))
