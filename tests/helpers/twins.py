"""What the comparisons of methods with their PyTorch twins have in common."""

import math

import jax


def count(tree):
  """Returns how many numbers a tree has."""
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def compiled(loss, params):
  """Returns a function from weights of a loss and its metrics to their values and gradients, and
  the names of the values. The gradients are of the weighted sum, by `params`.

  Args:
    loss: params -> loss, (metrics, state).
    params: where the values are taken.
  """
  def values_of(params):
    value, (metrics, _) = loss(params)
    return {**metrics, 'loss': value}

  @jax.jit
  def play(weights):
    values, backward = jax.vjp(values_of, params)
    return values, backward(weights)[0]
  return play, tuple(jax.eval_shape(values_of, params))
