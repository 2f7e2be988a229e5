"""LPIPS: a PyTorch twin of both networks, importing them, and the evaluator pair by pair."""

import functools
import itertools
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.comparing import close
from helpers.simple_method import Adds, Data, pairs, pictures, Simple, simple
from maskgan_jax import config as run_config
from maskgan_jax import errors, evaluators
from maskgan_jax.evaluators import lpips as evaluator
from maskgan_jax.import_weights import __main__ as import_weights
from maskgan_jax.import_weights import lpips as convert
from maskgan_jax.methods.base import Translation
from maskgan_jax.pretrained_networks import files as weights
from maskgan_jax.pretrained_networks import lpips
from maskgan_jax.runs import measures, scores

WIDTH = 4
# torchvision's features as (channels over WIDTH, kernel, stride, padding), 'pool', 'tap' for a map
# after its ReLU, as the paper compares them.
PLANS = {
    'alex': [(1, 11, 4, 2), 'tap', 'pool', (3, 5, 1, 2), 'tap', 'pool', (6, 3, 1, 1), 'tap',
             (4, 3, 1, 1), 'tap', (4, 3, 1, 1), 'tap'],
    'vgg': [part for i, (count, factor) in enumerate(((2, 1), (2, 2), (3, 4), (3, 8), (3, 8)))
            for part in ['pool'] * (i > 0) + [(factor, 3, 1, 1)] * count + ['tap']]}
POOLS = {'alex': (3, 2), 'vgg': (2, 2)}


def states(net, seed=0, width=WIDTH):
  """Returns random arrays of the two files; biases are not 0, and weights differ by channel."""
  rng, backbone, linear, inputs, position = np.random.default_rng(seed), {}, {}, 3, 0
  for part in PLANS[net]:
    if part == 'pool':
      position += 1
    elif part == 'tap':
      linear[f'lin{len(linear)}.model.1.weight'] = rng.random((1, inputs, 1, 1)) ** 2
    else:
      factor, size, *_ = part
      shape = factor * width, inputs, size, size
      backbone[f'features.{position}.weight'] = rng.normal(
          0, (2 / np.prod(shape[1:])) ** 0.5, shape)
      backbone[f'features.{position}.bias'] = rng.normal(0, 0.1, shape[0])
      inputs, position = factor * width, position + 2
  backbone['classifier.1.weight'] = rng.random((2, 3))
  return tuple({name: x.astype(np.float32) for name, x in state.items()}
               for state in (backbone, linear))


def twin(torch, net, x, y, *, shift=(-0.030, -0.088, -0.188), scale=(0.458, 0.448, 0.450),
         epsilon=1e-10, pool=True, ceil=False, power=2, taps=range(5), root=True):
  """Computes LPIPS of NHWC arrays in [-1, 1] as its paper and its authors' package define it."""
  functional = torch.nn.functional
  backbone, linear = ({name: torch.tensor(a, dtype=torch.tensor(x).dtype) for name, a in s.items()}
                      for s in states(net))

  def units(images):
    x = torch.tensor(images)
    x = ((x - torch.tensor(shift, dtype=x.dtype)) / torch.tensor(scale, dtype=x.dtype)).permute(
        0, 3, 1, 2)
    position, result = 0, []
    for part in PLANS[net]:
      if part == 'pool':
        position += 1
        if pool:
          x = functional.max_pool2d(x, *POOLS[net], ceil_mode=ceil)
        else:
          x = functional.avg_pool2d(x, *POOLS[net])
      elif part == 'tap':
        length = (x ** 2).sum(1, keepdim=True)
        result.append(x / ((length.sqrt() if root else length) + epsilon))
      else:
        x = functional.relu(functional.conv2d(
            x, backbone[f'features.{position}.weight'], backbone[f'features.{position}.bias'],
            part[2], part[3]))
        position += 2
    return result
  total = 0
  for i, (u, v) in enumerate(zip(units(x), units(y), strict=True)):
    if i in taps:
      weighted = functional.conv2d((u - v).abs() ** power, linear[f'lin{i}.model.1.weight'])
      total = total + weighted.mean((1, 2, 3))
  return total.numpy()


def images(height, width, count=2, dtype=np.float32):
  rng = np.random.default_rng(height)
  ramp = np.linspace(-0.6, 0.6, width).reshape(1, 1, -1, 1)
  return np.clip(ramp + rng.normal(0, 0.4, (count, height, width, 3)), -1, 1).astype(dtype)


