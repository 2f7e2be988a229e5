"""What can be set of LOMIT: its variants, its part of a config, and which values make sense."""

import ml_collections

from maskgan_jax import errors, fields
from maskgan_jax.fields import at_least, field, one_of
from maskgan_jax.methods import _given_masks, base

# What the 'tuned' variant departs in, off in the others; docs/tuned.md has what was measured.
_AS_PUBLISHED = dict(
  # Whether a translation is the decoder's picture inside the source's mask and the source itself
  # outside it. The paper decodes the whole picture anew. Reconstructions stay the decoder's.
  composed=False,
  # Weight of what the critic's classifier still finds in a picture whose mask is cut out: the
  # mask has to cover all of what the labels name, and not the part that convinces the classifier.
  erasing=0.0,
  # Whose style takes the place of what a user erases from the exemplar's mask: 'nothing', which
  # is mid-grey and decoded as such, or the 'source', which so keeps its own style there.
  erased_style='nothing',
)
_IJCAI = dict(
  cosegmentation=False,  # m = G_m(E_c(x)); else its channels are gated by the other image's
  style_heads='shared',  # one E_s; 'separate': two that share their first layers; see below
  outer_convolutions=True,  # 7x7 before the encoders' strides and after the decoder: the code's
  deviation='spatial',  # sigma in HAdaIN; the code has 'rows' (networks/normalization.py)
  style_scale='linear',  # gamma is the MLP's output; in the code the exp of half of it
  similarity_reduction='sum',  # R1 over pairs of pixels; 'mean' is a millionth of it at 32x32
  size_reduction='sum',  # |m|_1 over the mask's own pixels
  regularized_masks='inputs',  # m_a and m_b; 'all': m_ab, m_ba, m_aa and m_bb as well
  style_difference=0.0,  # weight of -|E_s(a's foreground) - E_s(b's)|
  # Of the mask network's batch norm. The papers are silent; 'batch' takes the statistics of the
  # batch at hand, so a translation depends on the others that are computed with it.
  inference_statistics='running',
  **_AS_PUBLISHED,
)
VARIANTS = {
  'ijcai': _IJCAI,
  'iclr': dict(
    _IJCAI,
    cosegmentation=True,  # section 3.1
    style_heads='separate',  # appendix 7.1
    # Appendix 7.1 counts two and two convolutions ("similar to MUNIT", which has a 7x7 too).
    outer_convolutions=False,
    style_difference=0.01,  # eq. 14 and lambda_2
  ),
  'official': dict(
    cosegmentation=True,
    style_heads='shared',  # both heads are made of the same layer objects
    outer_convolutions=True,
    deviation='rows',
    style_scale='exp_half',
    similarity_reduction='mean',
    size_reduction='mean',
    regularized_masks='all',
    style_difference=0.0,  # in some states of their config 0.01
    inference_statistics='batch',  # their test() leaves the networks in training mode
    **_AS_PUBLISHED,
  ),
  'tuned': dict(
    _IJCAI,
    # As the authors' code, whose weights belong to means; exp keeps scales positive.
    similarity_reduction='mean',
    size_reduction='mean',
    style_scale='exp_half',
    composed=True,
    erasing=1.0,
    erased_style='source',
  ),
}
VARIANTS['paper'] = VARIANTS['ijcai']

# Nine halvings in 200,000 steps, the first after step 110,000, as the authors' scheduler ticks;
# 'halve_linearly' from 100,000 is the ICLR paper's wording. No variant changes this.
_ADAM = dict(
  base.adam(learning_rate=1e-4, b1=0.5),
  schedule='halve',
  schedule_start=110_001,
  schedule_every=10_000,
)
_FIELDS = dict(
  variant='official',
  model=dict(
    # Channels at full resolution; contents have four times as many.
    width=field(64, at_least(1)),
    blocks=4,  # residual blocks in the content encoder, and again in the decoder
    style_size=field(8, at_least(1)),  # numbers in a style code
    # Width of the MLPs from codes to HAdaIN's scale and shift.
    mlp=field(256, at_least(1)),
    mask_depth=6,  # convolutions of the mask network
    # Channels after the first of the critic's stride-2 convolutions, and how many these are; at
    # least 2x2 pixels must be left of the image.
    critic_width=field(64, at_least(1)),
    critic_depth=field(6, at_least(1)),
    critic_every=field(5, at_least(1)),  # critic updates per generator update
    similarity_size=0,  # side of the masks that R1 compares, pixels; 0 is image_size / 4, theirs
    exemplar_mask=True,  # False is LOMIT-- of IJCAI figure 7: styles of whole images
    # Switches between papers and official code; None follows config.variant (see VARIANTS).
    style_heads=field(None, one_of('shared', 'separate')),
    deviation=field(None, one_of('spatial', 'rows')),
    style_scale=field(None, one_of('linear', 'exp_half')),
    similarity_reduction=field(None, one_of('sum', 'mean')),
    size_reduction=field(None, one_of('sum', 'mean')),
    regularized_masks=field(None, one_of('inputs', 'all')),
    inference_statistics=field(None, one_of('running', 'batch')),
    erasing=field(None, at_least(0)),
    erased_style=field(None, one_of('nothing', 'source')),
  ),
  weights=dict(  # ICLR eq. 16
    adversarial=1.0,
    classification=1.0,
    gradient_penalty=10.0,
    reconstruction=10.0,
    cycle=10.0,  # lambda_x
    foreground_style=1.0,
    background_style=1.0,
    content=1.0,  # lambda_s,c
    similarity=0.1,
    size=1e-4,  # lambda_1, lambda_3; lambda_2 is model.style_difference
    total_variation=0.0,  # of the masks: in the code, off
    **_given_masks.WEIGHTS,
  ),
  optimizers=dict(critic=_ADAM, generator=_ADAM),
)


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config, at the authors' settings for hair and smile at 128x128.

  Batch size (8) and steps (200,000) are not part of it.
  """
  return base.default_config(_FIELDS, VARIANTS)


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes the networks as small as they go, for `:smoke`."""
  config.model.update(
    width=4,
    blocks=1,
    style_size=2,
    mlp=8,
    mask_depth=2,
    critic_width=4,
    critic_depth=min(config.model.critic_depth, 3),
    critic_every=2,
  )


def check(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for a name or number that cannot be, and for images that do not fit."""
  base.require_square(config)
  fields.check(config, _FIELDS)

  # The critic halves the image until 2x2 pixels are left, the style encoder four times.
  depth = config.model.critic_depth
  stride = max(2**depth, 16)
  least = max(2 ** (depth + 1), 16)
  if config.image_size % stride or config.image_size < least:
    raise errors.UserError(
      f'config.image_size is {config.image_size}, but {depth} stride-2 convolutions of the '
      'critic (config.model.critic_depth), which are to leave 2x2 pixels, and the style '
      f"encoder's four need a multiple of {stride}, at least {least}"
    )

  mask_size = config.image_size // 4
  if config.model.similarity_size % mask_size:
    raise errors.UserError(
      f'config.model.similarity_size is {config.model.similarity_size}; it '
      f"must be a multiple of the masks' side, {mask_size}"
    )
  if not config.data.attributes and config.data.a == config.data.b:
    raise errors.UserError(
      f'config.data.a and config.data.b are both {config.data.a!r} and config.data.attributes '
      'is empty: there is nothing to tell apart; name labels, or give two domains'
    )
