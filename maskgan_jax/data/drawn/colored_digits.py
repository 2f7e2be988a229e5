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
import io
import os
import sys

import numpy as np
from PIL import Image
import tensorflow_datasets as tfds
import tqdm

from maskgan_jax import errors, fields
from maskgan_jax.data.domains import domains_of
from maskgan_jax.data.drawn import digit_drawing, digit_images, preparation
from maskgan_jax.data.records import Source, SPLITS
from maskgan_jax.fields import field, one_of

_VALIDATION = 1000  # training digits, or a tenth of them where there are fewer
_SEEDS = {'train': 0, 'validation': 1, 'test': 0}
_CHUNK = 1024  # records read at once
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
      ColoredDigitsConfig(name=f'{kind}-embedded', kind=kind, origin=digit_images.EMBEDDED)
      for kind in digit_drawing.KINDS]

  def _info(self) -> tfds.core.DatasetInfo:
    kind = self.builder_config.kind
    side, names = digit_drawing.side(kind), digit_drawing.attribute_names(kind)
    return tfds.core.DatasetInfo(
        builder=self,
        description="EGSC-IT's coloured digits, and the recipe that each is painted from. The "
                    f'attributes are {", ".join(names)}.',
        features=tfds.features.FeaturesDict({
            'image': tfds.features.Image(shape=(side, side, 3), encoding_format='png'),
            'attributes': tfds.features.Tensor(shape=(len(names),), dtype=np.bool_),
            'recipe': tfds.features.Text(),
        }),
        disable_shuffling=True)  # record i of a domain makes the pair i with that of the other

  def _split_generators(self, dl_manager):
    del dl_manager
    parts = _parts(self.builder_config.origin.load())
    counts = dict(zip(SPLITS, self.builder_config.counts, strict=True))
    return {split: self._generate_examples(split, digits, counts[split])
            for split, digits in parts.items()}

  def _generate_examples(self, split: str, digits: digit_images.Digits,
                         count: int) -> Iterator[tuple[int, dict]]:
    kind, size = self.builder_config.kind, len(digits.labels)
    count = min(count or size, size)
    recipes = digit_drawing.recipes(kind, digits.labels, seed=_SEEDS[split],
                                    training=split == 'train', count=count)
    for index, recipe in enumerate(tqdm.tqdm(
        recipes, f'drawing digits, {split}', 2 * count, unit=' pictures',
        disable=not sys.stderr.isatty())):
      where = digit_drawing.foreground(recipe, digits.images)
      yield index, {'image': _png(digit_drawing.paint(recipe, where, recipe)),
                    'attributes': digit_drawing.attributes(kind, recipe),
                    'recipe': recipe.to_json()}


