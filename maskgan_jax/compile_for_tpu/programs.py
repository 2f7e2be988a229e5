"""Programs of a config compiled for TPUs that are not there, and what the compiler says of them.

Needs libtpu (pip install '.[tpu]'), which compiles without a TPU. Nothing is computed and no
array is made. Figures are kept by the program's text, since JAX's compilation cache cannot
hold programs for devices that are not there.
"""

from collections.abc import Callable, Iterator
import dataclasses
import functools
import hashlib
import json
import math
import os
import re
import time
from typing import Any

import jax
import ml_collections

from maskgan_jax import errors, files, methods
from maskgan_jax.compile_for_tpu.chips import Slice
from maskgan_jax.training import parallel as parallel_lib
from maskgan_jax.training import train_step
from maskgan_jax.training.turns import Turns

_BYTES = {
  'pred': 1,
  's8': 1,
  'u8': 1,
  'bf16': 2,
  'f16': 2,
  's16': 2,
  'u16': 2,
  's32': 4,
  'u32': 4,
  'f32': 4,
  's64': 8,
  'u64': 8,
  'f64': 8,
}
_OTHER_COLLECTIVES = (
  'all-gather',
  'reduce-scatter',
  'all-to-all',
  'collective-permute',
)

# libtpu looks for a TPU's metadata where there is none, and says so at length.
_QUIET = {
  'TPU_SKIP_MDS_QUERY': '1',
  'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
  'TPU_WORKER_HOSTNAMES': 'localhost',
  'TPU_WORKER_ID': '0',
  'TPU_MIN_LOG_LEVEL': '3',
  'TPU_STDERR_LOG_LEVEL': '3',
  'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
}


@dataclasses.dataclass(frozen=True)
class Program:
  """What one chip does in one program, by the compiler's account.

  Attributes:
    name: who plays, or 'translate'.
    share: of the iterations of its stage.
    stage: of the training, from 0.
    flops: multiply-adds count twice.
    moved: bytes between the chip's memory and its cores.
    memory: bytes of everything at once: arguments, results, temporaries and the program.
    temporaries: the bytes of temporaries among them.
    reductions: all-reduces, each of one or several arrays.
    reduced: bytes that they sum.
    others: other collectives by kind; data parallelism needs none.
    compile_s: seconds.
  """

  name: str
  share: float
  stage: int
  flops: float
  moved: float
  memory: int
  temporaries: int
  reductions: int
  reduced: int
  others: dict[str, int]
  compile_s: float


class DoesNotFitError(errors.UserError):
  """A program needs more memory than a chip has: `needed` and `limit`, bytes, if it says so."""

  def __init__(
    self, message: str, needed: float | None = None, limit: float | None = None
  ):
    super().__init__(message)
    self.needed, self.limit = needed, limit


def devices_of(topology: Slice) -> Any:
  """Returns the slice's devices, which can be compiled for; UserError without libtpu."""
  for name, value in _QUIET.items():
    os.environ.setdefault(name, value)
  from jax.experimental import topologies

  options = dict(topology.chip.compiler)
  if topology.chips == 1:
    options['chips_per_host_bounds'] = (1, 1, 1)
  try:
    description = topologies.get_topology_desc(
      platform='tpu', topology_name=topology.name, **options
    )
  except Exception as error:
    if _libtpu() == 'none':
      raise errors.UserError(
        "compiling for a TPU needs libtpu, without a TPU: pip install 'maskgan-jax[tpu]', or "
        'the version of libtpu that your jaxlib names'
      ) from error
    raise errors.UserError(
      f'--topology={topology.name}: {str(error).splitlines()[0]}'
    ) from error
  return description.devices


