"""Measures the train step and the input pipeline of a config; prints one JSON line.

  python -m maskgan_jax.benchmark --config=configs/quickstart.py
  python -m maskgan_jax.benchmark --config=configs/celeba_glasses.py --random_data
  python -m maskgan_jax.benchmark --config=configs/celeba_glasses.py --random_data --profile=trace
  python -m maskgan_jax.benchmark --all
  python -m maskgan_jax.benchmark --mask_regularizer

step_ms is the median time of a whole iteration (all players), batches at hand; images_per_second
follows from it. input_wait_share is the share of time that training with the real pipeline waits
for it, input_images_per_second what the pipeline alone supplies. share_of_peak is the compiler's
FLOP count over step time, against what a large matrix product reaches on this device in this type,
measured here. With a schedule (`every`) step_ms is that of an average iteration, step_ms_by_phase
has each of a cycle, and FLOPs and share_of_peak are those of the longest, in which most play. Where
a training has stages the last is measured, or with --first_stage the first. With
config.steps_per_dispatch several steps are one program, and step_ms is its time by their number.

compile_s is with nothing cached; where compile_cached is true, some programs were, and it is not.

With --profile=DIR some steps are traced into that folder, for TensorBoard or Perfetto; profile.md
beside the trace has the time by kind of operation and the operations that take longest.

With --all it is a table of all methods at their papers' settings, in float32 and bfloat16, beside
the same networks and steps in PyTorch, eager and compiled, where there are both PyTorch and this
project's benchmarks/ folder: see maskgan_jax/benchmark/all_methods.py.

With --mask_regularizer it is LOMIT's R1 instead, one line for each number of pixels: in linear time
and pair by pair, ms of value and gradient and the temporaries that the compiler accounts for.
"""

import itertools
import json
import math
import platform
import resource
import sys
import time

from absl import flags

from maskgan_jax import cli, errors
from maskgan_jax import config as run_config

_SECONDS = flags.DEFINE_float('seconds', 5.0, 'How long each measurement takes, at least.')
_RANDOM = flags.DEFINE_bool('random_data', False,
                            'Noise instead of data: only the step is measured.')
_FIRST = flags.DEFINE_bool('first_stage', False, 'Measures the first stage of the training.')
_REGULARIZER = flags.DEFINE_bool('mask_regularizer', False,
                                 'Measures the mask regulariser R1 instead; takes no config.')

_PROFILE = flags.DEFINE_string('profile', None, 'A folder that gets a trace of some steps.')
_ALL = flags.DEFINE_bool('all', False, "A table of all methods' papers' settings; takes no config.")
_METHODS = flags.DEFINE_list('methods', [], 'With --all: only these, with commas between.')
_PRECISIONS = flags.DEFINE_list('precisions', ['float32', 'bfloat16'], 'With --all: types that '
                                'networks compute in.')
_SMALL = flags.DEFINE_bool('small', False, 'With --all: tiny networks and pictures, to try it.')
_FORMAT = flags.DEFINE_enum('format', 'markdown', ['markdown', 'json'], 'With --all: a table, or '
                            'one JSON line a row.')


def main() -> None:
  if not _SECONDS.value > 0:
    raise errors.UserError(f'--seconds={_SECONDS.value} must be more than 0')
  if _ALL.value:
    if flags.FLAGS.config is not None or _REGULARIZER.value or _PROFILE.value:
      raise errors.UserError('--all measures every method: leave out --config, --mask_regularizer '
                             'and --profile')
    from maskgan_jax.benchmark import all_methods as benchmark_table
    benchmark_table.show(_METHODS.value, _PRECISIONS.value, seconds=_SECONDS.value,
                         small=_SMALL.value, as_json=_FORMAT.value == 'json')
    return
  if _PROFILE.value is not None:
    from maskgan_jax.benchmark import profile as step_profile
    step_profile.check_folder(_PROFILE.value)
  if _REGULARIZER.value:
    if flags.FLAGS.config is not None:
      raise errors.UserError('--mask_regularizer measures no config: leave out one or the other')
    from maskgan_jax.benchmark import regularizer as regularizer_benchmark
    for figures in regularizer_benchmark.measure(_SECONDS.value):
      print(json.dumps({**figures, **_machine()}), flush=True)
    return
  config = run_config.from_flags()
  print(json.dumps(measure(config, _SECONDS.value, random_data=_RANDOM.value,
                           first_stage=_FIRST.value, profile=_PROFILE.value)), flush=True)


