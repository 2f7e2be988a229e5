"""A stop request at any moment, to any process: training saves, exits with 75 and can resume."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from helpers.paths import ROOT
from helpers.processes import command, environment, start, start_together, wait_for_step
from helpers.training import assert_same, newest
import maskgan_jax
from maskgan_jax import errors
from maskgan_jax.runs import checkpoints, scores
from maskgan_jax.training import parallel, stopping

STEPS = 6
FLAGS = (f'--config.num_steps={STEPS}', '--config.log_every=1', '--config.checkpoint_every=100',
         '--config.sample_every=2', '--config.evaluate_every=4', '--config.evaluators=masks',
         '--config.evaluation_pairs=4')
LONG = 300  # seconds; no test waits until they have passed


def script(where, workdir, data_dir, *flags, seconds=LONG):
  """Returns the command of a training that takes this many seconds over one thing."""
  return [sys.executable, 'tests/helpers/interrupted_run.py', where, str(seconds),
          *command(workdir, data_dir, *FLAGS, *flags)[3:]]


def wait_for(process, text):
  for line in process.stdout:
    if line.strip() == text:
      return
  raise AssertionError(process.stderr.read())


def stopped(processes, seconds=60):
  """Returns what the processes print on stderr, and how long they took to exit with 75."""
  began, said = time.monotonic(), []
  for process in processes:
    try:
      _, error = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
      for other in processes:
        other.kill()
      raise
    assert process.returncode == 75, error
    said.append(error)
  return said, time.monotonic() - began


def saved_step(workdir):
  with checkpoints.Checkpoints(str(workdir), read_only=True) as saved:
    return saved.latest()


def samples(workdir):
  return {path.name: path.read_bytes() for path in (pathlib.Path(workdir) / 'samples').iterdir()}


def run(workdir, data_dir, *flags, processes=1):
  """Runs a training to its end; returns what the first process printed."""
  args = command(workdir, data_dir, *FLAGS, *flags)
  each = start_together(args, processes) if processes > 1 else [start(args)]
  said = []
  for process in each:
    output, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    said.append(output)
  return said[0]


@pytest.fixture(scope='module')
def whole(tmp_path_factory, data_dir):
  """Returns the folder of an undisturbed run."""
  workdir = tmp_path_factory.mktemp('whole')
  run(workdir, data_dir)
  return str(workdir)


@pytest.mark.slow
@pytest.mark.parametrize('where, at', [('compiling', None), ('compiling a stage', 3),
                                       ('sampling', 2), ('evaluating', 4),
                                       ('measuring the end', STEPS)])
def test_told_during_something_long(where, at, whole, tmp_path, data_dir):
  quiet = {'sampling': (), 'evaluating': ()}.get(where, ('--config.evaluate_every=0',))
  process = start(script(where, tmp_path / 'run', data_dir, *quiet))
  wait_for(process, 'now')
  process.send_signal(signal.SIGTERM)
  (error,), seconds = stopped([process])
  assert seconds < 30
  assert error.count('\n') == 1 and ('nothing is lost' in error if at is None else
                                     'goes on from there' in error)
  assert saved_step(tmp_path / 'run') == at
  said = run(tmp_path / 'run', data_dir)
  assert at is None or f'resuming at step {at}' in said or f'{at} steps are done already' in said
  assert_same(newest(str(tmp_path / 'run')), newest(whole))
  assert samples(tmp_path / 'run') == samples(whole)
  assert scores.latest(str(tmp_path / 'run'))['step'] == STEPS


@pytest.mark.slow
def test_a_compiler_does_not_deafen(tmp_path, data_dir):
  """The signal comes in the middle of a real compilation; nothing is cached or slowed down."""
  process = start(command(tmp_path, data_dir, *FLAGS, '--config.model.width=9'),
                  JAX_ENABLE_COMPILATION_CACHE='false')
  for line in process.stdout:
    if line.startswith('compiling'):
      break
  time.sleep(0.5)
  process.send_signal(signal.SIGTERM)
  (error,), seconds = stopped([process])
  assert seconds < 2 and error.count('\n') == 1 and 'nothing is lost' in error


@pytest.mark.slow
@pytest.mark.parametrize('where, signalled', [('nothing', 1), ('evaluating', 0),
                                              ('sampling', 0), ('compiling', 1), ('leaving', 0)])
def test_two_processes_stop_together_whoever_is_told(where, signalled, tmp_path, data_dir):
  # Only one process gets the signal; where process 0 alone is busy, it listens for both.
  flags = ('--config.num_steps=100000', '--config.sample_every=4')
  seconds = {'compiling': 5, 'leaving': 3}.get(where, LONG)
  processes = start_together(script(where, tmp_path, data_dir, *flags, seconds=seconds))
  if where in ('nothing', 'leaving'):
    wait_for_step(processes[0], 8)
  else:
    wait_for(processes[signalled if where == 'compiling' else 0], 'now')
  processes[signalled].send_signal(signal.SIGTERM)
  said, _ = stopped(processes)
  steps = {error.split('stopped at step ')[1].split(':')[0] for error in said}
  assert steps == {str(saved_step(tmp_path))}


@pytest.mark.slow
@pytest.mark.parametrize('signalled', [(1, 0), (0,)])
def test_two_processes_are_told_while_the_first_measures_the_end(signalled, tmp_path, data_dir):
  processes = start_together(script('measuring the end', tmp_path, data_dir,
                                    '--config.evaluate_every=0'))
  wait_for(processes[0], 'now')
  time.sleep(2)  # until the other has nothing left to do
  for i in signalled:
    processes[i].send_signal(signal.SIGTERM)
    time.sleep(1)
  began = time.monotonic()
  said = [process.communicate(timeout=60)[1] for process in processes]
  assert [process.returncode for process in processes] == [75, 0], said
  assert time.monotonic() - began < 30 and f'all {STEPS} steps so far are saved' in said[0]


@pytest.mark.slow
def test_the_first_of_two_processes_is_told_in_the_last_step(tmp_path, data_dir):
  """The other process has nothing left to do; the next run does what was left out."""
  processes = start_together(script('sampling', tmp_path, data_dir, '--config.sample_every=0'))
  wait_for(processes[0], 'now')
  processes[0].send_signal(signal.SIGTERM)
  errors_said = [process.communicate(timeout=60)[1] for process in processes]
  assert [process.returncode for process in processes] == [75, 0], errors_said
  assert f'all {STEPS} steps so far are saved' in errors_said[0]
  assert saved_step(tmp_path) == STEPS and not scores.latest(str(tmp_path), step=STEPS)
  run(tmp_path, data_dir, '--config.sample_every=0', processes=2)
  assert list(samples(tmp_path)) == [f'{STEPS:08d}.png']
  assert scores.latest(str(tmp_path), step=STEPS)


@pytest.mark.slow
def test_what_only_the_first_of_two_processes_cannot_do_ends_both(tmp_path, data_dir):
  began = time.monotonic()
  first, second = start_together(script('failing', tmp_path, data_dir))
  error = first.communicate(timeout=240)[1]
  assert first.returncode == 2 and 'error: it cannot be measured' in error
  second.communicate(timeout=60)
  # The second would wait for 300 seconds for one that does not come.
  assert second.returncode != 0 and time.monotonic() - began < 290
  assert saved_step(tmp_path) == 4  # everything that was done


@pytest.mark.slow
def test_what_two_processes_saved_goes_on_with_one_and_with_four(tmp_path, data_dir):
  flags = ('--config.sample_every=0', '--config.evaluate_every=0', '--config.evaluators=',
           '--config.batch_size=4',  # not Adam, which magnifies rounding errors to its step size
           *(f'--config.optimizers.{player}.{field}' for player in ('autoencoder', 'discriminator')
             for field in ('name=sgd', 'learning_rate=0.01')))
  run(tmp_path / '2', data_dir, *flags, processes=2)
  before, states = newest(str(tmp_path / '2')), {}
  assert before[0] == STEPS
  for processes in (1, 4):
    shutil.copytree(tmp_path / '2', tmp_path / str(processes))
  for processes in (1, 2, 4):
    workdir = tmp_path / str(processes)
    said = run(workdir, data_dir, *flags, f'--config.num_steps={STEPS + 2}', processes=processes)
    assert f'resuming at step {STEPS}' in said
    step, *states[processes] = newest(str(workdir))
    assert step == STEPS + 2
  moved = jax.tree.map(lambda x, y: np.abs(x - y).max(),
                       states[2][0]['params'], before[1]['params'])
  assert max(jax.tree.leaves(moved)) > 1e-3
  for processes in (1, 4):  # as with two processes, up to the order of sums
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5),
                 states[processes][0], states[2][0])


@pytest.mark.slow
def test_kill_9_at_random_moments_changes_no_bit(tmp_path, data_dir):
  """Runs benchmarks/kill_runs.py, with fewer kills than the README's."""
  result = subprocess.run(
      [sys.executable, 'benchmarks/kill_runs.py', '--config=configs/quickstart.py:smoke',
       '--kills=5', '--steps=40', f'--log={tmp_path}/log', '--',
       f'--config.data.data_dir={data_dir}'],
      cwd=ROOT, env=environment(), text=True, capture_output=True, check=False)
  assert result.returncode == 0, result.stderr
  figures = json.loads(result.stdout)
  assert figures['state_is_bitwise_equal'] and figures['metrics_are_equal']
  assert sum(figures[f'while_{x}'] for x in ('starting', 'training', 'saving')) == 5
  assert figures['while_saving'] >= 1 and figures['lost_steps'] <= 2 * figures['checkpoint_every']
  assert len((tmp_path / 'log').read_text().splitlines()) == 5