def _parts(found: dict[str, digit_images.Digits]) -> dict[str, digit_images.Digits]:
  """Returns what each split is drawn from."""
  train = found['train']
  last = slice(-min(_VALIDATION, max(1, len(train.labels) // 10)), None)
  return {'train': train,
          'validation': digit_images.Digits(train.images[last], train.labels[last]),
          'test': found['test']}


class ColoredDigitsRecords:
  """One split of `colored_digits`, with the true translation of any record after any other."""

  def __init__(self, config: ColoredDigitsConfig, data_dir: str, split: str):
    """Reads a split of what is prepared; `open_splits` prepares it too."""
    self._kind, self._split = config.kind, split
    self.attribute_names = digit_drawing.attribute_names(config.kind)
    folder = _folder(config, data_dir)
    self._pngs, self._recipes, attributes = [], [], []
    with preparation.damage_reported(folder), preparation.quiet():
      source = _builder(config, data_dir).as_data_source(
          split, decoders={'image': tfds.decode.SkipDecoding()})
      for start in range(0, len(source), _CHUNK):
        for record in source.__getitems__(range(start, min(start + _CHUNK, len(source)))):
          # Encoded: all of MNIST is then some megabytes.
          self._pngs.append(record['image'])
          self._recipes.append(record['recipe'])
          attributes.append(record['attributes'])
    self.attributes = np.array(attributes, bool)
    digest = hashlib.sha256(f'{ColoredDigits.VERSION} {config.name} {split}'.encode())
    for part in (self.attributes.tobytes(), *self._recipes):
      digest.update(part)
    for index in np.linspace(0, len(self) - 1, min(_COMPARED, len(self))).astype(int):
      image, recipe = self.image(index), self.recipe(index)
      where = digit_drawing.foreground_in(recipe, image)
      if not np.array_equal(image, digit_drawing.paint(recipe, where, recipe)):
        raise errors.UserError(f'{folder} is damaged (record {index} of {split} does not fit its '
                               'recipe); delete it, and it will be drawn again')
      digest.update(image.tobytes())
    self.fingerprint = digest.hexdigest()[:16]

  def __len__(self) -> int:
    return len(self._pngs)

  def name(self, index: int) -> str:
    """Returns the split, the domain and the number in it, e.g. 'colored_digits/test[B 17, a 6]'."""
    recipe = self.recipe(index)
    domain = 'B' if recipe.colored else 'A'
    label = f', {"an" if recipe.labels[0] == 8 else "a"} {recipe.labels[0]}'
    return (f'colored_digits/{self._split}[{domain} {index % (len(self) // 2)}'
            f'{label if self._kind == "single" else ""}]')

  def recipe(self, index: int) -> digit_drawing.Recipe:
    return digit_drawing.Recipe.from_json(self._recipes[index])

  def image(self, index: int) -> np.ndarray:
    with Image.open(io.BytesIO(self._pngs[index])) as image:
      return np.array(image)

  def mask(self, index: int, attribute: str) -> None:
    """Returns None: all of a picture changes."""

  def translation_truths(self, a_index: int, b_index: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a's digits in the colours of b, and b's in those of a, uint8 [H, W, 3] each."""
    first, second = self.recipe(a_index), self.recipe(b_index)
    return self._painted_like(a_index, first, second), self._painted_like(b_index, second, first)

  def _painted_like(self, index, recipe, like):
    where = digit_drawing.foreground_in(recipe, self.image(index))
    return digit_drawing.paint(recipe, where, like)


def open_splits(config_data) -> Source:
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
  fields.check_value('config.data.name', kind, field('single', one_of(*digit_drawing.KINDS)))
  counts = tuple(config_data[f'num_{split}'] for split in SPLITS)
  origin = digit_images.open_digits(config_data.digits, path=config_data.path,
                                    data_dir=config_data.data_dir)
  config = _config(kind, origin, counts)
  data_dir = os.path.expanduser(config_data.data_dir or tfds.core.constants.DATA_DIR)
  preparation.draw_once(functools.partial(_builder, config, data_dir), _folder(config, data_dir),
                        'the coloured digits')
  records = {split: ColoredDigitsRecords(config, data_dir, split) for split in SPLITS}
  domains = domains_of(config_data, records['train'].attribute_names)
  divided = {'train': 'drawn', 'test': 'drawn',
             'validation': 'training digits drawn anew, so some are copies on purpose'}
  return Source(records, domains, divided, origin.remark)


def _config(kind, origin, counts):
  """Returns the builder's configuration; its name, and so its folder, tells all of these."""
  name = f'{kind}-{origin.name}' + ''.join(f'_{count}' for count in counts if any(counts))
  named = ColoredDigits.builder_configs.get(name)
  return named or ColoredDigitsConfig(name=name, kind=kind, origin=origin, counts=counts)


def _builder(config, data_dir):
  return ColoredDigits(config=config, data_dir=data_dir, file_format='array_record')


def _folder(config, data_dir):
  return os.path.join(data_dir, ColoredDigits.name, config.name, str(ColoredDigits.VERSION))


def _png(pixels):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'PNG', compress_level=3)  # in half the time, a quarter larger
  return file.getvalue()
