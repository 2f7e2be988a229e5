r"""Writes a trained model as one file that runs without this package, or as a folder.

  python -m maskgan_jax.export --workdir=RUN --output=model.onnx --masks
  python -m maskgan_jax.export --pretrained=content_transfer_avatars --output=remove.onnx \
      --what=remove
  python -m maskgan_jax.export --workdir=RUN --output=model.bin
  python -m maskgan_jax.export --workdir=RUN --output=my_model/

NAME.onnx is an ONNX file. A name that ends with a slash, or an existing folder, becomes a folder
that Translator.from_pretrained, translate --pretrained and demo --pretrained open. Any other name
is a blob of jax.export. docs/export.md says how to load them.
"""

import os

from absl import flags

from maskgan_jax import cli, errors, files
from maskgan_jax.translator import exporting


def define_flags() -> None:
  """Defines the command's flags."""
  flags.DEFINE_string('workdir', '', 'Folder of a trained run.')
  flags.DEFINE_string(
    'pretrained',
    '',
    'In its place: a model that comes with the package, or a '
    'folder that this command wrote.',
  )
  flags.DEFINE_integer('step', None, 'Checkpoint to use; the newest by default.')
  flags.DEFINE_string(
    'output', '', 'The file, or with a slash at its end the folder, to write.'
  )
  flags.DEFINE_string(
    'what', 'translate', f'What the file does: {", ".join(exporting.WHAT)}.'
  )
  flags.DEFINE_bool(
    'masks',
    False,
    'Masks are inputs too; an example whose mask holds a value '
    'below 0 gets the predicted mask.',
  )
  flags.DEFINE_bool('reverse', False, 'Translate from domain b to a.')
  flags.DEFINE_bool('half', False, 'For a folder: round the weights to float16.')


def _files_of(model: str) -> list[str]:
  """Returns the files of a run's or a model's folder that the command must not replace."""
  return [
    os.path.join(model, name)
    for name in (
      'config.json',
      'files.json',
      'model.safetensors',
      'README.md',
      'scores.csv',
      'metrics.jsonl',
      'report.html',
    )
  ]


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  cli.require('output')
  exporting.check(values.what)
  output = values.output
  files.check_output(output, _files_of(values.pretrained or values.workdir))
  is_folder = output.endswith('/') or os.path.isdir(output)
  if is_folder and output.rstrip('/').lower().endswith('.onnx'):
    raise errors.UserError(
      f'--output={output} is a folder, and NAME.onnx the name of a file; '
      'choose another name'
    )
  _check_unused(output, is_folder)
  translator = cli.translator()
  if is_folder:
    translator.save(output, half=values.half)
    print(f'wrote the folder {output}; open it with --pretrained={output}')
    return
  inputs, outputs = translator.export(
    output, what=values.what, masks=values.masks, reverse=values.reverse
  )
  megabytes = os.path.getsize(output) / 1e6
  print(
    f'wrote {output}, {megabytes:.1f} MB: {", ".join(inputs)} -> {", ".join(outputs)}'
  )


def _check_unused(output: str, is_folder: bool) -> None:
  """Raises UserError for a flag that the kind of output has no use for."""
  names = ('what', 'masks', 'reverse') if is_folder else ('half',)
  for name in names:
    if flags.FLAGS[name].present:
      user, kind = ('files', 'folder') if is_folder else ('folders', 'file')
      raise errors.UserError(
        f'--{name} is for {user}, and --output={output} is a {kind}; leave it out'
      )


if __name__ == '__main__':
  define_flags()
  cli.run(main)
