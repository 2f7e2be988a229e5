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
import math
import os
import time

from absl import flags
import ml_collections

from maskgan_jax import cli, errors
from maskgan_jax import config as run_config
from maskgan_jax.data.domains import domains_of

_BATCH = 64  # test pictures at once
_LINES = 10  # of progress
_IN_B = 'B'  # the label of domain b


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How a classifier is trained; see `train` for the attributes."""

  names: tuple[str, ...]
  steps: int
  batch_size: int
  width: int
  learning_rate: float
  seed: int


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
):
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
  Returns:
    `pretrained_networks.classifiers.Classifier`.
  Raises:
    UserError: an attribute that is unknown or that all or no training pictures have, 'B' where
      pictures are in both domains, data that cannot be opened, an `output` that exists.
  """
  from maskgan_jax.pretrained_networks import classifiers
  from maskgan_jax.pretrained_networks import files as weights

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
  data, names = _open(config, tuple(attributes), seed, note)
  recipe = Recipe(names, steps, batch_size, width, learning_rate, seed)
  params = _fit(data, recipe, poll, note)

  # What the file says of the classifier: what it learned, and how often it is right.
  facts = classifiers.Facts(
    attributes=names,
    width=width,
    image_shape=data.image_shape,
    steps=steps,
    seed=seed,
    data=data.fingerprint,
  )
  if _is_domain(names, data):
    described = data.describe()
    facts = dataclasses.replace(facts, domains=(described['a'], described['b']))
  held_out = measure(classifiers.Classifier(params, facts), data, poll=poll)
  facts = dataclasses.replace(facts, held_out=held_out)
  classifiers.write(output, params, facts)
  note('\n'.join(lines(names, held_out)))
  return classifiers.Classifier(params, facts)


def _make_folder(output):
  """Makes the file's folder before minutes go into what the file will hold."""
  try:
    os.makedirs(os.path.dirname(output) or '.', exist_ok=True)
  except OSError as error:
    raise errors.UserError(
      f'cannot write {output}: {error.strerror or error}'
    ) from error


def _open(config, attributes, seed, note):
  """Returns the data, whose batches carry the attributes to learn, and their names."""
  from maskgan_jax.data import pipeline

  config = config.copy_and_resolve_references()
  config.seed, config_data = seed, config.data

  def make(names):
    config_data.attributes = names
    return pipeline.make(config)

  asked = attributes or tuple(config_data.attributes)
  data = make(())
  unused = data.describe()['unused']
  if unused:
    note(f'{config_data.path}: {unused}')
  names = _names_to_learn(config_data, data, attributes, asked)
  data.train(batch_size=2).close()  # says which domain is empty

  # Attributes that all training pictures have, or none has, teach nothing.
  labels = data.records('train').attribute_names
  constant = _constant(data, [name for name in names if name in labels])
  if _is_domain(names, data):
    _require_apart(data)
  names = tuple(name for name in names if name not in constant)
  if constant and (attributes or not names):
    raise errors.UserError(f'{next(iter(constant.values()))}: nothing to learn')
  for problem in constant.values():
    note(f'{problem}, so that is not learned')
  if not _union(data, 'test').size:
    raise errors.UserError(
      'there are no test pictures to measure the classifier on; raise '
      'config.data.test_fraction or num_test'
    )
  return make(tuple(name for name in names if name in labels)), names


def _names_to_learn(config_data, data, attributes, asked):
  """Returns the names of the attributes to learn; UserError if there are none, or unknown ones."""
  from maskgan_jax.data import predicates

  labels = tuple(data.records('train').attribute_names)
  for name in asked:
    if name not in labels and not (attributes and name == _IN_B):
      hint = (
        errors.nearest(name, labels) or f'; attributes: {predicates.shortlist(labels)}'
      )
      place = '--attributes' if attributes else 'config.data.attributes'
      raise errors.UserError(f'{place}: there is no attribute {name!r}{hint}')
  names = asked if attributes else (*_telling(config_data, labels), *asked)
  if not names:
    raise errors.UserError(
      'nothing to learn: no attribute tells these domains apart; name some in '
      f'--attributes; there are: {predicates.shortlist(labels)}'
    )
  return tuple(dict.fromkeys(names))


