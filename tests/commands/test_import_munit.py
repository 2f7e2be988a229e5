"""Importing MUNIT's authors' checkpoints: the same outputs as in PyTorch, and what is refused."""

import numpy as np
import pytest

from helpers import comparing_munit as comparing
from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.import_weights import __main__ as import_weights
from maskgan_jax.import_weights import munit
from maskgan_jax.translator import Translator

torch = pytest.importorskip('torch')

SIZES = {'width': 3, 'downsamplings': 2, 'blocks': 2, 'style_size': 4, 'style_downsamplings': 3,
         'mlp': 6, 'discriminator_width': 5, 'discriminator_depth': 3, 'discriminator_scales': 2}


@pytest.fixture(name='small', scope='module')
def _small():
  """Returns a twin that looks trained: no tensor is still 0 or 1."""
  torch.manual_seed(0)
  model = comparing.module().Munit(**SIZES)
  with torch.no_grad():
    for networks in (model.generators, model.discriminators):
      for name, tensor in networks.state_dict().items():
        if tensor.ndim == 1:
          tensor.uniform_(-0.3, 0.3).add_('gamma' in name)
  return model


@pytest.fixture(name='states')
def _states(small):
  """Returns fresh dicts that a test may spoil; their tensors are shared."""
  return [{domain: dict(network.state_dict()) for domain, network in networks.items()}
          for networks in (small.generators, small.discriminators)]


def save(folder, states):
  """Writes files named as the authors' training script names them; returns their paths."""
  paths = [str(folder / f'{name}_00500000.pt') for name in ('gen', 'dis')][:len(states)]
  for path, state in zip(paths, states, strict=True):
    torch.save(state, path)
  return paths


def convert(folder, states):
  paths = save(folder, states)
  return munit.convert(paths, [import_weights.read(path) for path in paths])


def test_every_number_is_the_authors(states, tmp_path):
  """Running averages of PyTorch 0.3 are left out."""
  expected = [{domain: dict(state) for domain, state in side.items()} for side in states]
  for side in states[:1]:
    side['a']['enc_content.model.0.norm.running_mean'] = torch.zeros(3)
    side['b']['dec.model.0.model.0.model.0.norm.running_var'] = torch.ones(12)
  converted = convert(tmp_path, states)
  sizes = converted.config.model.to_dict()
  assert {name: sizes[name] for name in SIZES} == SIZES
  assert (converted.step, converted.config.variant) == (500_000, 'official')
  stored = comparing.state_dicts(converted.config, converted.model['params'])
  for ours, theirs in zip(stored, expected, strict=True):
    for domain in 'ab':
      assert ours[domain].keys() == theirs[domain].keys()
      for name, value in ours[domain].items():
        assert torch.equal(value, theirs[domain][name]), name


@pytest.mark.slow
def test_imported_generators_give_the_same_outputs(small, states, tmp_path, capsys):
  """As the published files have it: there are no discriminators."""
  output = tmp_path / 'run'
  import_weights.import_files('munit', save(tmp_path, states[:1]), str(output))
  said = capsys.readouterr().out
  assert 'start afresh' in said and 'munit, 256x256, step 500000' in said
  config = run_config.load(str(output))
  assert config.name == 'gen_00500000'
  translator = Translator.from_workdir(output)
  source, exemplar = (comparing.images(seed, (256, 256), 1) for seed in (0, 1))
  style = small.generators['b'].enc_style(torch.tensor(exemplar.transpose(0, 3, 1, 2).copy()))
  expected = small.translate('ab', torch.tensor(source.transpose(0, 3, 1, 2).copy()), style)
  assert expected.std() > 0.02, 'flat outputs compare nothing'
  np.testing.assert_allclose(translator(source, exemplar).image, comparing.from_torch(expected),
                             atol=1e-4)


def test_what_is_refused(states, tmp_path):
  generators, discriminators = states
  refused = {
      'no enc_content.model.0.conv.weight': [discriminators, generators],
      'expected a and b': [{'gen': {}, 'dis': {}}],
      'is not a state dict': [{'a': generators['a'], 'b': 3}],
  }
  for message, files in refused.items():
    with pytest.raises(errors.UserError, match=message):
      convert(tmp_path, files)
  del generators['b']['mlp.model.1.fc.bias']
  with pytest.raises(errors.UserError, match=r'\(b\) has no mlp.model.1.fc.bias'):
    convert(tmp_path, [generators])
  generators['b']['mlp.model.1.fc.bias'] = generators['a']['mlp.model.1.fc.bias']
  generators['a']['mlp.model.3.fc.bias'] = torch.zeros(3)
  with pytest.raises(errors.UserError, match='mlp.model.3.fc.bias: nothing of that name'):
    convert(tmp_path, [generators])
  message = r'1 to 2 FILEs \(generators, discriminators\), 3 given'
  with pytest.raises(errors.UserError, match=message):
    import_weights.import_files('munit', ['a', 'b', 'c'], str(tmp_path / 'run'))
