"""Importing VGG-19: torchvision's and Keras's files give the maps that their own networks give."""

import functools
import os
import pathlib
import re
import sys

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from helpers.comparing import close
from maskgan_jax import errors
from maskgan_jax.import_weights import __main__ as import_weights
from maskgan_jax.import_weights import vgg19 as convert
from maskgan_jax.pretrained_networks import files as weights
from maskgan_jax.pretrained_networks import vgg19

torch = pytest.importorskip('torch')
h5py = pytest.importorskip('h5py')

PLANS = {'vgg11': (1, 1, 2, 2, 2), 'vgg16': (2, 2, 3, 3, 3), 'vgg19': (2, 2, 4, 4, 4)}


def network(plan='vgg19', width=4, batch_norm=False):
  """Returns torchvision's form: a Sequential of features and one of a classifier, here small."""
  torch.manual_seed(0)
  layers, channels = [], 3
  for count, factor in zip(PLANS[plan], (1, 2, 4, 8, 8), strict=True):
    for _ in range(count):
      layers.append(torch.nn.Conv2d(channels, factor * width, 3, padding=1))
      torch.nn.init.kaiming_normal_(layers[-1].weight, nonlinearity='relu')
      torch.nn.init.normal_(layers[-1].bias, std=0.1)
      layers += [torch.nn.BatchNorm2d(factor * width)] * batch_norm + [torch.nn.ReLU()]
      channels = factor * width
    layers.append(torch.nn.MaxPool2d(2))
  return torch.nn.ModuleDict({'features': torch.nn.Sequential(*layers),
                              'classifier': torch.nn.Sequential(torch.nn.Linear(channels, 3))})


def taps_of(model, x):
  """Returns relu1_1 to relu5_1, by position, of an NHWC input that needs no preprocessing."""
  x, taps = torch.tensor(x).permute(0, 3, 1, 2), []
  for i, layer in enumerate(model['features']):
    x = layer(x)
    if i in (1, 6, 11, 20, 29):
      taps.append(x.permute(0, 2, 3, 1))
  return taps


def pictures():
  return np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)


def inputs_of(layout, images):
  """Applies each publisher's own preprocessing to pictures in [-1, 1]."""
  if layout == 'torchvision':
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    return ((images + 1) / 2 - mean) / deviation
  return ((images + 1) * 127.5)[..., ::-1] - np.float32([103.939, 116.779, 123.68])


def save_keras(path, state, kind='keras 1'):
  """Returns `state` in one of Keras's layouts, with the fully connected layers."""
  plan = [f'block{block}_conv{i + 1}' for block, count in enumerate(PLANS['vgg19'], 1)
          for i in range(count)]
  layers = {}
  for layer, name in zip(plan, [name for name in state if name.endswith('.weight')], strict=False):
    layers[layer] = (state[name].numpy().transpose(2, 3, 1, 0),
                     state[name.replace('weight', 'bias')].numpy())
  for name in ('fc1', 'predictions'):
    layers[name] = np.ones((6, 3), np.float32), np.ones(3, np.float32)
  with h5py.File(path, 'w') as file:
    file.attrs['layer_names'] = [name.encode() for name in layers]
    root = file.create_group('model_weights') if kind == 'whole' else file
    for pool in ('input_1', 'block1_pool'):
      root.create_group(pool)
    for i, (layer, (kernel, bias)) in enumerate(layers.items()):
      if kind == 'keras 1':
        names = f'{layer}/{layer}_W_1:0', f'{layer}/{layer}_b_1:0'
      elif kind == 'keras 2':
        names = f'{layer}/{layer}/kernel:0', f'{layer}/{layer}/bias:0'
      elif kind == 'whole':
        names = f'{layer}/{layer}/kernel', f'{layer}/{layer}/bias'
      else:
        group = f'layers/conv2d_{i}/vars' if i else 'layers/conv2d/vars'
        root.create_group(group).attrs['name'] = layer
        names = f'{group}/0', f'{group}/1'
      root[names[0]], root[names[1]] = kernel, bias
    if kind == 'whole':
      file['optimizer_weights/iterations:0'] = 7
  return str(path)


def save(path, state):
  torch.save(state, path)
  return str(path)


@pytest.fixture(name='model', scope='module')
def _model():
  return network()


@pytest.fixture(name='state')
def _state(model):
  return dict(model.state_dict())


def imported(path, tmp_path):
  output = str(tmp_path / 'networks' / 'vgg19.safetensors')
  import_weights.import_files('vgg19', [path], output)
  assert os.listdir(tmp_path / 'networks') == ['vgg19.safetensors']  # nothing temporary stays
  return weights.read_vgg19(output)


