"""The demo as a Gradio page: choose two pictures, paint on their masks, translate. See demo.py."""

from collections.abc import Callable, Mapping
import contextlib
import functools
import logging
import os
import time
from typing import Any
import uuid

import numpy as np

from maskgan_jax import errors, files
from maskgan_jax.demo import session as core
from maskgan_jax.runs import pictures

os.environ.setdefault('GRADIO_ANALYTICS_ENABLED', 'False')
try:
  import gradio as gr

  from maskgan_jax.demo import layout as demo_layout
except ImportError as error:
  raise errors.UserError("the page needs Gradio: pip install 'gradio>=6.30,<7'") from error

_MOST_BYTES = '10mb'  # of an uploaded file
_MOST_SESSIONS = 200
_ARCHIVE = 'translation.zip'
# The editor draws with WebGL; without it, masks are edited as rectangles.
_HAS_WEBGL = """() => {
  const canvas = document.createElement('canvas');
  return [Boolean(canvas.getContext('webgl2') || canvas.getContext('webgl'))];
}"""
_LAYERS = '(...editors) => editors.map(value => value?.layers ?? [])'


def build(models: Mapping[str, Any]) -> gr.Blocks:
  """The page.

  Args:
    models: name -> `demo_session.Model`, or a Translator (then without examples).
  """
  models = {name: model if isinstance(model, core.Model) else core.Model(model)
            for name, model in models.items()}
  for model in models.values():
    model.warm_up()
  # Uploads and results of all visitors: a folder of this page, gone with it.
  folder = files.ProcessFolder('maskgan_jax_demo_')
  os.environ['GRADIO_TEMP_DIR'] = folder.name
  page = _Page(core.Demo(models), folder.name)
  page.blocks.folder_of_pictures = folder  # lives as long as the page
  return page.blocks


def launch(blocks: gr.Blocks, **options: Any) -> Any:
  """Serves the page on 127.0.0.1 with safe settings; options as of `gradio.Blocks.launch`."""
  settings = dict(
      server_name='127.0.0.1', share=False, max_file_size=_MOST_BYTES, enable_monitoring=False,
      state_session_capacity=_MOST_SESSIONS, footer_links=[], run_history=False,
      ssr_mode=False, mcp_server=False, pwa=False, quiet=True, max_threads=4,
      css=demo_layout.CSS)
  logging.getLogger('uvicorn.error').addFilter(demo_layout.one_line)
  return blocks.launch(**(settings | options))


def _clear(function: Callable[..., Any]) -> Callable[..., Any]:
  """A user's mistake as a message on the page."""
  @functools.wraps(function)
  def wrapped(*arguments):
    try:
      return function(*arguments)
    except errors.UserError as error:
      raise demo_layout.message(str(error)) from error
  return wrapped


