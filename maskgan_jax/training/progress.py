"""How far a training, or other long work, is: a bar on a terminal, plain lines elsewhere."""

from collections.abc import Mapping
import sys
import time

import tqdm


class Progress:
  """Shows how far some work is; says nothing unless `enabled`."""

  def __init__(
    self, total: int, *, enabled: bool, unit: str = 'step', activity: str = 'training'
  ):
    """Takes the number of steps, 0 if that is unknown, what a step is called, and the work."""
    self._enabled = enabled
    self._total = total
    self._unit, self._activity = unit, activity
    self._bar = None

  def start(self, step: int) -> None:
    """Begins, or goes on, at `step`."""
    self._began = time.monotonic()
    self._first = step
    if self._enabled and sys.stderr.isatty():
      self._bar = tqdm.tqdm(
        total=self._total or None,
        initial=step,
        unit=self._unit,
        desc=self._activity,
        dynamic_ncols=True,
      )

  def update(self, step: int) -> None:
    """Moves the bar to `step`."""
    if self._bar is not None:
      self._bar.update(step - self._bar.n)

  def line(self, step: int, scalars: Mapping[str, float]) -> None:
    """Shows losses and sizes of masks, the pace, and the time that is left."""
    losses = [name for name in scalars if name.endswith('/loss')]
    masks = [name for name in scalars if name.endswith('mask_mean')]
    text = '  '.join(f'{name} {scalars[name]:.3g}' for name in losses + masks)
    if self._bar is not None:
      self._bar.set_postfix_str(text)
      return

    # Without a terminal, a line: step, pace, time that is left. The first step has no pace.
    line = f'{self._unit} {step}'
    if self._total:
      line += f'/{self._total}'
    if step > self._first:
      elapsed = max(time.monotonic() - self._began, 1e-9)
      rate = (step - self._first) / elapsed
      line += f'  {rate:.1f} {self._unit}s/s'
      if self._total:
        line += f'  {_clock(max(0, self._total - step) / rate)} left'
    self.say(f'{line}  {text}' if text else line)

  def say(self, text: str) -> None:
    """Prints a line that does not break the bar."""
    if self._bar is not None:
      self._bar.write(text)
    elif self._enabled:
      print(text, flush=True)

  def close(self) -> None:
    """Ends the bar."""
    if self._bar is not None:
      self._bar.close()


def _clock(seconds: float) -> str:
  """Returns a time as h:mm:ss, or as m:ss."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if not hours:
    return f'{minutes}:{seconds:02d}'
  return f'{hours}:{minutes:02d}:{seconds:02d}'
