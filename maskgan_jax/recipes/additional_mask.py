"""Makes what the configs of the additional-mask paper's experiments have in common."""

from collections.abc import Collection, Sequence

import ml_collections

from maskgan_jax import config as run_config

ARGUMENTS = ('cyclegan', 'tuned', 'identity', 'attention')
_EPOCHS = 200  # CycleGAN's; the paper says nothing


def default(
  argument: str,
  *,
  size: int,
  values: Sequence[float],
  pictures: int = 0,
  beyond: Sequence[float] = (),
  more: Sequence[str] = (),
) -> tuple[ml_collections.ConfigDict, set[str]]:
  """Returns a config of the paper's, and which of the arguments were chosen.

  Args:
    argument: of the config; takes ARGUMENTS, `more`, and 'lambda_r=VALUE' for each of the values.
    size: of images in pixels. 64 or less: the paper's batches of 32 and DCGAN discriminator; above:
      CycleGAN's single images and PatchGAN.
    values: of lambda_r for the sweep; training alone takes the middle one, unless it names another.
    pictures: in the larger of the two domains, about 4/5 of them for training; sets the length.
    beyond: other values of lambda_r that the paper shows, for training alone.
    more: arguments of this config alone, of which 'supervised' counts here too.
  """
  lambdas = {f'lambda_r={value:g}': float(value) for value in (*values, *beyond)}
  chosen = run_config.parse_argument(argument, (*ARGUMENTS, *lambdas, *more))
  config = _sized(size)
  config.num_steps = max(1, _EPOCHS * (4 * pictures // 5) // config.batch_size)

  # One lambda_r to train with, and those of a sweep.
  named = run_config.exclusive(chosen, tuple(lambdas))
  middle = float(sorted(values)[len(values) // 2])
  config.weights.mask = lambdas.get(named, middle)
  config.sweep.update(
    field='weights.mask', over=tuple(float(value) for value in values)
  )

  if named:
    for other in ('cyclegan', 'supervised'):  # they have no lambda_r
      run_config.exclusive(chosen, (named, other))
  _choose(config, chosen)
  return config, chosen


def _sized(size: int) -> ml_collections.ConfigDict:
  """Returns the method's config for images of this size, with CycleGAN's data handling."""
  config = run_config.default('additional_mask')
  config.update(
    image_size=size, batch_size=1, evaluators=('changes',), evaluation_batch_size=8
  )
  if size <= 64:
    config.update(batch_size=32, evaluation_batch_size=64)
    config.model.update(discriminator='dcgan', blocks=6)

  # Trained on parts of 256 pixels of 286 (or as large ones of less), tested on all.
  config.data.update(
    a='~B',
    b='B',
    load_size=round(286 * size / 256),
    test_whole=True,
    resize='bicubic',
    own_test=False,
    test_fraction=0.2,
    validation_fraction=0.01,
  )
  return config


def _choose(config: ml_collections.ConfigDict, chosen: Collection[str]) -> None:
  """Applies ARGUMENTS: plain CycleGAN, our departures, the outlook's attention, Fig. 2's scheme."""
  run_config.exclusive(chosen, ('cyclegan', 'attention'))
  run_config.exclusive(chosen, ('cyclegan', 'tuned'))
  run_config.exclusive(chosen, ('cyclegan', 'supervised'))
  run_config.exclusive(chosen, ('identity', 'supervised'))
  if 'cyclegan' in chosen:
    config.variant = 'cyclegan'
    config.sweep.update(field='', over=())
  if 'tuned' in chosen:
    config.variant = 'tuned'
    # What translates is an average over the last hundreds of steps, which levels what Adam's
    # constant rate of 2e-4 keeps shaking; that rate is five times as high and falls to 0.
    config.ema_decay = 0.99
    for player in config.optimizers.values():
      player.learning_rate = 1e-3
  if 'identity' in chosen:
    config.weights.identity = config.weights.cycle / 2
  if 'attention' in chosen:
    config.model.attention = True
  if 'supervised' in chosen:
    config.model.scheme = 'supervised'
    config.data.aligned = True
    config.sweep.update(field='', over=())


def photographs(
  config: ml_collections.ConfigDict, chosen: Collection[str], name: str
) -> None:
  """Sets the data to CycleGAN's pictures: TFDS's, or with 'folder' those below data/NAME."""
  if 'folder' in chosen or 'supervised' in chosen:  # TFDS does not keep pairs together
    config.data.update(source='folder', path=f'data/{name}')
  else:
    tfds_name = 'summer2winter_yosemite' if name == 'summer2winter' else name
    config.data.update(source='tfds', name=f'cycle_gan/{tfds_name}')


def finish(
  config: ml_collections.ConfigDict, chosen: Collection[str]
) -> ml_collections.ConfigDict:
  """Lets the rates of 'cyclegan' and 'tuned' fall over the second half; applies 'smoke'.

  The half is of the config's own number of steps: with another, set the players' schedule_start.
  """
  if not {'cyclegan', 'tuned'}.isdisjoint(chosen):
    for player in config.optimizers.values():
      player.update(schedule='linear', schedule_start=config.num_steps // 2)
  every = max(1, config.num_steps // 20)
  config.update(checkpoint_every=every, sample_every=every)
  return run_config.finish(config, chosen)
