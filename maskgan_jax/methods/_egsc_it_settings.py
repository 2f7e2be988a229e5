"""What can be set of EGSC-IT: its variants, its part of a config, and which values make sense."""

import ml_collections

from maskgan_jax import errors, fields
from maskgan_jax.fields import at_least, between, field, one_of
from maskgan_jax.methods import base

# What the 'tuned' variant adds, off in the others; docs/tuned.md has what was measured.
_AS_PUBLISHED = dict(
  # Weight of the differences between the colours' means and deviations over the pixels of a
  # translation and of its exemplar. L_s compares features of length 1 (`unit_length`),
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

_DECAYING = dict(
  base.adam(learning_rate=1e-5, b1=0.5), schedule='polynomial', schedule_power=0.9
)
_FIELDS = dict(
  variant='official',
  model=dict(
    width=field(64, at_least(1)),  # channels at full resolution
    # Stride-2 convolutions of an encoder; each doubles the channels.
    downsamplings=field(2, at_least(0)),
    # Residual blocks in an encoder, and again in a generator.
    blocks=field(3, at_least(1)),
    discriminator_width=field(64, at_least(1)),
    discriminator_depth=field(4, at_least(1)),
    # Generator updates per discriminator update.
    discriminator_every=field(5, at_least(1)),
    feature_mask=True,  # False: Table 2's "w/o feature mask"
    adain=True,  # False: Table 2's "w/o AdaIN"; weights.content = weights.style = 0: "w/o L_P"
    # Eta in section 3.1: the least that a mask lets through.
    mask_threshold=field(0.5, between(0, 1)),
    adain_epsilon=1e-5,  # added to the content's variance; the code divides by 0 without
    # Of F_A and F_B; 0: from the run that config.init_from names.
    pretrain_steps=field(60_000, at_least(0)),
    # The perceptual network, of VGG-19's shape: 'labels', trained in the first stage on
    # config.data.attributes or else on telling the domains apart; or the file that
    # `import_weights vgg19` wrote, whose width is to be perceptual_width.
    perceptual='labels',
    # Channels of its first layer; of VGG-19: 64.
    perceptual_width=field(64, at_least(1)),
    # Switches between paper and official code; None follows config.variant (see VARIANTS).
    adain_roles=field(None, one_of('written', 'swapped')),
    adain_spread=field(None, one_of('variance', 'deviation')),
    gan=field(None, one_of('cross_entropy', 'least_squares')),
    residual_norm=field(None, one_of('none', 'instance')),
    kl=field(None, one_of('mean', 'noisy')),
    color_moments=field(None, at_least(0)),
  ),
  weights=dict(
    adversarial=10.0,
    kl=0.1,
    reconstruction=100.0,  # of x_aa and x_bb
    cycle_kl=0.1,
    cycle=100.0,  # of x_aba and x_bab
    content=10.0,
    style=1e3,  # lambda_c and lambda_s in eq. 4
  ),
  optimizers=dict(
    perceptual=base.adam(learning_rate=3e-4),
    pretrain_discriminator=_DECAYING,
    pretrain_generator=_DECAYING,
    discriminator=_DECAYING,
    generator=_DECAYING,
  ),
)


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config: the authors' for MNIST-Single.

  Not part of it are their size (28x28), their single resolution (`model.downsamplings=0`), batch
  (8) and steps (60,000 + 300,000).
  """
  return base.default_config(_FIELDS, VARIANTS)


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes networks and stages as small as they go, for `:smoke`."""
  config.model.update(
    width=4,
    downsamplings=min(config.model.downsamplings, 1),
    blocks=1,
    discriminator_width=4,
    discriminator_depth=2,
    discriminator_every=2,
    pretrain_steps=min(config.model.pretrain_steps, 1),
  )
  if config.model.perceptual == 'labels':  # a file's network has its own width
    config.model.perceptual_width = 2


def check(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for a name or number that cannot be, and for images that do not fit."""
  fields.check(config, _FIELDS)

  # Encoders halve the images; discriminators' convolutions round up.
  model, factor = config.model, 2**config.model.downsamplings
  height, width = base.image_shape(config)
  if min(height, width) < 4 * factor or height % factor or width % factor:
    raise errors.UserError(
      f'images are {height}x{width}, but {model.downsamplings} stride-2 convolutions of '
      f'the encoders (config.model.downsamplings) need sides of at least {4 * factor} '
      f'pixels, in multiples of {factor}'
    )
