"""Sweeps: what is trained, taken and refused, and that figure, table and curves are right."""

import csv
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import types

import jax.numpy as jnp
import ml_collections
import numpy as np
from PIL import Image
import pytest

from helpers import data_samples
from helpers.commands import fails, ROOT, run, SMOKE
from helpers.pages import Page
from helpers.training import small_config
from maskgan_jax import config as run_config
from maskgan_jax import errors, experiment, methods
from maskgan_jax.methods import base
from maskgan_jax.runs import checkpoints, metric_writers, scores
from maskgan_jax.sweep import __main__ as sweep
from maskgan_jax.sweep import page as sweep_page
from maskgan_jax.sweep import plan as sweep_plans
from maskgan_jax.sweep import results as sweep_results
from maskgan_jax.training import stopping, train_step
from maskgan_jax.translator import Translator

SIZE, SCALE, GAP, MARGIN = 16, 7, 6, 12  # SIZE of pictures; the rest is of runs/pictures.py's grids
FIELD = 'weights.mask'


class Tint(base.Method):
  """Adds one colour to a whole picture; the sweep varies the weight of the colour's size."""
  abilities = frozenset({'source_mask', 'reverse'})
  extras = (base.Extra('added_mask', 'added mask', 'what is added', shows_change=True),)
  default_clip_norm = {'generator': 0.0}

  def __init__(self, config):
    self._weight, self._adds = config.weights.mask, config.model.adds
    self.players = (base.Player('generator', ('generator',), self._loss),)

  def init(self, rng, batch):
    return {'generator': {'colour': jnp.array([0.5, -0.5, 0.25])}}, {}

  def _loss(self, params, model_state, batch, rng):
    mask = params['generator']['colour']
    error = jnp.mean((batch['a'] + mask.reshape(1, 1, 1, 3) - batch['b']) ** 2)
    return error + self._weight * jnp.abs(mask).mean(), ({}, model_state)

  def translate(self, params, model_state, source, exemplar, *, reverse=False, **unused):
    sign = -1 if reverse else 1
    mask = jnp.broadcast_to(sign * params['generator']['colour'], source.shape)
    extras = {'added_mask': mask} if self._adds else {}
    return base.Translation(jnp.clip(source + mask, -1, 1),
                            jnp.abs(mask).max(axis=-1, keepdims=True), extras=extras)


def _default():
  return ml_collections.ConfigDict(dict(
      model=dict(adds=True, name='x'), weights=dict(mask=1.0, idle=1.0),
      optimizers=dict(generator=base.adam(0.05))))


@pytest.fixture(scope='module', autouse=True)
def _tint_is_a_method():
  original = methods.module
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(methods, 'module', lambda name: types.SimpleNamespace(
        get_default=_default, make=Tint, shrink=lambda config: None)
        if name == 'tint' else original(name))
    yield


@pytest.fixture(name='config')
def _config(data_dir):
  return make_config(data_dir)


def make_config(data_dir, **changes):
  config = run_config.default('tint')
  run_config.smoke(config)
  config.update(name='tint', evaluators=('changes',), checkpoint_every=4, command='the command')
  config.data.data_dir = data_dir
  config.model.update(changes)
  return config


@pytest.fixture(scope='module', name='whole')
def _whole(tmp_path_factory, data_dir):
  """Returns (workdir, runs, messages) of a sweep that nothing interrupted."""
  workdir, said = str(tmp_path_factory.mktemp('whole')), []
  runs = sweep.sweep(make_config(data_dir), workdir, field=FIELD, values=['10', '0', '.10'],
                     pairs=3, note=said.append)
  return workdir, runs, said


def read_page(workdir):
  """The page of a sweep, which needs no network."""
  with open(f'{workdir}/sweep.html', encoding='utf-8') as file:
    text = file.read()
  assert not re.search(r'(src|href)="(?!data:)|url\(|@import|<script|https?:', text)
  return Page(text)


def stamps(workdir):
  """Returns when each file of checkpoints and scores below a folder was written."""
  return {path: os.stat(path).st_mtime_ns for folder, _, names in os.walk(workdir)
          for path in (os.path.join(folder, name) for name in names)
          if 'checkpoints' in path or path.endswith('scores.csv')}