@functools.cache
def maps():
  return jax.jit(lambda params, images: vgg19.VGG19(width=4).apply({'params': params}, images))


def equal(one, other):
  """Returns the groups that are the same, bit by bit."""
  return sorted(name for name in one if all(map(
      np.array_equal, jax.tree.leaves(one[name]), jax.tree.leaves(other[name]))))


def test_torchvision_gives_the_same_maps(model, state, tmp_path, capsys):
  params, text = imported(save(tmp_path / 'vgg19-x.pth', state), tmp_path)
  note, line = capsys.readouterr().out.splitlines()
  assert 'checksum' in note and line.endswith(text)
  assert re.fullmatch(r'VGG-19 from vgg19-x\.pth \(torchvision layout, an unknown file\), '
                      r'sha256 [0-9a-f]{8}…', text)
  for ours, theirs in zip(maps()(params, pictures()),
                          taps_of(model, inputs_of('torchvision', pictures())), strict=True):
    close(ours, theirs)
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}


@pytest.mark.parametrize('kind', ['keras 1', 'keras 2', 'whole', 'keras 3'])
def test_keras_gives_the_same_maps(model, state, tmp_path, kind, capsys):
  path = save_keras(tmp_path / 'vgg19.h5', state, kind)
  params, text = imported(path, tmp_path)
  assert 'VGG-19 from vgg19.h5 (Keras layout' in text and text in capsys.readouterr().out
  if kind == 'keras 1':
    for ours, theirs in zip(maps()(params, pictures()),
                            taps_of(model, inputs_of('Keras', pictures())), strict=True):
      close(ours, theirs)
  else:
    plain = convert.convert('x', {name: x.numpy() for name, x in state.items()})[0]
    plain['conv1_1']['kernel'] = plain['conv1_1']['kernel'][:, :, ::-1]
    assert equal(params, plain) == sorted(vgg19.channels())  # mean and scale differ


def normalised(state):
  """Returns a state dict in the layout of vgg_normalised.pth: a 1x1 convolution, and padding."""
  names = [name for name in state if name.startswith('features.')]
  places = iter((2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42, 45, 48, 51))
  kernel = torch.zeros(3, 3, 1, 1)
  for i in range(3):
    kernel[i, 2 - i] = 255  # RGB in [0, 1] becomes BGR in [0, 255]
  result = {'0.weight': kernel, '0.bias': -torch.tensor([103.939, 116.779, 123.68])}
  for name in names[::2]:
    place = next(places)
    result[f'{place}.weight'] = state[name]
    result[f'{place}.bias'] = state[name.replace('weight', 'bias')]
  return result


def test_the_normalised_network_gives_keras_maps(model, state, tmp_path):
  params, text = imported(save(tmp_path / 'vgg_normalised.pth', normalised(state)), tmp_path)
  assert text.startswith('normalised VGG-19 from vgg_normalised.pth (normalised layout), sha256')
  for ours, theirs in zip(maps()(params, pictures()),
                          taps_of(model, inputs_of('Keras', pictures())), strict=True):
    close(ours, theirs)
  other = {**normalised(state), '0.weight': torch.ones(3, 3, 1, 1)}
  with pytest.raises(errors.UserError, match='first layer does not make BGR'):
    convert.convert('x', {name: x.numpy() for name, x in other.items()})


def test_hed_gives_the_maps_of_vgg16(tmp_path):
  """Its layers are Keras's, and six more of one channel, for the edges."""
  model = network('vgg16')
  with h5py.File(tmp_path / 'hed.weights.h5', 'w') as file:
    names = [name for name in model.state_dict() if name.startswith('features.')][::2]
    layers = [f'block{block}_conv{i + 1}' for block, count in enumerate(PLANS['vgg16'], 1)
              for i in range(count)]
    sides = ['conv2d', *(f'conv2d_{i}' for i in range(1, 6))]
    for number, layer in enumerate([*layers, *sides]):
      group = file.create_group(f'layers/{number}/vars')
      group.attrs['name'] = layer
      kernel, bias = np.ones((1, 1, 4, 1), np.float32), np.ones(1, np.float32)
      if layer in layers:
        kernel = model.state_dict()[names[number]].numpy().transpose(2, 3, 1, 0)
        bias = model.state_dict()[names[number].replace('weight', 'bias')].numpy()
      group['0'], group['1'] = kernel, bias
  params, text = imported(str(tmp_path / 'hed.weights.h5'), tmp_path)
  assert text.startswith("VGG-16 tuned to edges (HED), in VGG-19's place, from hed.weights.h5")
  x, theirs = torch.tensor(inputs_of('Keras', pictures())).permute(0, 3, 1, 2), []
  for i, layer in enumerate(model['features']):
    x = layer(x)
    if i in (1, 6, 11, 18, 25):
      theirs.append(x.permute(0, 2, 3, 1))
  for ours, expected in zip(maps()(params, pictures()), theirs, strict=True):
    close(ours, expected)


