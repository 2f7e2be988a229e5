"""Shows whether translations lie where real pictures lie: t-SNE after PCA, as EGSC-IT's Figure 5.

Of each direction, up to 1,000 real pictures of the target domain and as many translations into it
go through one PCA with 50 components, and from there through t-SNE to the two dimensions of the
figure `embedding_ab`, for methods that translate both ways also `embedding_ba`. Distances in a
t-SNE mean little; whether crosses fill the clusters of dots, or leave some empty, is what to see.

  ab_neighbours_same   in the space of the PCA, the share of pictures whose nearest neighbour is of
                       their own set, real or translated, left out themselves (1-nearest-neighbour
                       two-sample test): 0.5 if nothing tells the sets apart, 1 if everything does,
                       less than 0.5 if each translation is a near copy of a real picture; of
                       equally near ones each counts in part

Pictures of more than 128x128 pixels are first averaged over squares of pixels.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from maskgan_jax.evaluators import base, similarity
from maskgan_jax.runs.measures import DIRECTIONS, Quantity

_MOST = 1000  # pictures of each set
_COMPONENTS = 50
_PIXELS = 128 * 128  # of a picture; with more, the PCA would take gigabytes
_LEAST = 4  # pictures of each set; fewer have no neighbourhoods
_SIDE, _MARGIN, _HEAD = (
  900,
  24,
  84,
)  # pixels of the plot, around it, and of title and legend
_REAL, _TRANSLATED, _INK, _FRAME = (
  (214, 39, 40),
  (31, 96, 196),
  (34, 34, 34),
  (214, 214, 214),
)
_TITLES = {
  'ab': 'a to b: pictures of b and translations into b',
  'ba': 'b to a: pictures of a and translations into a',
}


class Evaluator(base.Evaluator):
  """See the module's docstring and `base.Evaluator`."""

  order = 50
  quantities = (
    Quantity(
      'neighbours_same',
      DIRECTIONS,
      title='neighbours alike',
      unit='%',
      digits=1,
      meaning='Share of pictures, real ones of the target domain and '
      'translations, whose nearest neighbour is of the same kind: 0.5 '
      'if nothing tells them apart, 1 if everything does.',
    ),
  )
  caption = (
    'Where translations lie among real pictures of the domain that they should belong to, '
    'by t-SNE after PCA. Clusters of dots without crosses are kinds of pictures that '
    'translations never become; clusters of crosses alone are kinds that are not real.'
  )

  def __init__(self):
    self._sets = {}  # direction -> pictures of the target domain and translations, lists
    self._spaces = {}  # direction -> the same after the PCA, one array, the real ones first

  def update(self, batch, outputs, valid):
    for direction in similarity.directions(outputs.abilities):
      target = direction[1]
      real, translated = self._sets.setdefault(direction, ([], []))
      # The set is full at a number of pictures, so that memory is bounded.
      rows = np.flatnonzero(valid)[: _MOST - len(real)]
      if rows.size:
        image = outputs.translated(direction)
        real.extend(_smaller(batch[target][row]) for row in rows)
        translated.extend(_smaller(image[row]) for row in rows)

  def results(self) -> Iterator[tuple[str, float]]:
    for direction, (real, translated) in self._sets.items():
      if len(real) >= _LEAST:
        self._spaces[direction] = _principal(np.stack(real + translated))
        yield f'{direction}_neighbours_same', neighbours_same(self._spaces[direction])

  def figures(self) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (name, uint8 [H, W, 3]) of the spaces that `results` has computed."""
    for direction, space in self._spaces.items():
      if space.any():  # else all pictures are the same one
        yield (
          f'embedding_{direction}',
          draw(_neighbour_embedding(space), _TITLES[direction]),
        )


def neighbours_same(space: np.ndarray) -> float:
  """Returns the share of the points [2 N, D] whose nearest other point is in the same half."""
  from scipy.spatial import distance  # comes with scikit-learn

  squared = distance.cdist(space, space, 'sqeuclidean')
  np.fill_diagonal(squared, np.inf)
  nearest = squared.min(axis=1, keepdims=True)
  # Equal pictures differ by the rounding of the PCA.
  size = np.square(space).sum(axis=1).mean()
  near = squared <= nearest * (1 + 1e-6) + 1e-9 * size

  # Of several nearest points, each counts for its part.
  second = np.arange(len(space)) >= len(space) // 2
  in_same_half = second[:, None] == second
  same = (near & in_same_half).sum(axis=1) / near.sum(axis=1)
  return float(same.mean())


def draw(points: np.ndarray, title: str) -> np.ndarray:
  """Returns a picture, uint8 [H, W, 3], of points [2 N, 2]: red dots, then blue crosses."""
  scale = 2  # drawn larger and shrunk, for smooth edges
  low, high = points.min(axis=0), points.max(axis=0)
  room = _SIDE - 2 * _MARGIN
  # One scale for both axes, as only distances mean anything.
  middle = (low + high) / 2
  extent = max((high - low).max(), 1e-12)
  places = (points - middle) * room / extent
  centre = [_MARGIN + _SIDE / 2, _HEAD + _SIDE / 2]
  places = scale * (places * [1, -1] + centre)
  size = scale * (_SIDE + 2 * _MARGIN), scale * (_HEAD + _SIDE + _MARGIN)
  canvas = Image.new('RGB', size, 'white')
  pen = ImageDraw.Draw(canvas)
  pen.rectangle(
    [scale * x for x in (_MARGIN, _HEAD, _MARGIN + _SIDE, _HEAD + _SIDE)],
    outline=_FRAME,
    width=scale,
  )
  count = len(points) // 2
  for x, y in places[:count]:
    _dot(pen, x, y, scale)
  for x, y in places[count:]:
    _cross(pen, x, y, scale)
  title_font, font = (ImageFont.load_default(scale * letters) for letters in (22, 17))
  pen.text((scale * _MARGIN, scale * 26), title, _INK, title_font, 'lm')
  x = scale * (_MARGIN + 6)
  for mark, label in (
    (_dot, f'{count:,} real pictures'),
    (_cross, f'{count:,} translations'),
  ):
    mark(pen, x, scale * 60, scale)
    pen.text((x + scale * 12, scale * 60), label, _INK, font, 'lm')
    x += scale * 42 + font.getlength(label)
  return np.asarray(canvas.reduce(scale))


def _dot(pen, x, y, scale):
  radius = 3 * scale
  pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_REAL)


def _cross(pen, x, y, scale):
  arm = 3.2 * scale
  for sign in (-1, 1):
    pen.line(
      (x - arm, y - sign * arm, x + arm, y + sign * arm),
      fill=_TRANSLATED,
      width=round(1.5 * scale),
    )


def _smaller(picture):
  """Returns uint8 [H, W, 3] averaged over squares, until it has at most `_PIXELS`."""
  height, width = picture.shape[:2]
  factor = 1
  while -(-height // factor) * -(-width // factor) > _PIXELS:
    factor += 1
  return picture if factor == 1 else np.asarray(Image.fromarray(picture).reduce(factor))


def _principal(pictures):
  """Returns float64 [N, D] of pictures uint8 [N, H, W, 3]: their first principal components."""
  from sklearn import decomposition

  # Pictures that are all alike have no direction in which they differ.
  flat = pictures.reshape(len(pictures), -1).astype(np.float32) / 255
  if not np.ptp(flat, axis=0).any():
    return np.zeros((len(flat), 1))
  components = min(_COMPONENTS, *flat.shape)
  return (
    decomposition.PCA(components, random_state=0).fit_transform(flat).astype(np.float64)
  )


def _neighbour_embedding(space):
  """Returns float [N, 2]: t-SNE, the same each time."""
  from sklearn import manifold
  import threadpoolctl  # comes with scikit-learn

  perplexity = min(30.0, (len(space) - 1) / 3)
  if space.shape[1] < 2:
    space = np.pad(space, ((0, 0), (0, 1)))
  # One thread needs some 10 seconds for 2,000 points; several that share their cores with other
  # programs spin while they wait for each other, which took 50 times as long.
  with threadpoolctl.threadpool_limits(1):
    return manifold.TSNE(
      perplexity=perplexity, init='pca', random_state=0
    ).fit_transform(space)
