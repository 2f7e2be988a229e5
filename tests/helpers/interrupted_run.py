"""A training that takes very long over one thing, for tests that stop it at that moment.

  python tests/helpers/interrupted_run.py WHERE SECONDS FLAG...

WHERE is 'compiling', 'compiling a stage' (which this script makes begin with step 3), 'sampling',
'evaluating', 'measuring the end', 'leaving' (as process 1), 'failing' (as it is measured) or
'nothing'; the flags are those of the command `train`. 'now' is printed when the long part begins.
"""

import sys
import time

import jax

from maskgan_jax import cli, errors, evaluators, train
from maskgan_jax import config as run_config
from maskgan_jax.runs import checkpoints, samples
from maskgan_jax.training import parallel

STAGE = 3


def slow(owner, name, seconds, when=lambda *args: True):
  """Makes owner.name take long from now on, where `when` returns True."""
  function = getattr(owner, name)

  def and_wait(*args, **kwargs):
    if when(*args):
      print('now', flush=True)
      time.sleep(seconds)
    return function(*args, **kwargs)
  setattr(owner, name, and_wait)


def main() -> None:
  where, seconds = sys.argv[1], float(sys.argv[2])
  del sys.argv[1:3]
  if where == 'compiling':
    slow(parallel.Programs, 'compile', seconds)
  elif where == 'compiling a stage':
    new = parallel.Programs.new
    parallel.Programs.new = lambda programs, at: at == STAGE or new(programs, at)
    slow(parallel.Programs, 'compile', seconds, lambda programs, steps, *_: steps[0] == STAGE)
  elif where == 'sampling':
    slow(samples.Sampler, 'write', seconds)
  elif where in ('evaluating', 'measuring the end'):
    slow(evaluators, 'measure', seconds)
  elif where == 'failing':
    def fail(*args, **kwargs):
      raise errors.UserError('it cannot be measured')
    evaluators.measure = fail
  elif where == 'leaving':
    slow(checkpoints.Checkpoints, 'close', seconds, lambda *_: jax.process_index() == 1)
  else:
    assert where == 'nothing', where
  run_config.define_flags()
  cli.run(train.main)


if __name__ == '__main__':
  main()
