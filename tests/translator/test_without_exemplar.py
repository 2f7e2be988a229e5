"""Methods that take no exemplar: the translator, its export and the translate command."""

import os

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from helpers import commands
from helpers.simple_method import Adds, pictures
from helpers.tiny_model import make_config, SIZE
from maskgan_jax import config as run_config
from maskgan_jax import errors, methods, translate
from maskgan_jax.runs import checkpoints
from maskgan_jax.runs import pictures as pictures_lib
from maskgan_jax.translate import Edits
from maskgan_jax.translator import in_sequence, Translator


@pytest.fixture(scope='module', name='t')
def _t():
  return Translator(Adds(), {}, {}, make_config(data__load_size=0))


@pytest.fixture(name='folder')
def _folder(tmp_path):
  """Writes two pictures, 0.png and 1.png."""
  os.makedirs(tmp_path / 'in')
  for i, picture in enumerate(pictures(2)):
    Image.fromarray(picture).save(tmp_path / 'in' / f'{i}.png')
  return str(tmp_path / 'in')


def read(path):
  return np.asarray(Image.open(path))


def added(source, sign=1):
  """Returns what `Adds` makes of bytes."""
  source = source.astype(np.float32) / 127.5 - 1
  source[..., :SIZE // 2, :] += sign * np.array([0.5, 0.25, 0.125], np.float32)
  return np.clip(np.round((np.clip(source, -1, 1) + 1) * 127.5), 0, 255).astype(np.uint8)


def test_the_added_mask_is_an_image(t):
  result = t(pictures(3))
  np.testing.assert_array_equal(result.image, added(pictures(3)))
  mask = result.extras['added_mask']
  assert mask.dtype == np.uint8 and (mask[:, :, SIZE // 2:] == 128).all()  # grey: nothing
  assert (mask[:, :, :SIZE // 2] == [191, 159, 143]).all()  # (m + 1) * 127.5
  assert result.extras['attention'].dtype == np.float32
  back = t(pictures(3), reverse=True)
  np.testing.assert_array_equal(back.image, added(pictures(3), -1))
  assert (back.extras['added_mask'][:, :, :SIZE // 2] == [64, 96, 112]).all()


@pytest.mark.parametrize('reverse', [False, True])
def test_export_takes_the_source_alone(t, tmp_path, reverse):
  t.export(tmp_path / 'model.bin', reverse=reverse)
  call = jax.export.deserialize((tmp_path / 'model.bin').read_bytes()).call
  for n in (1, 3):
    got, want = call(pictures(n)), t(pictures(n), reverse=reverse)
    assert set(got) == {'image', 'source_mask'}
    np.testing.assert_array_equal(got['image'], want.image)
    np.testing.assert_allclose(got['source_mask'], want.source_mask, atol=1e-6)


def test_what_it_cannot_do_is_one_line(t, tmp_path):
  image = pictures(1)
  can = 'it can do reverse, source_mask'
  for what, call in {'exemplar': lambda: t(image, image), 'remove': lambda: t.swap(image, image),
                     'exemplar_mask': lambda: t(image, exemplar_mask=image[..., 0]),
                     'interpolate': lambda: t.interpolate(image, image, image, 3),
                     'segment': lambda: t.segment(image)}.items():
    with pytest.raises(errors.UserError, match=f"cannot do '{what}'; {can}"):
      call()
  method = Adds()
  method.abilities = frozenset()
  with pytest.raises(errors.UserError, match='it can do nothing but translate'):
    Translator(method, {}, {}, t.config).export(tmp_path / 'x', reverse=True)
  steps = in_sequence([t, t], image, [None, None])
  np.testing.assert_array_equal(steps[1].image, added(added(image)))


@pytest.mark.parametrize('reverse', [False, True])
def test_pictures_masks_and_what_is_added(t, folder, tmp_path, reverse):
  sign = -1 if reverse else 1
  written = translate.translate(t, folder, '', str(tmp_path / 'out'), save_masks=True,
                                reverse=reverse)
  assert [os.path.basename(path) for path in written] == [
      f'{i}__translated{"__reverse" * reverse}{part}.png' for i in range(2)
      for part in ('', '_source_mask', '_added_mask')]
  for i, source in enumerate(pictures(2)):
    image, mask, added_mask = (read(path) for path in written[3 * i:3 * i + 3])
    np.testing.assert_array_equal(image, added(source, sign))
    change = np.abs(image.astype(float) - source).max(-1) / 127.5
    assert np.abs(mask / 255 - change).max() < 0.01
    want = np.full((SIZE, SIZE, 3), 128)
    want[:, :SIZE // 2] = [191, 159, 143] if sign == 1 else [64, 96, 112]
    np.testing.assert_array_equal(added_mask, want)


def test_sources_masks_and_erasing(t, folder, tmp_path):
  mask = np.zeros((SIZE, SIZE), np.uint8)
  mask[:8] = 255
  Image.fromarray(mask).save(tmp_path / 'mask.png')
  edits = Edits(str(tmp_path / 'mask.png'), ['0,0,2,16'])
  [path] = translate.translate(t, f'{folder}/0.png', '', str(tmp_path / 'o.png'),
                               source_edits=edits)
  source = pictures(2)[0]
  np.testing.assert_array_equal(read(path)[2:8], added(source)[2:8])
  np.testing.assert_array_equal(read(path)[8:], source[8:])
  np.testing.assert_array_equal(read(path)[:2], source[:2])


def test_grids_have_the_sources_alone(t, folder, tmp_path, monkeypatch):
  headings = []
  grid = pictures_lib.grid
  monkeypatch.setattr(pictures_lib, 'grid', lambda rows, **names: (
      headings.append((names['column_names'], names['row_names'])), grid(rows, **names))[1])
  written = translate.translate(t, folder, '', str(tmp_path / 'g.png'), grid=True, save_masks=True)
  assert [os.path.basename(path) for path in written] == ['g.png', 'g_source_mask.png',
                                                          'g_added_mask.png']
  assert headings == [(['source', name], ['0', '1'])
                      for name in ('translation', 'source mask', 'added mask')]


def test_exemplars_are_refused(t, folder, tmp_path):
  output = str(tmp_path / 'out')
  for flag, exemplar, edits in (('exemplar', folder, Edits()),
                                ('exemplar_mask', '', Edits(mask=folder)),
                                ('erase_exemplar', '', Edits(erase=['0,0,4,4']))):
    with pytest.raises(errors.UserError, match=f'takes no exemplar; leave out --{flag}$'):
      translate.translate(t, folder, exemplar, output, exemplar_edits=edits)
  with pytest.raises(errors.UserError, match="cannot do 'remove'"):
    translate.remove(t, folder, output)
  assert not os.path.exists(output)


def test_the_command_with_an_additional_mask(folder, tmp_path):
  config = run_config.default('additional_mask')
  run_config.smoke(config)
  run_config.set_key(config, 'data.load_size', 0)
  size, workdir = config.image_size, str(tmp_path / 'run')
  abstract = methods.base.abstract_model(methods.make(config), config)
  rng = np.random.default_rng(0)
  params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), abstract['params'])
  state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), abstract['model_state'])
  run_config.save(config, workdir)
  with checkpoints.Checkpoints(workdir) as saved:
    saved.save(3, {'params': params, 'model_state': state, 'ema_params': {}},
               {'step': jnp.int32(3)})
  picture = np.asarray(Image.fromarray(pictures(1)[0]).resize((size, size)))
  Image.fromarray(picture).save(tmp_path / 'a.png')

  def command(*arguments):
    return commands.run('translate', f'--workdir={workdir}', f'--source={tmp_path}/a.png',
                        f'--output={tmp_path}/o.png', *arguments)

  done = command('--reverse', '--save_masks', '--erase_source=0,0,4,16')
  assert (done.returncode, done.stderr) == (0, '')
  assert done.stdout == f'wrote {tmp_path}/o.png and 2 more\n'
  want = Translator.from_workdir(workdir)(picture, reverse=True)
  got = read(tmp_path / 'o.png').astype(int)
  np.testing.assert_array_equal(got[:4], picture[:4])
  assert np.abs(got[4:] - want.image[4:]).max() <= 1 < np.abs(got[4:] - picture[4:]).max()
  added_mask = read(tmp_path / 'o_added_mask.png').astype(int)
  assert np.abs(added_mask - want.extras['added_mask'])[4:].max() <= 1 and added_mask.std() > 1
  assert (added_mask[:4] == 128).all()  # nothing is added where it was erased
  refused = command(f'--exemplar={folder}')
  assert refused.returncode == 2 and refused.stdout == ''
  assert refused.stderr == 'error: additional_mask takes no exemplar; leave out --exemplar\n'
