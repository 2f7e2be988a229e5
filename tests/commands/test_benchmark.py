"""The command `benchmark`."""

import glob
import json

import pytest

from helpers import commands
from helpers.training import small_config
from maskgan_jax.benchmark import measuring


def run(*flags):
  return commands.run('benchmark', *flags)


@pytest.mark.parametrize('flags, part', [
    (['--config=configs/quickstart.py:smoke', '--seconds=0'], '--seconds'),
    (['--config=configs/quickstart.py:smoke', '--profile=README.md'], '--profile=README.md')])
def test_mistakes_are_one_line(flags, part):
  result = run(*flags)
  assert result.returncode == 2 and not result.stdout
  line, = result.stderr.strip().splitlines()
  assert line.startswith('error: ') and part in line


@pytest.mark.slow
@pytest.mark.parametrize('first_stage, steps', [(True, range(2)), (False, range(2, 4))])
def test_a_cycle_of_the_first_or_the_last_stage_is_measured(first_stage, steps):
  config = small_config('egsc_it', num_steps=10)
  config.model.update(pretrain_steps=1, discriminator_every=2)
  benchmark = measuring._Benchmark(config, random_data=True, first_stage=first_stage)
  assert benchmark.steps == steps and benchmark.state.step == steps[0]


@pytest.mark.slow
def test_figures_and_a_trace(tmp_path):
  result = run('--config=configs/quickstart.py:smoke', '--random_data', '--seconds=0.1',
               f'--profile={tmp_path}/new')
  assert result.returncode == 0, result.stderr
  figures = json.loads(result.stdout)
  assert figures['step_ms'] >= figures['step_ms_best'] > 0
  assert figures['gflop_per_step'] > 0 and figures['program_mb'] > 0
  assert figures['profile'] == f'{tmp_path}/new' in result.stderr
  assert glob.glob(f'{tmp_path}/new/**/*.xplane.pb', recursive=True)
