"""Handles between handbags, from the folders that you make.

Content transfer (ICLR 2020), Figure 5: a = bags without a handle, b = bags with one. The authors
split the handbags of Zhu et al. (2016) and did not say how: put yours into
trainA, trainB, testA and testB below config.data.path.

  paper: Table 4, preferred to Press et al. by 87 %, 72 % and 90 % of answers; Figures 5, 25, 26
  ours: not run
  hours and hardware: not stated by the authors
  weights: not stated for handbags; the authors' for glasses
  command: python -m maskgan_jax.train --config=configs/handbags.py --workdir=runs/handbags \\
      --config.data.path=data/handbags
"""

from maskgan_jax import config as run_config


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('official', 'paper'))
  config = run_config.default('content_transfer')
  config.update(image_size=128, batch_size=32, num_steps=150_000)
  config.data.update(source='folder', path='data/handbags', a='~B', b='B')
  if 'paper' in chosen:
    config.variant = 'paper'
  return run_config.finish(config, chosen)
