"""Times a config's train step beside the same networks and step in plain eager PyTorch.

  python benchmarks/compare.py --config=configs/celeba_glasses.py

The two take turns, each in a process of its own, so that a busy machine is busy for both; the
medians and their ratio (ours / PyTorch's, lower is better for us) are printed as one JSON line.
Where players take turns, a step is the mean over their cycle. Peaks are of a process' memory on the
host, imports and compilation included; program_mb is what our compiled step takes. Needs PyTorch
(pip install '.[convert]').
"""

import argparse
import json
import os
import runpy
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def additional_mask(config) -> dict:
  """Returns the arguments of torch_additional_mask.py for this config."""
  model, addition = config.model, config.model.addition
  names = (
    'width',
    'blocks',
    'discriminator_width',
    'discriminator_layers',
    'pool_size',
  )
  return {
    **{name: model[name] for name in names},
    'image_width': config.image_width,
    'dcgan': int(model.discriminator == 'dcgan'),
    'supervised': int(model.scheme == 'supervised'),
    'attention': int(model.attention),
    'addition': int(config.variant != 'cyclegan' if addition is None else addition),
    'identity': int(config.weights.identity > 0),
  }


def content_transfer(config) -> dict:
  """Returns the arguments of torch_content_transfer.py for this config."""
  names = ('width', 'depth', 'separate_channels', 'discriminator_width')
  return {name: config.model[name] for name in names}


def press(config) -> dict:
  """Returns the arguments of torch_press.py, whose sizes are content transfer's."""
  return content_transfer(config)


def lomit(config) -> dict:
  """Returns the arguments of torch_lomit.py, which is the authors' code and nothing else."""
  if config.variant != 'official':
    sys.exit(
      f"error: the PyTorch twin of lomit is of variant 'official', not {config.variant!r}"
    )
  names = (
    'width',
    'blocks',
    'style_size',
    'mlp',
    'mask_depth',
    'critic_width',
    'critic_depth',
    'critic_every',
  )
  return {
    **{name: config.model[name] for name in names},
    'attributes': max(len(config.data.attributes), 1),
  }


def egsc_it(config) -> dict:
  """Returns the arguments of torch_egsc_it.py, for the authors' whole second stage."""
  weights, model = config.weights, config.model
  if config.variant != 'official' or not (
    model.feature_mask and model.adain and weights.content
  ):
    sys.exit(
      "error: the PyTorch twin of egsc_it is of variant 'official' without ablations"
    )
  names = (
    'width',
    'downsamplings',
    'blocks',
    'discriminator_width',
    'discriminator_depth',
    'discriminator_every',
    'perceptual_width',
  )
  return {**{name: model[name] for name in names}, 'image_width': config.image_width}


def munit(config) -> dict:
  """Returns the arguments of torch_munit.py, which is the authors' code and nothing else."""
  model = config.model
  if config.variant != 'official' or model.adversarial != 'least_squares':
    sys.exit(
      "error: the PyTorch twin of munit is of variant 'official' with least squares"
    )
  names = (
    'width',
    'downsamplings',
    'blocks',
    'style_size',
    'style_downsamplings',
    'mlp',
    'discriminator_width',
    'discriminator_depth',
    'discriminator_scales',
  )
  return {
    **{name: model[name] for name in names},
    'image_width': config.image_width,
    'cycle': int(config.weights.cycle),
  }


def drit(config) -> dict:
  """Returns the arguments of torch_drit.py, which is the authors' code and nothing else."""
  model = config.model
  if config.variant != 'official':
    sys.exit("error: the PyTorch twin of drit is of variant 'official'")
  names = (
    'width',
    'downsamplings',
    'blocks',
    'attribute_size',
    'attribute_downsamplings',
    'mlp',
    'discriminator_width',
    'discriminator_depth',
    'discriminator_scales',
    'content_depth',
    'others_every',
  )
  return {
    **{name: model[name] for name in names},
    'feature_wise': int(model.generator == 'feature_wise'),
    'mode_seeking': int(model.mode_seeking),
    'content_4x4': int(model.content_kernel == '4x4'),
    'image_width': config.image_width,
  }


