"""Every method at its paper's setting, beside the same networks and steps in PyTorch.

  python benchmarks/compare_all.py --precisions=float32 --seconds=8

Each figure comes from a process of its own, one after another, with nothing cached and random
images at hand. The PyTorch twins lie beside this script: the same networks, losses and steps,
eager and with torch.compile (LOMIT's critic stays eager: its gradient is differentiated again),
in float32, with TF32 allowed where a GPU has it, as XLA's default is. Without PyTorch
(pip install '.[convert]') only our steps are measured.
"""

import argparse
from collections.abc import Sequence
import importlib.util
import json
import os
import shlex
import subprocess
import sys

import compare

CONFIGS = {
  'content_transfer': 'configs/celeba_glasses.py',
  'press': 'configs/press_celeba_glasses.py',
  'lomit': 'configs/celeba_hair_smile.py',
  'egsc_it': 'configs/digits_single.py',
  'additional_mask': 'configs/additional_mask_horse2zebra.py',
  'munit': 'configs/edges2handbags.py',
  'drit': 'configs/drit_summer2winter.py',
  'unit': 'configs/unit_summer2winter.py',
  'ugatit': 'configs/ugatit_horse2zebra.py',
}
PRECISIONS = ('float32', 'bfloat16')
_MISSING = '—'
_HEAD = [
  '| method | precision | batch | images/s | ms a step | share of peak | memory, MB '
  '| compiled in, s | eager PyTorch, ms | times faster | compiled PyTorch, ms '
  '| times faster |',
  '|---|---|---:|' + 9 * '---:|',
]


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument(
    '--methods', default=','.join(CONFIGS), help='with commas between'
  )
  parser.add_argument(
    '--precisions', default=','.join(PRECISIONS), help='types that networks compute in'
  )
  parser.add_argument(
    '--seconds', type=float, default=5, help='of each measurement, at least'
  )
  parser.add_argument('--small', action='store_true', help='tiny networks and pictures')
  parser.add_argument(
    '--format',
    choices=('markdown', 'json'),
    default='markdown',
    help='a table, or one JSON line a row as it comes',
  )
  options = parser.parse_args(arguments)
  methods, precisions = options.methods.split(','), options.precisions.split(',')
  for names, choices in ((methods, CONFIGS), (precisions, PRECISIONS)):
    for name in names:
      if name not in choices:
        parser.error(f'unknown {name!r}; there are {", ".join(choices)}')

  has_torch = importlib.util.find_spec('torch') is not None
  if not has_torch:
    _say(
      "without PyTorch (pip install '.[convert]') there is nothing to compare with: only our "
      'steps are measured'
    )
  rows = []
  for method in methods:
    for precision in precisions:
      row = measure(
        method,
        precision,
        seconds=options.seconds,
        small=options.small,
        with_torch=has_torch,
      )
      rows.append(row)
      if options.format == 'json':
        print(json.dumps(row), flush=True)
  if options.format == 'markdown':
    print(markdown(rows), end='')


def measure(
  method: str, precision: str, *, seconds: float, small: bool, with_torch: bool
) -> dict:
  """Returns a method's row in one precision, with PyTorch's figures in that of float32."""
  spec = CONFIGS[method] + (':smoke' if small else '')
  _say(f'{method}, {precision}')
  row = {'method': method, 'config': spec, 'precision': precision}
  row.update(_ours(spec, precision, seconds))
  if with_torch and precision == 'float32' and 'step_ms' in row:
    steps = max(1, min(200, round(1e3 * seconds / row['step_ms'])))
    for name, flags in (('eager', ()), ('compiled', ('--compile',))):
      _say(f'{method}, PyTorch {name}')
      row.update(_theirs(spec, steps, name, flags))
      if f'torch_{name}_ms' in row:
        row[f'ratio_{name}'] = round(row[f'torch_{name}_ms'] / row['step_ms'], 3)
  return row


