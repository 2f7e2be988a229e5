"""Ten digits, each in the colour that the exemplar has for it: EGSC-IT's second digit experiment.

EGSC-IT (ICLR 2019) on MNIST-Multiple, 112x112: all ten digits at random places of a 4x4 grid; a are
black on white or white on black, b coloured on either, each digit in its own hue with a little
jitter of saturation and lightness. What the model has to find out is which digit is which.
`:official` (the default) is the authors' code with their weights and schedule, `:paper` the paper's
text where it differs; `:no_mask`, `:no_adain` and `:no_perceptual` as in configs/digits_single.py,
and so are `:embedded`, `:tfds`, `:imagenet`, `:first` and `:second`.

The perceptual network learns in which half of the picture each digit lies. `:quick` is for a CPU,
as in configs/digits_single.py, with 4,000 pictures of each domain.

  paper: Figure 6, no figures in numbers
  ours: not run
  hours and hardware: not stated by the authors
  command: python -m maskgan_jax.train --config=configs/digits_multiple.py:quick \\
      --workdir=runs/digits_multiple --config.data.path=DIRECTORY_WITH_MNIST
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import egsc_it as recipe

LABELS = (
  'Colored',
  'Background_white',
  *(f'Digit_{digit}_{half}' for digit in range(10) for half in ('top', 'left')),
)


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(
    argument, (*recipe.ARGUMENTS, 'quick', 'embedded', 'tfds', 'imagenet')
  )
  config = recipe.default(recipe.DIGITS_MULTIPLE, chosen)
  recipe.digits(config, chosen, 'multiple', LABELS)
  if 'quick' in chosen:
    recipe.quick(config)
    config.data.update(num_train=4_000, num_validation=100, num_test=1_000)
  return recipe.finish(config, chosen, 'digits_multiple')
