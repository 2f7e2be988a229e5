"""DRIT and DRIT++, diverse image-to-image translation (Lee et al., ECCV 2018 and IJCV 2020).

An image is made of a content, which both domains share, and an attribute of its own domain. Each
domain has encoders E^c and E^a, a generator G and two discriminators; the last block of the
encoders is shared, and the first of the generators too where attributes are joined as channels. The
attribute of a translation is an exemplar's, or is drawn:

  x_ab = G_b(E^c_a(a), z),   z = E^a_b(b) or z ~ N(0, I)

A content discriminator D^c must not tell from which domain contents are. Two images exchange their
attributes twice and must come back (the cross-cycle), and images from their own content and
attribute. One discriminator of a domain sees translations after exemplars, the other those with
drawn attributes, from which the attribute must come back. DRIT++ draws two attributes for a content
and pushes the images apart (`config.model.mode_seeking`).

`config.variant`: 'official' (the default) is the authors' code (github.com/HsinYingLee/DRIT, with
the mode seeking of github.com/HelenMao/MSGAN), 'paper' the paper's text where it differs; VARIANTS
lists where, each a switch in `config.model`. Norms are means over everything. Decided without a
switch: the authors' batches of two show the second image to the second discriminators only, and
here all discriminators see all images, so that their batch is one of ours; the step of drawn
attributes has moments of Adam of its own, and sees what the step before it learned; biases of
convolutions begin at 0; an exemplar's attribute is the mean of its distribution, not a draw.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from maskgan_jax.losses import adversarial, codes, reconstruction
from maskgan_jax.methods import _drit_networks as drit_networks
from maskgan_jax.methods import _drit_settings as settings
from maskgan_jax.methods import _egsc_it_pretraining as latents
from maskgan_jax.methods import _styled as styled
from maskgan_jax.methods import base
from maskgan_jax.networks import discriminators, encoders, layers, replicas
from maskgan_jax.networks.streams import deinterleave, interleave

VARIANTS = settings.VARIANTS
get_default, shrink = settings.get_default, settings.shrink
_OTHER = {'a': 'b', 'b': 'a'}


def make(config: ml_collections.ConfigDict) -> 'Drit':
  """Builds the method from a config; UserError where a value makes no sense."""
  return Drit(config)


class _Encoded(NamedTuple):
  """What encoders make of an image of each domain.

  Attributes:
    contents: with noise, by the domain of the image, [B, h, w, C] each.
    attributes: drawn from their distributions, by domain, [B, S] each.
    kl: of both domains' distributions of attributes from N(0, I), a scalar.
  """

  contents: dict[str, jax.Array]
  attributes: dict[str, jax.Array]
  kl: jax.Array


class Drit(styled.Styled):
  """Both domains' networks, what they share, and the players."""

  default_clip_norm = {'content_discriminator': 5.0}

  def __init__(self, config: ml_collections.ConfigDict):
    self.switches = base.switches(config, VARIANTS)
    settings.check(config)
    self.model, self.weights, self.remat = config.model, config.weights, config.remat
    self.draws = 2 if config.model.mode_seeking else 1

    # Both domains have networks of one architecture each, besides what they share.
    self.networks = self._shared(jnp.dtype(config.compute_dtype))
    for name, network in self._networks(jnp.dtype(config.compute_dtype)).items():
      for domain in 'ab':
        self.networks[f'{name}_{domain}'] = network
    self.players = self._players()

  def _shared(self, dtype):
    """Returns the networks that both domains have together, by name."""
    model = self.model
    norm = drit_networks.NORM if self.switches.content_norm == 'instance' else None
    block = layers.Residual(drit_networks.NORM, dtype, drit_networks.INIT)
    networks = {
      'content_discriminator': drit_networks.ContentDiscriminator(
        model.content_depth, model.content_kernel, norm, dtype
      ),
      'shared_encoder': block,
    }
    if model.generator == 'concat':
      networks['shared_generator'] = block
    return networks

  def _networks(self, dtype):
    """Returns the networks of a domain by name."""
    model = self.model
    attribute_encoder, generator = self._attribute_networks(dtype)
    discriminator = discriminators.MultiScale(
      model.discriminator_width,
      model.discriminator_depth,
      model.discriminator_scales,
      leak=0.01,
      dtype=dtype,
      odd='down',
    )
    return {
      'content_encoder': encoders.UnitEncoder(
        model.width,
        model.downsamplings,
        model.blocks,
        drit_networks.NORM,
        dtype,
        leak=0.01,
        strided_norm=drit_networks.NORM,
        kernel_init=drit_networks.INIT,
      ),
      'attribute_encoder': attribute_encoder,
      'generator': generator,
      'discriminator': discriminator,
      'random_discriminator': discriminator,
    }

  def _attribute_networks(self, dtype):
    """Returns a domain's attribute encoder and its generator, of the kind that the config asks."""
    model = self.model
    if model.generator == 'concat':
      encoder = drit_networks.AttributeEncoder(
        model.width, model.attribute_downsamplings, model.attribute_size, dtype
      )
      generator = drit_networks.ConcatGenerator(
        model.blocks, model.downsamplings, dtype
      )
      return encoder, generator
    encoder = encoders.StyleEncoder(
      model.width,
      model.attribute_size,
      dtype=dtype,
      leak=0.0,
      head_depth=model.attribute_downsamplings - 2,
      kernel_init=drit_networks.INIT,
      odd='down',
    )
    generator = drit_networks.FeatureWiseGenerator(
      model.blocks + 1, model.downsamplings, model.mlp, dtype
    )
    return encoder, generator

  def _players(self):
    """Returns the players: the content discriminator at every step, the others less often."""

    def owned(*kinds):
      return tuple(n for n in self.networks if n.startswith(kinds))

    every = self.model.others_every
    others = functools.partial(base.Player, every=every, phase=every - 1)
    of_images = owned('discriminator', 'random_discriminator')
    of_contents = owned('content_encoder', 'shared', 'generator')
    players = [
      others('discriminator', of_images, self.discriminator_loss),
      base.Player(
        'content_discriminator',
        ('content_discriminator',),
        self.content_discriminator_loss,
      ),
      others(
        'generator', of_contents + owned('attribute_encoder'), self.generator_loss
      ),
    ]
    if self.switches.random_step == 'own':
      players.append(others('random', of_contents, self.random_loss))
    return tuple(players)

  def init(self, rng, batch):
    """See `base.Method`."""
    init, (params, _) = base.initializer(self.networks, rng)
    image = batch['a'][:1]
    attribute = jnp.zeros((1, self.model.attribute_size))
    for domain in 'ab':
      content = init(f'content_encoder_{domain}', image)
      init(f'attribute_encoder_{domain}', image, **self._heads())
      init(f'generator_{domain}', content, attribute)
      init(f'discriminator_{domain}', image)
      init(f'random_discriminator_{domain}', image)
    for name in ('content_discriminator', 'shared_encoder', 'shared_generator'):
      if name in self.networks:
        init(name, content)
    return params, {}

  # Parts of losses and of inference.

  def _heads(self):
    """Returns how the attribute encoder is called: MUNIT's has a head by name."""
    return {} if self.model.generator == 'concat' else {'heads': ('head',)}

  def content(self, domain, params, image):
    """Returns what an image shows, a map that both domains' generators take."""
    private = self.apply(f'content_encoder_{domain}', params, image)
    return self.apply('shared_encoder', params, private)

  def style(self, domain, params, image):
    """Returns the attribute of an image, the mean of its distribution, [B, S]."""
    return self._distribution(domain, params, image)[0]

  def decode(self, domain, params, content, style):
    """Returns a domain's images of contents and attributes."""
    (content,) = self._bases(params, content)
    return self.apply(f'generator_{domain}', params, content, style)

  def codes(self, rng, count):
    """Returns attributes from N(0, I), [count, S]."""
    return jax.random.normal(rng, (count, self.model.attribute_size))

  def _distribution(self, domain, params, image):
    """Returns the mean of an image's attribute, and the log-variance or, feature-wise, None."""
    name = f'attribute_encoder_{domain}'
    output = self.apply(name, params, image, **self._heads())
    return output if len(output) == 2 else (*output, None)

  def _noisy_contents(self, params, images, rng):
    """Returns contents of a's and b's images with noise of variance 1, by domain."""
    private = []
    for domain in 'ab':
      private.append(self.apply(f'content_encoder_{domain}', params, images[domain]))
    mean = self.apply('shared_encoder', params, interleave(*private))
    noisy = mean + latents.noise(rng, mean)
    return dict(zip('ab', deinterleave(noisy, 2), strict=True))

  def _bases(self, params, *contents):
    """Returns what the domains' own generators get of contents."""
    if self.model.generator != 'concat':
      return contents
    shared = self.apply('shared_generator', params, interleave(*contents))
    return deinterleave(shared, len(contents))

  def _encode(self, params, images, rng):
    """Returns `_Encoded` of a's and b's images."""
    rng, *keys = jax.random.split(rng, 3)
    attributes, kl = {}, 0.0
    for domain, key in zip('ab', keys, strict=True):
      mean, log_variance = self._distribution(domain, params, images[domain])
      if log_variance is None:
        attributes[domain] = mean
        kl += jnp.square(mean).mean()
      else:
        noise = replicas.draw(functools.partial(self.codes, key), len(mean))
        attributes[domain] = mean + jnp.exp(log_variance / 2) * noise
        kl += codes.normal_kl(mean, log_variance)
    return _Encoded(self._noisy_contents(params, images, rng), attributes, kl)

  def _draw(self, rng, count):
    """Returns attributes from N(0, I) for both directions, [count, S] each: two, or one."""
    drawn = []
    for key in jax.random.split(rng, self.draws):
      drawn.append(replicas.draw(functools.partial(self.codes, key), count))
    return tuple(drawn)

  def _generate(self, params, bases, attributes):
    """Returns images by domain, one after another as `attributes` names them.

    Args:
      params: parameters by group.
      bases: what generators get of contents, by the domain that these are from.
      attributes: by the domain of the images, pairs (domain of the content, attribute [B, S]).
    """
    images = {}
    for domain, pairs in attributes.items():
      content = interleave(*(bases[source] for source, _ in pairs))
      code = interleave(*(attribute for _, attribute in pairs))
      joined = self.apply(f'generator_{domain}', params, content, code)
      images[domain] = deinterleave(joined, len(pairs))
    return images

  def _by_domain(self, params, contents):
    """Returns `_bases` of both domains' contents by domain."""
    bases = self._bases(params, contents['a'], contents['b'])
    return dict(zip('ab', bases, strict=True))

  def _score(self, name, params, image, target):
    """Returns the loss of a discriminator's scores against 1, real, or 0: a sum over scales."""
    maps = self.apply(name, params, image)
    return sum(adversarial.binary_cross_entropy(scores, target) for scores in maps)

  # Training.

  def content_discriminator_loss(self, params, model_state, batch, rng):
    """Returns the loss of D^c, which says 0 of a's contents and 1 of b's."""
    contents = self._noisy_contents(params, batch, rng)
    losses = {}
    for domain, target in zip('ab', (0, 1), strict=True):
      scores = self.apply('content_discriminator', params, contents[domain])
      losses[domain] = adversarial.binary_cross_entropy(scores, target)
    return sum(losses.values()), (losses, model_state)

  def discriminator_loss(self, params, model_state, batch, rng):
    """Returns the loss of the images' discriminators: images against both kinds of translations."""
    rng, rng_2 = jax.random.split(rng)
    encoded = self._encode(params, batch, rng)
    drawn = self._draw(rng_2, len(batch['a']))
    pairs = {}
    for domain, other in _OTHER.items():
      styles = (encoded.attributes[domain], *drawn)
      pairs[domain] = [(other, attribute) for attribute in styles]
    fakes = self._generate(params, self._by_domain(params, encoded.contents), pairs)

    # Each drawn attribute counts as much as the exemplar's, and so do the images beside it.
    losses = {}
    for domain in 'ab':
      fake, *random = fakes[domain]
      for name, images in (
        ('discriminator', (fake,)),
        ('random_discriminator', random),
      ):
        score = functools.partial(self._score, f'{name}_{domain}', params)
        loss = score(batch[domain], 1) + score(interleave(*images), 0)
        losses[f'{name}_{domain}'] = len(images) * loss
    return sum(losses.values()), (losses, model_state)

  def generator_loss(self, params, model_state, batch, rng):
    """Returns the loss of encoders and generators; every term is a sum over both domains."""
    rng, rng_2, rng_3 = jax.random.split(rng, 3)
    first = self._encode(params, batch, rng)
    pairs = {}
    for domain, other in _OTHER.items():
      attribute = first.attributes[domain]
      pairs[domain] = [(other, attribute), (domain, attribute)]
    images = self._generate(params, self._by_domain(params, first.contents), pairs)
    translated = {domain: images[domain][0] for domain in 'ab'}

    # The exchange once more: x_aba has the content of x_ab and the attribute of x_ba.
    second = self._encode(params, translated, rng_2)
    pairs = {domain: [(_OTHER[domain], second.attributes[domain])] for domain in 'ab'}
    back = self._generate(params, self._by_domain(params, second.contents), pairs)

    losses = {'kl': first.kl}
    for domain in 'ab':
      fake, same = images[domain]
      content, image = first.contents[domain], batch[domain]
      terms = {
        'adversarial': self._score(f'discriminator_{domain}', params, fake, 1),
        'content_adversarial': self._confusion(params, content),
        'reconstruction': reconstruction.l1(same, image),
        'cycle': reconstruction.l1(back[domain][0], image),
        'content': self._penalty(content),
      }
      for name, value in terms.items():
        losses[name] = losses.get(name, 0.0) + value
    if self.switches.random_step == 'joint':
      losses.update(self._random_losses(params, first.contents, rng_3))
    return self._weighted(losses), (losses, model_state)

  def random_loss(self, params, model_state, batch, rng):
    """Returns the loss of translations with drawn attributes, for contents and generators."""
    rng, rng_2 = jax.random.split(rng)
    contents = self._noisy_contents(params, batch, rng)
    losses = self._random_losses(params, contents, rng_2)
    return self._weighted(losses), (losses, model_state)

  def _random_losses(self, params, contents, rng):
    """Returns the terms of translations with drawn attributes, sums over both domains."""
    drawn = self._draw(rng, len(contents['a']))
    pairs = {}
    for domain, other in _OTHER.items():
      pairs[domain] = [(other, attribute) for attribute in drawn]
    images = self._generate(params, self._by_domain(params, contents), pairs)

    losses = {'random_adversarial': 0.0, 'latent': 0.0}
    if self.model.mode_seeking:
      losses['mode_seeking'] = 0.0
    for domain in 'ab':
      fakes = images[domain]
      name = f'random_discriminator_{domain}'
      score = self._score(name, params, interleave(*fakes), 1)
      losses['random_adversarial'] += len(fakes) * score
      again = self.style(domain, params, fakes[0])
      losses['latent'] += reconstruction.l1(again, drawn[0])
      if self.model.mode_seeking:
        losses['mode_seeking'] += codes.mode_seeking(fakes, drawn)
    return losses

  def _weighted(self, losses):
    return sum(self.weights[name] * value for name, value in losses.items())

  def _confusion(self, params, content):
    """Returns how far D^c is from not knowing, 1/2, for all places of contents."""
    scores = self.apply('content_discriminator', params, content)
    return adversarial.binary_cross_entropy(scores, 0.5)

  def _penalty(self, content):
    """Returns what keeps contents small, of contents with noise."""
    distance = reconstruction.BY_NAME[self.switches.content_penalty]
    return distance(content, jnp.zeros_like(content))
