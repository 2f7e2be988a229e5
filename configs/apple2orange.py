"""Apples and oranges, as CycleGAN's authors gathered them: two domains and no labels.

LOMIT (IJCAI 2019) at 128x128. a are apples, b are oranges; the critic classifies which of the two
it sees. Neither paper nor code says how this was trained, so all of it is an assumption: what the
authors have for hair and smile, pictures of 256x256 resized and flipped, the data's own test set.
`:official` (the default) is the authors' code, `:ijcai` the paper's text where it differs, as in
configs/celeba_hair_smile.py. The pictures are TFDS's, or with `:folder` those in
trainA, trainB, testA and testB below config.data.path. Of each domain about ten are kept from
training for the sample grids.

  paper: IJCAI Table 2: FID A->O 124.31, O->A 91.21 (AGGAN with an exemplar: 170.83 and 110.61)
  ours: not run
  hours and hardware: not stated by the authors; here 200,000 steps at batch 8
  command: python -m maskgan_jax.train --config=configs/apple2orange.py --workdir=runs/apple2orange
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import lomit as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('official', 'ijcai', 'folder'))
  config = run_config.default('lomit')
  recipe.apply(config, run_config.variant(chosen, 'official'), 'hair_smile')
  if 'folder' in chosen:
    config.data.update(source='folder', path='data/apple2orange')
  else:
    config.data.update(source='tfds', name='cycle_gan/apple2orange')
  config.data.update(a='~B', b='B', flip=True, validation_fraction=0.01)
  return run_config.finish(config, chosen)
