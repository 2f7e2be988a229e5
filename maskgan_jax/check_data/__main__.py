"""Says what a config's data holds and what is wrong with it, and draws a contact sheet.

python -m maskgan_jax.check_data --config=configs/quickstart.py --output=check_data.png
python -m maskgan_jax.check_data --config=CONFIG --points=list_landmarks_align_celeba.txt
"""

from absl import flags

from maskgan_jax import check_data, cli, errors
from maskgan_jax import config as run_config
from maskgan_jax.check_data import sheet
from maskgan_jax.data import unused


def main() -> None:
  """Checks what --config names, prints the report, fails if `train` would with these pictures."""
  config = run_config.from_flags()
  sheet.check_output(flags.FLAGS.output, config.data)
  values = flags.FLAGS
  report = check_data.check(
    config, values.output, max_images=values.max_images, points=values.points
  )
  print('\n'.join(check_data.lines(report)))
  if reason := check_data.refusal(
    report, measures=bool(config.get('evaluators', True))
  ):
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
  flags.DEFINE_string(
    'points',
    '',
    "A table of the points of the training pictures' faces, as `translate` takes it; says "
    'which are not aligned as the others.',
  )
  cli.run(main)
