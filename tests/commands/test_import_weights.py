"""Importing the authors' checkpoints: outputs equal PyTorch's, and anything else is refused."""

import importlib
import os
import pathlib
import pickle
import sys

import jax
import numpy as np
import pytest

from helpers.commands import run
from helpers.paths import ROOT_PATH as ROOT
from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.import_weights import __main__ as import_weights
from maskgan_jax.import_weights import content_transfer
from maskgan_jax.translator import Translator

torch = pytest.importorskip('torch')

SMALL = {'image_size': 16, 'width': 4, 'depth': 3, 'separate_channels': 2, 'discriminator_width': 8}
OFFICIAL = {'image_size': 128, 'width': 32, 'depth': 6, 'separate_channels': 25,
            'discriminator_width': 512}


@pytest.fixture(name='twin', scope='module')
def _twin():
  sys.path.insert(0, str(ROOT / 'benchmarks'))
  yield importlib.import_module('torch_content_transfer')
  sys.path.pop(0)


def random_model(twin, sizes, seed=0):
  """Returns a twin that looks trained: no tensor is still 0 or 1."""
  torch.manual_seed(seed)
  model = twin.ContentTransfer(**sizes)
  for module in model.networks.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
      with torch.no_grad():
        module.weight.uniform_(0.5, 1.5)
        module.bias.uniform_(-0.3, 0.3)
      module.running_mean.uniform_(-0.3, 0.3)
      module.running_var.uniform_(0.05, 0.3)
      module.num_batches_tracked.fill_(7)
  return model


def entries(model):
  """Returns what the authors' training script saves."""
  return {**{name: dict(network.state_dict()) for name, network in model.networks.items()},
          'ae_opt': model.autoencoder_optimizer.state_dict(),
          'disc_opt': model.discriminator_optimizer.state_dict(), 'iters': 1234}


@pytest.fixture(name='small', scope='module')
def _small(twin):
  return random_model(twin, SMALL)


@pytest.fixture(name='checkpoint')
def _checkpoint(small):
  """Returns a fresh dict that a test may spoil; its tensors are shared."""
  return entries(small)


def save(path, value, **options):
  torch.save(value, path, **options)
  return str(path)


def assert_same_outputs(model, translator, size):
  rng = np.random.default_rng(0)
  source, exemplar = rng.uniform(-1, 1, (2, 2, size, size, 3)).astype(np.float32)
  theirs = [torch.tensor(x.transpose(0, 3, 1, 2).copy()) for x in (source, exemplar)]
  mask, raw, image = (x.numpy().transpose(0, 2, 3, 1) for x in model.translate(*theirs))
  assert mask.std() > 0.02 and raw.std() > 0.02, 'flat outputs compare nothing'
  result = translator(source, exemplar)
  np.testing.assert_allclose(result.source_mask, mask, atol=1e-4)
  np.testing.assert_allclose(result.extras['raw'], raw, atol=1e-4)
  np.testing.assert_allclose(result.image, image, atol=1e-4)
  mask = model.translate(theirs[1], theirs[1])[0].numpy().transpose(0, 2, 3, 1)
  np.testing.assert_allclose(translator.segment(exemplar), mask, atol=1e-4)
  threshold = float(np.median(mask))
  clear = np.abs(mask[..., 0] - threshold) > 1e-4  # where rounding does not decide
  assert clear.mean() > 0.95
  removed = model.remove(theirs[1], threshold).numpy().transpose(0, 2, 3, 1)
  ours = translator.remove(exemplar, threshold=threshold).image
  np.testing.assert_allclose(ours[clear], removed[clear], atol=1e-4)


