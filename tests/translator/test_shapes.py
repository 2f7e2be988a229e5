"""Pictures that are not square, from the files to a translation and its report."""

import os

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from helpers import data_samples
from helpers.simple_method import Simple
from helpers.tiny_model import make_config
from maskgan_jax import check_data, errors, methods, translate
from maskgan_jax import config as run_config
from maskgan_jax.data import images
from maskgan_jax.methods import base
from maskgan_jax.reports import pages, report
from maskgan_jax.runs import samples
from maskgan_jax.training import train_step
from maskgan_jax.translator import Translator

HEIGHT, WIDTH = 20, 36


def street(n, seed=0, height=HEIGHT, width=WIDTH):
  return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def wide_config(**overrides):
  return make_config(image_size=HEIGHT, image_width=WIDTH, **overrides)


class Linear(Simple):
  """Mixes source and exemplar by the mask; one parameter per pixel reveals wrong shapes."""
  abilities = frozenset({'exemplar', 'source_mask', 'remove', 'segment', 'interpolate'})

  def init(self, rng, batch):
    assert batch['a'].shape == batch['b'].shape
    return {'net': {'w': jnp.zeros(batch['a'].shape[1:])}}, {}

  def translate(self, params, model_state, source, exemplar, *, source_mask=None, **unused):
    mask = self.segment(params, model_state, exemplar) if source_mask is None else source_mask
    return base.Translation(mask * exemplar + (1 - mask) * source + params['net']['w'][None], mask)

  def interpolate(self, params, model_state, source, exemplar_1, exemplar_2, weight):
    return base.Translation((1 - weight) * exemplar_1 + weight * exemplar_2)


@pytest.fixture
def t():
  params = {'net': {'w': np.zeros((HEIGHT, WIDTH, 3), np.float32)}}
  return Translator(Linear(), params, {}, wide_config())


@pytest.fixture
def folder(tmp_path):
  """Writes trainA to testB, pictures of 40x72 and 30x80 with a bright frame of 4 pixels."""
  for split, count in (('train', 9), ('test', 3)):
    for seed, domain in enumerate('AB'):
      pictures = [*street(count - 1, seed, 40, 72), *street(1, seed, 30, 80)]
      for image in pictures:
        image[:4], image[-4:], image[:, :4], image[:, -4:] = 255, 255, 255, 255
      data_samples.write(tmp_path / 'data' / (split + domain), pictures)
  return str(tmp_path / 'data')


def _data(folder, **fields):
  config = data_samples.make_config('folder', path=folder, validation_fraction=0.2, **fields)
  return data_samples.open_data(config, image_size=HEIGHT, image_width=WIDTH)


@pytest.mark.parametrize('fields', [
    {}, {'in_memory': 'never'}, {'load_size': 24, 'keep_aspect': True},
    {'zoom_probability': 0.5, 'fixed_pairs': True}])
def test_batches_have_the_shape(folder, fields):
  data = _data(folder, **fields)
  assert data.image_shape == (HEIGHT, WIDTH)
  batches = data.train(batch_size=4, draws=2), iter(data.evaluation('test', batch_size=2))
  for batch in map(next, batches):
    assert batch['a'].shape[-3:] == batch['b'].shape[-3:] == (HEIGHT, WIDTH, 3)


def test_pictures_are_those_of_the_files(folder):
  """Pictures are halved without distortion: 40x72 fits whole, 30x80 is cropped."""
  data = _data(folder, keep_aspect=True, resize='area')
  pairs = data.pairs('test', *data.members('test')).get(range(3))
  whole = images.load_image(os.path.join(folder, 'testA', '000.png'))
  means = whole.reshape(HEIGHT, 2, WIDTH, 2, 3).mean(axis=(1, 3))
  np.testing.assert_allclose(pairs[0]['a'], means, atol=1.01)  # rounded after each direction
  assert (pairs[0]['a'][:2] == 255).all() and (pairs[0]['a'][:, :2] == 255).all()
  assert (pairs[2]['a'][:2] == 255).all()  # only the sides of the other one are cut
  assert pairs[2]['a'][3:-3, 0].mean() < 200 and pairs[2]['a'][3:-3, -1].mean() < 200


def test_avatars_are_square(data_dir):
  config = data_samples.make_config('avatars', data_dir=data_dir)
  with pytest.raises(errors.UserError, match='config.image_width is 36 and image_size 20, but av'):
    data_samples.open_data(config, image_size=HEIGHT, image_width=WIDTH)


@pytest.mark.parametrize('name', ['content_transfer', 'lomit'])
def test_methods_for_squares_say_so(name):
  config = run_config.default(name)
  run_config.smoke(config)
  config.image_width = 16
  methods.make(config)
  config.image_width = 32
  with pytest.raises(errors.UserError, match=f'{name} takes square images only, but config.image_s'
                                             'ize is 16 and config.image_width 32'):
    methods.make(config)


def test_smoke_keeps_the_proportion():
  config = run_config.default('content_transfer')
  config.update(image_size=256, image_width=512)
  run_config.smoke(config)
  assert base.image_shape(config) == (16, 32)
  with pytest.raises(errors.UserError, match='config.image_width=-1 must be at least 0'):
    config.image_width = -1
    run_config.check_values(config)


def test_models_are_born_for_the_shape():
  config = wide_config(ema_decay=0.9)
  model = base.abstract_model(Linear(), config)
  assert model['params']['net']['w'].shape == (HEIGHT, WIDTH, 3)
  assert model['ema_params'] == model['params']
  state = train_step.init_state(Linear(), {}, config)
  assert jax.tree.map(jnp.shape, state.params) == jax.tree.map(jnp.shape, model['params'])


