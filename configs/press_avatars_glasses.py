"""Glasses between cartoon faces by Press et al., content transfer's baseline.

The counterpart of configs/avatars_glasses.py, where every answer is known exactly. The default is
64x64, the authors' networks less one layer. `:quick` is 32x32 with content transfer's sizes in
configs/quickstart.py, for minutes on one CPU core. `:paper` has the paper's objective where it
differs from the authors' code (methods/press.py, VARIANTS).

  paper: none; the CelebA counterpart is configs/press_celeba_glasses.py
  ours: not run
  hours and hardware: not run
  command: python -m maskgan_jax.train --config=configs/press_avatars_glasses.py:quick \\
      --workdir=runs/press
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import press as press_settings


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('quick', 'official', 'paper'))
  quick = 'quick' in chosen
  config = run_config.default('press')
  config.variant = run_config.variant(chosen, 'official')
  press_settings.drawn_faces(config, quick=quick)
  config.data.keep_aspect = True  # of one's own pictures, given to translate
  config.data.update(source='avatars', a='~Eyeglasses', b='Eyeglasses')
  if quick:
    config.data.update(num_train=4_800, num_validation=600, num_test=600)
    config.update(log_every=50, checkpoint_every=1_000, sample_every=1_000)
  else:
    config.data.update(num_train=20_000, num_validation=1_000, num_test=2_000)
    config.update(checkpoint_every=2_500, sample_every=2_500)
  config.evaluators = ('masks', 'truth', 'changes')
  return run_config.finish(config, chosen)
