"""Training from data to files: resuming exactly, stopping, giving up, several processes."""

import dataclasses
import glob
import json
import os
import signal
import subprocess
import types

import numpy as np
import pytest

from helpers import data_samples
from helpers.paths import ROOT
from helpers.processes import command, environment, start, start_together, wait_for_step
from helpers.training import assert_same, newest, smoke_config
from maskgan_jax import config as run_config
from maskgan_jax import errors, files, methods
from maskgan_jax.data import batches, pipeline
from maskgan_jax.runs import checkpoints, metric_writers, resumption
from maskgan_jax.training import log as log_lib
from maskgan_jax.training import loop, progress, tasks, train_step
from maskgan_jax.training import setup as setup_lib
from maskgan_jax.translator import Translator


@pytest.fixture(scope='module')
def whole(tmp_path_factory, data_dir):
  """A run of six steps that nothing interrupted."""
  workdir = str(tmp_path_factory.mktemp('whole'))
  loop.train(smoke_config(data_dir, num_steps=6), workdir)
  return workdir


@pytest.mark.slow
def test_a_run_leaves_its_files(whole):
  assert run_config.load(whole).num_steps == 6
  rows = metric_writers.read(whole)
  assert [row['step'] for row in rows if 'autoencoder/loss' in row][-1] == 6
  for name in ('autoencoder/mask_mean', 'autoencoder/mask_over_half', 'autoencoder/mask_entropy',
               'input_wait_share', 'images_per_second'):
    assert name in rows[-1]
  assert glob.glob(os.path.join(whole, 'samples', '*6.png'))
  assert Translator.from_workdir(whole).step == 6


@pytest.mark.slow
def test_a_run_resumed_after_a_bad_picture_is_bitwise_the_uninterrupted_one(
    whole, tmp_path, data_dir, monkeypatch):
  workdir, config = str(tmp_path), smoke_config(data_dir, num_steps=6, checkpoint_every=50)
  with monkeypatch.context() as patch:
    def damaged(self, step):
      if step >= 3:
        raise errors.UserError('4.png is damaged')
      return read(self, step)
    read = batches.Batches.__getitem__
    patch.setattr(batches.Batches, '__getitem__', damaged)
    with pytest.raises(errors.UserError, match='4.png is damaged. All 3 steps are saved in .*: '
                       'once that is mended, the same command .*accept_changed_data=True'):
      loop.train(config, workdir)
  assert newest(workdir)[0] == 3 and metric_writers.read(workdir)[-1]['step'] == 3
  loop.train(config, workdir)
  assert_same(newest(workdir), newest(whole))

  def losses(folder):
    return {row['step']: row['autoencoder/recon1_a'] for row in metric_writers.read(folder)
            if 'autoencoder/recon1_a' in row}
  assert losses(workdir)[6] == losses(whole)[6]


@pytest.mark.parametrize('weight, of_feed, sentence', [
    (0.0, True, '.*; if a picture is added .*accept_changed_data=True$'),
    (0.0, False, '. All 3 steps are saved in runs/x: once that is mended, the same command goes '
                 'on$'),
    (np.nan, True, '$')])
def test_what_is_said_of_the_steps_before_an_error(weight, of_feed, sentence):
  training, saved = object.__new__(loop._Training), []
  store = types.SimpleNamespace(save=lambda step, *unused, **also: saved.append(step),
                                wait=lambda: None)
  training.setup = types.SimpleNamespace(workdir='runs/x', config=None)
  training.save = tasks.Save(training.setup, store)
  state = types.SimpleNamespace(params=np.float32([weight]), items=lambda: ({}, {}))
  with pytest.raises(errors.UserError, match='^4.png is damaged' + sentence):
    training._save_and_raise(errors.UserError('4.png is damaged'), 3, state, of_feed=of_feed)
  assert saved == [3] * bool(np.isfinite(weight))


