"""EGSC-IT, exemplar guided and semantically consistent translation (Ma et al., ICLR 2019).

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
from ml_collections import config_dict

from maskgan_jax import errors
from maskgan_jax.losses import perceptual, reconstruction
from maskgan_jax.methods import _egsc_it_pretraining, base
from maskgan_jax.networks import blocks, decoders, discriminators, encoders, layers, masks
from maskgan_jax.networks import normalization as norms
from maskgan_jax.networks.interleaving import deinterleave, interleave, swap
from maskgan_jax.pretrained_networks import files as weights_lib
from maskgan_jax.pretrained_networks import vgg19

# What the 'tuned' variant adds, off in the others; docs/tuned.md has what was measured.
_AS_PUBLISHED = dict(
    # Weight of the differences between the colours' means and deviations over the pixels of a
    # translation and of its exemplar. L_s compares features of length 1 (perceptual.normalized),
    # so it tells which features occur together, not how strong they are: a digit's colour, on an
    # eighth of the pixels, hardly changes it.
    color_moments=0.0,
)
VARIANTS = {
    'paper': dict(
        adain_roles='written',  # gamma = delta(f), beta = mu(f), eq. 1; the code's are 'swapped'
        adain_spread='variance',  # delta, as the text below eq. 2 says; AdaIN's own: 'deviation'
        # VAEs, GANs and cycles are "identical to the ones used in" UNIT, says section 3.3.
        gan='cross_entropy',  # the code's is 'least_squares'
        residual_norm='instance',  # the code's default too, but the scripts' is 'none'
        kl='mean',  # of the latent before the noise; the code's (and UNIT's code's): 'noisy'
        inference_noise=False,  # whether the noise stays on when a trained model translates
        discriminator_twice=False,  # LeakyReLU before and after each normalisation
        discriminator_bounded=False,  # LeakyReLU on the scores
        **_AS_PUBLISHED,
    ),
    'official': dict(
        adain_roles='swapped',
        adain_spread='variance',
        gan='least_squares',
        residual_norm='none',
        kl='noisy',
        inference_noise=True,
        discriminator_twice=True,
        discriminator_bounded=True,
        **_AS_PUBLISHED,
    ),
    'tuned': dict(
        adain_roles='written',
        adain_spread='deviation',
        gan='least_squares',
        residual_norm='none',  # statistics of instances are the style, which these would level
        kl='mean',
        inference_noise=False,
        discriminator_twice=False,
        discriminator_bounded=False,
        color_moments=20.0,
    ),
}
_CHOICES = {
    'adain_roles': ('written', 'swapped'),
    'adain_spread': ('variance', 'deviation'),
    'gan': ('cross_entropy', 'least_squares'),
    'residual_norm': ('none', 'instance'),
    'kl': ('mean', 'noisy'),
}


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config: the authors' for MNIST-Single, without its size
  (28x28), single resolution (`model.downsamplings=0`), batch (8) and steps (60,000 + 300,000)."""
  config = ml_collections.ConfigDict()
  config.variant = 'official'
  config.model = dict(
      width=64,  # channels at full resolution
      downsamplings=2,  # stride-2 convolutions of an encoder; each doubles the channels
      blocks=3,  # residual blocks in an encoder, and again in a generator
      discriminator_width=64,
      discriminator_depth=4,
      discriminator_every=5,  # generator updates per discriminator update
      feature_mask=True,  # False: Table 2's "w/o feature mask"
      adain=True,  # False: Table 2's "w/o AdaIN"; weights.content = weights.style = 0: "w/o L_P"
      mask_threshold=0.5,  # eta in section 3.1: the least that a mask lets through
      adain_epsilon=1e-5,  # added to the content's variance; the code divides by 0 without
      pretrain_steps=60_000,  # of F_A and F_B; 0: from the run that config.init_from names
      # The perceptual network, of VGG-19's shape: 'labels', trained in the first stage on
      # config.data.attributes or else on telling the domains apart; or the file that
      # `import_weights vgg19` wrote, whose width is to be perceptual_width.
      perceptual='labels',
      perceptual_width=64,  # channels of its first layer; of VGG-19: 64
      # Switches between paper and official code; None follows config.variant (see VARIANTS).
      **{name: config_dict.placeholder(type(value)) for name, value in VARIANTS['paper'].items()},
  )
  config.weights = dict(
      adversarial=10.0,
      kl=0.1, reconstruction=100.0,  # of x_aa and x_bb
      cycle_kl=0.1, cycle=100.0,  # of x_aba and x_bab
      content=10.0, style=1e3,  # lambda_c and lambda_s in eq. 4
  )
  decay = dict(schedule='polynomial', schedule_power=0.9)
  config.optimizers = {
      'perceptual': base.adam(learning_rate=3e-4),
      **{player: dict(base.adam(learning_rate=1e-5, b1=0.5), **decay)
         for player in ('pretrain_discriminator', 'pretrain_generator', 'discriminator',
                        'generator')}}
  return config


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes networks and stages as small as they go, for `:smoke`."""
  config.model.update(width=4, downsamplings=min(config.model.downsamplings, 1), blocks=1,
                      discriminator_width=4, discriminator_depth=2, discriminator_every=2,
                      pretrain_steps=min(config.model.pretrain_steps, 1))
  if config.model.perceptual == 'labels':  # a file's network has its own width
    config.model.perceptual_width = 2


def make(config: ml_collections.ConfigDict) -> 'EgscIt':
  """Builds the method from a config; UserError where a value makes no sense."""
  return EgscIt(config)


class EgscIt(base.Method):
  """The networks and the players of both stages; what domains share sees them interleaved."""

  extras = (base.Extra('feature_mask', "source's feature mask",
                       'what the masks of the features let through, the mean over channels'),)
  mask_meanings = {
      'source': 'Coloured: what may change. The model itself decides which features it keeps.',
      'exemplar': 'Coloured: the part of the exemplar whose statistics count.',
  }

  def __init__(self, config: ml_collections.ConfigDict):
    model = config.model
    self.switches = base.switches(config, VARIANTS)
    for name, choices in _CHOICES.items():
      base.one_of(f'model.{name}', self.switches[name], choices)
    for name in ('width', 'downsamplings', 'blocks', 'discriminator_width', 'discriminator_depth',
                 'discriminator_every', 'pretrain_steps', 'perceptual_width'):
      least = 0 if name in ('downsamplings', 'pretrain_steps') else 1
      if model[name] < least:
        raise errors.UserError(f'config.model.{name} is {model[name]}; it must be at least {least}')
    if self.switches.color_moments < 0:
      raise errors.UserError(f'config.model.color_moments is {self.switches.color_moments}; it '
                             'must be at least 0')
    self.factor = 2 ** model.downsamplings
    shape = base.image_shape(config)
    if min(shape) < 4 * self.factor or any(side % self.factor for side in shape):
      raise errors.UserError(
          f'images are {shape[0]}x{shape[1]}, but {model.downsamplings} stride-2 convolutions of '
          f'the encoders (config.model.downsamplings) need sides of at least {4 * self.factor} '
          f'pixels, in multiples of {self.factor}')
    if not 0 <= model.mask_threshold <= 1:
      raise errors.UserError(f'config.model.mask_threshold is {model.mask_threshold}, not 0 to 1')
    self.model, self.weights, self.remat = model, config.weights, config.remat
    self.init_from = config.init_from
    self.attributes = tuple(config.data.attributes)
    self.abilities = frozenset({'exemplar', 'exemplar_mask', 'interpolate', 'reverse',
                                'source_mask'})
    self.dtype = jnp.dtype(base.one_of('compute_dtype', config.compute_dtype,
                                       ('float32', 'bfloat16')))
    self.uses_features = model.feature_mask or model.adain
    self.uses_perceptual = bool(self.weights.content or self.weights.style)
    self.trains_perceptual = self.uses_perceptual and model.perceptual == 'labels'
    self.pretrains = model.pretrain_steps > 0 and (self.uses_features or self.trains_perceptual)
    self.networks = self._networks()
    self.kl = getattr(_egsc_it_pretraining, f'{self.switches.kl}_kl')
    self.gan = getattr(_egsc_it_pretraining, self.switches.gan)
    self.players = self._players()
    self.groups_of_earlier_stages = ('features_a', 'features_b') + (
        ('perceptual',) if self.trains_perceptual else ())

  def _networks(self):
    model, switches, dtype = self.model, self.switches, self.dtype
    norm = norms.InstanceNorm if switches.residual_norm == 'instance' else None
    encoder = encoders.UnitEncoder(model.width, model.downsamplings, model.blocks, norm, dtype)
    shared = blocks.Residual(norm, dtype, layers.truncated_normal)
    generator = decoders.UnitGenerator(model.downsamplings, model.blocks, norm, dtype)
    discriminator = discriminators.PatchDiscriminator(
        model.discriminator_width, model.discriminator_depth, switches.discriminator_twice,
        switches.discriminator_bounded, dtype)
    networks = {'shared_encoder': shared, 'shared_generator': shared}
    own = {'encoder': encoder, 'generator': generator, 'discriminator': discriminator}
    if self.uses_features:
      own['features'] = encoder
      if self.pretrains:
        own.update(pretrain_shared_encoder=shared, pretrain_shared_generator=shared,
                   pretrain_generator=generator, pretrain_discriminator=discriminator)
    networks.update({f'{name}_{domain}': network for name, network in own.items()
                     for domain in 'ab'})
    if self.uses_perceptual:
      # Without labels it learns which domain an image is of.
      classes = max(len(self.attributes), 1) if self.trains_perceptual else 0
      networks['perceptual'] = vgg19.VGG19(model.perceptual_width, classes, dtype=dtype)
    return networks

  def _players(self):
    first = _egsc_it_pretraining.players(
        self._apply, self.weights, self.kl, self.gan, self.model.pretrain_steps,
        labels=self.trains_perceptual, features=self.uses_features) if self.pretrains else ()
    start = self.model.pretrain_steps if self.pretrains else 0
    every = self.model.discriminator_every
    generator = ('shared_encoder', 'shared_generator', 'encoder_a', 'encoder_b', 'generator_a',
                 'generator_b')
    return (*first,
            base.Player('discriminator', ('discriminator_a', 'discriminator_b'),
                        self.discriminator_loss, every=every, phase=start % every, start=start),
            base.Player('generator', generator, self.generator_loss, start=start))

  @property
  def provenance(self) -> dict[str, str]:
    """Which perceptual network this was trained with."""
    name = 'none'
    if self.trains_perceptual:
      what = (f"this data's {len(self.attributes)} labels" if self.attributes
              else 'which domain a picture is of')
      name = (f"of VGG-19's shape, width {self.model.perceptual_width}, trained on {what} "
              '(no ImageNet)')
    elif self.uses_perceptual:
      try:
        name = weights_lib.read_vgg19(self.model.perceptual)[1]
      except errors.UserError:  # training had it; to translate and to measure it is not needed
        name = f'VGG-19 from {os.path.basename(self.model.perceptual)}, which is not here any more'
    return {'perceptual_network': name}

  def pretrained(self) -> base.Params:
    """The perceptual network, if it is read from a file; UserError where F would stay untrained."""
    if (self.uses_features or self.trains_perceptual) and not (self.pretrains or self.init_from):
      raise errors.UserError(
          'config.model.pretrain_steps is 0, so that the networks of the first stage would stay '
          'untrained; set it, or config.init_from to a run that trained them')
    if self.uses_perceptual and not self.trains_perceptual:
      return {'perceptual': weights_lib.read_vgg19(self.model.perceptual)[0]}
    return {}

  def init(self, rng, batch):
    init, variables = base.initializer(self.networks, rng)
    image = batch['a'][:1]
    content = init('encoder_a', image)
    for name in self.networks:
      if name == 'perceptual':
        init(name, image, method='classify' if self.trains_perceptual else None)
      elif name != 'encoder_a':
        init(name, image if name.startswith(('encoder', 'features')) or 'discriminator' in name
             else content)
    return variables

  def _apply(self, name, params, *inputs, **options):
    def apply(params, *inputs):
      return self.networks[name].apply({'params': params}, *inputs, **options)
    return (jax.checkpoint(apply) if self.remat else apply)(params[name], *inputs)

  # What images are made of.

  def _features(self, params, a, b):
    """f_a and f_b, frozen; None where no part of the model asks for them."""
    if not self.uses_features:
      return None, None
    return tuple(jax.lax.stop_gradient(self._apply(f'features_{d}', params, x))
                 for d, x in (('a', a), ('b', b)))

  def _encode(self, params, a, b, rng):
    """Interleaved latents (mean, and with noise) and contents of a by E_A and b by E_B."""
    mean = self._apply('shared_encoder', params, interleave(
        self._apply('encoder_a', params, a), self._apply('encoder_b', params, b)))
    noisy = mean + _egsc_it_pretraining.noise(rng, mean)
    return mean, noisy, self._apply('shared_generator', params, noisy)

  def _mask(self, features):
    """m = (1 - eta) sigmoid(f) + eta, section 3.1."""
    threshold = self.model.mask_threshold
    return (1 - threshold) * jax.nn.sigmoid(features.astype(jnp.float32)) + threshold

  def _masked(self, content, features):
    return content * self._mask(features) if self.model.feature_mask else content

  def _styled(self, content, style):
    """Masked content with AdaIN's parameters (`norms.moments`), eqs. 1 and 2."""
    if not self.model.adain:
      return content
    return norms.adain(
        content, style, swapped=self.switches.adain_roles == 'swapped',
        spread=self.switches.adain_spread, epsilon=self.model.adain_epsilon)

  def _style(self, features, weight=None):
    return norms.moments(features, weight) if self.model.adain else None

  def _generate(self, domain, params, content, style):
    return self._apply(f'generator_{domain}', params,
                       self._styled(content, style).astype(self.dtype))

  # The second stage.

  def discriminator_loss(self, params, model_state, batch, rng):
    """L_GAN of both domains: images against translations."""
    f_a, f_b = self._features(params, batch['a'], batch['b'])
    *_, content = self._encode(params, batch['a'], batch['b'], rng)
    content_a, content_b = deinterleave(content, 2)
    fakes = {'a': self._generate('a', params, self._masked(content_b, f_b), self._style(f_a)),
             'b': self._generate('b', params, self._masked(content_a, f_a), self._style(f_b))}
    losses = _egsc_it_pretraining.discriminate(
        self._apply, self.gan, 'discriminator', params, batch, fakes)
    return self.weights.adversarial * sum(losses.values()), (losses, model_state)

  def generator_loss(self, params, model_state, batch, rng):
    """Eq. 3 for encoders and generators; every term is summed over both domains."""
    a, b = batch['a'], batch['b']
    rng, rng_2 = jax.random.split(rng)
    f_a, f_b = self._features(params, a, b)
    style_a, style_b = self._style(f_a), self._style(f_b)
    mean, noisy, content = self._encode(params, a, b, rng)
    content_a, content_b = deinterleave(content, 2)
    content_a, content_b = self._masked(content_a, f_a), self._masked(content_b, f_b)
    # AdaIN does not mix images, so a generator's two inputs get their style together.
    x_aa, x_ba = deinterleave(self._generate(
        'a', params, interleave(content_a, content_b), _twice(style_a)), 2)
    x_ab, x_bb = deinterleave(self._generate(
        'b', params, interleave(content_a, content_b), _twice(style_b)), 2)

    # And back: E_A sees x_ba, which is of domain a, with b's own masks and style.
    mean_2, noisy_2, content_2 = self._encode(params, x_ba, x_ab, rng_2)
    content_ba, content_ab = deinterleave(content_2, 2)
    x_aba = self._generate('a', params, self._masked(content_ab, f_a), style_a)
    x_bab = self._generate('b', params, self._masked(content_ba, f_b), style_b)

    l1 = reconstruction.l1
    losses = {
        'adversarial': sum(self.gan(self._apply(f'discriminator_{d}', params, x), 1)
                           for d, x in (('a', x_ba), ('b', x_ab))),
        'reconstruction': l1(x_aa, a) + l1(x_bb, b),
        'kl': 2 * self.kl(mean, noisy),
        'cycle': l1(x_aba, a) + l1(x_bab, b),
        'cycle_kl': 2 * self.kl(mean_2, noisy_2),
    }
    if self.uses_perceptual:
      losses.update(self._perceptual_losses(params, interleave(a, b), interleave(x_ab, x_ba)))
    weights = dict(self.weights)
    if self.switches.color_moments:
      weights['colors'] = self.switches.color_moments
      losses['colors'] = _color_distance(x_ab, b) + _color_distance(x_ba, a)
    loss = sum(weights[name] * value for name, value in losses.items())
    metrics = dict(losses)
    if self.model.feature_mask:
      metrics['feature_mask_mean'] = (self._mask(f_a).mean() + self._mask(f_b).mean()) / 2
    return loss, (metrics, model_state)

  def _perceptual_losses(self, params, images, translations):
    """L_c and L_s of eq. 5, both directions; interleaved images (a, b), translations (ab, ba)."""
    frozen = {'perceptual': jax.lax.stop_gradient(params['perceptual'])}

    def features(x):
      return [perceptual.normalized(f) for f in self._apply('perceptual', frozen, x)]
    found, targets = features(translations), features(images)
    return {'content': 2 * perceptual.content(found, targets),
            'style': 2 * perceptual.style(found, [swap(target) for target in targets])}

  # Inference.

  def translate(self, params, model_state, source, exemplar, *, source_mask=None,
                exemplar_mask=None, rng=None, reverse=False):
    """x_ab of source and exemplar; x_ba of a source of domain b and an exemplar of a if `reverse`.

    A given source_mask says which pixels may change (the others are the source's own), a given
    exemplar_mask from which part of the exemplar the style is taken. `extras` hold 'feature_mask',
    the mean over channels of what the masks let through of the source, 0 the least, 1 all.
    """
    domains = 'ba' if reverse else 'ab'
    style = self._exemplar_style(domains[1], params, exemplar, exemplar_mask)
    return self._translate(domains, params, source, style, source_mask, exemplar_mask, rng)

  def interpolate(self, params, model_state, source, exemplar_1, exemplar_2, weight):
    """x_ab with AdaIN's parameters (1 - weight) of exemplar_1's + weight of exemplar_2's."""
    styles = [self._exemplar_style('b', params, image, None) for image in (exemplar_1, exemplar_2)]
    style = jax.tree.map(lambda one, two: (1 - weight) * one + weight * two, *styles)
    return self._translate('ab', params, source, style, None, None, None)

  def _exemplar_style(self, domain, params, exemplar, mask):
    if not self.model.adain:
      return None
    features = self._apply(f'features_{domain}', params, exemplar)
    if mask is not None:
      mask = jnp.broadcast_to(mask, (*exemplar.shape[:3], 1))
      mask = masks.downsample(mask, self.factor)
    return self._style(features, mask)

  def _translate(self, domains, params, source, style, source_mask, exemplar_mask, rng):
    mean = self._apply('shared_encoder', params,
                       self._apply(f'encoder_{domains[0]}', params, source))
    if self.switches.inference_noise:
      # One draw for every image, so that none depends on where in a batch it stands; a constant
      # where the key is one, for runtimes that cannot draw.
      with jax.ensure_compile_time_eval():
        noise = jax.random.normal(jax.random.key(0) if rng is None else rng, (1, *mean.shape[1:]))
      mean = mean + noise.astype(mean.dtype)
    content = self._apply('shared_generator', params, mean)
    extras = {}
    if self.model.feature_mask:
      features = self._apply(f'features_{domains[0]}', params, source)
      content = self._masked(content, features)
      shown = jax.nn.sigmoid(features.astype(jnp.float32)).mean(-1, keepdims=True)
      extras['feature_mask'] = masks.upsample(shown, self.factor)
    image = self._generate(domains[1], params, content, style)
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
  return (reconstruction.l1(mean, other_mean)
          + reconstruction.l1(deviation, other_deviation))


def _twice(style):
  """AdaIN's parameters of a batch for two interleaved ones."""
  return None if style is None else tuple(interleave(part, part) for part in style)
