"""Results at a picture's own size: the picture is read again and gets the model's change."""

from collections.abc import Sequence
import dataclasses
import os
from typing import Any

import numpy as np
from PIL import Image

from maskgan_jax import errors
from maskgan_jax.data import photographs
from maskgan_jax.data.photographs import Photograph
from maskgan_jax.methods.base import Translation
from maskgan_jax.translator import enlarging, mask_edges, own_size
from maskgan_jax.translator.fitting import Fitted, same_picture
from maskgan_jax.translator.own_size import Change

SIZES = ('model', 'own')


def check(size: str, source: Any) -> None:
  """Raises UserError unless a result of this size can be made of a source."""
  if size not in SIZES:
    raise errors.UserError(f"size is {size!r}; it is 'model' or 'own'")
  if size == 'model':
    return
  for place in _places(source):
    if not isinstance(place, Fitted) or place.picture is None:
      raise errors.UserError(
        "size='own' needs the picture itself: call t(t.fit(picture), ..., size='own')"
      )
    enlarging.check_proportions(place.region_size, place.image.shape[:2], place.name)
    if not same_picture(place, _places(source)[0]):
      raise errors.UserError(
        "size='own' changes one picture at a time: these places are of several"
      )


def _places(source: Any) -> Sequence[Any]:
  """Returns the places of a picture that are translated together."""
  return source if isinstance(source, list | tuple) and source else [source]


def photograph(fitted: Fitted) -> Photograph:
  """Returns the picture of which a model saw a part, at its own size."""
  picture = fitted.picture
  if isinstance(picture, str | os.PathLike | bytes):
    return photographs.load(picture, name=fitted.name)
  if isinstance(picture, Image.Image):
    return photographs.of_pillow(picture)
  return photographs.of_array(np.asarray(picture))


def change_of(
  fitted: Fitted,
  pixels: np.ndarray,
  image: np.ndarray,
  mask: np.ndarray | None,
  *,
  is_opacity: bool = True,
) -> Change:
  """Returns the change that a model makes, with its mask refined to the picture's edges.

  Args:
    fitted: what the model saw.
    pixels: of the picture, uint8 or uint16 [H, W, 3].
    image: the result at the model's resolution, uint8 [h, w, 3].
    mask: float32 [h, w, 1], or None.
    is_opacity: see `own_size.change_of`.
  """
  box, size = fitted.box, fitted.size
  change = own_size.change_of(
    fitted.image, image, mask, box, size, is_opacity=is_opacity
  )
  if change.paint is None or not change.mask.any():
    return change
  edges = mask_edges.edges_of(pixels, change.mask, box)
  return dataclasses.replace(change, edges=edges)


def at_own_size(
  source: Fitted | Sequence[Fitted], translation: Translation, *, is_opacity: bool
) -> Translation:
  """Returns a translation with its image and source mask at the picture's own size.

  Args:
    source: a place of a picture, or several.
    translation: of these alone; one place has no batch axis.
    is_opacity: see `Method.mask_is_opacity`.
  Raises:
    UserError: there are more exemplars than places.
  """
  places = _places(source)
  images, masks = translation.image, translation.source_mask
  if images.ndim == 3:
    images, masks = images[None], None if masks is None else masks[None]
  if len(images) != len(places):
    raise errors.UserError(
      f"size='own': {len(images)} exemplars for {len(places)} places of {places[0].name}; give "
      'one, or one for each'
    )
  pixels = photograph(places[0]).pixels
  changes = []
  for number, place in enumerate(places):
    mask = None if masks is None else masks[number]
    changes.append(
      change_of(place, pixels, images[number], mask, is_opacity=is_opacity)
    )
  image, levels = own_size.paste_all(pixels, changes)
  mask = levels[..., None] / np.float32(255)
  return dataclasses.replace(translation, image=image, source_mask=mask)
