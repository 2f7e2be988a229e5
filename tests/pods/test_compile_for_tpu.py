"""Programs compiled without a TPU, what is read from them, and the communication model.

Tests with libtpu are skipped where it is not installed; they need no TPU.
"""

import dataclasses
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from helpers import commands
from helpers.paths import ROOT
from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.compile_for_tpu import chips as tpu_chips
from maskgan_jax.compile_for_tpu import figures as figures_lib
from maskgan_jax.compile_for_tpu import programs as programs_lib
from maskgan_jax.compile_for_tpu import tables
from maskgan_jax.training import train_step

CONFIGS = {'adain': 'adain_digits.py:embedded,smoke', 'additional_mask': 'circle_square.py:smoke',
           'aggan': 'avatars_benchmark.py:aggan,smoke', 'content_transfer': 'quickstart.py:smoke',
           'drit': 'drit_digits.py:embedded,smoke', 'egsc_it': 'digits_single.py:embedded,smoke',
           'gatys': 'gatys_digits.py:embedded,smoke', 'lomit': 'avatars_hair_color.py:smoke',
           'munit': 'munit_digits.py:embedded,smoke', 'press': 'press_avatars_glasses.py:smoke',
           'stargan': 'avatars_benchmark.py:stargan,smoke',
           'ugatit': 'avatars_benchmark.py:ugatit,smoke', 'unit': 'unit_digits.py:embedded,smoke',
           'wct': 'wct_digits.py:embedded,smoke'}


def smoke(method):
  return run_config.read_file(os.path.join(ROOT, 'configs', CONFIGS[method]))


@pytest.fixture
def libtpu():
  """Skips without libtpu."""
  pytest.importorskip('libtpu')


# The published figures and the model of an all-reduce.

@pytest.mark.parametrize('text, chips', [('v5e:16x16', 256), ('v4:2x2x4', 16), ('v6e:1x1', 1),
                                         ('v5p:4x4x8', 128)])
def test_slices_by_name(text, chips):
  where = tpu_chips.parse(text)
  assert where.chips == chips and where.name == text


@pytest.mark.parametrize('text, part', [
    ('v5:2x2', "did you mean 'v5"), ('v5e', '2 sides'), ('v5e:4', '2 sides'),
    ('v4:2x2', '3 sides, such as v4:2x2x4'), ('v5e:2x2x2', '2 sides'), ('v5e:3x4', 'even'),
    ('v5e:axb', '2 sides'), ('v5e:0x4', '1 to 8,192'), ('v5e:-2x4', '2 sides'),
    ('', 'unknown chip')])
def test_slices_that_are_none(text, part):
  with pytest.raises(errors.UserError, match=part):
    tpu_chips.parse(text)


@pytest.mark.parametrize('chip', tpu_chips.CHIPS.values(), ids=lambda chip: chip.name)
def test_slices_to_scale_over_go_from_1_to_256_chips(chip):
  counts = [tpu_chips.Slice(chip, shape).chips for shape in chip.shapes]
  assert counts[0] == 1 and counts[-1] == 256 and counts == sorted(counts)
  for shape in chip.shapes:
    assert tpu_chips.parse(tpu_chips.Slice(chip, shape).name).shape == shape


@pytest.mark.parametrize('topology, links, hops', [
    ('v5e:2x2', 2, 1 + 1), ('v5e:4x8', 2, 3 + 7), ('v5e:8x16', 3, 7 + 8), ('v5e:16x16', 4, 16),
    ('v4:2x2x1', 2, 2), ('v4:2x4x4', 5, 1 + 2 + 2), ('v5p:4x4x4', 6, 6)])
def test_an_all_reduce_by_hand(topology, links, hops):
  where, size, count = tpu_chips.parse(topology), 1e9, 7
  n = where.chips
  expected = 2 * (n - 1) / n * size / (links * where.chip.link) + 2 * hops * count * 1e-6
  assert where.all_reduce_seconds(count, size) == pytest.approx(expected)


