"""Kills a training (`kill -9`) at random moments, again and again, until it is done all the same.

  python benchmarks/kill_runs.py --config=configs/quickstart.py:smoke --kills=50

Prints one JSON line: how many kills fell into starting (imports, restoring, compiling), training
and saving, and whether the run that was killed ended with the very bits of an undisturbed one:
every array of the newest checkpoint, and every line of metrics.jsonl except for times. `lost_steps`
is the largest number of steps that a kill undid: those since the last checkpoint, and those of a
checkpoint that was being written. Exits 1 if anything differs.

A fourth of the kills come at any moment of a start, a fourth within milliseconds of the moment that
a checkpoint begins to be written, the rest in the second and a half after the first step. If a run
is done before enough kills, another begins.
"""

import argparse
import glob
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EVERY = 5  # steps between checkpoints
TIMES = ('steps_per_second', 'images_per_second', 'input_wait_share', 'time')


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--config', required=True)
  parser.add_argument('--kills', type=int, default=50)
  parser.add_argument('--steps', type=int, default=60)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--log', help='a file that gets one line for each kill')
  parser.add_argument('overrides', nargs='*', help='--config.key=value, after --')
  options = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    figures = measure(options, folder)
  print(json.dumps(figures), flush=True)
  sys.exit(not (figures['state_is_bitwise_equal'] and figures['metrics_are_equal']))


def measure(options, folder: str) -> dict:
  """Returns the figures that are printed."""
  rng, began = random.Random(options.seed), time.monotonic()
  whole, start = os.path.join(folder, 'whole'), time.monotonic()
  process, _ = launch(options, whole)
  assert process.wait() == 0, 'the undisturbed run failed'
  length = time.monotonic() - start
  kills = {'starting': 0, 'training': 0, 'saving': 0}
  runs, lost, same_state, same_metrics, attempt = 0, 0, True, True, 0
  while sum(kills.values()) < options.kills:
    workdir, runs, done = os.path.join(folder, f'run{runs}'), runs + 1, False
    while not done:
      before = newest(workdir)
      process, lines = launch(options, workdir)
      if sum(kills.values()) < options.kills:
        moment = ('start', 'save', 'any', 'any')[attempt % 4]
        kill_at_random(process, lines, workdir, rng, moment, min(length, 20))
        attempt += 1
      done = process.wait() == 0
      if done:
        break
      assert process.returncode == -9, f'ended by itself, with {process.returncode}'
      phase, steps = look_at_the_killed(workdir, lines, before)
      kills[phase] += 1
      lost = max(lost, steps)
      note(
        options.log,
        f'{options.config}: kill {sum(kills.values())} while {phase}, after step '
        f'{last_step(lines) or before}; the newest checkpoint is '
        f'{newest(workdir) or "none"}',
      )
    same_state &= state(workdir) == state(whole)
    same_metrics &= metrics(workdir) == metrics(whole)
    shutil.rmtree(workdir)
  return {
    'config': options.config,
    'kills': sum(kills.values()),
    **{f'while_{phase}': number for phase, number in kills.items()},
    'runs_completed': runs,
    'steps_of_a_run': options.steps,
    'checkpoint_every': EVERY,
    'lost_steps': lost,
    'state_is_bitwise_equal': same_state,
    'metrics_are_equal': same_metrics,
    'seconds': round(time.monotonic() - began),
  }


def look_at_the_killed(workdir: str, lines: list[str], before: int) -> tuple[str, int]:
  """Checks what a killed run left; returns the phase that it was in, and the lost steps.

  Args:
    workdir: folder of the run.
    lines: that it printed.
    before: newest checkpoint when it was started.
  """
  after, reached = newest(workdir), last_step(lines)
  assert after >= before, f'checkpoint {before} is gone; the newest is {after}'
  resumed = [line for line in lines if line.startswith('resuming at step ')]
  if resumed:
    assert resumed[0].split()[-1].strip() == str(before), (resumed, before)

  # What a save has not finished lies beside the checkpoints.
  if glob.glob(os.path.join(workdir, 'checkpoints', '*tmp*')):
    phase = 'saving'
  else:
    phase = 'training' if reached else 'starting'
  return phase, reached - after


def launch(options, workdir: str) -> tuple[subprocess.Popen, list[str]]:
  """Starts the training; returns its process, and a list that its lines are added to."""
  process = subprocess.Popen(
    [
      sys.executable,
      '-m',
      'maskgan_jax.train',
      f'--config={options.config}',
      f'--workdir={workdir}',
      f'--config.num_steps={options.steps}',
      '--config.log_every=1',
      f'--config.checkpoint_every={EVERY}',
      '--config.sample_every=0',
      '--config.evaluate_every=0',
      '--config.evaluators=',
      *options.overrides,
    ],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    text=True,
    env={**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONUNBUFFERED': '1'},
  )
  lines = []

  def read():
    for line in process.stdout:
      lines.append(line)

  threading.Thread(target=read, daemon=True).start()
  return process, lines


def kill_at_random(process, lines, workdir, rng, when, seconds) -> None:
  """Kills the process at a moment of the kind `when`, unless it ends before."""
  if when == 'start':
    wait(process, rng.uniform(0, seconds))
  else:
    while process.poll() is None and not last_step(lines):
      time.sleep(0.01)
    if when == 'save':
      while process.poll() is None and not glob.glob(f'{workdir}/checkpoints/*tmp*'):
        time.sleep(0.0005)
      wait(process, rng.uniform(0, 0.02))
    else:
      wait(process, rng.uniform(0, 1.5))
  process.kill()


def wait(process, seconds) -> None:
  try:
    process.wait(seconds)
  except subprocess.TimeoutExpired:
    return


def last_step(lines) -> int:
  """Returns the last step that the lines report; 0 before the first."""
  for line in reversed(lines):
    if line.startswith('step '):
      return int(line.split()[1].split('/')[0].replace(',', ''))
  return 0


def newest(workdir) -> int:
  """Returns the step of the newest whole checkpoint, 0 without one."""
  names = [os.path.basename(path) for path in glob.glob(f'{workdir}/checkpoints/*')]
  return max((int(name) for name in names if name.isdigit()), default=0)


def state(workdir) -> list:
  """Returns every array of the newest checkpoint, as its bytes."""
  import jax

  from maskgan_jax import config as run_config
  from maskgan_jax import methods
  from maskgan_jax.runs import checkpoints
  from maskgan_jax.training import parallel, train_step

  config = run_config.load(workdir)
  method = methods.make(config)
  optimizers = train_step.make_optimizers(method, config)
  sharding = parallel.Parallel('jit').replicated
  abstract = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
    jax.eval_shape(lambda: train_step.init_state(method, optimizers, config)),
  )
  with checkpoints.Checkpoints(workdir, read_only=True) as saved:
    leaves = jax.device_get(jax.tree.leaves_with_path(saved.restore(*abstract.items())))
  return [
    (str(path), getattr(leaf, 'tobytes', lambda leaf=leaf: leaf)())
    for path, leaf in leaves
  ]


def metrics(workdir) -> list:
  """Returns the lines of metrics.jsonl without times."""
  with open(os.path.join(workdir, 'metrics.jsonl'), encoding='utf-8') as file:
    rows = [json.loads(line) for line in file]
  return [
    {name: value for name, value in row.items() if name not in TIMES} for row in rows
  ]


def note(path, line) -> None:
  if path:
    with open(path, 'a', encoding='utf-8') as file:
      file.write(line + '\n')


if __name__ == '__main__':
  main()
