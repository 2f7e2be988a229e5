"""Facial hair between CelebA men.

Content transfer (ICLR 2020) on CelebA at 128x128. `:official` (the default) is the authors' code,
`:paper` the paper's text where the two differ: its 90-95 % split, ReLU decoders, both cycle terms
(methods/content_transfer.py, VARIANTS). The paper gives no weights: both take the authors'
defaults, as they list none for beards. Neither crops; 178x218 is resized straight to 128x128, as
the authors do. `:official` holds out 5 % of the training pictures to search the mask's threshold
on, where the authors train on them; `:paper` does not bring the attributes down to the paper's
7,200 to 18,000 pictures, which it does not say how.

Table 7's ablations, one at a time: `:no_recon2_a`, `:no_recon2_b`, `:no_cycle`, `:no_recon1_b`,
`:no_recon1_a` and `:no_domain_confusion` leave out a loss; `:l2_regularizer` has the mean squared
mask in place of both recon2, with their weight, as the paper gives none; `:l2_recon1` and
`:l2_recon2` have L2 for L1 in both recon1 or both recon2. `:to_women` is Table 3's domain shift:
trained on men, tested on women, to whom men's facial hair is given.

  paper: Table 1 FID 90.7 +- 1.8, KID 3.5 +- 0.1; Table 2 accuracy 88.0 %; Table 3 similarity 0.89
    (women 0.90); Table 6 removal FID 119.0, KID 1.9, accuracy 95.3 %, similarity 0.95; Table 7
  ours: not run (needs CelebA: img_align_celeba/ and list_attr_celeba.txt in config.data.path)
  hours and hardware: not stated by the authors; 150,000 steps at batch 32
  command: python -m maskgan_jax.train --config=configs/celeba_facial_hair.py \\
      --workdir=runs/celeba_facial_hair --config.data.path=data/celeba
"""

from maskgan_jax import config as run_config
from maskgan_jax.methods import content_transfer

# The rows of Table 7 after the first: the keys that differ.
ABLATIONS = {
  'no_recon2_a': {'weights.recon2_a': 0.0},
  'no_recon2_b': {'weights.recon2_b': 0.0},
  'no_cycle': {'weights.cycle': 0.0},
  'no_recon1_b': {'weights.recon1_b': 0.0},
  'no_recon1_a': {'weights.recon1_a': 0.0},
  'no_domain_confusion': {'weights.domain_confusion': 0.0},
  'l2_regularizer': {
    'weights.recon2_a': 0.0,
    'weights.recon2_b': 0.0,
    'weights.mask_l2': 0.7,
  },
  'l2_recon1': {'norms.recon1': 'l2'},
  'l2_recon2': {'norms.recon2': 'l2'},
}


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(
    argument, ('official', 'paper', *ABLATIONS, 'to_women')
  )
  config = run_config.default('content_transfer')
  config.update(image_size=128, batch_size=32, num_steps=150_000)
  config.weights.update(content_transfer.weights('facial_hair'))
  config.data.update(source='celeba', path='data/celeba', flip=True)
  config.data.update(
    a='Male & No_Beard & ~5_o_Clock_Shadow & ~Mustache & ~Goatee',
    b='Male & ~5_o_Clock_Shadow & (Mustache | Goatee | ~No_Beard)',
  )
  if 'paper' in chosen:
    config.variant = 'paper'
    config.data.update(own_splits=False, test_fraction=0.08, validation_fraction=0.02)
  else:
    config.data.test_first = 64  # of each domain, the authors' rule
  if 'to_women' in chosen:  # a woman's translation has a beard, and still shows a woman
    config.data.update(test_a='~Male & No_Beard', transfer=('Mustache', 'Goatee'))
  ablation = run_config.exclusive(chosen, tuple(ABLATIONS))
  for key, value in ABLATIONS.get(ablation, {}).items():
    run_config.set_key(config, key, value)
  return run_config.finish(config, chosen)
