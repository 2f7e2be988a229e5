"""Translates as EGSC-IT: exemplar guided, semantically consistent (Ma et al., ICLR 2019).

Each domain has a VAE-GAN (encoder E, generator G, discriminator D) with the last part of the
encoders, S, and the first of the generators, R, shared. A picture's content c = R(S(E(x)) + noise)
is masked, channel by channel, by what a frozen network F finds in the picture itself, and gets its
style by AdaIN from what F finds in the exemplar:

  x_ab = G_B(AdaIN(m_a * c_a, f_b)), m_a = (1 - eta) sigmoid(f_a) + eta, f_a = F_A(a), f_b = F_B(b)

and the other way round. Training has two stages, players of one game: until `model.pretrain_steps`
a VAE-GAN of each domain learns to reconstruct, whose encoders become F_A and F_B (and, without
ImageNet's, the perceptual network learns the labels of the data); then those are frozen and the
rest is trained.

`config.variant`: 'paper' is the paper's text, 'official' the authors' code
(github.com/charliememory/EGSC-IT), and 'tuned' departs from both to reach more (docs/tuned.md);
VARIANTS lists where they differ, each a switch in `config.model`. What the paper does not say,
eta, weights, rates, lengths, layers, is the code's.
"""

import os

import jax
import jax.numpy as jnp
import ml_collections

from maskgan_jax import errors
from maskgan_jax.losses import reconstruction
from maskgan_jax.methods import _egsc_it_pretraining, base
from maskgan_jax.methods import _egsc_it_settings as settings
from maskgan_jax.networks import decoders, discriminators, encoders, layers, masks
from maskgan_jax.networks import normalization as norms
from maskgan_jax.networks.streams import deinterleave, interleave, swap
from maskgan_jax.pretrained_networks import files as weights_lib
from maskgan_jax.pretrained_networks import vgg19

VARIANTS = settings.VARIANTS
get_default, shrink = settings.get_default, settings.shrink


def make(config: ml_collections.ConfigDict) -> 'EgscIt':
  """Builds the method from a config; UserError where a value makes no sense."""
  return EgscIt(config)