def programs(config: ml_collections.ConfigDict, topology: Slice) -> list[Program]:
  """Returns all programs of a config's training on a slice, stage by stage.

  Raises:
    DoesNotFitError: a program is too large.
  """
  if config.parallel != 'jit':
    raise errors.UserError(
      f"config.parallel is {config.parallel!r}; only 'jit' is compiled ahead"
    )
  parallel = parallel_lib.Parallel('jit', devices_of(topology))
  parallel.check_batch(config.batch_size, config.accumulate)
  method = methods.make(config)
  optimizers = train_step.make_optimizers(method, config)
  step = train_step.make_step(method, optimizers, config)
  turns = step.turns

  # Shapes alone are enough to compile for.
  state = jax.eval_shape(lambda: train_step.init_state(method, optimizers, config))
  batch = train_step.abstract_batch(config, turns.draws)
  arguments = (
    placed(state, parallel.replicated),
    placed(batch, parallel.batch_sharding(turns.draws)),
    config.seed,
  )
  functions = parallel.compile(step)

  compiled = []
  for stage, at, share in _different_turns(turns):
    name = ' + '.join(method.players[index].name for index in turns.at(at))
    program = analyse(functions.program(at), arguments, topology, name)
    program = dataclasses.replace(program, stage=stage, share=share)
    compiled.append(_times_micro_batches(program, config.accumulate))
  return compiled


def _times_micro_batches(program: Program, count: int) -> Program:
  """Returns a program with its whole work: the compiler counts a loop's body once."""
  return dataclasses.replace(
    program, flops=program.flops * count, moved=program.moved * count
  )


def _different_turns(turns: Turns) -> Iterator[tuple[int, int, float]]:
  """Yields (stage, first step with a turn, the turn's share of the steps) for every turn."""
  # Steps of one turn run the same program, which is compiled once.
  for stage in range(len(turns.starts)):
    steps = turns.steps_of(stage)
    steps_by_turn = {}
    for step in steps:
      steps_by_turn.setdefault(turns.at(step), []).append(step)
    for same in steps_by_turn.values():
      yield stage, same[0], len(same) / len(steps)


def placed(tree: Any, sharding: Any) -> Any:
  """Returns shapes with a sharding each."""
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
  )


def analyse(
  function: Callable[..., Any], arguments: tuple[Any, ...], topology: Slice, name: str
) -> Program:
  """Compiles a jitted function for placed shapes, or reads what an earlier time said of it.

  Raises:
    DoesNotFitError: the program is too large.
  """
  lowered = function.lower(*arguments)
  path = _path_of(lowered, topology)
  try:
    with open(path, encoding='utf-8') as file:
      return Program(**{**json.load(file), 'name': name})
  except (OSError, ValueError, TypeError):
    pass  # not there, or of another version of this file

  # A program that does not fit is a result; other errors are raised as they are.
  began = time.monotonic()
  try:
    compiled = lowered.compile()
  except Exception as error:
    if 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    raise _does_not_fit(name, topology, str(error)) from error
  program = _describe(compiled, name, round(time.monotonic() - began, 1))
  files.write_atomically(path, json.dumps(dataclasses.asdict(program)) + '\n')
  return program


def _path_of(lowered: Any, topology: Slice) -> str:
  """Returns the file of a program's figures: everything that they depend on is in its name."""
  parts = (
    lowered.as_text(),
    topology.name,
    str(topology.chip.compiler),
    _libtpu(),
    jax.__version__,
    os.environ.get('LIBTPU_INIT_ARGS', ''),
  )
  digest = hashlib.sha256('\n'.join(parts).encode()).hexdigest()
  home = os.path.join(os.path.expanduser('~'), '.cache')
  root = os.environ.get('XDG_CACHE_HOME') or home
  return os.path.join(root, 'maskgan_jax', 'tpu_programs', f'{digest[:32]}.json')


