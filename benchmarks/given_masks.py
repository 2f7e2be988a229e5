"""Measures what masks of some training pictures bring, and what augmented critics do for few.

  python benchmarks/given_masks.py masks --steps=1500
  python benchmarks/given_masks.py augmentation --steps=3000

`masks` trains content transfer on glasses at 32x32 (configs/quickstart.py) with the masks of 0, 1,
10 and 100 % of the training pictures. `augmentation` trains the additional mask on 300 faces (for
glasses at 32x32, the config of the avatars benchmark) without and with augmentation of what its
critics see. Both print IoU and errors on test pairs, one row a run; finished runs below --workdir
are not trained again, and interrupted ones go on.
"""

import argparse
import importlib.util
import os
import pathlib

import ml_collections

from maskgan_jax import evaluators, experiment
from maskgan_jax.networks import augmentation
from maskgan_jax.runs import scores

_CONFIGS = pathlib.Path(__file__).resolve().parent.parent / 'configs'
_SHARES = (0.0, 0.01, 0.1, 1.0)
_COLUMNS = (
  'mask_iou',
  'transfer_mask_iou',
  'transfer_error_inside',
  'transfer_error_outside',
  'removal_error_inside',
  'removal_error_outside',
)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('study', choices=('masks', 'augmentation'))
  parser.add_argument('--steps', type=int, default=1_500)
  parser.add_argument('--pairs', type=int, default=0, help='of the test split; 0 = all')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--workdir', default='runs/given_masks')
  options = parser.parse_args()
  configs = with_masks() if options.study == 'masks' else augmented()

  print('| run |' + ''.join(f' {column} |' for column in _COLUMNS))
  print('|---|' + '---:|' * len(_COLUMNS))
  for name, config in configs.items():
    shorten(config, options)
    workdir = os.path.join(options.workdir, f'{options.steps}_{options.seed}', name)
    experiment.train(config, workdir)
    row = scores.latest(workdir, split=evaluators.SPLIT, step=options.steps) or {}
    cells = [row.get(column, '') for column in _COLUMNS]
    texts = [f'{cell:.4f}' if isinstance(cell, float) else cell for cell in cells]
    print(f'| {name} | {" | ".join(texts)} |', flush=True)


def with_masks() -> dict[str, ml_collections.ConfigDict]:
  """Returns the configs with the masks of more and more pictures."""
  configs = {}
  for share in _SHARES:
    config = read('quickstart')
    config.data.masks_share = share
    if share:
      config.weights.update(mask_agreement=1.0, outside=1.0)
    configs[f'masks_{100 * share:g}'] = config
  return configs


def augmented() -> dict[str, ml_collections.ConfigDict]:
  """Returns the configs of 300 faces, without and with augmentation."""
  configs = {}
  for name, kinds in (('plain', ()), ('augmented', augmentation.KINDS)):
    config = read('avatars_benchmark', 'additional_mask,quick,glasses')
    config.data.num_train = 300
    config.critic_augmentation = kinds
    configs[name] = config
  return configs


def read(name: str, argument: str = '') -> ml_collections.ConfigDict:
  """Returns the config of a file in configs/."""
  spec = importlib.util.spec_from_file_location(name, _CONFIGS / f'{name}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(argument)


def shorten(config: ml_collections.ConfigDict, options: argparse.Namespace) -> None:
  """Sets steps, seed and pairs; rates that fall begin to in the middle."""
  for player in config.optimizers.values():
    if player.schedule != 'constant':
      player.schedule_start = options.steps // 2
  config.update(
    num_steps=options.steps,
    seed=options.seed,
    evaluation_pairs=options.pairs,
    evaluators=('masks', 'truth'),
    checkpoint_every=options.steps,
    sample_every=0,
  )


if __name__ == '__main__':
  main()