@pytest.mark.parametrize('layout', ['torchvision', 'Keras'])
def test_what_could_be_forgotten_shows(model, state, tmp_path, layout):
  """The comparisons above would fail without the mean, the scale, or the order of channels."""
  path = save(tmp_path / 'x.pth', state) if layout == 'torchvision' else save_keras(
      tmp_path / 'x.h5', state)
  params, _ = imported(path, tmp_path)
  expected = taps_of(model, inputs_of(layout, pictures()))

  def worst(changed):
    return max(np.abs(ours - theirs.detach().numpy()).max() / theirs.detach().numpy().max()
               for ours, theirs in zip(maps()(changed, pictures()), expected, strict=True))
  flipped = {**params['conv1_1'], 'kernel': params['conv1_1']['kernel'][:, :, ::-1]}
  assert worst(params) < 1e-5
  for change in ({'conv1_1': flipped}, {'input_mean': 0 * params['input_mean']},
                 {'input_scale': 0 * params['input_scale'] + 0.5},
                 {'input_mean': params['input_mean'][::-1].copy()}):
    assert worst({**params, **change}) > 0.01


def test_every_number_of_the_first_thirteen_convolutions_is_used(state, tmp_path):
  params, _ = imported(save(tmp_path / 'x.pth', state), tmp_path)
  for i, name in zip((0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28), vgg19.channels(),
                     strict=True):
    kernel = params[name]['kernel'].transpose(3, 2, 0, 1)
    np.testing.assert_array_equal(kernel, state[f'features.{i}.weight'])
    np.testing.assert_array_equal(params[name]['bias'], state[f'features.{i}.bias'])


def test_the_rest_may_be_missing_and_half_precision_is_widened(state, tmp_path):
  """A feature extractor that ends at relu5_1 is enough; a classifier may have any shape."""
  whole, _ = imported(save(tmp_path / 'x.pth', state), tmp_path)
  kept = {name: x.half() for name, x in state.items()
          if name.startswith('features.') and int(name.split('.')[1]) <= 28}
  os.remove(tmp_path / 'networks' / 'vgg19.safetensors')
  cut, _ = imported(save(tmp_path / 'y.pth', kept), tmp_path)
  assert equal(whole, cut) == ['input_mean', 'input_scale']
  close(cut['conv3_2']['kernel'], whole['conv3_2']['kernel'], rtol=1e-3)
  assert cut['conv3_2']['kernel'].dtype == np.float32


def test_a_published_file_is_known_by_its_checksum(state, tmp_path, monkeypatch, capsys):
  path = save(tmp_path / 'vgg19-dcbb9e9d.pth', state)
  digest = convert.checksums(path)['sha256']
  monkeypatch.setattr(convert, '_PUBLISHED', (digest[:8],))
  _, text = imported(path, tmp_path)
  assert text == f'ImageNet VGG-19 from vgg19-dcbb9e9d.pth (torchvision layout), ' \
                 f'sha256 {digest[:8]}…'
  assert len(capsys.readouterr().out.splitlines()) == 1
  monkeypatch.setattr(convert, '_CAFFE', (digest[:8],))
  assert_refused(path, tmp_path, path, 'Caffe', 'BGR')


# What is refused: one line, and no output.

def assert_refused(path, tmp_path, *words, output='refused.safetensors'):
  output = tmp_path / output
  before = output.read_bytes() if output.is_file() else None
  with pytest.raises(errors.UserError) as caught:
    import_weights.import_files('vgg19', [str(path)], str(output))
  message = str(caught.value)
  assert '\n' not in message and len(message) < 400, message
  assert all(str(word) in message for word in words), message
  assert (output.read_bytes() if output.is_file() else None) == before
  assert not [name for name in os.listdir(tmp_path) if name.startswith('.')]


