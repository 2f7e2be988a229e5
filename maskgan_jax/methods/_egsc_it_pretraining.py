"""The first stage of EGSC-IT: a VAE-GAN of each domain, and a perceptual network without ImageNet.

The VAE-GAN of domain x is x -> G(R(S(F(x)) + noise)), with parts of its own; of all of it the
second stage keeps F, frozen (section 3.3). Lengths and weights are those of the authors' code.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from maskgan_jax.losses import adversarial, reconstruction
from maskgan_jax.methods import base
from maskgan_jax.networks import replicas
from maskgan_jax.networks.streams import deinterleave, interleave

_PARTS = ('features', 'pretrain_shared_encoder', 'pretrain_shared_generator', 'pretrain_generator')


def players(apply: Callable[..., jax.Array], weights: Mapping[str, float],
            kl: Callable[..., jax.Array], gan: Callable[..., jax.Array], until: int, *,
            labels: bool, features: bool) -> tuple[base.Player, ...]:
  """Those who play before step `until`.

  Args:
    apply: (network, params, *inputs, **options) -> output.
    weights: `config.weights`.
    kl: mean_kl or noisy_kl.
    gan: cross_entropy or least_squares.
    until: the stage's steps.
    labels: whether 'perceptual' learns the data's labels.
    features: whether 'features_a' and 'features_b' learn.
  """
  result = []

  def perceptual_loss(params, model_state, batch, rng):
    """Labels of both domains' images, as independent yes-no questions; or which domain it is."""
    del rng
    logits = apply('perceptual', params, interleave(batch['a'], batch['b']), method='classify')
    if 'a_attributes' in batch:
      labels = interleave(batch['a_attributes'], batch['b_attributes'])
    else:
      ones = jnp.ones((len(batch['a']), 1))
      labels = interleave(0 * ones, ones)
    loss = adversarial.multi_label_cross_entropy(logits, labels)
    return loss, ({'accuracy': ((logits > 0) == (labels > 0.5)).mean()}, model_state)

  def reconstruct(domain, params, image, rng):
    mean = apply(f'pretrain_shared_encoder_{domain}', params,
                 apply(f'features_{domain}', params, image))
    noisy = mean + noise(rng, mean)
    content = apply(f'pretrain_shared_generator_{domain}', params, noisy)
    return mean, noisy, apply(f'pretrain_generator_{domain}', params, content)

  def discriminator_loss(params, model_state, batch, rng):
    """L_GAN of both domains: images against their reconstructions."""
    fakes = {d: reconstruct(d, params, batch[d], key)[-1] for d, key in _domains(rng)}
    losses = discriminate(apply, gan, 'pretrain_discriminator', params, batch, fakes)
    return weights['adversarial'] * sum(losses.values()), (losses, model_state)

  def generator_loss(params, model_state, batch, rng):
    """L_VAE + L_GAN, summed over the domains."""
    losses = {'adversarial': 0.0, 'reconstruction': 0.0, 'kl': 0.0}
    for domain, key in _domains(rng):
      mean, noisy, image = reconstruct(domain, params, batch[domain], key)
      scores = apply(f'pretrain_discriminator_{domain}', params, image)
      losses['adversarial'] += gan(scores, 1)
      losses['reconstruction'] += reconstruction.l1(image, batch[domain])
      losses['kl'] += kl(mean, noisy)
    return sum(weights[name] * value for name, value in losses.items()), (losses, model_state)

  if labels:
    result.append(base.Player('perceptual', ('perceptual',), perceptual_loss, end=until))
  if features:
    result += [
        base.Player('pretrain_discriminator', tuple(f'pretrain_discriminator_{d}' for d in 'ab'),
                    discriminator_loss, end=until),
        base.Player('pretrain_generator', tuple(f'{part}_{d}' for part in _PARTS for d in 'ab'),
                    generator_loss, end=until)]
  return tuple(result)


def noise(rng: jax.Array, like: jax.Array) -> jax.Array:
  """N(0, 1) for every number of a latent."""
  drawn = replicas.draw(lambda n: jax.random.normal(rng, (n, *like.shape[1:])), len(like))
  return drawn.astype(like.dtype)


least_squares, cross_entropy = adversarial.least_squares, adversarial.binary_cross_entropy


def mean_kl(mean: jax.Array, noisy: jax.Array) -> jax.Array:
  """The KL term of a latent N(mean, 1), UNIT's: the mean square, without half and constant."""
  del noisy
  return jnp.square(mean.astype(jnp.float32)).mean()


def noisy_kl(mean: jax.Array, noisy: jax.Array) -> jax.Array:
  """The same of what was drawn, as the authors' code has it: 1 more, and noisier gradients."""
  return mean_kl(noisy, mean)


def discriminate(apply: Callable[..., jax.Array], gan: Callable[..., jax.Array], name: str,
                 params: base.Params, batch: base.Batch, fakes: Mapping[str, jax.Array]
                 ) -> dict[str, Any]:
  """What D gets wrong about images (1) and fakes (0), summed over the domains; half of it if
  it is least squares (UNIT's cross entropy is whole)."""
  half = 0.5 if gan is least_squares else 1.0
  losses = {'real': 0.0, 'fake': 0.0}
  for domain in 'ab':
    both = interleave(batch[domain], jax.lax.stop_gradient(fakes[domain]))
    real, fake = deinterleave(apply(f'{name}_{domain}', params, both), 2)
    losses['real'] += half * gan(real, 1)
    losses['fake'] += half * gan(fake, 0)
  return losses


def _domains(rng):
  return zip('ab', jax.random.split(rng), strict=True)
