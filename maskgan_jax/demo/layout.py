"""The components of the demo page; `demo.page` says what they do."""

import functools
import logging
import sys
from typing import Any

import gradio as gr

from maskgan_jax import errors
from maskgan_jax.demo.editor import CANVAS, COLOUR, LAYER
from maskgan_jax.demo.models import ROLES
from maskgan_jax.demo.session import Demo, FRAMES

_MOST_WAITING = 32  # clicks in the queue
PHOTOGRAPH = 'Your photograph'  # the name of its tab
HOUR = 3600  # seconds that sessions and files are kept
_KINDS = ['.png', '.jpg', '.jpeg', '.webp', '.bmp', '.gif', '.tif', '.tiff', '.avif']
_AN = {'source': 'a source', 'exemplar': 'an exemplar'}
CSS = """
.pixels img { image-rendering: pixelated; }
.examples .grid-container { grid-template-columns: repeat(6, minmax(0, 88px)) !important; }
.examples .thumbnail-item { width: 100%; }
/* A mistake has a message of its own; the picture stays. */
[data-testid=status-tracker]:has(> .error) { display: none !important; }
#title p { margin: 0; }
footer { display: none !important; }
"""


# Gradio's default buttons include one that uploads pictures to share them.
_image = functools.partial(
  gr.Image, format='png', interactive=False, buttons=['download', 'fullscreen']
)
_picture = functools.partial(_image, height=340, elem_classes='pixels')


def message(text: str) -> gr.Error:
  """Returns a message that a visitor sees in place of a result."""
  return gr.Error(text, duration=None, print_exception=False)


class _Blocks(gr.Blocks):
  """A page whose failures are messages to the visitor and single lines in the log."""

  async def process_api(self, *args, **kwargs):
    try:
      return await super().process_api(*args, **kwargs)
    except gr.Error as error:
      error.print_exception = False
      raise
    except Exception as error:
      shortage = errors.out_of_memory(error)
      print(_in_the_log(error), file=sys.stderr, flush=True)
      raise message(
        'There is not enough memory for this; try it with fewer or smaller pictures'
        if shortage
        else 'This request cannot be answered'
      ) from error


def _in_the_log(error: BaseException) -> str:
  """Returns the line of the log for a request that failed."""
  shortage = errors.out_of_memory(error)
  reason = (
    f'out of memory: {shortage}' if shortage else f'{type(error).__name__}: {error}'
  )
  return f'a request cannot be answered: {" ".join(reason.split())[:300]}'


def one_line(record: logging.LogRecord) -> bool:
  """Replaces a traceback in the server's log by one line; a filter for `logging`."""
  if record.exc_info and record.exc_info[1]:
    record.msg, record.args, record.exc_info = _in_the_log(record.exc_info[1]), (), None
  return True


