"""Heavy makeup and youth between CelebA faces.

LOMIT (IJCAI 2019) on CelebA at 128x128. a and b are any two faces; their two labels are what the
critic classifies. `:official` (the default) is the authors' code, with their weights for makeup and
lipstick, as their config never had these two labels, and their test set, the list's first 1,999
rows. `:ijcai` is the paper's text where it differs, with a random 2,000 pictures as test set;
configs/celeba_hair_smile.py says how. The ICLR submission leaves Young out.

  paper: IJCAI Table 1, M & Y: FID 26.01
  ours: not run (needs CelebA: img_align_celeba/ and list_attr_celeba.txt in config.data.path)
  hours and hardware: 30 h on one TITAN Xp (ICLR appendix 7.2); 200,000 steps at batch 8
  command: python -m maskgan_jax.train --config=configs/celeba_makeup_young.py \\
      --workdir=runs/celeba_makeup_young --config.data.path=data/celeba
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import lomit as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('official', 'ijcai'))
  config = run_config.default('lomit')
  recipe.apply(config, run_config.variant(chosen, 'official'), 'makeup')
  recipe.celeba(config, ('Heavy_Makeup', 'Young'))
  return run_config.finish(config, chosen)
