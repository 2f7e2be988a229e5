"""Commands as users type them: in forks of one process that has loaded the libraries already."""

import dataclasses
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile

from helpers.paths import ROOT

SMOKE = '--config=configs/quickstart.py:smoke'

# Verbs are not among them: a verb defines its flags when it runs as __main__.
_LIBRARIES = ['maskgan_jax.evaluators', 'maskgan_jax.translator', 'maskgan_jax.training.loop',
              'maskgan_jax.data.pipeline', 'maskgan_jax.experiment', 'PIL.Image']
_forks = multiprocessing.get_context('forkserver')
_forks.set_forkserver_preload(_LIBRARIES)


@dataclasses.dataclass
class Result:
  """The result of a command: exit code (negative for a signal) and everything it printed."""
  returncode: int
  stdout: str
  stderr: str


def _run_verb(verb, flags, folder, environment, output, error):
  """Runs in the fork: `python -m maskgan_jax.VERB FLAG...` with its output in two files."""
  signal.signal(signal.SIGINT, signal.default_int_handler)
  for path, descriptor in ((output, 1), (error, 2)):
    file = os.open(path, os.O_WRONLY)
    os.dup2(file, descriptor)
  os.environ.clear()
  os.environ.update(environment)
  os.chdir(folder)
  sys.argv = [verb, *flags]
  try:
    runpy.run_module(f'maskgan_jax.{verb}', run_name='__main__', alter_sys=True)
  finally:
    sys.stdout.flush()


def run(verb, *flags, folder=ROOT, timeout=900, **environment):
  """Runs a command in a folder, by default the repository's, and waits for it."""
  with tempfile.NamedTemporaryFile() as output, tempfile.NamedTemporaryFile() as error:
    process = _forks.Process(target=_run_verb, args=(
        verb, [str(flag) for flag in flags], str(folder), {**os.environ, **environment},
        output.name, error.name))
    process.start()
    process.join(timeout)
    if process.exitcode is None:
      process.kill()
      process.join()
    return Result(process.exitcode, output.read().decode(), error.read().decode())


def fails(result, *parts):
  """Checks for exit code 2 and one line of error with these parts, without a traceback."""
  assert result.returncode == 2, result.stderr
  *before, line = result.stderr.strip().splitlines()
  assert line.startswith('error: ') and all('drawing the avatars' in b for b in before)
  for part in parts:
    assert part in line
