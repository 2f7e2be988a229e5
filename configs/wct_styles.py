"""Photographs after paintings by WCT (Li et al., NeurIPS 2017).

Decoders of five levels learn to paint the pictures of data/styles/trainA (MS-COCO's, in the paper)
from features; styles are those of testB. The square in the middle is resized to 512 pixels and
random crops of 256 are trained on. Features are the normalised VGG-19's, from
weights/vgg_normalised.safetensors; `:edges` takes VGG-16 tuned to edges (see import_weights).
The authors' code of training is not published: rate and its decay, batch, steps and means for
squares are those of another implementation (github.com/eridgd/WCT-TF), and the decoders learn at
the same time.

  paper: no measure of quality that has an answer
  ours: not run (needs pictures and the network's weights)
  hours and hardware: not stated by the authors; 15,000 steps at batch 8
  command: python -m maskgan_jax.train --config=configs/wct_styles.py --workdir=runs/wct
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import style_transfer as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('paper', *recipe.FEATURES))
  config = run_config.default('wct')
  config.update(variant=run_config.variant(chosen, 'paper'), num_steps=15_000)
  recipe.photographs(config, chosen, 256)
  return run_config.finish(config, chosen)