class _Page(demo_layout.Layout):
  """What happens on a click, and what the page then shows."""

  def wire(self, blocks):
    """Which click does what."""
    self.shown = [self.session, self.about, self.translation, self.difference, self.used,
                  self.download]
    for role in core.ROLES:
      self.shown += [self.sides[role][part] for part in ('column', 'editor', 'preview')]
    self.fresh = [*self.shown, *(self.sides[role]['gallery'] for role in core.ROLES), self.others,
                  self.reverse, *(self.sides[role]['strength'] for role in core.ROLES),
                  self.all_tabs, *self.tabs.values(),
                  *(self.sides[role]['meaning'] for role in core.ROLES)]
    editors, painted = ([self.sides[role][part] for role in core.ROLES]
                        for part in ('editor', 'painted'))
    strengths = [self.sides[role]['strength'] for role in core.ROLES]
    state = [self.session, self.webgl]

    def on(event, function, inputs, outputs, **options):
      # The editors stay in sight while the result is on its way.
      watched = ([self.translation] if self.translation in outputs or outputs[-1] in editors
                 else outputs[-1:])
      return event(_clear(function), inputs, outputs, api_visibility='private',
                   show_progress='minimal', show_progress_on=watched, **options)

    def on_painted(event, function, inputs, outputs):
      # The browser alone reads the editors first: inputs of a function send all that they hold
      # again with every word of its progress.
      read = event(None, editors, painted, js=_LAYERS, api_visibility='private',
                   show_progress='hidden')
      on(read.then, function, inputs, outputs)

    def on_choice(event, role, function, inputs):
      # The other picture's mask may be predicted from both.
      other = core.ROLES[1 - core.ROLES.index(role)]
      on_painted(on(event, function, inputs, self.shown).then,
                 functools.partial(self._catch_up, other), [*state, *painted],
                 [self.session, self.sides[other]['editor']])

    on(blocks.load, self._start, [self.session, self.has_webgl], [*self.fresh, self.webgl],
       js=f"""(session, _) => [session, ({_HAS_WEBGL})()[0]]""")
    on(self.model.change, self._choose_model, [*state, self.model, self.reverse], self.fresh)
    on(self.reverse.input, self._choose_model, [*state, self.model, self.reverse], self.fresh)
    on_painted(self.go.click, self._translate, [*state, *painted, *strengths], self.shown)
    on_choice(self.carry.click, 'source', self._carry, state)
    for role in core.ROLES:
      side = self.sides[role]
      on_choice(side['gallery'].select, role, self._picker(role), state)
      on_choice(side['upload'].upload, role, functools.partial(self._upload, role),
                [*state, side['upload']])
      on(side['editor'].clear, functools.partial(self._cleared, role), state, self.shown)
      on(side['predict'].click, functools.partial(self._predict, role), state, self.shown)
      for button, value in (('erase', 0.0), ('fill', 1.0)):
        on_painted(side[button].click, functools.partial(self._rectangle, role, value),
                   [*state, *painted, *side['corners']], self.shown)
      on_painted(self.remove[role].click, functools.partial(self._remove, role),
                 [*state, *painted], [self.removed])
    on(self.swap.click, self._swap, [self.session], [self.removed])
    on(self.many.upload, self._add_exemplars, [self.session, self.many], [self.session, self.grid])
    on_painted(self.make_grid.click, self._grid, [*state, *painted], [self.grid])
    on(self.others.select, self._pick_other, [self.session], [self.session, self.other])
    on(self.other_upload.upload, self._upload_other, [self.session, self.other_upload],
       [self.session, self.other])
    on(self.make_frames.click, self._interpolate, [self.session, self.place],
       [self.session, self.frame])
    on(self.place.change, self._frame, [self.session, self.place], [self.frame])
    segments = list(self.segments.values())
    for event in (self.threshold.release, self.tabs['Segment'].select):
      on(event, self._segment, [self.session, self.threshold], segments)
    on_painted(self.make_comparison.click, self._compare, [*state, *painted], [self.comparison])

  # What the page shows of a session.

  def _show(self, session, webgl, *roles):
    """The outputs `shown`, with the editors of `roles`, or of all, new."""
    if webgl:
      session = self.demo.tell(session, *(roles or core.ROLES))
    model, result = self.demo.model(session), session.result
    used = [pictures.overlay(session.pictures[role], mask) for role in model.roles
            if (mask := getattr(result, f'{role}_mask')) is not None]
    if (feature := result.extras.get('feature_mask')) is not None:
      used.append(pictures.overlay(session.pictures['source'], feature))
    if (added := result.extras.get('added_mask')) is not None:
      used.append(core.as_picture(added))
    outputs = [session, self._about(session), core.enlarged(result.image),
               core.enlarged(core.difference(session.pictures['source'], result.image)),
               core.enlarged(np.concatenate(used, axis=1)) if used else None,
               self._archive(session)]
    for role in core.ROLES:
      if role not in model.roles:
        outputs += [gr.update(visible=False), gr.skip(), gr.skip()]
        continue
      image = session.pictures[role]
      mask = (self.demo.mask(session, role) if role in session.shown
              else np.zeros(model.shape, np.float32))
      preview = None if webgl else core.enlarged(pictures.overlay(image, mask))
      if roles and role not in roles:  # an editor that is told anything sends all of itself again
        outputs += [gr.skip(), gr.skip(), gr.skip() if webgl else preview]
        continue
      outputs += [gr.update(visible=True),
                  gr.update(value=core.to_editor(image, mask), visible=True) if webgl
                  else gr.update(visible=False),
                  gr.update(visible=not webgl, value=preview)]
    return outputs

  def _about(self, session):
    model = self.demo.model(session)
    config, size = model.translator.config, 'x'.join(map(str, model.shape))
    able = ', '.join(sorted(model.translator.abilities))
    return (f'{config.method}, {size} pixels, from {config.data.a or "a"!s} to '
            f'{config.data.b or "b"!s}. It can: {able}.').replace('~', 'not ')

  def _fresh(self, session, webgl):
    """The outputs `fresh`: all of the page."""
    model = self.demo.model(session)
    meanings = core.meanings(model.translator.config.method)
    galleries = [[core.enlarged(p, 96) for p in self.demo.examples(session.model, role,
                                                                   session.reverse)]
                 for role in core.ROLES]
    able = {'Several exemplars': model.can('exemplar'), 'Interpolate': model.can('interpolate'),
            'Remove and swap': model.can('remove'), 'Segment': model.can('segment'),
            'Compare models': len(self.demo.relatives(session)) > 1}
    return [*self._show(session, webgl), *galleries, galleries[1],
            gr.update(visible=model.can('reverse'), value=session.reverse),
            *(gr.update(visible=model.can(f'{role}_mask'), value=1) for role in core.ROLES),
            gr.update(selected=next((name for name in self.tabs if able[name]), None)),
            *(gr.update(interactive=able[name]) for name in self.tabs),
            *(meanings[role] if model.can(f'{role}_mask') else ''
              for role in core.ROLES)]

  # What clicks do.

  def _start(self, session, webgl):
    return [*self._fresh(session, webgl), webgl]

  def _choose_model(self, session, webgl, name, reverse):
    return self._fresh(self.demo.start(name, reverse=reverse, before=session), webgl)

  def _picker(self, role):
    # Gradio passes the event where a function itself says so; a functools.partial doesn't.
    def pick(session, webgl, event: gr.SelectData):
      picture = self._example(session, role, event)
      return self._show(self.demo.choose(session, role, picture), webgl, role)
    return pick

  def _example(self, session, role, event):
    found = self.demo.examples(session.model, role, session.reverse)
    if not isinstance(event.index, int) or not 0 <= event.index < len(found):
      raise errors.UserError('there is no such example')
    return found[event.index]

  def _upload(self, role, session, webgl, data):
    picture = self.demo.model(session).load(data, 'the file', gr.Warning)
    return self._show(self.demo.choose(session, role, picture), webgl, role)

  def _predict(self, role, session, webgl):
    return self._show(self.demo.forget(session, role), webgl, role)

  def _cleared(self, role, session, webgl):
    # The editor's button clears the picture too, which then comes back.
    session = self.demo.edit(session, role, np.zeros(self.demo.model(session).shape, np.float32))
    return self._show(self.demo.translate(session), webgl, role)

  def _edited(self, session, webgl, source, exemplar):
    """The session with the masks as they were painted."""
    for role, value in zip(core.ROLES, (source, exemplar), strict=True):
      if webgl and role in session.shown:
        mask = core.from_editor(value, self.demo.model(session).shape)
        if mask is not None:
          session = self.demo.edit(session, role, mask)
    return session

  def _catch_up(self, role, session, webgl, *painted):
    """The session, and the editor of a role where it shows an earlier prediction."""
    shape = self.demo.model(session).shape
    if not webgl or role not in session.shown or not self.demo.outdated(
        session, role, core.from_editor(painted[core.ROLES.index(role)], shape)):
      return gr.skip(), gr.skip()
    session = self.demo.tell(session, role)
    mask = self.demo.mask(session, role)
    return session, gr.update(value=core.to_editor(session.pictures[role], mask))

  def _translate(self, session, webgl, source, exemplar, *strengths):
    session = self._edited(session, webgl, source, exemplar)
    session = self.demo.translate(session, dict(zip(core.ROLES, strengths, strict=True)))
    return self._show(session, webgl, 'none')

  def _rectangle(self, role, value, session, webgl, source, exemplar, *corners):
    session = self._edited(session, webgl, source, exemplar)
    session = self.demo.rectangle(session, role, corners, value)
    return self._show(self.demo.translate(session), webgl, role)

  def _carry(self, session, webgl):
    return self._show(self.demo.carry_on(session), webgl, 'source')

  def _archive(self, session):
    """The file that the download button gives; those of an hour ago are deleted."""
    for entry in os.scandir(self.folder):
      old = os.path.join(entry.path, _ARCHIVE)
      with contextlib.suppress(OSError):
        if time.time() - os.stat(old).st_mtime > demo_layout.HOUR:
          os.remove(old)
    folder = os.path.join(self.folder, uuid.uuid4().hex)
    os.makedirs(folder)
    path = os.path.join(folder, _ARCHIVE)
    with open(path, 'wb') as file:
      file.write(self.demo.archive(session))
    return path

  def _remove(self, role, session, webgl, source, exemplar):
    session = self._edited(session, webgl, source, exemplar)
    return core.enlarged(self.demo.remove(session, role).image)

  def _swap(self, session):
    return core.enlarged(self.demo.swap(session).image)

  def _add_exemplars(self, session, files):
    session = self.demo.add_exemplars(session, files, gr.Warning)
    return session, self.demo.grid(session)

  def _grid(self, session, webgl, source, exemplar):
    return self.demo.grid(self._edited(session, webgl, source, exemplar))

  def _pick_other(self, session, event: gr.SelectData):
    return self._with_other(session, self._example(session, 'exemplar', event))

  def _upload_other(self, session, data):
    return self._with_other(session, self.demo.model(session).load(data, 'the file', gr.Warning))

  def _with_other(self, session, picture):
    session = self.demo.with_other(session, picture)
    return session, core.enlarged(picture)

  def _interpolate(self, session, place):
    session = self.demo.interpolate(session)
    return session, self._frame(session, place)

  def _frame(self, session, place):
    if session.frames is None:
      return None
    return core.enlarged(session.frames[min(max(int(place), 0), core.FRAMES - 1)])

  def _segment(self, session, threshold):
    model = self.demo.model(session)
    return [core.enlarged(self.demo.segment(session, role, threshold)) if role in model.roles
            else None for role in core.ROLES]

  def _compare(self, session, webgl, source, exemplar):
    return self.demo.compare(self._edited(session, webgl, source, exemplar))
