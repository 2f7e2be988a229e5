"""A config's data as a folder of PNG files, for methods that are not written with this library."""

from collections.abc import Callable, Iterator, Sequence
import csv
import io
import os
import sys
import textwrap
from typing import Any

import ml_collections
import numpy as np
import tqdm

from maskgan_jax import errors, files
from maskgan_jax.data import evaluation, images, pictures, pipeline

_BATCH = 64  # pictures that are in memory at once
_WIDTH, _INDENT = 90, 18  # letters of the README's lines, and of names of folders in it
# What a batch holds, and what README.txt says of it.
_INPUTS = {
  'a': 'the picture to translate',
  'b': 'the picture whose attribute it should get, or whose look',
}
_ANSWERS = {
  'truth_ab': "a as it should become: wearing b's attribute, or looking as b does",
  'truth_ba': 'b without the attribute, or as a, where every picture has some',
  'a_mask': 'where a has the attribute; may be nowhere',
  'b_mask': 'where b has it',
  'truth_ab_mask': 'where truth_ab differs from a',
}
_SETS = {'train': 'training', 'validation': 'validation'}


def write(
  data: pipeline.Data,
  config: ml_collections.ConfigDict,
  folder: str,
  *,
  command: str = '',
  poll: Callable[[], None] = lambda: None,
) -> dict[str, int]:
  """Writes training and validation pictures, test pairs and their answers; whole or not at all.

  Args:
    data: of the config; little of it is in memory at once if `config.data.in_memory` is 'never'.
    config: `evaluation_pairs` and `data.attributes` count.
    folder: must be empty or absent.
    command: that measures translations, for README.txt.
    poll: is called before each picture; may raise to stop.
  Returns:
    The number of files by folder within it.
  """
  require_empty(folder)
  test = data.evaluation(
    'test', batch_size=_BATCH, max_pairs=config.evaluation_pairs or None
  )
  with files.folder_atomically(folder) as temporary:
    counts = {}
    for name, content in _with_progress(_files(data, config, test), data, test):
      poll()
      place, file_name = os.path.split(name)
      if place not in counts:
        os.makedirs(os.path.join(temporary, place), exist_ok=True)
        counts[place] = 0
      counts[place] += file_name.endswith('.png')
      with open(os.path.join(temporary, name), 'wb') as file:
        file.write(content)
    # Tables lie beside the folders, and README.txt counts pictures.
    tables = sorted(name for name in os.listdir(temporary) if name.endswith('.csv'))
    counts.pop('', None)
    with open(os.path.join(temporary, 'README.txt'), 'w', encoding='utf-8') as file:
      file.write(readme(data, counts, tables, command))
  return counts


def require_empty(folder: str) -> None:
  """Raises UserError for a folder that holds something."""
  try:
    names = sorted(os.listdir(folder))
  except FileNotFoundError:
    return
  except OSError as error:
    raise errors.UserError(
      f'cannot write into {folder}: {error.strerror or error}'
    ) from error
  if names:
    more = f' and {len(names) - 1} more' if len(names) > 1 else ''
    raise errors.UserError(
      f'{folder} is not empty: it holds {names[0]}{more}; name a folder that '
      'does not exist yet'
    )


def file_names(count: int) -> list[str]:
  """Returns the names of `count` pictures, in order: 00000.png, 00001.png, ..."""
  return [f'{number:05d}.png' for number in range(count)]


def encode(array: np.ndarray) -> bytes:
  """Encodes uint8 [H, W, 3], or a mask, float [H, W, 1] in [0, 1], as a PNG in which 255 is 1.

  A mask's pixel is more than 127 just where the mask is more than a half.
  """
  if array.dtype != np.uint8:
    levels = array.astype(np.float64) * 255
    array = np.ceil(levels - 0.5).astype(np.uint8)
  return images.encode_png(array)


def _with_progress(named_contents, data, test):
  """Yields the same files, with a bar on terminals that counts pictures and pairs."""
  total = test.num_pairs
  for split in _SETS:
    total += sum(map(len, data.members(split)))
  second_files = {*_ANSWERS, 'b'}  # of a pair that a/NAME.png has counted
  with tqdm.tqdm(
    desc='writing',
    total=total,
    unit=' pictures',
    disable=not sys.stderr.isatty(),
    leave=False,
  ) as bar:
    for name, content in named_contents:
      yield name, content
      bar.update(name.endswith('.png') and os.path.dirname(name) not in second_files)


def _files(data, config, test) -> Iterator[tuple[str, bytes]]:
  """Yields names and contents, a few pictures ahead."""
  # Training and validation pictures are of domains, and unpaired.
  for split in _SETS:
    rows = []
    for domain, indices in zip('AB', data.members(split), strict=True):
      folder = f'{split}{domain}'
      yield from _set(data, split, folder, indices)
      rows += _rows(folder, file_names(len(indices)), indices)
    yield from _table(data, config, split, rows)

  # Test pairs: what a method gets, and the answers that it must not see.
  names, done = file_names(test.num_pairs), 0
  for batch in test:
    names_of_batch = names[done : done + int(batch['valid'].sum())]
    for part in (*_INPUTS, *_ANSWERS):
      # Rows beyond the names are padding, and a missing mask is NaN.
      for name, array in zip(names_of_batch, batch.get(part, ()), strict=False):
        if not np.isnan(array).any():
          yield f'{part}/{name}', encode(array)
    done += len(names_of_batch)
  a, b = data.members('test')
  turned = evaluation.turned(a, b)
  rows = _rows('a', names, a) + _rows('b', names, turned)
  yield from _table(data, config, 'test', rows)


