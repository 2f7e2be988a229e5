"""Adversarial losses on logits and scores, and penalties on a critic's gradient."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Critic = Callable[[jax.Array], jax.Array]  # images [B, H, W, C] to scores [B, ...]


def binary_cross_entropy(logits: jax.Array, target: float) -> jax.Array:
  """Computes the mean of -(t log p + (1 - t) log(1 - p)), p = sigmoid(logits), t in [0, 1]."""
  logits = logits.astype(jnp.float32)
  return (jax.nn.softplus(logits) - target * logits).mean()


def tell_domains(of_a: jax.Array, of_b: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns a discriminator's loss on the logits of domains a (label 0) and b (label 1).

  Returns:
    The sum of both cross entropies; and the share of right answers, the mean over the domains.
  """
  loss = binary_cross_entropy(of_b, 1.0) + binary_cross_entropy(of_a, 0.0)
  right_b = (of_b > 0).mean()
  right_a = (of_a < 0).mean()
  return loss, (right_b + right_a) / 2


def multi_label_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Computes binary cross entropy, summed over labels and averaged over examples.

  Both are [B, K], labels 0 or 1.
  """
  logits, labels = logits.astype(jnp.float32), labels.astype(jnp.float32)
  return (jax.nn.softplus(logits) - labels * logits).sum(-1).mean()


def least_squares(scores: jax.Array, target: float) -> jax.Array:
  """Computes the mean of (score - target)^2 (Mao et al. 2017)."""
  return jnp.square(scores.astype(jnp.float32) - target).mean()


def gradient_penalty(
  critic: Critic, real: jax.Array, fake: jax.Array, alpha: jax.Array
) -> jax.Array:
  """Computes WGAN-GP's penalty between real and generated images (Gulrajani et al. 2017, eq. 3).

  Args:
    critic: an example's scores are added up, and may depend on that example only.
    real: images [B, H, W, C].
    fake: as many images of the generator, without its gradient.
    alpha: the place on the line from fake (0) to real (1) where the slope is taken, drawn uniformly
      for each pair; [B, 1, 1, 1].

  Returns:
    A float32 scalar; the caller weights it (LOMIT, ICLR eq. 10: by 10).
  """
  return unit_slope(critic, alpha * real + (1 - alpha) * fake)


def unit_slope(critic: Critic, images: jax.Array) -> jax.Array:
  """Computes the mean over images x of (||d critic(x) / dx||_2 - 1)^2."""

  def score(image):
    return critic(image[None]).astype(jnp.float32).sum()

  gradients = jax.vmap(jax.grad(score))(images.astype(jnp.float32))
  squared = jnp.square(gradients).sum(range(1, gradients.ndim))

  # The root of zero has no finite slope; a critic that is flat somewhere gets none from there.
  flat = squared == 0
  norm = jnp.where(flat, 0, jnp.sqrt(jnp.where(flat, 1, squared)))
  return jnp.square(norm - 1).mean()


def zero_slope(critic: Critic, images: jax.Array) -> jax.Array:
  """Returns the mean over images x of ||d critic(x) / dx||^2 (R1, Mescheder et al. 2018).

  Args:
    critic: images [B, H, W, C] to scores [B, ...]; the scores of an example are summed, and
      may depend on that example only.
    images: real ones.
  """

  def total(x):
    return critic(x).astype(jnp.float32).sum()

  gradients = jax.grad(total)(images.astype(jnp.float32))
  return jnp.square(gradients).sum(range(1, gradients.ndim)).mean()
