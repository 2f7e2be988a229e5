"""L-BFGS with fixed steps, as Gatys et al. optimise pictures: no line search.

optax.lbfgs keeps differences of negative curvature, which only a line search makes harmless. Here
they are skipped, as PyTorch's torch.optim.LBFGS does, which differs in two limits: its first step
has the length 1 in the sum of absolute values at most, and it skips what is below 1e-10. Both
depend on the loss's unit, and a loss of 1e-6 would not move. Here the first step has the Euclidean
length 1 whatever the gradient is, and curvature is compared with the lengths of the differences.
"""

from typing import NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import optax

_LEAST_COSINE = (
  1e-6  # between the differences of points and of gradients; float32 rounds there
)


class State(NamedTuple):
  """What is remembered, of an array with N numbers.

  Attributes:
    count: of the updates so far.
    stored: of the pairs so far; the next one's place is this modulo the history.
    point: where the last gradient was, [N].
    gradient: the last one, [N].
    steps: differences of points, [history, N].
    changes: differences of gradients, [history, N].
    inverse_products: 1 over the product of both, [history]; 0 of an empty place.
    scale: the first guess of the inverse Hessian's diagonal.
  """

  count: jax.Array
  stored: jax.Array
  point: jax.Array
  gradient: jax.Array
  steps: jax.Array
  changes: jax.Array
  inverse_products: jax.Array
  scale: jax.Array


def scale_by_lbfgs(history: int) -> optax.GradientTransformation:
  """Returns the transformation of an array's gradient into L-BFGS's direction (uphill).

  Args:
    history: pairs of differences that are remembered.
  """

  def init(point):
    flat = jnp.zeros(point.size, point.dtype)
    pairs = jnp.zeros((history, point.size), point.dtype)
    empty = jnp.zeros(history, point.dtype)
    count = jnp.int32(0)
    return State(count, count, flat, flat, pairs, pairs, empty, empty.sum())

  def update(gradient, state, point):
    shape = gradient.shape
    point, gradient = point.reshape(-1), gradient.reshape(-1)
    state = _remember(state, point, gradient)
    direction = _direction(state, gradient)
    state = state._replace(count=state.count + 1, point=point, gradient=gradient)
    return direction.reshape(shape), state

  return optax.GradientTransformation(init, update)


def _remember(state, point, gradient):
  """Returns the state with the newest differences, if their curvature is positive."""
  step, change = point - state.point, gradient - state.gradient
  product, square = step @ change, change @ change
  lengths = jnp.sqrt(square * (step @ step))
  positive = (state.count > 0) & (product > _LEAST_COSINE * lengths)

  # Divisions by 0 are not chosen, but must not be made either: errors on NaN would stop there.
  inverse = 1 / jnp.where(positive, product, 1)
  place = state.stored % len(state.inverse_products)
  new = state._replace(
    stored=state.stored + 1,
    steps=state.steps.at[place].set(step),
    changes=state.changes.at[place].set(change),
    inverse_products=state.inverse_products.at[place].set(inverse),
    scale=product / jnp.where(positive, square, 1),
  )
  state = jax.tree.map(lambda new, old: jnp.where(positive, new, old), new, state)

  # Until there is a pair, steps have the length 1.
  length = jnp.sqrt(gradient @ gradient)
  first = 1 / jnp.where(length > 0, length, 1)
  return state._replace(scale=jnp.where(state.stored > 0, state.scale, first))


def _direction(state, gradient):
  """Returns the product of the approximate inverse Hessian and a gradient (two loops)."""
  history = len(state.inverse_products)

  def back(i, carry):
    direction, products = carry
    place = (state.stored - 1 - i) % history
    product = state.inverse_products[place] * (state.steps[place] @ direction)
    return direction - product * state.changes[place], products.at[place].set(product)

  def forth(i, direction):
    place = (state.stored + i) % history
    product = state.inverse_products[place] * (state.changes[place] @ direction)
    return direction + (products[place] - product) * state.steps[place]

  # From the newest pair to the oldest, and back; empty places change nothing.
  products = jnp.zeros_like(state.inverse_products)
  direction, products = lax.fori_loop(0, history, back, (gradient, products))
  return lax.fori_loop(0, history, forth, state.scale * direction)
