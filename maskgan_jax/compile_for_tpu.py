"""Compiles a config's train step and translation for TPUs that are not there.

  python -m maskgan_jax.compile_for_tpu --config=configs/celeba_glasses.py --topology=v5e:2x4
  python -m maskgan_jax.compile_for_tpu --config=configs/celeba_hair_smile.py \\
      --topology=v5e:4x4,v4:2x2x2 --batch_per_chip=16 --largest_batch
  python -m maskgan_jax.compile_for_tpu --config=configs/celeba_hair_smile.py \\
      --topology=v5p:2x2x1 --image_sizes=128,256,512

Needs libtpu (pip install '.[tpu]') and no TPU. Topologies are slices of v4, v5e, v5p or v6e:
v5e:2x4 is one host or two with 8 chips, v5e:16x16 a whole pod, v4:2x2x4 sixteen chips.

For every program of every stage: FLOPs, bytes moved and memory of one chip, all-reduces and the
bytes that they sum, as the compiler counts them. The time is an estimate, and a lower bound: FLOPs
over the chip's published peak or bytes over its published bandwidth, whichever is more, and the
all-reduces after it, none of it hidden behind the other. An all-reduce sends 2 (n - 1) / n of its
bytes over all links of its chip at once and waits for 1 us a hop to the farthest chip and back.

The weak-scaling table has the same share of the batch on each of 1 to 256 chips. What a chip
computes and reduces is then the same on any number (tests/pods/test_compile_for_tpu.py), so one
compilation serves for all. Compiling takes minutes at a paper's size; what was once compiled is
known from then on, in ~/.cache/maskgan_jax/tpu_programs or below XDG_CACHE_HOME.
"""

from collections.abc import Iterator
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys

from absl import flags

from maskgan_jax import cli, errors
from maskgan_jax import config as run_config

_TOPOLOGY = flags.DEFINE_list('topology', None, 'Slices, e.g. v5e:4x4 or v5e:2x4,v4:2x2x2.')
_BATCH = flags.DEFINE_integer('batch_per_chip', 0, 'Examples of each domain a chip, in place of '
                              "config.batch_size, which is all chips'.", lower_bound=0)
_LARGEST = flags.DEFINE_bool('largest_batch', False, 'Searches the largest batch that fits, with '
                             'up to six compilations more.')
_SIZES = flags.DEFINE_list('image_sizes', [], 'Memory by resolution instead, with and without '
                           'rematerialisation: e.g. 128,256,512.')
_PICTURES = flags.DEFINE_integer('pictures', 16, 'That the translation computes at once.',
                                 lower_bound=1)
_JSON = flags.DEFINE_bool('json', False, 'One JSON line a topology instead of tables.')
_COMPILES = 'MASKGAN_JAX_COMPILES'  # set in the process that does


def main() -> None:
  config = run_config.from_flags()
  cli.require('topology')
  if _COMPILES not in os.environ:
    sys.exit(_in_a_process_of_its_own())
  import jax
  jax.config.update('jax_enable_compilation_cache', False)  # it cannot hold these programs

  from maskgan_jax.training import tpu_chips
  sizes = [_size(text) for text in _SIZES.value]
  for where in [tpu_chips.parse(name) for name in _TOPOLOGY.value]:
    if _BATCH.value:
      config.batch_size = _BATCH.value * where.chips
    if sizes:
      rows = memory_by_size(config, where, sizes)
      if _JSON.value:
        print(json.dumps({'topology': where.name, 'memory': list(rows)}), flush=True)
      else:
        _print_sizes(config, where, rows)
      continue
    figures = measure(config, where, _PICTURES.value)
    if _LARGEST.value:
      figures['largest_batch_per_chip'] = largest_batch(config, where)
    print(json.dumps(figures) if _JSON.value else _tables(figures, where), flush=True)


def _in_a_process_of_its_own() -> int:
  """This command once more, and its exit code. libtpu's compiler aborts where it is wrong itself,
  which ends a process with pages of addresses; here that becomes one line."""
  with subprocess.Popen([sys.executable, '-m', 'maskgan_jax.compile_for_tpu', *sys.argv[1:]],
                        env={**os.environ, _COMPILES: '1'}, text=True,
                        stderr=subprocess.PIPE) as process:
    def stop(*_):
      process.kill()
      print('stopped; the same command goes on after the programs that are compiled already',
            file=sys.stderr, flush=True)
      os._exit(75)
    for number in (signal.SIGTERM, signal.SIGINT):
      signal.signal(number, stop)
    told = process.stderr.read()
  if process.returncode < 0:
    reason = re.search(r'Check failed: .*|.*Error.*', told)
    raise errors.UserError(
        f'libtpu was ended by signal {-process.returncode} while it compiled for one of '
        f'{",".join(_TOPOLOGY.value)} ({reason[0].strip() if reason else "it gives no reason"}), '
        'which is an error of its own or too little memory here; try another topology, batch or '
        'size, or another version of libtpu')
  sys.stderr.write(told)
  return process.returncode


