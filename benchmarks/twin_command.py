"""The command line of a PyTorch twin: sizes in, one line with milliseconds and memory out."""

import argparse
from collections.abc import Callable, Iterable
import resource
import sys
import time

import torch

_compiles = False


def place(networks: Iterable[torch.nn.Module], device: str) -> None:
  """Moves networks to the device; with --compile, compiles their forward and backward passes.

  What a gradient penalty is taken of must not be among them: torch.compile differentiates once.
  """
  for network in networks:
    network.to(device)
    if _compiles:
      network.compile()


def main(
  description: str, time_cycle: Callable[..., float], sizes: dict[str, int]
) -> None:
  """Prints what `time_cycle(**sizes, device=...)` takes; sizes are options with their defaults."""
  parser = argparse.ArgumentParser(
    description=description, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  for name, default in sizes.items():
    parser.add_argument(f'--{name}', type=int, default=default)
  parser.add_argument(
    '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
  )
  parser.add_argument('--compile', action='store_true', help='with torch.compile')
  arguments = vars(parser.parse_args())
  global _compiles
  _compiles = arguments.pop('compile')
  torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
  began = time.perf_counter()
  milliseconds = time_cycle(**arguments)
  unit = 1 if sys.platform == 'darwin' else 1024
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
  print(
    f'{milliseconds:.1f} ms per step: PyTorch {torch.__version__}, '
    f'{"compiled" if _compiles else "eager"}, {time.perf_counter() - began:.0f} s in all, '
    f'{torch.get_num_threads()} threads, peak {peak:.0f} MB, '
    + ', '.join(f'{name} {value}' for name, value in arguments.items())
  )
