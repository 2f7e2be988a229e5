"""What the demo page shows of a session: values of its components."""

import contextlib
import glob
import os
import time
from typing import Any
import uuid

import gradio as gr
import numpy as np

from maskgan_jax.demo import editor, layout
from maskgan_jax.demo.models import ROLES
from maskgan_jax.demo.session import Session
from maskgan_jax.runs import pictures

_ARCHIVE = 'translation.zip'
_FOLDER = 'download_'  # how folders of these files begin


class Views(layout.Layout):
  """Turns sessions into values of the components, by component.

  A component that a view does not have stays as it is.
  """

  def _shown(self, session: Session, webgl: bool, *roles: str) -> dict[Any, Any]:
    """Returns the values of `_results`, with new editors of `roles`, or of all without any."""
    # What the editors are sent is remembered, to tell edits from predictions.
    if webgl:
      session = self.demo.send(session, *(roles or ROLES))
    result = session.result
    source = session.pictures['source']
    values = {
      self.session: session,
      self.about: self._about(session),
      self.translation: editor.enlarged(result.image),
      self.difference: editor.enlarged(editor.difference(source, result.image)),
      self.used: self._used_masks(session),
      self.download: self._archive(session),
      **self._shown_photograph(session),
    }
    for role in ROLES:
      is_new = not roles or role in roles
      values |= self._shown_side(session, role, webgl=webgl, is_new=is_new)
    return values

  def _shown_photograph(self, session: Session) -> dict[Any, Any]:
    """Returns the values of the photograph's tab, without an earlier result."""
    photograph = session.photograph
    return {
      self.tabs[layout.PHOTOGRAPH]: gr.update(interactive=photograph is not None),
      self.photo: None if photograph is None else photograph.shown(),
      self.compared: gr.update(value=None, visible=False),
      self.own_download: gr.update(value=None, visible=False),
    }

  def _shown_side(
    self, session: Session, role: str, *, webgl: bool, is_new: bool
  ) -> dict[Any, Any]:
    """Returns the values of one picture's side."""
    side, model = self.sides[role], self.demo.model(session)
    if role not in model.roles:
      return {side['column']: gr.update(visible=False)}
    image = session.pictures[role]
    mask = np.zeros(model.shape, np.float32)
    if role in session.shown:
      mask = session.mask(role)
    if webgl and not is_new:  # an editor that gets a value sends all of itself again
      return {}
    if webgl:
      return {
        side['column']: gr.update(visible=True),
        side['editor']: gr.update(value=editor.to_editor(image, mask), visible=True),
        side['preview']: gr.update(value=None, visible=False),
      }
    preview = editor.enlarged(pictures.overlay(image, mask))
    if not is_new:
      return {side['preview']: preview}
    return {
      side['column']: gr.update(visible=True),
      side['editor']: gr.update(visible=False),
      side['preview']: gr.update(value=preview, visible=True),
    }

  def _used_masks(self, session: Session) -> np.ndarray | None:
    """Returns the masks of the last translation side by side; None if it has none."""
    method = self.demo.model(session).translator.method
    shown = []
    for name, mask in method.saved_masks(session.result).items():
      role = 'exemplar' if name == 'exemplar_mask' else 'source'
      shown.append(editor.shown_mask(session.pictures[role], mask))
    if not shown:
      return None
    return editor.enlarged(np.concatenate(shown, axis=1))

  def _about(self, session: Session) -> str:
    """Returns a line on the model: what it changes, its method and size."""
    model = self.demo.model(session)
    config, size = model.translator.config, 'x'.join(map(str, model.shape))
    before, after = (
      (domain or 'any picture').replace('~', 'not ').replace('_', ' ')
      for domain in (config.data.a, config.data.b)
    )
    return (
      f'This model knows pictures of {size} pixels like the examples below, and makes {after} of '
      f'{before} ({config.method}).'
    )

  def _all_shown(self, session: Session, webgl: bool) -> dict[Any, Any]:
    """Returns the values of `_everything`."""
    model = self.demo.model(session)
    values = self._shown(session, webgl)
    for role in ROLES:
      side = self.sides[role]
      is_masked = role in model.masked_roles
      meaning = model.translator.method.mask_meanings.get(role, '')
      examples = self.demo.examples(session.model, role, session.reverse)
      values[side['gallery']] = [editor.enlarged(picture, 96) for picture in examples]
      values[side['strength']] = gr.update(visible=is_masked, value=1)
      values[side['meaning']] = meaning if is_masked else ''
    values[self.others] = values[self.sides['exemplar']['gallery']]
    values[self.reverse] = gr.update(
      visible=model.can('reverse'), value=session.reverse
    )

    # The first tab with something to do is open.
    usable = self._usable(session)
    values[self.all_tabs] = self._first_tab(session)
    for name, tab in self.tabs.items():
      values[tab] = gr.update(interactive=usable[name])
    return values

  def _usable(self, session: Session) -> dict[str, bool]:
    """Returns which tabs have something to do."""
    model = self.demo.model(session)
    return {
      layout.PHOTOGRAPH: session.photograph is not None,
      'Several exemplars': model.can('exemplar'),
      'Random styles': model.can('random_style'),
      'Interpolate': model.can('interpolate'),
      'Remove and swap': model.can('remove'),
      'Segment': model.can('segment'),
      'Compare models': len(self.demo.relatives(session)) > 1,
    }

  def _first_tab(self, session: Session) -> dict[str, Any]:
    """Returns the update that opens the first tab with something to do."""
    usable = self._usable(session)
    first = next((name for name in self.tabs if usable[name]), None)
    return gr.update(selected=first)

  def _file(self, name: str, data: bytes) -> str:
    """Writes a file of a download button, deletes those of an hour ago; returns the path."""
    for old in glob.glob(os.path.join(self.folder, f'{_FOLDER}*', '*')):
      with contextlib.suppress(OSError):
        if time.time() - os.stat(old).st_mtime > layout.HOUR:
          os.remove(old)
    folder = os.path.join(self.folder, _FOLDER + uuid.uuid4().hex)
    os.makedirs(folder)
    path = os.path.join(folder, name)
    with open(path, 'wb') as file:
      file.write(data)
    return path

  def _archive(self, session: Session) -> str:
    """Writes the archive of the download button; returns the path."""
    return self._file(_ARCHIVE, self.demo.archive(session))
