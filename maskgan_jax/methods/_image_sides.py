"""Which sides of images the networks of MUNIT, UNIT and DRIT can halve so many times."""

import ml_collections

from maskgan_jax import errors
from maskgan_jax.methods import base


def check_contents(config: ml_collections.ConfigDict) -> None:
  """Raises UserError unless contents come back to the images' size.

  Reflection needs two pixels of what it pads.
  """
  (height, width), count = base.image_shape(config), config.model.downsamplings
  stride = 2**count
  least = max(8, 2 * stride)
  if height % stride or width % stride or min(height, width) < least:
    raise errors.UserError(
      f'images are {height}x{width}, but {count} downsamplings '
      f'(config.model.downsamplings) need sides that are multiples of {stride}, at least {least}'
    )


def check_encoder(config: ml_collections.ConfigDict, name: str, field: str) -> None:
  """Raises UserError unless an encoder's last map has a pixel.

  Args:
    config: of the run.
    name: what messages call the encoder.
    field: of config.model, with the number of its downsamplings.
  """
  (height, width), count = base.image_shape(config), config.model[field]
  if min(height, width) < 2**count:
    raise errors.UserError(
      f'images are {height}x{width}, but {count} downsamplings of the {name} '
      f'(config.model.{field}) need {2**count} pixels or more'
    )


def check_discriminators(config: ml_collections.ConfigDict) -> None:
  """Raises UserError unless the last map of the smallest scale has a pixel."""
  (height, width), model = base.image_shape(config), config.model
  least = 2 ** (model.discriminator_depth + model.discriminator_scales - 1)
  if min(height, width) < least:
    raise errors.UserError(
      f'images are {height}x{width}, but discriminators of {model.discriminator_depth} '
      f'stride-2 convolutions and {model.discriminator_scales} scales need {least} pixels or '
      'more: lower config.model.discriminator_depth or config.model.discriminator_scales'
    )