def _rows(folder, names, indices) -> list[tuple[str, Any]]:
  """Returns (FOLDER/NAME, index of the record), as far as there are both."""
  return [
    (f'{folder}/{name}', index) for name, index in zip(names, indices, strict=False)
  ]


def _set(data, split, folder, indices):
  """Yields the pictures of a domain as evaluation would see them."""
  records, pairs = data.records(split), data.pairs(split, indices, indices)

  def read(index):
    return encode(pairs.prepare(records.image(int(index)), int(index)))

  names = file_names(len(indices))
  for start in range(0, len(indices), _BATCH):
    contents = pictures.parallel_map(read, indices[start : start + _BATCH])
    for name, content in zip(names[start : start + _BATCH], contents, strict=True):
      yield f'{folder}/{name}', content


def _table(data, config, split, rows: Sequence[tuple[str, Any]]):
  """Yields NAME.csv with the labels of pictures, if the config names any."""
  records = data.records(split)
  described = data.describe()
  domains = ' '.join(described[name] for name in ('a', 'b', 'test_a', 'test_b'))
  if not (config.data.attributes or domains.strip()) or not rows:
    return
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(['picture', *records.attribute_names])
  for name, index in rows:
    writer.writerow([name, *records.attributes[index].astype(int)])
  yield f'{split}.csv', text.getvalue().encode()


def readme(
  data: pipeline.Data, counts: dict[str, int], tables: Sequence[str], command: str
) -> str:
  """Returns what README.txt says: what each folder holds, and how translations are measured."""
  height, width = data.image_shape
  pictures_are = (
    f'Pictures are PNG, RGB, {width} wide and {height} high, as methods of this library '
    'see them; none is mirrored. Masks are grey PNG of the same size: 255 is 1, all of '
    'the pixel, and 0 none of it.'
  )
  lines = [*_description(data), '', _wrapped(pictures_are), '']
  lines += _unpaired_entries(counts)
  lines += ['', f'{counts["a"]:,} test pairs; files of the same name belong together:']
  lines += [_entry(name, contents) for name, contents in _INPUTS.items()]
  lines += _answer_entries(counts)
  if tables:
    lines += [
      '',
      _wrapped(
        f'{", ".join(tables)}: the labels of the pictures, 0 or 1. Those of the '
        'test are answers, too.'
      ),
    ]
  lines += ['', 'To take part', '------------', *map(_wrapped, _HOW)]
  if command:
    lines += [
      '',
      f'  {command} --pictures=DIR',
      f'  {command} --pictures=DIR --back=DIR2 --masks=DIR3 --output=scores.csv',
    ]
  return '\n'.join(lines) + '\n'


def _unpaired_entries(counts: dict[str, int]) -> list[str]:
  """Returns an entry for each folder of training and validation pictures that is there."""
  entries = []
  for split, kind in _SETS.items():
    for domain in 'AB':
      folder = f'{split}{domain}'
      if counts.get(folder):
        contents = f'{kind} pictures of domain {domain.lower()}, unpaired'
        entries.append(_entry(folder, f'{counts[folder]:,} {contents}'))
  return entries


def _answer_entries(counts: dict[str, int]) -> list[str]:
  """Returns an entry for each folder of answers that is there, below their heading."""
  heading = (
    'Their answers, which a method must not see, nor whoever chooses its settings:'
  )
  entries = ['', _wrapped(heading)]
  for name, contents in _ANSWERS.items():
    if counts.get(name):
      some = '' if counts[name] == counts['a'] else f'; of {counts[name]:,} of them'
      entries.append(_entry(name, contents + some))
  return entries


def _description(data: pipeline.Data) -> list[str]:
  """Returns where the data are from, what the domains are, and their fingerprint."""
  described = data.describe()
  lines = [
    f'Data: {described["source"]} {described["place"]}'.rstrip(),
    f'a: {described["a"] or "all"}',
    f'b: {described["b"] or "all"}',
  ]
  if (described['test_a'], described['test_b']) != (described['a'], described['b']):
    lines += [
      f'a in validation and test: {described["test_a"] or "all"}',
      f'b in validation and test: {described["test_b"] or "all"}',
    ]
  return [
    *lines,
    f'Fingerprint: {data.fingerprint} (scores of another one are of other data)',
  ]


_HOW = (
  'Train on trainA and trainB, choose on validationA and validationB, and translate every '
  'a/NAME.png after b/NAME.png once. Save the translations under the same names: PNG, RGB, of '
  'the same size. If the method can, also save',
  '- b/NAME.png with the attribute taken off, or translated after a/NAME.png (--back);',
  '- where it says that b/NAME.png has the attribute, a grey PNG of which 255 is 1 (--masks), '
  'and the same of all of validationB (--validation_masks), on which the threshold is found that '
  'masks are cut at; without these it is 0.5;',
  '- where it says that it changes a/NAME.png, a grey PNG as well (--source_masks).',
  'Every file has to be there, and no other. A method that reads labels of test pictures, or was '
  'trained on other pictures as well, says so beside its numbers.',
)


def _wrapped(text: str) -> str:
  indent = '  ' if text.startswith('- ') else ''
  return textwrap.fill(text, _WIDTH, subsequent_indent=indent)


def _entry(name: str, contents: str) -> str:
  """Returns a folder's name and what it holds."""
  start = f'{name}/'.ljust(_INDENT)
  return textwrap.fill(start + contents, _WIDTH, subsequent_indent=' ' * _INDENT)
