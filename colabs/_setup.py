"""What every notebook begins with: installs the clone, runs commands, says where runs go.

The first cell of a notebook finds the clone and imports this file.
"""

import importlib.metadata
import importlib.util
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
SMOKE = bool(os.environ.get('MASKGAN_SMOKE'))  # tests run notebooks with everything tiny
RUNS = (pathlib.Path.cwd() if SMOKE else ROOT) / 'runs'  # git ignores it

_NEEDED = ('maskgan_jax', 'grain', 'orbax', 'python_avatars')
# Of these the installed versions stay: they fit the machine's chips.
_KEPT = r'jax|jaxlib|jax[-_](cuda|rocm|tpu).*|libtpu|flax|numpy'


def run(*command: object, folder: pathlib.Path = ROOT) -> None:
  """Runs a command in a folder and prints its output in the cell."""
  with subprocess.Popen([str(part) for part in command], cwd=folder, text=True,
                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
    for line in process.stdout:
      print(line, end='')
  if process.returncode:
    raise RuntimeError(f'{command[0]} ended with exit code {process.returncode}')


def install() -> None:
  """Installs the clone; JAX, its plugins, Flax and NumPy keep their versions."""
  versions = {}
  for distribution in importlib.metadata.distributions():
    versions[distribution.metadata['Name'].lower()] = distribution.version
  kept = [f'{name}=={version}\n' for name, version in sorted(versions.items())
          if re.fullmatch(_KEPT, name)]
  constraints = pathlib.Path('kept.txt')
  constraints.write_text(''.join(kept))
  run(sys.executable, '-m', 'pip', 'install', '--quiet', '--constraint', constraints.resolve(),
      f'{ROOT}[demo]')
  constraints.unlink()
  importlib.invalidate_caches()


if not all(map(importlib.util.find_spec, _NEEDED)):
  install()