def _describe(compiled: Any, name: str, seconds: float) -> Program:
  """Returns the compiler's figures of a program."""
  memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
  reductions, reduced, others = collectives(compiled.as_text())
  # Donated arguments are results too.
  in_all = (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes
    + memory.temp_size_in_bytes
    + memory.generated_code_size_in_bytes
  )
  return Program(
    name=name,
    share=1.0,
    stage=0,
    flops=float(cost['flops']),
    moved=float(cost['bytes accessed']),
    memory=in_all,
    temporaries=memory.temp_size_in_bytes,
    reductions=reductions,
    reduced=reduced,
    others=others,
    compile_s=seconds,
  )


def collectives(text: str) -> tuple[int, int, dict[str, int]]:
  """Counts the collectives of a compiled program's text.

  What is in a loop counts as often as the loop turns, where the compiler knows.

  Returns:
    All-reduces, the bytes that they sum, and other collectives by kind.
  """
  # Computations call others, so that an operation may run several times.
  lines_by_computation, entry = _computations(text)
  times = _times(lines_by_computation, entry)
  count, size, others = 0, 0, {}
  for name, lines in lines_by_computation.items():
    for line in lines:
      operation = re.search(r' = (.*?) ([a-z\-]+?)(-start)?\(', line)
      kind = operation[2] if operation else ''
      if kind == 'all-reduce':
        count += times[name]
        size += times[name] * _bytes_of(operation[1])
      elif kind in _OTHER_COLLECTIVES:
        others[kind] = others.get(kind, 0) + times[name]
  return count, size, others


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
  """Returns the lines of each computation of a program, and which is the entry."""
  lines_by_computation, entry, current = {}, '', None
  for line in text.splitlines():
    head = re.match(r'(ENTRY )?%?([\w.\-]+) .*\{$', line)
    if head:
      current = lines_by_computation.setdefault(head[2], [])
      entry = head[2] if head[1] else entry
    elif current is not None:
      current.append(line)
  return lines_by_computation, entry


def _times(lines_by_computation: dict[str, list[str]], entry: str) -> dict[str, int]:
  """Returns how often each computation runs."""
  times = dict.fromkeys(lines_by_computation, 0)

  def visit(name, count):
    times[name] += count
    for line in lines_by_computation[name]:
      trips = re.search(r'known_trip_count"?[:=]\{"?n"?:"?(\d+)', line)
      for kind, called in re.findall(r'(body|calls|to_apply)=%?([\w.\-]+)', line):
        repeats = int(trips[1]) if trips and kind == 'body' else 1
        if called in lines_by_computation:
          visit(called, count * repeats)

  visit(entry, 1)
  return times


def _bytes_of(shapes: str) -> int:
  """Returns the bytes of the arrays in a text such as '(f32[2,32]{1,0}, bf16[16]{0})'."""
  total = 0
  for dtype, sides in re.findall(r'\b([a-z]+\d*)\[([\d,]*)\]', shapes):
    elements = math.prod(int(side) for side in sides.split(',') if side)
    total += _BYTES.get(dtype, 0) * elements
  return total


def _does_not_fit(name: str, topology: Slice, message: str) -> DoesNotFitError:
  """Returns the error for a program that XLA finds too large."""
  used = re.search(r'Used ([\d.]+)([KMGT]) of ([\d.]+)([KMGT])', message)
  needed = limit = None
  by_how_much = ''
  if used:
    needed, limit = (
      float(used[i]) * 1024 ** ('KMGT'.index(used[i + 1]) + 1) for i in (1, 3)
    )
    by_how_much = (
      f': it needs {needed / 2**30:.1f} GiB of the {limit / 2**30:.1f} that it has'
    )
  return DoesNotFitError(
    f'the program of {name} does not fit a chip of {topology.name}{by_how_much}; lower '
    'config.batch_size, take more chips, config.remat=True, config.compute_dtype=bfloat16, or '
    'config.accumulate',
    needed,
    limit,
  )


@functools.cache
def _libtpu() -> str:
  """Returns the version of libtpu, or 'none'."""
  from importlib import metadata

  try:
    return metadata.version('libtpu')
  except metadata.PackageNotFoundError:
    return 'none'