@pytest.mark.slow
def test_a_finished_run_started_again_changes_nothing(whole):
  before = newest(whole)
  trained = loop.train(run_config.load(whole), whole)
  assert trained.step == 6
  assert_same(newest(whole), before)


def test_pictures_that_are_not_used_are_told(tmp_path, data_dir, monkeypatch, capsys):
  root = data_samples.write_domains(tmp_path / 'data')
  (tmp_path / 'data' / 'trainA' / 'a.heic').write_bytes(b'x')
  config = smoke_config(data_dir)
  config.data.update(source='folder', path=root, a='~B', b='B')

  def stop(*_):
    raise errors.Preempted('here')
  monkeypatch.setattr(loop, '_run', stop)
  with pytest.raises(errors.Preempted, match='here'):
    loop.train(config, str(tmp_path / 'run'))
  assert capsys.readouterr().err == (f'{root}: not used: 1 files of formats to be converted to PNG '
                                     'or JPEG (trainA/a.heic)\n')


@pytest.mark.slow
def test_another_config_in_the_same_workdir(whole, data_dir):
  config = smoke_config(data_dir, num_steps=6, seed=1)
  with pytest.raises(errors.UserError, match=r'seed was 0, is 1.*another --workdir'):
    loop.train(config, whole)


def folder_config(folder, **changes):
  config = smoke_config('', **changes)
  config.data.update(source='folder', path=folder, a='~B', b='B')
  return config


def identity_of(config):
  return resumption.Identity.of(config, pipeline.make(config))


def test_what_changed_data_do_to_a_run(tmp_path, capsys):
  folder = data_samples.write_domains(tmp_path / 'data')
  notes = identity_of(folder_config(folder)).notes()
  assert json.loads(json.dumps(notes)) == notes
  data_samples.write(tmp_path / 'masks' / 'trainA', [np.zeros((25, 25), np.uint8)])
  with_masks = folder_config(folder)
  with_masks.data.masks_path = str(tmp_path / 'masks')
  identity_of(folder_config(folder)).check(notes, 'run/checkpoints/4')
  assert not capsys.readouterr().out
  identity_of(with_masks).check(notes, 'run/checkpoints/4')
  assert 'files of pictures or masks have changed' in capsys.readouterr().out
  data_samples.write(tmp_path / 'data' / 'trainA', [np.zeros((9, 9, 3), np.uint8)])
  identity_of(folder_config(folder)).check(notes, 'run/checkpoints/4')
  assert 'files of pictures or masks have changed' in capsys.readouterr().out
  os.remove(tmp_path / 'data' / 'trainA' / '005.png')
  with pytest.raises(errors.UserError, match='the data have changed since run/checkpoints/4 was '
                     'saved: train a has 6 pictures and had 7. .*accept_changed_data=True'):
    identity_of(folder_config(folder)).check(notes, 'run/checkpoints/4')
  identity_of(folder_config(folder, accept_changed_data=True)).check(notes, 'run/checkpoints/4')
  assert 'train a has 6 pictures and had 7; training goes on' in capsys.readouterr().out
  with pytest.raises(errors.UserError, match='is of another config .batch_size was 8, is 4'):
    identity_of(folder_config(folder, batch_size=4, accept_changed_data=True)).check(notes, 'run')


def test_a_table_may_move_with_its_pictures(tmp_path):
  def config_in(root):
    config = folder_config(str(root / 'data'))
    config.data.update(source='csv', attributes_file=str(root / 'labels.csv'))
    return config
  data_samples.write_domains(tmp_path / 'data')
  names = [f'trainA/{i:03d}.png' for i in range(8)]
  rows = ''.join(f'{name},{i % 2}\n' for i, name in enumerate(names))
  (tmp_path / 'labels.csv').write_text('file,B\n' + rows)
  run_config.save(config_in(tmp_path), str(tmp_path / 'run'))
  identity = identity_of(config_in(tmp_path))
  moved = tmp_path.rename(tmp_path.parent / f'{tmp_path.name}_moved')
  run_config.check_same_run(config_in(moved), str(moved / 'run'))
  identity_of(config_in(moved)).check(identity.notes(), 'run')
  for text, change in ((rows.replace(',1', ',0', 3), 'train a has 5 pictures and had 2'),
                       (''.join(reversed(rows.splitlines(True))), 'names, labels, order')):
    (moved / 'labels.csv').write_text('file,B\n' + text)
    with pytest.raises(errors.UserError, match=f'have changed since run was saved: {change}'):
      identity_of(config_in(moved)).check(identity.notes(), 'run')


