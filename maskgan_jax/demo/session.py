"""What a visitor of the demo page has chosen and painted, and what comes of it; knows no Gradio.

Masks travel to the page's editor and back as the opacity of a coloured layer: `LAYER` of it is 1,
so that the picture shows through. Pictures are enlarged on the way by whole factors, without
smoothing, so that nothing is lost there and back.
"""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import dataclasses
import io
import threading
from typing import Any
import zipfile

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import images, transforms
from maskgan_jax.methods import base
from maskgan_jax.runs import pictures
from maskgan_jax.translator import Translation, Translator

COLOUR = (255, 32, 96)
LAYER = 0.6  # opacity that means a mask of 1
ROLES = ('source', 'exemplar')
MOST_EXEMPLARS = 8
FRAMES = 9
CANVAS = 320  # pixels that a picture has at least on the page
_TOLERANCE = 2 / 255  # of a mask that went to the page and back

# What a mask means to who paints on it; '' is a method that isn't named.
_MEANINGS = {
    '': {'source': 'Coloured: where the source changes. Erase what is to stay as it is.',
         'exemplar': 'Coloured: what is taken from the exemplar. Erase what is not to be taken.'},
    'lomit': {
        'source': "Coloured: what is drawn in the exemplar's style. What is erased keeps the "
                  "source's own style; it is drawn anew all the same.",
        'exemplar': 'Coloured: whose style is taken. Where nothing is left, a style of nothing, '
                    'often grey, takes its place.'},
    'content_transfer': {
        'source': 'Coloured: where the source changes. What is erased stays as it is, pixel for '
                  'pixel.',
        'exemplar': 'Coloured: what is taken from the exemplar. Its code is one for the whole '
                    'face: erasing takes less of it, not a part.'},
    'egsc_it': {
        'source': 'Coloured: what may change. The model itself decides which features it keeps.',
        'exemplar': 'Coloured: the part of the exemplar whose statistics count.'},
    'additional_mask': {
        'source': 'Coloured: how much each pixel may change at most. What is erased stays as it '
                  'is.'},
}


def meanings(method: str) -> dict[str, str]:
  """Role -> what its mask means, as Markdown."""
  return _MEANINGS[''] | _MEANINGS.get(method, {})


@dataclasses.dataclass(frozen=True)
class Model:
  """A translator on the page, and pictures of both domains to try it on, uint8 [H, W, 3]."""
  translator: Translator
  examples: Mapping[str, Sequence[np.ndarray]] = dataclasses.field(default_factory=dict)

  @property
  def shape(self) -> tuple[int, int]:
    """Height and width, pixels."""
    return base.image_shape(self.translator.config)

  def can(self, ability: str) -> bool:
    """Whether the method has the ability."""
    return ability in self.translator.abilities

  @property
  def roles(self) -> tuple[str, ...]:
    """The pictures that it takes."""
    return ROLES[:1 + self.can('exemplar')]

  @property
  def transform(self) -> transforms.Transform:
    """The way from a picture to the model's input."""
    return transforms.Transform.of(self.translator.config)

  def load(self, data: bytes, name: str, note: Callable[[str], None] = print) -> np.ndarray:
    """A visitor's file at the model's resolution, with a note of what may surprise about it."""
    most = min(images.MAX_PIXELS, self.translator.config.data.max_pixels)
    image = images.load_image(data, name=name, max_pixels=most)
    for remark in filter(None, self.transform.remarks(image, name)):
      note(remark)
    return self.fit(image, name)

  def fit(self, image: np.ndarray, name: str = 'the picture') -> np.ndarray:
    """A picture at the model's resolution, cropped as the model's own; those that fit stay."""
    return self.transform.fit(image, name)

  def warm_up(self) -> threading.Thread:
    """Compiles in the background what a visitor's first clicks will need."""
    def work():
      picture = np.zeros((*self.shape, 3), np.uint8)
      given = [picture] * len(self.roles)
      mask = np.ones(self.shape, np.float32)
      masks = [{}] + [{f'{role}_mask': mask} for role in self.roles if self.can(f'{role}_mask')]
      for chosen in masks + ([masks[1] | masks[2]] if len(masks) > 2 else []):
        if threading.main_thread().is_alive():  # else the process is on its way out
          with contextlib.suppress(errors.NotFiniteError):  # the page says so to its visitors
            self.translator(*given, **chosen)
    # No daemon: one that is killed while it compiles takes the process down with a message.
    thread = threading.Thread(target=work)
    thread.start()
    return thread


