"""One digit, coloured by addition or by CycleGAN: the baseline of EGSC-IT's Table 2.

The data are those of configs/digits_single.py: a are black or white digits, b digits of two of
three colours, of which training shows red on green only where the digit is above 4, 28x28.
`:cyclegan` is CycleGAN with a PatchGAN, which takes no exemplar (`:cyclegan,identity` with its
code's identity loss). EGSC-IT's paper does not say how it ran it: batches, pictures and iterations
are those of EGSC-IT. Without `:cyclegan` the additional mask (IEEE Access 2023) paints the digits,
which is not published anywhere; a mask of 1 is too little between black and white, so
`model.mask_range` is 2. `:attention` multiplies that mask with a predicted attention. One value of
lambda_r is `:lambda_r=0.01`, `:lambda_r=0.1` or `:lambda_r=1`.

MNIST's four files are those in config.data.path; `:embedded` takes scikit-learn's digits, `:tfds`
TFDS's mnist. `:quick` is for minutes on a CPU: a quarter of the channels, half of the blocks, 3,000
steps.

  paper: EGSC-IT Table 2, CycleGAN: SSIM with the exemplar A->B 0.214 +- 0.168, B->A 0.089 +- 0.166
  ours: not run
  hours and hardware: not stated by the authors
  command: python -m maskgan_jax.train --config=configs/additional_mask_digits.py:cyclegan,quick \\
      --workdir=runs/cyclegan_digits --config.data.path=DIRECTORY_WITH_MNIST
"""

from maskgan_jax.recipes import additional_mask as settings
from maskgan_jax.recipes import egsc_it as recipe


def get_config(argument: str = ''):
  config, chosen = settings.default(
    argument, size=28, values=(0.01, 0.1, 1), more=('quick', 'embedded', 'tfds')
  )
  experiment = recipe.DIGITS_SINGLE
  config.update(batch_size=experiment.batch_size, num_steps=experiment.iterations)
  recipe.digits(config, chosen, 'single', ())
  config.evaluators = ('similarity', 'changes')
  config.data.update(
    flip=True,
    zoom_probability=0.5,
    zoom_least=0.8,
    load_size=0,
    test_whole=False,
    own_test=True,
  )
  config.model.discriminator = 'patch'  # DCGAN's takes powers of 2
  if 'cyclegan' not in chosen:
    config.model.mask_range = 2.0
  if 'quick' in chosen:
    config.model.update(width=16, blocks=3, discriminator_width=16)
    config.num_steps = 3_000
  return settings.finish(config, chosen)
