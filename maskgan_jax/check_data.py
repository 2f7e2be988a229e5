"""Says what a config's data holds and what is wrong with it, and draws a contact sheet.

  python -m maskgan_jax.check_data --config=configs/quickstart.py --output=check_data.png
"""

import collections
import hashlib
import os

from absl import flags
import ml_collections
import numpy as np

from maskgan_jax import cli, errors, files
from maskgan_jax import config as run_config
from maskgan_jax.data import evaluation, pipeline, predicates, transforms, unused
from maskgan_jax.data.records import SPLITS
from maskgan_jax.runs import pictures

_SHOWN = 5  # names in a line of the report
_DIM = 64  # of 255: the highest level of 14-bit data in files of 16 bits
_SHEET_PAIRS = 6
_ROWS = {'a': 'a', 'b': 'b', 'a_mask': "a's mask", 'b_mask': "b's mask", 'truth_ab': 'a after b',
         'truth_ab_mask': 'what changed', 'truth_ba': 'b without it, or after a',
         'b_erase': 'to erase in b',
         'truth_ab_erased': 'a after b, erased', 'a_erase': 'what that leaves as in a'}


def check(config: ml_collections.ConfigDict, output: str = '', *, max_images: int = 0) -> dict:
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
  transform = transforms.Transform.of(config)
  splits, by_pixels, good = {}, collections.defaultdict(set), {}
  for split in SPLITS:
    splits[split], good[split] = {}, []
    for domain, members in zip('ab', data.members(split), strict=True):
      chosen = _spread(members, max_images)
      found, readable = _examine(data, split, chosen, by_pixels, transform)
      splits[split][domain] = {'count': len(members), **found}
      good[split].append(readable)
  report = {
      'data': data.describe(),
      'splits': splits,
      'labels': _labels(data),
      'duplicates': _duplicates(by_pixels),
      'usable': all(len(readable) or found['bad_masks'] for readable, found in zip(
          good['train'], splits['train'].values(), strict=True)),
      'refused': [split for split in splits
                  if any(_refused(split, found) for found in splits[split].values())],
      'output': '',
  }
  report['problems'] = _problems(data, report, by_pixels)
  rows = _sheet_rows(data, good)
  if output and rows:
    width = max(map(len, rows.values()))
    cells = [row + [None] * (width - len(row)) for row in rows.values()]
    pictures.save(output, pictures.grid(cells, row_names=list(rows), column_names=[''] * width))
    report['output'] = output
  return report


def _spread(members, max_images):
  if not max_images or len(members) <= max_images:
    return members
  return members[np.linspace(0, len(members) - 1, max_images).astype(int)]


def _refused(split, found):
  """Whether a domain's pictures stop training or measuring, if not at once then when met."""
  kinds = ['unreadable', 'unfit'] + ['bad_masks'] * (split != 'train')  # training reads no masks
  return not found['count'] or any(found[kind] for kind in kinds)


def _examine(data, split, indices, by_pixels, transform):
  """Reads records; returns what was found, and the numbers of those fit for use."""
  records = data.records(split)
  pairs = data.pairs(split, indices, indices)
  unreadable, unfit, constant, bad_masks, readable = [], [], [], [], []
  sizes, small, masks, empty_masks = collections.Counter(), 0, 0, 0
  levels, shares, highest = collections.defaultdict(list), {}, 0
  for index in map(int, indices):
    name = records.name(index)
    try:
      image = records.image(index)
    except errors.UserError as error:
      unreadable.append(str(error))
      continue
    height, width = image.shape[:2]
    highest = max(highest, int(image.max()))
    sizes[f'{width}x{height}'] += 1
    small += height < data.image_shape[0] or width < data.image_shape[1]
    pixels = hashlib.blake2b(str(image.shape).encode() + image.tobytes(), digest_size=16).digest()
    by_pixels[pixels].add((split, name))
    flat = np.ptp(image, axis=(0, 1)).max() <= 2  # levels of 255; lossy formats are not exact
    remark = transforms.levels_remark(image)
    if remark and (not flat or 0 < image.max() < 128):  # few bits of a dark picture are left
      levels[remark].append(name)
    elif flat:
      constant.append(name)
    if flat:
      continue
    try:
      pairs.prepare(image, index)
      shares[name] = transform.crop_share(height, width, name)
    except errors.UserError as error:
      unfit.append(str(error))
      continue
    try:
      mask = pairs.true_mask(index)
    except errors.UserError as error:
      bad_masks.append(str(error))
      continue
    masks += mask is not None
    empty_masks += mask is not None and not mask.any()
    readable.append(index)
  least = max(shares.values(), default=0) / 2
  found = {'read': len(indices), 'unreadable': unreadable, 'unfit': unfit, 'constant': constant,
           'sizes': dict(sizes.most_common()), 'smaller': small, 'masks': masks,
           'empty_masks': empty_masks, 'bad_masks': bad_masks, 'levels': dict(levels),
           'highest': highest, 'cut': [name for name, share in shares.items() if share < least]}
  return found, np.array(readable, np.int64)


def _labels(data):
  """Returns, by attribute, its share in a and in b in training."""
  records = data.records('train')
  shares = [records.attributes[members].mean(axis=0) if len(members) else None
            for members in data.members('train')]
  return {name: [None if share is None else float(share[column]) for share in shares]
          for column, name in enumerate(records.attribute_names)}


def _duplicates(by_pixels):
  groups = [sorted(f'{split}: {name}' for split, name in group)
            for group in by_pixels.values() if len(group) > 1]
  return sorted(groups)