def _ours(spec: str, precision: str, seconds: float) -> dict:
  command = [
    sys.executable,
    '-m',
    'maskgan_jax.benchmark',
    f'--config={spec}',
    '--random_data',
    f'--seconds={seconds}',
    f'--config.compute_dtype={precision}',
  ]
  # A cached program would take no time to compile.
  environment = {**os.environ, 'JAX_ENABLE_COMPILATION_CACHE': 'false'}
  result = subprocess.run(
    command,
    cwd=compare.ROOT,
    text=True,
    capture_output=True,
    check=False,
    env=environment,
  )
  return _failure('error', result) if result.returncode else json.loads(result.stdout)


def _theirs(spec: str, steps: int, name: str, flags: Sequence[str]) -> dict:
  config = compare.read(spec)
  sizes = [f'--{key}={value}' for key, value in compare.sizes(config).items()]
  command = [
    sys.executable,
    f'benchmarks/torch_{config.method}.py',
    f'--steps={steps}',
    *flags,
    *sizes,
  ]
  result = subprocess.run(
    command, cwd=compare.ROOT, text=True, capture_output=True, check=False
  )
  if result.returncode:
    return _failure(f'torch_{name}_error', result)
  return {
    f'torch_{name}_ms': float(result.stdout.split(' ms per step')[0]),
    f'torch_{name}': result.stdout.strip(),
  }


def _failure(name: str, result: subprocess.CompletedProcess) -> dict:
  lines = result.stderr.strip().splitlines() or [f'exit status {result.returncode}']
  _say(f'failed ({result.returncode}): {shlex.join(result.args)}: {lines[-1]}')
  return {name: lines[-1]}


def _say(line: str) -> None:
  print(line, file=sys.stderr, flush=True)


def markdown(rows: Sequence[dict]) -> str:
  """Returns the rows as a table, and what they were measured on."""
  lines = [*_HEAD, *map(_line, rows)]
  measured = [row for row in rows if 'device' in row]
  if measured:
    first = measured[0]
    torch = ''.join(f', PyTorch {version}' for version in _torch_versions(rows))
    steps = ', '.join(str(row['steps']) for row in measured)
    lines += [
      '',
      f'{first["device"]}, {first["cores"]} cores, jax {first["jax"]}{torch}, '
      f'Python {first["python"]}; medians of {steps} steps of ours, row by row.',
    ]
  return '\n'.join(lines) + '\n'


def _line(row: dict) -> str:
  """Returns a row of the table."""

  def cell(name, form='{}', error=''):
    if name in row:
      return form.format(row[name])
    return f'failed: {row[error][:60]}'.replace('|', '/') if error in row else _MISSING

  size = _MISSING
  if 'batch_size' in row:
    size = f'{row["batch_size"]} of {row["image_size"]}x{row["image_width"]}'
  memory = 'device_peak_mb' if 'device_peak_mb' in row else 'program_mb'
  cells = [
    row['method'],
    row['precision'],
    size,
    cell('images_per_second', '{:,.1f}', 'error'),
    cell('step_ms', '{:,.0f}'),
    cell('share_of_peak', '{:.0%}'),
    cell(memory, '{:,.0f}'),
    cell('compile_s', '{:.0f}'),
    cell('torch_eager_ms', '{:,.0f}', 'torch_eager_error'),
    cell('ratio_eager', '{:.2f}'),
    cell('torch_compiled_ms', '{:,.0f}', 'torch_compiled_error'),
    cell('ratio_compiled', '{:.2f}'),
  ]
  return f'| {" | ".join(cells)} |'


def _torch_versions(rows: Sequence[dict]) -> list[str]:
  """Returns the version of PyTorch, or nothing where PyTorch was not measured."""
  for row in rows:
    for name in ('torch_eager', 'torch_compiled'):
      if name in row:
        return [row[name].split('PyTorch ')[1].split(',')[0]]
  return []


if __name__ == '__main__':
  main()
