"""UNIT, unsupervised image-to-image translation networks (Liu, Breuel and Kautz, NIPS 2017).

Two variational auto-encoders share their latent space, so that a picture's latent is decoded as a
picture of either domain. Encoders E give the mean of a latent, to which training adds noise of
variance 1; G are the decoders and D the discriminators of the domains:

  z = E_a(a) + n,   n ~ N(0, I),   x_ab = G_b(z),   x_aa = G_a(z)

Images come back from their latents and there and back, and a weight keeps latents small. The method
takes no exemplar, and translates without noise: each source has one translation.

Three networks carry the name. `config.variant` 'paper' is the authors' first code (version_02 of
github.com/mingyuliutw/UNIT), which is the paper's: the last block of the encoders and the first of
the decoders are shared. Its encoders give no variance, though the paper's do. 'rerelease' is what
the repository has today: MUNIT's auto-encoder without styles, and nothing shared. VARIANTS lists
where they differ, each a switch in `config.model`; blocks, discriminators' sizes, weights and
schedules differ too, and are those of recipes/unit.py. Norms are means over everything. Decided
without a switch: biases begin at 0 (in the first code at PyTorch's default); of its discriminators
only the one for cats and dogs is here.
"""

import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from maskgan_jax.losses import adversarial, reconstruction
from maskgan_jax.methods import _egsc_it_pretraining as latents
from maskgan_jax.methods import _unit_settings as settings
from maskgan_jax.methods import base
from maskgan_jax.networks import (
  decoders,
  discriminators,
  encoders,
  layers,
  masks,
  normalization,
)
from maskgan_jax.networks.streams import deinterleave, interleave

VARIANTS = settings.VARIANTS
get_default, shrink = settings.get_default, settings.shrink
_OTHER = {'a': 'b', 'b': 'a'}
_GANS = {
  'least_squares': adversarial.least_squares,
  'cross_entropy': adversarial.binary_cross_entropy,
}
_NORM = functools.partial(normalization.InstanceNorm, affine=False)
_INIT = nn.initializers.normal(0.02)
_KLS = {'mean': latents.mean_kl, 'noisy': latents.noisy_kl}


def make(config: ml_collections.ConfigDict) -> 'Unit':
  """Builds the method from a config; UserError where a value makes no sense."""
  return Unit(config)


