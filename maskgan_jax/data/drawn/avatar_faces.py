"""Cartoon faces whose attributes can be put on, taken off and swapped, with exact answers.

A face is a `Recipe`, and everything here is a pure function of recipes: the picture, the same face
without an attribute or with another face's, and the exact region in which two faces differ.
"""

from collections.abc import Iterable, Sequence
import colorsys
import dataclasses
import itertools
import json

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data.drawn import avatar_layers, avatar_parts

SPLITS = ('train', 'validation', 'test')
HAIR_COLORS = {
  'Black': ('#2C1B18', '#1A1716', '#23242B'),
  'Blond': ('#D6B370', '#E8CB86', '#ECDCBF'),
  'Brown': ('#724133', '#5B382C', '#8A5A3B'),
  'Gray': ('#9A9A9C', '#B9B7B5', '#808488'),
  'Pink': ('#F59797', '#F27BA5', '#E9A6C4'),
  'Red': ('#C93305', '#B5401A', '#DB4B22'),
}
_BEARD_CONTRAST = 60  # levels of 255 in which a beard and skin differ at least


@dataclasses.dataclass(frozen=True)
class Recipe:
  """The parts of a face, by python-avatars' names ('' for none), and its '#rrggbb' colours.

  The face shows `spare_*` once the attribute that the field carries is taken away: its mouth when
  it stops smiling, its hair colour undyed, its hair if it were not bald.
  """

  background: str
  skin: str
  eyes: str
  eyebrows: str
  nose: str
  clothing: str
  clothing_color: str
  hair: str
  hair_color: str
  hat: str
  hat_color: str
  glasses: str
  facial_hair: str
  facial_hair_color: str
  mouth: str
  spare_mouth: str
  spare_hair: str
  spare_hair_color: str

  def to_json(self) -> str:
    return json.dumps(dataclasses.asdict(self))

  @classmethod
  def from_json(cls, text: str | bytes) -> 'Recipe':
    return cls(**json.loads(text))


@dataclasses.dataclass(frozen=True)
class _Attribute:
  """How an attribute is carried: on which fields, and which values the first of them then has.

  `without` empties that first field, or puts its spare in.
  """

  fields: tuple[str, ...]
  values: frozenset[str]
  hidden_by_hat: bool = False
  needs_hair: bool = False


def _hair_color(shades: Iterable[str]) -> _Attribute:
  """Returns the attribute of hair that can be seen and has one of these colours."""
  return _Attribute(
    ('hair_color',), frozenset(shades), hidden_by_hat=True, needs_hair=True
  )


_ATTRIBUTES = {
  'Bald': _Attribute(('hair',), frozenset({''}), hidden_by_hat=True),
  **{f'{name}_Hair': _hair_color(shades) for name, shades in HAIR_COLORS.items()},
  'Eyeglasses': _Attribute(('glasses',), frozenset(avatar_parts.GLASSES)),
  'Facial_Hair': _Attribute(
    ('facial_hair', 'facial_hair_color'), frozenset(avatar_parts.FACIAL_HAIRS)
  ),
  'Smiling': _Attribute(('mouth',), frozenset(avatar_parts.SMILES)),
  'Sunglasses': _Attribute(('glasses',), frozenset(avatar_parts.SUNGLASSES)),
  'Wearing_Hat': _Attribute(('hat', 'hat_color'), frozenset(avatar_parts.HATS)),
}
ATTRIBUTES = tuple(sorted(_ATTRIBUTES))

# Every face has these, so they are not labels, but they can be transferred and have masks as
# attributes do. Only hair that cannot be seen has no colour.
_FEATURES = {
  'hair_color': _hair_color(itertools.chain(*HAIR_COLORS.values())),
  'mouth': _Attribute(
    ('mouth',), frozenset(avatar_parts.SMILES + avatar_parts.OTHER_MOUTHS)
  ),
}
FEATURES = tuple(_FEATURES)
FEATURE_LABELS = {
  'hair_color': tuple(f'{color}_Hair' for color in HAIR_COLORS),
  'mouth': ('Smiling',),
}
_ALL = _ATTRIBUTES | _FEATURES

# Every face draws one number for each of these, so no choice shifts another; append only.
_DRAWS = (
  'background_hue',
  'background_saturation',
  'background_value',
  'skin',
  'eyes',
  'eyebrows',
  'nose',
  'clothing',
  'clothing_color',
  'bald',
  'hair',
  'hair_color',
  'hair_shade',
  'spare_hair_color',
  'spare_hair_shade',
  'hat',
  'hat_type',
  'hat_color',
  'glasses',
  'glasses_type',
  'facial_hair',
  'facial_hair_type',
  'facial_hair_color',
  'smiling',
  'smile',
  'other_mouth',
)