@dataclasses.dataclass(frozen=True)
class Session:
  """One visitor's choice.

  Attributes:
    model: its name.
    pictures: role -> uint8 [H, W, 3].
    shown: role -> the mask that the model predicts, float32 [H, W]; all of the picture where the
      method takes one and predicts none.
    edited: role -> the mask in its place; only what was edited.
    told: role -> the mask that its editor was last given, and whether that was an edited one.
    reverse: pictures of domain b become such of a.
    result: the last translation.
    exemplars: several, for a grid.
    other: the second exemplar of an interpolation.
    frames: the last interpolation's, uint8 [N, H, W, 3].
    carried: whether the source is an earlier result, which stays when the model changes.
  """
  model: str
  pictures: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  shown: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  edited: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  told: Mapping[str, tuple[np.ndarray, bool]] = dataclasses.field(default_factory=dict)
  reverse: bool = False
  result: Translation | None = None
  exemplars: Sequence[np.ndarray] = ()
  other: np.ndarray | None = None
  frames: np.ndarray | None = None
  carried: bool = False


class Demo:
  """The models on the page, and what can be done with them; keeps nothing of a visitor."""

  def __init__(self, models: Mapping[str, Model]):
    if not models:
      raise errors.UserError('there is no model to show; name one with --pretrained or --workdir')
    self.models = dict(models)

  def model(self, session: Session) -> Model:
    """The session's model."""
    return self.models[session.model]

  def start(self, name: str, *, reverse: bool = False, before: Session | None = None) -> Session:
    """A session with a model and its first examples, and with an earlier one's carried result."""
    if name not in self.models:
      raise errors.UserError(f'there is no model {name!r}')
    model = self.models[name]
    reverse = reverse and model.can('reverse')
    chosen = {}
    for role in model.roles:
      found = self.examples(name, role, reverse)
      chosen[role] = found[0] if len(found) else np.full((*model.shape, 3), 255, np.uint8)
    carried = bool(before and before.carried and before.result is not None)
    if carried:
      chosen['source'] = model.fit(before.pictures['source'])
    return self.predicted(Session(name, chosen, reverse=reverse, carried=carried))

  def examples(self, name: str, role: str, reverse: bool) -> Sequence[np.ndarray]:
    """The pictures to click for a role: of the other domain's where directions are turned."""
    role = ROLES[1 - ROLES.index(role)] if reverse else role
    return self.models[name].examples.get(role, ())

  def choose(self, session: Session, role: str, picture: np.ndarray) -> Session:
    """Another picture in a role; edits of its mask are gone."""
    picture = self.model(session).fit(picture)
    edited = {name: mask for name, mask in session.edited.items() if name != role}
    carried = session.carried and role != 'source'
    return self.predicted(dataclasses.replace(
        session, pictures={**session.pictures, role: picture}, edited=edited, carried=carried,
        frames=None))

  def forget(self, session: Session, role: str) -> Session:
    """The session with the predicted mask of a role again."""
    edited = {name: mask for name, mask in session.edited.items() if name != role}
    return self.predicted(dataclasses.replace(session, edited=edited))

  def predicted(self, session: Session) -> Session:
    """The session with the masks that the model predicts, and the translation by them."""
    result = self._translate(session, session.edited)
    shown = {}
    for role in self.model(session).roles:
      if self.model(session).can(f'{role}_mask'):
        mask = getattr(result, f'{role}_mask')
        if role in session.edited:
          shown[role] = session.shown[role]
        elif mask is None:
          shown[role] = np.ones(self.model(session).shape, np.float32)
        else:
          shown[role] = mask[..., 0]
    return dataclasses.replace(session, shown=shown, result=result)

  def edit(self, session: Session, role: str, mask: np.ndarray) -> Session:
    """A mask in place of the predicted one; what the editor was given is not an edit of it."""
    edited = {name: other for name, other in session.edited.items() if name != role}
    before, was_edited = session.told.get(role, (session.shown[role], False))
    if _same(mask, before):
      edited |= {role: before} if was_edited else {}
    elif not _same(mask, session.shown[role]):
      edited[role] = mask
    return dataclasses.replace(session, edited=edited)

  def tell(self, session: Session, *roles: str) -> Session:
    """The session whose editors of these roles are given the masks that hold."""
    told = {role: (self.mask(session, role), role in session.edited)
            for role in roles if role in session.shown}
    return dataclasses.replace(session, told={**session.told, **told})

  def outdated(self, session: Session, role: str, painted: np.ndarray | None) -> bool:
    """Returns whether an editor without strokes shows an earlier prediction."""
    if painted is None or role not in session.told:
      return False
    told = session.told[role][0]
    return _same(painted, told) and not _same(self.mask(session, role), told)

  def rectangle(self, session: Session, role: str, corners: Sequence[float], value: float
                ) -> Session:
    """The mask with a rectangle (top, left, bottom, right, in the model's pixels) of one value."""
    height, width = self.model(session).shape
    try:
      top, left, bottom, right = (int(number) for number in corners)
    except (TypeError, ValueError) as error:
      raise errors.UserError('a rectangle has four numbers: top, left, bottom, right') from error
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
      raise errors.UserError(f'the rectangle {top}, {left}, {bottom}, {right} (top, left, bottom, '
                             f'right) does not lie in a picture {height} high and {width} wide')
    mask = self.mask(session, role).copy()
    mask[top:bottom, left:right] = value
    return self.edit(session, role, mask)

  def mask(self, session: Session, role: str) -> np.ndarray:
    """The mask that holds, float32 [H, W]."""
    return session.edited.get(role, session.shown[role])

  def translate(self, session: Session, strengths: Mapping[str, float] | None = None) -> Session:
    """The session with its translation; each role's mask is multiplied with its strength."""
    masks = dict(session.edited)
    for role, strength in (strengths or {}).items():
      if role in session.shown and strength != 1:
        masks[role] = self.mask(session, role) * np.float32(strength)
    return dataclasses.replace(session, result=self._translate(session, masks))

  def _translate(self, session, masks):
    options = {'reverse': True} if session.reverse else {}
    return self.model(session).translator(
        *(session.pictures[role] for role in self.model(session).roles),
        **{f'{role}_mask': mask for role, mask in masks.items()}, **options)

  def carry_on(self, session: Session) -> Session:
    """The translation becomes the source: the next attribute, or the next model, goes on top."""
    if session.result is None:
      raise errors.UserError('translate first; then the result can become the source')
    session = self.choose(session, 'source', session.result.image)
    return dataclasses.replace(session, carried=True)

  def remove(self, session: Session, role: str) -> Translation:
    """The picture of a role without what the method transfers."""
    mask = session.edited.get(role) if role == 'exemplar' else None
    return self.model(session).translator.remove(session.pictures[role], mask)

  def swap(self, session: Session) -> Translation:
    """The source with the exemplar's content in place of its own."""
    return self.model(session).translator.swap(*(session.pictures[role] for role in ROLES))

  def segment(self, session: Session, role: str, threshold: float) -> np.ndarray:
    """The picture of a role with what is above the threshold coloured, uint8 [H, W, 3]."""
    image = session.pictures[role]
    mask = self.model(session).translator.segment(image, threshold)
    return pictures.overlay(image, mask.astype(np.float32))

  def add_exemplars(self, session: Session, files: Sequence[bytes],
                    note: Callable[[str], None] = print) -> Session:
    """The session with a visitor's files as the exemplars of a grid."""
    if len(files) > MOST_EXEMPLARS:
      raise errors.UserError(f'{len(files)} exemplars; the page shows at most {MOST_EXEMPLARS}')
    load = self.model(session).load
    loaded = [load(data, f'file {i + 1}', note) for i, data in enumerate(files)]
    return dataclasses.replace(session, exemplars=loaded)

  def with_other(self, session: Session, picture: np.ndarray) -> Session:
    """The session with a second exemplar, to interpolate to."""
    return dataclasses.replace(session, other=picture, frames=None)

  def interpolate(self, session: Session) -> Session:
    """Frames from the exemplar to the second one."""
    if session.other is None:
      raise errors.UserError('choose a second exemplar first: click one, or upload it')
    frames = self.model(session).translator.interpolate(
        session.pictures['source'], session.pictures['exemplar'], session.other, FRAMES).image
    return dataclasses.replace(session, frames=frames)

  def grid(self, session: Session) -> np.ndarray:
    """The source after each of several exemplars, as one picture."""
    exemplars = list(session.exemplars) or list(
        self.examples(session.model, 'exemplar', session.reverse))[:MOST_EXEMPLARS]
    if not exemplars:
      raise errors.UserError('there are no exemplars: upload some')
    batch = np.stack(exemplars)
    options = {'reverse': True} if session.reverse else {}
    if 'source' in session.edited:
      options['source_mask'] = session.edited['source']
    result = self.model(session).translator(session.pictures['source'], batch, **options).image
    return pictures.grid([[None, *exemplars], [session.pictures['source'], *result]],
                         column_names=['', *(f'exemplar {i + 1}' for i in range(len(exemplars)))],
                         row_names=['', 'source'])

  def relatives(self, session: Session) -> list[str]:
    """Models of the same method and size, to hold beside each other."""
    own = self.model(session)
    return [name for name, model in self.models.items() if model.shape == own.shape
            and model.translator.config.method == own.translator.config.method]

  def compare(self, session: Session) -> np.ndarray:
    """The session's pictures translated by each of its relatives, as one picture."""
    rows, names = [], self.relatives(session)
    for name in names:
      result = self._translate(dataclasses.replace(session, model=name), session.edited)
      what = result.extras.get('added_mask')
      if what is None:
        what = result.source_mask
      image = session.pictures['source']
      rows.append([image, what, result.image, difference(image, result.image)])
    return pictures.grid(rows, row_names=names,
                         column_names=['source', 'mask', 'translation', 'difference'])

  def archive(self, session: Session) -> bytes:
    """The pictures and masks of the last translation as a ZIP file of PNGs."""
    if session.result is None:
      raise errors.UserError('translate first; then there is something to download')
    result = session.result
    parts = {**session.pictures, 'translation': result.image,
             'source_mask': result.source_mask, 'exemplar_mask': result.exemplar_mask,
             'feature_mask': result.extras.get('feature_mask'),
             'added_mask': result.extras.get('added_mask')}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
      for name, part in parts.items():
        if part is not None:
          archive.writestr(f'{name}.png', images.encode_png(part))
    return buffer.getvalue()