def params_of(net):
  return convert.convert(('b.pth', 'l.pth'), states(net))[0]


def ours(net, x, y):
  params = params_of(net)
  with jax.enable_x64(x.dtype == np.float64):
    module = lpips.of(params, x.dtype)
    return np.asarray(jax.jit(lambda *a: module.apply({'params': params}, *a))(x, y))


@functools.cache
def compared(net):
  """Returns two stacks of pictures in float64, and their distances by our network."""
  x, y = images(46, 54, dtype=np.float64), images(46, 54, 4, np.float64)[2:]
  return x, y, ours(net, x, y)


@pytest.mark.parametrize('net, size', [('alex', (31, 44)), ('alex', (64, 53)), ('vgg', (16, 31)),
                                       ('vgg', (37, 34))])
def test_it_is_the_twins(torch, net, size):
  for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-9)):
    x, y = images(*size, dtype=dtype), images(*size, 4, dtype)[2:]
    got, want = ours(net, x, y), twin(torch, net, x, y)
    assert got.dtype == dtype and got.shape == (2,) and 0.01 < got.min() < got.max() < 5
    close(got, want, rtol=tolerance)
    np.testing.assert_array_equal(ours(net, x, x), 0)
    close(ours(net, y, x), got, rtol=tolerance)
  assert abs(got[0] - got[1]) > 1e-3 * got[0]


@pytest.mark.parametrize('change', [
    dict(shift=(0, 0, 0)), dict(shift=(-0.188, -0.088, -0.030)), dict(scale=(1, 1, 1)),
    dict(epsilon=1e-3), dict(pool=False), dict(ceil=True), dict(power=1), dict(root=False),
    *(dict(taps=set(range(5)) - {i}) for i in range(5))], ids=str)
@pytest.mark.parametrize('net', lpips.NETS)
def test_the_comparison_notices(torch, net, change):
  x, y, got = compared(net)
  close(got, twin(torch, net, x, y), rtol=1e-9)
  assert np.abs(got / twin(torch, net, x, y, **change) - 1).min() > 1e-5


@pytest.mark.parametrize('net', lpips.NETS)
def test_the_mean_over_all_pairs(net):
  stack = images(35, 32, 4 * 3).reshape(4, 3, 35, 32, 3)
  params = params_of(net)
  spread = jax.jit(lambda stack: lpips.of(params).apply({'params': params}, stack, method='spread'))
  got = spread(stack)
  close(got, np.mean([ours(net, stack[i], stack[j]) for i, j in
                      itertools.combinations(range(4), 2)], axis=0), rtol=1e-5)
  same = spread(np.stack([stack[0]] * 4))
  assert np.abs(same).max() < 1e-9


@pytest.mark.parametrize('net, least, hint', [('alex', 31, '; 16 are enough for VGG-16'),
                                              ('vgg', 16, '')])
def test_what_is_too_small_is_said(net, least, hint):
  x = images(least, least - 1)
  with pytest.raises(errors.UserError) as caught:
    ours(net, x, x)
  assert str(caught.value) == (f'LPIPS by {lpips.NETS[net]} takes images of at least {least} '
                               f'pixels on either side, not {least}x{least - 1}'
                               + (hint if least > 30 else ''))
  with pytest.raises(errors.UserError, match="no network 'squeeze'; networks: alex, vgg"):
    lpips.LPIPS('squeeze').init(jax.random.key(0), x, x)


def test_full_sizes_are_the_published_ones():
  """Checks the channels of the paper's networks by shape alone."""
  for net, features in (('alex', [64, 192, 384, 256, 256]), ('vgg', [64, 128, 256, 512, 512])):
    x = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    tree = jax.eval_shape(lpips.LPIPS(net).init, jax.random.key(0), x, x)['params']
    assert [len(tree[f'linear{i}']) for i in range(1, 6)] == features
    assert len(tree) == 5 + len(convert._POSITIONS[net])


# Importing.

def save(torch, folder, net, change=lambda backbone, linear: None):
  state = states(net)
  change(*state)
  paths = [str(folder / name) for name in ('net.pth', 'lin.pth')]
  for path, arrays in zip(paths, state, strict=True):
    torch.save({name: torch.tensor(x) if isinstance(x, np.ndarray) else x
                for name, x in arrays.items()}, path)
  return paths


