r"""Hair colour, sex and age of CelebA faces by labels: StarGAN, and AttentionGAN-v1-multi.

StarGAN (CVPR 2018) with the authors' networks, weights and schedule. They test on the first 1,999
rows of a shuffled list, this on those of the list as it is, and keeps about 200 further pictures
for the sample grids. a and b are any two faces, so that a batch has 16. `:attention` has the
generator of AttentionGAN-v1-multi, which predicts a mask and is trained alike. `:eyeglasses` has
content transfer's label in place of the authors' five, for Table 6.

  paper: its own figures were not at hand. LOMIT shows its pictures beside its own
  ours: not run (needs CelebA: img_align_celeba/ and list_attr_celeba.txt in config.data.path)
  hours and hardware: not stated by the authors; 200,000 steps at 16 pictures
  command: python -m maskgan_jax.train --config=configs/stargan_celeba.py \\
      --workdir=runs/stargan_celeba --config.data.path=data/celeba
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import stargan as recipe

LABELS = ('Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Male', 'Young')


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('attention', 'eyeglasses'))
  config = recipe.default()
  recipe.celeba(config, LABELS)
  if 'eyeglasses' in chosen:
    config.data.update(a='~Eyeglasses', b='Eyeglasses', attributes=())
  if 'attention' in chosen:
    config.model.outputs = 4
  return run_config.finish(config, chosen)
