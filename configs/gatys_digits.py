"""Single digits by Gatys et al.: "neural style transfer" in EGSC-IT's supplement.

MNIST-Single as in configs/digits_single.py. Every picture is optimised for itself. With
`:imagenet`, which reads ImageNet's VGG-19 from weights/vgg19.safetensors, nothing is trained, and
`train` only writes the run that is measured; so with `:edges`, VGG-16 tuned to edges (weights/
hed_vgg16.safetensors). Without either, a network of VGG-19's shape learns the ten digits, and
results say so. Pictures of 28x28 enter it 448x448 large. MNIST's four files are those in
config.data.path; `:embedded` takes scikit-learn's digits, `:tfds` TFDS's mnist.

`:official` (the default) is the authors' notebook, `:paper` the paper's average pooling, noise and
sums. `:quick` is for minutes on a CPU: 56x56, a quarter of the channels, 100 steps of Adam. Only
the first 100 pairs are measured: each costs an optimisation.

  paper: in EGSC-IT's supplement, which was not at hand
  ours: not run
  hours and hardware: not stated by the authors
  command: python -m maskgan_jax.train --config=configs/gatys_digits.py:quick \\
      --workdir=runs/gatys_digits --config.data.path=DIRECTORY_WITH_MNIST
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import style_transfer as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('official', 'paper', *recipe.DIGITS))
  config = run_config.default('gatys')
  config.update(variant=run_config.variant(chosen, 'official'), num_steps=1_000)
  recipe.digits(config, chosen)
  config.update(evaluation_pairs=100, evaluation_batch_size=4)
  if 'quick' in chosen:
    config.evaluation_batch_size = 20
    config.model.update(optimizer='adam', steps=100, rate=5.0)
  if config.model.perceptual.endswith('.safetensors'):
    config.num_steps = 1  # nothing is trained
  return run_config.finish(config, chosen)