@pytest.mark.parametrize('net', lpips.NETS)
def test_imported_it_gives_the_same(torch, net, tmp_path, capsys, monkeypatch):
  paths, output = save(torch, tmp_path, net), str(tmp_path / 'out' / 'lpips.safetensors')
  import_weights.import_files('lpips', paths, output)
  assert os.listdir(tmp_path / 'out') == ['lpips.safetensors']
  params, text = weights.read_lpips(output)
  note, line = capsys.readouterr().out.splitlines()
  assert 'checksums' in note and line == f'{output}: {text}'
  assert re.fullmatch(rf'LPIPS of {lpips.NETS[net]} from net\.pth and lin\.pth \(unknown files\), '
                      r'sha256 [0-9a-f]{64} and [0-9a-f]{64}', text)
  assert jax.tree.map(np.array_equal, params, params_of(net)) == jax.tree.map(
      lambda _: True, params)
  bytes_ = [pictures(3, seed, 40) for seed in (0, 1)]
  got = evaluator.Network(output)(*bytes_)
  close(got, twin(torch, net, *(x.astype(np.float32) / 127.5 - 1 for x in bytes_)), rtol=1e-5)
  digests = convert.checksums(paths, net)
  monkeypatch.setattr(convert, '_BACKBONES', {net: (digests['sha256'][:8],)})
  assert not convert.checksums(paths, net)['published']  # one of two
  monkeypatch.setattr(convert, '_LINEARS', {net: (digests['linear_sha256'][:16],)})
  os.remove(output)
  import_weights.import_files('lpips', paths, output)
  assert weights.read_lpips(output)[1].startswith(f'LPIPS v0.1 of {lpips.NETS[net]} from net.pth')
  assert len(capsys.readouterr().out.splitlines()) == 1
  with pytest.raises(errors.UserError, match='exists; choose another'):
    import_weights.import_files('lpips', paths, output)
  with pytest.raises(errors.UserError, match=r'from 2 FILEs \(backbone, linear\), 1 given'):
    import_weights.import_files('lpips', paths[:1], str(tmp_path / 'x.safetensors'))


def set_to(which, name, change):
  def action(*state):
    value = change(state[which].pop(name, None))
    if value is not None:
      state[which][name] = value
  return action


@pytest.mark.parametrize('change, words', [
    (set_to(0, 'features.3.weight', lambda x: None), ('net.pth', 'no features.3.weight')),
    (set_to(0, 'features.0.weight', lambda x: None), ('net.pth', 'no features.0.weight')),
    (set_to(0, 'features.6.bias', lambda x: x[1:]), ('features.6.bias', '[23]', '[24]')),
    (set_to(0, 'features.6.weight', lambda x: x / 0 * 0), ('features.6.weight', 'not finite')),
    (set_to(0, 'features.9.weight', lambda x: np.ones(3)), ('features.9.weight', 'nothing of')),
    (set_to(0, 'features.6.bias', lambda x: 'text'), ('features.6.bias', 'not a tensor')),
    (set_to(0, 'lin0.model.1.weight', lambda x: np.ones(3)), ('net.pth holds linear weights',)),
    (set_to(0, 'features.1.running_mean', lambda x: np.ones(3)), ('batch normalisation',)),
    (set_to(0, 'features.3.squeeze.weight', lambda x: np.ones(3)), ('SqueezeNet',)),
    (set_to(1, 'lin4.model.1.weight', lambda x: None), ('lin.pth', 'no lin4.model.1.weight')),
    (set_to(1, 'lin2.model.1.weight', lambda x: x[0]), ('lin2', '[24, 1, 1]', '[1, 24, 1, 1]')),
    (set_to(1, 'lin2.model.1.weight', lambda x: -x), ('lin.pth', 'lin2', 'below zero')),
    (set_to(1, 'lin5.model.1.weight', lambda x: np.ones(3)), ('lin5', 'nothing of that name')),
    (set_to(1, 'net.slice1.0.weight', lambda x: np.ones(3)), ('a whole LPIPS', 'v0.1/alex.pth')),
    (set_to(1, 'lin1.model.1.weight', lambda x: np.ones((1, 2 * WIDTH, 1, 1))),
     ('lin.pth is for VGG-16', 'net.pth is AlexNet'))])
