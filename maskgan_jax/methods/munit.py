"""MUNIT, multimodal unsupervised image-to-image translation (Huang et al., ECCV 2018).

An image is made of a content, which both domains share, and a style of its own domain. Each domain
has encoders of both, E^c and E^s, a decoder G and a discriminator D. The style of a translation is
an exemplar's, or is drawn:

  x_ab = G_b(E^c_a(a), s_b),   s_b = E^s_b(b) or s_b ~ N(0, I)

Training draws all styles of translations. Its losses bring images back from their own content and
style, and contents and drawn styles back from translations; discriminators see images and
translations at several scales. No loss but the reconstruction sees the styles of exemplars, which
is why translations after exemplars may be worse than those with drawn styles.

`config.variant`: 'official' (the default) is the authors' code (github.com/NVlabs/MUNIT), 'paper'
the paper's text where it differs; VARIANTS lists where, each a switch in `config.model`. The weight
of the cycle, which the paper calls optional, is 0 or 10 in the code, by data set. The perceptual
loss, which the code has for pictures of 512 pixels, is not here. Norms are means over everything.
"""

import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from maskgan_jax.losses import adversarial, reconstruction
from maskgan_jax.methods import _munit_settings as settings
from maskgan_jax.methods import _styled as styled
from maskgan_jax.methods import base
from maskgan_jax.networks import (
  decoders,
  discriminators,
  encoders,
  normalization,
  replicas,
)
from maskgan_jax.networks.streams import deinterleave, interleave

VARIANTS = settings.VARIANTS
get_default, shrink = settings.get_default, settings.shrink
_OTHER = {'a': 'b', 'b': 'a'}
_GANS = {
  'least_squares': adversarial.least_squares,
  'cross_entropy': adversarial.binary_cross_entropy,
}


def make(config: ml_collections.ConfigDict) -> 'Munit':
  """Builds the method from a config; UserError where a value makes no sense."""
  return Munit(config)


