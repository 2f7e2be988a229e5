"""The demo as a Gradio page: choose two pictures, paint on their masks, translate. See demo.py."""

from collections.abc import Callable, Mapping
import functools
import os
import tempfile
from typing import Any
import uuid

import numpy as np

from maskgan_jax import demo_session as core
from maskgan_jax import errors
from maskgan_jax.runs import pictures

os.environ.setdefault('GRADIO_ANALYTICS_ENABLED', 'False')
try:
  import gradio as gr
except ImportError as error:
  raise errors.UserError("the page needs Gradio: pip install 'gradio>=6.30,<7'") from error

_MOST_BYTES = '10mb'  # of an uploaded file
_MOST_WAITING = 32  # clicks in the queue
_MOST_SESSIONS = 200
_KINDS = ['.png', '.jpg', '.jpeg', '.webp', '.bmp', '.gif', '.tif', '.tiff', '.avif']
_AN = {'source': 'a source', 'exemplar': 'an exemplar'}
_CSS = """
.pixels img { image-rendering: pixelated; }
.examples .grid-container { grid-template-columns: repeat(6, minmax(0, 1fr)) !important; }
.examples .thumbnail-item { width: 100%; }
#title p { margin: 0; }
footer { display: none !important; }
"""
# The editor draws with WebGL; without it, masks are edited as rectangles.
_HAS_WEBGL = """() => {
  const canvas = document.createElement('canvas');
  return [Boolean(canvas.getContext('webgl2') || canvas.getContext('webgl'))];
}"""
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
  folder = tempfile.TemporaryDirectory(prefix='maskgan_jax_demo_')
  os.environ['GRADIO_TEMP_DIR'] = folder.name
  page = _Page(core.Demo(models), folder.name)
  page.blocks.folder_of_pictures = folder  # lives as long as the page
  return page.blocks


def launch(blocks: gr.Blocks, **options: Any) -> Any:
  """Serves the page on 127.0.0.1 with safe settings; options as of `gradio.Blocks.launch`."""
  settings = dict(
      server_name='127.0.0.1', share=False, max_file_size=_MOST_BYTES, enable_monitoring=False,
      state_session_capacity=_MOST_SESSIONS, footer_links=[], run_history=False, css=_CSS,
      ssr_mode=False, mcp_server=False, pwa=False, quiet=True, max_threads=4)
  return blocks.launch(**(settings | options))


def _clear(function: Callable[..., Any]) -> Callable[..., Any]:
  """A user's mistake as a message on the page."""
  @functools.wraps(function)
  def wrapped(*arguments):
    try:
      return function(*arguments)
    except errors.UserError as error:
      raise gr.Error(str(error), duration=None, print_exception=False) from error
  return wrapped


