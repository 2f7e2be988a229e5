"""What can be set of UNIT: its variants, its part of a config, and which values make sense."""

import ml_collections

from maskgan_jax import fields
from maskgan_jax.fields import at_least, field, one_of
from maskgan_jax.methods import _image_sides, base

VARIANTS = {
  'paper': dict(
    # Whether domains share the last block of the encoder and the first of the decoder, between
    # networks of UNIT's first code; else each has MUNIT's auto-encoder without styles.
    shared=True,
    discriminator='3x3',  # UNIT's, zeros around; or '4x4', MUNIT's, reflection
    adversarial='cross_entropy',
    kl='noisy',  # the square of the latent with its noise, as the code has it; or of the 'mean'
  ),
  'rerelease': dict(
    shared=False,
    discriminator='4x4',
    adversarial='least_squares',
    kl='mean',
  ),
}

_ADAM = dict(base.adam(learning_rate=1e-4, b1=0.5), weight_decay=1e-4)
_FIELDS = dict(
  variant='paper',
  model=dict(
    # Channels at full resolution; each downsampling doubles them.
    width=field(64, at_least(1)),
    downsamplings=field(2, at_least(0)),  # of an encoder
    blocks=field(
      3, at_least(0)
    ),  # residual blocks of an encoder and of a decoder, less shared ones
    # Instance normalisation and ReLU after strided convolutions; else LeakyReLU, as for faces.
    strided_norm=True,
    # Channels after the first of a discriminator's stride-2 convolutions, how many of these a
    # scale has, and how many scales there are, each half as large as the one before.
    discriminator_width=field(64, at_least(1)),
    discriminator_depth=field(6, at_least(1)),
    discriminator_scales=field(1, at_least(1)),
    # Switches between the releases; None follows config.variant (see VARIANTS).
    discriminator=field(None, one_of('3x3', '4x4')),
    adversarial=field(None, one_of('cross_entropy', 'least_squares')),
    kl=field(None, one_of('noisy', 'mean')),
  ),
  weights=dict(
    adversarial=field(10.0, at_least(0)),
    reconstruction=field(100.0, at_least(0)),  # of images
    kl=field(0.1, at_least(0)),  # of latents of images
    cycle=field(100.0, at_least(0)),  # of images there and back
    cycle_kl=field(0.1, at_least(0)),  # of latents of translations
  ),
  optimizers=dict(discriminator=_ADAM, generator=_ADAM),
)


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config: the first code's for cats and dogs."""
  return base.default_config(_FIELDS, VARIANTS)


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes the networks as small as they go, for `:smoke`."""
  config.model.update(
    width=4,
    downsamplings=1,
    blocks=1,
    discriminator_width=4,
    discriminator_depth=2,
    discriminator_scales=min(config.model.discriminator_scales, 2),
  )


def check(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for a name or number that cannot be, and for images that do not fit."""
  fields.check(config, _FIELDS)
  _image_sides.check_contents(config)
  _image_sides.check_discriminators(config)
