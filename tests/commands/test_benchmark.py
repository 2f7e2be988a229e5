"""The benchmark's table and its profile."""

import glob
import json
from types import SimpleNamespace

import pytest

from helpers import commands
from maskgan_jax import errors
from maskgan_jax.benchmark import all_methods as benchmark_table
from maskgan_jax.benchmark import profile as step_profile

PROGRAM = """
%region_0.1 (a: f32[], b: f32[]) -> f32[] {
  ROOT %add.1 = f32[] add(%a, %b)
}

%fused_computation (p: f32[8,4]) -> f32[8,2] {
  %transpose.1 = f32[4,8]{1,0} transpose(%p), dimensions={1,0}
  ROOT %dot.9 = f32[8,2]{1,0} dot(%transpose.1, %w)
}

%fused_computation.1 (p: f32[8,4]) -> f32[4,8] {
  ROOT %transpose.2 = f32[4,8]{1,0} transpose(%p), dimensions={1,0}
}

%fused_computation.2 (p: f32[8,4]) -> f32[8,4] {
  ROOT %tanh.1 = f32[8,4]{1,0} tanh(%p)
}

ENTRY %main.9 (p: f32[8,4]) -> f32[8,4] {
  %p = f32[8,4]{1,0} parameter(0)
  %dot_fusion = f32[8,2]{1,0} fusion(%p), kind=kOutput, calls=%fused_computation, \
metadata={op_name="jit(step)/Linear_0/dot_general" source_file="x.py"}
  %copy_fusion = f32[4,8]{1,0} fusion(%p), kind=kLoop, calls=%fused_computation.1
  %tanh_fusion = f32[8,4]{1,0} fusion(%p), kind=kLoop, calls=%fused_computation.2
  %conv.3 = (f32[8]{0}, u8[0]{0}) custom-call(%p), custom_call_target="__cudnn$convForward"
  %gemm.3 = (f32[8]{0}, u8[0]{0}) custom-call(%p), custom_call_target="__cublas$gemm"
  %reduce.1 = f32[] reduce(%p, %zero), dimensions={0,1}, to_apply=%region_0.1
  %all-reduce-start.1 = f32[8]{0} all-reduce-start(%p), to_apply=%region_0.1
  %while.1 = (s32[], f32[8,4]) while(%t), condition=%c, body=%b
  ROOT %out = f32[8,4]{1,0} convolution(%p, %p)
}
"""


def test_instructions_are_of_the_kind_that_costs_most():
  found = step_profile.instructions(PROGRAM)
  kinds = {name: found[name].kind for name in (
      'dot_fusion', 'copy_fusion', 'tanh_fusion', 'conv.3', 'gemm.3', 'reduce.1',
      'all-reduce-start.1', 'while.1', 'out')}
  assert kinds == {
      'dot_fusion': 'matrix product', 'copy_fusion': 'copy and transpose',
      'tanh_fusion': 'elementwise and other', 'conv.3': 'convolution', 'gemm.3': 'matrix product',
      'reduce.1': 'reduction', 'all-reduce-start.1': 'collective', 'while.1': None,
      'out': 'convolution'}
  assert found['dot_fusion'].origin == 'jit(step)/Linear_0/dot_general'


@pytest.mark.parametrize('origin, part', [
    ('jit(step)/transpose(jvp(VGG19))/Conv_1/add_any', 'VGG19, backward'),
    ('jit(step)/jvp(VGG19)/Conv_1/add', 'VGG19, forward'),
    ('jit(step)/jvp()/abs', 'losses, forward'),
    ('jit(step)/transpose(jvp())/mul', 'losses, backward'), ('jit(step)/add', 'the rest'),
    ('', 'the rest')])
def test_operations_are_of_a_network(origin, part):
  assert step_profile.network(origin) == part


def test_times_are_those_of_the_programs_operations():
  def event(name, milliseconds, **stats):
    return SimpleNamespace(name=name, duration_ns=1e6 * milliseconds, stats=list(stats.items()))

  def plane(name, *lines):
    return SimpleNamespace(name=name, lines=[SimpleNamespace(name=n, events=e) for n, e in lines])
  known = step_profile.instructions(PROGRAM)
  data = SimpleNamespace(planes=[
      plane('/host:CPU', ('python', [event('step', 90)]),
            ('worker', [event('dot_fusion', 2, hlo_op='dot_fusion'),
                        event('end: dot_fusion', 7),
                        event('while.1', 50, hlo_op='while.1')])),
      plane('/device:GPU:0', ('XLA Ops', [event('out', 3, hlo_op='out'),
                                          event('out', 4, hlo_op='out')]),
            ('XLA Modules', [event('main', 100, hlo_op='out')]))])
  assert step_profile.operations(data, known) == {'dot_fusion': (0.002, 1),
                                                  'out': (pytest.approx(0.007), 2)}


