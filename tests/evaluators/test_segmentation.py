"""Segmentation of translations: counts by loops, networks of both kinds, label maps from files."""

import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest
from sklearn import metrics

from helpers import data_samples
from helpers.simple_method import Data, pictures, Simple, simple
from maskgan_jax import config as run_config
from maskgan_jax import errors, evaluators
from maskgan_jax.data import default_config, images
from maskgan_jax.evaluators import segmentation
from maskgan_jax.methods.base import Translation
from maskgan_jax.reports import report
from maskgan_jax.runs import scores

SIZE = 16


class Darkens(Simple):
  """Keeps two fifths of the brightness, so that no byte falls halfway between two."""
  abilities = frozenset()

  def translate(self, params, model_state, source, exemplar, **unused):
    return Translation(0.4 * (source + 1) - 1)


def brightness_classes(x):
  """Returns scores of four classes by the brightness of the red channel: 0 to 63, 64 to 127, ..."""
  red = x[..., :1].astype(jnp.float32)
  return -jnp.abs(red - jnp.array([31.5, 95.5, 159.5, 223.5]).reshape(1, 1, 1, 4))


def by_hand(image):
  return image[..., 0] // 64


def export(path, function, shape='b, h, w, 3', dtype=np.uint8):
  spec = jax.ShapeDtypeStruct(jax.export.symbolic_shape(shape), dtype)
  path.write_bytes(jax.export.export(jax.jit(function))(spec).serialize())
  return str(path)


@pytest.fixture
def network(tmp_path):
  return export(tmp_path / 'network', brightness_classes)


def rows_of(n, classes=4):
  labels = np.random.default_rng(0).integers(0, classes, (n, SIZE, SIZE)).astype(np.int32)
  return {'a': pictures(n), 'b': pictures(n, 1), 'a_labels': labels}


def make_config(**settings):
  config = run_config.default('content_transfer')
  config.segmentation.update(classes=4, **settings)
  config.evaluators, config.evaluation_batch_size = ('segmentation',), 3
  return config


def measure(rows, batch_size=3, note=print, **settings):
  return evaluators.run(simple(Darkens()), Data(test=rows), names=('segmentation',), note=note,
                        batch_size=batch_size, config=make_config(**settings))


def mean_iou(labels, predicted):
  """Returns scikit-learn's Jaccard indices of the classes that occur: their mean, and each."""
  there = np.union1d(labels, predicted)
  each = metrics.jaccard_score(labels, predicted, labels=there, average=None)
  return each.mean(), dict(zip(there, each, strict=True))


@pytest.mark.parametrize('batch_size', [2, 5, 64])
def test_against_scikit_learn(network, batch_size):
  rows = rows_of(5)
  labels = rows['a_labels']
  labels[0, :8], labels[3, 2] = 255, -1  # ignored, and without a label
  labels[4] = -1
  labels[labels == 3] = 2  # a class that is predicted but in no label
  got = measure(rows, batch_size, network=network)
  labelled = (labels >= 0) & (labels != 255)
  darker = np.round(0.4 * rows['a']).astype(np.uint8)
  for name, image in (('segmentation', darker), ('segmentation_source', rows['a'])):
    miou, each = mean_iou(labels[labelled], by_hand(image)[labelled])
    np.testing.assert_allclose(got[f'{name}_miou'], miou)
    ious = {int(key.rpartition('_')[2]): value for key, value in got.items()
            if key.startswith(f'{name}_iou_')}
    assert ious == pytest.approx(each)
  assert got['segmentation_source_iou_3'] == 0
  assert 'segmentation_iou_3' not in got  # the darker pictures have no such prediction


def test_confusion_by_loops():
  rng = np.random.default_rng(0)
  labels, predicted = rng.integers(0, 5, (2, 300))
  labels, predicted = labels[labels != 3], predicted[labels != 3]
  predicted[predicted == 3] = 1
  matrix = segmentation.confusion(labels, predicted, 5)
  want = np.zeros((5, 5), int)
  for label, guess in zip(labels, predicted, strict=True):
    want[label, guess] += 1
  np.testing.assert_array_equal(matrix, want)
  there, values = segmentation.ious(matrix)
  assert there.tolist() == [0, 1, 2, 4]
  for number, value in zip(there, values, strict=True):
    both = ((labels == number) & (predicted == number)).sum()
    assert value == both / ((labels == number) | (predicted == number)).sum()


def test_one_matrix_of_all_pictures_not_a_mean_over_them(network):
  rows = rows_of(2)
  rows['a'][:] = 0
  rows['a_labels'][0] = 0  # right throughout
  rows['a_labels'][1] = 1  # wrong throughout
  rows['a_labels'][1, 1:] = 255
  got = measure(rows, network=network)
  right, wrong = SIZE * SIZE, SIZE
  assert got['segmentation_source_iou_0'] == right / (right + wrong)
  assert got['segmentation_source_miou'] == right / (right + wrong) / 2


