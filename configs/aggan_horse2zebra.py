r"""Horses to zebras and back by AGGAN, whose attention says where: a row of LOMIT's Table 2.

AGGAN (NeurIPS 2018), 256x256, with the authors' networks, weights and schedule. `:official` (the
default) is their code, `:intended` the kernels that it asks for (methods/aggan.py). `:apples` is
apples to oranges. `:exemplar` gives the generators an exemplar too, our reading of LOMIT's
baseline. The authors stretch pictures to 286 pixels and cut 256 at random, also in tests; here
tests see the middle.

  paper: LOMIT Table 2, AGGAN with an exemplar (its own figures were not at hand)
  ours: not run (needs TFDS's cycle_gan/horse2zebra in config.data.data_dir)
  hours and hardware: not stated by the authors; 133,400 steps at batch 1
  command: python -m maskgan_jax.train --config=configs/aggan_horse2zebra.py \\
      --workdir=runs/aggan_horse2zebra
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import aggan as recipe


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(
    argument, ('official', 'intended', 'apples', 'exemplar')
  )
  name, pictures = 'horse2zebra', 1_334
  if 'apples' in chosen:
    name, pictures = 'apple2orange', 1_019
  config = recipe.default(pictures)
  config.variant = run_config.exclusive(chosen, ('official', 'intended')) or 'official'
  config.model.exemplar = 'exemplar' in chosen
  config.data.update(
    source='tfds', name=f'cycle_gan/{name}', a='~B', b='B', load_size=286, flip=True
  )
  config.evaluators = ('similarity', 'changes')
  return run_config.finish(config, chosen)
