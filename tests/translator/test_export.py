"""Exported files compute what the translator does, with masks or without, and need none of our
code."""

import os
import subprocess
import sys
import types

import absl.flags
import jax.export
import numpy as np
import pytest

from helpers import commands, models
from helpers.models import picture
from maskgan_jax import cli, errors, export, files, methods
from maskgan_jax.methods import base
from maskgan_jax.translator import Translator

ALONE = """
import sys
sys.modules['maskgan_jax'] = None  # importing it is an error
import numpy as np
path, source, target = sys.argv[1:]
arrays = dict(np.load(source))
if path.endswith('.onnx'):
  import onnxruntime
  session = onnxruntime.InferenceSession(path)
  names = [output.name for output in session.get_outputs()]
  inputs = {i.name: arrays[i.name] for i in session.get_inputs()}
  results = dict(zip(names, session.run(None, inputs)))
else:
  import jax.export
  call = jax.export.deserialize(open(path, 'rb').read()).call
  results = call(*arrays.values())
np.savez(target, **{name.removeprefix('used_'): np.asarray(x) for name, x in results.items()})
"""


def alone(path, inputs, tmp_path):
  """Returns what a process without our code computes with the file."""
  np.savez(tmp_path / 'inputs.npz', **inputs)
  subprocess.run([sys.executable, '-c', ALONE, str(path), str(tmp_path / 'inputs.npz'),
                  str(tmp_path / 'to.npz')], check=True, timeout=300,
                 env={**os.environ, 'XLA_FLAGS': ''})
  return dict(np.load(tmp_path / 'to.npz'))


def assert_near(results, translation, rows=slice(None)):
  levels = results['image'][rows].astype(int) - np.asarray(translation.image, int)
  assert results['image'].dtype == np.uint8 and np.abs(levels).max() <= 1
  for name in ('source_mask', 'exemplar_mask'):
    mask = getattr(translation, name)
    if mask is not None:
      np.testing.assert_allclose(results[name][rows], mask, atol=1e-4)


def mixed(translator, names, count):
  """Returns masks: drawn ones for the first example; the others are left to the model."""
  shape = (count, *base.image_shape(translator.config), 1)
  masks = {}
  for i, name in enumerate(names):
    mask = np.random.default_rng(i).random(shape, np.float32)
    mask[1:] = -1
    masks[name] = mask
  return masks


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['bin', 'onnx'])
@pytest.mark.parametrize('name', methods.names())
def test_a_file_does_what_the_translator_does(name, kind, tmp_path):
  if kind == 'onnx':
    pytest.importorskip('jax2onnx')
    pytest.importorskip('onnxruntime')
    if name in ('gatys', 'wct'):
      pytest.skip('ONNX has no eigendecomposition, and jax2onnx no nested loops')
  # With batch statistics, an example's result would depend on its batch.
  switches = {'inference_statistics': 'running'} if name == 'lomit' else {}
  t = models.drawn(name, **switches)
  path = tmp_path / f'model.{kind}'
  roles = ['source'] + ['exemplar'] * ('exemplar' in t.abilities)
  names = [f'{role}_mask' for role in roles if f'{role}_mask' in t.abilities]
  inputs, outputs = t.export(path, masks=bool(names))
  assert [text.split()[0] for text in inputs] == roles + names and outputs[0] == 'image'
  pair = {role: picture(i, t, 3) for i, role in enumerate(roles)}
  masks = mixed(t, names, 3)
  results = alone(path, pair | masks, tmp_path)
  first = {role: x[:1] for role, x in pair.items()}
  assert_near(results, t(*first.values(), **{name: mask[:1] for name, mask in masks.items()}),
              slice(0, 1))
  assert_near(results, t(*(x[1:] for x in pair.values())), slice(1, 3))
  if kind == 'onnx':  # and a batch of one, by the same file
    single = alone(path, {name: x[:1] for name, x in (pair | masks).items()}, tmp_path)
    assert np.abs(single['image'].astype(int) - results['image'][:1]).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['bin', 'onnx'])
def test_removal_and_segmentation(kind, tmp_path):
  if kind == 'onnx':
    pytest.importorskip('jax2onnx')
    pytest.importorskip('onnxruntime')
  t = models.drawn('content_transfer')
  source = picture(0, t)
  t.export(tmp_path / f's.{kind}', what='segment')
  segmented = alone(tmp_path / f's.{kind}', {'source': source}, tmp_path)
  np.testing.assert_allclose(segmented['mask'], t.segment(source), atol=1e-4)
  t.export(tmp_path / f'r.{kind}', what='remove', masks=True)
  masks = mixed(t, ['source_mask'], 2)
  results = alone(tmp_path / f'r.{kind}', {'source': source} | masks, tmp_path)
  assert_near(results, t.remove(source[:1], masks['source_mask'][:1]), slice(0, 1))
  # A mask near the threshold may fall on either side of it.
  expected = t.remove(source[1:])
  near = np.abs(expected.source_mask - t.threshold) < 1e-3
  same = np.abs(results['image'][1:].astype(int) - expected.image) <= 1
  assert (same | near).all()


