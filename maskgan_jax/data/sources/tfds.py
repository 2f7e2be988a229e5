"""TFDS data sets in array_record, read without TensorFlow: celeb_a, cycle_gan/*, others."""

import bisect
from collections.abc import Callable, Sequence
import functools
import hashlib
import os

from absl import logging
import ml_collections
import numpy as np
import tensorflow_datasets as tfds

from maskgan_jax import errors
from maskgan_jax.data import images
from maskgan_jax.data.records import Listing, Records

_PAIRED = {  # index into SPLITS
  **dict.fromkeys(('trainA', 'trainB'), 0),
  **dict.fromkeys(('validationA', 'validationB'), 1),
  **dict.fromkeys(('testA', 'testB'), 2),
}
_SPLIT_CODES = {'train': 0, 'validation': 1, 'val': 1, 'test': 2, **_PAIRED}
_CHUNK = 256  # records read at once while the labels are collected


class TfdsRecords(Records):
  """The pictures and labels of several TFDS splits, one after the other."""

  def __init__(self, builder, splits: list[str], *, max_pixels: int):
    self._feature = _image_feature(builder)
    # `images` decodes the bytes: TFDS's decoder treats odd files in another way.
    decoders = {self._feature: tfds.decode.SkipDecoding()}
    self._sources = [
      builder.as_data_source(split, decoders=decoders) for split in splits
    ]
    self._splits = splits
    self.lengths = [len(source) for source in self._sources]
    self._ends = np.cumsum(self.lengths).tolist()
    self._max_pixels = max_pixels
    self._dataset = builder.info.full_name
    self.attribute_names, columns = _columns(builder, splits)
    self.attributes = self._read_attributes(columns)
    contents = f'{self._dataset} {splits} {self.lengths} {self.attribute_names}'
    digest = hashlib.sha256(contents.encode())
    digest.update(np.packbits(self.attributes).tobytes())
    self.fingerprint = digest.hexdigest()[:16]

  def __len__(self):
    return self._ends[-1]

  def _locate(self, index: int) -> tuple[int, int]:
    """Returns the number of a record's split, and its place in it."""
    part = bisect.bisect_right(self._ends, index)
    start = self._ends[part - 1] if part else 0
    return part, index - start

  def name(self, index):
    part, place = self._locate(index)
    return f'{self._dataset}/{self._splits[part]}[{place}]'

  def image(self, index):
    part, place = self._locate(index)
    encoded = self._sources[part][place][self._feature]
    return images.load_image(
      encoded, max_pixels=self._max_pixels, name=self.name(index)
    )

  def _read_attributes(self, columns):
    """Reads every record's labels: seconds for CelebA, since pictures stay encoded."""
    rows = []
    for split, source in zip(self._splits, self._sources, strict=True):
      logging.info('reading the labels of %s/%s', self._dataset, split)
      for start in range(0, len(source), _CHUNK):
        examples = source.__getitems__(range(start, min(start + _CHUNK, len(source))))
        for example in examples:
          rows.append([column(example, split) for column in columns])
    return np.array(rows, bool).reshape(len(self), len(columns))


def open_tfds(config_data: ml_collections.ConfigDict) -> Listing:
  """Opens a prepared TFDS data set; UserError says how to prepare one that is not there."""
  builder = open_builder(config_data.name, config_data.data_dir)
  available = list(builder.info.splits)
  splits = [split for split in _SPLIT_CODES if split in available]
  if not splits:
    # A single split under another name is divided by the fractions.
    splits = available[:1]
  try:
    records = TfdsRecords(builder, splits, max_pixels=config_data.max_pixels)
  except NotImplementedError as error:
    how = _how_to_prepare(config_data.name, config_data.data_dir)
    raise errors.UserError(
      f'{config_data.name} in {builder.data_dir} is not stored as '
      f'array_record; remove it there, then prepare it {how}'
    ) from error
  codes = [_SPLIT_CODES.get(split, -1) for split in splits]
  return Listing(records, np.repeat(np.array(codes, np.int8), records.lengths))


def open_builder(name: str, data_dir: str) -> tfds.core.DatasetBuilder:
  """Returns the builder of a prepared data set; UserError as `open_tfds`."""
  if not name:
    raise errors.UserError(
      "config.data.name is empty; source='tfds' needs one such as 'celeb_a'"
    )

  # TFDS raises here for names that it does not know and versions that it cannot read.
  try:
    builder = tfds.builder(
      name, data_dir=os.path.expanduser(data_dir) or None, file_format='array_record'
    )
  except tfds.core.registered.DatasetNotFoundError as error:
    hint = errors.nearest(name, tfds.list_builders(with_community_datasets=False))
    raise errors.UserError(
      f'config.data.name={name!r} is not a TFDS data set{hint}'
    ) from error
  except (ValueError, RuntimeError) as error:
    reason = str(error).splitlines()[0][-300:]
    raise errors.UserError(f'config.data.name={name!r}: {reason}') from error
  if not os.path.isdir(builder.data_dir) or not builder.info.splits:
    raise errors.UserError(
      f'TFDS has not prepared {name} in {builder.data_dir}; do that '
      f'{_how_to_prepare(name, data_dir)}'
    )
  return builder


def _how_to_prepare(name: str, data_dir: str) -> str:
  """Returns the command that prepares a data set, as the end of a sentence."""
  place = f', data_dir={data_dir!r}' if data_dir else ''
  return (
    'once, on a machine with internet access and tensorflow: python -c "import '
    f'tensorflow_datasets as tfds; tfds.builder({name!r}{place}, '
    "file_format='array_record').download_and_prepare()\""
  )


def _image_feature(builder: tfds.core.DatasetBuilder) -> str:
  """Returns the name of the feature that is a picture: 'image', or else the first."""
  features = builder.info.features
  names = [
    name
    for name, feature in features.items()
    if isinstance(feature, tfds.features.Image)
  ]
  if not names:
    raise errors.UserError(
      f'{builder.info.full_name} has no pictures; its features: {", ".join(features)}'
    )
  return 'image' if 'image' in names else names[0]


def _columns(
  builder: tfds.core.DatasetBuilder, splits: Sequence[str]
) -> tuple[tuple[str, ...], list[Callable[[dict, str], bool]]]:
  """Returns attribute names, and for each a function of (example, split) that reads it."""
  if set(splits) <= set(_PAIRED):
    return ('B',), [lambda example, split: split.endswith('B')]

  # Class labels become an attribute each; booleans are attributes already.
  columns = {}
  for name, feature in builder.info.features.items():
    if isinstance(feature, tfds.features.ClassLabel):
      for value, label in enumerate(feature.names):
        columns[label] = functools.partial(_is_of_class, name, value)
    elif isinstance(feature, tfds.features.FeaturesDict):
      for key in feature:
        if feature[key].np_dtype == np.bool_:
          columns[key] = functools.partial(_is_true, (name, key))
    elif isinstance(feature, tfds.features.Scalar) and feature.np_dtype == np.bool_:
      columns[name] = functools.partial(_is_true, (name,))
  return tuple(columns), list(columns.values())


def _is_of_class(name: str, value: int, example: dict, split: str) -> bool:
  """Returns whether an example's label of this name has this value."""
  del split
  return int(example[name]) == value


def _is_true(keys: Sequence[str], example: dict, split: str) -> bool:
  """Returns the example's value at nested keys."""
  del split
  for key in keys:
    example = example[key]
  return bool(example)
