"""Measures how fast translations are, pictures in memory to pictures in memory.

  ab_images_per_second   of batches of `config.evaluation_batch_size`, translated as everything here
                         is: bytes in, pictures and masks back on the host; the median of as many
                         batches as are measured, up to ten, after the first, which compiles
  speed_machine          the devices and how many cores the process may use

Padded rows are translated too, and count. What else the machine does counts as well: a figure is of
an idle machine only if it was idle.
"""

from collections.abc import Iterator
import os
import time

import jax
import numpy as np

from maskgan_jax.evaluators import base
from maskgan_jax.runs.measures import Quantity

_BATCHES = 10


class Evaluator(base.Evaluator):
  """See the module's docstring and `base.Evaluator`."""

  order = 110
  texts = ('speed_machine',)
  quantities = (
    Quantity(
      'images_per_second',
      ('ab',),
      title='images per second',
      better=1,
      digits=1,
      meaning='How many pictures are translated in a second, in batches, from '
      'memory to memory.',
    ),
  )

  def __init__(self):
    self._rates = []
    self._warm = False

  def update(self, batch, outputs, valid):
    if len(self._rates) >= _BATCHES:
      return
    # One translation before the clock starts, since the first may compile.
    if not self._warm:
      outputs.translate_again()
      self._warm = True
    start = time.perf_counter()
    outputs.translate_again()
    self._rates.append(len(batch['a']) / (time.perf_counter() - start))

  def results(self) -> Iterator[tuple[str, float | str]]:
    if self._rates:
      yield 'ab_images_per_second', float(np.median(self._rates))
      cores = (
        len(os.sched_getaffinity(0))
        if hasattr(os, 'sched_getaffinity')
        else os.cpu_count()
      )
      devices = jax.devices()
      yield 'speed_machine', f'{len(devices)} x {devices[0].device_kind}, {cores} cores'
