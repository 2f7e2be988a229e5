"""Training from data to files: resuming exactly, stopping, giving up, several processes."""

import glob
import json
import os
import signal
import subprocess

import numpy as np
import pytest

from helpers import data_samples
from helpers.paths import ROOT
from helpers.processes import command, environment, start, start_together, wait_for_step
from helpers.training import assert_same, newest, smoke_config
from maskgan_jax import errors, files
from maskgan_jax.runs import checkpoints, metric_writers
from maskgan_jax.runs import config as run_config
from maskgan_jax.training import loop
from maskgan_jax.translator import Translator


@pytest.fixture(scope='module')
def whole(tmp_path_factory, data_dir):
  """A run of six steps that nothing interrupted."""
  workdir = str(tmp_path_factory.mktemp('whole'))
  loop.train(smoke_config(data_dir, num_steps=6), workdir)
  return workdir


def test_a_run_leaves_its_files(whole):
  assert run_config.load(whole).num_steps == 6
  rows = metric_writers.read(whole)
  assert [row['step'] for row in rows if 'autoencoder/loss' in row][-1] == 6
  for name in ('autoencoder/mask_mean', 'autoencoder/mask_over_half', 'autoencoder/mask_entropy',
               'input_wait_share', 'images_per_second'):
    assert name in rows[-1]
  assert glob.glob(os.path.join(whole, 'samples', '*6.png'))
  assert Translator.from_workdir(whole).step == 6


def test_a_resumed_run_is_bitwise_the_uninterrupted_one(whole, tmp_path, data_dir):
  workdir = str(tmp_path)
  loop.train(smoke_config(data_dir, num_steps=3), workdir)
  loop.train(smoke_config(data_dir, num_steps=6), workdir)
  assert_same(newest(workdir), newest(whole))

  def losses(folder):
    return {row['step']: row['autoencoder/recon1_a'] for row in metric_writers.read(folder)
            if 'autoencoder/recon1_a' in row}
  assert losses(workdir)[6] == losses(whole)[6]


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


def test_another_config_in_the_same_workdir(whole, data_dir):
  config = smoke_config(data_dir, num_steps=6, seed=1)
  with pytest.raises(errors.UserError, match=r'seed was 0, is 1.*another --workdir'):
    loop.train(config, whole)


def test_scores_decide_which_checkpoint_is_kept(tmp_path, data_dir):
  scores = iter([0.1, 0.9, 0.2, 0.3])
  config = smoke_config(data_dir, num_steps=4, checkpoint_every=1, evaluate_every=1, keep_last=1,
                        keep_best=1, best_metric='score')
  loop.train(config, str(tmp_path),
             make_evaluate=lambda *_: lambda *_: {'score': next(scores)})
  with checkpoints.Checkpoints(str(tmp_path), read_only=True, best_metric='score') as saved:
    assert saved.steps() == [2, 4]


def test_a_run_that_stays_non_finite_stops_with_a_dump(tmp_path, data_dir):
  config = smoke_config(data_dir, num_steps=50, max_skipped=3, log_every=2)
  config.weights.recon1_a = float('inf')
  with pytest.raises(errors.UserError, match='not finite'):
    loop.train(config, str(tmp_path))
  dump = json.loads((tmp_path / 'nonfinite.json').read_text())
  assert dump['metrics']['skipped_in_a_row'] >= 3 and dump['step'] <= 8


def test_two_trainings_in_one_folder(whole, tmp_path):
  with files.held(whole, 'trains'), pytest.raises(errors.UserError, match='another process trains'):
    # Another open file stands for another process: that is how locks tell them apart.
    loop.train(run_config.load(whole), whole)


def test_a_collapsed_mask_is_said(tmp_path, data_dir, capsys):
  run = loop._Run.__new__(loop._Run)
  run.warned_of_mask, run.progress = False, loop._Progress(1, enabled=True)
  run._check_mask(7, {'autoencoder/mask_mean': 0.4})
  assert not capsys.readouterr().out
  run._check_mask(8, {'autoencoder/mask_mean': 0.9999})
  assert 'collapsed to all 1' in capsys.readouterr().out
  run._check_mask(9, {'autoencoder/mask_mean': 0.0})
  assert not capsys.readouterr().out, 'once is enough'


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
