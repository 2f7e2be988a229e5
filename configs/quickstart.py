"""Quickstart: glasses from one cartoon face to another, in minutes on two CPU cores.

Content transfer (ICLR 2020) of Eyeglasses on 32x32 avatars, 4,800 faces, about half of them with
glasses, at the authors' loss weights for glasses. The networks have half the authors' channels and
two layers less; the learning rate is 5 times the authors' 2e-4 (1e-3, the discriminator's 5e-4) and
falls linearly from step 800, because 1,500 steps must do.

  paper: none (CelebA at 128x128: configs/celeba_glasses.py)
  ours: README.md and REPRODUCING.md
  command: python -m maskgan_jax.train --config=configs/quickstart.py --workdir=runs/quickstart
"""

from maskgan_jax import config as run_config


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ())
  config = run_config.default('content_transfer')
  config.name = 'quickstart'
  config.image_size = 32
  config.batch_size = 32
  config.num_steps = 1_500
  config.log_every = 50
  config.checkpoint_every = 500
  config.sample_every = 500
  config.model.update(
    width=16,
    depth=4,
    separate_channels=16,
    discriminator_width=128,
    removal_code='zeros',
  )  # the paper's removal: the authors' code adds noise
  config.optimizers.autoencoder.update(
    learning_rate=1e-3, schedule='linear', schedule_start=800
  )
  config.optimizers.discriminator.learning_rate = 5e-4
  config.data.keep_aspect = True  # of one's own pictures, given to translate
  config.data.update(
    source='avatars',
    a='~Eyeglasses',
    b='Eyeglasses',
    num_train=4_800,
    num_validation=600,
    num_test=600,
  )
  return run_config.finish(config, chosen)