def test_a_tensor_gone_wrong_is_named(change, words):
  state = states('alex')
  with np.errstate(all='ignore'):
    change(*state)
  with pytest.raises(errors.UserError) as caught:
    convert.convert(('net.pth', 'lin.pth'), state)
  message = str(caught.value)
  assert '\n' not in message and len(message) < 300
  assert all(word in message for word in words), message


def test_another_network_is_named():
  rng = np.random.default_rng(0)
  for name, positions in convert._OTHERS.items():
    backbone = {f'features.{i}.weight': rng.random((4, 4, 3, 3)) for i in positions}
    with pytest.raises(errors.UserError, match=f'net.pth is a {name}, .*alexnet.*vgg16'):
      convert.convert(('net.pth', 'lin.pth'), (backbone, states('vgg')[1]))


def test_a_damaged_file_is_refused(tmp_path):
  path = tmp_path / 'x.safetensors'

  def assert_unreadable(match, **changes):
    if changes:
      path.unlink(missing_ok=True)
      weights.write(str(path), {**params_of('alex'), **changes}, {'kind': 'lpips'})
    with pytest.raises(errors.UserError, match=match):
      weights.read_lpips(str(path))
  assert_unreadable('no file .*import_weights lpips BACKBONE LINEAR --output=')
  linear = params_of('alex')['linear2']
  assert_unreadable('linear2 is below zero; import LPIPS again', linear2=-linear)
  assert_unreadable(r'linear2 is float32\[11\], expected finite float32\[12\]', linear2=linear[1:])
  assert_unreadable("has a tensor 'linear6'", linear6=linear)
  path.write_bytes(path.read_bytes()[:-9])
  assert_unreadable('damaged')


# The evaluator.

class Mixes(Simple):
  """Mixes in the exemplar by how red the source is."""
  abilities = frozenset({'exemplar', 'reverse'})

  def translate(self, params, model_state, source, exemplar, *, reverse=False, **unused):
    share = (source[..., :1] + 1) / (4 if reverse else 2)
    return Translation(share * exemplar + (1 - share) * source)


@pytest.fixture(name='network', scope='module')
def _network(tmp_path_factory):
  path = str(tmp_path_factory.mktemp('lpips') / 'x.safetensors')
  weights.write(path, params_of('vgg'), {'kind': 'lpips', 'source': 'x', 'sha256': '1',
                                         'linear_sha256': '2'})
  return path


def make_config(network, **settings):
  config = run_config.default('content_transfer')
  config.lpips.update(network=network, **settings)
  return config


def measure(rows, network, *, method=None, batch_size=4, note=lambda line: None, **settings):
  return evaluators.run(simple(method or Mixes()), Data(test=rows), names=('lpips',),
                        batch_size=batch_size, note=note, config=make_config(network, **settings))


def lpips_of(network):
  """Returns a function that measures LPIPS picture by picture."""
  params = weights.read_lpips(network)[0]
  module = lpips.of(params)
  compute = jax.jit(lambda x, y: module.apply({'params': params}, x, y))
  return lambda x, y: float(compute(*(z[None].astype(np.float32) / 127.5 - 1 for z in (x, y)))[0])


@pytest.mark.parametrize('batch_size', [1, 2, 4, 16])
def test_every_number_picture_by_picture(network, batch_size):
  rows, t, distance = pairs(7), simple(Mixes()), lpips_of(network)
  got = measure(rows, network, batch_size=batch_size, exemplars=3)
  want = {}
  for d in ('ab', 'ba'):
    source, exemplar, truth = rows[d[0]], rows[d[1]], rows[f'truth_{d}']

    def made(i, j, d=d, source=source, exemplar=exemplar):
      return t(source[i], exemplar[j], reverse=d == 'ba').image
    want[f'{d}_lpips'] = [distance(made(i, i), truth[i]) for i in range(7)]
    want[f'do_nothing_{d}_lpips'] = [distance(source[i], truth[i]) for i in range(7)]
    want[f'{d}_lpips_diversity'] = [
        np.mean([distance(made(i, j), made(i, k)) for j, k in itertools.combinations(
            [i, i - 1, i - 2] if i > 1 else [0, 1, 2], 2)]) for i in range(7)]
  for name, values in want.items():
    np.testing.assert_allclose([got[name], got[f'{name}_std']],
                               [np.mean(values), np.std(values)], rtol=1e-4, err_msg=name)
  assert got.pop('lpips_network') == 'LPIPS of VGG-16 from x (unknown files), sha256 1 and 2'
  assert set(got) == {'pairs', *want, *(f'{name}_std' for name in want)}
  assert got['ab_lpips_diversity'] > 1.2 * got['ba_lpips_diversity'] > 0
  assert got['ab_lpips_diversity_std'] > 0


