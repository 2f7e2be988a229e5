"""A few digits, MNIST's files of them, and the pictures that EGSC-IT's authors would paint."""

import colorsys
import functools

import numpy as np

from maskgan_jax.data.drawn import digit_images

FILES = {'train': ('train-images-idx3-ubyte', 'train-labels-idx1-ubyte'),
          'test': ('t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte')}
COUNTS = {'train': 60, 'test': 40}


@functools.cache
def digits_of(split) -> digit_images.Digits:
  """Returns the first of the embedded digits; every label occurs among them."""
  digits = digit_images.load_embedded()[split]
  return digit_images.Digits(digits.images[:COUNTS[split]], digits.labels[:COUNTS[split]])


def idx(array) -> bytes:
  """Returns an IDX file of bytes."""
  shape = np.array(array.shape, '>u4').tobytes()
  return bytes((0, 0, 8, array.ndim)) + shape + array.astype(np.uint8).tobytes()


def write_mnist(folder, ending='', pack=lambda data: data):
  """Writes MNIST's four files, with `ending` after their names; returns the folder."""
  folder.mkdir(exist_ok=True)
  for split, names in FILES.items():
    digits = digits_of(split)
    for name, array in zip(names, (digits.images, digits.labels), strict=True):
      (folder / (name + ending)).write_bytes(pack(idx(array)))
  return folder


class Authors:
  """Draws A and B of a set, pixel by pixel, in the order of the paper's scripts, from floats."""

  def __init__(self, kind, digits, *, seed, training):
    self.kind, self.training = kind, training
    self.images, self.labels = digits.images, digits.labels
    self.state = np.random.RandomState(seed)
    size = len(self.labels)
    lists = [np.arange(size), np.arange(size)]
    for numbers in lists:
      self.state.shuffle(numbers)
    self.u_a, self.u_b = self.state.uniform(0, 1, size), self.state.uniform(0, 1, size)
    if kind == 'single':
      self.digits_a, self.digits_b = lists
      return
    self.placed_a = [self._place(100) for _ in range(size)]
    self.placed_b, self.colors_b = [], []
    for _ in range(size):
      self.placed_b.append(self._place(200))
      self.colors_b.append(colors := {})
      for digit, _ in self.placed_b[-1]:
        label = int(self.labels[digit])
        saturation = 0.5 * self.state.uniform(1.0 - 0.4, 1.0 + 0.4)
        value = 0.5 * self.state.uniform(1.0 - 0.4, 1.0 + 0.4)
        colors[label] = [round(255 * x) for x in colorsys.hsv_to_rgb(label / 10, saturation, value)]

  def _place(self, candidates):
    first = {}
    for digit in (self.state.rand(candidates) * len(self.labels)).astype(int):
      first.setdefault(int(self.labels[digit]), digit)
    digits = self.state.permutation([first[label] for label in sorted(first)])
    return list(zip(digits, self.state.permutation(16), strict=False))

  def _single(self, digit, foreground, background):
    named = {'K': (0, 0, 0), 'W': (255, 255, 255), 'R': (255, 0, 0), 'G': (0, 255, 0),
             'B': (0, 0, 255)}
    image = np.empty((28, 28, 3), np.uint8)
    for row, column in np.ndindex(28, 28):
      bright = self.images[digit, row, column] > 127.5
      image[row, column] = named[foreground if bright else background]
    return image

  def _multiple(self, placed, colors, background):
    image = np.full((112, 112, 3), float(background))
    for digit, cell in placed:
      window = image[cell // 4 * 28:, cell % 4 * 28:][:28, :28]
      window[self.images[digit] > 127.5] = colors[int(self.labels[digit])]
    # SciPy's bytescale, which toimage applies to floats.
    scale = 255 / (image.max() - image.min())
    return (((image - image.min()) * scale).clip(0, 255) + 0.5).astype(np.uint8)

  def draw(self, digits, colors):
    """Returns the digits of ('a' or 'b', i) in the colours of ('a' or 'b', j), uint8."""
    domain, i = digits
    like, j = colors
    pair = 'KW' if self.u_a[j] < 0.5 else 'WK'
    if self.kind == 'multiple':
      placed = (self.placed_a if domain == 'a' else self.placed_b)[i]
      if like == 'b':
        return self._multiple(placed, self.colors_b[j], 255 if self.u_b[j] < 0.5 else 0)
      ink, background = (0, 255) if pair == 'KW' else (255, 0)
      return self._multiple(placed, dict.fromkeys(range(10), ink), background)
    if like == 'b':
      sixth = np.searchsorted(np.arange(1, 6) / 6, self.u_b[j], 'right')
      pair = ('RG', 'GR', 'RB', 'BR', 'GB', 'BG')[sixth]
      if self.training and self.labels[self.digits_b[j]] > 4:
        pair = 'RG'
    return self._single((self.digits_a if domain == 'a' else self.digits_b)[i], *pair)
