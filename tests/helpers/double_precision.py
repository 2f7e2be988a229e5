"""Makes the library compute in float64 in this process: import this before `maskgan_jax`.

In float64, two programs of the same equations agree to 1e-10 or so, and a slip in an equation
has no rounding to hide behind. In float32 they may not: where a difference of pixels is divided by
a small deviation, the rounding of a gradient reaches 3e-5 of its largest entry on one CPU and half
of that on another.
"""

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update('jax_enable_x64', True)
_dtype = jnp.dtype


def _wide(name):
  return _dtype('float64') if name == 'float32' else _dtype(name)


jnp.float32 = jnp.float64
jnp.dtype = _wide


def widen(tree):
  """Returns `tree` with its float32 arrays in float64."""
  def convert(leaf):
    leaf = np.asarray(leaf)
    return leaf.astype(np.float64) if leaf.dtype == np.float32 else leaf
  return jax.tree.map(convert, tree)
