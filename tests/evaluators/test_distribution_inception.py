"""FID, KID and IS: by each protocol, never mixed, and equal to torch-fidelity's."""

import os

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg

from helpers import comparing_inception
from helpers.distribution_samples import (
  draw,
  export,
  frechet,
  make_config,
  measure,
  open_data,
  write_folder,
)
from helpers.simple_method import Adds, simple
from maskgan_jax import errors, evaluators
from maskgan_jax.evaluators import _distances as distances
from maskgan_jax.evaluators import _features as features
from maskgan_jax.evaluators import _resizing as resizing
from maskgan_jax.import_weights import inception as convert
from maskgan_jax.pretrained_networks import files as weights
from maskgan_jax.reports import report
from maskgan_jax.runs import scores


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  return write_folder(tmp_path_factory.mktemp('pictures'))


class FewLayers:
  """Replaces Inception: has the names of its taps, and computes a few numbers of its input."""

  def apply(self, variables, images):
    scale = variables['params']['scale']
    assert images.shape[1:] == (299, 299, 3) and images.dtype == jnp.float32
    means = images.mean((1, 2))
    return {'64': means, '2048': jnp.concatenate([means, means[:, :1] ** 2], 1) * scale,
            'logits_unbiased': 20 * means, 'logits': 40 * means}


@pytest.fixture(name='small_inception')
def _small_inception(tmp_path, monkeypatch):
  monkeypatch.setattr(features.inception, 'InceptionV3', FewLayers)
  monkeypatch.setattr(weights, 'read_inception', lambda path: (
      {'scale': np.float32(3)}, 'Inception-v3 from x.pth, sha256 1234'))
  (tmp_path / 'i.safetensors').write_bytes(b'parameters')
  return str(tmp_path / 'i.safetensors')


@pytest.mark.slow
@pytest.mark.parametrize('protocol', resizing.PROTOCOLS)
def test_inception_by_its_protocol(folder, small_inception, protocol):
  data, notes = open_data(folder), []
  got = measure(data, small_inception, protocol=protocol, note=notes.append)

  def theirs(images):
    images = np.asarray(resizing.prepare(images, protocol))
    outputs = FewLayers().apply({'params': {'scale': 3}}, images)
    return np.asarray(outputs['2048']), np.asarray(outputs['logits_unbiased'])

  translated, logits = theirs(simple(Adds())(draw('A')).image)
  real, _ = theirs(draw('B'))
  assert got['ab_fid'] == pytest.approx(frechet(translated, real), rel=1e-4)
  kid = distances.kernel_distance(translated, real, subsets=20, subset_size=25)
  assert [got['ab_kid'], got['ab_kid_std']] == pytest.approx(kid, rel=1e-3)
  assert [got['ab_is'], got['ab_is_std']] == pytest.approx(distances.inception_score(logits, 10),
                                                           rel=1e-4)
  assert got['fid_protocol'] == (f'protocol {protocol}, tap 2048, Inception-v3 from x.pth, sha256 '
                                 '1234')
  assert got['kid_kernel'].startswith('degree 3, gamma 1/dim, coefficient 1')
  assert {'ba_fid', 'ba_kid', 'ba_is', 'do_nothing_ab_fid', 'do_nothing_ba_kid'} <= got.keys()
  assert not [name for name in got if 'distance' in name]


@pytest.mark.slow
def test_protocols_and_taps_do_not_share_files_or_names(folder, small_inception, tmp_path):
  cache = str(tmp_path / 'cache')
  values = [measure(open_data(folder), small_inception, protocol=protocol, cache=cache)['ab_fid']
            for protocol in resizing.PROTOCOLS]
  assert len(set(values)) == 3 and len(os.listdir(cache)) == 6
  shallow = measure(open_data(folder), small_inception, tap='64', cache=cache)
  assert 'ab_frechet_distance' in shallow and 'ab_fid' not in shallow and 'ab_is' not in shallow
  assert 'tap 64' in shallow['frechet_distance_protocol']
  assert len(os.listdir(cache)) == 8
  assert len([name for name in os.listdir(cache) if '-pytorch_fid-64-' in name]) == 2
  with pytest.raises(errors.UserError, match="tap='65' is unknown; taps: 64, 192, 768, 2048"):
    measure(open_data(folder), small_inception, tap='65')


