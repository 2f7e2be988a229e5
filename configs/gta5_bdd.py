"""Street views from a game to the real world and back: GTA5 and Berkeley Deep Drive.

EGSC-IT (ICLR 2019) at 256x512 (theirs by way of 512x1024). a are pictures of GTA5, b of BDD, in
trainA, trainB, testA and testB below config.data.path. `:official` (the default) is the authors'
code with their weights and schedule, `:paper` the paper's text where it differs; `:no_mask`,
`:no_adain` and `:no_perceptual` are Table 2's ablations, `:first` and `:second` the two stages as
two runs. The perceptual network is ImageNet's VGG-19 (weights/vgg19.safetensors, see
import_weights; the authors' is the one that Keras has); without it `:labels` trains one on telling
the two domains apart, which is all the labels there are.

Table 3 trains DeepLab on translated pictures. Here config.segmentation.network names a network, and
config.data.labels_path the label maps of testA: the mean IoU of what it sees in translations.

  paper: Table 3: mIoU 0.343 (source 0.329, oracle 0.448) on the BDD test set
  ours: not run
  hours and hardware: not stated by the authors
  command: python -m maskgan_jax.train --config=configs/gta5_bdd.py --workdir=runs/gta5_bdd
"""

from maskgan_jax.recipes import egsc_it as recipe


def get_config(argument: str = ''):
  return recipe.street_views(recipe.GTA5_BDD, argument, 'gta5_bdd')
