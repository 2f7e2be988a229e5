"""Glasses between cartoon faces.

Content transfer (ICLR 2020) with the authors' weights for this attribute, where every answer is
known exactly. `:64` (the default) and `:128` choose the size; `:128` has the authors' networks.
`:narrow` is the 64x64 one for a CPU: half of the channels again, 4,000 steps at five times the
learning rate, falling linearly from the middle; `pretrained/content_transfer_avatars` is of it.

  paper: none; the CelebA counterpart is configs/celeba_glasses.py
  ours: `:narrow` on 282 test pairs: mask IoU 0.813, transfer 31.4 dB, error 0.043 where it should
      change and 0.010 elsewhere, removal 0.119 and 0.003; 4,000 steps, 36 min on one CPU core. The
      others are not trained yet (configs/quickstart.py is the 32x32 one)
  hours: 128x128 at batch 32 takes about what `benchmark` prints for it, times num_steps
  command: python -m maskgan_jax.train --config=configs/avatars_glasses.py \\
      --workdir=runs/avatars_glasses
"""

from maskgan_jax import config as run_config
from maskgan_jax.methods import content_transfer


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('64', '128', 'narrow'))
  size = run_config.exclusive(chosen, ('64', '128', 'narrow'))
  config = run_config.default('content_transfer')
  config.data.keep_aspect = True  # of one's own pictures, given to translate
  config.data.update(
    source='avatars',
    a='~Eyeglasses',
    b='Eyeglasses',
    num_train=20_000,
    num_validation=1_000,
    num_test=2_000,
  )
  config.weights.update(content_transfer.weights('glasses'))
  # The paper's removal: the authors' code adds noise.
  config.model.removal_code = 'zeros'
  if size == '128':
    config.update(image_size=128, num_steps=150_000)
  else:
    config.update(image_size=64, num_steps=30_000)
    config.model.update(width=32, depth=5, separate_channels=25)
  config.update(
    checkpoint_every=2_500,
    sample_every=2_500,
    evaluate_every=5_000,
    best_metric='mask_iou',
  )
  if size == 'narrow':
    config.model.update(width=16, separate_channels=16, discriminator_width=128)
    config.optimizers.autoencoder.update(
      learning_rate=1e-3, schedule='linear', schedule_start=2_000
    )
    config.optimizers.discriminator.learning_rate = 5e-4
    config.update(
      num_steps=4_000, checkpoint_every=1_000, sample_every=1_000, evaluate_every=0
    )
    config.data.update(num_train=8_000, num_validation=600, num_test=600)
  return run_config.finish(config, chosen)
