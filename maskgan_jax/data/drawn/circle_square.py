"""`circle_square`, a TFDS dataset that draws itself: circles (a), squares (b), and true answers.

Records of a split are A_0..A_{N-1}, then B_0..B_{N-1}. Aligned, A_i and B_i are one scene; if not,
all scenes are different, and could not be paired. The true translation of a picture has the square
around every circle, or the circle inside every square (`shape_drawing`).

Importing this file registers it: `tfds.builder('circle_square/plain-64',
file_format='array_record')`.
"""

from collections.abc import Iterator, Sequence
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
from maskgan_jax.data.drawn import preparation, shape_drawing
from maskgan_jax.data.records import Records, Source, SPLITS
from maskgan_jax.fields import field, one_of

# With VERSION it decides every scene: a change of either makes another dataset.
_SEED = 1
_DEFAULT_COUNTS = (2000, 200, 500)
_BOTH = 2  # in place of a domain's number, where a (0) and b (1) show one scene
_COMPARED = 64  # pictures that opening draws again


@dataclasses.dataclass(kw_only=True)
class CircleSquareConfig(tfds.core.BuilderConfig):
  """One of `shape_drawing.KINDS`, side in pixels, one scene in a and b or not, scenes by split."""

  kind: str
  side: int
  aligned: bool = False
  counts: tuple[int, int, int] = _DEFAULT_COUNTS


class CircleSquare(tfds.core.GeneratorBasedBuilder):
  """Circles (a) and squares (b), grey or in colours, with the recipe of each picture."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First release.'}
  BUILDER_CONFIGS = [
    CircleSquareConfig(
      name=f'{kind}-64{suffix}', kind=kind, side=64, aligned=bool(suffix)
    )
    for kind in shape_drawing.KINDS
    for suffix in ('', '-aligned')
  ]

  def _info(self) -> tfds.core.DatasetInfo:
    side = self.builder_config.side
    names = attribute_names(self.builder_config.kind)
    description = (
      'Circles and squares on a plain ground, and the recipe that each is drawn from.'
    )
    return preparation.describe_pairs(self, description, side, names)

  def _split_generators(self, dl_manager):
    del dl_manager
    counts = dict(zip(SPLITS, self.builder_config.counts, strict=True))
    return {
      split: self._generate_examples(split, count) for split, count in counts.items()
    }

  def _generate_examples(self, split: str, count: int) -> Iterator[tuple[int, dict]]:
    indices = tqdm.tqdm(
      range(2 * count),
      f'drawing shapes, {split}',
      unit=' pictures',
      disable=not sys.stderr.isatty(),
    )
    for index in indices:
      yield index, draw_example(self.builder_config, split, index)


def attribute_names(kind: str) -> tuple[str, ...]:
  """Returns the names of a record's attributes; of 'several', two say how many shapes there are."""
  return ('Square', 'Two', 'Three') if kind == 'several' else ('Square',)


def draw_example(config: CircleSquareConfig, split: str, index: int) -> dict:
  """Draws one record alone, as the builder stores it: the picture as PNG bytes."""
  # Where a scene may have several shapes, their number is an attribute, too.
  recipe = _recipe(config, split, index)
  values = [recipe.square]
  if config.kind == 'several':
    values += [len(recipe.shapes) == 2, len(recipe.shapes) == 3]
  return {
    'image': preparation.png(shape_drawing.draw(recipe)),
    'attributes': np.array(values, bool),
    'recipe': recipe.to_json(),
  }


def _recipe(config: CircleSquareConfig, split: str, index: int) -> shape_drawing.Recipe:
  """Returns the recipe of a record, from its place alone."""
  number = SPLITS.index(split)
  domain, scene = divmod(index, config.counts[number])
  key = (_SEED, number, _BOTH if config.aligned else domain, scene)
  return shape_drawing.recipe(config.kind, config.side, key, square=bool(domain))