class Unit(base.Method):
  """Both domains' networks, what they share, and the two players."""

  abilities = frozenset({'source_mask', 'reverse'})
  mask_meanings = {
    'source': 'Coloured: which pixels may change. The others stay as they are.',
  }

  def __init__(self, config: ml_collections.ConfigDict):
    self.switches = base.switches(config, VARIANTS)
    settings.check(config)
    self.model, self.weights, self.remat = config.model, config.weights, config.remat
    self.gan = _GANS[self.switches.adversarial]
    self.kl = _KLS[self.switches.kl]

    # Both domains have networks of one architecture each.
    dtype = jnp.dtype(config.compute_dtype)
    own = self._shared_space(dtype) if self.switches.shared else self._separate(dtype)
    own['discriminator'] = self._discriminator(dtype)
    self.networks = {}
    if self.switches.shared:
      shared = layers.Residual(_NORM, dtype, _INIT, 'constant')
      self.networks = {'shared_encoder': shared, 'shared_decoder': shared}
    for name, network in own.items():
      for domain in 'ab':
        self.networks[f'{name}_{domain}'] = network

    of_discriminators = tuple(n for n in self.networks if n.startswith('discriminator'))
    others = tuple(n for n in self.networks if n not in of_discriminators)
    self.players = (
      base.Player('discriminator', of_discriminators, self.discriminator_loss),
      base.Player('generator', others, self.generator_loss),
    )

  def _shared_space(self, dtype):
    """Returns a domain's own encoder and decoder of the first code."""
    model = self.model
    options = dict(
      norm=_NORM,
      dtype=dtype,
      leak=0.01,
      strided_norm=_NORM if model.strided_norm else None,
      padding='constant',
      kernel_init=_INIT,
    )
    return {
      'encoder': encoders.UnitEncoder(
        model.width, model.downsamplings, model.blocks, **options
      ),
      'decoder': decoders.UnitGenerator(
        model.downsamplings, model.blocks, transposed_padding=1, **options
      ),
    }

  def _separate(self, dtype):
    """Returns a domain's encoder and decoder of the re-release, which are MUNIT's."""
    model = self.model
    norm = functools.partial(
      normalization.LayerNorm, scale_init=nn.initializers.uniform(1.0), unbiased=True
    )
    return {
      'encoder': encoders.ContentEncoder(
        model.width,
        model.blocks,
        dtype=dtype,
        downsamplings=model.downsamplings,
        affine=False,
      ),
      'decoder': decoders.MunitDecoder(
        blocks=model.blocks, upsamplings=model.downsamplings, norm=norm, dtype=dtype
      ),
    }

  def _discriminator(self, dtype):
    """Returns the network that both domains' discriminators are."""
    options = dict(size=4, padding='reflect', leak=0.2)
    if self.switches.discriminator == '3x3':
      options = dict(size=3, padding='constant', leak=0.01)
    return discriminators.MultiScale(
      self.model.discriminator_width,
      self.model.discriminator_depth,
      self.model.discriminator_scales,
      dtype=dtype,
      **options,
    )

  def init(self, rng, batch):
    """See `base.Method`."""
    init, (params, _) = base.initializer(self.networks, rng)
    image = batch['a'][:1]
    for domain in 'ab':
      code = init(f'encoder_{domain}', image)
      init(f'decoder_{domain}', code)
      init(f'discriminator_{domain}', image)
    if self.switches.shared:
      init('shared_encoder', code)
      init('shared_decoder', code)
    return params, {}

  def _apply(self, name, params, *inputs):
    """Returns a network's output."""
    network, variables = self.networks[name], {'params': params[name]}
    return base.apply(network, variables, *inputs, remat=self.remat)

  def _mean(self, params, codes):
    """Returns the means of latents from the codes of a domain's own encoder."""
    if not self.switches.shared:
      return codes
    return self._apply('shared_encoder', params, codes)

  def _content(self, params, latent):
    """Returns what the domains' own decoders get of latents."""
    if not self.switches.shared:
      return latent
    return self._apply('shared_decoder', params, latent)

  def _decoded(self, domain, params, latent):
    """Returns a domain's pictures of what `_content` makes of latents."""
    return self._apply(f'decoder_{domain}', params, latent)

  def _encode(self, params, images, rng):
    """Returns latents of a's and b's images, interleaved: mean, with noise, and their content."""
    codes = [
      self._apply(f'encoder_{domain}', params, images[domain]) for domain in 'ab'
    ]
    mean = self._mean(params, interleave(*codes))
    noisy = mean + latents.noise(rng, mean)
    return mean, noisy, self._content(params, noisy)

  def _score(self, domain, params, image, target):
    """Returns the loss of a discriminator's scores against 1, real, or 0: a sum over scales."""
    maps = self._apply(f'discriminator_{domain}', params, image)
    return sum(self.gan(scores, target) for scores in maps)

  # Training.

  def discriminator_loss(self, params, model_state, batch, rng):
    """Returns the loss of both discriminators: images against translations."""
    *_, content = self._encode(params, batch, rng)
    contents = dict(zip('ab', deinterleave(content, 2), strict=True))
    losses = {}
    for domain in 'ab':
      fake = self._decoded(domain, params, contents[_OTHER[domain]])
      real_loss = self._score(domain, params, batch[domain], 1)
      losses[domain] = real_loss + self._score(domain, params, fake, 0)
    return self.weights.adversarial * sum(losses.values()), (losses, model_state)

  def generator_loss(self, params, model_state, batch, rng):
    """Returns the loss of encoders and decoders; every term is a sum over both domains."""
    rng, rng_2 = jax.random.split(rng)
    mean, noisy, content = self._encode(params, batch, rng)

    # Each decoder gets the contents of both domains.
    x_aa, x_ba = deinterleave(self._decoded('a', params, content), 2)
    x_ab, x_bb = deinterleave(self._decoded('b', params, content), 2)

    # And back: E_a sees x_ba, whose latent is b's.
    translated = {'a': x_ba, 'b': x_ab}
    mean_2, noisy_2, content_2 = self._encode(params, translated, rng_2)
    content_ba, content_ab = deinterleave(content_2, 2)
    x_aba = self._decoded('a', params, content_ab)
    x_bab = self._decoded('b', params, content_ba)

    l1, a, b = reconstruction.l1, batch['a'], batch['b']
    score_ba = self._score('a', params, x_ba, 1)
    score_ab = self._score('b', params, x_ab, 1)
    losses = {
      'adversarial': score_ba + score_ab,
      'reconstruction': l1(x_aa, a) + l1(x_bb, b),
      'kl': 2 * self.kl(mean, noisy),
      'cycle': l1(x_aba, a) + l1(x_bab, b),
      'cycle_kl': 2 * self.kl(mean_2, noisy_2),
    }
    loss = sum(self.weights[name] * value for name, value in losses.items())
    return loss, (losses, model_state)

  # Inference.

  def translate(
    self,
    params,
    model_state,
    source,
    exemplar=None,
    *,
    source_mask=None,
    exemplar_mask=None,
    rng=None,
    reverse=False,
  ):
    """Returns x_ab of the source, without noise, or x_ba of a source of b.

    A given source_mask says which pixels may change; the others are the source's own.
    """
    domains = 'ba' if reverse else 'ab'
    codes = self._apply(f'encoder_{domains[0]}', params, source)
    content = self._content(params, self._mean(params, codes))
    image = self._decoded(domains[1], params, content)
    if source_mask is not None:
      source_mask = jnp.broadcast_to(source_mask, (*source.shape[:3], 1))
      image = masks.composite(source_mask, image, source)
    return base.Translation(image, source_mask)
