"""The fast forms of stride-1 convolutions against the plain one and PyTorch, with gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.comparing import close, CONV, nchw, normal, value_and_vjp
from maskgan_jax.networks import cpu_kernels


@pytest.fixture(autouse=True)
def _small_kernels_too(monkeypatch):
  """Turns off the rule that leaves kernels this small to the plain form."""
  monkeypatch.setattr(cpu_kernels, '_SMALL', 0)


FORMS = {'_by_rows': [(5, 8, 6), (3, 5, 2), (1, 7, 3)], '_by_patches': [(7, 3, 8), (3, 1, 5)],
         '_by_taps': [(7, 8, 3), (3, 5, 1)], '_winograd': [(3, 5, 7)]}


@pytest.mark.parametrize('form, shape', [(f, s) for f, shapes in FORMS.items() for s in shapes])
@pytest.mark.parametrize('size', [(10, 12), (8, 18)])
def test_forms_agree_with_their_gradients(form, shape, size):
  k, channels, features = shape
  x, kernel = normal(0, 2, *size, channels), normal(1, k, k, channels, features)
  ours = value_and_vjp(getattr(cpu_kernels, form), 2, x, kernel)
  plain = value_and_vjp(cpu_kernels._plain, 2, x, kernel)
  for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
    close(one, other, 2e-5)


def test_winograd_rounds_about_as_the_definition_does():
  x, kernel = normal(0, 1, 34, 34, 64), normal(1, 3, 3, 64, 64)
  exact = sum(x[:, i:i + 32, j:j + 32].astype(np.float64) @ kernel[i, j].astype(np.float64)
              for i in range(3) for j in range(3))
  error, plain = (np.abs(np.asarray(form(x, kernel)) - exact).max() / exact.std()
                  for form in (cpu_kernels._winograd, cpu_kernels._plain))
  assert error < 1e-5 and error < 20 * plain


@pytest.mark.parametrize('k, channels, features, size', [
    (3, 8, 8, 9), (3, 8, 8, 10), (3, 3, 8, 8), (3, 8, 1, 4), (7, 3, 8, 9), (7, 8, 3, 9),
    (5, 8, 8, 9), (1, 8, 8, 3)])
def test_convolution_equals_pytorch(torch, k, channels, features, size):
  x, kernel = normal(0, 2, size, size + 2, channels), normal(1, k, k, channels, features)
  y, gradients, cotangent = value_and_vjp(cpu_kernels.convolution, 2, x, kernel)
  image = nchw(torch, x)
  weight = torch.tensor(kernel.transpose(CONV), requires_grad=True)
  expected = torch.nn.functional.conv2d(image, weight)
  expected.backward(torch.tensor(cotangent.transpose(0, 3, 1, 2).copy()))
  close(y, expected.detach().numpy().transpose(0, 2, 3, 1))
  close(gradients[0], image.grad.numpy().transpose(0, 2, 3, 1))
  close(gradients[1], weight.grad.numpy().transpose(2, 3, 1, 0))


@pytest.mark.parametrize('size', [(2, 2), (3, 5), (4, 8)])
@pytest.mark.parametrize('channels', [(6, 8), (8, 3), (5, 1)])
def test_upsampled_convolution_equals_pytorchs_three_layers(torch, size, channels):
  x, kernel = normal(0, 2, *size, channels[0]), normal(1, 5, 5, *channels)
  y, gradients, cotangent = value_and_vjp(cpu_kernels.upsampled_convolution, 2, x, kernel)
  image = nchw(torch, x)
  weight = torch.tensor(kernel.transpose(CONV), requires_grad=True)
  large = torch.nn.functional.interpolate(image, scale_factor=2, mode='nearest')
  expected = torch.nn.functional.conv2d(torch.nn.functional.pad(large, (2,) * 4, 'reflect'), weight)
  expected.backward(torch.tensor(cotangent.transpose(0, 3, 1, 2).copy()))
  close(y, expected.detach().numpy().transpose(0, 2, 3, 1))
  close(gradients[0], image.grad.numpy().transpose(0, 2, 3, 1))
  close(gradients[1], weight.grad.numpy().transpose(2, 3, 1, 0))


@pytest.mark.slow
def test_second_derivatives_are_those_of_the_plain_form():
  """A gradient penalty needs the gradient of a function of the gradient."""
  x, kernel = normal(0, 1, 6, 6, 5), normal(1, 3, 3, 5, 6)

  def penalty(form):
    def of(kernel):
      slope = jax.grad(lambda x: jnp.square(form(x, kernel)).sum())(jnp.asarray(x))
      return jnp.square(slope).mean()
    return jax.grad(of)(jnp.asarray(kernel))
  close(penalty(cpu_kernels._winograd), penalty(cpu_kernels._plain))


def test_bfloat16_stays_bfloat16():
  x, kernel = (jnp.asarray(v, jnp.bfloat16) for v in (normal(0, 1, 8, 8, 6), normal(1, 3, 3, 6, 6)))
  y = cpu_kernels.convolution(x, kernel)
  assert y.dtype == jnp.bfloat16
  close(y.astype(jnp.float32), cpu_kernels._plain(x, kernel).astype(jnp.float32), 0.05)
