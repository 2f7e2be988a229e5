"""Glasses between CelebA faces.

Content transfer (ICLR 2020) on CelebA at 128x128. `:official` (the default) is the authors' code,
`:paper` the paper's text where the two differ: its 90-95 % split, ReLU decoders, both cycle terms
(methods/content_transfer.py, VARIANTS). The paper gives no weights: both take the authors'. Neither
crops; 178x218 is resized straight to 128x128, as the authors do. `:official` holds out 5 % of the
training pictures to search the mask's threshold on, where the authors train on them; `:paper` does
not bring the attributes down to the paper's 7,200 to 18,000 pictures, which it does not say how.
`:to_men` is the domain shift of Table 3 and Figure 23: trained on women, tested on men, whose
exemplars are men too (Figure 23 has them so; section 4 says that no man with glasses was seen).

  paper: Table 1 FID 134.9 +- 4.8, KID 5.2 +- 0.8; Table 2 accuracy 96.2 %; Table 3 similarity 0.84
    (men 0.82); Table 6 removal FID 136.5, KID 5.2, accuracy 99.2 %, similarity 0.87
  ours: not run (needs CelebA: img_align_celeba/ and list_attr_celeba.txt in config.data.path)
  hours and hardware: not stated by the authors; 150,000 steps at batch 32
  command: python -m maskgan_jax.train --config=configs/celeba_glasses.py \\
      --workdir=runs/celeba_glasses --config.data.path=data/celeba
"""

from maskgan_jax import config as run_config
from maskgan_jax.methods import content_transfer


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(argument, ('official', 'paper', 'to_men'))
  config = run_config.default('content_transfer')
  config.update(image_size=128, batch_size=32, num_steps=150_000)
  config.weights.update(content_transfer.weights('glasses'))
  config.data.update(source='celeba', path='data/celeba', flip=True)
  config.data.update(a='~Eyeglasses', b='Eyeglasses')
  if 'to_men' in chosen:
    config.data.update(
      a='~Male & ~Eyeglasses',
      b='~Male & Eyeglasses',
      test_a='Male & ~Eyeglasses',
      test_b='Male & Eyeglasses',
    )
  if 'paper' in chosen:
    config.variant = 'paper'
    config.data.update(own_splits=False, test_fraction=0.08, validation_fraction=0.02)
  else:
    config.data.test_first = 64  # of each domain, the authors' rule
  return run_config.finish(config, chosen)
