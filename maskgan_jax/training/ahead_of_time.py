"""Programs of a config compiled for TPUs that are not there, and what the compiler says of them.

Needs libtpu (pip install '.[tpu]'), which compiles without a TPU. Nothing is computed and no array
is made. Figures are kept by the program's text, since JAX's compilation cache cannot hold programs
for devices that are not there.
"""

from collections.abc import Callable
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
import jax.numpy as jnp
import ml_collections

from maskgan_jax import errors, files, methods
from maskgan_jax.training import parallel as parallel_lib
from maskgan_jax.training import tpu_chips, train_step

_BYTES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's16': 2, 'u16': 2, 's32': 4, 'u32': 4,
          'f32': 4, 's64': 8, 'u64': 8, 'f64': 8}


@dataclasses.dataclass(frozen=True)
class Program:
  """What one chip does in one program, by the compiler's account.

  Attributes:
    name: who plays, or 'translate'.
    share: of the iterations of its stage.
    stage: of the training, from 0.
    flops: multiply-adds count twice.
    moved: bytes between the chip's memory and its cores.
    memory: bytes of everything at once: arguments, results, temporaries and the program itself.
    temporaries: bytes of that which are neither.
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

  def __init__(self, message: str, needed: float | None = None, limit: float | None = None):
    super().__init__(message)
    self.needed, self.limit = needed, limit


def devices_of(where: tpu_chips.Slice) -> Any:
  """The slice's devices, which can be compiled for; UserError without libtpu."""
  # libtpu looks for a TPU's metadata where there is none, and says so at length.
  for name, value in {'TPU_SKIP_MDS_QUERY': '1', 'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
                      'TPU_WORKER_HOSTNAMES': 'localhost', 'TPU_WORKER_ID': '0',
                      'TPU_MIN_LOG_LEVEL': '3', 'TPU_STDERR_LOG_LEVEL': '3',
                      'ALLOW_MULTIPLE_LIBTPU_LOAD': '1'}.items():
    os.environ.setdefault(name, value)
  from jax.experimental import topologies
  options = dict(where.chip.compiler)
  if where.chips == 1:
    options['chips_per_host_bounds'] = (1, 1, 1)
  try:
    return topologies.get_topology_desc(platform='tpu', topology_name=where.name, **options).devices
  except Exception as error:
    if _libtpu() == 'none':
      raise errors.UserError(
          "compiling for a TPU needs libtpu, without a TPU: pip install 'maskgan-jax[tpu]', or "
          'the version of libtpu that your jaxlib names') from error
    raise errors.UserError(f'--topology={where.name}: {str(error).splitlines()[0]}') from error


def programs(config: ml_collections.ConfigDict, where: tpu_chips.Slice) -> list[Program]:
  """Every program of a config's training on a slice, stage by stage; DoesNotFitError if one is too
  large."""
  if config.parallel != 'jit':
    raise errors.UserError(f"config.parallel is {config.parallel!r}; only 'jit' is compiled ahead")
  parallel = parallel_lib.Parallel('jit', devices_of(where))
  parallel.check_batch(config.batch_size, config.accumulate)
  method = methods.make(config)
  players = train_step.make_optimizers(method, config)
  step, _ = train_step.make_step(method, players, config)
  draws = train_step.draws_per_step(method)
  state = placed(jax.eval_shape(lambda: train_step.init_state(method, players, config)),
                  parallel.replicated)
  batch = placed(_batch(config, draws), parallel.batch_sharding(draws))
  compiled = parallel.compile(step, draws)
  found = []
  for stage, turns in enumerate(_stages(method.players, config.num_steps)):
    games = [compiled.game_of(at) for at in turns]
    for game in dict.fromkeys(games):
      at = turns[games.index(game)]
      name = ' + '.join(p.name for p in method.players if _plays(p, at))
      program = analyse(compiled.program(at), (state, batch, config.seed), where, name)
      # The compiler counts what is inside a loop once.
      found.append(dataclasses.replace(
          program, stage=stage, share=games.count(game) / len(games),
          flops=program.flops * config.accumulate, moved=program.moved * config.accumulate))
  return found


def losses_text(config: ml_collections.ConfigDict) -> str:
  """Returns the text of the programs that a config's losses are, for one device, uncompiled."""
  method = methods.make(config)
  model = methods.base.abstract_model(method, config)
  batch = jax.eval_shape(train_step.normalize, _batch(config, draws=1))
  rng = jax.eval_shape(lambda: jax.random.key(0))
  return '\n'.join(
      jax.jit(player.loss).lower(model['params'], model['model_state'], batch, rng).as_text()
      for player in method.players)


