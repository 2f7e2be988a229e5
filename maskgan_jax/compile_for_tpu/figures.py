"""Figures of a config on a slice: programs, weak scaling, the largest batch, memory by size."""

from collections.abc import Iterator
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from maskgan_jax import methods, translator
from maskgan_jax.compile_for_tpu import programs as programs_lib
from maskgan_jax.compile_for_tpu.chips import Slice
from maskgan_jax.training import parallel as parallel_lib

_TRIALS = 6  # compilations that the search for the largest batch may take


def measure(
  config: ml_collections.ConfigDict, topology: Slice, pictures: int
) -> dict[str, Any]:
  """Returns everything about a config on one slice, by name.

  Args:
    config: of the run.
    topology: chips to compile for.
    pictures: number that the translation computes at once.

  Raises:
    DoesNotFitError: a program is too large.
  """
  programs = programs_lib.programs(config, topology)
  last_stage = [program for program in programs if program.stage == programs[-1].stage]
  programs.append(translation(config, topology, pictures))
  figures = {
    'config': config.name,
    'method': config.method,
    'topology': topology.name,
    'chips': topology.chips,
    'batch_size': config.batch_size,
    'image_size': config.image_size,
    'compute_dtype': config.compute_dtype,
    'remat': config.remat,
    'accumulate': config.accumulate,
    'chip_memory': topology.chip.memory,
    'programs': [_row(program, topology) for program in programs],
  }

  # An average iteration of the last stage.
  for name in ('flops', 'moved', 'reductions', 'reduced'):
    figures[name] = sum(
      program.share * getattr(program, name) for program in last_stage
    )
  figures['weak_scaling'] = _weak_scaling(figures, topology, last_stage)
  return figures


def _row(program: programs_lib.Program, topology: Slice) -> dict[str, Any]:
  """Returns a program's figures and estimated times."""
  compute = topology.compute_seconds(program.flops, program.moved)
  all_reduce = topology.all_reduce_seconds(program.reductions, program.reduced)
  return {
    **dataclasses.asdict(program),
    'compute_ms': 1e3 * compute,
    'all_reduce_ms': 1e3 * all_reduce,
  }


def _weak_scaling(
  figures: dict[str, Any], topology: Slice, programs: list[programs_lib.Program]
) -> list[dict[str, Any]]:
  """Returns rows for 1 to 256 chips, each with the same share of the batch."""
  # Summed program by program: one may wait for its FLOPs where another waits for its memory.
  compute = sum(
    program.share * topology.compute_seconds(program.flops, program.moved)
    for program in programs
  )
  rows = []
  for shape in topology.chip.shapes:
    other = dataclasses.replace(topology, shape=shape)
    all_reduce = other.all_reduce_seconds(figures['reductions'], figures['reduced'])
    batch_size = figures['batch_size'] // topology.chips * other.chips
    seconds = compute + all_reduce
    rows.append(
      {
        'topology': other.name,
        'chips': other.chips,
        'batch_size': batch_size,
        'compute_ms': 1e3 * compute,
        'all_reduce_ms': 1e3 * all_reduce,
        'images_per_second': batch_size / seconds,
        'efficiency': compute / seconds,
      }
    )
  return rows


def translation(
  config: ml_collections.ConfigDict, topology: Slice, pictures: int
) -> programs_lib.Program:
  """Returns the program that translates `pictures` at once on one chip, bytes in and out."""
  sides = len(topology.shape)
  one_chip = dataclasses.replace(topology, shape=(1,) * sides)
  parallel = parallel_lib.Parallel('jit', programs_lib.devices_of(one_chip))

  # Shapes of what a translator passes: weights, a source and perhaps an exemplar.
  method = methods.make(config)
  model = methods.base.abstract_model(method, config)
  shape = (pictures, *methods.base.image_shape(config), 3)
  inputs = 2 if 'exemplar' in method.abilities else 1
  images = [jax.ShapeDtypeStruct(shape, jnp.uint8)] * inputs
  arguments = programs_lib.placed(
    ((model['params'], model['model_state']), *images), parallel.replicated
  )
  function = translator.functions(method)['translate']
  return programs_lib.analyse(
    function, arguments, one_chip, f'translate {pictures} pictures'
  )


def largest_batch(config: ml_collections.ConfigDict, topology: Slice) -> int:
  """Returns the most examples of each domain a chip whose programs all compile for it."""
  memory = _Memory(config, topology)
  unit = config.accumulate
  fits, too_large = 0, None

  # Each trial compiles, which takes minutes: a few have to do.
  batch = max(config.batch_size // topology.chips, unit)
  for _ in range(_TRIALS):
    if memory.fits(batch):
      fits = batch
    else:
      too_large = batch

    # Try next where memory should just be used up, between the batches that were tried.
    following = memory.guess()
    if following is None:
      following = 2 * batch if fits else batch // 2
    following = max(following // unit * unit, unit)
    if too_large is not None:
      following = min(following, too_large - unit)
    if following <= fits:
      break
    batch = following
  return fits


class _Memory:
  """Memory of a chip by the number of examples on it."""

  def __init__(self, config: ml_collections.ConfigDict, topology: Slice):
    self._config = config.copy_and_resolve_references()
    self._topology = topology
    self._limit = topology.chip.memory
    self._needed: dict[int, float] = {}  # bytes, inf where the compiler gives no number

  def fits(self, batch: int) -> bool:
    """Returns whether the largest program of this batch fits."""
    if batch not in self._needed:
      self._config.batch_size = batch * self._topology.chips
      try:
        programs = programs_lib.programs(self._config, self._topology)
        self._needed[batch] = max(program.memory for program in programs)
      except programs_lib.DoesNotFitError as error:
        self._needed[batch] = error.needed or float('inf')
        self._limit = min(self._limit, error.limit or self._limit)
    return self._needed[batch] <= self._limit

  def guess(self) -> int | None:
    """Returns the largest batch on a straight line through two known ones, or None.

    Memory is a straight line over batches, except for padding.
    """
    measured = [
      batch for batch, memory in self._needed.items() if memory < float('inf')
    ]
    if len(measured) < 2:
      return None
    smallest, largest = min(measured), max(measured)
    slope = (self._needed[largest] - self._needed[smallest]) / (largest - smallest)
    return int((self._limit - self._needed[smallest]) / slope) + smallest


def memory_by_size(
  config: ml_collections.ConfigDict, topology: Slice, sizes: list[int]
) -> Iterator[dict[str, Any]]:
  """Yields a chip's memory for the largest program of training, by resolution.

  Rows of programs that do not fit say so.
  """
  for size in sizes:
    for remat in (False, True):
      changed = config.copy_and_resolve_references()
      changed.update(
        image_size=size,
        remat=remat,
        image_width=config.image_width * size // config.image_size,
      )
      row = {
        'image_size': size,
        'remat': remat,
        'batch_per_chip': config.batch_size // topology.chips,
      }

      # The largest program of all stages decides.
      try:
        programs = programs_lib.programs(changed, topology)
        largest = max(programs, key=lambda program: program.memory)
        row.update(
          program=largest.name,
          memory=largest.memory,
          temporaries=largest.temporaries,
          fits=largest.memory <= topology.chip.memory,
        )
      except programs_lib.DoesNotFitError as error:
        row.update(memory=error.needed, fits=False)
      yield row
