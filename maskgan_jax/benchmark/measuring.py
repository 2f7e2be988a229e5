"""Times, memory and FLOPs of a config's step, and what its input pipeline supplies."""

from collections.abc import Iterator
import itertools
import math
import os
import platform
import resource
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from maskgan_jax import methods
from maskgan_jax.data import pipeline
from maskgan_jax.training import parallel as parallel_lib
from maskgan_jax.training import train_step

_FEWEST_ROUNDS = 4  # the first of them only warms up
_PEAK_SECONDS = 0.5
_TRACED_CYCLES = 2


def measure(
  config: ml_collections.ConfigDict,
  seconds: float,
  *,
  random_data: bool = False,
  first_stage: bool = False,
  profile: str | None = None,
) -> dict[str, Any]:
  """Returns the figures of the command `benchmark`, by name; see its docstring.

  Args:
    config: of a run.
    seconds: how long each measurement takes, at least.
    random_data: noise instead of data; the pipeline is not measured.
    first_stage: measures the first stage of the training instead of the last.
    profile: a folder that gets a trace of some steps.
  """
  benchmark = _Benchmark(config, random_data=random_data, first_stage=first_stage)
  figures = {'config': config.name, **benchmark.compile()}
  rounds = benchmark.time_rounds(seconds)
  figures.update(benchmark.times(rounds))

  # The longest program is the one in which most players play.
  seconds_by_phase = np.median(rounds, axis=0)
  longest = benchmark.cycle[int(seconds_by_phase.argmax())]
  figures.update(_memory(longest))
  figures.update(_flops(longest, float(seconds_by_phase.max()), config.compute_dtype))

  # A trace slows the steps down, so it comes after their times.
  if profile is not None:
    benchmark.trace(profile)
    figures['profile'] = profile
  if not random_data:
    figures['input_images_per_second'] = benchmark.supply(seconds / 2)
    figures['input_wait_share'] = benchmark.wait_share(seconds)
  return {**figures, **benchmark.settings(), **_machine()}


class _Benchmark:
  """A config's step, with a state and batches to run it on."""

  def __init__(
    self, config: ml_collections.ConfigDict, *, random_data: bool, first_stage: bool
  ):
    self.config = config
    self.parallel = parallel_lib.Parallel(config.parallel)
    self.parallel.check_batch(config.batch_size, config.accumulate)
    method = methods.make(config)
    optimizers = train_step.make_optimizers(method, config)
    step = train_step.make_step(method, optimizers, config)

    # The step, and batches for it.
    self.stride = config.steps_per_dispatch
    self.draws = step.turns.draws
    self.programs = self.parallel.compile(step, self.stride)
    make_batches = _noise if random_data else _data
    self.batches = make_batches(config, self.draws)
    self.batch = self.programs.take(self.batches)

    # A cycle of steps in the stage, from a multiple of its length on.
    cycle = step.turns.cycle
    start = step.turns.starts[0 if first_stage else -1]
    start = math.ceil(start / cycle) * cycle
    programs = cycle if self.stride == 1 else 1
    self.steps = range(start, start + programs)
    state = self.parallel.initialize(
      lambda: train_step.init_state(method, optimizers, config)
    )
    self.state = state.replace(step=self.parallel.replicate(np.int32(start)))

  def settings(self) -> dict[str, Any]:
    """Returns the keys of the config on which the figures depend most."""
    height, width = methods.base.image_shape(self.config)
    return {
      'image_size': height,
      'image_width': width,
      'batch_size': self.config.batch_size,
      'compute_dtype': self.config.compute_dtype,
      'parallel': self.config.parallel,
      'devices': len(self.parallel.devices),
    }

  def compile(self) -> dict[str, Any]:
    """Compiles the programs of a cycle."""
    cache_hits = []

    def listen(event, **_):
      if event.endswith('/cache_hits'):
        cache_hits.append(event)

    jax.monitoring.register_event_listener(listen)
    began = time.perf_counter()
    self.programs.compile(self.steps, self.state, self.batch, self.config.seed)
    seconds = time.perf_counter() - began
    self.cycle = [self.programs.program(at) for at in self.steps]
    return {'compile_s': round(seconds, 2), 'compile_cached': bool(cache_hits)}

  def run(self, program, batch=None) -> Any:
    """Dispatches a program; returns its metrics."""
    batch = self.batch if batch is None else batch
    self.state, metrics = program(self.state, batch, self.config.seed)
    return metrics

  def time_rounds(self, seconds: float) -> np.ndarray:
    """Returns seconds a step, [rounds, programs of a cycle]."""
    # The first round warms up, and does not count.
    rounds = []
    while np.sum(rounds[1:]) * self.stride < seconds or len(rounds) < _FEWEST_ROUNDS:
      times = []
      for program in self.cycle:
        began = time.perf_counter()
        jax.block_until_ready(self.run(program))
        times.append((time.perf_counter() - began) / self.stride)
      rounds.append(times)
    return np.array(rounds[1:])

  def times(self, rounds: np.ndarray) -> dict[str, Any]:
    """Returns the figures of some rounds."""
    means = np.mean(rounds, axis=1)
    median = float(np.median(means))
    figures = {
      'step_ms': round(1e3 * median, 2),
      'step_ms_best': round(1e3 * min(means), 2),
      'images_per_second': round(self.config.batch_size / median, 1),
      'steps': rounds.size * self.stride,
      'steps_per_dispatch': self.stride,
    }
    if len(self.cycle) > 1:
      by_phase = np.median(rounds, axis=0)
      figures['step_ms_by_phase'] = [round(1e3 * float(phase), 2) for phase in by_phase]
    return figures

  def trace(self, folder: str) -> None:
    """Traces some steps into a folder, and says how to look at them."""
    with jax.profiler.trace(folder):
      for program in self.cycle * _TRACED_CYCLES:
        metrics = self.run(program)
      jax.block_until_ready(metrics)
    print(
      f'the trace is in {folder}: pip install xprof, then xprof {folder}; or open its '
      '*.trace.json.gz at https://ui.perfetto.dev',
      file=sys.stderr,
      flush=True,
    )

  def supply(self, seconds: float) -> float:
    """Returns the images a second that the pipeline supplies while nothing trains."""
    for _ in range(3):
      next(self.batches)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
      next(self.batches)
      count += 1
    rate = count / (time.perf_counter() - began)
    return round(rate * self.config.batch_size * self.draws, 1)

  def wait_share(self, seconds: float) -> float:
    """Returns the share of time that training waits for the pipeline."""
    began = time.perf_counter()
    waited = 0.0
    previous = None
    programs = itertools.cycle(self.cycle)
    while time.perf_counter() - began < seconds:
      asked = time.perf_counter()
      batch = self.programs.take(self.batches)
      waited += time.perf_counter() - asked
      metrics = self.run(next(programs), batch)
      # One step is always on the device while the next batch is fetched.
      if previous is not None:
        jax.block_until_ready(previous)
      previous = metrics
    return round(waited / (time.perf_counter() - began), 4)


