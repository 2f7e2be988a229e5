"""A circle to the square around it, 64x64: the experiment whose right answer is known.

Additional mask (IEEE Access 2023), Figs. 4 and 5: batches of 32, DCGAN's discriminator. a are
circles, b are squares. The paper does not say how large, of which colours and how many its shapes
were; those drawn here are one to a picture, light on dark, not further apart than a mask can reach,
2,000 of each domain for training and 500 for the test, no scene in both domains. The right answer
to a circle is the square around it, so its four corners are what should change; to a square the
circle within. `:colors` has shapes of any colour on any other, `:several` up to three of them in a
picture; a mask of 1 is then too little for most, so `model.mask_range` is 2.

`:tuned` departs from the paper to get nearer to the truth (docs/tuned.md). `:cyclegan` is the
baseline, CycleGAN's generators and losses with this discriminator (`:cyclegan,identity` with its
code's identity loss; the mask may have it too: `:identity`); `:supervised` is Fig. 2's scheme,
trained on pairs; `:attention` multiplies the mask with a predicted attention, the paper's outlook.
`:lambda_r=0.01`, `:lambda_r=1`, `:lambda_r=10` and `:lambda_r=200` are the paper's values one by
one. `:quick` is for minutes on a CPU: a quarter of the channels, half of the blocks, batches of 16,
2,000 steps. Pictures are mirrored but not cropped, which would cut shapes off.

  paper: pictures only (Fig. 4; the text calls it Fig. 1): for lambda_r of 0.01, 1 and 10 less and
    less changes; at 200, which has to be asked for (--values=200), masks leave the corners
  ours: see REPRODUCING.md
  hours and hardware: not stated by the authors
  command: python -m maskgan_jax.sweep --config=configs/circle_square.py:quick \\
      --workdir=runs/circle_square
"""

from maskgan_jax import config as run_config
from maskgan_jax.recipes import additional_mask as settings


def get_config(argument: str = ''):
  config, chosen = settings.default(
    argument,
    size=64,
    values=(0.01, 1, 10),
    pictures=2_500,
    beyond=(200,),
    more=('supervised', 'colors', 'several', 'quick'),
  )
  kind = run_config.exclusive(chosen, ('colors', 'several'))
  config.data.update(
    source='circle_square',
    name=kind or 'plain',
    a='~Square',
    b='Square',
    load_size=0,
    test_whole=False,
    own_test=True,
  )
  if kind and 'cyclegan' not in chosen:
    config.model.mask_range = 2.0
  config.evaluators = ('changes', 'similarity')
  if 'quick' in chosen:
    config.model.update(width=16, blocks=3, discriminator_width=16)
    config.update(batch_size=16, num_steps=2_000)
  return settings.finish(config, chosen)
