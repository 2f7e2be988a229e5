"""Times a config's train step beside the same networks and step in plain eager PyTorch.

  python benchmarks/compare.py --config=configs/celeba_glasses.py

The two take turns, each in a process of its own, so that a busy machine is busy for both; the
medians and their ratio (ours / PyTorch's, lower is better for us) are printed as one JSON line.
Content transfer only; needs PyTorch (pip install '.[convert]').
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--config', default='configs/celeba_glasses.py')
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--seconds', type=float, default=8, help='of each measurement of ours')
  parser.add_argument('--steps', type=int, default=6, help="of each measurement of PyTorch's")
  options = parser.parse_args()
  sys.path.insert(0, ROOT)
  import runpy
  path, _, argument = options.config.partition(':')
  config = runpy.run_path(os.path.join(ROOT, path))['get_config'](argument)
  if config.method != 'content_transfer':
    sys.exit(f'error: there is no PyTorch twin of {config.method}')
  sizes = [f'--{name}={value}' for name, value in (
      ('image_size', config.image_size), ('batch_size', config.batch_size),
      ('width', config.model.width), ('depth', config.model.depth),
      ('separate_channels', config.model.separate_channels),
      ('discriminator_width', config.model.discriminator_width))]
  ours, torchs = [], []
  for _ in range(options.rounds):
    printed = run('-m', 'maskgan_jax.benchmark', f'--config={options.config}', '--random_data',
                  f'--seconds={options.seconds}')
    result = json.loads(printed)
    ours.append(result['step_ms'])
    printed = run('benchmarks/torch_content_transfer.py', *sizes, f'--steps={options.steps}')
    torchs.append(float(printed.split(' ms per step')[0]))
  mine, theirs = statistics.median(ours), statistics.median(torchs)
  print(json.dumps({
      'config': options.config, 'ratio': round(mine / theirs, 3), 'maskgan_jax_ms': mine,
      'torch_eager_ms': theirs, 'maskgan_jax_rounds': ours, 'torch_rounds': torchs,
      'torch': printed.split(': ', 1)[1].split(',')[0], 'jax': result['jax'],
      'device': result['device'], 'cores': result['cores']}))


def run(*arguments: str) -> str:
  return subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, text=True,
                        stdout=subprocess.PIPE).stdout


if __name__ == '__main__':
  main()