def test_checkpoints_of_weights_alone_and_of_versions_with_fewer_keys(tmp_path):
  config = folder_config(data_samples.write_domains(tmp_path / 'data'))
  identity = identity_of(config)
  with pytest.raises(errors.UserError, match='weights that no training left.*init_from=run '):
    identity.check(resumption.Identity.of(config).notes(), 'run/checkpoints/4')
  notes = identity.notes()
  with pytest.raises(errors.UserError, match='run is of an earlier version'):
    identity.check({name: notes[name] for name in ('config', 'data', 'counts')}, 'run')
  older = {**notes, 'config': {key: value for key, value in notes['config'].items()
                               if key != 'ema_decay'}}
  identity.check(older, 'run')
  config.ema_decay = 0.5
  with pytest.raises(errors.UserError, match='run is of another config .ema_decay was 0.0, is 0.5'):
    identity_of(config).check(older, 'run')


def test_more_steps_lift_a_rate_that_falls_until_the_last(data_dir):
  before, now = smoke_config(data_dir, num_steps=6), smoke_config(data_dir, num_steps=12)
  sentences = []
  setup_lib.say_changed_rates(methods.make(now), before, now, 6, sentences.append)
  assert not sentences
  for config in (before, now):
    config.optimizers.autoencoder.update(schedule='linear', schedule_start=2)
  setup_lib.say_changed_rates(methods.make(now), before, now, 6, sentences.append)
  assert before.optimizers.autoencoder.learning_rate == 2e-4
  assert sentences == ['num_steps was 6 and is 12: the schedule of config.optimizers.autoencoder '
                       'ends with it, so that its learning rate at step 6 is 0.00012 instead of 0']
  # A schedule counts the steps of its player: at step 6 a player that began at 4 has played two.
  method = methods.make(now)
  method.players = [dataclasses.replace(player, start=4) for player in method.players]
  setup_lib.say_changed_rates(method, before, now, 6, sentences.append)
  assert len(sentences) == 1
  setup_lib.say_changed_rates(method, before, now, 9, sentences.append)
  assert sentences[1].endswith('its learning rate at step 9 is 0.0001 instead of 0')


@pytest.mark.slow
def test_scores_decide_which_checkpoint_is_kept(tmp_path, data_dir):
  scores = iter([0.1, 0.9, 0.2, 0.3])
  config = smoke_config(data_dir, num_steps=4, checkpoint_every=1, evaluate_every=1, keep_last=1,
                        keep_best=1, best_metric='score')
  loop.train(config, str(tmp_path),
             make_evaluate=lambda *_: lambda *_: {'score': next(scores)})
  with checkpoints.Checkpoints(str(tmp_path), read_only=True, best_metric='score') as saved:
    assert saved.steps() == [2, 4]


@pytest.mark.slow
def test_a_run_that_stays_non_finite_stops_with_a_dump(tmp_path, data_dir):
  config = smoke_config(data_dir, num_steps=50, max_skipped=3, log_every=2)
  config.weights.recon1_a = float('inf')
  with pytest.raises(errors.UserError, match='not finite'):
    loop.train(config, str(tmp_path))
  dump = json.loads((tmp_path / 'nonfinite.json').read_text())
  assert dump['metrics']['skipped_in_a_row'] >= 3 and dump['step'] <= 8


