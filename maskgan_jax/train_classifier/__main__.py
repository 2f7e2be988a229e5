"""Trains a small classifier of attributes on a config's pictures, to judge translations by.

  python -m maskgan_jax.train_classifier --config=configs/quickstart.py \\
      --output=classifiers/glasses.safetensors
  python -m maskgan_jax.train_classifier --config=configs/avatars_glasses.py \\
      --attributes=Eyeglasses,Smiling --output=classifiers/glasses_smile.safetensors
  python -m maskgan_jax.train_classifier --config=configs/celeba_facial_hair.py --attributes=B \\
      --config.data.path=data/celeba --output=classifiers/facial_hair.safetensors

The file goes into config.accuracy.network, for the evaluators 'accuracy' and 'identity'. The
classifier learns from the training pictures of both domains, as many of each; by default it learns
the attributes that tell the domains apart (of trainA and trainB, 'B') and config.data.attributes.

`--attributes=B` is the domain itself, 1 in b and 0 in a, whatever tells them apart, alone or beside
labels: content transfer's classifier (ICLR 2020, section 4), and what fits predicates that are not
a plain list of labels. No picture may then be in both domains. Where the data have a label B, as
trainA and trainB, that label is meant.

What the classifier gets right of the test pictures is printed and stays in the file, beside what
always giving the commoner answer gets.
SIGTERM and Ctrl-C exit with code 75; nothing is written then.
"""

from collections.abc import Callable, Sequence
import dataclasses
import os
import time

from absl import flags
import ml_collections

from maskgan_jax import cli, errors
from maskgan_jax import config as run_config
from maskgan_jax.pretrained_networks import classifiers
from maskgan_jax.pretrained_networks import files as weights
from maskgan_jax.train_classifier import fitting, subjects, testing


def train(
  config: ml_collections.ConfigDict,
  output: str,
  *,
  attributes: Sequence[str] = (),
  steps: int = 1_000,
  batch_size: int = 64,
  width: int = 16,
  learning_rate: float = 2e-3,
  seed: int = 0,
  poll: Callable[[], None] = lambda: None,
  note: Callable[[str], None] = print,
) -> classifiers.Classifier:
  """Trains, measures and writes a classifier; the same arguments give the same weights.

  Args:
    config: its data and size of pictures count.
    output: a new file, NAME.safetensors.
    attributes: names of labels, or 'B'; () is those of the config, see the module's docstring.
    steps: updates by Adam; the learning rate falls along a cosine, to 0 at the last.
    batch_size: pictures an update, half of them of each domain.
    width: channels of the first layer.
    learning_rate: of the first step.
    seed: of parameters, order and augmentation.
    poll: is called often; may raise to stop.
    note: takes lines on what is done.
  Raises:
    UserError: an attribute that is unknown or that all or no training pictures have, 'B' where
      pictures are in both domains, data that cannot be opened, an `output` that exists.
  """
  _check_options(output, batch_size, width)
  data, names = subjects.open_data(config, tuple(attributes), seed, note)
  recipe = fitting.Recipe(names, steps, batch_size, width, learning_rate, seed)
  params = fitting.fit(data, recipe, poll, note)
  return _test_and_write(params, recipe, data, output, poll, note)


def _check_options(output, batch_size, width):
  """Makes the file's folder; UserError for what would fail after minutes of training."""
  weights.require_new(output)
  if not 0 < width <= classifiers.MOST_WIDTH:
    raise errors.UserError(
      f'--width={width} must be from 1 to {classifiers.MOST_WIDTH}'
    )
  if batch_size < 2 or batch_size % 2:
    raise errors.UserError(
      f'--batch_size={batch_size} must be even: half of a batch is of each domain'
    )
  _make_folder(output)


def _test_and_write(params, recipe, data, output, poll, note):
  """Returns the classifier, in a file that says what it learned and how often it is right."""
  facts = classifiers.Facts(
    attributes=recipe.names,
    width=recipe.width,
    image_shape=data.image_shape,
    steps=recipe.steps,
    seed=recipe.seed,
    data=data.fingerprint,
  )
  if subjects.is_domain(recipe.names, data):
    described = data.describe()
    facts = dataclasses.replace(facts, domains=(described['a'], described['b']))

  # The test pictures judge it before the file is there.
  held_out = testing.measure(classifiers.Classifier(params, facts), data, poll=poll)
  facts = dataclasses.replace(facts, held_out=held_out)
  classifiers.write(output, params, facts)
  note('\n'.join(testing.lines(recipe.names, held_out)))
  return classifiers.Classifier(params, facts)


def _make_folder(output):
  """Makes the file's folder before minutes go into what the file will hold."""
  try:
    os.makedirs(os.path.dirname(output) or '.', exist_ok=True)
  except OSError as error:
    raise errors.UserError(
      f'cannot write {output}: {error.strerror or error}'
    ) from error


def define_flags() -> None:
  """Defines the command's flags; --config and --config.key=value come from `config`."""
  flags.DEFINE_string(
    'output', '', 'The file to write, NAME.safetensors; it must not exist.'
  )
  flags.DEFINE_list(
    'attributes',
    [],
    'What to learn, with commas between; B is domain b itself. '
    'By default what tells the domains apart and config.data.attributes.',
  )
  flags.DEFINE_integer('steps', 1_000, 'Updates.', lower_bound=1)
  flags.DEFINE_integer(
    'batch_size', 64, 'Pictures an update, half of them of each domain.', lower_bound=2
  )
  flags.DEFINE_integer(
    'width',
    16,
    'Channels of the first of four layers; there are 8 times as many features.',
    lower_bound=1,
  )
  flags.DEFINE_float(
    'learning_rate', 2e-3, 'Of the first step; it falls to 0.', lower_bound=0.0
  )
  flags.DEFINE_integer(
    'seed',
    0,
    'Of parameters, order and augmentation.',
    lower_bound=0,
    upper_bound=2**31 - 1,
  )


def main() -> None:
  """Runs the command."""
  arguments, began = flags.FLAGS, time.monotonic()
  cli.require('output')
  config = run_config.from_flags()
  _, poll = cli.watch(
    'asked to stop; nothing is written, and the same command begins anew'
  )
  train(
    config,
    arguments.output,
    attributes=[name for name in arguments.attributes if name],
    steps=arguments.steps,
    batch_size=arguments.batch_size,
    width=arguments.width,
    learning_rate=arguments.learning_rate,
    seed=arguments.seed,
    poll=poll,
    note=lambda line: print(line, flush=True),
  )
  print(
    f'{arguments.output}: use it with --config.accuracy.network={arguments.output}; this '
    f'command took {time.monotonic() - began:.0f} s'
  )


if __name__ == '__main__':
  define_flags()
  run_config.define_flags()
  cli.run(
    main,
    saves_memory='lower --batch_size or --width, or set config.data.in_memory=never',
  )
