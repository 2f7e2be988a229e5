"""Compiles a config's train step and translation for TPUs that are not there.

  python -m maskgan_jax.compile_for_tpu --config=configs/celeba_glasses.py --topology=v5e:2x4
  python -m maskgan_jax.compile_for_tpu --config=configs/celeba_hair_smile.py \\
      --topology=v5e:4x4,v4:2x2x2 --batch_per_chip=16 --largest_batch
  python -m maskgan_jax.compile_for_tpu --config=configs/celeba_hair_smile.py \\
      --topology=v5p:2x2x1 --image_sizes=128,256,512

Needs libtpu (pip install '.[tpu]') and no TPU. Topologies are slices of v4, v5e, v5p or v6e:
v5e:2x4 has 8 chips on one host or two, v5e:16x16 a whole pod, v4:2x2x4 sixteen chips.

For every program of every stage it prints FLOPs, bytes moved and memory of one chip, all-reduces
and the bytes that they sum, as the compiler counts them. The time is an estimate, and a lower
bound: FLOPs over the chip's published peak or bytes over its published bandwidth, whichever is
more, and the all-reduces after it, neither hidden behind the other. An all-reduce sends
2 (n - 1) / n of its bytes over all links of its chip at once and waits for 1 us a hop to the
farthest chip and back.

The weak-scaling table has the same share of the batch on each of 1 to 256 chips. What a chip
computes and reduces is then the same on any number (tests/pods/test_compile_for_tpu.py), so one
compilation serves for all. Compiling takes minutes at a paper's size; figures of compiled programs
are kept in ~/.cache/maskgan_jax/tpu_programs or below XDG_CACHE_HOME.
"""

import json
import os
import re
import signal
import subprocess
import sys

from absl import flags

from maskgan_jax import cli, errors
from maskgan_jax import config as run_config

_TOPOLOGY = flags.DEFINE_list(
  'topology', None, 'Slices, e.g. v5e:4x4 or v5e:2x4,v4:2x2x2.'
)
_BATCH = flags.DEFINE_integer(
  'batch_per_chip',
  0,
  "Examples of each domain a chip, in place of config.batch_size, which is all chips'.",
  lower_bound=0,
)
_LARGEST = flags.DEFINE_bool(
  'largest_batch',
  False,
  'Searches the largest batch that fits, with up to six compilations more.',
)
_SIZES = flags.DEFINE_list(
  'image_sizes',
  [],
  'Memory by resolution instead, with and without rematerialisation: e.g. 128,256,512.',
)
_PICTURES = flags.DEFINE_integer(
  'pictures', 16, 'Pictures that the translation computes at once.', lower_bound=1
)
_JSON = flags.DEFINE_bool('json', False, 'One JSON line a topology instead of tables.')
_COMPILES = 'MASKGAN_JAX_COMPILES'  # set in the process that compiles


def main() -> None:
  config = run_config.from_flags()
  cli.require('topology')
  if _COMPILES not in os.environ:
    sys.exit(_compile_in_another_process())
  import jax

  # JAX's cache cannot hold these programs.
  jax.config.update('jax_enable_compilation_cache', False)

  from maskgan_jax.compile_for_tpu import chips

  sizes = [_size(text) for text in _SIZES.value]
  topologies = [chips.parse(name) for name in _TOPOLOGY.value]
  for topology in topologies:
    if _BATCH.value:
      config.batch_size = _BATCH.value * topology.chips
    if sizes:
      _show_sizes(config, topology, sizes)
    else:
      _show_figures(config, topology)


def _show_sizes(config, topology, sizes: list[int]) -> None:
  """Prints memory by resolution."""
  from maskgan_jax.compile_for_tpu import figures, tables

  rows = figures.memory_by_size(config, topology, sizes)
  if _JSON.value:
    print(json.dumps({'topology': topology.name, 'memory': list(rows)}), flush=True)
  else:
    tables.print_sizes(config, topology, rows)


def _show_figures(config, topology) -> None:
  """Prints everything about a config on a slice."""
  from maskgan_jax.compile_for_tpu import figures, tables

  measured = figures.measure(config, topology, _PICTURES.value)
  if _LARGEST.value:
    measured['largest_batch_per_chip'] = figures.largest_batch(config, topology)
  text = json.dumps(measured) if _JSON.value else tables.text_of(measured, topology)
  print(text, flush=True)


def _compile_in_another_process() -> int:
  """Runs this command once more, and returns its exit code.

  Where libtpu's compiler is wrong, it aborts, and the process ends with pages of addresses;
  here that becomes one line.
  """
  command = [sys.executable, '-m', 'maskgan_jax.compile_for_tpu', *sys.argv[1:]]
  with subprocess.Popen(
    command, env={**os.environ, _COMPILES: '1'}, text=True, stderr=subprocess.PIPE
  ) as process:

    def stop(*_):
      process.kill()
      print(
        'stopped; the same command goes on after the programs that are compiled already',
        file=sys.stderr,
        flush=True,
      )
      os._exit(75)

    for number in (signal.SIGTERM, signal.SIGINT):
      signal.signal(number, stop)
    messages = process.stderr.read()

  # A negative code is the signal that ended it.
  if process.returncode < 0:
    reason = re.search(r'Check failed: .*|.*Error.*', messages)
    reason = reason[0].strip() if reason else 'it gives no reason'
    raise errors.UserError(
      f'libtpu was ended by signal {-process.returncode} while it compiled for one of '
      f'{",".join(_TOPOLOGY.value)} ({reason}), which is an error of its own or too little '
      'memory here; try another topology, batch or size, or another version of libtpu'
    )
  sys.stderr.write(messages)
  return process.returncode


def _size(text: str) -> int:
  if not text.isdigit() or not int(text):
    raise errors.UserError(f'--image_sizes: {text!r} is not a number of pixels')
  return int(text)


if __name__ == '__main__':
  os.environ['JAX_PLATFORMS'] = 'cpu'  # a TPU or GPU that is there is not touched
  run_config.define_flags()
  cli.run(main)