def test_measured_saved_and_shown(folder, small_inception, tmp_path):
  config = make_config(small_inception)
  translator = simple(Adds())
  got = evaluators.measure(translator, open_data(folder), config, tmp_path, 5,
                           note=lambda line: None)
  [row] = scores.read(tmp_path)
  assert row == {'step': 5, 'split': 'test', **got}
  lines = evaluators.table(row).splitlines()
  fid = next(line for line in lines if line.startswith('a to b    FID'))
  assert fid.split()[-2:] == [f'{got["ab_fid"]:.3f}', f'{got["do_nothing_ab_fid"]:.3f}']
  kid = next(line for line in lines if line.startswith('b to a    KID'))
  assert kid.endswith(f'   +- {got["ba_kid_std"]:.5f}') and f' {got["ba_kid"]:.5f} ' in kid
  counts = [line.split()[3:-1] for line in lines if line.startswith('a to b    real pictures')]
  assert counts == [['real', 'pictures', '50']]
  assert f'fid protocol: {got["fid_protocol"]}' in lines
  assert max(len(line) for line in lines if 'settings: ' not in line) <= 100
  with open(report.write(tmp_path), encoding='utf-8') as file:
    page = file.read()
  assert 'by what the Inception network sees' in page and got['fid_protocol'] in page
  # Scores of another network do not replace these.
  config.distribution.network = export(tmp_path / 'eyes')
  evaluators.measure(translator, open_data(folder), config, tmp_path, 5, note=lambda line: None)
  [row] = scores.read(tmp_path)
  assert row['ab_fid'] == got['ab_fid'] and row['fid_protocol'] == got['fid_protocol']
  assert 'sha256' in row['frechet_distance_protocol']


@pytest.mark.slow
def test_inception_end_to_end_is_torch_fidelitys(torch, tmp_path, folder):
  """From bytes to FID, KID and IS with random weights, by torch-fidelity's network and ours."""
  model = comparing_inception.network(torch, ['2048', 'logits_unbiased'])
  from torch_fidelity import metric_fid, metric_isc, metric_kid
  path = str(tmp_path / 'i.safetensors')
  weights.write(path, convert.convert('x', {name: x.numpy() for name, x in
                                            model.state_dict().items()}),
                {'kind': 'inception', 'source': 'x', 'sha256': '12', 'published': ''})
  data = open_data(folder, num_test=6)
  [batch] = data.evaluation('test', batch_size=6)

  def theirs(images):
    with torch.no_grad():
      return [x.double() for x in model(torch.from_numpy(images.transpose(0, 3, 1, 2)))]

  class OneWay(Adds):
    abilities = frozenset()

  (made, logits), (real, _) = theirs(simple(OneWay())(batch['a']).image), theirs(batch['b'])
  got = measure(data, path, method=OneWay(), protocol='tf1')
  statistics = [metric_fid.fid_features_to_statistics(x) for x in (made, real)]
  mean, covariance = ([x[name] for x in statistics] for name in ('mu', 'sigma'))
  # For six pictures of 2048 features their matrix root is inaccurate; the Gram matrices' is exact.
  parts = [(x - x.mean(0)).numpy() / 5 ** 0.5 for x in (made, real)]
  fid = (((mean[0] - mean[1]) ** 2).sum() + np.trace(covariance[0] + covariance[1])
         - 2 * linalg.svdvals(parts[0] @ parts[1].T).sum())
  assert got['ab_fid'] == pytest.approx(fid, rel=1e-3)
  kid = metric_kid.kid_features_to_metric(
      made, real, kid_subsets=1, kid_subset_size=6, kid_kernel_poly_degree=3, verbose=False,
      kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1)
  assert got['ab_kid'] == pytest.approx(kid['kernel_inception_distance_mean'], rel=1e-3)
  score = metric_isc.isc_features_to_metric(logits, splits=1, shuffle=False)
  whole = distances.inception_score(logits.numpy(), 1)[0]
  assert whole == pytest.approx(score['inception_score_mean'], rel=1e-9)
  assert got['ab_is'] == 1  # six parts of one picture
  assert got['fid_protocol'] == 'protocol tf1, tap 2048, Inception-v3 from x (an unknown file), ' \
                                'sha256 12'
