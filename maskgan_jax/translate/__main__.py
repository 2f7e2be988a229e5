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
  python -m maskgan_jax.translate --workdir=RUN --source=edges --output=o.png --grid --styles=5

The last but one is for methods without exemplars, such as the additional mask, the last for methods
that draw styles, such as MUNIT.

--output is a .png file for one source file and one exemplar file or style, or with --grid.
Otherwise it is a folder, which gets <source>__<exemplar>.png, <source>__style_0.png,
<source>__translated.png or <source>__removed.png, and with --reverse
<source>__<exemplar>__reverse.png. With --grid the folder gets grid.png, grid__reverse.png or
grid__removed.png.

Pictures are cropped and resized as the run's own, unless they have the model's resolution already.
Results have the model's resolution. A picture in a folder that cannot be read is reported and left
out; the exit code is 2 if none can be read. A grid has numbers in place of names that its font
cannot write, and the command says which is which.
"""

import sys

from absl import flags

from maskgan_jax import cli, errors
from maskgan_jax.translate import Edits, remove, translate


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
  flags.DEFINE_string(
    'exemplar',
    '',
    'Picture to take from, or a folder of them; for methods that '
    'are guided by exemplars.',
  )
  flags.DEFINE_integer(
    'styles',
    1,
    'Random styles for each source, where there is no --exemplar; for methods that draw styles.',
    lower_bound=1,
  )
  flags.DEFINE_string('output', '', 'A .png file, or a folder (see above).')
  _define_mask_flags()
  _define_result_flags()


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
    for name in ('exemplar', 'exemplar_mask', 'erase_exemplar', 'reverse'):
      if values[name].value:
        raise errors.UserError(f'--remove takes no exemplar; leave out --{name}')

  # The model is opened only when the flags fit together.
  translator = cli.translator()
  source_edits = Edits(values.source_mask, values.erase_source)
  exemplar_edits = Edits(values.exemplar_mask, values.erase_exemplar)
  options = {'save_masks': values.save_masks, 'grid': values.grid, 'note': _note}
  if values.remove:
    written = remove(
      translator, values.source, values.output, edits=source_edits, **options
    )
  else:
    written = translate(
      translator,
      values.source,
      values.exemplar,
      values.output,
      source_edits=source_edits,
      exemplar_edits=exemplar_edits,
      reverse=values.reverse,
      styles=values.styles,
      **options,
    )
  others = f' and {len(written) - 1} more' if len(written) > 1 else ''
  print(f'wrote {written[0]}{others}')


def _note(line: str) -> None:
  """Shows the user a line beside the results."""
  print(line, file=sys.stderr)


if __name__ == '__main__':
  define_flags()
  cli.run(main, saves_memory='translate fewer pictures at once, and without --grid')
