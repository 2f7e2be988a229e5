"""The metrics of a training: read late, written as means, watched for what goes wrong."""

from collections import deque
from collections.abc import Callable, Iterator
import contextlib
import json
import math
import os
import time

import jax
import numpy as np

from maskgan_jax import errors, files
from maskgan_jax.runs import metric_writers
from maskgan_jax.training import progress as progress_lib
from maskgan_jax.training import setup as setup_lib
from maskgan_jax.training import train_step

_IN_FLIGHT = 4  # steps dispatched ahead of the device; more would only hold memory
DUMP_NAME = 'nonfinite.json'

_Row = tuple[int, train_step.Metrics]  # the last step of a dispatch, and its metrics


class Log:
  """Takes the metrics of every dispatch, and writes their means every `log_every` steps.

  A line is written one dispatch late, when the next one is on the device already: so reading
  metrics never lets the device wait.
  """

  def __init__(
    self,
    setup: setup_lib.Setup,
    writer: metric_writers.MetricWriter,
    progress: progress_lib.Progress,
    newest: Callable[[], int | None],
  ):
    """Begins a log; `newest` returns the step of the newest checkpoint."""
    self._setup = setup
    self._writer = writer
    self._progress = progress
    self._newest = newest
    self._in_flight: deque[train_step.Metrics] = deque()
    self._unread: list[_Row] = []
    self._has_begun = False
    self._warned_of_mask = False
    self._restart_clock()

  def _restart_clock(self) -> None:
    self._started = time.monotonic()
    self._waited = 0.0

  @contextlib.contextmanager
  def waiting(self) -> Iterator[None]:
    """Counts the time inside as waiting for data."""
    began = time.monotonic()
    yield
    self._waited += time.monotonic() - began

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Leaves the time inside out of the pace."""
    began = time.monotonic()
    yield
    self._started += time.monotonic() - began

  def add(self, step: int, metrics: train_step.Metrics) -> None:
    """Takes the metrics of a dispatch that ends with `step`; waits if the device lags."""
    # The first dispatch loads the program: the pace is measured after it.
    if not self._has_begun:
      self._has_begun = True
      self._progress.start(step)
      self._restart_clock()

    # A host that runs far ahead of its device only holds memory.
    self._in_flight.append(metrics)
    self._unread.append((step, metrics))
    if len(self._in_flight) > _IN_FLIGHT:
      jax.block_until_ready(self._in_flight.popleft())
    self._progress.update(step)

  def write_due(self, step: int) -> None:
    """Writes the line that is due one dispatch before `step`, if one is."""
    if self._is_due(step):
      self._write(self._unread[:-1])
      self._unread = self._unread[-1:]

  def flush(self) -> None:
    """Writes everything that is not written yet: the line that is due, and one of the rest."""
    # A due line is of its interval; later steps get a line of their own.
    if not self._unread:
      return
    newest, _ = self._unread[-1]
    if self._is_due(newest):
      self._write(self._unread[:-1], self._unread[-1:])
    else:
      self._write(self._unread)
    self._unread = []

  def _is_due(self, step: int) -> bool:
    """Returns whether a line ends with the dispatch before the one that ends with `step`."""
    config = self._setup.config
    previous = step - config.steps_per_dispatch
    return previous % config.log_every == 0 and len(self._unread) > 1

  def _write(self, *lines: list[_Row]) -> None:
    """Writes the means of some dispatches as a line each; NotFiniteError if too many failed."""
    # This waits for the device, unless it is done with these steps.
    names = self._setup.step.metric_names
    columns = [_columns(rows, len(names)) for rows in lines]

    # The lines share one pace: their steps may have run before the first of them is read.
    seconds = max(time.monotonic() - self._started, 1e-9)
    rate = sum(len(values) for values, _ in columns) / seconds
    pace = {
      'steps_per_second': rate,
      'images_per_second': rate * self._setup.config.batch_size,
      'input_wait_share': self._waited / seconds,
    }
    for rows, (values, played) in zip(lines, columns, strict=True):
      step, _ = rows[-1]
      self._write_line(step, _means(names, values, played) | pace)
    self._restart_clock()

  def _write_line(self, step: int, scalars: dict[str, float]) -> None:
    """Writes and shows the numbers of a line; NotFiniteError if too many steps failed."""
    if self._setup.is_main:
      self._writer.write_scalars(step, scalars)
      self._progress.line(step, scalars)
      self._check_mask(step, scalars)
    if scalars['skipped_in_a_row'] >= self._setup.config.max_skipped:
      self._give_up(step, scalars)

  def _check_mask(self, step: int, scalars: dict[str, float]) -> None:
    """Warns once of a mask that is 0 or 1 everywhere."""
    for name, value in scalars.items():
      collapsed = math.isfinite(value) and not 1e-3 < value < 1 - 1e-3
      if name.endswith('mask_mean') and collapsed and not self._warned_of_mask:
        self._warned_of_mask = True
        self._progress.say(
          f'warning: step {step}: {name} is {value:.2g}: the mask has collapsed to all '
          f'{round(value)}; look at the samples, and at the weights of the losses that size it'
        )

  def _give_up(self, step: int, scalars: dict[str, float]) -> None:
    """Raises NotFiniteError, and leaves the last metrics in the run's folder."""
    path = os.path.join(self._setup.workdir, DUMP_NAME)
    if self._setup.is_main:
      # JSON has no NaN and no infinity: these become texts.
      metrics = {}
      for name, value in scalars.items():
        metrics[name] = value if math.isfinite(value) else repr(value)
      dump = {'step': step, 'seed': self._setup.config.seed, 'metrics': metrics}
      files.write_atomically(path, json.dumps(dump, indent=2) + '\n')
    raise errors.NotFiniteError(
      f'losses or gradients were not finite {int(scalars["skipped_in_a_row"])} times in a row up '
      f'to step {step}; the newest checkpoint is {self._newest() or "none"}. In another '
      '--workdir, lower config.optimizers.*.learning_rate or use compute_dtype=float32; details '
      f'in {path}',
      (),
    )


def _columns(rows: list[_Row], count: int) -> tuple[np.ndarray, np.ndarray]:
  """Reads the `count` metrics of dispatches: their values and who played, [steps, metrics]."""
  metrics = jax.device_get([metrics for _, metrics in rows])
  values = np.concatenate([dispatch.values.reshape(-1, count) for dispatch in metrics])
  played = np.concatenate([dispatch.played.reshape(-1, count) for dispatch in metrics])
  return values, played


def _means(
  names: tuple[str, ...], values: np.ndarray, played: np.ndarray
) -> dict[str, float]:
  """Returns each metric's mean over the steps, [steps, metrics], in which its player played.

  A player who never played has no metrics. The NaN of a step that was skipped says nothing
  of the others and is left out; if all are NaN, so is the mean.
  """
  # Skipped steps are counted, and their longest streak is kept; all else are means.
  scalars = {}
  for name, column, has_played in zip(names, values.T, played.T, strict=True):
    of_player = column[has_played]
    numbers = of_player[~np.isnan(of_player)]
    if name == 'skipped':
      scalars[name] = float(numbers.sum())
    elif name == 'skipped_in_a_row':
      scalars[name] = float(numbers.max())
    elif numbers.size:
      scalars[name] = float(numbers.mean())
    elif of_player.size:
      scalars[name] = math.nan
  return scalars