def test_ids_of_label_maps_that_are_not_the_classes(network):
  rows = rows_of(3)
  want = measure(rows, network=network)
  ids = (7, 8, 11, 200)
  rows['a_labels'] = np.array(ids, np.int32)[rows['a_labels']]
  assert measure(rows, network=network, ids=ids) == want
  assert measure(rows, network=network, ids=tuple(map(str, ids))) == want  # from a command line
  rows['a_labels'][:, 0] = 19  # of no class
  assert measure(rows, network=network, ids=ids) != want
  for wrong, match in (((7, 8), 'as many as ids'), (('seven',) * 4, "ids=.*'seven'")):
    with pytest.raises(errors.UserError, match=match):
      measure(rows, network=network, ids=wrong)
  with pytest.raises(errors.UserError, match='class id 200; ids are below.*classes=4'):
    measure(rows, network=network)


def test_scores_of_a_lower_resolution_are_resized(tmp_path, torch):
  def coarse(x):
    return brightness_classes(x)[:, ::4, ::4]

  rows = rows_of(2)
  rows['a'] = rows['a'][:, ::4, ::4].repeat(4, 1).repeat(4, 2)
  network = segmentation.open_network(export(tmp_path / 'coarse', coarse, 'b, 16, 16, 3'))
  scores_ = np.array(coarse(rows['a']))
  want = torch.nn.functional.interpolate(
      torch.from_numpy(scores_.transpose(0, 3, 1, 2)), size=(SIZE, SIZE), mode='bilinear',
      align_corners=False).argmax(1).numpy()
  np.testing.assert_array_equal(network.predict(rows['a'], 4), want)

  ids = export(tmp_path / 'ids', lambda x: coarse(x).argmax(-1).astype(jnp.uint8), 'b, 16, 16, 3')
  np.testing.assert_array_equal(segmentation.open_network(ids).predict(rows['a'], 4),
                                by_hand(rows['a']))


def test_networks_of_a_fixed_size_get_that_size(tmp_path):
  rows = rows_of(5)
  rows['a'] = rows['a'][:, ::2, ::2].repeat(2, 1).repeat(2, 2)
  path = export(tmp_path / 'fixed', brightness_classes, '2, 32, 32, 3')
  network = segmentation.open_network(path)
  assert network.shape == (2, 32, 32)
  enlarged = np.stack([Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR)
                       for image in rows['a']])
  got = network.predict(rows['a'], 4)
  assert got.shape == (5, SIZE, SIZE)
  # Scores shrink between neighbours; where four agree there is nothing to blend.
  large = by_hand(enlarged).reshape(5, SIZE, 2, SIZE, 2)
  same = (large == large[:, :, :1, :, :1]).all(axis=(2, 4))
  assert same.mean() > 0.2
  assert (got[same] == large[:, :, 0, :, 0][same]).mean() > 0.95


def test_what_is_wrong_with_a_network_is_said(tmp_path, network):
  rows = rows_of(2)
  (tmp_path / 'junk').write_bytes(b'no network')
  two = tmp_path / 'two'
  spec = jax.ShapeDtypeStruct((2, 4, 4, 3), np.uint8)
  two.write_bytes(jax.export.export(jax.jit(lambda x, y: x))(spec, spec).serialize())
  cases = {
      str(tmp_path / 'absent'): 'cannot be read: No such file',
      str(tmp_path): 'cannot be read: Is a directory',
      str(tmp_path / 'junk'): 'neither a function serialized by jax.export nor NAME.onnx',
      str(two): r'takes uint8.*, uint8.*expected one uint8 array \[B, H, W, 3\]',
      export(tmp_path / 'float', brightness_classes, dtype=np.float32): 'expected one uint8 array',
      export(tmp_path / 'pair', lambda x: (x, x)): 'returns 2 arrays',
      export(tmp_path / 'flat', lambda x: x[..., 0] * 1.0): r'gives float32 \[8, 16, 16\]; ',
      export(tmp_path / 'many', lambda x: x): r'gives uint8 \[8, 16, 16, 3\]; expected scores '
                                              r'\[B, h, w, 4\]',
      export(tmp_path / 'ids', lambda x: x[..., 0]): 'ids from .* to .*classes is 4',
      export(tmp_path / 'odd', brightness_classes, 'b, 4*h + 1, w, 3'): 'fails on pictures of 16x',
  }
  for path, match in cases.items():
    with pytest.raises(errors.UserError, match=match) as error:
      measure(rows, network=path)
    assert '\n' not in str(error.value)


