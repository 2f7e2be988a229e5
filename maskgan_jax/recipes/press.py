"""Press et al. on drawn faces: settings that the configs of its experiments share."""

import ml_collections


def drawn_faces(config: ml_collections.ConfigDict, *, quick: bool) -> None:
  """Sets networks, rates and length of a config for small drawn faces.

  At 64x64 the networks have one layer less than the authors', so that codes have 2x2 pixels as
  theirs do. The quick ones have content transfer's sizes in configs/quickstart.py; there is no
  mask that most of the picture comes through, so they train for twice as many steps.

  Args:
    config: `maskgan_jax.config.default('press')`, changed in place.
    quick: 32x32 and half of the channels, at five times the authors' rate (the discriminator's two
      and a half times), which falls linearly from the middle; else 64x64.
  """
  config.batch_size = 32
  if not quick:
    config.update(image_size=64, num_steps=30_000)
    config.model.depth = 5
    return
  config.update(image_size=32, num_steps=3_000)
  config.model.update(width=16, depth=4, separate_channels=16, discriminator_width=128)
  config.optimizers.autoencoder.update(
    learning_rate=1e-3, schedule='linear', schedule_start=1_500
  )
  config.optimizers.discriminator.learning_rate = 5e-4
