"""Trains a small classifier of attributes on a config's pictures, to judge translations by.

  python -m maskgan_jax.train_classifier --config=configs/quickstart.py \\
      --output=classifiers/glasses.safetensors
  python -m maskgan_jax.train_classifier --config=configs/avatars_glasses.py \\
      --attributes=Eyeglasses,Smiling --output=classifiers/glasses_smile.safetensors
  python -m maskgan_jax.train_classifier --config=configs/celeba_facial_hair.py --attributes=B \\
      --config.data.path=data/celeba --output=classifiers/facial_hair.safetensors

The file goes into config.accuracy.network, for the evaluators 'accuracy' and 'identity'. It learns
from the training pictures of both domains, as many of either; by default the attributes that tell
the domains apart (of trainA and trainB, 'B') and config.data.attributes.

`--attributes=B` is the domain itself, 1 in b and 0 in a, whatever tells them apart, alone or beside
labels: content transfer's classifier (ICLR 2020, section 4), and what fits predicates that are no
plain list of labels. No picture may then be in both domains. Where the data have a label B, as
trainA and trainB, it is that.

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


def train(config: ml_collections.ConfigDict, output: str, *, attributes: Sequence[str] = (),
          steps: int = 1_000, batch_size: int = 64, width: int = 16, learning_rate: float = 2e-3,
          seed: int = 0, poll: Callable[[], None] = lambda: None,
          note: Callable[[str], None] = print):
  """Trains, measures and writes a classifier; the same arguments give the same weights.

  Args:
    config: its data and size of pictures count.
    output: a new file, NAME.safetensors.
    attributes: names of labels, or 'B'; () is those of the config, see the module's docstring.
    steps: updates by Adam; the learning rate falls along a cosine, to 0 at the last.
    batch_size: pictures an update, half of them of either domain.
    width: channels of the first layer.
    learning_rate: of the first step.
    seed: of parameters, order and augmentation.
    poll: called often; may raise to stop.
    note: told what is done, in lines.
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
    raise errors.UserError(f'--width={width} must be from 1 to {classifiers.MOST_WIDTH}')
  if batch_size < 2 or batch_size % 2:
    raise errors.UserError(f'--batch_size={batch_size} must be even: half of a batch is of either '
                           'domain')
  _make_folder(output)
  data, names = _open(config, tuple(attributes), seed, note)
  params = _fit(data, names, steps, batch_size, width, learning_rate, seed, poll, note)

  facts = classifiers.Facts(attributes=names, width=width, image_shape=data.image_shape,
                            steps=steps, seed=seed, data=data.fingerprint)
  if _is_domain(names, data):
    described = data.describe()
    facts = dataclasses.replace(facts, domains=(described['a'], described['b']))
  held_out = measure(classifiers.Classifier(params, facts), data, poll=poll)
  facts = dataclasses.replace(facts, held_out=held_out)
  classifiers.write(output, params, facts)
  note('\n'.join(lines(names, held_out)))
  return classifiers.Classifier(params, facts)


def _make_folder(output):
  """Makes the file's folder now, and not only once minutes have gone into what is to be in it."""
  try:
    os.makedirs(os.path.dirname(output) or '.', exist_ok=True)
  except OSError as error:
    raise errors.UserError(f'cannot write {output}: {error.strerror or error}') from error


def _open(config, attributes, seed, note):
  """Returns the data, whose batches tell the attributes to learn, and their names."""
  from maskgan_jax.data import pipeline, predicates
  config = config.copy_and_resolve_references()
  config.seed, config_data = seed, config.data
  wanted = attributes or tuple(config_data.attributes)

  def make(names):
    config_data.attributes = tuple(name for name in names if name in known)
    return pipeline.make(config)
  known = ()
  data = make(())
  if unused := data.describe()['unused']:
    note(f'{config_data.path}: {unused}')
  records = data.records('train')
  known = tuple(records.attribute_names)
  for name in wanted:
    if name not in known and not (attributes and name == _IN_B):
      hint = errors.nearest(name, known) or f'; attributes: {predicates.shortlist(known)}'
      where = '--attributes' if attributes else 'config.data.attributes'
      raise errors.UserError(f'{where}: there is no attribute {name!r}{hint}')
  if not attributes:
    wanted = tuple(dict.fromkeys((*_telling(config_data, known), *wanted)))
  wanted = tuple(dict.fromkeys(wanted))
  if not wanted:
    raise errors.UserError('nothing to learn: no attribute tells these domains apart; name some in '
                           f'--attributes; there are: {predicates.shortlist(known)}')
  data.train(batch_size=2).close()  # says which domain is empty
  constant = _constant(data, [name for name in wanted if name in known])
  if _is_domain(wanted, data):
    _require_apart(data)
  names = tuple(name for name in wanted if name not in constant)
  if constant and (attributes or not names):
    raise errors.UserError(f'{next(iter(constant.values()))}: nothing to learn')
  for problem in constant.values():
    note(f'{problem}, so that is not learned')
  if not _union(data, 'test').size:
    raise errors.UserError('there are no test pictures to measure the classifier on; raise '
                           'config.data.test_fraction or num_test')
  return make(names), names