@pytest.mark.slow
def test_checkpoint_of_the_training_script_gives_the_same_outputs(small, checkpoint, tmp_path,
                                                                   capsys):
  path = save(tmp_path / 'glasses.pth', checkpoint)
  output = tmp_path / 'runs' / 'glasses'
  import_weights.import_files('content_transfer', [path], str(output))
  assert len(capsys.readouterr().out.splitlines()) == 1
  translator = Translator.from_workdir(output)
  assert translator.step == 1234
  assert_same_outputs(small, translator, 16)
  assert os.listdir(output.parent) == ['glasses']  # no temporary folder stays
  config = run_config.load(str(output))
  assert (config.variant, config.name) == ('official', 'glasses')
  assert {'image_size': config.image_size,
          **{name: config.model[name] for name in SMALL if name != 'image_size'}} == SMALL


@pytest.mark.slow
def test_published_layout_gives_the_same_outputs(small, checkpoint, tmp_path, capsys):
  """Other names for the decoders, no discriminator, no optimizers, PyTorch 0.4's file format."""
  published = {'e1': checkpoint['e1'], 'e2': checkpoint['e2'], 'decoder': checkpoint['d_a'],
               'mustacher': checkpoint['d_b']}
  for network in published.values():  # newer than 0.4
    for name in [n for n in network if 'num_batches_tracked' in n]:
      del network[name]
  path = save(tmp_path / 'checkpoint', published, _use_new_zipfile_serialization=False)
  output = tmp_path / 'empty'
  output.mkdir()
  import_weights.import_files('content_transfer', [path], str(output))
  note, _ = capsys.readouterr().out.splitlines()
  assert 'discriminator' in note and '16' in note
  translator = Translator.from_workdir(output)
  assert translator.step == 0
  assert_same_outputs(small, translator, 16)


@pytest.mark.slow
def test_official_sizes_give_the_same_outputs(twin, tmp_path):
  model = random_model(twin, OFFICIAL)
  path = save(tmp_path / 'checkpoint', entries(model))
  import_weights.import_files('content_transfer', [path], str(tmp_path / 'run'))
  assert_same_outputs(model, Translator.from_workdir(tmp_path / 'run'), 128)


def test_every_number_is_the_authors(twin, small, checkpoint, tmp_path):
  path = save(tmp_path / 'x.pth', checkpoint)
  converted = content_transfer.convert([path], [import_weights.read(path)])
  state_dicts = twin.state_dicts(converted.model['params'], (2, 2))
  for network, tensors in twin.state_dicts(converted.model['model_state']['batch_stats'],
                                           (2, 2)).items():
    state_dicts[network].update(tensors)
  for network, tensors in state_dicts.items():
    expected = {name: value for name, value in small.networks[network].state_dict().items()
                if 'num_batches_tracked' not in name}
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], value) for name, value in expected.items())
  assert {leaf.dtype for leaf in jax.tree.leaves(converted.model)} == {np.dtype(np.float32)}


def test_half_precision_is_widened(checkpoint, tmp_path):
  halved = dict(checkpoint, e1={name: x.half() if x.is_floating_point() else x
                                for name, x in checkpoint['e1'].items()})
  path = save(tmp_path / 'x.pth', halved)
  converted = content_transfer.convert([path], [import_weights.read(path)])
  kernel = converted.model['params']['common_encoder']['DownConv_0']['kernel']
  expected = halved['e1']['full.0.weight'].float().numpy().transpose(2, 3, 1, 0)
  assert kernel.dtype == np.float32 and np.array_equal(kernel, expected)


# What is refused: one line, and no output.

def assert_refused(paths, tmp_path, *words, kind='content_transfer'):
  output = tmp_path / 'refused'
  with pytest.raises(errors.UserError) as caught:
    import_weights.import_files(kind, [str(path) for path in paths], str(output))
  message = str(caught.value)
  assert '\n' not in message and len(message) < 400, message
  assert all(str(word) in message for word in words), message
  assert not output.exists()
  assert not [name for name in os.listdir(tmp_path) if 'refused' in name]