@pytest.mark.slow
def test_two_trainings_in_one_folder(whole, tmp_path):
  with files.held(whole, 'trains'), pytest.raises(errors.UserError, match='another process trains'):
    # Another open file stands for another process, because locks belong to open files.
    loop.train(run_config.load(whole), whole)


def make_log(tmp_path, names, **changes):
  """Returns a log that needs no training."""
  config = types.SimpleNamespace(**{'steps_per_dispatch': 1, 'log_every': 9, 'batch_size': 8,
                                    'max_skipped': 2, 'seed': 0, **changes})
  setup = types.SimpleNamespace(config=config, workdir=str(tmp_path), is_main=True,
                                step=types.SimpleNamespace(metric_names=names))
  writer = metric_writers.MetricWriter(tmp_path)
  return log_lib.Log(setup, writer, progress.Progress(9, enabled=True), lambda: 4)


def play_log(tmp_path, names, *dispatches):
  """Returns what a log writes about dispatches, each a list of steps: {metric: value}."""
  log = make_log(tmp_path, names)
  for number, steps in enumerate(dispatches, 1):
    values = np.float32([[step.get(name, 0) for name in names] for step in steps])
    played = np.array([[name in step for name in names] for step in steps])
    log.add(number, train_step.Metrics(values, played))
  log.flush()
  row, = metric_writers.read(tmp_path)
  return row


COUNTS = {'skipped': 0, 'skipped_in_a_row': 0}


def test_a_line_has_the_means_of_the_steps_in_which_a_player_played(tmp_path):
  names = ('g/loss', 'never/loss', 'odd/loss', 'skipped', 'skipped_in_a_row')
  row = play_log(tmp_path, names, [{**COUNTS, 'g/loss': 1, 'odd/loss': 7}],
                 [{'g/loss': 2, 'skipped': 1, 'skipped_in_a_row': 1}], [{**COUNTS, 'g/loss': 6}])
  assert row['g/loss'] == 3 and row['odd/loss'] == 7 and 'never/loss' not in row
  assert row['skipped'] == 1 and row['skipped_in_a_row'] == 1


@pytest.mark.parametrize('log_every, save_every, means', [
    (1, 3, {step: step for step in range(1, 9)}),
    (2, 3, {2: 1.5, 3: 3, 4: 4, 6: 5.5, 8: 7.5}),
    (4, 3, {3: 2, 4: 4, 6: 5.5, 8: 7.5}),
    (3, 8, {3: 2, 6: 5, 8: 7.5})])
def test_a_line_that_is_due_is_not_merged_with_that_of_a_save(tmp_path, log_every, save_every,
                                                              means):
  names = ('g/loss', *COUNTS)
  log = make_log(tmp_path, names, log_every=log_every)
  for step in range(1, 9):
    log.add(step, train_step.Metrics(np.float32([[step, 0, 0]]), np.ones((1, 3), bool)))
    if step % save_every == 0 or step == 8:
      log.flush()
      assert metric_writers.read(tmp_path)[-1]['step'] == step
    else:
      log.write_due(step)
  rows = metric_writers.read(tmp_path)
  assert {row['step']: row['g/loss'] for row in rows} == means and len(rows) == len(means)
  assert all(row['steps_per_second'] > 0 for row in rows)


def test_the_first_line_estimates_no_time(capsys):
  shown = progress.Progress(24, enabled=True)
  shown.start(1)
  for step in (1, 2):
    shown.line(step, {'g/loss': 0.5})
  first, second = capsys.readouterr().out.splitlines()
  assert first == 'step 1/24  g/loss 0.5'
  assert second.startswith('step 2/24  ') and ' steps/s  ' in second and ' left  ' in second