class Layout:
  """The components by name. A subclass connects them with functions in `wire`."""

  def __init__(self, demo: Demo, folder: str):
    self.demo, self.folder = demo, folder
    first = demo.start(next(iter(demo.models)))
    with _Blocks(
      title='maskgan_jax', analytics_enabled=False, delete_cache=(600, HOUR)
    ) as blocks:
      self.session = gr.State(first, time_to_live=HOUR)
      self.webgl = gr.State(True, time_to_live=HOUR)  # whether the editors can be shown
      self.has_webgl = gr.Checkbox(True, visible=False, label='WebGL')
      self._top(first.model)
      self.sides = {}
      with gr.Row():
        for role in ROLES:
          self.sides[role] = self._side(role)
      self._results_row()
      self._tabs()
      self.wire(blocks)
    blocks.queue(max_size=_MOST_WAITING, default_concurrency_limit=2)
    self.blocks = blocks

  def _top(self, model: str) -> None:
    """Makes the title and the choice of the model."""
    gr.Markdown(
      '# Change one local thing in a picture after the example of another',
      elem_id='title',
    )
    with gr.Row():
      self.model = gr.Dropdown(
        list(self.demo.models),
        value=model,
        label='Model',
        elem_id='model',
        filterable=False,
      )
      self.reverse = gr.Checkbox(
        False, label='The other way: from b to a', elem_id='reverse'
      )
    self.about = gr.Markdown(elem_id='about')

  def _side(self, role: str) -> dict[str, Any]:
    """Makes the column of one picture: upload, editor, rectangle, examples."""
    parts = {}
    with gr.Column(elem_id=role) as parts['column']:
      with gr.Row():
        parts['upload'] = gr.UploadButton(
          f'Upload {role}', type='binary', file_types=_KINDS, elem_id=f'{role}-upload'
        )
        parts['predict'] = gr.Button('Predicted mask again', elem_id=f'{role}-predict')
      parts['editor'] = _editor(role)
      # The editor's layers, on their way to whatever needs the mask (see demo.page).
      parts['painted'] = gr.File(file_count='multiple', type='binary', visible=False)
      parts['preview'] = gr.Image(
        label=f'{role.capitalize()} and its mask',
        elem_id=f'{role}-preview',
        visible=False,
        format='png',
        interactive=False,
        elem_classes='pixels',
        buttons=[],
        alt_text=f'The {role}, its mask coloured',
      )
      parts['meaning'] = gr.Markdown(elem_id=f'{role}-meaning')
      parts['strength'] = gr.Slider(
        0,
        1,
        1,
        step=0.05,
        label=f'Strength of the {role} mask',
        elem_id=f'{role}-strength',
      )
      parts |= _rectangle(role)
      parts['gallery'] = _gallery(f'Click {_AN[role]}', f'{role}-examples')
    return parts

  def _results_row(self) -> None:
    """Makes what shows the translation."""
    self.go = gr.Button('Translate', variant='primary', elem_id='translate')
    with gr.Row():
      self.translation = _picture(
        label='Translation',
        elem_id='translation',
        alt_text='The source after the exemplar',
      )
      self.difference = _picture(
        label='Difference to the source: grey is none',
        elem_id='difference',
        alt_text='What has changed',
      )
      self.used = _picture(
        label='Masks that were used',
        elem_id='used',
        alt_text='The masks of source and exemplar',
      )
    with gr.Row():
      self.carry = gr.Button('Go on with the result as the source', elem_id='carry')
      self.download = gr.DownloadButton(
        'Download pictures and masks', elem_id='download'
      )

  def _tabs(self) -> None:
    """Makes a tab for each further thing that a model may be able to do."""
    contents = {
      PHOTOGRAPH: self._photograph,
      'Several exemplars': self._several,
      'Random styles': self._random,
      'Interpolate': self._between,
      'Remove and swap': self._removal,
      'Segment': self._segmentation,
      'Compare models': self._comparison,
    }
    self.tabs = {}
    with gr.Tabs() as self.all_tabs:
      for name, make in contents.items():
        with gr.Tab(name, id=name, elem_id=name.split()[0].lower()) as tab:
          make()
        self.tabs[name] = tab

  def _photograph(self):
    """Makes the tab of a visitor's own photograph."""
    gr.Markdown(
      'Upload a source, and click two corners of what is to change, such as a face. The result '
      'goes back into your photograph, which keeps its size; what the mask leaves out is not '
      'touched.'
    )
    self.photo = gr.Image(
      label='Your photograph, with a frame around what the model sees',
      elem_id='photo',
      format='jpeg',
      interactive=False,
      buttons=[],
      alt_text='Your photograph',
    )
    with gr.Row():
      self.paste = gr.Button(
        'Put the result into the photograph', variant='primary', elem_id='paste'
      )
      self.whole = gr.Button('Look at all of it again', elem_id='whole')
    self.compared = gr.ImageSlider(
      label='Before and after: drag the line',
      elem_id='compared',
      format='jpeg',
      interactive=False,
      buttons=['fullscreen'],
      visible=False,
    )
    self.own_download = gr.DownloadButton(
      'Download it in its own size', elem_id='own-download', visible=False
    )

  def _several(self):
    """Makes the tab that translates one source after several exemplars."""
    with gr.Row():
      self.many = gr.UploadButton(
        'Upload exemplars',
        type='binary',
        file_count='multiple',
        file_types=_KINDS,
        elem_id='many-upload',
      )
      self.make_grid = gr.Button('Translate after each', elem_id='make-grid')
    self.grid = _image(
      label='The source after each exemplar',
      elem_id='grid',
      alt_text='The source after each exemplar',
    )

  def _random(self):
    """Makes the tab that translates one source in styles that are drawn."""
    with gr.Row():
      self.first_style = gr.Number(
        0, label='First style', precision=0, minimum=0, elem_id='first-style'
      )
      self.make_styles = gr.Button('Draw styles', elem_id='make-styles')
    self.styles = _image(
      label='The source in random styles',
      elem_id='styles',
      alt_text='The source in random styles',
    )

  def _between(self):
    """Makes the tab that interpolates between two exemplars."""
    with gr.Row():
      self.other_upload = gr.UploadButton(
        'Upload second exemplar',
        type='binary',
        file_types=_KINDS,
        elem_id='other-upload',
      )
      self.make_frames = gr.Button('Interpolate', elem_id='make-frames')
    self.others = _gallery('Click a second exemplar', 'other-examples')
    self.place = gr.Slider(
      0,
      FRAMES - 1,
      0,
      step=1,
      elem_id='place',
      label='From the first exemplar (0) to the second',
    )
    with gr.Row():
      self.other = _picture(
        label='Second exemplar', elem_id='other', alt_text='The second exemplar'
      )
      self.frame = _picture(
        label='Between', elem_id='frame', alt_text='A frame of the interpolation'
      )

  def _removal(self):
    """Makes the tab that removes and swaps."""
    with gr.Row():
      self.remove = {}
      for role in ROLES:
        self.remove[role] = gr.Button(
          f'Remove from the {role}', elem_id=f'remove-{role}'
        )
      self.swap = gr.Button("Swap: the source's own for the exemplar's", elem_id='swap')
    self.removed = _picture(label='Without', elem_id='removed', alt_text='The result')

  def _segmentation(self):
    """Makes the tab that shows masks cut at a threshold."""
    self.threshold = gr.Slider(
      0, 1, 0.5, step=0.01, label='Threshold', elem_id='threshold'
    )
    self.segments = {}
    with gr.Row():
      for role in ROLES:
        self.segments[role] = _picture(
          label=f'Found in the {role}',
          elem_id=f'segment-{role}',
          alt_text=f'Found in the {role}',
        )

  def _comparison(self):
    """Makes the tab that compares models."""
    self.make_comparison = gr.Button(
      'Translate with each model of this kind', elem_id='compare-go'
    )
    self.comparison = _image(
      label='Models side by side',
      elem_id='comparison',
      alt_text='The source by each model',
    )

  def wire(self, blocks: gr.Blocks) -> None:
    """Connects components with functions."""
    raise NotImplementedError