def measure(config, seconds: float, *, random_data: bool = False, first_stage: bool = False,
            profile: str | None = None) -> dict:
  """The figures, by name; see this module's docstring."""
  import jax
  import numpy as np

  from maskgan_jax import methods
  from maskgan_jax.data import pipeline
  from maskgan_jax.training import parallel as parallel_lib
  from maskgan_jax.training import train_step
  parallel = parallel_lib.Parallel(config.parallel)
  parallel.check_batch(config.batch_size, config.accumulate)
  method = methods.make(config)
  # Those of other stages take no time, but would be counted as FLOPs.
  method.players = tuple(p for p in method.players
                         if (p.start == 0 if first_stage else p.end == 0))
  players = train_step.make_optimizers(method, config)
  draws, stride = train_step.draws_per_step(method), config.steps_per_dispatch
  if random_data:
    rng = np.random.default_rng(0)
    shape = (config.batch_size, *methods.base.image_shape(config), 3)
    batch = {d: rng.integers(0, 256, shape if draws == 1 else (draws, *shape), np.uint8)
             for d in ('a', 'b')}
    if config.data.attributes:
      labels = np.zeros((*shape[:1], len(config.data.attributes)), np.float32)
      labels = labels if draws == 1 else np.repeat(labels[None], draws, 0)
      batch.update(a_attributes=labels, b_attributes=labels)
    batches = itertools.repeat(batch)
  else:
    data = pipeline.make(config)
    batches = data.train(batch_size=config.batch_size, draws=draws)
  batch = parallel.take(batches, draws, stride)
  state = parallel.initialize(lambda: train_step.init_state(method, players, config))
  cycle = math.lcm(*(player.every for player in method.players))
  start = -(-max(player.start for player in method.players) // cycle) * cycle
  state = state.replace(step=parallel.replicate(np.int32(start)))
  step, _ = train_step.make_step(method, players, config)
  programs = parallel.compile(step, draws, stride)
  cached = []
  jax.monitoring.register_event_listener(
      lambda event, **_: cached.append(event) if event.endswith('/cache_hits') else None)
  began = time.perf_counter()
  phases = range(start, start + (cycle if stride == 1 else 1))
  compiled = {}
  for at in phases:
    game = programs.game_of(at)
    if game not in compiled:
      compiled[game] = programs.program(at).lower(state, batch, config.seed).compile()
  result = {'config': config.name, 'compile_s': round(time.perf_counter() - began, 2),
            'compile_cached': bool(cached)}
  turns = [compiled[programs.game_of(at)] for at in phases]

  rounds = []  # the calls of each, in seconds a step; the first is to warm up
  while np.sum(rounds[1:]) * stride < seconds or len(rounds) < 4:
    rounds.append([])
    for program in turns:
      began = time.perf_counter()
      state, metrics = program(state, batch, config.seed)
      metrics.block_until_ready()
      rounds[-1].append((time.perf_counter() - began) / stride)
  rounds = rounds[1:]
  times = np.mean(rounds, axis=1)
  median = float(np.median(times))
  result.update(step_ms=round(1e3 * median, 2), step_ms_best=round(1e3 * min(times), 2),
                images_per_second=round(config.batch_size / median, 1),
                steps=len(times) * len(turns) * stride, steps_per_dispatch=stride)
  by_phase = np.median(rounds, axis=0)
  if len(turns) > 1:
    result['step_ms_by_phase'] = [round(1e3 * float(x), 2) for x in by_phase]
  longest = turns[int(by_phase.argmax())]
  result.update(_memory(longest, jax), **_flops(longest, float(by_phase.max()), config, jax))
  if profile is not None:
    from maskgan_jax.benchmark import profile as step_profile
    cycles = 2

    def play():
      nonlocal state
      for program in turns * cycles:
        state, metrics = program(state, batch, config.seed)
      metrics.block_until_ready()
    shares = step_profile.write(profile, play, cycles * len(turns) * stride,
                                [program.as_text() for program in compiled.values()])
    result.update(profile=profile, profile_shares=shares)
  if not random_data:
    result.update(_input(batches, parallel, draws, stride, turns, state, config, seconds))
  height, width = methods.base.image_shape(config)
  return {**result, 'image_size': height, 'image_width': width, 'batch_size': config.batch_size,
          'compute_dtype': config.compute_dtype, 'parallel': config.parallel,
          'devices': len(parallel.devices), **_machine()}


def _machine() -> dict:
  """What it was measured on."""
  import jax
  device = jax.devices()[0]
  return {'device': getattr(device, 'device_kind', device.platform), 'platform': device.platform,
          'cores': _cores(), 'jax': jax.__version__, 'python': platform.python_version()}


def _memory(compiled, jax) -> dict:
  """Megabytes: what the program takes by the compiler's account, and peaks seen by the system."""
  analysis = compiled.memory_analysis()
  found = {}
  if analysis is not None:
    found['program_mb'] = round((analysis.temp_size_in_bytes + analysis.argument_size_in_bytes
                                 + analysis.output_size_in_bytes
                                 - analysis.alias_size_in_bytes) / 1e6, 1)
  stats = jax.devices()[0].memory_stats() or {}
  if 'peak_bytes_in_use' in stats:
    found['device_peak_mb'] = round(stats['peak_bytes_in_use'] / 1e6, 1)
  unit = 1 if sys.platform == 'darwin' else 1024
  found['host_peak_mb'] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
  return found


def _flops(compiled, seconds, config, jax) -> dict:
  """FLOPs of the longest step by the compiler's count (of branches it takes the largest), and their
  share of a matrix product's rate."""
  analysis = compiled.cost_analysis()
  flops = float((analysis or {}).get('flops', 0))
  if flops <= 0:
    return {}
  import jax.numpy as jnp
  size = 1024 if jax.default_backend() == 'cpu' else 8192
  x = jnp.ones((size, size), config.compute_dtype)
  product = jax.jit(lambda x: x @ x)
  product(x).block_until_ready()
  best, until = math.inf, time.perf_counter() + 0.5
  while time.perf_counter() < until:
    began = time.perf_counter()
    product(x).block_until_ready()
    best = min(best, time.perf_counter() - began)
  peak = 2 * size ** 3 / best
  return {'gflop_per_step': round(flops / 1e9, 2), 'gflops': round(flops / seconds / 1e9, 1),
          'measured_peak_gflops': round(peak / 1e9, 1),
          'share_of_peak': round(flops / seconds / peak, 3)}


def _input(batches, parallel, draws, stride, turns, state, config, seconds) -> dict:
  """The real pipeline: alone, and under training."""
  for _ in range(3):
    next(batches)
  began, count = time.perf_counter(), 0
  while time.perf_counter() - began < seconds / 2:
    next(batches)
    count += 1
  rate = count / (time.perf_counter() - began)
  began, waited, metrics, turns = time.perf_counter(), 0.0, None, itertools.cycle(turns)
  while time.perf_counter() - began < seconds:
    asked = time.perf_counter()
    batch = parallel.take(batches, draws, stride)
    waited += time.perf_counter() - asked
    previous = metrics
    state, metrics = next(turns)(state, batch, config.seed)
    if previous is not None:
      previous.block_until_ready()
  return {'input_images_per_second': round(rate * config.batch_size * draws, 1),
          'input_wait_share': round(waited / (time.perf_counter() - began), 4)}


def _cores() -> int:
  import os
  return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()


if __name__ == '__main__':
  run_config.define_flags()
  cli.run(main, saves_memory=cli.TRAINING_MEMORY)
