"""Faces of women and men of CelebA, each after the other's example.

EGSC-IT (ICLR 2019, supplementary material) at 128x128. a are men, b are women, of CelebA's own
split; faces are cut out as the authors do (rows 20 to 198), and resized once where they go through
132 pixels. `:official` (the default) is the authors' code with their weights and schedule, `:paper`
the paper's text where it differs; `:no_mask`, `:no_adain` and `:no_perceptual` are Table 2's
ablations, `:first` and `:second` the two stages as two runs. The perceptual network is ImageNet's
VGG-19 (weights/vgg19.safetensors, see import_weights); without it `:labels` trains one on ten of
CelebA's attributes.

  paper: a figure in the supplementary material, no figures in numbers
  ours: not run
  hours and hardware: not stated by the authors
  command: python -m maskgan_jax.train --config=configs/celeba_gender.py \\
      --workdir=runs/celeba_gender
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import egsc_it as recipe

LABELS = (
  'Bangs',
  'Black_Hair',
  'Blond_Hair',
  'Eyeglasses',
  'Heavy_Makeup',
  'Male',
  'Mouth_Slightly_Open',
  'No_Beard',
  'Smiling',
  'Wearing_Hat',
)


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, (*recipe.ARGUMENTS, 'labels'))
  config = recipe.default(recipe.CELEBA_GENDER, chosen)
  recipe.photographs(config, chosen, LABELS)
  config.data.update(
    source='celeba', path='data/celeba', a='Male', b='~Male', crop='box:20,0,198,178'
  )
  return recipe.finish(config, chosen, 'celeba_gender')
