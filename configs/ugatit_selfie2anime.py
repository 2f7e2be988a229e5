r"""Portraits as faces of animation, at 256x256, one translation for each.

U-GAT-IT (ICLR 2020) on the pictures of its paper, which its authors link to in their repository:
trainA, trainB, testA and testB below config.data.path, a are portraits, b is animation. `:paper`
(the default) is the authors' TensorFlow code, which made the paper's numbers, `:pytorch` their
PyTorch code. `:light` is their smaller form, with 10.6 million parameters in a generator and not
279. Any two folders take the place of these pictures: `--config.data.path=DIR`.

  paper: pictures, KID and a user study, which are not among the tables here
  ours: not run
  hours and hardware: four days on one V100 with 32 GB, say the authors; 1,000,000 steps at batch 1
  command: python -m maskgan_jax.train --config=configs/ugatit_selfie2anime.py \\
      --workdir=runs/ugatit_selfie2anime --config.data.path=DIRECTORY_WITH_SELFIE2ANIME
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import ugatit as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, recipe.ARGUMENTS)
  config = recipe.photographs(chosen)
  config.data.update(
    source='folder', path='data/selfie2anime', validation_fraction=0.01
  )
  return run_config.finish(config, chosen)
