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
<source>__<exemplar>.png, <source>__translated.png or <source>__removed.png. Pictures are cropped
and resized as the run's own, unless they have the model's resolution already, in which results
come. A picture in a folder that cannot be read is reported and left out; exit code 2 if none can
be.
"""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import functools
import os
import sys

from absl import flags
import ml_collections
import numpy as np

from maskgan_jax import commandline, errors
from maskgan_jax.data import images, transforms
from maskgan_jax.runs import pictures
from maskgan_jax.translator import Translator

_CHUNK = 64  # pairs translated at once
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
    note: told in one line about pictures that are left out.
  Returns:
    The files written.
  """
  source_edits, exemplar_edits = source_edits or Edits(), exemplar_edits or Edits()
  _check_exemplar(translator, exemplar, exemplar_edits)
  sources = _load(source, translator.config, 'source_mask', source_edits, note)
  exemplars = (_load(exemplar, translator.config, 'exemplar_mask', exemplar_edits, note)
               if exemplar else [None])
  pairs = [(s, e) for s in sources for e in exemplars]
  names = [f'{s.name}__{e.name if e else "translated"}' for s, e in pairs]
  stems = _stems(output, names, os.path.isdir(source) or os.path.isdir(exemplar), grid)
  parts = ('', *_MASKS) if save_masks else ('',)
  _check_outputs([stem + part + '.png' for stem in stems for part in parts],
                 [source, exemplar, source_edits.mask, exemplar_edits.mask])

  results = {part: [] for part in parts}
  written = []
  for start in range(0, len(pairs), _CHUNK):
    chunk = pairs[start:start + _CHUNK]
    result = _translate_pairs(translator, chunk, reverse)
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
      pictures.save(written[-1], _draw(sources, exemplars, results[part], what))
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


def _draw(sources, exemplars, results, what) -> np.ndarray:
  """The grid: sources on the left, exemplars on top, results row by row."""
  columns = len(exemplars)
  rows = [[s.image, *results[i * columns:(i + 1) * columns]] for i, s in enumerate(sources)]
  names = [s.name for s in sources]
  if exemplars == [None]:
    return pictures.grid(rows, column_names=['source', what], row_names=names)
  return pictures.grid([[None, *(e.image for e in exemplars)], *rows], row_names=['', *names],
                       column_names=['', *(e.name for e in exemplars)])


def remove(translator: Translator, source: str, output: str, *, edits: Edits | None = None,
           save_masks: bool = False, grid: bool = False,
           note: Callable[[str], None] = print) -> list[str]:
  """Every source without what the method transfers; arguments and result as in `translate`."""
  edits = edits or Edits()
  sources = _load(source, translator.config, 'source_mask', edits, note)
  stems = _stems(output, [f'{s.name}__removed' for s in sources], os.path.isdir(source), grid)
  parts = ('', '_source_mask') if save_masks and not grid else ('',)
  _check_outputs([stem + part + '.png' for stem in stems for part in parts],
                 [source, edits.mask])
  rows, written = [], []
  for start in range(0, len(sources), _CHUNK):
    chunk = sources[start:start + _CHUNK]
    image = np.stack([s.image for s in chunk])
    mask = _edited(chunk, lambda image=image: translator.segment(image))
    result = translator.remove(image, mask)
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
                                             row_names=[s.name for s in sources]))
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
          note: Callable[[str], None]) -> list[Picture]:
  """The picture at `path`, or those in the folder that can be read; UserError if there are none."""
  data = config.data
  transform = transforms.Transform(image_size=config.image_size, image_width=config.image_width,
                                   crop=data.crop, resize=data.resize,
                                   keep_aspect=data.keep_aspect, load_size=data.load_size,
                                   test_whole=data.test_whole)
  found = []
  for name, file in _listed(path):
    try:
      image = images.load_image(file, max_pixels=data.max_pixels)
      found.append(Picture(name, file, _to_model(image, image.shape[:2], transform, file),
                           image.shape[:2]))
    except errors.UserError as error:
      if not os.path.isdir(path):
        raise
      note(f'left out: {error}')
  if not found:
    raise errors.UserError(f'{path} holds no picture that can be read')
  return [dataclasses.replace(p, mask=_given_mask(p, flag, edits.mask, transform, data.max_pixels),
                              keep=_keep(p, edits.erase, transform)) for p in found]


def _listed(path: str) -> Iterator[tuple[str, str]]:
  """(name, file) of each picture: the stem, or all of the file name where stems are the same."""
  if not os.path.isdir(path):
    yield os.path.splitext(os.path.basename(path))[0], path
    return
  try:
    names = sorted(name for name in os.listdir(path) if images.is_image_name(name))
  except OSError as error:
    raise errors.UserError(f'cannot read folder {path}: {error.strerror}') from error
  stems = [os.path.splitext(name)[0] for name in names]
  for name, stem in zip(names, stems, strict=True):
    yield stem if stems.count(stem) == 1 else name, os.path.join(path, name)


def _to_model(array, size, transform: transforms.Transform, name: str) -> np.ndarray:
  """An image or mask of a picture that was `size` when given, as the model sees it."""
  if tuple(size) == transform.shape:
    return array  # an earlier result, say: nothing to crop
  return transform.unaugmented(array, name)


def _given_mask(picture: Picture, flag: str, path: str, transform, max_pixels):
  """The mask for a picture, at the picture's or the model's resolution; None if none is given."""
  if not path:
    return None
  file = path
  if os.path.isdir(path):
    stem = os.path.splitext(os.path.basename(picture.path))[0]
    candidates = [f for _, f in _listed(path) if os.path.splitext(os.path.basename(f))[0] == stem]
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
  return _to_model(mask, picture.size, transform, file)[..., None]


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
  return _to_model(keep, picture.size, transform, picture.path)[..., None]


def _stems(output: str, names: Sequence[str], folders: bool, grid: bool) -> list[str]:
  """Where results go, without '.png'; UserError if `output` cannot hold them."""
  extension = os.path.splitext(output)[1].lower()
  if os.path.isdir(output) or not images.is_image_name('x' + extension):
    return [os.path.join(output, name) for name in (['grid'] if grid else names)]
  if extension != '.png':
    raise errors.UserError(f'--output={output}: pictures are written as .png')
  if folders and not grid:
    raise errors.UserError(f'--output={output} is one picture, but a folder makes several; name a '
                           'folder, or add --grid')
  return [output[:-len('.png')]]


def _check_outputs(outputs: Sequence[str], inputs: Sequence[str]) -> None:
  """UserError if a result would replace another, or a picture or mask that was given."""
  if len(set(outputs)) < len(outputs):
    twice = next(path for path in outputs if outputs.count(path) > 1)
    raise errors.UserError(f'two results would be called {twice}; rename the inputs')
  given = {os.path.realpath(file) for path in inputs if path for _, file in _listed(path)}
  for path in outputs:
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
  commandline.require('source', 'output')
  if given.remove:
    unused = [n for n in ('exemplar', 'exemplar_mask', 'erase_exemplar', 'reverse')
              if given[n].value]
    if unused:
      raise errors.UserError(f'--remove takes no exemplar; leave out --{unused[0]}')
  translator = commandline.translator()
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
  commandline.run(main, saves_memory='translate fewer pictures at once, and without --grid')
