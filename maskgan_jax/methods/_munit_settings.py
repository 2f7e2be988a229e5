"""What can be set of MUNIT: its variants, its part of a config, and which values make sense."""

import ml_collections

from maskgan_jax import fields
from maskgan_jax.fields import at_least, field, one_of
from maskgan_jax.methods import _image_sides, base

VARIANTS = {
  'paper': dict(
    # Of the layer normalisation after an upsampling: Ba et al.'s, which the paper cites, or
    # 'unbiased', the code's, with the deviation of n - 1 and epsilon outside of the root.
    layer_norm='standard',
    # Its scale begins at 'ones', or as the code's at values from 0 to 1, 'uniform'.
    layer_scale='ones',
  ),
  'official': dict(layer_norm='unbiased', layer_scale='uniform'),
}

# The rate is halved every 100,000 steps; the authors' scheduler ticks before the update.
_ADAM = dict(
  base.adam(learning_rate=1e-4, b1=0.5),
  weight_decay=1e-4,
  schedule='halve',
  schedule_start=99_999,
  schedule_every=100_000,
)
_FIELDS = dict(
  variant='official',
  model=dict(
    # Channels at full resolution; each downsampling doubles them.
    width=field(64, at_least(1)),
    downsamplings=field(2, at_least(0)),  # of the content encoder
    # Residual blocks in the content encoder, and in the decoder.
    blocks=field(4, at_least(0)),
    style_size=field(8, at_least(1)),  # numbers in a style code
    # Of the style encoder; two double its channels.
    style_downsamplings=field(4, at_least(2)),
    # Width of the MLP from a code to AdaIN's scales and shifts.
    mlp=field(256, at_least(1)),
    # Channels after the first of a discriminator's stride-2 convolutions, how many of these a
    # scale has, and how many scales there are, each half as large as the one before.
    discriminator_width=field(64, at_least(1)),
    discriminator_depth=field(4, at_least(1)),
    discriminator_scales=field(3, at_least(1)),
    # The code's 'gan_type': 'lsgan', or 'nsgan', which is the cross entropy.
    adversarial=field('least_squares', one_of('least_squares', 'cross_entropy')),
    # Switches between paper and code; None follows config.variant (see VARIANTS).
    layer_norm=field(None, one_of('standard', 'unbiased')),
    layer_scale=field(None, one_of('ones', 'uniform')),
  ),
  weights=dict(
    adversarial=field(1.0, at_least(0)),
    reconstruction=field(10.0, at_least(0)),  # of images, lambda_x
    content=field(1.0, at_least(0)),  # lambda_c
    style=field(1.0, at_least(0)),  # lambda_s
    # Of images there and back with their own styles; 10 in the code where pixels stay in place.
    cycle=field(0.0, at_least(0)),
  ),
  optimizers=dict(discriminator=_ADAM, generator=_ADAM),
)


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config: the authors' for edges and handbags at 256x256."""
  return base.default_config(_FIELDS, VARIANTS)


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes the networks as small as they go, for `:smoke`."""
  config.model.update(
    width=4,
    downsamplings=1,
    blocks=1,
    style_size=2,
    style_downsamplings=2,
    mlp=4,
    discriminator_width=4,
    discriminator_depth=2,
    discriminator_scales=2,
  )


def check(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for a name or number that cannot be, and for images that do not fit."""
  fields.check(config, _FIELDS)
  _image_sides.check_contents(config)
  _image_sides.check_encoder(config, 'style encoder', 'style_downsamplings')
  _image_sides.check_discriminators(config)
