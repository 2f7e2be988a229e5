r"""Translates pictures with a trained model: files or folders in, PNG pictures out.

  python -m maskgan_jax.translate --workdir=RUN --source=me.jpg --exemplar=you.jpg --output=o.png
  python -m maskgan_jax.translate --workdir=RUN --source=faces --exemplar=glasses --output=out
  python -m maskgan_jax.translate --pretrained=content_transfer_avatars --source=faces \
      --exemplar=glasses --output=out
  python -m maskgan_jax.translate --workdir=RUN --source=faces --exemplar=glasses --output=o.png \
      --grid --save_masks
  python -m maskgan_jax.translate --workdir=RUN --source=glasses --output=out --remove
  python -m maskgan_jax.translate --workdir=RUN --source=colored --exemplar=plain --output=out \
      --reverse
  python -m maskgan_jax.translate --workdir=RUN --source=apples --output=out --save_masks

The last is for methods without exemplars, such as the additional mask. --output is a .png file for
one source file and one exemplar file, or with --grid; otherwise a folder that gets
<source>__<exemplar>.png, <source>__translated.png or <source>__removed.png, with --reverse
<source>__<exemplar>__reverse.png; or with --grid grid.png, likewise. Pictures are cropped
and resized as the run's own, unless they have the model's resolution already, in which results
come. A picture in a folder that cannot be read is reported and left out; exit code 2 if none can
be. A grid has numbers for names that its font cannot write, and the command says whose they are.
"""

import collections
from collections.abc import Callable, Sequence
import dataclasses
import functools
import os
import pathlib
import sys

from absl import flags
import ml_collections
import numpy as np

from maskgan_jax import cli, errors
from maskgan_jax.data import images, transforms, unused
from maskgan_jax.data.sources import files as file_records
from maskgan_jax.runs import pictures
from maskgan_jax.translator import Translator

_CHUNK = 64  # pairs translated at once
_DARK = 0.1  # a given mask with less than this everywhere is probably a label map, or 12-bit data
_MASKS = ('_source_mask', '_exemplar_mask', '_feature_mask', '_added_mask')  # end of file names


@dataclasses.dataclass(frozen=True)
class Edits:
  """What the user wants done to the masks of the sources or of the exemplars.

  Attributes:
    mask: a picture for all, or a folder with one of the same name for each; '' is the predicted.
    erase: rectangles 'y0,x0,y1,x1' that are cut out of it, in pixels of the picture as given.
  """
  mask: str = ''
  erase: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Picture:
  """A picture at the model's resolution and what its masks need.

  Attributes:
    name: what its results are named after.
    path: where it came from.
    image: uint8 [H, W, 3].
    size: height and width as given.
    mask: given mask, float32 [H, W, 1], or None.
    keep: 0 in erased rectangles, 1 elsewhere, float32 [H, W, 1]; None without any.
  """
  name: str
  path: str
  image: np.ndarray
  size: tuple[int, int]
  mask: np.ndarray | None = None
  keep: np.ndarray | None = None


def translate(translator: Translator, source: str, exemplar: str, output: str, *,
              source_edits: Edits | None = None, exemplar_edits: Edits | None = None,
              save_masks: bool = False, grid: bool = False, reverse: bool = False,
              note: Callable[[str], None] = print) -> list[str]:
  """Every source after every exemplar's example, or alone, as the module's docstring says.

  Args:
    translator: the model.
    source: a picture or a folder of them.
    exemplar: the same; '' for a method without exemplars.
    output: a .png file or a folder.
    source_edits: masks of the sources: where to change them.
    exemplar_edits: masks of the exemplars: what to take from them.
    save_masks: whether <result>_source_mask.png, <result>_exemplar_mask.png,
      <result>_feature_mask.png and <result>_added_mask.png are written too, as far as the method
      has them.
    grid: one picture, with a row for each source and a column for each exemplar.
    reverse: sources are of domain b and exemplars of a.
    note: told in lines about pictures that are left out, or that look wrong to the model.
  Returns:
    The files written.
  """
  source_edits, exemplar_edits = source_edits or Edits(), exemplar_edits or Edits()
  _check_exemplar(translator, exemplar, exemplar_edits)
  inputs = [source, exemplar, source_edits.mask, exemplar_edits.mask]
  apart = [*inputs, output]
  sources = _load(source, translator.config, 'source_mask', source_edits, note, apart)
  exemplars = (_load(exemplar, translator.config, 'exemplar_mask', exemplar_edits, note, apart)
               if exemplar else [None])
  pairs = [(s, e) for s in sources for e in exemplars]
  back = '__reverse' if reverse else ''  # domains often number their pictures alike
  names = ['grid' + back] if grid else [
      f'{s.name}__{e.name if e else "translated"}{back}' for s, e in pairs]
  several = not grid and (os.path.isdir(source) or os.path.isdir(exemplar))
  stems = images.png_stems(output, names, several)
  parts = ('', *_MASKS) if save_masks else ('',)
  _check_outputs([stem + part + '.png' for stem in stems for part in parts], inputs)

  results, written = {part: [] for part in parts}, []
  for start in range(0, len(pairs), _CHUNK):
    chunk = pairs[start:start + _CHUNK]
    try:
      result = _translate_pairs(translator, chunk, reverse)
    except errors.NotFiniteError as error:
      raise error.naming([s.path for s, _ in chunk]) from error
    for i in range(len(chunk)):
      for part, values in zip(parts, (result.image, result.source_mask, result.exemplar_mask,
                                      result.extras.get('feature_mask'),
                                      result.extras.get('added_mask')), strict=False):
        if values is None:  # the method has no such mask
          continue
        if grid:
          results[part].append(values[i])
        else:
          written.append(stems[start + i] + part + '.png')
          images.save_png(written[-1], values[i])
  for part in parts if grid else ():
    if results[part]:
      written.append(stems[0] + part + '.png')
      what = part.strip('_').replace('_', ' ') or 'translation'
      tell = (lambda line: None) if part else note  # once
      pictures.save(written[-1], _draw(sources, exemplars, results[part], what, tell))
  return written


