"""Soft masks in [0, 1]: composition and the statistics by which a collapsed mask is seen."""

import jax
import jax.numpy as jnp


def composite(mask: jax.Array, foreground: jax.Array, background: jax.Array) -> jax.Array:
  """mask * foreground + (1 - mask) * background, per pixel; mask [B, H, W, 1]."""
  return mask * foreground + (1 - mask) * background


def statistics(mask: jax.Array) -> dict[str, jax.Array]:
  """Mean, share of pixels over 0.5, and mean binary entropy in bits (0: binary, 1: undecided)."""
  m = jnp.clip(mask.astype(jnp.float32), 1e-6, 1 - 1e-6)
  entropy = -(m * jnp.log2(m) + (1 - m) * jnp.log2(1 - m))
  return {'mask_mean': mask.mean(dtype=jnp.float32),
          'mask_over_half': (mask > 0.5).mean(dtype=jnp.float32),
          'mask_entropy': entropy.mean()}
