"""Trains a config in a folder, or resumes what is there; then measures it and writes a report.

  python -m maskgan_jax.train --config=configs/quickstart.py --workdir=runs/quickstart

The same command, started again, goes on where the last one stopped. SIGTERM and Ctrl-C save and
exit with code 75.
"""

import os
import signal
import time

from absl import flags

from maskgan_jax import cli, errors
from maskgan_jax import config as run_config

_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of the run; made if it does not exist.'
)
_DISTRIBUTED = flags.DEFINE_bool(
  'distributed',
  False,
  'Joins the other processes of this job as the cluster says (Cloud TPU '
  'pods, Slurm, Kubernetes). Not needed if JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and '
  'JAX_PROCESS_ID are set.',
)


def main() -> None:
  began = time.monotonic()
  config = run_config.from_flags()
  cli.require('workdir')
  if '://' in _WORKDIR.value:
    raise errors.UserError(
      f'--workdir={_WORKDIR.value} is not a folder of this file system; mount '
      'the bucket (gcsfuse, for gs://) and name its folder'
    )
  from maskgan_jax.training import parallel  # the flags are right: now the slow imports

  parallel.initialize_processes(_DISTRIBUTED.value)
  import jax

  from maskgan_jax import evaluators, experiment
  from maskgan_jax.reports import report
  from maskgan_jax.runs import scores

  # One run, from config to scores and report.
  workdir = _WORKDIR.value
  trained = experiment.train(config, workdir)
  signal.signal(
    signal.SIGTERM, signal.SIG_IGN
  )  # all is done, but other processes may take longer
  if jax.process_index() == 0:
    # What came of it, for people.
    row = scores.latest(workdir, split=evaluators.SPLIT, step=trained.step)
    print()
    if row:
      measures = {name: value for name, value in row.items() if name != 'split'}
      print(evaluators.table(measures))
    seconds = time.monotonic() - began
    print(
      f'{trained.step:,} steps; this command took {seconds:.0f} s. '
      f'Pictures: {os.path.join(workdir, "samples")}. '
      f'Report: {os.path.join(workdir, report.FILE_NAME)}'
    )


if __name__ == '__main__':
  run_config.define_flags()
  cli.run(main, saves_memory=cli.TRAINING_MEMORY)
