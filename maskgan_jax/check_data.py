"""Says what a config's data holds and what is wrong with it, and draws a contact sheet.

python -m maskgan_jax.check_data --config=configs/quickstart.py --output=check_data.png
"""

import collections
from collections.abc import Iterator
import dataclasses
import hashlib
import os

from absl import flags
import ml_collections
import numpy as np

from maskgan_jax import cli, errors, files
from maskgan_jax import config as run_config
from maskgan_jax.data import (
  evaluation,
  images,
  pipeline,
  predicates,
  transforms,
  unused,
)
from maskgan_jax.data.records import SPLITS
from maskgan_jax.runs import pictures

_SHOWN = 5  # names in a line of the report
_FLAT = 2  # levels of 255 within which a picture is of one colour; lossy formats are not exact
_DIM = 64  # of 255: the highest level of 14-bit data in files of 16 bits
_SHEET_PAIRS = 6
_KINDS = {  # of the report's lists of pictures: what is wrong with them
  'unreadable': 'cannot be read',
  'unfit': 'are smaller than the crop',
  'constant': 'are of one colour',
  'cut': 'are so large that the crop, which is in stored pixels, leaves less than half as much '
  'of them as of others',
  'bad_masks': 'have a mask that does not fit',
}
_ROWS = {  # of the contact sheet: names in a batch, and titles
  'a': 'a',
  'b': 'b',
  'a_mask': "a's mask",
  'b_mask': "b's mask",
  'truth_ab': 'a after b',
  'truth_ab_mask': 'what changed',
  'truth_ba': 'b without it, or after a',
  'b_erase': 'to erase in b',
  'truth_ab_erased': 'a after b, erased',
  'a_erase': 'what that leaves as in a',
}


def check(
  config: ml_collections.ConfigDict, output: str = '', *, max_images: int = 0
) -> dict:
  """Reads the data of a config and writes a contact sheet to `output` ('' for none).

  Args:
    config: as `pipeline.make` takes it.
    output: PNG path.
    max_images: at most this many, evenly spread, of each domain and split are read; 0 = all.

  Returns:
    'data' (`Data.describe`), 'splits' (by split and domain: counts, sizes, unreadable, constant,
    levels, masks), 'labels' (by attribute: share in a and in b in training), 'duplicates' (groups
    of names), 'problems' (sentences), 'usable' (whether both domains can be trained on), 'refused'
    (the splits at which training or measuring would stop), 'output'.

  Raises:
    UserError: the data cannot be opened at all.
  """
  data = pipeline.make(config)
  examined = _examine_all(data, transforms.Transform.of(config), max_images)
  places_by_pixels = collections.defaultdict(set)  # (split, name) of the same pictures
  splits = {split: {} for split in SPLITS}
  for (split, domain), pictures_of_domain in examined.items():
    splits[split][domain] = pictures_of_domain.facts()
    for pixels, name in pictures_of_domain.pixels:
      places_by_pixels[pixels].add((split, name))

  report = {
    'data': data.describe(),
    'splits': splits,
    'labels': _labels(data),
    'duplicates': _duplicates(places_by_pixels),
    'usable': _trainable(examined['train', 'a']) and _trainable(examined['train', 'b']),
    'refused': [split for split in SPLITS if _refused(split, splits[split])],
  }
  report['problems'] = [
    *_problems_of_domains(splits),
    *_problems_of_splits(data, report),
    *_leaks(places_by_pixels),
  ]
  rows = _sheet_rows(data, examined)
  report['output'] = _save_sheet(output, rows)
  return report


def _spread(members: np.ndarray, max_images: int) -> np.ndarray:
  """Returns `max_images` of the record numbers, evenly spread; all of them for 0."""
  if not max_images or len(members) <= max_images:
    return members
  return members[np.linspace(0, len(members) - 1, max_images).astype(int)]


def _examine_all(
  data: pipeline.Data, transform: transforms.Transform, max_images: int
) -> dict[tuple[str, str], '_Examined']:
  """Reads the pictures of every split and domain."""
  examined = {}
  for split in SPLITS:
    for domain, members in zip('ab', data.members(split), strict=True):
      indices = _spread(members, max_images)
      examined[split, domain] = _examine(data, split, indices, transform)
      examined[split, domain].count = len(members)
  return examined


