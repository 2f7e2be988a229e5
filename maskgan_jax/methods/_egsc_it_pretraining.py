"""Trains the first stage of EGSC-IT: a VAE-GAN a domain, a perceptual network without ImageNet.

The VAE-GAN of domain x is x -> G(R(S(F(x)) + noise)), with parts of its own; of all of it the
second stage keeps F, frozen (section 3.3). Lengths and weights are those of the authors' code.
"""

from collections.abc import Callable, Mapping
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from maskgan_jax.losses import adversarial, reconstruction
from maskgan_jax.methods import _perceptual, base
from maskgan_jax.networks import replicas
from maskgan_jax.networks.streams import deinterleave, interleave

_PARTS = (
  'features',
  'pretrain_shared_encoder',
  'pretrain_shared_generator',
  'pretrain_generator',
)


@dataclasses.dataclass(frozen=True)
class FirstStage:
  """The losses of the first stage.

  Attributes:
    apply: (network, params, *inputs, **options) -> output.
    weights: `config.weights`.
    kl: mean_kl or noisy_kl.
    gan: cross_entropy or least_squares.
    augment: (key, images) -> what a discriminator sees of them.
  """

  apply: Callable[..., jax.Array]
  weights: Mapping[str, float]
  kl: Callable[..., jax.Array]
  gan: Callable[..., jax.Array]
  augment: Callable[..., jax.Array]

  def players(
    self, until: int, *, labels: bool, features: bool
  ) -> tuple[base.Player, ...]:
    """Returns those who play before step `until`.

    Args:
      until: the stage's steps.
      labels: whether 'perceptual' learns the data's labels.
      features: whether 'features_a' and 'features_b' learn.
    """
    result = []
    if labels:
      loss = functools.partial(_perceptual.label_loss, self.apply)
      result.append(base.Player('perceptual', ('perceptual',), loss, end=until))

    # The VAE-GAN of both domains; the second stage keeps F alone.
    if features:
      discriminators = ('pretrain_discriminator_a', 'pretrain_discriminator_b')
      generators = []
      for part in _PARTS:
        generators += [f'{part}_a', f'{part}_b']
      result += [
        base.Player(
          'pretrain_discriminator', discriminators, self.discriminator_loss, end=until
        ),
        base.Player(
          'pretrain_generator', tuple(generators), self.generator_loss, end=until
        ),
      ]
    return tuple(result)

  def discriminator_loss(self, params, model_state, batch, rng):
    """Returns L_GAN of both domains: images against their reconstructions."""
    fakes = {}
    for domain, key in _domains(rng):
      fakes[domain] = self._reconstruct(domain, params, batch[domain], key)[-1]
    seen = functools.partial(self.augment, rng)
    losses = discriminate(
      self.apply, self.gan, 'pretrain_discriminator', params, batch, fakes, seen=seen
    )
    return self.weights['adversarial'] * sum(losses.values()), (losses, model_state)

  def generator_loss(self, params, model_state, batch, rng):
    """Returns L_VAE + L_GAN, summed over the domains."""
    losses = {'adversarial': 0.0, 'reconstruction': 0.0, 'kl': 0.0}
    for domain, key in _domains(rng):
      mean, noisy, image = self._reconstruct(domain, params, batch[domain], key)
      seen = self.augment(key, image)
      scores = self.apply(f'pretrain_discriminator_{domain}', params, seen)
      losses['adversarial'] += self.gan(scores, 1)
      losses['reconstruction'] += reconstruction.l1(image, batch[domain])
      losses['kl'] += self.kl(mean, noisy)
    loss = sum(self.weights[name] * value for name, value in losses.items())
    return loss, (losses, model_state)

  def _reconstruct(self, domain, params, image, rng):
    """Returns the latent's mean, the latent, and the image made of it."""
    code = self.apply(f'features_{domain}', params, image)
    mean = self.apply(f'pretrain_shared_encoder_{domain}', params, code)
    noisy = mean + noise(rng, mean)
    content = self.apply(f'pretrain_shared_generator_{domain}', params, noisy)
    return mean, noisy, self.apply(f'pretrain_generator_{domain}', params, content)


def noise(rng: jax.Array, like: jax.Array) -> jax.Array:
  """Returns a draw of N(0, 1) for every number of a latent."""
  drawn = replicas.draw(
    lambda n: jax.random.normal(rng, (n, *like.shape[1:])), len(like)
  )
  return drawn.astype(like.dtype)


# What config.model.gan and config.model.kl name.
least_squares = adversarial.least_squares
cross_entropy = adversarial.binary_cross_entropy


def mean_kl(mean: jax.Array, noisy: jax.Array) -> jax.Array:
  """Returns the KL term of a latent N(mean, 1), UNIT's: a mean square, no half, no constant."""
  del noisy
  return jnp.square(mean.astype(jnp.float32)).mean()


def noisy_kl(mean: jax.Array, noisy: jax.Array) -> jax.Array:
  """Returns the same of what was drawn, as the authors' code: 1 more, and noisier gradients."""
  return mean_kl(noisy, mean)


def discriminate(
  apply: Callable[..., jax.Array],
  gan: Callable[..., jax.Array],
  name: str,
  params: base.Params,
  batch: base.Batch,
  fakes: Mapping[str, jax.Array],
  *,
  seen: Callable[..., jax.Array],
) -> dict[str, Any]:
  """Returns what D gets wrong about images (1) and fakes (0), summed over the domains.

  `seen` is (images, number) -> what D sees of them; the number tells its draws apart. Of least
  squares that is half the loss (UNIT's cross entropy is whole).
  """
  half = 0.5 if gan is least_squares else 1.0
  losses = {'real': 0.0, 'fake': 0.0}
  for number, domain in enumerate('ab'):
    both = interleave(batch[domain], jax.lax.stop_gradient(fakes[domain]))
    both = seen(both, number=number)
    real, fake = deinterleave(apply(f'{name}_{domain}', params, both), 2)
    losses['real'] += half * gan(real, 1)
    losses['fake'] += half * gan(fake, 0)
  return losses


def _domains(rng):
  """Pairs each domain with a key of its own."""
  return zip('ab', jax.random.split(rng), strict=True)
