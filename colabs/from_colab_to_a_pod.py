# %% [markdown]
# # From a notebook to a pod
#
# The same train step runs on one device and on 256: batches are split over devices, parameters are
# on all of them, and the numbers stay the same. Here eight CPU devices are emulated; then the step
# is compiled for a TPU slice without renting one; then the scripts that rent one print what they
# would do. Nothing here needs an accelerator or an account.

# %%
# Finds the clone that contains this notebook or, if there is none (Colab), clones SOURCE, which is
# an argument of `git clone`, and installs it. An installed JAX stays as it is.
SOURCE = ''  # @param {type: "string"}

import importlib.util
import pathlib
import subprocess
import sys

here = pathlib.Path.cwd()
package = importlib.util.find_spec('maskgan_jax')
places = [here / 'clone', here, *here.parents]
if package and package.origin:
  places.insert(0, pathlib.Path(package.origin).parents[1])
clones = [place for place in places if (place / 'colabs' / '_setup.py').is_file()]
if not clones:
  if not SOURCE:
    raise RuntimeError('there is no clone here: write its address into SOURCE')
  subprocess.run(['git', 'clone', '--quiet', '--depth=1', SOURCE, 'clone'], check=True)
  clones = [here / 'clone']
sys.path.insert(0, str(clones[0] / 'colabs'))
importlib.import_module('_setup')  # installs the package

# %%
import os

from _setup import ROOT, run, RUNS, SMOKE

# Makes eight devices out of one CPU; this must be set before JAX starts.
os.environ['JAX_PLATFORMS'] = 'cpu'
import jax

jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_disable_most_optimizations', SMOKE)  # compiles faster

import runpy

import numpy as np

from maskgan_jax import methods
from maskgan_jax.compile_for_tpu import programs
from maskgan_jax.training import parallel, train_step

print(jax.device_count(), 'devices')

# %% [markdown]
# ## One step on one device, and on a mesh of eight
#
# Only `training/parallel.py` deals with devices. A mesh has one axis, `data`: each device gets its
# share of the batch, and XLA inserts the sums over devices that gradients and batch statistics
# need.

# %%
config = runpy.run_path(str(ROOT / 'configs' / 'quickstart.py'))['get_config']('smoke')
for player in config.optimizers.values():
  player.name = 'sgd'  # Adam blows rounding up where the true gradient is zero
method = methods.make(config)
optimizers = train_step.make_optimizers(method, config)
step = train_step.make_step(method, optimizers, config)
size = (config.batch_size, config.image_size, config.image_size, 3)
random = np.random.default_rng(0)
batch = {domain: random.integers(0, 256, size, np.uint8) for domain in 'ab'}


def one_step(devices):
  """The state and metrics after a step on these devices, and the compiled program."""
  spread = parallel.Parallel('jit', devices)
  spread.check_batch(config.batch_size)
  state = jax.jit(lambda: train_step.init_state(method, optimizers, config),
                  out_shardings=spread.replicated)()
  fed = spread.feed(batch)
  shares = {str(shard.device): shard.data.shape for shard in fed['a'].addressable_shards}
  compiled = spread.compile(step).program(0).lower(state, fed, config.seed).compile()
  state, metrics = compiled(state, fed, config.seed)
  return state, step.by_name(metrics), compiled, shares


one, metrics_one, _, shares_one = one_step(jax.devices()[:1])
eight, metrics_eight, program, shares_eight = one_step(jax.devices())
print('on one device:', shares_one)
print('on eight:', shares_eight)

# %%
difference = max(float(np.abs(np.asarray(a) - np.asarray(b)).max())
                 for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(eight.params),
                                 strict=True))
for name in ('autoencoder/loss', 'discriminator/loss', 'autoencoder/mask_mean'):
  print(f'{name:22} {metrics_one[name]:.6f} on one, {metrics_eight[name]:.6f} on eight')
