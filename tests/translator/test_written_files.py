"""What commands write, and their messages about wrong masks, names and weights."""

import os

import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from helpers.tiny_model import make_config, SIZE
from maskgan_jax import errors, files, translate
from maskgan_jax.check_data import sheet
from maskgan_jax.import_weights import __main__ as import_weights
from maskgan_jax.methods.base import Method, Translation
from maskgan_jax.picture_benchmark import __main__ as picture_benchmark
from maskgan_jax.pretrained_networks import files as weights
from maskgan_jax.translate import Edits
from maskgan_jax.translator import Translator
from maskgan_jax.user_study import __main__ as user_study


class _Masked(Method):
  """Returns the source multiplied by its mask."""
  abilities = frozenset({'source_mask'})

  def translate(self, params, model_state, source, exemplar=None, source_mask=None, **unused):
    return Translation(source * source_mask, source_mask)


def _file(path, seed=0):
  """Writes a picture of the model's size."""
  picture = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
  os.makedirs(path.parent, exist_ok=True)
  Image.fromarray(picture).save(path)
  return str(path)


def test_masks_that_are_nearly_black_are_said(tmp_path):
  t, a = Translator(_Masked(), {}, {}, make_config(data__load_size=0)), _file(tmp_path / 'a.png')
  lines = []
  for level in (0, 3, 15, 255):
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[4:9] = level
    Image.fromarray(mask).save(tmp_path / 'm.png')
    translate.translate(t, a, '', str(tmp_path / 'o.png'), note=lines.append,
                        source_edits=Edits(str(tmp_path / 'm.png')))
  assert lines == [f'--source_mask: the mask of {a} is nearly black, at most {level} of 255, and '
                   'will do almost nothing; white is 1' for level in (3, 15)]


class _Scaling(Method):
  """Scales pictures and masks with the square of its one weight."""
  abilities = frozenset({'exemplar', 'remove', 'segment', 'interpolate'})

  def _scaled(self, params, image):
    factor = params['scale'] ** 2
    return Translation(image * factor, image[..., :1] * factor)

  def translate(self, params, model_state, source, exemplar=None, **unused):
    return self._scaled(params, source)

  def remove(self, params, model_state, image, *, mask=None, threshold=None):
    return self._scaled(params, image)

  def segment(self, params, model_state, image):
    return self._scaled(params, image).source_mask

  def interpolate(self, params, model_state, source, exemplar_1, exemplar_2, weight):
    return self._scaled(params, source)


def _absurd(size):
  """Returns a translator whose weight is `size`, which may be finite although its square is not."""
  translator = Translator(_Scaling(), {'scale': np.float32(size)}, {}, make_config(), step=7)
  translator.origin = 'runs/mine'
  return translator


@pytest.mark.parametrize('size', [1e30, np.nan])
def test_weights_without_finite_values_end_in_one_line_and_write_nothing(tmp_path, size):
  a, b = _file(tmp_path / 'in' / 'a.png'), _file(tmp_path / 'b.png', seed=1)
  bad, output = _absurd(size), tmp_path / 'out'
  said = ('^runs/mine at step 7 computes NaN or infinite values for {} of {} pictures: its weights '
          'are too large or damaged; use another checkpoint')
  named = f'; the first is {a}$'
  for grid in (False, True):
    with pytest.raises(errors.UserError, match=said.format(1, 1) + named):
      translate.translate(bad, str(tmp_path / 'in'), b, str(output), save_masks=True, grid=grid)
    with pytest.raises(errors.UserError, match=said.format(1, 1) + named):
      translate.remove(bad, str(tmp_path / 'in'), str(output), save_masks=True, grid=grid)
  pictures = np.zeros((3, SIZE, SIZE, 3), np.uint8)
  for call in (lambda: bad(pictures, pictures), lambda: bad.segment(pictures),
               lambda: bad.interpolate(pictures, pictures, pictures, 2)):
    with pytest.raises(errors.NotFiniteError, match=said.format(3, 3)) as caught:
      call()
    assert caught.value.examples == (0, 1, 2)
  for kind in ('translate', 'remove', 'segment'):
    with pytest.raises(errors.UserError, match=said.format(1, 1)):
      bad.export(tmp_path / 'model.bin', what=kind)
  assert sorted(os.listdir(tmp_path)) == ['b.png', 'in']


class _BlindToWhite(Method):
  """Returns pictures unchanged, or NaN for pictures that contain white."""
  abilities = frozenset()

  def translate(self, params, model_state, source, exemplar=None, **unused):
    white = source.max(axis=(1, 2, 3), keepdims=True) > 0.9
    return Translation(jnp.where(white, jnp.nan, source), jnp.ones_like(source[..., :1]))


def test_only_the_examples_that_are_not_finite_are_named():
  translator = Translator(_BlindToWhite(), {}, {}, make_config())
  pictures = np.zeros((70, SIZE, SIZE, 3), np.uint8)
  pictures[[3, 69]] = 255
  with pytest.raises(errors.NotFiniteError, match='^the model computes .* for 2 of 70') as caught:
    translator(pictures)
  assert caught.value.examples == (3, 69)
  np.testing.assert_array_equal(translator(pictures[:3]).image, pictures[:3])


