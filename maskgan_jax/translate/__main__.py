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
  python -m maskgan_jax.translate --workdir=RUN --source=holiday.jpg --exemplar=you.jpg \
      --output=o.jpg --size=own --region=200,300,900,1000
  python -m maskgan_jax.translate --workdir=RUN --source=two.jpg --output=o.jpg --size=own \
      --exemplar=you.jpg --region=200,300,900,1000 --exemplar=her.jpg --region=250,1500,900,2150
  python -m maskgan_jax.translate --workdir=RUN --source=two.jpg --exemplar=you.jpg \
      --output=o.jpg --size=own --points=eyes.csv
  python -m maskgan_jax.translate --workdir=RUN --source=clip.mp4 --exemplar=you.jpg \
      --output=o.mp4 --region=200,300,900,1000
  python -m maskgan_jax.translate --workdir=RUN --source=me.jpg --exemplar=you.jpg \
      --interpolate=her.jpg --output=o.webp
  python -m maskgan_jax.translate --workdir=RUN --source=apples --output=out --save_masks
  python -m maskgan_jax.translate --workdir=RUN --source=edges --output=o.png --grid --styles=5

The last but one is for methods without exemplars, such as the additional mask, the last for methods
that draw styles, such as MUNIT.

--output is a .png file for one source file and one exemplar file or style, or with --grid.
Otherwise it is a folder, which gets <source>__<exemplar>.png, <source>__style_0.png,
<source>__translated.png or <source>__removed.png, and with --reverse
<source>__<exemplar>__reverse.png. With --grid the folder gets grid.png, grid__reverse.png or
grid__removed.png.

Pictures are cropped and resized as the run's own, unless they have the model's resolution already.
Results have the model's resolution. With --size=own they have that of the source, which stays as it
is where its mask is 0, and --output may be a .jpg. A picture then may have several places to
change, given by --region or by rows of --points, all after one exemplar or each after its own:
docs/photographs.md. A picture in a folder that cannot be read is
reported and left out; the exit code is 2 if none can be read. A grid has numbers in place of names
that its font cannot write, and the command says which is which.

Videos, animated .gif and .webp whose --output is one too, and with --clip folders of numbered
pictures are translated frame by frame at their own size and rate (docs/video.md). A command that
was stopped or killed goes on where it was.
"""

import sys

from absl import flags

from maskgan_jax import cli, errors
from maskgan_jax.translate import (
  Edits,
  interpolate,
  Pace,
  remove,
  translate,
  translate_clip,
)
from maskgan_jax.translate.clips import is_clip
from maskgan_jax.translator import labels as label_arguments
from maskgan_jax.translator import Translator


def define_flags() -> None:
  """Defines the command's flags."""
  flags.DEFINE_string('workdir', '', 'Folder of a trained run.')
  flags.DEFINE_string(
    'pretrained',
    '',
    'In its place: a model that comes with the package, such '
    'as content_transfer_avatars, or a folder that Translator.save wrote.',
  )
  flags.DEFINE_string('source', '', 'Picture to change, or a folder of them.')
  flags.DEFINE_multi_string(
    'exemplar',
    [],
    'Picture to take from, or a folder of them; for methods that are guided by exemplars. '
    'Given several times: a picture for each --region, or for each row of --points.',
  )
  flags.DEFINE_string(
    'labels',
    '',
    'NAME=STRENGTH,...: what results are to have, such as Eyeglasses=1,Blond_Hair=0.5, for methods '
    'that translate by labels; 1 is as strong as in training, 0 takes it away. Labels not named '
    'are read off the exemplar, or without one off the source.',
  )
  flags.DEFINE_integer(
    'styles',
    1,
    'Random styles for each source, where there is no --exemplar; for methods that draw styles.',
    lower_bound=1,
  )
  flags.DEFINE_string('output', '', 'A .png file, or a folder (see above).')
  _define_place_flags()
  _define_clip_flags()
  _define_mask_flags()
  _define_result_flags()


