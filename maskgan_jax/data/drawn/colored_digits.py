"""`colored_digits`, a TFDS dataset that draws itself: EGSC-IT's MNIST-Single and MNIST-Multiple.

Domain a is black and white, domain b has colours: 'single' digits of 28 pixels, or 'multiple', all
ten of them in 4x4 cells (112 pixels). From MNIST's own files the training and test sets are the
authors' pictures (`digit_drawing`). Records of a split are A_0..A_{N-1}, then B_0..B_{N-1}; A_i and
B_i are the authors' pair i.

Validation, which chooses sample pictures and thresholds and gives no result, paints the last 1,000
training digits anew, as in the test set: the paper trains on all of them, and so do these sets.

Importing this file registers it: `tfds.builder('colored_digits/single-embedded',
file_format='array_record')`.
"""

from collections.abc import Iterator
import dataclasses
import functools
import hashlib
import os
import sys

import ml_collections
import numpy as np
import tensorflow_datasets as tfds
import tqdm

from maskgan_jax import errors, fields
from maskgan_jax.data.domains import domains_of
from maskgan_jax.data.drawn import digit_drawing, digit_images, preparation
from maskgan_jax.data.records import Records, Source, SPLITS
from maskgan_jax.fields import field, one_of

_VALIDATION = 1000  # training digits, or a tenth of them where there are fewer
_SEEDS = {'train': 0, 'validation': 1, 'test': 0}
_COMPARED = 64  # pictures that opening paints again


@dataclasses.dataclass(kw_only=True)
class ColoredDigitsConfig(tfds.core.BuilderConfig):
  """'single' or 'multiple', the digits to draw from, and pictures of each domain by split."""

  kind: str
  origin: digit_images.Origin
  counts: tuple[int, int, int] = (0, 0, 0)  # at most; 0 = all


class ColoredDigits(tfds.core.GeneratorBasedBuilder):
  """Digits in black and white (a) and in colours (b), with the recipe of each picture."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First release.'}
  BUILDER_CONFIGS = [
    ColoredDigitsConfig(
      name=f'{kind}-embedded', kind=kind, origin=digit_images.EMBEDDED
    )
    for kind in digit_drawing.KINDS
  ]

  def _info(self) -> tfds.core.DatasetInfo:
    kind = self.builder_config.kind
    side = digit_drawing.side(kind)
    names = digit_drawing.attribute_names(kind)
    description = "EGSC-IT's coloured digits, and the recipe that each is painted from."
    return preparation.describe_pairs(self, description, side, names)

  def _split_generators(self, dl_manager):
    del dl_manager
    parts = _parts(self.builder_config.origin.load())
    counts = dict(zip(SPLITS, self.builder_config.counts, strict=True))
    return {
      split: self._generate_examples(split, digits, counts[split])
      for split, digits in parts.items()
    }

  def _generate_examples(
    self, split: str, digits: digit_images.Digits, count: int
  ) -> Iterator[tuple[int, dict]]:
    kind, size = self.builder_config.kind, len(digits.labels)
    count = min(count or size, size)
    recipes = digit_drawing.recipes(
      kind, digits.labels, seed=_SEEDS[split], training=split == 'train', count=count
    )
    recipes = tqdm.tqdm(
      recipes,
      f'drawing digits, {split}',
      2 * count,
      unit=' pictures',
      disable=not sys.stderr.isatty(),
    )
    for index, recipe in enumerate(recipes):
      foreground = digit_drawing.foreground(recipe, digits.images)
      image = digit_drawing.paint(recipe, foreground, recipe)
      # Level 3 takes half of the time, and a quarter more space.
      yield (
        index,
        {
          'image': preparation.png(image, compress_level=3),
          'attributes': digit_drawing.attributes(kind, recipe),
          'recipe': recipe.to_json(),
        },
      )


def _parts(digits: dict[str, digit_images.Digits]) -> dict[str, digit_images.Digits]:
  """Returns the digits that each split is drawn from."""
  train = digits['train']
  count = min(_VALIDATION, max(1, len(train.labels) // 10))
  validation = digit_images.Digits(train.images[-count:], train.labels[-count:])
  return {'train': train, 'validation': validation, 'test': digits['test']}


class ColoredDigitsRecords(Records):
  """One split of `colored_digits`, with the true translation of any record after any other."""

  def __init__(self, config: ColoredDigitsConfig, data_dir: str, split: str):
    """Reads a split of what is prepared; `open_splits` prepares it too."""
    self._kind, self._split = config.kind, split
    self.attribute_names = digit_drawing.attribute_names(config.kind)
    folder = _folder(config, data_dir)
    records = preparation.read(
      functools.partial(_builder, config, data_dir), folder, split
    )
    # PNGs stay in memory: all of MNIST is some megabytes.
    self._pngs = [record['image'] for record in records]
    self._recipes = [record['recipe'] for record in records]
    self.attributes = np.array([record['attributes'] for record in records], bool)

    # Some pictures are painted again: a file may be damaged, or of another version.
    digest = hashlib.sha256(f'{ColoredDigits.VERSION} {config.name} {split}'.encode())
    for part in (self.attributes.tobytes(), *self._recipes):
      digest.update(part)
    count = min(_COMPARED, len(self))
    for index in np.linspace(0, len(self) - 1, count).astype(int):
      image, recipe = self.image(index), self.recipe(index)
      foreground = digit_drawing.foreground_in(recipe, image)
      if not np.array_equal(image, digit_drawing.paint(recipe, foreground, recipe)):
        raise errors.UserError(
          f'{folder} is damaged (record {index} of {split} does not fit its '
          'recipe); delete it, and it will be drawn again'
        )
      digest.update(image.tobytes())
    self.fingerprint = digest.hexdigest()[:16]

  def __len__(self) -> int:
    return len(self._pngs)

  def name(self, index: int) -> str:
    """Returns the split, the domain and the number in it, e.g. 'colored_digits/test[B 17, a 6]'."""
    # Pictures of A come first; the second half of a split is B.
    recipe = self.recipe(index)
    domain = 'B' if recipe.colored else 'A'
    place = f'{domain} {index % (len(self) // 2)}'
    if self._kind == 'single':
      label = recipe.labels[0]
      place += f', {"an" if label == 8 else "a"} {label}'
    return f'colored_digits/{self._split}[{place}]'

  def recipe(self, index: int) -> digit_drawing.Recipe:
    return digit_drawing.Recipe.from_json(self._recipes[index])

  def image(self, index: int) -> np.ndarray:
    return preparation.pixels(self._pngs[index])

  def translation_truths(
    self, a_index: int, b_index: int
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns a's digits in the colours of b, and b's in those of a, uint8 [H, W, 3] each."""
    first, second = self.recipe(a_index), self.recipe(b_index)
    return self._painted_like(a_index, first, second), self._painted_like(
      b_index, second, first
    )

  def _painted_like(
    self, index: int, recipe: digit_drawing.Recipe, like: digit_drawing.Recipe
  ) -> np.ndarray:
    foreground = digit_drawing.foreground_in(recipe, self.image(index))
    return digit_drawing.paint(recipe, foreground, like)


