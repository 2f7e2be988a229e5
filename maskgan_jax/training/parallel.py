"""Devices and processes: the only file that knows how a step is spread over them.

'jit': one global view over a mesh with a single data axis; batch statistics are global by
construction. 'pmap': one replica per device, gradients and statistics averaged by `pmean`. In both
the state is a tree of replicated global arrays, so checkpoints, samples and the rest are the same.
"""

from collections.abc import Callable, Iterable, Iterator
import contextlib
import functools
import os
import threading
from typing import Any

import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
import numpy as np

from maskgan_jax import errors
from maskgan_jax.networks.replicas import DATA_AXIS

MODES = ('jit', 'pmap')


def initialize_processes(detect: bool = False) -> None:
  """Joins the processes of this job; must run before anything else touches a device.

  With JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID set, as they say; with
  `detect`, as the cluster says (Cloud TPU, Slurm, Kubernetes). Otherwise this process is alone.
  """
  names = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')
  values = [os.environ.get(name) for name in names]
  if all(values):
    jax.distributed.initialize(values[0], int(values[1]), int(values[2]))
  elif any(values):
    missing = [name for name, value in zip(names, values, strict=True) if not value]
    raise errors.UserError(f'{", ".join(missing)} must be set too: the three together say '
                           'which of how many processes this is')
  elif detect:
    jax.distributed.initialize()


def wait_for_processes(name: str) -> None:
  """Returns when all processes have come to this point, which has a name.

  They may take hours; on CPUs half an hour, after which XLA gives up.
  """
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def leave_processes(seconds: float) -> None:
  """Tells the other processes that this one ends, and returns when they do too, or after so long.

  For a process that then ends without the runtime's exit handlers, which may wait minutes. Without
  this, the end of process 0, which all others are connected to, would abort those that have not
  quite ended.
  """
  if not jax.distributed.is_initialized():
    return

  def leave():
    with contextlib.suppress(Exception):  # of processes that are gone
      jax.distributed.shutdown()
  thread = threading.Thread(target=leave, daemon=True)
  thread.start()
  thread.join(seconds)