def _check_exemplar(translator, exemplar, edits) -> None:
  """UserError unless there is an exemplar exactly if the method takes one."""
  if 'exemplar' in translator.abilities:
    if not exemplar:
      raise errors.UserError(f'{translator.config.method} needs an exemplar; add --exemplar')
    return
  for flag, given in (('exemplar', exemplar), ('exemplar_mask', edits.mask),
                      ('erase_exemplar', edits.erase)):
    if given:
      raise errors.UserError(f'{translator.config.method} takes no exemplar; leave out --{flag}')


def _draw(sources, exemplars, results, what, note) -> np.ndarray:
  """The grid: sources on the left, exemplars on top, results row by row."""
  columns = len(exemplars)
  rows = [[s.image, *results[i * columns:(i + 1) * columns]] for i, s in enumerate(sources)]
  names = _labels(sources, 'row', note)
  if exemplars == [None]:
    return pictures.grid(rows, column_names=['source', what], row_names=names)
  return pictures.grid([[None, *(e.image for e in exemplars)], *rows], row_names=['', *names],
                       column_names=['', *_labels(exemplars, 'column', note)])


def _labels(side, kind, note) -> list[str]:
  labels, legend = pictures.labels([picture.name for picture in side], kind)
  if legend:
    note(legend)
  return labels


def remove(translator: Translator, source: str, output: str, *, edits: Edits | None = None,
           save_masks: bool = False, grid: bool = False,
           note: Callable[[str], None] = print) -> list[str]:
  """Every source without what the method transfers; arguments and result as in `translate`."""
  edits = edits or Edits()
  sources = _load(source, translator.config, 'source_mask', edits, note, [edits.mask, output])
  names = ['grid__removed'] if grid else [f'{s.name}__removed' for s in sources]
  stems = images.png_stems(output, names, os.path.isdir(source) and not grid)
  parts = ('', '_source_mask') if save_masks and not grid else ('',)
  _check_outputs([stem + part + '.png' for stem in stems for part in parts],
                 [source, edits.mask])
  rows, written = [], []
  for start in range(0, len(sources), _CHUNK):
    chunk = sources[start:start + _CHUNK]
    image = np.stack([s.image for s in chunk])
    try:
      mask = _edited(chunk, lambda image=image: translator.segment(image))
      result = translator.remove(image, mask)
    except errors.NotFiniteError as error:
      raise error.naming([s.path for s in chunk]) from error
    for i, picture in enumerate(chunk):
      if grid:
        rows.append([picture.image, result.source_mask[i], result.image[i]])
        continue
      for part, value in zip(parts, (result.image[i], result.source_mask[i]), strict=False):
        written.append(stems[start + i] + part + '.png')
        images.save_png(written[-1], value)
  if grid:
    written.append(stems[0] + '.png')
    pictures.save(written[-1], pictures.grid(rows, column_names=['source', 'mask', 'removed'],
                                             row_names=_labels(sources, 'row', note)))
  return written


def _translate_pairs(translator, pairs, reverse):
  """The translations of (source, exemplar) pairs, with what the user wants of the masks."""
  sources, exemplars = zip(*pairs, strict=True)
  source = np.stack([s.image for s in sources])
  translate_them = functools.partial(translator, reverse=reverse)
  exemplar = exemplar_mask = None
  if exemplars[0]:
    exemplar = np.stack([e.image for e in exemplars])
    exemplar_mask = _edited(exemplars, lambda: _need(
        translator, translate_them(source, exemplar), 'exemplar_mask'))
  source_mask = _edited(sources, lambda: _need(
      translator, translate_them(source, exemplar, exemplar_mask=exemplar_mask), 'source_mask'))
  return translate_them(source, exemplar, source_mask, exemplar_mask)


