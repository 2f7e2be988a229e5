"""How U-GAT-IT's authors ran it, and how it is run on small pictures: what its configs share."""

from collections.abc import Collection

import ml_collections

from maskgan_jax import config as run_config

ARGUMENTS = ('paper', 'pytorch', 'light')


def photographs(chosen: Collection[str]) -> ml_collections.ConfigDict:
  """Returns the authors' config for pairs of folders at 256x256.

  Pictures are resized to 286x286, whatever their shape, and trained on random crops, flipped; all
  of a picture is translated.

  Args:
    chosen: of ARGUMENTS.
  """
  config = run_config.default('ugatit')
  config.update(
    variant=run_config.exclusive(chosen, ('paper', 'pytorch')) or 'paper',
    image_size=256,
    batch_size=1,
    num_steps=1_000_000,
    checkpoint_every=10_000,
    sample_every=10_000,
    evaluators=('similarity', 'changes'),
    evaluation_batch_size=8,
  )
  config.model.light = 'light' in chosen
  config.data.update(a='~B', b='B', load_size=286, test_whole=True, flip=True)
  return config


def small(config: ml_collections.ConfigDict) -> None:
  """Makes discriminators of the authors' widths fit pictures of 28 pixels or more."""
  config.model.update(global_strides=3, local_strides=2)


def quick(config: ml_collections.ConfigDict, blocks: int = 2) -> None:
  """Narrows the networks of `small` and shortens the schedule to minutes on a CPU.

  They are the light form at a quarter of the authors' channels and four times the rate, which falls
  to 0 over the last third, without weight decay.

  Args:
    config: changed in place.
    blocks: residual blocks of a generator's encoder, and of its decoder.
  """
  config.model.update(width=16, blocks=blocks, light=True, discriminator_width=16)
  config.update(
    batch_size=8, num_steps=3_000, checkpoint_every=1_000, sample_every=1_000
  )
  for player in config.optimizers.values():
    player.update(learning_rate=4e-4, weight_decay=0.0, schedule_start=2_000)
