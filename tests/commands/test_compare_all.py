"""benchmarks/compare_all.py: the table of all methods beside PyTorch."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from helpers.comparing import benchmark
from helpers.paths import ROOT
from helpers.processes import environment

ROW = {'method': 'lomit', 'precision': 'float32', 'batch_size': 8, 'image_size': 128,
       'image_width': 128, 'images_per_second': 1234.5, 'step_ms': 6.5, 'share_of_peak': 0.25,
       'program_mb': 8808.0, 'host_peak_mb': 1.0, 'compile_s': 100.4, 'torch_eager_ms': 13.0,
       'ratio_eager': 2.0, 'torch_compiled_error': 'no compiler | here', 'steps': 5,
       'torch_eager': '13.0 ms per step: PyTorch 2.13.0, eager, 2 threads', 'device': 'cpu',
       'cores': 2, 'jax': '0.10', 'python': '3.11'}


def test_the_table():
  text = benchmark('compare_all').markdown([ROW, {'method': 'lomit', 'precision': 'bfloat16',
                                         'error': 'out of memory'}])
  head, rule, first, second, _, machine = text.splitlines()
  assert {line.count('|') for line in (head, rule, first, second)} == {13}
  assert [cell.strip() for cell in first.split('|')][1:10] == [
      'lomit', 'float32', '8 of 128x128', '1,234.5', '6', '25%', '8,808', '100', '13']
  assert '2.00' in first and 'failed: no compiler' in first and 'failed: out of memory' in second
  assert 'PyTorch 2.13.0' in machine and '2 cores' in machine and '5 steps' in machine


@pytest.mark.parametrize('flag, part', [('--methods=lomitt', "unknown 'lomitt'"),
                                        ('--precisions=float16', 'float32, bfloat16'),
                                        ('--precisions=', "unknown ''")])
def test_names_that_it_does_not_know(flag, part, capsys):
  with pytest.raises(SystemExit) as end:
    benchmark('compare_all').main([flag])
  assert end.value.code == 2 and part in capsys.readouterr().err


def test_a_method_that_fails_is_a_row(monkeypatch, capsys):
  def fails(command, **_):
    return SimpleNamespace(returncode=1, stderr='a\nno memory', stdout='', args=command)
  monkeypatch.setattr(subprocess, 'run', fails)
  benchmark('compare_all').main(['--methods=lomit,egsc_it', '--precisions=float32', '--seconds=1'])
  said = capsys.readouterr()
  assert said.out.count('failed: no memory') == 2 and 'no memory' in said.err


@pytest.mark.slow
def test_a_small_table_of_one_method():
  command = [sys.executable, 'benchmarks/compare_all.py', '--small', '--methods=content_transfer',
             '--seconds=0.1', '--format=json']
  result = subprocess.run(command, cwd=ROOT, env=environment(), text=True, capture_output=True,
                          check=False)
  assert result.returncode == 0, result.stderr
  first, second = map(json.loads, result.stdout.splitlines())
  assert (first['precision'], second['precision']) == ('float32', 'bfloat16')
  assert first['compile_cached'] is False and second['step_ms'] > 0
  try:
    import torch  # noqa: F401
  except ImportError:
    assert 'only our steps are measured' in result.stderr and 'torch_eager_ms' not in first
  else:
    ratio = first['torch_eager_ms'] / first['step_ms']
    assert first['ratio_eager'] == pytest.approx(ratio, rel=0.01)
    assert 'torch_compiled_ms' in first or 'torch_compiled_error' in first