def _is_domain(names, data):
  """Whether one of the names is the domain's, and no label's of the data."""
  return _IN_B in names and _IN_B not in data.records('train').attribute_names


def _require_apart(data):
  """Raises UserError where pictures are in both domains."""
  import numpy as np
  for split in ('train', 'test'):
    a, b = data.members(split)
    if common := len(np.intersect1d(a, b)):
      raise errors.UserError(f'--attributes={_IN_B} tells domain b from a, and {common:,} of the '
                             f'{len(np.union1d(a, b)):,} {split} pictures are in both; change '
                             'config.data.a or config.data.b, or name labels in --attributes')


def _telling(config_data, known):
  """The names in the predicates of both domains, those of b first."""
  domains = domains_of(config_data, known)
  return [name for predicate in (domains.b, domains.a, domains.test_b, domains.test_a)
          for name in (*predicate.positive, *predicate.negative)]


def _constant(data, names):
  """By name, of those that training pictures all have or all lack: a sentence that says so."""
  records, members = data.records('train'), _union(data, 'train')
  result = {}
  for name in names:
    column = records.attributes[members, records.attribute_names.index(name)]
    if (column == column[0]).all():
      result[name] = f'{"every" if column[0] else "no"} picture has {name}'
  return result


def _union(data, split):
  """Returns the record numbers that are in either domain, once each."""
  import numpy as np
  return np.union1d(*data.members(split))


