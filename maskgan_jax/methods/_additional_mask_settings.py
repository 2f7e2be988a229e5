"""What can be set of the additional mask: its variants, its part of a config, and what is wrong."""

import math

import ml_collections
from ml_collections import config_dict

from maskgan_jax import errors
from maskgan_jax.methods import base

# What the 'tuned' variant departs in, off in the others; docs/tuned.md has what was measured.
_AS_PUBLISHED = dict(
  # Pixels at which no channel of a mask reaches this are not changed at all. Section I counts
  # "pixels with nonzero values"; gradient steps on eq. 4's L1 norm make values small and never
  # 0, a grain over the whole picture that is half of the error.
  mask_floor=0.0,
  # Whether DCGAN's discriminator has batch normalisation. Real and translated images go through
  # it apart, so it levels what all translations have in common.
  critic_normalized=True,
  # Weight of R1 (Mescheder et al. 2018), the squared slope of a discriminator at real images,
  # which keeps one without normalisation from growing ever steeper.
  slope_penalty=0.0,
)
VARIANTS = {
  'paper': dict(
    addition=True,
    # Images have values in [-1, 1] as CycleGAN's do, so a mask in [-1, 1] can make mid-grey of
    # black, but not white. 2.0: it can, as if the text had images in [0, 1] (where eq. 2 would
    # be half as large: weights.cycle=5 makes it so).
    mask_range=1.0,  # what a mask of 1 adds to an image
    clipped=False,  # x + m may leave [-1, 1] in training; True: it is cut off there
    l1_norm='mean',  # of ||.||_1, eqs. 2 to 4, over pixels and channels; literally, a 'sum'
    # Eq. 5 has lambda_g on 'both' players' losses. CycleGAN's 0.5 is on the 'discriminator'
    # alone: the adversarial term weighs twice as much in a generator's loss.
    lambda_g='both',
    **_AS_PUBLISHED,
  ),
  'cyclegan': dict(
    addition=False,
    mask_range=1.0,  # without an addition this is not used, nor is the next, nor weights.mask
    clipped=False,
    l1_norm='mean',
    lambda_g='discriminator',
    **_AS_PUBLISHED,
  ),
  'tuned': dict(
    addition=True,
    mask_range=1.0,
    clipped=False,
    l1_norm='mean',
    lambda_g='both',
    mask_floor=0.2,
    critic_normalized=False,
    slope_penalty=1.0,
  ),
}


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config: the paper's at 256x256, lambda_r = 1."""
  config = ml_collections.ConfigDict()
  config.variant = 'paper'
  config.model = dict(
    scheme='unsupervised',  # section III-A, Fig. 3; 'supervised': Fig. 2, needs data.aligned
    width=64,  # of a generator at full resolution
    blocks=9,  # residual blocks of a generator
    discriminator='patch',  # 70x70 PatchGAN, or 'dcgan': the whole image, for the size of 64x64
    discriminator_width=64,
    discriminator_layers=3,  # 'patch': its stride-2 convolutions
    pool_size=50,  # earlier translations that discriminators may see instead; 0 is none
    # The paper's outlook: the added mask is multiplied with a predicted attention in [0, 1].
    attention=False,
  )
  # Switches between readings; None follows config.variant (see VARIANTS).
  for name, value in VARIANTS['paper'].items():
    config.model[name] = config_dict.placeholder(type(value))
  config.weights = dict(
    adversarial=0.5,  # lambda_g
    cycle=10.0,  # lambda_c
    mask=1.0,  # lambda_r, swept from 0.001 to 200
    identity=0.0,  # CycleGAN's, whose code has 5 (0.5 lambda_c); the paper drops it
    supervised=1.0,
  )
  config.optimizers = dict(
    discriminator=base.adam(learning_rate=2e-4, b1=0.5),
    generator=base.adam(learning_rate=2e-4, b1=0.5),
  )
  return config


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes the networks as small as they go, for `:smoke`."""
  config.model.update(
    width=4,
    blocks=1,
    discriminator_width=4,
    discriminator_layers=1,
    pool_size=min(config.model.pool_size, 4),
  )


def check(
  config: ml_collections.ConfigDict, switches: ml_collections.FrozenConfigDict
) -> None:
  """Raises UserError for a name or number that cannot be, and for images that do not fit."""
  model = config.model
  base.one_of('model.l1_norm', switches.l1_norm, ('mean', 'sum'))
  base.one_of('model.lambda_g', switches.lambda_g, ('both', 'discriminator'))
  base.one_of('model.discriminator', model.discriminator, ('patch', 'dcgan'))
  base.one_of('model.scheme', model.scheme, ('unsupervised', 'supervised'))
  base.one_of('compute_dtype', config.compute_dtype, ('float32', 'bfloat16'))
  _check_numbers(config, switches)
  _check_size(config)


def _check_numbers(config, switches):
  """Raises UserError for a number that cannot be."""
  model = config.model
  least = {
    'width': 1,
    'blocks': 0,
    'discriminator_width': 1,
    'discriminator_layers': 1,
    'pool_size': 0,
  }
  for name, minimum in least.items():
    if model[name] < minimum:
      raise errors.UserError(
        f'config.model.{name} is {model[name]}; it must be at least {minimum}'
      )
  for name, weight in config.weights.items():
    if weight < 0:
      raise errors.UserError(
        f'config.weights.{name} is {weight}; it must be at least 0'
      )

  # The switches' own.
  if switches.mask_range <= 0:
    raise errors.UserError(
      f'config.model.mask_range is {switches.mask_range}; it must be '
      'above 0 (images have values from -1 to 1)'
    )
  if not 0 <= switches.mask_floor < 1:
    raise errors.UserError(
      f'config.model.mask_floor is {switches.mask_floor}; it '
      'must be at least 0 and below 1'
    )
  if switches.slope_penalty < 0:
    raise errors.UserError(
      f'config.model.slope_penalty is {switches.slope_penalty}; it must be at least 0'
    )
  if model.attention and not switches.addition:
    raise errors.UserError(
      'config.model.attention multiplies an added mask, but '
      'config.model.addition is off; set one or the other'
    )


def _check_size(config):
  """Raises UserError for images that the networks cannot take, or for unpaired ones."""
  model, (height, width) = config.model, base.image_shape(config)
  size = f'images are {height}x{width}'
  if height % 4 or width % 4 or min(height, width) < 8:
    raise errors.UserError(
      f'{size}, but the generator halves them twice: sides must be '
      'multiples of 4, of at least 8 pixels'
    )
  if model.scheme == 'supervised':
    if not config.data.aligned:
      raise errors.UserError(
        "config.model.scheme is 'supervised', which learns from true "
        'answers: a_i and b_i must be one scene; set config.data.aligned'
      )
    return

  # Each discriminator has sizes of its own.
  if model.discriminator == 'dcgan':
    power = 2 ** round(math.log2(height))
    if height != width or height != power:
      raise errors.UserError(
        f"{size}, but config.model.discriminator 'dcgan' takes squares of "
        "8, 16, 32, 64, ... pixels; 'patch' takes others"
      )
    return
  least = 3 * 2**model.discriminator_layers
  if min(height, width) < least:
    raise errors.UserError(
      f'{size}, but a PatchGAN of {model.discriminator_layers} stride-2 '
      f'convolutions needs {least} pixels or more: lower '
      'config.model.discriminator_layers'
    )
