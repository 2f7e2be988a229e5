"""Street views from a game to German cities and back: GTA5 and Cityscapes.

EGSC-IT (ICLR 2019) at 256x512 (theirs by way of 512x1024). a are pictures of GTA5, b of Cityscapes
in trainA, trainB, testA and testB below config.data.path. `:official` (the default) is the authors'
code with their weights and schedule, `:paper` the paper's text where it differs; `:no_mask`,
`:no_adain` and `:no_perceptual` are Table 2's ablations, `:first` and `:second` the two stages as
two runs. The perceptual network is ImageNet's VGG-19 (weights/vgg19.safetensors, see
import_weights); without it `:labels` trains one on telling the two domains apart, which is all the
labels there are.

The segmentation score is as in configs/gta5_bdd.py.

  paper: supplementary material only, no figures in numbers
  ours: not run
  hours and hardware: not stated by the authors
  command: python -m maskgan_jax.train --config=configs/gta5_cityscapes.py \\
      --workdir=runs/gta5_cityscapes
"""

from maskgan_jax.recipes import egsc_it as recipe


def get_config(argument: str = ''):
  return recipe.street_views(recipe.GTA5_CITYSCAPES, argument, 'gta5_cityscapes')
