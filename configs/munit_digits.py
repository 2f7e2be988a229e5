r"""One digit, its colours after another's, by MUNIT: a baseline of EGSC-IT's Table 2.

The data are those of configs/digits_single.py: a are black or white digits, b digits of two of
three colours, of which training shows red on green only where the digit is above 4, 28x28. The
paper of EGSC-IT does not say how it ran MUNIT: batches, pictures and iterations are its own ones.
The authors' networks do not fit 28 pixels: contents are halved once and not twice, style encoders
have three strided convolutions and not four, discriminators two at two scales and not four at
three.
`:official` (the default) is the authors' code, `:paper` the paper's text where it differs.

MNIST's four files are those in config.data.path; `:embedded` takes scikit-learn's digits, `:tfds`
TFDS's mnist. `:quick` is for minutes on a CPU: a quarter of the channels (half in the
discriminators), half of the blocks, four times the learning rate, 3,000 steps. The cycle weighs 10
in all of them; in the paper the cycle is an option.

  paper: EGSC-IT Table 2, MUNIT: SSIM with the exemplar A->B 0.463, B->A 0.227
  ours: `:quick` 0.444 +- 0.076, 0.169 +- 0.113; to the truth 0.504, 0.309
  hours and hardware: not stated by the authors; `:quick` 10 to 14 minutes on one CPU core
  command: python -m maskgan_jax.train --config=configs/munit_digits.py:quick \\
      --workdir=runs/munit_digits --config.data.path=DIRECTORY_WITH_MNIST
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import egsc_it as digits_recipe
from maskgan_jax.recipes import munit as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(
    argument, ('official', 'paper', 'quick', 'embedded', 'tfds')
  )
  experiment = digits_recipe.DIGITS_SINGLE
  config = run_config.default('munit')
  config.update(
    variant=run_config.variant(chosen, 'official'),
    image_size=experiment.height,
    batch_size=experiment.batch_size,
    num_steps=5 * experiment.iterations,
  )
  digits_recipe.digits(config, chosen, 'single', ())
  config.data.update(flip=True, zoom_probability=0.5, zoom_least=0.8, fixed_pairs=True)
  recipe.small(config)
  if 'quick' in chosen:
    recipe.quick(config)
  return run_config.finish(config, chosen)
