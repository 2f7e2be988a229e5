"""Importing LOMIT's authors' checkpoints: the same outputs as in PyTorch, and what is refused."""

import copy
import os

import numpy as np
import pytest

from helpers import comparing_lomit as comparing
from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.import_weights import __main__ as import_weights
from maskgan_jax.import_weights import lomit
from maskgan_jax.translator import Translator

torch = pytest.importorskip('torch')

SMALL = {'image_size': 32, 'width': 4, 'blocks': 2, 'style_size': 3, 'mlp': 6, 'mask_depth': 2,
         'critic_width': 5, 'critic_depth': 3, 'attributes': 4}
OFFICIAL = {'image_size': 128, 'width': 64, 'blocks': 4, 'style_size': 8, 'mlp': 256,
            'mask_depth': 6, 'critic_width': 64, 'critic_depth': 6, 'attributes': 4}


def random_model(sizes, seed=0, separate=False):
  """Returns a twin that looks trained: no tensor is still 0 or 1."""
  torch.manual_seed(seed)
  model = comparing.module().Lomit(**sizes)
  if separate:
    encoder = model.generator.s_encoder
    encoder.background = copy.deepcopy(encoder.foreground)
  with torch.no_grad():
    for network in (model.generator, model.critic):
      for name, tensor in network.state_dict().items():
        if name.endswith('num_batches_tracked'):
          tensor.fill_(7)
        elif tensor.ndim == 1:
          tensor.uniform_(-0.3, 0.3).add_('norm.weight' in name or 'running_var' in name)
        elif separate and 'background' in name:
          tensor.add_(0.1 * torch.randn_like(tensor))
  return model


@pytest.fixture(name='small', scope='module')
def _small():
  return random_model(SMALL)


@pytest.fixture(name='states')
def _states(small):
  """Returns fresh dicts that a test may spoil; their tensors are shared."""
  return [dict(network.state_dict()) for network in (small.generator, small.critic)]


def save(folder, states, **options):
  """Writes files named as the authors' training script names them; returns their paths."""
  paths = [str(folder / f'{letter}_exemplar_hair.pth') for letter in 'GD']
  for path, state in zip(paths, states, strict=True):
    torch.save(state, path, **options)
  return paths


def imported(folder, states, **options):
  """Returns the run's folder."""
  output = folder / 'run'
  import_weights.import_files('lomit', save(folder, states, **options), str(output))
  return output


def assert_same_outputs(model, translator, size, atol=1e-4):
  rng = np.random.default_rng(0)
  source, exemplar = (0.5 * rng.uniform(-1, 1, (2, 2, size, size, 3))
                      + 0.5 * rng.uniform(-1, 1, (2, 2, 1, 1, 3))).astype(np.float32)
  theirs = [torch.tensor(x.transpose(0, 3, 1, 2).copy()) for x in (source, exemplar)]
  translated = [comparing.from_torch(x) for x in model.translate(*theirs)]
  result = translator(source, exemplar)
  for ours, expected in zip((result.image, result.source_mask, result.exemplar_mask), translated,
                            strict=True):
    assert expected.std() > 0.02, 'flat outputs compare nothing'
    np.testing.assert_allclose(ours, expected, atol=atol)
  with torch.no_grad():
    content = model.generator.c_encoder(theirs[0])
    mask = comparing.module().upsample(model.generator.mask(content, content))
  np.testing.assert_allclose(translator.segment(source), comparing.from_torch(mask), atol=atol)