def _is_domain(names, data):
  """Returns whether one of the names means the domain, and not a label of the data."""
  return _IN_B in names and _IN_B not in data.records('train').attribute_names


def _require_apart(data):
  """Raises UserError where pictures are in both domains."""
  import numpy as np

  for split in ('train', 'test'):
    a, b = data.members(split)
    common = len(np.intersect1d(a, b))
    if common:
      raise errors.UserError(
        f'--attributes={_IN_B} tells domain b from a, and {common:,} of the '
        f'{len(np.union1d(a, b)):,} {split} pictures are in both; change '
        'config.data.a or config.data.b, or name labels in --attributes'
      )


def _telling(config_data, labels):
  """Returns the names in the predicates of both domains, those of b first."""
  domains = domains_of(config_data, labels)
  names = []
  for predicate in (domains.b, domains.a, domains.test_b, domains.test_a):
    names += [*predicate.positive, *predicate.negative]
  return names


def _constant(data, names):
  """Returns a sentence, by name, on each attribute that all training pictures have or lack."""
  records, members = data.records('train'), _union(data, 'train')
  sentences = {}
  for name in names:
    column = records.attributes[members, records.attribute_names.index(name)]
    if (column == column[0]).all():
      sentences[name] = f'{"every" if column[0] else "no"} picture has {name}'
  return sentences


def _union(data, split):
  """Returns the record numbers that are in either domain, once each."""
  import numpy as np

  return np.union1d(*data.members(split))


