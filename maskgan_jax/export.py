r"""Writes a trained model as one file that needs none of this package, or as a folder to take away.

  python -m maskgan_jax.export --workdir=RUN --output=model.onnx --masks
  python -m maskgan_jax.export --pretrained=content_transfer_avatars --output=remove.onnx \
      --what=remove
  python -m maskgan_jax.export --workdir=RUN --output=model.bin
  python -m maskgan_jax.export --workdir=RUN --output=my_model/

NAME.onnx is ONNX, a name that ends with a slash, or of a folder that is there, the folder that
Translator.from_pretrained, translate --pretrained and demo --pretrained open, and any other name a
blob of jax.export.
docs/export.md says how to load them.
"""

import os

from absl import flags

from maskgan_jax import cli, errors, files
from maskgan_jax.translator import exporting


def define_flags() -> None:
  """The command's flags."""
  flags.DEFINE_string('workdir', '', 'Folder of a trained run.')
  flags.DEFINE_string('pretrained', '', 'In its place: a model that comes with the package, or a '
                      'folder that this command wrote.')
  flags.DEFINE_integer('step', None, 'Checkpoint to use; the newest by default.')
  flags.DEFINE_string('output', '', 'The file, or with a slash at its end the folder, to write.')
  flags.DEFINE_string('what', 'translate', f'What the file is to do: {", ".join(exporting.WHAT)}.')
  flags.DEFINE_bool('masks', False, 'Masks are inputs too; an example whose mask holds a value '
                    'below 0 gets the one that the model predicts.')
  flags.DEFINE_bool('reverse', False, 'Translate from domain b to a.')
  flags.DEFINE_bool('half', False, 'Of a folder: weights rounded to float16.')


def _files_of(model: str) -> list[str]:
  """Returns the files of a run's or a model's folder that the command must not replace."""
  return [os.path.join(model, name) for name in (
      'config.json', 'files.json', 'model.safetensors', 'README.md', 'scores.csv', 'metrics.jsonl',
      'report.html')]


def main() -> None:
  """The command."""
  given = flags.FLAGS
  cli.require('output')
  exporting.check(given.what)
  output = given.output
  files.check_output(output, _files_of(given.pretrained or given.workdir))
  folder = output.endswith('/') or os.path.isdir(output)
  if folder and output.rstrip('/').lower().endswith('.onnx'):
    raise errors.UserError(f'--output={output} is a folder, and NAME.onnx the name of a file; '
                           'choose another name')
  unused = [name for name in (('what', 'masks', 'reverse') if folder else ('half',))
            if given[name].present]
  if unused:
    raise errors.UserError(f'--{unused[0]} is of {"files" if folder else "folders"}, and --output='
                           f'{output} is a {"folder" if folder else "file"}; leave it out')
  translator = cli.translator()
  if folder:
    translator.save(output, half=given.half)
    print(f'wrote the folder {output}; open it with --pretrained={output}')
    return
  inputs, outputs = translator.export(output, what=given.what, masks=given.masks,
                                      reverse=given.reverse)
  print(f'wrote {output}, {os.path.getsize(output) / 1e6:.1f} MB: {", ".join(inputs)} -> '
        f'{", ".join(outputs)}')


if __name__ == '__main__':
  define_flags()
  cli.run(main)
