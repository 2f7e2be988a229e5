"""Commands as users type them, in processes of their own."""

import os
import subprocess
import sys

from helpers.paths import ROOT

SMOKE = '--config=configs/quickstart.py:smoke'


def run(verb, *flags, **env):
  return subprocess.run([sys.executable, '-m', f'maskgan_jax.{verb}', *map(str, flags)], cwd=ROOT,
                        text=True, capture_output=True, check=False,
                        env={**os.environ, 'JAX_PLATFORMS': 'cpu', **env})


def fails(result, *parts):
  """Exit code 2, one line of error with these parts, no traceback."""
  assert result.returncode == 2, result.stderr
  *before, line = result.stderr.strip().splitlines()
  assert line.startswith('error: ') and all('drawing the avatars' in b for b in before)
  for part in parts:
    assert part in line
