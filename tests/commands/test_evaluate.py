"""The evaluate command: which checkpoints it measures, what it writes, when it ends."""

import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
from markupsafe import escape
import numpy as np
import pytest

from helpers import commands, data_samples
from helpers.tiny_model import make_config, make_model, make_translator, SIZE
from maskgan_jax import config as run_config
from maskgan_jax import errors, evaluate, evaluators, methods
from maskgan_jax.data import pipeline
from maskgan_jax.evaluators import base
from maskgan_jax.methods import content_transfer
from maskgan_jax.runs import checkpoints, resumption, row_names, scores
from maskgan_jax.translator import Translator


@pytest.fixture(scope='module')
def config(data_dir):
  return make_config(num_steps=6, ema_decay=0.9, data__data_dir=data_dir, data__num_train=4)


@pytest.fixture(scope='module')
def model(config):
  return make_model(config)[1:]


def save(workdir, model, *steps, scale=1.0):
  """Checkpoints whose averaged parameters differ from step to step, and from the others."""
  params, model_state = model
  with checkpoints.Checkpoints(workdir, keep_last=9) as saved:
    for step in steps:
      averaged = jax.tree.map(lambda x, step=step: x * (scale + step / 4), params)
      saved.save(step, {'params': params, 'model_state': model_state, 'ema_params': averaged},
                 {'step': jnp.int32(step)})


@pytest.fixture
def run(tmp_path, config, model):
  workdir = str(tmp_path / 'run')
  run_config.save(config, workdir)
  save(workdir, model, 2, 4)
  return workdir


@pytest.fixture(scope='module')
def by_hand(config, model):
  """Returns {step: scores of its weights}."""
  params, model_state = model
  data = data_samples.open_data(config.data, image_size=SIZE, seed=config.seed)
  t = Translator(methods.make(config), params, model_state, config)
  return {step: evaluators.run(
      t.at(jax.tree.map(lambda x, step=step: x * (1 + step / 4), params), model_state), data,
      names=('masks', 'truth'), batch_size=8, max_pairs=8) for step in (2, 4)}


def test_nothing_to_measure_is_said_and_no_command_advised(run, config, tmp_path):
  nothing = config.copy_and_resolve_references()
  nothing.evaluators = ()
  with pytest.raises(errors.UserError, match='config.evaluators is empty'):
    evaluate.evaluate(run, nothing, once=False)
  nothing.evaluators = ('identity',)
  said = []
  assert evaluate.evaluate(run, nothing, note=said.append) == {2: {}, 4: {}}
  assert "'identity' measures nothing here" in said[0]
  with open(os.path.join(run, 'report.html'), encoding='utf-8') as file:
    page = file.read()
  assert escape(f'No scores: {said[0]}') in page and 'maskgan_jax.evaluate' not in page


@pytest.mark.slow
def test_measures_what_scores_do_not_have(run, config, model, by_hand):
  said = []
  measured = evaluate.evaluate(run, config, note=said.append)
  assert list(measured) == [2, 4]
  rows = scores.read(run)
  assert [(row['step'], row['split']) for row in rows] == [(2, 'test'), (4, 'test')]
  for row in rows:
    want = by_hand[row['step']]
    assert row.keys() == want.keys() | {'step', 'split', 'pairs_asked'}
    for name, value in want.items():
      np.testing.assert_allclose(row[name], value, rtol=1e-4, err_msg=name)
  assert abs(rows[0]['transfer_psnr'] - rows[1]['transfer_psnr']) > 1e-3
  with open(os.path.join(run, 'report.html'), encoding='utf-8') as file:
    assert 'transfer_psnr' in file.read()
  assert said[0].startswith('step 2\n') and 'do nothing' in said[0]

  again = os.stat(os.path.join(run, 'scores.csv')).st_mtime_ns
  assert evaluate.evaluate(run, config, note=said.append) == {}
  assert os.stat(os.path.join(run, 'scores.csv')).st_mtime_ns == again
  assert '--again' in said[-1]
  save(run, model, 5)
  assert list(evaluate.evaluate(run, config)) == [5]
  assert list(evaluate.evaluate(run, config, again=True)) == [2, 4, 5]
  assert [row['step'] for row in scores.read(run)] == [2, 4, 5]


