"""Settings that the configs of AdaIN, WCT and Gatys et al. share: pictures, features, sizes."""

from collections.abc import Collection

import ml_collections

from maskgan_jax import config as run_config
from maskgan_jax.recipes import egsc_it

# Where the features come from: the normalised VGG-19 or ImageNet's, as the method has it; VGG-16
# tuned to edges, from HED. Without any of these a small network learns the data's labels.
FEATURES = ('imagenet', 'edges')
DIGITS = ('quick', 'embedded', 'tfds', *FEATURES)

# Not the colours: see configs/digits_single.py.
_LABELS = tuple(f'Digit_{digit}' for digit in range(10))
_EDGES = 'weights/hed_vgg16.safetensors'


def file_of(config: ml_collections.ConfigDict) -> str:
  """Returns the file with the network that a method's authors take the features of."""
  # Gatys et al.'s paper has the normalised network too; their notebook's is probably Keras's.
  if (config.method, config.variant) == ('gatys', 'official'):
    return 'weights/vgg19.safetensors'
  return 'weights/vgg_normalised.safetensors'


def features(config: ml_collections.ConfigDict, chosen: Collection[str]) -> None:
  """Sets the network of the features to the one that an argument names, if one does."""
  source = run_config.exclusive(chosen, FEATURES)
  if not source:
    return
  config.model.update(perceptual=file_of(config), perceptual_width=64)
  config.data.attributes = ()
  if source == 'edges':
    config.model.perceptual = _EDGES
    if 'padding' in config.model:
      config.model.padding = 'constant'  # zeros, as in its training


def digits(config: ml_collections.ConfigDict, chosen: Collection[str]) -> None:
  """Sets a config to MNIST-Single, with EGSC-IT's pairs, augmentation and measures.

  EGSC-IT's authors enlarged digits to 512x512 for these methods; 448 is 28 times 16. `quick` is
  56x56, with a network of a quarter of the channels.

  Args:
    config: `maskgan_jax.config.default(...)` of a method, changed in place.
    chosen: arguments, of which DIGITS count here.
  """
  config.update(image_size=28, batch_size=8, checkpoint_every=1_000, sample_every=1_000)
  egsc_it.digits(config, set(chosen) - set(FEATURES), 'single', _LABELS)
  config.data.update(flip=True, zoom_probability=0.5, zoom_least=0.8, fixed_pairs=True)
  config.data.apart = egsc_it.DIGITS_APART
  quick = 'quick' in chosen
  config.model.enlarge = 2 if quick else 16
  if quick:
    config.model.perceptual_width = 16
    config.optimizers.perceptual.learning_rate = 1e-3
  if 'both_ways' in config.model:
    config.model.both_ways = True
  features(config, chosen)


def photographs(
  config: ml_collections.ConfigDict, chosen: Collection[str], crop: int
) -> None:
  """Sets a config to contents and styles in data/styles, in trainA and trainB.

  Args:
    config: `maskgan_jax.config.default(...)` of a method, changed in place.
    chosen: arguments, of which FEATURES count here.
    crop: pixels of a side; the square in the middle is resized to 512 before.
  """
  config.update(image_size=crop, batch_size=8, evaluators=('similarity',))
  config.data.update(
    source='folder', path='data/styles', a='~B', b='B', flip=False, keep_aspect=True
  )
  # What is translated is seen whole; the authors' networks see larger pictures.
  config.data.update(load_size=512, test_whole=True, in_memory='never', workers=8)
  features(config, {'imagenet', *chosen} if 'edges' not in chosen else chosen)