print(f'largest difference of a parameter after the step: {difference:.1e}')
count, reduced, others = programs.collectives(program.as_text())
print(f'{count} all-reduces of {reduced / 1e6:.2f} MB, other collectives: {others or "none"}')

# %% [markdown]
# A batch size that is not a multiple of the devices is refused in one line:

# %%
from maskgan_jax import errors

try:
  parallel.Parallel('jit').check_batch(12)
except errors.UserError as error:
  refusal = str(error)
  print(refusal)

# %% [markdown]
# ## Compiled for a slice before renting it
#
# `compile_for_tpu` compiles the real train step and the real translation with TPU's own compiler,
# libtpu, on a machine without a TPU: memory of a chip, FLOPs, all-reduces, and what follows for 1
# to 256 chips. Times are estimates from the chip's published peaks; real steps take longer.
# `pip install libtpu` (the version that your jaxlib names) is all it needs.

# %%
CONFIG = 'configs/quickstart.py'  # @param {type: "string"}
TOPOLOGY = 'v5e:2x4'  # @param {type: "string"}

compiled_for_tpu = importlib.util.find_spec('libtpu') is not None
if compiled_for_tpu:
  try:
    run(sys.executable, '-m', 'maskgan_jax.compile_for_tpu',
        f'--config={CONFIG}{":smoke" if SMOKE else ""}', f'--topology={TOPOLOGY}')
  except RuntimeError as error:  # another process has libtpu, say
    compiled_for_tpu = False
    print('not compiled:', error)
else:
  print('skipped: libtpu is not installed')

# %% [markdown]
# In the weak-scaling table every chip keeps the same share of the batch, so its computation stays
# the same, but sums have to travel further. The quickstart computes for half a millisecond and sums
# 55 small arrays, most of them batch statistics, so on many chips it spends more time waiting for
# hops than computing. At the paper's size, `configs/celeba_glasses.py` with 32
# pictures a chip, the same table says 90 % on 256 chips, and more for the larger methods:
# `launch/README.md`.
#
# Which batch fits: add `--largest_batch`. Memory by resolution: `--image_sizes=128,256,512`.
#
# ## Renting it
#
# `launch/` has a script for each way. All start the same command, `train`, which continues where it
# stopped, and all have `--dry-run`, which prints every command and runs none.

# %%
train = ['--', '--config=configs/celeba_glasses.py', '--workdir=/mnt/maskgan_jax/glasses']
run('bash', 'launch/tpu_queued_resource.sh', '--dry-run', '--name=glasses', '--zone=ZONE',
    '--accelerator=v5litepod-16', '--version=v2-alpha-tpuv5-lite', '--spot', '--bucket=BUCKET',
    *train)

# %% [markdown]
# A GKE cluster with JobSet restarts all workers whenever one ends. This is the file that it gets:

# %%
run('bash', 'launch/gke.sh', '--dry-run', '--name=glasses', '--image=IMAGE', '--bucket=BUCKET',
    '--accelerator=tpu-v5-lite-podslice', '--topology=4x4', '--machines=4', '--chips=4',
    '--', '--config=configs/celeba_glasses.py', '--workdir=/runs/glasses')

# %% [markdown]
# A paper's table is an array of jobs, one for each config and seed; each takes one device:

# %%
run(sys.executable, 'launch/rows.py', '--table=egsc_it/2', '--seeds=2', '--root=runs')

# %% [markdown]
# ## Two processes, here
#
# Two processes on one machine can do what the hosts of a pod do: they find each other, each feeds
# its half of the batch, and process 0 writes. `launch/README.md` has the rest: what a preemption
# costs, exit codes, Slurm, SkyPilot, xpk.

# %%
if SMOKE:
  print('skipped in the smoke test')
else:
  run('bash', 'launch/local_processes.sh', '2', sys.executable, '-m', 'maskgan_jax.train',
      '--config=configs/quickstart.py:smoke', f'--workdir={RUNS / "two_processes"}')
