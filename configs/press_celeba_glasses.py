"""Glasses between CelebA faces by Press et al., content transfer's baseline.

CelebA at 128x128: the middle 178x178 pixels of aligned pictures, resized and mirrored at random.
`:official` (the default) is the authors' code. `:paper` has the paper's objective where it differs
(methods/press.py, VARIANTS). Both test on the first 64 pictures of each domain, the authors' rule,
and hold out 5 % of the training pictures to search the mask's threshold on, where the authors train
on them.

  paper: its own figures were not at hand. Content transfer measured it: Table 1 FID 178.5 +- 3.2,
    KID 14.6 +- 1.2; Table 2 accuracy 94.8 %; Table 3 similarity 0.68; Table 6 removal FID 172.0,
    KID 15.3, accuracy 100.0 %, similarity 0.73
  ours: not run (needs CelebA: img_align_celeba/ and list_attr_celeba.txt in config.data.path)
  hours and hardware: not stated by the authors; 1,250,000 steps at batch 32, their code's default
  command: python -m maskgan_jax.train --config=configs/press_celeba_glasses.py \\
      --workdir=runs/press_celeba --config.data.path=data/celeba
"""

from maskgan_jax import config as run_config


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('official', 'paper'))
  config = run_config.default('press')
  config.variant = run_config.variant(chosen, 'official')
  config.update(image_size=128, batch_size=32, num_steps=1_250_000)
  config.data.update(source='celeba', path='data/celeba', crop='center:178', flip=True)
  config.data.update(a='~Eyeglasses', b='Eyeglasses', test_first=64)
  return run_config.finish(config, chosen)