def test_one_chip_reduces_nothing_and_more_chips_take_longer():
  v5e = tpu_chips.CHIPS['v5e']
  times = [tpu_chips.Slice(v5e, shape).all_reduce_seconds(10, 1e6) for shape in v5e.shapes]
  assert times[0] == 0 and min(times[1:]) > 0 and times[-1] > times[1]


def test_time_is_that_of_what_takes_longest():
  where = tpu_chips.parse('v5e:2x2')
  assert where.compute_seconds(197e12, 0) == pytest.approx(1)
  assert where.compute_seconds(1, 819e9) == pytest.approx(1)


# What is read from a program's text.

TEXT = """HloModule jit_step, entry_computation_layout={(f32[2]{0})->f32[2]{0}}

%add (x: f32[], y: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%x, %y)
}

%body.1 (p: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %all-reduce.7 = f32[8,4]{1,0:T(8,128)} all-reduce(%x), channel_id=3, to_apply=%add
  ROOT %t = (s32[], f32[8,4]) tuple(%i, %all-reduce.7)
}

%condition.1 (p: (s32[], f32[8,4])) -> pred[] {
  ROOT %less = pred[] compare(%i, %n)
}

ENTRY %main.9 (p0: f32[2]) -> f32[2] {
  %all-reduce.1 = (f32[2,32]{1,0:T(2,128)S(1)}, bf16[16]{0}) all-reduce(%a, %b), to_apply=%add
  %all-reduce-start.2 = f32[100]{0} all-reduce-start(%c), channel_id=2, to_apply=%add
  %all-reduce-done.2 = f32[100]{0} all-reduce-done(%all-reduce-start.2)
  %all-gather.5 = f32[64]{0} all-gather(%d), channel_id=4, dimensions={0}
  %while.1 = (s32[], f32[8,4]) while(%t), condition=%condition.1, body=%body.1, \
backend_config={"known_trip_count":{"n":"5"},"x":"y"}
  %fusion.1 = f32[2]{0} fusion(%p0), kind=kLoop, calls=%add
  ROOT %r = f32[2] get-tuple-element(%all-reduce.1), index=0
}
"""


def test_collectives_are_counted_with_their_bytes_and_their_loops():
  count, size, others = programs_lib.collectives(TEXT)
  assert count == 1 + 1 + 5
  assert size == 4 * 64 + 2 * 16 + 4 * 100 + 5 * 4 * 32
  assert others == {'all-gather': 1}


def test_a_program_that_is_too_large_says_by_how_much():
  error = programs_lib._does_not_fit('critic', tpu_chips.parse('v5e:2x2'), (
      'RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm. '
      'Used 17.50G of 15.75G hbm. Exceeded hbm capacity by 1.75G.'))
  assert error.needed == 17.5 * 2 ** 30 and error.limit == 15.75 * 2 ** 30
  assert 'critic does not fit a chip of v5e:2x2: it needs 17.5 GiB of the 15.8' in str(error)


@pytest.mark.parametrize('memory_of, start, most', [
    (lambda b: 1.0 + 0.5 * b, 4, 30), (lambda b: 1.0 + 0.5 * b, 64, 30),
    (lambda b: 10 + 5 * b, 1, 1), (lambda b: 17.0 + b, 8, 0), (lambda b: 3.9 * b, 1, 4)])
