"""Facial action units between the faces of EmotioNet, from a folder and a table.

LOMIT (IJCAI 2019; ICLR 2019 submission) at 128x128. a and b are any two faces; their twelve action
units are what the critic classifies. EmotioNet is given on request, as addresses: download what is
still there, cut the faces out (the authors: github.com/ageitgey/face_recognition), and make of its
table attributes.csv, beside the pictures; maskgan_jax/data/sources/table.py says how. A column
`split` in it decides what is tested; without one it is 1 % of the pictures. One in a thousand is
kept from training for the sample grids.

`:official` (the default) is the authors' code, `:ijcai` and `:iclr` the papers' text where it
differs; configs/celeba_hair_smile.py says how. Of EmotioNet the code has nothing: `:official` and
`:ijcai` take its weights for hair and smile, `:iclr` that paper's, the same for all data.

  paper: IJCAI Figure 4 and ICLR Figure 5, pictures only; 200,000 faces in training, 2,000 in test
  ours: not run
  hours and hardware: 30 h on one TITAN Xp (ICLR appendix 7.2); 200,000 steps at batch 8
  command: python -m maskgan_jax.train --config=configs/emotionet.py --workdir=runs/emotionet \\
      --config.data.path=data/emotionet \\
      --config.data.attributes_file=data/emotionet/attributes.csv
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import lomit as recipe

ACTION_UNITS = (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43)


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('official', 'ijcai', 'iclr'))
  config = run_config.default('lomit')
  recipe.apply(config, run_config.variant(chosen, 'official'), 'hair_smile')
  config.data.update(
    source='csv',
    path='data/emotionet',
    a='',
    b='',
    attributes_file='data/emotionet/attributes.csv',
    attributes=tuple(f'AU{number}' for number in ACTION_UNITS),
    flip=True,
    num_train=200_000,
    num_test=2_000,
    test_fraction=0.01,
    validation_fraction=0.001,
  )
  return run_config.finish(config, chosen)