def _edited(side: Sequence[Picture], predict: Callable[[], np.ndarray]) -> np.ndarray | None:
  """Given masks, or the predicted ones, without the erased parts; None leaves them to the model."""
  given, keep = side[0].mask is not None, side[0].keep is not None
  if not given and not keep:
    return None
  mask = np.stack([p.mask for p in side]) if given else predict()
  return mask * np.stack([p.keep for p in side]) if keep else mask


def _need(translator, translation, name) -> np.ndarray:
  """The predicted mask; where a method takes one but predicts none, all of the picture."""
  mask = getattr(translation, name)
  if name not in translator.abilities:
    raise errors.UserError(f'{translator.config.method} has no {name} to erase from')
  return np.ones((*translation.image.shape[:3], 1), np.float32) if mask is None else mask


def _load(path: str, config: ml_collections.ConfigDict, flag: str, edits: Edits,
          note: Callable[[str], None], apart: Sequence[str] = ()) -> list[Picture]:
  """The picture at `path`, or those in the folder that can be read; UserError if there are none."""
  data = config.data
  transform = transforms.Transform.of(config)
  if os.path.isdir(path) and (remark := unused.describe(path, [''], apart)):
    note(f'{path}: {remark}')
  found, remarks = [], []
  for name, file in _listed(path):
    try:
      image = images.load_image(file, max_pixels=data.max_pixels)
      found.append(Picture(name, file, transform.fit(image, file), image.shape[:2]))
      remarks.append(transform.remarks(image, file))
    except errors.UserError as error:
      if not os.path.isdir(path):
        raise
      note(f'left out: {error}')
  if not found:
    raise errors.UserError(f'{path} holds no picture that can be read')
  for kind in zip(*remarks, strict=True):
    if lines := list(filter(None, kind)):
      note(lines[0] + (f' (and {len(lines) - 1} more are alike)' if len(lines) > 1 else ''))
  masks = file_records.list_by_stem(edits.mask) if os.path.isdir(edits.mask) else {}
  loaded = [dataclasses.replace(
      p, mask=_given_mask(p, flag, edits.mask, masks, transform, data.max_pixels),
      keep=_keep(p, edits.erase, transform)) for p in found]
  _note_dark_masks(loaded, flag, note)
  return loaded


def _note_dark_masks(loaded: Sequence[Picture], flag: str, note: Callable[[str], None]) -> None:
  """Notes given masks that hold something, but all of it nearly black."""
  dark = [p for p in loaded if p.mask is not None and 0 < p.mask.max() < _DARK]
  if dark:
    others = f' and {len(dark) - 1} more' if len(dark) > 1 else ''
    note(f'--{flag}: the mask of {dark[0].path}{others} is nearly black, at most '
         f'{255 * dark[0].mask.max():.0f} of 255, and will do almost nothing; white is 1')


def _listed(path: str) -> list[tuple[str, str]]:
  """(name, file) of each picture: the stem, or all of the file name where stems are the same."""
  if not os.path.isdir(path):
    # A hidden source has visible results.
    return [(pathlib.PurePath(path).stem.lstrip('.') or 'picture', path)]
  by_stem = file_records.list_by_stem(path)
  return sorted(((stem if len(same) == 1 else os.path.basename(file), file)
                 for stem, same in by_stem.items() for file in same), key=lambda pair: pair[1])


def _given_mask(picture: Picture, flag: str, path: str, masks, transform, max_pixels):
  """The mask for a picture, at the picture's or the model's resolution; None if none is given."""
  if not path:
    return None
  file = path
  if os.path.isdir(path):
    stem = pathlib.PurePath(picture.path).stem
    candidates = masks.get(stem, ())
    if len(candidates) != 1:
      raise errors.UserError(f'--{flag}={path} holds {len(candidates) or "no"} masks for '
                             f'{picture.path}; it needs one called {stem}.png')
    file = candidates[0]
  mask = images.load_mask(file, max_pixels=max_pixels)
  height, width = picture.size
  if mask.shape == transform.shape:  # one that --save_masks wrote, say
    return mask[..., None]
  if abs(mask.shape[1] * height / mask.shape[0] - width) > 1:
    raise errors.UserError(f'{file} is {mask.shape[0]}x{mask.shape[1]} (height x width), which '
                           f'does not fit {picture.path}, {height}x{width}')
  if mask.shape != picture.size:
    mask = transforms.resize_mask(mask, height, width)
  return transform.fit(mask, file)[..., None]


