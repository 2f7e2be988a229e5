"""Photographs after paintings by Gatys et al. (CVPR 2016): an optimisation for each picture.

Contents are those of data/styles/testA, styles those of testB. Nothing is trained: `train` writes
the run that `translate` opens. `:official` (the default) is the authors' notebook: 500 steps of
L-BFGS from the content, maxima, VGG-19 from weights/vgg19.safetensors. `:paper` starts from noise,
pools means, and takes the normalised VGG-19 from weights/vgg_normalised.safetensors. `:edges` takes
VGG-16 tuned to edges (see import_weights).

  paper: no measures
  ours: not run (needs pictures and the network's weights)
  hours and hardware: not stated by the authors
  command: python -m maskgan_jax.train --config=configs/gatys_styles.py --workdir=runs/gatys
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import style_transfer as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('official', 'paper', *recipe.FEATURES))
  config = run_config.default('gatys')
  config.update(variant=run_config.variant(chosen, 'official'), num_steps=1)
  recipe.photographs(config, chosen, 512)
  config.update(batch_size=1, sample_pairs=2, evaluation_batch_size=1)
  return run_config.finish(config, chosen)
