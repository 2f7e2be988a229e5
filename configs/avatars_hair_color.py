"""Hair colours between cartoon faces, where every answer is known exactly.

LOMIT (IJCAI 2019), its masks from each image by itself, on 64x64 avatars with six hair colours as
labels and input and exemplar drawn from the same faces. `:narrow` (the default) is for a CPU: a
quarter of the authors' channels (half in the critic), two residual blocks and four mask layers
instead of four and six, no 7x7 convolutions, a critic that plays twice as often as the generator
instead of five times, and three times the learning rate, falling linearly from step 2,500. `:128`
has the authors' networks, size and schedule.

  paper: none; the CelebA counterpart is configs/celeba_hair_smile.py
  ours: mask IoU 0.648, error 0.094 where the hair changes (do nothing: 0.314) and 0.074 elsewhere;
    `:narrow,tuned` 0.762, 0.078 and 0.019
  hours and hardware: `:narrow` 35 minutes on one CPU core, with `tuned` about an hour; `:128` was
    not trained
  command: python -m maskgan_jax.train --config=configs/avatars_hair_color.py \\
      --workdir=runs/avatars_hair_color
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import lomit as recipe

COLORS = (
  'Black_Hair',
  'Blond_Hair',
  'Brown_Hair',
  'Gray_Hair',
  'Pink_Hair',
  'Red_Hair',
)


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('narrow', '128', 'tuned'))
  config = run_config.default('lomit')
  config.variant = 'ijcai'
  # Means over pixels, as in the authors' code, whose weights these are; scales stay positive.
  config.model.update(
    similarity_reduction='mean', size_reduction='mean', style_scale='exp_half'
  )
  config.data.update(
    source='avatars',
    a='~Bald & ~Wearing_Hat',
    b='~Bald & ~Wearing_Hat',
    attributes=COLORS,
    transfer=('hair_color',),
    keep_aspect=True,
    num_train=8_000,
    num_validation=300,
    num_test=600,
  )
  if '128' in chosen:
    config.update(image_size=128, batch_size=8, num_steps=200_000)
  else:
    config.update(
      image_size=64,
      batch_size=8,
      num_steps=4_000,
      checkpoint_every=1_000,
      sample_every=1_000,
    )
    recipe.narrow(config, schedule_start=2_500)
    config.model.critic_depth = 5
  if 'tuned' in chosen:
    recipe.tuned(config)
  return run_config.finish(config, chosen)
