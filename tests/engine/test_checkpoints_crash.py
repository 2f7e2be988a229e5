"""Checkpoints of processes that end badly: killed while saving, or on a full disk."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskgan_jax.runs.checkpoints import Checkpoints

_FULL_DISK = textwrap.dedent("""
    import resource, sys
    import jax.numpy as jnp, numpy as np
    from maskgan_jax import errors
    from maskgan_jax.runs import checkpoints as checkpoints_lib
    model = {'x': jnp.asarray(np.random.default_rng(0).normal(size=100_000))}
    checkpoints = checkpoints_lib.Checkpoints(sys.argv[1])
    try:
      try:
        checkpoints.save(1, model, {})
        checkpoints.wait()
        resource.setrlimit(resource.RLIMIT_FSIZE, (MAXIMUM, MAXIMUM))
        checkpoints.save(2, model, {})
        LAST
      finally:
        checkpoints.close()
    except errors.UserError as error:
      sys.exit(f'error: {error}')
""")


@pytest.mark.slow
@pytest.mark.parametrize('limit', [0, 100_000])
@pytest.mark.parametrize('last', ['checkpoints.save(3, model, {})', 'checkpoints.wait()', ''])
def test_full_disk_is_one_line(tmp_path, limit, last):
  code = _FULL_DISK.replace('MAXIMUM', str(limit)).replace('LAST', last)
  result = subprocess.run([sys.executable, '-c', code, str(tmp_path)], capture_output=True,
                          text=True, env=os.environ | {'JAX_PLATFORMS': 'cpu'})
  assert result.returncode == 1, result.stderr
  assert result.stderr.count('\n') == 1, result.stderr
  line = result.stderr
  assert line.startswith('error: cannot write a checkpoint to') and 'File too large' in line
  assert 'the newest whole one is step 1' in line
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.restore({'x': jax.ShapeDtypeStruct((100_000,), jnp.float32)}, {})[0] == 1


_KILLED = textwrap.dedent("""
    import sys
    import jax.numpy as jnp
    from maskgan_jax.runs import checkpoints as checkpoints_lib
    checkpoints = checkpoints_lib.Checkpoints(sys.argv[1], keep_last=2)
    step = int(sys.argv[2])
    while True:
      step += 1
      checkpoints.save(step, {'x': jnp.full((300, 1000), step)}, {'step': jnp.int32(step)})
      print(step - 1, flush=True)  # `save` has waited for the one before
""")


@pytest.mark.slow
def test_killed_while_saving(tmp_path):
  targets = ({'x': jax.ShapeDtypeStruct((300, 1000), jnp.int32)},
             {'step': jax.ShapeDtypeStruct((), jnp.int32)})
  rng = random.Random(0)
  step = 0
  for _ in range(6):
    process = subprocess.Popen([sys.executable, '-c', _KILLED, str(tmp_path), str(step)],
                               stdout=subprocess.PIPE, text=True,
                               env=os.environ | {'JAX_PLATFORMS': 'cpu'})
    process.stdout.readline()
    time.sleep(rng.uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)
    lines = process.communicate()[0].split()
    with Checkpoints(tmp_path) as checkpoints:
      step, model, training = checkpoints.restore(*targets)
    assert step >= max(map(int, lines), default=0)  # no complete checkpoint is lost
    assert int(training['step']) == step
    assert np.unique(np.asarray(model['x'])).tolist() == [step]
  assert step > 6