ROW = {'method': 'lomit', 'precision': 'float32', 'batch_size': 8, 'image_size': 128,
       'image_width': 128, 'images_per_second': 1234.5, 'step_ms': 6.5, 'share_of_peak': 0.25,
       'program_mb': 8808.0, 'host_peak_mb': 1.0, 'compile_s': 100.4, 'torch_eager_ms': 13.0,
       'ratio_eager': 2.0, 'torch_compiled_error': 'no compiler | here', 'steps': 5,
       'torch_eager': '13.0 ms per step: PyTorch 2.13.0, eager, 2 threads', 'device': 'cpu',
       'cores': 2, 'jax': '0.10', 'python': '3.11'}


def test_the_table():
  text = benchmark_table.markdown([ROW, {'method': 'lomit', 'precision': 'bfloat16',
                                         'error': 'out of memory'}])
  head, rule, first, second, _, machine = text.splitlines()
  assert {line.count('|') for line in (head, rule, first, second)} == {13}
  assert [cell.strip() for cell in first.split('|')][1:10] == [
      'lomit', 'float32', '8 of 128x128', '1,234.5', '6', '25%', '8,808', '100', '13']
  assert '2.00' in first and 'failed: no compiler' in first and 'failed: out of memory' in second
  assert 'PyTorch 2.13.0' in machine and '2 cores' in machine and '5 steps' in machine


@pytest.mark.parametrize('methods, precisions, part', [
    (['lomitt'], ['float32'], "did you mean 'lomit'"), ([], ['float16'], 'bfloat16'),
    ([], [], '--precisions')])
def test_names_that_are_none(methods, precisions, part):
  with pytest.raises(errors.UserError, match=part):
    benchmark_table.show(methods, precisions, seconds=1)


def test_a_method_that_fails_is_a_row(monkeypatch, capsys):
  def fails(command, **_):
    return SimpleNamespace(returncode=1, stderr='a\nno memory', stdout='', args=command)
  monkeypatch.setattr(benchmark_table.subprocess, 'run', fails)
  monkeypatch.setattr(benchmark_table, '_compare', lambda: None)
  benchmark_table.show(['lomit', 'egsc_it'], ['float32'], seconds=1)
  said = capsys.readouterr()
  assert said.out.count('failed: no memory') == 2 and 'no memory' in said.err


def run(*flags):
  return commands.run('benchmark', *flags)


@pytest.mark.parametrize('flags, part', [
    (['--all', '--config=configs/quickstart.py'], '--config'),
    (['--all', '--profile=x'], 'profile'),
    (['--all', '--methods=nothing'], "unknown 'nothing'"),
    (['--config=configs/quickstart.py:smoke', '--seconds=0'], '--seconds'),
    (['--config=configs/quickstart.py:smoke', '--profile=README.md'], '--profile=README.md')])
def test_mistakes_are_one_line(flags, part):
  result = run(*flags)
  assert result.returncode == 2 and not result.stdout
  line, = result.stderr.strip().splitlines()
  assert line.startswith('error: ') and part in line


@pytest.mark.slow
def test_a_profile_says_where_the_time_goes(tmp_path):
  result = run('--config=configs/quickstart.py:smoke', '--random_data', '--seconds=0.1',
               f'--profile={tmp_path}/new')
  assert result.returncode == 0, result.stderr
  figures = json.loads(result.stdout)
  assert sum(figures['profile_shares'].values()) == pytest.approx(1, abs=0.01)
  assert figures['profile_shares']['matrix product'] > 0.02
  assert glob.glob(f'{tmp_path}/new/**/*.xplane.pb', recursive=True)
  with open(tmp_path / 'new' / 'profile.md', encoding='utf-8') as file:
    page = file.read()
  assert 'jvp(ConvDecoder)' in page and page.count('\n| ') > 20


@pytest.mark.slow
def test_a_small_table_of_one_method():
  result = run('--all', '--small', '--methods=content_transfer', '--seconds=0.1', '--format=json')
  assert result.returncode == 0, result.stderr
  first, second = map(json.loads, result.stdout.splitlines())
  assert (first['precision'], second['precision']) == ('float32', 'bfloat16')
  assert first['compile_cached'] is False and second['step_ms'] > 0
  try:
    import torch  # noqa: F401
  except ImportError:
    assert 'only ours is measured' in result.stderr and 'torch_eager_ms' not in first
  else:
    ratio = first['torch_eager_ms'] / first['step_ms']
    assert first['ratio_eager'] == pytest.approx(ratio, rel=0.01)
    assert 'torch_compiled_ms' in first or 'torch_compiled_error' in first