def colour(workdir):
  with checkpoints.Checkpoints(workdir, read_only=True) as saved:
    step, model = saved.restore_model(base.abstract_model(
        methods.make(config := run_config.load(workdir)), config))
  return step, np.asarray(model['params']['generator']['colour'])


@pytest.mark.parametrize('text, like, value', [
    ('0.5', 1.0, 0.5), (' 1e-3', 1.0, 0.001), ('3', 1.0, 3.0), ('3', 5, 3), ('-2', 5, -2),
    ('true', False, True), ('False', True, False), ('0', True, False), ('mean', 'sum', 'mean'),
    ('false', None, False), ('2', None, 2), ('0.5', None, 0.5), ('sum', None, 'sum')])
def test_values_are_of_the_fields_type(text, like, value):
  parsed = sweep_plans.parse_value(text, like, 'x')
  assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize('text, like, part', [
    ('nan', 1.0, 'finite'), ('inf', 1.0, 'finite'), ('', 1.0, 'finite'), ('a', 1.0, "'a'"),
    ('0.5', 3, 'whole'), ('yes', True, 'true or false'), (' ', 'x', 'word'), ('1', (1,), 'tuple')])
def test_values_that_are_none(text, like, part):
  with pytest.raises(errors.UserError, match=part) as caught:
    sweep_plans.parse_value(text, like, 'weights.mask')
  assert 'weights.mask' in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('field, values, part', [
    (FIELD, ['1', 'nan'], 'finite'), (FIELD, ['1', '0.1', '1.0'], 'comes twice'),
    (FIELD, [0.0, -0.0], 'comes twice'), (FIELD, ['1', ''], "''"),
    ('weights.mosk', ['1'], "did you mean 'weights.mask'"), ('weights', ['1'], 'weights.mask'),
    ('data.attributes', ['1'], 'tuple'), ('model.name', ['a/b'], 'folder'),
    ('batch_size', ['8', '0'], 'at least 1'), ('method', ['nothing'], "'nothing'"),
    ('parallel', ['jit', 'pamp'], 'pamp'), ('accumulate', ['1', '3'], '3'),
    ('optimizers.generator.schedule', ['constant', 'linaer'], "did you mean 'linear'")])
def test_refusals_come_before_training(tmp_path, config, field, values, part):
  with pytest.raises(errors.UserError, match=part) as caught:
    sweep.sweep(config, str(tmp_path / 'w'), field=field, values=values)
  assert '\n' not in str(caught.value) and not os.path.exists(tmp_path / 'w')


def test_a_file_where_a_run_is_to_be_is_found_first(tmp_path, config):
  (tmp_path / f'{FIELD}=10').write_text('')
  with pytest.raises(errors.UserError, match='is a file'):
    sweep.sweep(config, str(tmp_path), field=FIELD, values=[1, 10])
  assert os.listdir(tmp_path) == [f'{FIELD}=10']
  with pytest.raises(errors.UserError, match='nothing to sweep'):
    sweep.sweep(config, str(tmp_path), field=FIELD)


def test_a_signal_that_the_last_step_did_not_hear_is_passed_on():
  heard = []
  before = signal.signal(signal.SIGTERM, lambda *_: heard.append(True))
  try:
    stop = stopping.StopRequest()
    stop.unsaved = True
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.reached(lambda flag: flag) and not heard
    stop.close()
    assert heard
    stopping.StopRequest().close()
    assert len(heard) == 1
  finally:
    signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