def measure(config, where, pictures: int) -> dict:
  """Everything about a config on one slice, by name; DoesNotFitError if it is too large."""
  from maskgan_jax.training import ahead_of_time
  programs = ahead_of_time.programs(config, where)
  last = [p for p in programs if p.stage == programs[-1].stage]
  flops, moved, reductions, reduced = (
      sum(p.share * getattr(p, name) for p in last)
      for name in ('flops', 'moved', 'reductions', 'reduced'))
  # Summed program by program: one may wait for its FLOPs where another waits for its memory.
  compute = sum(p.share * where.compute_seconds(p.flops, p.moved) for p in last)
  scaling = []
  for shape in where.chip.shapes:
    slice_ = dataclasses.replace(where, shape=shape)
    waits = slice_.all_reduce_seconds(reductions, reduced)
    batch = config.batch_size // where.chips * slice_.chips
    scaling.append({
        'topology': slice_.name, 'chips': slice_.chips, 'batch_size': batch,
        'compute_ms': 1e3 * compute, 'all_reduce_ms': 1e3 * waits,
        'images_per_second': batch / (compute + waits), 'efficiency': compute / (compute + waits)})
  return {
      'config': config.name, 'method': config.method, 'topology': where.name,
      'chips': where.chips, 'batch_size': config.batch_size, 'image_size': config.image_size,
      'compute_dtype': config.compute_dtype, 'remat': config.remat, 'accumulate': config.accumulate,
      'chip_memory': where.chip.memory,
      'programs': [{**dataclasses.asdict(p),
                    'compute_ms': 1e3 * where.compute_seconds(p.flops, p.moved),
                    'all_reduce_ms': 1e3 * where.all_reduce_seconds(p.reductions, p.reduced)}
                   for p in (*programs, translation(config, where, pictures))],
      'flops': flops, 'moved': moved, 'reductions': reductions, 'reduced': reduced,
      'weak_scaling': scaling}


def translation(config, where, pictures: int):
  """The program that translates this number of pictures on one chip, bytes in and out."""
  import jax
  import jax.numpy as jnp

  from maskgan_jax import methods, translator
  from maskgan_jax.training import ahead_of_time
  from maskgan_jax.training import parallel as parallel_lib
  one = dataclasses.replace(where, shape=(1,) * len(where.shape))
  here = parallel_lib.Parallel('jit', ahead_of_time.devices_of(one)).replicated
  method = methods.make(config)
  model = methods.base.abstract_model(method, config)
  shape = (pictures, *methods.base.image_shape(config), 3)
  images = [jax.ShapeDtypeStruct(shape, jnp.uint8)] * (2 if 'exemplar' in method.abilities else 1)
  arguments = ahead_of_time.placed(((model['params'], model['model_state']), *images), here)
  function = translator.functions(method)['translate']
  return ahead_of_time.analyse(function, arguments, one, f'translate {pictures} pictures')


