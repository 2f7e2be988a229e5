"""The demo as a Gradio page: choose two pictures, paint on their masks, translate."""

from collections.abc import Callable, Mapping
import functools
import logging
import os
from typing import Any

import numpy as np

from maskgan_jax import errors, files
from maskgan_jax.demo import editor
from maskgan_jax.demo.models import Model, ROLES
from maskgan_jax.demo.session import Demo, FRAMES

os.environ.setdefault('GRADIO_ANALYTICS_ENABLED', 'False')
try:
  import gradio as gr

  from maskgan_jax.demo import layout, views
except ImportError as error:
  raise errors.UserError(
    "the page needs Gradio: pip install 'gradio>=6.30,<7'"
  ) from error

_MOST_BYTES = '10mb'  # of an uploaded file
_MOST_SESSIONS = 200
# The editor draws with WebGL; without it, masks are edited as rectangles.
_HAS_WEBGL = """() => {
  const canvas = document.createElement('canvas');
  return [Boolean(canvas.getContext('webgl2') || canvas.getContext('webgl'))];
}"""
_LAYERS = '(...editors) => editors.map(value => value?.layers ?? [])'


def build(models: Mapping[str, Any]) -> gr.Blocks:
  """Returns the page.

  Args:
    models: name -> `demo.models.Model`, or a Translator, which then has no examples.
  """
  shown = {}
  for name, model in models.items():
    shown[name] = model if isinstance(model, Model) else Model(model)
    shown[name].warm_up()
  # The page's folder holds the uploads and results of all visitors, and goes with the page.
  folder = files.ProcessFolder('maskgan_jax_demo_')
  os.environ['GRADIO_TEMP_DIR'] = folder.name
  page = _Page(Demo(shown), folder.name)
  page.blocks.folder_of_pictures = folder  # lives as long as the page
  return page.blocks


def launch(blocks: gr.Blocks, **options: Any) -> Any:
  """Serves the page on 127.0.0.1 with safe settings; options as of `gradio.Blocks.launch`."""
  # The page is for this machine alone, and sends nothing to others.
  settings = dict(
    server_name='127.0.0.1',
    share=False,
    max_file_size=_MOST_BYTES,
    enable_monitoring=False,
    state_session_capacity=_MOST_SESSIONS,
    footer_links=[],
    run_history=False,
    ssr_mode=False,
    mcp_server=False,
    pwa=False,
    quiet=True,
    max_threads=4,
    css=layout.CSS,
  )
  logging.getLogger('uvicorn.error').addFilter(layout.one_line)
  return blocks.launch(**(settings | options))


def _clear(function: Callable[..., Any]) -> Callable[..., Any]:
  """Returns the function with a user's mistake as a message on the page."""

  @functools.wraps(function)
  def wrapped(*arguments):
    try:
      return function(*arguments)
    except errors.UserError as error:
      raise layout.message(str(error)) from error

  return wrapped


