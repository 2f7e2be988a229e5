"""One digit, its colours after another's: EGSC-IT's controlled experiment, where answers are known.

EGSC-IT (ICLR 2019) on MNIST-Single, 28x28: a are black or white digits, b digits of two of three
colours, of which training shows red on green only where the digit is above 4. `:official` (the
default) is the authors' code with their weights and schedule, `:paper` the paper's text where it
differs, `:tuned` has departures of ours (docs/tuned.md); `:no_mask`, `:no_adain` and
`:no_perceptual` are Table 2's ablations. MNIST's four files are those in config.data.path;
`:embedded` takes scikit-learn's digits, `:tfds` TFDS's mnist.

The perceptual network is one of VGG-19's shape that learns the digits in the first stage;
`:imagenet` takes ImageNet's from weights/vgg19.safetensors (see import_weights; the authors' is the
one that Keras has).

`:quick` is for minutes on a CPU: a quarter of the channels (an eighth in the perceptual network),
40 times the learning rate, 1,000 steps of the first stage and 3,000 of the second, and AdaIN as
Huang and Belongie have it. `:first` and `:second` are its or the full schedule's stages as two
runs, the second with `config.init_from`.

  paper: Table 2: SSIM A->B 0.478 +- 0.090, B->A 0.232 +- 0.131, with the exemplar (not the truth);
    perfect translations have 0.484 and 0.226
  ours: `:quick` 0.336 +- 0.154, 0.149 +- 0.142; to the truth 0.481, 0.336; `:quick,tuned`
    0.440 +- 0.079, 0.186 +- 0.134; to the truth 0.515, 0.463
  hours and hardware: not stated by the authors; `:quick` 11 minutes on one CPU core,
    `:quick,tuned` an hour with much else beside it
  command: python -m maskgan_jax.train --config=configs/digits_single.py:quick \\
      --workdir=runs/digits_single --config.data.path=DIRECTORY_WITH_MNIST
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import egsc_it as recipe

# Not the colours: features that tell them apart find any two of them unlike, whatever they show.
LABELS = tuple(f'Digit_{digit}' for digit in range(10))


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(
    argument, (*recipe.ARGUMENTS, 'quick', 'embedded', 'tfds', 'imagenet')
  )
  config = recipe.default(recipe.DIGITS_SINGLE, chosen)
  recipe.digits(config, chosen, 'single', LABELS)
  config.data.apart = recipe.DIGITS_APART
  if 'quick' in chosen:
    recipe.quick(config)
    if 'tuned' in chosen:
      # Features of half the side: four times as many steps in the same time, and less weight on a
      # style loss that hardly tells colours apart (docs/tuned.md).
      config.model.downsamplings = 1
      config.weights.style = 100.0
      config.update(num_steps=16_000, checkpoint_every=2_000, sample_every=2_000)
  return recipe.finish(config, chosen, 'digits_single')
