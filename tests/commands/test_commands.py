"""Commands as users type them: help, one clear line with exit code 2, files only as requested."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import tempfile

from absl import app
import jax.numpy as jnp
import pytest

from helpers.commands import fails, ROOT, run, SMOKE
from maskgan_jax import cli, config, errors, files, methods
from maskgan_jax.pretrained_networks import files as weights
from maskgan_jax.training import warm_start


@pytest.mark.parametrize('verb', ['train', 'evaluate', 'translate', 'check_data',
                                  'import_weights', 'benchmark', 'sweep', 'user_study', 'tables',
                                  'train_classifier', 'picture_benchmark', 'compile_for_tpu',
                                  'demo', 'export'])
def test_help(verb):
  result = run(verb, '--help')
  assert result.returncode == 0 and f'python -m maskgan_jax.{verb}' in result.stdout


def test_help_may_be_cut_short():
  process = subprocess.Popen([sys.executable, '-m', 'maskgan_jax.train', '--help'],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
  process.stdout.close()
  assert b'Traceback' not in process.communicate(timeout=120)[1]


def test_a_tilde_is_the_home_folder(monkeypatch):
  monkeypatch.setenv('HOME', '/h')
  parsed = []
  monkeypatch.setattr(app, 'run', lambda call, flags_parser: flags_parser(
      ['train', '--workdir=~/runs/a', '--runs=~/a,b,~/c', '--other=paper=~/x.csv', '~/f.pth', '~',
       '--config=~/c.py:smoke', '--config.data.a=~B', '--config.data.path=~/d', '--what=a~/b']))
  monkeypatch.setattr(config, 'parse_flags', lambda argv: parsed.extend(argv) or argv)
  cli.run(print, positional=True)
  assert parsed == ['train', '--workdir=/h/runs/a', '--runs=/h/a,b,/h/c', '--other=paper=/h/x.csv',
                    '/h/f.pth', '/h', '--config=/h/c.py:smoke', '--config.data.a=~B',
                    '--config.data.path=~/d', '--what=a~/b']


def test_a_tilde_in_the_configs_keys(monkeypatch, tmp_path):
  monkeypatch.setenv('HOME', str(tmp_path))
  made = config.default('egsc_it')
  config.smoke(made)
  made.update(init_from='~/first')
  with pytest.raises(errors.UserError, match=f'{tmp_path}/first is not a run'):
    warm_start.parameters(methods.make(made), made)
  with pytest.raises(errors.UserError, match=f'{tmp_path}/vgg'):
    weights.read_vgg19('~/vgg.safetensors')


@pytest.mark.parametrize('flags, parts', [
    (['--workdir=w'], ['no config given', '--config=configs/quickstart.py']),
    (['--config=configs/quikstart.py', '--workdir=w'], ["did you mean 'configs/quickstart.py'"]),
    ([SMOKE], ['--workdir']),
    ([SMOKE, '--workdir=w', '--config.batch_sise=8'], ["did you mean 'batch_size'"]),
    ([SMOKE, '--workdir=w', '--config.model.wdth=8'], ["did you mean 'model.width'"]),
    ([SMOKE, '--workdir=w', '--config.num_steps=two'], ['num_steps', "'two'"]),
    ([SMOKE, '--wrkdir=w'], ['wrkdir']),
    ([SMOKE, '--workdir=w', 'stray'], ["'stray'"]),
    ([SMOKE, '--workdir=w', '--config.evaluators=truht'], ["did you mean 'truth'"]),
    ([SMOKE, '--workdir=w', '--config.method=content_transfr'], ["did you mean"]),
    ([SMOKE, '--workdir=gs://bucket/run'], ['gs://bucket/run']),
    ([SMOKE, '--workdir=w', '--config.batch_size=0'], ['batch_size=0 must be at least 1']),
    ([SMOKE, '--workdir=w', '--config.log_every=0'], ['log_every=0']),
    ([SMOKE, '--workdir=w', '--config.seed=2147483648'], ['seed=2147483648', '2147483647']),
    (['--config', 'configs/quikstart.py', '--workdir=w'], ["did you mean 'configs/quickstart.py'"]),
])
def test_trains_mistakes(flags, parts):
  fails(run('train', *flags), *parts)
  assert not os.path.exists(os.path.join(ROOT, 'w'))


@pytest.mark.parametrize('text, part', [
    ('def get_config(', 'line 1: SyntaxError'),
    ('import nothing_of_that_name', 'line 1: ModuleNotFoundError'),
    ('x = 1', 'no get_config()'),
    ('def get_config():\n  return 5', 'returns a int'),
    ('from maskgan_jax.runs import config\ndef get_config():\n'
     '  c = config.default("content_transfer")\n  c.batchsize = 3\n  return c', 'batch_size'),
])
def test_config_files_that_are_wrong(tmp_path, text, part):
  path = tmp_path / 'mine.py'
  path.write_text(text)
  fails(run('train', f'--config={path}', f'--workdir={tmp_path}/w'), str(path), part)


def test_a_workdir_that_cannot_be_written(tmp_path, data_dir):
  (tmp_path / 'file').write_text('not a folder')
  fails(run('train', SMOKE, f'--workdir={tmp_path}/file/run', f'--config.data.data_dir={data_dir}'),
        str(tmp_path / 'file'))


def test_evaluate_and_translate_before_training(tmp_path):
  fails(run('evaluate', f'--workdir={tmp_path}', '--once'), 'is not a run', 'train')
  fails(run('translate', f'--workdir={tmp_path}', '--source=a.png', '--exemplar=b.png',
            f'--output={tmp_path}/c.png'), 'is not a run')


def test_a_lack_of_memory_is_one_line_with_what_helps():
  with pytest.raises(Exception, match='RESOURCE_EXHAUSTED') as caught:
    jnp.zeros(1 << 45, jnp.uint8).block_until_ready()
  line = cli._message(caught.value, cli.TRAINING_MEMORY)
  assert line.startswith('out of memory (Out of memory allocating 32768.00 GiB); lower config.')
  for key in ('batch_size', 'accumulate', 'remat', 'steps_per_dispatch', 'evaluation_batch_size'):
    assert f'config.{key}' in line
  chained = RuntimeError('a thread failed')
  chained.__cause__ = MemoryError('Unable to allocate 3 GiB for an array')
  for error, reason in ((MemoryError(), 'the system gives no more'),
                        (OSError(errno.ENOMEM, 'Cannot allocate memory'), 'Cannot allocate'),
                        (chained, 'Unable to allocate 3 GiB')):
    line = cli._message(error, 'buy more')
    assert line.startswith('out of memory (') and reason in line and line.endswith('; buy more')
  user = errors.UserError('the program does not fit')
  user.__cause__ = caught.value
  assert cli._message(user, '') == 'the program does not fit'
  assert cli._message(ValueError('a bug'), '') == ''


def test_nohup_keeps_a_page():
  handlers = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
  try:
    for number in handlers:
      signal.signal(number, signal.SIG_IGN)
    cli.end_at_once_on(*handlers)
    heard = [signal.getsignal(number) != signal.SIG_IGN for number in handlers]
  finally:
    for number, handler in handlers.items():
      signal.signal(number, handler)
  assert heard == [False, True]


_HOLDS = """
import signal, sys, time
from maskgan_jax import cli, files
cli.end_at_once_on(signal.SIGINT, signal.SIGTERM)
folder = files.ProcessFolder('maskgan_jax_test_')
open(folder.name + '/face.png', 'w').close()
with files.folder_atomically(sys.argv[1]):
  print(folder.name, flush=True)
  time.sleep(60)
