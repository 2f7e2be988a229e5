r"""Summer to winter in Yosemite in many ways, at 256x256.

MUNIT (ECCV 2018) with the authors' weight of 10 on the cycle, as in their config for these
pictures: places stay what they are. a is summer, b is winter. `:official` (the default) is the
authors' code, `:paper` the paper's text where it differs. The pictures are TFDS's, or with
`:folder` those in trainA, trainB, testA and testB below config.data.path.

  paper: pictures only
  ours: not run
  hours and hardware: not stated by the authors; here their 1,000,000 steps at batch 1
  command: python -m maskgan_jax.train --config=configs/munit_summer2winter.py \\
      --workdir=runs/munit_summer2winter
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import munit as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('official', 'paper', 'folder'))
  variant = run_config.variant(chosen, 'official')
  config = recipe.photographs(variant, cycle=recipe.CYCLE_IN_PLACE)
  if 'folder' in chosen:
    config.data.update(source='folder', path='data/summer2winter')
  else:
    config.data.update(source='tfds', name='cycle_gan/summer2winter_yosemite')
  config.data.validation_fraction = 0.01
  return run_config.finish(config, chosen)
