"""The command line of a PyTorch twin: sizes in, one line with milliseconds and memory out."""

import argparse
from collections.abc import Callable
import resource
import sys

import torch


def main(description: str, time_cycle: Callable[..., float], sizes: dict[str, int]) -> None:
  """Prints what `time_cycle(**sizes, device=...)` takes; sizes are options with their defaults."""
  parser = argparse.ArgumentParser(description=description,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  for name, default in sizes.items():
    parser.add_argument(f'--{name}', type=int, default=default)
  parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
  arguments = vars(parser.parse_args())
  milliseconds = time_cycle(**arguments)
  unit = 1 if sys.platform == 'darwin' else 1024
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
  print(f'{milliseconds:.1f} ms per step: PyTorch {torch.__version__}, eager, '
        f'{torch.get_num_threads()} threads, peak {peak:.0f} MB, '
        + ', '.join(f'{name} {value}' for name, value in arguments.items()))