@pytest.fixture
def passed_signals():
  """The signals that a StopRequest passes on when it is closed."""
  heard = []
  before = signal.signal(signal.SIGTERM, lambda *_: heard.append(True))
  yield heard
  signal.signal(signal.SIGTERM, before)


def test_processes_agree_two_steps_later(passed_signals, monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  stop, mine = stopping.StopRequest(), []

  def any_process(flag):  # the other process gets the signal before its third step
    mine.append(flag)
    return np.asarray(flag or len(mine) == 3)
  assert [stop.reached(any_process) for _ in range(6)] == 4 * [False] + [True, False]
  os.kill(os.getpid(), signal.SIGTERM)  # does not end it at once, though nothing is unsaved
  assert mine == 6 * [False]
  assert [stop.reached(any_process) for _ in range(3)] == [False, False, True]
  with pytest.raises(errors.Preempted):
    stop.poll()
  stop.close()
  assert passed_signals


def test_a_stop_in_the_last_step_is_not_passed_on_to_a_command_that_loaded(monkeypatch):
  codes = []
  monkeypatch.setattr(os, '_exit', codes.append)
  before = signal.signal(signal.SIGTERM, maskgan_jax.end_before_work)
  try:
    stop = stopping.StopRequest()
    stop.unsaved = True
    os.kill(os.getpid(), signal.SIGTERM)
    stop.close()
    assert stop.requested and signal.getsignal(signal.SIGTERM) is maskgan_jax.end_before_work
  finally:
    signal.signal(signal.SIGTERM, before)
  assert not codes, 'the run is still to be measured'


def test_any_over_devices():
  engine = parallel.Parallel('jit')
  assert [bool(engine.any(flag)) for flag in (False, True, False)] == [False, True, False]


def test_a_stop_is_heard_beside_a_function(passed_signals):
  stop = stopping.StopRequest()
  stop.unsaved = True
  assert stop.hearing(lambda: 7) == 7
  with pytest.raises(ZeroDivisionError):
    stop.hearing(lambda: 1 / 0)

  def long():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(3)
  began = time.monotonic()
  with pytest.raises(errors.Preempted):
    stop.hearing(long)
  assert time.monotonic() - began < 2
  assert stop.hearing(lambda: time.sleep(0.3) or 8, drop=False) == 8
  stop.close()
  assert passed_signals