class _Page:
  """Components by name, and what happens on a click."""

  def __init__(self, demo: core.Demo, folder: str):
    self.demo, self.folder = demo, folder
    first = demo.start(next(iter(demo.models)))
    with gr.Blocks(title='maskgan_jax', analytics_enabled=False,
                   delete_cache=(600, 3600)) as blocks:
      self.session = gr.State(first, time_to_live=3600)
      self.webgl = gr.Checkbox(True, visible=False, label='WebGL')
      gr.Markdown('# Change one local thing in a picture after the example of another',
                  elem_id='title')
      with gr.Row():
        self.model = gr.Dropdown(list(demo.models), value=first.model, label='Model',
                                 elem_id='model', filterable=False)
        self.reverse = gr.Checkbox(False, label='The other way: from b to a', elem_id='reverse')
      self.about = gr.Markdown(elem_id='about')
      self.sides = {}
      with gr.Row():
        for role in core.ROLES:
          self.sides[role] = self._side(role)
      self.go = gr.Button('Translate', variant='primary', elem_id='translate')
      with gr.Row():
        image = functools.partial(gr.Image, format='png', interactive=False, height=340,
                                  elem_classes='pixels', buttons=['fullscreen'])
        self.translation = image(label='Translation', elem_id='translation',
                                 alt_text='The source after the exemplar')
        self.difference = image(label='Difference to the source: grey is none',
                                elem_id='difference', alt_text='What has changed')
        self.used = image(label='Masks that were used', elem_id='used',
                          alt_text='The masks of source and exemplar')
      with gr.Row():
        self.carry = gr.Button('Go on with the result as the source', elem_id='carry')
        self.download = gr.DownloadButton('Download pictures and masks', elem_id='download')
      self.tabs = {}
      with gr.Tabs() as self.all_tabs:
        for name, make in (('Several exemplars', self._several), ('Interpolate', self._between),
                           ('Remove and swap', self._removal), ('Segment', self._segmentation),
                           ('Compare models', self._comparison)):
          with gr.Tab(name, id=name, elem_id=name.split()[0].lower()) as self.tabs[name]:
            make()
      self._wire(blocks)
    blocks.queue(max_size=_MOST_WAITING, default_concurrency_limit=2)
    self.blocks = blocks

  def _side(self, role):
    """One picture: examples, upload, editor, rectangles."""
    parts = {}
    with gr.Column(elem_id=role) as parts['column']:
      with gr.Row():
        parts['upload'] = gr.UploadButton(f'Upload {role}', type='binary', file_types=_KINDS,
                                          elem_id=f'{role}-upload')
        parts['predict'] = gr.Button('Predicted mask again', elem_id=f'{role}-predict')
      parts['editor'] = gr.ImageEditor(
          label=f'{role.capitalize()} and its mask', elem_id=f'{role}-editor', image_mode='RGBA',
          type='numpy', sources=(), transforms=(), layers=gr.LayerOptions(disabled=True),
          brush=gr.Brush(default_size=24, colors=[(_hex(core.COLOUR), core.LAYER)],
                         default_color=(_hex(core.COLOUR), core.LAYER), color_mode='fixed'),
          eraser=gr.Eraser(default_size=24), buttons=[], height=460,
          canvas_size=(core.CANVAS, core.CANVAS), format='png')
      parts['preview'] = gr.Image(
          label=f'{role.capitalize()} and its mask', elem_id=f'{role}-preview', visible=False,
          format='png', interactive=False, elem_classes='pixels', buttons=[],
          alt_text=f'The {role}, its mask coloured')
      parts['meaning'] = gr.Markdown(elem_id=f'{role}-meaning')
      parts['strength'] = gr.Slider(0, 1, 1, step=0.05, label=f'Strength of the {role} mask',
                                    elem_id=f'{role}-strength')
      with gr.Accordion('Rectangle, in pixels of the model', open=False,
                        elem_id=f'{role}-rectangle') as parts['accordion']:
        with gr.Row():
          parts['corners'] = [gr.Number(0, label=label, precision=0, minimum=0, min_width=60,
                                        elem_id=f'{role}-{label.lower()}')
                              for label in ('Top', 'Left', 'Bottom', 'Right')]
        with gr.Row():
          parts['erase'] = gr.Button('Erase rectangle', elem_id=f'{role}-erase')
          parts['fill'] = gr.Button('Fill rectangle', elem_id=f'{role}-fill')
      parts['gallery'] = gr.Gallery(label=f'Click {_AN[role]}', columns=6, height=125, format='png',
                                    interactive=False, allow_preview=False, buttons=[],
                                    object_fit='contain', elem_classes=['pixels', 'examples'],
                                    elem_id=f'{role}-examples')
    return parts

  def _several(self):
    with gr.Row():
      self.many = gr.UploadButton('Upload exemplars', type='binary', file_count='multiple',
                                  file_types=_KINDS, elem_id='many-upload')
      self.make_grid = gr.Button('Translate after each', elem_id='make-grid')
    self.grid = gr.Image(label='The source after each exemplar', format='png', interactive=False,
                         elem_id='grid', alt_text='The source after each exemplar')

  def _between(self):
    with gr.Row():
      self.other_upload = gr.UploadButton('Upload second exemplar', type='binary',
                                          file_types=_KINDS, elem_id='other-upload')
      self.make_frames = gr.Button('Interpolate', elem_id='make-frames')
    self.others = gr.Gallery(label='Click a second exemplar', columns=6, height=125, format='png',
                             interactive=False, allow_preview=False, buttons=[],
                             object_fit='contain', elem_classes=['pixels', 'examples'],
                             elem_id='other-examples')
    self.place = gr.Slider(0, core.FRAMES - 1, 0, step=1, elem_id='place',
                           label='From the first exemplar (0) to the second')
    with gr.Row():
      image = functools.partial(gr.Image, format='png', interactive=False, height=340,
                                elem_classes='pixels', buttons=['fullscreen'])
      self.other = image(label='Second exemplar', elem_id='other', alt_text='The second exemplar')
      self.frame = image(label='Between', elem_id='frame', alt_text='A frame of the interpolation')

  def _removal(self):
    with gr.Row():
      self.remove = {role: gr.Button(f'Remove from the {role}', elem_id=f'remove-{role}')
                     for role in core.ROLES}
      self.swap = gr.Button("Swap: the source's own for the exemplar's", elem_id='swap')
    self.removed = gr.Image(label='Without', format='png', interactive=False, height=340,
                            elem_classes='pixels', elem_id='removed', alt_text='The result')

  def _segmentation(self):
    self.threshold = gr.Slider(0, 1, 0.5, step=0.01, label='Threshold', elem_id='threshold')
    with gr.Row():
      self.segments = {role: gr.Image(
          label=f'Found in the {role}', format='png', interactive=False, height=340,
          elem_classes='pixels', elem_id=f'segment-{role}', alt_text=f'Found in the {role}')
          for role in core.ROLES}

  def _comparison(self):
    self.make_comparison = gr.Button('Translate with each model of this kind', elem_id='compare-go')
    self.comparison = gr.Image(label='Models side by side', format='png', interactive=False,
                               elem_id='comparison', alt_text='The source by each model')

  def _wire(self, blocks):
    """Which click does what."""
    self.shown = [self.session, self.about, self.translation, self.difference, self.used]
    for role in core.ROLES:
      self.shown += [self.sides[role][part] for part in ('column', 'editor', 'preview')]
    self.fresh = [*self.shown, *(self.sides[role]['gallery'] for role in core.ROLES), self.others,
                  self.reverse, *(self.sides[role]['strength'] for role in core.ROLES),
                  self.all_tabs, *self.tabs.values(),
                  *(self.sides[role]['meaning'] for role in core.ROLES)]
    editors = [self.sides[role]['editor'] for role in core.ROLES]
    strengths = [self.sides[role]['strength'] for role in core.ROLES]
    state = [self.session, self.webgl]

    def on(event, function, inputs, outputs, **options):
      # The editors stay in sight while the result is on its way.
      watched = [self.translation] if outputs in (self.shown, self.fresh) else outputs[-1:]
      event(_clear(function), inputs, outputs, api_visibility='private',
            show_progress_on=watched, **options)

    on(blocks.load, self._start, [self.session, self.webgl], self.fresh, js=f"""(session, _) => [
        session, ({_HAS_WEBGL})()[0]]""")
    on(self.model.change, self._choose_model, [*state, self.model, self.reverse], self.fresh)
    on(self.reverse.input, self._choose_model, [*state, self.model, self.reverse], self.fresh)
    on(self.go.click, self._translate, [*state, *editors, *strengths], self.shown)
    on(self.carry.click, self._carry, state, self.shown)
    on(self.download.click, self._archive, [self.session], [self.download])
    for role in core.ROLES:
      side = self.sides[role]
      on(side['gallery'].select, self._picker(role), state, self.shown)
      on(side['upload'].upload, functools.partial(self._upload, role), [*state, side['upload']],
         self.shown)
      on(side['editor'].clear, functools.partial(self._cleared, role), state, self.shown)
      on(side['predict'].click, functools.partial(self._predict, role), state, self.shown)
      for button, value in (('erase', 0.0), ('fill', 1.0)):
        on(side[button].click, functools.partial(self._rectangle, role, value),
           [*state, *editors, *side['corners']], self.shown)
      on(self.remove[role].click, functools.partial(self._remove, role),
         [self.session, self.webgl, *editors], [self.removed])
    on(self.swap.click, self._swap, [self.session], [self.removed])
    on(self.many.upload, self._add_exemplars, [self.session, self.many], [self.session, self.grid])
    on(self.make_grid.click, self._grid, [self.session, self.webgl, *editors], [self.grid])
    on(self.others.select, self._pick_other, [self.session], [self.session, self.other])
    on(self.other_upload.upload, self._upload_other, [self.session, self.other_upload],
       [self.session, self.other])
    on(self.make_frames.click, self._interpolate, [self.session, self.place],
       [self.session, self.frame])
    on(self.place.change, self._frame, [self.session, self.place], [self.frame])
    segments = list(self.segments.values())
    for event in (self.threshold.release, self.tabs['Segment'].select):
      on(event, self._segment, [self.session, self.threshold], segments)
    on(self.make_comparison.click, self._compare, [self.session, self.webgl, *editors],
       [self.comparison])

  # What the page shows of a session.

  def _show(self, session, webgl, *roles):
    """The outputs `shown`, with the editors of `roles`, or of all, new."""
    model, result = self.demo.model(session), session.result
    used = [pictures.overlay(session.pictures[role], mask) for role in model.roles
            if (mask := getattr(result, f'{role}_mask')) is not None]
    if (feature := result.extras.get('feature_mask')) is not None:
      used.append(pictures.overlay(session.pictures['source'], feature))
    if (added := result.extras.get('added_mask')) is not None:
      used.append(core.as_picture(added))
    outputs = [session, self._about(session), core.enlarged(result.image),
               core.enlarged(core.difference(session.pictures['source'], result.image)),
               core.enlarged(np.concatenate(used, axis=1)) if used else None]
    for role in core.ROLES:
      if role not in model.roles:
        outputs += [gr.update(visible=False), gr.skip(), gr.skip()]
        continue
      image = session.pictures[role]
      mask = (self.demo.mask(session, role) if role in session.shown
              else np.zeros(model.shape, np.float32))
      new = role in (roles or core.ROLES)
      outputs += [gr.update(visible=True),
                  gr.update(value=core.to_editor(image, mask), visible=True) if webgl and new
                  else gr.update(visible=webgl),
                  gr.update(visible=not webgl, value=core.enlarged(pictures.overlay(image, mask)))]
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
    return self._fresh(session, webgl)

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
    picture = self.demo.model(session).load(data, 'the file')
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
    folder = os.path.join(self.folder, uuid.uuid4().hex)
    os.makedirs(folder)
    path = os.path.join(folder, 'translation.zip')
    with open(path, 'wb') as file:
      file.write(self.demo.archive(session))
    return path

  def _remove(self, role, session, webgl, source, exemplar):
    session = self._edited(session, webgl, source, exemplar)
    return core.enlarged(self.demo.remove(session, role).image)

  def _swap(self, session):
    return core.enlarged(self.demo.swap(session).image)

  def _add_exemplars(self, session, files):
    session = self.demo.add_exemplars(session, files)
    return session, self.demo.grid(session)

  def _grid(self, session, webgl, source, exemplar):
    return self.demo.grid(self._edited(session, webgl, source, exemplar))

  def _pick_other(self, session, event: gr.SelectData):
    return self._with_other(session, self._example(session, 'exemplar', event))

  def _upload_other(self, session, data):
    return self._with_other(session, self.demo.model(session).load(data, 'the file'))

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


def _hex(colour):
  return '#' + ''.join(f'{channel:02x}' for channel in colour)
