r"""Edges to handbags at 256x256, in many colours: MUNIT's first experiment.

MUNIT (ECCV 2018) without a weight on the cycle, since the colours of a handbag are not in its
edges. a are edges, b are photographs, in trainA, trainB, testA and testB below config.data.path:
the halves of the pictures of pix2pix' edges2handbags, or with another path its edges2shoes, which
the authors ran with the same settings. `:official` (the default) is the authors' code, `:paper` the
paper's text where it differs.

  paper: pictures, and preferences and LPIPS between translations of one source, not copied here
  ours: not run
  hours and hardware: not stated by the authors; here their 1,000,000 steps at batch 1
  command: python -m maskgan_jax.train --config=configs/edges2handbags.py \\
      --workdir=runs/edges2handbags --config.data.path=data/edges2handbags
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import munit as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('official', 'paper'))
  variant = run_config.variant(chosen, 'official')
  config = recipe.photographs(variant, cycle=recipe.CYCLE_FREE)
  config.data.update(source='folder', path='data/edges2handbags')
  return run_config.finish(config, chosen)