def _noise(config, draws: int) -> Iterator[dict[str, np.ndarray]]:
  """Returns the same random batch again and again."""
  # One batch is enough: a step takes as long whatever it sees.
  rng = np.random.default_rng(0)
  batch = {}
  for name, value in train_step.abstract_batch(config, draws).items():
    if value.dtype == np.uint8:
      batch[name] = rng.integers(0, 256, value.shape, np.uint8)
    else:
      batch[name] = np.zeros(value.shape, value.dtype)
  return itertools.repeat(batch)


def _data(config, draws: int) -> Iterator[dict[str, np.ndarray]]:
  """Returns the batches of the config's data."""
  data = pipeline.make(config)
  return data.train(batch_size=config.batch_size, draws=draws)


def _machine() -> dict[str, Any]:
  """Returns what it was measured on."""
  device = jax.devices()[0]
  has_affinity = hasattr(os, 'sched_getaffinity')
  cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
  return {
    'device': getattr(device, 'device_kind', device.platform),
    'platform': device.platform,
    'cores': cores,
    'jax': jax.__version__,
    'python': platform.python_version(),
  }


def _memory(program: Any) -> dict[str, float]:
  """Returns megabytes: a program's by the compiler's account, and peaks that the system saw."""
  figures = {}
  # Buffers that an output takes over from an input count once.
  analysis = program.memory_analysis()
  if analysis is not None:
    in_all = (
      analysis.temp_size_in_bytes
      + analysis.argument_size_in_bytes
      + analysis.output_size_in_bytes
      - analysis.alias_size_in_bytes
    )
    figures['program_mb'] = round(in_all / 1e6, 1)

  # Peaks of the process, on the device and on the host.
  stats = jax.devices()[0].memory_stats() or {}
  if 'peak_bytes_in_use' in stats:
    figures['device_peak_mb'] = round(stats['peak_bytes_in_use'] / 1e6, 1)
  unit = 1 if sys.platform == 'darwin' else 1024
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
  figures['host_peak_mb'] = round(peak / 1e6, 1)
  return figures


def _flops(program: Any, seconds: float, dtype: str) -> dict[str, float]:
  """Returns FLOPs of a program by the compiler's count, and their share of the peak.

  Of branches the compiler counts the largest.
  """
  flops = float((program.cost_analysis() or {}).get('flops', 0))
  if flops <= 0:
    return {}
  peak = _peak_flops(dtype)
  rate = flops / seconds
  return {
    'gflop_per_step': round(flops / 1e9, 2),
    'gflops': round(rate / 1e9, 1),
    'measured_peak_gflops': round(peak / 1e9, 1),
    'share_of_peak': round(rate / peak, 3),
  }


def _peak_flops(dtype: str) -> float:
  """Returns the FLOPs a second of a large matrix product."""
  # The matrices are large enough that the product is bound by arithmetic.
  size = 1024 if jax.default_backend() == 'cpu' else 8192
  matrix = jnp.ones((size, size), dtype)
  product = jax.jit(lambda matrix: matrix @ matrix)
  product(matrix).block_until_ready()
  best = math.inf
  until = time.perf_counter() + _PEAK_SECONDS
  while time.perf_counter() < until:
    began = time.perf_counter()
    product(matrix).block_until_ready()
    best = min(best, time.perf_counter() - began)
  return 2 * size**3 / best