def test_what_is_missing_is_said(network):
  said = []
  rows = rows_of(2)
  assert measure(rows, note=said.append) == {}
  del rows['a_labels']
  assert measure(rows, network=network, note=said.append) == {}
  assert 'config.segmentation.network' in said[0] and 'config.data.labels_path' in said[1]


def test_measured_saved_and_shown(tmp_path, network):
  config = make_config(network=network)
  got = evaluators.measure(simple(Darkens()), Data(test=rows_of(4)), config, tmp_path, 5)
  assert scores.read(tmp_path)[0]['segmentation_miou'] == got['segmentation_miou']
  lines = evaluators.table(got).splitlines()
  assert lines[1].split() == ['classes', 'mean', 'IoU', f'{got["segmentation_miou"]:.3f}',
                              f'{got["segmentation_source_miou"]:.3f}']
  with open(report.write(tmp_path), encoding='utf-8') as file:
    page = file.read()
  assert 'How well a segmentation network sees' in page and 'source_<wbr>' not in page


def test_settings_may_change_on_resuming(tmp_path):
  run_config.save(make_config(), str(tmp_path))
  now = make_config(network='elsewhere', ids=(1, 2, 3, 4), ignore=0)
  now.segmentation.classes = 19
  now.data.apart, now.data.labels_path = ('Smiling',), 'labels'
  run_config.check_same_run(now, str(tmp_path))
  assert run_config.fingerprint(now) == run_config.fingerprint(make_config())


@pytest.fixture
def folder(tmp_path):
  """Writes trainA, ..., testB with one or three pictures each, and label maps of domain a."""
  rng = np.random.default_rng(0)
  for name in ('trainA', 'trainB', 'valA', 'valB', 'testA', 'testB'):
    (tmp_path / 'p' / name).mkdir(parents=True)
    for i in range(3):
      pixels = rng.integers(0, 256, (20, 24, 3)).astype(np.uint8)
      Image.fromarray(pixels).save(tmp_path / 'p' / name / f'{name}{i}.png')
  labels = rng.integers(0, 19, (2, 20, 24)).astype(np.uint8)
  (tmp_path / 'l').mkdir()
  Image.fromarray(labels[0]).save(tmp_path / 'l' / 'testA0.png')
  palette = Image.fromarray(labels[1])
  palette.putpalette(rng.integers(0, 256, 768).astype(np.uint8).tobytes())
  palette.save(tmp_path / 'l' / 'testA2.png')
  return tmp_path, labels


def open_folder(root, **fields):
  config = default_config.get_default()
  config.update(source='folder', path=str(root / 'p'), labels_path=str(root / 'l'), **fields)
  return data_samples.open_data(config, image_size=10)