def _keep(picture: Picture, rectangles: Sequence[str], transform) -> np.ndarray | None:
  """0 in the rectangles 'y0,x0,y1,x1' (in pixels of the given picture), 1 elsewhere."""
  if not rectangles:
    return None
  keep = np.ones(picture.size, np.float32)
  for text in rectangles:
    try:
      top, left, bottom, right = (int(number) for number in text.split(','))
    except ValueError as error:
      raise errors.UserError(f'rectangle {text!r} is not y0,x0,y1,x1 in whole pixels') from error
    if not (0 <= top < bottom and 0 <= left < right and top < picture.size[0]
            and left < picture.size[1]):
      raise errors.UserError(f'rectangle {text} (y0,x0,y1,x1) has nothing of {picture.path}, which '
                             f'is {picture.size[0]} high and {picture.size[1]} wide')
    keep[top:bottom, left:right] = 0
  return transform.fit(keep, picture.path)[..., None]


def _check_outputs(outputs: Sequence[str], inputs: Sequence[str]) -> None:
  """UserError if a result would replace another, or a picture or mask that was given."""
  counts = collections.Counter(outputs)
  if twice := next((path for path in outputs if counts[path] > 1), ''):
    raise errors.UserError(f'two results would be called {twice}; rename the inputs')
  existing = [path for path in outputs if os.path.exists(path)]
  given = {os.path.realpath(file) for path in inputs if path and existing
           for _, file in _listed(path)}
  for path in existing:
    if os.path.realpath(path) in given:
      raise errors.UserError(f'{path} is one of the inputs; choose another --output')


def define_flags() -> None:
  """The command's flags."""
  flags.DEFINE_string('workdir', '', 'Folder of a trained run.')
  flags.DEFINE_string('pretrained', '', 'In its place: a model that comes with the package, such '
                      'as content_transfer_avatars, or a folder that Translator.save wrote.')
  flags.DEFINE_string('source', '', 'Picture to change, or a folder of them.')
  flags.DEFINE_string('exemplar', '', 'Picture to take from, or a folder of them; for methods that '
                      'are guided by exemplars.')
  flags.DEFINE_string('output', '', 'A .png file, or a folder (see above).')
  flags.DEFINE_string(
      'source_mask', '', 'Where to change the source, in place of the predicted mask (the '
      'additional mask takes it as the most that a pixel may change): a picture, '
      'white is 1; or a folder with one of the same name for each source.')
  flags.DEFINE_string('exemplar_mask', '', 'What to take from the exemplar; likewise.')
  flags.DEFINE_multi_string(
      'erase_source', [], 'y0,x0,y1,x1: a rectangle of the source, in its own pixels, that is to '
      'stay its own; may be given several times. LOMIT still draws it, in the source\'s style.')
  flags.DEFINE_multi_string(
      'erase_exemplar', [], 'y0,x0,y1,x1: a rectangle of the exemplar to take nothing from; '
      'likewise. If nothing is left LOMIT puts a style of nothing, often grey, into the source.')
  flags.DEFINE_bool('save_masks', False,
                    'Also write <result>_source_mask.png, <result>_exemplar_mask.png; for EGSC-IT '
                    '<result>_feature_mask.png, what its masks let through on the mean; for the '
                    'additional mask <result>_added_mask.png, what is added, grey being nothing.')
  flags.DEFINE_bool('remove', False,
                    'Remove from the sources what the model transfers; needs no exemplar.')
  flags.DEFINE_bool('reverse', False, 'The sources are of domain b and the exemplars, if any, of '
                    'a, for methods that tell the two directions apart.')
  flags.DEFINE_bool('grid', False,
                    'One picture: a row for each source and a column for each exemplar, or one '
                    'column where there are none.')
  flags.DEFINE_integer('step', None, 'Checkpoint to use; the newest by default.')


def main() -> None:
  """The command."""
  given = flags.FLAGS
  cli.require('source', 'output')
  guides = ('exemplar', 'exemplar_mask', 'erase_exemplar', 'reverse')
  if given.remove and (needless := [name for name in guides if given[name].value]):
    raise errors.UserError(f'--remove takes no exemplar; leave out --{needless[0]}')
  translator = cli.translator()
  edits = Edits(given.source_mask, given.erase_source)
  options = {'save_masks': given.save_masks, 'grid': given.grid,
             'note': lambda line: print(line, file=sys.stderr)}
  if given.remove:
    written = remove(translator, given.source, given.output, edits=edits, **options)
  else:
    written = translate(translator, given.source, given.exemplar, given.output, source_edits=edits,
                        exemplar_edits=Edits(given.exemplar_mask, given.erase_exemplar),
                        reverse=given.reverse, **options)
  print(f'wrote {written[0]}' + (f' and {len(written) - 1} more' if len(written) > 1 else ''))


if __name__ == '__main__':
  define_flags()
  cli.run(main, saves_memory='translate fewer pictures at once, and without --grid')