class CircleSquareRecords(Records):
  """One split of `circle_square`, with the true translation of every record."""

  def __init__(self, config: CircleSquareConfig, data_dir: str, split: str):
    """Reads a split of what is prepared; `open_splits` prepares it too."""
    self._split = split
    self.attribute_names = attribute_names(config.kind)
    folder = _folder(config, data_dir)
    records = preparation.read(
      functools.partial(_builder, config, data_dir), folder, split
    )
    self._pngs = [record['image'] for record in records]  # some hundred bytes each
    self._recipes = [record['recipe'] for record in records]
    self.attributes = np.array([record['attributes'] for record in records], bool)

    # Some pictures are drawn again: a file may be damaged, or of another version.
    digest = hashlib.sha256(f'{CircleSquare.VERSION} {config.name} {split}'.encode())
    for part in (self.attributes.tobytes(), *self._recipes):
      digest.update(part)
    count = min(_COMPARED, len(self))
    for index in np.linspace(0, len(self) - 1, count).astype(int).tolist():
      image, recipe = self.image(index), self.recipe(index)
      is_drawn_so = np.array_equal(image, shape_drawing.draw(recipe))
      if recipe != _recipe(config, split, index) or not is_drawn_so:
        raise errors.UserError(
          f'{folder} is damaged (record {index} of {split} does not fit its '
          'recipe); delete it, and it will be drawn again'
        )
      digest.update(image.tobytes())
    self.fingerprint = digest.hexdigest()[:16]

  def __len__(self) -> int:
    return len(self._pngs)

  def name(self, index: int) -> str:
    """Returns the split, the domain and the number in it, e.g. 'circle_square/test[B 17]'."""
    domain, scene = divmod(index, len(self) // 2)
    return f'circle_square/{self._split}[{"AB"[domain]} {scene}]'

  def recipe(self, index: int) -> shape_drawing.Recipe:
    return shape_drawing.Recipe.from_json(self._recipes[index])

  def image(self, index: int) -> np.ndarray:
    return preparation.pixels(self._pngs[index])

  def translation_truths(
    self, a_index: int, b_index: int
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns a with squares for its circles, and b with circles, uint8 [S, S, 3] each."""
    return self._translation(a_index), self._translation(b_index)

  def _translation(self, index: int) -> np.ndarray:
    return shape_drawing.draw(shape_drawing.other(self.recipe(index)))


def open_splits(config_data: ml_collections.ConfigDict, side: int) -> Source:
  """Opens 'train', 'validation' and 'test', which are drawn if they are not on disk.

  Args:
    config_data: config.data, of which this uses name (one of `shape_drawing.KINDS`, '': 'plain'),
      aligned (whether A_i and B_i are one scene), data_dir ('': TFDS's own), num_train,
      num_validation and num_test (scenes of each domain, 0: 2000, 200, 500), and the domains,
      '~Square' and 'Square' where it says nothing else.
    side: of the pictures in pixels.

  Raises:
    UserError: a name, number or side that cannot be drawn, or a data_dir that cannot be written.
  """
  kind = config_data.name or 'plain'
  fields.check_value(
    'config.data.name', kind, field('plain', one_of(*shape_drawing.KINDS))
  )
  counts = tuple(config_data[f'num_{split}'] for split in SPLITS)
  if side not in shape_drawing.SIDES:
    raise errors.UserError(
      f'shapes of {side} pixels cannot be drawn; the size must be in '
      f'[{shape_drawing.SIDES.start}, {shape_drawing.SIDES[-1]}]'
    )

  # Sets are drawn once, each into its folder.
  config = _config(kind, side, config_data.aligned, counts)
  data_dir = os.path.expanduser(config_data.data_dir or tfds.core.constants.DATA_DIR)
  preparation.draw_once(
    functools.partial(_builder, config, data_dir),
    _folder(config, data_dir),
    'circles and squares',
  )
  records = {split: CircleSquareRecords(config, data_dir, split) for split in SPLITS}
  domains = domains_of(config_data, records['train'].attribute_names)
  return Source(records, domains, dict.fromkeys(SPLITS, 'drawn'))


def _config(
  kind: str, side: int, aligned: bool, counts: Sequence[int]
) -> CircleSquareConfig:
  """Returns the builder's configuration; its name, and so its folder, says all of these."""
  counts = preparation.counts_or_defaults(counts, _DEFAULT_COUNTS)
  name = f'{kind}-{side}{"-aligned" if aligned else ""}'
  if counts != _DEFAULT_COUNTS:
    name += ''.join(f'_{count}' for count in counts)
  return CircleSquare.builder_configs.get(name) or CircleSquareConfig(
    name=name, kind=kind, side=side, aligned=bool(aligned), counts=counts
  )


def _builder(config: CircleSquareConfig, data_dir: str) -> CircleSquare:
  return CircleSquare(config=config, data_dir=data_dir, file_format='array_record')


def _folder(config: CircleSquareConfig, data_dir: str) -> str:
  return os.path.join(
    data_dir, CircleSquare.name, config.name, str(CircleSquare.VERSION)
  )
