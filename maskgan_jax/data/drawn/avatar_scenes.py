"""What makes drawn faces harder to change: how each face is photographed, and the exact answers.

A face is drawn as in `avatar_faces`; its scene is what stands around it and what happens to its
picture. Both are drawn from (seed, split, index) alone, and each difficulty by itself, so that a
face has the same background whether it is turned or not. The answer to a translation is the changed
face in the same scene.
"""

from collections.abc import Callable, Collection
import functools
import io
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage
import sklearn.datasets

from maskgan_jax import errors
from maskgan_jax.data.drawn import avatar_faces, avatar_layers

# With it and the draws below it decides every scene: a change of either makes another dataset.
VERSION = 1

DIFFICULTIES = ('background', 'placement', 'lighting', 'occlusion', 'corruption')

# Side in pixels of the drawn backgrounds; a picture of any size shows the same one.
_BACKGROUND_SIDE = 256
# The square around the head from which a placed face is cut, in the units of `avatar_layers`: its
# side is one and a half times that of the picture.
_WIDE = (0, -22, 264)
_SUBPIXELS = 2  # rows and columns of which a pixel of a placed face is the mean


def check(difficulties: Collection[str]) -> None:
  """Raises UserError for a name that is not a difficulty, or that stands twice."""
  for name in difficulties:
    if name not in DIFFICULTIES:
      raise errors.UserError(
        f"config.data.difficulty has no '{name}'{errors.nearest(name, DIFFICULTIES)}; "
        f'it has {", ".join(DIFFICULTIES)}'
      )
  if len(set(difficulties)) < len(difficulties):
    raise errors.UserError(
      f'config.data.difficulty names one twice: {", ".join(difficulties)}'
    )


class Scene:
  """The scene of one face. Without difficulties its pictures are those of `avatar_faces`."""

  def __init__(self, seed: int, split: str, index: int, difficulties: Collection[str]):
    """Draws a scene.

    Args:
      seed: of the data set.
      split: one of `avatar_faces.SPLITS`. Tests show other parts of the photographs than training.
      index: of the face.
      difficulties: of `DIFFICULTIES`, in any order.
    """

    def draws(name):
      if name not in difficulties:
        return None
      place = [seed, avatar_faces.SPLITS.index(split), index]
      return np.random.default_rng([*place, VERSION, DIFFICULTIES.index(name)])

    def drawn(name, draw, *options):
      rng = draws(name)
      return None if rng is None else draw(rng, *options)

    self._background = drawn('background', _Background.draw, split == 'train')
    self._placement = drawn('placement', _Placement.draw)
    self._lighting = drawn('lighting', _Lighting.draw)
    self._occluder = drawn('occlusion', _Occluder.draw)
    self._corruption = drawn('corruption', _Corruption.draw)

  def render(self, face: avatar_faces.Recipe, size: int) -> np.ndarray:
    """Draws a face in this scene: uint8 [size, size, 3]."""
    if self._background is None and self._placement is None:
      image = avatar_faces.render(face, size).astype(np.float32)
    else:
      image = self._compose(face, size)
    if self._occluder is not None:
      coverage = self._occluder.coverage(size)
      image += coverage * (self._occluder.picture(size) - image)
    if self._lighting is not None:
      image = self._lighting.apply(image)
    if self._corruption is not None:
      image = self._corruption.apply(image)
    return (np.clip(image, 0, 255) + 0.5).astype(np.uint8)

  def _compose(self, face: avatar_faces.Recipe, size: int) -> np.ndarray:
    """Returns the placed face over the background, float32 [size, size, 3]."""
    draw = functools.partial(avatar_faces.without_background, face)
    if self._placement is None:
      light, through = draw(size, None)
    else:
      light, through = self._placement.apply(lambda side: draw(side, _WIDE), size)
    if self._background is None:
      background = avatar_layers.rgb(face.background)
    else:
      background = self._background.picture(size)
    return light + through * background

  def changed(
    self, face: avatar_faces.Recipe, other: avatar_faces.Recipe, size: int
  ) -> np.ndarray:
    """Returns where, and how much, two faces differ here: float32 [size, size] in [0, 1].

    As `avatar_faces.changed`; what the occluder covers does not count. Compression spreads a
    difference within blocks of 8 x 8 pixels, which is not in the mask.
    """
    differ = functools.partial(avatar_faces.changed, face, other)
    if self._placement is None:
      mask = differ(size)
    else:
      (mask,) = self._placement.apply(
        lambda side: (differ(side, _WIDE)[..., None],), size
      )
      mask = mask[..., 0]
    if self._occluder is not None:
      mask = mask * (1 - self._occluder.coverage(size)[..., 0])
    return np.clip(mask, 0, 1)