class Touch:
  """An object whose pickle creates a file when it is loaded without care."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return os.system, (f'touch {self.path}',)


@pytest.mark.parametrize('form', ['zip', 'legacy', 'bare'])
def test_a_file_that_would_run_something_is_refused(checkpoint, tmp_path, form):
  victim, path = tmp_path / 'victim', tmp_path / 'x.pth'
  value = {**checkpoint, 'extra': Touch(victim)}
  if form == 'bare':
    path.write_bytes(pickle.dumps(value, protocol=2))
  else:
    save(path, value, _use_new_zipfile_serialization=form == 'zip')
  words = ('refused',) if form == 'bare' else ('refused', 'system')
  assert_refused([path], tmp_path, path, *words)
  assert not victim.exists()
  torch.load(save(path, Touch(victim)), weights_only=False)  # the trap would have worked
  assert victim.exists()


def test_a_pickled_module_is_refused(tmp_path):
  path = save(tmp_path / 'x.pth', {'e1': torch.nn.Linear(2, 2)})
  assert_refused([path], tmp_path, path, 'refused', 'Linear')


@pytest.mark.parametrize('legacy', [False, True])
@pytest.mark.parametrize('share', [0.01, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(checkpoint, tmp_path, legacy, share):
  path = pathlib.Path(save(tmp_path / 'x.pth', checkpoint,
                           _use_new_zipfile_serialization=not legacy))
  data = path.read_bytes()
  path.write_bytes(data[:int(share * len(data))])
  assert_refused([path], tmp_path, path, 'not a PyTorch checkpoint')


@pytest.mark.parametrize('data', [b'', b'hello, this is text\n' * 9, b'{"e1": 1}',
                                  b'\x89PNG\r\n\x1a\n' + bytes(99), b'PK\x03\x04' + bytes(99)])
def test_another_kind_of_file_is_refused(tmp_path, data):
  path = tmp_path / 'x.pth'
  path.write_bytes(data)
  assert_refused([path], tmp_path, path, 'not a PyTorch checkpoint')


def test_missing_files_and_folders_are_refused(tmp_path):
  assert_refused([tmp_path / 'nothing.pth'], tmp_path, 'no file', 'nothing.pth')
  assert_refused([tmp_path], tmp_path, 'no file')


@pytest.mark.parametrize('value, words', [
    (torch.ones(3), ('tensor', 'dict')), ([1, 2], ('list', 'dict')), ({}, ('no e1',)),
    ({'e1': {'full.0.weight': torch.ones(1).expand(10 ** 6, 10 ** 6)}}, ('larger than its data',))])
def test_other_contents_are_refused(tmp_path, value, words):
  assert_refused([save(tmp_path / 'x.pth', value)], tmp_path, *words)


def spoil(checkpoint, network, name, change):
  checkpoint[network] = dict(checkpoint[network])
  value = change(checkpoint[network].pop(name))
  if value is not None:
    checkpoint[network][name] = value


@pytest.mark.parametrize('network, name, change, words', [
    ('e1', 'full.3.weight', lambda x: None, ('e1.full', '3.weight')),
    ('e1', 'full.0.weight', lambda x: None, ('e1.full', 'no 0.weight')),
    ('e2', 'full.7.running_var', lambda x: None, ('e2.full', '7.running_var')),
    ('d_b', 'main.6.bias', lambda x: None, ('d_b.main', '6.bias')),
    ('disc', 'classify.0.weight', lambda x: None, ('disc.classify', '0.weight')),
    ('e1', 'full.3.weight', lambda x: x[:-1], ('3.weight', '[7, 4, 4, 4]', '[8, 4, 4, 4]')),
    ('e1', 'full.3.weight', lambda x: x[0], ('3.weight', '[4, 4, 4]')),
    ('d_a', 'main.0.weight', lambda x: x.transpose(0, 1), ('d_a.main', '0.weight')),
    ('e2', 'full.6.weight', lambda x: x[:1], ('[14]', '[15]')),  # with 1 separate channel
    ('e2', 'full.6.weight', lambda x: x[:0], ('separate_channels',)),
    ('disc', 'classify.0.weight', lambda x: x[:, 1:], ('disc', '55 inputs', '14 channels')),
    ('d_b', 'main.3.bias', lambda x: x / 0, ('d_b.main', '3.bias', 'finite')),
    ('d_b', 'main.3.bias', lambda x: x.long(), ('3.bias', 'int64')),
    ('d_b', 'main.3.bias', lambda x: 'tensor', ('d_b', 'state dict')),
])
def test_a_tensor_gone_wrong_is_named(checkpoint, tmp_path, network, name, change, words):
  spoil(checkpoint, network, name, change)
  path = save(tmp_path / 'x.pth', checkpoint)
  assert_refused([path], tmp_path, path, *words)


def test_unknown_and_missing_entries_are_named(checkpoint, tmp_path):
  path = tmp_path / 'x.pth'
  more = dict(checkpoint['e1'], **{'full.2.weight': torch.ones(4)})
  for value, words in (
      ({**checkpoint, 'e1': more}, ('e1.full', '2.weight')),
      ({**checkpoint, 'e1': dict(checkpoint['e1'], stem=torch.ones(4))}, ('e1', "'stem'")),
      ({**checkpoint, 'disk': {}}, ("'disk'", "'disc'")),
      ({**checkpoint, 'decoder': checkpoint['d_a']}, ('d_a and decoder',)),
      ({k: v for k, v in checkpoint.items() if k != 'd_b'}, ('no d_b or mustacher',)),
      ({**checkpoint, 'e2': [1]}, ('e2', 'state dict'))):
    assert_refused([save(path, value)], tmp_path, path, *words)


def test_an_output_that_is_in_use_is_left_alone(checkpoint, tmp_path):
  path = save(tmp_path / 'x.pth', checkpoint)
  folder = tmp_path / 'run'
  folder.mkdir()
  (folder / 'mine').write_text('precious')
  (tmp_path / 'file').write_text('precious')
  for output in (folder, tmp_path / 'file'):
    with pytest.raises(errors.UserError, match='not an empty folder'):
      import_weights.import_files('content_transfer', [path], str(output))
  assert (folder / 'mine').read_text() == (tmp_path / 'file').read_text() == 'precious'
  with pytest.raises(errors.UserError, match='cannot write'):
    import_weights.import_files('content_transfer', [path], str(tmp_path / 'file' / 'run'))
  assert sorted(os.listdir(tmp_path)) == ['file', 'run', 'x.pth'] and len(os.listdir(folder)) == 1


def test_kinds_and_numbers_of_files_are_checked(checkpoint, tmp_path):
  path = save(tmp_path / 'x.pth', checkpoint)
  assert_refused([path], tmp_path, "did you mean 'content_transfer'", kind='content-transfer')
  assert_refused([path, path], tmp_path, '1 FILE', '2 given')
  assert_refused([], tmp_path, '0 given')


def test_without_torch_it_says_what_to_install(checkpoint, tmp_path, monkeypatch):
  path = save(tmp_path / 'x.pth', checkpoint)
  monkeypatch.setitem(sys.modules, 'torch', None)
  assert_refused([path], tmp_path, "pip install 'maskgan-jax[convert]'")


def test_command(checkpoint, tmp_path):
  path = save(tmp_path / 'x.pth', checkpoint)

  done = run('import_weights', 'content_transfer', path, f'--output={tmp_path / "run"}')
  assert done.returncode == 0, done.stderr
  assert 'step 1234' in done.stdout and run_config.load(str(tmp_path / 'run')).image_size == 16
  for arguments in (('content_transfer', path), ('content_transfer', path, '--outptu=x'), ()):
    done = run('import_weights', *arguments)
    assert done.returncode == 2 and done.stderr.startswith('error: ')
    assert 'output' in done.stderr or 'KIND' in done.stderr
    assert len(done.stderr.splitlines()) == 1
