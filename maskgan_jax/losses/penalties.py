"""Penalties on the gradient of a critic with respect to its input."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def gradient_penalty(critic: Callable[[jax.Array], jax.Array], real: jax.Array, fake: jax.Array,
                     alpha: jax.Array) -> jax.Array:
  """WGAN-GP's penalty between real and generated images (Gulrajani et al. 2017, eq. 3).

  Args:
    critic: images [B, H, W, C] to scores [B, ...]; an example's scores are added up, and may
      depend on that example only.
    real: images, [B, H, W, C].
    fake: as many of the generator's, without its gradient.
    alpha: the place on the line from fake (0) to real (1) where the slope is taken, drawn uniformly
      for each pair; [B, 1, 1, 1].

  Returns:
    A float32 scalar, to be weighted (LOMIT, ICLR eq. 10: by 10).
  """
  return unit_slope(critic, alpha * real + (1 - alpha) * fake)


def unit_slope(critic: Callable[[jax.Array], jax.Array], images: jax.Array) -> jax.Array:
  """Mean over images x of (||d critic(x) / dx||_2 - 1)^2."""
  def score(image):
    return critic(image[None]).astype(jnp.float32).sum()

  gradients = jax.vmap(jax.grad(score))(images.astype(jnp.float32))
  squared = jnp.square(gradients).sum(range(1, gradients.ndim))
  # The root of zero has no finite slope; a critic that is flat somewhere gets none from there.
  flat = squared == 0
  norm = jnp.where(flat, 0, jnp.sqrt(jnp.where(flat, 1, squared)))
  return jnp.square(norm - 1).mean()


def zero_slope(critic: Callable[[jax.Array], jax.Array], images: jax.Array) -> jax.Array:
  """Returns the mean over images x of ||d critic(x) / dx||^2 (R1, Mescheder et al. 2018).

  Args:
    critic: images [B, H, W, C] to scores [B, ...]; an example's scores are added up, and may
      depend on that example only.
    images: real ones.
  """
  gradients = jax.grad(lambda x: critic(x).astype(jnp.float32).sum())(images.astype(jnp.float32))
  return jnp.square(gradients).sum(range(1, gradients.ndim)).mean()