class _Background(NamedTuple):
  """A piece of a photograph, or noise with a photograph's spectrum.

  picture_at_full: float32 [256, 256, 3] in [0, 255].
  """

  picture_at_full: np.ndarray

  @classmethod
  def draw(cls, rng: np.random.Generator, training: bool) -> '_Background':
    if rng.random() < 0.5:
      return cls(_piece_of_a_photograph(rng, training))
    return cls(_noise_like_a_photograph(rng))

  def picture(self, size: int) -> np.ndarray:
    return _resized(self.picture_at_full, size)


def _piece_of_a_photograph(rng: np.random.Generator, training: bool) -> np.ndarray:
  """Returns a square of a photograph: of its left part in training, else of its right part."""
  photographs = _photographs()
  photograph = photographs[int(rng.random() * len(photographs))]
  height, width = photograph.shape[:2]
  border = width * 3 // 5
  start, end = (0, border) if training else (border, width)
  side = int(96 + rng.random() * (min(height, end - start) - 96))
  top = int(rng.random() * (height - side))
  left = start + int(rng.random() * (end - start - side))
  piece = photograph[top : top + side, left : left + side]
  if rng.random() < 0.5:
    piece = piece[:, ::-1]
  return _resized(piece.astype(np.float32), _BACKGROUND_SIDE)


@functools.cache
def _photographs() -> list[np.ndarray]:
  """Returns the photographs that scikit-learn brings along, uint8 [427, 640, 3] each."""
  return sklearn.datasets.load_sample_images().images


def _noise_like_a_photograph(rng: np.random.Generator) -> np.ndarray:
  """Returns noise whose amplitudes fall with the frequency, as those of photographs do."""
  side = _BACKGROUND_SIDE
  rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
  frequency = np.maximum(np.hypot(rows, columns), 1 / side)
  white = np.fft.rfft2(rng.standard_normal((3, side, side)))
  noise = np.fft.irfft2(white * frequency ** -rng.uniform(1.0, 1.6), (side, side))
  noise = (noise - noise.mean((1, 2), keepdims=True)) / noise.std()

  # Channels of photographs go together: most of the variance is that of grey.
  grey, share = noise.mean(0, keepdims=True) * np.sqrt(3), rng.uniform(0.5, 0.9)
  mixed = share * grey + (1 - share) * noise
  colour = rng.uniform(60, 200, (3, 1, 1))
  picture = colour + rng.uniform(25, 60) * mixed
  return np.clip(picture, 0, 255).transpose(1, 2, 0).astype(np.float32)


class _Placement(NamedTuple):
  """A face that is turned by `angle` (radians), enlarged by `scale`, and moved by `shift`.

  `shift` is (down, right) in shares of the picture's side.
  """

  angle: float
  scale: float
  shift: tuple[float, float]

  @classmethod
  def draw(cls, rng: np.random.Generator) -> '_Placement':
    angle, scale = rng.uniform(-0.35, 0.35), np.exp2(rng.uniform(-0.3, 0.3))
    return cls(angle, scale, tuple(rng.uniform(-0.1, 0.1, 2)))

  def apply(
    self, draw: Callable[[int], tuple[np.ndarray, ...]], size: int
  ) -> list[np.ndarray]:
    """Returns what `draw(side)` draws in the wide square, placed: float32 [size, size, C] each."""
    fine = size * _SUBPIXELS
    wide = fine * 3 // 2
    cos, sin = np.cos(self.angle), np.sin(self.angle)
    matrix = np.array([[cos, -sin], [sin, cos]]) / self.scale

    # The centre of the picture, moved back, is the centre of the wide square.
    centre = (fine - 1) / 2 + np.array(self.shift) * fine
    offset = (wide - 1) / 2 - matrix @ centre
    placed = []
    for array in draw(wide):
      channels = []
      for channel in np.moveaxis(array, -1, 0):
        moved = ndimage.affine_transform(
          channel, matrix, offset, (fine, fine), order=1, mode='nearest'
        )
        moved = moved.reshape(size, _SUBPIXELS, size, _SUBPIXELS).mean((1, 3))
        channels.append(moved)
      placed.append(np.stack(channels, axis=-1))
    return placed