def _same(mask, other):
  return np.abs(mask - other).max() <= _TOLERANCE


def difference(before: np.ndarray, after: np.ndarray) -> np.ndarray:
  """What was added, grey being nothing: uint8 [H, W, 3]."""
  return ((after.astype(np.int16) - before) // 2 + 127).clip(0, 255).astype(np.uint8)


def as_picture(added: np.ndarray) -> np.ndarray:
  """An added mask, uint8 or in [-1, 1], as uint8."""
  if added.dtype == np.uint8:
    return added
  return np.rint((np.clip(added, -1, 1) + 1) * 127.5).astype(np.uint8)


def enlarged(picture: np.ndarray, least: int = CANVAS) -> np.ndarray:
  """Returns [H, W, ...] with each pixel repeated, so that the shorter side has `least` or more."""
  factor = -(-least // min(picture.shape[:2]))
  return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def to_editor(image: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
  """What the page's editor shows: the picture, and the mask [H, W] as a layer upon it."""
  alpha = np.rint(mask * LAYER * 255).astype(np.uint8)
  layer = np.dstack([np.broadcast_to(np.uint8(COLOUR), (*mask.shape, 3)), alpha])
  return {'background': enlarged(image), 'layers': [enlarged(layer)], 'composite': None}


def from_editor(files: Sequence[bytes] | None, shape: tuple[int, int]) -> np.ndarray | None:
  """The mask that was painted, float32 [H, W], of an editor's layers as files.

  None where the editor has none of this picture; UserError for a file that is not a picture.
  """
  layers = [images.load_mask(data, name='the painted mask') for data in files or ()]
  height, width = shape
  if not layers or any(layer.shape != layers[0].shape for layer in layers):
    return None
  tall, wide = layers[0].shape
  if tall % height or wide % width or tall // height != wide // width:
    return None
  factor = tall // height
  mask = (np.max(layers, axis=0) / np.float32(LAYER)).clip(0, 1)
  return mask.reshape(height, factor, width, factor).mean(axis=(1, 3), dtype=np.float32)
