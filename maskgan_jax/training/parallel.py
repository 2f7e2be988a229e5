"""Devices and processes: the only file that knows how a step is spread over them.

'jit': one global view over a mesh with a single data axis; batch statistics are global by
construction. 'pmap': one replica per device, gradients and statistics averaged by `pmean`.
In both the state is a tree of replicated global arrays, so that checkpoints, samples and
everything else are the same.
"""

from collections.abc import Callable, Iterable, Iterator
import contextlib
import os
import threading
from typing import Any

import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
import numpy as np

from maskgan_jax import errors
from maskgan_jax.networks import cpu_kernels
from maskgan_jax.networks.replicas import DATA_AXIS
from maskgan_jax.training import train_step
from maskgan_jax.training.turns import Turn

MODES = ('jit', 'pmap')
_VARIABLES = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')


def initialize_processes(detect: bool = False) -> None:
  """Joins the processes of this job; must run before anything else touches a device.

  With JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID set, they say which
  processes there are; with `detect`, the cluster does (Cloud TPU, Slurm, Kubernetes).
  Otherwise this process is alone.
  """
  # All three variables or none.
  values = [os.environ.get(name) for name in _VARIABLES]
  if all(values):
    coordinator, count, index = values
    jax.distributed.initialize(coordinator, int(count), int(index))
  elif any(values):
    missing = [name for name in _VARIABLES if not os.environ.get(name)]
    raise errors.UserError(
      f'{", ".join(missing)} must be set too: the three together say '
      'which of how many processes this is'
    )
  elif detect:
    jax.distributed.initialize()


def wait_for_processes(name: str) -> None:
  """Returns when all processes have come to the point with this name.

  Processes may wait for hours; on CPUs XLA gives up after half an hour.
  """
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def leave_processes(seconds: float) -> None:
  """Tells the other processes that this one ends, and waits until they end or time is up.

  It is for a process that then ends without the runtime's exit handlers, which may wait
  minutes. All processes are connected to process 0: if it ended without this, it would
  abort those that have not quite ended.
  """
  if not jax.distributed.is_initialized():
    return

  def leave():
    with contextlib.suppress(Exception):  # raised for processes that are gone
      jax.distributed.shutdown()

  thread = threading.Thread(target=leave, daemon=True)
  thread.start()
  thread.join(seconds)


