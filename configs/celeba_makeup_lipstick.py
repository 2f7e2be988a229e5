"""Heavy makeup and lipstick between CelebA faces, or lipstick alone.

LOMIT (ICLR 2019 submission) on CelebA at 128x128. a and b are any two faces; their labels are what
the critic classifies: both, or with `:lipstick` that one, in a training of its own. The paper has
no such training of LOMIT, only of its baselines: for single attributes it removes parts of the
masks of the model for several by hand (ICLR section 5.3). `:official` (the default) is the authors'
code, with their weights for the two (they also tried without any mask regulariser) and their test
set, the list's first 1,999 rows. `:iclr` is the paper's text where it differs, with a random 2,000
pictures as test set; configs/celeba_hair_smile.py says how. The IJCAI paper has no such row.
Arguments combine: `:iclr,lipstick`.

  paper: ICLR Table 1: accuracy 72.8 % and IS 0.2834, of lipstick alone 73.7 % and 0.2528
  ours: not run (needs CelebA: img_align_celeba/ and list_attr_celeba.txt in config.data.path)
  hours and hardware: 30 h on one TITAN Xp (ICLR appendix 7.2); 200,000 steps at batch 8
  command: python -m maskgan_jax.train --config=configs/celeba_makeup_lipstick.py \\
      --workdir=runs/celeba_makeup_lipstick --config.data.path=data/celeba
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import lomit as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('official', 'iclr', 'lipstick'))
  config = run_config.default('lomit')
  recipe.apply(config, run_config.variant(chosen, 'official'), 'makeup')
  makeup = () if 'lipstick' in chosen else ('Heavy_Makeup',)
  recipe.celeba(config, (*makeup, 'Wearing_Lipstick'))
  return run_config.finish(config, chosen)