class _Page(views.Views):
  """Says what happens on a click.

  A function of a click returns the new values by component; other components stay as they are.
  """

  def wire(self, blocks):
    """Connects components with functions."""
    self._state = [self.session, self.webgl]
    self._editors = [self.sides[role]['editor'] for role in ROLES]
    self._painted = [self.sides[role]['painted'] for role in ROLES]

    # Components that depend on the translation, and all that depend on the model.
    self._results = [
      self.session,
      self.about,
      self.translation,
      self.difference,
      self.used,
      self.download,
      self.all_tabs,
      self.tabs[layout.PHOTOGRAPH],
      self.photo,
      self.compared,
      self.own_download,
    ]
    others = [tab for name, tab in self.tabs.items() if name != layout.PHOTOGRAPH]
    self._everything = [self.others, self.reverse, *others]
    for side in self.sides.values():
      self._results += [side['column'], side['editor'], side['preview']]
      self._everything += [side['gallery'], side['strength'], side['meaning']]
    self._everything += self._results

    self._wire_models(blocks)
    for role in ROLES:
      self._wire_side(role)
    self._wire_photograph()
    self._wire_exemplars()
    self._wire_results()

  def _wire_photograph(self):
    """Connects what is done to a visitor's photograph."""
    state = self._state
    self._on_choice(self.photo.select, 'source', self._mark, state)
    self._on_choice(self.whole.click, 'source', self._whole, state)
    self._on_painted(
      self.paste.click,
      self._paste,
      [*state, *self._painted, *[self.sides[role]['strength'] for role in ROLES]],
      [self.session, self.own_download, self.compared],
    )

  def _wire_models(self, blocks):
    """Connects what begins a session."""
    self._on(
      blocks.load,
      self._start,
      [self.session, self.has_webgl],
      [*self._everything, self.webgl],
      js=f"""(session, _) => [session, ({_HAS_WEBGL})()[0]]""",
    )
    for event in (self.model.change, self.reverse.input):
      self._on(
        event,
        self._choose_model,
        [*self._state, self.model, self.reverse],
        self._everything,
      )

  def _wire_side(self, role):
    """Connects what is beside a picture."""
    side, state = self.sides[role], self._state
    self._on_choice(side['gallery'].select, role, self._picker(role), state)
    self._on_choice(
      side['upload'].upload,
      role,
      functools.partial(self._upload, role),
      [*state, side['upload']],
    )
    self._on(
      side['editor'].clear, functools.partial(self._cleared, role), state, self._results
    )
    self._on(
      side['predict'].click,
      functools.partial(self._predict, role),
      state,
      self._results,
    )

    # Rectangles and removal begin with the mask as it is painted now.
    for button, value in (('erase', 0.0), ('fill', 1.0)):
      self._on_painted(
        side[button].click,
        functools.partial(self._rectangle, role, value),
        [*state, *self._painted, *side['corners']],
        self._results,
      )
    self._on_painted(
      self.remove[role].click,
      functools.partial(self._remove, role),
      [*state, *self._painted],
      [self.removed],
    )

  def _wire_exemplars(self):
    """Connects what takes more exemplars than one."""
    session = self.session
    self._on(
      self.many.upload, self._add_exemplars, [session, self.many], [session, self.grid]
    )
    self._on_painted(
      self.make_grid.click, self._grid, [*self._state, *self._painted], [self.grid]
    )
    self._on_painted(
      self.make_styles.click,
      self._random_styles,
      [*self._state, *self._painted, self.first_style],
      [self.styles],
    )
    self._on(self.others.select, self._pick_other, [session], [session, self.other])
    self._on(
      self.other_upload.upload,
      self._upload_other,
      [session, self.other_upload],
      [session, self.other],
    )
    self._on(
      self.make_frames.click,
      self._interpolate,
      [session, self.place],
      [session, self.frame],
    )
    self._on(self.place.change, self._frame, [session, self.place], [self.frame])

  def _wire_results(self):
    """Connects translation, swap, segmentation and comparison."""
    state, painted = self._state, self._painted
    strengths = [self.sides[role]['strength'] for role in ROLES]
    self._on_painted(
      self.go.click, self._translate, [*state, *painted, *strengths], self._results
    )
    self._on_choice(self.carry.click, 'source', self._carry, state)
    self._on(self.swap.click, self._swap, [self.session], [self.removed])
    for event in (self.threshold.release, self.tabs['Segment'].select):
      self._on(
        event,
        self._segment,
        [self.session, self.threshold],
        list(self.segments.values()),
      )
    self._on_painted(
      self.make_comparison.click, self._compare, [*state, *painted], [self.comparison]
    )

  def _on(self, event, function, inputs, outputs, **options):
    """Calls `function` on an event; marks what is being computed."""
    # The editors stay in sight while the result is on its way.
    watched = outputs[-1:]
    if self.translation in outputs or outputs[-1] in self._editors:
      watched = [self.translation]
    return event(
      _clear(function),
      inputs,
      outputs,
      api_visibility='private',
      show_progress='minimal',
      show_progress_on=watched,
      **options,
    )

  def _on_painted(self, event, function, inputs, outputs):
    """Reads the editors in the browser, then calls `function`."""
    # If the editors were inputs, the browser would send all that they hold again with every word
    # of the function's progress.
    read = event(
      None,
      self._editors,
      self._painted,
      js=_LAYERS,
      api_visibility='private',
      show_progress='hidden',
    )
    self._on(read.then, function, inputs, outputs)

  def _on_choice(self, event, role, function, inputs):
    """Calls `function`, which changes the picture of a role, then renews the other editor."""
    # The other picture's mask may be predicted from both pictures.
    other = ROLES[1 - ROLES.index(role)]
    changed = self._on(event, function, inputs, self._results)
    self._on_painted(
      changed.then,
      functools.partial(self._catch_up, other),
      [*self._state, *self._painted],
      [self.session, self.sides[other]['editor']],
    )

  # What clicks do.

  def _start(self, session, webgl):
    """Begins a session in a browser that has just loaded the page."""
    return {**self._all_shown(session, webgl), self.webgl: webgl}

  def _choose_model(self, session, webgl, name, reverse):
    """Begins with another model, or another direction."""
    session = self.demo.start(name, reverse=reverse, before=session)
    return self._all_shown(session, webgl)

  def _picker(self, role):
    """Returns what a click on an example does."""

    # Gradio passes the event where a function itself says so; a functools.partial doesn't.
    def pick(session, webgl, event: gr.SelectData):
      picture = self._example(session, role, event)
      chosen = self.demo.choose(session, role, picture)
      values = self._shown(chosen, webgl, role)
      if session.photograph is not None and chosen.photograph is None:
        values[self.all_tabs] = self._first_tab(
          chosen
        )  # the photograph's has nothing left to do
      return values

    return pick

  def _example(self, session, role, event):
    """Returns the example that was clicked; UserError for a forged click."""
    examples = self.demo.examples(session.model, role, session.reverse)
    if not isinstance(event.index, int) or not 0 <= event.index < len(examples):
      raise errors.UserError('there is no such example')
    return examples[event.index]

  def _upload(self, role, session, webgl, data):
    """Shows a visitor's picture in a role; as a source it is a photograph of its own size."""
    if role == 'source':
      session = self.demo.upload(session, data, gr.Warning)
      values = self._shown(session, webgl, role)
      return {**values, self.all_tabs: self._first_tab(session)}
    picture = self.demo.model(session).load(data, 'the file', gr.Warning)
    return self._shown(self.demo.choose(session, role, picture), webgl, role)

  def _mark(self, session, webgl, event: gr.SelectData):
    """Takes a click into the photograph as a corner of the place that is to change."""
    if session.photograph is None:
      return gr.skip()
    height, width = session.photograph.preview.shape[:2]
    try:
      right, down = (float(value) for value in event.index)
    except (TypeError, ValueError) as error:
      raise errors.UserError('this point does not lie in the picture') from error
    if not (0 <= right <= width and 0 <= down <= height):
      raise errors.UserError('this point does not lie in the picture')
    session = self.demo.mark(session, (down / height, right / width))
    if session.photograph.mark is not None:
      return {self.session: session, self.photo: session.photograph.shown()}
    return self._shown(session, webgl, 'source')

  def _whole(self, session, webgl):
    """Shows the model all of the photograph again."""
    return self._shown(self.demo.whole(session), webgl, 'source')

  def _paste(self, session, webgl, source, exemplar, *strengths):
    """Puts the translation, with the masks as they were painted, into the photograph."""
    session = self._edited(session, webgl, source, exemplar)
    session = self.demo.translate(session, dict(zip(ROLES, strengths, strict=True)))
    before_and_after, extension, data = self.demo.own_size(session)
    return {
      self.session: session,
      self.compared: gr.update(value=tuple(before_and_after), visible=True),
      self.own_download: gr.update(
        value=self._file(f'photograph{extension}', data), visible=True
      ),
    }

  def _predict(self, role, session, webgl):
    """Shows the predicted mask again."""
    return self._shown(self.demo.forget(session, role), webgl, role)

  def _cleared(self, role, session, webgl):
    """Empties the mask whose editor was cleared."""
    # The editor's button clears the picture too, which then comes back.
    empty = np.zeros(self.demo.model(session).shape, np.float32)
    session = self.demo.edit(session, role, empty)
    return self._shown(self.demo.translate(session), webgl, role)

  def _edited(self, session, webgl, *painted):
    """Returns the session with the masks as they were painted."""
    # Layers count only where the browser shows the editor, which needs WebGL.
    shape = self.demo.model(session).shape
    for role, layers in zip(ROLES, painted, strict=True):
      if webgl and role in session.shown:
        mask = editor.from_editor(layers, shape)
        if mask is not None:
          session = self.demo.edit(session, role, mask)
    return session

  def _catch_up(self, role, session, webgl, *painted):
    """Renews the editor of a role where it shows an earlier prediction."""
    if not webgl or role not in session.shown:
      return gr.skip()
    layers = painted[ROLES.index(role)]
    mask = editor.from_editor(layers, self.demo.model(session).shape)
    if not self.demo.outdated(session, role, mask):
      return gr.skip()
    session = self.demo.send(session, role)
    value = editor.to_editor(session.pictures[role], session.mask(role))
    return {self.session: session, self.sides[role]['editor']: gr.update(value=value)}

  def _translate(self, session, webgl, source, exemplar, *strengths):
    """Translates with the masks as they were painted."""
    session = self._edited(session, webgl, source, exemplar)
    session = self.demo.translate(session, dict(zip(ROLES, strengths, strict=True)))
    return self._shown(session, webgl, 'none')

  def _rectangle(self, role, value, session, webgl, source, exemplar, *corners):
    """Erases or fills a rectangle of a mask, then translates."""
    session = self._edited(session, webgl, source, exemplar)
    session = self.demo.rectangle(session, role, corners, value)
    return self._shown(self.demo.translate(session), webgl, role)

  def _carry(self, session, webgl):
    """Makes the translation the next source."""
    carried = self.demo.carry_on(session)
    values = self._shown(carried, webgl, 'source')
    if session.photograph is not None:
      values[self.all_tabs] = self._first_tab(carried)
    return values

  def _remove(self, role, session, webgl, source, exemplar):
    """Shows a picture without what the model transfers."""
    session = self._edited(session, webgl, source, exemplar)
    return editor.enlarged(self.demo.remove(session, role).image)

  def _swap(self, session):
    """Shows the source with the exemplar's content in place of its own."""
    return editor.enlarged(self.demo.swap(session).image)

  def _add_exemplars(self, session, uploads):
    """Adds uploaded exemplars, and shows the grid."""
    session = self.demo.add_exemplars(session, uploads, gr.Warning)
    return {self.session: session, self.grid: self.demo.grid(session)}

  def _grid(self, session, webgl, source, exemplar):
    """Shows the source after each exemplar."""
    return self.demo.grid(self._edited(session, webgl, source, exemplar))

  def _random_styles(self, session, webgl, source, exemplar, first):
    """Shows the source in random styles."""
    session = self._edited(session, webgl, source, exemplar)
    return self.demo.random_styles(session, int(first or 0))

  def _pick_other(self, session, event: gr.SelectData):
    """Takes an example as the second exemplar."""
    return self._with_other(session, self._example(session, 'exemplar', event))

  def _upload_other(self, session, data):
    """Takes a visitor's picture as the second exemplar."""
    picture = self.demo.model(session).load(data, 'the file', gr.Warning)
    return self._with_other(session, picture)

  def _with_other(self, session, picture):
    """Shows the second exemplar."""
    session = self.demo.with_other(session, picture)
    return {self.session: session, self.other: editor.enlarged(picture)}

  def _interpolate(self, session, place):
    """Computes all frames, and shows the one that is chosen."""
    session = self.demo.interpolate(session)
    return {self.session: session, self.frame: self._frame(session, place)}

  def _frame(self, session, place):
    """Shows a frame; nothing before there are any."""
    if session.frames is None:
      return None
    place = min(max(int(place), 0), FRAMES - 1)
    return editor.enlarged(session.frames[place])

  def _segment(self, session, threshold):
    """Shows the masks cut at a threshold."""
    values = {}
    for role, component in self.segments.items():
      values[component] = None
      if role in self.demo.model(session).roles:
        values[component] = editor.enlarged(self.demo.segment(session, role, threshold))
    return values

  def _compare(self, session, webgl, source, exemplar):
    """Shows the source by each model of this kind."""
    return self.demo.compare(self._edited(session, webgl, source, exemplar))