def test_another_vgg_is_named(state, tmp_path):
  for plan, batch_norm, word in (
      ('vgg19', True, 'batch normalisation'), ('vgg16', True, 'batch normalisation'),
      ('vgg16', False, 'VGG-16'), ('vgg11', False, 'VGG-11')):
    path = save(tmp_path / 'x.pth', network(plan, batch_norm=batch_norm).state_dict())
    assert_refused(path, tmp_path, path, word)
  path = save_keras(tmp_path / 'x.h5', state)
  with h5py.File(path, 'a') as file:
    for layer in ('block3_conv4', 'block4_conv4', 'block5_conv4'):
      del file[layer]
  assert_refused(path, tmp_path, path, 'VGG-16')


@pytest.mark.parametrize('name, change, words', [
    ('features.16.weight', lambda x: None, ('no features.16.weight',)),
    ('features.28.bias', lambda x: None, ('no features.28.bias',)),
    ('features.0.weight', lambda x: None, ('no features.0.weight',)),
    ('features.0.weight', lambda x: x[:-1], ('features.0.bias', '[4]', '[3]')),
    ('features.5.weight', lambda x: x[:, :, 1:], ('[8, 4, 2, 3]', '[8, 4, 3, 3]')),
    ('features.5.weight', lambda x: x[0], ('features.5.weight', '[4, 3, 3]')),
    ('features.5.weight', lambda x: x / 0, ('features.5.weight', 'not finite')),
    ('features.5.weight', lambda x: x.long(), ('features.5.weight', 'int64')),
    ('features.5.weight', lambda x: 'text', ('features.5.weight', 'not a tensor')),
    ('features.1.weight', lambda x: torch.ones(4), ('features.1.weight', 'nothing of that name')),
    ('features.37.bias', lambda x: torch.ones(4), ('features.37.bias', 'nothing of that name')),
    ('state_dict', lambda x: {'features.0.weight': torch.ones(1)}, ('state_dict', 'not a tensor')),
    ('stem', lambda x: torch.ones(4), ('stem', 'nothing of that name'))])
def test_a_tensor_gone_wrong_is_named(state, tmp_path, name, change, words):
  value = change(state.pop(name, None))
  if value is not None:
    state[name] = value
  path = save(tmp_path / 'x.pth', state)
  assert_refused(path, tmp_path, path, *words)


def test_other_contents_are_refused(state, tmp_path):
  for value, words in ((torch.ones(3), ('tensor', 'dict')), ({}, ('no block1_conv1',)),
                       ({'module.features.0.weight': torch.ones(1)}, ('module.features.0.weight',)),
                       (torch.nn.Linear(2, 2), ('refused', 'Linear'))):
    assert_refused(save(tmp_path / 'x.pth', value), tmp_path, *words)
  assert_refused(tmp_path / 'nothing.pth', tmp_path, 'no file')
  assert_refused(tmp_path, tmp_path, 'no file')
  path = pathlib.Path(save(tmp_path / 'x.pth', state))
  path.write_bytes(path.read_bytes()[:9000])
  assert_refused(path, tmp_path, path, 'not a PyTorch checkpoint')


def test_a_keras_tensor_gone_wrong_is_named(state, tmp_path):
  def change(action, *words):
    path = save_keras(tmp_path / 'x.h5', state)
    with h5py.File(path, 'a') as file:
      action(file)
    assert_refused(path, tmp_path, path, *words)

  def replace(name, value):
    def action(file):
      del file[name]
      file[name] = value
    return action
  kernel = 'block1_conv1/block1_conv1_W_1:0'
  change(lambda file: file.pop('block4_conv2/block4_conv2_b_1:0'), 'no block4_conv2.bias')
  change(lambda file: file.pop('block1_conv1'), 'no block1_conv1.kernel')
  theano = np.ones((4, 3, 3, 3), np.float32)
  change(replace(kernel, theano), 'block1_conv1', '[4, 3, 3, 3]', 'tf_kernels')
  change(replace(kernel, np.full((3, 3, 3, 4), np.nan)), 'block1_conv1.kernel', 'finite')
  change(lambda file: file.create_dataset('block1_conv1/kernel:0', data=theano), 'two tensors')
  change(lambda file: file.create_dataset('block1_conv1/gamma:0', data=theano), 'gamma:0')
  change(lambda file: file.create_dataset('block1_conv9/kernel:0', data=theano), 'block1_conv9')
  change(lambda file: file.create_dataset('conv1/kernel:0', data=theano), 'conv1/kernel:0')
  change(lambda file: file.create_dataset('huge', (10 ** 6, 10 ** 6), np.float32,
                                          chunks=(1000, 1000)), 'larger than its data')
  change(lambda file: file.create_dataset('away', (4,), np.float32,
                                          external=[('/dev/zero', 0, 16)]), 'elsewhere')


