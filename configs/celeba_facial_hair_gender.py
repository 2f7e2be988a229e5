"""Facial hair and gender between CelebA faces, together or one by one.

LOMIT (IJCAI 2019; ICLR 2019 submission) on CelebA at 128x128. a and b are any two faces; their
labels are what the critic classifies: all four, `:facial_hair` (three) or `:gender` (one). That
the papers' rows of one attribute are trainings of their own is an assumption: section 5.3 of ICLR
has single attributes from the model for several, its masks edited by hand.
`:official` (the default) is the authors' code, with their weights for the four (which turn R1 off,
here and in `:ijcai`) and their test set, the list's first 1,999 rows. `:ijcai` and `:iclr` are the
papers' text where it differs, with a random 2,000 pictures as test set;
configs/celeba_hair_smile.py says how. Arguments combine: `:iclr,gender`.

  paper: IJCAI Table 1, F.H & G: FID 19.31; ICLR Table 1: accuracy 68.1 % and IS 0.2069, of facial
    hair alone 71.4 % and 0.3105, of gender alone 83.9 % and 0.2348
  ours: not run (needs CelebA: img_align_celeba/ and list_attr_celeba.txt in config.data.path)
  hours and hardware: 30 h on one TITAN Xp (ICLR appendix 7.2); 200,000 steps at batch 8
  command: python -m maskgan_jax.train --config=configs/celeba_facial_hair_gender.py \\
      --workdir=runs/celeba_facial_hair_gender --config.data.path=data/celeba
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import lomit as recipe

# In the authors' order.
PARTS = {
  'Mustache': 'facial_hair',
  'No_Beard': 'facial_hair',
  'Male': 'gender',
  'Goatee': 'facial_hair',
}


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(
    argument, ('official', 'ijcai', 'iclr', 'facial_hair', 'gender')
  )
  parts = chosen & {'facial_hair', 'gender'} or {'facial_hair', 'gender'}
  config = run_config.default('lomit')
  recipe.apply(config, run_config.variant(chosen, 'official'), 'facial_hair_gender')
  recipe.celeba(config, tuple(name for name, part in PARTS.items() if part in parts))
  return run_config.finish(config, chosen)
