"""Quickstart: glasses from one cartoon face to another, in five minutes on two CPU cores.

Content transfer (ICLR 2020) of Eyeglasses on 32x32 avatars, 2,400 faces or so of each domain, with
the authors' weights for glasses and a network of 1/4 their width.

  paper: none (CelebA at 128x128: configs/celeba_glasses.py)
  command: python -m maskgan_jax.train --config=configs/quickstart.py --workdir=runs/quickstart
"""

from maskgan_jax.runs import config as run_config


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
  config.model.update(width=16, depth=4, separate_channels=16, discriminator_width=128)
  config.data.update(source='avatars', a='~Eyeglasses', b='Eyeglasses', num_train=4_800,
                     num_validation=600, num_test=600)
  return run_config.finish(config, chosen)
