"""Apples and oranges by addition, at 64x64 as the paper sweeps lambda_r, or at 256x256.

Additional mask (IEEE Access 2023), Fig. 6 (64x64: batches of 32, DCGAN's discriminator; training on
parts of 72 pixels is CycleGAN's proportion). `:256` is for Figs. 1 and 8, whose size is not stated:
as the paper's other photographs, with CycleGAN's single images. a are apples, b are oranges.
`:cyclegan` is CycleGAN, the baseline, at 64x64 with the same discriminator
(`:cyclegan,identity` with its code's identity loss); `:attention` multiplies the mask with a
predicted attention, the paper's outlook.

The paper's test set is a fifth of the training pictures, and so it is here; the data's own test
pictures are left out. The pictures are TFDS's, or with `:folder` those in trainA and trainB below
config.data.path. Of each domain about one in a hundred is kept from training for sample grids.
One value of lambda_r is `:lambda_r=0.01`, `:lambda_r=0.1` or `:lambda_r=1`.

  paper: pictures only: with lambda_r of 0.01, 0.1 and 1, less and less is changed
  ours: not run
  hours and hardware: not stated by the authors; here 200 epochs, CycleGAN's
  command: python -m maskgan_jax.sweep --config=configs/additional_mask_apple2orange.py \\
      --workdir=runs/additional_mask_apple2orange
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import additional_mask as settings


def get_config(argument: str = ''):
  size = 256 if '256' in argument.split(',') else 64
  config, chosen = settings.default(
    argument,
    size=size,
    values=(0.01, 0.1, 1),
    pictures=1_019,
    more=('64', '256', 'folder'),
  )
  run_config.exclusive(chosen, ('64', '256'))
  settings.photographs(config, chosen, 'apple2orange')
  return settings.finish(config, chosen)
