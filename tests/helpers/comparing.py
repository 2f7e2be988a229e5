"""How layers are compared with PyTorch's: values, gradients, orders of axes."""

import functools
import importlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.paths import ROOT_PATH
from maskgan_jax.networks import cpu_kernels

CONV, TRANSPOSED, LINEAR = (3, 2, 0, 1), (2, 3, 0, 1), (1, 0)  # ours -> PyTorch's axis order


def normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def nchw(torch, x):
  """Returns an NHWC array as a torch leaf."""
  return torch.tensor(np.asarray(x).transpose(0, 3, 1, 2).copy(), requires_grad=True)


def value_and_vjp(function, cotangent_seed, *arguments):
  """Returns (output, aux if any, gradients, cotangent) of `function`, in one compilation."""
  output = jax.eval_shape(function, *arguments)
  has_aux = isinstance(output, tuple)
  cotangent = normal(cotangent_seed, *(output[0] if has_aux else output).shape)

  @jax.jit
  def run(*arguments):
    y, backward, *aux = jax.vjp(function, *arguments, has_aux=has_aux)
    return (y, *aux), backward(jnp.asarray(cotangent, y.dtype))

  outputs, gradients = run(*arguments)
  return *outputs, gradients, cotangent


def init(module, x, **options):
  return jax.jit(lambda x: module.init(jax.random.key(1), x, **options))(x)


def close(ours, theirs, rtol=1e-4):
  """Checks that arrays agree up to float32 rounding, relative to the largest entry."""
  ours = np.asarray(ours)
  theirs = theirs.detach().numpy() if hasattr(theirs, 'detach') else np.asarray(theirs)
  assert ours.shape == theirs.shape
  np.testing.assert_allclose(ours, theirs, rtol=0, atol=rtol * max(np.abs(theirs).max(), 1e-3))


def torch_run(torch, module, x, cotangent):
  """Returns the output in our layout, and its gradients to the input and by parameter name."""
  image = x.ndim == 4
  leaf = nchw(torch, x) if image else torch.tensor(x, requires_grad=True)
  y = module(leaf)
  back = (0, 3, 1, 2) if image else tuple(range(x.ndim))
  y.backward(torch.tensor(cotangent.transpose(back).copy()))
  forward = np.argsort(back)
  return (y.detach().numpy().transpose(forward), leaf.grad.numpy().transpose(forward),
          {name: p.grad.numpy() for name, p in module.named_parameters()})


@functools.cache
def benchmark(name):
  """Imports a module of benchmarks/."""
  folder = str(ROOT_PATH / 'benchmarks')
  sys.path.insert(0, folder)
  try:
    return importlib.import_module(name)
  finally:
    sys.path.remove(folder)


def both_forms(function, *arguments):
  """Returns values and gradients of the form for CPUs and of the form for accelerators."""
  def loss(*arguments):
    return jnp.square(function(*arguments)).sum()

  # The form for accelerators runs on a CPU too.
  def of_cpu(*args, cpu, default):
    return cpu(*args)

  def of_accelerators(*args, cpu, default):
    return default(*args)
  values_and_gradients = []
  for choose in (of_cpu, of_accelerators):
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(cpu_kernels.lax, 'platform_dependent', choose)
      gradients = jax.grad(loss, (0, 1))(*arguments)
      values_and_gradients.append((function(*arguments), gradients))
  return values_and_gradients
