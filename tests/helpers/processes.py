"""Training commands that tests start, watch and stop."""

import os
import socket
import subprocess
import sys

from helpers.paths import ROOT


def command(workdir, data_dir, *flags, verb='train', config='configs/quickstart.py:smoke'):
  return [sys.executable, '-m', f'maskgan_jax.{verb}', f'--config={config}',
          f'--workdir={workdir}', f'--config.data.data_dir={data_dir}', '--config.evaluators=',
          *flags]


def environment(**more):
  cache = os.environ.get('JAX_COMPILATION_CACHE_DIR')
  keep = {'JAX_COMPILATION_CACHE_DIR': cache} if cache else {}
  return {**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONUNBUFFERED': '1', **keep, **more}


def start(args, **env):
  return subprocess.Popen(args, cwd=ROOT, env=environment(**env), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_step(process, step):
  """Reads the process' lines until it has passed a step."""
  for line in process.stdout:
    if line.startswith('step ') and int(line.split()[1].split('/')[0]) >= step:
      return
  raise AssertionError(process.stderr.read())


def start_together(args, processes=2):
  """Starts the same command in several processes, which find each other."""
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  return [start(args, JAX_COORDINATOR_ADDRESS=f'127.0.0.1:{port}', JAX_PROCESS_ID=str(i),
                JAX_NUM_PROCESSES=str(processes)) for i in range(processes)]