@pytest.mark.slow
def test_imported_run_gives_the_same_outputs(small, states, tmp_path, capsys):
  output = imported(tmp_path, states)
  note, line = capsys.readouterr().out.splitlines()
  assert 'Black_Hair,Blond_Hair,Brown_Hair,Smiling' in note and 'lomit, 32x32, step 0' in line
  translator = Translator.from_workdir(output)
  assert_same_outputs(small, translator, 32)
  assert sorted(os.listdir(tmp_path)) == ['D_exemplar_hair.pth', 'G_exemplar_hair.pth', 'run']
  config = run_config.load(str(output))
  assert (config.variant, config.name, translator.step) == ('official', 'G_exemplar_hair', 0)
  sizes = {**config.model.to_dict(), 'image_size': config.image_size,
           'attributes': len(config.data.attributes)}
  assert {name: sizes[name] for name in SMALL} == SMALL


@pytest.mark.slow
def test_official_sizes_give_the_same_outputs(tmp_path):
  model = random_model(OFFICIAL)
  states = [network.state_dict() for network in (model.generator, model.critic)]
  assert_same_outputs(model, Translator.from_workdir(imported(tmp_path, states)), 128)


def test_every_number_is_the_authors(small, states, tmp_path):
  """Both networks are compared, with running averages that only another setting reads."""
  paths = save(tmp_path, states)
  converted = lomit.convert(paths, [import_weights.read(path) for path in paths])
  stored = {**comparing.state_dict(converted.config, converted.model['params']),
            **comparing.state_dict(converted.config, converted.model['model_state']['batch_stats'])}
  expected = {**small.generator.state_dict(), **small.critic.state_dict()}
  for name in list(expected):
    instance = 'c_encoder' in name and 'running' in name
    if instance or 'num_batches_tracked' in name or 's_encoder.background' in name:
      del expected[name]
  assert stored.keys() == expected.keys()
  assert all(torch.equal(stored[name], value) for name, value in expected.items())


@pytest.mark.slow
def test_heads_that_differ_are_imported_as_two(tmp_path, capsys):
  model = random_model(SMALL, separate=True)
  output = imported(tmp_path, [model.generator.state_dict(), model.critic.state_dict()])
  assert "two different style heads" in capsys.readouterr().out
  assert run_config.load(str(output)).model.style_heads == 'separate'
  assert_same_outputs(model, Translator.from_workdir(output), 32)


@pytest.mark.slow
def test_files_of_several_devices_and_of_old_versions_are_the_same(small, states, tmp_path):
  """DataParallel's prefix, and PyTorch 0.4's file format without the counters of later versions."""
  states = [{f'module.{name}': x for name, x in state.items()
             if not name.endswith('num_batches_tracked')} for state in states]
  output = imported(tmp_path, states, _use_new_zipfile_serialization=False)
  assert_same_outputs(small, Translator.from_workdir(output), 32)


@pytest.mark.parametrize('attributes, names', [
    (1, ('attribute_0',)), (2, ('Heavy_Makeup', 'Wearing_Lipstick')),
    (3, ('attribute_0', 'attribute_1', 'attribute_2'))])
def test_other_numbers_of_attributes(attributes, names, tmp_path):
  model = random_model({**SMALL, 'attributes': attributes})
  paths = save(tmp_path, [model.generator.state_dict(), model.critic.state_dict()])
  converted = lomit.convert(paths, [import_weights.read(path) for path in paths])
  assert converted.config.data.attributes == names
  assert any(','.join(names) in note for note in converted.notes)


# What is refused: one line, and no output.

def assert_refused(paths, tmp_path, *words):
  output = tmp_path / 'refused'
  with pytest.raises(errors.UserError) as caught:
    import_weights.import_files('lomit', [str(path) for path in paths], str(output))
  message = str(caught.value)
  assert '\n' not in message and len(message) < 500, message
  assert all(str(word) in message for word in words), message
  assert not output.exists()


def test_both_files_are_needed_in_their_order(states, tmp_path):
  generator, critic = save(tmp_path, states)
  assert_refused([generator], tmp_path, '2 FILEs', '(generator, discriminator)', '1 given')
  assert_refused([critic, generator], tmp_path, critic, 'is the discriminator', 'order')
  assert_refused([generator, generator], tmp_path, generator, 'is the generator', 'order')


