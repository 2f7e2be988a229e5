"""Men's hair segmented with class labels only: bald against hair.

Content transfer (ICLR 2020) on CelebA at 128x128. `:official` (the default) is the authors' code,
`:paper` the paper's text where the two differ: its 90-95 % split, ReLU decoders, both cycle terms
(methods/content_transfer.py, VARIANTS). The paper gives no weights: both take the authors'. Neither
crops; 178x218 is resized straight to 128x128, as the authors do. `:official` holds out 5 % of the
training pictures to search the mask's threshold on, where the authors train on them; `:paper` does
not bring the attributes down to the paper's 7,200 to 18,000 pictures, which it does not say how,
and reads its 'bald men' and 'men with dark hair' as the predicates below.

  paper: Table 5 IoU 0.77 +- 0.13 (labels of Borza et al.: give them as config.data.masks_path)
  ours: not run (needs CelebA: img_align_celeba/ and list_attr_celeba.txt in config.data.path)
  hours and hardware: not stated by the authors; 150,000 steps at batch 32
  command: python -m maskgan_jax.train --config=configs/celeba_mens_hair.py \\
      --workdir=runs/celeba_mens_hair --config.data.path=data/celeba
"""

from maskgan_jax import config as run_config
from maskgan_jax.methods import content_transfer


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('official', 'paper'))
  config = run_config.default('content_transfer')
  config.update(image_size=128, batch_size=32, num_steps=150_000)
  config.weights.update(content_transfer.weights('mens_hair'))
  config.data.update(source='celeba', path='data/celeba', flip=True)
  if 'paper' in chosen:
    config.variant = 'paper'
    config.data.update(own_splits=False, test_fraction=0.08, validation_fraction=0.02)
    config.data.update(
      a='Male & Bald & ~Wearing_Hat',
      b='Male & ~Bald & ~Wearing_Hat & (Black_Hair | Brown_Hair)',
    )
  else:
    config.data.test_first = 64  # of each domain, the authors' rule
    config.data.update(
      a='Male & Bald & ~Wearing_Hat & ~Receding_Hairline & ~Gray_Hair',
      b='Male & ~Bald & ~Wearing_Hat & ~Young',
    )
  return run_config.finish(config, chosen)
