"""Smiles between cartoon faces.

Content transfer (ICLR 2020) with the authors' weights for this attribute, where every answer is
known exactly. `:64` (the default) and `:128` choose the size; `:128` has the authors' networks.

  paper: none; the CelebA counterpart is configs/celeba_smile.py
  ours: not trained at these sizes yet (configs/quickstart.py is the 32x32 one)
  hours: 128x128 at batch 32 takes about what `benchmark` prints for it, times num_steps
  command: python -m maskgan_jax.train --config=configs/avatars_smile.py \\
      --workdir=runs/avatars_smile
"""

from maskgan_jax import config as run_config
from maskgan_jax.methods import content_transfer


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('64', '128'))
  config = run_config.default('content_transfer')
  config.data.keep_aspect = True  # of one's own pictures, given to translate
  config.data.update(
    source='avatars',
    a='~Smiling',
    b='Smiling',
    num_train=20_000,
    num_validation=1_000,
    num_test=2_000,
  )
  config.weights.update(content_transfer.weights('smile'))
  # The paper's removal: the authors' code adds noise.
  config.model.removal_code = 'zeros'
  if '128' in chosen:
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
  return run_config.finish(config, chosen)