def _editor(role: str) -> gr.ImageEditor:
  """Returns the editor in which a picture's mask is painted."""
  colour = '#' + ''.join(f'{channel:02x}' for channel in COLOUR)
  paint = colour, LAYER
  return gr.ImageEditor(
    label=f'{role.capitalize()} and its mask',
    elem_id=f'{role}-editor',
    image_mode='RGBA',
    type='numpy',
    sources=(),
    transforms=(),
    layers=gr.LayerOptions(disabled=True),
    brush=gr.Brush(
      default_size=24, colors=[paint], default_color=paint, color_mode='fixed'
    ),
    eraser=gr.Eraser(default_size=24),
    buttons=[],
    height=460,
    canvas_size=(CANVAS, CANVAS),
    format='png',
  )


def _rectangle(role: str) -> dict[str, Any]:
  """Makes the fields and buttons that edit a mask by rectangles."""
  parts = {}
  with gr.Accordion(
    'Rectangle, in pixels of the model', open=False, elem_id=f'{role}-rectangle'
  ) as parts['accordion']:
    with gr.Row():
      parts['corners'] = []
      for label in ('Top', 'Left', 'Bottom', 'Right'):
        corner = gr.Number(
          0,
          label=label,
          precision=0,
          minimum=0,
          min_width=60,
          elem_id=f'{role}-{label.lower()}',
        )
        parts['corners'].append(corner)
    with gr.Row():
      parts['erase'] = gr.Button('Erase rectangle', elem_id=f'{role}-erase')
      parts['fill'] = gr.Button('Fill rectangle', elem_id=f'{role}-fill')
  return parts


def _gallery(label: str, name: str) -> gr.Gallery:
  """Returns a row of examples to click."""
  return gr.Gallery(
    label=label,
    columns=6,
    height=125,
    format='png',
    interactive=False,
    allow_preview=False,
    buttons=[],
    object_fit='contain',
    elem_classes=['pixels', 'examples'],
    elem_id=name,
  )
