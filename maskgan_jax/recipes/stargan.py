"""How StarGAN's authors ran it, and how it is run on small drawn faces."""

import ml_collections

from maskgan_jax import config as run_config


def default() -> ml_collections.ConfigDict:
  """Returns the method's config with the authors' sizes and schedule at 128x128.

  Their learning rate is meant to fall to 0 over the second half, and falls by a thousandth of that:
  1e-9 at each thousandth step, so that it ends at 9.99e-5.
  """
  config = run_config.default('stargan')
  config.update(
    image_size=128,
    batch_size=8,  # of each domain: 16 pictures
    num_steps=200_000,
    checkpoint_every=10_000,
    sample_every=10_000,
  )
  for player in config.optimizers.values():
    # A half in 5e7 steps is 1e-12 a step.
    player.update(
      schedule='halve_linearly', schedule_start=100_000, schedule_every=50_000_000
    )
  return config


def celeba(config: ml_collections.ConfigDict, labels: tuple[str, ...]) -> None:
  """Sets the data to CelebA, any two faces with these labels, as the authors crop and divide it."""
  config.data.update(
    source='celeba',
    path='data/celeba',
    a='',
    b='',
    attributes=labels,
    crop='center:178',
    flip=True,
    test_rows=1_999,
    validation_fraction=0.001,
  )


def quick(config: ml_collections.ConfigDict) -> None:
  """Narrows the networks and shortens the schedule to minutes on a CPU, for 32x32 pictures.

  They are a quarter of the generator's channels and half of the critic's, at three times the rate,
  which falls to 0 over the last third, with a critic that plays twice as often as the generator.
  """
  config.model.update(width=16, blocks=3, critic_width=32, critic_depth=4)
  config.model.critic_every = 2
  config.update(
    batch_size=16, num_steps=3_000, checkpoint_every=1_000, sample_every=1_000
  )
  for player in config.optimizers.values():
    player.update(
      learning_rate=3e-4, schedule='linear', schedule_start=2_000, schedule_every=0
    )