def largest_batch(config, where) -> int:
  """The most examples of each domain a chip whose programs all compile for it."""
  from maskgan_jax.training import ahead_of_time
  config = config.copy_and_resolve_references()
  needed = {}

  def memory(batch):
    """Bytes of the largest program; inf where it is not known how much too many."""
    if batch not in needed:
      config.batch_size = batch * where.chips
      try:
        needed[batch] = max(p.memory for p in ahead_of_time.programs(config, where))
      except ahead_of_time.DoesNotFitError as error:
        needed[batch] = error.needed or float('inf')
        limits.append(error.limit or where.chip.memory)
    return needed[batch]

  limits = []
  unit = config.accumulate
  fits, too_large = 0, None
  batch = max(config.batch_size // where.chips, unit)
  for _ in range(6):
    if memory(batch) <= min(limits, default=where.chip.memory):
      fits = batch
    else:
      too_large = batch
    known = sorted(b for b in needed if needed[b] < float('inf'))
    if len(known) < 2:
      following = 2 * batch if fits else batch // 2
    else:  # memory is a straight line over batches, except for padding
      one, two = known[0], known[-1]
      slope = (needed[two] - needed[one]) / (two - one)
      following = int((min(limits, default=where.chip.memory) - needed[one]) / slope) + one
    following = max(following // unit * unit, unit)
    if too_large is not None:
      following = min(following, too_large - unit)
    if following <= fits:
      break
    batch = following
  return fits


def memory_by_size(config, where, sizes: list[int]) -> Iterator[dict]:
  """Yields memory a chip of the largest program of training by resolution, or that it does not fit.
  """
  from maskgan_jax.training import ahead_of_time
  for size in sizes:
    for remat in (False, True):
      changed = config.copy_and_resolve_references()
      changed.update(image_size=size, remat=remat,
                     image_width=config.image_width * size // config.image_size)
      row = {'image_size': size, 'remat': remat, 'batch_per_chip': config.batch_size // where.chips}
      try:
        largest = max(ahead_of_time.programs(changed, where), key=lambda p: p.memory)
        row.update(program=largest.name, memory=largest.memory, temporaries=largest.temporaries,
                   fits=largest.memory <= where.chip.memory)
      except ahead_of_time.DoesNotFitError as error:
        row.update(memory=error.needed, fits=False)
      yield row


def _print_sizes(config, where, rows) -> None:
  """Prints the table of `memory_by_size`, each row as it comes: a row may take minutes."""
  batch = config.batch_size // where.chips
  print(f'{config.name} ({config.method}) on {where.name}: memory of one chip of '
        f'{_gib(where.chip.memory)} GiB, {batch} of a batch a chip, {config.compute_dtype}\n\n'
        '| pixels | rematerialised | memory, GiB | of it temporaries | fits | largest program |\n'
        '|---:|---|---:|---:|---|---|', flush=True)
  for row in rows:
    memory = _gib(row['memory']) if row['memory'] else 'more'
    print(f"| {row['image_size']} | {'yes' if row['remat'] else 'no'} | {memory} | "
          f"{_gib(row['temporaries']) if 'temporaries' in row else ''} | "
          f"{'yes' if row['fits'] else 'no'} | {row.get('program', '')} |", flush=True)
  print(flush=True)


def _size(text):
  if not text.isdigit() or not int(text):
    raise errors.UserError(f'--image_sizes: {text!r} is not a number of pixels')
  return int(text)


def _tables(figures, where) -> str:
  chips = figures['chips']
  lines = [
      f"{figures['config']} ({figures['method']}) on {where.name}: {chips} chips of "
      f"{_gib(where.chip.memory)} GiB, batch {figures['batch_size']} "
      f"({figures['batch_size'] // chips} a chip), {figures['image_size']} pixels, "
      f"{figures['compute_dtype']}" + (', rematerialised' if figures['remat'] else ''), '',
      '| program, on one chip | of iterations | GFLOP | GB moved | memory, GiB | of the chip | '
      'all-reduces | MB reduced | compute, ms | all-reduce, ms | compiled in, s |',
      '|---|' + '---:|' * 10]
  stages = {p['stage'] for p in figures['programs']}
  for p in figures['programs']:
    name = p['name'] + (f" (stage {p['stage'] + 1})" if len(stages) > 1 and p['reductions'] else '')
    lines.append(
        f"| {name} | {p['share']:.0%} | {p['flops'] / 1e9:,.4g} | {p['moved'] / 1e9:,.3g} | "
        f"{_gib(p['memory'])} | {p['memory'] / where.chip.memory:.0%} | {p['reductions']} | "
        f"{p['reduced'] / 1e6:,.3g} | {p['compute_ms']:.2f} | {p['all_reduce_ms']:.2f} | "
        f"{p['compile_s']:.0f} |")
    if p['others']:
      lines[-1] += f" also: {p['others']}"
  lines += ['', 'Weak scaling, an average iteration' + (
      ' of the last stage' if len(stages) > 1 else '') + ' (estimates; real ones take longer):', '',
            '| slice | chips | batch | compute, ms | all-reduce, ms | images/s | efficiency |',
            '|---|' + '---:|' * 6]
  for row in figures['weak_scaling']:
    lines.append(f"| {row['topology']} | {row['chips']} | {row['batch_size']} | "
                 f"{row['compute_ms']:.2f} | {row['all_reduce_ms']:.2f} | "
                 f"{row['images_per_second']:,.0f} | {row['efficiency']:.1%} |")
  if 'largest_batch_per_chip' in figures:
    most = figures['largest_batch_per_chip']
    lines += ['', f'Largest batch that fits: {most} a chip, {most * chips} in all.' if most else
              'Not even the smallest batch fits.']
  return '\n'.join(lines) + '\n'


def _gib(size):
  return f'{size / 2 ** 30:.2f}'


if __name__ == '__main__':
  os.environ['JAX_PLATFORMS'] = 'cpu'  # a TPU or GPU that is there is not touched
  run_config.define_flags()
  cli.run(main)