"""


def test_temporary_folders_go_with_their_process_and_those_of_the_killed_with_the_next(
    tmp_path, monkeypatch):
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
  (tmp_path / 'maskgan_jax_test_mine').mkdir()  # of no process, by its contents
  processes = {number: subprocess.Popen(
      [sys.executable, '-c', _HOLDS, f'{tmp_path}/output_{number:d}'], stdout=subprocess.PIPE,
      stderr=subprocess.PIPE, cwd=ROOT, env={**os.environ, 'TMPDIR': str(tmp_path)}, text=True)
      for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGCONT)}
  names = {number: process.stdout.readline().strip() for number, process in processes.items()}
  for number, process in processes.items():
    process.send_signal(number)
    if number != signal.SIGCONT:
      _, printed = process.communicate(timeout=60)
      code = -number if number == signal.SIGKILL else 128 + number
      assert process.returncode == code and 'Traceback' not in printed
      assert os.path.exists(names[number]) == (number == signal.SIGKILL)
      left = [name for name in os.listdir(tmp_path) if name.startswith(f'.output_{number:d}')]
      assert len(left) == (number == signal.SIGKILL)
  folder = files.ProcessFolder('maskgan_jax_test_')
  assert not os.path.exists(names[signal.SIGKILL])
  assert os.path.exists(names[signal.SIGCONT] + '/face.png')  # its process lives
  assert os.path.exists(tmp_path / 'maskgan_jax_test_mine')
  processes[signal.SIGCONT].kill()
  processes[signal.SIGCONT].communicate()
  path = folder.name
  del folder
  assert not os.path.exists(path)


@pytest.mark.slow
def test_benchmark_prints_one_json_line(data_dir):
  result = run('benchmark', SMOKE, '--seconds=0.2', f'--config.data.data_dir={data_dir}')
  assert result.returncode == 0, result.stderr
  figures = json.loads(result.stdout)
  assert figures['step_ms'] > 0 and figures['gflop_per_step'] > 0
  assert figures['program_mb'] > 0 and 0 <= figures['input_wait_share'] <= 1
  assert figures['images_per_second'] == pytest.approx(8e3 / figures['step_ms'], rel=0.02)


def test_names_of_any_letters_are_printed_on_any_terminal(monkeypatch):
  written = io.BytesIO()
  monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(written, 'ascii', write_through=True))
  monkeypatch.setattr(cli.app, 'run', lambda call, flags_parser: call(['name']))
  monkeypatch.setattr(cli.signal, 'signal', lambda *unused: None)
  monkeypatch.setattr(cli, '_cache_compilations', lambda: None)
  cli.run(lambda: print('wrote 照片__\udcff.png'))
  assert written.getvalue() == b'wrote \\u7167\\u7247__\\udcff.png\n'