def test_label_maps_are_cropped_and_resized_without_mixing(folder):
  root, labels = folder
  [batch] = open_folder(root, crop='center:20').evaluation('test', batch_size=3)
  assert batch['a_labels'].dtype == np.int32 and batch['a_labels'].shape == (3, 10, 10)
  for row, label in ((0, labels[0]), (2, labels[1])):
    # The nearest of every second pixel of the middle, whichever of two equally near ones.
    middle = label[:, 2:22]
    choices = [middle[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    assert any((batch['a_labels'][row] == choice).all() for choice in choices)
  assert (batch['a_labels'][1] == -1).all()
  [batch] = open_folder(root).evaluation('validation', batch_size=3)
  assert 'a_labels' not in batch  # there are no label maps
  plain = open_folder(root)
  plain_without = default_config.get_default()
  plain_without.update(source='folder', path=str(root / 'p'))
  assert plain.fingerprint == data_samples.open_data(plain_without, image_size=10).fingerprint


def test_label_maps_of_another_size_cover_the_picture(folder):
  root, labels = folder
  Image.fromarray(labels[0].repeat(2, 0).repeat(2, 1)).save(root / 'l' / 'testA0.png')
  [large] = open_folder(root).evaluation('test', batch_size=3)
  Image.fromarray(labels[0]).save(root / 'l' / 'testA0.png')
  [same] = open_folder(root).evaluation('test', batch_size=3)
  np.testing.assert_array_equal(large['a_labels'], same['a_labels'])
  Image.fromarray(labels[0][:, :12]).save(root / 'l' / 'testA0.png')
  with pytest.raises(errors.UserError, match='label map .*testA0.png is 12x20, of another shape'):
    next(iter(open_folder(root).evaluation('test', batch_size=3)))


def test_wrong_label_maps_are_named(folder):
  root, labels = folder
  Image.fromarray(pictures(1, size=20)[0]).save(root / 'l' / 'testA0.png')
  with pytest.raises(errors.UserError, match='testA0.png is of mode RGB; a label map has one'):
    next(iter(open_folder(root).evaluation('test', batch_size=3)))
  for path in list((root / 'l').iterdir()):
    path.rename(path.with_suffix('.jpg'))
  with pytest.raises(errors.UserError, match='labels_path=.* has 0 PNG files, none with the name'):
    open_folder(root)


def test_label_maps_of_more_than_eight_bits(tmp_path):
  ids = np.arange(0, 60000, 1000, dtype=np.uint16).reshape(6, 10)
  Image.fromarray(ids).save(tmp_path / 'deep.png')
  got = images.load_labels(str(tmp_path / 'deep.png'))
  assert got.dtype == np.int32
  np.testing.assert_array_equal(got, ids)


def test_onnx_without_its_runtime_says_what_to_install(tmp_path, monkeypatch):
  (tmp_path / 'n.onnx').write_bytes(b'')
  monkeypatch.setitem(sys.modules, 'onnxruntime', None)
  with pytest.raises(errors.UserError, match='needs onnxruntime: pip install onnxruntime'):
    segmentation.open_network(str(tmp_path / 'n.onnx'))


def write_onnx(path, *, layout='NCHW', dtype='FLOAT', ids=False, metadata=()):
  """A network that returns its input as scores of three classes, or the best class."""
  onnx = pytest.importorskip('onnx')
  pytest.importorskip('onnxruntime')
  helper, types = onnx.helper, onnx.TensorProto
  shape = ['b', 3, 'h', 'w'] if layout == 'NCHW' else ['b', 'h', 'w', 3]
  nodes = [helper.make_node('Cast', ['x'], ['y'], to=types.FLOAT)]
  output = helper.make_tensor_value_info('y', types.FLOAT, shape)
  if ids:
    nodes.append(helper.make_node('ArgMax', ['y'], ['z'], axis=shape.index(3), keepdims=1))
    output = helper.make_tensor_value_info('z', types.INT64,
                                           [1 if size == 3 else size for size in shape])
  graph = helper.make_graph(
      nodes, 'g', [helper.make_tensor_value_info('x', getattr(types, dtype), shape)], [output])
  model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
  helper.set_model_props(model, dict(metadata))
  onnx.save(model, str(path))
  return segmentation.open_network(str(path))


@pytest.mark.parametrize('layout', ['NCHW', 'NHWC'])
@pytest.mark.parametrize(('metadata', 'seen'), [
    ({}, lambda x: x / 255),
    ({'Image.NominalPixelRange': 'NominalRange_0_255'}, lambda x: x),
    ({'image.nominalpixelrange': 'Normalized_1_1', 'Image.BitmapPixelFormat': 'Bgr8'},
     lambda x: x[..., ::-1] / 127.5 - 1),
    ({'mean': '0.4, 0.5, 0.6', 'std': '0.1, 0.2, 0.3'},
     lambda x: (x / 255 - [0.4, 0.5, 0.6]) / [0.1, 0.2, 0.3]),
    ({'Image.NominalPixelRange': 'NominalRange_16_235'}, lambda x: 16 + x / 255 * 219)])
def test_onnx_models_see_what_their_metadata_say(tmp_path, layout, metadata, seen):
  network = write_onnx(tmp_path / 'n.onnx', layout=layout, metadata=metadata)
  x = pictures(3)
  output = np.moveaxis(network.call(x), network.class_axis, -1)
  np.testing.assert_allclose(output, seen(x.astype(float)), rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(network.predict(x, 3), seen(x.astype(float)).argmax(-1))


@pytest.mark.parametrize('layout', ['NCHW', 'NHWC'])
def test_onnx_models_of_bytes_and_of_ids(tmp_path, layout):
  network = write_onnx(tmp_path / 'n.onnx', layout=layout, dtype='UINT8', ids=True)
  x = pictures(3)
  np.testing.assert_array_equal(network.predict(x, 3), x.argmax(-1))


def test_onnx_models_that_do_not_fit_are_refused(tmp_path):
  for metadata, match in (({'Image.BitmapPixelFormat': 'Gray8'}, 'asks for pixels Gray8'),
                          ({'mean': '1, 2'}, "metadata mean=1, 2; expected three numbers")):
    with pytest.raises(errors.UserError, match=match.replace('mean=1, 2', "mean='1, 2'")):
      write_onnx(tmp_path / 'n.onnx', metadata=metadata)
  (tmp_path / 'junk.onnx').write_bytes(b'junk')
  with pytest.raises(errors.UserError, match='is not a model that onnxruntime opens'):
    segmentation.open_network(str(tmp_path / 'junk.onnx'))