def open_splits(config_data: ml_collections.ConfigDict) -> Source:
  """Opens 'train', 'validation' and 'test', which are drawn if they are not on disk.

  Args:
    config_data: config.data, of which this uses name (one of `digit_drawing.KINDS`), digits, path
      and data_dir (`digit_images.open_digits`; data_dir is also where pictures go, '': TFDS's own),
      num_train, num_validation and num_test (the first ones of each domain, 0: all), and the
      domains, '~Colored' and 'Colored' where it says nothing else.

  Raises:
    UserError: an unknown name, digits that are not there, or a data_dir that cannot be written.
  """
  kind = config_data.name
  fields.check_value(
    'config.data.name', kind, field('single', one_of(*digit_drawing.KINDS))
  )

  # Another origin or number of digits is another set, in another folder.
  counts = tuple(config_data[f'num_{split}'] for split in SPLITS)
  origin = digit_images.open_digits(
    config_data.digits, path=config_data.path, data_dir=config_data.data_dir
  )
  config = _config(kind, origin, counts)
  data_dir = os.path.expanduser(config_data.data_dir or tfds.core.constants.DATA_DIR)
  preparation.draw_once(
    functools.partial(_builder, config, data_dir),
    _folder(config, data_dir),
    'the coloured digits',
  )
  records = {split: ColoredDigitsRecords(config, data_dir, split) for split in SPLITS}
  domains = domains_of(config_data, records['train'].attribute_names)
  divided = {
    'train': 'drawn',
    'test': 'drawn',
    'validation': 'training digits drawn anew, so some are copies on purpose',
  }
  return Source(records, domains, divided, origin.remark)


def _config(
  kind: str, origin: digit_images.Origin, counts: tuple[int, int, int]
) -> ColoredDigitsConfig:
  """Returns the builder's configuration; its name, and so its folder, says all of these."""
  name = f'{kind}-{origin.name}'
  if any(counts):
    name = '_'.join([name, *map(str, counts)])
  named = ColoredDigits.builder_configs.get(name)
  return named or ColoredDigitsConfig(
    name=name, kind=kind, origin=origin, counts=counts
  )


def _builder(config: ColoredDigitsConfig, data_dir: str) -> ColoredDigits:
  return ColoredDigits(config=config, data_dir=data_dir, file_format='array_record')


def _folder(config: ColoredDigitsConfig, data_dir: str) -> str:
  return os.path.join(
    data_dir, ColoredDigits.name, config.name, str(ColoredDigits.VERSION)
  )
