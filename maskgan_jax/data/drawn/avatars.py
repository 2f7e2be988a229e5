"""`avatars`, a TFDS dataset that draws itself: cartoon faces, their attributes, masks and recipes.

Importing this file registers it: `tfds.builder('avatars/64', file_format='array_record')`. The
pipeline reads it through `AvatarRecords`, which also knows the exact answer to every translation.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import multiprocessing
import os
import signal
import sys
import threading
import types

import ml_collections
import numpy as np
import tensorflow_datasets as tfds
import tqdm

from maskgan_jax import errors
from maskgan_jax.data.domains import domains_of
from maskgan_jax.data.drawn import avatar_faces, avatar_scenes, preparation
from maskgan_jax.data.records import Records, Source, SPLITS

# With VERSION it decides every face: a change of either makes another dataset.
_SEED = 1
_DEFAULT_COUNTS = (4800, 500, 500)
_SIZES = range(8, 1025)

# Below this many pixels one process is done before others have started and rasterised their parts.
_PIXELS_WORTH_A_POOL = 20_000_000
_CHUNK = 64
_COMPARED = 8  # faces that opening draws again
# Levels of 255, on average, by which machines may draw a scene differently: sines and Fourier
# transforms differ in their last bits, which may round to neighbouring levels.
_ROUNDING = 0.5


@dataclasses.dataclass(kw_only=True)
class AvatarsConfig(tfds.core.BuilderConfig):
  """Side of the square pictures in pixels, number of faces in each split, what makes them hard."""

  size: int
  counts: tuple[int, int, int] = _DEFAULT_COUNTS
  difficulties: tuple[str, ...] = ()


class Avatars(tfds.core.GeneratorBasedBuilder):
  """Cartoon faces with exact masks. Record i of a split is face i, in every size and count."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First release.'}
  BUILDER_CONFIGS = [AvatarsConfig(name=str(size), size=size) for size in (32, 64, 128)]

  def _info(self) -> tfds.core.DatasetInfo:
    size = self.builder_config.size
    mask = functools.partial(
      tfds.features.Image, shape=(size, size, 1), encoding_format='png'
    )
    names = avatar_faces.ATTRIBUTES
    # Faces are drawn at random, so record i is face i.
    return tfds.core.DatasetInfo(
      builder=self,
      description='Cartoon faces (Avataaars) with independent attributes, the exact share of '
      'each pixel that each attribute has (255 is all of it; rounded up, so that 0 '
      'means untouched), and the recipe that each face is drawn from.',
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(shape=(size, size, 3), encoding_format='png'),
          'attributes': dict.fromkeys(names, np.bool_),
          'masks': {name: mask() for name in names},
          'recipe': tfds.features.Text(),
        }
      ),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager
    counts = dict(zip(avatar_faces.SPLITS, self.builder_config.counts, strict=True))
    return {
      split: self._generate_examples(split, count) for split, count in counts.items()
    }

  def _generate_examples(self, split: str, count: int) -> Iterator[tuple[int, dict]]:
    config = self.builder_config
    yield from enumerate(_draw_all(split, count, config.size, config.difficulties))


def draw_example(
  split: str, index: int, size: int, difficulties: Sequence[str] = ()
) -> dict:
  """Draws one example alone, as the builder stores it: pictures as PNG bytes."""
  face = avatar_faces.recipe(_SEED, split, index)
  scene = avatar_scenes.Scene(_SEED, split, index, difficulties)
  attributes = avatar_faces.attributes_of(face)
  masks = {}
  for name, present in attributes.items():
    masks[name] = _nothing(size)
    if present:
      mask = scene.changed(face, avatar_faces.without(face, [name]), size)
      masks[name] = preparation.png(np.ceil(255 * mask).astype(np.uint8))
  return {
    'image': preparation.png(scene.render(face, size)),
    'attributes': attributes,
    'masks': masks,
    'recipe': face.to_json(),
  }


