"""What can be set of DRIT: its variants, its part of a config, and which values make sense."""

import ml_collections

from maskgan_jax import errors, fields
from maskgan_jax.fields import at_least, field, one_of
from maskgan_jax.methods import _image_sides, base
from maskgan_jax.methods._drit_networks import map_side

VARIANTS = {
  'paper': dict(
    # Whether all losses of encoders and generators are minimised together, 'joint', or those of
    # translations with drawn attributes in a step of their own, which leaves E^a as it is.
    random_step='joint',
    # What keeps contents small: the mean of their absolute values, 'l1', or of their squares.
    content_penalty='l1',
    # Normalisation in the content discriminator. The code asks for 'instance', and since a slip
    # of July 2018 has 'none'.
    content_norm='instance',
  ),
  'official': dict(random_step='own', content_penalty='l2', content_norm='none'),
}

_ADAM = dict(base.adam(learning_rate=1e-4, b1=0.5), weight_decay=1e-4)
_FIELDS = dict(
  variant='official',
  model=dict(
    # How attributes enter a generator: as channels of its layers' inputs, 'concat', or as
    # features of its blocks, 'feature_wise', which the authors use where shapes change.
    generator=field('concat', one_of('concat', 'feature_wise')),
    # DRIT++: two attributes are drawn, and a loss pushes what is made of them apart.
    mode_seeking=True,
    # Channels at full resolution; each downsampling doubles them.
    width=field(64, at_least(1)),
    downsamplings=field(2, at_least(0)),  # of a content encoder
    # A domain's own residual blocks in its content encoder and in its generator; encoders and
    # 'concat' generators share one more, and a 'feature_wise' generator has one more.
    blocks=field(3, at_least(0)),
    attribute_size=field(8, at_least(1)),  # numbers in an attribute
    # How often an attribute encoder halves the image.
    attribute_downsamplings=field(4, at_least(2)),
    # Width of the MLP from an attribute to features, 'feature_wise'.
    mlp=field(256, at_least(1)),
    # Channels after the first of a discriminator's stride-2 convolutions, how many of these a
    # scale has, and how many scales there are, each half as large as the one before.
    discriminator_width=field(64, at_least(1)),
    discriminator_depth=field(4, at_least(1)),
    discriminator_scales=field(3, at_least(1)),
    # The content discriminator's stride-2 convolutions: their kernel and their number. The
    # authors' 7x7 needs images of 212 pixels.
    content_kernel=field('4x4', one_of('4x4', '7x7')),
    content_depth=field(3, at_least(0)),
    # All others play at every n-th step of the content discriminator's.
    others_every=field(3, at_least(1)),
    # Switches between paper and code; None follows config.variant (see VARIANTS).
    random_step=field(None, one_of('joint', 'own')),
    content_penalty=field(None, one_of('l1', 'l2')),
    content_norm=field(None, one_of('instance', 'none')),
  ),
  weights=dict(
    adversarial=field(1.0, at_least(0)),  # of translations after exemplars
    random_adversarial=field(1.0, at_least(0)),  # of those with drawn attributes
    content_adversarial=field(1.0, at_least(0)),
    reconstruction=field(10.0, at_least(0)),  # of images
    cycle=field(10.0, at_least(0)),  # of images, by two exchanges of attributes
    latent=field(10.0, at_least(0)),  # of drawn attributes
    kl=field(0.01, at_least(0)),  # of encoded attributes
    content=field(0.01, at_least(0)),  # of what keeps contents small
    mode_seeking=field(1.0, at_least(0)),
  ),
  optimizers=dict(
    content_discriminator=dict(_ADAM, learning_rate=4e-5),
    discriminator=_ADAM,
    generator=_ADAM,
    random=_ADAM,
  ),
)


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config: the authors', for images of 128 pixels or more."""
  return base.default_config(_FIELDS, VARIANTS)


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes the networks as small as they go, for `:smoke`."""
  config.model.update(
    width=4,
    downsamplings=1,
    blocks=1,
    attribute_size=2,
    attribute_downsamplings=2,
    mlp=4,
    discriminator_width=4,
    discriminator_depth=2,
    discriminator_scales=2,
    content_kernel='4x4',
    content_depth=1,
  )


def check(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for a name or number that cannot be, and for images that do not fit."""
  fields.check(config, _FIELDS)
  _image_sides.check_contents(config)
  _image_sides.check_encoder(config, 'attribute encoder', 'attribute_downsamplings')
  _image_sides.check_discriminators(config)

  model, (height, width) = config.model, base.image_shape(config)
  stride, side = 2**model.downsamplings, min(height, width)
  if map_side(side // stride, model.content_depth, model.content_kernel) < 4:
    raise errors.UserError(
      f'images are {height}x{width}, and their contents {height // stride}x{width // stride}: '
      f'too small for {model.content_depth} convolutions of {model.content_kernel} in the content '
      "discriminator; lower config.model.content_depth or set config.model.content_kernel='4x4'"
    )