def analyse(function: Callable[..., Any], arguments: tuple[Any, ...], where: tpu_chips.Slice,
            name: str) -> Program:
  """Compiles a jitted function for shapes that are placed on the slice's devices, or finds what was
  said when it was compiled before; DoesNotFitError if it is too large."""
  lowered = function.lower(*arguments)
  key = hashlib.sha256('\n'.join((
      lowered.as_text(), where.name, str(where.chip.compiler), _libtpu(), jax.__version__,
      os.environ.get('LIBTPU_INIT_ARGS', ''))).encode()).hexdigest()
  path = os.path.join(_cache(), f'{key[:32]}.json')
  try:
    with open(path, encoding='utf-8') as file:
      known = json.load(file)
    return Program(**{**known, 'name': name})
  except (OSError, ValueError, TypeError):
    pass  # not there, or of another version of this file
  began = time.monotonic()
  try:
    compiled = lowered.compile()
  except Exception as error:
    if 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    raise _does_not_fit(name, where, str(error)) from error
  memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
  count, size, others = collectives(compiled.as_text())
  program = Program(
      name=name, share=1.0, stage=0, flops=float(cost['flops']),
      moved=float(cost['bytes accessed']),
      memory=(memory.argument_size_in_bytes + memory.output_size_in_bytes
              - memory.alias_size_in_bytes + memory.temp_size_in_bytes
              + memory.generated_code_size_in_bytes),
      temporaries=memory.temp_size_in_bytes, reductions=count, reduced=size, others=others,
      compile_s=round(time.monotonic() - began, 1))
  files.write_atomically(path, json.dumps(dataclasses.asdict(program)) + '\n')
  return program


def collectives(text: str) -> tuple[int, int, dict[str, int]]:
  """(all-reduces, bytes that they sum, other collectives by kind) of a compiled program's text;
  what is in a loop counts as often as the loop turns, where the compiler knows."""
  computation, entry, lines = '', '', {}
  for line in text.splitlines():
    if head := re.match(r'(ENTRY )?%?([\w.\-]+) .*\{$', line):
      computation = head[2]
      entry = computation if head[1] else entry
      lines[computation] = []
    elif computation:
      lines[computation].append(line)
  times = dict.fromkeys(lines, 0)

  def visit(name, count):
    times[name] += count
    for line in lines[name]:
      trips = re.search(r'known_trip_count"?[:=]\{"?n"?:"?(\d+)', line)
      for kind, called in re.findall(r'(body|calls|to_apply)=%?([\w.\-]+)', line):
        if called in lines:
          visit(called, count * (int(trips[1]) if trips and kind == 'body' else 1))
  visit(entry, 1)

  count, size, others = 0, 0, {}
  for name, content in lines.items():
    for line in content:
      operation = re.search(r' = (.*?) ([a-z\-]+?)(-start)?\(', line)
      kind = operation[2] if operation else ''
      if kind == 'all-reduce':
        count += times[name]
        size += times[name] * sum(
            _BYTES[dtype] * math.prod(int(n) for n in shape.split(',') if n)
            for dtype, shape in re.findall(r'\b([a-z]+\d*)\[([\d,]*)\]', operation[1])
            if dtype in _BYTES)
      elif kind in ('all-gather', 'reduce-scatter', 'all-to-all', 'collective-permute'):
        others[kind] = others.get(kind, 0) + times[name]
  return count, size, others


def placed(tree: Any, sharding: Any) -> Any:
  """Shapes with a sharding each."""
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def _plays(player, at):
  return (player.start <= at and (not player.end or at < player.end)
          and at % player.every == player.phase)


def _stages(players, num_steps):
  """For each stage of a training, the steps of a cycle of its players."""
  starts = sorted({0, *(step for p in players for step in (p.start, p.end) if step < num_steps)})
  cycle = math.lcm(*(player.every for player in players))
  return [range(start, min(start + cycle, end))
          for start, end in zip(starts, (*starts[1:], num_steps), strict=True)]


def _batch(config, draws):
  """Shapes of what the pipeline gives to a step."""
  from maskgan_jax.methods import base
  leading = (config.batch_size,) if draws == 1 else (draws, config.batch_size)
  batch = {d: jax.ShapeDtypeStruct((*leading, *base.image_shape(config), 3), jnp.uint8)
           for d in 'ab'}
  if config.data.attributes:
    labels = jax.ShapeDtypeStruct((*leading, len(config.data.attributes)), jnp.float32)
    batch.update(a_attributes=labels, b_attributes=labels)
  return batch


def _does_not_fit(name, where, text):
  used = re.search(r'Used ([\d.]+)([KMGT]) of ([\d.]+)([KMGT])', text)
  needed = limit = None
  told = ''
  if used:
    needed, limit = (float(used[i]) * 1024 ** ('KMGT'.index(used[i + 1]) + 1) for i in (1, 3))
    told = f': it needs {needed / 2 ** 30:.1f} GiB of the {limit / 2 ** 30:.1f} that it has'
  return DoesNotFitError(
      f'the program of {name} does not fit a chip of {where.name}{told}; lower config.batch_size, '
      'take more chips, config.remat=True, config.compute_dtype=bfloat16, or config.accumulate',
      needed, limit)


@functools.cache
def _libtpu() -> str:
  """Version of libtpu, or 'none'."""
  from importlib import metadata
  try:
    return metadata.version('libtpu')
  except metadata.PackageNotFoundError:
    return 'none'


def _cache() -> str:
  root = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
  return os.path.join(root, 'maskgan_jax', 'tpu_programs')
