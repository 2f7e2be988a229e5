"""Importing FID's Inception-v3: the file that comes out gives what torch-fidelity's gives."""

import os
import pathlib
import re

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from helpers import comparing_inception
from helpers.comparing import close
from maskgan_jax import errors
from maskgan_jax.import_weights import __main__ as import_weights
from maskgan_jax.import_weights import inception as convert
from maskgan_jax.pretrained_networks import files as weights
from maskgan_jax.pretrained_networks import inception

torch = pytest.importorskip('torch')


@pytest.fixture(name='model', scope='module')
def _model():
  return comparing_inception.network(torch, inception.TAPS)


@pytest.fixture(name='state')
def _state(model):
  return dict(model.state_dict())


@pytest.fixture(name='arrays')
def _arrays(state):
  return {name: x.numpy() for name, x in state.items()}


def save(path, state, **options):
  torch.save(state, path, **options)
  return str(path)


def imported(path, tmp_path):
  output = str(tmp_path / 'networks' / 'inception.safetensors')
  import_weights.import_files('inception', [path], output)
  assert os.listdir(tmp_path / 'networks') == ['inception.safetensors']  # nothing temporary stays
  return weights.read_inception(output)


@pytest.mark.slow
def test_it_gives_the_same_features(model, state, tmp_path, capsys):
  """Goes through files: torch.save, import_weights, read_inception."""
  params, text = imported(save(tmp_path / 'mine.pth', state), tmp_path)
  note, line = capsys.readouterr().out.splitlines()
  assert 'checksum' in note and line.endswith(text)
  assert re.fullmatch(r'Inception-v3 from mine\.pth \(an unknown file\), sha256 [0-9a-f]{64}', text)
  images = np.random.default_rng(0).uniform(-1, 1, (2, 75, 107, 3)).astype(np.float32)
  taps = jax.jit(lambda p, x: inception.InceptionV3().apply({'params': p}, x))(params, images)
  expected = comparing_inception.taps_of(model, torch.tensor(images))
  for name, tap in taps.items():
    close(tap, expected[name])
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}


def test_every_number_is_used_once(arrays):
  params = convert.convert('x', arrays)
  used = dict(weights.flat(params))
  assert len(used) == 94 * 5 + 2
  for name, array in used.items():
    folder, _, leaf = name.rpartition('.')
    if folder == 'fc':
      theirs = arrays[f'fc.{"weight" if leaf == "kernel" else "bias"}'].T
    elif leaf == 'kernel':
      theirs = arrays[f'{folder}.conv.weight'].transpose(2, 3, 1, 0)
    else:
      theirs = arrays[folder + {'scale': '.bn.weight', 'bias': '.bn.bias',
                                'mean': '.bn.running_mean', 'variance': '.bn.running_var'}[leaf]]
    np.testing.assert_array_equal(array, theirs)


@pytest.mark.slow
def test_a_published_file_is_known_by_its_checksum(state, tmp_path, monkeypatch, capsys):
  """Old PyTorch's format, half precision and missing counters are accepted too."""
  state = {name: x.half() for name, x in state.items() if not name.endswith('batches_tracked')}
  path = save(tmp_path / 'pt_inception.pth', state, _use_new_zipfile_serialization=False)
  digest = convert.checksums(path)['sha256']
  assert convert.checksums(path)['published'] == ''
  monkeypatch.setattr(convert, '_SHA256', (digest[:8],))
  params, text = imported(path, tmp_path)
  assert text == f'FID Inception-v3 from pt_inception.pth, sha256 {digest}'
  assert len(capsys.readouterr().out.splitlines()) == 1
  np.testing.assert_array_equal(params['fc']['bias'], state['fc.bias'].float())
  assert params['fc']['bias'].dtype == np.float32


# What is refused: one line, and no output.

def message_of(function, *arguments):
  with pytest.raises(errors.UserError) as caught:
    function(*arguments)
  message = str(caught.value)
  assert '\n' not in message and len(message) < 400, message
  return message


def assert_refused(path, tmp_path, *words, output='refused.safetensors'):
  output = tmp_path / output
  before = output.read_bytes() if output.is_file() else None
  message = message_of(import_weights.import_files, 'inception', [str(path)], str(output))
  assert all(str(word) in message for word in words), message
  assert (output.read_bytes() if output.is_file() else None) == before
  assert not [name for name in os.listdir(tmp_path) if name.startswith('.')]


UNIT = 'Mixed_6b.branch7x7_2'