def _fit(data, recipe, poll, note):
  """Returns trained parameters."""
  import jax
  import numpy as np

  params, state, step = _training(data, recipe)
  began, figures = time.monotonic(), []
  feed = data.train(batch_size=recipe.batch_size // 2)
  try:
    for i in range(1, recipe.steps + 1):
      poll()
      batch = next(feed)
      images = np.concatenate([batch['a'], batch['b']])
      labels = _labels(batch, recipe.names, data.attribute_names)
      params, state, loss_and_share = step(params, state, images, labels)
      figures.append(loss_and_share)

      # Figures are fetched where a line is due: until then the device need not wait.
      if i % max(1, recipe.steps // _LINES) == 0 or i == recipe.steps:
        loss, right = np.mean(jax.device_get(figures), axis=0)
        figures = []
        if not math.isfinite(loss):
          raise errors.UserError(
            f'the loss is not finite at step {i}; lower --learning_rate'
          )
        note(
          f'step {i:,} of {recipe.steps:,}: loss {loss:.4f}, {100 * right:.1f} % right of the '
          f'training pictures, {time.monotonic() - began:.0f} s'
        )
  finally:
    feed.close()
  return params


def _training(data, recipe):
  """Returns parameters, the optimizer's state, and the jitted step that updates them."""
  import jax
  import jax.numpy as jnp
  import optax

  from maskgan_jax.losses import adversarial
  from maskgan_jax.pretrained_networks import classifiers

  module = classifiers.module_of(recipe.names, recipe.width)
  optimizer = optax.adam(
    optax.cosine_decay_schedule(recipe.learning_rate, recipe.steps)
  )
  images = jnp.zeros((1, *data.image_shape, 3))
  params = jax.jit(module.init)(jax.random.key(recipe.seed), images)['params']

  @jax.jit(donate_argnames=('params', 'state'))
  def step(params, state, images, labels):
    def loss(params):
      logits, _ = module.apply({'params': params}, classifiers.scaled(images))
      right = ((logits > 0) == (labels > 0.5)).mean()
      return adversarial.multi_label_cross_entropy(logits, labels), right

    (value, right), grads = jax.value_and_grad(loss, has_aux=True)(params)
    updates, state = optimizer.update(grads, state)
    return optax.apply_updates(params, updates), state, (value, right)

  return params, optimizer.init(params), step


def _labels(batch, names, carried):
  """Returns float32 [2 N, L] of a's N pictures and b's.

  Args:
    batch: of `data.pipeline`.
    names: of the labels; one that the batch does not carry is the domain's.
    carried: the names of the attributes in the batch.
  """
  import numpy as np

  rows = []
  for in_b, domain in enumerate('ab'):
    columns = []
    for name in names:
      if name in carried:
        columns.append(batch[f'{domain}_attributes'][:, carried.index(name)])
      else:
        columns.append(np.full(len(batch[domain]), in_b, np.float32))
    rows.append(np.stack(columns, axis=1))
  return np.concatenate(rows)


def measure(
  classifier, data, *, split: str = 'test', poll: Callable[[], None] = lambda: None
):
  """Asks a classifier about all pictures of both domains in a split, a few at a time.

  Args:
    classifier: `pretrained_networks.classifiers.Classifier`.
    data: `data.pipeline.Data`, with the classifier's attributes; without a label 'B', that is
      domain b.
    split: the one that is measured.
    poll: is called often; may raise to stop.
  Returns:
    `pretrained_networks.classifiers.HeldOut`.
  """
  import numpy as np

  from maskgan_jax.data import pictures
  from maskgan_jax.pretrained_networks import classifiers

  records, members = data.records(split), _union(data, split)
  pairs, names = data.pairs(split, members, members), classifier.facts.attributes
  in_b = np.isin(members, data.members(split)[1])
  columns = []
  for name in names:
    if name in records.attribute_names:
      column = records.attribute_names.index(name)
      columns.append(records.attributes[members, column])
    else:
      columns.append(in_b)
  labels = np.stack(columns, axis=1)

  def read(index):
    return pairs.prepare(records.image(int(index)), int(index))

  right = []
  for start in range(0, len(members), _BATCH):
    poll()
    images = np.stack(pictures.parallel_map(read, members[start : start + _BATCH]))
    right.append((classifier(images)[0] > 0) == labels[start : start + _BATCH])
  right = np.concatenate(right)

  # The commonest combination of labels is what a classifier that sees nothing can say.
  _, counts = np.unique(labels, axis=0, return_counts=True)
  shares = dict(zip(names, map(float, right.mean(0)), strict=True))
  positives = dict(zip(names, map(int, labels.sum(0)), strict=True))
  return classifiers.HeldOut(
    pictures=len(members),
    accuracy=shares,
    positives=positives,
    all_accuracy=float(right.all(1).mean()),
    all_commonest=float(counts.max() / len(members)),
  )


def lines(names: Sequence[str], held_out) -> list[str]:
  """Returns what was measured, a line an attribute."""
  width = max(map(len, (*names, 'all of them')))
  result = [
    f'right of {held_out.pictures:,} test pictures, and (what always the commoner answer '
    'gets)'
  ]
  for name in names:
    positives = held_out.positives[name]
    result.append(
      f'{name:{width}} {100 * held_out.accuracy[name]:6.2f} % '
      f'({100 * held_out.commoner(name):.2f} %); {positives:,} have it, '
      f'{held_out.pictures - positives:,} do not'
    )
    if positives in (0, held_out.pictures):
      result[-1] += ': this says nothing, as all are alike'
  if len(names) > 1:
    result.append(
      f'{"all of them":{width}} {100 * held_out.all_accuracy:6.2f} % '
      f'({100 * held_out.all_commonest:.2f} %)'
    )
  return result


def define_flags() -> None:
  """Defines the command's flags; --config and --config.key=value come from runs/config.py."""
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
    'told to stop; nothing is written, and the same command begins anew'
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