def _trainable(pictures_of_domain: '_Examined') -> bool:
  """Returns whether a domain has training pictures; these need no mask that fits."""
  return bool(pictures_of_domain.usable or pictures_of_domain.bad_masks)


def _refused(split: str, facts_by_domain: dict) -> bool:
  """Returns whether pictures stop training or measuring, at once or when they are read."""
  kinds = ['unreadable', 'unfit']
  if split != 'train':  # training reads no masks
    kinds.append('bad_masks')
  for facts in facts_by_domain.values():
    if not facts['count'] or any(facts[kind] for kind in kinds):
      return True
  return False


@dataclasses.dataclass
class _Examined:
  """What the pictures of a domain in a split are like.

  Attributes:
    count: how many there are.
    read: how many were looked at.
    unreadable: messages; so are `unfit` (smaller than the crop) and `bad_masks`.
    constant: names of pictures of one colour.
    names_by_levels: names by what is odd about their levels.
    pixels: a hash of the pixels, and the name, of each.
    shares: share of its area that the crop leaves of a picture, by name.
    sizes: how many there are of each, such as '178x218'.
    smaller: how many are smaller than the input.
    masks: how many have a true mask; `empty_masks`, how many an empty one.
    highest: level, of 255.
    usable: record numbers of pictures without any of these faults.
  """

  count: int = 0
  read: int = 0
  unreadable: list[str] = dataclasses.field(default_factory=list)
  unfit: list[str] = dataclasses.field(default_factory=list)
  bad_masks: list[str] = dataclasses.field(default_factory=list)
  constant: list[str] = dataclasses.field(default_factory=list)
  names_by_levels: dict[str, list[str]] = dataclasses.field(
    default_factory=lambda: collections.defaultdict(list)
  )
  pixels: list[tuple[bytes, str]] = dataclasses.field(default_factory=list)
  shares: dict[str, float] = dataclasses.field(default_factory=dict)
  sizes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  smaller: int = 0
  masks: int = 0
  empty_masks: int = 0
  highest: int = 0
  usable: list[int] = dataclasses.field(default_factory=list)

  def facts(self) -> dict:
    """Returns the part of the report about these pictures."""
    least = max(self.shares.values(), default=0) / 2
    return {
      'count': self.count,
      'read': self.read,
      'unreadable': self.unreadable,
      'unfit': self.unfit,
      'constant': self.constant,
      'sizes': dict(self.sizes.most_common()),
      'smaller': self.smaller,
      'masks': self.masks,
      'empty_masks': self.empty_masks,
      'bad_masks': self.bad_masks,
      'levels': dict(self.names_by_levels),
      'highest': self.highest,
      'cut': [name for name, share in self.shares.items() if share < least],
    }

  def see(self, name: str, image: np.ndarray, input_shape: tuple[int, int]) -> bool:
    """Takes a picture in; returns whether it shows anything."""
    height, width = image.shape[:2]
    self.highest = max(self.highest, int(image.max()))
    self.sizes[f'{width}x{height}'] += 1
    self.smaller += height < input_shape[0] or width < input_shape[1]
    contents = str(image.shape).encode() + image.tobytes()
    self.pixels.append((hashlib.blake2b(contents, digest_size=16).digest(), name))

    # Of a dark picture in a file of 16 bits few levels are left, and it may look flat.
    is_flat = np.ptp(image, axis=(0, 1)).max() <= _FLAT
    remark = transforms.levels_remark(image)
    if remark and (not is_flat or 0 < image.max() < 128):
      self.names_by_levels[remark].append(name)
    elif is_flat:
      self.constant.append(name)
    return not is_flat


def _examine(
  data: pipeline.Data, split: str, indices: np.ndarray, transform: transforms.Transform
) -> _Examined:
  """Reads records of a split."""
  records = data.records(split)
  pairs = data.pairs(split, indices, indices)
  examined = _Examined(read=len(indices))
  for index in map(int, indices):
    name = records.name(index)
    try:
      image = records.image(index)
    except errors.UserError as error:
      examined.unreadable.append(str(error))
      continue
    if not examined.see(name, image, data.image_shape):
      continue
    try:
      pairs.prepare(image, index)
      examined.shares[name] = transform.crop_share(*image.shape[:2], name)
    except errors.UserError as error:
      examined.unfit.append(str(error))
      continue
    try:
      mask = pairs.true_mask(index)
    except errors.UserError as error:
      examined.bad_masks.append(str(error))
      continue
    if mask is not None:
      examined.masks += 1
      examined.empty_masks += not mask.any()
    examined.usable.append(index)
  return examined