class Parallel:
  """Places state and batches on devices and compiles a step for them.

  Attributes:
    replicated: sharding of everything in a train state.
  """

  def __init__(self, mode: str = 'jit', devices: Any = None):
    if mode not in MODES:
      raise errors.UserError(f'config.parallel is {mode!r}{errors.nearest(mode, MODES)}; '
                             'choose jit or pmap')
    self.mode = mode
    self.devices = list(jax.devices() if devices is None else devices)
    if mode == 'pmap' and jax.process_count() > 1:
      raise errors.UserError("config.parallel='pmap' runs in one process; use 'jit' for several")
    self.mesh = jax.make_mesh((len(self.devices),), (DATA_AXIS,), axis_types=(AxisType.Auto,),
                              devices=self.devices)
    self.replicated = NamedSharding(self.mesh, PartitionSpec())
    self._any = jax.jit(jnp.any, out_shardings=self.replicated)

  def check_batch(self, batch_size: int, accumulate: int = 1) -> None:
    """UserError unless the devices divide the batch."""
    unit = len(self.devices) * accumulate
    if batch_size < 1 or accumulate < 1 or batch_size % unit:
      parts = f'{len(self.devices)} devices' + (
          f' x {accumulate} micro-batches' if accumulate > 1 else '')
      raise errors.UserError(f'config.batch_size ({batch_size}) must be divisible by {parts}; '
                             f'use a multiple of {unit}')

  def any(self, flag: bool) -> jax.Array:
    """Returns whether the flag is true in any process, without waiting; all ask equally often."""
    here = sum(device.process_index == jax.process_index() for device in self.devices)
    flags = jax.make_array_from_process_local_data(self.batch_sharding(), np.full(here, flag))
    return self._any(flags)

  def batch_sharding(self, draws: int = 1, steps: int = 1) -> NamedSharding:
    """Of a batch under 'jit': examples over devices; steps and draws, if several, whole."""
    return NamedSharding(self.mesh, PartitionSpec(*[None] * _axis(draws, steps), DATA_AXIS))

  def replicate(self, tree: Any) -> Any:
    """A host or single-device tree as replicated global arrays."""
    return jax.jit(lambda x: x, out_shardings=self.replicated)(tree)

  def initialize(self, init: Callable[[], Any]) -> Any:
    """Returns init(), replicated over the devices.

    The program runs once. On a CPU, optimizing it takes six times as long as not: 25 seconds more
    for the quickstart's networks.
    """
    on_cpu = self.devices[0].platform == 'cpu'
    options = {'xla_backend_optimization_level': 0, 'xla_llvm_disable_expensive_passes': True}
    return jax.jit(init, out_shardings=self.replicated,
                   compiler_options=options if on_cpu else None)()

  def feed(self, batch: dict[str, np.ndarray], draws: int = 1, steps: int = 1
           ) -> dict[str, jax.Array]:
    """This process' part of a batch as arrays that the compiled step takes."""
    if self.mode == 'jit':
      sharding = self.batch_sharding(draws, steps)
      return {name: jax.make_array_from_process_local_data(sharding, value)
              for name, value in batch.items()}
    return {name: self._per_device(value, _axis(draws, steps)) for name, value in batch.items()}

  def take(self, batches: Iterator[dict[str, np.ndarray]], draws: int = 1, steps: int = 1
           ) -> dict[str, jax.Array]:
    """The next batch of `batches` on the devices, or the next few for as many steps."""
    if steps == 1:
      return self.feed(next(batches), draws)
    taken = [next(batches) for _ in range(steps)]
    return self.feed({name: np.stack([batch[name] for batch in taken]) for name in taken[0]},
                     draws, steps)

  def _per_device(self, value, axis):
    count = len(self.devices)
    shape = value.shape[:axis] + (count, value.shape[axis] // count) + value.shape[axis + 1:]
    return np.moveaxis(value.reshape(shape), axis, 0)

  def compile(self, step: Callable[..., Any], draws: int = 1, steps: int = 1) -> 'Programs':
    """`step` (see train_step.make_step) for these devices; the state is donated.

    With several `steps` one call does them all: batch and metrics have an axis of steps first.
    """
    return Programs(self, step, draws, steps)

  def jit(self, step: Callable[..., Any], draws: int, steps: int) -> Callable[..., Any]:
    """step(state, batch, seed), jitted or mapped."""
    if self.mode == 'jit':
      return jax.jit(step, in_shardings=(self.replicated, self.batch_sharding(draws, steps), None),
                     out_shardings=self.replicated, donate_argnums=0)
    return jax.pmap(step, axis_name=DATA_AXIS, in_axes=(None, 0, None), out_axes=None,
                    devices=self.devices, donate_argnums=0)


class Programs:
  """The programs of a step, each compiled when it is first wanted: one for each set of players.

  The host knows who plays at a step. One program that finds it out itself would be slow on a CPU,
  where XLA leaves convolutions inside a branch as naive loops; it is what several steps in one
  dispatch need.
  """

  def __init__(self, parallel: Parallel, step: Callable[..., Any], draws: int, steps: int):
    self._parallel, self._step = parallel, step
    self._draws, self._steps = draws, steps
    self._compiled: dict[int | None, Callable[..., Any]] = {}

  def game_of(self, at: int | None) -> int | None:
    """Which program the step number `at` takes; None is the one that finds out itself."""
    return None if at is None or self._steps > 1 else self._step.game_of(at)

  def new(self, at: int | None) -> bool:
    """Whether step `at` will have to compile first."""
    return self.game_of(at) not in self._compiled

  def compile(self, steps: Iterable[int], state: Any, batch: Any, seed: Any) -> None:
    """Compiles what these steps lack, for arguments like those given."""
    for at in steps:
      if self.new(at):
        compiled = self.program(at).lower(state, batch, seed).compile()
        self._compiled[self.game_of(at)] = compiled

  def program(self, at: int | None) -> Callable[..., Any]:
    """The jitted program of step `at`."""
    game = self.game_of(at)
    if game not in self._compiled:
      step = self._step if game is None else functools.partial(self._step, game=game)
      step = _scanned(step) if self._steps > 1 else step
      self._compiled[game] = self._parallel.jit(step, self._draws, self._steps)
    return self._compiled[game]

  def __call__(self, state: Any, batch: Any, seed: Any, at: int | None = None
               ) -> tuple[Any, jax.Array]:
    """(state, metrics) after step number `at`, which must be the state's own."""
    return self.program(at)(state, batch, seed)


def _axis(draws, steps):
  """Which axis of a batch holds its examples: those of steps and draws come first."""
  return (draws > 1) + (steps > 1)


def _scanned(step):
  """`step`, one after another within one program.

  Small steps, which a host cannot dispatch as fast as a device is done with them, then follow each
  other on the device.
  """
  def steps(state, batches, seed):
    return jax.lax.scan(lambda state, batch: step(state, batch, seed), state, batches)
  return steps


def local_copy(tree: Any) -> Any:
  """This process' own copy of replicated arrays: usable without the other processes."""
  return jax.tree.map(lambda x: x.addressable_data(0) if isinstance(x, jax.Array) else x, tree)