def test_runs_of_another_config_or_size_are_refused(whole, tmp_path, config):
  workdir, *_ = whole
  before = stamps(workdir)
  config.seed = 5
  with pytest.raises(errors.UserError, match='another config .*seed was 0, is 5'):
    sweep.sweep(config, workdir, field=FIELD, values=[20, 10])
  assert stamps(workdir) == before and not os.path.exists(f'{workdir}/{FIELD}=20')
  taken = f'{workdir}/{FIELD}=10'
  with pytest.raises(errors.UserError, match='10 comes twice'):
    sweep.sweep(config, str(tmp_path), field=FIELD, values=[10], runs=[taken])
  with pytest.raises(errors.UserError, match='has no config.gone .*a --baseline'):
    sweep.sweep(config, str(tmp_path), field='gone', runs=[taken])
  config.image_size = 32
  with pytest.raises(errors.UserError, match='of 32x32 pixels .* of 16x16'):
    sweep.sweep(config, str(tmp_path), field=FIELD, values=[3], baselines=[taken])
  with pytest.raises(errors.UserError, match='is not a run'):
    sweep.sweep(config, str(tmp_path), field=FIELD, runs=[str(tmp_path)])
  assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_run_for_each_value(whole):
  workdir, runs, said = whole
  assert [run.label for run in runs] == ['0', '0.1', '10']  # drawn by size
  order = [line for line in said if 'training in' in line]
  assert [line.split(' ')[0] for line in order] == [f'{FIELD}={v}' for v in ('10', '0', '0.1')]
  for run_, value in zip(runs, (0.0, 0.1, 10.0), strict=True):
    assert run_.workdir == f'{workdir}/{FIELD}={run_.label}' and run_.step == 4
    stored = run_config.load(run_.workdir)
    assert stored.weights.mask == value and stored.name == f'tint, {FIELD}={run_.label}'
    assert colour(run_.workdir)[0] == 4
  sizes = [np.abs(colour(run_.workdir)[1]).sum() for run_ in runs]
  assert sizes[0] > sizes[2]  # the weight had its effect


@pytest.mark.slow
def test_csv_holds_what_scores_hold(whole):
  workdir, runs, said = whole
  with open(f'{workdir}/sweep.csv', newline='', encoding='utf-8') as file:
    rows = list(csv.DictReader(file))
  assert [row['value'] for row in rows] == ['0', '0.1', '10']
  for row, run_ in zip(rows, runs, strict=True):
    (stored,) = scores.read(run_.workdir)
    assert row['workdir'] == run_.workdir and int(row['step']) == stored['step'] == 4
    numbers = {name: value for name, value in stored.items() if name not in ('step', 'split')}
    assert numbers.keys() == row.keys() - {'value', 'step', 'workdir'} and len(numbers) > 9
    assert {name: float(row[name]) for name in numbers} == numbers
  printed = said[-1].split('From b to a')[0]
  for run_ in runs:
    line = next(line for line in printed.splitlines() if line.split()[:1] == [run_.label])
    assert line.split()[1:] == [f'{run_.row[name]:.4f}' for name in (
        'ab_changed_share', 'truth_ab_changed_share', 'ab_error', 'do_nothing_ab_error',
        'ab_changed_iou')]


def cells(path, rows):
  """Returns the pictures in a grid's cells, [rows, columns, SIZE, SIZE, 3]."""
  picture = np.asarray(Image.open(path))
  stride = SCALE * SIZE + GAP
  columns, rest = divmod(picture.shape[1] - 2 * MARGIN + GAP, stride)
  assert rest == 0
  top = picture.shape[0] - MARGIN + GAP - rows * stride
  return np.array([[picture[top + i * stride:, MARGIN + j * stride:][
      :SCALE * SIZE:SCALE, :SCALE * SIZE:SCALE] for j in range(columns)] for i in range(rows)])


@pytest.mark.slow
@pytest.mark.parametrize('name, direction', [('sweep.png', 'ab'), ('sweep_back.png', 'ba')])
def test_the_figure_shows_what_the_runs_translate(whole, config, name, direction):
  workdir, runs, _ = whole
  data = data_samples.open_data(config.data, image_size=SIZE)
  batch = next(iter(data.evaluation('test', batch_size=3, max_pairs=3)))
  shown = cells(f'{workdir}/{name}', rows=3)
  assert shown.shape[1] == 1 + 3 + 3 + 1
  source = batch[direction[0]]
  np.testing.assert_array_equal(shown[:, 0], source)
  np.testing.assert_array_equal(shown[:, -1], batch[f'truth_{direction}'])
  for j, run_ in enumerate(runs):
    sign = -1 if direction == 'ba' else 1
    added = sign * colour(run_.workdir)[1]
    assert (shown[:, 1 + j] == np.rint((added + 1) * 127.5)).all()
    result = Translator.from_workdir(run_.workdir)(source, reverse=direction == 'ba').image
    np.testing.assert_array_equal(shown[:, 4 + j], result)
    by_hand = np.clip(source / 127.5 - 1 + added, -1, 1)
    np.testing.assert_allclose(result, (by_hand + 1) * 127.5, atol=0.51)
  assert (shown[:, 4] != shown[:, 6]).any()