def _labels(data: pipeline.Data) -> dict[str, list[float | None]]:
  """Returns, by attribute, its share in a and in b in training; None of an empty domain."""
  records = data.records('train')
  labels = {name: [] for name in records.attribute_names}
  for members in data.members('train'):
    for column, name in enumerate(records.attribute_names):
      values = records.attributes[members, column]
      labels[name].append(float(values.mean()) if len(values) else None)
  return labels


def _duplicates(places_by_pixels: dict) -> list[list[str]]:
  """Returns groups of pictures that are the same, each as 'split: name'."""
  groups = []
  for places in places_by_pixels.values():
    if len(places) > 1:
      groups.append(sorted(f'{split}: {name}' for split, name in places))
  return sorted(groups)


def _problems_of_domains(splits: dict) -> Iterator[str]:
  """Yields sentences about the pictures of one domain in one split, the worst first."""
  for split, facts_by_domain in splits.items():
    for domain, facts in facts_by_domain.items():
      for problem in _problems_of_domain(split, domain, facts):
        yield f'{split} {domain}{problem}'


def _problems_of_domain(split: str, domain: str, facts: dict) -> Iterator[str]:
  """Yields what follows the name of a domain and split in the sentences about them."""
  if not facts['count']:
    yield ' has no pictures'
  for kind, problem in _KINDS.items():
    if names := facts[kind]:
      yield f': {len(names)} pictures {problem}: {predicates.shortlist(names, _SHOWN)}'
  for remark, names in facts['levels'].items():
    yield f': {len(names)} pictures ({predicates.shortlist(names, _SHOWN)}) are {remark}'
  if (
    transforms.DARK < facts['highest'] <= _DIM
  ):  # one such picture alone may be a night
    yield (
      f': no picture has a level above {facts["highest"]} of 255; {transforms.SHALLOW}'
    )
  readable = facts['read'] - len(facts['unreadable'])
  if 0 < facts['masks'] < readable and split != 'train':
    yield (
      f': only {facts["masks"]} of {facts["read"]} pictures have a mask; '
      'the others do not count where masks are measured'
    )
  if facts['masks'] and facts['empty_masks'] == facts['masks'] and domain == 'b':
    yield ': every mask is empty'
  if facts['smaller']:
    yield f': {facts["smaller"]} pictures are smaller than the input and will be enlarged'


def _problems_of_splits(data: pipeline.Data, report: dict) -> Iterator[str]:
  """Yields sentences about pictures that are in two places, and about unused ones."""
  for split in SPLITS:
    a, b = data.members(split)
    common = len(np.intersect1d(a, b))
    if common and not np.array_equal(
      a, b
    ):  # one set for both is meant: labels are what differs
      yield f'{split}: {common} pictures are in both domains'
  if report['duplicates']:
    copies = sum(len(group) - 1 for group in report['duplicates'])
    groups = [' = '.join(group[:3]) for group in report['duplicates']]
    yield f'{copies} pictures are copies of others: {predicates.shortlist(groups, _SHOWN)}'
  if report['data']['unused']:
    yield report['data']['unused']


def _leaks(places_by_pixels: dict) -> Iterator[str]:
  """Yields a sentence about pictures that are trained with and measured on."""
  leaks = 0
  for places in places_by_pixels.values():
    is_training = {split == 'train' for split, _ in places}
    leaks += len(is_training) > 1
  if leaks:
    yield f'{leaks} pictures are both in training and in validation or test'


def _sheet_rows(
  data: pipeline.Data, examined: dict[tuple[str, str], _Examined]
) -> dict[str, list[np.ndarray]]:
  """Returns named rows of pictures: training pairs, then evaluation pairs with masks and truths."""
  rows = {}
  for split in SPLITS:
    a = np.array(examined[split, 'a'].usable, np.int64)
    b = np.array(examined[split, 'b'].usable, np.int64)
    b = evaluation.turned(a, b)
    count = min(len(a), len(b), _SHEET_PAIRS)
    if not count:
      continue
    try:
      pairs = data.pairs(split, a[:count], b[:count]).get(range(count))
    except errors.UserError:  # a mask that does not fit, which is among the problems
      continue
    for name, title in _ROWS.items():
      if name in pairs[0] and (split != 'train' or name in 'ab'):
        rows[f'{split} {title}'] = [np.nan_to_num(pair[name]) for pair in pairs]
  return rows


