"""Commands as typed: help, one clear line and exit code 2, files only where they were asked for."""

import json
import os
import subprocess
import sys

from absl import app
import pytest

from helpers.commands import fails, ROOT, run, SMOKE
from maskgan_jax import commandline, errors, methods
from maskgan_jax.runs import config, warm_start, weights


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
  commandline.run(print, positional=True)
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
    ([SMOKE, '--workdir=w', '--config.batch_size=0'], ['batch_size is 0']),
    ([SMOKE, '--workdir=w', '--config.log_every=0'], ['log_every is 0']),
    ([SMOKE, '--workdir=w', '--config.seed=2147483648'], ['seed', '2**31']),
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


@pytest.mark.slow
def test_benchmark_prints_one_json_line(data_dir):
  result = run('benchmark', SMOKE, '--seconds=0.2', f'--config.data.data_dir={data_dir}')
  assert result.returncode == 0, result.stderr
  figures = json.loads(result.stdout)
  assert figures['step_ms'] > 0 and figures['gflop_per_step'] > 0
  assert figures['program_mb'] > 0 and 0 <= figures['input_wait_share'] <= 1
  assert figures['images_per_second'] == pytest.approx(8e3 / figures['step_ms'], rel=0.02)
