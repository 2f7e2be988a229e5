"""Measures the train step and the input pipeline of a config; prints one JSON line.

  python -m maskgan_jax.benchmark --config=configs/quickstart.py
  python -m maskgan_jax.benchmark --config=configs/celeba_glasses.py --random_data
  python -m maskgan_jax.benchmark --config=configs/celeba_glasses.py --random_data --profile=trace

step_ms is the median time of a whole iteration (all players), with batches at hand;
images_per_second follows from it. input_wait_share is the share of time that training with the
real pipeline waits for it, input_images_per_second what the pipeline alone supplies. share_of_peak
is the compiler's FLOP count over step time, against what a large matrix product reaches on this
device in this type, measured here.

With a schedule (`every`) step_ms is that of an average iteration, step_ms_by_phase has each of a
cycle, and FLOPs and share_of_peak are those of the longest, in which most players play. Where a
training has stages the last is measured, or with --first_stage the first. With
config.steps_per_dispatch several steps are one program, and step_ms is its time by their number.

compile_s is the time with nothing cached; where compile_cached is true, some programs were cached,
and it is not.

With --profile=DIR some steps are traced into that folder; a line says how to look at them.

Beside PyTorch: benchmarks/compare.py for a config, benchmarks/compare_all.py for all methods.
"""

import json
import os

from absl import flags

from maskgan_jax import cli, errors
from maskgan_jax import config as run_config

_SECONDS = flags.DEFINE_float(
  'seconds', 5.0, 'How long each measurement takes, at least.'
)
_RANDOM = flags.DEFINE_bool(
  'random_data', False, 'Noise instead of data: only the step is measured.'
)
_FIRST = flags.DEFINE_bool(
  'first_stage', False, 'Measures the first stage of the training.'
)
_PROFILE = flags.DEFINE_string(
  'profile', None, 'A folder that gets a trace of some steps.'
)


def main() -> None:
  if not _SECONDS.value > 0:
    raise errors.UserError(f'--seconds={_SECONDS.value} must be more than 0')
  if _PROFILE.value is not None:
    _check_folder(_PROFILE.value)
  config = run_config.from_flags()
  # The flags are right; slow imports come only now.
  from maskgan_jax.benchmark import measuring

  figures = measuring.measure(
    config,
    _SECONDS.value,
    random_data=_RANDOM.value,
    first_stage=_FIRST.value,
    profile=_PROFILE.value,
  )
  print(json.dumps(figures), flush=True)


def _check_folder(folder: str) -> None:
  """Makes the folder of a trace; UserError unless it can be written."""
  try:
    os.makedirs(folder, exist_ok=True)
  except OSError as error:
    raise errors.UserError(
      f'--profile={folder}: {error.strerror or error}; name a folder that can '
      'be written'
    ) from error
  if not os.access(folder, os.W_OK):
    raise errors.UserError(f'--profile={folder} cannot be written; name another folder')


if __name__ == '__main__':
  run_config.define_flags()
  cli.run(main, saves_memory=cli.TRAINING_MEMORY)
