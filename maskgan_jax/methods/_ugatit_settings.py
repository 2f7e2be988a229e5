"""What can be set of U-GAT-IT: its variants, its part of a config, and which values make sense."""

import ml_collections

from maskgan_jax import errors, fields
from maskgan_jax.fields import at_least, field, one_of
from maskgan_jax.methods import _image_sides, base

VARIANTS = {
  'paper': dict(
    # Whether layers have biases, and instance normalisation has scale and bias.
    biases=True,
    # 'shared': one classifier scores means and maxima, and its bias is added to the weights of the
    # maps; or 'separate' ones without bias, by whose weights as they were before spectral
    # normalisation discriminators weight maps.
    classifiers='shared',
    variance='biased',  # of AdaLIN: divided by n, or 'unbiased', by n - 1
    # 'smoothed': begins at 1, and 0.1 less is used, at least 0; or 'plain', begins at 0.9.
    rho='smoothed',
    # Of all weights: 'normal', N(0, 0.02) and biases 0; or 'uniform', PyTorch's default.
    initial_weights='normal',
  ),
  'pytorch': dict(
    biases=False,
    classifiers='separate',
    variance='unbiased',
    rho='plain',
    initial_weights='uniform',
  ),
}

# The rate falls to 0 over the second half of 1,000,000 steps.
_ADAM = dict(
  base.adam(learning_rate=1e-4, b1=0.5),
  weight_decay=1e-4,
  schedule='linear',
  schedule_start=500_000,
)
_FIELDS = dict(
  variant='paper',
  model=dict(
    # Channels at full resolution; each downsampling doubles them.
    width=field(64, at_least(1)),
    downsamplings=field(2, at_least(1)),
    # Residual blocks of a generator's encoder, and of its decoder.
    blocks=field(4, at_least(0)),
    # Scales and shifts from the means of the maps, and not from all of them.
    light=False,
    # Channels after the first of a discriminator's convolutions, and how many of these have stride
    # 2 in the one that sees large patches, and in the one that sees small ones.
    discriminator_width=field(64, at_least(1)),
    global_strides=field(5, at_least(1)),
    local_strides=field(3, at_least(1)),
    # Switches between the authors' codes; None follows config.variant (see VARIANTS).
    classifiers=field(None, one_of('shared', 'separate')),
    variance=field(None, one_of('biased', 'unbiased')),
    rho=field(None, one_of('smoothed', 'plain')),
    initial_weights=field(None, one_of('normal', 'uniform')),
  ),
  weights=dict(
    adversarial=field(1.0, at_least(0)),
    cycle=field(10.0, at_least(0)),
    identity=field(10.0, at_least(0)),
    # Of the generators' classifiers, which tell sources from pictures of their own domain.
    cam=field(1000.0, at_least(0)),
  ),
  optimizers=dict(discriminator=_ADAM, generator=_ADAM),
)


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config: the authors', for 256x256."""
  return base.default_config(_FIELDS, VARIANTS)


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes the networks as small as they go, for `:smoke`."""
  config.model.update(
    width=4,
    downsamplings=1,
    blocks=1,
    discriminator_width=4,
    global_strides=2,
    local_strides=1,
  )


def check(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for a name or number that cannot be, and for images that do not fit."""
  fields.check(config, _FIELDS)
  _image_sides.check_contents(config)
  (height, width), model = base.image_shape(config), config.model
  for name in ('global_strides', 'local_strides'):
    # Reflection needs two pixels of what the last convolution sees, which is one less.
    least = 3 * 2 ** model[name]
    if min(height, width) < least:
      raise errors.UserError(
        f'images are {height}x{width}, but discriminators of {model[name]} stride-2 '
        f'convolutions need {least} pixels or more: lower config.model.{name}'
      )
