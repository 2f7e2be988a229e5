"""Makes what the configs of EGSC-IT's experiments have in common: how its authors ran it."""

from collections.abc import Collection
import dataclasses

import ml_collections

from maskgan_jax import config as run_config
from maskgan_jax import errors

ABLATIONS = ('no_mask', 'no_adain', 'no_perceptual')  # Table 2's three
STAGES = ('first', 'second')
ARGUMENTS = ('official', 'paper', 'tuned', *ABLATIONS, *STAGES)

# Of Cityscapes' 19 classes in its label maps, and in GTA5's.
STREET_CLASS_IDS = (
  7,
  8,
  11,
  12,
  13,
  17,
  19,
  20,
  21,
  22,
  23,
  24,
  25,
  26,
  27,
  28,
  31,
  32,
  33,
)

# Digits whose colours are measured apart.
DIGITS_APART = (
  'Digit_0 | Digit_1 | Digit_2 | Digit_3 | Digit_4',  # seen in every colour
  'Digit_5 | Digit_6 | Digit_7 | Digit_8 | Digit_9',  # red on green only
)


@dataclasses.dataclass(frozen=True)
class Experiment:
  """Holds a row of the authors' scripts.

  Attributes:
    height: in pixels, as `width`.
    downsamplings: stride-2 convolutions of an encoder.
    batch_size: pairs.
    learning_rate: of all players but the perceptual network.
    content: weight lambda_c in eq. 4; `style` is lambda_s.
    iterations: of each stage. One is a discriminator update, with one generator update in the first
      stage and five in the second, where it is five steps here. (In the code each of these updates
      has a batch of its own; here the discriminator's is the first of the generator's.)
  """

  height: int
  width: int
  downsamplings: int
  batch_size: int
  learning_rate: float
  content: float
  style: float
  iterations: int


DIGITS_SINGLE = Experiment(28, 28, 0, 8, 1e-5, 10.0, 1e3, 60_000)
DIGITS_MULTIPLE = Experiment(112, 112, 2, 8, 1e-5, 1e2, 1e4, 60_000)
# As many iterations as there are pairs: "epoch=1" of the scripts.
GTA5_CITYSCAPES = Experiment(256, 512, 2, 3, 1e-4, 5e2, 1e3, 24_466)
GTA5_BDD = Experiment(256, 512, 2, 3, 1e-4, 1e2, 1e4, 24_466)
CELEBA_GENDER = Experiment(128, 128, 2, 8, 1e-4, 10.0, 5e3, 94_509)


def default(
  experiment: Experiment, chosen: Collection[str]
) -> ml_collections.ConfigDict:
  """Returns a config with the authors' sizes, weights, schedule and augmentation.

  Of the augmentation one thing is left out on purpose: their flip lands a pixel beside the picture,
  so that every mirrored one has a grey first column.

  Args:
    experiment: one of the above.
    chosen: a config's arguments, of which ARGUMENTS count here: the variant, and what to leave out.
  """
  config = run_config.default('egsc_it')
  config.update(
    variant=run_config.variant(chosen, 'official'),
    image_size=experiment.height,
    batch_size=experiment.batch_size,
    num_steps=6 * experiment.iterations,
    checkpoint_every=20_000,
    sample_every=20_000,
    evaluators=('similarity',),
  )
  if experiment.width != experiment.height:
    config.image_width = experiment.width
  config.model.update(
    downsamplings=experiment.downsamplings, pretrain_steps=experiment.iterations
  )
  config.weights.update(content=experiment.content, style=experiment.style)
  for name, player in config.optimizers.items():
    if name != 'perceptual':
      player.learning_rate = experiment.learning_rate

  # Augmentation, and the pairs of the authors' files.
  config.data.update(flip=True, zoom_probability=0.5, zoom_least=0.8, fixed_pairs=True)
  _leave_out(config, chosen)
  if 'tuned' in chosen:
    # Each picture meets many exemplars, and what translates is an average over the last steps.
    config.data.fixed_pairs = False
    config.ema_decay = 0.999
  return config


def _leave_out(config, chosen):
  """Applies Table 2's ablations."""
  if set(ABLATIONS) <= set(chosen):  # UNIT, which has nothing to pretrain
    config.model.pretrain_steps = 0
    config.num_steps -= config.num_steps // 6
  if 'no_mask' in chosen:
    config.model.feature_mask = False
  if 'no_adain' in chosen:
    config.model.adain = False
  if 'no_perceptual' in chosen:
    config.weights.update(content=0.0, style=0.0)
    if 'tuned' in chosen:
      config.model.color_moments = 0.0  # another layer of the style loss


