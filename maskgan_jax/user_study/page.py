"""The page of a user study: one file without network that does not say whose picture is whose."""

import io

import numpy as np
from PIL import Image

from maskgan_jax.reports import pages
from maskgan_jax.user_study.plan import Study

# Of all pictures; above it all of them become JPEGs, so that none is betrayed.
_PNG_BYTES = 8_000_000
_JPEG_QUALITY = 95
_SMALL = 96  # pixels; lower pictures are enlarged pixel by pixel, others smoothly


def page(study: Study) -> str:
  """Returns the HTML of a study."""
  # PNG is exact; a page that would be too large takes JPEG.
  pictures = {name: _encoded(image, 'png') for name, image in study.pictures.items()}
  if sum(map(len, pictures.values())) > _PNG_BYTES:
    pictures = {name: _encoded(image, 'jpeg') for name, image in study.pictures.items()}
  height, width = next(iter(study.pictures.values())).shape[:2]
  return pages.render(
    'study.html',
    pages.templates_of(__file__),
    title=study.page['title'],
    width=width,
    height=height,
    rendering='pixelated' if height < _SMALL else 'auto',
    study={**study.page, 'pictures': pictures},
  )


def _encoded(image: np.ndarray, form: str) -> str:
  """Returns a data URI of uint8 [H, W, 3], without anything but its pixels."""
  data = io.BytesIO()
  if form == 'jpeg':
    Image.fromarray(image).save(data, 'JPEG', quality=_JPEG_QUALITY, subsampling=0)
  else:
    Image.fromarray(image).save(data, 'PNG', optimize=True)
  return pages.data_uri(data.getvalue(), form)
