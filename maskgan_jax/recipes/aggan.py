"""How AGGAN's authors ran it, and how it is run on small drawn faces."""

import ml_collections

from maskgan_jax import config as run_config

STAGES = (('discriminator', 'generator'), ('discriminator_late', 'generator_late'))


def default(pictures: int = 1_334) -> ml_collections.ConfigDict:
  """Returns the method's config with the authors' sizes and schedule at 256x256.

  They train for 100 epochs of batches of one, with the switch after 30, at a rate that is constant
  for 50 and falls to 0 until the end.

  Args:
    pictures: of the larger domain, the steps of an epoch; 1,334 zebras.
  """
  config = run_config.default('aggan')
  config.update(
    image_size=256,
    batch_size=1,
    num_steps=100 * pictures,
    checkpoint_every=10 * pictures,
    sample_every=10 * pictures,
  )
  config.model.switch_step = 30 * pictures
  for name in STAGES[1]:
    config.optimizers[name].update(schedule='linear', schedule_start=50 * pictures)
  return config


def quick(config: ml_collections.ConfigDict) -> None:
  """Narrows the networks and shortens the schedule to minutes on a CPU, for 32x32 pictures.

  Half of the authors' channels and a third of their blocks; one stride in the attention, whose
  kernels are the intended ones, since squares of 4x4 pixels cannot outline glasses. The switch is
  after three tenths, as theirs.
  """
  config.variant = 'intended'
  config.model.update(
    width=16,
    blocks=3,
    attention_strides=1,
    discriminator_width=16,
    discriminator_strides=2,
    switch_step=900,
  )
  config.update(
    batch_size=16, num_steps=3_000, checkpoint_every=1_000, sample_every=1_000
  )
  for player in config.optimizers.values():
    player.update(learning_rate=2e-4, schedule='constant', schedule_start=0)