@pytest.mark.slow
def test_what_is_done_is_left_alone(whole, config):
  workdir, runs, _ = whole
  before, said = stamps(workdir), []
  again = sweep.sweep(config, workdir, field=FIELD, values=[0, 0.1, 10], pairs=3, note=said.append)
  assert stamps(workdir) == before and again == runs
  assert [line for line in said if 'done already' in line] == [
      f'{FIELD}={v} ({i} of 3): 4 steps are done already'
      for i, v in enumerate(('0', '0.1', '10'), 1)]
  assert not any('training' in line or 'measuring' in line for line in said)


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on(whole, tmp_path, config, monkeypatch):
  workdir = str(tmp_path)
  write, interrupted_at = metric_writers.MetricWriter.write_scalars, []

  def and_stop(writer, step, scalars):
    write(writer, step, scalars)
    if f'{FIELD}=0.1' in str(writer.__dict__) and step == 1:
      interrupted_at.append(step)
      os.kill(os.getpid(), signal.SIGTERM)
  config.log_every = 1
  with monkeypatch.context() as patch:
    patch.setattr(metric_writers.MetricWriter, 'write_scalars', and_stop)
    with pytest.raises(errors.Preempted, match='the same command goes on'):
      sweep.sweep(config, workdir, field=FIELD, values=[0, 0.1, 10])
  assert interrupted_at and not os.path.exists(f'{workdir}/sweep.csv')
  assert colour(f'{workdir}/{FIELD}=0')[0] == 4 and 1 <= colour(f'{workdir}/{FIELD}=0.1')[0] < 4
  assert not os.path.exists(f'{workdir}/{FIELD}=10')

  first, said = stamps(f'{workdir}/{FIELD}=0'), []
  runs = sweep.sweep(config, workdir, field=FIELD, values=[0, 0.1, 10], note=said.append)
  assert stamps(f'{workdir}/{FIELD}=0') == first
  assert [line.split('(')[0].strip() for line in said if 'training in' in line] == [
      f'{FIELD}=0.1', f'{FIELD}=10']
  for run_, other in zip(runs, whole[1], strict=True):  # as if nothing had happened
    np.testing.assert_array_equal(colour(run_.workdir)[1], colour(other.workdir)[1])
    assert run_.row == other.row

  def stop():
    raise errors.Preempted('now')
  with pytest.raises(errors.Preempted, match='now'):
    sweep.sweep(config, workdir, field=FIELD, values=[3], poll=stop)
  assert not os.path.exists(f'{workdir}/{FIELD}=3')


@pytest.mark.slow
def test_runs_and_baselines_are_taken_as_they_are(whole, tmp_path, data_dir, config):
  taken, beside = str(tmp_path / 'taken'), str(tmp_path / 'plain')
  shutil.copytree(f'{whole[0]}/{FIELD}=10', taken)
  os.remove(f'{taken}/scores.csv')
  experiment.train(make_config(data_dir, adds=False), beside)
  workdir, said = str(tmp_path / 'both'), []
  runs = sweep.sweep(config, workdir, field=FIELD, runs=[f'{whole[0]}/{FIELD}=0', taken],
                     baselines=[beside], pairs=2, note=said.append)
  assert [(run_.label, run_.value) for run_ in runs] == [('0', 0), ('10', 10), ('plain', None)]
  assert os.listdir(tmp_path / 'both') and not any('=' in name for name in os.listdir(workdir))
  assert [line for line in said if 'measuring' in line] == [f'measuring {taken}, step 4']
  np.testing.assert_equal(dict(runs[1].row), dict(whole[1][2].row))
  assert cells(f'{workdir}/sweep.png', 2).shape[1] == 1 + 2 + 3 + 1  # plain adds nothing
  with open(f'{workdir}/sweep.csv', newline='', encoding='utf-8') as file:
    assert [row['value'] for row in csv.DictReader(file)] == ['0', '10', '']
  page = read_page(workdir)
  assert len(page.all('img')) == 2 and 'plain' in page.text and 'the command' in page.text
  assert len([1 for line in page.all('line') if line['class'] == 'level beside']) == 10
  assert not any('differ' in line for line in said)

  changed = run_config.load(taken)
  changed.update(seed=3, name='other', evaluation_batch_size=2)
  run_config.save(changed, taken)
  row = scores.latest(taken)
  scores.append(taken, {**row, 'do_nothing_ab_error': 2 * row['do_nothing_ab_error']})
  sweep.sweep(config, workdir, field=FIELD, runs=[f'{whole[0]}/{FIELD}=0', taken],
              note=said.append)
  assert f'the runs differ in more than {FIELD}: seed' in said
  (line,) = [line for line in said if 'other pictures' in line]
  assert taken in line and f'{2 * row["do_nothing_ab_error"]:.4g}, not ' in line


