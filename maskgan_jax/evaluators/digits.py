"""Is the digit the source's, and are the colours the exemplar's? Of single coloured digits.

`ab` is t(a, b), and `ba` the reverse. A pixel has the colour, of black, white, red, green and blue,
that is nearest to it; of colours that are equally near it has the first.

  ab_digit_color       share of the digit's pixels that have the true colour
  ab_background_color  the same of the background's pixels
  ab_digit_iou         pixels that have the digit's true colour, and pixels of the true digit:
                       intersection over union, a picture at a time
  ab_digit_read        share of the pictures in which a classifier reads the source's digit; what it
                       sees are differences from the border's colour, whatever colours these are
  ab_colors_read       share of the pictures whose most frequent colour on the border is the true
                       background's, and whose most frequent other colour is the true digit's and
                       has a fiftieth of the pixels or more

The first two are shares of all pixels of all pictures, not means over pictures. Either alone can be
had by painting one colour everywhere, so each is measured of five pictures that take no model:

  blank_ab_...         a picture of the true background's colour
  do_nothing_ab_...    the untranslated picture
  exemplar_ab_...      the exemplar
  silhouette_ab_...    the exemplar's background with the digit in a wrong colour of that domain
                       (of black and white, which has no other: red)
  truth_ab_...         the true translation: the most that any can have

The classifier is the label of the nearest neighbour, by Euclidean distance of pictures blurred by a
window of 3x3, among the first 10,000 pictures of domain a of the training split.
"""

from collections.abc import Iterator

import numpy as np

from maskgan_jax.evaluators import base, similarity
from maskgan_jax.runs.measures import DIRECTIONS, Quantity

_PALETTE = np.array([(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)])
_RED = (255, 0, 0)
_REFERENCES = 10_000  # training pictures that the classifier compares with
_LEAST_DIGIT = 0.02  # of the pixels
_FAINTEST = 32  # levels: differences from the border are shares of their largest, at least of this


class Evaluator(base.Evaluator):
  """See the module's docstring and `base.Evaluator`."""

  order = 35
  quantities = (
    Quantity(
      'digit_color',
      DIRECTIONS,
      title='digit in its colour',
      unit='%',
      digits=1,
      better=1,
      meaning="Share of the digit's pixels whose nearest colour is the true one.",
    ),
    Quantity(
      'background_color',
      DIRECTIONS,
      title='background in its colour',
      unit='%',
      digits=1,
      better=1,
      meaning="Share of the background's pixels whose nearest colour is the true one; a "
      'blank picture gets all of it.',
    ),
    Quantity(
      'digit_iou',
      DIRECTIONS,
      title='IoU of the digit',
      better=1,
      meaning="Pixels in the digit's true colour and pixels of the true digit: what both "
      'have over what either has, from 0 to 1 (perfect).',
    ),
    Quantity(
      'digit_read',
      DIRECTIONS,
      title='digit read',
      unit='%',
      digits=1,
      better=1,
      meaning="Share of the pictures in which a classifier reads the source's digit, "
      'whatever the colours are.',
      truth='The same for true translations: the most that any can have.',
    ),
    Quantity(
      'colors_read',
      DIRECTIONS,
      title='both colours read',
      unit='%',
      digits=1,
      better=1,
      meaning='Share of the pictures whose most frequent colours, of the border and then '
      "of the rest, are the exemplar's two.",
    ),
  )

  def __init__(self):
    self._values = base.PerImage()
    self._pixels: dict[str, np.ndarray] = {}
    self._reader = None
    self._labels = {}
    self._place = 0

  def begin(self, data, split, reporter):
    """Shows the classifier its pictures, and looks up the true labels; see `base.Evaluator`."""
    if not hasattr(data, 'records') or not hasattr(data.records(split), 'recipe'):
      reporter.note(
        "evaluator 'digits' reads no digits: these data do not say which they show"
      )
      return

    # The reader compares with training pictures of domain a, whose labels are known.
    self._reader = _Reader(
      data.records('train'), data.members('train')[0][:_REFERENCES]
    )
    records = data.records(split)
    for domain, members in zip('ab', data.members(split), strict=True):
      self._labels[domain] = _labels(records, members)

  def missing(self, batch, abilities):
    truth = batch.get('truth_ab')
    if truth is None:
      return 'the data have no true translations'
    if not all(_two_colors(picture) for picture in truth):
      return 'the true translations are not single digits, of one colour on another'
    return ''

  def update(self, batch, outputs, valid):
    for direction in similarity.directions(outputs.abilities):
      source, exemplar = (batch[name] for name in direction)
      image = outputs.translated(direction)
      truth = batch[f'truth_{direction}']

      # What cheap pictures score shows what a score is worth.
      pictures = {
        '': image,
        'blank_': np.broadcast_to(truth[:, :1, :1], truth.shape),
        'do_nothing_': source,
        'exemplar_': exemplar,
        'silhouette_': _silhouette(truth),
        'truth_': truth,
      }
      labels = self._next_labels(direction[0], len(source))
      for prefix, picture in pictures.items():
        self._add(f'{prefix}{direction}', picture, truth, labels, valid)
    self._place += len(valid)

  def _next_labels(self, domain, count):
    """Returns the labels of a batch's sources, int [count]; None where they are not known."""
    if self._reader is None:
      return None
    places = self._place + np.arange(count)
    labels = self._labels[domain]
    return labels[np.minimum(places, len(labels) - 1)]

  def _add(self, name, pictures, truth, labels, valid):
    """Adds what there is to say about pictures uint8 [B, H, W, 3]."""
    colors, right = nearest(pictures), nearest(truth)
    background = right[:, :1, :1]
    digit = right != background
    hit = colors == right
    self._count(f'{name}_digit_color', hit, digit, valid)
    self._count(f'{name}_background_color', hit, ~digit, valid)

    # The digit's shape is what has the digit's true colour.
    painted = colors == _color_of(right, digit)[:, None, None]
    both = (painted & digit).sum((1, 2))
    either = (painted | digit).sum((1, 2))
    self._values.add(f'{name}_digit_iou', both / either, valid)
    if labels is not None:
      read = self._reader(pictures)
      self._values.add(f'{name}_digit_read', (read == labels).astype(float), valid)

    read_colors = _two_most_frequent(colors)
    true_pair = [background[:, 0, 0], _color_of(right, digit)]
    true_colors = np.stack(true_pair, axis=-1)
    same = (read_colors == true_colors).all(axis=-1)
    self._values.add(f'{name}_colors_read', same.astype(float), valid)

  def _count(self, name, hit, region, valid):
    region = region & valid[:, None, None]
    counts = np.array([(hit & region).sum(), region.sum()])
    self._pixels[name] = self._pixels.get(name, 0) + counts

  def results(self) -> Iterator[tuple[str, float]]:
    for name, (hits, pixels) in self._pixels.items():
      yield name, float(hits / max(pixels, 1))
    for name, mean in self._values.means():
      yield name, mean


