r"""One digit in other colours by UNIT, which takes no exemplar: a baseline of EGSC-IT's Table 2.

The data are those of configs/digits_single.py: a are black or white digits, b digits of two of
three colours, of which training shows red on green only where the digit is above 4, 28x28. The
paper of EGSC-IT does not say how it ran UNIT: batches, pictures and iterations are its own ones.
`:paper` (the default) is the authors' first code, with shared layers, `:rerelease` what their
repository has today. Neither fits 28 pixels: latents are halved once and not twice, discriminators
have four strided convolutions and not six, or two at two scales and not four at three.

MNIST's four files are those in config.data.path; `:embedded` takes scikit-learn's digits, `:tfds`
TFDS's mnist. `:quick` is for minutes on a CPU: a quarter of the channels (in the re-release half of
the discriminators' and of the blocks), four times the learning rate, 3,000 steps.

  paper: EGSC-IT Table 2, UNIT: SSIM with the exemplar A->B 0.178, B->A 0.074
  ours: `:quick` 0.171 +- 0.144, 0.079 +- 0.078
  hours and hardware: not stated by the authors; `:quick` 10 to 14 minutes on one CPU core
  command: python -m maskgan_jax.train --config=configs/unit_digits.py:quick \\
      --workdir=runs/unit_digits --config.data.path=DIRECTORY_WITH_MNIST
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import egsc_it as digits_recipe
from maskgan_jax.recipes import unit as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(
    argument, ('paper', 'rerelease', 'quick', 'embedded', 'tfds')
  )
  experiment = digits_recipe.DIGITS_SINGLE
  config = recipe.default(
    run_config.exclusive(chosen, ('paper', 'rerelease')) or 'paper'
  )
  config.update(
    image_size=experiment.height,
    batch_size=experiment.batch_size,
    num_steps=5 * experiment.iterations,
  )
  digits_recipe.digits(config, chosen, 'single', ())
  config.evaluators = ('similarity', 'changes')
  config.data.update(flip=True, zoom_probability=0.5, zoom_least=0.8, fixed_pairs=True)
  recipe.small(config)
  if 'quick' in chosen:
    recipe.quick(config)
  return run_config.finish(config, chosen)
