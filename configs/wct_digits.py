"""Single digits by WCT: a row of the comparison in EGSC-IT's supplement.

MNIST-Single as in configs/digits_single.py; decoders learn to paint digits of both domains, and
colours come from covariances alone. Pictures of 28x28 enter the network 448x448 large. MNIST's four
files are those in config.data.path; `:embedded` takes scikit-learn's digits, `:tfds` TFDS's mnist.

Features should be those of the normalised VGG-19: `:imagenet` reads it from
weights/vgg_normalised.safetensors. `:edges` takes VGG-16 tuned to edges (weights/
hed_vgg16.safetensors). Without either, a network of VGG-19's shape learns the ten digits in the
first steps, and results say so. `:quick` is for minutes on a CPU: 56x56, a quarter of the
channels, ten times the rate, and levels 3 to 1, because deeper maps have fewer pixels than
channels. There alpha is 1, all of the exemplar's colours.

  paper: in EGSC-IT's supplement, which was not at hand
  ours: not run
  hours and hardware: not stated by the authors
  command: python -m maskgan_jax.train --config=configs/wct_digits.py:quick \\
      --workdir=runs/wct_digits --config.data.path=DIRECTORY_WITH_MNIST
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import style_transfer as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('paper', *recipe.DIGITS))
  config = run_config.default('wct')
  config.update(variant=run_config.variant(chosen, 'paper'), num_steps=16_000)
  recipe.digits(config, chosen)
  if 'quick' in chosen:
    config.num_steps = 3_000
    config.model.update(levels=3, alpha=1.0)
    config.optimizers.decoders.update(
      learning_rate=1e-3, schedule='linear', schedule_start=2_000
    )
  return run_config.finish(config, chosen)