def test_a_loss_that_is_nan_is_not_a_loss_that_is_not_there(tmp_path, capsys):
  names = ('all/loss', 'none/loss', 'one/loss', 'skipped', 'skipped_in_a_row')
  row = play_log(tmp_path, names, [{**COUNTS, 'all/loss': np.nan, 'one/loss': np.nan}],
                 [{**COUNTS, 'all/loss': np.nan, 'one/loss': 5}])
  assert row['all/loss'] is None and row['one/loss'] == 5 and 'none/loss' not in row
  assert 'all/loss nan' in capsys.readouterr().out


def test_the_dump_of_a_run_that_gives_up_has_the_losses_that_are_not_finite(tmp_path):
  names = ('g/loss', 'g/mask_mean', 'skipped', 'skipped_in_a_row')
  with pytest.raises(errors.NotFiniteError, match='2 times in a row up to step 1; the newest '
                     'checkpoint is 4'):
    play_log(tmp_path, names, [{'g/loss': np.nan, 'g/mask_mean': np.inf, 'skipped': 1,
                                'skipped_in_a_row': 2}])
  metrics = json.loads((tmp_path / 'nonfinite.json').read_text())['metrics']
  assert metrics['g/loss'] == 'nan' and metrics['g/mask_mean'] == 'inf'


def test_a_collapsed_mask_is_said(capsys):
  log = object.__new__(log_lib.Log)
  log._warned_of_mask, log._progress = False, progress.Progress(1, enabled=True)
  log._check_mask(7, {'autoencoder/mask_mean': 0.4})
  log._check_mask(7, {'autoencoder/mask_mean': np.nan})
  assert not capsys.readouterr().out
  log._check_mask(8, {'autoencoder/mask_mean': 0.9999})
  assert 'collapsed to all 1' in capsys.readouterr().out
  log._check_mask(9, {'autoencoder/mask_mean': 0.0})
  assert not capsys.readouterr().out, 'once is enough'


def test_tasks_are_due_at_their_intervals_and_at_the_end():
  config = types.SimpleNamespace(num_steps=7, sample_every=0, evaluate_every=3, checkpoint_every=2)
  setup = types.SimpleNamespace(config=config, workdir='', is_main=False)
  due = {type(task).__name__: [step for step in range(1, 8) if task.due(step)]
         for task in (tasks.Sample(setup, None), tasks.Measure(setup, None, None),
                      tasks.Save(setup, None))}
  assert due == {'Sample': [7], 'Measure': [3, 6], 'Save': [2, 3, 4, 6, 7]}


# Commands as users start them.


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits_75(number, tmp_path, data_dir):
  long = ('--config.num_steps=100000', '--config.checkpoint_every=100000',
          '--config.sample_every=0')
  process = start(command(tmp_path, data_dir, *long))
  wait_for_step(process, 4)
  process.send_signal(number)
  _, error = process.communicate(timeout=120)
  assert process.returncode == 75, error
  assert 'goes on from there' in error
  with checkpoints.Checkpoints(str(tmp_path), read_only=True) as saved:
    stopped = saved.latest()
  assert stopped >= 4
  again = subprocess.run(command(tmp_path, data_dir, f'--config.num_steps={stopped + 1}'),
                         cwd=ROOT, env=environment(), text=True, capture_output=True, check=False)
  assert again.returncode == 0 and f'resuming at step {stopped}' in again.stdout, again.stderr


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path, data_dir):
  flags = ('--config.num_steps=4', '--config.log_every=1')
  for process in start_together(command(tmp_path / 'two', data_dir, *flags)):
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
  one = subprocess.run(command(tmp_path / 'one', data_dir, *flags), cwd=ROOT, env=environment(),
                       text=True, capture_output=True, check=False)
  assert one.returncode == 0, one.stderr
  first, second = (
      [row['autoencoder/recon1_a'] for row in metric_writers.read(str(tmp_path / name))
       if 'autoencoder/recon1_a' in row] for name in ('two', 'one'))
  assert len(first) == len(second) >= 2
  np.testing.assert_allclose(first, second, rtol=1e-3)
