"""Single digits by AdaIN: a row of the comparison in EGSC-IT's supplement.

MNIST-Single as in configs/digits_single.py: black or white digits, and digits of two of three
colours, here translated by features alone. The decoder learns on both domains, either as contents
after styles of the other. Pictures of 28x28 enter the network 448x448 large. MNIST's four files are
those in config.data.path; `:embedded` takes scikit-learn's digits, `:tfds` TFDS's mnist.

Features should be those of the normalised VGG-19: `:imagenet` reads it from
weights/vgg_normalised.safetensors. `:edges` takes VGG-16 tuned to edges (weights/
hed_vgg16.safetensors). Without either, a network of VGG-19's shape learns the ten digits in the
first steps, and results say so. `:official` (the default) is the authors' loss, `:paper` the
paper's norms. `:quick` is for minutes on a CPU: 56x56, a quarter of the channels, ten times the
rate.

  paper: in EGSC-IT's supplement, which was not at hand
  ours: not run
  hours and hardware: not stated by the authors
  command: python -m maskgan_jax.train --config=configs/adain_digits.py:quick \\
      --workdir=runs/adain_digits --config.data.path=DIRECTORY_WITH_MNIST
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import style_transfer as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('official', 'paper', *recipe.DIGITS))
  config = run_config.default('adain')
  config.update(variant=run_config.variant(chosen, 'official'), num_steps=160_000)
  recipe.digits(config, chosen)
  if 'quick' in chosen:
    # Sums over a quarter of the channels weigh as much as those over all.
    config.num_steps = 3_000
    config.weights.style = 0.4
    config.optimizers.decoder.update(
      learning_rate=1e-3, schedule='linear', schedule_start=2_000
    )
  return run_config.finish(config, chosen)