@pytest.mark.slow
def test_a_translator_knows_the_threshold_of_its_step(run, config):
  assert Translator.from_workdir(run).threshold is None
  measured = evaluate.evaluate(run, config)
  for step in (2, 4):
    assert Translator.from_workdir(run, step).threshold == measured[step]['mask_threshold']
  assert Translator.from_workdir(run).step == 4
  scores.append(run, {'step': 4, 'split': 'validation', 'mask_threshold': 'damaged'})
  assert Translator.from_workdir(run).threshold == measured[4]['mask_threshold']


@pytest.mark.slow
def test_other_data_get_rows_of_their_own(run, config, tmp_path):
  """They are measured correctly, and change neither the run's rows nor its threshold."""
  scores_by_step = evaluate.evaluate(run, config)
  before = scores.read(run)

  smiles = config.copy_and_resolve_references()
  smiles.update(evaluators=('masks',))
  smiles.data.update(a='~Smiling', b='Smiling')
  said = []
  measured = evaluate.evaluate(run, smiles, note=said.append)
  assert list(measured) == [2, 4]
  name = 'test, data.a=~Smiling, data.b=Smiling'
  assert said[0].startswith(f'step 2, as {name!r} in scores.csv: ')
  rows = scores.read(run)
  assert [row for row in rows if row['split'] == 'test'] == before
  others = [row for row in rows if row['split'] == name]
  assert [row['step'] for row in others] == [2, 4] and len(rows) == 4
  data = data_samples.open_data(smiles.data, image_size=SIZE)
  want = evaluators.run(Translator.from_workdir(run, 4), data, names=('masks',), batch_size=8,
                        max_pairs=config.evaluation_pairs)
  for column, value in want.items():
    np.testing.assert_allclose(others[1][column], value, rtol=1e-4, err_msg=column)
  assert 'transfer_psnr' not in others[1] and others[1]['mask_iou'] != scores_by_step[4]['mask_iou']

  assert others[1]['mask_threshold'] != scores_by_step[4]['mask_threshold']
  assert Translator.from_workdir(run, 4).threshold == scores_by_step[4]['mask_threshold']
  assert evaluate.evaluate(run, smiles) == {}


def test_data_in_another_place_are_the_runs_if_they_are_the_same(tmp_path, model):
  places = {}
  for name, counts in {'first': (3, 4), 'moved': (3, 4), 'other': (4, 4)}.items():
    places[name] = data_samples.write_domains(tmp_path / name, num_test=counts)
  config = make_config(data__source='folder', data__path=places['first'], data__a='', data__b='')
  workdir = str(tmp_path / 'run')
  run_config.save(config, workdir)
  identity = resumption.Identity.of(config, pipeline.make(config))
  with checkpoints.Checkpoints(workdir, identity=identity) as saved:
    saved.save(3, {'params': model[0], 'model_state': model[1], 'ema_params': {}},
               {'step': jnp.int32(3)})

  names = {}
  for name, place in places.items():
    changed = config.copy_and_resolve_references()
    changed.data.update(path=place, workers=2)
    names[name] = evaluate._Run(workdir, changed, base.Reporter())._row_name()
  assert names == {'first': 'test', 'moved': 'test',
                   'other': f'test, data.path={places["other"]}'}


def test_a_row_says_by_its_name_whether_its_data_are_the_runs(config):
  changed = config.copy_and_resolve_references()
  changed.data.update(transfer=('Eyeglasses', 'Smiling'), erase='Smiling', in_memory='never')
  name = row_names.row_name('test', config, changed)
  assert name == 'test, data.erase=Smiling, data.transfer=Eyeglasses,Smiling'
  assert row_names.has_own_data(name, changed) and not row_names.has_own_data(name, config)
  for name in ('test', 'validation', 'test, data.erase=hair_color, evaluation_pairs=4',
               'test, distribution.real=target'):
    assert row_names.has_own_data(name, config)

  # Masks of another folder are another truth; a run that had none just gets them.
  changed = config.copy_and_resolve_references()
  changed.data.masks_path = 'masks'
  assert row_names.row_name('test', config, changed) == 'test'
  other = changed.copy_and_resolve_references()
  other.data.masks_path = 'other'
  assert row_names.row_name('test', changed, other) == 'test, data.masks_path=other'


