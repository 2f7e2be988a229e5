"""What can be set of the additional mask: its variants, its part of a config, and what is wrong."""

import math

import ml_collections

from maskgan_jax import errors, fields
from maskgan_jax.fields import at_least, field, less_than, more_than, one_of
from maskgan_jax.methods import _given_masks, base

# What the 'tuned' variant departs in, off in the others; docs/tuned.md has what was measured.
_AS_PUBLISHED = dict(
  # Pixels at which no channel of a mask reaches this are not changed at all. Section I counts
  # "pixels with nonzero values"; gradient steps on eq. 4's L1 norm make values small and never
  # 0, a grain over the whole picture that is half of the error.
  mask_floor=0.0,
  # Whether DCGAN's discriminator has batch normalisation. Real and translated images go through
  # it apart, so it levels what all translations have in common. Without it, weights begin as
  # He et al.'s: with N(0, 0.02) all scores would be near 0.
  critic_normalized=True,
  # Weight of R1 (Mescheder et al. 2018, where it is gamma / 2), the squared slope of a
  # discriminator at real images, which keeps one without normalisation from growing ever steeper.
  # lambda_g does not scale it.
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
    # alone: the adversarial term weighs twice lambda_g, so 1, in a generator's loss.
    lambda_g='both',
    **_AS_PUBLISHED,
  ),
  'cyclegan': dict(
    addition=False,
    mask_range=1.0,  # without an addition not used; nor are clipped, mask_floor, weights.mask
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

_ADAM = base.adam(learning_rate=2e-4, b1=0.5)
_FIELDS = dict(
  variant='paper',
  model=dict(
    # 'unsupervised': section III-A, Fig. 3; 'supervised': Fig. 2, needs data.aligned.
    scheme=field('unsupervised', one_of('unsupervised', 'supervised')),
    width=field(64, at_least(1)),  # of a generator at full resolution
    blocks=field(9, at_least(0)),  # residual blocks of a generator
    # 70x70 PatchGAN, or 'dcgan': the whole image, for the size of 64x64.
    discriminator=field('patch', one_of('patch', 'dcgan')),
    discriminator_width=field(64, at_least(1)),
    discriminator_layers=field(3, at_least(1)),  # 'patch': its stride-2 convolutions
    # Earlier translations that discriminators may see instead; 0 is none.
    pool_size=field(50, at_least(0)),
    # The paper's outlook: the added mask is multiplied with a predicted attention in [0, 1].
    attention=False,
    # Switches between readings; None follows config.variant (see VARIANTS).
    mask_range=field(None, more_than(0)),  # images have values from -1 to 1
    l1_norm=field(None, one_of('mean', 'sum')),
    lambda_g=field(None, one_of('both', 'discriminator')),
    mask_floor=field(None, at_least(0), less_than(1)),
    slope_penalty=field(None, at_least(0)),
  ),
  weights=dict(
    adversarial=field(0.5, at_least(0)),  # lambda_g
    cycle=field(10.0, at_least(0)),  # lambda_c
    mask=field(1.0, at_least(0)),  # lambda_r, swept from 0.001 to 200
    # CycleGAN's, whose code has 5 (0.5 lambda_c); the paper drops it.
    identity=field(0.0, at_least(0)),
    supervised=field(1.0, at_least(0)),
    **_given_masks.WEIGHTS,  # mask_agreement is of the attention
  ),
  optimizers=dict(discriminator=_ADAM, generator=_ADAM),
)


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config: the paper's at 256x256, lambda_r = 1."""
  return base.default_config(_FIELDS, VARIANTS)


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes the networks as small as they go, for `:smoke`."""
  config.model.update(
    width=4,
    blocks=1,
    discriminator_width=4,
    discriminator_layers=1,
    pool_size=min(config.model.pool_size, 4),
  )


def check(config: ml_collections.ConfigDict, addition: bool) -> None:
  """Raises UserError for a name or number that cannot be, and for images that do not fit.

  Args:
    config: of a run.
    addition: the switch's value.
  """
  fields.check(config, _FIELDS)
  if config.model.attention and not addition:
    raise errors.UserError(
      'config.model.attention multiplies an added mask, but '
      'config.model.addition is off; set one or the other'
    )
  if config.weights.mask_agreement and not config.model.attention:
    raise errors.UserError(
      'config.weights.mask_agreement compares masks with the attention, but '
      'config.model.attention is off; set one or the other'
    )
  switches = base.switches(config, VARIANTS)
  if (
    switches.slope_penalty
    and switches.critic_normalized
    and config.model.discriminator == 'dcgan'
  ):
    raise errors.UserError(
      'config.model.slope_penalty needs scores of single images, but with batch normalisation '
      'they depend on the batch: set config.model.critic_normalized=False'
    )
  _check_size(config)


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
