"""How UNIT's authors ran both releases, and how they are run on small pictures."""

import ml_collections

from maskgan_jax import config as run_config

# Of the re-release's configs.
_RERELEASE_WEIGHTS = dict(
  adversarial=1.0, reconstruction=10.0, kl=0.01, cycle=10.0, cycle_kl=0.01
)


def default(variant: str) -> ml_collections.ConfigDict:
  """Returns the method's config with a release's sizes, weights and schedule.

  Args:
    variant: 'paper', the first code's for cats and dogs, or 'rerelease'.
  """
  config = run_config.default('unit')
  config.variant = variant
  if variant == 'rerelease':
    config.weights.update(_RERELEASE_WEIGHTS)
    config.model.update(blocks=4, discriminator_depth=4, discriminator_scales=3)
    # The authors' scheduler ticks before the update.
    for player in config.optimizers.values():
      player.update(schedule='halve', schedule_start=99_999, schedule_every=100_000)
  return config


def photographs(variant: str) -> ml_collections.ConfigDict:
  """Returns a release's config for pairs of folders at 256x256.

  The authors crop at random where a picture is not a square; here the centre is kept.
  """
  config = default(variant)
  config.update(
    image_size=256,
    batch_size=1,
    num_steps=500_000 if variant == 'paper' else 1_000_000,
    checkpoint_every=10_000,
    sample_every=10_000,
    evaluators=('similarity', 'changes'),
    evaluation_batch_size=8,
  )
  config.data.update(a='~B', b='B', keep_aspect=True, flip=True)
  return config


def small(config: ml_collections.ConfigDict) -> None:
  """Makes latents and discriminators of the authors' widths fit pictures of 28 or 32 pixels.

  Latents are half as wide and high as the picture, since a quarter has no strokes left.
  """
  config.model.update(downsamplings=1, discriminator_depth=2)
  config.model.discriminator_scales = min(config.model.discriminator_scales, 2)
  if config.variant == 'paper':
    config.model.discriminator_depth = 4


def quick(config: ml_collections.ConfigDict) -> None:
  """Narrows the networks of `small` and shortens the schedule to minutes on a CPU.

  They are a quarter of the authors' channels at four times the rate, which falls to 0 over the last
  third, without weight decay.
  """
  config.model.width = 16
  config.model.discriminator_width = 16
  if config.variant == 'rerelease':
    config.model.update(blocks=2, discriminator_width=32)
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