def test_other_files_are_refused(states, tmp_path):
  generator, critic = save(tmp_path, states)
  other = str(tmp_path / 'x.pth')
  for value, words in (
      ({'e1': {'full.0.weight': torch.ones(1)}, 'iters': 3}, ("entry 'e1'", 'state dict')),
      ({'state_dict': states[0]}, ("entry 'state_dict'",)),
      ({'layer.weight': torch.ones(2, 2)},
       ('not a LOMIT generator', 'c_encoder.main.0.conv.weight')),
      ({}, ('not a LOMIT generator',)), ({3: torch.ones(1)}, ('entry 3',)),
      (torch.ones(3), ('holds a tensor',))):
    torch.save(value, other)
    assert_refused([other, critic], tmp_path, other, *words)
  torch.save({'classify.0.weight': torch.ones(2, 2)}, other)
  assert_refused([generator, other], tmp_path, other, 'not a LOMIT discriminator', 'conv2.weight')
  assert_refused([generator, tmp_path / 'no.pth'], tmp_path, 'no file', 'no.pth')


@pytest.mark.parametrize('file, name, change, words', [
    (0, 'c_encoder.main.3.main.1.norm.weight', None, ('c_encoder.main.3.main.1.norm.weight',)),
    (0, 'c_encoder.main.1.conv.weight', lambda x: x[:-1], ('[7, 4, 4, 4]', '[8, 4, 4, 4]')),
    (0, 'c_encoder.main.0.conv.weight', lambda x: x[0], ('[3, 7, 7]', '4 axes')),
    (0, 's_encoder.foreground.3.weight', None, ('s_encoder.foreground.3.weight',)),
    (0, 's_encoder.background.3.weight', None, ('s_encoder.background.3.weight',)),
    (0, 's_encoder.shared.0.conv.bias', None, ('s_encoder.shared.0.conv.bias',)),
    (0, 'mask.main.1.norm.running_var', None, ('mask.main.1.norm.running_var',)),
    (0, 'mask.co_attn.main.0.fc.weight', lambda x: x.T, ('[16, 32]', '[32, 16]')),
    (0, 'decoder.b_mlp.main.2.fc.bias', lambda x: x / 0, ('b_mlp.main.2.fc.bias', 'finite')),
    (0, 'decoder.f_mlp.main.0.fc.weight', None, ('decoder.f_mlp.main.0.fc.weight',)),
    (0, 'decoder.main.6.conv.weight', lambda x: x.long(), ('main.6.conv.weight', 'int64')),
    (0, 'decoder.main.1.main.0.conv.weight', lambda x: x[..., 1:], ('[16, 16, 3, 2]',)),
    (1, 'main.1.conv.bias', None, ('main.1.conv.bias',)),
    (1, 'conv1.conv.weight', lambda x: x[:, 1:], ('conv1.conv.weight', '[1, 19, 3, 3]')),
    (1, 'conv2.weight', lambda x: x[..., 1:], ('conv2.weight', '4x3')),
    (1, 'conv2.weight', lambda x: x[..., :1, :1], ('image_size', 'at least 16')),
    (1, 'conv2.weight', lambda x: x[0], ('conv2.weight', '4 axes')),
])
def test_a_tensor_gone_wrong_is_named(states, tmp_path, file, name, change, words):
  tensor = states[file].pop(name)
  if change:
    states[file][name] = change(tensor)
  paths = save(tmp_path, states)
  assert_refused(paths, tmp_path, paths[file], *words)


def test_a_network_that_the_authors_do_not_have_is_refused(states, tmp_path):
  """With five residual blocks their MLPs have one layer more than ours."""
  states[0]['decoder.f_mlp.main.3.fc.weight'] = torch.ones(2, 2)
  paths = save(tmp_path, states)
  assert_refused(paths, tmp_path, paths[0], 'decoder.f_mlp.main.3.fc.weight', 'nothing of that')
