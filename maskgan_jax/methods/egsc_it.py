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

import functools

import jax
import jax.numpy as jnp
import ml_collections

from maskgan_jax import errors
from maskgan_jax.losses import reconstruction
from maskgan_jax.methods import (
  _egsc_it_networks,
  _egsc_it_pretraining,
  _perceptual,
  base,
)
from maskgan_jax.methods import _egsc_it_settings as settings
from maskgan_jax.networks import augmentation, masks
from maskgan_jax.networks import normalization as norms
from maskgan_jax.networks.streams import deinterleave, interleave, swap

VARIANTS = settings.VARIANTS
get_default, shrink = settings.get_default, settings.shrink


def make(config: ml_collections.ConfigDict) -> 'EgscIt':
  """Builds the method from a config; UserError where a value makes no sense."""
  return EgscIt(config)


class EgscIt(base.Method):
  """The players of both stages and what they minimise; the networks are in _egsc_it_networks.py."""

  augments_critics = True
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
    self.model, self.weights = model, config.weights
    self.switches = base.switches(config, VARIANTS)
    self.factor = 2**model.downsamplings  # of an encoder's image and its features
    settings.check(config)
    self.augment = augmentation.Augmentation(tuple(config.critic_augmentation))
    self.init_from = config.init_from
    self.attributes = tuple(config.data.attributes)
    self.abilities = frozenset(
      {'exemplar', 'exemplar_mask', 'interpolate', 'reverse', 'source_mask'}
    )
    self._model = _egsc_it_networks.Networks(config, self.switches)
    self.networks = self._model.by_name
    self.init = self._model.init

    # Both stages have the same losses.
    self.kl = getattr(_egsc_it_pretraining, f'{self.switches.kl}_kl')
    self.gan = getattr(_egsc_it_pretraining, self.switches.gan)
    self.players = self._players()
    self.groups_of_earlier_stages = ('features_a', 'features_b')
    if self._model.trains_perceptual:
      self.groups_of_earlier_stages += ('perceptual',)

  def _players(self):
    """Returns the players of the first stage, if there is one, and of the second."""
    first, start = (), 0
    if self._model.pretrains:
      start = self.model.pretrain_steps
      stage = _egsc_it_pretraining.FirstStage(
        self._model.apply, self.weights, self.kl, self.gan, self.augment
      )
      first = stage.players(
        start, labels=self._model.trains_perceptual, features=self._model.uses_features
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
    if self._model.uses_perceptual:
      model = self.model
      name = _perceptual.describe(
        model.perceptual, model.perceptual_width, len(self.attributes)
      )
    return {'perceptual_network': name}

  def pretrained(self) -> base.Params:
    """Returns the perceptual network that is read from a file, if one is.

    Raises:
      UserError: F would stay untrained.
    """
    trained_first = self._model.pretrains or self.init_from
    if self._model.learns_first and not trained_first:
      raise errors.UserError(
        'config.model.pretrain_steps is 0, so that the networks of the first stage would stay '
        'untrained; set it, or config.init_from to a run that trained them'
      )
    if self._model.uses_perceptual and not self._model.trains_perceptual:
      return {'perceptual': _perceptual.read(self.model.perceptual)}
    return {}

  # The second stage.

  def discriminator_loss(self, params, model_state, batch, rng):
    """Returns L_GAN of both domains: images against translations."""
    model, a, b = self._model, batch['a'], batch['b']
    f_a, f_b = model.features(params, a, b)
    *_, content = model.encode(params, a, b, rng)
    c_a, c_b = deinterleave(content, 2)
    x_ba = model.generate('a', params, model.masked(c_b, f_b), model.style(f_a))
    x_ab = model.generate('b', params, model.masked(c_a, f_a), model.style(f_b))
    fakes = {'a': x_ba, 'b': x_ab}
    seen = functools.partial(self.augment, rng)
    losses = _egsc_it_pretraining.discriminate(
      model.apply, self.gan, 'discriminator', params, batch, fakes, seen=seen
    )
    return self.weights.adversarial * sum(losses.values()), (losses, model_state)

  def generator_loss(self, params, model_state, batch, rng):
    """Returns eq. 3 for encoders and generators; terms are sums over both domains."""
    model, a, b = self._model, batch['a'], batch['b']
    rng, rng_2 = jax.random.split(rng)
    f_a, f_b = model.features(params, a, b)
    style_a, style_b = model.style(f_a), model.style(f_b)
    mean, noisy, content = model.encode(params, a, b, rng)
    c_a, c_b = deinterleave(content, 2)

    # AdaIN does not mix images, so a generator's two inputs get their style together.
    contents = interleave(model.masked(c_a, f_a), model.masked(c_b, f_b))
    x_aa, x_ba = deinterleave(model.generate('a', params, contents, _twice(style_a)), 2)
    x_ab, x_bb = deinterleave(model.generate('b', params, contents, _twice(style_b)), 2)

    # And back: E_A sees x_ba, which is of domain a, with b's own masks and style.
    mean_2, noisy_2, content_2 = model.encode(params, x_ba, x_ab, rng_2)
    c_ba, c_ab = deinterleave(content_2, 2)
    x_aba = model.generate('a', params, model.masked(c_ab, f_a), style_a)
    x_bab = model.generate('b', params, model.masked(c_ba, f_b), style_b)

    l1 = reconstruction.l1
    seen_ba, seen_ab = self.augment(rng, x_ba), self.augment(rng, x_ab, number=1)
    scores_ba = model.apply('discriminator_a', params, seen_ba)
    scores_ab = model.apply('discriminator_b', params, seen_ab)
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
    mask_mean = (model.mask(f_a).mean() + model.mask(f_b).mean()) / 2
    return loss, ({**losses, 'feature_mask_mean': mask_mean}, model_state)

  def _style_losses(self, params, batch, x_ab, x_ba):
    """Returns L_c and L_s of eq. 5 and the distance of colours; those the model has."""
    a, b = batch['a'], batch['b']
    losses = {}
    if self._model.uses_perceptual:
      frozen = {'perceptual': jax.lax.stop_gradient(params['perceptual'])}

      def features(x):
        layers = self._model.apply('perceptual', frozen, x)
        return [reconstruction.unit_length(layer) for layer in layers]

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
    features = self._model.apply(f'features_{domain}', params, exemplar)
    if mask is not None:
      mask = jnp.broadcast_to(mask, (*exemplar.shape[:3], 1))
      mask = masks.downsample(mask, self.factor)
    return self._model.style(features, mask)

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
    code = self._model.apply(f'encoder_{domains[0]}', params, source)
    mean = self._model.apply('shared_encoder', params, code)
    if self.switches.inference_noise:
      # One draw for every image, so that none depends on where in a batch it stands; a constant
      # where the key is one, for runtimes that cannot draw.
      if rng is None:
        rng = jax.random.key(0)
      with jax.ensure_compile_time_eval():
        noise = jax.random.normal(rng, (1, *mean.shape[1:]))
      mean = mean + noise.astype(mean.dtype)
    content = self._model.apply('shared_generator', params, mean)

    extras = {}
    if self.model.feature_mask:
      features = self._model.apply(f'features_{domains[0]}', params, source)
      content = self._model.masked(content, features)
      let_through = jax.nn.sigmoid(features.astype(jnp.float32))
      shown = let_through.mean(-1, keepdims=True)
      extras['feature_mask'] = masks.upsample(shown, self.factor)
    image = self._model.generate(domains[1], params, content, style)

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
