"""`benchmark --all`: every method at its paper's setting, beside the same in PyTorch.

Each figure comes from a process of its own, one after another, with nothing cached and random
images at hand. The PyTorch twins are in benchmarks/ of the repository: the same networks, losses
and steps, eager and with torch.compile (LOMIT's critic stays eager: its gradient is differentiated
again), in float32, with TF32 allowed where a GPU has it, as XLA's default is.
"""

from collections.abc import Iterator, Sequence
import importlib.util
import json
import os
import shlex
import subprocess
import sys

import maskgan_jax
from maskgan_jax import errors

CONFIGS = {'content_transfer': 'configs/celeba_glasses.py', 'lomit': 'configs/celeba_hair_smile.py',
           'egsc_it': 'configs/digits_single.py',
           'additional_mask': 'configs/additional_mask_horse2zebra.py'}
PRECISIONS = ('float32', 'bfloat16')
_ROOT = os.path.dirname(os.path.dirname(maskgan_jax.__file__))
_MISSING = '—'


def show(methods: Sequence[str], precisions: Sequence[str], *, seconds: float, small: bool = False,
         as_json: bool = False) -> None:
  """Prints the table, or a JSON line a row as it comes.

  Args:
    methods: names; none for all.
    precisions: of the networks' computing, of PRECISIONS.
    seconds: of each measurement, at least; PyTorch's are of as many steps as take about as long.
    small: tiny networks and pictures.
    as_json: lines instead of a table.

  Raises:
    UserError: a name is unknown.
  """
  for names, known in ((methods, tuple(CONFIGS)), (precisions, PRECISIONS)):
    for name in names:
      if name not in known:
        raise errors.UserError(f'unknown {name!r}{errors.nearest(name, known)}; there are '
                               f'{", ".join(known)}')
  if not precisions:
    raise errors.UserError('--precisions is empty; name float32, bfloat16 or both')
  compare = _compare()
  found = []
  for method in methods or CONFIGS:
    for row in rows(method, precisions, seconds=seconds, small=small, compare=compare):
      if as_json:
        print(json.dumps(row), flush=True)
      found.append(row)
  if not as_json:
    print(markdown(found), end='')


def _compare():
  """The module benchmarks/compare.py, or None where there is no PyTorch or no such folder."""
  path = os.path.join(_ROOT, 'benchmarks', 'compare.py')
  if not os.path.isfile(path):
    missing = "this project's benchmarks/ folder, which is in its repository"
  elif importlib.util.find_spec('torch') is None:
    missing = "PyTorch (pip install '.[convert]')"
  else:
    spec = importlib.util.spec_from_file_location('compare', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
  print(f'without {missing} there is nothing to compare with: only ours is measured',
        file=sys.stderr, flush=True)
  return None


def rows(method: str, precisions: Sequence[str], *, seconds: float, small: bool, compare
         ) -> Iterator[dict]:
  """A method's rows, one for each precision, with PyTorch's figures in that of float32."""
  spec = CONFIGS[method] + (':smoke' if small else '')
  for precision in precisions:
    row = {'method': method, 'config': spec, 'precision': precision}
    _say(f'{method}, {precision}')
    row.update(_ours(spec, precision, seconds))
    if compare and precision == 'float32' and 'step_ms' in row:
      steps = max(1, min(200, round(1e3 * seconds / row['step_ms'])))
      for name, more in (('eager', ()), ('compiled', ('--compile',))):
        _say(f'{method}, PyTorch {name}')
        row.update(_theirs(compare, spec, steps, name, more))
        if f'torch_{name}_ms' in row:
          row[f'ratio_{name}'] = round(row[f'torch_{name}_ms'] / row['step_ms'], 3)
    yield row


def _ours(spec, precision, seconds) -> dict:
  command = [sys.executable, '-m', 'maskgan_jax.benchmark', f'--config={spec}', '--random_data',
             f'--seconds={seconds}', f'--config.compute_dtype={precision}']
  # A cached program would have taken no time to compile.
  result = subprocess.run(command, cwd=_ROOT, text=True, capture_output=True, check=False,
                          env={**os.environ, 'JAX_ENABLE_COMPILATION_CACHE': 'false'})
  if result.returncode:
    return _failed('error', result)
  return json.loads(result.stdout)


def _theirs(compare, spec, steps, name, more) -> dict:
  method, arguments = compare.read(spec).method, compare.sizes(compare.read(spec))
  command = [sys.executable, f'benchmarks/torch_{method}.py', f'--steps={steps}', *more,
             *(f'--{key}={value}' for key, value in arguments.items())]
  result = subprocess.run(command, cwd=_ROOT, text=True, capture_output=True, check=False)
  if result.returncode:
    return _failed(f'torch_{name}_error', result)
  return {f'torch_{name}_ms': float(result.stdout.split(' ms per step')[0]),
          f'torch_{name}': result.stdout.strip()}


def _failed(name, result) -> dict:
  said = result.stderr.strip().splitlines() or [f'exit status {result.returncode}']
  _say(f'failed ({result.returncode}): {shlex.join(result.args)}: {said[-1]}')
  return {name: said[-1]}


def _say(line):
  print(line, file=sys.stderr, flush=True)


def markdown(found: Sequence[dict]) -> str:
  """The rows as a table, and what they were measured on."""
  def cell(row, name, form='{}', why=None):
    if name in row:
      return form.format(row[name])
    return f'failed: {row[why][:60]}'.replace('|', '/') if why in row else _MISSING
  lines = ['| method | precision | batch | images/s | ms a step | share of peak | memory, MB '
           '| compiled in, s | eager PyTorch, ms | times faster | compiled PyTorch, ms '
           '| times faster |', '|---|---|---:|' + 9 * '---:|']
  for row in found:
    size = (f'{row["batch_size"]} of {row["image_size"]}x{row["image_width"]}'
            if 'batch_size' in row else _MISSING)
    memory = 'device_peak_mb' if 'device_peak_mb' in row else 'program_mb'
    lines.append('| ' + ' | '.join([
        row['method'], row['precision'], size,
        cell(row, 'images_per_second', '{:,.1f}', 'error'), cell(row, 'step_ms', '{:,.0f}'),
        cell(row, 'share_of_peak', '{:.0%}'), cell(row, memory, '{:,.0f}'),
        cell(row, 'compile_s', '{:.0f}'),
        cell(row, 'torch_eager_ms', '{:,.0f}', 'torch_eager_error'),
        cell(row, 'ratio_eager', '{:.2f}'),
        cell(row, 'torch_compiled_ms', '{:,.0f}', 'torch_compiled_error'),
        cell(row, 'ratio_compiled', '{:.2f}')]) + ' |')
  done = [row for row in found if 'device' in row]
  if done:
    first = done[0]
    torch = next((row[name].split('PyTorch ')[1].split(',')[0] for row in found
                  for name in ('torch_eager', 'torch_compiled') if name in row), None)
    lines += ['', f'{first["device"]}, {first["cores"]} cores, jax {first["jax"]}'
              + (f', PyTorch {torch}' if torch else '') + f', Python {first["python"]}; medians of '
              + ', '.join(f'{row["steps"]}' for row in done) + ' steps of ours, row by row.']
  return '\n'.join(lines) + '\n'
