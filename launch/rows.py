"""A paper's table as jobs: one for each config behind its cells and each seed.

  python launch/rows.py --table=lomit/1 --seeds=3 --root=runs
  python launch/rows.py --table=lomit/1 --seeds=3 --root=runs --index=4 --run

Prints the command of each job, or with --index that of one, which --run starts in place of this
process: so the jobs of a scheduler's array differ by a number only. `python -m maskgan_jax.tables
--table=... --workdir=ROOT` finds their folders, and makes the table.
"""

import os
import shlex
import sys

from absl import flags

from maskgan_jax import cli, errors

_TABLE = flags.DEFINE_list('table', [], 'Tables, e.g. egsc_it/2, with commas between.')
_SEEDS = flags.DEFINE_integer('seeds', 1, 'Number of seeds, from 0 on.', lower_bound=1)
_ROOT = flags.DEFINE_string('root', 'runs', 'The folder of all runs.')
_ADD = flags.DEFINE_string('add', '', "Arguments added to every config's, e.g. quick.")
_INDEX = flags.DEFINE_integer(
  'index', None, 'Only this job; the first is 0.', lower_bound=0
)
_RUN = flags.DEFINE_bool(
  'run', False, 'Starts the job instead of printing it; with --index.'
)
_DISTRIBUTED = flags.DEFINE_bool('distributed', False, 'As the flag of train.')


def commands(tables, seeds: int, root: str, add: str = '') -> list[list[str]]:
  """Returns the command of each job; UserError if a table is unknown."""
  from maskgan_jax.tables import papers, plans

  command_by_folder = {}  # tables may share a job
  for name in tables:
    for plan in plans.plan(papers.get(name), add).values():
      if plan.config is None:
        print(f'left out: {plan.reason}', file=sys.stderr)
        continue
      for seed in range(seeds):
        folder = plans.folder(root, plan.resolved_path, seed)
        command_by_folder[folder] = [
          '-m',
          'maskgan_jax.train',
          f'--config={plan.resolved_path}',
          f'--workdir={folder}',
          f'--config.seed={seed}',
        ]
  return list(command_by_folder.values())


def main() -> None:
  cli.require('table')
  jobs = commands(_TABLE.value, _SEEDS.value, _ROOT.value, _ADD.value)
  if _DISTRIBUTED.value:
    jobs = [[*job, '--distributed'] for job in jobs]
  if _INDEX.value is None:
    if _RUN.value:
      raise errors.UserError('--run starts one job: say which with --index')
    for job in jobs:
      print(shlex.join(['python', *job]))
    return
  if _INDEX.value >= len(jobs):
    raise errors.UserError(
      f'--index={_INDEX.value}: there are {len(jobs)} jobs, the last is {len(jobs) - 1}'
    )
  job = jobs[_INDEX.value]
  if _RUN.value:
    os.execv(sys.executable, [sys.executable, *job])
  print(shlex.join(['python', *job]))


if __name__ == '__main__':
  cli.run(main)
