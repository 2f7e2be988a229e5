r"""Summer to winter in Yosemite at 256x256, one translation for each picture.

UNIT (NIPS 2017). `:paper` (the default) is the authors' first code, with shared layers and their
settings for cats and dogs, but not their crops: they enlarge pictures by 1.2 and train on random
squares of 216 pixels. `:rerelease` is what their repository has today, which has a config for
these pictures. a is summer, b is winter. The pictures are TFDS's, or with `:folder` those in
trainA, trainB, testA and testB below config.data.path.

  paper: none of these pictures
  ours: not run
  hours and hardware: not stated by the authors; here 500,000 steps at batch 1, or 1,000,000
  command: python -m maskgan_jax.train --config=configs/unit_summer2winter.py \\
      --workdir=runs/unit_summer2winter
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import unit as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('paper', 'rerelease', 'folder'))
  variant = run_config.exclusive(chosen, ('paper', 'rerelease')) or 'paper'
  config = recipe.photographs(variant)
  if 'folder' in chosen:
    config.data.update(source='folder', path='data/summer2winter')
  else:
    config.data.update(source='tfds', name='cycle_gan/summer2winter_yosemite')
  config.data.validation_fraction = 0.01
  return run_config.finish(config, chosen)