def recipe(seed: int, split: str, index: int) -> Recipe:
  """Returns face `index` (>= 0, without an upper end) of `split`, which depends on nothing else."""
  # Each face has a spare mouth, which `without` gives it in place of a smile.
  draws = _Draws(seed, split, index)
  skin = draws.one_of('skin', avatar_parts.SKIN_COLORS)
  hair = draws.one_of('hair', avatar_parts.HAIRS)
  mouth = draws.one_of('smile', avatar_parts.SMILES)
  spare_mouth = draws.one_of('other_mouth', avatar_parts.OTHER_MOUTHS)
  if not draws.happens('smiling', 0.5):
    mouth, spare_mouth = spare_mouth, mouth

  # Undyed hair has another name of colour, and not only another shade.
  hair_color = draws.one_of('hair_color', tuple(HAIR_COLORS))
  other_colors = [name for name in HAIR_COLORS if name != hair_color]
  spare_hair_color = draws.one_of('spare_hair_color', other_colors)
  return Recipe(
    background=draws.background(),
    skin=skin,
    eyes=draws.one_of('eyes', avatar_parts.EYES),
    eyebrows=draws.one_of('eyebrows', avatar_parts.EYEBROWS),
    nose=draws.one_of('nose', avatar_parts.NOSES),
    clothing=draws.one_of('clothing', avatar_parts.CLOTHES),
    clothing_color=draws.one_of('clothing_color', avatar_parts.CLOTHING_COLORS),
    hair='' if draws.happens('bald', 0.1) else hair,
    hair_color=draws.one_of('hair_shade', HAIR_COLORS[hair_color]),
    hat=draws.worn('hat', 0.15, avatar_parts.HATS),
    hat_color=draws.one_of('hat_color', avatar_parts.HAT_COLORS),
    glasses=draws.worn('glasses', 0.5, avatar_parts.GLASSES),
    facial_hair=draws.worn('facial_hair', 0.5, avatar_parts.FACIAL_HAIRS),
    facial_hair_color=draws.one_of('facial_hair_color', _beard_colors(skin)),
    mouth=mouth,
    spare_mouth=spare_mouth,
    spare_hair=hair,
    spare_hair_color=draws.one_of('spare_hair_shade', HAIR_COLORS[spare_hair_color]),
  )


class _Draws:
  """The random numbers of one face, by name, and what they decide."""

  def __init__(self, seed: int, split: str, index: int):
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    numbers = rng.random(len(_DRAWS)).tolist()
    self._number_by_name = dict(zip(_DRAWS, numbers, strict=True))

  def one_of(self, name: str, choices: Sequence[str]) -> str:
    """Returns one of the choices, which are equally probable."""
    return choices[int(self._number_by_name[name] * len(choices))]

  def happens(self, name: str, probability: float) -> bool:
    """Returns True with this probability."""
    return self._number_by_name[name] < probability

  def worn(self, name: str, probability: float, choices: Sequence[str]) -> str:
    """Returns one of the choices with this probability, else ''."""
    return (
      self.one_of(f'{name}_type', choices) if self.happens(name, probability) else ''
    )

  def background(self) -> str:
    """Returns a colour that is neither grey nor dark, '#RRGGBB'."""
    channels = colorsys.hsv_to_rgb(
      self._number_by_name['background_hue'],
      0.1 + 0.6 * self._number_by_name['background_saturation'],
      0.5 + 0.5 * self._number_by_name['background_value'],
    )
    return '#' + ''.join(f'{round(255 * channel):02X}' for channel in channels)


def _beard_colors(skin: str) -> list[str]:
  """Returns the colours of hair that show on a skin; a beard's says nothing about the hair's."""
  colors = []
  for color in itertools.chain(*HAIR_COLORS.values()):
    contrast = np.abs(avatar_layers.rgb(color) - avatar_layers.rgb(skin)).max()
    if contrast >= _BEARD_CONTRAST:
      colors.append(color)
  return colors


def attributes_of(face: Recipe) -> dict[str, bool]:
  """Returns what can be seen: under a hat neither baldness nor the colour of hair shows.

  Faces to give a hair colour to are thus '~Black_Hair & ~Bald & ~Wearing_Hat'.
  """
  return {name: _has(face, name) for name in ATTRIBUTES}


