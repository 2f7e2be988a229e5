"""Dogs to cats by addition, at 256x256.

Additional mask (IEEE Access 2023), Figs. 12 and 13, its failures: ears change, eyes and noses do
not. a are dogs, b are cats. `:cyclegan` is plain CycleGAN (`:cyclegan,identity` with its code's
identity loss), the baseline; `:attention` multiplies the mask with a predicted attention, the
paper's outlook.

The paper does not say where its pictures are from. These are a substitute, the Oxford-IIIT Pet data
of TFDS (2,492 dogs and 1,188 cats in its train split; whole animals in rooms and gardens);
`:folder` takes those in trainA and trainB below config.data.path, for as many steps. As in the
paper the test set is a fifth of the training pictures; the data's own test pictures are left out.
One value of lambda_r is `:lambda_r=0.001`, `:lambda_r=1` or `:lambda_r=100`.

  paper: pictures only, for lambda_r of 0.001, 1 and 100
  ours: not run
  hours and hardware: not stated by the authors; here 200 epochs, CycleGAN's
  command: python -m maskgan_jax.sweep --config=configs/dog2cat.py --workdir=runs/dog2cat
"""

from maskgan_jax.recipes import additional_mask as settings


def get_config(argument: str = ''):
  config, chosen = settings.default(
    argument, size=256, values=(0.001, 1, 100), pictures=2_492, more=('folder',)
  )
  if 'folder' in chosen:
    config.data.update(source='folder', path='data/dog2cat')
  else:
    config.data.update(source='tfds', name='oxford_iiit_pet', a='Dog', b='Cat')
  config.data.keep_aspect = True  # pets come in all proportions
  return settings.finish(config, chosen)