def test_a_damaged_last_checkpoint_is_trained_again(config, tmp_path):
  workdir, run_ = str(tmp_path), f'{tmp_path}/{FIELD}=10'
  config.checkpoint_every = 2
  sweep.sweep(config, workdir, field=FIELD, values=[10], note=lambda line: None)
  trained = colour(run_)
  for folder, _, names in os.walk(f'{run_}/checkpoints/4/model'):
    for name in names:
      open(os.path.join(folder, name), 'w').close()
  sweep.sweep(config, workdir, field=FIELD, values=[10], note=lambda line: None)
  assert colour(run_)[0] == trained[0] == 4
  np.testing.assert_array_equal(colour(run_)[1], trained[1])
  os.remove(f'{run_}/report.html')  # as if killed before it was written
  sweep.sweep(config, workdir, field=FIELD, values=[10], note=lambda line: None)
  assert os.path.exists(f'{run_}/report.html')


@pytest.mark.slow
def test_without_training_what_is_missing_is_said(whole, tmp_path, config):
  said = []
  runs = sweep.sweep(config, whole[0], field=FIELD, values=[0, 77, 10], train=False,
                     note=said.append)
  assert [run_.label for run_ in runs] == ['0', '10']
  assert f'77 is missing: {whole[0]}/{FIELD}=77 has no checkpoint' in said
  assert not os.path.exists(f'{whole[0]}/{FIELD}=77')
  with pytest.raises(errors.UserError, match='nothing to draw'):
    sweep.sweep(config, str(tmp_path), field=FIELD, values=[1], train=False, note=said.append)
  config.num_steps = 6
  sweep.sweep(config, whole[0], field=FIELD, values=[10], train=False, note=said.append)
  assert '10 is at step 4 of 6' in said


@pytest.mark.slow
def test_a_key_that_changes_nothing_is_said(whole, tmp_path, config):
  assert not any('does nothing' in line or 'no effect' in line for line in whole[2])
  said = []
  sweep.sweep(config, str(tmp_path), field='weights.idle', values=[1, 2], pairs=2,
              note=said.append)
  assert said[0].startswith('warning: weights.idle does nothing here') and 'training' in said[1]
  line = ('weights.idle had no effect on training: the runs of 1, 2 have the same parameters, bit '
          'for bit')
  assert said.count(line) == 1 and line in read_page(tmp_path).text


@pytest.mark.slow
@pytest.mark.parametrize('variant, nothing', [('cyclegan', True), ('paper', False)])
def test_weights_of_terms_that_are_off_do_nothing(variant, nothing):
  config = small_config('additional_mask')
  config.variant = variant
  texts = []
  for config.weights.mask in (1.0, 2.0):
    texts.append(train_step.losses_text(config))
  assert (texts[0] == texts[1]) == nothing


def test_a_value_that_the_variant_chooses_is_none(tmp_path):
  config = small_config('additional_mask')
  run_config.save(config, str(tmp_path))
  with pytest.raises(errors.UserError, match='leaves config.model.mask_range to its variant'):
    sweep_plans.plan(config, str(tmp_path), 'model.mask_range', [], [str(tmp_path)], [])