class Munit(styled.Styled):
  """Both domains' networks and the two players."""

  def __init__(self, config: ml_collections.ConfigDict):
    self.switches = base.switches(config, VARIANTS)
    settings.check(config)
    self.model, self.weights, self.remat = config.model, config.weights, config.remat
    self.gan = _GANS[config.model.adversarial]

    # Both domains have networks of one architecture each.
    self.networks = {}
    for name, network in self._networks(jnp.dtype(config.compute_dtype)).items():
      for domain in 'ab':
        self.networks[f'{name}_{domain}'] = network
    of_discriminators = tuple(n for n in self.networks if n.startswith('discriminator'))
    others = tuple(n for n in self.networks if n not in of_discriminators)
    self.players = (
      base.Player('discriminator', of_discriminators, self.discriminator_loss),
      base.Player('generator', others, self.generator_loss),
    )

  def _networks(self, dtype):
    """Returns the networks of a domain by name."""
    model = self.model
    scale_init = nn.initializers.ones
    if self.switches.layer_scale == 'uniform':
      scale_init = nn.initializers.uniform(1.0)
    norm = functools.partial(
      normalization.LayerNorm,
      scale_init=scale_init,
      unbiased=self.switches.layer_norm == 'unbiased',
    )
    return {
      'content_encoder': encoders.ContentEncoder(
        model.width,
        model.blocks,
        dtype=dtype,
        downsamplings=model.downsamplings,
        affine=False,
      ),
      'style_encoder': encoders.StyleEncoder(
        model.width,
        model.style_size,
        dtype=dtype,
        leak=0.0,
        head_depth=model.style_downsamplings - 2,
      ),
      'decoder': decoders.MunitDecoder(
        model.mlp, model.blocks, model.downsamplings, norm, dtype
      ),
      'discriminator': discriminators.MultiScale(
        model.discriminator_width,
        model.discriminator_depth,
        model.discriminator_scales,
        dtype=dtype,
      ),
    }

  def init(self, rng, batch):
    """See `base.Method`."""
    init, (params, _) = base.initializer(self.networks, rng)
    image = batch['a'][:1]
    for domain in 'ab':
      content = init(f'content_encoder_{domain}', image)
      (style,) = init(f'style_encoder_{domain}', image, ('head',))
      init(f'decoder_{domain}', content, style)
      init(f'discriminator_{domain}', image)
    return params, {}

  def content(self, domain, params, image):
    """Returns what an image shows, a map that both domains' decoders take."""
    return self.apply(f'content_encoder_{domain}', params, image)

  def style(self, domain, params, image):
    """Returns the code of an image's style, [B, S]."""
    (style,) = self.apply(f'style_encoder_{domain}', params, image, heads=('head',))
    return style

  def decode(self, domain, params, content, style):
    """Returns a domain's images of contents and codes."""
    return self.apply(f'decoder_{domain}', params, content, style)

  def codes(self, rng, count):
    """Returns codes from N(0, I), [count, S]."""
    return jax.random.normal(rng, (count, self.model.style_size))

  def _drawn(self, rng, count):
    """Returns codes from N(0, I) by domain, [count, S] each."""
    styles = {}
    for domain, key in zip('ab', jax.random.split(rng), strict=True):
      draw = functools.partial(self.codes, key)
      styles[domain] = replicas.draw(draw, count)
    return styles

  def _score(self, domain, params, image, target):
    """Returns the loss of a discriminator's scores against 1, real, or 0: a sum over scales."""
    maps = self.apply(f'discriminator_{domain}', params, image)
    return sum(self.gan(scores, target) for scores in maps)

  # Training.

  def discriminator_loss(self, params, model_state, batch, rng):
    """Returns the loss of both discriminators: images against translations with drawn styles."""
    styles = self._drawn(rng, len(batch['a']))
    losses = {}
    for domain in 'ab':
      other = _OTHER[domain]
      content = self.content(other, params, batch[other])
      fake = self.decode(domain, params, content, styles[domain])
      real_loss = self._score(domain, params, batch[domain], 1)
      losses[domain] = real_loss + self._score(domain, params, fake, 0)
    return self.weights.adversarial * sum(losses.values()), (losses, model_state)

  def generator_loss(self, params, model_state, batch, rng):
    """Returns the loss of encoders and decoders; every term is a sum over both domains."""
    drawn = self._drawn(rng, len(batch['a']))
    contents, styles = {}, {}
    for domain in 'ab':
      contents[domain] = self.content(domain, params, batch[domain])
      styles[domain] = self.style(domain, params, batch[domain])

    # A decoder makes its domain's images again, and translations of the other's: x_aa and x_ba.
    same, translated = {}, {}
    for domain in 'ab':
      content = interleave(contents[domain], contents[_OTHER[domain]])
      style = interleave(styles[domain], drawn[domain])
      images = self.decode(domain, params, content, style)
      same[domain], translated[domain] = deinterleave(images, 2)

    # Of translations come back the other domain's content and the style that was drawn.
    contents_again, losses = {}, {}
    for domain in 'ab':
      contents_again[domain] = self.content(domain, params, translated[domain])
      style_again = self.style(domain, params, translated[domain])
      terms = {
        'adversarial': self._score(domain, params, translated[domain], 1),
        'reconstruction': reconstruction.l1(same[domain], batch[domain]),
        'content': reconstruction.l1(contents_again[domain], contents[_OTHER[domain]]),
        'style': reconstruction.l1(style_again, drawn[domain]),
      }
      for name, value in terms.items():
        losses[name] = losses.get(name, 0.0) + value
    if self.weights.cycle:
      losses['cycle'] = self._cycle(params, batch, contents_again, styles)
    loss = sum(self.weights[name] * value for name, value in losses.items())
    return loss, (losses, model_state)

  def _cycle(self, params, batch, contents_again, styles):
    """Returns how far images are from x_aba and x_bab, which have their own encoded styles."""
    loss = 0.0
    for domain in 'ab':
      content = contents_again[_OTHER[domain]]
      back = self.decode(domain, params, content, styles[domain])
      loss += reconstruction.l1(back, batch[domain])
    return loss