@pytest.mark.parametrize('dtype, size', [(np.float32, np.nan), (np.float16, 1e5)])
def test_weights_that_are_not_finite_are_not_written(tmp_path, dtype, size):
  path = str(tmp_path / 'model.safetensors')
  with pytest.raises(errors.UserError, match=f'{path} is not written: the weights layer.kernel '
                     f'hold NaN or infinite values as {np.dtype(dtype).name}$'):
    weights.write(path, {'layer': {'kernel': np.float32([1, size])}}, {}, dtype)
  assert not os.listdir(tmp_path)


class _Taking(Method):
  """Returns each source, in both directions."""
  abilities = frozenset({'exemplar', 'reverse', 'remove', 'segment'})

  def translate(self, params, model_state, source, exemplar=None, **unused):
    return Translation(source)

  def remove(self, params, model_state, image, *, mask=None, threshold=None):
    return Translation(-image, image[..., :1])

  def segment(self, params, model_state, image):
    return jnp.ones_like(image[..., :1])


def test_the_two_directions_and_removal_do_not_share_files(tmp_path):
  t = Translator(_Taking(), {}, {}, make_config())
  a, b, output = (str(tmp_path / name) for name in ('a', 'b', 'out'))
  pictures = [_file(tmp_path / 'a' / '1.png'), _file(tmp_path / 'b' / '1.png', seed=1)]
  translate.translate(t, a, b, output)
  translate.translate(t, b, a, output, reverse=True)
  translate.remove(t, b, output)
  got = {name: np.asarray(Image.open(os.path.join(output, name))) for name in os.listdir(output)}
  one, two = (np.asarray(Image.open(path)) for path in pictures)
  assert sorted(got) == ['1__1.png', '1__1__reverse.png', '1__removed.png']
  np.testing.assert_array_equal(got['1__1.png'], one)
  np.testing.assert_array_equal(got['1__1__reverse.png'], two)
  np.testing.assert_array_equal(got['1__removed.png'], 255 - two)

  written = (translate.translate(t, a, b, output, grid=True)
             + translate.translate(t, b, a, output, grid=True, reverse=True)
             + translate.remove(t, b, output, grid=True))
  assert [os.path.relpath(path, output) for path in written] == [
      'grid.png', 'grid__reverse.png', 'grid__removed.png']


def test_results_are_not_hidden(tmp_path):
  t = Translator(_Taking(), {}, {}, make_config())
  a, b = str(tmp_path / '.png'), _file(tmp_path / 'b.png', seed=1)
  os.rename(_file(tmp_path / 'a.png'), a)
  for name in ('.png', '.out', '.o.png'):
    with pytest.raises(errors.UserError, match=rf'a file called \{name} would be hidden'):
      translate.translate(t, a, b, str(tmp_path / 'o' / name))
  assert not (tmp_path / 'o').exists()
  [written] = translate.translate(t, a, b, str(tmp_path / '.o') + '/')  # asked for
  assert os.path.relpath(written, tmp_path) == os.path.join('.o', 'png__b.png')


def test_outputs_of_every_command_are_checked(tmp_path):
  existing = tmp_path / 'given.csv'
  existing.write_text('kept')
  os.symlink(existing, tmp_path / 'link.csv')
  for path in (existing, tmp_path / 'link.csv', tmp_path / '.' / 'given.csv'):
    with pytest.raises(errors.UserError, match='is one of the inputs'):
      files.check_output(path, [tmp_path / 'absent', existing])
  for path in ('new.csv', '..', '.', 'folder/', '../x.csv', tmp_path):
    files.check_output(path, [existing])

  for path, problem in ((f'{existing}/', 'given.csv is a file, not a folder'),
                        (existing / 'x' / 'y', 'given.csv is a file, not a folder'),
                        ('o' * 300, 'too long'), ('a\0b', 'null')):
    with pytest.raises(errors.UserError, match=f'cannot write .*{problem}'):
      files.check_output(path)

  hidden = 'would be hidden'
  with pytest.raises(errors.UserError, match=hidden):
    weights.require_new(str(tmp_path / '.safetensors'))
  with pytest.raises(errors.UserError, match=hidden):
    user_study.make(['run'], str(tmp_path / '.html'))
  with pytest.raises(errors.UserError, match=hidden):
    user_study.read(str(tmp_path / 'key.json'), [], str(tmp_path / '.md'))
  with pytest.raises(errors.UserError, match=hidden):
    import_weights.import_files('lomit', ['gen.pt', 'dis.pt'], str(tmp_path / '.run'))
  config = make_config(evaluators=('changes',), data__attributes_file=str(existing))
  with pytest.raises(errors.UserError, match=hidden):
    picture_benchmark.measure(config, None, str(tmp_path / '.csv'))
  with pytest.raises(errors.UserError, match='is one of the inputs'):
    picture_benchmark.measure(config, None, str(existing))
  data = make_config(data__path=str(tmp_path), data__attributes_file=str(existing)).data
  _file(tmp_path / 'trainA' / '0.png')
  for output, problem in ((existing, 'is one of the inputs'), (tmp_path / '.png', hidden),
                          (tmp_path / 'trainA' / '0.png', 'is a file of the data')):
    with pytest.raises(errors.UserError, match=problem):
      sheet.check_output(str(output), data)
  sheet.check_output(str(tmp_path / 'trainA' / 'new.png'), data)
  assert existing.read_text() == 'kept'