def _define_place_flags() -> None:
  """Defines the flags that say what the model sees, and at which size results are."""
  flags.DEFINE_string(
    'size',
    'model',
    "model: results have the model's resolution. own: the result is put back into "
    'the source at the size of that; masks are saved at it too.',
  )
  flags.DEFINE_multi_string(
    'region',
    [],
    'top,left,bottom,right: the part of each source that the model sees, in pixels or as '
    "shares of height and width in [0, 1]; in place of the run's crop. May be given several "
    'times with --size=own.',
  )
  flags.DEFINE_multi_string(
    'exemplar_region', [], 'The part of each exemplar, likewise; one, or one for each.'
  )
  flags.DEFINE_string(
    'points',
    '',
    'A table of faces, which are turned and scaled to where the training pictures have them: '
    '.csv with a file name and then left_eye_x, left_eye_y, right_eye_x, right_eye_y, in '
    'pixels, and with nose, left_mouth and right_mouth if known. A row for each face of a '
    'source; exemplars may have one.',
  )


def _define_clip_flags() -> None:
  """Defines the flags of clips and interpolations."""
  flags.DEFINE_bool(
    'clip',
    False,
    'The source is a clip: a folder of numbered pictures, or an animated picture whose '
    'frames go into a folder. Videos are clips without this.',
  )
  flags.DEFINE_bool(
    'follow',
    False,
    'Of a clip: the region follows what it shows in the first frame. Needs --region.',
  )
  flags.DEFINE_float(
    'smooth',
    Pace().deviation,
    'Of a clip: masks and what they paint are averaged over time, where the picture stays '
    'the same; the deviation of the weights in frames. 0 switches it off.',
  )
  flags.DEFINE_float(
    'rate',
    Pace().rate,
    'Frames per second of numbered pictures and of interpolations.',
  )
  flags.DEFINE_string(
    'interpolate',
    '',
    'A second exemplar: the output is a clip from the first to it and back.',
  )
  flags.DEFINE_integer(
    'frames', 24, 'Of an interpolation, from one exemplar to the other.'
  )


def _define_mask_flags() -> None:
  """Defines the flags that change the masks."""
  flags.DEFINE_string(
    'source_mask',
    '',
    'Where to change the source; replaces the predicted mask (for the '
    'additional mask it is the most that a pixel may change). A picture, white is 1; or a '
    'folder with one of the same name for each source.',
  )
  flags.DEFINE_string(
    'exemplar_mask',
    '',
    'What to take from the exemplar; replaces the predicted '
    'mask. A picture or a folder.',
  )
  flags.DEFINE_multi_string(
    'erase_source',
    [],
    'y0,x0,y1,x1: a rectangle, in pixels of the source, that does not '
    "change; may be given several times. LOMIT still draws it, in the source's style.",
  )
  flags.DEFINE_multi_string(
    'erase_exemplar',
    [],
    'y0,x0,y1,x1: a rectangle of the exemplar to take nothing from; may '
    'be given several times. If nothing is left, LOMIT puts a style of nothing, often grey, '
    'into the source.',
  )


def _define_result_flags() -> None:
  """Defines the flags that say what is made, and by which checkpoint."""
  flags.DEFINE_bool(
    'save_masks',
    False,
    'Also write <result>_source_mask.png, <result>_exemplar_mask.png and what else '
    'the method shows: EGSC-IT <result>_feature_mask.png, what its masks let '
    'through on average; the additional mask <result>_added_mask.png, what is '
    'added, grey being nothing.',
  )
  flags.DEFINE_bool(
    'remove',
    False,
    'Remove from the sources what the model transfers; needs no exemplar.',
  )
  flags.DEFINE_bool(
    'reverse',
    False,
    'The sources are of domain b and the exemplars, if any, of '
    'a, for methods that tell the two directions apart.',
  )
  flags.DEFINE_bool(
    'grid',
    False,
    'One picture: a row for each source and a column for each exemplar, or one '
    'column where there are none.',
  )
  flags.DEFINE_integer('step', None, 'Checkpoint to use; the newest by default.')


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  cli.require('source', 'output')
  if values.remove:
    others = (
      'exemplar_region',
      'exemplar_mask',
      'erase_exemplar',
      'labels',
      'reverse',
    )
    for name in ('exemplar', *others):
      if values[name].value:
        raise errors.UserError(f'--remove takes no exemplar; leave out --{name}')
    if values.styles > 1:
      raise errors.UserError('--remove has no styles; leave out --styles')

  # The model is opened only when the flags fit together.
  translator = cli.translator()
  if values.labels:
    translator = translator.with_labels(label_arguments.parse(values.labels))
  source_edits = Edits(
    values.source_mask, values.erase_source, values.region, values.points
  )
  exemplar_edits = _exemplar_edits(values)
  if values.interpolate:
    _refuse('an interpolation', 'follow', 'smooth')
    written = _interpolated(translator, source_edits, exemplar_edits)
  elif is_clip(values.source, values.output, values.clip):
    _refuse('a clip', 'frames')
    written = _clip(translator, source_edits, exemplar_edits)
  else:
    _refuse('a picture', 'follow', 'smooth', 'rate', 'frames')
    written = _pictures(translator, source_edits, exemplar_edits)
  others = f' and {len(written) - 1} more' if len(written) > 1 else ''
  print(f'wrote {written[0]}{others}')


