"""The fields of `config.data`, each with its unit and what follows from it.

A field that is `free` may change when a run is resumed: no training batch depends on it.
"""

import ml_collections

from maskgan_jax import fields
from maskgan_jax.fields import (
  at_least,
  at_most,
  between,
  field,
  free,
  more_than,
  one_of,
)

SOURCES = (
  'avatars',
  'circle_square',
  'colored_digits',
  'folder',
  'celeba',
  'csv',
  'tfds',
)

FIELDS = dict(
  # Where pictures come from.
  source=field('avatars', one_of(*SOURCES)),
  # folder, celeba, csv: the folder; of 'folder' the one that holds trainA/ and trainB/.
  # colored_digits from 'idx': the folder with MNIST's four files.
  path=free(''),
  # csv: the table; a file name under `path`, then columns of 0/1.
  attributes_file=free(''),
  # tfds: 'celeb_a', 'cycle_gan/horse2zebra', ...; colored_digits: 'single' | 'multiple';
  # circle_square: 'plain' (also '') | 'colors' | 'several'.
  name='',
  # avatars: what makes the faces harder, any of 'background', 'placement', 'lighting', 'occlusion'
  # and 'corruption'; () = plain.
  difficulty=(),
  # What colored_digits are drawn from: scikit-learn's digits, or MNIST as files or from TFDS.
  digits=field('embedded', one_of('embedded', 'idx', 'tfds')),
  # tfds: where it keeps data; '' = TFDS_DATA_DIR or ~/tensorflow_datasets.
  data_dir=free(''),
  # A folder of true masks, named as the pictures; for evaluation, and with masks_share for
  # training.
  masks_path=free(''),
  # csv: a column with the masks' file names, below masks_path or else path; '' in a cell is none.
  mask_column=free(''),
  # The share of the training pictures with a mask whose masks training sees, chosen by hash of
  # the name, for config.weights.mask_agreement and outside; 0 = none. Drawn avatars have exact
  # masks of what they show.
  masks_share=field(0.0, between(0, 1)),
  # folder, celeba, csv: a folder of PNGs of class ids, named as the pictures; for evaluation.
  labels_path=free(''),
  # A larger picture is an error; this one takes 120 MB once decoded.
  max_pixels=free(40_000_000),
  # Which pictures make the two domains: attributes with ~ & | and parentheses; '' = all.
  a='~Eyeglasses',  # without the attribute
  b='Eyeglasses',  # with it
  test_a='',  # validation and test take these instead (domain shift); '' = as in training
  test_b='',
  attributes=(),  # names whose 0/1 go into a_attributes and b_attributes, for label losses
  # How pictures of the two domains meet.
  # True: an a meets the same b in every epoch; some of the shorter set come twice or more.
  fixed_pairs=False,
  # True: the i-th of a and of b are one scene (circle_square, folder, csv). They stay together
  # in batches and in evaluation, and are cropped, flipped and zoomed alike.
  aligned=False,
  # What is measured.
  # What the true answer moves from b to a; () = what is asked for in b and not in a.
  # (avatars: transfer, mask and erase also take 'hair_color' and 'mouth', which all faces have)
  transfer=free(()),
  # What a_mask and b_mask are true masks of, with | between; '' = all of transfer.
  mask=free(''),
  # One of `transfer`: measures what erasing its region in b does; '' = none.
  erase=free(''),
  # Groups that are also measured apart, by what the picture to translate shows, e.g.
  # ('Smiling', '~Smiling & Male'); predicates as above.
  apart=free(()),
  # How many, and how they are divided when the source has no splits of its own.
  # The most pictures of each domain, chosen by hash of the name; 0 = all.
  # avatars: the faces drawn (0 = the builder's number); circle_square: drawn per domain;
  # colored_digits: the first of each domain.
  num_train=field(0, at_least(0)),
  num_validation=field(0, at_least(0)),
  num_test=field(0, at_least(0)),
  own_splits=True,  # False: ignore the source's own division, e.g. CelebA's partition file
  # False: leave out the source's own test pictures, and take a test set from the training ones.
  own_test=True,
  validation_fraction=0.05,  # of the training pictures, by hash of the file name
  test_fraction=0.05,
  # The authors' rule: the first N of each domain, as listed.
  test_first=field(0, at_least(0)),
  # The rule of LOMIT's authors: of the list's first N rows, any domain.
  test_rows=field(0, at_least(0)),
  # From a stored picture to the network's input, in this order.
  crop='',  # 'center:178' | 'center:H,W' | 'box:y0,x0,y1,x1', in stored pixels
  keep_aspect=False,  # True: cover the shape, then take its centre; False: distorts
  load_size=0,  # height in pixels; resize to this, train on random crops of it; 0 = none
  # True: evaluation and translation see all of a picture, resized to image_size; False: the
  # centre of what load_size made.
  test_whole=False,
  # Where the points of faces lie in the stored pictures, if these are aligned: '178x218: x,y x,y'
  # with two eyes or five points, 'celeba' or 'avatars'; '' = by the source. Translating faces by
  # their points needs it, training does not.
  template=free(''),
  # Pillow's, antialiased.
  resize=field('bilinear', one_of('bilinear', 'bicubic', 'lanczos', 'area')),
  # Chance of a training picture to become a random part of itself, resized.
  zoom_probability=field(0.0, between(0, 1)),
  # The least share of height and width that it keeps.
  zoom_least=field(0.8, more_than(0), at_most(1)),
  flip=True,  # mirror half of the training pictures
  # How it is fed. None of these changes a batch.
  # Decode once: 'auto' does for up to 1 GiB of resized pictures.
  in_memory=free('auto', one_of('auto', 'always', 'never')),
  # Batches prepared ahead of the step; each costs its memory.
  prefetch=free(2, at_least(1)),
  workers=free(0, at_least(0)),  # processes that decode; 0 = threads of this one
)


def get_default() -> ml_collections.ConfigDict:
  """Returns the defaults: the embedded cartoon faces, without against with glasses."""
  return fields.defaults(FIELDS)
