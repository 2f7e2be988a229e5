r"""Horses and zebras at 256x256, one translation for each picture.

U-GAT-IT (ICLR 2020), one of its paper's five pairs of domains. a are horses, b are zebras. `:paper`
(the default) is the authors' TensorFlow code, which made the paper's numbers, `:pytorch` their
PyTorch code. `:light` is their smaller form, with 10.6 million parameters in a generator and not
279. The pictures are TFDS's, or with `:folder` those in trainA, trainB, testA and testB below
config.data.path.

  paper: pictures, KID and a user study, which are not among the tables here
  ours: not run
  hours and hardware: four days on one V100 with 32 GB, say the authors; 1,000,000 steps at batch 1
  command: python -m maskgan_jax.train --config=configs/ugatit_horse2zebra.py \\
      --workdir=runs/ugatit_horse2zebra
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import ugatit as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, (*recipe.ARGUMENTS, 'folder'))
  config = recipe.photographs(chosen)
  if 'folder' in chosen:
    config.data.update(source='folder', path='data/horse2zebra')
  else:
    config.data.update(source='tfds', name='cycle_gan/horse2zebra')
  config.data.validation_fraction = 0.01
  return run_config.finish(config, chosen)