def _problems(data, report, by_pixels):
  """Returns sentences, the worst first."""
  problems = []
  for split, domains in report['splits'].items():
    for domain, found in domains.items():
      where = f'{split} {domain}'
      if not found['count']:
        problems.append(f'{where} has no pictures')
      for kind, what in (('unreadable', 'cannot be read'), ('unfit', 'are smaller than the crop'),
                         ('constant', 'are of one colour'),
                         ('cut', 'are so large that the crop, which is in stored pixels, leaves '
                          'less than half as much of them as of others'),
                         ('bad_masks', 'have a mask that does not fit')):
        if found[kind]:
          shown = predicates.shortlist(found[kind], _SHOWN)
          problems.append(f'{where}: {len(found[kind])} pictures {what}: {shown}')
      for remark, names in found['levels'].items():
        shown = predicates.shortlist(names, _SHOWN)
        problems.append(f'{where}: {len(names)} pictures ({shown}) are {remark}')
      if transforms.DARK < found['highest'] <= _DIM:  # one such picture alone may be a night
        problems.append(f'{where}: no picture has a level above {found["highest"]} of 255; '
                        f'{transforms.SHALLOW}')
      if 0 < found['masks'] < found['read'] - len(found['unreadable']) and split != 'train':
        problems.append(f'{where}: only {found["masks"]} of {found["read"]} pictures have a mask; '
                        'the others do not count where masks are measured')
      if found['masks'] and found['empty_masks'] == found['masks'] and domain == 'b':
        problems.append(f'{where}: every mask is empty')
      if found['smaller']:
        problems.append(f'{where}: {found["smaller"]} pictures are smaller than the input and will '
                        'be enlarged')
  for split in SPLITS:
    a, b = data.members(split)
    both = len(np.intersect1d(a, b))
    if both and not np.array_equal(a, b):  # one set for both is meant: labels are what differs
      problems.append(f'{split}: {both} pictures are in both domains')
  if report['duplicates']:
    extra = sum(len(group) - 1 for group in report['duplicates'])
    shown = [' = '.join(group[:3]) for group in report['duplicates']]
    problems.append(f'{extra} pictures are copies of others: {predicates.shortlist(shown, _SHOWN)}')
  if data.describe()['unused']:
    problems.append(data.describe()['unused'])
  leaks = sum(len({split == 'train' for split, _ in group}) > 1 for group in by_pixels.values())
  if leaks:
    problems.append(f'{leaks} pictures are both in training and in validation or test')
  return problems


def _sheet_rows(data, good):
  """Returns named rows of pictures: training pairs, then evaluation pairs with what is known."""
  rows = {}
  for split in SPLITS:
    a, b = good[split]
    b = evaluation.turned(a, b)
    count = min(len(a), len(b), _SHEET_PAIRS)
    if not count:
      continue
    try:
      found = data.pairs(split, a[:count], b[:count]).get(range(count))
    except errors.UserError:  # a mask that does not fit: `_problems` says so
      continue
    for name, title in _ROWS.items():
      if name in found[0] and (split != 'train' or name in 'ab'):
        rows[f'{split} {title}'] = [np.nan_to_num(row[name]) for row in found]
  return rows


def lines(report: dict) -> list[str]:
  """Returns the report as lines to print."""
  data = report['data']
  text = [f'source {data["source"]} {data["place"]}'.rstrip(),
          f'a = {data["a"] or "all"}    b = {data["b"] or "all"}']
  if (data['test_a'], data['test_b']) != (data['a'], data['b']):
    text.append(f'in validation and test: a = {data["test_a"]}    b = {data["test_b"]}')
  if data['remark']:
    text.append(data['remark'])
  for split, domains in report['splits'].items():
    text.append(f'{split} ({data["divided"][split]})')
    for domain, found in domains.items():
      sizes = ', '.join(f'{size} ({count})' for size, count in list(found['sizes'].items())[:3])
      more = f' and {len(found["sizes"]) - 3} more sizes' if len(found['sizes']) > 3 else ''
      masks = f', {found["masks"]} masks' if found['masks'] else ''
      text.append(f'  {domain}: {found["count"]} pictures, '
                  f'{found["read"] - len(found["unreadable"])} read{masks}; '
                  f'{sizes or "none"}{more}')
  if report['labels']:
    text.append('share of the training pictures that have an attribute')
    width = max(map(len, report['labels']))
    for name, shares in report['labels'].items():
      a, b = ('   -' if share is None else f'{share:4.0%}' for share in shares)
      text.append(f'  {name:{width}}  a {a}  b {b}')
  text += [f'PROBLEM {problem}' for problem in report['problems']] or ['no problems found']
  if report['output']:
    text.append(f'wrote {report["output"]}')
  return text


def _check_output(output, config_data):
  """UserError if the sheet would be hidden, or would replace a file of the data."""
  files.check_output(output, [config_data.attributes_file])
  folders = [config_data.path, config_data.masks_path, config_data.labels_path]
  folders = [os.path.realpath(os.path.expanduser(folder)) for folder in folders if folder]
  inside = any(os.path.realpath(output).startswith(folder + os.sep) for folder in folders)
  if inside and os.path.isfile(output) and os.path.basename(output) != unused.CONTACT_SHEET:
    raise errors.UserError(f'--output={output} is a file of the data; choose another name')


def refusal(report: dict, *, measures: bool) -> str:
  """Returns why `train` would fail with these pictures, or ''.

  Args:
    report: as `check` returns it.
    measures: whether the config has evaluators, for which alone test pictures are there.
  """
  if not report['usable']:
    return 'a domain has no usable training pictures; see the problems above'
  refused = [split for split in report['refused'] if measures or split != 'test']
  return (f'`train` would stop at the {" and ".join(refused)} pictures; see the problems above'
          if refused else '')


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
  flags.DEFINE_integer('max_images', 5000, 'Pictures to read of each domain and split; 0 = all.',
                       lower_bound=0)
  cli.run(main)