def _save_sheet(output: str, rows: dict[str, list[np.ndarray]]) -> str:
  """Writes the contact sheet and returns its path; '' if there is none to write.

  A row that is shorter than others ends with empty cells.
  """
  if not output or not rows:
    return ''
  width = max(map(len, rows.values()))
  cells = [row + [None] * (width - len(row)) for row in rows.values()]
  sheet = pictures.grid(cells, row_names=list(rows), column_names=[''] * width)
  images.save_png(output, sheet)
  return output


def lines(report: dict) -> list[str]:
  """Returns the report as lines to print."""
  data = report['data']
  text = [
    f'source {data["source"]} {data["place"]}'.rstrip(),
    f'a = {data["a"] or "all"}    b = {data["b"] or "all"}',
  ]
  if (data['test_a'], data['test_b']) != (data['a'], data['b']):
    text.append(f'in validation and test: a = {data["test_a"]}    b = {data["test_b"]}')
  if data['remark']:
    text.append(data['remark'])
  for split, facts_by_domain in report['splits'].items():
    text.append(f'{split} ({data["divided"][split]})')
    for domain, facts in facts_by_domain.items():
      text.append(f'  {domain}: {_counts(facts)}; {_sizes(facts["sizes"])}')
  if report['labels']:
    text.append('share of the training pictures that have an attribute')
    width = max(map(len, report['labels']))
    for name, shares in report['labels'].items():
      a, b = ('   -' if share is None else f'{share:4.0%}' for share in shares)
      text.append(f'  {name:{width}}  a {a}  b {b}')
  text += [f'PROBLEM {problem}' for problem in report['problems']] or [
    'no problems found'
  ]
  if report['output']:
    text.append(f'wrote {report["output"]}')
  return text


def _counts(facts: dict) -> str:
  """Says how many pictures and masks a domain has."""
  readable = facts['read'] - len(facts['unreadable'])
  masks = f', {facts["masks"]} masks' if facts['masks'] else ''
  return f'{facts["count"]} pictures, {readable} read{masks}'


def _sizes(count_by_size: dict[str, int]) -> str:
  """Lists the commonest sizes of pictures."""
  sizes = [f'{size} ({count})' for size, count in count_by_size.items()]
  more = f' and {len(sizes) - 3} more sizes' if len(sizes) > 3 else ''
  return (', '.join(sizes[:3]) or 'none') + more


def _check_output(output: str, config_data: ml_collections.ConfigDict) -> None:
  """Raises a UserError if the sheet would be hidden, or would replace a file of the data."""
  files.check_output(output, [config_data.attributes_file])
  if not os.path.isfile(output) or os.path.basename(output) == unused.CONTACT_SHEET:
    return
  for folder in (config_data.path, config_data.masks_path, config_data.labels_path):
    real_folder = os.path.realpath(os.path.expanduser(folder))
    if folder and os.path.realpath(output).startswith(real_folder + os.sep):
      raise errors.UserError(
        f'--output={output} is a file of the data; choose another name'
      )


def refusal(report: dict, *, measures: bool) -> str:
  """Returns why `train` would fail with these pictures, or ''.

  Args:
    report: as `check` returns it.
    measures: whether the config has evaluators, the only ones that read test pictures.
  """
  if not report['usable']:
    return 'a domain has no usable training pictures; see the problems above'
  refused = [split for split in report['refused'] if measures or split != 'test']
  if not refused:
    return ''
  return f'`train` would stop at the {" and ".join(refused)} pictures; see the problems above'


def main() -> None:
  """Checks what --config names, prints the report, fails if `train` would with these pictures."""
  config = run_config.from_flags()
  _check_output(flags.FLAGS.output, config.data)
  report = check(config, flags.FLAGS.output, max_images=flags.FLAGS.max_images)
  print('\n'.join(lines(report)))
  if reason := refusal(report, measures=bool(config.get('evaluators', True))):
    raise errors.UserError(reason)


if __name__ == '__main__':
  run_config.define_flags()
  flags.DEFINE_string('output', unused.CONTACT_SHEET, 'Contact sheet to write, PNG.')
  flags.DEFINE_integer(
    'max_images',
    5000,
    'Pictures to read of each domain and split; 0 = all.',
    lower_bound=0,
  )
  cli.run(main)