class AvatarRecords(Records):
  """One split of `avatars`, prepared if it is not on disk, with exact masks and translations."""

  attribute_names = avatar_faces.ATTRIBUTES
  features = avatar_faces.FEATURES
  knows_transfers = True

  def __init__(self, config_data, split: str, image_size: int):
    """Reads a split: 'train', 'validation' or 'test'.

    Args:
      config_data: config.data, of which this uses data_dir ('': TFDS's own) and num_train,
        num_validation, num_test, the number of faces in each split (0: 4800, 500, 500), and
        difficulty, of `avatar_scenes.DIFFICULTIES`.
      split: one of `avatar_faces.SPLITS`.
      image_size: side of the square pictures.

    Raises:
      UserError: a number or size that cannot be drawn, or a data_dir that cannot be written.
    """
    if split not in avatar_faces.SPLITS:
      raise errors.UserError(
        f"avatars have no split '{split}'; they have {', '.join(avatar_faces.SPLITS)}"
      )
    self._split, self._size = split, image_size
    config = _config(config_data, image_size)
    self._difficulties = config.difficulties
    data_dir = os.path.expanduser(config_data.data_dir or tfds.core.constants.DATA_DIR)
    folder = os.path.join(data_dir, Avatars.name, config.name, str(Avatars.VERSION))
    builder = functools.partial(
      Avatars, config=config, data_dir=data_dir, file_format='array_record'
    )
    preparation.draw_once(builder, folder, 'the avatars')
    records = _read(builder, folder, split)
    # Encoded: a hundred thousand faces of 128 pixels are then still under a gigabyte.
    self._pngs = [record['image'] for record in records]
    self._recipes = [record['recipe'] for record in records]
    rows = []
    for record in records:
      labels = record['attributes']
      rows.append([labels[name] for name in self.attribute_names])
    self.attributes = np.array(rows, bool)
    self.fingerprint = self._digest(config, folder)

  def _digest(self, config: AvatarsConfig, folder: str) -> str:
    """Returns a hash of labels and recipes; UserError if the first faces are drawn otherwise."""
    digest = hashlib.sha256(
      f'avatars {Avatars.VERSION} {config.name} {self._split}'.encode()
    )
    for part in (self.attributes.tobytes(), *self._recipes):
      digest.update(part)

    # Exact answers need the renderer that drew the pictures.
    for index in range(min(_COMPARED, len(self))):
      image = self.image(index)
      drawn = self._render(index, self.recipe(index))
      difference = np.abs(image.astype(int) - drawn).mean()
      if difference > (_ROUNDING if self._difficulties else 0):
        raise errors.UserError(
          f'{folder} was drawn by another version of python-avatars, resvg-py or Pillow, so '
          'exact answers would not fit its pictures; delete it'
        )
      digest.update(image.tobytes())
    return digest.hexdigest()

  def __len__(self) -> int:
    return len(self._pngs)

  def name(self, index: int) -> str:
    return f'avatars {self._split} face {index}'

  def labels_of(self, feature: str) -> tuple[str, ...]:
    """Returns the attributes that tell what a feature is like; () for anything else."""
    return avatar_faces.FEATURE_LABELS.get(feature, ())

  def recipe(self, index: int) -> avatar_faces.Recipe:
    return avatar_faces.Recipe.from_json(self._recipes[index])

  def image(self, index: int) -> np.ndarray:
    return preparation.pixels(self._pngs[index])

  def _scene(self, index: int) -> avatar_scenes.Scene:
    return avatar_scenes.Scene(_SEED, self._split, index, self._difficulties)

  def _render(self, index: int, face: avatar_faces.Recipe) -> np.ndarray:
    """Draws a face in the scene of face `index`."""
    return self._scene(index).render(face, self._size)

  def mask(self, index: int, attribute: str) -> np.ndarray:
    """Returns the share of each pixel that an attribute or feature has, from the recipe."""
    avatar_faces.check_attributes([attribute])
    face = self.recipe(index)
    bare = avatar_faces.without(face, [attribute])
    return self._scene(index).changed(face, bare, self._size)

  def has_mask(self, index: int, names: Sequence[str]) -> bool:
    """Returns whether the face shows any of the attributes; every face shows a feature."""
    for name in names:
      if name in self.features:
        return True
      if self.attributes[index, self.attribute_names.index(name)]:
        return True
    return False

  def transfer_truth(
    self, a_index: int, b_index: int, attributes: Iterable[str]
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns face a wearing b's attributes, uint8, and the share of each pixel that changed.

    It stays in its own scene: background, light and what stands before it.
    """
    face = self.recipe(a_index)
    wearing = avatar_faces.with_attributes_of(face, self.recipe(b_index), attributes)
    scene = self._scene(a_index)
    return scene.render(wearing, self._size), scene.changed(face, wearing, self._size)

  def erased_truth(
    self, a_index: int, b_index: int, attributes: Iterable[str], erased: str
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns face a wearing b's attributes but keeping a's `erased`, and where that shows.

    The region is the share of each pixel that differs from a wearing them all; zero where the
    two faces wear `erased` alike.
    """
    face = self.recipe(a_index)
    wearing = avatar_faces.with_attributes_of(face, self.recipe(b_index), attributes)
    keeping = avatar_faces.with_attributes_of(wearing, face, [erased])
    scene = self._scene(a_index)
    return scene.render(keeping, self._size), scene.changed(
      wearing, keeping, self._size
    )

  def removal_truth(self, b_index: int, attributes: Iterable[str]) -> np.ndarray:
    """Returns face b without the attributes, uint8."""
    return self._render(b_index, avatar_faces.without(self.recipe(b_index), attributes))


def open_splits(config_data: ml_collections.ConfigDict, size: int) -> Source:
  """Opens 'train', 'validation' and 'test' with faces of `size` pixels; see `AvatarRecords`."""
  records = {split: AvatarRecords(config_data, split, size) for split in SPLITS}
  domains = domains_of(config_data, AvatarRecords.attribute_names)
  return Source(records, domains, dict.fromkeys(SPLITS, 'drawn'))


def _config(config_data, size: int) -> AvatarsConfig:
  """Returns the builder's configuration; its name, and so its folder, says all that it has."""
  counts = (config_data.num_train, config_data.num_validation, config_data.num_test)
  counts = preparation.counts_or_defaults(counts, _DEFAULT_COUNTS)
  if size not in _SIZES:
    raise errors.UserError(
      f'avatars of {size} pixels cannot be drawn; '
      f'the size must be in [{_SIZES.start}, {_SIZES[-1]}]'
    )
  chosen = tuple(config_data.difficulty)
  avatar_scenes.check(chosen)
  # In one order, so that the same scenes have the same folder.
  difficulties = tuple(name for name in avatar_scenes.DIFFICULTIES if name in chosen)
  for config in Avatars.BUILDER_CONFIGS:
    if (config.size, config.counts, ()) == (size, counts, difficulties):
      return config
  name = '_'.join(map(str, (size, *counts)))
  if difficulties:
    name += f'_{"-".join(difficulties)}_{avatar_scenes.VERSION}'
  return AvatarsConfig(name=name, size=size, counts=counts, difficulties=difficulties)


def _read(builder: Callable[[], Avatars], folder: str, split: str) -> list[dict]:
  """Returns the records of a split, with pictures and masks as PNG bytes."""
  as_stored = tfds.decode.SkipDecoding()
  decoders = {
    'image': as_stored,
    'masks': dict.fromkeys(avatar_faces.ATTRIBUTES, as_stored),
  }
  with preparation.damage_reported(folder), preparation.quiet():
    source = builder().as_data_source(split, decoders=decoders)
    return [source[index] for index in range(len(source))]


def _draw_all(
  split: str, count: int, size: int, difficulties: Sequence[str]
) -> Iterator[dict]:
  """Draws a split in order, in several processes if that is faster."""
  draw = functools.partial(draw_example, split, size=size, difficulties=difficulties)
  cores = os.cpu_count() or 1
  if hasattr(os, 'sched_getaffinity'):
    cores = len(os.sched_getaffinity(0))
  workers = min(cores, count // _CHUNK)

  # Starting processes takes longer than drawing a few faces.
  with contextlib.ExitStack() as stack:
    if workers > 1 and count * size**2 >= _PIXELS_WORTH_A_POOL:
      examples = _draw_in_parallel(draw, count, workers, stack)
    else:
      examples = map(draw, range(count))
    yield from tqdm.tqdm(
      examples,
      f'drawing avatars, {split}',
      count,
      unit=' faces',
      disable=not sys.stderr.isatty(),
    )


def _draw_in_parallel(
  draw: Callable[[int], dict], count: int, workers: int, stack: contextlib.ExitStack
) -> Iterator[dict]:
  """Yields what `draw` makes of 0..count-1; the stack ends the processes."""
  # Spawned, because a fork of a process with JAX's threads may hang.
  pool = concurrent.futures.ProcessPoolExecutor(
    workers, multiprocessing.get_context('spawn'), initializer=_start_worker
  )
  stack.callback(pool.shutdown, cancel_futures=True)
  block = workers * _CHUNK * 4  # drawn ahead of the writer, which is the slower
  for start in range(0, count, block):
    indices = range(start, min(start + block, count))
    # A worker would import its parent's program, which may import JAX, come from standard input or
    # lack the guard of `if __name__ == '__main__'`. It gets an empty one instead.
    with _empty_program():
      examples = pool.map(draw, indices, chunksize=_CHUNK)
    yield from examples


@contextlib.contextmanager
def _empty_program() -> Iterator[None]:
  """Puts an empty module in the place of the running program."""
  program = sys.modules['__main__']
  sys.modules['__main__'] = types.ModuleType('__main__')
  try:
    yield
  finally:
    sys.modules['__main__'] = program


def _start_worker() -> None:
  """Leaves Ctrl-C to the parent, and dies with it."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)

  def follow():
    multiprocessing.parent_process().join()
    os._exit(1)

  threading.Thread(target=follow, daemon=True).start()


@functools.cache
def _nothing(size: int) -> bytes:
  return preparation.png(np.zeros((size, size), np.uint8))
