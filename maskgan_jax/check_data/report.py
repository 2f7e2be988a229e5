"""The report on a config's data: counts, labels, copies, and problems in plain sentences."""

import collections
from collections.abc import Iterator

import ml_collections
import numpy as np

from maskgan_jax.check_data import faces as of_faces
from maskgan_jax.check_data import sheet
from maskgan_jax.check_data.examination import examine_all, Examined
from maskgan_jax.data import landmarks, pipeline, predicates, transforms
from maskgan_jax.data.records import SPLITS

_SHOWN = 5  # names in a line of the report
_DIM = 64  # of 255: the highest level of 14-bit data in files of 16 bits
_KINDS = {  # of the report's lists of pictures: what is wrong with them
  'unreadable': 'cannot be read',
  'unfit': 'are smaller than the crop',
  'constant': 'are of one colour',
  'cut': 'are so large that the crop, which is in stored pixels, leaves less than half as much '
  'of them as of others',
  'bad_masks': 'have a mask that does not fit or marks nothing',
}


def check(
  config: ml_collections.ConfigDict,
  output: str = '',
  *,
  max_images: int = 0,
  points: str = '',
) -> dict:
  """Reads the data of a config and writes a contact sheet to `output` ('' for none).

  Args:
    config: as `pipeline.make` takes it.
    output: PNG path.
    max_images: at most this many, evenly spread, of each domain and split are read; 0 = all.
    points: a table of the points of the training pictures' faces, which are to lie alike; see
      `landmarks.Faces.read`. '' for none.

  Returns:
    'data' (`Data.describe`), 'splits' (by split and domain: counts, sizes, unreadable, constant,
    levels, masks), 'labels' (by attribute: share in a and in b in training), 'duplicates' (groups
    of names), 'problems' (sentences), 'usable' (whether both domains can be trained on), 'refused'
    (the splits at which training or measuring would stop), 'template' (where most faces lie, as
    config.data.template; '' without points), 'output'.

  Raises:
    UserError: the data cannot be opened at all.
  """
  faces = landmarks.Faces.read(points) if points else None
  data = pipeline.make(config)
  examined = examine_all(data, transforms.Transform.of(config), max_images)
  splits = _facts_by_split(examined)
  places_by_pixels = _places_by_pixels(examined)
  report = {
    'data': data.describe(),
    'splits': splits,
    'labels': _labels(data),
    'duplicates': _duplicates(places_by_pixels),
    'usable': _trainable(examined['train', 'a']) and _trainable(examined['train', 'b']),
    'refused': _refused_splits(splits, trains_on_masks=bool(data.training_masks)),
  }

  # Problems are sentences about these facts; the sheet shows what has none.
  report['problems'] = [
    *_problems_of_domains(splits),
    *_problems_of_splits(data, report),
    *_leaks(places_by_pixels),
  ]
  report['template'] = ''
  if faces:
    alignment = of_faces.alignment_of(examined, faces)
    report['problems'] += alignment.problems()
    report['template'] = alignment.template.text() if alignment.template else ''
  report['output'] = sheet.save(output, sheet.rows_of(data, examined))
  return report


def _refused_splits(splits: dict[str, dict], *, trains_on_masks: bool) -> list[str]:
  """Returns the splits at which training or measuring would stop."""
  refused = []
  for split in SPLITS:
    reads_masks = split != 'train' or trains_on_masks
    if _refused(splits[split], reads_masks=reads_masks):
      refused.append(split)
  return refused


def _facts_by_split(examined: dict[tuple[str, str], Examined]) -> dict[str, dict]:
  """Returns the facts about pictures by split and domain."""
  facts_by_split = {split: {} for split in SPLITS}
  for (split, domain), pictures_of_domain in examined.items():
    facts_by_split[split][domain] = pictures_of_domain.facts()
  return facts_by_split


def _places_by_pixels(
  examined: dict[tuple[str, str], Examined],
) -> dict[bytes, set[tuple[str, str]]]:
  """Returns (split, name) of all pictures that are the same, by a hash of their pixels."""
  places_by_pixels = collections.defaultdict(set)
  for (split, _), pictures_of_domain in examined.items():
    for pixels, name in pictures_of_domain.pixels:
      places_by_pixels[pixels].add((split, name))
  return places_by_pixels


def _trainable(pictures_of_domain: Examined) -> bool:
  """Returns whether a domain has training pictures; these need no mask that fits."""
  return bool(pictures_of_domain.usable or pictures_of_domain.bad_masks)


def _refused(facts_by_domain: dict, *, reads_masks: bool) -> bool:
  """Returns whether pictures stop training or measuring, at once or when they are read."""
  kinds = ['unreadable', 'unfit']
  if reads_masks:
    kinds.append('bad_masks')
  for facts in facts_by_domain.values():
    if not facts['count'] or any(facts[kind] for kind in kinds):
      return True
  return False


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
  # One such picture alone may show a night.
  if transforms.DARK < facts['highest'] <= _DIM:
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
    # One set for both domains is meant: its labels differ.
    if common and not np.array_equal(a, b):
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

  # A line for each split and domain.
  for split, facts_by_domain in report['splits'].items():
    text.append(f'{split} ({data["divided"][split]})')
    for domain, facts in facts_by_domain.items():
      text.append(f'  {domain}: {_counts(facts)}; {_sizes(facts["sizes"])}')
  if given := data.get('training_masks'):
    text.append(f'training sees the masks of {given["a"]} of a and {given["b"]} of b')

  # The labels as a table, then the problems one by one.
  if report['labels']:
    text.append('share of the training pictures that have an attribute')
    width = max(map(len, report['labels']))
    for name, shares in report['labels'].items():
      a, b = ('   -' if share is None else f'{share:4.0%}' for share in shares)
      text.append(f'  {name:{width}}  a {a}  b {b}')
  if report['template']:
    text.append(f"most faces lie at --config.data.template='{report['template']}'")
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