class _Reader:
  """The nearest neighbour among training digits."""

  def __init__(self, records, members):
    pictures = np.stack([records.image(int(index)) for index in members])
    self._references = _blurred(_differences(pictures))
    self._labels = _labels(records, members)

  def __call__(self, pictures: np.ndarray) -> np.ndarray:
    """Returns the labels that uint8 [B, H, W, 3] are nearest to, int [B]."""
    queries = _blurred(_differences(pictures))
    # The queries' own squares are the same for all references.
    squares = np.square(self._references).sum(axis=1)
    distances = squares - 2 * queries @ self._references.T
    return self._labels[distances.argmin(axis=1)]


def nearest(pictures: np.ndarray) -> np.ndarray:
  """Returns the number, in the palette, of the colour nearest to each pixel: int [B, H, W]."""
  distances = [
    np.square(pictures.astype(np.int32) - color).sum(axis=-1) for color in _PALETTE
  ]
  return np.argmin(distances, axis=0)


def _labels(records, members):
  return np.array([records.recipe(int(index)).labels[0] for index in members])


def _two_colors(picture):
  return len(np.unique(picture.reshape(-1, 3), axis=0)) == 2


def _color_of(colors, region):
  """Returns the first number that a region of each picture has, int [B]."""
  flat, inside = (x.reshape(len(x), -1) for x in (colors, region))
  first = inside.argmax(axis=1)[:, None]
  return np.take_along_axis(flat, first, axis=1)[:, 0]


def _two_most_frequent(colors):
  """Returns the most frequent colour on the border, and the most frequent other one: int [B, 2].

  A picture with hardly a pixel of another colour has -1 as its other.
  """
  pairs = []
  for picture, border in zip(colors, _border(colors), strict=True):
    background = np.bincount(border, minlength=len(_PALETTE)).argmax()
    counts = np.bincount(picture.reshape(-1), minlength=len(_PALETTE))
    counts[background] = 0
    enough = counts.max() >= _LEAST_DIGIT * picture.size
    pairs.append((background, counts.argmax() if enough else -1))
  return np.array(pairs)


def _border(pictures):
  """Returns the pixels at the edge of [B, H, W, ...], [B, 2 H + 2 W, ...]."""
  return np.concatenate(
    [pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]], axis=1
  )


def _differences(pictures):
  """Returns how unlike the border's median each pixel is, from 0 to 1: float32 [B, H, W]."""
  pictures = pictures.astype(np.float32)
  background = np.median(_border(pictures), axis=1)
  difference = np.abs(pictures - background[:, None, None]).mean(axis=-1)
  largest = difference.max(axis=(1, 2))
  return difference / np.maximum(largest, _FAINTEST)[:, None, None]


def _blurred(maps):
  """Returns means over windows of 3x3, flattened: float32 [B, H * W]."""
  # Nine shifted copies are added up; outside of the map all is 0.
  padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
  height, width = maps.shape[1:]
  total = np.zeros_like(maps)
  for row in range(3):
    for column in range(3):
      total += padded[:, row : row + height, column : column + width]
  return total.reshape(len(maps), -1) / 9


def _silhouette(truth):
  """Returns the truths with the digit in another colour than its own and the background's."""
  background = truth[:, :1, :1]
  digit = (truth != background).any(axis=-1, keepdims=True)
  # Of red, green and blue this is the third; of black and white it is black, hence not another.
  third = 255 - truth.max(axis=(1, 2))
  wrong = np.where(third.any(axis=-1, keepdims=True), third, _RED)
  return np.where(digit, wrong[:, None, None], truth).astype(np.uint8)
