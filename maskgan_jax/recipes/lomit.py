"""How LOMIT's papers and authors ran it: settings that the configs of its experiments share."""

import ml_collections

from maskgan_jax import fields

_VARIANT = fields.field('official', fields.one_of('official', 'ijcai', 'iclr'))

# The authors' weights by labels: similarity, size, and `model.style_difference`. Their config
# changed; for hair and smile it also had (1, 1e-4, 0.01) and (0.1, 1e-4, 0.01).
WEIGHTS = {
  'hair_smile': (0.1, 1e-4, 0.0),
  'facial_hair_gender': (0.0, 1e-4, 0.0),
  'makeup': (0.1, 1e-4, 0.01),
}


def apply(config: ml_collections.ConfigDict, variant: str, labels: str) -> None:
  """Sets variant, sizes, weights and schedule of a config as the papers or the authors have them.

  Args:
    config: `maskgan_jax.config.default('lomit')`, changed in place.
    variant: 'official'; 'ijcai', which gives neither weights nor schedule and gets the authors'; or
      'iclr', with its weights for all labels (section 4.6) and its schedule (appendix 7.2). Under
      the papers' variants R1 and the mask's size are means over pixels as in the code, not the sums
      that the papers print: at 32x32 the sum R1 is a million times as large, and lambda_1 = 0.1 was
      not meant for it.
    labels: whose weights the authors' are, one of WEIGHTS.
  """
  fields.check_value('variant', variant, _VARIANT)
  config.update(
    variant=variant,
    image_size=128,
    batch_size=8,
    num_steps=200_000,
  )
  similarity, size, style_difference = WEIGHTS[labels]
  config.weights.update(similarity=similarity, size=size)
  if variant == 'official':
    config.model.style_difference = style_difference
    config.evaluation_batch_size = 8  # as in training: their statistics are the batch's
    return
  config.model.update(similarity_reduction='mean', size_reduction='mean')
  if variant == 'iclr':
    config.weights.update(similarity=0.1, size=1e-4)
    for player in config.optimizers.values():
      player.update(
        schedule='halve_linearly', schedule_start=100_000, schedule_every=10_000
      )


def narrow(config: ml_collections.ConfigDict, schedule_start: int) -> None:
  """Sets networks and rates that a CPU can train, for drawn faces.

  They are a quarter of the authors' channels (half in the critic), fewer blocks, no 7x7
  convolutions, and three times the learning rate. The critic plays twice as often as the generator.

  Args:
    config: changed in place.
    schedule_start: step from which the rates fall linearly.
  """
  config.model.update(
    width=16,
    blocks=2,
    mlp=64,
    mask_depth=4,
    outer_convolutions=False,
    critic_width=32,
    critic_every=2,
  )
  for player in config.optimizers.values():
    player.update(learning_rate=3e-4, schedule='linear', schedule_start=schedule_start)


def tuned(config: ml_collections.ConfigDict) -> None:
  """Sets the `tuned` variant and the weight of the mask's size that goes with it.

  The weight holds against `erasing`, which alone makes masks ever larger (docs/tuned.md).
  """
  config.variant = 'tuned'
  config.weights.size = 3.0


def celeba(
  config: ml_collections.ConfigDict, labels: tuple[str, ...], faces: str = ''
) -> None:
  """Sets the data of a config to CelebA: any two faces, cropped, and the variant's test set.

  The authors test on the first 1,999 rows of the list, the ICLR paper on 2,000 random pictures.
  About 200 pictures are kept from training for the sample grids; the authors train on them.

  Args:
    config: changed in place; `apply` first.
    labels: `data.attributes`.
    faces: predicate that selects both domains.
  """
  config.data.update(
    source='celeba',
    path='data/celeba',
    a=faces,
    b=faces,
    attributes=labels,
    crop='center:178',
    flip=True,
    validation_fraction=0.001,
  )
  if config.variant == 'official':
    config.data.test_rows = 1_999
  else:
    config.data.update(own_splits=False, test_fraction=2_000 / 202_599)