def _refuse(what: str, *names: str) -> None:
  """Raises UserError for a flag that is given and means nothing to what is made."""
  for name in names:
    if flags.FLAGS[name].present:
      raise errors.UserError(f'--{name} does nothing for {what}; leave it out')


def _pictures(
  translator: Translator, source_edits: Edits, exemplar_edits: Edits
) -> list[str]:
  """Translates pictures; returns the files written."""
  values = flags.FLAGS
  options = {
    'save_masks': values.save_masks,
    'grid': values.grid,
    'size': values.size,
    'note': _note,
  }
  if values.remove:
    return remove(
      translator, values.source, values.output, edits=source_edits, **options
    )
  return translate(
    translator,
    values.source,
    values.exemplar or '',
    values.output,
    source_edits=source_edits,
    exemplar_edits=exemplar_edits,
    reverse=values.reverse,
    styles=values.styles,
    **options,
  )


def _clip(
  translator: Translator, source_edits: Edits, exemplar_edits: Edits
) -> list[str]:
  """Translates a clip; returns the file written."""
  values = flags.FLAGS
  for name in ('grid', 'save_masks'):
    if values[name].value:
      raise errors.UserError(f'a clip has no --{name}; leave it out')
  if values['size'].present and values.size != 'own':
    raise errors.UserError(
      f"a clip's result has its own size; leave out --size={values.size}"
    )
  _check_one_style('a clip')
  exemplar = ''
  if values.exemplar:
    exemplar = _only_one(values.exemplar, 'exemplar', 'a clip')
  _, poll = cli.watch(
    f'stopped; the same command goes on from the parts in {values.output}.part'
  )
  return translate_clip(
    translator,
    values.source,
    exemplar,
    values.output,
    source_edits=source_edits,
    exemplar_edits=exemplar_edits,
    reverse=values.reverse,
    removes=values.remove,
    pace=Pace(values.smooth, values.rate, values.follow),
    note=_note,
    poll=poll,
  )


def _interpolated(
  translator: Translator, source_edits: Edits, exemplar_edits: Edits
) -> list[str]:
  """Writes an interpolation; returns the file written."""
  values = flags.FLAGS
  for name in ('remove', 'reverse', 'grid', 'save_masks'):
    if values[name].value:
      raise errors.UserError(f'--interpolate goes without --{name}')
  _check_one_style('an interpolation')
  cli.require('exemplar')
  return interpolate(
    translator,
    values.source,
    (
      _only_one(values.exemplar, 'exemplar', 'an interpolation'),
      values.interpolate,
    ),
    values.output,
    count=values.frames,
    rate=values.rate,
    size=values.size,
    source_edits=source_edits,
    exemplar_edits=exemplar_edits,
    note=_note,
  )


def _check_one_style(what: str) -> None:
  """Raises UserError for several random styles."""
  if flags.FLAGS.styles > 1:
    raise errors.UserError(f'{what} has one style; leave out --styles')


def _only_one(given: list[str], flag: str, what: str) -> str:
  """Returns the one value of a flag that may be given several times."""
  if len(given) > 1:
    raise errors.UserError(f'{what} takes one --{flag}, not {len(given)}')
  return given[0]


def _exemplar_edits(values: flags.FlagValues) -> Edits:
  """Returns what the flags say about exemplars."""
  # A table may name the sources alone, and then exemplars may have regions.
  points = '' if values.exemplar_region or not values.exemplar else values.points
  return Edits(
    values.exemplar_mask, values.erase_exemplar, values.exemplar_region, points
  )


def _note(line: str) -> None:
  """Shows the user a line beside the results."""
  print(line, file=sys.stderr)


if __name__ == '__main__':
  define_flags()
  cli.run(main, saves_memory='translate fewer pictures at once, and without --grid')