def test_what_cannot_be_exported_is_said(tmp_path):
  t = models.drawn('egsc_it')
  for options, message in (({'what': 'erase'}, "what is 'erase'"), ({'what': 'remove'}, 'cannot'),
                           ({'what': 'segment'}, 'cannot do')):
    with pytest.raises(errors.UserError, match=message):
      t.export(tmp_path / 'x', **options)
  content = models.drawn('content_transfer')
  with pytest.raises(errors.UserError, match="cannot do 'reverse'"):
    content.export(tmp_path / 'x', reverse=True)
  with pytest.raises(errors.UserError, match='takes no mask'):
    content.export(tmp_path / 'x', what='segment', masks=True)
  with pytest.raises(errors.UserError, match='cannot write'):
    content.export('/proc/nowhere/x', what='segment')
  assert not list(tmp_path.iterdir())


def test_links_are_followed_and_devices_left_alone(tmp_path):
  (tmp_path / 'target').write_text('old')
  (tmp_path / 'link').symlink_to(tmp_path / 'target')
  files.write_atomically(tmp_path / 'link', 'new')
  assert (tmp_path / 'link').is_symlink() and (tmp_path / 'target').read_text() == 'new'
  os.mkfifo(tmp_path / 'pipe')
  for name, message in (('pipe', 'not an ordinary file'), ('a\0b', 'cannot write')):
    with pytest.raises(errors.UserError, match=message):
      files.write_atomically(f'{tmp_path}/{name}', 'x')
  assert (tmp_path / 'pipe').is_fifo() and len(list(tmp_path.iterdir())) == 3


def test_every_name_that_a_file_can_have_is_written(tmp_path):
  for name in ('n' * 255, 'ä' * 127, '🙂' * 63):
    files.write_atomically(tmp_path / name, 'x')
    with files.folder_atomically(tmp_path / 'folders' / name) as folder:
      os.mkdir(os.path.join(folder, 'in'))
    assert (tmp_path / 'folders' / name / 'in').is_dir()
  with pytest.raises(errors.UserError, match='too long'):
    files.write_atomically(tmp_path / ('n' * 256), 'x')
  assert len(list(tmp_path.iterdir())) == 4


def test_onnx_without_jax2onnx(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, 'jax2onnx', None)
  with pytest.raises(errors.UserError, match='needs jax2onnx: pip install'):
    models.drawn('content_transfer').export(tmp_path / 'x.onnx', what='segment')


@pytest.mark.parametrize('output, message', [('x.onnx', 'NAME.onnx the name of a file'),
                                             ('x.onnx/', 'NAME.onnx the name of a file'),
                                             ('file.png/', 'file.png is a file, not a folder'),
                                             ('x.bin', '')])
def test_a_folder_is_never_written_for_a_file_without_a_word(tmp_path, monkeypatch, capsys, output,
                                                             message):
  (tmp_path / 'x.onnx').mkdir()
  (tmp_path / 'x.bin').mkdir()
  (tmp_path / 'file.png').write_text('kept')
  flags = absl.flags.FlagValues()
  absl.flags.DEFINE_string('output', f'{tmp_path}/{output}', '', flag_values=flags)
  absl.flags.DEFINE_string('what', 'translate', '', flag_values=flags)
  for name in ('pretrained', 'workdir'):
    absl.flags.DEFINE_string(name, '', '', flag_values=flags)
  for name in ('masks', 'reverse', 'half'):
    absl.flags.DEFINE_bool(name, False, '', flag_values=flags)
  flags.mark_as_parsed()
  monkeypatch.setattr(absl.flags, 'FLAGS', flags)
  saved = []
  monkeypatch.setattr(cli, 'translator', lambda: types.SimpleNamespace(
      save=lambda folder, half: saved.append(folder)))
  if message:
    with pytest.raises(errors.UserError, match=message):
      export.main()
    assert not saved
  else:
    export.main()
    assert f'wrote the folder {tmp_path}/x.bin; open it with --pretrained=' in (
        capsys.readouterr().out)
    assert saved == [f'{tmp_path}/x.bin']


def command(*flags):
  return commands.run('export', *flags)


@pytest.mark.slow
def test_the_command(tmp_path):
  t = models.drawn('content_transfer')
  t.save(tmp_path / 'model')
  model = f'--pretrained={tmp_path}/model'
  done = command(model, f'--output={tmp_path}/segment.bin', '--what=segment')
  assert done.returncode == 0, done.stderr
  assert 'source uint8[b, 16, 16, 3] -> mask' in done.stdout
  call = jax.export.deserialize((tmp_path / 'segment.bin').read_bytes()).call
  source = picture(0, t)
  np.testing.assert_allclose(call(source)['mask'], t.segment(source), atol=1e-5)
  done = command(model, f'--output={tmp_path}/again/', '--half')
  assert done.returncode == 0, done.stderr
  Translator.from_pretrained(tmp_path / 'again')
  for flags, message in (((model,), '--output must be given'),
                         ((f'--output={tmp_path}/x',), '--workdir or --pretrained'),
                         ((model, '--output=x/', '--masks'), '--masks is for files'),
                         ((model, '--output=x.bin', '--half'), '--half is for folders'),
                         ((model, f'--output={tmp_path}/again/'), 'exists'),
                         ((model, '--output=x.bin', '--what=sigment'), "did you mean 'segment'")):
    done = command(*flags)
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
