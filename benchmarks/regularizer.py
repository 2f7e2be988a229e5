"""Measures LOMIT's mask regulariser R1 in both its forms against the number of pixels.

  python benchmarks/regularizer.py --seconds=2

Prints one JSON line for each number of pixels: in linear time and pair by pair, ms of value and
gradient and the temporaries that the compiler accounts for. On a CPU the workspace of its matrix
library is not among them.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
import json
import os
import time

import jax
import jax.numpy as jnp
import numpy as np

from maskgan_jax.losses import mask_regularizers

SIZES = (256, 1024, 4096, 16384)
FORMS = {
  'linear': mask_regularizers.similarity,
  'pairwise': mask_regularizers.similarity_pairwise,
}
_MOST_BYTES = 2e9


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument(
    '--seconds', type=float, default=5, help='of each measurement, at least'
  )
  options = parser.parse_args()
  device = jax.devices()[0]
  machine = {
    'platform': device.platform,
    'cores': os.cpu_count(),
    'jax': jax.__version__,
  }
  for figures in measure(options.seconds):
    print(json.dumps({**figures, **machine}), flush=True)


def measure(
  seconds: float,
  sizes: Iterable[int] = SIZES,
  channels: int = 256,
  most_bytes: float = _MOST_BYTES,
) -> Iterator[dict]:
  """Yields for each number of pixels the median ms and the temporaries of both forms.

  Args:
    seconds: how long each measurement takes, at least.
    sizes: numbers of pixels.
    channels: of the content.
    most_bytes: a form that takes more temporaries is not run: its entry is None, and
      `<form>_left_out` says why.
  """
  for size in sizes:
    rng = np.random.default_rng(size)
    mask = jnp.asarray(rng.uniform(size=size), jnp.float32)
    content = jnp.asarray(rng.normal(size=(size, channels)), jnp.float32)
    row = {'pixels': size, 'channels': channels}
    for name, form in FORMS.items():
      compiled = jax.jit(jax.value_and_grad(form)).lower(mask, content).compile()
      temporaries = compiled.memory_analysis().temp_size_in_bytes
      if temporaries > most_bytes:
        row[name] = None
        row[f'{name}_left_out'] = (
          f'{temporaries / 1e6:.1f} MB of temporaries are more than '
          f'{most_bytes / 1e6:.1f} MB'
        )
      else:
        times = _times(compiled, (mask, content), seconds)
        row[name] = {
          'ms': round(1e3 * float(np.median(times)), 3),
          'ms_best': round(1e3 * min(times), 3),
          'temporaries_mb': round(temporaries / 1e6, 2),
          'runs': len(times),
        }
    yield row


def _times(
  function: Callable[..., object], arguments: tuple, seconds: float
) -> list[float]:
  """Returns the seconds of at least three calls, after one to warm up."""
  jax.block_until_ready(function(*arguments))
  times = []
  while sum(times) < seconds or len(times) < 3:
    began = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    times.append(time.perf_counter() - began)
  return times


if __name__ == '__main__':
  main()