@pytest.mark.parametrize('key, value', [
    ('image_size', 64), ('image_width', 24), ('method', 'lomit'), ('model.width', 3)])
def test_what_the_model_decides_is_refused_before_data_are_made(run, config, monkeypatch, key,
                                                                value):
  monkeypatch.setattr(pipeline, 'make', None)
  changed = config.copy_and_resolve_references()
  before = dict(run_config.flatten(changed))[key]
  run_config.set_key(changed, key, value)
  message = f'holds a model that is trained already \\({key} was {before!r}, is {value!r}\\)'
  with pytest.raises(errors.UserError, match=message):
    evaluate.evaluate(run, changed)


def test_averaged_parameters_translate_where_there_are_any(tmp_path, run, config, model):
  params, model_state = model
  images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
  t = Translator.from_workdir(run)
  averaged = jax.tree.map(lambda x: x * 2, params)
  np.testing.assert_array_equal(t(images, images).image,
                                t.at(averaged, model_state)(images, images).image)
  other = str(tmp_path / 'plain')
  plain = config.copy_and_resolve_references()
  plain.ema_decay = 0.0
  run_config.save(plain, other)
  with checkpoints.Checkpoints(other) as saved:
    saved.save(1, {'params': params, 'model_state': model_state, 'ema_params': {}},
               {'step': jnp.int32(1)})
  u = Translator.from_workdir(other)
  np.testing.assert_array_equal(u(images, images).image,
                                t.at(params, model_state)(images, images).image)
  assert (u(images, images).image != t(images, images).image).any()


@pytest.mark.slow
def test_watches_until_the_last_step_and_compiles_once(run, config, model, monkeypatch):
  traces = []
  original = content_transfer.ContentTransfer.translate
  monkeypatch.setattr(content_transfer.ContentTransfer, 'translate',
                      lambda *args, **kw: traces.append(1) or original(*args, **kw))
  waited = []

  def wait():
    assert len(waited) < 3
    waited.append([row['step'] for row in scores.read(run)])
    save(run, model, 4 + len(waited))
  measured = evaluate.evaluate(run, config, once=False, wait=wait)
  assert list(measured) == [2, 4, 5, 6] and waited == [[2, 4], [2, 4, 5]]
  assert len(traces) == 1
  assert evaluate.evaluate(run, config, once=False, wait=wait) == {}


def test_waits_for_the_first_checkpoint(tmp_path, config, model):
  workdir = str(tmp_path / 'new')
  run_config.save(config, workdir)
  with pytest.raises(errors.UserError, match='has no checkpoint yet'):
    evaluate.evaluate(workdir, config)
  measured = evaluate.evaluate(workdir, config, once=False, wait=lambda: save(workdir, model, 6))
  assert list(measured) == [6]


