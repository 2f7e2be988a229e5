"""Horses to zebras by addition, at 256x256.

Additional mask (IEEE Access 2023), Figs. 1, 6, 7 and 9. a are horses, b are zebras.
`:cyclegan` is plain CycleGAN (`:cyclegan,identity` with its code's identity loss), the baseline;
`:attention` multiplies the mask with a predicted attention, the paper's outlook.

The paper's test set is a fifth of the training pictures, and so it is here; the data's own test
pictures are left out. The pictures are TFDS's, or with `:folder` those in trainA and trainB below
config.data.path. Of each domain about one in a hundred is kept from training for sample grids.
One value of lambda_r is `:lambda_r=0.01`, `:lambda_r=0.1` or `:lambda_r=1`.

  paper: pictures only: with lambda_r of 0.01, 0.1 and 1, more and more stripes (it also says that
    a larger lambda_r changes less)
  ours: not run
  hours and hardware: not stated by the authors; here 200 epochs, CycleGAN's
  command: python -m maskgan_jax.sweep --config=configs/additional_mask_horse2zebra.py \\
      --workdir=runs/additional_mask_horse2zebra
"""

from maskgan_jax.recipes import additional_mask as settings


def get_config(argument: str = ''):
  config, chosen = settings.default(
    argument, size=256, values=(0.01, 0.1, 1), pictures=1_334, more=('folder',)
  )
  settings.photographs(config, chosen, 'horse2zebra')
  return settings.finish(config, chosen)
