"""Importing Press' checkpoints: outputs equal PyTorch's, and foreign files are refused."""

import os

import jax
import numpy as np
import pytest

from helpers import comparing_press as comparing
from helpers.small_content_transfer import images
from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.import_weights import __main__ as import_weights
from maskgan_jax.import_weights import press
from maskgan_jax.translator import Translator

torch = pytest.importorskip('torch')


@pytest.fixture(name='model', scope='module')
def _model():
  torch.manual_seed(0)
  return comparing.module().Press(image_size=16, **comparing.SIZES)


@pytest.fixture(name='checkpoint')
def _checkpoint(model):
  """Returns what the authors' training script saves; a test may spoil it."""
  return {**{name: dict(network.state_dict()) for name, network in model.networks.items()},
          'ae_opt': model.autoencoder_optimizer.state_dict(),
          'disc_opt': model.discriminator_optimizer.state_dict(), 'iters': 1234}


def save(path, value):
  torch.save(value, path)
  return str(path)


def test_the_authors_names(checkpoint):
  layers = range(0, 9, 3)  # six in their networks, three here
  for network, sequence in (('e1', 'full'), ('e2', 'full'), ('decoder', 'main')):
    assert set(checkpoint[network]) == {
        f'{sequence}.{i}.{name}' for i in layers for name in ('weight', 'bias')}
  assert set(checkpoint['disc']) == {
      f'classify.{i}.{name}' for i in (0, 2) for name in ('weight', 'bias')}


@pytest.mark.slow
def test_a_checkpoint_gives_the_same_outputs(model, checkpoint, tmp_path):
  output = tmp_path / 'run'
  import_weights.import_files('press', [save(tmp_path / 'glasses', checkpoint)], str(output))
  translator = Translator.from_workdir(output)
  assert translator.step == 1234
  source, exemplar = images(0), images(1)
  theirs = [comparing.to_torch(x) for x in (source, exemplar)]
  translated = comparing.from_torch(model.translate(*theirs))
  assert translated.std() > 0.02, 'flat outputs compare nothing'
  np.testing.assert_allclose(translator(source, exemplar).image, translated, atol=1e-4)
  np.testing.assert_allclose(translator.remove(exemplar).image,
                             comparing.from_torch(model.remove(theirs[1])), atol=1e-4)
  config = run_config.load(str(output))
  assert (config.method, config.variant, config.name) == ('press', 'official', 'glasses')
  assert config.data.crop == 'center:178'
  assert {name: config.model[name] for name in comparing.SIZES} == comparing.SIZES


def test_every_number_is_the_authors(checkpoint, tmp_path):
  path = save(tmp_path / 'x', checkpoint)
  converted = press.convert([path], [import_weights.read(path)])
  assert converted.model['model_state'] == {} and not converted.notes
  state_dicts = comparing.module().content_transfer.state_dicts(converted.model['params'], (2, 2))
  assert set(state_dicts) == {'e1', 'e2', 'decoder', 'disc'}
  for network, tensors in state_dicts.items():
    assert tensors.keys() == checkpoint[network].keys()
    assert all(torch.equal(tensors[name], value) for name, value in checkpoint[network].items())
  assert {leaf.dtype for leaf in jax.tree.leaves(converted.model)} == {np.dtype(np.float32)}


def test_foreign_and_damaged_files_are_refused(checkpoint, tmp_path):
  def without(network, name):
    return {n: x for n, x in checkpoint[network].items() if n != name}
  for number, (value, words) in enumerate((
      # Content transfer's published file has two decoders; its encoders have batch norms.
      ({**checkpoint, 'mustacher': checkpoint['decoder']}, ('not a press', 'mustacher')),
      ({**checkpoint, 'e1': {**checkpoint['e1'], 'full.1.weight': torch.ones(4)}},
       ('e1.full', '1.weight')),
      ({**checkpoint, 'e2': without('e2', 'full.3.bias')}, ('e2.full', '3.bias')),
      ({n: x for n, x in checkpoint.items() if n != 'decoder'}, ('no decoder',)))):
    path, output = save(tmp_path / str(number), value), tmp_path / 'refused'
    with pytest.raises(errors.UserError) as caught:
      import_weights.import_files('press', [path], str(output))
    message = str(caught.value)
    assert all(word in message for word in (path, *words)) and '\n' not in message
    assert not os.path.exists(output)