def test_numbers_that_are_not_there_are_no_other_pictures():
  row = {'truth_ab_error': math.nan, 'truth_settings': 'text', 'do_nothing_error': 0.5}
  runs = [sweep_page.Run(name, 1, name, 4, values) for name, values in (
      ('one', row), ('two', {**row, 'truth_settings': 'other'}),
      ('three', {**row, 'do_nothing_error': 0.6}))]
  assert sweep_results.other_pictures(runs) == [
      'three was measured on other pictures than one: its do_nothing_error is 0.6, not 0.5']


def test_other_measures_where_nothing_measured_changes(tmp_path):
  rows = [{'pairs': 8.0, 'mask_iou': 0.1 * i, 'mask_iou_std': 0.1, 'transfer_psnr': 20.0 + i,
           'do_nothing_psnr': 18.0, 'provenance': 'text'} for i in (1, 2)]
  runs = [sweep_page.Run(str(i), i, f'w/{i}', 5, row) for i, row in enumerate(rows, 1)]
  sweep_page.write_page(str(tmp_path), runs, name='<n>', field='f', method='m', command='<c>',
                    notes=['<said>'])
  page = read_page(tmp_path)
  assert len(page.all('svg')) == 2 and '<c>' in page.text and '<said>' in page.text
  lines = sweep_page.table(runs, 'f').splitlines()
  assert lines[0].split() == ['f', 'mask_iou', 'transfer_psnr', 'do', 'nothing']
  assert lines[2].split() == ['2', '0.2000', '22.0000', '18.0000']
  empty = [sweep_page.Run('1', 1, 'w', 5, {})]
  assert sweep_page.table(empty, 'f') == ''
  sweep_page.write_page(str(tmp_path), empty, name='n', field='f', method='m', command='c')
  assert 'Nothing was measured' in read_page(tmp_path).text


@pytest.mark.parametrize('flags, parts', [
    ([SMOKE, '--workdir=w'], ['no key to vary', '--field']),
    ([SMOKE, '--workdir=w', '--field=weights.cycle'], ['no values for weights.cycle']),
    ([SMOKE, '--workdir=w', '--field=weights.cycle', '--values='], ['no values']),
    ([SMOKE, '--workdir=w', '--field=config.weights.cycle', '--values=1,2,x'], ["'x'", 'number']),
    ([SMOKE, '--field=weights.cycle', '--values=1'], ['--workdir']),
    (['--workdir=w', '--field=weights.cycle', '--values=1'], ['no config given']),
    (['--workdir=w', '--field=weights.cycle', '--runs=nothing'], ['nothing is not a run'])])
def test_mistakes_of_the_command(flags, parts):
  fails(run('sweep', *flags), *parts)


def test_help():
  result = run('sweep', '--help')
  assert result.returncode == 0 and 'python -m maskgan_jax.sweep' in result.stdout
  assert '--values' in result.stdout and '--[no]train' in result.stdout


@pytest.mark.slow
def test_the_command(tmp_path, data_dir):
  flags = [SMOKE, f'--workdir={tmp_path}', '--config.sweep.field=weights.cycle',
           f'--config.data.data_dir={data_dir}']
  result = run('sweep', *flags, '--values=0.5,2', '--config.evaluators=changes')
  assert result.returncode == 0 and 'changed share' in result.stdout, result.stderr
  assert {'sweep.png', 'sweep.csv', 'sweep.html', 'weights.cycle=0.5', 'weights.cycle=2'} == set(
      os.listdir(tmp_path))
  process = subprocess.Popen(
      [sys.executable, '-m', 'maskgan_jax.sweep', *flags, '--values=1,2', '--config.num_steps=9999',
       '--config.checkpoint_every=9999'], cwd=ROOT, text=True, stdout=subprocess.PIPE,
      stderr=subprocess.PIPE, env={**os.environ, 'JAX_PLATFORMS': 'cpu'})
  with process:
    for line in process.stdout:
      if line.startswith('step '):
        process.send_signal(signal.SIGTERM)
        break
    assert process.wait(300) == 75 and 'the same command goes on' in process.stderr.read()
  assert os.path.isdir(tmp_path / 'weights.cycle=1' / 'checkpoints')
  result = run('sweep', f'--workdir={tmp_path}/more', '--field=weights.cycle',
               f'--runs={tmp_path}/weights.cycle=0.5,{tmp_path}/weights.cycle=2')
  assert result.returncode == 0 and 'Page: ' in result.stdout, result.stderr