def digits(
  config: ml_collections.ConfigDict,
  chosen: Collection[str],
  name: str,
  labels: tuple[str, ...],
) -> None:
  """Sets the data of a config to coloured digits, and the perceptual network to one that fits.

  Args:
    config: changed in place.
    chosen: 'embedded' (scikit-learn's digits), 'tfds' (TFDS's mnist), else MNIST's own files;
      'imagenet': the perceptual network is read from weights/vgg19.safetensors.
    name: 'single' or 'multiple'.
    labels: what the perceptual network learns otherwise.
  """
  source = run_config.exclusive(chosen, ('embedded', 'tfds')) or 'idx'
  config.data.update(
    source='colored_digits',
    name=name,
    digits=source,
    a='~Colored',
    b='Colored',
    attributes=labels,
  )
  if source == 'idx':
    config.data.path = 'data/mnist'

  # Of single digits SSIM cannot judge alone: a blank picture has more of it than the truth.
  config.evaluators = ('similarity', 'embedding')
  if name == 'single':
    config.evaluators = ('similarity', 'digits', 'embedding')
  config.evaluation_pairs = 1_000  # the first, as in the authors' script
  if 'imagenet' in chosen:
    config.model.perceptual = 'weights/vgg19.safetensors'
    config.data.attributes = ()


def photographs(
  config: ml_collections.ConfigDict,
  chosen: Collection[str],
  labels: tuple[str, ...] = (),
) -> None:
  """Sets the perceptual network to ImageNet's, as the authors', or with 'labels' to our own."""
  config.model.perceptual = 'weights/vgg19.safetensors'
  config.data.attributes = ()
  if 'labels' in chosen:
    config.model.perceptual = 'labels'
    config.data.attributes = labels


def street_views(
  experiment: Experiment, argument: str, name: str
) -> ml_collections.ConfigDict:
  """Returns the config of game and real pictures in data/NAME; takes ARGUMENTS and 'labels'."""
  chosen = run_config.parse_argument(argument, (*ARGUMENTS, 'labels'))
  config = default(experiment, chosen)
  photographs(config, chosen)
  config.data.update(
    source='folder', path=f'data/{name}', a='~B', b='B', in_memory='never', workers=8
  )
  config.update(evaluation_batch_size=8, evaluators=('similarity', 'segmentation'))
  config.segmentation.ids = STREET_CLASS_IDS
  return finish(config, chosen, name)


def quick(config: ml_collections.ConfigDict) -> None:
  """Narrows the networks and shortens the schedule to minutes on a CPU.

  AdaIN is Huang and Belongie's: with the authors' variances and swapped roles so few steps end
  without one of the colours.
  """
  config.model.update(
    width=16,
    discriminator_width=16,
    perceptual_width=8,
    pretrain_steps=min(config.model.pretrain_steps, 1_000),
    adain_roles='written',
    adain_spread='deviation',
  )
  config.update(
    num_steps=config.model.pretrain_steps + 3_000,
    checkpoint_every=1_000,
    sample_every=1_000,
  )
  for name, player in config.optimizers.items():
    player.learning_rate = 4e-4
    if name == 'perceptual':
      player.learning_rate = 1e-3


def finish(
  config: ml_collections.ConfigDict, chosen: Collection[str], name: str
) -> ml_collections.ConfigDict:
  """Keeps one stage of both if `chosen` says so, and applies 'smoke'.

  `:first` trains F_A, F_B and the perceptual network alone, and `:second` takes them from the run
  that config.init_from names (by default runs/NAME_first).
  """
  length, stage = config.model.pretrain_steps, run_config.exclusive(chosen, STAGES)
  if stage and not length:
    raise errors.UserError(
      'without masks, AdaIN and perceptual losses nothing is left for a first '
      f'stage: leave out {stage!r}'
    )
  if 'first' in chosen:
    config.num_steps = length
  elif 'second' in chosen:
    config.update(num_steps=config.num_steps - length, init_from=f'runs/{name}_first')
    config.model.pretrain_steps = 0
  config = run_config.finish(config, chosen)
  if 'smoke' in chosen and 'first' in chosen:
    config.num_steps = config.model.pretrain_steps = 4
  return config