class _Lighting(NamedTuple):
  """A colour cast, an exposure, and a light that falls off across the picture.

  gains: [3], of the channels. gamma: of all channels. slope: (down, right), relative.
  """

  gains: np.ndarray
  gamma: float
  slope: tuple[float, float]

  @classmethod
  def draw(cls, rng: np.random.Generator) -> '_Lighting':
    gains = np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    return cls(gains, np.exp2(rng.uniform(-0.5, 0.5)), tuple(rng.uniform(-0.4, 0.4, 2)))

  def apply(self, image: np.ndarray) -> np.ndarray:
    across = np.linspace(-1, 1, len(image), dtype=np.float32)
    ramp = 1 + self.slope[0] * across[:, None] + self.slope[1] * across[None]
    bright = np.clip(image / 255, 0, 1) ** self.gamma
    return 255 * np.clip(bright * self.gains * ramp[..., None], 0, 1)


class _Occluder(NamedTuple):
  """An ellipse or a bar with stripes in front of the face.

  centre: (down, right) and half_sides: (across, along), in shares of the picture's side from its
  middle. colours: [2, 3] of the stripes, in [0, 255]. stripes: their number along a side.
  """

  centre: np.ndarray
  half_sides: np.ndarray
  angle: float
  is_ellipse: bool
  colours: np.ndarray
  stripes: float

  @classmethod
  def draw(cls, rng: np.random.Generator) -> '_Occluder':
    is_ellipse = bool(rng.random() < 0.5)
    least, most = (
      ((0.08, 0.1), (0.16, 0.22)) if is_ellipse else ((0.03, 0.2), (0.07, 0.4))
    )
    return cls(
      rng.uniform(-0.35, 0.35, 2),
      rng.uniform(least, most),
      rng.uniform(0, np.pi),
      is_ellipse,
      rng.uniform(0, 255, (2, 3)).astype(np.float32),
      rng.uniform(4, 16),
    )

  def _coordinates(self, size: int) -> np.ndarray:
    """Returns (across, along) of every pixel's middle, [2, size, size], from the centre."""
    middle = (np.arange(size) + 0.5) / size - 0.5
    down = middle[:, None] - self.centre[0]
    right = middle[None] - self.centre[1]
    cos, sin = np.cos(self.angle), np.sin(self.angle)
    return np.stack([cos * down - sin * right, sin * down + cos * right])

  def coverage(self, size: int) -> np.ndarray:
    """Returns how much of each pixel is covered, float32 [size, size, 1], soft over a pixel."""
    from_centre = self._coordinates(size) / self.half_sides[:, None, None]
    if self.is_ellipse:
      relative = np.hypot(*from_centre)
    else:
      relative = np.abs(from_centre).max(axis=0)
    distance = (relative - 1) * self.half_sides.min() * size  # in pixels, about
    return np.clip(0.5 - distance, 0, 1).astype(np.float32)[..., None]

  def picture(self, size: int) -> np.ndarray:
    """Returns the stripes, float32 [size, size, 3]."""
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * self.stripes * self._coordinates(size)[1])
    wave = wave.astype(np.float32)[..., None]
    return self.colours[0] + wave * (self.colours[1] - self.colours[0])


class _Corruption(NamedTuple):
  """Noise of a deviation in levels of 255, and JPEG of a quality."""

  deviation: float
  quality: int
  seed: int

  @classmethod
  def draw(cls, rng: np.random.Generator) -> '_Corruption':
    return cls(rng.uniform(2, 10), int(rng.integers(40, 91)), int(rng.integers(2**32)))

  def apply(self, image: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(self.seed).standard_normal(image.shape, np.float32)
    noisy = (np.clip(image + self.deviation * noise, 0, 255) + 0.5).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, 'JPEG', quality=self.quality, subsampling=0)
    with Image.open(file) as decoded:
      return np.asarray(decoded, np.float32)


def _resized(picture: np.ndarray, size: int) -> np.ndarray:
  """Returns float32 [H, W, 3] as [size, size, 3], antialiased."""
  channels = []
  for channel in np.moveaxis(picture, -1, 0):
    image = Image.fromarray(np.ascontiguousarray(channel, np.float32))
    resized = image.resize((size, size), Image.Resampling.BILINEAR)
    channels.append(np.asarray(resized))
  return np.clip(np.stack(channels, axis=-1), 0, 255)