def damage(workdir, step):
  for folder, _, names in os.walk(os.path.join(workdir, 'checkpoints', str(step))):
    for name in names:
      with open(os.path.join(folder, name), 'r+b') as file:
        file.truncate(os.path.getsize(os.path.join(folder, name)) // 2)


def test_damaged_checkpoints_are_left_out_aloud(run, config):
  damage(run, 2)
  said = []
  assert list(evaluate.evaluate(run, config, note=said.append)) == [4]
  assert said[0].startswith('step 2 is left out: ') and '\n' not in said[0]
  damage(run, 4)
  with pytest.raises(errors.UserError, match='step'):
    evaluate.evaluate(run, config, again=True)


def test_checkpoints_that_go_away_meanwhile_are_nobodys_fault(run, config, monkeypatch):
  original = Translator.from_workdir.__func__

  def slow(cls, path, step=None, **options):
    if step == 2:
      with checkpoints.Checkpoints(path) as saved:
        saved._manager.delete(2)
    return original(cls, path, step, **options)
  monkeypatch.setattr(Translator, 'from_workdir', classmethod(slow))
  said = []
  assert list(evaluate.evaluate(run, config, note=said.append)) == [4]
  assert not any('left out' in line for line in said)


def test_a_misspelt_evaluator_is_heard_of_first(run, config):
  wrong = config.copy_and_resolve_references()
  wrong.evaluators = ('maks',)
  with pytest.raises(errors.UserError, match="'maks'.*did you mean 'masks'"):
    evaluate.evaluate(run, wrong)


def command(*arguments):
  return subprocess.Popen([sys.executable, '-m', 'maskgan_jax.evaluate', *arguments], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, 'JAX_PLATFORMS': 'cpu'})


def test_the_command(run, config, model):
  done = commands.run('evaluate', f'--workdir={run}', '--once', '--config.evaluators=masks',
                      '--config.evaluation_pairs=3')
  assert done.returncode == 0 and done.stdout.startswith('step 2\n'), done.stderr
  assert 'mask IoU' in done.stdout
  rows = scores.read(run)
  assert [row['step'] for row in rows] == [2, 4]
  assert all(row['pairs'] == 3 and 'mask_iou' in row and 'transfer_psnr' not in row for row in rows)

  bad = {'--workdir must be given': (), 'is not a run': ('--workdir=/nothing',),
         "'maks'": (f'--workdir={run}', '--config.evaluators=maks'),
         'no key': (f'--workdir={run}', '--config.evaluaters=masks'),
         'interval': (f'--workdir={run}', '--interval=0')}
  for message, arguments in bad.items():
    done = commands.run('evaluate', *arguments)
    commands.fails(done, message)
    assert done.stdout == '' and done.stderr.count('\n') == 1


def test_a_pretrained_model_beside_its_card(tmp_path, config):
  folder = tmp_path / 'model'
  make_translator(config).save(
      folder, card='| IoU | `mask_iou` | 0.50 |\n| unmeasured here | `ab_fid` | 3 |\n')
  before = {path: path.read_bytes() for path in folder.iterdir()}
  lines = []
  few = config.copy_and_resolve_references()
  few.update(evaluators=('masks',), evaluation_pairs=4)
  results = evaluate.measure_pretrained(str(folder), few, note=lines.append)
  assert {path: path.read_bytes() for path in folder.iterdir()} == before

  head, columns, iou, fid = lines[-1].splitlines()
  assert head == f'{folder}: 4 pairs' and results['pairs'] == 4
  assert columns.split() == ['figure', 'card', 'now', 'difference']
  value = results['mask_iou']
  assert iou.split() == ['mask_iou', '0.50', f'{value:.3f}', f'{value - 0.5:+.3f}']
  assert fid.split() == ['ab_fid', '3', 'unmeasured']

  (folder / 'README.md').write_text('# A card without figures')
  with pytest.raises(errors.UserError, match='has no figures'):
    evaluate.measure_pretrained(str(folder), config)


def test_a_pretrained_model_whose_pictures_are_not_here():
  done = commands.run('evaluate', '--pretrained=egsc_it_digits')
  commands.fails(done, 'the data of egsc_it_digits cannot be drawn here: config.data.path is empty')
  done = commands.run('evaluate', '--pretrained=egsc_it_digits', '--once')
  commands.fails(done, '--once is of a run in --workdir')


@pytest.mark.slow
def test_the_command_can_be_told_to_stop(run, config):
  process = command(f'--workdir={run}', '--interval=100')
  try:
    for line in process.stdout:
      if line.startswith('step 4'):
        break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
  finally:
    process.kill()
  assert process.returncode == 75 and 'asked to stop' in err
  assert [row['step'] for row in scores.read(run)] == [2, 4]