def _has(face: Recipe, name: str) -> bool:
  """Returns whether a face can be seen to have an attribute or feature."""
  attribute = _ALL[name]
  if attribute.hidden_by_hat and face.hat:
    return False
  if attribute.needs_hair and not face.hair:
    return False
  return getattr(face, attribute.fields[0]) in attribute.values


def check_attributes(attributes: Iterable[str]) -> None:
  """Raises UserError for a name that is neither an attribute nor a feature of these faces."""
  for name in attributes:
    if name not in _ALL:
      raise errors.UserError(
        f"avatars have no attribute '{name}'{errors.nearest(name, _ALL)}; "
        f'they have {", ".join(_ALL)}'
      )


def with_attributes_of(
  face: Recipe, other: Recipe, attributes: Iterable[str]
) -> Recipe:
  """Returns `face` wearing the attributes exactly as `other` wears, or does not wear, them.

  The part that carries an attribute is taken as a whole: 'Black_Hair' of a blond face makes hair
  blond, and 'Smiling' of a sad one gives its sad mouth, just as 'hair_color' and 'mouth' do.
  """
  attributes = tuple(attributes)
  check_attributes(attributes)
  for attribute in map(_ALL.get, attributes):
    main = attribute.fields[0]
    before, after = getattr(face, main), getattr(other, main)
    changes = {field: getattr(other, field) for field in attribute.fields}
    is_put_on = after in attribute.values and before not in attribute.values
    if is_put_on and hasattr(face, 'spare_' + main):
      # Taking it off again gives back this face.
      changes['spare_' + main] = before
    face = dataclasses.replace(face, **changes)
  return face


def without(face: Recipe, attributes: Iterable[str]) -> Recipe:
  """Returns the same face without the attributes it can be seen to have.

  Glasses, facial hair and hats come off; a smile becomes the face's other mouth, a hair colour its
  other hair colour (of another name), and a bald head grows its other hair.
  """
  attributes = tuple(attributes)
  check_attributes(attributes)
  for name in attributes:
    if _has(face, name):
      main = _ALL[name].fields[0]
      face = dataclasses.replace(face, **{main: getattr(face, 'spare_' + main, '')})
  return face


def render(face: Recipe, size: int) -> np.ndarray:
  """Draws the face: uint8 [size, size, 3]."""
  return avatar_layers.draw(_layers(face), face.background, size)


def without_background(
  face: Recipe, size: int, crop: avatar_layers.Crop | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """Draws the face over nothing: its light and what shines through it.

  Both are those of `avatar_layers.without_background`.
  """
  return avatar_layers.without_background(_layers(face), size, crop)


def changed(
  face: Recipe, other: Recipe, size: int, crop: avatar_layers.Crop | None = None
) -> np.ndarray:
  """Returns where, and how much, two faces differ: float32 [size, size] in [0, 1].

  It is the share of a pixel's light that comes from other things (see `avatar_layers.changed`): 0
  only where the pictures are equal, and for a thing put on or taken off the thing's own coverage.
  """
  return avatar_layers.changed(
    _layers(face), face.background, _layers(other), other.background, size, crop
  )


def attribute_mask(face: Recipe, attribute: str, size: int) -> np.ndarray:
  """Returns where, and how much, the picture depends on an attribute: float32 [size, size].

  That is `changed` between the face and the face without it; zero if it does not have it. Taking
  off a hat shows the hair, so its mask holds both; a smile's holds the mouth in its place. Features
  are never absent: 'mouth' is what changes between smiling and not, whichever the face does.
  """
  check_attributes([attribute])
  return changed(face, without(face, [attribute]), size)


def _layers(face: Recipe) -> list[avatar_layers.Part]:
  """Returns the parts of a face from the lowest to the topmost."""
  part = avatar_layers.Part
  top = part('hair', face.hair, face.hair_color)
  if face.hat:
    top = part('hat', face.hat, face.hat_color)

  # The order of the upper parts depends on the hair or hat.
  parts = [
    part('body', '', face.skin),
    part('clothing', face.clothing, face.clothing_color),
    part('mouth', face.mouth),
    part('nose', face.nose),
    part('eyes', face.eyes),
    part('eyebrows', face.eyebrows),
  ]
  upper_parts = {
    'facial_hair': part('facial_hair', face.facial_hair, face.facial_hair_color),
    'glasses': part('glasses', face.glasses),
    top.slot: top,
  }
  for slot in avatar_layers.order_at_the_top(top.slot, top.name):
    parts.append(upper_parts[slot])
  return [worn for worn in parts if worn.name or worn.slot == 'body']
