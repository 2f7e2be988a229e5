"""The fields of `config.data`, each with its unit and what follows from it."""

import ml_collections


def get_default() -> ml_collections.ConfigDict:
  """Returns the defaults: the embedded cartoon faces, without against with glasses."""
  config = ml_collections.ConfigDict()

  # Where pictures come from.
  config.source = 'avatars'  # | 'circle_square' | 'colored_digits' | 'folder' | 'celeba' | 'csv'
  # | 'tfds'
  config.path = ''  # folder, celeba, csv: the folder, the one that holds trainA/ and trainB/
  # (colored_digits from 'idx': the folder with MNIST's four files)
  config.attributes_file = ''  # csv: the table; a file name under `path`, then columns of 0/1
  config.name = ''  # tfds: 'celeb_a', 'cycle_gan/horse2zebra', ...; digits: 'single' | 'multiple';
  # circle_square: 'plain' ('' too) | 'colors' | 'several'
  config.digits = 'embedded'  # colored_digits are drawn from: scikit-learn's | 'idx' | 'tfds' MNIST
  config.data_dir = ''  # tfds: where it keeps data; '' = TFDS_DATA_DIR or ~/tensorflow_datasets
  config.masks_path = ''  # folder of true masks, named as the pictures; for evaluation only
  config.labels_path = ''  # folder, celeba, csv: PNGs of class ids, named as the pictures; likewise
  config.max_pixels = 40_000_000  # a picture with more is an error; 120 MB of memory once decoded

  # Which pictures make the two domains: attributes with ~ & | and parentheses; '' = all of them.
  config.a = '~Eyeglasses'  # without the attribute
  config.b = 'Eyeglasses'  # with it
  config.test_a = ''  # validation and test take these instead (domain shift); '' = as in training
  config.test_b = ''
  config.attributes = ()  # names whose 0/1 go into a_attributes and b_attributes, for label losses
  config.fixed_pairs = False  # True: an a meets the same b in every epoch; of the shorter
  # set some come twice or more
  config.aligned = False  # True: the i-th of a and of b are one scene (circle_square, folder, csv)
  # and stay together: in the same batch, cropped, flipped and zoomed alike, and in evaluation
  config.transfer = ()  # what the true answer moves from b to a; () = asked for in b and not in a
  # (avatars: transfer, mask and erase also take 'hair_color' and 'mouth', which every face has)
  config.mask = ''  # whose true masks a_mask and b_mask are, with | between; '' = all of `transfer`
  config.erase = ''  # one of `transfer`: measure what erasing its region in b does; '' = none
  config.apart = ()  # groups measured apart as well, by what the picture to translate shows, e.g.
  # ('Smiling', '~Smiling & Male'); predicates as above

  # How many, and how they are divided when the source has no splits of its own.
  # (colored_digits: the first of each domain; circle_square: drawn per domain)
  config.num_train = 0  # avatars: faces drawn (0 = the builder's number); others: most per domain
  config.num_validation = 0  # (0 = all), chosen by hash of the name
  config.num_test = 0
  config.own_splits = True  # False: ignore the source's own division, e.g. CelebA's partition file
  config.own_test = True  # False: leave the source's own test pictures out, and take a test set
  # from the training pictures
  config.validation_fraction = 0.05  # of the training pictures, by hash of the file name
  config.test_fraction = 0.05
  config.test_first = 0  # authors' rule: the first N of each domain, as listed, are the test set
  config.test_rows = 0  # LOMIT's authors': those of the list's first N rows, whatever their domain

  # From a stored picture to the network's input, in this order.
  config.crop = ''  # 'center:178' | 'center:H,W' | 'box:y0,x0,y1,x1', in stored pixels
  config.keep_aspect = False  # True: cover the shape, then take its centre; False: distorts
  config.load_size = 0  # height in pixels; resize to this, train on random crops of it; 0 = none
  config.test_whole = False  # True: evaluation and translation see all of a picture, resized to
  # image_size; False: the centre of what load_size made
  config.resize = 'bilinear'  # 'bilinear' | 'bicubic' | 'lanczos' | 'area'; Pillow's, antialiased
  config.zoom_probability = 0.0  # of a training picture to become a random part of itself, resized
  config.zoom_least = 0.8  # such a part has from this share of height and width to all of it
  config.flip = True  # mirror half of the training pictures

  # How it is fed. None of these changes a batch.
  config.in_memory = 'auto'  # decode once: 'auto' (up to 1 GiB once resized) | 'always' | 'never'
  config.prefetch = 2  # batches prepared ahead of the step; each costs its own memory
  config.workers = 0  # processes that decode what is not in memory; 0 = threads of this one
  return config