def _fit(data, names, steps, batch_size, width, learning_rate, seed, poll, note):
  """Returns trained parameters."""
  import jax
  import jax.numpy as jnp
  import numpy as np
  import optax

  from maskgan_jax.losses import adversarial
  from maskgan_jax.pretrained_networks import classifiers
  module = classifiers.module_of(names, width)
  optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
  images = jnp.zeros((1, *data.image_shape, 3))
  params = jax.jit(module.init)(jax.random.key(seed), images)['params']

  @jax.jit(donate_argnames=('params', 'state'))
  def step(params, state, images, labels):
    def loss(params):
      logits, _ = module.apply({'params': params}, classifiers.scaled(images))
      right = ((logits > 0) == (labels > 0.5)).mean()
      return adversarial.multi_label_cross_entropy(logits, labels), right
    (value, right), grads = jax.value_and_grad(loss, has_aux=True)(params)
    updates, state = optimizer.update(grads, state)
    return optax.apply_updates(params, updates), state, (value, right)

  state, began, figures = optimizer.init(params), time.monotonic(), []
  feed = data.train(batch_size=batch_size // 2)
  try:
    for i in range(1, steps + 1):
      poll()
      batch = next(feed)
      params, state, found = step(params, state, np.concatenate([batch['a'], batch['b']]),
                                  _labels(batch, names, data.attribute_names))
      figures.append(found)
      if i % max(1, steps // _LINES) == 0 or i == steps:
        value, right = np.mean(jax.device_get(figures), axis=0)
        figures = []
        if not math.isfinite(value):
          raise errors.UserError(f'the loss is not finite at step {i}; lower --learning_rate')
        note(f'step {i:,} of {steps:,}: loss {value:.4f}, {100 * right:.1f} % right of the '
             f'training pictures, {time.monotonic() - began:.0f} s')
  finally:
    feed.close()
  return params


def _labels(batch, names, told):
  """Returns float32 [2 N, L] of a's N pictures and b's: labels that are `told`, or the domain."""
  import numpy as np
  return np.concatenate([np.stack([
      batch[f'{domain}_attributes'][:, told.index(name)] if name in told else
      np.full(len(batch[domain]), in_b, np.float32) for name in names], axis=1)
      for in_b, domain in enumerate('ab')])


def measure(classifier, data, *, split: str = 'test', poll: Callable[[], None] = lambda: None):
  """Asks a classifier about all pictures of both domains in a split, a few at a time.

  Args:
    classifier: `pretrained_networks.classifiers.Classifier`.
    data: `data.pipeline.Data`, with the classifier's attributes; without a label 'B', that is
      domain b.
    split: that has pictures.
    poll: called often; may raise to stop.
  Returns:
    `pretrained_networks.classifiers.HeldOut`.
  """
  import numpy as np

  from maskgan_jax.data import pictures
  from maskgan_jax.pretrained_networks import classifiers
  records, members = data.records(split), _union(data, split)
  pairs, names = data.pairs(split, members, members), classifier.facts.attributes
  in_b = np.isin(members, data.members(split)[1])
  labels = np.stack([records.attributes[members, records.attribute_names.index(name)]
                     if name in records.attribute_names else in_b for name in names], axis=1)

  def read(index):
    return pairs.prepare(records.image(int(index)), int(index))
  right = []
  for start in range(0, len(members), _BATCH):
    poll()
    images = np.stack(pictures.parallel_map(read, members[start:start + _BATCH]))
    right.append((classifier(images)[0] > 0) == labels[start:start + _BATCH])
  right = np.concatenate(right)
  _, counts = np.unique(labels, axis=0, return_counts=True)
  return classifiers.HeldOut(
      pictures=len(members),
      accuracy={name: float(share) for name, share in zip(names, right.mean(0), strict=True)},
      positives={name: int(count) for name, count in zip(names, labels.sum(0), strict=True)},
      all_accuracy=float(right.all(1).mean()), all_commonest=float(counts.max() / len(members)))


def lines(names: Sequence[str], held_out) -> list[str]:
  """What was measured, a line an attribute."""
  width = max(map(len, (*names, 'all of them')))
  result = [f'right of {held_out.pictures:,} test pictures, and (what always the commoner answer '
            'gets)']
  for name in names:
    positives = held_out.positives[name]
    result.append(f'{name:{width}} {100 * held_out.accuracy[name]:6.2f} % '
                  f'({100 * held_out.commoner(name):.2f} %); {positives:,} have it, '
                  f'{held_out.pictures - positives:,} do not')
    if positives in (0, held_out.pictures):
      result[-1] += ': this says nothing, as all are alike'
  if len(names) > 1:
    result.append(f'{"all of them":{width}} {100 * held_out.all_accuracy:6.2f} % '
                  f'({100 * held_out.all_commonest:.2f} %)')
  return result


def define_flags() -> None:
  """The command's flags; --config and --config.key=value come from maskgan_jax/config."""
  flags.DEFINE_string('output', '', 'The file to write, NAME.safetensors; it must not be there.')
  flags.DEFINE_list('attributes', [], 'What to learn, with commas between; B is domain b itself. '
                    'By default what tells the domains apart and config.data.attributes.')
  flags.DEFINE_integer('steps', 1_000, 'Updates.', lower_bound=1)
  flags.DEFINE_integer('batch_size', 64, 'Pictures an update, half of them of either domain.',
                       lower_bound=2)
  flags.DEFINE_integer('width', 16, 'Channels of the first of four layers; there are 8 times as '
                       'many features.', lower_bound=1)
  flags.DEFINE_float('learning_rate', 2e-3, 'Of the first step; it falls to 0.', lower_bound=0.0)
  flags.DEFINE_integer('seed', 0, 'Of parameters, order and augmentation.', lower_bound=0,
                       upper_bound=2 ** 31 - 1)


def main() -> None:
  """The command."""
  given, began = flags.FLAGS, time.monotonic()
  cli.require('output')
  config = run_config.from_flags()
  _, poll = cli.watch('told to stop; nothing is written, and the same command begins anew')
  train(config, given.output, attributes=[name for name in given.attributes if name],
        steps=given.steps, batch_size=given.batch_size, width=given.width,
        learning_rate=given.learning_rate, seed=given.seed, poll=poll,
        note=lambda line: print(line, flush=True))
  print(f'{given.output}: use it with --config.accuracy.network={given.output}; this command took '
        f'{time.monotonic() - began:.0f} s')


if __name__ == '__main__':
  define_flags()
  run_config.define_flags()
  cli.run(main, saves_memory='lower --batch_size or --width, or set '
                  'config.data.in_memory=never')