def test_a_source_is_no_exemplar_of_its_own(network):
  """Both domains are one set, b shifted by one: a neighbour may be the source itself."""
  a = pictures(5)
  rows, t, distance = {'a': a, 'b': np.roll(a, -1, 0)}, simple(Mixes()), lpips_of(network)
  for batch_size in (2, 8):
    got = measure(rows, network, batch_size=batch_size, exemplars=2)
    # b_i is a_{i + 1}, and b_{i - 1} is the source itself, so b_{i - 2} or a later one is taken.
    chosen = [(1, 2), (2, 3), (3, 1), (4, 2), (0, 3)]
    want = [distance(*(t(a[i], a[j]).image for j in js)) for i, js in enumerate(chosen)]
    np.testing.assert_allclose(got['ab_lpips_diversity'], np.mean(want), rtol=1e-4)


def test_methods_without_exemplars_and_data_without_truths(network):
  rows, notes = pairs(3), []
  got = measure(rows, network, method=Adds())
  assert 'ab_lpips' in got and 'ba_lpips' in got
  assert not [name for name in got if 'diversity' in name]
  few = {name: rows[name] for name in 'ab'}
  got = measure(few, network, exemplars=3)
  assert {'ab_lpips_diversity', 'ba_lpips_diversity', 'lpips_network'} <= got.keys()
  assert not [name for name in got if name.endswith('_lpips')]
  assert measure(few, network, method=Adds(), note=notes.append) == {}
  assert 'takes no exemplar, and the data have no true translations' in notes[0]


def test_what_cannot_be_measured_is_said(network, tmp_path):
  notes, rows = [], pairs(3)
  got = measure(rows, network, note=notes.append)  # four exemplars of three pairs
  assert 'ab_lpips' in got and 'ab_lpips_diversity' not in got
  assert notes == [f"'lpips' measures no diversity from {x} to {y}: no picture has 4 exemplars "
                   '(config.lpips.exemplars) other than itself' for x, y in ('ab', 'ba')]
  notes.clear()
  assert measure(rows, '', note=notes.append) == {}
  assert 'no network is named (config.lpips.network); python -m maskgan_jax.import_w' in notes[0]
  alex = str(tmp_path / 'alex.safetensors')
  weights.write(alex, params_of('alex'), {'kind': 'lpips'})
  notes.clear()
  assert measure(rows, alex, note=notes.append) == {}
  assert 'at least 31 pixels on either side, not 16x16; 16 are enough for VGG-16' in notes[0]
  for settings, match in ((dict(exemplars=1), 'exemplars=1 must be at least 2'),
                          (dict(network=str(tmp_path / 'none')), 'no file')):
    with pytest.raises(errors.UserError, match=match):
      evaluators.make('lpips', make_config(**{'network': network, **settings}))


def test_measured_saved_and_shown(network, tmp_path):
  config = make_config(network, exemplars=2)
  config.update(evaluators=('lpips',), evaluation_batch_size=4)
  got = evaluators.measure(simple(Mixes()), Data(test=pairs(4)), config, tmp_path, 5)
  [row] = scores.read(tmp_path)
  assert row == {'step': 5, 'split': 'test', **got}
  lines = evaluators.table(row).splitlines()
  line = next(line for line in lines if line.startswith('a to b    LPIPS to the truth'))
  assert line.split()[7:9] == [f'{got[name]:.4f}' for name in ('ab_lpips', 'do_nothing_ab_lpips')]
  line = next(line for line in lines if line.startswith('b to a    LPIPS over exemplars'))
  assert line.split()[6] == f'{got["ba_lpips_diversity"]:.4f}' and max(map(len, lines)) <= 150
  for name, sign in (('ab_lpips', -1), ('ba_lpips_diversity', 1)):
    assert measures.better(name) == sign and measures.meaning(name), name
  assert measures.baseline(row, 'ab_lpips') == 'do_nothing_ab_lpips'
