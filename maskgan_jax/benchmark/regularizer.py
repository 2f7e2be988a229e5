"""Measures LOMIT's mask regulariser R1 in both its forms against the number of pixels."""

from collections.abc import Iterable, Iterator
import time

SIZES = (256, 1024, 4096, 16384)
_MOST_BYTES = 2e9


def measure(seconds: float, sizes: Iterable[int] = SIZES, channels: int = 256,
            most_bytes: float = _MOST_BYTES) -> Iterator[dict]:
  """For each number of pixels: median ms of value and gradient, temporaries, of either form.

  Args:
    seconds: how long each measurement takes, at least.
    sizes: numbers of pixels.
    channels: of the content.
    most_bytes: a form that takes more above its inputs is not run: its entry is None, and
      `<form>_left_out` says why.

  Yields:
    A dict per number of pixels. `temporaries_mb` is the compiler's account; on a CPU the workspace
    of its matrix library is not in it.
  """
  import jax
  import jax.numpy as jnp
  import numpy as np

  from maskgan_jax.losses import mask_regularizers
  forms = {'linear': mask_regularizers.similarity,
           'pairwise': mask_regularizers.similarity_pairwise}
  for size in sizes:
    rng = np.random.default_rng(size)
    mask = jnp.asarray(rng.uniform(size=size), jnp.float32)
    content = jnp.asarray(rng.normal(size=(size, channels)), jnp.float32)
    row = {'pixels': size, 'channels': channels}
    for name, form in forms.items():
      compiled = jax.jit(jax.value_and_grad(form)).lower(mask, content).compile()
      temporaries = compiled.memory_analysis().temp_size_in_bytes
      if temporaries > most_bytes:
        row[name] = None
        row[f'{name}_left_out'] = (f'{temporaries / 1e6:.1f} MB of temporaries are more than '
                                   f'{most_bytes / 1e6:.1f} MB')
        continue
      jax.block_until_ready(compiled(mask, content))
      times = []
      while sum(times) < seconds or len(times) < 3:
        began = time.perf_counter()
        jax.block_until_ready(compiled(mask, content))
        times.append(time.perf_counter() - began)
      row[name] = {'ms': round(1e3 * float(np.median(times)), 3),
                   'ms_best': round(1e3 * min(times), 3),
                   'temporaries_mb': round(temporaries / 1e6, 2), 'runs': len(times)}
    yield row