@pytest.mark.parametrize('data', [b'', b'hello, this is text\n' * 9,
                                  b'\x89HDF\r\n\x1a\n' + bytes(99)])
def test_another_file_named_h5_is_refused(tmp_path, data):
  path = tmp_path / 'x.h5'
  path.write_bytes(data)
  assert_refused(path, tmp_path, path, 'not an HDF5 file')


@pytest.mark.parametrize('share', [0.01, 0.5, 0.95])
def test_a_truncated_hdf5_file_is_refused(state, tmp_path, share):
  path = pathlib.Path(save_keras(tmp_path / 'x.h5', state))
  path.write_bytes(path.read_bytes()[:int(share * path.stat().st_size)])
  assert_refused(path, tmp_path, path, 'not an HDF5 file')


def test_links_to_other_files_are_not_followed(state, tmp_path):
  save_keras(tmp_path / 'other.h5', state)
  path = tmp_path / 'x.h5'
  with h5py.File(path, 'w') as file:
    for name in h5py.File(tmp_path / 'other.h5'):
      file[name] = h5py.ExternalLink(str(tmp_path / 'other.h5'), name)
  assert_refused(path, tmp_path, 'no block1_conv1.kernel')


def test_an_output_that_is_there_or_is_no_file_is_refused(state, tmp_path):
  path = save(tmp_path / 'x.pth', state)
  (tmp_path / 'mine.safetensors').write_text('precious')
  assert_refused(path, tmp_path, 'exists', output='mine.safetensors')
  assert_refused(path, tmp_path, 'ends with .safetensors', output='folder')
  assert_refused(path, tmp_path, 'cannot write', output='x.pth/vgg19.safetensors')


@pytest.mark.parametrize('module, name', [('h5py', 'x.h5'), ('torch', 'x.pth')])
def test_without_the_reader_it_says_what_to_install(tmp_path, monkeypatch, module, name):
  (tmp_path / name).write_bytes(b'\x89HDF\r\n\x1a\n' if module == 'h5py' else b'')
  monkeypatch.setitem(sys.modules, module, None)
  assert_refused(tmp_path / name, tmp_path, "pip install 'maskgan-jax[convert]'")


# The file that comes out.

def assert_unreadable(path, *words):
  with pytest.raises(errors.UserError) as caught:
    weights.read_vgg19(str(path))
  message = str(caught.value)
  assert '\n' not in message and len(message) < 400, message
  assert all(str(word) in message for word in words), message


def test_a_damaged_or_foreign_safetensors_file_is_refused(state, tmp_path):
  params, _ = imported(save(tmp_path / 'x.pth', state), tmp_path)
  good = tmp_path / 'networks' / 'vgg19.safetensors'
  path = tmp_path / 'x.safetensors'
  assert_unreadable(path, 'no file', 'import_weights vgg19 FILE')
  for share in (0, 0.001, 0.5, 0.999):
    path.write_bytes(good.read_bytes()[:int(share * good.stat().st_size)])
    assert_unreadable(path, path, 'damaged')
  assert_unreadable(tmp_path / 'x.pth', 'not a safetensors file')
  for metadata, word in ((None, 'none'), ({'kind': 'inception'}, 'inception')):
    safetensors_numpy.save_file({'x': np.ones(3)}, path, metadata)
    assert_unreadable(path, 'not a vgg19 file', word)

  def rewrite(**changes):
    path.unlink(missing_ok=True)
    arrays = {name: np.asarray(x) for name, x in weights.flat({**params, **changes})}
    safetensors_numpy.save_file(arrays, path, {'kind': 'vgg19'})
  kernel, bias = params['conv2_1']['kernel'], params['conv2_1']['bias']
  for changes, words in (
      ({'conv2_1': {'kernel': kernel}}, ('lacks', 'conv2_1.bias')),
      ({'head': {'bias': bias}}, ('has', 'head.bias')),
      ({'conv2_1': {'kernel': kernel, 'bias': bias[1:]}}, ('conv2_1.bias', '[7]', '[8]')),
      ({'conv2_1': {'kernel': kernel * np.nan, 'bias': bias}}, ('conv2_1.kernel', 'finite')),
      ({'input_scale': 0 * params['input_scale']}, ('input_scale', 'positive'))):
    rewrite(**changes)
    assert_unreadable(path, path, *words)
  rewrite()
  weights.read_vgg19(str(path))  # it was the changes