class Parallel:
  """Places state and batches on devices and compiles a step for them.

  Attributes:
    mode: 'jit' or 'pmap'.
    devices: all devices of all processes.
    mesh: the devices along one data axis.
    replicated: sharding of everything in a train state.
    platform: of the devices: 'cpu', 'gpu' or 'tpu'.
  """

  def __init__(self, mode: str = 'jit', devices: Any = None):
    if mode not in MODES:
      raise errors.UserError(
        f'config.parallel is {mode!r}{errors.nearest(mode, MODES)}; choose jit or pmap'
      )
    if mode == 'pmap' and jax.process_count() > 1:
      raise errors.UserError(
        "config.parallel='pmap' runs in one process; use 'jit' for several"
      )
    self.mode = mode

    # All devices of all processes along one axis; a batch is split along it.
    if devices is None:
      devices = jax.devices()
    self.devices = list(devices)
    self.mesh = jax.make_mesh(
      (len(self.devices),),
      (DATA_AXIS,),
      axis_types=(AxisType.Auto,),
      devices=self.devices,
    )
    self.replicated = NamedSharding(self.mesh, PartitionSpec())
    self.platform = self.devices[0].platform
    self._any = jax.jit(jnp.any, out_shardings=self.replicated)

  def check_batch(self, batch_size: int, accumulate: int = 1) -> None:
    """Raises UserError unless devices and micro-batches divide the batch."""
    # Every device takes equally many examples of each micro-batch.
    unit = len(self.devices) * accumulate
    is_positive = batch_size >= 1 and accumulate >= 1
    if is_positive and batch_size % unit == 0:
      return
    divisor = f'{len(self.devices)} devices'
    if accumulate > 1:
      divisor += f' x {accumulate} micro-batches'
    raise errors.UserError(
      f'config.batch_size ({batch_size}) must be divisible by {divisor}; '
      f'use a multiple of {unit}'
    )

  def any(self, flag: bool) -> jax.Array:
    """Returns whether the flag is true in any process, without waiting for the answer.

    All processes must ask equally often.
    """
    # Each device gets this process' flag; one small program looks at all.
    index = jax.process_index()
    mine = [device for device in self.devices if device.process_index == index]
    flags = np.full(len(mine), flag)
    flags = jax.make_array_from_process_local_data(self.batch_sharding(), flags)
    return self._any(flags)

  def batch_sharding(self, draws: int = 1, steps: int = 1) -> NamedSharding:
    """Returns the sharding of a batch in 'jit' mode.

    The axis of examples is split over devices; axes of steps and draws are not.
    """
    whole_axes = [None] * _example_axis(draws, steps)
    return NamedSharding(self.mesh, PartitionSpec(*whole_axes, DATA_AXIS))

  def replicate(self, tree: Any) -> Any:
    """Returns a host or single-device tree as replicated global arrays."""
    return jax.jit(lambda x: x, out_shardings=self.replicated)(tree)

  def initialize(self, init: Callable[[], Any]) -> Any:
    """Returns init(), replicated over the devices.

    The program runs once. On a CPU, optimizing it would take six times as long: 25 seconds
    more for the quickstart's networks.
    """

    def traced():
      with cpu_kernels.traced_for(self.platform):
        return init()

    options = None
    if self.platform == 'cpu':
      options = {
        'xla_backend_optimization_level': 0,
        'xla_llvm_disable_expensive_passes': True,
      }
    return jax.jit(traced, out_shardings=self.replicated, compiler_options=options)()

  def feed(
    self, batch: dict[str, np.ndarray], draws: int = 1, steps: int = 1
  ) -> dict[str, jax.Array]:
    """Returns this process' part of a batch as arrays that the compiled step takes."""
    # A process feeds its own rows; together they make the batch.
    axis = _example_axis(draws, steps)
    sharding = self.batch_sharding(draws, steps)
    fed = {}
    for name, value in batch.items():
      if self.mode == 'pmap':
        fed[name] = self._per_device(value, axis)
      else:
        fed[name] = jax.make_array_from_process_local_data(sharding, value)
    return fed

  def _per_device(self, value: np.ndarray, axis: int) -> np.ndarray:
    """Splits an axis over the devices; the axis of devices comes first."""
    # The shape [..., B, ...] becomes [devices, ..., B / devices, ...].
    count = len(self.devices)
    before, examples, after = (
      value.shape[:axis],
      value.shape[axis],
      value.shape[axis + 1 :],
    )
    split = value.reshape(*before, count, examples // count, *after)
    return np.moveaxis(split, axis, 0)

  def compile(self, step: train_step.Step, steps: int = 1) -> 'Programs':
    """Returns the programs of a step for these devices; each call donates the state.

    With several `steps` one call takes them all: batch and metrics have an axis of steps
    first.
    """
    return Programs(self, step, steps)

  def jit(self, step: Callable[..., Any], draws: int, steps: int) -> Callable[..., Any]:
    """Returns step(state, batch, seed), jitted or mapped."""
    # Both donate the state: its memory is the next state's.
    if self.mode == 'jit':
      shardings = (self.replicated, self.batch_sharding(draws, steps), None)
      return jax.jit(
        step, in_shardings=shardings, out_shardings=self.replicated, donate_argnums=0
      )
    return jax.pmap(
      step,
      axis_name=DATA_AXIS,
      in_axes=(None, 0, None),
      out_axes=None,
      devices=self.devices,
      donate_argnums=0,
    )


class Programs:
  """The programs of a step: one for each turn, compiled when it is first needed.

  The host knows whose turn a step is. A program that looks it up itself is slow on a CPU,
  where XLA leaves convolutions inside a branch as naive loops; only several steps in one
  dispatch need one.
  """

  def __init__(self, parallel: Parallel, step: train_step.Step, steps: int):
    self._parallel = parallel
    self._step = step
    self._steps = steps
    self._draws = step.turns.draws
    self._by_turn: dict[Turn | None, Callable[..., Any]] = {}

  def take(self, batches: Iterator[dict[str, np.ndarray]]) -> dict[str, jax.Array]:
    """Returns the batches of the next dispatch, on the devices."""
    if self._steps == 1:
      return self._parallel.feed(next(batches), self._draws)

    # Several steps in one dispatch: their batches one behind the other.
    taken = [next(batches) for _ in range(self._steps)]
    stacked = {}
    for name in taken[0]:
      stacked[name] = np.stack([batch[name] for batch in taken])
    return self._parallel.feed(stacked, self._draws, self._steps)

  def turn_of(self, at: int | None) -> Turn | None:
    """Returns whose program step `at` takes; None is the program that looks it up itself."""
    if at is None or self._steps > 1:
      return None
    return self._step.turns.at(at)

  def new(self, at: int | None) -> bool:
    """Returns whether step `at` has to compile first."""
    return self.turn_of(at) not in self._by_turn

  def compile(self, steps: Iterable[int], state: Any, batch: Any, seed: Any) -> None:
    """Compiles the programs that these steps lack, for arguments like these."""
    for at in steps:
      if self.new(at):
        lowered = self.program(at).lower(state, batch, seed)
        self._by_turn[self.turn_of(at)] = lowered.compile()

  def program(self, at: int | None) -> Callable[..., Any]:
    """Returns the jitted or compiled program of step `at`."""
    turn = self.turn_of(at)
    if turn not in self._by_turn:
      # The turn is fixed while tracing: nothing is compiled for those who do not play.
      def step(state, batch, seed):
        with cpu_kernels.traced_for(self._parallel.platform):
          return self._step(state, batch, seed, turn)

      function = step if self._steps == 1 else _scanned(step)
      self._by_turn[turn] = self._parallel.jit(function, self._draws, self._steps)
    return self._by_turn[turn]

  def __call__(
    self, state: Any, batch: Any, seed: Any, at: int | None = None
  ) -> tuple[Any, train_step.Metrics]:
    """Returns state and metrics after step `at`, which must be the state's own number."""
    return self.program(at)(state, batch, seed)


def _example_axis(draws: int, steps: int) -> int:
  """Returns which axis of a batch holds its examples: axes of steps and draws come first."""
  return (draws > 1) + (steps > 1)


def _scanned(step: Callable[..., Any]) -> Callable[..., Any]:
  """Returns a program of several steps, one after another.

  A host cannot dispatch small steps as fast as a device finishes them; on the device they
  then follow each other at once.
  """

  def steps(state, batches, seed):
    def one(state, batch):
      return step(state, batch, seed)

    return jax.lax.scan(one, state, batches)

  return steps


def local_copy(tree: Any) -> Any:
  """Returns this process' copy of replicated arrays, usable without the other processes."""

  def local(leaf):
    if isinstance(leaf, jax.Array):
      return leaf.addressable_data(0)
    return leaf

  return jax.tree.map(local, tree)
