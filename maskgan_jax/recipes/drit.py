"""How DRIT's authors ran it, and how it is run on small pictures: what its configs share."""

import ml_collections

from maskgan_jax import config as run_config

# The authors' 1,200 epochs of 615 batches of two, of 1,231 pictures in the larger domain.
_EPOCHS, _BATCHES = 1_200, 615


def photographs(variant: str, *, generator: str) -> ml_collections.ConfigDict:
  """Returns the authors' config for pairs of folders, crops of 216x216 from 256x256.

  Two of three steps train the content discriminator alone. Rates fall to 0 over the second half.

  Args:
    variant: 'official' or 'paper'.
    generator: 'concat', or 'feature_wise' where shapes change.
  """
  config = run_config.default('drit')
  config.update(
    variant=variant,
    image_size=216,
    batch_size=1,
    num_steps=_EPOCHS * _BATCHES,
    checkpoint_every=10_000,
    sample_every=10_000,
    evaluators=('similarity',),
    evaluation_batch_size=8,
  )
  config.model.update(generator=generator, content_kernel='7x7')
  config.data.update(a='~B', b='B', load_size=256, resize='bicubic', flip=True)
  _fall(config, config.num_steps // 2)
  return config


def small(config: ml_collections.ConfigDict) -> None:
  """Makes contents and discriminators of the authors' widths fit pictures of 28 to 64 pixels.

  Contents are half as wide and high as the picture. All players play at every step.
  """
  config.model.update(
    downsamplings=1,
    attribute_downsamplings=3,
    discriminator_depth=2,
    discriminator_scales=2,
    content_depth=2,
    others_every=1,
  )


def quick(config: ml_collections.ConfigDict, blocks: int = 2) -> None:
  """Narrows the networks of `small` and shortens the schedule to minutes on a CPU.

  They are a quarter of the authors' channels (half in the discriminators) at four times the rate,
  which falls to 0 over the last third, without weight decay.

  Args:
    config: changed in place.
    blocks: residual blocks of a domain's own in an encoder, and in a generator.
  """
  config.model.update(width=16, blocks=blocks, mlp=64, discriminator_width=32)
  config.update(
    batch_size=4, num_steps=3_000, checkpoint_every=1_000, sample_every=1_000
  )
  for player in config.optimizers.values():
    player.update(learning_rate=4 * player.learning_rate, weight_decay=0.0)
  _fall(config, 2_000)


def _fall(config: ml_collections.ConfigDict, start: int) -> None:
  """Lets the rates of all players fall to 0 in a straight line from a step on."""
  for player in config.optimizers.values():
    player.update(schedule='linear', schedule_start=start)