@pytest.mark.parametrize('name, change, words', [
    (f'{UNIT}.conv.weight', lambda x: None, (f'no {UNIT}.conv.weight',)),
    (f'{UNIT}.bn.running_var', lambda x: None, (f'no {UNIT}.bn.running_var',)),
    ('fc.bias', lambda x: None, ('no fc.bias',)),
    (f'{UNIT}.conv.weight', lambda x: x.swapaxes(2, 3), ('[128, 128, 7, 1]', '[128, 128, 1, 7]')),
    (f'{UNIT}.bn.weight', lambda x: x[1:], ('[127]', '[128]')),
    ('fc.weight', lambda x: x.T, ('[2048, 1008]', '[1008, 2048]')),
    (f'{UNIT}.bn.bias', lambda x: np.full_like(x, np.inf), (f'{UNIT}.bn.bias', 'not finite')),
    (f'{UNIT}.bn.running_var', lambda x: -x, (f'{UNIT}.bn.running_var', 'below zero')),
    (f'{UNIT}.bn.bias', lambda x: x.astype(np.int64), (f'{UNIT}.bn.bias', 'int64')),
    (f'{UNIT}.bn.bias', lambda x: 'text', (f'{UNIT}.bn.bias', 'not a tensor')),
    ('state_dict', lambda x: {'fc.bias': np.ones(3)}, ('state_dict', 'plain state dict')),
    (f'{UNIT}.conv.bias', lambda x: np.ones(128), ('conv.bias', 'nothing of that name')),
    ('Mixed_8a.conv.weight', lambda x: np.ones(3), ('Mixed_8a', 'nothing of that name')),
    ('AuxLogits.fc.bias', lambda x: np.ones(1000), ("torchvision's", convert.PUBLISHED)),
    ('fc.weight', lambda x: x[:1000], ("torchvision's", convert.PUBLISHED)),
    ('blocks.0.0.conv.weight', lambda x: np.ones(3), ('pytorch-fid', convert.PUBLISHED))])
def test_a_tensor_gone_wrong_is_named(arrays, name, change, words):
  value = change(arrays.pop(name, None))
  if value is not None:
    arrays[name] = value
  message = message_of(convert.convert, 'x.pth', arrays)
  assert all(word in message for word in ('x.pth', *words)), message


def test_other_contents_are_refused(tmp_path):
  for value, words in ((torch.ones(3), ('tensor', 'dict')), ({}, ('no Conv2d_1a_3x3',)),
                       ({'module.fc.bias': torch.ones(3)}, ('no Conv2d_1a_3x3',)),
                       (torch.nn.Linear(2, 2), ('refused', 'Linear'))):
    path = save(tmp_path / 'x.pth', value)
    assert_refused(path, tmp_path, path, *words)
  assert_refused(tmp_path / 'nothing.pth', tmp_path, 'no file')
  assert_refused(tmp_path, tmp_path, 'no file')
  (tmp_path / 'x.pth').write_text('hello, this is text\n' * 9)
  assert_refused(tmp_path / 'x.pth', tmp_path, 'x.pth', 'not a PyTorch checkpoint')


def test_a_truncated_file_is_refused(state, tmp_path):
  path = pathlib.Path(save(tmp_path / 'x.pth', state))
  path.write_bytes(path.read_bytes()[:9_000_000])
  assert_refused(path, tmp_path, path, 'not a PyTorch checkpoint')


def test_an_output_that_is_there_or_is_no_file_is_refused(state, tmp_path):
  path = save(tmp_path / 'x.pth', state)
  (tmp_path / 'mine.safetensors').write_text('precious')
  assert_refused(path, tmp_path, 'exists', output='mine.safetensors')
  assert_refused(path, tmp_path, 'ends with .safetensors', output='folder')
  assert_refused(path, tmp_path, 'cannot write', output='x.pth/inception.safetensors')


# The file that comes out.

@pytest.mark.slow
def test_a_damaged_or_foreign_safetensors_file_is_refused(arrays, tmp_path):
  params = convert.convert('x', arrays)
  path = tmp_path / 'x.safetensors'

  def assert_unreadable(*words):
    message = message_of(weights.read_inception, str(path))
    assert all(str(word) in message for word in (path, *words)), message

  def rewrite(**changes):
    path.unlink(missing_ok=True)
    arrays = {name: np.asarray(x) for name, x in weights.flat({**params, **changes})}
    safetensors_numpy.save_file(arrays, path, {'kind': 'inception'})
  assert_unreadable('no file', 'import_weights inception FILE')
  stem, head = params['Conv2d_1a_3x3'], params['fc']
  for changes, words in (
      ({'fc': {'kernel': head['kernel']}}, ('lacks', 'fc.bias')),
      ({'fc': {**head, 'scale': head['bias']}}, ('has', 'fc.scale')),
      ({'fc': {**head, 'bias': head['bias'][1:]}}, ('fc.bias', '[1007]', '[1008]')),
      ({'Conv2d_1a_3x3': {**stem, 'kernel': stem['kernel'] * np.nan}}, ('kernel', 'finite')),
      ({'Conv2d_1a_3x3': {**stem, 'variance': -stem['variance']}}, ('variance', 'below zero'))):
    rewrite(**changes)
    assert_unreadable(*words, 'import Inception-v3 again')
  rewrite()
  weights.read_inception(str(path))  # it was the changes
  whole = path.read_bytes()
  for share in (0, 0.001, 0.999):
    path.write_bytes(whole[:int(share * len(whole))])
    assert_unreadable('damaged')
  for metadata, word in ((None, 'none'), ({'kind': 'vgg19'}, 'vgg19')):
    safetensors_numpy.save_file({'x': np.ones(3)}, path, metadata)
    assert_unreadable('not an inception file', word)