class EgscIt(base.Method):
  """The networks and the players of both stages; what domains share sees them interleaved."""

  extras = (
    base.Extra(
      'feature_mask',
      "source's feature mask",
      'what the masks of the features let through, the mean over channels',
    ),
  )
  mask_meanings = {
    'source': 'Coloured: what may change. The model itself decides which features it keeps.',
    'exemplar': 'Coloured: the part of the exemplar whose statistics count.',
  }

  def __init__(self, config: ml_collections.ConfigDict):
    model = config.model
    self.model, self.weights, self.remat = model, config.weights, config.remat
    self.switches = base.switches(config, VARIANTS)
    self.factor = 2**model.downsamplings  # of an encoder's image and its features
    settings.check(config)
    self.init_from = config.init_from
    self.attributes = tuple(config.data.attributes)
    self.abilities = frozenset(
      {'exemplar', 'exemplar_mask', 'interpolate', 'reverse', 'source_mask'}
    )
    self.dtype = jnp.dtype(config.compute_dtype)

    # An ablation needs fewer networks, and maybe no first stage.
    self.uses_features = model.feature_mask or model.adain
    self.uses_perceptual = bool(self.weights.content or self.weights.style)
    self.trains_perceptual = self.uses_perceptual and model.perceptual == 'labels'
    learns_first = self.uses_features or self.trains_perceptual
    self.pretrains = model.pretrain_steps > 0 and learns_first
    self.networks = self._networks()

    # Both stages have the same losses.
    self.kl = getattr(_egsc_it_pretraining, f'{self.switches.kl}_kl')
    self.gan = getattr(_egsc_it_pretraining, self.switches.gan)
    self.players = self._players()
    self.groups_of_earlier_stages = ('features_a', 'features_b')
    if self.trains_perceptual:
      self.groups_of_earlier_stages += ('perceptual',)

  def _networks(self):
    """Returns all networks by their names."""
    model, switches, dtype = self.model, self.switches, self.dtype
    norm = None
    if switches.residual_norm == 'instance':
      norm = norms.InstanceNorm
    encoder = encoders.UnitEncoder(
      model.width, model.downsamplings, model.blocks, norm, dtype
    )
    shared = layers.Residual(norm, dtype, layers.truncated_normal)
    generator = decoders.UnitGenerator(model.downsamplings, model.blocks, norm, dtype)
    discriminator = discriminators.PatchDiscriminator(
      model.discriminator_width,
      model.discriminator_depth,
      switches.discriminator_twice,
      switches.discriminator_bounded,
      dtype,
    )

    # Those that domains share, and those that each has for itself.
    networks = {'shared_encoder': shared, 'shared_generator': shared}
    own = {'encoder': encoder, 'generator': generator, 'discriminator': discriminator}
    if self.uses_features:
      own['features'] = encoder
      if self.pretrains:
        own.update(
          pretrain_shared_encoder=shared,
          pretrain_shared_generator=shared,
          pretrain_generator=generator,
          pretrain_discriminator=discriminator,
        )
    for name, network in own.items():
      networks[f'{name}_a'] = networks[f'{name}_b'] = network
    if self.uses_perceptual:
      # Without labels it learns which domain an image is of.
      classes = max(len(self.attributes), 1) if self.trains_perceptual else 0
      networks['perceptual'] = vgg19.VGG19(model.perceptual_width, classes, dtype=dtype)
    return networks

  def _players(self):
    """Returns the players of the first stage, if there is one, and of the second."""
    first, start = (), 0
    if self.pretrains:
      start = self.model.pretrain_steps
      stage = _egsc_it_pretraining.FirstStage(
        self._apply, self.weights, self.kl, self.gan
      )
      first = stage.players(
        start, labels=self.trains_perceptual, features=self.uses_features
      )
    every = self.model.discriminator_every
    generator = (
      'shared_encoder',
      'shared_generator',
      'encoder_a',
      'encoder_b',
      'generator_a',
      'generator_b',
    )
    return (
      *first,
      base.Player(
        'discriminator',
        ('discriminator_a', 'discriminator_b'),
        self.discriminator_loss,
        every=every,
        phase=start % every,
        start=start,
      ),
      base.Player('generator', generator, self.generator_loss, start=start),
    )

  @property
  def provenance(self) -> dict[str, str]:
    """Returns the name of the perceptual network that this was trained with."""
    name = 'none'
    if self.trains_perceptual:
      subject = 'which domain a picture is of'
      if self.attributes:
        subject = f"this data's {len(self.attributes)} labels"
      name = (
        f"of VGG-19's shape, width {self.model.perceptual_width}, trained on {subject} "
        '(no ImageNet)'
      )
    elif self.uses_perceptual:
      try:
        name = weights_lib.read_vgg19(self.model.perceptual)[1]
      except errors.UserError:
        # Training had it; to translate and to measure it is not needed.
        file = os.path.basename(self.model.perceptual)
        name = f'VGG-19 from {file}, which is not here any more'
    return {'perceptual_network': name}

  def pretrained(self) -> base.Params:
    """Returns the perceptual network that is read from a file, if one is.

    Raises:
      UserError: F would stay untrained.
    """
    learns_first = self.uses_features or self.trains_perceptual
    if learns_first and not (self.pretrains or self.init_from):
      raise errors.UserError(
        'config.model.pretrain_steps is 0, so that the networks of the first stage would stay '
        'untrained; set it, or config.init_from to a run that trained them'
      )
    if self.uses_perceptual and not self.trains_perceptual:
      return {'perceptual': weights_lib.read_vgg19(self.model.perceptual)[0]}
    return {}

  def init(self, rng, batch):
    """See `base.Method`."""
    init, variables = base.initializer(self.networks, rng)
    image = batch['a'][:1]
    content = init('encoder_a', image)
    for name in self.networks:
      if name == 'perceptual':
        init(name, image, method='classify' if self.trains_perceptual else None)
      elif name.startswith(('encoder_b', 'features')) or 'discriminator' in name:
        init(name, image)
      elif name != 'encoder_a':
        init(name, content)
    return variables

  def _apply(self, name, params, *inputs, **options):
    """Returns a network's output, recomputed for its gradient if the config says so."""

    def apply(params, *inputs):
      return self.networks[name].apply({'params': params}, *inputs, **options)

    if self.remat:
      apply = jax.checkpoint(apply)
    return apply(params[name], *inputs)

  # What images are made of.

  def _features(self, params, a, b):
    """Returns f_a and f_b, frozen; None where no part of the model asks for them."""
    if not self.uses_features:
      return None, None
    f_a = self._apply('features_a', params, a)
    f_b = self._apply('features_b', params, b)
    return jax.lax.stop_gradient(f_a), jax.lax.stop_gradient(f_b)

  def _encode(self, params, a, b, rng):
    """Returns interleaved latents (mean, and with noise) and contents of a by E_A and b by E_B."""
    codes = interleave(
      self._apply('encoder_a', params, a), self._apply('encoder_b', params, b)
    )
    mean = self._apply('shared_encoder', params, codes)
    noisy = mean + _egsc_it_pretraining.noise(rng, mean)
    return mean, noisy, self._apply('shared_generator', params, noisy)

  def _mask(self, features):
    """Returns m = (1 - eta) sigmoid(f) + eta, section 3.1."""
    threshold = self.model.mask_threshold
    return (1 - threshold) * jax.nn.sigmoid(features.astype(jnp.float32)) + threshold

  def _masked(self, content, features):
    """Returns what a picture's own features let through of its content."""
    if not self.model.feature_mask:
      return content
    return content * self._mask(features)

  def _styled(self, content, style):
    """Returns masked content with AdaIN's parameters (`norms.moments`), eqs. 1 and 2."""
    if not self.model.adain:
      return content
    return norms.adain(
      content,
      style,
      swapped=self.switches.adain_roles == 'swapped',
      spread=self.switches.adain_spread,
      epsilon=self.model.adain_epsilon,
    )

  def _style(self, features, weight=None):
    """Returns AdaIN's parameters of features, over the pixels that `weight` says."""
    if not self.model.adain:
      return None
    return norms.moments(features, weight)

  def _generate(self, domain, params, content, style):
    """Returns a domain's picture of masked content in a style."""
    return self._apply(
      f'generator_{domain}', params, self._styled(content, style).astype(self.dtype)
    )

  # The second stage.

  def discriminator_loss(self, params, model_state, batch, rng):
    """Returns L_GAN of both domains: images against translations."""
    f_a, f_b = self._features(params, batch['a'], batch['b'])
    *_, content = self._encode(params, batch['a'], batch['b'], rng)
    content_a, content_b = deinterleave(content, 2)
    x_ba = self._generate('a', params, self._masked(content_b, f_b), self._style(f_a))
    x_ab = self._generate('b', params, self._masked(content_a, f_a), self._style(f_b))
    fakes = {'a': x_ba, 'b': x_ab}
    losses = _egsc_it_pretraining.discriminate(
      self._apply, self.gan, 'discriminator', params, batch, fakes
    )
    return self.weights.adversarial * sum(losses.values()), (losses, model_state)

  def generator_loss(self, params, model_state, batch, rng):
    """Returns eq. 3 for encoders and generators; terms are sums over both domains."""
    a, b = batch['a'], batch['b']
    rng, rng_2 = jax.random.split(rng)
    f_a, f_b = self._features(params, a, b)
    style_a, style_b = self._style(f_a), self._style(f_b)
    mean, noisy, content = self._encode(params, a, b, rng)
    content_a, content_b = deinterleave(content, 2)
    content_a, content_b = self._masked(content_a, f_a), self._masked(content_b, f_b)
    # AdaIN does not mix images, so a generator's two inputs get their style together.
    contents = interleave(content_a, content_b)
    x_aa, x_ba = deinterleave(self._generate('a', params, contents, _twice(style_a)), 2)
    x_ab, x_bb = deinterleave(self._generate('b', params, contents, _twice(style_b)), 2)

    # And back: E_A sees x_ba, which is of domain a, with b's own masks and style.
    mean_2, noisy_2, content_2 = self._encode(params, x_ba, x_ab, rng_2)
    content_ba, content_ab = deinterleave(content_2, 2)
    x_aba = self._generate('a', params, self._masked(content_ab, f_a), style_a)
    x_bab = self._generate('b', params, self._masked(content_ba, f_b), style_b)

    l1 = reconstruction.l1
    scores_ba = self._apply('discriminator_a', params, x_ba)
    scores_ab = self._apply('discriminator_b', params, x_ab)
    losses = {
      'adversarial': self.gan(scores_ba, 1) + self.gan(scores_ab, 1),
      'reconstruction': l1(x_aa, a) + l1(x_bb, b),
      'kl': 2 * self.kl(mean, noisy),
      'cycle': l1(x_aba, a) + l1(x_bab, b),
      'cycle_kl': 2 * self.kl(mean_2, noisy_2),
      **self._style_losses(params, batch, x_ab, x_ba),
    }
    weights = {**self.weights, 'colors': self.switches.color_moments}
    loss = sum(weights[name] * value for name, value in losses.items())
    if not self.model.feature_mask:
      return loss, (losses, model_state)
    mask_mean = (self._mask(f_a).mean() + self._mask(f_b).mean()) / 2
    return loss, ({**losses, 'feature_mask_mean': mask_mean}, model_state)

  def _style_losses(self, params, batch, x_ab, x_ba):
    """Returns L_c and L_s of eq. 5 and the distance of colours; those the model has."""
    a, b = batch['a'], batch['b']
    losses = {}
    if self.uses_perceptual:
      frozen = {'perceptual': jax.lax.stop_gradient(params['perceptual'])}

      def features(x):
        return [
          reconstruction.unit_length(f) for f in self._apply('perceptual', frozen, x)
        ]

      # A translation's content is its source's, its style its exemplar's.
      translated, sources = features(interleave(x_ab, x_ba)), features(interleave(a, b))
      exemplars = [swap(source) for source in sources]
      losses['content'] = 2 * reconstruction.content(translated, sources)
      losses['style'] = 2 * reconstruction.style(translated, exemplars)
    if self.switches.color_moments:
      losses['colors'] = _color_distance(x_ab, b) + _color_distance(x_ba, a)
    return losses

  # Inference.

  def translate(
    self,
    params,
    model_state,
    source,
    exemplar,
    *,
    source_mask=None,
    exemplar_mask=None,
    rng=None,
    reverse=False,
  ):
    """Returns x_ab of source and exemplar, or x_ba of a source of b and an exemplar of a.

    A given source_mask says which pixels may change (the others are the source's own), a given
    exemplar_mask from which part of the exemplar the style is taken. `extras` hold 'feature_mask',
    the mean over channels of what the masks let through of the source, 0 the least, 1 all.
    """
    domains = 'ba' if reverse else 'ab'
    style = self._exemplar_style(domains[1], params, exemplar, exemplar_mask)
    return self._translate(
      domains,
      params,
      source,
      style,
      source_mask=source_mask,
      exemplar_mask=exemplar_mask,
      rng=rng,
    )

  def interpolate(self, params, model_state, source, exemplar_1, exemplar_2, weight):
    """Returns x_ab with AdaIN's parameters (1 - weight) of exemplar_1's + weight of the other's."""
    style_1 = self._exemplar_style('b', params, exemplar_1, None)
    style_2 = self._exemplar_style('b', params, exemplar_2, None)
    style = jax.tree.map(
      lambda one, two: (1 - weight) * one + weight * two, style_1, style_2
    )
    return self._translate('ab', params, source, style)

  def _exemplar_style(self, domain, params, exemplar, mask):
    """Returns AdaIN's parameters of the part of an exemplar that a mask says, or of all of it."""
    if not self.model.adain:
      return None
    features = self._apply(f'features_{domain}', params, exemplar)
    if mask is not None:
      mask = jnp.broadcast_to(mask, (*exemplar.shape[:3], 1))
      mask = masks.downsample(mask, self.factor)
    return self._style(features, mask)

  def _translate(
    self,
    domains,
    params,
    source,
    style,
    *,
    source_mask=None,
    exemplar_mask=None,
    rng=None,
  ):
    """Returns the translation of a source from the first of `domains` to the second."""
    code = self._apply(f'encoder_{domains[0]}', params, source)
    mean = self._apply('shared_encoder', params, code)
    if self.switches.inference_noise:
      # One draw for every image, so that none depends on where in a batch it stands; a constant
      # where the key is one, for runtimes that cannot draw.
      if rng is None:
        rng = jax.random.key(0)
      with jax.ensure_compile_time_eval():
        noise = jax.random.normal(rng, (1, *mean.shape[1:]))
      mean = mean + noise.astype(mean.dtype)
    content = self._apply('shared_generator', params, mean)

    extras = {}
    if self.model.feature_mask:
      features = self._apply(f'features_{domains[0]}', params, source)
      content = self._masked(content, features)
      shown = jax.nn.sigmoid(features.astype(jnp.float32)).mean(-1, keepdims=True)
      extras['feature_mask'] = masks.upsample(shown, self.factor)
    image = self._generate(domains[1], params, content, style)

    # Masks that are given are shown as they were used.
    if source_mask is not None:
      source_mask = jnp.broadcast_to(source_mask, (*source.shape[:3], 1))
      image = masks.composite(source_mask, image, source)
    if exemplar_mask is not None:
      exemplar_mask = jnp.broadcast_to(exemplar_mask, (*source.shape[:3], 1))
    return base.Translation(image, source_mask, exemplar_mask, extras)


def _color_distance(images, others):
  """Returns the mean absolute difference of the colours' means and of their deviations.

  Args:
    images: [B, H, W, 3] in [-1, 1].
    others: the same; the pixels' places make no difference.
  """
  mean, variance = norms.moments(images)
  other_mean, other_variance = norms.moments(others)
  # The root of a variance of 0 has no finite slope.
  deviation, other_deviation = (jnp.sqrt(v + 1e-4) for v in (variance, other_variance))
  return reconstruction.l1(mean, other_mean) + reconstruction.l1(
    deviation, other_deviation
  )


def _twice(style):
  """Returns AdaIN's parameters of a batch for two interleaved ones."""
  if style is None:
    return None
  shift, scale = style
  return interleave(shift, shift), interleave(scale, scale)