def test_translations_have_the_shape(t):
  a, b = street(3), street(3, seed=1)
  result = t(a, b)
  assert result.image.shape == a.shape and result.source_mask.shape == (3, HEIGHT, WIDTH, 1)
  share = b[..., :1] / 255
  assert np.abs(result.image - (share * b + (1 - share) * a)).max() < 0.51
  np.testing.assert_array_equal(t(a[0], b[0]).image, result.image[0])
  np.testing.assert_allclose(t.segment(b), share, atol=1e-6)
  assert t.remove(b[0]).image.shape == t.swap(a[0], b[0]).image.shape == a[0].shape
  assert t.interpolate(a[0], a[1], b[1], 3).image.shape == (3, *a[0].shape)


def test_wrong_shapes_are_one_clear_line(t):
  image = street(1)
  with pytest.raises(errors.UserError, match='source is 36x20 pixels, the model was trained at'):
    t(image.swapaxes(1, 2), image)
  for shape in ((HEIGHT, HEIGHT), (WIDTH, HEIGHT), (10, 17), (40, 71), (2, HEIGHT, HEIGHT)):
    with pytest.raises(errors.UserError, match='masks are 20x36 or in that proportion, like'):
      t(image, image, source_mask=np.ones(shape, bool))


@pytest.mark.parametrize('height, width', [(10, 18), (40, 72), (100, 180), (7, 13), (5, 9), (3, 5)])
def test_masks_of_that_proportion_are_resized(t, height, width):
  mask = np.random.default_rng(0).random((height, width), np.float32)
  want = np.asarray(Image.fromarray(mask).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
  for form in (mask, mask[None], mask[..., None], mask[None, ..., None]):
    got = t(street(1), street(1), source_mask=form).source_mask[0, ..., 0]
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_exported_models_take_the_shape(t, tmp_path):
  t.export(tmp_path / 'model.bin')
  call = jax.export.deserialize((tmp_path / 'model.bin').read_bytes()).call
  a, b = street(3), street(3, seed=1)
  np.testing.assert_array_equal(call(a, b)['image'], t(a, b).image)
  with pytest.raises(ValueError, match='shape'):
    call(a.swapaxes(1, 2), b.swapaxes(1, 2))


def test_the_command_translates_files_of_any_shape(t, folder, tmp_path):
  source, exemplar = os.path.join(folder, 'testA'), os.path.join(folder, 'testB', '000.png')
  mask = np.zeros((40, 72), np.uint8)
  mask[:, 36:] = 255
  images.save_png(tmp_path / 'mask.png', mask)
  with pytest.raises(errors.UserError, match='does not fit .*002.png, 30x80'):
    translate.translate(t, source, exemplar, str(tmp_path / 'out'),
                        source_edits=translate.Edits(str(tmp_path / 'mask.png')))
  source = os.path.join(source, '001.png')
  written = translate.translate(
      t, source, exemplar, str(tmp_path / 'out'), save_masks=True,
      source_edits=translate.Edits(str(tmp_path / 'mask.png'), ['0,36,20,72']))
  result, saved = map(images.load_image, written)
  shrunk = {path: np.asarray(Image.open(path).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
            for path in (source, exemplar)}
  np.testing.assert_array_equal(result[:, :17], shrunk[source][:, :17])  # left of the mask
  np.testing.assert_array_equal(result[:9, 19:], shrunk[source][:9, 19:])  # erased from it
  np.testing.assert_array_equal(result[11:, 19:], shrunk[exemplar][11:, 19:])
  again = translate.translate(t, written[0], written[0], str(tmp_path / 'again.png'),
                              source_edits=translate.Edits(written[1]))
  np.testing.assert_array_equal(images.load_image(again[0]), result)  # it already has the shape
  assert saved.shape == result.shape == (HEIGHT, WIDTH, 3)
  grid = translate.translate(t, os.path.join(folder, 'testA'), exemplar, str(tmp_path / 'g.png'),
                             grid=True)
  drawn = images.load_image(grid[0])
  assert drawn.shape[1] > 2 * WIDTH * 6 and drawn.shape[0] > 4 * HEIGHT * 6  # cells keep the shape


def test_checking_and_sampling_and_reporting(folder, tmp_path):
  config = wide_config(data__source='folder', data__path=folder, data__validation_fraction=0.2)
  config.name = 'street'
  checked = check_data.check(
      data_samples.with_data(config.data, image_size=HEIGHT, image_width=WIDTH),
      str(tmp_path / 'sheet.png'))
  assert checked['usable'] and not any('smaller' in problem for problem in checked['problems'])
  larger = check_data.check(
      data_samples.with_data(config.data, image_size=32, image_width=76))
  assert {split['a']['smaller'] + split['b']['smaller'] for split in larger['splits'].values()} == {
      split['a']['count'] + split['b']['count'] for split in larger['splits'].values()}

  data = data_samples.open_data(config.data, image_size=HEIGHT, image_width=WIDTH)
  params = {'net': {'w': np.zeros((HEIGHT, WIDTH, 3), np.float32)}}
  samples.Sampler(Linear(), data, config).write(7, params, {}, str(tmp_path))
  run_config.save(config, str(tmp_path))
  with open(report.write(tmp_path), encoding='utf-8') as file:
    page = file.read()
  assert '20 x 36 pixels (height x width)' in page and 'data:image/png' in page


def test_large_grids_are_shown_as_jpeg(tmp_path, monkeypatch):
  images.save_png(tmp_path / 'samples' / '00000007.png', street(1, height=300, width=600)[0])
  monkeypatch.setattr(pages, 'PICTURE_BYTES', 400_000)  # as a PNG it would have 540 kB
  with open(report.write(tmp_path), encoding='utf-8') as file:
    page = file.read()
  assert 'data:image/jpeg;base64,/9j/' in page and 'width="600" height="300"' in page