def unit(config) -> dict:
  """Returns the arguments of torch_unit.py, for a release as it is."""
  model = config.model
  names = (
    'width',
    'downsamplings',
    'blocks',
    'discriminator_width',
    'discriminator_depth',
    'discriminator_scales',
  )
  return {
    **{name: model[name] for name in names},
    'strided_norm': int(model.strided_norm),
    'image_width': config.image_width,
    'rerelease': int(config.variant == 'rerelease'),
  }


def ugatit(config) -> dict:
  """Returns the arguments of torch_ugatit.py, for one of the codes as it is."""
  model = config.model
  names = (
    'width',
    'downsamplings',
    'blocks',
    'discriminator_width',
    'global_strides',
    'local_strides',
  )
  return {
    **{name: model[name] for name in names},
    'light': int(model.light),
    'image_width': config.image_width,
    'tensorflow': int(config.variant == 'paper'),
  }


def read(path: str):
  """Returns the config that 'configs/NAME.py:ARGUMENT' names."""
  sys.path.insert(0, ROOT)
  path, _, argument = path.partition(':')
  return runpy.run_path(os.path.join(ROOT, path))['get_config'](argument)


def sizes(config) -> dict:
  """Returns the arguments of the config's PyTorch twin; exits if there is none."""
  if config.method not in TWINS:
    sys.exit(f'error: there is no PyTorch twin of {config.method}')
  return {
    'image_size': config.image_size,
    'batch_size': config.batch_size,
    **TWINS[config.method](config),
  }


def run_twin(method: str, arguments: dict, steps: int, *more: str) -> tuple[str, float]:
  """Returns what the twin prints, and its peak in megabytes."""
  return run(
    f'benchmarks/torch_{method}.py',
    f'--steps={steps}',
    *(f'--{name}={value}' for name, value in arguments.items()),
    *more,
  )


TWINS = {
  'additional_mask': additional_mask,
  'content_transfer': content_transfer,
  'drit': drit,
  'egsc_it': egsc_it,
  'lomit': lomit,
  'munit': munit,
  'press': press,
  'ugatit': ugatit,
  'unit': unit,
}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--config', default='configs/celeba_glasses.py')
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument(
    '--seconds', type=float, default=8, help='of each measurement of ours'
  )
  parser.add_argument(
    '--steps', type=int, default=6, help="of each measurement of PyTorch's"
  )
  options = parser.parse_args()
  config = read(options.config)
  arguments = sizes(config)
  ours, torchs, peaks = [], [], []
  for _ in range(options.rounds):
    printed, our_peak = run(
      '-m',
      'maskgan_jax.benchmark',
      f'--config={options.config}',
      '--random_data',
      f'--seconds={options.seconds}',
    )
    result = json.loads(printed)
    ours.append(result['step_ms'])
    printed, torch_peak = run_twin(config.method, arguments, options.steps)
    torchs.append(float(printed.split(' ms per step')[0]))
    peaks.append((our_peak, torch_peak))
  mine, theirs = statistics.median(ours), statistics.median(torchs)
  our_peak, torch_peak = (round(max(column)) for column in zip(*peaks, strict=True))
  print(
    json.dumps(
      {
        'config': options.config,
        'ratio': round(mine / theirs, 3),
        'maskgan_jax_ms': mine,
        'torch_eager_ms': theirs,
        'maskgan_jax_rounds': ours,
        'torch_rounds': torchs,
        'maskgan_jax_peak_mb': our_peak,
        'torch_peak_mb': torch_peak,
        'maskgan_jax_program_mb': result.get('program_mb'),
        'torch': printed.split(': ', 1)[1].split(',')[0],
        'jax': result['jax'],
        'device': result['device'],
        'cores': result['cores'],
      }
    )
  )


def run(*arguments: str) -> tuple[str, float]:
  """Returns what `python ARGUMENTS` prints, and its peak in megabytes."""
  with subprocess.Popen(
    [sys.executable, *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE
  ) as process:
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
  if process.returncode:
    sys.exit(
      f'error: {" ".join(arguments)} failed with exit status {process.returncode}'
    )
  return printed, usage.ru_maxrss * (1 if sys.platform == 'darwin' else 1024) / 1e6


if __name__ == '__main__':
  main()
