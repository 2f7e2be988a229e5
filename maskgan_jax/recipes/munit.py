"""How MUNIT's authors ran it, and how it is run on small pictures: what its configs share."""

import ml_collections

from maskgan_jax import config as run_config

# Of the authors' configs: 0 for edges, whose colours are free, 10 where pixels stay in place.
CYCLE_FREE, CYCLE_IN_PLACE = 0.0, 10.0


def photographs(variant: str, *, cycle: float) -> ml_collections.ConfigDict:
  """Returns the authors' config for pairs of folders at 256x256.

  The authors crop at random where a picture is not a square; here the centre is kept.

  Args:
    variant: 'official' or 'paper'.
    cycle: weight of the cycle.
  """
  config = run_config.default('munit')
  config.update(
    variant=variant,
    image_size=256,
    batch_size=1,
    num_steps=1_000_000,
    checkpoint_every=10_000,
    sample_every=10_000,
    evaluators=('similarity',),
    evaluation_batch_size=8,
  )
  config.weights.cycle = cycle
  config.data.update(a='~B', b='B', keep_aspect=True, flip=True)
  return config


def small(config: ml_collections.ConfigDict) -> None:
  """Makes contents and discriminators of the authors' widths fit pictures of 28 or 32 pixels.

  Contents are half as wide and high as the picture, since a quarter has no strokes left. Colours
  are all that styles have to carry, so the cycle has the weight that keeps pixels in place.
  """
  config.model.update(
    downsamplings=1,
    style_downsamplings=3,
    discriminator_depth=2,
    discriminator_scales=2,
  )
  config.weights.cycle = CYCLE_IN_PLACE


def quick(config: ml_collections.ConfigDict, blocks: int = 2) -> None:
  """Narrows the networks of `small` and shortens the schedule to minutes on a CPU.

  They are a quarter of the authors' channels (half in the discriminators) at four times the rate,
  which falls to 0 over the last third, without weight decay.

  Args:
    config: changed in place.
    blocks: residual blocks of a content encoder, and of a decoder.
  """
  config.model.update(width=16, blocks=blocks, mlp=64, discriminator_width=32)
  config.update(
    batch_size=8, num_steps=3_000, checkpoint_every=1_000, sample_every=1_000
  )
  for player in config.optimizers.values():
    player.update(
      learning_rate=4e-4,
      weight_decay=0.0,
      schedule='linear',
      schedule_start=2_000,
      schedule_every=0,
    )
