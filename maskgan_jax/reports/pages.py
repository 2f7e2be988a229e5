"""HTML pages: each is a single file made from a template, and needs no network.

Templates, styles and scripts are files in the folder `templates` of the room whose page it is; what
several pages share is in `reports/templates`. Templates escape every value that is not `Markup`.
"""

import base64
import dataclasses
import functools
import io
import os
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image

_SHARED = os.path.join(os.path.dirname(__file__), 'templates')
PICTURE_BYTES = 4_000_000  # of one picture; larger ones become JPEGs
_JPEG_QUALITY = 85


def templates_of(module_file: str) -> str:
  """Returns the folder of templates beside a module, for its `__file__`."""
  return os.path.join(os.path.dirname(module_file), 'templates')


def render(template: str, folder: str = _SHARED, **values: Any) -> str:
  """Returns the page that a template makes of some values.

  Args:
    template: file name in `folder`.
    folder: of the templates, from `templates_of`; what it lacks is taken from the shared ones.
    **values: what the template names; one that it lacks is an error.
  """
  return _environment(folder).get_template(template).render(values)


@functools.cache
def _environment(folder: str) -> jinja2.Environment:
  loader = jinja2.FileSystemLoader([folder, _SHARED])
  environment = jinja2.Environment(
    loader=loader,
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
  )
  environment.policies['json.dumps_kwargs'] = {'separators': (',', ':')}

  def inline(name: str) -> Markup:
    """Returns a style or script as it stands in its file: it is not a template."""
    text, *_ = loader.get_source(environment, name)
    return Markup(text)

  environment.globals['inline'] = inline
  return environment


@dataclasses.dataclass(frozen=True)
class Picture:
  """A picture as a page holds it.

  Attributes:
    uri: its bytes as a data URI.
    width: pixels.
    height: pixels.
    description: the text that its PNG carries, or ''.
  """

  uri: str
  width: int
  height: int
  description: str


def picture(path: str) -> Picture:
  """Returns the picture of a PNG file; ValueError says in a sentence why it cannot be shown."""
  name = os.path.basename(path)
  try:
    with Image.open(path) as image:
      width, height = image.size
      description = image.info.get('Description', '')
      with open(path, 'rb') as file:
        data, form = file.read(), 'png'
      # Rows of street scenes, say, are too large for a page; the file itself stays exact.
      if len(data) > PICTURE_BYTES:
        smaller = io.BytesIO()
        image.convert('RGB').save(smaller, 'JPEG', quality=_JPEG_QUALITY)
        data, form = smaller.getvalue(), 'jpeg'
  except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
    raise ValueError(f'{name} is not a picture.') from error
  if len(data) > PICTURE_BYTES:
    raise ValueError(f'{name} is too large to show here.')
  return Picture(data_uri(data, form), width, height, description)


def data_uri(data: bytes, form: str) -> str:
  """Returns the bytes of a picture file ('png', 'jpeg') as the text that stands for its address."""
  return f'data:image/{form};base64,{base64.b64encode(data).decode()}'
