r"""Summer to winter in Yosemite in many ways, at 216x216, by DRIT++.

DRIT (ECCV 2018) with the mode seeking of DRIT++ (IJCV 2020), as its authors ran it on these
pictures: resized to 256x256, trained on random crops. a is summer, b is winter. `:official` (the
default) is the authors' code, `:paper` the paper's text where it differs. `:eccv2018` is DRIT
without mode seeking. `:feature_wise` has the generator that the authors use where shapes change, as
between cats and dogs. The pictures are TFDS's, or with `:folder` those in trainA, trainB, testA and
testB below config.data.path.

  paper: pictures, and measures of realism and diversity, which are not among the tables here
  ours: not run
  hours and hardware: not stated by the authors; here their 1,200 epochs, 738,000 steps at batch 1
  command: python -m maskgan_jax.train --config=configs/drit_summer2winter.py \\
      --workdir=runs/drit_summer2winter
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import drit as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(
    argument, ('official', 'paper', 'eccv2018', 'feature_wise', 'folder')
  )
  variant = run_config.variant(chosen, 'official')
  generator = 'feature_wise' if 'feature_wise' in chosen else 'concat'
  config = recipe.photographs(variant, generator=generator)
  config.model.mode_seeking = 'eccv2018' not in chosen
  if 'folder' in chosen:
    config.data.update(source='folder', path='data/summer2winter')
  else:
    config.data.update(source='tfds', name='cycle_gan/summer2winter_yosemite')
  config.data.validation_fraction = 0.01
  return run_config.finish(config, chosen)
