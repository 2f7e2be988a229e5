"""A visitor's choices on the demo page, and the results; independent of Gradio."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import io
import zipfile

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import images
from maskgan_jax.demo import editor, own_photograph
from maskgan_jax.demo.models import Model, ROLES
from maskgan_jax.runs import pictures
from maskgan_jax.translator import Translation

MOST_EXEMPLARS = 8
FRAMES = 9
STYLES = 8


@dataclasses.dataclass(frozen=True)
class Session:
  """One visitor's choices.

  Attributes:
    model: name of the model.
    pictures: role -> uint8 [H, W, 3].
    shown: role -> the mask that the model predicts, float32 [H, W]; all of the picture where the
      method takes a mask and predicts none.
    edited: role -> the mask that replaces it, for masks that were edited.
    sent: role -> the mask that its editor last got, and whether that was an edited one.
    reverse: whether pictures of domain b become pictures of a.
    result: the last translation.
    exemplars: several exemplars, for a grid.
    other: the second exemplar of an interpolation.
    frames: the last interpolation's, uint8 [N, H, W, 3].
    carried: whether the source is an earlier result, which stays when the model changes.
    photograph: the visitor's own, of which the source is a place; None for other sources.
  """

  model: str
  pictures: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  shown: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  edited: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  sent: Mapping[str, tuple[np.ndarray, bool]] = dataclasses.field(default_factory=dict)
  reverse: bool = False
  result: Translation | None = None
  exemplars: Sequence[np.ndarray] = ()
  other: np.ndarray | None = None
  frames: np.ndarray | None = None
  carried: bool = False
  photograph: own_photograph.OwnPhotograph | None = None

  def without_edit(self, role: str) -> dict[str, np.ndarray]:
    """Returns the edited masks of the other roles."""
    return {name: mask for name, mask in self.edited.items() if name != role}

  def mask(self, role: str) -> np.ndarray:
    """Returns the mask in force, edited or predicted, float32 [H, W]."""
    return self.edited.get(role, self.shown[role])


class Demo:
  """The models on the page and what they do; keeps nothing of a visitor."""

  def __init__(self, models: Mapping[str, Model]):
    if not models:
      raise errors.UserError(
        'there is no model to show; name one with --pretrained or --workdir'
      )
    self.models = dict(models)

  def model(self, session: Session) -> Model:
    """Returns the session's model."""
    return self.models[session.model]

  # Pictures.

  def start(
    self, name: str, *, reverse: bool = False, before: Session | None = None
  ) -> Session:
    """Returns a session with a model and its first examples.

    Args:
      name: of the model.
      reverse: whether pictures of domain b become pictures of a, if the model can.
      before: the session before, whose result stays the source if it was carried on.
    """
    # Each role begins with its first example, or with a white picture.
    if name not in self.models:
      raise errors.UserError(f'there is no model {name!r}')
    model = self.models[name]
    reverse = reverse and model.can('reverse')
    chosen = {}
    for role in model.roles:
      examples = self.examples(name, role, reverse)
      chosen[role] = (
        examples[0] if len(examples) else np.full((*model.shape, 3), 255, np.uint8)
      )

    # A result that was carried on stays the source, fitted to this model.
    carried = bool(before and before.carried and before.result is not None)
    if carried:
      chosen['source'] = model.translator.fit(before.pictures['source']).image
    session = self.predicted(Session(name, chosen, reverse=reverse, carried=carried))

    # So does a photograph of the visitor's.
    if before and before.photograph and not carried:
      return self.upload(session, before.photograph.fitted.picture, lambda line: None)
    return session

  def examples(self, name: str, role: str, reverse: bool) -> Sequence[np.ndarray]:
    """Returns the pictures to click for a role; roles change domains if `reverse`."""
    if reverse:
      role = ROLES[1 - ROLES.index(role)]
    return self.models[name].examples.get(role, ())

  def choose(self, session: Session, role: str, picture: np.ndarray) -> Session:
    """Returns the session with another picture in a role, whose mask is the predicted one."""
    # A new picture drops what was computed from the one before.
    picture = self.model(session).translator.fit(picture).image
    return self.predicted(
      dataclasses.replace(
        session,
        pictures={**session.pictures, role: picture},
        edited=session.without_edit(role),
        carried=session.carried and role != 'source',
        photograph=None if role == 'source' else session.photograph,
        frames=None,
      )
    )

  def upload(
    self, session: Session, data: bytes, note: Callable[[str], None] = print
  ) -> Session:
    """Returns the session with a visitor's file as its source, which keeps its own size."""
    fitted = self.model(session).fit(data, 'the file', note)
    try:
      shown = own_photograph.OwnPhotograph.of(fitted)
    except errors.UserError as error:
      # What cannot be written back, such as CMYK, is still a source of the model's size.
      note(f'only at the size of the model: {error}')
      return self.choose(session, 'source', fitted.image)
    return self._with_place(session, shown)

  def mark(self, session: Session, point: tuple[float, float]) -> Session:
    """Returns the session after a click into the photograph: two mark the place of the source.

    Args:
      session: with a photograph.
      point: down and right, in shares of its height and width.
    """
    shown = self._photograph(session)
    model, region = self.model(session), None
    if shown.mark is not None:
      region = shown.place(point, model.shape)
    if region is None:
      return dataclasses.replace(session, photograph=shown.marked(point))
    fitted = model.fit(shown.fitted.picture, 'the file', lambda line: None, region)
    return self._with_place(session, shown.moved(fitted))

  def whole(self, session: Session) -> Session:
    """Returns the session with all of the photograph, or its middle, as the source again."""
    shown = self._photograph(session)
    fitted = self.model(session).fit(
      shown.fitted.picture, 'the file', lambda line: None
    )
    return self._with_place(session, shown.moved(fitted))

  def _with_place(
    self, session: Session, shown: own_photograph.OwnPhotograph
  ) -> Session:
    """Returns the session with a place of a photograph as its source."""
    session = self.choose(session, 'source', shown.fitted.image)
    return dataclasses.replace(session, photograph=shown)

  def _photograph(self, session: Session) -> own_photograph.OwnPhotograph:
    """Returns the session's photograph; UserError if the source is none."""
    if session.photograph is None:
      raise errors.UserError('upload a source first: a photograph of yours')
    return session.photograph

  def own_size(self, session: Session) -> tuple[list[np.ndarray], str, bytes]:
    """Returns the photograph before and after for the page, and the extension and bytes of a file.

    The file has the photograph's own size; where the source's mask is 0 its pixels are untouched.
    """
    before = self._photograph(session)
    after = before.result(self.model(session), session.result)
    shown = [before.preview, own_photograph.preview_of(after.pixels)]
    return shown, *own_photograph.file_of(after)

  def carry_on(self, session: Session) -> Session:
    """Returns the session with the translation as its source, to change something else in it."""
    if session.result is None:
      raise errors.UserError('translate first; then the result can become the source')
    session = self.choose(session, 'source', session.result.image)
    return dataclasses.replace(session, carried=True)

  # Masks.

  def predicted(self, session: Session) -> Session:
    """Returns the session with the masks that the model predicts, and the translation by them."""
    # An edited mask stays as it is; where none is predicted, all is shown.
    model = self.model(session)
    result = self._translated(session, session.edited)
    shown = {}
    for role in model.roles:
      if role not in model.masked_roles:
        continue
      mask = result.masks[f'{role}_mask']
      if role in session.edited:
        shown[role] = session.shown[role]
      elif mask is None:
        shown[role] = np.ones(model.shape, np.float32)
      else:
        shown[role] = mask[..., 0]
    return dataclasses.replace(session, shown=shown, result=result)

  def forget(self, session: Session, role: str) -> Session:
    """Returns the session with the predicted mask of a role again."""
    return self.predicted(
      dataclasses.replace(session, edited=session.without_edit(role))
    )

  def edit(self, session: Session, role: str, mask: np.ndarray) -> Session:
    """Returns the session with a mask from the editor.

    A mask equal to the one that the editor got does not count as an edit.
    """
    edited = session.without_edit(role)
    # `sent` is what the editor was given: a prediction, or an edit shown again.
    sent, was_edited = session.sent.get(role, (session.shown[role], False))
    if editor.same(mask, sent):
      if was_edited:
        edited[role] = sent
    elif not editor.same(mask, session.shown[role]):
      edited[role] = mask
    return dataclasses.replace(session, edited=edited)

  def send(self, session: Session, *roles: str) -> Session:
    """Returns the session after the editors of these roles got the masks in force."""
    sent = dict(session.sent)
    for role in roles:
      if role in session.shown:
        sent[role] = session.mask(role), role in session.edited
    return dataclasses.replace(session, sent=sent)

  def outdated(self, session: Session, role: str, painted: np.ndarray | None) -> bool:
    """Returns whether an editor without strokes shows an earlier prediction."""
    if painted is None or role not in session.sent:
      return False
    sent = session.sent[role][0]
    return editor.same(painted, sent) and not editor.same(session.mask(role), sent)

  def rectangle(
    self, session: Session, role: str, corners: Sequence[float], value: float
  ) -> Session:
    """Returns the session with a rectangle of one value in a mask.

    Args:
      session: the visitor's.
      role: whose mask.
      corners: top, left, bottom, right, in the model's pixels.
      value: of the mask inside.
    """
    # Fields of the page may be empty, or hold numbers outside of the picture.
    height, width = self.model(session).shape
    try:
      top, left, bottom, right = map(int, corners)
    except (TypeError, ValueError) as error:
      raise errors.UserError(
        'a rectangle has four numbers: top, left, bottom, right'
      ) from error
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
      raise errors.UserError(
        f'the rectangle {top}, {left}, {bottom}, {right} (top, left, bottom, '
        f'right) does not lie in a picture {height} high and {width} wide'
      )
    mask = session.mask(role).copy()
    mask[top:bottom, left:right] = value
    return self.edit(session, role, mask)

  # Results.

  def translate(
    self, session: Session, strengths: Mapping[str, float] | None = None
  ) -> Session:
    """Returns the session with its translation; each role's mask is multiplied by its strength."""
    masks = dict(session.edited)
    for role, strength in (strengths or {}).items():
      if role in session.shown and strength != 1:
        masks[role] = session.mask(role) * np.float32(strength)
    return dataclasses.replace(session, result=self._translated(session, masks))

  def _translated(
    self, session: Session, masks: Mapping[str, np.ndarray]
  ) -> Translation:
    """Translates the session's pictures with these masks by role."""
    model = self.model(session)
    images_by_role = [session.pictures[role] for role in model.roles]
    given = {f'{role}_mask': mask for role, mask in masks.items()}
    return model.translator(*images_by_role, **given, reverse=session.reverse)

  def remove(self, session: Session, role: str) -> Translation:
    """Removes from the picture of a role what the method transfers."""
    mask = session.edited.get(role) if role == 'exemplar' else None
    return self.model(session).translator.remove(session.pictures[role], mask)

  def swap(self, session: Session) -> Translation:
    """Puts the exemplar's content into the source in place of the source's own."""
    return self.model(session).translator.swap(
      *(session.pictures[role] for role in ROLES)
    )

  def segment(self, session: Session, role: str, threshold: float) -> np.ndarray:
    """Returns the picture of a role, coloured where the mask is above the threshold."""
    image = session.pictures[role]
    mask = self.model(session).translator.segment(image, threshold)
    return pictures.overlay(image, mask.astype(np.float32))

  def add_exemplars(
    self, session: Session, files: Sequence[bytes], note: Callable[[str], None] = print
  ) -> Session:
    """Returns the session with a visitor's files as the exemplars of a grid."""
    if len(files) > MOST_EXEMPLARS:
      raise errors.UserError(
        f'{len(files)} exemplars; the page shows at most {MOST_EXEMPLARS}'
      )
    load = self.model(session).load
    exemplars = [
      load(data, f'file {number}', note) for number, data in enumerate(files, 1)
    ]
    return dataclasses.replace(session, exemplars=exemplars)

  def grid(self, session: Session) -> np.ndarray:
    """Returns a picture of the source after each of several exemplars."""
    # Without uploads, the examples are the exemplars.
    exemplars = list(session.exemplars)
    if not exemplars:
      exemplars = list(self.examples(session.model, 'exemplar', session.reverse))
    exemplars = exemplars[:MOST_EXEMPLARS]
    if not exemplars:
      raise errors.UserError('there are no exemplars: upload some')
    source = session.pictures['source']
    results = self.model(session).translator(
      source, np.stack(exemplars), session.edited.get('source'), reverse=session.reverse
    )
    return pictures.grid(
      [[None, *exemplars], [source, *results.image]],
      column_names=['', *pictures.numbered('exemplar', len(exemplars))],
      row_names=['', 'source'],
    )

  def random_styles(self, session: Session, first: int = 0) -> np.ndarray:
    """Returns a picture of the source in random styles, of the seeds from `first` on."""
    source = session.pictures['source']
    translate = self.model(session).translator
    results = []
    for seed in range(first, first + STYLES):
      result = translate(
        source,
        source_mask=session.edited.get('source'),
        reverse=session.reverse,
        seed=seed,
      )
      results.append(result.image)
    names = [f'style {seed}' for seed in range(first, first + STYLES)]
    return pictures.grid([[source, *results]], column_names=['source', *names])

  def with_other(self, session: Session, picture: np.ndarray) -> Session:
    """Returns the session with a second exemplar, to interpolate to."""
    return dataclasses.replace(session, other=picture, frames=None)

  def interpolate(self, session: Session) -> Session:
    """Returns the session with frames from the exemplar to the second one."""
    if session.other is None:
      raise errors.UserError('choose a second exemplar first: click one, or upload it')
    frames = (
      self.model(session)
      .translator.interpolate(
        session.pictures['source'], session.pictures['exemplar'], session.other, FRAMES
      )
      .image
    )
    return dataclasses.replace(session, frames=frames)

  def relatives(self, session: Session) -> list[str]:
    """Returns the names of models of the same method and size, to compare."""
    this = self.model(session)
    method = this.translator.config.method
    names = []
    for name, model in self.models.items():
      if model.shape == this.shape and model.translator.config.method == method:
        names.append(name)
    return names

  def compare(self, session: Session) -> np.ndarray:
    """Returns a picture of the session's translation by each of its relatives."""
    # Each model predicts masks of its own, except where the visitor has edited one.
    image = session.pictures['source']
    names = self.relatives(session)
    rows = []
    for name in names:
      result = self._translated(
        dataclasses.replace(session, model=name), session.edited
      )
      change_extra = self.models[name].translator.method.change_extra
      mask = result.extras.get(change_extra, result.source_mask)
      rows.append([image, mask, result.image, editor.difference(image, result.image)])
    return pictures.grid(
      rows,
      row_names=names,
      column_names=['source', 'mask', 'translation', 'difference'],
    )

  def archive(self, session: Session) -> bytes:
    """Returns the pictures and masks of the last translation as a ZIP file of PNGs."""
    if session.result is None:
      raise errors.UserError('translate first; then there is something to download')
    method = self.model(session).translator.method
    contents = {
      **session.pictures,
      'translation': session.result.image,
      **method.saved_masks(session.result),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
      for name, picture in contents.items():
        archive.writestr(f'{name}.png', images.encode_png(picture))
    return buffer.getvalue()