def test_the_largest_batch_is_the_largest(monkeypatch, memory_of, start, most):
  """Chips have 16 GiB; `memory_of` gives the GiB for a number of examples per chip."""
  config, where, tried = smoke('content_transfer'), tpu_chips.parse('v5e:2x2'), []
  config.batch_size = start * where.chips

  def programs(config, where):
    tried.append(config.batch_size // where.chips)
    needed = memory_of(tried[-1]) * 2 ** 30
    if needed > where.chip.memory:
      raise programs_lib.DoesNotFitError('no', needed, where.chip.memory)
    return [type('Program', (), {'memory': needed})]
  monkeypatch.setattr(programs_lib, 'programs', programs)
  assert figures_lib.largest_batch(config, where) == most
  assert len(tried) == len(set(tried)) <= 6
  assert config.batch_size == start * where.chips, "the caller's config stays as it was"


def test_rows_of_sizes_are_printed_as_they_come(monkeypatch, capsys):
  config, where = smoke('content_transfer'), tpu_chips.parse('v5e:2x2')
  printed = []

  def programs(config, where):
    printed.append(capsys.readouterr().out)
    if config.image_size == 32 and not config.remat:
      raise programs_lib.DoesNotFitError('no', 17 * 2 ** 30, where.chip.memory)
    return [programs_lib.Program('critic', 1.0, 0, 0.0, 0.0, config.image_size * 2 ** 25,
                                  2 ** 28, 0, 0, {}, 0.0)]
  monkeypatch.setattr(programs_lib, 'programs', programs)
  tables.print_sizes(config, where, figures_lib.memory_by_size(config, where, [16, 32]))
  printed.append(capsys.readouterr().out)
  assert 'memory of one chip of 16.00 GiB' in printed[0] and '| pixels |' in printed[0]
  assert [text.strip() for text in printed[1:]] == [
      '| 16 | no | 0.50 | 0.25 | yes | critic |', '| 16 | yes | 0.50 | 0.25 | yes | critic |',
      '| 32 | no | 17.00 |  | no |  |', '| 32 | yes | 1.00 | 0.25 | yes | critic |']


# The compiler itself.

def compiled(method, topology, *flags, cache):
  """Runs the command on a method's small config, which libtpu may abort."""
  return subprocess.run(
      [sys.executable, '-m', 'maskgan_jax.compile_for_tpu', f'--topology={topology}', '--json',
       '--pictures=4', f'--config=configs/{CONFIGS[method]}', *flags], cwd=ROOT, text=True,
      capture_output=True, check=False, env={**os.environ, 'XDG_CACHE_HOME': str(cache)})


# Chips of two cores compile other programs: for LOMIT, where libtpu fails, and for one more.
PODS = [*[(name, 'v5e:2x4') for name in methods.names()],
        ('content_transfer', 'v4:2x2x2'), ('lomit', 'v4:2x2x2')]


@pytest.mark.slow
@pytest.mark.parametrize('name, topology', PODS)
def test_every_method_compiles_for_a_pod(name, topology, libtpu, tmp_path):
  result = compiled(name, topology, cache=tmp_path)
  if (name, topology) == ('lomit', 'v4:2x2x2') and result.returncode:
    # libtpu 0.0.42 to 0.0.50 abort on its critic for chips of two cores; the message says so.
    assert result.returncode == 2 and result.stderr.count('\n') == 1
    assert result.stderr.startswith('error: libtpu was ended by signal 6')
    return
  assert result.returncode == 0, result.stderr
  figures, config = json.loads(result.stdout), smoke(name)
  *programs, translation = figures['programs']
  method = methods.make(config)
  played = [p['name'].split(' + ') for p in programs]
  assert {player for names in played for player in names} == {p.name for p in method.players}
  for stage in {p['stage'] for p in programs}:
    assert sum(p['share'] for p in programs if p['stage'] == stage) == pytest.approx(1)
  state = jax.eval_shape(lambda: train_step.init_state(
      method, train_step.make_optimizers(method, config), config))
  sizes = {p.name: 4 * sum(np.prod(leaf.shape) for g in p.owns
                           for leaf in jax.tree.leaves(state.params[g])) for p in method.players}
  for program, names in zip(programs, played, strict=True):
    gradients = sum(sizes[name] for name in names)
    # Every gradient is summed over chips, and little besides: statistics, means, norms.
    assert 0.99 * gradients <= program['reduced'] < gradients + 3e5
    assert program['flops'] > 0 and 0 < program['memory'] < figures['chip_memory']
  assert translation['reductions'] == 0 and translation['flops'] > 0


@pytest.mark.slow
def test_a_chip_does_the_same_on_any_number_of_chips(libtpu, tmp_path):
  """The weak-scaling table rests on this."""
  programs = []
  for topology in ('v5e:2x2', 'v5e:4x8', 'v5e:16x16'):
    result = compiled('content_transfer', topology, '--batch_per_chip=2', cache=tmp_path)
    assert result.returncode == 0, result.stderr
    programs.append(json.loads(result.stdout)['programs'][0])
  for program in programs[1:]:
    assert program['reduced'] == programs[0]['reduced']
    assert program['reductions'] == programs[0]['reductions']
    assert program['flops'] == pytest.approx(programs[0]['flops'], rel=0.02)
    # In a program this small, the buffers of the all-reduces are a noticeable part.
    assert program['memory'] == pytest.approx(programs[0]['memory'], rel=0.2)


@pytest.mark.slow
def test_the_command_and_what_it_knows_the_second_time(libtpu, tmp_path):
  first = compiled('content_transfer', 'v5e:2x2', cache=tmp_path)
  assert first.returncode == 0 and not first.stderr, first.stderr
  figures = json.loads(first.stdout)
  assert [row['chips'] for row in figures['weak_scaling']] == [1, 4, 8, 16, 32, 64, 128, 256]
  assert figures['weak_scaling'][0]['efficiency'] == 1
  assert [p['name'] for p in figures['programs']] == ['autoencoder + discriminator',
                                                      'translate 4 pictures']
  kept = sorted(os.listdir(tmp_path / 'maskgan_jax' / 'tpu_programs'))
  assert len(kept) == 2
  second = compiled('content_transfer', 'v5e:2x2', '--nojson', cache=tmp_path)
  assert 'Weak scaling' in second.stdout and '| v5e:16x16 | 256 | 512 |' in second.stdout
  assert sorted(os.listdir(tmp_path / 'maskgan_jax' / 'tpu_programs')) == kept
  # A damaged file is ignored.
  (tmp_path / 'maskgan_jax' / 'tpu_programs' / kept[0]).write_text('{')
  assert json.loads(
      compiled('content_transfer', 'v5e:2x2', cache=tmp_path).stdout)['flops'] == figures['flops']


@pytest.mark.parametrize('flags, parts', [
    ([], ['--topology must be given']),
    (['--topology=v9:2x2'], ['unknown chip']),
    (['--topology=v5e:4x4'], ['batch_size (8) must be divisible by 16 devices']),
    (['--topology=v5e:2x2', '--config.parallel=pmap'], ["only 'jit' is compiled ahead"]),
    (['--topology=v5e:2x2', '--image_sizes=x'], ["'x' is not a number of pixels"]),
    (['--topology=v5e:2x2', '--batch_per_chip=-1'], ['batch_per_chip'])])
def test_mistakes_are_one_line(flags, parts):
  if flags[:1] != [] and 'v9' not in flags[0]:
    pytest.importorskip('libtpu')
  commands.fails(commands.run(
      'compile_for_tpu', f'--config=configs/{CONFIGS["content_transfer"]}', *flags), *parts)


def test_without_libtpu_it_says_what_to_install(monkeypatch):
  from jax.experimental import topologies

  def absent(**_):
    raise RuntimeError('Unable to find libtpu')
  monkeypatch.setattr(topologies, 'get_topology_desc', absent)
  monkeypatch.setattr(programs_lib, '_libtpu', lambda: 'none')
  with pytest.raises(errors.UserError, match=r'pip install'):
    programs_lib.devices_of(tpu_chips.parse('v5e:2x2'))


def test_a_slice_of_another_shape_is_the_same_chip():
  where = tpu_chips.parse('v5e:2x2')
  assert dataclasses.replace(where, shape=(1, 1)).name == 'v5e:1x1'
