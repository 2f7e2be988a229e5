"""Hair colour and smile between CelebA faces.

LOMIT (IJCAI 2019; ICLR 2019 submission) on CelebA at 128x128. a and b are any two faces with black,
blond or brown hair; their four labels are what the critic classifies. `:official` (the default) is
the authors' code, with their weights for these labels and their test set, what the list's first
1,999 rows hold. `:ijcai` and `:iclr` are the papers' text where it differs (methods/lomit.py,
VARIANTS), and hold out a random 2,000 of all pictures (ICLR section 5.1), of which the hair filter
leaves fewer. IJCAI gives no weights and no schedule: both are the authors'. ICLR has one set of
weights for all labels, and a learning rate that falls on a straight line to its half in every
10,000 steps from 100,000 on. R1 and the mask's size, sums over pixels in the papers, are means as
in the code (recipes/lomit.py says why). About 200 pictures are kept from training for the
sample grids; the authors train on them.

  paper: IJCAI Table 1, H & S: FID 21.82 (of how many pictures it does not say); ICLR Figure 7:
    users take 25.6 % for real
  ours: not run (needs CelebA: img_align_celeba/ and list_attr_celeba.txt in config.data.path)
  hours and hardware: 30 h on one TITAN Xp (ICLR appendix 7.2); 200,000 steps at batch 8
  command: python -m maskgan_jax.train --config=configs/celeba_hair_smile.py \\
      --workdir=runs/celeba_hair_smile --config.data.path=data/celeba
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import lomit as recipe

ANY_HAIR = 'Black_Hair | Blond_Hair | Brown_Hair'


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('official', 'ijcai', 'iclr'))
  config = run_config.default('lomit')
  recipe.apply(config, run_config.variant(chosen, 'official'), 'hair_smile')
  recipe.celeba(config, ('Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Smiling'), ANY_HAIR)
  return run_config.finish(config, chosen)
