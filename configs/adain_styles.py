"""Photographs after paintings by AdaIN, nearly as its authors trained it (ICCV 2017).

Contents are the pictures of data/styles/trainA (MS-COCO's, in the paper), styles those of trainB
(WikiArt's); testA and testB are measured. The square in the middle is resized to 512 pixels and
random crops of 256 are trained on; the authors' crops come from all of a picture, whose shorter
side is 512. Features are the normalised VGG-19's, from
weights/vgg_normalised.safetensors; `:edges` takes VGG-16 tuned to edges (see import_weights).
`:official` (the default) is the authors' loss, `:paper` the paper's norms.

  paper: losses over 10 styles and 50 contents (its Fig. 3); 56 pictures of 256x256 a second on a
    Titan X, without encoding the style
  ours: not run (needs pictures and the network's weights)
  hours and hardware: not stated by the authors; 160,000 steps at batch 8
  command: python -m maskgan_jax.train --config=configs/adain_styles.py --workdir=runs/adain
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import style_transfer as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('official', 'paper', *recipe.FEATURES))
  config = run_config.default('adain')
  config.update(variant=run_config.variant(chosen, 'official'), num_steps=160_000)
  recipe.photographs(config, chosen, 256)
  return run_config.finish(config, chosen)
