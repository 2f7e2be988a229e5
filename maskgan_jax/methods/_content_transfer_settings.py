"""What can be set of content transfer: its variants, its part of a config, and what is wrong."""

import ml_collections

from maskgan_jax import errors, fields
from maskgan_jax.fields import at_least, field, one_of
from maskgan_jax.losses import reconstruction
from maskgan_jax.methods import _given_masks, base

VARIANTS = {
  'paper': dict(
    # Appendix A: d_{512-sep}, d_{512-2 sep}. Its sep = 100 is taken as the size of the code, 25
    # channels of 2x2; read as channels, it is separate_channels=100.
    common_widths='minus_one_and_two_separate',
    decoder_leak=0.0,  # appendix A: ReLU
    recon2_a_code='separate',  # eq. 8: z(a, a)
    confusion_target='with',  # eq. 3 pushes both codes to 1, the label that eq. 4 gives b
    cycle_common=True,  # eq. 9 has both terms
    removal_code='zeros',  # D_A(Ec(b))
    clip_gradients=False,
  ),
  'official': dict(
    common_widths='minus_separate',  # 487, 487
    decoder_leak=0.2,
    recon2_a_code='zeros',
    confusion_target='without',
    cycle_common=False,  # its weight is 0 in every published command
    removal_code='separate',  # D_A(Ec(b), Es(b)), although D_A was trained with zeros only
    # Global norm 5, the autoencoder's: the discriminator's call finds its parameters used up.
    clip_gradients=True,
  ),
}

# The authors' weights per task: lambda_1, lambda_2, lambda_3, lambda_4, lambda_5 and that of L_DC,
# which the paper's sum has unweighted beside lambdas that it does not give.
WEIGHTS = {
  'glasses': (5.0, 7.0, 0.001, 0.7, 0.7, 0.005),
  # Not listed by the authors: their defaults.
  'facial_hair': (5.0, 7.0, 0.001, 0.7, 0.7, 0.005),
  'smile': (5.0, 7.0, 0.0001, 1.0, 1.0, 0.005),
  'womens_hair': (1.0, 1.0, 0.04, 0.1, 0.1, 1.0),
  'mens_hair': (5.0, 5.0, 0.5, 0.5, 0.5, 1.0),
}
_WEIGHT_NAMES = (
  'recon1_a',
  'recon1_b',
  'cycle',
  'recon2_a',
  'recon2_b',
  'domain_confusion',
)


def weights(task: str) -> dict[str, float]:
  """Returns the authors' loss weights for one of the tasks in WEIGHTS."""
  return dict(zip(_WEIGHT_NAMES, WEIGHTS[task], strict=True))


_NORM = one_of(*reconstruction.BY_NAME)
_ADAM = base.adam(learning_rate=2e-4, b1=0.5)
_FIELDS = dict(
  variant='official',
  model=dict(
    # Channels after the first convolution; codes have 16 times as many at depth 6.
    width=field(32, at_least(1)),
    # Stride-2 convolutions; the code is image_size / 2**depth pixels wide.
    depth=field(6, at_least(1)),
    # Of Es' code: 25 x 2 x 2 = 100 numbers at 128x128.
    separate_channels=field(25, at_least(1)),
    discriminator_width=field(512, at_least(1)),
    detach_background=False,  # True keeps L_recon1^B from training D_A through the composite
    removal_threshold=0.1,  # binarises the mask in removal when none was searched: the authors'
    # Switches between paper and official code; None follows config.variant (see VARIANTS).
    common_widths=field(None, one_of('minus_separate', 'minus_one_and_two_separate')),
    recon2_a_code=field(None, one_of('zeros', 'separate')),
    confusion_target=field(None, one_of('with', 'without')),
    removal_code=field(None, one_of('zeros', 'separate')),
  ),
  weights=dict(
    **weights('glasses'),
    # Table 7, 'L2 reg': mean squared mask of z(a, a) and z(b, b). There it stands in place of
    # recon2: set recon2_a and recon2_b to 0 as well.
    mask_l2=0.0,
    **_given_masks.WEIGHTS,
  ),
  # Table 7, 'L2 recon': 'l2'.
  norms=dict(recon1=field('l1', _NORM), recon2=field('l1', _NORM)),
  optimizers=dict(autoencoder=_ADAM, discriminator=_ADAM),
)


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config, at the authors' settings for glasses at 128x128."""
  return base.default_config(_FIELDS, VARIANTS)


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes the networks as small as they go, for `:smoke`."""
  config.model.update(
    width=4,
    depth=min(config.model.depth, 3),
    separate_channels=2,
    discriminator_width=8,
  )


def check(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for a name or number that cannot be, and for images that do not fit."""
  base.require_square(config)
  fields.check(config, _FIELDS)
  stride = 2**config.model.depth
  if config.image_size % stride or config.image_size < stride:
    raise errors.UserError(
      f'config.image_size is {config.image_size}, but {config.model.depth} stride-2 convolutions '
      f'(config.model.depth) need a multiple of {stride}'
    )


def widths(
  width: int, depth: int, separate: int, rule: str
) -> tuple[tuple[int, ...], ...]:
  """Returns the channels of Ec, Es and the decoders, layer by layer.

  At width 32, depth 6, 25 separate channels: Ec 32-64-128-256-487-487, Es 32-64-128-128-128-25,
  decoders 512-256-128-64-32 and the output layer.
  """
  full = [width * min(2**layer, 16) for layer in range(depth)]
  code = full[-1]
  if rule == 'minus_one_and_two_separate':
    if depth < 2:
      raise errors.UserError(
        f'config.model.depth is {depth}, but common_widths={rule!r} needs 2'
      )
    common = [*full[:-2], full[-2] - separate, code - 2 * separate]
  else:
    common = [
      channels - separate if channels == code else channels for channels in full
    ]
  if min(common) < 1:
    raise errors.UserError(
      f'config.model.separate_channels ({separate}) leaves Ec no channels: its widths would be '
      f'{common}; raise config.model.width or lower separate_channels'
    )
  separate_widths = [width * min(2**layer, 4) for layer in range(depth - 1)]
  decoder = [width * 2 ** max(depth - 2 - layer, 0) for layer in range(depth - 1)]
  return tuple(common), (*separate_widths, separate), tuple(decoder)
